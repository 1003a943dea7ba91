//! How people name runs, tasks and lanes: `GRAPH`, `GRAPH/NUMBER`, `[GRAPH[/NUMBER]/]TASK`.

use crate::failure::Failure;
use crate::graph;
use crate::ids::TaskId;
use crate::orchestrator::{self, Options, RunView, Scope};
use crate::state::{RunRecord, RunState};
use crate::store::{OwnerLock, SqliteStore, Store as _};

use super::Outcome;
use crate::app;
use crate::cli::args::Common;
use crate::cli::out::{self, outln};
use crate::config::Config;

/// How many runs are looked through for a task that is named alone.
const RUNS_LOOKED_AT: usize = 50;

/// What a reader works with.
pub(crate) struct Reading {
    pub(crate) config: Config,
    pub(crate) store: SqliteStore,
}

/// A task or lane of a run, as it was named.
pub(crate) struct Named {
    pub(crate) run: RunRecord,
    pub(crate) part: String,
}

impl Reading {
    pub(crate) async fn open(common: &Common) -> anyhow::Result<Self> {
        let config = super::config(common)?;
        let store = app::reader(&config).await?;
        Ok(Self { config, store })
    }

    /// Whether some process works on the runs.
    pub(crate) fn driven(&self) -> bool {
        OwnerLock::holder(&self.config.data_dir).is_some()
    }

    /// A run with everything derived.
    pub(crate) async fn view(&self, run: &RunRecord) -> anyhow::Result<RunView> {
        let options: Options = app::engine_options(&self.config, Scope::New, false);
        let view = orchestrator::look(&self.store, run.id, &options, self.driven()).await?;
        view.ok_or_else(|| Failure::outside(format!("run `{}` is gone", run.name)).into())
    }

    /// The run that `text` names; the latest without a name.
    pub(crate) async fn run(&self, text: Option<&str>) -> anyhow::Result<RunRecord> {
        let runs = self.store.runs(None).await?;
        let Some(text) = text else {
            return runs.into_iter().next_back().ok_or_else(|| no_run("there is no run yet"));
        };
        let found = match text.split_once('/') {
            None => runs.into_iter().rfind(|run| run.name.graph.as_str() == text),
            Some((graph, number)) => {
                let number: u32 = number.parse().map_err(|_| {
                    Failure::user(format!("`{text}` names no run"))
                        .hint("a run is GRAPH or GRAPH/NUMBER, such as `payments/3`")
                })?;
                runs.into_iter()
                    .rfind(|run| run.name.graph.as_str() == graph && run.name.number == number)
            }
        };
        found.ok_or_else(|| no_run(&format!("there is no run `{text}`")))
    }

    /// The run and the task or lane that `text` names.
    pub(crate) async fn part(&self, text: &str) -> anyhow::Result<Named> {
        let Some((run, part)) = text.rsplit_once('/') else { return self.alone(text).await };
        if !run.contains('/') && part.parse::<u32>().is_ok() && self.run(Some(text)).await.is_ok() {
            let failure = Failure::user(format!("`{text}` is a run, and a task or lane is needed"));
            return Err(failure.hint(format!("write `{text}/TASK`")).into());
        }
        Ok(Named { run: self.run(Some(run)).await?, part: part.to_owned() })
    }

    /// A task that is named alone: that of the latest run that has it, open runs first.
    async fn alone(&self, part: &str) -> anyhow::Result<Named> {
        let mut runs = self.store.runs(None).await?;
        runs.reverse();
        runs.truncate(RUNS_LOOKED_AT);
        let mut having = Vec::new();
        for run in runs {
            if self.has(&run, part).await? {
                having.push(run);
            }
        }
        let open: Vec<&RunRecord> = having.iter().filter(|r| r.state == RunState::Open).collect();
        if open.len() > 1 {
            let names: Vec<String> = open.iter().map(|r| format!("`{}/{part}`", r.name)).collect();
            return Err(Failure::user(format!("`{part}` is a task of more than one open run"))
                .hint(format!("write one of {}", names.join(", ")))
                .into());
        }
        let run = open.first().copied().or(having.first()).cloned();
        let run = run.ok_or_else(|| {
            Failure::user(format!("no run has a task or lane `{part}`"))
                .hint("`taskloom status GRAPH` lists the tasks of a run")
        })?;
        Ok(Named { run, part: part.to_owned() })
    }

    async fn has(&self, run: &RunRecord, part: &str) -> anyhow::Result<bool> {
        let Some(stored) = self.store.load(run.id).await? else { return Ok(false) };
        let Ok(graph) = graph::load(stored.source.as_bytes()) else { return Ok(false) };
        let task = part.parse().ok().and_then(|id| graph.lookup_task(&id)).is_some();
        Ok(task || part.parse().ok().and_then(|id| graph.lookup_lane(&id)).is_some())
    }
}

fn no_run(message: &str) -> anyhow::Error {
    Failure::user(message).hint("`taskloom list` lists the runs").into()
}

/// A name that must be a task's.
pub(crate) fn task_id(part: &str) -> anyhow::Result<TaskId> {
    part.parse().map_err(|why| Failure::user(format!("`{part}` is no task: {why}")).into())
}

/// Prints JSON, or text by `plain`.
pub(crate) fn print(
    common: &Common,
    json: &serde_json::Value,
    plain: impl FnOnce() -> String,
) -> Outcome {
    if common.json {
        outln!("{json:#}");
    } else {
        out::text(plain());
    }
    Ok(0)
}
