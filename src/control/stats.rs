//! How attempts went and what they used, put together by what did them, for every surface.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::graph::{self, Graph, TaskIx};
use crate::ids::ProjectId;
use crate::render::table::{Align, Table};
use crate::render::words;
use crate::state::{AttemptRecord, RunRecord, Usage};
use crate::store::{Error, Store, Which};
use crate::time::Timestamp;

/// Runs that are looked into at most; the latest are taken.
const RUNS_MAX: usize = 10_000;

/// What attempts are put together by: what their graphs ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum By {
    /// The project.
    Project,
    /// The agent profile.
    #[default]
    Profile,
    /// The model.
    Model,
    /// What kind of task it is.
    Role,
}

impl By {
    /// What stands above the names.
    pub fn word(self) -> &'static str {
        match self {
            Self::Project => "PROJECT",
            Self::Profile => "PROFILE",
            Self::Model => "MODEL",
            Self::Role => "ROLE",
        }
    }

    fn name(self, run: &RunRecord, graph: Option<&Graph>, task: TaskIx) -> String {
        if self == Self::Project {
            return run.project.to_string();
        }
        let Some(spec) = graph.and_then(|graph| graph.tasks().get(task.at())) else {
            return "unknown".to_owned();
        };
        let agent = &spec.agent;
        match self {
            Self::Role => spec.role.word().to_owned(),
            Self::Model => agent.model.clone().unwrap_or_else(|| "its own default".to_owned()),
            Self::Profile | Self::Project => match (&agent.profile, agent.framework) {
                (Some(profile), _) => profile.to_string(),
                (None, Some(framework)) => format!("({})", framework.word()),
                (None, None) => "(default)".to_owned(),
            },
        }
    }
}

/// One attempt, as far as it matters here.
#[derive(Debug, Clone, PartialEq)]
struct Tried {
    by: String,
    /// Its number among those of its task, from 0.
    attempt: u32,
    /// How it ended, in the word of the store; `None`: it is under way.
    outcome: Option<String>,
    /// How long it took, once it has ended.
    took: Option<Duration>,
    /// How often its gate was run.
    gate_rounds: u32,
    used: Usage,
}

/// How the attempts of one kind went.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Stats {
    /// What did them.
    pub by: String,
    /// How many there were.
    pub attempts: u32,
    /// How many came to a result.
    pub succeeded: u32,
    /// How many failed.
    pub failed: u32,
    /// How many were stopped, parked or are under way: neither.
    pub other: u32,
    /// The share of results among those that came to a result or failed, in percent.
    pub success_percent: Option<u32>,
    /// How many were not the first of their task.
    pub retries: u32,
    /// Half of those that ended took no longer than this, in milliseconds.
    pub median_ms: Option<u64>,
    /// Nine of ten of them took no longer than this.
    pub p90_ms: Option<u64>,
    /// How often a gate was run, in all.
    pub gate_rounds: u32,
    /// What they used.
    pub usage: Usage,
}

/// How the attempts went that began after a time, in the projects that are wanted.
pub async fn stats(
    store: &dyn Store,
    after: Timestamp,
    by: By,
    wanted: impl Fn(&ProjectId) -> bool,
) -> Result<Vec<Stats>, Error> {
    let mut runs = store.select(&Which::Lately { after }, u32::MAX).await?;
    runs.retain(|run| wanted(&run.project));
    let from = runs.len().saturating_sub(RUNS_MAX);
    let mut tried = Vec::new();
    // Runs of one graph have it in common.
    let mut graphs: BTreeMap<String, Option<Graph>> = BTreeMap::new();
    for run in &runs[from..] {
        tried.extend(of_run(store, run, after, by, &mut graphs).await?);
    }
    Ok(lines(&tried))
}

async fn of_run(
    store: &dyn Store,
    run: &RunRecord,
    after: Timestamp,
    by: By,
    graphs: &mut BTreeMap<String, Option<Graph>>,
) -> Result<Vec<Tried>, Error> {
    let mut attempts = store.attempts(run.id).await?;
    attempts.retain(|attempt| attempt.started_at >= after);
    if attempts.is_empty() {
        return Ok(Vec::new());
    }
    if by != By::Project && !graphs.contains_key(&run.graph_digest) {
        let stored = store.load(run.id).await?;
        let graph = stored.and_then(|stored| graph::load(stored.source.as_bytes()).ok());
        graphs.insert(run.graph_digest.clone(), graph);
    }
    let graph = graphs.get(&run.graph_digest).and_then(Option::as_ref);
    let rounds = store.gate_rounds(run.id).await?;
    let rounds: BTreeMap<(TaskIx, u32), u32> =
        rounds.into_iter().map(|(task, attempt, times)| ((task, attempt), times)).collect();
    let used = store.used(run.id).await?;
    let used: BTreeMap<(TaskIx, u32), Usage> =
        used.into_iter().map(|(task, attempt, usage)| ((task, attempt), usage)).collect();
    let one = |attempt: AttemptRecord| {
        let which = (attempt.task, attempt.attempt);
        Tried {
            by: by.name(run, graph, attempt.task),
            attempt: attempt.attempt,
            took: attempt.ended_at.map(|end| end.since(attempt.started_at)),
            outcome: attempt.outcome,
            gate_rounds: rounds.get(&which).copied().unwrap_or_default(),
            used: used.get(&which).copied().unwrap_or_default(),
        }
    };
    Ok(attempts.into_iter().map(one).collect())
}

/// As a table.
pub fn table(lines: &[Stats], by: By) -> String {
    let mut table = Table::new([
        (by.word(), Align::Left),
        ("ATTEMPTS", Align::Right),
        ("SUCCEEDED", Align::Right),
        ("FAILED", Align::Right),
        ("RETRIES", Align::Right),
        ("MEDIAN", Align::Right),
        ("P90", Align::Right),
        ("GATE ROUNDS", Align::Right),
        ("TOKENS", Align::Right),
        ("COST", Align::Right),
    ]);
    let span = |ms: Option<u64>| {
        ms.map_or_else(|| "-".to_owned(), |ms| words::duration(Duration::from_millis(ms)))
    };
    for line in lines {
        table.row([
            words::one_line(&line.by),
            line.attempts.to_string(),
            line.succeeded_in_words(),
            line.failed.to_string(),
            line.retries.to_string(),
            span(line.median_ms),
            span(line.p90_ms),
            line.gate_rounds.to_string(),
            words::number(line.usage.tokens.all()),
            format!("${:.2}", line.usage.usd),
        ]);
    }
    table.render(None)
}

impl Stats {
    /// `3 (75 %)`.
    pub fn succeeded_in_words(&self) -> String {
        let share = self.success_percent.map(|share| format!(" ({share} %)")).unwrap_or_default();
        format!("{}{share}", self.succeeded)
    }
}

/// One line for each kind, and one for all of them at the end if there are several.
fn lines(tried: &[Tried]) -> Vec<Stats> {
    let mut kinds: BTreeMap<&str, Vec<&Tried>> = BTreeMap::new();
    for one in tried {
        kinds.entry(&one.by).or_default().push(one);
    }
    let mut lines: Vec<Stats> = kinds.iter().map(|(by, tried)| line(by, tried)).collect();
    if lines.len() > 1 {
        let all: Vec<&Tried> = tried.iter().collect();
        lines.push(line("all", &all));
    }
    lines
}

fn line(by: &str, tried: &[&Tried]) -> Stats {
    let count = |wanted: &dyn Fn(&Tried) -> bool| {
        u32::try_from(tried.iter().filter(|one| wanted(one)).count()).unwrap_or(u32::MAX)
    };
    let attempts = count(&|_| true);
    let succeeded = count(&|one| matches!(one.outcome.as_deref(), Some("proposed" | "no changes")));
    let neither = |one: &Tried| {
        matches!(one.outcome.as_deref(), None | Some("stopped" | "parked" | "suspended"))
    };
    let other = count(&neither);
    let failed = attempts - succeeded - other;
    let decided = succeeded + failed;
    let mut took: Vec<u64> = tried
        .iter()
        .filter_map(|one| one.took)
        .map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX))
        .collect();
    took.sort_unstable();
    Stats {
        by: by.to_owned(),
        attempts,
        succeeded,
        failed,
        other,
        success_percent: (decided > 0).then(|| (100 * succeeded + decided / 2) / decided),
        retries: count(&|one| one.attempt > 0),
        median_ms: rank(&took, 50),
        p90_ms: rank(&took, 90),
        gate_rounds: tried.iter().map(|one| one.gate_rounds).sum(),
        usage: tried.iter().map(|one| one.used).sum(),
    }
}

/// The nearest rank: the smallest value that so many percent do not exceed.
fn rank(sorted: &[u64], percent: usize) -> Option<u64> {
    let at = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    sorted.get(at).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::Tokens;

    fn tried(by: &str, attempt: u32, outcome: Option<&str>, ms: u64) -> Tried {
        Tried {
            by: by.to_owned(),
            attempt,
            outcome: outcome.map(str::to_owned),
            took: outcome.map(|_| Duration::from_millis(ms)),
            gate_rounds: 1,
            used: Usage { tokens: Tokens { output: 10, ..Tokens::default() }, usd: 0.5 },
        }
    }

    #[test]
    fn what_was_stopped_or_is_under_way_is_neither_a_result_nor_a_failure() {
        let all = [
            tried("opus", 0, Some("proposed"), 10),
            tried("opus", 0, Some("timed out"), 30),
            tried("opus", 1, Some("no changes"), 20),
            tried("opus", 0, Some("stopped"), 5),
            tried("opus", 0, None, 0),
        ];
        let [line] = &lines(&all)[..] else { panic!("one kind") };
        assert_eq!((line.attempts, line.succeeded, line.failed, line.other), (5, 2, 1, 2));
        assert_eq!((line.success_percent, line.retries, line.gate_rounds), (Some(67), 1, 5));
        assert_eq!((line.median_ms, line.p90_ms), (Some(10), Some(30)));
        assert_eq!((line.usage.tokens.all(), line.usage.usd), (50, 2.5));
    }

    #[test]
    fn several_kinds_have_a_line_for_all_and_nothing_has_none() {
        assert!(lines(&[]).is_empty());
        let all = [tried("a", 0, Some("proposed"), 1), tried("b", 0, None, 0)];
        let lines = lines(&all);
        assert_eq!(lines.iter().map(|l| l.by.as_str()).collect::<Vec<_>>(), ["a", "b", "all"]);
        assert_eq!((lines[1].success_percent, lines[1].median_ms), (None, None));
        assert_eq!(lines[2].attempts, 2);
    }
}
