//! Decisions about plans: bound to the plan that a person was shown, and taken once.

use crate::failure::Failure;
use crate::graph::TaskIx;
use crate::ids::TaskId;
use crate::orchestrator::command::{Answer, OnPlan};
use crate::orchestrator::growth::understood;
use crate::orchestrator::step::verbs::redo::How;
use crate::orchestrator::step::verbs::{Plan, done, nothing};
use crate::orchestrator::world::{Desk, Run};
use crate::state::{PlanFound, PlanRecord, TaskEvent, TaskState, What};

impl Run {
    pub(super) fn decide_plan(
        &mut self,
        desk: &mut Desk,
        plan: &Plan<'_>,
        id: &TaskId,
        what: &OnPlan,
        shown: Option<&str>,
    ) -> Answer {
        let task = self.find_task(id)?;
        let Some(record) = self.tasks[task.at()].plan() else {
            return Err(Failure::user(format!("task `{id}` left no plan")));
        };
        let same = shown.is_none_or(|shown| shown == record.digest);
        let TaskState::AwaitingPlanApproval { merged } = self.tasks[task.at()].state else {
            return self.decided_before(task, record, what, same);
        };
        if !same {
            return Err(Failure::user(format!(
                "the plan of task `{id}` is another one than you were shown"
            ))
            .hint(format!(
                "look at what it is now: `taskloom plan show {}/{id}`",
                self.info.name
            )));
        }
        match what {
            OnPlan::Approve => self.approve_plan(desk, plan, task, merged),
            OnPlan::Edit { text } => self.edit_plan(desk, plan, task, text),
            OnPlan::Change { note } => self.change_plan(desk, plan, task, note),
            OnPlan::Discard => self.discard_plan(desk, plan, task, merged),
        }
    }

    /// Deciding twice in the same way is deciding once.
    fn decided_before(
        &self,
        task: TaskIx,
        record: &PlanRecord,
        what: &OnPlan,
        same: bool,
    ) -> Answer {
        let id = &self.graph().task(task).id;
        let approved = record.decided.as_ref().filter(|_| same).map(|it| it.approved);
        match (approved, what) {
            (Some(true), OnPlan::Approve) => {
                Ok(nothing(format!("the plan of task `{id}` is approved already")))
            }
            (Some(false), OnPlan::Discard) => {
                Ok(nothing(format!("the plan of task `{id}` is discarded already")))
            }
            (Some(decided), _) => Err(Failure::user(format!(
                "the plan of task `{id}` is {} already",
                if decided { "approved" } else { "discarded" }
            ))
            .hint(format!("have another one made: `taskloom rewind {}/{id}`", self.info.name))),
            (None, _) => {
                let state = self.tasks[task.at()].state.word();
                Err(Failure::user(format!("task `{id}` is {state}; no plan of it waits")))
            }
        }
    }

    fn approve_plan(
        &mut self,
        desk: &mut Desk,
        plan: &Plan<'_>,
        task: TaskIx,
        merged: bool,
    ) -> Answer {
        let draft = self.draft(task)?;
        let id = self.graph().task(task).id.clone();
        let (names, below) = (draft.names.clone(), self.names(self.graph().children(task)));
        let tasks = match names.len() {
            1 => "1 task comes".to_owned(),
            n => format!("{n} tasks come"),
        };
        let before = match below.len() {
            0 => String::new(),
            1 => format!(", before `{}`", below[0]),
            n => format!(", before {n} tasks that wait for it"),
        };
        if !plan.dry_run {
            self.grow(desk, task, Some(plan.who), draft);
            self.plan_over(desk, task, merged);
        }
        let sentence = format!("the plan of task `{id}` is approved: {tasks} after it{before}");
        Ok(done(sentence, [names, below].concat()))
    }

    fn edit_plan(&mut self, desk: &mut Desk, plan: &Plan<'_>, task: TaskIx, text: &str) -> Answer {
        let id = self.graph().task(task).id.clone();
        let before = self.tasks[task.at()].plan().cloned();
        let before = before.expect("BUG: a plan was found");
        let found = PlanFound { file: before.file.clone(), text: text.to_owned(), read: None };
        let mut after = understood(desk.plans, found).ok_or_else(|| {
            Failure::user("the plan says `auto_tasks: false`, so nothing would come of it")
                .hint(format!("discard it: `taskloom plan discard {}/{id}`", self.info.name))
        })?;
        if let Some(why) = after.problem {
            return Err(Failure::user(why).hint("nothing was changed"));
        }
        if after.digest == before.digest {
            return Ok(nothing(format!("the plan of task `{id}` says that already")));
        }
        let count = after.steps.len();
        let left_out = match after.dropped {
            0 => String::new(),
            n => format!(" ({n} more are left out: too many)"),
        };
        if !plan.dry_run {
            after.edited_by = Some(plan.who.to_owned());
            *self.plan_mut(task) = after;
            let what = format!("its plan was changed by {}", plan.who);
            let seq = self.note(desk, task, What::Remark, Some(what));
            self.notify_plan(desk, task, seq);
        }
        let tasks = if count == 1 { "1 task".to_owned() } else { format!("{count} tasks") };
        let sentence = format!("the plan of task `{id}` asks for {tasks} now{left_out}");
        Ok(done(sentence, Vec::new()))
    }

    /// Back to its agent. That is no failure, and uses no attempt up.
    fn change_plan(
        &mut self,
        desk: &mut Desk,
        plan: &Plan<'_>,
        task: TaskIx,
        note: &str,
    ) -> Answer {
        let id = self.graph().task(task).id.clone();
        if note.trim().is_empty() {
            return Err(Failure::user("say what is to be different about the plan"));
        }
        if !plan.dry_run {
            // What is merged is in the lane, where the next attempt begins.
            self.tasks[task.at()].more_mut().kept = None;
            let note = format!("About the plan that you left, {} says: {note}", plan.who);
            self.again(desk, task, How { note: Some(&note), fresh: false });
        }
        Ok(done(format!("the agent of task `{id}` plans again"), Vec::new()))
    }

    fn discard_plan(
        &mut self,
        desk: &mut Desk,
        plan: &Plan<'_>,
        task: TaskIx,
        merged: bool,
    ) -> Answer {
        let id = self.graph().task(task).id.clone();
        let below = self.names(self.graph().children(task));
        let sentence = match below.len() {
            0 => format!("the plan of task `{id}` is discarded"),
            1 => format!("the plan of task `{id}` is discarded; `{}` goes on without", below[0]),
            n => format!("the plan of task `{id}` is discarded; {n} tasks go on without"),
        };
        if !plan.dry_run {
            self.decide(desk, task, Some(plan.who), false);
            let what = format!("its plan was discarded by {}", plan.who);
            self.note(desk, task, What::Remark, Some(what));
            self.plan_over(desk, task, merged);
        }
        Ok(done(sentence, below))
    }

    /// Nothing keeps the task from being done any more.
    fn plan_over(&mut self, desk: &mut Desk, task: TaskIx, merged: bool) {
        let more = self.tasks[task.at()].more.as_ref();
        let commit = more.and_then(|more| more.merged.as_ref()).filter(|_| merged);
        let detail = commit.map(|commit| commit.short().to_owned());
        let event = if merged { TaskEvent::Merged } else { TaskEvent::Completed };
        self.task_event(desk, task, event, detail);
    }
}
