//! Verbs by which a person allows more where a budget is used up.

use crate::failure::Failure;
use crate::graph::TaskIx;
use crate::ids::{ProfileName, ProjectId, TaskId};
use crate::orchestrator::command::{self, Allowance, GlobalCommand};
use crate::orchestrator::step::limits::budgets::whose;
use crate::orchestrator::step::verbs::{Plan, done};
use crate::orchestrator::world::{Desk, Run, World};
use crate::scheduler::filled;
use crate::state::{OverBudget, ParkReason, TaskState};

/// What a person adds to a budget that is used up, in hundredths of it.
pub(crate) const MORE_PERCENT: u32 = 25;

/// What an agent may still use to come to an end, in hundredths of its budget.
const LAST_PERCENT: u32 = 10;

/// What an agent is told that has little left.
const FINISH_UP: &str = "The budget of this task is nearly used up. Come to an end now: commit what \
    works, leave out what is not begun, and say in your summary what is missing.";

impl Run {
    pub(super) fn allow(
        &mut self,
        desk: &mut Desk,
        plan: &Plan<'_>,
        id: &TaskId,
        how: &Allowance,
    ) -> command::Answer {
        let task = self.find_task(id)?;
        let over = self.tasks[task.at()].more.as_ref().and_then(|more| more.over);
        let paused = matches!(
            self.tasks[task.at()].state,
            TaskState::Paused { why: ParkReason::Budget, .. }
        );
        let Some(level) = over.filter(|_| paused) else {
            return Err(Failure::user(format!("task `{id}` does not wait for a budget")));
        };
        if let Allowance::Switch { profile } = how {
            desk.demand_profile(profile)?;
        }
        let sentence = match how {
            Allowance::More => format!(
                "the budget {} is {MORE_PERCENT} % more, and task `{id}` goes on",
                whose(level, self, task)
            ),
            Allowance::FinishUp => {
                format!("task `{id}` goes on with {LAST_PERCENT} % more, and is told to finish up")
            }
            Allowance::Switch { profile } => format!(
                "`{profile}` goes on with task `{id}`; the budget {} is {MORE_PERCENT} % more",
                whose(level, self, task)
            ),
        };
        if !plan.dry_run {
            let percent = match how {
                Allowance::More | Allowance::Switch { .. } => MORE_PERCENT,
                Allowance::FinishUp => LAST_PERCENT,
            };
            if *how == Allowance::FinishUp {
                self.note_down(task, FINISH_UP);
            }
            if let Allowance::Switch { profile } = how {
                self.give_to(desk, task, profile);
            }
            self.raise(desk, task, level, percent);
        }
        Ok(done(sentence, Vec::new()))
    }

    /// Allows more of a budget; what was paused for it goes on.
    fn raise(&mut self, desk: &mut Desk, task: TaskIx, level: OverBudget, percent: u32) {
        match level {
            OverBudget::Task => {
                let budget = self.graph().task(task).budget;
                let more = self.tasks[task.at()].more_mut();
                let used = filled(more.usage.tokens.all(), more.usage.usd, budget);
                more.allowance = Some(beyond(more.allowance, used, percent));
                more.warned = false;
                self.go_on_with(desk, task);
            }
            OverBudget::Run => {
                let budget = self.graph().settings().budget;
                let used = filled(self.usage.tokens.all(), self.usage.usd, budget);
                self.record.allowance = Some(beyond(self.record.allowance, used, percent));
                self.record.warned = false;
                self.changed.run = true;
                self.go_on_within(desk, level);
            }
            OverBudget::Project => {
                let project = self.record.project.clone();
                desk.allow(Some(&project), percent);
                desk.allowed.push((Some(project), level));
            }
            OverBudget::All => {
                desk.allow(None, percent);
                desk.allowed.push((None, level));
            }
        }
        desk.touched.insert(self.info.id);
    }

    /// Another profile does a task from now on.
    fn give_to(&mut self, desk: &mut Desk, task: TaskIx, profile: &ProfileName) {
        let state = self.tasks[task.at()].state;
        self.leave_places(desk, task, state);
        let more = self.tasks[task.at()].more_mut();
        more.agent = Some(profile.clone());
        more.stand_in = None;
        self.find_pools(desk);
        self.enter_places(desk, task, state);
        self.changed.task(task);
    }
}

/// So much more than was allowed, or than was used if that is more already.
fn beyond(allowed: Option<u32>, used: f64, percent: u32) -> u32 {
    let used = (used * 100.0).ceil().clamp(0.0, f64::from(u32::MAX / 2)) as u32;
    allowed.unwrap_or(100).max(used).saturating_add(percent)
}

impl Desk {
    /// Fails if the configuration has no such profile.
    pub(crate) fn demand_profile(&self, profile: &ProfileName) -> Result<(), Failure> {
        if self.policy.profiles.contains_key(profile) {
            return Ok(());
        }
        let names: Vec<&str> = self.policy.profiles.keys().map(ProfileName::as_str).collect();
        let missing = Failure::user(format!("there is no agent `{profile}`"));
        Err(match names.is_empty() {
            true => missing.hint("add it under `agents:` in the configuration"),
            false => missing.hint(format!("choose one of: {}", names.join(", "))),
        })
    }
}

impl World {
    /// Allows a project, or everything, more within the window.
    pub(super) fn allow(
        &mut self,
        command: &GlobalCommand,
        project: Option<&ProjectId>,
    ) -> command::Answer {
        let desk = &mut self.desk;
        let ix = project.map(|project| desk.queue.project(project));
        let what = match project {
            None => "everything".to_owned(),
            Some(project) => format!("project `{project}`"),
        };
        if desk.queue.budget(ix).is_unlimited() {
            return Err(Failure::user(format!("{what} has no budget within 24 hours")));
        }
        let sentence =
            format!("the budget of {what} is {MORE_PERCENT} % more for the next 24 hours");
        if !command.dry_run {
            desk.allow(project, MORE_PERCENT);
            let level = if project.is_some() { OverBudget::Project } else { OverBudget::All };
            desk.allowed.push((project.cloned(), level));
            self.said_to_all(project, command, &sentence);
        }
        Ok(done(sentence, Vec::new()))
    }
}
