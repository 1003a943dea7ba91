//! The operator's verbs: each says what it affects, is refused with a sentence when it makes no
//! sense, and does nothing the second time.

mod allowing;
mod approvals;
mod ending;
mod holding;
mod plans;
mod redo;
mod talk;
mod undo;

pub(super) use ending::PARKED;

use crate::failure::Failure;
use crate::graph::{LaneIx, TaskIx};
use crate::ids::{LaneId, TaskId};
use crate::orchestrator::command::{self, Command, Receipt, Target, Verb};
use crate::orchestrator::world::{Desk, Run};
use crate::state::{
    ByHand, Effect, EffectKey, LaneEvent, LaneFailure, LaneState, Outcome, RunEvent, Subject,
    TaskState, What,
};

/// What a verb is about to do: its sentence first, so that a rehearsal says the same.
pub(crate) struct Plan<'a> {
    pub(crate) who: &'a str,
    pub(crate) dry_run: bool,
}

pub(crate) fn done(sentence: impl Into<String>, affected: Vec<TaskId>) -> Receipt {
    Receipt { sentence: sentence.into(), affected, changed: true, moves: Vec::new() }
}

pub(crate) fn nothing(sentence: impl Into<String>) -> Receipt {
    let affected = Vec::new();
    Receipt { sentence: sentence.into(), affected, changed: false, moves: Vec::new() }
}

fn is_alive(state: TaskState) -> bool {
    matches!(state, TaskState::Running { .. } | TaskState::WaitingInput { .. })
}

impl Run {
    /// Carries out a verb, or says why not.
    pub(crate) fn command(&mut self, desk: &mut Desk, command: &Command) -> command::Answer {
        let after_all = [
            Verb::Cancel { task: None },
            Verb::Undo { what: command::Undo::Run },
            Verb::Archive,
            Verb::Restore,
        ];
        if self.record.cancelled && !after_all.contains(&command.verb) {
            return Err(Failure::user(format!("run `{}` was cancelled", self.info.name))
                .hint("submit the graph again: `taskloom run GRAPH`"));
        }
        self.must_not_be_undoing(&command.verb)?;
        let plan = Plan { who: &command.who, dry_run: command.dry_run };
        let receipt = match &command.verb {
            Verb::Retry { target: Target::Task(id), note, fresh, downstream } => {
                let how = redo::How { note: note.as_deref(), fresh: *fresh };
                self.retry_task(desk, &plan, id, how, *downstream)
            }
            Verb::Rewind { task, note, downstream } => {
                let how = redo::How { note: note.as_deref(), fresh: true };
                self.rewind(desk, &plan, task, how, *downstream)
            }
            Verb::Retry { target: Target::Lane(id), .. } => self.retry_lane(desk, &plan, id),
            Verb::Skip { task, reason } => self.skip(desk, &plan, task, reason.as_deref()),
            Verb::Stop { task } => self.stop(desk, &plan, task),
            Verb::Cancel { task: Some(task) } => self.cancel_task(desk, &plan, task),
            Verb::Cancel { task: None } => self.cancel_run(desk, &plan),
            Verb::Pause { task: None } => self.pause(desk, &plan, true),
            Verb::Pause { task: Some(task) } => self.pause_task(desk, &plan, task),
            Verb::Resume { task: None } => self.pause(desk, &plan, false),
            Verb::Resume { task: Some(task) } => self.resume_task(desk, &plan, task),
            Verb::Reprioritise { task, priority } => {
                self.reprioritise(desk, &plan, task, *priority)
            }
            Verb::Approve { target, commit } => self.approve(desk, &plan, target, commit.as_ref()),
            Verb::Reject { target, commit, note } => {
                self.reject(desk, &plan, target, commit.as_ref(), note.as_deref())
            }
            Verb::Plan { task, what, shown } => {
                self.decide_plan(desk, &plan, task, what, shown.as_deref())
            }
            Verb::Answer { task, text } => self.answer(desk, &plan, task, text),
            Verb::Steer { task, text } => self.steer(desk, &plan, task, text),
            Verb::Allow { task, how } => self.allow(desk, &plan, task, how),
            Verb::Undo { what } => self.undo(desk, &plan, what),
            Verb::Archive => self.put_away(desk, command.dry_run),
            Verb::Restore => self.bring_back(desk, command.dry_run),
        }?;
        if receipt.changed && !command.dry_run {
            let detail = format!("{}: {}", command.who, receipt.sentence);
            desk.journal(self.info.id, Subject::Run, None, What::Commanded, Some(detail));
            if command.verb.sets_going() {
                self.reopen(desk);
            }
        }
        Ok(receipt)
    }

    /// A settled run in which something can go on again is open again.
    pub(crate) fn reopen(&mut self, desk: &mut Desk) {
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

    fn names(&self, tasks: &[TaskIx]) -> Vec<TaskId> {
        tasks.iter().map(|task| self.graph().task(*task).id.clone()).collect()
    }

    fn attempt_key(&self, task: TaskIx) -> Option<EffectKey> {
        let attempt = self.tasks[task.at()].state.attempt()?;
        Some(Effect::Attempt { run: self.info.id, task, attempt }.key())
    }

    fn by_hand(&mut self, task: TaskIx, who: &str, reason: Option<&str>) {
        let by = ByHand { who: who.to_owned(), reason: reason.map(str::to_owned) };
        self.tasks[task.at()].more_mut().by = Some(by);
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
}
