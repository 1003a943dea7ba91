//! One task takes an event: its state, its places, its dependents and its lane follow at once.

use crate::graph::{LaneIx, TaskIx};
use crate::ids::ProfileName;
use crate::orchestrator::world::{Desk, Run};
use crate::runner::ToAttempt;
use crate::state::{
    AttemptRecord, BlockedOn, Effect, EffectKey, LaneEvent, LaneFailure, LaneState, Memory,
    MemoryPlace, Part, Subject, TaskEvent, TaskState, Verb, What,
};

impl Run {
    /// Applies an event that the caller knows to be legal.
    pub(crate) fn task_event(
        &mut self,
        desk: &mut Desk,
        task: TaskIx,
        event: TaskEvent,
        detail: Option<String>,
    ) -> u64 {
        let before = self.tasks[task.at()].state;
        let after = match before.next(event) {
            Ok(after) => after,
            Err(illegal) => panic!("BUG: {}: {illegal}", self.graph().task(task).id),
        };
        self.leave_places(desk, task, before);
        let record = &mut self.tasks[task.at()];
        record.state = after;
        if std::mem::discriminant(&before) != std::mem::discriminant(&after) {
            record.since = desk.now;
        }
        self.changed.task(task);
        let attempt = after.attempt().or(before.attempt());
        let seq =
            desk.journal(self.info.id, Subject::Task(task), attempt, What::Task(event), detail);
        self.enter_places(desk, task, after);
        if let (Some(attempt), None) = (before.pull(), after.pull()) {
            let (run, watch) = (self.info.id, Effect::WatchPr { run: self.info.id, task, attempt });
            let watched = self.forget(desk, &watch.key()).is_some();
            if watched && matches!(after, TaskState::Cancelled | TaskState::Skipped) {
                self.owe(desk, Effect::ClosePr { run, task, attempt });
            }
        }
        let given_up = |state| matches!(state, TaskState::Cancelled | TaskState::Skipped);
        if given_up(before) && !given_up(after) {
            self.keep_pull_open(desk, task);
        }
        self.consequences(desk, task, before, after);
        seq
    }

    /// A pull request that was to be closed is wanted again.
    fn keep_pull_open(&mut self, desk: &mut Desk, task: TaskIx) {
        let own = |key: &&EffectKey| key.part == Part::Task(task) && key.verb == Verb::Close;
        for key in self.effects.keys().filter(own).copied().collect::<Vec<_>>() {
            self.forget(desk, &key);
        }
    }

    /// Something to remember about a task besides its state.
    pub(crate) fn note(
        &mut self,
        desk: &mut Desk,
        task: TaskIx,
        what: What,
        detail: Option<String>,
    ) -> u64 {
        let attempt = self.tasks[task.at()].state.attempt();
        desk.journal(self.info.id, Subject::Task(task), attempt, what, detail)
    }

    fn consequences(&mut self, desk: &mut Desk, task: TaskIx, before: TaskState, after: TaskState) {
        if before.is_done() != after.is_done() {
            self.leave_memory(desk, task, after.is_done());
        }
        let lane = self.graph().task(task).lane;
        let left = &mut self.left[lane.at()];
        match (before.is_success(), after.is_success()) {
            (false, true) => left.tasks -= 1,
            (true, false) => left.tasks += 1,
            _ => {}
        }
        match (before.is_dead_end(), after.is_dead_end()) {
            (false, true) => left.dead_ends += 1,
            (true, false) => left.dead_ends -= 1,
            _ => {}
        }
        if after == TaskState::Ready && self.lanes[lane.at()].state == LaneState::Pending {
            self.want(lane);
        }
        let (released, releases) =
            (self.releases_dependents(task, before), self.releases_dependents(task, after));
        match (released, releases) {
            (false, true) => self.release(desk, task),
            (true, false) => self.retract(desk, task),
            _ => {}
        }
        if blocks(after) && !releases {
            self.block_dependents(desk, task);
        } else if blocks(before) && !released {
            self.unblock_dependents(desk, task);
        } else if let (TaskState::Blocked { on: BlockedOn::Task(root) }, true) = (before, releases)
        {
            // What only this one held back can go on, although what blocked it cannot.
            self.unblock_dependents(desk, root);
        }
        let undone = before.is_success() && !after.is_success();
        if undone || (before.is_dead_end() && !after.is_dead_end()) {
            self.lane_reopened(desk, lane);
        }
        if after.is_success() {
            let done = (self.info.id, self.graph().task(task).id.clone());
            if desk.waiting.contains_key(&done) {
                desk.done.push(done);
            }
            self.lane_progress(desk, lane);
        }
    }

    /// What a task that is done leaves for later ones. One that is not done any more leaves nothing:
    /// its work is taken back, or done again.
    fn leave_memory(&self, desk: &mut Desk, task: TaskIx, done: bool) {
        let key = (self.info.id, task);
        if !done {
            desk.batch.memories.insert(key, None);
        } else if desk.remembers {
            let spec = self.graph().task(task);
            let place = MemoryPlace {
                project: self.info.project.id.clone(),
                run: self.info.id,
                name: self.info.name.clone(),
                task,
                id: spec.id.clone(),
                at: desk.now,
            };
            let memory = Memory::of(&self.tasks[task.at()], &spec.title, place);
            desk.batch.memories.insert(key, memory);
        }
    }

    fn release(&mut self, desk: &mut Desk, task: TaskIx) {
        let info = self.info.clone();
        let mut opened = Vec::new();
        self.frontier.satisfy_task(&info.graph, task, |t| opened.push(t));
        self.open_tasks(desk, &opened);
    }

    fn retract(&mut self, desk: &mut Desk, task: TaskIx) {
        let info = self.info.clone();
        let mut closed = Vec::new();
        self.frontier.retract_task(&info.graph, task, |t| closed.push(t));
        for task in closed {
            if self.tasks[task.at()].state == TaskState::Ready {
                self.task_event(desk, task, TaskEvent::Closed, None);
            }
        }
    }

    /// Everything that these waited for is there.
    pub(crate) fn open_tasks(&mut self, desk: &mut Desk, tasks: &[TaskIx]) {
        for task in tasks {
            if self.tasks[task.at()].state == TaskState::Defined {
                self.task_event(desk, *task, TaskEvent::Opened, None);
            }
        }
    }

    fn block_dependents(&mut self, desk: &mut Desk, task: TaskIx) {
        let info = self.info.clone();
        let on = BlockedOn::Task(task);
        for dependent in info.graph.descendants(task) {
            if matches!(self.tasks[dependent.at()].state, TaskState::Defined | TaskState::Ready) {
                let why = format!("`{}` did not succeed", info.graph.task(task).id);
                self.task_event(desk, dependent, TaskEvent::Blocked { on }, Some(why));
            }
        }
    }

    /// Frees what `task` blocked, unless something else blocks it too. In topological order, so
    /// that parents are settled before their children.
    fn unblock_dependents(&mut self, desk: &mut Desk, task: TaskIx) {
        let info = self.info.clone();
        for dependent in info.graph.descendants(task) {
            let blocked = TaskState::Blocked { on: BlockedOn::Task(task) };
            if self.tasks[dependent.at()].state != blocked {
                continue;
            }
            match self.blocker(dependent) {
                Some(other) if other == task => {}
                Some(other) => {
                    let on = BlockedOn::Task(other);
                    let why = format!("`{}` did not succeed", info.graph.task(other).id);
                    self.task_event(desk, dependent, TaskEvent::Blocked { on }, Some(why));
                }
                None => {
                    self.task_event(desk, dependent, TaskEvent::Released, None);
                    if self.frontier.is_open(dependent) {
                        self.task_event(desk, dependent, TaskEvent::Opened, None);
                    }
                }
            }
        }
    }

    /// The task that blocks `task` now, if one does.
    pub(crate) fn blocker(&self, task: TaskIx) -> Option<TaskIx> {
        self.graph().parents(task).iter().find_map(|parent| {
            let state = self.tasks[parent.at()].state;
            if let TaskState::Blocked { on: BlockedOn::Task(root) } = state {
                return Some(root);
            }
            (blocks(state) && !self.releases_dependents(*parent, state)).then_some(*parent)
        })
    }

    /// Something in the lane is being worked on again: what was concluded about it is void.
    fn lane_reopened(&mut self, desk: &mut Desk, lane: LaneIx) {
        let state = self.lanes[lane.at()].state;
        let concluded = matches!(
            state,
            LaneState::MergeReady
                | LaneState::Checking
                | LaneState::PrCreated
                | LaneState::AwaitingApproval
                | LaneState::Failed { why: LaneFailure::Task }
        );
        if concluded {
            self.forget_lane_effects(desk, lane);
            self.lane_event(desk, lane, LaneEvent::Reopened, None);
        }
    }

    /// Begins an attempt.
    pub(crate) fn start(&mut self, desk: &mut Desk, task: TaskIx, stand_in: Option<ProfileName>) {
        let record = &mut self.tasks[task.at()];
        let attempt = record.attempts;
        record.attempts += 1;
        record.started_at = desk.now;
        if let Some(more) = &mut record.more {
            more.kept_from = None;
            more.stand_in = None;
        }
        if stand_in.is_some() {
            record.more_mut().stand_in = stand_in;
        }
        self.task_event(desk, task, TaskEvent::Started { attempt }, None);
        self.owe(desk, Effect::Attempt { run: self.info.id, task, attempt });
        desk.batch.attempts.push(AttemptRecord {
            run: self.info.id,
            task,
            attempt,
            started_at: desk.now,
            ended_at: None,
            outcome: None,
            message: None,
            commit: None,
        });
    }

    /// Records something to be done outside, and has it done.
    pub(crate) fn owe(&mut self, desk: &mut Desk, effect: Effect) {
        desk.dispatch.push(effect.key());
        self.remember(desk, effect);
    }

    /// Records something to be done outside, later.
    pub(crate) fn remember(&mut self, desk: &mut Desk, effect: Effect) {
        desk.touched.insert(self.info.id);
        desk.owed_anew.insert(effect.key());
        desk.batch.effects.push(effect.clone());
        self.effects.insert(effect.key(), effect);
    }

    /// Something is done, or is not to be done any more.
    pub(crate) fn forget(&mut self, desk: &mut Desk, key: &EffectKey) -> Option<Effect> {
        let effect = self.effects.remove(key)?;
        desk.touched.insert(self.info.id);
        if key.verb == Verb::Watch {
            desk.messages.push((*key, ToAttempt::Stop));
        }
        // What began and ended in the same turn must not be kept: a store takes what is done
        // first and what is owed after it, since most often something is owed again.
        if desk.owed_anew.remove(key) {
            desk.batch.effects.retain(|owed| owed.key() != *key);
            desk.dispatch.retain(|handed| handed != key);
        }
        desk.batch.effects_done.push(*key);
        Some(effect)
    }
}

/// Stops dependents until a person acts. A task that an operator stopped does not: it is expected
/// to go on.
fn blocks(state: TaskState) -> bool {
    matches!(state, TaskState::Failed { .. } | TaskState::Cancelled)
}
