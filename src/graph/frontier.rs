//! Which tasks have everything they wait for: in-degree counters, so that a completion costs as
//! much as it has dependents, whatever the size of the graph.
//!
//! A task waits for its dependencies and for every upstream lane to be merged (see
//! [`Graph::upstream_lanes`]). The frontier only counts; who satisfies whom is told to it.

use crate::graph::dag::{Graph, LaneIx, TaskIx};

/// How many things each task still waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frontier {
    missing: Vec<u32>,
}

impl Frontier {
    /// Nothing has happened yet.
    pub fn new(graph: &Graph) -> Self {
        let missing = (0..graph.tasks().len() as u32)
            .map(TaskIx)
            .map(|task| (graph.parents(task).len() + graph.upstream_lanes(task).len()) as u32);
        Self { missing: missing.collect() }
    }

    /// Whether `task` waits for nothing.
    pub fn is_open(&self, task: TaskIx) -> bool {
        self.missing[task.at()] == 0
    }

    /// `task` no longer stands in its dependents' way; calls `opened` for each that now waits for
    /// nothing.
    pub fn satisfy_task(&mut self, graph: &Graph, task: TaskIx, mut opened: impl FnMut(TaskIx)) {
        for child in graph.children(task) {
            self.decrease(*child, &mut opened);
        }
    }

    /// `lane` is merged; calls `opened` for each task that now waits for nothing.
    pub fn satisfy_lane(&mut self, graph: &Graph, lane: LaneIx, mut opened: impl FnMut(TaskIx)) {
        for task in graph.gated_tasks(lane) {
            self.decrease(*task, &mut opened);
        }
    }

    /// Takes back [`Frontier::satisfy_task`]; calls `closed` for each that waited for nothing.
    pub fn retract_task(&mut self, graph: &Graph, task: TaskIx, mut closed: impl FnMut(TaskIx)) {
        for child in graph.children(task) {
            self.increase(*child, &mut closed);
        }
    }

    /// Takes back [`Frontier::satisfy_lane`]; calls `closed` for each that waited for nothing.
    pub fn retract_lane(&mut self, graph: &Graph, lane: LaneIx, mut closed: impl FnMut(TaskIx)) {
        for task in graph.gated_tasks(lane) {
            self.increase(*task, &mut closed);
        }
    }

    fn decrease(&mut self, task: TaskIx, opened: &mut impl FnMut(TaskIx)) {
        let missing = &mut self.missing[task.at()];
        *missing =
            missing.checked_sub(1).expect("BUG: a task was satisfied more often than it waits");
        if *missing == 0 {
            opened(task);
        }
    }

    fn increase(&mut self, task: TaskIx, closed: &mut impl FnMut(TaskIx)) {
        let missing = &mut self.missing[task.at()];
        *missing += 1;
        if *missing == 1 {
            closed(task);
        }
    }
}
