//! The owner of all hooks: hears the journal, the clock, requests and people, decides by the
//! rules, keeps what was decided, and only then has it done.
//!
//! How far the journal was heard is kept with what came of it, so that a line is neither lost nor
//! heard twice, whenever the process ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::failure::Failure;
use crate::hooks::books::{Asked, Books, Given, Kept, Options, Told, from_outside, written};
use crate::hooks::outside::Outside;
use crate::hooks::rules::{Hook, HookRun, HookRunId, Status, Trigger, Turn};
use crate::hooks::steps::{self, News};
use crate::ids::HookName;
use crate::state::Entry;
use crate::store::{self, HookBatch, HookRow, HookStore};
use crate::time::{Clock, Timestamp};

/// Lines of the journal that are read and kept at once.
const LINES_PER_TURN: u32 = 500;

/// So many lines of the journal are heard again at most, when nothing came of them.
const LINES_UNKEPT_MAX: u64 = 1_000;

/// How long to wait before something that failed outside is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// What hooks are connected to.
pub struct Doors {
    /// Where they are kept.
    pub store: Arc<dyn HookStore>,
    /// Who does what steps need done.
    pub outside: Arc<dyn Outside>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// The journal, as it is kept.
    pub journal: broadcast::Receiver<Arc<[Entry]>>,
}

/// What became of a request from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Knocked {
    /// It sets the hook off.
    Heard(HookRunId),
    /// It was heard before.
    Known,
    /// Nothing comes of it: the hook is off, cools down or is full.
    Unheard,
}

enum Message {
    Fire(Asked, oneshot::Sender<Result<Given, Failure>>),
    Change(Kept, oneshot::Sender<Result<Given, Failure>>),
    List(oneshot::Sender<Vec<Told>>),
    Text(HookName, oneshot::Sender<Result<String, Failure>>),
    Find(HookName, oneshot::Sender<Option<Hook>>),
    Knock(HookName, Option<String>, Value, oneshot::Sender<Knocked>),
    Files(HookName, Vec<String>),
    Reload(Box<Options>, oneshot::Sender<()>),
    News(News),
}

/// The hooks, for everybody but their owner.
#[derive(Clone)]
pub struct Handle {
    inbox: mpsc::UnboundedSender<Message>,
    watched: watch::Receiver<Vec<Hook>>,
    ended: watch::Receiver<BTreeMap<&'static str, u64>>,
}

impl Handle {
    /// Sets a hook off by hand.
    pub async fn fire(&self, asked: Asked) -> Result<Given, Failure> {
        self.ask(|reply| Message::Fire(asked, reply)).await?
    }

    /// Makes, changes or removes a hook.
    pub async fn change(&self, change: Kept) -> Result<Given, Failure> {
        self.ask(|reply| Message::Change(change, reply)).await?
    }

    /// All hooks, by name.
    pub async fn list(&self) -> Result<Vec<Told>, Failure> {
        self.ask(Message::List).await
    }

    /// A hook that was made by a command, as it was written.
    pub async fn text(&self, name: HookName) -> Result<String, Failure> {
        self.ask(|reply| Message::Text(name, reply)).await?
    }

    /// One hook.
    pub async fn find(&self, name: HookName) -> Result<Option<Hook>, Failure> {
        self.ask(|reply| Message::Find(name, reply)).await
    }

    /// A request from outside that was found genuine; `delivery` is the same for one that is sent
    /// again.
    pub async fn knock(
        &self,
        name: HookName,
        delivery: Option<String>,
        body: Value,
    ) -> Result<Knocked, Failure> {
        self.ask(|reply| Message::Knock(name, delivery, body, reply)).await
    }

    /// Files changed that a hook waits for.
    pub fn files(&self, name: HookName, paths: Vec<String>) {
        drop(self.inbox.send(Message::Files(name, paths)));
    }

    /// The hooks that wait for files, whenever they change.
    pub fn watched(&self) -> watch::Receiver<Vec<Hook>> {
        self.watched.clone()
    }

    /// How many runs of hooks ended in this process, by how they did.
    pub fn ended(&self) -> BTreeMap<&'static str, u64> {
        self.ended.borrow().clone()
    }

    /// The configuration says something else now.
    pub async fn reload(&self, options: Options) -> Result<(), Failure> {
        self.ask(|reply| Message::Reload(Box::new(options), reply)).await
    }

    async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> Message,
    ) -> Result<T, Failure> {
        let closed = || Failure::outside("hooks are not run here any more");
        let (reply, answer) = oneshot::channel();
        self.inbox.send(message(reply)).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())
    }
}

/// The owner of all hooks.
pub struct House {
    books: Books,
    doors: Doors,
    /// How much of the journal that was heard is kept as heard; `None`: nothing yet.
    kept: Option<u64>,
    /// Whether something came of lines that were heard and is not kept yet.
    stirred: bool,
    inbox: mpsc::UnboundedReceiver<Message>,
    sender: mpsc::UnboundedSender<Message>,
    watched: watch::Sender<Vec<Hook>>,
    ended: watch::Sender<BTreeMap<&'static str, u64>>,
}

impl House {
    /// Takes everything up that an earlier process left, and runs hooks until the journal ends.
    pub async fn start(
        options: Options,
        doors: Doors,
    ) -> Result<(Handle, tokio::task::JoinHandle<()>), store::Error> {
        let (sender, inbox) = mpsc::unbounded_channel();
        let (watched, watching) = watch::channel(Vec::new());
        let (ended, ending) = watch::channel(BTreeMap::new());
        let handle = Handle { inbox: sender.clone(), watched: watching, ended: ending };
        let kept = doors.store.hook_position().await?;
        let books = Books::open(options, &*doors.store, doors.clock.now()).await?;
        let open = doors.store.open_hook_runs().await?;
        let stirred = false;
        let mut house = Self { books, doors, kept, stirred, inbox, sender, watched, ended };
        for run in open.iter().filter_map(|text| serde_json::from_str::<HookRun>(text).ok()) {
            house.adopt(run).await;
        }
        Ok((handle, tokio::spawn(async move { house.run().await })))
    }

    /// A run that was under way is ended and lost; what it had submitted is found again.
    async fn adopt(&mut self, mut run: HookRun) {
        if run.status == Status::Running {
            for made in self.doors.outside.clean_up(run.id).await {
                if !run.made.contains(&made) {
                    run.made.push(made);
                }
            }
        }
        self.books.desk.adopt(run, self.doors.clock.now());
    }

    async fn run(&mut self) {
        self.conclude().await;
        self.catch_up().await;
        loop {
            let now = self.doors.clock.now();
            let due = self.books.desk.next_due().map(|due| due.since(now));
            let time = async move {
                match due {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // Who asks is answered by all that happened before.
                biased;
                batch = self.doors.journal.recv() => match batch {
                    Ok(entries) => self.hear(&entries).await,
                    Err(RecvError::Lagged(_)) => self.catch_up().await,
                    Err(RecvError::Closed) => return,
                },
                message = self.inbox.recv() => match message {
                    Some(message) => self.take(message).await,
                    None => return,
                },
                () = time => {}
            }
            self.conclude().await;
        }
    }

    /// Lines that were just kept. If some before them were missed the store has them.
    async fn hear(&mut self, entries: &[Entry]) {
        let first = entries.first().map_or(u64::MAX, |entry| entry.seq);
        if first > self.books.position + 1 {
            return self.catch_up().await;
        }
        for entry in entries {
            self.line(entry).await;
        }
    }

    /// Reads the journal from where it was heard last to its end.
    async fn catch_up(&mut self) {
        loop {
            let lines = self.doors.store.whole_journal(self.books.position, LINES_PER_TURN).await;
            let lines = match lines {
                Ok(lines) if lines.is_empty() => return,
                Ok(lines) => lines,
                Err(error) => {
                    tracing::warn!(%error, "the journal is not read for hooks; trying again");
                    tokio::time::sleep(RETRY).await;
                    continue;
                }
            };
            for entry in &lines {
                self.line(entry).await;
            }
            self.conclude().await;
        }
    }

    async fn line(&mut self, entry: &Entry) {
        if entry.seq <= self.books.position {
            return;
        }
        let kind = entry.what.kind();
        if self.books.desk.wants(kind) {
            let happened = loop {
                match self.doors.outside.happened(entry).await {
                    Ok(happened) => break happened,
                    Err(failure) => {
                        tracing::warn!(%failure, "an event is not understood; trying again");
                        tokio::time::sleep(RETRY).await;
                    }
                }
            };
            if let Some(happened) = happened {
                let now = self.doors.clock.now();
                self.books.desk.happened(kind, entry.seq, &happened.fired, now);
                self.stirred = true;
            }
        }
        self.books.position = entry.seq;
    }

    async fn take(&mut self, message: Message) {
        let now = self.doors.clock.now();
        match message {
            Message::Fire(asked, reply) => {
                let answer = self.books.fire(asked, now);
                // What is answered is kept.
                self.conclude().await;
                drop(reply.send(answer));
            }
            Message::Change(change, reply) => {
                let answer = self.books.change(change, now);
                self.conclude().await;
                drop(reply.send(answer));
            }
            Message::List(reply) => drop(reply.send(self.books.list())),
            Message::Text(name, reply) => drop(reply.send(self.books.text(&name))),
            Message::Find(name, reply) => drop(reply.send(self.books.desk.hook(&name).cloned())),
            Message::Knock(name, delivery, body, reply) => {
                let knocked = self.knock(&name, delivery, body, now).await;
                self.conclude().await;
                reply.send(knocked).ok();
            }
            Message::Files(name, paths) => {
                let key = format!("files:{}:{}", now.0, self.books.desk.next_id());
                let count = paths.len();
                let sentence = match paths.as_slice() {
                    [one] => format!("{one} changed"),
                    _ => format!("{count} files changed"),
                };
                let event =
                    json!({ "at": now.rfc3339(), "paths": paths.join("\n"), "count": count });
                self.books.desk.knock(&name, from_outside(key, sentence, event), now);
            }
            Message::Reload(options, reply) => {
                self.books.adjust(*options, now);
                self.conclude().await;
                reply.send(()).ok();
            }
            Message::News(News::Step(id, record, made)) => {
                self.books.desk.step_done(id, record, made)
            }
            Message::News(News::Ended(id, status, why)) => {
                self.books.desk.ended(id, status, why, now);
                self.doors.outside.over(id).await;
            }
        }
    }

    async fn knock(
        &mut self,
        name: &HookName,
        delivery: Option<String>,
        body: Value,
        now: Timestamp,
    ) -> Knocked {
        let anew = || format!("{}:{}", now.0, self.books.desk.next_id());
        let key = format!("webhook:{}", delivery.unwrap_or_else(anew));
        let known = self.doors.store.is_hook_key(name.as_str(), &key).await;
        if known.unwrap_or(false) {
            return Knocked::Known;
        }
        let by_webhook = |hook: &Hook| matches!(hook.on, Trigger::Webhook(_));
        if !self.books.desk.hook(name).is_some_and(by_webhook) {
            return Knocked::Unheard;
        }
        let fired = from_outside(key, "a webhook".to_owned(), body);
        self.books.desk.knock(name, fired, now).map_or(Knocked::Unheard, Knocked::Heard)
    }

    /// Keeps what changed, and begins what it says. A store that fails is tried again: what was
    /// decided must not be forgotten.
    async fn conclude(&mut self) {
        let now = self.doors.clock.now();
        self.books.desk.tick(now);
        let Turn { runs, states, begin } = self.books.desk.turn(now);
        self.count(&runs);
        let runs = runs.iter().map(row).collect();
        // What comes of a line is kept with the word that it was heard. Lines of which nothing
        // comes are heard again after a crash, to no effect.
        let heard = self.books.position;
        let behind = self.kept.is_none_or(|kept| heard > kept + LINES_UNKEPT_MAX);
        let position = (self.stirred || behind).then_some(heard);
        let batch = HookBatch { runs, position, ..self.books.taken(states) };
        (self.stirred, self.kept) = (false, position.or(self.kept));
        if batch != HookBatch::default() {
            self.commit(&batch).await;
        }
        self.tell_watched();
        for (run, hook) in begin {
            let (outside, sender) = (self.doors.outside.clone(), self.sender.clone());
            let tell = move |news| drop(sender.send(Message::News(news)));
            drop(tokio::spawn(steps::carry_out(run, hook, outside, tell)));
        }
    }

    fn count(&self, runs: &[HookRun]) {
        for run in runs.iter().filter(|run| !run.status.is_open()) {
            self.ended.send_modify(|ended| *ended.entry(run.status.word()).or_default() += 1);
        }
    }

    fn tell_watched(&self) {
        let waits = |hook: &Hook| matches!(hook.on, Trigger::File { .. });
        let on = self.books.desk.hooks().filter(|(hook, _, on)| *on && waits(hook));
        let on: Vec<Hook> = on.map(|(hook, ..)| hook.clone()).collect();
        self.watched.send_if_modified(|known| {
            let differs = *known != on;
            *known = on;
            differs
        });
    }

    async fn commit(&self, batch: &HookBatch) {
        while let Err(error) = self.doors.store.commit_hooks(batch).await {
            tracing::error!(%error, "the store does not take what hooks do; trying again");
            tokio::time::sleep(RETRY).await;
        }
    }
}

fn row(run: &HookRun) -> HookRow {
    HookRow {
        id: run.id.0,
        hook: run.hook.to_string(),
        key: run.key.clone(),
        status: run.status.word(),
        open: run.status.is_open(),
        record: written(run),
    }
}
