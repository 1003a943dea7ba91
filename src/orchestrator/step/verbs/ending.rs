//! Verbs that end something: an attempt, a task, a run.

use crate::graph::TaskIx;
use crate::ids::TaskId;
use crate::orchestrator::command;
use crate::orchestrator::step::verbs::{Plan, done, is_alive, nothing};
use crate::orchestrator::world::{Desk, Run, told_to_end};
use crate::state::{
    BlockedOn, Effect, EffectKey, Ending, LaneRecord, LaneState, Outcome, ParkReason, Part,
    TaskEvent, TaskState, Verb,
};

/// What becomes of a task that an operator pauses.
pub(in crate::orchestrator::step) const PARKED: TaskEvent =
    TaskEvent::Parked { until: None, why: ParkReason::Operator };

impl Run {
    pub(super) fn stop(
        &mut self,
        desk: &mut Desk,
        plan: &Plan<'_>,
        id: &TaskId,
    ) -> command::Answer {
        let task = self.find_task(id)?;
        let state = self.tasks[task.at()].state;
        if state == (TaskState::Blocked { on: BlockedOn::Operator }) {
            return Ok(nothing(format!("task `{id}` is already stopped")));
        }
        if let Some(why @ (Ending::Stop | Ending::Cancel)) = self.tasks[task.at()].ending() {
            let what = if why == Ending::Stop { "stopped" } else { "cancelled" };
            return Ok(nothing(format!("task `{id}` is being {what} already")));
        }
        let waits =
            matches!(state, TaskState::Defined | TaskState::Ready | TaskState::Paused { .. });
        if !is_alive(state) && !waits {
            return Err(self.refused(task, "stopped"));
        }
        if !plan.dry_run {
            self.by_hand(task, plan.who, None);
            self.end_attempt(desk, task, Ending::Stop);
        }
        Ok(done(
            if waits {
                format!("task `{id}` is held back until it is retried")
            } else {
                format!("the attempt of task `{id}` is ended")
            },
            Vec::new(),
        ))
    }

    /// Has the attempt under way ended; what becomes of the task is decided when it has.
    pub(crate) fn end_attempt(&mut self, desk: &mut Desk, task: TaskIx, why: Ending) {
        let key = self.attempt_key(task);
        match key.filter(|key| self.effects.contains_key(key)) {
            Some(key) => {
                self.tasks[task.at()].more_mut().ending = Some(why);
                self.changed.task(task);
                desk.touched.insert(self.info.id);
                desk.messages.push((key, told_to_end(why)));
            }
            None => {
                let event = match why {
                    Ending::Stop => TaskEvent::Blocked { on: BlockedOn::Operator },
                    Ending::Cancel => TaskEvent::Cancelled,
                    Ending::Pause => PARKED,
                    Ending::Suspend | Ending::Budget => return,
                };
                self.forget_task_effects(desk, task);
                self.leave_queue(desk, task);
                self.rest_is_over(desk, task);
                self.task_event(desk, task, event, None);
            }
        }
    }

    fn forget_task_effects(&mut self, desk: &mut Desk, task: TaskIx) {
        let own = |key: &&EffectKey| key.part == Part::Task(task) && key.verb != Verb::Watch;
        let keys: Vec<_> = self.effects.keys().filter(own).copied().collect();
        for key in keys {
            self.forget(desk, &key);
        }
    }

    pub(super) fn cancel_task(
        &mut self,
        desk: &mut Desk,
        plan: &Plan<'_>,
        id: &TaskId,
    ) -> command::Answer {
        let task = self.find_task(id)?;
        let state = self.tasks[task.at()].state;
        let ending = self.tasks[task.at()].ending() == Some(Ending::Cancel);
        if state == TaskState::Cancelled || ending {
            return Ok(nothing(format!("task `{id}` is already cancelled")));
        }
        if state.next(TaskEvent::Cancelled).is_err() {
            return Err(self.refused(task, "cancelled"));
        }
        let waits =
            |t: &TaskIx| matches!(self.tasks[t.at()].state, TaskState::Defined | TaskState::Ready);
        let graph = self.graph();
        let blocked: Vec<TaskId> = graph
            .descendants(task)
            .into_iter()
            .filter(waits)
            .map(|t| graph.task(t).id.clone())
            .collect();
        let sentence = match blocked.len() {
            0 => format!("task `{id}` is cancelled"),
            n => format!("task `{id}` is cancelled; that blocks {n} more"),
        };
        if !plan.dry_run {
            self.by_hand(task, plan.who, None);
            self.end_attempt(desk, task, Ending::Cancel);
        }
        Ok(done(sentence, blocked))
    }

    pub(super) fn cancel_run(&mut self, desk: &mut Desk, plan: &Plan<'_>) -> command::Answer {
        if self.record.cancelled {
            return Ok(nothing(format!("run `{}` is already cancelled", self.info.name)));
        }
        let merged = |lane: &LaneRecord| lane.state == LaneState::Merged;
        if self.outcome() == Some(Outcome::Succeeded) && self.lanes.iter().all(merged) {
            let name = &self.info.name;
            return Ok(nothing(format!("run `{name}` has succeeded; nothing is left to cancel")));
        }
        let order = self.graph().order().to_vec();
        let open = |t: &TaskIx| self.tasks[t.at()].state.next(TaskEvent::Cancelled).is_ok();
        let doomed: Vec<TaskIx> = order.into_iter().filter(open).collect();
        let names = doomed.iter().map(|t| self.graph().task(*t).id.clone()).collect();
        if !plan.dry_run {
            self.record.cancelled = true;
            self.changed.run = true;
            desk.touched.insert(self.info.id);
            self.forget_lanes(desk);
            for task in doomed.into_iter().rev() {
                if self.tasks[task.at()].state.next(TaskEvent::Cancelled).is_ok() {
                    self.end_attempt(desk, task, Ending::Cancel);
                }
            }
        }
        let sentence = format!("run `{}` is cancelled; what is merged stays", self.info.name);
        Ok(done(sentence, names))
    }

    /// Nothing more is made of lanes; a merge under way comes to its end.
    fn forget_lanes(&mut self, desk: &mut Desk) {
        let run = self.info.id;
        for lane in self.info.clone().graph.lane_ixs() {
            if self.effects.contains_key(&Effect::WatchLanePr { run, lane }.key()) {
                self.owe(desk, Effect::CloseLanePr { run, lane });
            }
        }
        let own = |key: &&EffectKey| {
            matches!(key.part, Part::Lane(_))
                && !matches!(key.verb, Verb::Merge | Verb::Undo | Verb::Close)
        };
        let keys: Vec<EffectKey> = self.effects.keys().filter(own).copied().collect();
        for key in keys {
            self.forget(desk, &key);
        }
        for lane in self.info.graph.lane_ixs() {
            if let Some(at) = self.lane_mut(lane).not_before.take() {
                self.disarm(desk, at, Part::Lane(lane));
                // A merge that was to be tried again later is tried now.
                self.dispatch_owed(desk, Part::Lane(lane));
            }
        }
    }
}
