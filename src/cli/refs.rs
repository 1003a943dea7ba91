//! How people name runs, tasks and lanes: `GRAPH`, `GRAPH/NUMBER`, `[GRAPH[/NUMBER]/]TASK`, each
//! with `PROJECT:` before it where several projects have runs of that name.

use std::collections::BTreeSet;

use crate::failure::Failure;
use crate::graph;
use crate::graph::TaskIx;
use crate::ids::TaskId;
use crate::orchestrator::{self, Options, Role, RunView, Scope};
use crate::runner::RunInfo;
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

    /// Whether runs of more than one project are known.
    pub(crate) async fn several(&self) -> anyhow::Result<bool> {
        Ok(self.store.projects().await?.len() > 1)
    }

    /// A run with everything derived.
    pub(crate) async fn view(&self, run: &RunRecord) -> anyhow::Result<RunView> {
        let options: Options = app::engine_options(&self.config, Scope::New, Role::Errand);
        let view = orchestrator::look(&self.store, run.id, &options, self.driven()).await?;
        view.ok_or_else(|| Failure::outside(format!("run `{}` is gone", run.name)).into())
    }

    /// The run that `text` names; the latest without a name.
    pub(crate) async fn run(&self, text: Option<&str>) -> anyhow::Result<RunRecord> {
        find_run(self.store.runs(None).await?, text)
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

/// The run that `text` names among `runs`, oldest first; the latest without a name.
pub(crate) fn find_run(runs: Vec<RunRecord>, text: Option<&str>) -> anyhow::Result<RunRecord> {
    let Some(text) = text else {
        return runs.into_iter().next_back().ok_or_else(|| no_run("there is no run yet"));
    };
    let (project, name) = match text.split_once(':') {
        Some((project, name)) => (Some(project), name),
        None => (None, text),
    };
    let (graph, number) = match name.split_once('/') {
        None => (name, None),
        Some((graph, number)) => {
            let number: u32 = number.parse().map_err(|_| {
                Failure::user(format!("`{text}` names no run"))
                    .hint("a run is GRAPH or GRAPH/NUMBER, such as `payments/3`")
            })?;
            (graph, Some(number))
        }
    };
    let known = nearest(graph, runs.iter().map(|run| run.name.graph.as_str()));
    let fits = |run: &RunRecord| {
        run.name.graph.as_str() == graph
            && number.is_none_or(|number| run.name.number == number)
            && project.is_none_or(|project| run.project.as_str() == project)
    };
    let fitting: Vec<RunRecord> = runs.into_iter().filter(fits).collect();
    let projects: BTreeSet<&str> = fitting.iter().map(|run| run.project.as_str()).collect();
    if projects.len() > 1 {
        let names: Vec<String> = projects.iter().map(|p| format!("`{p}:{name}`")).collect();
        return Err(Failure::user(format!("`{text}` is a run of more than one project"))
            .hint(format!("write one of {}", names.join(", ")))
            .into());
    }
    fitting.into_iter().next_back().ok_or_else(|| {
        let missing = Failure::user(format!("there is no run `{text}`"));
        let missing = match known {
            Some(known) => missing.hint(format!("did you mean `{known}`?")),
            None => missing,
        };
        missing.hint("`taskloom list` lists the runs").into()
    })
}

/// The name that was probably meant.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let near = |known: &&str| strsim::damerau_levenshtein(name, known) <= 1 + name.len() / 5;
    known.filter(|known| *known != name).find(near).map(str::to_owned)
}

/// A task of a run, by its name.
pub(crate) fn find_task(view: &RunView, part: &str) -> anyhow::Result<TaskIx> {
    let id = task_id(part)?;
    let graph = &view.info.graph;
    graph.lookup_task(&id).ok_or_else(|| {
        let missing = Failure::user(format!("run `{}` has no task `{id}`", view.info.name));
        let near = nearest(part, graph.tasks().iter().map(|task| task.id.as_str()));
        match near {
            Some(near) => missing.hint(format!("did you mean `{near}`?")).into(),
            None => missing.into(),
        }
    })
}

/// A run as it must be written: with its project where there are others.
pub(crate) fn spoken(info: &RunInfo, several: bool) -> String {
    if several { format!("{}:{}", info.project.id, info.name) } else { info.name.to_string() }
}

/// An argument as a shell takes it.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@,+%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
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
