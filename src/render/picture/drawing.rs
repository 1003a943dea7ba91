//! Boxes in their places and arrows between them. Must not know how a box is drawn.

use crate::render::Dag;
use crate::render::picture::layout::{Cell, Gaps, Layers, Pair, Placed, place, untangle};
use crate::render::picture::nodes::Nodes;
use crate::render::picture::page::Body;
use crate::render::picture::png::scale_max;
use crate::render::picture::theme::Theme;

/// More tasks than this are summarised: even on a large screen a pill would be a few pixels high.
const DRAWN_TASKS_MAX: usize = 1_000;

/// What a telephone held upright shows at once, in points.
const SCREEN: (f64, f64) = (390.0, 620.0);

/// More pixels to the point than this make no difference.
const SHARP: f64 = 2.0;

/// Which way time flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Down,
    Right,
}

impl Flow {
    /// From along and across to x and y.
    fn point(self, along: f64, across: f64) -> (f64, f64) {
        match self {
            Self::Down => (across, along),
            Self::Right => (along, across),
        }
    }

    fn pair(self, (width, height): (f64, f64)) -> Pair {
        match self {
            Self::Down => Pair { along: height, across: width },
            Self::Right => Pair { along: width, across: height },
        }
    }

    fn gaps(self, boxed: bool) -> Gaps {
        let (across, along, along_max) = match (self, boxed) {
            (Self::Down, true) => (20.0, 44.0, 84.0),
            (Self::Right, true) => (16.0, 48.0, 96.0),
            (Self::Down, false) => (12.0, 40.0, 140.0),
            (Self::Right, false) => (8.0, 48.0, 140.0),
        };
        Gaps { across, via: if boxed { 12.0 } else { 7.0 }, along, along_max }
    }
}

/// The graph as boxes and arrows, or `None` if it is too large for that.
pub(super) fn draw(dag: &Dag, theme: Theme) -> Option<Body> {
    if dag.nodes.len() > DRAWN_TASKS_MAX {
        return None;
    }
    let mut layers = Layers::of(dag)?;
    let first_of = |cell: usize| match layers.cells[cell] {
        Cell::Block(block) => dag.nodes[layers.blocks[block][0]].lane,
        Cell::Via => 0,
    };
    let lanes: Vec<u32> = (0..layers.cells.len()).map(first_of).collect();
    untangle(&mut layers, |cell| lanes[cell]);
    let nodes = Nodes::of(dag, theme);
    let sketch = |flow: Flow| {
        let extent = |block: usize| flow.pair(nodes.size(layers.blocks[block].len()));
        let placed = place(&layers, flow.gaps(nodes.boxed), extent);
        Sketch { layers: &layers, flow, placed, boxed: nodes.boxed }
    };
    let (down, right) = (sketch(Flow::Down), sketch(Flow::Right));
    let sketch = if down.legibility() >= right.legibility() { down } else { right };
    let (width, height) = sketch.flow.point(sketch.placed.size.along, sketch.placed.size.across);
    let mut svg = sketch.arrows(theme);
    for (cell, centre) in layers.cells.iter().zip(&sketch.placed.centres) {
        if let Cell::Block(block) = cell {
            let centre = sketch.flow.point(centre.along, centre.across);
            svg += &nodes.draw(&layers.blocks[*block], centre);
        }
    }
    Some(Body { width, height, svg })
}

struct Sketch<'a> {
    layers: &'a Layers,
    flow: Flow,
    placed: Placed,
    boxed: bool,
}

impl Sketch<'_> {
    /// How large it can be on a telephone, and how many pixels it can have there.
    fn legibility(&self) -> f64 {
        let (width, height) = self.flow.point(self.placed.size.along, self.placed.size.across);
        let (width, height) = (width.max(1.0), height.max(1.0));
        let sharp = f64::from(scale_max(width as f32, height as f32)).min(SHARP);
        (SCREEN.0 / width).min(SCREEN.1 / height) * sharp
    }

    /// The lines that leave one cell are one path: translucent, they do not grow darker where they
    /// leave together, and do where different ones meet. One path for all would take twice as long
    /// to paint where there are thousands.
    fn arrows(&self, theme: Theme) -> String {
        let size = if self.boxed { 7.0 } else { 4.5 };
        let (width, opacity) = if self.boxed { (1.6, 1.0) } else { (1.1, 0.6) };
        let colour = theme.paper().arrow;
        let rows = self.layers.rows.iter().enumerate();
        let cells = rows.flat_map(|(row, cells)| cells.iter().map(move |cell| (row, *cell)));
        let fan = |(row, cell): (usize, usize)| {
            let fan = self.fan(row, cell, size);
            if fan.is_empty() { fan } else { format!("<path d=\"{fan}\"/>\n") }
        };
        let lines: String = cells.clone().map(fan).collect();
        let heads: String = cells.map(|(_, cell)| self.heads(cell, size)).collect();
        format!(
            "<g fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" \
             stroke-opacity=\"{opacity}\">\n{lines}</g>\n<path d=\"{heads}\" fill=\"{colour}\"/>\n"
        )
    }

    /// All lines from `cell` to the next row.
    fn fan(&self, row: usize, cell: usize, head: f64) -> String {
        let line = |next: &usize| match self.layers.cells[*next] {
            Cell::Via => self.line(row, cell, *next, 0.0),
            Cell::Block(_) => self.line(row, cell, *next, head),
        };
        self.layers.below[cell].iter().map(line).collect()
    }

    /// From the end of `cell` straight to the end of its row, then in a curve to the start of the
    /// next row, then straight to `next`: between boxes arrows run straight, and curves have the
    /// room between rows to themselves.
    fn line(&self, row: usize, cell: usize, next: usize, head: f64) -> String {
        let point = |along: f64, across: f64| {
            let (x, y) = self.flow.point(along, across);
            format!("{x:.1} {y:.1}")
        };
        let (from, to) = (self.placed.centres[cell].across, self.port(cell, next));
        let (row_start, row_end) = self.placed.rows[row];
        let start = match self.layers.cells[cell] {
            Cell::Via => row_start,
            Cell::Block(_) => self.edge(cell, 1.0),
        };
        let curve_end = self.placed.rows[row + 1].0 - head;
        let end = match self.layers.cells[next] {
            Cell::Via => curve_end,
            Cell::Block(_) => self.edge(next, -1.0) - head,
        };
        let middle = f64::midpoint(row_end, curve_end);
        let straight = |from: f64, to: f64, across: f64| {
            if from < to { format!("L{}", point(to, across)) } else { String::new() }
        };
        let curve = [point(middle, from), point(middle, to), point(curve_end, to)].join(" ");
        format!(
            "M{}{}C{curve}{}",
            point(start, from),
            straight(start, row_end, from),
            straight(curve_end, end, to)
        )
    }

    /// The heads of what arrives at `cell`.
    fn heads(&self, cell: usize, size: f64) -> String {
        match self.layers.cells[cell] {
            Cell::Via => String::new(),
            Cell::Block(_) => {
                self.layers.above[cell].iter().map(|from| self.head(*from, cell, size)).collect()
            }
        }
    }

    fn head(&self, cell: usize, next: usize, size: f64) -> String {
        let (tip, across) = (self.edge(next, -1.0), self.port(cell, next));
        let corner = |along: f64, across: f64| {
            let (x, y) = self.flow.point(along, across);
            format!("{x:.1} {y:.1}")
        };
        let (back, half) = (tip - size, size * 0.5);
        format!(
            "M{}L{}L{}Z",
            corner(tip, across),
            corner(back, across - half),
            corner(back, across + half)
        )
    }

    /// Where a box begins (-1) or ends (1), along.
    fn edge(&self, cell: usize, sign: f64) -> f64 {
        self.placed.centres[cell].along + sign * self.placed.extents[cell].along / 2.0
    }

    /// Where the arrow from `cell` meets `next`, across: arrows into one box arrive side by side,
    /// in the order in which they come.
    fn port(&self, cell: usize, next: usize) -> f64 {
        let place = |cell: usize| self.placed.centres[cell].across;
        let sources = &self.layers.above[next];
        let before =
            sources.iter().filter(|other| (place(**other), **other) < (place(cell), cell)).count();
        let apart = (self.placed.extents[next].across * 0.6 / sources.len() as f64).min(9.0);
        let shift = before as f64 - (sources.len() as f64 - 1.0) / 2.0;
        place(next) + if self.layers.cells[next] == Cell::Via { 0.0 } else { shift * apart }
    }
}
