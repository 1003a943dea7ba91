//! Taking a lane back: its branch moved, removed, or its merge reverted in its target.

use crate::forge::{MergeOrder, Opened, Outcome, Proposal, Pull};
use crate::git::{BranchName, Merged, Method, NewCommit, RefName, Signature};
use crate::graph::LaneIx;
use crate::ids::CommitId;
use crate::runner::job::{LaneEnd, Report, RunInfo, StepFailure};
use crate::runner::lanes::check::{message, written_at};
use crate::runner::lanes::merge::deliver;
use crate::runner::lanes::pulls::{self, branch, failure};
use crate::runner::lanes::{lane_branch, lane_pull, pull_of};
use crate::runner::project::{Project, trouble};
use crate::runner::shop::Inner;
use crate::state::FailureClass;

/// Moves a lane's branch back, if it is where it should be.
pub(crate) async fn move_back(
    shop: &Inner,
    run: &RunInfo,
    lane: LaneIx,
    from: &CommitId,
    to: &CommitId,
) -> Result<Report, StepFailure> {
    let project = shop.projects.open(&run.project).await?;
    let name = lane_branch(run, lane);
    keep(&project, &name, from).await?;
    project.forge.move_back(&name, from, to).await.map_err(|error| failure(&error))?;
    // The copy that people were shown goes along if it is what they were shown.
    if !project.forge.is_shared() && project.user.branch(&name).await.ok().flatten().is_some() {
        let moved = project.user.move_back(&name, from, to).await;
        if let Err(refusal) = moved {
            tracing::warn!(%refusal, "a branch in the user's repository was left alone");
        }
    }
    let sentence = format!("`{name}` is at {} again; what it held is kept", to.short());
    Ok(Report::Undone { sentence })
}

/// What is taken back stays in the engine's repository.
async fn keep(project: &Project, name: &BranchName, at: &CommitId) -> Result<(), StepFailure> {
    let kept = RefName::new(&format!("refs/taskloom/undone/{name}/{at}"));
    let kept = kept.map_err(|error| trouble(&error))?;
    project.bare.note(&kept, at).await.map_err(|error| trouble(&error))
}

/// Closes what a lane proposed and removes its branches.
pub(crate) async fn give_up(
    shop: &Inner,
    run: &RunInfo,
    lane: LaneIx,
) -> Result<Report, StepFailure> {
    let project = shop.projects.open(&run.project).await?;
    let tasks = run.graph.lane_tasks(lane).iter().map(|task| pulls::pull(run, *task));
    let mut gone = 0;
    for pull in tasks.chain([lane_pull(run, &project, lane)?]) {
        let name = pull.head.to_ref();
        let Some(at) = project.bare.lookup(&name).await.map_err(|error| trouble(&error))? else {
            continue;
        };
        keep(&project, &pull.head, &at).await?;
        project.forge.close(&pull).await.map_err(|error| failure(&error))?;
        project.forge.delete_branch(&pull.head, &at).await.map_err(|error| failure(&error))?;
        gone += 1;
    }
    let sentence = format!("{gone} branch(es) are removed; what they held is kept");
    Ok(Report::Undone { sentence })
}

/// Proposes a commit that takes a lane's merge back; where nobody else decides, merges it.
pub(crate) async fn revert(
    shop: &Inner,
    run: &RunInfo,
    lane: LaneIx,
    merged: &CommitId,
    onto: Option<&CommitId>,
) -> Result<Report, StepFailure> {
    let project = shop.projects.open(&run.project).await?;
    let (own, target) = pull_of(shop, run, &project, lane).await?;
    let head = branch(&run.branches().revert(&run.graph.lane(lane).id));
    let there = project.bare.lookup(&head.to_ref()).await.map_err(|error| trouble(&error))?;
    let commit = match there {
        Some(commit) => commit,
        None => {
            let commit = reverse(shop, run, &project, lane, &target, merged, onto).await?;
            project.bare.note(&head.to_ref(), &commit).await.map_err(|error| trouble(&error))?;
            commit
        }
    };
    let title = format!("Revert \"{}\"", message(run, lane));
    let body =
        format!("Takes back workstream `{}`, which {merged} merged.", run.graph.lane(lane).id);
    let pull = Pull { head, base: own.base };
    let proposal = Proposal { pull: &pull, commit: &commit, title: &title, body: &body };
    let opened = project.forge.open(&proposal).await.map_err(|error| failure(&error))?;
    if project.forge.is_shared() {
        let sentence = match opened {
            Opened::Pull { url } => format!("a revert is proposed: {url}"),
            Opened::AlreadyMerged | Opened::NothingAhead => "it is reverted already".to_owned(),
        };
        return Ok(Report::Undone { sentence });
    }
    let order = MergeOrder {
        head: &commit,
        base: None,
        method: Method::Rebase,
        message: &title,
        trailers: &[],
        by: &shop.options.identity,
        at: shop.clock.now(),
    };
    let after = match project.forge.merge(&pull, &order).await.map_err(|error| failure(&error))? {
        Outcome::Merged { commit } => commit,
        Outcome::UpToDate => commit.clone(),
        Outcome::Held { why } => return Err(StepFailure::new(FailureClass::NeedsHuman, why)),
        Outcome::Conflict { files, .. } => return Err(in_the_way(&files)),
    };
    let sentence = match run.lane_target(lane) {
        LaneEnd::Branch(name) => deliver(&project, &pull.base, &name, &after).await?.sentence,
        LaneEnd::Lane(_) => String::new(),
    };
    Ok(Report::Undone { sentence: format!("reverted; {sentence}") })
}

/// The commit that takes a merge back from what the target is now.
async fn reverse(
    shop: &Inner,
    run: &RunInfo,
    project: &Project,
    lane: LaneIx,
    target: &CommitId,
    merged: &CommitId,
    onto: Option<&CommitId>,
) -> Result<CommitId, StepFailure> {
    let bare = &project.bare;
    if !bare.is_ancestor(merged, target).await.map_err(|error| trouble(&error))? {
        let message = format!("{} is not in the target any more", merged.short());
        return Err(StepFailure::new(FailureClass::NeedsHuman, message));
    }
    let commit = bare.commit(merged).await.map_err(|error| trouble(&error))?;
    let parent = commit.parents.first().cloned();
    // A rebase has put several commits on top of what the target was.
    let before = match (shop.method(run), onto) {
        (Method::Rebase, Some(onto)) => Some(onto.clone()),
        _ => parent,
    };
    let before = before.ok_or_else(|| {
        StepFailure::new(FailureClass::Internal, "what was merged has no past".to_owned())
    })?;
    let tree = match bare.reverse_tree(target, merged, &before).await {
        Ok(Merged::Tree(tree)) => tree,
        Ok(Merged::Conflict { files, .. }) => return Err(in_the_way(&files)),
        Err(error) => return Err(trouble(&error)),
    };
    let signature = Signature::new(&shop.options.identity, written_at(Some(&commit)));
    let text = format!(
        "Revert \"{}\"\n\nThis reverts {merged}.\n\nTaskloom-Run: {}\nTaskloom-Workstream: {}\n",
        message(run, lane),
        run.name,
        run.graph.lane(lane).id
    );
    let new = NewCommit {
        tree: &tree,
        parents: &[target],
        message: &text,
        author: &signature,
        committer: &signature,
    };
    bare.commit_tree(&new).await.map_err(|error| trouble(&error))
}

fn in_the_way(files: &[String]) -> StepFailure {
    let message = format!(
        "what came after it is in the way of a revert, in {}; revert it by hand",
        files.join(", ")
    );
    StepFailure::new(FailureClass::Conflict, message)
}
