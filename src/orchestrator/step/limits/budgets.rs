//! What was used: the ledger, and the budgets that pause and ask.

use crate::graph::{Budget, TaskIx};
use crate::ids::ProjectId;
use crate::orchestrator::world::{BUDGETS, Desk, Run, World};
use crate::scheduler::{CHARGE_DEFAULT, ProjectIx, Used, WINDOW, filled};
use crate::state::{
    BudgetState, Ending, LAST_TURN, LedgerLine, OverBudget, ParkReason, Spent, TaskEvent,
    TaskState, Usage, What,
};

/// From which part of a budget on people are warned.
const WARN_AT: f64 = 0.8;

/// All of a budget, in hundredths.
const WHOLE: u32 = 100;

/// A budget, with what was used of it.
struct Standing {
    level: OverBudget,
    budget: Budget,
    tokens: u64,
    usd: f64,
}

impl Standing {
    fn filled(&self) -> f64 {
        filled(self.tokens, self.usd, self.budget)
    }
}

/// Whose budget it is, as a sentence ends with.
pub(crate) fn whose(level: OverBudget, run: &Run, task: TaskIx) -> String {
    match level {
        OverBudget::Task => format!("of task `{}`", run.graph().task(task).id),
        OverBudget::Run => format!("of run `{}`", run.info.name),
        OverBudget::Project => format!("of project `{}` within 24 hours", run.record.project),
        OverBudget::All => "of everything within 24 hours".to_owned(),
    }
}

/// What of a budget is used, as people read it.
fn amounts(standing: &Standing) -> String {
    let tokens = standing.budget.tokens.map(|max| format!("{} of {max} tokens", standing.tokens));
    let usd = standing.budget.usd.map(|max| format!("${:.2} of ${max:.2}", standing.usd));
    tokens.into_iter().chain(usd).collect::<Vec<_>>().join(", ")
}

impl Run {
    /// The attempt used something.
    pub(crate) fn spent(&mut self, desk: &mut Desk, task: TaskIx, attempt: u32, spent: Spent) {
        let more = self.tasks[task.at()].more_mut();
        // Whoever follows an agent again hears again what it used.
        if spent.seq <= more.booked.seq {
            return;
        }
        more.booked.seq = spent.seq;
        more.booked.usage += spent.usage;
        let charge = spent.usage.tokens.all();
        self.book(desk, task, attempt, spent, charge);
        self.watch_budgets(desk, task);
    }

    /// Closes an attempt in the ledger: with what nobody told before, if there is any.
    pub(crate) fn close_books(
        &mut self,
        desk: &mut Desk,
        task: TaskIx,
        attempt: u32,
        all: Usage,
        worked: bool,
    ) {
        let booked = std::mem::take(&mut self.tasks[task.at()].more_mut().booked);
        let rest = all.since(booked.usage);
        let untold = booked.usage.is_nothing() && rest.is_nothing();
        let charge = if untold && worked { CHARGE_DEFAULT } else { rest.tokens.all() };
        let (turn, seq) = (LAST_TURN, booked.seq + 1);
        let spent = Spent { turn, seq, usage: rest, model: None, profile: None };
        self.book(desk, task, attempt, spent, charge);
    }

    fn book(&mut self, desk: &mut Desk, task: TaskIx, attempt: u32, spent: Spent, charge: u64) {
        let Spent { turn, seq, usage, model, profile } = spent;
        self.usage += usage;
        self.tasks[task.at()].more_mut().usage += usage;
        self.changed.task(task);
        desk.touched.insert(self.info.id);
        let by = self.done_by(desk, task);
        let profile = profile.or_else(|| desk.queue.profile(by).cloned());
        let line = LedgerLine {
            at: desk.now,
            run: self.info.id,
            task,
            attempt,
            turn,
            seq,
            project: self.record.project.clone(),
            profile,
            model,
            usage,
            charge,
        };
        let ended = u64::from(line.closes());
        let used = Used { tokens: usage.tokens.all(), usd: usage.usd, charge, ended };
        desk.queue.charge(self.place.project, desk.now, used);
        desk.batch.ledger.push(line);
    }

    /// What the whole run may use.
    fn run_budget(&self) -> Budget {
        self.graph().settings().budget.scaled(self.record.allowance.unwrap_or(WHOLE))
    }

    /// Whether the run's budget is used up.
    pub(crate) fn is_over_budget(&self) -> bool {
        filled(self.usage.tokens.all(), self.usage.usd, self.run_budget()) >= 1.0
    }

    /// Every budget that a task uses, its own first.
    fn standings(&self, desk: &Desk, task: TaskIx) -> [Standing; 4] {
        let more = self.tasks[task.at()].more.as_ref();
        let own = more.map(|more| more.usage).unwrap_or_default();
        let allowance = more.and_then(|more| more.allowance).unwrap_or(WHOLE);
        let of = |level, budget, usage: Usage| Standing {
            level,
            budget,
            tokens: usage.tokens.all(),
            usd: usage.usd,
        };
        let within = |level, project: Option<ProjectIx>| {
            let used = desk.queue.used(project);
            Standing {
                level,
                budget: desk.queue.budget(project),
                tokens: used.tokens,
                usd: used.usd,
            }
        };
        [
            of(OverBudget::Task, self.graph().task(task).budget.scaled(allowance), own),
            of(OverBudget::Run, self.run_budget(), self.usage),
            within(OverBudget::Project, Some(self.place.project)),
            within(OverBudget::All, None),
        ]
    }

    /// Warns when most of a budget is used up; pauses the task when one is.
    fn watch_budgets(&mut self, desk: &mut Desk, task: TaskIx) {
        let standings = self.standings(desk, task);
        if let Some(over) = standings.iter().find(|standing| standing.filled() >= 1.0) {
            let alive = matches!(
                self.tasks[task.at()].state,
                TaskState::Running { .. } | TaskState::WaitingInput { .. }
            );
            if alive && self.tasks[task.at()].ending().is_none() {
                let why = format!(
                    "the budget {} is used up: {}",
                    whose(over.level, self, task),
                    amounts(over)
                );
                self.note(desk, task, What::BudgetReached, Some(why));
                self.tasks[task.at()].more_mut().over = Some(over.level);
                self.end_attempt(desk, task, Ending::Budget);
            }
            return;
        }
        for standing in standings.iter().filter(|standing| standing.filled() >= WARN_AT) {
            if self.may_warn(desk, task, standing.level) {
                let why = format!(
                    "{:.0} % of the budget {} is used up: {}",
                    standing.filled() * 100.0,
                    whose(standing.level, self, task),
                    amounts(standing)
                );
                let seq = self.note(desk, task, What::BudgetWarning, Some(why.clone()));
                self.notify_budget_warning(desk, task, seq, &why);
            }
        }
    }

    /// Whether nobody was warned of a budget yet; from now on somebody was.
    fn may_warn(&mut self, desk: &mut Desk, task: TaskIx, level: OverBudget) -> bool {
        match level {
            OverBudget::Task => {
                let more = self.tasks[task.at()].more_mut();
                self.changed.task(task);
                !std::mem::replace(&mut more.warned, true)
            }
            OverBudget::Run => {
                self.changed.run = true;
                !std::mem::replace(&mut self.record.warned, true)
            }
            OverBudget::Project => desk.may_warn(Some(&self.record.project.clone())),
            OverBudget::All => desk.may_warn(None),
        }
    }

    /// The attempt was ended because a budget is used up: its task waits for a person.
    pub(crate) fn paused_for_budget(&mut self, desk: &mut Desk, task: TaskIx) {
        let level = self.tasks[task.at()].more_mut().over.unwrap_or(OverBudget::Task);
        let standings = self.standings(desk, task);
        let standing = standings.iter().find(|standing| standing.level == level);
        let what = standing.map(amounts).unwrap_or_default();
        let why = format!("the budget {} is used up", whose(level, self, task));
        let event = TaskEvent::Parked { until: None, why: ParkReason::Budget };
        let seq = self.task_event(desk, task, event, Some(format!("{why}: {what}")));
        self.notify_over_budget(desk, task, seq, &why, what);
    }

    /// Tasks that were paused for a budget of which there is more now go on.
    pub(crate) fn go_on_within(&mut self, desk: &mut Desk, level: OverBudget) {
        for task in (0..self.tasks.len() as u32).map(TaskIx) {
            let record = &self.tasks[task.at()];
            let paused = matches!(record.state, TaskState::Paused { why: ParkReason::Budget, .. });
            if paused && record.more.as_ref().is_some_and(|more| more.over == Some(level)) {
                self.go_on_with(desk, task);
            }
        }
    }

    /// A task that was paused for a budget goes on.
    pub(crate) fn go_on_with(&mut self, desk: &mut Desk, task: TaskIx) {
        self.tasks[task.at()].more_mut().over = None;
        self.task_event(desk, task, TaskEvent::Unparked, None);
        self.wait_again(desk, task);
    }
}

impl Desk {
    fn budget_state(&mut self, project: Option<&ProjectId>) -> &mut BudgetState {
        let at = self.budgets.iter().position(|state| state.project.as_ref() == project);
        let at = at.unwrap_or_else(|| {
            let project = project.cloned();
            self.budgets.push(BudgetState { project, warned: None, allowance: None });
            self.budgets.len() - 1
        });
        &mut self.budgets[at]
    }

    fn keep_budgets(&mut self) {
        let text = serde_json::to_string(&self.budgets).expect("BUG: plain data");
        self.batch.settings.push((BUDGETS, text));
    }

    fn may_warn(&mut self, project: Option<&ProjectId>) -> bool {
        let now = self.now;
        let state = self.budget_state(project);
        let fresh = state.warned.is_some_and(|at| now.since(at) < WINDOW);
        if !fresh {
            state.warned = Some(now);
            self.keep_budgets();
        }
        !fresh
    }

    /// Allows a project, or everything, so much more until the window has passed: what it may use
    /// now, in hundredths of its budget.
    pub(crate) fn allow(&mut self, project: Option<&ProjectId>, percent: u32) -> u32 {
        let until = self.now + WINDOW;
        let state = self.budget_state(project);
        let now = state.allowance.map_or(WHOLE, |(now, _)| now).saturating_add(percent);
        state.allowance = Some((now, until));
        state.warned = None;
        self.keep_budgets();
        self.apply_budget(project);
        now
    }

    /// Has the queue know what a project, or (`None`) all of them together, may use now: its
    /// budget, and what was allowed beyond it.
    pub(crate) fn apply_budget(&mut self, project: Option<&ProjectId>) {
        let budget = project.map_or(self.policy.budget, |id| self.settings(id).budget);
        let state = self.budgets.iter().find(|state| state.project.as_ref() == project);
        let allowance = state.and_then(|state| state.allowance);
        let percent = allowance.map_or(WHOLE, |(percent, _)| percent);
        let ix = project.map(|id| self.queue.project(id));
        self.queue.set_budget(ix, budget.scaled(percent));
    }

    /// The same for everybody.
    pub(crate) fn apply_budgets(&mut self) {
        self.apply_budget(None);
        for id in self.projects.keys().cloned().collect::<Vec<_>>() {
            self.apply_budget(Some(&id));
        }
    }

    /// What was allowed for a day is over after it.
    pub(crate) fn roll_budgets(&mut self) {
        let now = self.now;
        let over = |state: &BudgetState| state.allowance.is_some_and(|(_, until)| until <= now);
        if self.budgets.iter().any(over) {
            for state in &mut self.budgets {
                state.allowance = state.allowance.filter(|(_, until)| *until > now);
            }
            self.keep_budgets();
            self.apply_budgets();
        }
    }
}

impl World {
    /// In every run, tasks that were paused for a budget of which there is more now go on.
    pub(crate) fn release_over_budget(&mut self) {
        for (project, level) in std::mem::take(&mut self.desk.allowed) {
            for run in self.runs.values_mut() {
                if project.as_ref().is_none_or(|project| run.record.project == *project) {
                    run.go_on_within(&mut self.desk, level);
                    self.desk.touched.insert(run.info.id);
                }
            }
        }
    }
}
