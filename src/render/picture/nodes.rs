//! What a task looks like: a box with id and title while there is room for it, a pill with a short
//! id where there are many, and a block of pills for many of a kind. Must not know where it stands.

use crate::render::picture::page::{columns, escape, label, text_width};
use crate::render::picture::theme::{Frame, Theme, frame, sign};
use crate::render::words::{count, ellipsis_middle, one_line, wrap};
use crate::render::{Dag, Look, Node};

/// Up to here every task has a box that can be read on a telephone held upright.
const BOXED_TASKS_MAX: usize = 40;

/// Bounds of the width of a box.
const BOX_WIDTH: (f64, f64) = (140.0, 172.0);

/// Characters of an id in a pill.
const PILL_COLUMNS: usize = 11;

/// Pills of a block side by side, as a share of what would make it square.
const BLOCK_ASPECT: f64 = 0.9;

const ID_SIZE: f64 = 13.0;
const TITLE_SIZE: f64 = 11.0;
const PILL_SIZE: f64 = 10.0;
const PILL_HEIGHT: f64 = 20.0;
const PILL_LEFT: (f64, f64) = (23.0, 11.0);
const PILL_RIGHT: f64 = 9.0;
const BOX_HEIGHT: f64 = 33.0;
const TITLE_HEIGHT: f64 = 14.0;

/// Lines of a title in a box.
const TITLE_LINES_MAX: usize = 2;

/// Left of the text, with and without a sign; the lane's colour is left of either.
const BOX_LEFT: (f64, f64) = (37.0, 18.0);
const BOX_RIGHT: f64 = 10.0;
const BLOCK_PAD: f64 = 8.0;
const BLOCK_GAP: f64 = 6.0;
const BLOCK_HEAD: f64 = 16.0;

/// How the tasks of a picture are drawn.
pub(super) struct Nodes<'a> {
    dag: &'a Dag,
    theme: Theme,
    /// Boxes, or else pills.
    pub(super) boxed: bool,
    /// Whether there is a run whose signs are to be shown.
    signed: bool,
    text_left: f64,
    box_size: (f64, f64),
    pill_width: f64,
}

impl<'a> Nodes<'a> {
    pub(super) fn of(dag: &'a Dag, theme: Theme) -> Self {
        let widest = |size: f64, text: fn(&Node) -> String| {
            let widths = dag.nodes.iter().map(|node| text_width(&text(node), size));
            widths.fold(0.0, f64::max)
        };
        let id: fn(&Node) -> String = |node| one_line(&node.id);
        let boxed = dag.nodes.len() <= BOXED_TASKS_MAX;
        let signed = dag.counts().tells_a_run();
        let (with_sign, without) = if boxed { BOX_LEFT } else { PILL_LEFT };
        let text_left = if signed { with_sign } else { without };
        // A title that fills its two lines leaves some room at the end of the first.
        let text = widest(ID_SIZE, id).max(widest(TITLE_SIZE, small_print) * 0.6);
        let width = (text_left + text + BOX_RIGHT).clamp(BOX_WIDTH.0, BOX_WIDTH.1).ceil();
        let short = text_width(&"m".repeat(PILL_COLUMNS), PILL_SIZE);
        let mut nodes = Self {
            dag,
            theme,
            boxed,
            signed,
            text_left,
            box_size: (width, BOX_HEIGHT),
            pill_width: (text_left + widest(PILL_SIZE, id).min(short) + PILL_RIGHT).ceil(),
        };
        let lines = dag.nodes.iter().map(|node| nodes.title_lines(node).len());
        nodes.box_size.1 += lines.max().unwrap_or_default() as f64 * TITLE_HEIGHT;
        nodes
    }

    /// The room for text in a box.
    fn text_room(&self) -> f64 {
        self.box_size.0 - self.text_left - BOX_RIGHT
    }

    fn title_lines(&self, node: &Node) -> Vec<String> {
        wrap(&small_print(node), columns(self.text_room(), TITLE_SIZE), TITLE_LINES_MAX)
    }

    /// Width and height of a block of tasks.
    pub(super) fn size(&self, tasks: usize) -> (f64, f64) {
        if tasks == 1 {
            return if self.boxed { self.box_size } else { (self.pill_width, PILL_HEIGHT) };
        }
        let side_by_side = self.side_by_side(tasks);
        let span =
            |n: usize, each: f64| n as f64 * (each + BLOCK_GAP) - BLOCK_GAP + 2.0 * BLOCK_PAD;
        let width = span(side_by_side, self.pill_width);
        (width, span(tasks.div_ceil(side_by_side), PILL_HEIGHT) + BLOCK_HEAD)
    }

    fn side_by_side(&self, tasks: usize) -> usize {
        let ratio = BLOCK_ASPECT * (PILL_HEIGHT + BLOCK_GAP) / (self.pill_width + BLOCK_GAP);
        ((tasks as f64 * ratio).sqrt().round() as usize).max(1)
    }

    /// Draws the tasks of a block around `centre`.
    pub(super) fn draw(&self, tasks: &[usize], (x, y): (f64, f64)) -> String {
        let (w, h) = self.size(tasks.len());
        let (left, top) = (x - w / 2.0, y - h / 2.0);
        match tasks {
            [task] if self.boxed => self.boxed(&self.dag.nodes[*task], (left, top)),
            [task] => self.pill(&self.dag.nodes[*task], (left, top)),
            many => self.block(many, (left, top), (w, h)),
        }
    }

    fn boxed(&self, node: &Node, (x, y): (f64, f64)) -> String {
        let paper = self.theme.paper();
        let (w, h) = self.box_size;
        let left = x + self.text_left;
        let id = ellipsis_middle(&one_line(&node.id), columns(self.text_room(), ID_SIZE));
        let lines = self.title_lines(node);
        let mut base = y + (h - lines.len() as f64 * TITLE_HEIGHT) / 2.0 + 4.5;
        let mut text = label((left, base), ID_SIZE, paper.ink, true, &id);
        base += 1.5;
        for line in lines {
            base += TITLE_HEIGHT;
            text += &label((left, base), TITLE_SIZE, paper.muted, false, &line);
        }
        let sign = self.sign(node.look, (x + 21.0, y + h / 2.0), 8.0);
        let frame = self.frame(node.look, (x, y), (w, h), 9.0);
        self.group(node, format!("{frame}{}{sign}{text}", self.stripe(node, (x, y), (4.0, h))))
    }

    fn pill(&self, node: &Node, (x, y): (f64, f64)) -> String {
        let (w, h) = (self.pill_width, PILL_HEIGHT);
        let ink = self.theme.paper().ink;
        let id = ellipsis_middle(&one_line(&node.id), PILL_COLUMNS);
        let frame = self.frame(node.look, (x, y), (w, h), 6.0);
        let stripe = self.stripe(node, (x, y), (2.5, h));
        let sign = self.sign(node.look, (x + 14.0, y + h / 2.0), 5.0);
        let id = label((x + self.text_left, y + h / 2.0 + 3.5), PILL_SIZE, ink, false, &id);
        self.group(node, format!("{frame}{stripe}{sign}{id}"))
    }

    fn block(&self, tasks: &[usize], (x, y): (f64, f64), (w, h): (f64, f64)) -> String {
        let paper = self.theme.paper();
        let mut svg = format!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{w:.1}" height="{h:.1}" rx="10" fill="{}" stroke="{}" stroke-width="1"/>"#,
            paper.raised, paper.arrow
        );
        let said = count(tasks.len() as u64, "task");
        svg += &label((x + BLOCK_PAD + 1.0, y + 16.0), TITLE_SIZE, paper.muted, false, &said);
        svg += "\n";
        let side_by_side = self.side_by_side(tasks.len());
        for (at, task) in tasks.iter().enumerate() {
            let (column, row) = ((at % side_by_side) as f64, (at / side_by_side) as f64);
            let left = x + BLOCK_PAD + column * (self.pill_width + BLOCK_GAP);
            let top = y + BLOCK_PAD + BLOCK_HEAD + row * (PILL_HEIGHT + BLOCK_GAP);
            svg += &self.pill(&self.dag.nodes[*task], (left, top));
        }
        svg
    }

    fn sign(&self, look: Look, centre: (f64, f64), radius: f64) -> String {
        if self.signed { sign(look, self.theme, centre, radius) } else { String::new() }
    }

    fn frame(&self, look: Look, (x, y): (f64, f64), (w, h): (f64, f64), round: f64) -> String {
        let ink = self.theme.ink(look);
        let (width, dash) = match frame(look) {
            Frame::Thin => (1.2, ""),
            Frame::Strong => (1.8, ""),
            Frame::Loud => (2.6, ""),
            Frame::Dashed => (1.2, r#" stroke-dasharray="4 3""#),
        };
        format!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{w}" height="{h}" rx="{round}" fill="{}" stroke="{}" stroke-width="{width}"{dash}/>"#,
            ink.fill, ink.line
        )
    }

    /// The colour of the lane, along the left edge.
    fn stripe(&self, node: &Node, (x, y): (f64, f64), (w, h): (f64, f64)) -> String {
        if self.dag.lane_of(node).is_none() {
            return String::new();
        }
        let colour = self.theme.lane(node.lane as usize);
        let (x, y, h) = (x + 1.5 * w, y + 1.5 * w, h - 3.0 * w);
        format!(
            r#"<rect x="{x:.1}" y="{y:.1}" width="{w}" height="{h}" rx="{:.1}" fill="{colour}"/>"#,
            w / 2.0
        )
    }

    /// Everything that is known of the task, where a pointer rests on it.
    fn group(&self, node: &Node, svg: String) -> String {
        let title = node.own_title().map(|title| format!(": {title}")).unwrap_or_default();
        let lane = self.dag.lane_of(node).map(|band| format!(" [{}]", band.name));
        let look = Some(node.look).filter(|look| *look != Look::Plain);
        let look = look.map(|look| format!(", {}", look.word())).unwrap_or_default();
        let said = one_line(&format!("{}{title}{}{look}", node.id, lane.unwrap_or_default()));
        format!("<g><title>{}</title>{svg}</g>\n", escape(&said))
    }
}

/// What stands below the id: the note, since it is new, and the title.
fn small_print(node: &Node) -> String {
    let parts: Vec<&str> = node.note.as_deref().into_iter().chain(node.own_title()).collect();
    one_line(&parts.join(" · "))
}
