//! How the engine stands, in numbers: for probes and monitoring, never for decisions.
//!
//! What is now is counted in the world when somebody asks; what was is counted as the turns go by
//! ([`Tally`]). Nothing here reads the store.

mod tally;

use std::collections::BTreeMap;

use crate::ids::ProjectId;
use crate::orchestrator::world::{Run, World};

pub use tally::{Histogram, Tally};

/// How the engine stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Census {
    /// Runs that are worked on, by `open` and `paused`.
    pub runs: BTreeMap<&'static str, u64>,
    /// Their tasks by project and state.
    pub tasks: BTreeMap<(ProjectId, &'static str), u64>,
    /// What is owed to the outside, by its verb.
    pub owed: BTreeMap<&'static str, u64>,
    /// Attempts that run.
    pub slots_used: u32,
    /// Attempts that may run.
    pub slots: u32,
    /// Notices that are still to be delivered.
    pub notices_pending: u64,
    /// Whether nothing new is started because the process drains or ends.
    pub draining: bool,
    /// Why nothing is started until a person says so, if that is so.
    pub safe_mode: Option<String>,
    /// Whether the store takes changes.
    pub store_takes_changes: bool,
    /// What happened since the process began.
    pub tally: Tally,
}

impl World {
    /// How things stand. Runs that came to rest are counted only where they ended.
    pub(crate) fn census(&self, tally: &Tally) -> Census {
        let mut census = Census {
            slots_used: self.desk.queue.running(),
            slots: self.desk.policy.slots,
            notices_pending: tally.notices_pending,
            draining: self.desk.draining,
            safe_mode: self.desk.safe_mode.clone(),
            store_takes_changes: true,
            tally: tally.clone(),
            ..Census::default()
        };
        for run in self.runs.values() {
            for key in run.effects.keys() {
                *census.owed.entry(key.verb.word()).or_default() += 1;
            }
            if run.is_open() {
                census.count(run);
            }
        }
        census
    }
}

impl Census {
    fn count(&mut self, run: &Run) {
        let state = if run.record.paused { "paused" } else { "open" };
        *self.runs.entry(state).or_default() += 1;
        let mut states: BTreeMap<&'static str, u64> = BTreeMap::new();
        for task in &run.tasks {
            *states.entry(task.state.word()).or_default() += 1;
        }
        for (state, count) in states {
            *self.tasks.entry((run.record.project.clone(), state)).or_default() += count;
        }
    }
}
