//! What readers get: a copy of a run with everything derived, among it why each task waits.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::graph::{LaneIx, TaskIx};
use crate::ids::RunId;
use crate::orchestrator::world::{Desk, Run, World};
use crate::runner::RunInfo;
use crate::scheduler::{Full, WaitingOn};
use crate::state::{
    BlockedOn, LaneRecord, LaneState, RunRecord, TaskRecord, TaskState, Usage, Verb,
};

/// A run as it is now.
#[derive(Debug, Clone)]
pub struct RunView {
    /// What never changes.
    pub info: Arc<RunInfo>,
    /// The run.
    pub run: RunRecord,
    /// Its tasks, in the order of the file.
    pub tasks: Vec<TaskRecord>,
    /// Its lanes, in the order of the file.
    pub lanes: Vec<LaneRecord>,
    /// Why each task does not run; `None` for those that run or are done.
    pub waiting: Vec<Option<WaitingOn>>,
    /// What keeps all of it from starting anything, if something does.
    pub held: Option<WaitingOn>,
    /// Whether a process works on it.
    pub driven: bool,
    /// Whether something besides attempts is being done for it: a merge, a check.
    pub merging: bool,
}

/// What is derived of a run from everything that goes on beside it: who holds the slots, what
/// cools down, what drains.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Reasons {
    waiting: Vec<Option<WaitingOn>>,
    held: Option<WaitingOn>,
    driven: bool,
    merging: bool,
}

impl RunView {
    /// What the process that works on it derived, for those who read it from the store.
    pub fn reasons(self) -> Reasons {
        let Self { waiting, held, driven, merging, .. } = self;
        Reasons { waiting, held, driven, merging }
    }

    /// The same with what that process derived. What is about another state of the run than was
    /// read changes nothing.
    #[must_use]
    pub fn because(self, reasons: Reasons) -> Self {
        let Reasons { waiting, held, driven, merging } = reasons;
        let same = |ours: &Option<_>, theirs: &Option<_>| ours.is_some() == theirs.is_some();
        let agree = self.waiting.len() == waiting.len()
            && self.waiting.iter().zip(&waiting).all(|(ours, theirs)| same(ours, theirs));
        if agree { Self { waiting, held, driven, merging, ..self } } else { self }
    }

    /// What its tasks used.
    pub fn used(&self) -> Usage {
        self.tasks.iter().filter_map(|task| task.more.as_ref()).map(|more| more.usage).sum()
    }

    /// The same when no process works on the run: what would start now does not.
    pub(crate) fn left_alone(mut self) -> Self {
        self.driven = false;
        for waiting in &mut self.waiting {
            if waiting.as_ref().is_some_and(WaitingOn::is_its_turn) {
                *waiting = Some(WaitingOn::NotAttached);
            }
        }
        self
    }
}

impl World {
    /// A copy of a run.
    pub(crate) fn view(&self, id: RunId) -> Option<RunView> {
        let run = self.runs.get(&id)?;
        let tasks = 0..run.tasks.len() as u32;
        Some(RunView {
            info: run.info.clone(),
            run: run.record.clone(),
            tasks: run.tasks.clone(),
            lanes: run.lanes.clone(),
            waiting: tasks.map(|t| run.waiting_on(&self.desk, TaskIx(t))).collect(),
            held: run.held_by(&self.desk),
            driven: true,
            merging: run.to_finish().iter().any(|key| key.verb != Verb::Attempt),
        })
    }
}

impl Run {
    /// Why a task does not run now. The conditions are those of the plan, in its order.
    pub(crate) fn waiting_on(&self, desk: &Desk, task: TaskIx) -> Option<WaitingOn> {
        let record = &self.tasks[task.at()];
        match record.state {
            TaskState::Running { .. }
            | TaskState::Merging { .. }
            | TaskState::Merged
            | TaskState::Completed
            | TaskState::Skipped
            | TaskState::Cancelled => None,
            TaskState::Defined => Some(self.what_is_missing(task)),
            TaskState::Ready => Some(self.why_not_started(desk, task)),
            TaskState::WaitingInput { .. } => Some(WaitingOn::Answer),
            TaskState::Paused { until, why } => Some(WaitingOn::Parked { until, why }),
            TaskState::PrCreated { .. } => {
                let queue = &self.lanes[self.graph().task(task).lane.at()].queue;
                match queue.iter().position(|queued| *queued == task) {
                    Some(ahead) => Some(WaitingOn::MergeQueue { ahead }),
                    None => Some(WaitingOn::Forge { holds: record.holds() }),
                }
            }
            TaskState::AwaitingApproval { .. } => Some(match record.held() {
                Some(why) => WaitingOn::Held { why: why.to_owned() },
                None => WaitingOn::Approval,
            }),
            TaskState::AwaitingPlanApproval { .. } => {
                let plan = record.plan();
                let broken = plan.is_none_or(|plan| plan.problem.is_some());
                let steps = plan.map_or(0, |plan| plan.steps.len());
                Some(WaitingOn::PlanApproval { steps: (!broken).then_some(steps) })
            }
            TaskState::Failed { .. } => Some(WaitingOn::Failed),
            TaskState::Blocked { on: BlockedOn::Task(root) } => {
                Some(WaitingOn::Upstream { task: self.graph().task(root).id.clone() })
            }
            TaskState::Blocked { on: BlockedOn::Operator } => Some(WaitingOn::Stopped),
            TaskState::Stale => Some(WaitingOn::Stale),
        }
    }

    /// A task that is not ready waits for tasks, and when those are done for lanes.
    fn what_is_missing(&self, task: TaskIx) -> WaitingOn {
        let graph = self.graph();
        let missing = graph.parents(task).iter().filter_map(|parent| {
            let state = self.tasks[parent.at()].state;
            let done = self.releases_dependents(*parent, state);
            (!done).then(|| (graph.task(*parent).id.clone(), state.word().into()))
        });
        let tasks: Vec<_> = missing.collect();
        if !tasks.is_empty() {
            return WaitingOn::Dependencies { tasks };
        }
        let unmerged = |lane: &&LaneIx| self.lanes[lane.at()].state != LaneState::Merged;
        match graph.upstream_lanes(task).iter().find(unmerged) {
            Some(lane) => WaitingOn::UpstreamLane {
                lane: graph.lane(*lane).id.clone(),
                state: self.lanes[lane.at()].state.word().into(),
                because: self.what_holds_up(*lane),
            },
            None => WaitingOn::Turn,
        }
    }

    /// What keeps a lane from being merged.
    fn what_holds_up(&self, lane: LaneIx) -> Option<String> {
        let left = self.left[lane.at()];
        if left.dead_ends > 0 {
            let graph = self.graph();
            let dead = |t: &&TaskIx| self.tasks[t.at()].state.is_dead_end();
            let task = graph.lane_tasks(lane).iter().find(dead)?;
            let state = self.tasks[task.at()].state.word();
            return Some(format!("its task `{}` is {state}", graph.task(*task).id));
        }
        match (left.tasks, left.children) {
            (0, 0) => self.lanes[lane.at()].failure.clone(),
            (0, n) => Some(format!("{n} nested lane(s) are not merged")),
            (n, _) => Some(format!("{n} of its tasks are not done")),
        }
    }

    /// A ready task waits for its run, a place or its lane.
    fn why_not_started(&self, desk: &Desk, task: TaskIx) -> WaitingOn {
        if let Some(until) = self.tasks[task.at()].not_before {
            return WaitingOn::Backoff { until };
        }
        if self.record.fatal.is_some() {
            return WaitingOn::Fatal;
        }
        if let Some(held) = self.held_by(desk) {
            return held;
        }
        if let Some(reason) = self.why_lane_closed(self.graph().task(task).lane) {
            return reason;
        }
        if self.max_running.is_some_and(|max| self.running >= max) {
            return WaitingOn::RunFull { running: self.running };
        }
        if let Some(until) = desk.quiet_until {
            return WaitingOn::QuietHours { until };
        }
        match desk.queue.why_not(self.place.project, self.place.pool_ix(task)) {
            Some(Full::Slots(running)) => WaitingOn::SlotsFull { running },
            Some(Full::Project(running)) => WaitingOn::ProjectFull { running },
            Some(Full::Profile(profile, running)) => WaitingOn::ProfileFull { profile, running },
            Some(Full::Cooling(profile, until)) => WaitingOn::CoolingDown { profile, until },
            Some(Full::Budget(project, until)) => WaitingOn::Budget { project, until },
            None => WaitingOn::Turn,
        }
    }

    /// What keeps the whole run from starting anything.
    fn held_by(&self, desk: &Desk) -> Option<WaitingOn> {
        if let Some(why) = &desk.safe_mode {
            return Some(WaitingOn::SafeMode { why: why.clone() });
        }
        if let Some(hold) = &desk.holds.all {
            return Some(WaitingOn::AllPaused { by: hold.by.clone() });
        }
        if let Some(hold) = desk.holds.projects.get(&self.record.project) {
            return Some(WaitingOn::ProjectPaused { by: hold.by.clone() });
        }
        if self.record.paused {
            return Some(WaitingOn::RunPaused);
        }
        if let Some(after) = self.record.waits_for.first() {
            let (run, task) = (after.name.clone(), after.task.clone());
            return Some(WaitingOn::OtherRun { run, task });
        }
        if self.is_over_budget() {
            return Some(WaitingOn::RunBudget);
        }
        desk.starts_nothing().then_some(WaitingOn::Draining)
    }

    fn why_lane_closed(&self, lane: LaneIx) -> Option<WaitingOn> {
        let graph = self.graph();
        let state = self.lanes[lane.at()].state;
        let id = || graph.lane(lane).id.clone();
        if state == LaneState::Pending {
            if self.fails_fast() {
                return Some(WaitingOn::FailFast);
            }
            let parent = graph.lane(lane).parent;
            let closed = parent.filter(|p| !self.lanes[p.at()].state.is_active_or_later());
            if let Some(parent) = closed {
                let state = self.lanes[parent.at()].state.word().into();
                return Some(WaitingOn::AncestorLane {
                    lane: graph.lane(parent).id.clone(),
                    state,
                });
            }
        }
        if !state.takes_tasks() {
            return Some(WaitingOn::OwnLane { lane: id(), state: state.word().into() });
        }
        self.ready
            .is_full(lane)
            .then(|| WaitingOn::LaneFull { lane: id(), running: self.ready.running(lane) })
    }
}
