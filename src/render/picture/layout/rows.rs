//! From tasks to rows of cells. Row `n` holds the tasks of wave `n`, so the picture reads as what
//! may run side by side; an arrow over more than one row passes through a cell in every row
//! between, which is what later keeps it off the boxes. Must not know sizes or places.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::render::{Dag, longest_paths};

/// From here on tasks with the same dependencies, dependents and lane are drawn as one block: side
/// by side they would push everything else off the screen, and their arrows say one thing.
const BLOCK_TASKS_MIN: usize = 10;

/// More cells and arrows than this take longer to arrange than a person wants to wait, and nobody
/// could follow the single ones.
const PARTS_MAX: usize = 6_000;

/// What stands in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cell {
    /// The block of this number.
    Block(usize),
    /// A place that a long arrow passes through.
    Via,
}

/// Tasks in rows, with links between neighbouring rows only.
#[derive(Debug)]
pub(crate) struct Layers {
    /// Tasks that are drawn as one thing; most often one.
    pub(crate) blocks: Vec<Vec<usize>>,
    pub(crate) cells: Vec<Cell>,
    /// Cells from first to last, first row first.
    pub(crate) rows: Vec<Vec<usize>>,
    /// For every cell its neighbours in the row before.
    pub(crate) above: Vec<Vec<usize>>,
    /// For every cell its neighbours in the row after.
    pub(crate) below: Vec<Vec<usize>>,
    /// The ways of long arrows, each a run of `Via` cells through neighbouring rows.
    pub(crate) trunks: Vec<Vec<usize>>,
}

impl Layers {
    /// The rows of `dag`, or `None` if there would be too much in them.
    pub(crate) fn of(dag: &Dag) -> Option<Self> {
        let arrows = dag.arrows();
        let blocks = blocks(dag, &arrows);
        let mut block_of = vec![0; dag.nodes.len()];
        for (block, nodes) in blocks.iter().enumerate() {
            nodes.iter().for_each(|node| block_of[*node] = block);
        }
        let arrows: BTreeSet<(usize, usize)> =
            arrows.iter().map(|(from, to)| (block_of[*from], block_of[*to])).collect();
        let arrows: Vec<_> = arrows.into_iter().collect();
        let depth = longest_paths(blocks.len(), &arrows);
        let ways = ways(&arrows, &depth);
        let passed = ways.values().map(|arrows| rows_between(arrows, &depth).len());
        if blocks.len() + arrows.len() + passed.sum::<usize>() > PARTS_MAX {
            return None;
        }
        let mut layers = Self {
            cells: (0..blocks.len()).map(Cell::Block).collect(),
            rows: vec![Vec::new(); depth.iter().max().map_or(0, |deepest| deepest + 1)],
            above: vec![Vec::new(); blocks.len()],
            below: vec![Vec::new(); blocks.len()],
            trunks: Vec::new(),
            blocks,
        };
        for (cell, row) in depth.iter().enumerate() {
            layers.rows[*row].push(cell);
        }
        for (from, to) in &arrows {
            if depth[*to] == depth[*from] + 1 {
                layers.link(*from, *to);
            }
        }
        for (way, arrows) in ways {
            layers.lay(way, &arrows, &depth);
        }
        Some(layers)
    }

    fn link(&mut self, from: usize, to: usize) {
        self.below[from].push(to);
        self.above[to].push(from);
    }

    /// Makes the cells of one way and ties its arrows to it.
    fn lay(&mut self, way: Way, arrows: &[(usize, usize)], depth: &[usize]) {
        let rows = rows_between(arrows, depth);
        let first = rows.start;
        let trunk: Vec<usize> = rows.map(|row| self.via(row)).collect();
        for pair in trunk.windows(2) {
            self.link(pair[0], pair[1]);
        }
        match way {
            Way::From(from) => {
                self.link(from, trunk[0]);
                for (_, to) in arrows {
                    self.link(trunk[depth[*to] - 1 - first], *to);
                }
            }
            Way::To(to) => {
                for (from, _) in arrows {
                    self.link(*from, trunk[depth[*from] + 1 - first]);
                }
                self.link(trunk[trunk.len() - 1], to);
            }
        }
        self.trunks.push(trunk);
    }

    fn via(&mut self, row: usize) -> usize {
        let cell = self.cells.len();
        self.cells.push(Cell::Via);
        self.above.push(Vec::new());
        self.below.push(Vec::new());
        self.rows[row].push(cell);
        cell
    }
}

/// What the arrows of one way have in common. Arrows that share an end share their way: a bundle
/// that leaves one task, or one that ends in one task, says the same as its arrows one by one and
/// is easier to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    From(usize),
    To(usize),
}

type Ways = BTreeMap<Way, Vec<(usize, usize)>>;

/// Arrows over more than one row, by the way they take: that of the end where more of them meet.
fn ways(arrows: &[(usize, usize)], depth: &[usize]) -> Ways {
    let long = || arrows.iter().filter(|(from, to)| depth[*to] > depth[*from] + 1);
    let (mut leaving, mut ending) = (vec![0; depth.len()], vec![0; depth.len()]);
    for (from, to) in long() {
        leaving[*from] += 1;
        ending[*to] += 1;
    }
    let mut ways = Ways::new();
    for (from, to) in long() {
        let outward = leaving[*from] >= ending[*to];
        let way = if outward { Way::From(*from) } else { Way::To(*to) };
        ways.entry(way).or_default().push((*from, *to));
    }
    ways
}

/// The rows that the longest of `arrows` passes.
fn rows_between(arrows: &[(usize, usize)], depth: &[usize]) -> Range<usize> {
    let first = arrows.iter().map(|(from, _)| depth[*from] + 1).min().unwrap_or(0);
    let last = arrows.iter().map(|(_, to)| depth[*to]).max().unwrap_or(0);
    first..last
}

/// Tasks that are drawn as one thing, in the order of their first task, which keeps every arrow
/// leading forwards: who shares all dependents stands before all of them.
fn blocks(dag: &Dag, arrows: &[(usize, usize)]) -> Vec<Vec<usize>> {
    let mut ends = vec![(Vec::new(), Vec::new()); dag.nodes.len()];
    for (from, to) in arrows {
        ends[*from].1.push(*to);
        ends[*to].0.push(*from);
    }
    let mut alike: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (at, (node, ends)) in dag.nodes.iter().zip(&ends).enumerate() {
        alike.entry((node.lane, ends)).or_default().push(at);
    }
    let (large, small): (Vec<_>, Vec<_>) =
        alike.into_values().partition(|tasks| tasks.len() >= BLOCK_TASKS_MIN);
    let single = small.into_iter().flatten().map(|task| vec![task]);
    let mut blocks: Vec<Vec<usize>> = large.into_iter().chain(single).collect();
    blocks.sort();
    blocks
}
