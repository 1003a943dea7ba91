//! What is shown of a graph that is too large to be drawn: how its waves and its lanes stand. Must
//! not know why it is too large.

use crate::render::picture::page::{Body, label, shares};
use crate::render::picture::theme::{Theme, sign};
use crate::render::words::{ellipsis, number, one_line};
use crate::render::{Counts, Dag, Look, Node};

/// Rows of one table. More waves are put together, as many to a row as it takes; more lanes are
/// left to one last row.
const ROWS_MAX: usize = 24;

const NAME_COLUMNS: usize = 18;
const SIZE: f64 = 12.0;
const ROW_HEIGHT: f64 = 24.0;
const BAR_WIDTH: f64 = 320.0;
const BAR_HEIGHT: f64 = 17.0;
/// Narrower parts of a bar have no room for their sign.
const SIGNED_WIDTH_MIN: f64 = 16.0;

const BAR_LEFT: f64 = 148.0;

/// The tables of waves and of lanes.
pub(super) fn draw(dag: &Dag, theme: Theme) -> Body {
    let waves = table("waves", &waves(dag), theme, 0.0);
    let lanes = lanes(dag);
    let lanes = if lanes.is_empty() {
        (String::new(), waves.1)
    } else {
        table("lanes", &lanes, theme, waves.1 + 12.0)
    };
    Body { width: BAR_LEFT + BAR_WIDTH + 60.0, height: lanes.1, svg: waves.0 + &lanes.0 }
}

fn waves(dag: &Dag) -> Vec<(String, Counts)> {
    let waves = dag.waves();
    let together = waves.len().div_ceil(ROWS_MAX).max(1);
    let row = |(at, waves): (usize, &[Vec<&Node>])| {
        let first = at * together + 1;
        let name = match waves.len() {
            1 => format!("wave {first}"),
            more => format!("waves {first} to {}", first + more - 1),
        };
        (name, waves.iter().flatten().map(|node| node.look).collect())
    };
    waves.chunks(together).enumerate().map(row).collect()
}

fn lanes(dag: &Dag) -> Vec<(String, Counts)> {
    if !dag.shows_lanes() {
        return Vec::new();
    }
    let mut looks = vec![Vec::new(); dag.lanes.len()];
    for node in &dag.nodes {
        if let Some(lane) = looks.get_mut(node.lane as usize) {
            lane.push(node.look);
        }
    }
    let alone = if looks.len() > ROWS_MAX { ROWS_MAX - 1 } else { looks.len() };
    let named = dag.lanes.iter().map(|band| one_line(&band.name)).zip(&looks);
    let mut rows: Vec<(String, Counts)> =
        named.take(alone).map(|(name, looks)| (name, looks.iter().copied().collect())).collect();
    if alone < looks.len() {
        let rest = looks[alone..].iter().flatten().copied().collect();
        rows.push((format!("{} more", looks.len() - alone), rest));
    }
    rows
}

fn table(head: &str, rows: &[(String, Counts)], theme: Theme, top: f64) -> (String, f64) {
    let paper = theme.paper();
    let most = rows.iter().map(|(_, counts)| counts.total()).max().unwrap_or(0).max(1);
    let mut svg = label((0.0, top + 12.0), SIZE, paper.muted, false, head) + "\n";
    let mut y = top + ROW_HEIGHT;
    for (name, counts) in rows {
        let base = y + 12.0;
        let width = BAR_WIDTH * f64::from(counts.total()) / f64::from(most);
        svg += &label((0.0, base), SIZE, paper.ink, false, &ellipsis(name, NAME_COLUMNS));
        svg += &bar(counts, theme, y, width);
        let total = number(counts.total().into());
        svg += &label((BAR_LEFT + width + 10.0, base), SIZE, paper.muted, false, &total);
        svg += "\n";
        y += ROW_HEIGHT;
    }
    (svg, y)
}

/// A bar that looks like boxes side by side, each with its sign where there is room for it.
fn bar(counts: &Counts, theme: Theme, y: f64, width: f64) -> String {
    let part = |(look, left, share): (Look, f64, f64)| {
        let ink = theme.ink(look);
        let centre = (left + share / 2.0, y + BAR_HEIGHT / 2.0);
        let signed = share >= SIGNED_WIDTH_MIN && look != Look::Plain;
        format!(
            r#"<rect x="{left:.1}" y="{y:.1}" width="{share:.1}" height="{BAR_HEIGHT}" fill="{}" stroke="{}"/>{}"#,
            ink.fill,
            ink.line,
            if signed { sign(look, theme, centre, 5.0) } else { String::new() }
        )
    };
    shares(counts, BAR_LEFT, width).into_iter().map(part).collect()
}
