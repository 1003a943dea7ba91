//! A graph that is submitted again, changed, while results of it are there: what is done and still
//! wanted is kept, the rest is done in a new run that begins where the old one stands.

use crate::failure::Failure;
use crate::graph::{Diff, Graph, LaneIx, TaskIx, diff, grow};
use crate::ids::{RunName, TaskId};
use crate::orchestrator::command::Resubmission;
use crate::orchestrator::growth::Plans;
use crate::orchestrator::world::{Desk, Run};
use crate::state::{Growth, LaneRecord, LaneState, TaskRecord, TaskState};

/// What a run takes over from an earlier one.
pub(crate) struct Carried {
    pub(crate) tasks: Vec<(TaskIx, TaskRecord)>,
    pub(crate) lanes: Vec<(LaneIx, LaneRecord)>,
    pub(crate) summary: Resubmission,
}

/// The old run beside the new graph.
struct Sides<'a> {
    old: &'a Run,
    new: &'a Graph,
    /// For each task of the new graph: that of the old one, if its result is kept.
    kept: Vec<Option<TaskIx>>,
}

impl Run {
    /// What a run of `new` takes over from this one; refused while something is under way.
    pub(crate) fn carry(&self, desk: &Desk, new: &Graph) -> Result<Carried, Failure> {
        let name = &self.info.name;
        if self.record.cancelled {
            return Err(Failure::user(format!("run `{name}` was cancelled"))
                .hint("submit the graph without it"));
        }
        let alive: Vec<String> = (self.graph().tasks().iter().zip(&self.tasks))
            .filter(|(_, record)| {
                let planned = matches!(record.state, TaskState::AwaitingPlanApproval { .. });
                planned || record.state.attempt().is_some()
            })
            .map(|(spec, record)| format!("`{}` is {}", spec.id, record.state.word()))
            .collect();
        if !alive.is_empty() {
            return Err(Failure::user(format!(
                "run `{name}` cannot be changed while something is under way: {}",
                alive.join(", ")
            ))
            .hint(format!("`taskloom pause {name}` and wait, or stop these tasks")));
        }
        if let Some(lane) = self.lane_being_merged() {
            return Err(Failure::user(format!(
                "run `{name}` cannot be changed while its lane `{}` is being merged",
                self.graph().lane(lane).id
            ))
            .hint("wait until it is"));
        }
        let diff = diff(self.graph(), new);
        let sides = Sides { old: self, new, kept: kept(self, new, &diff) };
        let tasks = sides.tasks(name);
        let mut lanes: Vec<(LaneIx, LaneRecord)> = Vec::new();
        for lane in new.lane_ixs() {
            if let Some(mut record) = sides.lane(lane) {
                record.since = desk.now;
                lanes.push((lane, record));
            }
        }
        let summary = sides.summary(&diff);
        Ok(Carried { tasks, lanes, summary })
    }

    /// Adds to a graph that goes on from this run what plans added to it, as far as the results of
    /// who planned it are kept: a plan is done again with its task.
    pub(crate) fn with_plans(&self, new: &mut Graph) -> Plans {
        let grown = self.record.grown.iter().zip(&self.info.plans);
        let mut wanted: Vec<(&Growth, &String)> = grown.collect();
        loop {
            let (graph, plans) = self.grown_again(new, &wanted);
            let kept = kept(self, &graph, &diff(self.graph(), &graph));
            let parents = || plans.grown.iter().map(|growth| kept[growth.parent.at()]);
            if parents().all(|before| before.is_some()) {
                *new = graph;
                return plans;
            }
            let stays: Vec<TaskIx> = parents().flatten().collect();
            wanted.retain(|(growth, _)| stays.contains(&growth.parent));
        }
    }

    fn grown_again(&self, new: &Graph, wanted: &[(&Growth, &String)]) -> (Graph, Plans) {
        let (mut graph, mut plans) = (new.clone(), Plans::default());
        for (growth, source) in wanted {
            let Some(parent) = graph.lookup_task(&self.graph().task(growth.parent).id) else {
                continue;
            };
            let read = crate::graph::load_plan(source.as_bytes()).ok();
            if let Some(grown) = read.and_then(|read| grow(&graph, parent, &read).ok()) {
                graph = grown;
                plans.grown.push(Growth { parent, digest: growth.digest.clone() });
                plans.sources.push((*source).clone());
            }
        }
        (graph, plans)
    }

    fn lane_being_merged(&self) -> Option<LaneIx> {
        self.graph().lane_ixs().find(|lane| self.lanes[lane.at()].state == LaneState::Merging)
    }

    /// Begins where an earlier run stands.
    pub(crate) fn take_over(&mut self, desk: &mut Desk, carried: Carried) {
        for (task, record) in carried.tasks {
            self.tasks[task.at()] = record;
            self.changed.task(task);
        }
        for (lane, record) in carried.lanes {
            self.lanes[lane.at()] = record;
            self.changed.lanes.insert(lane);
        }
        self.derive(desk);
    }
}

/// A result is kept if nothing that decides it has changed, and those of all that it builds on
/// are kept.
fn kept(old: &Run, new: &Graph, diff: &Diff) -> Vec<Option<TaskIx>> {
    let same: std::collections::BTreeSet<&TaskId> = diff.tasks.kept.iter().collect();
    let harmless = |id: &TaskId| diff.tasks.changed.iter().any(|c| c.id == *id && !c.matters());
    let moved = |lane: LaneIx| {
        let id = &new.lane(lane).id;
        let fields = ["base", "target", "parent"];
        diff.lanes.added.contains(id)
            || diff.lanes.changed.iter().any(|changed| {
                changed.id == *id && changed.fields.iter().any(|f| fields.contains(&f.field))
            })
    };
    let mut kept = vec![None; new.tasks().len()];
    for task in new.order().iter().copied() {
        let spec = new.task(task);
        let Some(before) = old.graph().lookup_task(&spec.id) else { continue };
        let fits = (same.contains(&spec.id) || harmless(&spec.id)) && !moved(spec.lane);
        let done = old.tasks[before.at()].state.is_success();
        if fits && done && new.parents(task).iter().all(|parent| kept[parent.at()].is_some()) {
            kept[task.at()] = Some(before);
        }
    }
    kept
}

impl Sides<'_> {
    fn tasks(&self, name: &RunName) -> Vec<(TaskIx, TaskRecord)> {
        let pairs = self.kept.iter().enumerate();
        let pairs = pairs.filter_map(|(at, before)| Some((TaskIx(at as u32), (*before)?)));
        let carried = pairs.map(|(task, before)| {
            let mut record = self.old.tasks[before.at()].clone();
            record.attempts = 0;
            record.priority = None;
            record.more_mut().kept_from.get_or_insert_with(|| name.clone());
            (task, record)
        });
        carried.collect()
    }

    /// What the new run knows of a lane at its beginning; `None`: nothing.
    fn lane(&self, lane: LaneIx) -> Option<LaneRecord> {
        let before = self.before(lane)?;
        let old = &self.old.lanes[before.at()];
        if self.is_contained(before) {
            let whole = self.new.lane_tasks(lane).iter().all(|t| self.kept[t.at()].is_some())
                && self.children_are_merged(lane);
            return whole.then(|| LaneRecord { decisions: Vec::new(), ..old.clone() });
        }
        let own = self.new.lane_tasks(lane).iter().any(|task| {
            let kept = self.kept[task.at()];
            kept.is_some_and(|before| self.old.tasks[before.at()].state == TaskState::Merged)
        });
        if !own && !self.children(lane).any(|child| self.is_merged(child)) {
            return None;
        }
        let from = if old.state == LaneState::Pending {
            old.from.clone()?
        } else {
            self.old.info.name.clone()
        };
        Some(LaneRecord { from: Some(from), ..LaneRecord::default() })
    }

    fn before(&self, lane: LaneIx) -> Option<LaneIx> {
        self.old.graph().lookup_lane(&self.new.lane(lane).id)
    }

    /// Whether what the old lane held is in what the new one would be cut from.
    fn is_contained(&self, before: LaneIx) -> bool {
        let record = &self.old.lanes[before.at()];
        let nested = self.old.graph().lane(before).parent.is_some();
        let delivered = record.delivered.as_ref().is_none_or(|to| to.waits_on.is_none());
        record.state == LaneState::Merged && (nested || delivered)
    }

    fn children(&self, lane: LaneIx) -> impl Iterator<Item = LaneIx> {
        self.new.lane_children(lane).iter().copied()
    }

    fn children_are_merged(&self, lane: LaneIx) -> bool {
        self.children(lane).all(|child| self.is_merged(child))
    }

    fn is_merged(&self, lane: LaneIx) -> bool {
        self.lane(lane).is_some_and(|record| record.state == LaneState::Merged)
    }

    fn summary(&self, diff: &Diff) -> Resubmission {
        let names = |wanted: &dyn Fn(TaskIx) -> bool| -> Vec<TaskId> {
            let tasks = self.new.order().iter().copied().filter(|task| wanted(*task));
            tasks.map(|task| self.new.task(task).id.clone()).collect()
        };
        let was_done = |task: TaskIx| {
            let before = self.old.graph().lookup_task(&self.new.task(task).id);
            before.is_some_and(|before| self.old.tasks[before.at()].state.is_success())
        };
        Resubmission {
            of: self.old.info.name.clone(),
            kept: names(&|task| self.kept[task.at()].is_some()),
            again: names(&|task| self.kept[task.at()].is_none() && was_done(task)),
            changes: diff.to_string(),
        }
    }
}
