//! The loop: gather events, step each, keep what they changed in one transaction, then act.
//!
//! While a transaction is being written, events gather for the next: the batch grows by itself
//! under load, and no timer decides about it.

mod delivery;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::crash;
use crate::failure::Failure;
use crate::ids::{GraphName, ProjectId, RunId, RunName};
use crate::notify::{Notice, Notifier};
use crate::orchestrator::census::{Census, Tally};
use crate::orchestrator::command::{self, Answer, Command, GlobalVerb, Submission, Submitted};
use crate::orchestrator::growth::Plans;
use crate::orchestrator::handle::{Event, Handle, Resubmit, Resubmitted, Shutdown};
use crate::orchestrator::step::{Carried, Turn};
use crate::orchestrator::view::RunView;
use crate::orchestrator::watch::Watching;
use crate::orchestrator::world::{Run, World};
use crate::plan;
use crate::runner::{Executor, Report, Reporter, RunInfo};
use crate::scheduler::Policy;
use crate::state::{Attention, EffectKey, Entry, RunRecord, RunState, Verb};
use crate::store::{self, Batch, Store};
use crate::time::{Clock, Stopwatch, Timestamp};

/// How many events one transaction may hold: enough to use a slow disk well, little enough that
/// the first of them is not kept waiting for the last.
const EVENTS_PER_TURN: usize = 1024;

/// How many batches of the journal a slow listener may fall behind before it reads the store.
const LISTENER_BACKLOG: usize = 1024;

/// How long the loop waits before it tries again to write to a store that failed. Agents go on
/// meanwhile; nothing is started and nothing is lost.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// After how many tries the log says again that the store does not take changes.
const STORE_COMPLAINTS: u32 = 60;

/// What the engine is told about itself.
#[derive(Debug, Clone)]
pub struct Options {
    /// Who may start when.
    pub policy: Policy,
    /// Seeds what little chance there is (jitter), so that a simulation repeats.
    pub seed: u64,
    /// Which runs are worked on.
    pub scope: Scope,
    /// What the process is for.
    pub role: Role,
    /// How plans are turned into tasks.
    pub plans: plan::Rules,
    /// How runs are watched over.
    pub watching: Watching,
    /// Whether what tasks leave behind is kept for later ones.
    pub remembers: bool,
}

/// What the process that owns the store is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Works for the person at its terminal.
    Attached,
    /// Works for everybody, and is started again whenever it ends: if it ends without a word five
    /// times within ten minutes, it starts nothing until a person says so.
    Daemon,
    /// Carries out one command because there is no daemon: starts no attempt, and takes up only
    /// those that are told something.
    Errand,
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

pub(super) struct Engine {
    pub(super) options: Options,
    pub(super) doors: Doors,
    pub(super) world: World,
    pub(super) tally: Tally,
    /// The last number given to each graph of each project.
    pub(super) numbers: BTreeMap<(ProjectId, GraphName), u32>,
    events: mpsc::UnboundedReceiver<Event>,
    sender: mpsc::UnboundedSender<Event>,
    journal: broadcast::Sender<Arc<[Entry]>>,
    notices: mpsc::UnboundedSender<(u64, Notice)>,
    waiting: Vec<Waiting>,
    /// What came while the store did not take changes.
    late: VecDeque<Event>,
    ending: Option<Ending>,
    /// When runs that rest are looked at to be put away.
    pub(super) next_sweep: Option<Timestamp>,
}

/// How the engine is to end.
struct Ending {
    how: Shutdown,
    /// Until when what runs may go on.
    deadline: Timestamp,
    done: Option<oneshot::Sender<()>>,
}

/// An answer that is given once the turn is durable.
enum Waiting {
    Submitted(oneshot::Sender<Submitted>, Submitted),
    Resubmitted(oneshot::Sender<Resubmitted>, Resubmitted),
    Answered(oneshot::Sender<Answer>, Answer),
    Announced(oneshot::Sender<()>),
    Viewed(oneshot::Sender<Option<RunView>>, Box<Option<RunView>>),
    Applied(oneshot::Sender<()>),
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
        world: World::new(counters, options.policy.clone(), options.seed),
        tally: Tally::default(),
        numbers: BTreeMap::new(),
        events,
        sender: sender.clone(),
        journal,
        notices,
        waiting: Vec::new(),
        late: VecDeque::new(),
        ending: None,
        next_sweep: None,
        options,
        doors,
    };
    engine.world.desk.plans = engine.options.plans;
    engine.world.desk.remembers = engine.options.remembers;
    if engine.options.role != Role::Errand {
        engine.world.desk.reminders.watching = engine.options.watching;
    }
    engine.world.desk.idle_hands = engine.options.role == Role::Errand;
    let now = engine.doors.clock.now();
    engine.world.restore(&*engine.doors.store, now).await?;
    if engine.options.role == Role::Daemon {
        engine.look_back().await?;
    }
    engine.load().await?;
    if engine.options.role != Role::Errand {
        engine.world.begin_recovery();
    }
    let delivery =
        tokio::spawn(delivery::deliver(engine.doors.notifier.clone(), inbox, sender.clone()));
    let handle = Handle { events: sender, journal: engine.journal.downgrade() };
    let work = async move {
        engine.run().await;
        engine.last_notices(delivery).await;
    };
    Ok((handle, tokio::spawn(work)))
}

impl Engine {
    async fn run(&mut self) {
        let owed: Vec<EffectKey> = self.world.runs.values().flat_map(Run::owed).collect();
        self.fetch_due().await;
        self.begin();
        self.world.tell_of_safe_mode();
        let mut turn = self.world.finish();
        turn.dispatch.extend(owed);
        self.conclude(turn).await;
        let mut gathered = Vec::new();
        while !self.is_over() {
            self.gather(&mut gathered).await;
            for event in &gathered {
                self.fetch_for(event).await;
            }
            self.fetch_due().await;
            self.begin();
            self.sweep().await;
            self.suspend_if_due();
            for event in gathered.drain(..) {
                self.step(event);
            }
            let turn = self.world.finish();
            self.conclude(turn).await;
            self.let_go_of_settled();
        }
        self.doors.executor.detach();
        if self.options.role == Role::Daemon && self.set_starts(&[]).await.is_err() {
            tracing::warn!("the next start will count this end as a crash");
        }
        if let Some(done) = self.ending.take().and_then(|ending| ending.done) {
            done.send(()).ok();
        }
    }

    /// A process that works on everything does not keep what has come to rest.
    fn let_go_of_settled(&mut self) {
        if !self.world.desk.settled.is_empty() {
            self.sweep_later();
        }
        for id in std::mem::take(&mut self.world.desk.settled) {
            let rests = |run: &Run| !run.is_open() && run.effects.is_empty() && run.timers == 0;
            if self.options.scope == Scope::All && self.world.runs.get(&id).is_some_and(rests) {
                self.world.runs.remove(&id);
            }
        }
    }

    fn suspend_if_due(&mut self) {
        let now = self.world.desk.now;
        if self.ending.as_ref().is_some_and(|ending| ending.deadline <= now) {
            self.world.suspend();
        }
    }

    fn begin(&mut self) {
        let now = self.doors.clock.now();
        self.world.begin(now);
    }

    /// What runs may come to its end, pull requests and merges included, as long as there is time;
    /// after that only attempts are waited for, which are being ended.
    fn is_over(&self) -> bool {
        let Some(ending) = &self.ending else {
            // Whoever watches one run does not wait for what will not start.
            let drained = self.options.role == Role::Attached && self.world.desk.draining;
            return drained && self.world.runs.values().all(|run| run.to_finish().is_empty());
        };
        let in_time = self.world.desk.now < ending.deadline;
        let keeps = |key: &EffectKey| in_time || key.verb == Verb::Attempt;
        ending.how == Shutdown::Detach
            || !self.world.runs.values().flat_map(Run::to_finish).any(|key| keeps(&key))
    }

    /// Waits for at least one event or the next deadline, and takes what else is there.
    async fn gather(&mut self, into: &mut Vec<Event>) {
        if !self.late.is_empty() {
            into.extend(self.late.drain(..));
            return;
        }
        let now = self.doors.clock.now();
        let deadline = self.ending.as_ref().map(|ending| ending.deadline).filter(|at| *at > now);
        match self.world.next_due().into_iter().chain(deadline).chain(self.next_sweep).min() {
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
                let submitted = self.submit(*submission, None);
                self.waiting.push(Waiting::Submitted(reply, submitted));
            }
            Event::Resubmit(resubmit, reply) => {
                let resubmitted = self.resubmit(*resubmit);
                self.waiting.push(Waiting::Resubmitted(reply, resubmitted));
            }
            Event::Command(command, reply) => {
                let answer = self.world.command(&command);
                self.waiting.push(Waiting::Answered(reply, answer));
            }
            Event::Global(command, reply) => {
                let goes_on = command.verb == GlobalVerb::Resume { project: None };
                if goes_on && self.ending.is_some() {
                    let failure = Failure::user("the process is ending");
                    let failure = failure.hint("`taskloom serve` starts another one");
                    return self.waiting.push(Waiting::Answered(reply, Err(failure)));
                }
                let answer = self.world.global(&command);
                if let GlobalVerb::Shutdown { within } = command.verb
                    && !command.dry_run
                {
                    self.end(Shutdown::EndAgents, within, None);
                }
                self.waiting.push(Waiting::Answered(reply, answer));
            }
            Event::Announce(notice, reply) => {
                self.world.announce(&notice);
                self.waiting.push(Waiting::Announced(reply));
            }
            Event::View(run, reply) => {
                let view = self.world.view(run);
                self.waiting.push(Waiting::Viewed(reply, Box::new(view)));
            }
            Event::Census(reply) => drop(reply.send(Box::new(self.census()))),
            Event::Report(key, report) => self.world.report(&key, report),
            Event::Drain => self.world.drain(),
            Event::Remember(on) => self.world.desk.remembers = on,
            Event::Policy(policy, reply) => {
                self.world.apply(*policy);
                self.waiting.push(Waiting::Applied(reply));
            }
            Event::Told(seq) => self.world.desk.batch.notices_done.push(seq),
            Event::Shutdown(how, done) => {
                self.world.drain();
                self.end(how, Duration::ZERO, Some(done));
            }
        }
    }

    fn census(&self) -> Census {
        let census = self.world.census(&self.tally);
        Census { draining: census.draining || self.ending.is_some(), ..census }
    }

    fn end(&mut self, how: Shutdown, within: Duration, done: Option<oneshot::Sender<()>>) {
        let deadline = self.world.desk.now + within;
        self.ending = Some(Ending { how, deadline, done });
        if how == Shutdown::EndAgents {
            self.suspend_if_due();
        }
    }

    fn resubmit(&mut self, resubmit: Resubmit) -> Resubmitted {
        let Resubmit { of, mut submission, dry_run } = resubmit;
        let missing = || Failure::user("the process at work does not drive that run");
        let old = self.world.runs.get(&of).ok_or_else(missing)?;
        let plans = old.with_plans(&mut submission.graph);
        let carried = old.carry(&self.world.desk, &submission.graph)?;
        let (summary, who) = (carried.summary.clone(), submission.submitter.clone());
        if dry_run {
            return Ok((None, summary));
        }
        let submitted = self.submit(submission, Some((of, plans, carried)));
        let verb = command::Verb::Cancel { task: None };
        let given_up = self.world.command(&Command { run: of, who, verb, dry_run: false });
        given_up.map(|_| (Some(submitted), summary))
    }

    fn submit(
        &mut self,
        submission: Submission,
        from: Option<(RunId, Plans, Carried)>,
    ) -> Submitted {
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
            options: submission.options.clone(),
            paused: false,
            cancelled: false,
            fatal: None,
            continues: from.as_ref().map(|(of, ..)| self.lineage(*of)).unwrap_or_default(),
            allowance: None,
            warned: false,
            waits_for: self.world.not_done(&submission.options.after),
            grown: from.as_ref().map(|(_, plans, _)| plans.grown.clone()).unwrap_or_default(),
            archived_at: None,
            attention: Attention::default(),
        };
        let info = RunInfo {
            id: record.id,
            name: record.name.clone(),
            project: submission.project,
            teardown: record.options.teardown.unwrap_or(submission.graph.settings().teardown),
            graph: submission.graph,
            source: submission.source,
            plans: from.as_ref().map(|(_, plans, _)| plans.sources.clone()).unwrap_or_default(),
            submitter: record.submitter.clone(),
            continues: record.continues.clone(),
        };
        let carried = from.map(|(.., carried)| carried);
        self.world.submit(Arc::new(info), record, carried)
    }

    /// A run and those that it goes on from, latest first.
    fn lineage(&self, of: RunId) -> Vec<RunName> {
        let run = self.world.runs.get(&of).map(|run| &run.record);
        run.into_iter()
            .flat_map(|r| std::iter::once(&r.name).chain(&r.continues))
            .cloned()
            .collect()
    }

    /// Keeps what the turn changed, then answers, hands out and announces. A store that fails is
    /// tried again for as long as it takes: what was stepped must not be forgotten.
    async fn conclude(&mut self, turn: Turn) {
        let Turn { batch, mut dispatch, messages } = turn;
        let journal: Arc<[Entry]> = batch.journal.clone().into();
        let notices = batch.notices.clone();
        crash::point("turn.begun");
        if !batch.is_empty() && !self.keep(batch).await {
            return;
        }
        crash::point("turn.kept");
        for waiting in self.waiting.drain(..) {
            match waiting {
                Waiting::Submitted(reply, submitted) => drop(reply.send(submitted)),
                Waiting::Resubmitted(reply, answer) => drop(reply.send(answer)),
                Waiting::Answered(reply, answer) => drop(reply.send(answer)),
                Waiting::Announced(reply) => drop(reply.send(())),
                Waiting::Viewed(reply, view) => drop(reply.send(*view)),
                Waiting::Applied(reply) => drop(reply.send(())),
            }
        }
        if !journal.is_empty() {
            drop(self.journal.send(journal));
        }
        // A command without a daemon shows none; the next process does.
        for (seq, text) in notices.into_iter().filter(|_| self.options.role != Role::Errand) {
            if let Ok(notice) = serde_json::from_str::<Notice>(&text) {
                self.announce(seq, notice);
            }
        }
        if self.world.desk.safe_mode.is_some() {
            return;
        }
        if self.options.role == Role::Errand {
            let told = |key: &EffectKey| messages.iter().any(|(told, _)| told == key);
            dispatch.retain(|key| !matches!(key.verb, Verb::Attempt | Verb::Watch));
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

    /// Keeps a batch, however long that takes; people can look and end the process meanwhile.
    /// Whether it was kept: if not, this process ends as if it had been killed before it.
    async fn keep(&mut self, batch: Batch) -> bool {
        let mut tries = 0;
        let taking = Stopwatch::start();
        while let Err(error) = self.doors.store.commit(&batch).await {
            self.tally.refused_commits += 1;
            if tries % STORE_COMPLAINTS == 0 {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "the store does not take changes; trying again");
            }
            tries += 1;
            self.show_waiting();
            let again = tokio::time::sleep(STORE_RETRY);
            tokio::pin!(again);
            loop {
                tokio::select! {
                    () = &mut again => break,
                    Some(event) = self.events.recv() => match event {
                        Event::View(run, reply) => drop(reply.send(self.world.view(run))),
                        Event::Census(reply) => {
                            let census = Census { store_takes_changes: false, ..self.census() };
                            drop(reply.send(Box::new(census)));
                        }
                        Event::Shutdown(_, done) => {
                            self.end(Shutdown::Detach, Duration::ZERO, Some(done));
                            return false;
                        }
                        event @ (Event::Submit(..)
                        | Event::Resubmit(..)
                        | Event::Command(..)
                        | Event::Global(..)
                        | Event::Announce(..)
                        | Event::Report(..)
                        | Event::Told(_)
                        | Event::Policy(..)
                        | Event::Remember(_)
                        | Event::Drain) => self.late.push_back(event),
                    },
                }
            }
        }
        self.tally.note(&self.world, &batch, taking.elapsed());
        true
    }

    /// Whoever only looks need not wait for the store.
    fn show_waiting(&mut self) {
        for waiting in std::mem::take(&mut self.waiting) {
            match waiting {
                Waiting::Viewed(reply, view) => drop(reply.send(*view)),
                other @ (Waiting::Submitted(..)
                | Waiting::Resubmitted(..)
                | Waiting::Applied(_)
                | Waiting::Announced(..)
                | Waiting::Answered(..)) => self.waiting.push(other),
            }
        }
    }

    fn hand_out(&self, key: EffectKey) {
        let Some(run) = self.world.runs.get(&key.run) else { return };
        let Some(effect) = run.effects.get(&key) else { return };
        let job = run.job(&self.world.desk, effect);
        let sender = self.sender.clone();
        let send = move |key: EffectKey, report: Report| {
            drop(sender.send(Event::Report(key, report)));
        };
        self.doors.executor.execute(job, Reporter::new(key, Arc::new(send)));
    }

    pub(super) fn announce(&self, seq: u64, notice: Notice) {
        drop(self.notices.send((seq, notice)));
    }
}

/// The name under which the store keeps the source of a graph or of a plan.
pub(super) fn digest(source: &str) -> String {
    Sha256::digest(source.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
