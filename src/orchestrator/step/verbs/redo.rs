//! Verbs that have something done again, or passed over.

use crate::failure::Failure;
use crate::graph::TaskIx;
use crate::ids::{LaneId, TaskId};
use crate::orchestrator::command;
use crate::orchestrator::step::verbs::{Plan, done, is_alive, nothing};
use crate::orchestrator::world::{Desk, Run};
use crate::state::{
    BlockedOn, Ending, FailureClass, LaneEvent, LaneFailure, LaneState, TaskEvent, TaskState,
};

/// What a person says about the next attempt.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct How<'a> {
    pub(super) note: Option<&'a str>,
    pub(super) fresh: bool,
}

fn is_to_be_redone(state: TaskState) -> bool {
    state.is_dead_end() || state == TaskState::Stale
}

impl Run {
    pub(super) fn retry_task(
        &mut self,
        desk: &mut Desk,
        plan: &Plan<'_>,
        id: &TaskId,
        how: How<'_>,
        downstream: bool,
    ) -> command::Answer {
        let task = self.find_task(id)?;
        let state = self.tasks[task.at()].state;
        if self.tasks[task.at()].ending().is_some_and(|why| why != Ending::Suspend) {
            if !plan.dry_run {
                self.told_how(task, how);
                self.tasks[task.at()].more_mut().ending = Some(Ending::Suspend);
                self.changed.task(task);
                desk.touched.insert(self.info.id);
            }
            let when = "as soon as its attempt has ended";
            return Ok(done(format!("task `{id}` is tried again {when}"), Vec::new()));
        }
        if matches!(state, TaskState::Ready | TaskState::Running { .. }) {
            return Ok(nothing(format!("task `{id}` is already {}", state.word())));
        }
        if !is_to_be_redone(state) {
            let hint = if let TaskState::Blocked { on: BlockedOn::Task(root) } = state {
                format!("retry or skip `{}`, which blocks it", self.graph().task(root).id)
            } else if state.is_success() {
                format!("have it done again: `taskloom rewind {}/{id}`", self.info.name)
            } else if matches!(state, TaskState::AwaitingPlanApproval { .. }) {
                let name = &self.info.name;
                format!("ask for another plan: `taskloom plan changes {name}/{id} --note TEXT`")
            } else {
                "only failed, stopped, cancelled and stale tasks are retried".to_owned()
            };
            return Err(self.refused(task, "retried").hint(hint));
        }
        let on = TaskState::Blocked { on: BlockedOn::Task(task) };
        let below = self.graph().descendants(task);
        let below = below.into_iter().map(|t| (t, self.tasks[t.at()].state));
        let (mut freed, mut redone) = (Vec::new(), Vec::new());
        for (other, state) in below {
            if state == on {
                freed.push(other);
            } else if downstream && is_to_be_redone(state) {
                redone.push(other);
            }
        }
        let rest = match (redone.len(), freed.len()) {
            (0, 0) => String::new(),
            (0, n) => format!("; that unblocks {n} more"),
            (n, 0) => format!(", and {n} that build on it"),
            (n, m) => format!(", and {n} that build on it; that unblocks {m} more"),
        };
        let sentence = format!("task `{id}` is tried again{rest}");
        let affected = self.names(&[redone.as_slice(), &freed].concat());
        if !plan.dry_run {
            self.again(desk, task, how);
            for other in redone {
                self.again(desk, other, How::default());
            }
        }
        Ok(done(sentence, affected))
    }

    fn told_how(&mut self, task: TaskIx, how: How<'_>) {
        let more = self.tasks[task.at()].more_mut();
        more.note = how.note.map(str::to_owned).or_else(|| more.note.take());
        more.fresh = how.fresh;
    }

    /// One more attempt, whatever the limit: a person asked for it.
    pub(super) fn again(&mut self, desk: &mut Desk, task: TaskIx, how: How<'_>) {
        let limit = self.max_attempts(task);
        let record = &mut self.tasks[task.at()];
        record.spent = record.spent.min(limit - 1);
        record.transients = 0;
        self.told_how(task, how);
        self.record.fatal = None;
        self.changed.run = true;
        self.rest_is_over(desk, task);
        self.task_event(desk, task, TaskEvent::Retried, how.note.map(str::to_owned));
        self.wait_again(desk, task);
    }

    /// Has a task that succeeded done again on top of what is merged. History is never rewritten.
    pub(super) fn rewind(
        &mut self,
        desk: &mut Desk,
        plan: &Plan<'_>,
        id: &TaskId,
        how: How<'_>,
        downstream: bool,
    ) -> command::Answer {
        let task = self.find_task(id)?;
        let state = self.tasks[task.at()].state;
        if state.next(TaskEvent::Outdated).is_err() {
            let hint = if is_to_be_redone(state) {
                format!("retry it: `taskloom retry {}/{id}`", self.info.name)
            } else {
                "only tasks that have succeeded are rewound".to_owned()
            };
            return Err(self.refused(task, "rewound").hint(hint));
        }
        self.lane_can_go_back(task)?;
        let mut stale = Vec::new();
        for other in self.graph().descendants(task) {
            let state = self.tasks[other.at()].state;
            if state.attempt().is_some() {
                let other = &self.graph().task(other).id;
                let name = &self.info.name;
                return Err(Failure::user(format!(
                    "task `{other}`, which builds on `{id}`, is {}",
                    state.word()
                ))
                .hint(format!("stop it first: `taskloom stop {name}/{other}`; or wait")));
            }
            let done =
                state.is_success() || matches!(state, TaskState::AwaitingPlanApproval { .. });
            if done && self.lane_can_go_back(other).is_ok() {
                stale.push(other);
            }
        }
        let sentence = match (stale.len(), downstream) {
            (0, _) => format!("task `{id}` is done again"),
            (n, true) => format!("task `{id}` is done again, and {n} that build on it"),
            (n, false) => format!("task `{id}` is done again; {n} that build on it are stale"),
        };
        let affected = self.names(&stale);
        if !plan.dry_run {
            self.by_hand(task, plan.who, how.note);
            for other in stale.iter().copied().chain([task]) {
                let why = Some(format!("`{id}` is done again"));
                self.task_event(desk, other, TaskEvent::Outdated, why);
                self.reopen_lane(desk, other);
            }
            self.again(desk, task, how);
            for other in stale.into_iter().filter(|_| downstream) {
                self.again(desk, other, How { note: None, fresh: true });
            }
        }
        Ok(done(sentence, affected))
    }

    /// What is merged into its target, or is being merged, is not undone from here.
    fn lane_can_go_back(&self, task: TaskIx) -> Result<(), Failure> {
        let lane = self.graph().task(task).lane;
        let state = self.lanes[lane.at()].state;
        if !matches!(state, LaneState::Merging | LaneState::Merged) {
            return Ok(());
        }
        let (task, lane) = (&self.graph().task(task).id, &self.graph().lane(lane).id);
        Err(Failure::user(format!(
            "task `{task}` cannot be rewound: its lane `{lane}` is {}",
            state.word()
        ))
        .hint("submit a graph that builds on what is merged"))
    }

    /// A lane whose merge failed goes on with its tasks.
    fn reopen_lane(&mut self, desk: &mut Desk, task: TaskIx) {
        let lane = self.graph().task(task).lane;
        if matches!(self.lanes[lane.at()].state, LaneState::Failed { why } if why != LaneFailure::Prepare)
        {
            self.lane_mut(lane).failure = None;
            self.lane_event(desk, lane, LaneEvent::Reopened, None);
        }
    }

    pub(super) fn retry_lane(
        &mut self,
        desk: &mut Desk,
        plan: &Plan<'_>,
        id: &LaneId,
    ) -> command::Answer {
        let lane = self.find_lane(id)?;
        let state = self.lanes[lane.at()].state;
        let LaneState::Failed { why } = state else {
            return Err(Failure::user(format!(
                "lane `{id}` is {} and cannot be retried",
                state.word()
            )));
        };
        if why == LaneFailure::Task {
            return Err(Failure::user(format!("lane `{id}` failed because of its tasks"))
                .hint("retry or skip the failed tasks; the lane follows"));
        }
        if !plan.dry_run {
            let record = self.lane_mut(lane);
            record.failure = None;
            record.transients = 0;
            record.not_before = None;
            self.lane_event(desk, lane, LaneEvent::Retried, None);
            self.record.fatal = None;
            self.changed.run = true;
            if why == LaneFailure::Prepare {
                self.want(lane);
            } else {
                self.lane_progress(desk, lane);
            }
        }
        Ok(done(format!("lane `{id}` is tried again"), Vec::new()))
    }

    pub(super) fn skip(
        &mut self,
        desk: &mut Desk,
        plan: &Plan<'_>,
        id: &TaskId,
        reason: Option<&str>,
    ) -> command::Answer {
        let task = self.find_task(id)?;
        let state = self.tasks[task.at()].state;
        if state == TaskState::Skipped {
            return Ok(nothing(format!("task `{id}` is already skipped")));
        }
        if state.next(TaskEvent::Skipped).is_err() {
            let hint = if matches!(state, TaskState::AwaitingPlanApproval { .. }) {
                format!("go on without its plan: `taskloom plan discard {}/{id}`", self.info.name)
            } else if is_alive(state) {
                format!("stop it first: `taskloom stop {}/{id}`", self.info.name)
            } else {
                "only tasks that have not succeeded are skipped".to_owned()
            };
            return Err(self.refused(task, "skipped").hint(hint));
        }
        let ready = self.ready_after_skip(task);
        let sentence = match ready.len() {
            0 => format!("task `{id}` is skipped; nothing becomes ready by that alone"),
            1 => format!("task `{id}` is skipped; `{}` becomes ready", ready[0]),
            n => format!("task `{id}` is skipped; {n} tasks become ready"),
        };
        if !plan.dry_run {
            self.by_hand(task, plan.who, reason);
            if state == (TaskState::Failed { class: FailureClass::Internal }) {
                self.record.fatal = None;
                self.changed.run = true;
            }
            self.rest_is_over(desk, task);
            self.task_event(desk, task, TaskEvent::Skipped, reason.map(str::to_owned));
        }
        Ok(done(sentence, ready))
    }

    /// Dependents that wait for nothing but `task`.
    fn ready_after_skip(&self, task: TaskIx) -> Vec<TaskId> {
        let graph = self.graph();
        let only_this = |child: &&TaskIx| {
            let others = graph.parents(**child).iter().filter(|p| **p != task);
            let mut others = others.map(|p| (*p, self.tasks[p.at()].state));
            let lanes = graph.upstream_lanes(**child);
            let waits = matches!(
                self.tasks[child.at()].state,
                TaskState::Defined | TaskState::Blocked { on: BlockedOn::Task(_) }
            );
            waits
                && others.all(|(p, state)| self.releases_dependents(p, state))
                && lanes.iter().all(|l| self.lanes[l.at()].state == LaneState::Merged)
        };
        let children = graph.children(task).iter().filter(only_this);
        children.map(|c| graph.task(*c).id.clone()).collect()
    }
}
