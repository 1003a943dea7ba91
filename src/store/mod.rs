//! Where everything is kept: state, journal and intents change together in one transaction or not
//! at all.
//!
//! The engine's owner gathers what all events of one turn of its loop changed into a [`Batch`] and
//! commits it once: the commit in flight is the window in which the next batch grows. A store must
//! not interpret what it keeps.

mod hooks;
mod lock;
mod memory;
mod recall;
mod rows;
mod shelves;
mod sql;
mod sqlite;

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use hooks::{HookBatch, HookRow, HookStore};
pub use lock::{Holder, OwnerLock};
pub use memory::MemoryStore;
pub use recall::{Recall, Search};
pub use shelves::Which;
pub use sqlite::{Access, SqliteStore};

use crate::graph::{LaneIx, TaskIx};
use crate::ids::{CommitId, GraphName, ProjectId, RunId};
use crate::state::{
    AttemptRecord, Effect, EffectKey, Entry, LaneRecord, LedgerLine, LedgerSum, Memory,
    ProjectRecord, RunRecord, Subject, TaskRecord, Usage, What,
};
use crate::time::Timestamp;

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process owns the store.
    #[error("the data directory is in use by {0}")]
    Owned(Holder),
    /// The store was written by a newer Taskloom.
    #[error("the store at {path} was written by a newer version of Taskloom")]
    Newer {
        /// Where it is.
        path: String,
    },
    /// There is no store yet.
    #[error("there is no store at {path} yet")]
    Missing {
        /// Where it would be.
        path: String,
    },
    /// The SQLite library is too old to be trusted with a write-ahead log.
    #[error("SQLite {found} is older than {needed}, whose fix the write-ahead log needs")]
    Library {
        /// The version linked.
        found: String,
        /// The oldest version accepted.
        needed: &'static str,
    },
    /// A row that cannot be what was written.
    #[error("row {row} of table `{table}` is damaged in `{column}`: {why}")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The row's key.
        row: String,
        /// What does not fit.
        why: String,
    },
    /// A file could not be opened, locked or made.
    #[error("cannot use {path}")]
    File {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The database failed.
    #[error("the database failed")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What one turn of the engine's loop changed.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Projects, new or changed.
    pub projects: Vec<ProjectRecord>,
    /// Sources of graphs by digest.
    pub graphs: Vec<(String, String)>,
    /// Runs, new or changed.
    pub runs: Vec<RunRecord>,
    /// Lanes that changed.
    pub lanes: Vec<(RunId, LaneIx, LaneRecord)>,
    /// Tasks that changed.
    pub tasks: Vec<(RunId, TaskIx, TaskRecord)>,
    /// Attempts, begun or ended.
    pub attempts: Vec<AttemptRecord>,
    /// New lines of the ledger.
    pub ledger: Vec<LedgerLine>,
    /// What is remembered of tasks from now on; `None`: nothing.
    pub memories: BTreeMap<(RunId, TaskIx), Option<Memory>>,
    /// Memories that a person has forgotten, by number.
    pub forgotten: Vec<i64>,
    /// New lines of the journal.
    pub journal: Vec<Entry>,
    /// Things to be done.
    pub effects: Vec<Effect>,
    /// Things that are done.
    pub effects_done: Vec<EffectKey>,
    /// Notices to be delivered: the journal's line that each is about, and its content.
    pub notices: Vec<(u64, String)>,
    /// Notices that were delivered.
    pub notices_done: Vec<u64>,
    /// Settings that changed, by name.
    pub settings: Vec<(&'static str, String)>,
}

impl Batch {
    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.projects.is_empty()
            && self.graphs.is_empty()
            && self.runs.is_empty()
            && self.lanes.is_empty()
            && self.tasks.is_empty()
            && self.attempts.is_empty()
            && self.ledger.is_empty()
            && self.memories.is_empty()
            && self.forgotten.is_empty()
            && self.journal.is_empty()
            && self.effects.is_empty()
            && self.effects_done.is_empty()
            && self.notices.is_empty()
            && self.notices_done.is_empty()
            && self.settings.is_empty()
    }
}

/// One run with everything that changed in it.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRun {
    /// The run.
    pub run: RunRecord,
    /// The source of its graph.
    pub source: String,
    /// The sources of what plans added to it, in order.
    pub plans: Vec<String>,
    /// Lanes that something happened to.
    pub lanes: Vec<(LaneIx, LaneRecord)>,
    /// Tasks that something happened to.
    pub tasks: Vec<(TaskIx, TaskRecord)>,
    /// What is to be done for it.
    pub effects: Vec<Effect>,
}

/// The numbers that are given out next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// The next run.
    pub run: i64,
    /// The next line of the journal.
    pub seq: u64,
}

/// Where everything is kept.
#[async_trait]
pub trait Store: Send + Sync {
    /// Keeps the batch, all of it or nothing. When it returns `Ok`, a power cut does not lose it.
    /// The same batch again changes nothing: whoever is in doubt whether it was kept repeats it.
    async fn commit(&self, batch: &Batch) -> Result<(), Error>;

    /// The numbers that are given out next.
    async fn counters(&self) -> Result<Counters, Error>;

    /// All projects, by name.
    async fn projects(&self) -> Result<Vec<ProjectRecord>, Error>;

    /// All runs of a project, or of all, oldest first.
    async fn runs(&self, project: Option<&ProjectId>) -> Result<Vec<RunRecord>, Error>;

    /// Some runs, oldest first, at most `limit`; those that rest are in the order in which they
    /// came to rest.
    async fn select(&self, which: &Which, limit: u32) -> Result<Vec<RunRecord>, Error> {
        let mut runs = self.runs(None).await?;
        runs.retain(|run| which.fits(run));
        if matches!(which, Which::Resting { .. }) {
            runs.sort_by_key(RunRecord::rests_since);
        }
        runs.truncate(limit as usize);
        Ok(runs)
    }

    /// The last number that was given to each graph of each project, put away or not: no number is
    /// given twice.
    async fn numbers(&self) -> Result<BTreeMap<(ProjectId, GraphName), u32>, Error> {
        let mut numbers = BTreeMap::new();
        for run in self.runs(None).await? {
            let last = numbers.entry((run.project, run.name.graph)).or_default();
            *last = run.name.number.max(*last);
        }
        Ok(numbers)
    }

    /// One run with everything that changed in it.
    async fn load(&self, run: RunId) -> Result<Option<StoredRun>, Error>;

    /// The runs for which something is to be done, the oldest first.
    async fn owing(&self) -> Result<Vec<RunId>, Error>;

    /// The journal of a run after line `after`, oldest first, at most `limit` lines.
    async fn journal(&self, run: RunId, after: u64, limit: u32) -> Result<Vec<Entry>, Error>;

    /// The attempts of a run, by task and number.
    async fn attempts(&self, run: RunId) -> Result<Vec<AttemptRecord>, Error>;

    /// The ledger since a time, added up in buckets of so many milliseconds, the oldest first.
    async fn spent(&self, since: Timestamp, bucket_ms: i64) -> Result<Vec<LedgerSum>, Error>;

    /// How often the gate of each attempt of a run was run: task, attempt, times.
    async fn gate_rounds(&self, run: RunId) -> Result<Vec<(TaskIx, u32, u32)>, Error> {
        let mut rounds: BTreeMap<(TaskIx, u32), u32> = BTreeMap::new();
        for entry in self.journal(run, 0, u32::MAX).await? {
            let gate = matches!(entry.what, What::GatePassed | What::GateFailed);
            if let (true, Subject::Task(task), Some(attempt)) = (gate, entry.subject, entry.attempt)
            {
                *rounds.entry((task, attempt)).or_default() += 1;
            }
        }
        Ok(rounds.into_iter().map(|((task, attempt), times)| (task, attempt, times)).collect())
    }

    /// What each attempt of a run used, by the ledger: task, attempt, usage.
    async fn used(&self, run: RunId) -> Result<Vec<(TaskIx, u32, Usage)>, Error>;

    /// Notices that are still to be delivered, oldest first.
    async fn notices(&self) -> Result<Vec<(u64, String)>, Error>;

    /// A setting, if it was ever set.
    async fn setting(&self, name: &'static str) -> Result<Option<String>, Error>;
}

/// Who asked for what through a surface, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// When.
    pub at: Timestamp,
    /// Who, by the surface's own unforgeable name.
    pub who: String,
    /// Asked for what.
    pub asked: String,
    /// On which commit, if on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<CommitId>,
    /// Whether they might.
    pub allowed: bool,
    /// What came of it, a sentence.
    pub outcome: String,
}

/// What surfaces keep for themselves, beside the engine's state.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Keeps where a surface has put something, or forgets it. Durable when it returns.
    async fn bind(&self, name: &str, value: Option<&str>) -> Result<(), Error>;

    /// One binding.
    async fn binding(&self, name: &str) -> Result<Option<String>, Error>;

    /// All bindings whose names begin with `prefix`, by name.
    async fn bindings(&self, prefix: &str) -> Result<Vec<(String, String)>, Error>;

    /// Keeps a line about who asked for what.
    async fn audit(&self, audit: &Audit) -> Result<(), Error>;

    /// The latest lines about who asked for what, newest first.
    async fn audits(&self, limit: u32) -> Result<Vec<Audit>, Error>;
}
