//! A run grows: what a plan asks for becomes tasks of the run.
//!
//! The graph's source stays what was submitted. What plans add is kept beside it, in order, and
//! put to it again whenever the run is loaded: so a run that grew and one that is read again are
//! the same.

use std::sync::Arc;

use serde_json::json;

use crate::failure::Failure;
use crate::graph::{self, Frontier, Graph, TaskIx};
use crate::ids::TaskId;
use crate::orchestrator::desk::Place;
use crate::orchestrator::engine::digest;
use crate::orchestrator::world::{Desk, LaneLeft, Run};
use crate::plan::{self, PLAN_BYTES_MAX, Reading, Rules};
use crate::runner::RunInfo;
use crate::scheduler::ReadyIndex;
use crate::state::{
    Growth, Part, PlanDecision, PlanFound, PlanReading, PlanRecord, Subject, TaskEvent, TaskRecord,
    What,
};
use crate::store;

/// How many hexadecimal digits name a plan: no two plans of a task share so many by chance, and a
/// button's name has room for them.
const DIGEST_CHARS: usize = 16;

/// How many names a line of the journal holds before it counts the rest.
const NAMES_SHOWN: usize = 8;

/// What plans added to a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plans {
    pub(crate) grown: Vec<Growth>,
    pub(crate) sources: Vec<String>,
}

/// A plan as it would become part of the run.
pub(crate) struct Draft {
    /// Its tasks.
    pub(crate) names: Vec<TaskId>,
    source: String,
    graph: Graph,
}

/// A graph with what plans added to it.
pub(crate) fn grown(
    graph: Graph,
    grown: &[Growth],
    sources: &[String],
) -> Result<Graph, store::Error> {
    let damaged = |growth: &Growth, why: String| store::Error::Inconsistent {
        table: "graphs",
        column: "source",
        row: growth.digest.clone(),
        why,
    };
    grown.iter().zip(sources).try_fold(graph, |graph, (growth, source)| {
        let plan = graph::load_plan(source.as_bytes()).map_err(|problems| {
            damaged(growth, problems.first().map(ToString::to_string).unwrap_or_default())
        })?;
        if growth.parent.at() >= graph.tasks().len() {
            return Err(damaged(growth, "the task that planned it is not there".to_owned()));
        }
        graph::grow(&graph, growth.parent, &plan).map_err(|why| damaged(growth, why.to_string()))
    })
}

/// A plan with what it comes to; `None` if it says that it is not for this.
pub(crate) fn understood(rules: Rules, found: PlanFound) -> Option<PlanRecord> {
    let PlanFound { file, text, read } = found;
    let (by_agent, reader) = match read {
        Some(PlanReading { reader, steps, dropped }) if reader.failed.is_none() => {
            (Some(Reading::Steps { steps, dropped }), Some(reader))
        }
        other => (None, other.map(|reading| reading.reader)),
    };
    let named = by_agent.is_some();
    let read = by_agent.map_or_else(|| plan::read(&text, rules.max_steps), Ok);
    let mut text = plan::clean(&text);
    let end = (0..=text.len().min(PLAN_BYTES_MAX)).rev().find(|at| text.is_char_boundary(*at));
    text.truncate(end.unwrap_or(0));
    let (steps, dropped, problem) = match read {
        Ok(Reading::Steps { steps, dropped }) => (steps, dropped, None),
        Ok(Reading::OptedOut) => return None,
        Err(why) => (Vec::new(), 0, Some(why.to_string())),
    };
    // Rules find the same again in the same text, an agent may not.
    let mut digest = match named {
        true => digest(&format!("{text}{}", json!(steps))),
        false => digest(&text),
    };
    digest.truncate(DIGEST_CHARS);
    let (edited_by, decided) = (None, None);
    Some(PlanRecord { file, text, digest, steps, dropped, reader, problem, edited_by, decided })
}

impl Run {
    /// Takes down the plan that an attempt left, if it is one to make tasks of. What somebody pushed
    /// (`adopted`) says nothing about the plan unless it holds one.
    pub(crate) fn plan_found(
        &mut self,
        desk: &mut Desk,
        task: TaskIx,
        found: Option<Box<PlanFound>>,
        adopted: bool,
    ) {
        if found.is_none() && adopted {
            return;
        }
        let mut plan = None;
        if let Some(found) = found {
            let depth = graph::depth(self.graph(), task);
            if depth >= desk.plans.max_depth {
                let why = "it left a plan, which is not turned into tasks: it comes from a plan \
                           itself (`plans.max_depth`)";
                self.note(desk, task, What::Remark, Some(why.to_owned()));
            } else {
                plan = understood(desk.plans, *found);
                if plan.is_none() {
                    let why = "its plan says `auto_tasks: false`; no tasks are made of it";
                    self.note(desk, task, What::Remark, Some(why.to_owned()));
                }
            }
        }
        // Who was not asked for a plan may write something else under that name.
        if !self.graph().task(task).plan
            && let Some(why) = plan.as_ref().and_then(|plan| plan.problem.clone())
        {
            let why = format!("it left a plan of which no tasks are made: {why}");
            self.note(desk, task, What::Remark, Some(why));
            plan = None;
        }
        if plan.is_some() || self.tasks[task.at()].plan().is_some() {
            self.tasks[task.at()].more_mut().plan = plan.map(Box::new);
        }
    }

    /// A task's own work is done, as `event` says; what it planned comes before everything that
    /// waits for it.
    pub(crate) fn work_done(
        &mut self,
        desk: &mut Desk,
        task: TaskIx,
        event: TaskEvent,
        detail: Option<String>,
    ) {
        let open = self.tasks[task.at()].plan().is_some_and(|plan| plan.decided.is_none());
        if !open || self.record.cancelled {
            self.task_event(desk, task, event, detail);
            return;
        }
        if self.needs_nobody(desk, task) {
            match self.draft(task) {
                Ok(draft) => {
                    self.grow(desk, task, None, draft);
                    self.task_event(desk, task, event, detail);
                    return;
                }
                Err(failure) => self.plan_mut(task).problem = Some(failure.message),
            }
        }
        let seq = self.task_event(desk, task, TaskEvent::PlanAsked, detail);
        self.notify_plan(desk, task, seq);
    }

    /// Plans of plans always need a person: nobody has seen the one that asked for them.
    fn needs_nobody(&self, desk: &Desk, task: TaskIx) -> bool {
        let plain = self.tasks[task.at()].plan().is_some_and(|plan| plan.problem.is_none());
        let asked_for = self.graph().task(task).auto_approve_plan || desk.plans.auto_approve;
        plain && asked_for && graph::depth(self.graph(), task) == 0
    }

    /// The plan of a task that is known to have one.
    pub(crate) fn plan_mut(&mut self, task: TaskIx) -> &mut PlanRecord {
        self.changed.task(task);
        let plan = self.tasks[task.at()].more_mut().plan.as_deref_mut();
        plan.expect("BUG: the task has a plan")
    }

    /// What the run would be with the plan of a task, or why it cannot be that.
    pub(crate) fn draft(&self, task: TaskIx) -> Result<Draft, Failure> {
        let id = &self.graph().task(task).id;
        let wrong = |why: String| {
            let name = &self.info.name;
            Failure::user(why)
                .hint(format!("put it right: `taskloom plan edit {name}/{id} --file FILE`"))
                .hint(format!("or ask its agent: `taskloom plan changes {name}/{id} --note TEXT`"))
        };
        let plan = self.tasks[task.at()].plan();
        let plan = plan.ok_or_else(|| Failure::user(format!("task `{id}` left no plan")))?;
        if let Some(why) = &plan.problem {
            return Err(wrong(why.clone()));
        }
        let file = plan.file.as_deref();
        let (names, source) = plan::write(self.graph(), task, &plan.steps, file);
        let read = graph::load_plan(source.as_bytes()).map_err(|problems| {
            wrong(problems.first().map(ToString::to_string).unwrap_or_default())
        })?;
        let graph = graph::grow(self.graph(), task, &read).map_err(|why| wrong(why.to_string()))?;
        Ok(Draft { names, source, graph })
    }

    /// Makes the plan of a task part of the run. What waits for the task waits for it as well from
    /// now on, so this comes before the task's own end.
    pub(crate) fn grow(&mut self, desk: &mut Desk, task: TaskIx, who: Option<&str>, draft: Draft) {
        let Draft { names, source, graph } = draft;
        self.decide(desk, task, who, true);
        let digest = digest(&source);
        desk.batch.graphs.push((digest.clone(), source.clone()));
        self.record.grown.push(Growth { parent: task, digest });
        self.changed.run = true;
        let mut info = RunInfo::clone(&self.info);
        info.graph = graph;
        info.plans.push(source);
        self.take_shape(desk, Arc::new(info));
        let id = &self.graph().task(task).id;
        let by = who.map_or_else(|| "which needs nobody".to_owned(), |who| format!("by {who}"));
        let shown: Vec<&str> = names.iter().take(NAMES_SHOWN).map(TaskId::as_str).collect();
        let rest = match names.len().saturating_sub(NAMES_SHOWN) {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        let detail = format!("by the plan of `{id}`, {by}: {}{rest}", shown.join(", "));
        desk.journal(self.info.id, Subject::Run, None, What::Grown, Some(detail));
    }

    /// Takes down what was decided about a plan.
    pub(crate) fn decide(&mut self, desk: &Desk, task: TaskIx, who: Option<&str>, approved: bool) {
        let (who, at) = (who.map(str::to_owned), desk.now);
        self.plan_mut(task).decided = Some(PlanDecision { who, at, approved });
    }

    /// The same run with more tasks: everything that follows from the graph follows anew, and
    /// nothing that goes on notices.
    fn take_shape(&mut self, desk: &mut Desk, info: Arc<RunInfo>) {
        self.offer(desk, false);
        for task in self.info.clone().graph.order() {
            let state = self.tasks[task.at()].state;
            self.leave_places(desk, *task, state);
        }
        for lane in self.info.graph.lane_ixs() {
            if let Some(at) = self.lanes[lane.at()].not_before {
                self.disarm(desk, at, Part::Lane(lane));
            }
        }
        let graph = &info.graph;
        self.tasks.resize(graph.tasks().len(), TaskRecord::default());
        self.changed.task_marks.resize(graph.tasks().len(), false);
        self.left = graph.lane_ixs().map(|lane| LaneLeft::initial(graph, lane)).collect();
        self.frontier = Frontier::new(graph);
        self.ready = ReadyIndex::new(graph);
        self.place = Place::new(self.place.project, graph.tasks().len());
        self.wanted.clear();
        self.info = info;
        self.derive(desk);
        desk.touched.insert(self.info.id);
    }
}
