//! The ready tasks of one run, indexed by lane, so that the next to start is found without a scan.
//!
//! Order: priority (lower first), then topological rank. A lane takes part while it is open and
//! below its own parallelism.

use std::collections::BTreeSet;

use crate::graph::{Graph, LaneIx, TaskIx};

/// Priority, then topological rank: what goes first is smallest.
pub type Key = (i32, u32);

/// A task that may start now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pick {
    /// Which.
    pub task: TaskIx,
    /// Its lane.
    pub lane: LaneIx,
}

/// The ready tasks of one run.
#[derive(Debug, Clone)]
pub struct ReadyIndex {
    lanes: Vec<Lane>,
    /// The first ready task of every lane that may start one.
    heads: BTreeSet<(Key, LaneIx)>,
    order: Vec<TaskIx>,
}

#[derive(Debug, Clone, Default)]
struct Lane {
    ready: BTreeSet<Key>,
    running: u32,
    max: Option<u32>,
    open: bool,
    /// Its entry in `heads`.
    head: Option<Key>,
}

impl Lane {
    fn is_full(&self) -> bool {
        self.max.is_some_and(|max| self.running >= max)
    }
}

impl ReadyIndex {
    /// Nothing is ready and every lane is closed.
    pub fn new(graph: &Graph) -> Self {
        let lanes = graph.lanes().iter().map(|l| Lane { max: l.max_parallel, ..Lane::default() });
        Self { lanes: lanes.collect(), heads: BTreeSet::new(), order: graph.order().to_vec() }
    }

    /// A task became ready.
    pub fn insert(&mut self, lane: LaneIx, key: Key) {
        self.lanes[lane.at()].ready.insert(key);
        self.refresh(lane);
    }

    /// A task is not ready any more.
    pub fn remove(&mut self, lane: LaneIx, key: Key) {
        self.lanes[lane.at()].ready.remove(&key);
        self.refresh(lane);
    }

    /// A lane's tasks may start, or may not.
    pub fn set_open(&mut self, lane: LaneIx, open: bool) {
        self.lanes[lane.at()].open = open;
        self.refresh(lane);
    }

    /// A task of the lane takes a place in it.
    pub fn occupy(&mut self, lane: LaneIx) {
        self.lanes[lane.at()].running += 1;
        self.refresh(lane);
    }

    /// A task of the lane gives its place back.
    pub fn vacate(&mut self, lane: LaneIx) {
        let running = &mut self.lanes[lane.at()].running;
        *running = running.checked_sub(1).expect("BUG: a place was given back twice");
        self.refresh(lane);
    }

    /// The task that goes next, if one may.
    pub fn next(&self) -> Option<Pick> {
        let (key, lane) = self.heads.first()?;
        Some(Pick { task: self.order[key.1 as usize], lane: *lane })
    }

    /// Whether the lane has a ready task.
    pub fn has_ready(&self, lane: LaneIx) -> bool {
        !self.lanes[lane.at()].ready.is_empty()
    }

    /// Whether as many of the lane's tasks hold a place as may.
    pub fn is_full(&self, lane: LaneIx) -> bool {
        self.lanes[lane.at()].is_full()
    }

    /// How many of the lane's tasks hold a place.
    pub fn running(&self, lane: LaneIx) -> u32 {
        self.lanes[lane.at()].running
    }

    fn refresh(&mut self, lane: LaneIx) {
        let entry = &mut self.lanes[lane.at()];
        let may_start = entry.open && !entry.is_full();
        let head = entry.ready.first().copied().filter(|_| may_start);
        if head == entry.head {
            return;
        }
        if let Some(old) = entry.head {
            self.heads.remove(&(old, lane));
        }
        if let Some(new) = head {
            self.heads.insert((new, lane));
        }
        entry.head = head;
    }
}
