//! A task's pull request: opened into its lane, merged when its turn comes.

use crate::crash;
use crate::forge::{self, MergeOrder, Opened, Outcome, Proposal, Pull};
use crate::git::BranchName;
use crate::graph::TaskIx;
use crate::ids::CommitId;
use crate::runner::job::{PullContext, Report, RunInfo, StepFailure};
use crate::runner::lanes::body;
use crate::runner::project::{Project, told, trouble};
use crate::runner::shop::Inner;
use crate::state::FailureClass;

/// How many commits are looked through for the other side of a conflict.
const COMMITS_LOOKED_AT: usize = 200;

/// How many tasks are named as the other side of a conflict.
const OTHERS_SHOWN: usize = 5;

/// Opens a task's pull request into its lane.
pub(crate) async fn open(
    shop: &Inner,
    run: &RunInfo,
    task: TaskIx,
    commit: &CommitId,
    context: &PullContext,
) -> Result<Report, StepFailure> {
    let project = shop.projects.open(&run.project).await?;
    let pull = pull(run, task);
    let (title, body) = (&run.graph.task(task).title, body::of_task(run, context));
    let proposal = Proposal { pull: &pull, commit, title, body: &body };
    let opened = project.forge.open(&proposal).await.map_err(|error| failure(&error))?;
    Ok(Report::PrOpened { url: url(&pull, opened), shared: project.forge.is_shared() })
}

/// Merges a task's pull request into its lane.
pub(crate) async fn merge(
    shop: &Inner,
    run: &RunInfo,
    task: TaskIx,
    attempt: u32,
    commit: &CommitId,
) -> Result<Report, StepFailure> {
    let project = shop.projects.open(&run.project).await?;
    let pull = pull(run, task);
    let spec = run.graph.task(task);
    let mut trailers = vec![
        ("Taskloom-Run", run.name.to_string()),
        ("Taskloom-Task", spec.id.to_string()),
        ("Taskloom-Attempt", attempt.to_string()),
    ];
    trailers.extend(co_author(shop, run));
    let order = MergeOrder {
        head: commit,
        base: None,
        method: shop.method(run),
        message: &format!("{}: {}", spec.id, spec.title),
        trailers: &trailers,
        by: &shop.options.identity,
        at: shop.clock.now(),
    };
    let outcome = match project.forge.merge(&pull, &order).await {
        // Somebody pushed to it: what they pushed is looked at first.
        Err(forge::Error::Moved { .. }) if project.forge.is_shared() => {
            return Ok(Report::TargetMoved);
        }
        outcome => outcome.map_err(|error| failure(&error))?,
    };
    let merged = match outcome {
        Outcome::Merged { commit } => commit,
        Outcome::UpToDate => head_of(&project, &pull.base).await?,
        Outcome::Held { why } => return Ok(Report::Held { why }),
        Outcome::Conflict { files, notes } => {
            let others = others(&project, run, commit, &pull.base).await?;
            return Err(conflict(&files, &notes, &others));
        }
    };
    crash::point("merge.moved");
    project.forge.delete_branch(&pull.head, commit).await.map_err(|error| failure(&error))?;
    project.count_merge().await;
    Ok(Report::Merged { commit: merged, delivered: None })
}

pub(crate) fn pull(run: &RunInfo, task: TaskIx) -> Pull {
    let spec = run.graph.task(task);
    let branches = run.branches();
    Pull {
        head: branch(&branches.task(&spec.id)),
        base: branch(&branches.lane(&run.graph.lane(spec.lane).id)),
    }
}

/// A branch whose name is made of proven parts.
pub(crate) fn branch(name: &str) -> BranchName {
    BranchName::new(name).expect("BUG: branches of a run are made of proven names")
}

/// Whoever submitted the run had a part in it, if they want to be named.
pub(crate) fn co_author(shop: &Inner, run: &RunInfo) -> Option<(&'static str, String)> {
    let author = shop.options.co_authors.get(&run.submitter)?;
    Some(("Co-authored-by", author.clone()))
}

/// How people find a pull request.
pub(crate) fn url(pull: &Pull, opened: Opened) -> String {
    match opened {
        Opened::Pull { url } => url,
        Opened::AlreadyMerged | Opened::NothingAhead => format!("{} -> {}", pull.head, pull.base),
    }
}

pub(crate) async fn head_of(
    project: &Project,
    branch: &BranchName,
) -> Result<CommitId, StepFailure> {
    let head = project.bare.lookup(&branch.to_ref()).await.map_err(|error| trouble(&error))?;
    head.ok_or_else(|| {
        let message = format!("the branch `{branch}` is gone from the engine's repository");
        StepFailure::new(FailureClass::Internal, message)
    })
}

/// What merged into the lane since the task began: the other side of a conflict.
async fn others(
    project: &Project,
    run: &RunInfo,
    commit: &CommitId,
    lane: &BranchName,
) -> Result<Vec<String>, StepFailure> {
    let tip = head_of(project, lane).await?;
    let commits = project
        .bare
        .commits(commit, &tip, COMMITS_LOOKED_AT)
        .await
        .map_err(|error| trouble(&error))?;
    let trailer = |message: &str| {
        let line = message.lines().find_map(|line| line.strip_prefix("Taskloom-Task: "));
        line.and_then(|id| run.graph.lookup_task(&id.trim().parse().ok()?))
    };
    let tasks = commits.iter().filter_map(|commit| trailer(&commit.message));
    let described = tasks.take(OTHERS_SHOWN).map(|task| {
        let spec = run.graph.task(task);
        format!("`{}` ({})", spec.id, spec.description.as_deref().unwrap_or(&spec.title).trim())
    });
    Ok(described.collect())
}

fn conflict(files: &[String], notes: &str, others: &[String]) -> StepFailure {
    let mut message = format!("does not merge; conflicts in {}", files.join(", "));
    if !others.is_empty() {
        message.push_str("\nmeanwhile these were merged: ");
        message.push_str(&others.join("; "));
    }
    if !notes.trim().is_empty() {
        message.push('\n');
        message.push_str(notes.trim_end());
    }
    StepFailure::new(FailureClass::Conflict, message)
}

/// What an error of the forge means for the step that met it.
pub(crate) fn failure(error: &forge::Error) -> StepFailure {
    use forge::Error as E;
    let class = match error {
        E::Git(error) => return trouble(error),
        E::Busy { .. } | E::Outside { .. } => FailureClass::Transient,
        E::NotOpen { .. } => FailureClass::PrClosed,
        E::Foreign { .. } | E::Denied { .. } => FailureClass::NeedsHuman,
        E::Rejected { .. } => FailureClass::Protected,
        E::NotOurs { .. } | E::NoBranch { .. } | E::Moved { .. } => FailureClass::Internal,
    };
    StepFailure::new(class, told(error))
}
