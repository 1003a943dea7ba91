//! Looking again and again at a pull request on which others act too, until the engine has seen
//! enough.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::forge::Pull;
use crate::graph::{LaneIx, TaskIx};
use crate::runner::job::{Report, Reporter, RunInfo, StepFailure, ToAttempt};
use crate::runner::lanes::{lane_pull, pulls};
use crate::runner::project::{Project, told};
use crate::runner::shop::Inner;
use crate::state::{Part, PullNews, PullStanding};

/// How long to wait where the project's repository cannot be opened.
const AGAIN: Duration = Duration::from_secs(60);

type Told = mpsc::UnboundedReceiver<ToAttempt>;

/// Watches a task's pull request.
pub(crate) async fn task(
    shop: &Inner,
    run: &RunInfo,
    task: TaskIx,
    reporter: &Reporter,
    told: Told,
) -> Result<Report, StepFailure> {
    let project = opened(shop, run, reporter).await;
    watch(&project, &pulls::pull(run, task), reporter, told).await
}

/// Watches a lane's pull request.
pub(crate) async fn lane(
    shop: &Inner,
    run: &RunInfo,
    lane: LaneIx,
    reporter: &Reporter,
    told: Told,
) -> Result<Report, StepFailure> {
    let project = opened(shop, run, reporter).await;
    watch(&project, &lane_pull(run, &project, lane)?, reporter, told).await
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

/// The project's doors, whatever it takes: what is not watched goes on for nobody.
async fn opened(shop: &Inner, run: &RunInfo, reporter: &Reporter) -> Arc<Project> {
    loop {
        match shop.projects.open(&run.project).await {
            Ok(project) => return project,
            Err(failure) => {
                let why = format!("cannot be looked at: {}", failure.message);
                reporter.report(Report::Remark(why));
                tokio::time::sleep(AGAIN).await;
            }
        }
    }
}

async fn watch(
    project: &Project,
    pull: &Pull,
    reporter: &Reporter,
    mut ears: Told,
) -> Result<Report, StepFailure> {
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
