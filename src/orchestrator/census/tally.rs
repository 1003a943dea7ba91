//! What happened since the process began, counted turn by turn from what each turn kept.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use crate::graph::TaskIx;
use crate::ids::{ProjectId, RunId};
use crate::orchestrator::world::World;
use crate::state::{AttemptRecord, Entry, LedgerLine, RunEvent, Subject, TaskEvent, Usage, What};
use crate::store::Batch;
use crate::time::Timestamp;

/// Upper bounds of waits for a slot, in seconds: from at once to a day.
const WAIT_BOUNDS: &[f64] =
    &[1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0];

/// Upper bounds of transactions, in seconds: a fast disk takes less than a millisecond, a full one
/// for ever.
const COMMIT_BOUNDS: &[f64] = &[0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.1, 0.5, 2.0, 10.0];

/// Upper bounds of rows in one transaction.
const ROWS_BOUNDS: &[f64] = &[1.0, 5.0, 10.0, 25.0, 100.0, 500.0, 2_500.0, 10_000.0];

/// What agents say of their models is theirs to say: after so many it is `other`.
const USED_MAX: usize = 500;

/// How often something was how large.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    /// Upper bounds and how many were above the one before and not above this.
    pub buckets: Vec<(f64, u64)>,
    /// Those above all bounds.
    pub above: u64,
    /// Of all together.
    pub sum: f64,
}

impl Histogram {
    fn new(bounds: &[f64]) -> Self {
        Self { buckets: bounds.iter().map(|bound| (*bound, 0)).collect(), above: 0, sum: 0.0 }
    }

    fn observe(&mut self, value: f64) {
        self.sum += value;
        match self.buckets.iter_mut().find(|(bound, _)| value <= *bound) {
            Some((_, count)) => *count += 1,
            None => self.above += 1,
        }
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.above + self.buckets.iter().map(|(_, count)| count).sum::<u64>()
    }
}

/// What happened since the process began.
#[derive(Debug, Clone, PartialEq)]
pub struct Tally {
    /// Runs submitted, by project.
    pub submitted: BTreeMap<ProjectId, u64>,
    /// Runs that came to rest, by project and outcome.
    pub settled: BTreeMap<(ProjectId, String), u64>,
    /// Attempts that ended, by project, profile (empty: none is named) and outcome.
    pub attempts: BTreeMap<(ProjectId, String, String), u64>,
    /// What agents used, by project, profile (empty: none is named) and model (empty: it is not
    /// told).
    pub used: BTreeMap<(ProjectId, String, String), Usage>,
    /// Gates, by project and whether they passed.
    pub gates: BTreeMap<(ProjectId, bool), u64>,
    /// How long tasks waited from being ready to their attempt, back-off included, in seconds.
    pub waits: Histogram,
    /// How long transactions took, in seconds.
    pub commits: Histogram,
    /// How many rows they had.
    pub rows: Histogram,
    /// How often a transaction was refused by the store.
    pub refused_commits: u64,
    /// Notices that are still to be delivered.
    pub notices_pending: u64,
    /// Since when tasks of open runs are ready: as many as there are.
    ready_since: HashMap<(RunId, TaskIx), Timestamp>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            submitted: BTreeMap::new(),
            settled: BTreeMap::new(),
            attempts: BTreeMap::new(),
            used: BTreeMap::new(),
            gates: BTreeMap::new(),
            waits: Histogram::new(WAIT_BOUNDS),
            commits: Histogram::new(COMMIT_BOUNDS),
            rows: Histogram::new(ROWS_BOUNDS),
            refused_commits: 0,
            notices_pending: 0,
            ready_since: HashMap::new(),
        }
    }
}

impl Tally {
    /// Takes in what a turn kept, and how long that took.
    pub(crate) fn note(&mut self, world: &World, batch: &Batch, took: Duration) {
        self.commits.observe(took.as_secs_f64());
        self.rows.observe(rows(batch) as f64);
        self.notices_pending += batch.notices.len() as u64;
        let told = batch.notices_done.len() as u64;
        self.notices_pending = self.notices_pending.saturating_sub(told);
        for entry in &batch.journal {
            self.hear(world, entry);
        }
        for line in &batch.ledger {
            self.spend(line);
        }
        for attempt in batch.attempts.iter().filter(|attempt| attempt.ended_at.is_some()) {
            self.attempt_ended(world, attempt);
        }
    }

    fn hear(&mut self, world: &World, entry: &Entry) {
        let Some(run) = world.runs.get(&entry.run) else { return };
        let project = || run.record.project.clone();
        let task = match entry.subject {
            Subject::Task(task) => Some((entry.run, task)),
            Subject::Run | Subject::Lane(_) => None,
        };
        match (entry.what, task) {
            (What::Submitted, _) => *self.submitted.entry(project()).or_default() += 1,
            (What::Run(RunEvent::Settled { outcome }), _) => {
                self.ready_since.retain(|(of, _), _| *of != entry.run);
                *self.settled.entry((project(), label(outcome.word()))).or_default() += 1;
            }
            (What::GatePassed, _) => *self.gates.entry((project(), true)).or_default() += 1,
            (What::GateFailed, _) => *self.gates.entry((project(), false)).or_default() += 1,
            (What::Task(TaskEvent::Started { .. }), Some(task)) => {
                if let Some(since) = self.ready_since.remove(&task) {
                    self.waits.observe(entry.at.since(since).as_secs_f64());
                }
            }
            (
                What::Task(TaskEvent::Opened | TaskEvent::Retried | TaskEvent::Unparked)
                | What::RetryScheduled,
                Some(task),
            ) => drop(self.ready_since.insert(task, entry.at)),
            _ => {}
        }
    }

    fn spend(&mut self, line: &LedgerLine) {
        let profile = line.profile.as_ref().map(ToString::to_string).unwrap_or_default();
        let model = line.model.clone().unwrap_or_default();
        let mut key = (line.project.clone(), profile, model);
        if self.used.len() >= USED_MAX && !self.used.contains_key(&key) {
            key.2 = "other".to_owned();
        }
        *self.used.entry(key).or_default() += line.usage;
    }

    fn attempt_ended(&mut self, world: &World, attempt: &AttemptRecord) {
        let Some(run) = world.runs.get(&attempt.run) else { return };
        let more = run.tasks[attempt.task.at()].more.as_ref();
        let used = more.and_then(|more| more.session.as_ref()?.profile.clone());
        let named = &run.graph().task(attempt.task).agent.profile;
        let profile = used.or_else(|| named.as_ref().map(ToString::to_string));
        let outcome = label(attempt.outcome.as_deref().unwrap_or_default());
        let key = (run.record.project.clone(), profile.unwrap_or_default(), outcome);
        *self.attempts.entry(key).or_default() += 1;
    }
}

/// What people read, as one word.
fn label(words: &str) -> String {
    words.replace(' ', "_")
}

fn rows(batch: &Batch) -> usize {
    batch.projects.len()
        + batch.graphs.len()
        + batch.runs.len()
        + batch.lanes.len()
        + batch.tasks.len()
        + batch.attempts.len()
        + batch.journal.len()
        + batch.ledger.len()
        + batch.effects.len()
        + batch.effects_done.len()
        + batch.notices.len()
        + batch.notices_done.len()
        + batch.settings.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_a_bound_is_within_it() {
        let mut histogram = Histogram::new(&[1.0, 2.0]);
        for value in [0.5, 1.0, 1.5, 2.5] {
            histogram.observe(value);
        }
        assert_eq!(histogram.buckets, [(1.0, 2), (2.0, 1)]);
        assert_eq!((histogram.above, histogram.count(), histogram.sum), (1, 4, 5.5));
    }
}
