//! The bot, beside whoever else is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use crate::discord::board::{Board, Doors};
use crate::discord::outbox::{API, Outbox, Sender};
use crate::discord::{self};
use crate::failure::Failure;
use crate::ids::ProjectId;
use crate::notify::{Delivery, Error, Notice, Notifier};
use crate::store::SqliteStore;
use crate::time::SystemClock;

/// The bot before it is connected.
pub(crate) struct Front {
    pub(crate) board: Arc<Board>,
    pub(crate) token: String,
}

impl Front {
    pub(crate) fn new(
        options: &discord::Options,
        store: &Arc<SqliteStore>,
    ) -> Result<Self, Failure> {
        let token = discord::token(&options.token)?;
        let api = options.api.as_deref().unwrap_or(API);
        let sender = Sender::new(api, &token).map_err(|error| {
            Failure::outside(format!("the HTTP client cannot be set up: {error}"))
        })?;
        let clock = Arc::new(SystemClock);
        let outbox = Outbox::start(sender, clock.clone());
        let (ledger, recall) = (store.clone(), store.clone());
        let doors = Doors { store: store.clone(), ledger, recall, clock };
        Ok(Self { board: Board::new(options.clone(), doors, outbox), token })
    }
}

/// Tells two: the first at once and once, the second until it has taken it.
pub(crate) struct Both {
    pub(crate) first: Arc<dyn Notifier>,
    pub(crate) second: Arc<dyn Notifier>,
    /// The last notice that the first was told.
    pub(crate) told: AtomicU64,
}

#[async_trait]
impl Notifier for Both {
    async fn notify(&self, notice: &Notice, project: &ProjectId) -> Result<Delivery, Error> {
        if self.told.swap(notice.seq, Ordering::Relaxed) != notice.seq
            && let Err(error) = self.first.notify(notice, project).await
        {
            tracing::warn!(%error, "a notice was not shown on the console");
        }
        self.second.notify(notice, project).await
    }
}
