//! Where every cell stands: rows one after the other *along* the flow, cells side by side *across*
//! it. Must not know which of the two is up.
//!
//! Across, the places minimise the weighted squares of what every link runs sideways. One row after
//! the other is set to its optimum while the others stand still; with the order given, that is an
//! isotonic regression, solved exactly by pooling adjacent violators.

use crate::render::picture::layout::rows::{Cell, Layers};

/// Passes over all rows, down and up. Later passes move boxes by less than a pixel.
const PASSES: usize = 24;

/// How much a link between two passing points is worth against one between two boxes (8 and 1 are
/// the figures of Gansner et al., 1993): long arrows should be straight.
const STRAIGHT: f64 = 8.0;

/// How much every cell is drawn to where it stands when all rows are packed around one middle.
/// Without it the rows of a loosely knit graph drift away sideways.
const GRAVITY: f64 = 0.6;

/// The measures of a picture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gaps {
    /// Between boxes side by side.
    pub(crate) across: f64,
    /// Around a passing arrow.
    pub(crate) via: f64,
    /// Between rows, at least.
    pub(crate) along: f64,
    /// What a row's distance may grow to for the sake of arrows that run far sideways.
    pub(crate) along_max: f64,
}

/// A place or an extent: along and across the flow.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Pair {
    pub(crate) along: f64,
    pub(crate) across: f64,
}

/// Every cell in its place.
#[derive(Debug)]
pub(crate) struct Placed {
    /// The centre of every cell.
    pub(crate) centres: Vec<Pair>,
    /// The extent of every cell.
    pub(crate) extents: Vec<Pair>,
    /// Start and end of every row, along.
    pub(crate) rows: Vec<(f64, f64)>,
    /// The whole.
    pub(crate) size: Pair,
}

/// Places the cells of `layers`; `extent` gives the size of a block.
pub(crate) fn place(layers: &Layers, gaps: Gaps, extent: impl Fn(usize) -> Pair) -> Placed {
    let extents: Vec<Pair> = layers
        .cells
        .iter()
        .map(|cell| match cell {
            Cell::Block(block) => extent(*block),
            Cell::Via => Pair::default(),
        })
        .collect();
    let mut across = Across::of(layers, gaps, &extents);
    for pass in 0..PASSES {
        across.pass(pass);
    }
    across.straighten();
    let (places, width) = across.normalised(&extents);
    let rows = along(layers, gaps, &extents, &places);
    let mut centres = vec![Pair::default(); layers.cells.len()];
    for (row, (start, end)) in layers.rows.iter().zip(&rows) {
        for cell in row {
            centres[*cell] = Pair { along: (start + end) / 2.0, across: places[*cell] };
        }
    }
    let length = rows.last().map_or(0.0, |(_, end)| *end);
    Placed { centres, extents, rows, size: Pair { along: length, across: width } }
}

/// Start and end of every row. Where arrows run far sideways the rows stand further apart, so that
/// the arrows stay steep enough to be followed.
fn along(layers: &Layers, gaps: Gaps, extents: &[Pair], places: &[f64]) -> Vec<(f64, f64)> {
    let mut start = 0.0;
    let mut rows = Vec::with_capacity(layers.rows.len());
    for row in &layers.rows {
        let thick = row.iter().map(|cell| extents[*cell].along).fold(0.0, f64::max);
        rows.push((start, start + thick));
        let sideways = row.iter().flat_map(|cell| {
            layers.below[*cell].iter().map(|next| (places[*cell] - places[*next]).abs())
        });
        let far = sideways.fold(0.0, f64::max);
        start += thick + (far / 5.0).clamp(gaps.along, gaps.along_max);
    }
    rows
}

struct Across<'a> {
    layers: &'a Layers,
    places: Vec<f64>,
    /// Where every cell stands when its row is packed around 0.
    homes: Vec<f64>,
    /// For every cell its distance from its left neighbour; 0 for the first of a row.
    apart: Vec<f64>,
}

impl<'a> Across<'a> {
    fn of(layers: &'a Layers, gaps: Gaps, extents: &[Pair]) -> Self {
        let mut apart = vec![0.0; layers.cells.len()];
        let mut places = vec![0.0; layers.cells.len()];
        for row in &layers.rows {
            for pair in row.windows(2) {
                let passing = pair.iter().any(|cell| layers.cells[*cell] == Cell::Via);
                let gap = if passing { gaps.via } else { gaps.across };
                let half = |cell: usize| extents[cell].across / 2.0;
                apart[pair[1]] = half(pair[0]) + gap + half(pair[1]);
                places[pair[1]] = places[pair[0]] + apart[pair[1]];
            }
            let middle = row.last().map_or(0.0, |last| places[*last] / 2.0);
            row.iter().for_each(|cell| places[*cell] -= middle);
        }
        Self { layers, homes: places.clone(), places, apart }
    }

    /// The first two passes look in one direction only: they carry a rough shape through the whole
    /// picture. Then every row looks both ways.
    fn pass(&mut self, pass: usize) {
        let downwards = pass.is_multiple_of(2);
        let count = self.layers.rows.len();
        for step in 0..count {
            let row = if downwards { step } else { count - 1 - step };
            let (up, down) = (pass != 1, pass != 0);
            self.settle(row, up, down);
        }
    }

    /// Sets one row to its optimum.
    fn settle(&mut self, row: usize, up: bool, down: bool) {
        let cells = &self.layers.rows[row];
        let mut pools: Vec<Pool> = Vec::with_capacity(cells.len());
        let mut packed = 0.0;
        for cell in cells {
            packed += self.apart[*cell];
            let (wish, weight) = self.wish(*cell, up, down);
            let mut pool = Pool { sum: (wish - packed) * weight, weight, cells: 1 };
            while let Some(last) = pools.pop_if(|last| last.mean() > pool.mean()) {
                pool = pool.with(&last);
            }
            pools.push(pool);
        }
        let shifts = pools.iter().flat_map(|pool| std::iter::repeat_n(pool.mean(), pool.cells));
        let mut packed = 0.0;
        for (cell, shift) in cells.iter().zip(shifts) {
            packed += self.apart[*cell];
            self.places[*cell] = packed + shift;
        }
    }

    /// Where `cell` would like to stand, and how much.
    fn wish(&self, cell: usize, up: bool, down: bool) -> (f64, f64) {
        let is_via = |cell: usize| self.layers.cells[cell] == Cell::Via;
        let near = |neighbours: &'a [Vec<usize>], look: bool| {
            neighbours[cell].iter().filter(move |_| look)
        };
        let (mut sum, mut weight) = (GRAVITY * self.homes[cell], GRAVITY);
        for other in near(&self.layers.above, up).chain(near(&self.layers.below, down)) {
            let worth = if is_via(cell) && is_via(*other) { STRAIGHT } else { 1.0 };
            sum += worth * self.places[*other];
            weight += worth;
        }
        (sum / weight, weight)
    }

    /// Makes every long arrow whose neighbours leave room for it exactly straight.
    fn straighten(&mut self) {
        let mut row_place = vec![(0, 0); self.places.len()];
        for (row, cells) in self.layers.rows.iter().enumerate() {
            for (at, cell) in cells.iter().enumerate() {
                row_place[*cell] = (row, at);
            }
        }
        for trunk in &self.layers.trunks {
            let (mut low, mut high, mut sum) = (f64::NEG_INFINITY, f64::INFINITY, 0.0);
            for cell in trunk {
                let (row, at) = row_place[*cell];
                let cells = &self.layers.rows[row];
                if at > 0 {
                    low = low.max(self.places[cells[at - 1]] + self.apart[*cell]);
                }
                if let Some(next) = cells.get(at + 1) {
                    high = high.min(self.places[*next] - self.apart[*next]);
                }
                sum += self.places[*cell];
            }
            if low <= high {
                let place = (sum / trunk.len() as f64).clamp(low, high);
                trunk.iter().for_each(|cell| self.places[*cell] = place);
            }
        }
    }

    /// The places from 0, and the width of the whole.
    fn normalised(mut self, extents: &[Pair]) -> (Vec<f64>, f64) {
        let edge = |sign: f64| {
            let edges =
                self.places.iter().zip(extents).map(move |(p, e)| sign * p + e.across / 2.0);
            edges.fold(f64::NEG_INFINITY, f64::max)
        };
        let (left, right) = (-edge(-1.0), edge(1.0));
        self.places.iter_mut().for_each(|place| *place -= left);
        let width = (right - left).max(0.0);
        (self.places, width)
    }
}

/// Neighbouring cells that stand as close as they may and move as one.
struct Pool {
    sum: f64,
    weight: f64,
    cells: usize,
}

impl Pool {
    fn mean(&self) -> f64 {
        self.sum / self.weight
    }

    fn with(self, other: &Self) -> Self {
        Self {
            sum: self.sum + other.sum,
            weight: self.weight + other.weight,
            cells: self.cells + other.cells,
        }
    }
}
