//! The ready tasks of one run, indexed by lane and pool, so that the next to start is found without
//! a scan.
//!
//! Order: priority (lower first), then topological rank. A lane takes part while it is open and
//! below its own parallelism. Tasks of one pool are done by the same agents; what keeps those back
//! keeps no other pool's back.

use std::collections::BTreeSet;

use crate::graph::{Graph, LaneIx, TaskIx};

/// Priority, then topological rank: what goes first is smallest.
pub type Key = (i32, u32);

/// A pool of the run, counted from 0.
pub type Pool = u16;

/// The ready tasks of one run.
#[derive(Debug, Clone)]
pub struct ReadyIndex {
    lanes: Vec<Lane>,
    /// By pool: the first ready task of every lane that may start one.
    heads: Vec<BTreeSet<(Key, LaneIx)>>,
    order: Vec<TaskIx>,
}

#[derive(Debug, Clone, Default)]
struct Lane {
    /// By pool, those at the end left out that never had one.
    ready: Vec<Ready>,
    running: u32,
    max: Option<u32>,
    open: bool,
}

#[derive(Debug, Clone, Default)]
struct Ready {
    keys: BTreeSet<Key>,
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
        Self { lanes: lanes.collect(), heads: Vec::new(), order: graph.order().to_vec() }
    }

    /// A task became ready.
    pub fn insert(&mut self, lane: LaneIx, pool: Pool, key: Key) {
        let ready = &mut self.lanes[lane.at()].ready;
        let needed = usize::from(pool) + 1;
        if ready.len() < needed {
            ready.resize_with(needed, Ready::default);
        }
        ready[usize::from(pool)].keys.insert(key);
        self.refresh(lane);
    }

    /// A task is not ready any more.
    pub fn remove(&mut self, lane: LaneIx, pool: Pool, key: Key) {
        if let Some(ready) = self.lanes[lane.at()].ready.get_mut(usize::from(pool)) {
            ready.keys.remove(&key);
            self.refresh(lane);
        }
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

    /// The task of a pool that goes next, if one may.
    pub fn next(&self, pool: Pool) -> Option<TaskIx> {
        let (key, _) = self.heads.get(usize::from(pool))?.first()?;
        Some(self.order[key.1 as usize])
    }

    /// The priority of that task.
    pub fn priority(&self, pool: Pool) -> Option<i32> {
        self.heads.get(usize::from(pool))?.first().map(|(key, _)| key.0)
    }

    /// Whether a task may start, were there an agent for it.
    pub fn is_any(&self) -> bool {
        self.heads.iter().any(|heads| !heads.is_empty())
    }

    /// Whether the lane has a ready task.
    pub fn has_ready(&self, lane: LaneIx) -> bool {
        self.lanes[lane.at()].ready.iter().any(|ready| !ready.keys.is_empty())
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
        if self.heads.len() < entry.ready.len() {
            self.heads.resize_with(entry.ready.len(), BTreeSet::new);
        }
        for (ready, heads) in entry.ready.iter_mut().zip(&mut self.heads) {
            let head = ready.keys.first().copied().filter(|_| may_start);
            if head == ready.head {
                continue;
            }
            if let Some(old) = ready.head {
                heads.remove(&(old, lane));
            }
            if let Some(new) = head {
                heads.insert((new, lane));
            }
            ready.head = head;
        }
    }
}
