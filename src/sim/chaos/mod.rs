//! Random schedules: the real core of the engine against an outside that remembers, with crashes,
//! outside trouble and an operator who changes his mind. Everything follows from a seed.
//!
//! What must hold is in `oracle`; this file only decides what happens next.

mod graphs;
mod oracle;
mod others;
mod outside;

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use crate::entropy::Entropy;
use crate::graph::{self, Graph};
use crate::ids::{RunId, RunName, TaskId};
use crate::orchestrator::growth;
use crate::orchestrator::step::Turn;
use crate::orchestrator::world::World;
use crate::orchestrator::{Command, GlobalCommand, GlobalVerb, OnPlan, Target, Undo, Verb};
use crate::runner::{Report, RunInfo, ToAttempt};
use crate::scheduler::Policy;
use crate::state::{
    self, Attention, Effect, EffectKey, LaneState, Part, ProjectRecord, RunOptions, RunRecord,
    RunState, TaskState,
};
use crate::store::{MemoryStore, Store as _, StoredRun};
use crate::time::Timestamp;

use oracle::Violation;
use outside::Outside;

/// How many things happen before the world is left to come to rest.
const DISTURBANCES: u64 = 120;

/// How many rounds a run may take to come to rest after that.
const ROUNDS_MAX: u32 = 4000;

const SUBMITTER: &str = "ada";

/// What an exploration was like.
#[derive(Debug, Clone, Copy, Default)]
pub struct Explored {
    /// Turns of the loop.
    pub turns: u32,
    /// Processes that died.
    pub crashes: u32,
    /// Verbs that changed something.
    pub verbs: u32,
    /// Attempts that were begun.
    pub attempts: u32,
    /// Plans that became tasks.
    pub plans: u32,
}

/// Plays the schedule of `seed`; the promise that it broke, if it broke one.
pub fn explore(seed: u64) -> Result<Explored, String> {
    let mut chaos = Chaos::begin(seed);
    let played = chaos.play();
    played.map_err(|violation| {
        let story = chaos.story.iter().cloned().collect::<Vec<_>>().join("\n");
        format!("seed {seed}: {violation}\n\n{}\n{story}", chaos.submitted.source)
    })?;
    chaos.explored.plans = u32::try_from(chaos.info().plans.len()).unwrap_or(u32::MAX);
    Ok(chaos.explored)
}

/// Polls a future that never waits: the store in memory.
fn now<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("BUG: a store in memory never waits"),
    }
}

/// An event on its way to the engine. It is lost when the process dies.
enum Event {
    Report(EffectKey, Report),
    Command(Command),
    Global(GlobalCommand),
}

pub(crate) struct Chaos {
    dice: Entropy,
    store: MemoryStore,
    pub(crate) world: World,
    pub(crate) outside: Outside,
    /// The run as it was submitted.
    submitted: Arc<RunInfo>,
    slots: u32,
    clock: Timestamp,
    inbox: VecDeque<Event>,
    /// Jobs that this process was handed and has not done.
    jobs: Vec<Effect>,
    explored: Explored,
    /// The last things that happened.
    story: VecDeque<String>,
}

impl Chaos {
    fn begin(seed: u64) -> Self {
        let mut dice = Entropy::seeded(seed);
        let (source, graph) = graphs::draw(&mut dice);
        let info = Arc::new(run_info(source, graph));
        let store = MemoryStore::default();
        let slots = 1 + dice.below(4) as u32;
        let counters = now(store.counters()).expect("BUG: memory");
        let world = World::new(counters, Policy::of_slots(slots), seed);
        let outside = Outside::new(seed);
        Self {
            dice,
            store,
            world,
            outside,
            submitted: info,
            slots,
            clock: Timestamp(1_000_000),
            inbox: VecDeque::new(),
            jobs: Vec::new(),
            explored: Explored::default(),
            story: VecDeque::new(),
        }
    }

    fn play(&mut self) -> Result<(), Violation> {
        self.world.begin(self.clock);
        self.world.submit(self.submitted.clone(), record(&self.submitted), None);
        self.conclude(false)?;
        for _ in 0..DISTURBANCES {
            self.disturb()?;
        }
        self.outside.calm();
        for _ in 0..ROUNDS_MAX {
            if self.settle_down()? {
                return oracle::at_rest(self);
            }
        }
        Err(Violation::new("the run never comes to rest", &self.describe()))
    }

    fn tell(&mut self, what: String) {
        self.story.push_back(what);
        if self.story.len() > 400 {
            self.story.pop_front();
        }
    }

    fn disturb(&mut self) -> Result<(), Violation> {
        match self.dice.below(100) {
            0..40 => self.work(),
            40..70 => self.turn(),
            70..84 => {
                self.ask();
                Ok(())
            }
            84..92 => {
                self.pass_time();
                self.turn()
            }
            92..96 => {
                // Whoever watches looks again.
                let run = &self.world.runs[&RunId(1)];
                let watched = run.effects.values().filter(|e| e.key().verb == state::Verb::Watch);
                self.jobs.extend(watched.cloned().collect::<Vec<_>>());
                Ok(())
            }
            _ => self.crash(),
        }
    }

    /// Something goes on outside: a job is done, or an agent does something.
    fn work(&mut self) -> Result<(), Violation> {
        let jobs = self.jobs.len() as u64;
        let agents = self.outside.connected();
        let pick = self.dice.below(jobs + agents.len() as u64);
        if pick < jobs {
            let job = self.jobs.swap_remove(pick as usize);
            oracle::may_do(self, &job)?;
            let report = self.outside.carry_out(&self.info(), &job);
            self.tell(format!("  outside: {} -> {report:?}", job.key()));
            self.inbox.push_back(Event::Report(job.key(), report));
        } else if let Some(key) = agents.get((pick - jobs) as usize) {
            for report in self.outside.act(*key) {
                self.tell(format!("  agent: {key} -> {report:?}"));
                self.inbox.push_back(Event::Report(*key, report));
            }
        }
        Ok(())
    }

    /// A person asks for something, sensible or not.
    fn ask(&mut self) {
        if self.dice.below(12) == 0 {
            let project = (self.dice.below(2) == 0).then(|| self.info().project.id.clone());
            let verb = match self.dice.below(2) {
                0 => GlobalVerb::Pause { project },
                _ => GlobalVerb::Resume { project },
            };
            return self.global(verb);
        }
        let info = self.info();
        let graph = &info.graph;
        let task = graph.tasks()[self.dice.below(graph.tasks().len() as u64) as usize].id.clone();
        let lane = graph.lanes()[self.dice.below(graph.lanes().len() as u64) as usize].id.clone();
        let target =
            if self.dice.below(2) == 0 { Target::Task(task.clone()) } else { Target::Lane(lane) };
        let verb = match self.dice.below(22) {
            0..3 => {
                let (note, fresh) = (Some("again".to_owned()), self.dice.below(2) == 0);
                let downstream = self.dice.below(2) == 0;
                Verb::Retry { target, note, fresh, downstream }
            }
            3..5 => Verb::Skip { task, reason: None },
            5..7 => Verb::Stop { task },
            7 => Verb::Cancel { task: (self.dice.below(8) > 0).then_some(task) },
            8 => Verb::Pause { task: (self.dice.below(2) > 0).then_some(task) },
            9 => Verb::Resume { task: (self.dice.below(2) > 0).then_some(task) },
            10 => Verb::Approve { target, commit: None },
            11 => Verb::Reject { target, commit: None, note: None },
            12..14 => Verb::Rewind { task, note: None, downstream: self.dice.below(2) == 0 },
            14 => Verb::Steer { task, text: "use the ledger".to_owned() },
            15 => Verb::Reprioritise { task, priority: self.dice.below(3) as i32 },
            20 | 21 => Verb::Plan { task, what: self.on_plan(), shown: None },
            16 | 17 => Verb::Answer { task, text: "yes".to_owned() },
            _ => Verb::Undo { what: self.undo(task, target) },
        };
        self.command(verb);
    }

    fn on_plan(&mut self) -> OnPlan {
        match self.dice.below(6) {
            0 => OnPlan::Discard,
            1 => OnPlan::Change { note: "smaller".to_owned() },
            2 => OnPlan::Edit { text: "## Another\n\nWhat a person wants instead.\n".to_owned() },
            _ => OnPlan::Approve,
        }
    }

    fn undo(&mut self, task: TaskId, target: Target) -> Undo {
        match (self.dice.below(12), target) {
            (0, _) => Undo::Run,
            (1, Target::Lane(lane)) => Undo::TearDown { lane },
            (_, Target::Lane(lane)) => Undo::Lane { lane },
            (2..6, Target::Task(_)) => Undo::After { task },
            (_, Target::Task(_)) => Undo::Task { task },
        }
    }

    fn command(&mut self, verb: Verb) {
        let who = if self.dice.below(2) == 0 { SUBMITTER } else { "bob" };
        let command = Command { run: RunId(1), who: who.to_owned(), verb, dry_run: false };
        self.inbox.push_back(Event::Command(command));
    }

    fn global(&mut self, verb: GlobalVerb) {
        let command = GlobalCommand { who: SUBMITTER.to_owned(), verb, dry_run: false };
        self.inbox.push_back(Event::Global(command));
    }

    fn pass_time(&mut self) {
        if let Some(due) = self.world.next_due() {
            self.clock = self.clock.max(due);
        }
    }

    /// One turn of the loop, with what has gathered.
    fn turn(&mut self) -> Result<(), Violation> {
        self.clock = Timestamp(self.clock.0 + 1);
        let gathered = self.dice.below(4) as usize + 1;
        self.world.begin(self.clock);
        for _ in 0..gathered {
            let Some(event) = self.inbox.pop_front() else { break };
            match event {
                Event::Report(key, report) => {
                    self.tell(format!("report {key}"));
                    self.world.report(&key, report);
                }
                Event::Command(command) => {
                    let answer = self.world.command(&command);
                    self.tell(format!("{:?} -> {answer:?}", command.verb));
                    let changed = answer.is_ok_and(|receipt| receipt.changed);
                    self.explored.verbs += u32::from(changed);
                }
                Event::Global(command) => {
                    let answer = self.world.global(&command);
                    self.tell(format!("{:?} -> {answer:?}", command.verb));
                }
            }
        }
        let dies = self.outside.is_wild() && self.dice.below(40) == 0;
        self.conclude(dies)
    }

    /// Keeps what the turn changed and hands out what it decided. A process may die before either.
    fn conclude(&mut self, dies: bool) -> Result<(), Violation> {
        let Turn { batch, dispatch, messages } = self.world.finish();
        self.explored.turns += 1;
        oracle::planned_once(self)?;
        if dies && self.dice.below(2) == 0 {
            return self.crash();
        }
        now(self.store.commit(&batch)).expect("BUG: memory");
        if dies {
            return self.crash();
        }
        self.act_on(dispatch, messages)
    }

    /// Hands out and passes on what is durable.
    fn act_on(
        &mut self,
        dispatch: impl IntoIterator<Item = EffectKey>,
        messages: Vec<(EffectKey, ToAttempt)>,
    ) -> Result<(), Violation> {
        for key in dispatch {
            self.hand_out(key)?;
        }
        for (key, message) in messages {
            self.pass_on(key, &message);
        }
        oracle::always(self)
    }

    fn hand_out(&mut self, key: EffectKey) -> Result<(), Violation> {
        let run = &self.world.runs[&RunId(1)];
        let Some(effect) = run.effects.get(&key).cloned() else { return Ok(()) };
        self.tell(format!("  hand out {key}"));
        if !matches!(effect, Effect::Attempt { .. }) {
            self.jobs.push(effect);
            return Ok(());
        }
        oracle::may_launch(self, key)?;
        let run = &self.world.runs[&RunId(1)];
        let Part::Task(task) = key.part else { panic!("BUG: a lane has no attempts") };
        let more = run.tasks[task.at()].more.as_ref();
        let answer = more.is_some_and(|more| more.answer.is_some());
        self.explored.attempts += u32::from(self.outside.attach(key));
        if answer && self.outside.answer_at_hand(key) {
            self.inbox.push_back(Event::Report(key, Report::Answered));
        }
        Ok(())
    }

    fn pass_on(&mut self, key: EffectKey, message: &ToAttempt) {
        for report in self.outside.hear(key, message) {
            self.tell(format!("  {message:?} to {key} -> {report:?}"));
            self.inbox.push_back(Event::Report(key, report));
        }
    }

    /// The process dies; another one takes over from the store.
    fn crash(&mut self) -> Result<(), Violation> {
        self.explored.crashes += 1;
        self.tell("-- crash --".to_owned());
        self.inbox.clear();
        self.jobs.clear();
        self.outside.detach();
        self.world = self.loaded();
        if self.world.runs.is_empty() {
            // It died before the submission was durable: the person submits again.
            self.world.begin(self.clock);
            self.world.submit(self.submitted.clone(), record(&self.submitted), None);
            return self.conclude(false);
        }
        let owed = self.world.runs[&RunId(1)].owed();
        self.world.begin(self.clock);
        let Turn { batch, dispatch, messages } = self.world.finish();
        now(self.store.commit(&batch)).expect("BUG: memory");
        self.act_on(dispatch.into_iter().chain(owed), messages)
    }

    /// The world as a new process finds it.
    pub(crate) fn loaded(&self) -> World {
        let counters = now(self.store.counters()).expect("BUG: memory");
        let mut world = World::new(counters, Policy::of_slots(self.slots), 7);
        now(world.restore(&self.store, self.clock)).expect("BUG: memory");
        if let Some(stored) = now(self.store.load(RunId(1))).expect("BUG: memory") {
            world.adopt(Arc::new(self.as_stored(&stored)), stored);
        }
        world
    }

    /// The run as it is, with what plans added.
    pub(crate) fn info(&self) -> Arc<RunInfo> {
        let run = self.world.runs.get(&RunId(1));
        run.map_or_else(|| self.submitted.clone(), |run| run.info.clone())
    }

    /// The run as a store has it.
    fn as_stored(&self, stored: &StoredRun) -> RunInfo {
        let mut info = RunInfo::clone(&self.submitted);
        let graph = growth::grown(info.graph, &stored.run.grown, &stored.plans);
        info.graph = graph.expect("BUG: it was written so");
        info.plans.clone_from(&stored.plans);
        info
    }

    /// Everybody helps the run to its end: agents work, people answer and approve. Whether it is
    /// there.
    fn settle_down(&mut self) -> Result<bool, Violation> {
        while !self.jobs.is_empty() || !self.outside.connected().is_empty() {
            self.work()?;
        }
        if !self.inbox.is_empty() {
            self.turn()?;
            return Ok(false);
        }
        let held = self.world.desk.holds.clone();
        if held.all.is_some() {
            self.global(GlobalVerb::Resume { project: None });
            return Ok(false);
        }
        if let Some(project) = held.projects.into_keys().next() {
            self.global(GlobalVerb::Resume { project: Some(project) });
            return Ok(false);
        }
        let looks = self.looks_owed();
        if !looks.is_empty() {
            self.jobs.extend(looks);
            return Ok(false);
        }
        let verbs = self.what_people_owe();
        if !verbs.is_empty() {
            verbs.into_iter().for_each(|verb| self.command(verb));
            return Ok(false);
        }
        let due = self.world.next_due().is_some();
        self.pass_time();
        self.turn()?;
        let run = &self.world.runs[&RunId(1)];
        Ok(!due
            && self.inbox.is_empty()
            && self.jobs.is_empty()
            && run.record.state != RunState::Open)
    }

    /// Pull requests at which another look is needed before anything goes on.
    fn looks_owed(&self) -> Vec<Effect> {
        let run = &self.world.runs[&RunId(1)];
        let owed = run.effects.values().filter(|effect| {
            let (watched, waits) = match effect.key().part {
                Part::Task(task) => {
                    let record = &run.tasks[task.at()];
                    let waits = record.state.pull().is_some();
                    (record.more.as_ref().and_then(|more| more.watched.clone()), waits)
                }
                Part::Lane(lane) => {
                    let record = &run.lanes[lane.at()];
                    (record.watched.clone(), record.state.has_pull())
                }
            };
            effect.key().verb == state::Verb::Watch
                && waits
                && watched.is_none_or(|watched| watched.waits() || !watched.unheard().is_empty())
        });
        owed.cloned().collect()
    }

    fn what_people_owe(&self) -> Vec<Verb> {
        let run = &self.world.runs[&RunId(1)];
        // What is being taken back takes no decision.
        let undoing = self.info().graph.lane_ixs().any(|lane| run.is_undoing(lane));
        if run.record.cancelled || undoing {
            return Vec::new();
        }
        let mut verbs = Vec::new();
        if run.record.paused {
            verbs.push(Verb::Resume { task: None });
        }
        for (task, record) in self.info().graph.tasks().iter().zip(&run.tasks) {
            let id = task.id.clone();
            let state = record.state;
            if matches!(state, TaskState::WaitingInput { .. }) && record.ending().is_none() {
                verbs.push(Verb::Answer { task: id, text: "yes".to_owned() });
            } else if matches!(state, TaskState::AwaitingApproval { .. }) {
                verbs.push(Verb::Approve { target: Target::Task(id), commit: None });
            } else if matches!(state, TaskState::Paused { .. }) {
                verbs.push(Verb::Resume { task: Some(id) });
            } else if matches!(state, TaskState::AwaitingPlanApproval { .. }) {
                let broken = record.plan().is_none_or(|plan| plan.problem.is_some());
                let what = if broken { OnPlan::Discard } else { OnPlan::Approve };
                verbs.push(Verb::Plan { task: id, what, shown: None });
            }
        }
        for (lane, record) in self.info().graph.lanes().iter().zip(&run.lanes) {
            if record.state == LaneState::AwaitingApproval {
                verbs.push(Verb::Approve { target: Target::Lane(lane.id.clone()), commit: None });
            }
        }
        verbs
    }

    pub(crate) fn describe(&self) -> String {
        let view = self.world.view(RunId(1)).expect("BUG: the run is there");
        let mut lines = vec![format!("run {}", view.run.state)];
        for (task, record) in self.info().graph.tasks().iter().zip(&view.tasks) {
            lines.push(format!("{} {} {:?}", task.id, record.state, record.more));
        }
        for (lane, record) in self.info().graph.lanes().iter().zip(&view.lanes) {
            lines.push(format!("lane {} {} {:?}", lane.id, record.state, record.queue));
        }
        let effects = self.world.runs[&RunId(1)].effects.keys();
        lines.extend(effects.map(|key| format!("owed {key}")));
        lines.join("\n")
    }
}

fn run_info(source: String, graph: Graph) -> RunInfo {
    RunInfo {
        id: RunId(1),
        name: RunName { graph: graph.name().clone(), number: 1 },
        project: ProjectRecord::new("shop".parse().expect("BUG: a name"), "/nowhere", "main"),
        teardown: graph::Teardown::Always,
        graph,
        source,
        plans: Vec::new(),
        submitter: SUBMITTER.to_owned(),
        continues: Vec::new(),
    }
}

fn record(info: &RunInfo) -> RunRecord {
    RunRecord {
        id: info.id,
        project: info.project.id.clone(),
        name: info.name.clone(),
        graph_digest: "digest".to_owned(),
        state: RunState::Open,
        created_at: Timestamp(0),
        since: Timestamp(0),
        submitter: SUBMITTER.to_owned(),
        options: RunOptions::default(),
        paused: false,
        cancelled: false,
        fatal: None,
        allowance: None,
        warned: false,
        waits_for: Vec::new(),
        continues: Vec::new(),
        grown: Vec::new(),
        archived_at: None,
        attention: Attention::default(),
    }
}
