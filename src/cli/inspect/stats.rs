//! `taskloom stats`: how attempts went.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use crate::cli::Outcome;
use crate::cli::args::{By, Common, StatsArgs};
use crate::cli::refs::{Reading, print};
use crate::graph::{self, Graph, TaskIx};
use crate::orchestrator::{Stats, Tried, stats as of};
use crate::render::table::{Align, Table};
use crate::render::words;
use crate::state::{AttemptRecord, RunRecord};
use crate::store::{Store as _, Which};
use crate::time::{Clock as _, SystemClock, Timestamp};

/// Runs that are looked into at most; the latest are taken.
const RUNS_MAX: usize = 10_000;

pub(crate) async fn stats(common: &Common, args: &StatsArgs) -> Outcome {
    let reading = Reading::open(common).await?;
    let after = SystemClock.now() - args.since;
    let mut runs = reading.store.select(&Which::Lately { after }, u32::MAX).await?;
    runs.retain(|run| args.project.as_ref().is_none_or(|project| run.project == *project));
    let from = runs.len().saturating_sub(RUNS_MAX);
    let mut tried = Vec::new();
    // Runs of one graph have it in common.
    let mut graphs: BTreeMap<String, Option<Graph>> = BTreeMap::new();
    for run in &runs[from..] {
        tried.extend(of_run(&reading, run, after, args.by, &mut graphs).await?);
    }
    let lines = of(&tried);
    print(common, &json!(lines), || in_words(&lines, args.by))
}

async fn of_run(
    reading: &Reading,
    run: &RunRecord,
    after: Timestamp,
    by: By,
    graphs: &mut BTreeMap<String, Option<Graph>>,
) -> anyhow::Result<Vec<Tried>> {
    let mut attempts = reading.store.attempts(run.id).await?;
    attempts.retain(|attempt| attempt.started_at >= after);
    if attempts.is_empty() {
        return Ok(Vec::new());
    }
    if by != By::Project && !graphs.contains_key(&run.graph_digest) {
        let stored = reading.store.load(run.id).await?;
        let graph = stored.and_then(|stored| graph::load(stored.source.as_bytes()).ok());
        graphs.insert(run.graph_digest.clone(), graph);
    }
    let graph = graphs.get(&run.graph_digest).and_then(Option::as_ref);
    let rounds = reading.store.gate_rounds(run.id).await?;
    let rounds: BTreeMap<(TaskIx, u32), u32> =
        rounds.into_iter().map(|(task, attempt, times)| ((task, attempt), times)).collect();
    let one = |attempt: AttemptRecord| Tried {
        by: name(by, run, graph, attempt.task),
        attempt: attempt.attempt,
        took: attempt.ended_at.map(|end| end.since(attempt.started_at)),
        outcome: attempt.outcome,
        gate_rounds: rounds.get(&(attempt.task, attempt.attempt)).copied().unwrap_or_default(),
    };
    Ok(attempts.into_iter().map(one).collect())
}

/// What an attempt is put together with others by: what its graph asks for.
fn name(by: By, run: &RunRecord, graph: Option<&Graph>, task: TaskIx) -> String {
    if by == By::Project {
        return run.project.to_string();
    }
    let Some(spec) = graph.and_then(|graph| graph.tasks().get(task.at())) else {
        return "unknown".to_owned();
    };
    let agent = &spec.agent;
    match by {
        By::Role => spec.role.word().to_owned(),
        By::Model => agent.model.clone().unwrap_or_else(|| "its own default".to_owned()),
        By::Profile | By::Project => match (&agent.profile, agent.framework) {
            (Some(profile), _) => profile.to_string(),
            (None, Some(framework)) => format!("({})", framework.word()),
            (None, None) => "(default)".to_owned(),
        },
    }
}

fn in_words(lines: &[Stats], by: By) -> String {
    if lines.is_empty() {
        return "no attempts in that time\n".to_owned();
    }
    let head = match by {
        By::Project => "PROJECT",
        By::Profile => "PROFILE",
        By::Model => "MODEL",
        By::Role => "ROLE",
    };
    let mut table = Table::new([
        (head, Align::Left),
        ("ATTEMPTS", Align::Right),
        ("SUCCEEDED", Align::Right),
        ("FAILED", Align::Right),
        ("RETRIES", Align::Right),
        ("MEDIAN", Align::Right),
        ("P90", Align::Right),
        ("GATE ROUNDS", Align::Right),
    ]);
    let span = |ms: Option<u64>| {
        ms.map_or_else(|| "-".to_owned(), |ms| words::duration(Duration::from_millis(ms)))
    };
    for line in lines {
        let share = line.success_percent.map(|share| format!(" ({share} %)")).unwrap_or_default();
        table.row([
            words::one_line(&line.by),
            line.attempts.to_string(),
            format!("{}{share}", line.succeeded),
            line.failed.to_string(),
            line.retries.to_string(),
            span(line.median_ms),
            span(line.p90_ms),
            line.gate_rounds.to_string(),
        ]);
    }
    table.render(None)
}
