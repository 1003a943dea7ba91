//! The injected callbacks: how the engine speaks to people without knowing where they are.
//!
//! Two traits carry everything out: [`Notifier`] for what happened, [`ThreadFactory`] for the
//! place where one task's output is shown. Discord, the attached console, a recorder for tests and
//! nothing at all implement them; the engine behaves the same with each. Content is neutral here:
//! no markup, no limits of any surface.

mod notice;
mod streams;

use std::fmt;

use async_trait::async_trait;

pub use notice::{Ask, Notice, NoticeKind};
pub use streams::{Chunk, Output, Streams};

use crate::ids::{ProjectId, RunId, RunName, TaskId};

/// Why something could not be carried out to people. The engine goes on all the same.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The place is gone or closed to us; trying again is useless.
    #[error("the place to post to is not there: {0}")]
    Gone(String),
    /// The transport failed; it may work later.
    #[error("the transport failed: {0}")]
    Transport(String),
}

/// What became of a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It is where people see it.
    Delivered,
    /// It will never be; there is no use in trying again.
    Dropped,
}

/// Which task of which run.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TaskRef {
    /// The project.
    pub project: ProjectId,
    /// The run, for the store.
    pub run: RunId,
    /// The run, for people.
    pub name: RunName,
    /// The task.
    pub task: TaskId,
}

impl fmt::Display for TaskRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.task)
    }
}

/// Carries a notice out of the engine. Must not block; a slow transport queues.
#[async_trait]
pub trait Notifier: Send + Sync {
    /// Delivers one notice. An error is tried again later, in order.
    async fn notify(&self, notice: &Notice, project: &ProjectId) -> Result<Delivery, Error>;
}

/// Opens the place where one task's output is shown.
#[async_trait]
pub trait ThreadFactory: Send + Sync {
    /// Opens it, or finds it again: a retried task keeps its thread.
    async fn create_thread(
        &self,
        task: &TaskRef,
        title: &str,
    ) -> Result<Box<dyn TaskThread>, Error>;
}

/// The place where one task's output is shown.
#[async_trait]
pub trait TaskThread: Send + Sync {
    /// Shows more output, in order.
    async fn post(&self, chunk: &Chunk) -> Result<(), Error>;

    /// Says one line where the run as a whole is shown.
    async fn summary_to_parent(&self, line: &str) -> Result<(), Error>;
}

/// Where nobody listens.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

#[async_trait]
impl Notifier for Silent {
    async fn notify(&self, _: &Notice, _: &ProjectId) -> Result<Delivery, Error> {
        Ok(Delivery::Dropped)
    }
}
