//! What is remembered, for those who make prompts.

use std::sync::Arc;

use async_trait::async_trait;

use crate::graph::TaskIx;
use crate::ids::{ProjectId, RunId};
use crate::runner::Lore;
use crate::state::Memory;
use crate::store::{Recall, Search};

/// What the store remembers.
pub(crate) struct Shelf(pub(crate) Arc<dyn Recall>);

#[async_trait]
impl Lore for Shelf {
    async fn recall(
        &self,
        project: &ProjectId,
        text: &str,
        own: (RunId, TaskIx),
        limit: u32,
    ) -> Result<Vec<Memory>, String> {
        let (text, project) = (text.to_owned(), Some(project.clone()));
        let search = Search { text, project, without: Some(own), limit };
        let found = self.0.search(&search).await.map_err(|error| error.to_string())?;
        Ok(found.into_iter().map(|found| found.memory).collect())
    }
}
