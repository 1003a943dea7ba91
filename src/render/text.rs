//! The picture for a terminal. A small graph is drawn in the manner of `git log --graph`, with the
//! roots at the top; of a larger one a person wants to know what is where, and gets its waves.

use renderdag::{Ancestor, GraphRowRenderer, Renderer as _};

use crate::render::words::{count, ellipsis, number, one_line, width};
use crate::render::{Dag, Look, Node};

/// More rows than this are no picture any more.
const DRAWN_TASKS_MAX: usize = 60;

/// More lines side by side than this cannot be followed by eye.
const DRAWN_LINES_MAX: u64 = 12;

/// Columns of a title beside the drawing, so that a row fits on a terminal.
const TITLE_COLUMNS: usize = 48;

/// Columns of the list of waves.
const WAVE_COLUMNS: usize = 96;

/// Lines of one wave; the rest is counted.
const WAVE_LINES_MAX: usize = 6;

/// Waves that are listed; the rest is counted.
const WAVES_MAX: usize = 60;

/// `dag` as text.
pub fn text(dag: &Dag) -> String {
    let title = std::iter::once(one_line(&dag.title)).chain(dag.size_in_words());
    let title = title.collect::<Vec<_>>().join(" · ");
    let body = drawing(dag).unwrap_or_else(|| waves(dag));
    let legend: Vec<String> = dag
        .counts()
        .present()
        .filter(|(look, _)| *look != Look::Plain)
        .map(|(look, n)| format!("{} {} {}", look.glyph(), number(n.into()), look.word()))
        .collect();
    let legend =
        if legend.is_empty() { String::new() } else { format!("\n{}\n", legend.join("  ")) };
    format!("{title}\n\n{body}{legend}")
}

/// One row for each task, or `None` if the drawing would be too large to be of use.
fn drawing(dag: &Dag) -> Option<String> {
    if dag.nodes.len() > DRAWN_TASKS_MAX {
        return None;
    }
    let mut dependents = vec![Vec::new(); dag.nodes.len()];
    for (from, to) in dag.arrows() {
        dependents[from].push(to);
    }
    let mut renderer = GraphRowRenderer::new()
        .output()
        .with_min_row_height(1)
        .with_stagger_consecutive_disconnected_nodes(true)
        .build_box_drawing();
    let mut drawn = String::new();
    for at in reading_order(&dependents) {
        let node = &dag.nodes[at];
        let below = dependents[at].iter().copied().map(Ancestor::Parent).collect();
        drawn += &renderer.next_row(at, below, node.look.glyph().to_string(), row(dag, node));
        if renderer.width(None, None) > 2 * DRAWN_LINES_MAX {
            return None;
        }
    }
    Some(drawn)
}

/// A topological order that stays on a path as long as it can, so that few lines run side by side.
fn reading_order(dependents: &[Vec<usize>]) -> Vec<usize> {
    let mut missing = vec![0; dependents.len()];
    for to in dependents.iter().flatten() {
        missing[*to] += 1;
    }
    let mut open: Vec<usize> = (0..missing.len()).rev().filter(|at| missing[*at] == 0).collect();
    let mut order = Vec::with_capacity(missing.len());
    while let Some(at) = open.pop() {
        order.push(at);
        for to in dependents[at].iter().rev() {
            missing[*to] -= 1;
            if missing[*to] == 0 {
                open.push(*to);
            }
        }
    }
    order
}

fn row(dag: &Dag, node: &Node) -> String {
    let title = node.own_title().map(|title| ellipsis(&one_line(title), TITLE_COLUMNS));
    let lane = dag.lane_of(node).map(|band| format!("[{}]", one_line(&band.name)));
    let note = node.note.as_deref().map(|note| format!("· {}", one_line(note)));
    let parts = std::iter::once(one_line(&node.id)).chain(title).chain(lane).chain(note);
    parts.collect::<Vec<_>>().join("  ")
}

fn waves(dag: &Dag) -> String {
    let waves = dag.waves();
    let listed = waves.iter().take(WAVES_MAX).zip(1..).map(|(nodes, n)| wave(n, nodes));
    let left = waves.len().saturating_sub(WAVES_MAX) as u64;
    let left = (left > 0).then(|| format!("… and {}\n", count(left, "more wave")));
    listed.chain(left).collect()
}

/// The tasks of one wave. Where not all find room, those come first that a person wants to see.
fn wave(number_of_wave: usize, nodes: &[&Node]) -> String {
    let head = format!("wave {number_of_wave:<3} {:>6}  ", number(nodes.len() as u64));
    let room = WAVE_COLUMNS - width(&head);
    let mut lines = lines(nodes, room);
    if lines.len() > WAVE_LINES_MAX {
        let mut urgent = nodes.to_vec();
        urgent.sort_by_key(|node| patience(node.look));
        lines = self::lines(&urgent, room);
        let left: usize = lines.drain(WAVE_LINES_MAX..).map(|line| line.len()).sum();
        lines.push(vec![format!("… and {} more", number(left as u64))]);
    }
    let lines: Vec<String> = lines.iter().map(|line| line.join("  ")).collect();
    format!("{head}{}\n", lines.join(&format!("\n{}", " ".repeat(width(&head)))))
}

/// Glyphs and ids, as many to a line as have room.
fn lines(nodes: &[&Node], room: usize) -> Vec<Vec<String>> {
    let mut lines: Vec<Vec<String>> = Vec::new();
    let mut left = 0;
    for node in nodes {
        let item = format!("{} {}", node.look.glyph(), one_line(&node.id));
        let taken = width(&item) + 2;
        match lines.last_mut() {
            Some(line) if taken <= left => line.push(item),
            _ => {
                lines.push(vec![item]);
                left = room + 2;
            }
        }
        left = left.saturating_sub(taken);
    }
    lines
}

/// The less, the sooner a person wants to see it.
fn patience(look: Look) -> u8 {
    match look {
        Look::AsksPerson | Look::Failed => 0,
        Look::Running | Look::Merging | Look::Paused => 1,
        Look::Blocked | Look::Stale => 2,
        Look::Ready => 3,
        Look::Waiting | Look::Plain => 4,
        Look::Done | Look::Skipped | Look::Cancelled => 5,
    }
}
