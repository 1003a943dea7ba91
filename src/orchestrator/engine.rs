//! The loop: gather events, step each, keep what they changed in one transaction, then act.
//!
//! While a transaction is being written, events gather for the next: the batch grows by itself
//! under load, and no timer decides about it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::graph;
use crate::ids::{GraphName, ProjectId, RunId, RunName};
use crate::notify::{self, Delivery, Notice, Notifier};
use crate::orchestrator::command::{Answer, Submission, Submitted};
use crate::orchestrator::handle::{Event, Handle, Shutdown};
use crate::orchestrator::step::Turn;
use crate::orchestrator::view::RunView;
use crate::orchestrator::world::World;
use crate::runner::{AttemptContext, Executor, Job, Report, Reporter, RunInfo};
use crate::state::{Effect, EffectKey, Entry, ProjectRecord, RunRecord, RunState, Verb};
use crate::store::{self, Store, StoredRun};
use crate::time::Clock;

/// How many events one transaction may hold: enough to use a slow disk well, little enough that
/// the first of them is not kept waiting for the last.
const EVENTS_PER_TURN: usize = 1024;

/// How many batches of the journal a slow listener may fall behind before it reads the store.
const LISTENER_BACKLOG: usize = 1024;

/// How long the loop waits before it tries again to write to a store that failed. Agents go on
/// meanwhile; nothing is started and nothing is lost.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// How long a notice that could not be delivered waits before the next try.
const NOTICE_RETRY: Duration = Duration::from_secs(5);

/// How long the end of the engine waits for notices that are on their way.
const LAST_NOTICES: Duration = Duration::from_secs(2);

/// What the engine is told about itself.
#[derive(Debug, Clone)]
pub struct Options {
    /// Attempts at once, over all runs.
    pub slots: u32,
    /// Attempts of one run at once, where neither graph nor submitter says otherwise.
    pub run_slots: u32,
    /// Seeds what little chance there is (jitter), so that a simulation repeats.
    pub seed: u64,
    /// Which runs are worked on.
    pub scope: Scope,
    /// Start no attempt, and take up only those that are told something: for commands without a
    /// daemon.
    pub hold: bool,
}

/// Which runs the engine works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All that are open.
    All,
    /// One.
    One(RunId),
    /// None but those that are submitted.
    New,
}

/// What the engine is connected to.
#[derive(Clone)]
pub struct Doors {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// Who carries out what is decided.
    pub executor: Arc<dyn Executor>,
    /// Who tells people.
    pub notifier: Arc<dyn Notifier>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
}

struct Engine {
    options: Options,
    doors: Doors,
    world: World,
    /// The last number given to each graph of each project.
    numbers: BTreeMap<(ProjectId, GraphName), u32>,
    events: mpsc::UnboundedReceiver<Event>,
    sender: mpsc::UnboundedSender<Event>,
    journal: broadcast::Sender<Arc<[Entry]>>,
    notices: mpsc::UnboundedSender<(u64, Notice)>,
    waiting: Vec<Waiting>,
    ending: Option<(Shutdown, oneshot::Sender<()>)>,
}

/// An answer that is given once the turn is durable.
enum Waiting {
    Submitted(oneshot::Sender<Submitted>, Submitted),
    Answered(oneshot::Sender<Answer>, Answer),
    Viewed(oneshot::Sender<Option<RunView>>, Option<RunView>),
}

/// Loads what the scope asks for, takes up what is owed, and runs the loop on a task of its own
/// until it is shut down.
pub async fn spawn(
    options: Options,
    doors: Doors,
) -> Result<(Handle, tokio::task::JoinHandle<()>), store::Error> {
    let counters = doors.store.counters().await?;
    let (sender, events) = mpsc::unbounded_channel();
    let (journal, _) = broadcast::channel(LISTENER_BACKLOG);
    let (notices, inbox) = mpsc::unbounded_channel();
    let mut engine = Engine {
        world: World::new(counters, options.slots, options.seed),
        numbers: BTreeMap::new(),
        events,
        sender: sender.clone(),
        journal: journal.clone(),
        notices,
        waiting: Vec::new(),
        ending: None,
        options,
        doors,
    };
    if engine.options.hold {
        engine.world.drain();
    }
    engine.load().await?;
    let delivery = tokio::spawn(deliver(engine.doors.notifier.clone(), inbox, sender.clone()));
    let handle = Handle { events: sender, journal };
    let work = async move {
        engine.run().await;
        // What cannot be delivered now is in the store and is delivered by the next process.
        drop(tokio::time::timeout(LAST_NOTICES, delivery).await);
    };
    Ok((handle, tokio::spawn(work)))
}

/// A run as the store has it, without an engine: for readers beside the owner, or when there is
/// none. `driven` says whether some process works on it.
pub async fn look(
    store: &dyn Store,
    run: RunId,
    options: &Options,
    driven: bool,
) -> Result<Option<RunView>, store::Error> {
    let Some(stored) = store.load(run).await? else { return Ok(None) };
    let info = Arc::new(info_of(store, &stored).await?);
    let mut world = World::new(store.counters().await?, options.slots, options.seed);
    world.adopt(info, stored, options.run_slots);
    let view = world.view(run);
    Ok(view.map(|view| if driven { view } else { view.left_alone() }))
}

async fn info_of(store: &dyn Store, stored: &StoredRun) -> Result<RunInfo, store::Error> {
    let projects = store.projects().await?;
    let project = projects.into_iter().find(|p| p.id == stored.run.project);
    let project = project.ok_or_else(|| store::Error::Inconsistent {
        table: "projects",
        column: "id",
        row: stored.run.project.to_string(),
        why: "a run's project is gone".to_owned(),
    })?;
    run_info(&stored.run, project, stored.source.clone())
}

impl Engine {
    async fn load(&mut self) -> Result<(), store::Error> {
        for record in self.doors.store.runs(None).await? {
            let key = (record.project.clone(), record.name.graph.clone());
            let last = self.numbers.entry(key).or_default();
            *last = (*last).max(record.name.number);
            let wanted = match self.options.scope {
                Scope::All => record.state == RunState::Open,
                Scope::One(run) => record.id == run,
                Scope::New => false,
            };
            if !wanted {
                continue;
            }
            let Some(stored) = self.doors.store.load(record.id).await? else { continue };
            let info = Arc::new(info_of(&*self.doors.store, &stored).await?);
            self.world.adopt(info, stored, self.options.run_slots);
        }
        for (seq, text) in self.doors.store.notices().await? {
            if self.options.hold {
                break;
            }
            if let Ok(notice) = serde_json::from_str::<Notice>(&text) {
                self.announce(seq, notice);
            }
        }
        Ok(())
    }

    async fn run(mut self) {
        let owed: Vec<EffectKey> =
            self.world.runs.values().flat_map(crate::orchestrator::world::Run::owed).collect();
        self.begin();
        let mut turn = self.world.finish();
        turn.dispatch.extend(owed);
        self.conclude(turn).await;
        let mut gathered = Vec::new();
        while !self.is_over() {
            self.gather(&mut gathered).await;
            self.begin();
            for event in gathered.drain(..) {
                self.step(event);
            }
            let turn = self.world.finish();
            self.conclude(turn).await;
        }
        if let Some((_, done)) = self.ending.take() {
            self.doors.executor.detach();
            done.send(()).ok();
        }
    }

    fn begin(&mut self) {
        let now = self.doors.clock.now();
        self.world.begin(now);
    }

    fn is_over(&self) -> bool {
        match &self.ending {
            Some((Shutdown::Detach, _)) => true,
            Some((Shutdown::EndAgents, _)) => {
                let mut owed = self.world.runs.values().flat_map(|run| run.effects.keys());
                owed.all(|key| key.verb != Verb::Attempt)
            }
            None => false,
        }
    }

    /// Waits for at least one event or the next deadline, and takes what else is there.
    async fn gather(&mut self, into: &mut Vec<Event>) {
        let now = self.doors.clock.now();
        match self.world.next_due() {
            Some(due) if due <= now => {
                while let Ok(event) = self.events.try_recv() {
                    into.push(event);
                    if into.len() >= EVENTS_PER_TURN {
                        break;
                    }
                }
            }
            Some(due) => {
                let wait = due.since(now);
                let received = self.events.recv_many(into, EVENTS_PER_TURN);
                let _ = tokio::time::timeout(wait, received).await;
            }
            None => {
                self.events.recv_many(into, EVENTS_PER_TURN).await;
            }
        }
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Submit(submission, reply) => {
                let submitted = self.submit(*submission);
                self.waiting.push(Waiting::Submitted(reply, submitted));
            }
            Event::Command(command, reply) => {
                let answer = self.world.command(&command);
                self.waiting.push(Waiting::Answered(reply, answer));
            }
            Event::View(run, reply) => {
                let view = self.world.view(run);
                self.waiting.push(Waiting::Viewed(reply, view));
            }
            Event::Report(key, report) => self.world.report(&key, report),
            Event::Drain => self.world.drain(),
            Event::Told(seq) => self.world.desk.batch.notices_done.push(seq),
            Event::Shutdown(how, done) => {
                match how {
                    Shutdown::Detach => self.world.drain(),
                    Shutdown::EndAgents => self.world.suspend(),
                }
                self.ending = Some((how, done));
            }
        }
    }

    fn submit(&mut self, submission: Submission) -> Submitted {
        let key = (submission.project.id.clone(), submission.graph.name().clone());
        let number = self.numbers.entry(key).or_default();
        *number += 1;
        let record = RunRecord {
            id: RunId(self.world.next_run),
            project: submission.project.id.clone(),
            name: RunName { graph: submission.graph.name().clone(), number: *number },
            graph_digest: digest(&submission.source),
            state: RunState::Open,
            created_at: self.world.desk.now,
            since: self.world.desk.now,
            submitter: submission.submitter,
            options: submission.options,
            paused: false,
            cancelled: false,
            fatal: None,
        };
        let info = RunInfo {
            id: record.id,
            name: record.name.clone(),
            project: submission.project,
            teardown: record.options.teardown.unwrap_or(submission.graph.settings().teardown),
            graph: submission.graph,
            source: submission.source,
            submitter: record.submitter.clone(),
        };
        self.world.submit(Arc::new(info), record, self.options.run_slots)
    }

    /// Keeps what the turn changed, then answers, hands out and announces. A store that fails is
    /// tried again for as long as it takes: what was stepped must not be forgotten.
    async fn conclude(&mut self, turn: Turn) {
        let Turn { batch, mut dispatch, messages } = turn;
        let journal: Arc<[Entry]> = batch.journal.clone().into();
        let notices = batch.notices.clone();
        if !batch.is_empty() {
            self.keep(batch).await;
        }
        for waiting in self.waiting.drain(..) {
            match waiting {
                Waiting::Submitted(reply, submitted) => drop(reply.send(submitted)),
                Waiting::Answered(reply, answer) => drop(reply.send(answer)),
                Waiting::Viewed(reply, view) => drop(reply.send(view)),
            }
        }
        if !journal.is_empty() {
            drop(self.journal.send(journal));
        }
        // A command without a daemon shows none; the next process does.
        for (seq, text) in notices.into_iter().filter(|_| !self.options.hold) {
            if let Ok(notice) = serde_json::from_str::<Notice>(&text) {
                self.announce(seq, notice);
            }
        }
        if self.options.hold {
            let told = |key: &EffectKey| messages.iter().any(|(told, _)| told == key);
            dispatch.retain(|key| key.verb != Verb::Attempt);
            let owed = self.world.runs.values().flat_map(|run| run.owed());
            dispatch.extend(owed.filter(told));
        }
        for key in dispatch {
            self.hand_out(key);
        }
        for (key, message) in messages {
            self.doors.executor.tell(&key, message);
        }
    }

    async fn keep(&mut self, batch: store::Batch) {
        while let Err(error) = self.doors.store.commit(&batch).await {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "the store did not take a change; trying again"
            );
            tokio::time::sleep(STORE_RETRY).await;
        }
    }

    fn hand_out(&self, key: EffectKey) {
        let Some(run) = self.world.runs.get(&key.run) else { return };
        let Some(effect) = run.effects.get(&key) else { return };
        let attempt = match effect {
            Effect::Attempt { task, .. } => {
                let more = run.tasks[task.at()].more.as_deref().cloned().unwrap_or_default();
                Some(Box::new(AttemptContext {
                    failure: more.failure,
                    note: more.note,
                    fresh: more.fresh,
                    kept: more.kept,
                    answered: more.answered,
                    answer: more.answer,
                }))
            }
            Effect::PrepareLane { .. }
            | Effect::OpenPr { .. }
            | Effect::MergePr { .. }
            | Effect::CheckLane { .. }
            | Effect::OpenLanePr { .. }
            | Effect::MergeLane { .. } => None,
        };
        let job = Job { run: run.info.clone(), effect: effect.clone(), attempt };
        let sender = self.sender.clone();
        let send = move |key: EffectKey, report: Report| {
            drop(sender.send(Event::Report(key, report)));
        };
        self.doors.executor.execute(job, Reporter::new(key, Arc::new(send)));
    }

    fn announce(&self, seq: u64, notice: Notice) {
        drop(self.notices.send((seq, notice)));
    }
}

/// Delivers notices one after another, in order, each until it is delivered or of no use.
async fn deliver(
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
        if engine.send(Event::Told(seq)).is_err() {
            return;
        }
    }
}

/// The name under which the store keeps a graph's source.
fn digest(source: &str) -> String {
    Sha256::digest(source.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn run_info(
    record: &RunRecord,
    project: ProjectRecord,
    source: String,
) -> Result<RunInfo, store::Error> {
    let graph = graph::load(source.as_bytes()).map_err(|problems| store::Error::Inconsistent {
        table: "graphs",
        column: "source",
        row: record.graph_digest.clone(),
        why: problems.first().map(ToString::to_string).unwrap_or_default(),
    })?;
    Ok(RunInfo {
        id: record.id,
        name: record.name.clone(),
        teardown: record.options.teardown.unwrap_or(graph.settings().teardown),
        project,
        graph,
        source,
        submitter: record.submitter.clone(),
    })
}
