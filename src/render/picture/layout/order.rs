//! The order of the cells in each row, with few crossings: the layer-by-layer sweeps of Sugiyama,
//! Tagawa and Toda (1981) by barycentres, and exchanges of neighbours in between, as in Gansner et
//! al. (1993). Must not know sizes or places.

use crate::render::picture::layout::rows::Layers;

/// Sweeps down and up. Pictures of some hundred tasks stop improving after about a dozen.
const SWEEPS_MAX: usize = 24;

/// Sweeps without improvement after which no more is expected.
const IDLE_SWEEPS_MAX: usize = 6;

/// Rounds of exchanges in one sweep.
const EXCHANGES_MAX: usize = 4;

/// Rearranges the rows of `layers`. `hint` says which cells of the first row belong
/// together.
pub(crate) fn untangle(layers: &mut Layers, hint: impl Fn(usize) -> u32) {
    let mut table = Table::of(layers, hint);
    let mut best = table.rows.clone();
    let mut fewest = table.crossings();
    let mut idle = 0;
    for sweep in 0..SWEEPS_MAX {
        if fewest == 0 || idle >= IDLE_SWEEPS_MAX {
            break;
        }
        table.sweep(sweep % 2 == 0);
        table.exchange();
        let crossings = table.crossings();
        if crossings < fewest {
            (fewest, idle) = (crossings, 0);
            best.clone_from(&table.rows);
        } else {
            idle += 1;
        }
    }
    layers.rows = best;
}

/// The rows while they are being rearranged.
struct Table<'a> {
    above: &'a [Vec<usize>],
    below: &'a [Vec<usize>],
    rows: Vec<Vec<usize>>,
    /// For every cell its place in its row.
    place: Vec<usize>,
}

impl<'a> Table<'a> {
    /// Starts with what a walk from the first row meets first, which keeps separate parts of the
    /// graph apart.
    fn of(layers: &'a Layers, hint: impl Fn(usize) -> u32) -> Self {
        let mut roots = layers.rows.first().cloned().unwrap_or_default();
        roots.sort_by_key(|cell| hint(*cell));
        let mut row_of = vec![0; layers.cells.len()];
        for (row, cells) in layers.rows.iter().enumerate() {
            for cell in cells {
                row_of[*cell] = row;
            }
        }
        let mut rows = vec![Vec::new(); layers.rows.len()];
        let mut seen = vec![false; layers.cells.len()];
        let mut open: Vec<usize> = roots.into_iter().rev().collect();
        while let Some(cell) = open.pop() {
            if !std::mem::replace(&mut seen[cell], true) {
                rows[row_of[cell]].push(cell);
                open.extend(layers.below[cell].iter().rev());
            }
        }
        let place = vec![0; layers.cells.len()];
        let mut table = Self { above: &layers.above, below: &layers.below, rows, place };
        (0..table.rows.len()).for_each(|row| table.number(row));
        table
    }

    fn number(&mut self, row: usize) {
        for (place, cell) in self.rows[row].iter().enumerate() {
            self.place[*cell] = place;
        }
    }

    /// Sorts every row by the mean place of its neighbours in the row before (or after).
    fn sweep(&mut self, downwards: bool) {
        let count = self.rows.len();
        for step in 1..count {
            let row = if downwards { step } else { count - 1 - step };
            let neighbours = if downwards { self.above } else { self.below };
            self.sort(row, neighbours);
        }
    }

    /// Cells without neighbours keep their places.
    fn sort(&mut self, row: usize, neighbours: &[Vec<usize>]) {
        let mean = |cell: usize| {
            let near = &neighbours[cell];
            let sum: usize = near.iter().map(|n| self.place[*n]).sum();
            (!near.is_empty()).then(|| sum as f64 / near.len() as f64)
        };
        let mut tied: Vec<(f64, usize)> =
            self.rows[row].iter().filter_map(|cell| Some((mean(*cell)?, *cell))).collect();
        tied.sort_by(|a, b| a.0.total_cmp(&b.0));
        let free: Vec<bool> = self.rows[row].iter().map(|c| neighbours[*c].is_empty()).collect();
        let mut sorted = tied.into_iter().map(|(_, cell)| cell);
        for (cell, free) in self.rows[row].iter_mut().zip(free) {
            if !free && let Some(next) = sorted.next() {
                *cell = next;
            }
        }
        self.number(row);
    }

    /// Exchanges neighbours in a row where that saves crossings.
    fn exchange(&mut self) {
        for _ in 0..EXCHANGES_MAX {
            let mut saved = false;
            for row in 0..self.rows.len() {
                saved |= self.exchange_in(row);
            }
            if !saved {
                break;
            }
        }
    }

    fn exchange_in(&mut self, row: usize) -> bool {
        let mut ends: Vec<[Vec<usize>; 2]> =
            self.rows[row].iter().map(|cell| self.ends(*cell)).collect();
        let mut saved = false;
        for at in 1..self.rows[row].len() {
            let crossed = |left: &[Vec<usize>; 2], right: &[Vec<usize>; 2]| {
                inversions(&left[0], &right[0]) + inversions(&left[1], &right[1])
            };
            if crossed(&ends[at], &ends[at - 1]) < crossed(&ends[at - 1], &ends[at]) {
                ends.swap(at - 1, at);
                self.rows[row].swap(at - 1, at);
                saved = true;
            }
        }
        self.number(row);
        saved
    }

    /// Where the links of `cell` end above and below, sorted.
    fn ends(&self, cell: usize) -> [Vec<usize>; 2] {
        [self.above, self.below].map(|neighbours| {
            let mut places: Vec<usize> = neighbours[cell].iter().map(|n| self.place[*n]).collect();
            places.sort_unstable();
            places
        })
    }

    fn crossings(&self) -> usize {
        self.rows.windows(2).map(|pair| self.crossings_between(&pair[0], pair[1].len())).sum()
    }

    /// Counts, for every link from left to right, the earlier ones that end further right, with a
    /// Fenwick tree over the places of the row below.
    fn crossings_between(&self, upper: &[usize], places: usize) -> usize {
        let mut tree = vec![0usize; places + 1];
        let (mut laid, mut crossings) = (0, 0);
        for cell in upper {
            let [_, ends] = self.ends(*cell);
            for end in &ends {
                let mut at = end + 1;
                let mut not_beyond = 0;
                while at > 0 {
                    not_beyond += tree[at];
                    at &= at - 1;
                }
                crossings += laid - not_beyond;
            }
            for end in &ends {
                let mut at = end + 1;
                while at <= places {
                    tree[at] += 1;
                    at += at & at.wrapping_neg();
                }
            }
            laid += ends.len();
        }
        crossings
    }
}

/// How many pairs of links cross when `left` stands left of `right`; both are sorted.
fn inversions(left: &[usize], right: &[usize]) -> usize {
    let mut before = 0;
    let mut crossings = 0;
    for end in left {
        while before < right.len() && right[before] < *end {
            before += 1;
        }
        crossings += before;
    }
    crossings
}
