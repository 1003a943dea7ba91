//! The door to what earlier tasks left behind. Whoever builds the shop decides what is behind it.

use async_trait::async_trait;

use crate::graph::TaskIx;
use crate::ids::{ProjectId, RunId};
use crate::state::Memory;

/// Knows what earlier tasks left behind.
#[async_trait]
pub trait Lore: Send + Sync {
    /// What of a project fits a text, the best first, at most so much, and nothing of the task that
    /// asks. `Err` says why it cannot be told.
    async fn recall(
        &self,
        project: &ProjectId,
        text: &str,
        own: (RunId, TaskIx),
        limit: u32,
    ) -> Result<Vec<Memory>, String>;
}
