//! How attempts went, put together by what did them. Pure: attempts come in, lines go out.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// One attempt, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// What attempts are put together by: a project, a profile, a model, a role.
    pub by: String,
    /// Its number among those of its task, from 0.
    pub attempt: u32,
    /// How it ended, in the word of the store; `None`: it is under way.
    pub outcome: Option<String>,
    /// How long it took, once it has ended.
    pub took: Option<Duration>,
    /// How often its gate was run.
    pub gate_rounds: u32,
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
}

/// One line for each kind, and one for all of them at the end if there are several.
pub fn stats(tried: &[Tried]) -> Vec<Stats> {
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

    fn tried(by: &str, attempt: u32, outcome: Option<&str>, ms: u64) -> Tried {
        Tried {
            by: by.to_owned(),
            attempt,
            outcome: outcome.map(str::to_owned),
            took: outcome.map(|_| Duration::from_millis(ms)),
            gate_rounds: 1,
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
        let [line] = &stats(&all)[..] else { panic!("one kind") };
        assert_eq!((line.attempts, line.succeeded, line.failed, line.other), (5, 2, 1, 2));
        assert_eq!((line.success_percent, line.retries, line.gate_rounds), (Some(67), 1, 5));
        assert_eq!((line.median_ms, line.p90_ms), (Some(10), Some(30)));
    }

    #[test]
    fn several_kinds_have_a_line_for_all_and_nothing_has_none() {
        assert!(stats(&[]).is_empty());
        let all = [tried("a", 0, Some("proposed"), 1), tried("b", 0, None, 0)];
        let lines = stats(&all);
        assert_eq!(lines.iter().map(|l| l.by.as_str()).collect::<Vec<_>>(), ["a", "b", "all"]);
        assert_eq!((lines[1].success_percent, lines[1].median_ms), (None, None));
        assert_eq!(lines[2].attempts, 2);
    }
}
