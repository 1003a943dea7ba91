//! A lane's pull request, its merge, and the delivery of the result to the user's repository.

use crate::crash;
use crate::forge::{self, MergeOrder, Outcome, Proposal};
use crate::git::{self, Bare, BranchName};
use crate::graph::LaneIx;
use crate::ids::CommitId;
use crate::runner::job::{LaneEnd, PullContext, Report, RunInfo, StepFailure};
use crate::runner::lanes::check::message;
use crate::runner::lanes::pulls::{co_author, failure, head_of, url};
use crate::runner::lanes::{body, lane_pull, pull_of, target};
use crate::runner::project::{Project, trouble};
use crate::runner::shop::Inner;
use crate::state::{Delivered, FailureClass};

/// Opens a lane's integration pull request, and shows its branch in the user's repository.
pub(crate) async fn open(
    shop: &Inner,
    run: &RunInfo,
    lane: LaneIx,
    context: &PullContext,
) -> Result<Report, StepFailure> {
    let project = shop.projects.open(&run.project).await?;
    let (pull, _) = pull_of(shop, run, &project, lane).await?;
    let commit = head_of(&project, &pull.head).await?;
    let title = message(run, lane);
    let body = body::of_lane(run, lane, context);
    let proposal = Proposal { pull: &pull, commit: &commit, title: &title, body: &body };
    let opened = project.forge.open(&proposal).await.map_err(|error| failure(&error))?;
    crash::point("lane-pull.opened");
    let shared = project.forge.is_shared();
    if !shared {
        show(&project, &pull.head, &commit).await?;
    }
    Ok(Report::PrOpened { url: url(&pull, opened), shared })
}

/// Puts one of the run's branches into the user's repository, where people can look at it. Why
/// that was not done, if it must not be done.
async fn show(
    project: &Project,
    name: &BranchName,
    to: &CommitId,
) -> Result<Option<String>, StepFailure> {
    let there = project.user.branch(name).await.map_err(|error| trouble(&error))?;
    let shown = project.user.deliver(&project.bare, name, there.as_ref(), to).await;
    match shown {
        Ok(()) => Ok(None),
        Err(git::Error::Refused(refusal)) => {
            tracing::warn!(%refusal, "a branch in the user's repository was left alone");
            Ok(Some(refusal.to_string()))
        }
        Err(error) => Err(trouble(&error)),
    }
}

/// Merges a lane into its target, as it was checked, and delivers the result.
pub(crate) async fn merge(
    shop: &Inner,
    run: &RunInfo,
    lane: LaneIx,
    commit: &CommitId,
    checked_on: &CommitId,
) -> Result<Report, StepFailure> {
    let project = shop.projects.open(&run.project).await?;
    let pull = lane_pull(run, &project, lane)?;
    let followed = follow(shop, run, &project, lane).await?;
    let mut trailers = vec![
        ("Taskloom-Run", run.name.to_string()),
        ("Taskloom-Workstream", run.graph.lane(lane).id.to_string()),
    ];
    trailers.extend(co_author(shop, run));
    let order = MergeOrder {
        head: commit,
        base: Some(checked_on),
        method: shop.method(run),
        message: &message(run, lane),
        trailers: &trailers,
        by: &shop.options.identity,
        at: shop.clock.now(),
    };
    let merged = match project.forge.merge(&pull, &order).await {
        Ok(Outcome::Merged { commit }) => commit,
        Ok(Outcome::UpToDate) => match project.forge.take_in(&pull.base).await {
            Ok(Some(base)) => base,
            Ok(None) => head_of(&project, &pull.base).await?,
            Err(error) => return Err(failure(&error)),
        },
        Ok(Outcome::Held { why }) => return Ok(Report::Held { why }),
        Ok(Outcome::Conflict { .. }) | Err(forge::Error::Moved { .. }) => {
            return Ok(Report::TargetMoved);
        }
        Err(error) => return Err(failure(&error)),
    };
    crash::point("lane-merge.moved");
    let delivered = match (run.lane_target(lane), project.forge.name()) {
        (LaneEnd::Branch(_), Some(forge)) => {
            let sentence = format!("`{}` of {forge} is now at {}", pull.base, merged.short());
            Some(Delivered { sentence, waits_on: None })
        }
        (LaneEnd::Branch(name), None) => {
            let delivered = deliver(&project, &pull.base, &name, &merged).await?;
            if followed && delivered.waits_on.is_some() {
                // Somebody pushed at this moment: that is taken in before it is tried again.
                return Ok(Report::TargetMoved);
            }
            Some(delivered)
        }
        (LaneEnd::Lane(_), _) => None,
    };
    project.forge.retire(&pull.head, commit).await.map_err(|error| failure(&error))?;
    Ok(Report::Merged { commit: merged, delivered })
}

/// Takes into the target of a lane what was pushed to the origin since the check, so that it is
/// checked again with it. Whether the project is a clone, and so has an origin.
async fn follow(
    shop: &Inner,
    run: &RunInfo,
    project: &Project,
    lane: LaneIx,
) -> Result<bool, StepFailure> {
    let LaneEnd::Branch(name) = run.lane_target(lane) else { return Ok(false) };
    let origin = project.user.origin().await.map_err(|error| trouble(&error))?;
    if origin.is_none() || project.forge.is_shared() {
        return Ok(false);
    }
    target(shop, run, project, &name).await?;
    Ok(true)
}

/// Brings the run's target into the user's repository: as a branch of its own always, and as the
/// user's branch if that can be moved forward without touching anything that the user stands on.
/// Says what was done, or what the user can do.
pub(super) async fn deliver(
    project: &Project,
    own: &BranchName,
    name: &str,
    merged: &CommitId,
) -> Result<Delivered, StepFailure> {
    let hidden = show(project, own, merged).await?;
    crash::point("lane-merge.shown");
    let theirs = BranchName::new(name).map_err(|error| trouble(&error))?;
    let from = project
        .bare
        .lookup(&Bare::upstream(&theirs))
        .await
        .map_err(|error| trouble(&error))?
        .ok_or_else(|| {
            StepFailure::new(FailureClass::Internal, format!("no record of where `{name}` was"))
        })?;
    match project.user.fast_forward(&project.bare, &theirs, &from, merged).await {
        Ok(()) => {
            crash::point("lane-merge.delivered");
            let sentence = format!("`{name}` is now at {}", merged.short());
            Ok(Delivered { sentence, waits_on: None })
        }
        Err(git::Error::Refused(refusal)) => Ok(match hidden {
            None => Delivered {
                sentence: format!("the result is on `{own}`; `{name}` was left alone: {refusal}"),
                waits_on: Some(own.as_str().to_owned()),
            },
            Some(hidden) => Delivered {
                sentence: format!(
                    "the result is {} in the engine's repository; `{name}` was left alone: \
                     {refusal}; `{own}` too: {hidden}",
                    merged.as_str()
                ),
                waits_on: None,
            },
        }),
        Err(error) => Err(trouble(&error)),
    }
}
