//! What starts now, what is due, and when a run has come to rest.

use crate::graph::{LaneIx, TaskIx};
use crate::ids::RunId;
use crate::orchestrator::world::{Desk, Run, World};
use crate::scheduler::Next;
use crate::state::{
    EffectKey, LaneEvent, LaneFailure, LaneState, Outcome, Part, RunEvent, Subject, TaskRecord,
    TaskState, Verb, What,
};
use crate::time::Timestamp;

impl World {
    /// Everything whose time has come.
    pub(crate) fn fire_timers(&mut self) {
        while let Some((at, run, part)) = self.desk.timers.first().copied() {
            if at > self.desk.now {
                break;
            }
            let found = self.runs.get_mut(&run).expect("BUG: a timer outlived its run");
            match part {
                Part::Task(task) => found.task_due(&mut self.desk, task, at),
                Part::Lane(lane) => found.lane_due(&mut self.desk, lane, at),
            }
        }
    }

    /// Starts what may start. A second call finds nothing to do.
    pub(crate) fn plan(&mut self) {
        let touched: Vec<RunId> = self.desk.touched.iter().copied().collect();
        for id in touched {
            if let Some(run) = self.runs.get_mut(&id) {
                run.queue_up(&mut self.desk);
            }
        }
        while !self.desk.starts_nothing() && self.desk.quiet_until.is_none() {
            let Some(Next { run: id, pool, by }) = self.desk.queue.next() else { break };
            let run = self.runs.get_mut(&id).expect("BUG: a run in the queue is there");
            let task = run.first_of(pool).expect("BUG: a run in the queue has a ready task");
            let stand_in = self.desk.queue.profile(by).filter(|_| by != pool).cloned();
            run.start(&mut self.desk, task, stand_in);
            run.queue_up(&mut self.desk);
        }
        let touched: Vec<RunId> = self.desk.touched.iter().copied().collect();
        for id in touched {
            if let Some(run) = self.runs.get_mut(&id) {
                run.settle(&mut self.desk);
            }
        }
    }
}

impl Run {
    /// Whether the run, its project or everything is paused.
    fn is_held(&self, desk: &Desk) -> bool {
        self.record.paused || desk.holds.holds(&self.record.project) || self.is_over_budget()
    }

    /// Whether the run may start something, as far as people are concerned.
    fn may_start(&self, desk: &Desk) -> bool {
        self.is_open()
            && self.record.waits_for.is_empty()
            && !self.is_held(desk)
            && !self.record.cancelled
            && self.record.fatal.is_none()
    }

    fn queue_up(&mut self, desk: &mut Desk) {
        let may_start = self.may_start(desk);
        if may_start && !desk.starts_nothing() && !self.wanted.is_empty() && !self.fails_fast() {
            self.prepare_wanted(desk);
        }
        let full = self.max_running.is_some_and(|max| self.running >= max);
        self.offer(desk, may_start && !full);
    }

    fn task_due(&mut self, desk: &mut Desk, task: TaskIx, at: Timestamp) {
        desk.touched.insert(self.info.id);
        let state = self.tasks[task.at()].state;
        if matches!(state, TaskState::Paused { .. }) {
            return self.limit_is_reset(desk, task);
        }
        self.disarm(desk, at, Part::Task(task));
        self.tasks[task.at()].not_before = None;
        self.changed.task(task);
        if state == TaskState::Ready {
            let lane = self.graph().task(task).lane;
            self.ready.insert(lane, self.place.pool(task), self.key(task));
        } else {
            self.dispatch_owed(desk, Part::Task(task));
        }
    }

    fn lane_due(&mut self, desk: &mut Desk, lane: LaneIx, at: Timestamp) {
        desk.touched.insert(self.info.id);
        self.disarm(desk, at, Part::Lane(lane));
        self.lane_mut(lane).not_before = None;
        self.dispatch_owed(desk, Part::Lane(lane));
    }

    pub(crate) fn dispatch_owed(&self, desk: &mut Desk, part: Part) {
        desk.dispatch.extend(self.effects.keys().filter(|key| key.part == part));
    }

    /// Everything that is owed and not waiting for its time: what a new process takes up.
    pub(crate) fn owed(&self) -> Vec<EffectKey> {
        self.effects.keys().filter(|key| !self.waits(key)).copied().collect()
    }

    /// The same without what goes on while a run rests.
    pub(crate) fn to_finish(&self) -> Vec<EffectKey> {
        let mut owed = self.owed();
        owed.retain(|key| key.verb != Verb::Watch);
        owed
    }

    /// Whether something that is owed waits for its time.
    pub(crate) fn waits(&self, key: &EffectKey) -> bool {
        match key.part {
            _ if key.verb == Verb::Watch => false,
            Part::Task(task) => self.tasks[task.at()].not_before.is_some(),
            Part::Lane(lane) => self.lanes[lane.at()].not_before.is_some(),
        }
    }

    pub(crate) fn run_event(&mut self, desk: &mut Desk, event: RunEvent) -> u64 {
        self.record.state = match self.record.state.next(event) {
            Ok(after) => after,
            Err(illegal) => panic!("BUG: {}: {illegal}", self.info.name),
        };
        self.record.since = desk.now;
        // What goes on again is seen again.
        self.record.archived_at = None;
        self.changed.run = true;
        let detail = self.outcome().map(|outcome| outcome.to_string());
        desk.journal(self.info.id, Subject::Run, None, What::Run(event), detail)
    }

    /// Concludes the run if nothing goes on by itself any more.
    fn settle(&mut self, desk: &mut Desk) {
        let works = self.effects.keys().any(|key| key.verb != Verb::Watch);
        let waits = !self.record.waits_for.is_empty() && !self.record.cancelled;
        if !self.is_open() || works || waits || self.timers > 0 || self.waits_for_forge() {
            return;
        }
        // Lanes that are still wanted after the plan wait for a parent; whether that comes is
        // another's doing.
        let wanted = desk.starts_nothing() && !self.wanted.is_empty() && !self.fails_fast();
        let can_start = self.may_start(desk) && (self.ready.is_any() || wanted);
        if can_start || (!self.record.cancelled && self.is_held_back(desk)) {
            return;
        }
        self.conclude_lanes(desk);
        let outcome = self.compute_outcome();
        if outcome == Outcome::AwaitingMerge {
            desk.journal(self.info.id, Subject::Run, None, What::WaitingForMerge, None);
        }
        let seq = self.run_event(desk, RunEvent::Settled { outcome });
        self.notify_settled(desk, seq, outcome);
        desk.settled.push(self.info.id);
        self.offer(desk, false);
    }

    /// A pull request waits for what others do with it, such as checks: the run goes on by itself.
    fn waits_for_forge(&self) -> bool {
        !self.record.cancelled
            && (self.tasks.iter().any(|task| matches!(task.state, TaskState::PrCreated { .. }))
                || self.lanes.iter().any(|lane| lane.state == LaneState::PrCreated))
    }

    /// Something would go on if a person let it: the run has not come to rest, it waits.
    fn is_held_back(&self, desk: &Desk) -> bool {
        let could_start = || self.ready.is_any() || !self.wanted.is_empty();
        let parked = |task: &TaskRecord| matches!(task.state, TaskState::Paused { .. });
        (self.is_held(desk) && could_start()) || self.tasks.iter().any(parked)
    }

    /// Lanes in which a task is at a dead end fail when the run comes to rest, not before: their
    /// other tasks go on.
    fn conclude_lanes(&mut self, desk: &mut Desk) {
        for lane in self.info.graph.lane_ixs() {
            let stuck = self.left[lane.at()].dead_ends > 0;
            if stuck && self.lanes[lane.at()].state == LaneState::Active && !self.record.cancelled {
                let event = LaneEvent::Failed { why: LaneFailure::Task };
                self.lane_event(desk, lane, event, None);
            }
        }
    }

    /// Computed over every task and every lane, so that nothing that never ran can hide.
    pub(crate) fn compute_outcome(&self) -> Outcome {
        if self.record.cancelled {
            return Outcome::Cancelled;
        }
        if self.record.fatal.is_some() {
            return Outcome::FatalInternalError;
        }
        let lanes_fine = self.graph().lane_ixs().all(|lane| self.waits_for_people_only(lane));
        if self.tasks.iter().all(|task| task.state.is_success()) {
            return if lanes_fine { Outcome::Succeeded } else { Outcome::CompletedWithFailures };
        }
        let fine = |task: &TaskRecord| {
            task.state.is_success() || task.state == TaskState::Defined || waits_for_approval(task)
        };
        let approvals = self.tasks.iter().any(waits_for_approval);
        let merges = self.lanes.iter().any(|lane| lane.state.waits_for_person());
        if self.tasks.iter().all(fine) && self.no_lane_failed() && (approvals || merges) {
            Outcome::AwaitingMerge
        } else {
            Outcome::CompletedWithFailures
        }
    }

    fn no_lane_failed(&self) -> bool {
        !self.lanes.iter().any(|l| matches!(l.state, LaneState::Failed { .. } | LaneState::Reset))
    }

    /// The lane is merged, or nothing but people stands between it and that.
    fn waits_for_people_only(&self, lane: LaneIx) -> bool {
        let state = self.lanes[lane.at()].state;
        let children = self.graph().lane_children(lane);
        let parent_of_such = || {
            self.left[lane.at()].tasks == 0
                && !children.is_empty()
                && children.iter().all(|child| self.waits_for_people_only(*child))
        };
        matches!(state, LaneState::Merged | LaneState::AwaitingApproval)
            || (state == LaneState::Active && parent_of_such())
    }
}

/// A person has to let its work or its plan through.
fn waits_for_approval(task: &TaskRecord) -> bool {
    use TaskState as S;
    matches!(task.state, S::AwaitingApproval { .. } | S::AwaitingPlanApproval { .. })
}
