//! The merge result of a lane, computed and checked before anything is moved.

use std::path::PathBuf;

use crate::agents::process::{Environment, Input, LaunchSpec};
use crate::crash;
use crate::git::{self, Bare, BranchName, Combine, Combined, Discard, Order, Place};
use crate::graph::LaneIx;
use crate::ids::CommitId;
use crate::runner::attempt::command::{self, Verdict};
use crate::runner::files;
use crate::runner::job::{LaneEnd, Report, Reporter, RunInfo, StepFailure};
use crate::runner::lanes::merge::deliver;
use crate::runner::lanes::{head_there, pull_of};
use crate::runner::project::{Project, told, trouble};
use crate::runner::shop::Inner;
use crate::runner::walls;
use crate::sandbox;
use crate::state::{Delivered, FailureClass, LaneCheck};
use crate::time::Timestamp;

/// How much of a failed check's output is told; the rest is in its log.
const CHECK_OUTPUT_CHARS_MAX: usize = 4_000;

/// Computes a lane's merge result and runs its checks on it, before anything is moved.
pub(crate) async fn check(
    shop: &Inner,
    run: &RunInfo,
    lane: LaneIx,
    reporter: &Reporter,
) -> Result<Report, StepFailure> {
    let project = shop.projects.open(&run.project).await?;
    let (pull, target) = pull_of(shop, run, &project, lane).await?;
    let commit = head_there(&project, &pull.head).await?;
    let ahead = project.bare.ahead(&target, &commit).await.map_err(|error| trouble(&error))?;
    if ahead == 0 {
        let delivered = deliver_late(run, &project, lane, &pull.base, &target).await?;
        return Ok(Report::LaneUpToDate { delivered });
    }
    let result = merge_result(shop, run, &project, lane, &target, &commit).await?;
    crash::point("check.result");
    let checks = run.graph.lane(lane).checks.clone();
    for (at, check) in checks.iter().enumerate() {
        run_check(shop, run, &project, lane, &result, (at, check)).await?;
        crash::point("check.passed");
        reporter.report(Report::Remark(format!("check passed: {check}")));
    }
    let changes = project.bare.changes(&target, &result).await.map_err(|error| trouble(&error))?;
    Ok(Report::LaneChecked(LaneCheck {
        ahead: u32::try_from(ahead).unwrap_or(u32::MAX),
        files: u32::try_from(changes.files.len()).unwrap_or(u32::MAX),
        insertions: u32::try_from(changes.insertions()).unwrap_or(u32::MAX),
        deletions: u32::try_from(changes.deletions()).unwrap_or(u32::MAX),
        commit,
        target,
        checks,
    }))
}

/// A lane whose merge was cut short before its delivery is merged already, and still to be
/// delivered.
async fn deliver_late(
    run: &RunInfo,
    project: &Project,
    lane: LaneIx,
    own: &BranchName,
    merged: &CommitId,
) -> Result<Option<Delivered>, StepFailure> {
    let LaneEnd::Branch(name) = run.lane_target(lane) else { return Ok(None) };
    if project.forge.is_shared() {
        return Ok(None);
    }
    let theirs = BranchName::new(&name).map_err(|error| trouble(&error))?;
    let upstream = project.bare.lookup(&Bare::upstream(&theirs)).await;
    if upstream.map_err(|error| trouble(&error))?.as_ref() == Some(merged) {
        return Ok(None);
    }
    deliver(project, own, &name, merged).await.map(Some)
}

/// The commit that the merge would make; no ref points to it. It is the same whenever it is
/// computed, so that a check that was cut short is gone on with.
async fn merge_result(
    shop: &Inner,
    run: &RunInfo,
    project: &Project,
    lane: LaneIx,
    target: &CommitId,
    commit: &CommitId,
) -> Result<CommitId, StepFailure> {
    let newest = project.bare.commits(target, commit, 1).await.map_err(|error| trouble(&error))?;
    let join = Combine {
        ours: target,
        theirs: commit,
        method: shop.method(run),
        message: &message(run, lane),
        by: &shop.options.identity,
        at: written_at(newest.first()),
    };
    match project.bare.combine(&join).await.map_err(|error| trouble(&error))? {
        Combined::Commit(result) => Ok(result),
        Combined::UpToDate => Ok(target.clone()),
        Combined::Conflict { files, .. } => {
            let message =
                format!("does not merge into its target; conflicts in {}", files.join(", "));
            Err(StepFailure::new(FailureClass::Conflict, message))
        }
    }
}

/// When a commit was written; what its author says, which only has to be the same every time.
pub(super) fn written_at(commit: Option<&git::Commit>) -> Timestamp {
    let date = commit.and_then(|commit| commit.author.date.split(' ').next());
    let seconds: i64 = date.and_then(|date| date.parse().ok()).unwrap_or_default();
    Timestamp(seconds.saturating_mul(1000))
}

pub(crate) fn message(run: &RunInfo, lane: LaneIx) -> String {
    format!("Merge lane {} of {}", run.graph.lane(lane).id, run.name)
}

async fn run_check(
    shop: &Inner,
    run: &RunInfo,
    project: &Project,
    lane: LaneIx,
    commit: &CommitId,
    (at, check): (usize, &str),
) -> Result<(), StepFailure> {
    let place = Place::lane(&run.name, &run.graph.lane(lane).id);
    let order = Order { place: &place, branch: None, commit, refs: &[] };
    let checkout = match project.checkouts.adopt(&order) {
        Some(checkout) => checkout,
        None => command::clean_checkout(&project.checkouts, &order).await?,
    };
    let dir = shop.layout.lane(&run.project.id, &run.name, &run.graph.lane(lane).id);
    let home = dir.join("home");
    files::private_dir(&home).map_err(|error| {
        StepFailure::new(
            FailureClass::Transient,
            format!("cannot make {}: {error}", home.display()),
        )
    })?;
    let environment = shop.environment(&home, &[]);
    let stem = format!("check-{}-{at}", &commit.as_str()[..12]);
    let mut spec = spec(shop, dir.clone(), &stem, check, checkout.tree.clone(), environment);
    if let Some(asked) = walls::of_lane(&run.graph, lane, shop.usual_sandbox(&run.project)) {
        let name = format!("taskloom-{}-{}-{stem}", run.name.graph, run.name.number);
        let around = (checkout.tree.as_path(), &spec.environment, name);
        let mut request = walls::around(shop, project, asked, around);
        request.writes.push(home);
        let walled = sandbox::wrap(spec.program, spec.environment.names(), &request)
            .map_err(|error| StepFailure::new(FailureClass::CannotStart, told(&error)))?;
        (spec.program, spec.afterwards) = (walled.program, walled.afterwards);
    }
    let verdict = command::run(shop, spec, |_| {}).await?;
    // One that has come to its end is begun anew if it is asked for again.
    let records = [format!("{stem}.shim.json"), format!("{stem}.exit.json")];
    files::remove_all(&dir, |name| records.iter().any(|record| record == name)).map_err(|why| {
        StepFailure::new(
            FailureClass::Transient,
            format!("cannot write to {}: {why}", dir.display()),
        )
    })?;
    project.checkouts.release(&checkout, Discard::Anyway).await.map_err(|e| trouble(&e))?;
    match verdict {
        Verdict::Passed { .. } => Ok(()),
        Verdict::Failed { how, output } => {
            let tail: String = last_chars(&output, CHECK_OUTPUT_CHARS_MAX).to_owned();
            let message = format!("the check `{check}` failed on the merge result ({how})\n{tail}");
            Err(StepFailure::new(FailureClass::GateFailed, message))
        }
    }
}

fn spec(
    shop: &Inner,
    dir: PathBuf,
    stem: &str,
    check: &str,
    cwd: PathBuf,
    environment: Environment,
) -> LaunchSpec {
    let mut spec = LaunchSpec::new(&dir, stem, &["sh", "-c", check], &cwd);
    spec.environment = environment;
    spec.input = Input::Null;
    spec.deadline = Some(shop.options.gate_timeout);
    spec.grace = shop.options.grace;
    spec.limits = shop.options.limits;
    spec
}

fn last_chars(text: &str, max: usize) -> &str {
    let cut = text.char_indices().rev().nth(max.saturating_sub(1)).map_or(0, |(at, _)| at);
    &text[cut..]
}
