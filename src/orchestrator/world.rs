//! The one mutable state: every run that is being worked on, and what the runs share.
//!
//! Only [`crate::orchestrator::step`] changes it, and only from the engine's loop.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::graph::{Frontier, Graph, LaneIx, TaskIx};
use crate::ids::RunId;
use crate::orchestrator::desk::Place;
use crate::runner::{RunInfo, ToAttempt};
use crate::scheduler::{Key, Policy, ReadyIndex};
use crate::state::{
    Effect, EffectKey, Ending, LaneRecord, LaneState, Outcome, Part, RunRecord, RunState, Step,
    TaskRecord, TaskState, Usage, Verb,
};
use crate::store::StoredRun;
use crate::time::Timestamp;

pub(crate) use crate::orchestrator::desk::{BUDGETS, COOLDOWNS, Desk, HOLDS};

/// Everything that the engine works on.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) runs: BTreeMap<RunId, Run>,
    pub(crate) desk: Desk,
    pub(crate) next_run: i64,
}

/// One run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) info: Arc<RunInfo>,
    pub(crate) record: RunRecord,
    pub(crate) tasks: Vec<TaskRecord>,
    pub(crate) lanes: Vec<LaneRecord>,
    /// What each lane still needs to be merged.
    pub(crate) left: Vec<LaneLeft>,
    pub(crate) frontier: Frontier,
    pub(crate) ready: ReadyIndex,
    /// Lanes that have something to do and no integration branch yet.
    pub(crate) wanted: BTreeSet<LaneIx>,
    /// How many of its tasks hold a slot, and how many may; `None`: as many as its project's.
    pub(crate) running: u32,
    pub(crate) max_running: Option<u32>,
    /// Its place in the queue.
    pub(crate) place: Place,
    /// What is being done for it outside.
    pub(crate) effects: BTreeMap<EffectKey, Effect>,
    /// What all its tasks cost so far.
    pub(crate) usage: Usage,
    /// How many of the desk's timers are its own.
    pub(crate) timers: u32,
    /// When it is looked at for something that has waited too long.
    pub(crate) reminder: Option<Timestamp>,
    pub(crate) changed: Changed,
}

/// What a lane still needs to be merged, and what went wrong in it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LaneLeft {
    /// Tasks that have not ended well.
    pub(crate) tasks: u32,
    /// Child lanes that are not merged.
    pub(crate) children: u32,
    /// Tasks at a dead end.
    pub(crate) dead_ends: u32,
}

/// What changed in a run in this turn.
#[derive(Debug, Default)]
pub(crate) struct Changed {
    pub(crate) run: bool,
    pub(crate) lanes: BTreeSet<LaneIx>,
    pub(crate) tasks: Vec<TaskIx>,
    pub(crate) task_marks: Vec<bool>,
}

impl Changed {
    pub(crate) fn task(&mut self, task: TaskIx) {
        let mark = &mut self.task_marks[task.at()];
        if !*mark {
            *mark = true;
            self.tasks.push(task);
        }
    }
}

impl World {
    /// An empty world whose numbers go on where the store's end.
    pub(crate) fn new(counters: crate::store::Counters, policy: Policy, seed: u64) -> Self {
        let desk = Desk::new(counters.seq, policy, seed);
        Self { runs: BTreeMap::new(), desk, next_run: counters.run }
    }

    /// Adds a run as the store has it; everything derived is derived again.
    pub(crate) fn adopt(&mut self, info: Arc<RunInfo>, stored: StoredRun) {
        let mut run = Run::new(info, stored.run, &mut self.desk);
        for (ix, lane) in stored.lanes {
            run.lanes[ix.at()] = lane;
        }
        // Who reads beside the owner may see rows of tasks that a plan added a moment ago.
        for (ix, task) in stored.tasks {
            run.tasks.get_mut(ix.at()).into_iter().for_each(|row| *row = task.clone());
        }
        run.effects = stored.effects.into_iter().map(|e| (e.key(), e)).collect();
        run.derive(&mut self.desk);
        run.begin_waiting(&mut self.desk);
        run.tell_again(&mut self.desk);
        let id = run.info.id;
        self.desk.touched.insert(id);
        self.runs.insert(id, run);
        self.mind_adopted(id);
    }
}

impl Run {
    pub(crate) fn new(info: Arc<RunInfo>, record: RunRecord, desk: &mut Desk) -> Self {
        let graph = &info.graph;
        let max_running = record.options.max_concurrency.or(graph.settings().max_concurrency);
        let tasks = vec![TaskRecord::default(); graph.tasks().len()];
        let lanes = vec![LaneRecord::default(); graph.lanes().len()];
        let changed =
            Changed { task_marks: vec![false; graph.tasks().len()], ..Changed::default() };
        Self {
            left: graph.lane_ixs().map(|lane| LaneLeft::initial(graph, lane)).collect(),
            frontier: Frontier::new(graph),
            ready: ReadyIndex::new(graph),
            wanted: BTreeSet::new(),
            running: 0,
            max_running,
            place: Place::new(desk.queue.project(&record.project), graph.tasks().len()),
            effects: BTreeMap::new(),
            usage: Usage::default(),
            timers: 0,
            reminder: None,
            changed,
            record,
            tasks,
            lanes,
            info,
        }
    }

    /// Builds everything that follows from the records.
    pub(crate) fn derive(&mut self, desk: &mut Desk) {
        let info = self.info.clone();
        let graph = &info.graph;
        self.find_pools(desk);
        let costs = self.tasks.iter().filter_map(|task| task.more.as_ref());
        costs.for_each(|more| self.usage += more.usage);
        for lane in graph.lane_ixs() {
            let (state, due) = (self.lanes[lane.at()].state, self.lanes[lane.at()].not_before);
            let open = state.takes_tasks() && !self.is_undoing(lane);
            self.ready.set_open(lane, open);
            if let Some(at) = due {
                self.arm(desk, at, Part::Lane(lane));
            }
            if state == LaneState::Merged {
                self.frontier.satisfy_lane(graph, lane, |_| {});
                if let Some(parent) = graph.lane(lane).parent {
                    self.left[parent.at()].children -= 1;
                }
            }
        }
        for task in graph.order().iter().copied() {
            let state = self.tasks[task.at()].state;
            let lane = graph.task(task).lane;
            if self.releases_dependents(task, state) {
                self.frontier.satisfy_task(graph, task, |_| {});
            }
            if state.is_success() {
                self.left[lane.at()].tasks -= 1;
            }
            if state.is_dead_end() {
                self.left[lane.at()].dead_ends += 1;
            }
            self.enter_places(desk, task, state);
        }
        self.want_lanes();
    }

    /// What attempts were to be told, when the process may have died before it told them.
    pub(crate) fn tell_again(&self, desk: &mut Desk) {
        for key in self.effects.keys().filter(|key| key.verb == Verb::Attempt) {
            let Part::Task(task) = key.part else { continue };
            let record = &self.tasks[task.at()];
            if let Some(why) = record.ending() {
                desk.messages.push((*key, told_to_end(why)));
            } else {
                let steers = record.more.iter().flat_map(|more| &more.steers);
                let steers = steers.map(|steer| (*key, ToAttempt::Steer(steer.clone())));
                desk.messages.extend(steers);
            }
        }
    }

    /// Lanes without an integration branch that have something to do.
    fn want_lanes(&mut self) {
        for lane in self.info.graph.lane_ixs() {
            let left = self.left[lane.at()];
            let idle = left.tasks == 0 && left.children == 0;
            if self.lanes[lane.at()].state == LaneState::Pending
                && (idle || self.ready.has_ready(lane))
                && !self.effects.contains_key(
                    &Effect::PrepareLane { run: self.info.id, lane, from: None }.key(),
                )
            {
                self.wanted.insert(lane);
            }
        }
    }

    pub(crate) fn graph(&self) -> &Graph {
        &self.info.graph
    }

    /// Where a task stands among ready ones.
    pub(crate) fn key(&self, task: TaskIx) -> Key {
        let graph = self.graph();
        let set = self.tasks[task.at()].priority;
        (set.unwrap_or(graph.task(task).priority), graph.rank(task))
    }

    /// Whether dependents need not wait for `task` any more.
    pub(crate) fn releases_dependents(&self, task: TaskIx, state: TaskState) -> bool {
        use crate::graph::OnFailure;
        let goes_on = self.graph().task(task).on_failure == OnFailure::Continue;
        state.is_success() || (goes_on && matches!(state, TaskState::Failed { .. }))
    }

    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.record.state.outcome()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.record.state == RunState::Open
    }

    /// Takes the places that go with a state: slot, lane, ready index, timer.
    pub(crate) fn enter_places(&mut self, desk: &mut Desk, task: TaskIx, state: TaskState) {
        let lane = self.graph().task(task).lane;
        if uses_slot(state) {
            self.running += 1;
            let by = self.done_by(desk, task);
            desk.queue.enter(self.place.project, by);
        }
        if uses_lane(state) {
            self.ready.occupy(lane);
        }
        if let Some(at) = self.alarm(task, state) {
            self.arm(desk, at, Part::Task(task));
        } else if state == TaskState::Ready {
            self.ready.insert(lane, self.place.pool(task), self.key(task));
        }
    }

    /// Gives back the places that go with a state.
    pub(crate) fn leave_places(&mut self, desk: &mut Desk, task: TaskIx, state: TaskState) {
        let lane = self.graph().task(task).lane;
        if uses_slot(state) {
            self.running -= 1;
            let by = self.done_by(desk, task);
            desk.queue.leave(self.place.project, by);
        }
        if uses_lane(state) {
            self.ready.vacate(lane);
        }
        if let Some(at) = self.alarm(task, state) {
            self.disarm(desk, at, Part::Task(task));
        } else if state == TaskState::Ready {
            self.ready.remove(lane, self.place.pool(task), self.key(task));
        }
    }

    /// When something is due for a task in a state.
    fn alarm(&self, task: TaskIx, state: TaskState) -> Option<Timestamp> {
        if let TaskState::Paused { until, .. } = state {
            return until;
        }
        self.tasks[task.at()].not_before
    }

    pub(crate) fn arm(&mut self, desk: &mut Desk, at: Timestamp, part: Part) {
        if desk.timers.insert((at, self.info.id, part)) {
            self.timers += 1;
        }
    }

    pub(crate) fn disarm(&mut self, desk: &mut Desk, at: Timestamp, part: Part) {
        if desk.timers.remove(&(at, self.info.id, part)) {
            self.timers -= 1;
        }
    }
}

impl LaneLeft {
    pub(crate) fn initial(graph: &Graph, lane: LaneIx) -> Self {
        Self {
            tasks: graph.lane_tasks(lane).len() as u32,
            children: graph.lane_children(lane).len() as u32,
            dead_ends: 0,
        }
    }
}

/// What an attempt under way is told that is to end.
pub(crate) fn told_to_end(why: Ending) -> ToAttempt {
    match why {
        Ending::Budget => ToAttempt::Halt,
        Ending::Stop | Ending::Cancel | Ending::Suspend | Ending::Pause => ToAttempt::Stop,
    }
}

/// An attempt's process lives, or is about to. Waiting for a person's answer holds no slot: it may
/// take days.
pub(crate) fn uses_slot(state: TaskState) -> bool {
    matches!(state, TaskState::Running { step, .. } if step != Step::PrOpening)
}

/// A task holds its place in the lane until its work is merged, so that in a serial lane each
/// task builds on the one before; not while it waits for an approval, which may take days.
pub(crate) fn uses_lane(state: TaskState) -> bool {
    matches!(
        state,
        TaskState::Running { .. }
            | TaskState::WaitingInput { .. }
            | TaskState::PrCreated { .. }
            | TaskState::Merging { .. }
    )
}
