//! What is posted: one card for each run, a thread for each task under it, notices with buttons.
//!
//! Implements the callbacks that are injected into the engine. Everything shown is derived from
//! the run as it is; where it was posted is kept in the store. Must not know interactions.

pub(crate) mod cards;
mod feed;
mod notices;
pub(crate) mod places;
pub(crate) mod settled;
mod steers;
pub(crate) mod threads;
pub mod words;

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, RwLock};

use tokio::sync::watch;

use crate::discord::board::feed::Live;
use crate::discord::board::places::Places;
use crate::discord::board::steers::Told;
use crate::discord::office::Office;
use crate::discord::options::{Options, Verbosity};
use crate::discord::outbox::{Counts, Error, Outbox, Priority};
use crate::discord::post::Post;
use crate::graph::TaskIx;
use crate::ids::{ProjectId, RunId};
use crate::orchestrator::{Handle, RunView};
use crate::store::{Ledger, Recall, Store};
use crate::time::Clock;

/// What comes to be only after the board: the engine, and who works beside it.
#[derive(Clone)]
pub struct House {
    /// The engine.
    pub handle: Handle,
    /// Who does what needs files and git.
    pub office: Arc<dyn Office>,
}

/// How many threads may be being opened at once; Discord takes one at a time for each channel.
pub(crate) const OPENERS: usize = 16;

/// The doors of the board.
#[derive(Clone)]
pub struct Doors {
    /// The engine's store, to read.
    pub store: Arc<dyn Store>,
    /// Where the board keeps its own things.
    pub ledger: Arc<dyn Ledger>,
    /// What is remembered of tasks.
    pub recall: Arc<dyn Recall>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

/// Shows runs in Discord.
pub struct Board {
    options: RwLock<Arc<Options>>,
    pub(crate) doors: Doors,
    pub(crate) outbox: Outbox,
    pub(crate) places: Places,
    house: watch::Sender<Option<House>>,
    verbosity: AtomicU8,
    connected: AtomicBool,
    live: Live,
    told: Told,
    me: std::sync::Weak<Board>,
    /// Who opens a thread holds one of these, so that nobody else opens the same.
    opening: [tokio::sync::Mutex<()>; OPENERS],
}

impl Board {
    /// A board that posts through `outbox`.
    pub fn new(options: Options, doors: Doors, outbox: Outbox) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            places: Places::new(doors.ledger.clone(), outbox.clone(), doors.clock.clone()),
            verbosity: AtomicU8::new(options.verbosity as u8),
            connected: AtomicBool::new(false),
            options: RwLock::new(Arc::new(options)),
            doors,
            outbox,
            house: watch::channel(None).0,
            live: Live::default(),
            told: Told::default(),
            me: me.clone(),
            opening: Default::default(),
        })
    }

    /// Begins to show what the engine does.
    pub async fn open(self: &Arc<Self>, house: House) {
        self.house.send_replace(Some(house.clone()));
        self.recall_told().await;
        drop(tokio::spawn(cards::keep_current(self.me.clone(), house)));
    }

    /// The engine and the office, as soon as they are there.
    pub(crate) async fn house(&self) -> House {
        let mut house = self.house.subscribe();
        let there = house.wait_for(Option::is_some).await.map(|house| house.clone());
        there.ok().flatten().expect("BUG: the sender lives as long as the board")
    }

    /// How the bot is set up just now.
    pub(crate) fn options(&self) -> Arc<Options> {
        self.options.read().expect("BUG: nobody panics with this lock").clone()
    }

    /// Takes over another configuration. What people set in Discord meanwhile stays, unless the
    /// configuration says otherwise than before.
    pub fn adjust(&self, options: Options) {
        if options.verbosity != self.options().verbosity {
            self.set_verbosity(options.verbosity);
        }
        *self.options.write().expect("BUG: nobody panics with this lock") = Arc::new(options);
    }

    /// Says something about the daemon itself where its owner reads: in the channel for projects
    /// without one of their own, else in the first of the others.
    pub async fn tell_owner(&self, text: &str) {
        let options = self.options();
        let channel = options.channel.or(options.channels.values().next().copied());
        let Some(channel) = channel else { return };
        let nonce = format!("{:x}", self.doors.clock.now().0);
        let call = crate::discord::outbox::Call::Create { post: Post::text(text), nonce };
        if let Err(error) = self.outbox.ask(channel, Priority::State, call).await {
            tracing::warn!(%error, "the owner was not told in Discord");
        }
    }

    /// Whether the gateway is connected, as it was seen last.
    pub fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    pub(crate) fn set_connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Relaxed);
    }

    /// Whether Discord does not know the token any more.
    pub fn is_revoked(&self) -> bool {
        self.outbox.is_revoked()
    }

    /// What was posted so far.
    pub fn counts(&self) -> &Counts {
        self.outbox.counts()
    }

    pub(crate) fn verbosity(&self) -> Verbosity {
        match self.verbosity.load(Ordering::Relaxed) {
            0 => Verbosity::Quiet,
            1 => Verbosity::Normal,
            _ => Verbosity::All,
        }
    }

    /// How much is shown from now on, until the daemon ends.
    pub(crate) fn set_verbosity(&self, verbosity: Verbosity) {
        self.verbosity.store(verbosity as u8, Ordering::Relaxed);
    }

    /// The channel of a project: where somebody bound it to, else as configured.
    pub(crate) async fn channel(&self, project: &ProjectId) -> Option<u64> {
        let bound = self.doors.ledger.binding(&bound_name(project)).await.ok().flatten();
        let bound = bound.and_then(|text| text.parse().ok());
        bound.or_else(|| self.options().channel_of(project))
    }

    /// The project of a channel, if it is that of one alone.
    pub(crate) async fn project_of(&self, channel: u64) -> Option<ProjectId> {
        let bindings = self.doors.ledger.bindings("channel/").await.unwrap_or_default();
        let bound = bindings.iter().find(|(_, id)| id.parse() == Ok(channel));
        let bound = bound.and_then(|(name, _)| name.strip_prefix("channel/")?.parse().ok());
        bound.or_else(|| self.options().project_of(channel).cloned())
    }

    /// Shows a project in a channel from now on.
    pub(crate) async fn bind(&self, project: &ProjectId, channel: u64) {
        let kept = self.doors.ledger.bind(&bound_name(project), Some(&channel.to_string())).await;
        if let Err(error) = kept {
            tracing::error!(%error, "the channel of a project could not be kept");
        }
    }

    /// The id of somebody who was seen here, by the name that the journal knows.
    pub(crate) async fn user_id(&self, name: &str) -> Option<u64> {
        let id = self.doors.ledger.binding(&format!("user/{name}")).await.ok().flatten();
        id?.parse().ok()
    }

    /// Remembers somebody's id.
    pub(crate) async fn know_user(&self, name: &str, id: u64) {
        if self.user_id(name).await != Some(id) {
            drop(self.doors.ledger.bind(&format!("user/{name}"), Some(&id.to_string())).await);
        }
    }

    /// The thread of a task, if it has one.
    pub(crate) async fn thread(&self, run: RunId, task: TaskIx) -> Option<u64> {
        let opened = self.doors.ledger.binding(&thread_name(run, task)).await.ok().flatten();
        opened?.parse().ok()
    }

    /// The task whose thread it is, if it is one.
    pub(crate) async fn task_of(&self, thread: u64) -> Option<(RunId, TaskIx)> {
        let text = self.doors.ledger.binding(&format!("thread/{thread}")).await.ok().flatten()?;
        let (run, task) = text.split_once('.')?;
        Some((RunId(run.parse().ok()?), TaskIx(task.parse().ok()?)))
    }

    /// Says something in a task's thread, if it has one.
    pub(crate) async fn say(&self, run: RunId, task: TaskIx, post: Post) {
        let Some(thread) = self.thread(run, task).await else { return };
        let nonce = format!("{:x}", self.doors.clock.now().0);
        let call = crate::discord::outbox::Call::Create { post, nonce };
        if let Err(error) = self.outbox.ask(thread, Priority::State, call).await {
            tracing::warn!(%error, "something was not said in a thread");
        }
    }

    /// Says something under the card of a run, if it has one.
    pub(crate) async fn say_at_card(&self, run: RunId, mut post: Post) {
        let Some(place) = self.places.find(&cards::card_name(run)).await else { return };
        post.replies_to = place.message;
        let nonce = format!("{:x}", self.doors.clock.now().0);
        let call = crate::discord::outbox::Call::Create { post, nonce };
        if let Err(error) = self.outbox.ask(place.channel, Priority::State, call).await {
            tracing::warn!(%error, "something was not said under a card");
        }
    }

    /// Puts a message where it belongs again after its place was lost, once.
    pub(crate) async fn post(
        &self,
        name: &str,
        channel: u64,
        post: &Post,
        priority: Priority,
    ) -> Result<(u64, u64), Error> {
        self.places.post(name, channel, post, priority).await
    }

    /// A run as it is now.
    pub(crate) async fn view(&self, run: RunId) -> Option<RunView> {
        self.house().await.handle.view(run).await.ok().flatten()
    }

    /// The address of a message, for a link.
    pub(crate) fn link(&self, channel: u64, message: u64) -> String {
        format!("https://discord.com/channels/{}/{channel}/{message}", self.options().rules.guild)
    }
}

fn bound_name(project: &ProjectId) -> String {
    format!("channel/{project}")
}

pub(crate) fn thread_name(run: RunId, task: TaskIx) -> String {
    format!("task/{}/{}/thread", run.0, task.0)
}
