//! Notices go out beside the loop, one after the other; each comes back as an event when it is
//! delivered.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::crash;
use crate::notify::{self, Delivery, Notice, Notifier};
use crate::orchestrator::engine::Engine;
use crate::orchestrator::handle::Event;
use crate::store::Batch;

/// How long a notice that could not be delivered waits before the next try.
const NOTICE_RETRY: Duration = Duration::from_secs(5);

/// How long the end of the engine waits for notices that are on their way.
const LAST_NOTICES: Duration = Duration::from_secs(2);

/// Delivers notices one after another, in order, each until it is delivered or of no use.
pub(super) async fn deliver(
    notifier: Arc<dyn Notifier>,
    mut inbox: mpsc::UnboundedReceiver<(u64, Notice)>,
    engine: mpsc::UnboundedSender<Event>,
) {
    while let Some((seq, notice)) = inbox.recv().await {
        loop {
            match notifier.notify(&notice, &notice.project).await {
                Ok(Delivery::Delivered | Delivery::Dropped) => break,
                Err(error @ notify::Error::Gone(_)) => {
                    tracing::warn!(%error, "a notice has nowhere to go");
                    break;
                }
                Err(error) => {
                    tracing::warn!(%error, "a notice could not be delivered; trying again");
                    tokio::time::sleep(NOTICE_RETRY).await;
                }
            }
        }
        crash::point("notice.delivered");
        if engine.send(Event::Told(seq)).is_err() {
            return;
        }
    }
}

impl Engine {
    /// Waits for notices that are on their way, and takes down which were delivered. What cannot be
    /// delivered now is in the store and is delivered by the next process.
    pub(super) async fn last_notices(self, delivery: tokio::task::JoinHandle<()>) {
        let Self { notices, mut events, doors, .. } = self;
        drop(notices);
        drop(tokio::time::timeout(LAST_NOTICES, delivery).await);
        let events = std::iter::from_fn(|| events.try_recv().ok());
        let told = |event| if let Event::Told(seq) = event { Some(seq) } else { None };
        let batch = Batch { notices_done: events.filter_map(told).collect(), ..Batch::default() };
        if !batch.is_empty()
            && let Err(error) = doors.store.commit(&batch).await
        {
            tracing::warn!(%error, "the last notices will be delivered once more");
        }
    }
}
