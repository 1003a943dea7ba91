//! The immutable graph and its queries. Built once from parts that validation has proven
//! acyclic; every query afterwards is a look-up or one walk, never a recursion.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use serde::{Deserialize, Serialize};

use crate::graph::model::{Lane, Settings, Task};
use crate::ids::{GraphName, LaneId, TaskId};

/// A task's place in the file, from 0. Stable for one graph file, whatever the algorithms do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskIx(pub u32);

/// A lane's place in the file, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LaneIx(pub u32);

impl TaskIx {
    /// For indexing.
    pub fn at(self) -> usize {
        self.0 as usize
    }
}

impl LaneIx {
    /// For indexing.
    pub fn at(self) -> usize {
        self.0 as usize
    }
}

/// Lists of lists in two allocations: row `i` is `items[starts[i]..starts[i + 1]]`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rows<T> {
    starts: Vec<u32>,
    items: Vec<T>,
}

impl<T: Copy> Rows<T> {
    pub(crate) fn new() -> Self {
        Self { starts: vec![0], items: Vec::new() }
    }

    /// Adds to the row that is not finished yet.
    pub(crate) fn push(&mut self, item: T) {
        self.items.push(item);
    }

    pub(crate) fn end_row(&mut self) {
        self.starts.push(self.items.len() as u32);
    }

    pub(crate) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    pub(crate) fn row(&self, row: usize) -> &[T] {
        &self.items[self.start(row)..self.start(row + 1)]
    }

    /// Where a row begins among all items.
    pub(crate) fn start(&self, row: usize) -> usize {
        self.starts[row] as usize
    }

    /// Every item with its row, row by row.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (usize, T)> + Clone {
        (0..self.len()).flat_map(|row| self.row(row).iter().map(move |item| (row, *item)))
    }

    fn build(rows: usize, pairs: impl Iterator<Item = (usize, T)> + Clone, filler: T) -> Self {
        let mut starts = vec![0u32; rows + 1];
        for (row, _) in pairs.clone() {
            starts[row + 1] += 1;
        }
        for row in 0..rows {
            starts[row + 1] += starts[row];
        }
        let mut next = starts.clone();
        let mut items = vec![filler; starts[rows] as usize];
        for (row, item) in pairs {
            items[next[row] as usize] = item;
            next[row] += 1;
        }
        Self { starts, items }
    }
}

/// A validated graph: tasks, lanes and who waits for whom.
#[derive(Debug, Clone, PartialEq)]
pub struct Graph {
    name: GraphName,
    settings: Settings,
    tasks: Vec<Task>,
    lanes: Vec<Lane>,
    /// Tasks by id.
    tasks_by_id: Vec<TaskIx>,
    /// Lanes by id.
    lanes_by_id: Vec<LaneIx>,
    parents: Rows<TaskIx>,
    children: Rows<TaskIx>,
    order: Vec<TaskIx>,
    rank: Vec<u32>,
    lane_tasks: Rows<TaskIx>,
    lane_children: Rows<LaneIx>,
    upstream_lanes: Rows<LaneIx>,
    gated_tasks: Rows<TaskIx>,
}

impl Graph {
    /// Puts proven parts together. `parents` lists the dependencies of each task without
    /// repetition, in the order of the file. `None` if there is a cycle.
    pub(crate) fn assemble(
        name: GraphName,
        settings: Settings,
        tasks: Vec<Task>,
        lanes: Vec<Lane>,
        parents: Rows<TaskIx>,
    ) -> Option<Self> {
        let downward = parents.pairs().map(|(child, parent)| (parent.at(), TaskIx(child as u32)));
        let children = Rows::build(tasks.len(), downward, TaskIx(0));
        let mut tasks_by_id: Vec<TaskIx> = (0..tasks.len() as u32).map(TaskIx).collect();
        tasks_by_id.sort_by_key(|task| &tasks[task.at()].id);
        let mut lanes_by_id: Vec<LaneIx> = (0..lanes.len() as u32).map(LaneIx).collect();
        lanes_by_id.sort_by_key(|lane| &lanes[lane.at()].id);
        let order = topological(&tasks_by_id, &parents, &children)?;
        let in_lane = order.iter().map(|t| (tasks[t.at()].lane.at(), *t));
        let nested = lanes
            .iter()
            .enumerate()
            .filter_map(|(at, lane)| Some((lane.parent?.at(), LaneIx(at as u32))));
        let gates = upstream_pairs(&tasks, &parents);
        let by_task = gates.iter().map(|(t, l)| (t.at(), *l));
        let by_lane = gates.iter().map(|(t, l)| (l.at(), *t));
        Some(Self {
            rank: ranks(&order),
            lane_tasks: Rows::build(lanes.len(), in_lane, TaskIx(0)),
            lane_children: Rows::build(lanes.len(), nested, LaneIx(0)),
            upstream_lanes: Rows::build(tasks.len(), by_task, LaneIx(0)),
            gated_tasks: Rows::build(lanes.len(), by_lane, TaskIx(0)),
            name,
            settings,
            tasks,
            lanes,
            tasks_by_id,
            lanes_by_id,
            parents,
            children,
            order,
        })
    }

    /// Its identity.
    pub fn name(&self) -> &GraphName {
        &self.name
    }

    /// What applies to all of it.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// All tasks, in the order of the file: `tasks()[ix.at()]` is `task(ix)`.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// All lanes, in the order of the file.
    pub fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    /// One task.
    pub fn task(&self, ix: TaskIx) -> &Task {
        &self.tasks[ix.at()]
    }

    /// One lane.
    pub fn lane(&self, ix: LaneIx) -> &Lane {
        &self.lanes[ix.at()]
    }

    /// Every lane's index.
    pub fn lane_ixs(&self) -> impl Iterator<Item = LaneIx> + use<> {
        (0..self.lanes.len() as u32).map(LaneIx)
    }

    /// The task of this name, if there is one.
    pub fn lookup_task(&self, id: &TaskId) -> Option<TaskIx> {
        let found = self.tasks_by_id.binary_search_by_key(&id, |task| &self.task(*task).id);
        found.ok().map(|at| self.tasks_by_id[at])
    }

    /// The lane of this name, if there is one.
    pub fn lookup_lane(&self, id: &LaneId) -> Option<LaneIx> {
        let found = self.lanes_by_id.binary_search_by_key(&id, |lane| &self.lane(*lane).id);
        found.ok().map(|at| self.lanes_by_id[at])
    }

    /// Topological order: Kahn's algorithm, ties by id. The order everywhere.
    pub fn order(&self) -> &[TaskIx] {
        &self.order
    }

    /// Where a task stands in [`Graph::order`].
    pub fn rank(&self, task: TaskIx) -> u32 {
        self.rank[task.at()]
    }

    /// Direct dependencies, in the order of the file.
    pub fn parents(&self, task: TaskIx) -> &[TaskIx] {
        self.parents.row(task.at())
    }

    /// Direct dependents, in the order of the file.
    pub fn children(&self, task: TaskIx) -> &[TaskIx] {
        self.children.row(task.at())
    }

    /// How many dependencies there are in all.
    pub fn edge_count(&self) -> usize {
        self.parents.items.len()
    }

    /// Tasks without dependencies, in topological order.
    pub fn roots(&self) -> Vec<TaskIx> {
        self.order.iter().copied().filter(|t| self.parents(*t).is_empty()).collect()
    }

    /// Tasks without dependents, in topological order.
    pub fn leaves(&self) -> Vec<TaskIx> {
        self.order.iter().copied().filter(|t| self.children(*t).is_empty()).collect()
    }

    /// Everything that waits for `task`, directly or not, in topological order.
    pub fn descendants(&self, task: TaskIx) -> Vec<TaskIx> {
        self.reach(task, |t| self.children(t))
    }

    /// Everything that `task` waits for, directly or not, in topological order.
    pub fn ancestors(&self, task: TaskIx) -> Vec<TaskIx> {
        self.reach(task, |t| self.parents(t))
    }

    fn reach<'g>(&'g self, from: TaskIx, next: impl Fn(TaskIx) -> &'g [TaskIx]) -> Vec<TaskIx> {
        let mut seen = BTreeSet::new();
        let mut open = vec![from];
        while let Some(task) = open.pop() {
            open.extend(next(task).iter().filter(|t| seen.insert(self.rank(**t))));
        }
        seen.into_iter().map(|rank| self.order[rank as usize]).collect()
    }

    /// Tasks of a lane in topological order.
    pub fn lane_tasks(&self, lane: LaneIx) -> &[TaskIx] {
        self.lane_tasks.row(lane.at())
    }

    /// Lanes that merge into `lane`.
    pub fn lane_children(&self, lane: LaneIx) -> &[LaneIx] {
        self.lane_children.row(lane.at())
    }

    /// Lanes other than its own that hold a direct dependency of `task`: each must be merged
    /// before the task may run.
    pub fn upstream_lanes(&self, task: TaskIx) -> &[LaneIx] {
        self.upstream_lanes.row(task.at())
    }

    /// Tasks that wait for `lane` to be merged: the inverse of [`Graph::upstream_lanes`].
    pub fn gated_tasks(&self, lane: LaneIx) -> &[TaskIx] {
        self.gated_tasks.row(lane.at())
    }

    /// Tasks by the earliest round in which they could run; each wave in topological order.
    pub fn waves(&self) -> Vec<Vec<TaskIx>> {
        let mut depth = vec![0usize; self.tasks.len()];
        let mut waves: Vec<Vec<TaskIx>> = Vec::new();
        for task in &self.order {
            let level =
                self.parents(*task).iter().map(|p| depth[p.at()] + 1).max().unwrap_or_default();
            depth[task.at()] = level;
            if waves.len() <= level {
                waves.resize_with(level + 1, Vec::new);
            }
            waves[level].push(*task);
        }
        waves
    }

    /// A longest chain of dependencies, first task first; among equals the first in order.
    pub fn critical_path(&self) -> Vec<TaskIx> {
        let mut length = vec![1u32; self.tasks.len()];
        for task in self.order.iter().rev() {
            let below = self.children(*task).iter().map(|c| length[c.at()]).max();
            length[task.at()] += below.unwrap_or_default();
        }
        let first = |tasks: &mut dyn Iterator<Item = TaskIx>| {
            tasks.min_by_key(|t| (Reverse(length[t.at()]), self.rank(*t)))
        };
        let mut path = Vec::new();
        let mut next = first(&mut self.order.iter().copied());
        while let Some(task) = next {
            path.push(task);
            next = first(&mut self.children(task).iter().copied());
        }
        path
    }
}

/// Where each task stands in a list of all.
fn ranks(order: &[TaskIx]) -> Vec<u32> {
    let mut ranks = vec![0; order.len()];
    for (rank, task) in (0..).zip(order) {
        ranks[task.at()] = rank;
    }
    ranks
}

/// Kahn's algorithm. The heap holds places in the list by id, so that ties are broken without
/// comparing text.
fn topological(
    by_id: &[TaskIx],
    parents: &Rows<TaskIx>,
    children: &Rows<TaskIx>,
) -> Option<Vec<TaskIx>> {
    let place = ranks(by_id);
    let mut missing: Vec<usize> = (0..by_id.len()).map(|task| parents.row(task).len()).collect();
    let free = |task: &usize| missing[*task] == 0;
    let mut ready: BinaryHeap<Reverse<u32>> =
        (0..by_id.len()).filter(free).map(|task| Reverse(place[task])).collect();
    let mut order = Vec::with_capacity(by_id.len());
    while let Some(Reverse(first)) = ready.pop() {
        let task = by_id[first as usize];
        order.push(task);
        for child in children.row(task.at()) {
            missing[child.at()] -= 1;
            if missing[child.at()] == 0 {
                ready.push(Reverse(place[child.at()]));
            }
        }
    }
    (order.len() == by_id.len()).then_some(order)
}

fn upstream_pairs(tasks: &[Task], parents: &Rows<TaskIx>) -> BTreeSet<(TaskIx, LaneIx)> {
    let lanes = parents.pairs().map(|(child, parent)| (child, tasks[parent.at()].lane));
    let foreign = lanes.filter(|(child, lane)| *lane != tasks[*child].lane);
    foreign.map(|(child, lane)| (TaskIx(child as u32), lane)).collect()
}
