//! What a daemon tidies up by the hour: the logs of runs at rest. Asleep otherwise.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::app::App;
use crate::ids::ProjectId;
use crate::runner::{OldLogs, delete_old, old_logs, tidy};
use crate::state::{RunRecord, RunState};
use crate::store::Store as _;
use crate::time::{Clock as _, SystemClock};

/// Logs are kept for days, so that an hour more does not matter.
const EVERY: Duration = Duration::from_secs(60 * 60);

/// Tidies up again and again.
pub(crate) async fn by_the_hour(app: Arc<App>) {
    loop {
        match sweep(&app).await {
            Ok(0) => {}
            Ok(bytes) => tracing::info!(bytes, "old logs are deleted"),
            Err(error) => tracing::warn!("logs are not looked after: {error:#}"),
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Compresses and deletes; how many bytes were deleted.
async fn sweep(app: &Arc<App>) -> anyhow::Result<u64> {
    let runs = at_rest(app).await?;
    let old = old_among(app, &runs).await?;
    for run in runs {
        let dir = app.layout.run(&run.project, &run.name);
        if !old.iter().any(|old| old.dir == dir) {
            blocking(move || tidy(&dir, run.since)).await?;
        }
    }
    let mut deleted = 0;
    for logs in old {
        deleted += logs.bytes;
        blocking(move || delete_old(&logs)).await?;
    }
    Ok(deleted)
}

/// The logs that are older than the configuration has them kept.
pub async fn old(app: &App) -> anyhow::Result<Vec<OldLogs>> {
    old_among(app, &at_rest(app).await?).await
}

async fn old_among(app: &App, runs: &[RunRecord]) -> anyhow::Result<Vec<OldLogs>> {
    let now = SystemClock.now();
    let mut all = Vec::new();
    for run in runs {
        let Some(kept_for) = kept_for(app, &run.project) else { continue };
        if now.since(run.since) < kept_for {
            continue;
        }
        let dir = app.layout.run(&run.project, &run.name);
        let (name, since) = ((run.project.clone(), run.name.clone()), run.since);
        let found = blocking(move || old_logs(dir, name, since)).await?;
        all.extend(found);
    }
    Ok(all)
}

async fn at_rest(app: &App) -> anyhow::Result<Vec<RunRecord>> {
    let runs = app.store.runs(None).await?;
    Ok(runs.into_iter().filter(|run| run.state != RunState::Open).collect())
}

fn kept_for(app: &App, project: &ProjectId) -> Option<Duration> {
    let config = app.config();
    let own = config.projects.iter().find(|known| known.id == *project);
    own.map_or(config.retention, |project| project.retention).transcripts
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    Ok(tokio::task::spawn_blocking(work).await.context("the work on logs went wrong")??)
}
