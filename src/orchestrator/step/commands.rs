//! The operator's verbs: each says what it affects, is refused with a sentence when it makes no
//! sense, and does nothing the second time.

use crate::failure::Failure;
use crate::graph::{LaneIx, TaskIx};
use crate::ids::{LaneId, TaskId};
use crate::orchestrator::command::{self, Command, Receipt, Target, Verb};
use crate::orchestrator::world::{Desk, Run};
use crate::runner::ToAttempt;
use crate::state;
use crate::state::{
    Answer, BlockedOn, ByHand, Effect, EffectKey, Ending, FailureClass, LaneEvent, LaneFailure,
    LaneState, Outcome, Part, RunEvent, Subject, TaskEvent, TaskState, What,
};

/// What a verb is about to do: its sentence first, so that a rehearsal says the same.
pub(crate) struct Plan<'a> {
    pub(crate) who: &'a str,
    pub(crate) dry_run: bool,
}

pub(crate) fn done(sentence: impl Into<String>, affected: Vec<TaskId>) -> Receipt {
    Receipt { sentence: sentence.into(), affected, changed: true }
}

pub(crate) fn nothing(sentence: impl Into<String>) -> Receipt {
    Receipt { sentence: sentence.into(), affected: Vec::new(), changed: false }
}

fn is_alive(state: TaskState) -> bool {
    matches!(state, TaskState::Running { .. } | TaskState::WaitingInput { .. })
}

impl Run {
    /// Carries out a verb, or says why not.
    pub(crate) fn command(&mut self, desk: &mut Desk, command: &Command) -> command::Answer {
        if self.record.cancelled && command.verb != (Verb::Cancel { task: None }) {
            return Err(Failure::user(format!("run `{}` was cancelled", self.info.name))
                .hint("submit the graph again: `taskloom run GRAPH`"));
        }
        let plan = Plan { who: &command.who, dry_run: command.dry_run };
        let receipt = match &command.verb {
            Verb::Retry { target: Target::Task(id), note, fresh } => {
                self.retry_task(desk, &plan, id, note.as_deref(), *fresh)
            }
            Verb::Retry { target: Target::Lane(id), .. } => self.retry_lane(desk, &plan, id),
            Verb::Skip { task, reason } => self.skip(desk, &plan, task, reason.as_deref()),
            Verb::Stop { task } => self.stop(desk, &plan, task),
            Verb::Cancel { task: Some(task) } => self.cancel_task(desk, &plan, task),
            Verb::Cancel { task: None } => self.cancel_run(desk, &plan),
            Verb::Pause => self.pause(desk, &plan, true),
            Verb::Resume => self.pause(desk, &plan, false),
            Verb::Approve { target } => self.approve(desk, &plan, target),
            Verb::Reject { target, note } => self.reject(desk, &plan, target, note.as_deref()),
            Verb::Answer { task, text } => self.answer(desk, &plan, task, text),
        }?;
        if receipt.changed && !command.dry_run {
            let detail = format!("{}: {}", command.who, receipt.sentence);
            desk.journal(self.info.id, Subject::Run, None, What::Commanded, Some(detail));
            if command.verb != Verb::Pause {
                self.reopen(desk);
            }
        }
        Ok(receipt)
    }

    /// A settled run in which something can go on again is open again.
    fn reopen(&mut self, desk: &mut Desk) {
        if !self.is_open() && self.outcome() != Some(Outcome::Cancelled) {
            self.run_event(desk, RunEvent::Reopened);
            // They failed because the run came to rest; that is over.
            for lane in self.info.graph.lane_ixs() {
                let why = LaneFailure::Task;
                if self.lanes[lane.at()].state == (LaneState::Failed { why }) {
                    self.lane_event(desk, lane, LaneEvent::Reopened, None);
                }
            }
        }
    }

    pub(crate) fn find_task(&self, id: &TaskId) -> Result<TaskIx, Failure> {
        self.graph().lookup_task(id).ok_or_else(|| {
            Failure::user(format!("run `{}` has no task `{id}`", self.info.name))
                .hint(format!("`taskloom show {}` lists its tasks", self.info.name))
        })
    }

    pub(crate) fn find_lane(&self, id: &LaneId) -> Result<LaneIx, Failure> {
        self.graph().lookup_lane(id).ok_or_else(|| {
            Failure::user(format!("run `{}` has no lane `{id}`", self.info.name))
                .hint(format!("`taskloom show {}` lists its lanes", self.info.name))
        })
    }

    pub(crate) fn refused(&self, task: TaskIx, verb: &str) -> Failure {
        let id = &self.graph().task(task).id;
        let state = self.tasks[task.at()].state;
        Failure::user(format!("task `{id}` is {} and cannot be {verb}", state.word()))
    }

    fn blocked_by(&self, task: TaskIx) -> Vec<TaskId> {
        let on = TaskState::Blocked { on: BlockedOn::Task(task) };
        let graph = self.graph();
        let blocked = graph.descendants(task).into_iter();
        let blocked = blocked.filter(|t| self.tasks[t.at()].state == on);
        blocked.map(|t| graph.task(t).id.clone()).collect()
    }

    fn retry_task(
        &mut self,
        desk: &mut Desk,
        plan: &Plan<'_>,
        id: &TaskId,
        note: Option<&str>,
        fresh: bool,
    ) -> command::Answer {
        let task = self.find_task(id)?;
        let state = self.tasks[task.at()].state;
        if matches!(state, TaskState::Ready | TaskState::Running { .. }) {
            return Ok(nothing(format!("task `{id}` is already {}", state.word())));
        }
        let can = state.is_dead_end() || state == TaskState::Stale;
        if !can {
            let hint = if let TaskState::Blocked { on: BlockedOn::Task(root) } = state {
                format!("retry or skip `{}`, which blocks it", self.graph().task(root).id)
            } else {
                "only failed, stopped, cancelled and stale tasks are retried".to_owned()
            };
            return Err(self.refused(task, "retried").hint(hint));
        }
        let affected = self.blocked_by(task);
        let sentence = match affected.len() {
            0 => format!("task `{id}` is tried again"),
            n => format!("task `{id}` is tried again; that unblocks {n} more"),
        };
        if !plan.dry_run {
            let limit = self.max_attempts(task);
            let record = &mut self.tasks[task.at()];
            // One more attempt, whatever the limit: a person asked for it.
            record.spent = record.spent.min(limit - 1);
            record.transients = 0;
            let more = record.more_mut();
            more.note = note.map(str::to_owned).or_else(|| more.note.take());
            more.fresh = fresh;
            self.record.fatal = None;
            self.changed.run = true;
            self.rest_is_over(desk, task);
            self.task_event(desk, task, TaskEvent::Retried, note.map(str::to_owned));
            if !self.frontier.is_open(task) {
                self.task_event(desk, task, TaskEvent::Closed, None);
            }
        }
        Ok(done(sentence, affected))
    }

    fn retry_lane(&mut self, desk: &mut Desk, plan: &Plan<'_>, id: &LaneId) -> command::Answer {
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

    fn skip(
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
            let hint = if is_alive(state) {
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

    fn by_hand(&mut self, task: TaskIx, who: &str, reason: Option<&str>) {
        let by = ByHand { who: who.to_owned(), reason: reason.map(str::to_owned) };
        self.tasks[task.at()].more_mut().by = Some(by);
    }

    fn stop(&mut self, desk: &mut Desk, plan: &Plan<'_>, id: &TaskId) -> command::Answer {
        let task = self.find_task(id)?;
        let state = self.tasks[task.at()].state;
        if state == (TaskState::Blocked { on: BlockedOn::Operator }) {
            return Ok(nothing(format!("task `{id}` is already stopped")));
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
                desk.messages.push((key, ToAttempt::Stop));
            }
            None => {
                let event = match why {
                    Ending::Stop => TaskEvent::Blocked { on: BlockedOn::Operator },
                    Ending::Cancel => TaskEvent::Cancelled,
                    Ending::Suspend => return,
                };
                self.forget_task_effects(desk, task);
                self.leave_queue(desk, task);
                self.rest_is_over(desk, task);
                self.task_event(desk, task, event, None);
            }
        }
    }

    fn attempt_key(&self, task: TaskIx) -> Option<EffectKey> {
        let attempt = self.tasks[task.at()].state.attempt()?;
        Some(Effect::Attempt { run: self.info.id, task, attempt }.key())
    }

    fn forget_task_effects(&mut self, desk: &mut Desk, task: TaskIx) {
        let own = Part::Task(task);
        let keys: Vec<_> = self.effects.keys().filter(|k| k.part == own).copied().collect();
        for key in keys {
            self.forget(desk, &key);
        }
    }

    fn cancel_task(&mut self, desk: &mut Desk, plan: &Plan<'_>, id: &TaskId) -> command::Answer {
        let task = self.find_task(id)?;
        let state = self.tasks[task.at()].state;
        if state == TaskState::Cancelled {
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

    fn cancel_run(&mut self, desk: &mut Desk, plan: &Plan<'_>) -> command::Answer {
        if self.record.cancelled {
            return Ok(nothing(format!("run `{}` is already cancelled", self.info.name)));
        }
        let merged = |lane: &crate::state::LaneRecord| lane.state == LaneState::Merged;
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
        let own =
            |key: &&EffectKey| matches!(key.part, Part::Lane(_)) && key.verb != state::Verb::Merge;
        let keys: Vec<EffectKey> = self.effects.keys().filter(own).copied().collect();
        for key in keys {
            self.forget(desk, &key);
        }
        for lane in self.info.graph.lane_ixs() {
            if let Some(at) = self.lane_mut(lane).not_before.take() {
                self.disarm(desk, at, Part::Lane(lane));
            }
        }
    }

    /// A task waits for no time any more.
    fn rest_is_over(&mut self, desk: &mut Desk, task: TaskIx) {
        if self.tasks[task.at()].not_before.is_none() {
            return;
        }
        let state = self.tasks[task.at()].state;
        self.leave_places(desk, task, state);
        self.tasks[task.at()].not_before = None;
        self.changed.task(task);
        self.enter_places(desk, task, state);
    }

    fn pause(&mut self, desk: &mut Desk, plan: &Plan<'_>, pause: bool) -> command::Answer {
        let name = self.info.name.clone();
        if self.record.paused == pause {
            let state = if pause { "already paused" } else { "not paused" };
            return Ok(nothing(format!("run `{name}` is {state}")));
        }
        if !plan.dry_run {
            self.record.paused = pause;
            self.changed.run = true;
            desk.touched.insert(self.info.id);
        }
        let sentence = match (pause, self.running) {
            (true, 0) => format!("run `{name}` is paused"),
            (true, n) => format!("run `{name}` is paused; {n} running attempts go on"),
            (false, _) => format!("run `{name}` goes on"),
        };
        Ok(done(sentence, Vec::new()))
    }

    fn answer(
        &mut self,
        desk: &mut Desk,
        plan: &Plan<'_>,
        id: &TaskId,
        text: &str,
    ) -> command::Answer {
        let task = self.find_task(id)?;
        let waits = matches!(self.tasks[task.at()].state, TaskState::WaitingInput { .. });
        let more = self.tasks[task.at()].more.as_ref();
        let question = more.and_then(|more| more.question.clone()).filter(|_| waits);
        let Some(question) = question else {
            return Err(Failure::user(format!("the agent of task `{id}` asks nothing now")));
        };
        if text.trim().is_empty() {
            return Err(Failure::user("the answer is empty"));
        }
        if !question.choices.is_empty() && !question.choices.iter().any(|c| c == text) {
            return Err(Failure::user(format!("`{text}` is not among the answers"))
                .hint(format!("choose one of: {}", question.choices.join(", "))));
        }
        if !plan.dry_run {
            let key = self.attempt_key(task).expect("BUG: who asks has an attempt");
            let answer = Answer { turn: question.turn, seq: question.seq, text: text.to_owned() };
            self.tasks[task.at()].more_mut().answer = Some(answer.clone());
            self.changed.task(task);
            desk.messages.push((key, ToAttempt::Answer(answer)));
            desk.touched.insert(self.info.id);
        }
        Ok(done(format!("the agent of task `{id}` is answered `{text}`"), Vec::new()))
    }
}
