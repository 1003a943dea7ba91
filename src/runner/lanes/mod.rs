//! A lane's way: its integration branch, the check of its merge result, its merge, and the
//! delivery of the result to the user's repository.
//!
//! The target of a run's lanes is a branch of the engine's own, `…/into/<target>`: it begins where
//! the user's branch is and takes in what the user adds meanwhile. The user's branch itself is
//! moved last, forward only, and only if nobody stands on it.

mod body;
mod check;
mod merge;
pub(crate) mod pulls;
pub(crate) mod undo;
pub(crate) mod watch;

use crate::crash;
use crate::forge::Pull;
use crate::git::{self, BranchName, Combine, Combined, Method, RefChange};
use crate::graph::LaneIx;
use crate::ids::{Branches, CommitId, RunName};
use crate::runner::files;
use crate::runner::job::{LaneEnd, Report, RunInfo, StepFailure};
use crate::runner::lanes::pulls::{branch, head_of};
use crate::runner::project::{Project, trouble};
use crate::runner::shop::Inner;
use crate::state::FailureClass;

pub(crate) use check::check;
pub(crate) use merge::{merge, open};

/// Makes a lane's integration branch: where that of the run `from` ends, or where the graph says.
pub(crate) async fn prepare(
    shop: &Inner,
    run: &RunInfo,
    lane: LaneIx,
    from: Option<&RunName>,
) -> Result<Report, StepFailure> {
    let project = shop.projects.open(&run.project).await?;
    keep_graph(shop, run)?;
    let name = lane_branch(run, lane);
    let there = project.bare.lookup(&name.to_ref()).await.map_err(|error| trouble(&error))?;
    if let Some(head) = there {
        project.forge.publish(&name).await.map_err(|error| pulls::failure(&error))?;
        return Ok(Report::LanePrepared { head });
    }
    let earlier = from.map(|from| branch(&Branches::of(from).lane(&run.graph.lane(lane).id)));
    let base = match (earlier, run.lane_base(lane)) {
        (Some(earlier), _) => head_of(&project, &earlier).await?,
        (None, LaneEnd::Lane(parent)) => head_of(&project, &lane_branch(run, parent)).await?,
        (None, LaneEnd::Branch(name)) => target(shop, run, &project, &name).await?.1,
    };
    crash::point("prepare.target");
    let head = base.clone();
    let create = RefChange::Create { name: name.to_ref(), to: base };
    project.bare.transact(&[create]).await.map_err(|error| trouble(&error))?;
    crash::point("prepare.made");
    project.forge.publish(&name).await.map_err(|error| pulls::failure(&error))?;
    Ok(Report::LanePrepared { head })
}

/// The graph as it was submitted, for people who look into the run's directory.
fn keep_graph(shop: &Inner, run: &RunInfo) -> Result<(), StepFailure> {
    let dir = shop.layout.run(&run.project.id, &run.name);
    let kept = files::private_dir(&dir)
        .and_then(|()| files::write(&dir.join("graph.yaml"), run.source.as_bytes()));
    kept.map_err(|error| {
        let message = format!("cannot write to {}: {error}", dir.display());
        StepFailure::new(FailureClass::Transient, message)
    })
}

fn lane_branch(run: &RunInfo, lane: LaneIx) -> BranchName {
    branch(&run.branches().lane(&run.graph.lane(lane).id))
}

/// What a lane is merged into, and its head: where others merge too, the branch itself; else the
/// run's own branch for a branch of the user, which is made if it is not there, and takes in what
/// the user has added since.
async fn target(
    shop: &Inner,
    run: &RunInfo,
    project: &Project,
    name: &str,
) -> Result<(BranchName, CommitId), StepFailure> {
    let theirs = BranchName::new(name).map_err(|error| trouble(&error))?;
    if project.forge.is_shared() {
        let head = project.forge.take_in(&theirs).await.map_err(|e| pulls::failure(&e))?;
        let forge = project.forge.name().unwrap_or_default();
        let missing = || {
            let message = format!("{forge} has no branch `{name}`");
            StepFailure::new(FailureClass::CannotStart, message)
        };
        return Ok((theirs, head.ok_or_else(missing)?));
    }
    let theirs_only = std::slice::from_ref(&theirs);
    project.user.follow(theirs_only).await.map_err(|error| trouble(&error))?;
    let synced =
        project.bare.sync(&project.user, theirs_only).await.map_err(|error| trouble(&error))?;
    let Some(upstream) = synced.heads.get(&theirs) else {
        let message = format!("the repository {} has no branch `{name}`", run.project.repo);
        return Err(StepFailure::new(FailureClass::CannotStart, message));
    };
    let own = branch(&run.branches().target(name));
    let head = project.bare.lookup(&own.to_ref()).await.map_err(|error| trouble(&error))?;
    let Some(head) = head else {
        let create = RefChange::Create { name: own.to_ref(), to: upstream.clone() };
        return match project.bare.transact(&[create]).await {
            Ok(()) => Ok((own, upstream.clone())),
            // Another lane was faster.
            Err(git::Error::Moved { found: Some(found), .. }) => Ok((own, found)),
            Err(error) => Err(trouble(&error)),
        };
    };
    let head = catch_up(shop, project, &own, head, upstream, name).await?;
    Ok((own, head))
}

/// Takes into the run's target what the user has added to theirs since.
async fn catch_up(
    shop: &Inner,
    project: &Project,
    own: &BranchName,
    head: CommitId,
    upstream: &CommitId,
    name: &str,
) -> Result<CommitId, StepFailure> {
    let join = Combine {
        ours: &head,
        theirs: upstream,
        method: Method::Merge,
        message: &format!("Take in what was added to {name} meanwhile"),
        by: &shop.options.identity,
        at: shop.clock.now(),
    };
    let behind = project.bare.is_ancestor(&head, upstream).await.map_err(|e| trouble(&e))?;
    let to = if behind {
        upstream.clone()
    } else {
        match project.bare.combine(&join).await.map_err(|error| trouble(&error))? {
            Combined::UpToDate => return Ok(head),
            Combined::Commit(commit) => commit,
            Combined::Conflict { files, .. } => {
                let message = format!(
                    "what this run merged conflicts with what was added to `{name}` meanwhile, in {}",
                    files.join(", ")
                );
                return Err(StepFailure::new(FailureClass::Conflict, message));
            }
        }
    };
    let advance = RefChange::Move { name: own.to_ref(), from: head, to: to.clone() };
    match project.bare.transact(&[advance]).await {
        Ok(()) => Ok(to),
        Err(git::Error::Moved { found: Some(found), .. }) => Ok(found),
        Err(error) => Err(trouble(&error)),
    }
}

async fn pull_of(
    shop: &Inner,
    run: &RunInfo,
    project: &Project,
    lane: LaneIx,
) -> Result<(Pull, CommitId), StepFailure> {
    let pull = lane_pull(run, project, lane)?;
    let at = match run.lane_target(lane) {
        LaneEnd::Lane(_) => head_there(project, &pull.base).await?,
        LaneEnd::Branch(name) => target(shop, run, project, &name).await?.1,
    };
    Ok((pull, at))
}

/// A lane's pull request by its branches.
fn lane_pull(run: &RunInfo, project: &Project, lane: LaneIx) -> Result<Pull, StepFailure> {
    let head = lane_branch(run, lane);
    let base = match run.lane_target(lane) {
        LaneEnd::Lane(parent) => lane_branch(run, parent),
        LaneEnd::Branch(name) if project.forge.is_shared() => {
            BranchName::new(&name).map_err(|error| trouble(&error))?
        }
        LaneEnd::Branch(name) => branch(&run.branches().target(&name)),
    };
    Ok(Pull { head, base })
}

/// Where one of the engine's branches is, with what others have added to it.
async fn head_there(project: &Project, name: &BranchName) -> Result<CommitId, StepFailure> {
    match project.forge.take_in(name).await.map_err(|error| pulls::failure(&error))? {
        Some(head) => Ok(head),
        // Whoever deleted it there has not deleted the work.
        None => {
            project.forge.publish(name).await.map_err(|error| pulls::failure(&error))?;
            head_of(project, name).await
        }
    }
}
