//! Everything that is posted goes through here, but answers to interactions: paced, in order, and
//! waited out when Discord has trouble.
//!
//! serenity's own limiter sends many requests into one bucket at once and does not heed the global
//! limit, so it is off.

mod plan;
mod send;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

pub use plan::Priority;
pub use send::{API, Call, Sender, client};

use crate::discord::outbox::plan::{GivenUp, Plan, Reply, Route};
use crate::time::Clock;

/// How long something that only shows how things are may wait for Discord.
const LIVE_PATIENCE: Duration = Duration::from_secs(60);

/// How long anything else may; whoever asked tries again.
const PATIENCE: Duration = Duration::from_secs(120);

/// Why something was not posted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Discord says no, with its error code; the same again would be refused again.
    #[error("Discord refuses it: {message} (code {code})")]
    Refused {
        /// As in Discord's "Opcodes and Status Codes".
        code: u64,
        /// In its words.
        message: String,
    },
    /// The bot may not post there.
    #[error("the bot may not post in the channel {channel}")]
    Forbidden {
        /// Where.
        channel: u64,
    },
    /// Discord did not take it in time.
    #[error("Discord did not take it in time")]
    Expired,
    /// The token is not valid any more.
    #[error("Discord does not know the bot's token")]
    Revoked,
    /// The program is ending.
    #[error("the program is ending")]
    Closed,
}

impl Error {
    /// Whether the place or the message is not there any more.
    pub fn is_gone(&self) -> bool {
        // Unknown channel, unknown message.
        matches!(self, Self::Refused { code: 10_003 | 10_008, .. })
    }

    /// Whether trying again later may help.
    pub fn passes(&self) -> bool {
        match self {
            Self::Expired | Self::Closed => true,
            Self::Refused { .. } | Self::Forbidden { .. } | Self::Revoked => false,
        }
    }

    fn code(&self) -> u64 {
        if let Self::Refused { code, .. } = self { *code } else { 0 }
    }

    /// Whether the message is too old to be changed often (30046).
    pub fn is_too_old(&self) -> bool {
        self.code() == 30_046
    }

    /// Whether the thread is put away (50083) or shut (160005).
    pub fn is_shut(&self) -> bool {
        matches!(self.code(), 50_083 | 160_005)
    }

    /// Whether the message has a thread already (160004).
    pub fn is_there_already(&self) -> bool {
        self.code() == 160_004
    }

    /// Whether the server has as many open threads as it may (160006).
    pub fn is_full(&self) -> bool {
        self.code() == 160_006
    }

    /// Whether a filter of the server does not let the text through (200000, 240000).
    pub fn is_filtered(&self) -> bool {
        matches!(self.code(), 200_000 | 240_000)
    }
}

/// What went through the outbox since the start.
#[derive(Debug, Default)]
pub struct Counts {
    /// Requests sent.
    pub sent: AtomicU64,
    /// Among them refused as too many.
    pub limited: AtomicU64,
    /// Edits that a later edit made useless before they were sent.
    pub replaced: AtomicU64,
    /// Requests that Discord had trouble with and that were sent again.
    pub troubled: AtomicU64,
    revoked: AtomicBool,
}

struct Order {
    call: Call,
    answer: oneshot::Sender<Result<Value, Error>>,
}

enum Event {
    Ask(Route, Priority, Box<Order>),
    Came(Route, Box<Order>, send::Answer),
}

/// The way to Discord. Cheap to clone; ends when the last one is dropped.
#[derive(Clone)]
pub struct Outbox {
    asks: mpsc::UnboundedSender<Event>,
    counts: Arc<Counts>,
}

impl Outbox {
    /// Starts to send.
    pub fn start(sender: Sender, clock: Arc<dyn Clock>) -> Self {
        let (asks, events) = mpsc::unbounded_channel();
        let counts = Arc::new(Counts::default());
        drop(tokio::spawn(run(sender, clock, events, asks.downgrade(), counts.clone())));
        Self { asks, counts }
    }

    /// Has something done, and waits until it is.
    pub async fn ask(&self, channel: u64, priority: Priority, call: Call) -> Result<Value, Error> {
        let (answer, answered) = oneshot::channel();
        let route = Route { channel, kind: call.kind() };
        let order = Box::new(Order { call, answer });
        self.asks.send(Event::Ask(route, priority, order)).map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)?
    }

    /// What went through so far.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Whether Discord does not know the token any more.
    pub fn is_revoked(&self) -> bool {
        self.counts.revoked.load(Ordering::Relaxed)
    }
}

async fn run(
    sender: Sender,
    clock: Arc<dyn Clock>,
    mut events: mpsc::UnboundedReceiver<Event>,
    back: mpsc::WeakUnboundedSender<Event>,
    counts: Arc<Counts>,
) {
    let mut plan: Plan<Box<Order>> = Plan::default();
    loop {
        let now = clock.now();
        for (order, why) in plan.give_up(now) {
            drop(order.answer.send(Err(reason(why))));
        }
        while let Some((route, order)) = plan.next(clock.now()) {
            counts.sent.fetch_add(1, Ordering::Relaxed);
            let (sender, back) = (sender.clone(), back.clone());
            drop(tokio::spawn(async move {
                let answer = sender.call(route, &order.call).await;
                if let Some(back) = back.upgrade() {
                    drop(back.send(Event::Came(route, order, answer)));
                }
            }));
        }
        let wake = plan.wake(clock.now()).map(|at| at.since(clock.now()));
        let event = match wake {
            Some(span) => match tokio::time::timeout(span, events.recv()).await {
                Ok(event) => event,
                Err(_) => continue,
            },
            None => events.recv().await,
        };
        match event {
            None => return,
            Some(Event::Ask(route, priority, order)) => {
                let patience = if priority == Priority::Live { LIVE_PATIENCE } else { PATIENCE };
                let slot = order.call.slot();
                let expires = clock.now() + patience;
                if let Some(replaced) = plan.push(route, priority, slot, expires, order) {
                    counts.replaced.fetch_add(1, Ordering::Relaxed);
                    drop(replaced.answer.send(Ok(Value::Null)));
                }
            }
            Some(Event::Came(route, order, answer)) => {
                count(&counts, &answer.reply);
                match plan.settle(clock.now(), route, order, answer.reply) {
                    // Done, or replaced by a newer one while it was on its way.
                    Ok(Some(order)) => drop(order.answer.send(Ok(answer.body))),
                    Ok(None) => {}
                    Err((order, why)) => {
                        let error = refusal(route.channel, answer.reply, why, &answer.body);
                        drop(order.answer.send(Err(error)));
                    }
                }
            }
        }
    }
}

fn count(counts: &Counts, reply: &Reply) {
    match reply {
        Reply::Limited { retry_after, global, .. } => {
            tracing::warn!(?retry_after, global, "Discord wants fewer requests");
            counts.limited.fetch_add(1, Ordering::Relaxed);
        }
        Reply::Trouble => drop(counts.troubled.fetch_add(1, Ordering::Relaxed)),
        Reply::Revoked if !counts.revoked.swap(true, Ordering::Relaxed) => tracing::error!(
            "Discord does not know the bot's token any more: nothing is posted until the daemon \
             is started again with another one; runs go on"
        ),
        Reply::Revoked | Reply::Done(_) | Reply::Forbidden(_) | Reply::Refused(_) => {}
    }
}

fn refusal(channel: u64, reply: Reply, why: GivenUp, body: &Value) -> Error {
    match (why, reply) {
        (GivenUp::Answered, Reply::Forbidden(_)) if body["code"].as_u64() == Some(50_083) => {
            Error::Refused { code: 50_083, message: "the thread is archived".to_owned() }
        }
        (GivenUp::Answered, Reply::Forbidden(_)) => Error::Forbidden { channel },
        (GivenUp::Answered, _) => Error::Refused {
            code: body["code"].as_u64().unwrap_or_default(),
            message: body["message"].as_str().unwrap_or("no reason given").to_owned(),
        },
        (GivenUp::Expired | GivenUp::Muted | GivenUp::Revoked, _) => reason(why),
    }
}

fn reason(why: GivenUp) -> Error {
    match why {
        GivenUp::Revoked => Error::Revoked,
        GivenUp::Muted => Error::Forbidden { channel: 0 },
        GivenUp::Answered | GivenUp::Expired => Error::Expired,
    }
}
