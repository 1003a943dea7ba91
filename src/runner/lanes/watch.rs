//! Looking again and again at a pull request on which others act too, until the engine has seen
//! enough.

use tokio::sync::mpsc;

use crate::forge::Pull;
use crate::graph::{LaneIx, TaskIx};
use crate::runner::job::{Report, Reporter, RunInfo, StepFailure, ToAttempt};
use crate::runner::lanes::{lane_pull, pulls};
use crate::runner::project::told;
use crate::runner::shop::Inner;
use crate::state::{Part, PullNews, PullStanding};

type Told = mpsc::UnboundedReceiver<ToAttempt>;

/// Watches a task's pull request.
pub(crate) async fn task(
    shop: &Inner,
    run: &RunInfo,
    task: TaskIx,
    reporter: &Reporter,
    told: Told,
) -> Result<Report, StepFailure> {
    watch(shop, run, &pulls::pull(run, task), reporter, told).await
}

/// Watches a lane's pull request.
pub(crate) async fn lane(
    shop: &Inner,
    run: &RunInfo,
    lane: LaneIx,
    reporter: &Reporter,
    told: Told,
) -> Result<Report, StepFailure> {
    let project = shop.projects.open(&run.project).await?;
    watch(shop, run, &lane_pull(run, &project, lane)?, reporter, told).await
}

/// Closes the pull request of a task or lane that was given up. Its branch stays.
pub(crate) async fn close(shop: &Inner, run: &RunInfo, part: Part) -> Result<Report, StepFailure> {
    let project = shop.projects.open(&run.project).await?;
    let pull = match part {
        Part::Task(task) => pulls::pull(run, task),
        Part::Lane(lane) => lane_pull(run, &project, lane)?,
    };
    project.forge.close(&pull).await.map_err(|error| pulls::failure(&error))?;
    Ok(Report::Closed)
}

async fn watch(
    shop: &Inner,
    run: &RunInfo,
    pull: &Pull,
    reporter: &Reporter,
    mut ears: Told,
) -> Result<Report, StepFailure> {
    let project = shop.projects.open(&run.project).await?;
    let mut last: Option<PullNews> = None;
    let mut trouble: Option<String> = None;
    loop {
        match project.forge.look(pull).await {
            Ok(news) if news.standing != PullStanding::Open => return Ok(Report::News(news)),
            Ok(news) => {
                trouble = None;
                if last.as_ref() != Some(&news) {
                    reporter.report(Report::News(news.clone()));
                    last = Some(news);
                }
            }
            Err(error) => {
                // The same trouble is told once.
                let what = told(&error);
                if trouble.as_ref() != Some(&what) {
                    reporter.report(Report::Remark(format!("cannot be looked at: {what}")));
                    trouble = Some(what);
                }
            }
        }
        tokio::select! {
            () = project.forge.stirred() => {}
            message = ears.recv() => {
                if !matches!(message, Some(ToAttempt::Answer(_) | ToAttempt::Steer(_))) {
                    return Ok(Report::Remark("not watched any more".to_owned()));
                }
            }
        }
    }
}
