//! How people name runs, tasks and lanes: `GRAPH`, `GRAPH/NUMBER`, `[GRAPH[/NUMBER]/]TASK`, each
//! with `PROJECT:` before it where several projects have runs of that name.

use std::collections::BTreeSet;

use crate::failure::Failure;
use crate::graph;
use crate::graph::{LaneIx, TaskIx};
use crate::ids::TaskId;
use crate::orchestrator::RunView;
use crate::runner::RunInfo;
use crate::state::{RunRecord, RunState};
use crate::store::{Store, Which};

/// How many runs are looked through for a task that is named alone.
const RUNS_LOOKED_AT: usize = 50;

/// A task or lane of a run, as it was named.
#[derive(Debug, Clone)]
pub struct Named {
    /// The run.
    pub run: RunRecord,
    /// The task or lane.
    pub part: String,
}

/// The run that `text` names, or the latest; one that was put away only if no other has the name.
pub async fn run_of(store: &dyn Store, text: Option<&str>) -> Result<RunRecord, Failure> {
    match find_run(active(store).await?, text) {
        Err(_) if text.is_some() => find_run(all(store).await?, text),
        found => found,
    }
}

/// The same with a task or lane of it.
pub async fn part_of(store: &dyn Store, text: &str) -> Result<Named, Failure> {
    match find_part(store, active(store).await?, text).await {
        Err(failure) => find_part(store, all(store).await?, text).await.map_err(|_| failure),
        found => found,
    }
}

async fn active(store: &dyn Store) -> Result<Vec<RunRecord>, Failure> {
    let runs = store.select(&Which::Active, u32::MAX).await;
    runs.map_err(|error| Failure::outside(error.to_string()))
}

async fn all(store: &dyn Store) -> Result<Vec<RunRecord>, Failure> {
    store.runs(None).await.map_err(|error| Failure::outside(error.to_string()))
}

/// The run among `runs`, oldest first, and the task or lane that `text` names.
pub async fn find_part(
    store: &dyn Store,
    runs: Vec<RunRecord>,
    text: &str,
) -> Result<Named, Failure> {
    let Some((run, part)) = text.rsplit_once('/') else { return alone(store, runs, text).await };
    if !run.contains('/')
        && part.parse::<u32>().is_ok()
        && find_run(runs.clone(), Some(text)).is_ok()
    {
        let failure = Failure::user(format!("`{text}` is a run, and a task or lane is needed"));
        return Err(failure.hint(format!("write `{text}/TASK`")));
    }
    Ok(Named { run: find_run(runs, Some(run))?, part: part.to_owned() })
}

/// A task that is named alone: that of the latest run that has it, open runs first.
async fn alone(store: &dyn Store, mut runs: Vec<RunRecord>, part: &str) -> Result<Named, Failure> {
    runs.reverse();
    runs.truncate(RUNS_LOOKED_AT);
    let mut having = Vec::new();
    for run in runs {
        if has(store, &run, part).await? {
            having.push(run);
        }
    }
    let open: Vec<&RunRecord> = having.iter().filter(|r| r.state == RunState::Open).collect();
    if open.len() > 1 {
        let names: Vec<String> = open.iter().map(|r| format!("`{}/{part}`", r.name)).collect();
        return Err(Failure::user(format!("`{part}` is a task of more than one open run"))
            .hint(format!("write one of {}", names.join(", "))));
    }
    let run = open.first().copied().or(having.first()).cloned();
    let run = run.ok_or_else(|| {
        Failure::user(format!("no run has a task or lane `{part}`"))
            .hint("`taskloom status GRAPH` lists the tasks of a run")
    })?;
    Ok(Named { run, part: part.to_owned() })
}

async fn has(store: &dyn Store, run: &RunRecord, part: &str) -> Result<bool, Failure> {
    let stored = store.load(run.id).await.map_err(|error| Failure::outside(error.to_string()))?;
    let Some(stored) = stored else { return Ok(false) };
    let Ok(graph) = graph::load(stored.source.as_bytes()) else { return Ok(false) };
    let task = part.parse().ok().and_then(|id| graph.lookup_task(&id)).is_some();
    Ok(task || part.parse().ok().and_then(|id| graph.lookup_lane(&id)).is_some())
}

/// The run that `text` names among `runs`, oldest first; the latest without a name.
pub fn find_run(runs: Vec<RunRecord>, text: Option<&str>) -> Result<RunRecord, Failure> {
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
            .hint(format!("write one of {}", names.join(", "))));
    }
    fitting.into_iter().next_back().ok_or_else(|| {
        let missing = Failure::user(format!("there is no run `{text}`"));
        let missing = match known {
            Some(known) => missing.hint(format!("did you mean `{known}`?")),
            None => missing,
        };
        missing.hint("`taskloom list` lists the runs")
    })
}

/// The name that was probably meant.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let near = |known: &&str| strsim::damerau_levenshtein(name, known) <= 1 + name.len() / 5;
    known.filter(|known| *known != name).find(near).map(str::to_owned)
}

/// A task of a run, by its name.
pub fn find_task(view: &RunView, part: &str) -> Result<TaskIx, Failure> {
    let id = task_id(part)?;
    let graph = &view.info.graph;
    graph.lookup_task(&id).ok_or_else(|| {
        let missing = Failure::user(format!("run `{}` has no task `{id}`", view.info.name));
        let near = nearest(part, graph.tasks().iter().map(|task| task.id.as_str()));
        match near {
            Some(near) => missing.hint(format!("did you mean `{near}`?")),
            None => missing,
        }
    })
}

/// A lane of a run, by its name.
pub fn find_lane(view: &RunView, part: &str) -> Result<LaneIx, Failure> {
    let graph = &view.info.graph;
    let lane = part.parse().ok().and_then(|id| graph.lookup_lane(&id));
    lane.ok_or_else(|| {
        let missing = Failure::user(format!("run `{}` has no lane `{part}`", view.info.name));
        let near = nearest(part, graph.lanes().iter().map(|lane| lane.id.as_str()));
        near.into_iter().fold(missing, |m, near| m.hint(format!("did you mean `{near}`?")))
    })
}

/// A run as it must be written: with its project where there are others.
pub fn spoken(info: &RunInfo, several: bool) -> String {
    if several { format!("{}:{}", info.project.id, info.name) } else { info.name.to_string() }
}

fn no_run(message: &str) -> Failure {
    Failure::user(message).hint("`taskloom list` lists the runs")
}

/// A name that must be a task's.
pub fn task_id(part: &str) -> Result<TaskId, Failure> {
    part.parse().map_err(|why| Failure::user(format!("`{part}` is no task: {why}")))
}
