//! What the engine is measured with: a store that keeps nothing, and a place for one that does.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use taskloom::graph::TaskIx;
use taskloom::ids::{CommitId, ProjectId, RunId};
use taskloom::notify::Silent;
use taskloom::orchestrator::{Doors, Handle, Options, Role, Scope, Submission, Watching};
use taskloom::plan::Rules;
use taskloom::runner::Executor;
use taskloom::scheduler::Policy;
use taskloom::state::{AttemptRecord, Entry, LedgerSum, ProjectRecord, RunRecord, Usage};
use taskloom::store::{Batch, Counters, Error, Store, StoredRun};
use taskloom::time::{SystemClock, Timestamp};

/// A commit, for those who need none.
pub(crate) fn nowhere() -> CommitId {
    "0".repeat(40).parse().expect("BUG: this is an id")
}

/// Keeps nothing.
pub(crate) struct Nowhere;

#[async_trait]
impl Store for Nowhere {
    async fn commit(&self, _: &Batch) -> Result<(), Error> {
        Ok(())
    }
    async fn counters(&self) -> Result<Counters, Error> {
        Ok(Counters { run: 1, seq: 1 })
    }
    async fn projects(&self) -> Result<Vec<ProjectRecord>, Error> {
        Ok(Vec::new())
    }
    async fn runs(&self, _: Option<&ProjectId>) -> Result<Vec<RunRecord>, Error> {
        Ok(Vec::new())
    }
    async fn load(&self, _: RunId) -> Result<Option<StoredRun>, Error> {
        Ok(None)
    }
    async fn owing(&self) -> Result<Vec<RunId>, Error> {
        Ok(Vec::new())
    }
    async fn journal(&self, _: RunId, _: u64, _: u32) -> Result<Vec<Entry>, Error> {
        Ok(Vec::new())
    }
    async fn attempts(&self, _: RunId) -> Result<Vec<AttemptRecord>, Error> {
        Ok(Vec::new())
    }
    async fn spent(&self, _: Timestamp, _: i64) -> Result<Vec<LedgerSum>, Error> {
        Ok(Vec::new())
    }
    async fn used(&self, _: RunId) -> Result<Vec<(TaskIx, u32, Usage)>, Error> {
        Ok(Vec::new())
    }
    async fn notices(&self) -> Result<Vec<(u64, String)>, Error> {
        Ok(Vec::new())
    }
    async fn setting(&self, _: &'static str) -> Result<Option<String>, Error> {
        Ok(None)
    }
}

/// With so many slots and nothing else.
pub(crate) fn options(slots: u32) -> Options {
    let (scope, role, plans) = (Scope::New, Role::Attached, Rules::default());
    Options {
        policy: Policy::of_slots(slots),
        seed: 1,
        scope,
        role,
        plans,
        watching: Watching::default(),
        remembers: false,
    }
}

/// Nobody is told anything.
pub(crate) fn doors(store: Arc<dyn Store>, executor: Arc<dyn Executor>) -> Doors {
    Doors { store, executor, notifier: Arc::new(Silent), clock: Arc::new(SystemClock) }
}

/// One after the other.
pub(crate) async fn submit_all(handle: Handle, work: Vec<Submission>) {
    for submission in work {
        handle.submit(submission).await.unwrap();
    }
}

/// Not under /tmp, which is memory on some machines.
pub(crate) fn scratch() -> tempfile::TempDir {
    let dir = std::env::var("BENCH_DIR").unwrap_or(env!("CARGO_TARGET_TMPDIR").into());
    tempfile::tempdir_in(Path::new(&dir)).unwrap()
}

/// The one in the middle.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
