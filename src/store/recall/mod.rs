//! What is remembered of tasks, looked through by words.
//!
//! What is remembered and forgotten is part of a [`Batch`](crate::store::Batch): it is kept in the
//! transaction in which a task becomes done, or stops being so. Nothing here writes by itself.

mod kept;
mod words;

use async_trait::async_trait;

use crate::graph::TaskIx;
use crate::ids::{ProjectId, RunId};
use crate::state::Remembered;
use crate::store::Error;

pub(super) use kept::{MemoryTable, trim};

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// Any text. It is no language: whatever stands in it is taken for words.
    pub text: String,
    /// In one project; `None`: in all.
    pub project: Option<ProjectId>,
    /// A task whose memory is not wanted.
    pub without: Option<(RunId, TaskIx)>,
    /// How many at most.
    pub limit: u32,
}

/// Finds what is remembered.
///
/// The stores do so by the words of a text. Whoever has vectors of texts can stand behind the same
/// trait, over one of the stores: [`list`](Self::list) gives the texts that it has no vector of yet
/// (numbers only grow, and the text of a number never changes), and [`search`](Self::search) may
/// put what is near beside what has the same words. It need not be told what is forgotten: what
/// [`memory`](Self::memory) does not find is gone.
#[async_trait]
pub trait Recall: Send + Sync {
    /// What fits a text, the best first; nothing, if it has no words.
    async fn search(&self, search: &Search) -> Result<Vec<Remembered>, Error>;

    /// What is remembered of a project, or of all, the latest first.
    async fn list(&self, project: Option<&ProjectId>, limit: u32)
    -> Result<Vec<Remembered>, Error>;

    /// The memory of a number.
    async fn memory(&self, id: i64) -> Result<Option<Remembered>, Error>;
}
