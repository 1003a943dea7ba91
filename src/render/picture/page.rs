//! The sheet around a picture: ground, title, progress, legend. Must not know what the picture
//! shows.

use crate::render::picture::legend::legend;
use crate::render::picture::theme::Theme;
use crate::render::words::{ellipsis, number, one_line, width};
use crate::render::{Counts, Dag, Look};

/// Something drawn, from (0, 0).
pub(super) struct Body {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) svg: String,
}

/// Width of a character in the size of its font. Hack is 1233 of 2048 units wide throughout; other
/// monospaced fonts differ by some thousandths.
const CHAR: f64 = 0.602;

/// Around everything.
const MARGIN: f64 = 24.0;

/// Narrower sheets leave no room for title and legend.
const INNER_WIDTH_MIN: f64 = 312.0;

/// Up to here title and legend have their own size.
const INNER_WIDTH_USUAL: f64 = 800.0;

/// How much larger title and legend become at most.
const SCALE_MAX: f64 = 3.0;

const TITLE_SIZE: f64 = 17.0;
pub(super) const SMALL_SIZE: f64 = 12.0;

/// How wide `text` is in a font of `size`.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    width(text) as f64 * size * CHAR
}

/// How many characters of a font of `size` fit into `width`.
pub(super) fn columns(width: f64, size: f64) -> usize {
    (width / (size * CHAR)) as usize
}

/// Text for the inside of an element or an attribute. Characters that XML cannot hold have been
/// made visible before; this keeps the promise where they have not.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            '\0'..' ' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A line of text; `y` is its base line. Bold is a stroke: the one font that is embedded has no
/// bold face, and a browser's own would be wider.
pub(super) fn label((x, y): (f64, f64), size: f64, colour: &str, bold: bool, text: &str) -> String {
    let weight = if bold {
        format!(r#" stroke="{colour}" stroke-width="{:.2}""#, size / 24.0)
    } else {
        String::new()
    };
    let text = escape(text);
    format!(
        r#"<text x="{x:.1}" y="{y:.1}" font-size="{size}" fill="{colour}"{weight}>{text}</text>"#
    )
}

/// The whole document around `body`. On a large sheet title and legend are larger too, or nobody
/// could read them where the whole of it is seen.
pub(super) fn page(dag: &Dag, theme: Theme, body: &Body) -> String {
    let inner = body.width.max(INNER_WIDTH_MIN);
    let scale = (inner / INNER_WIDTH_USUAL).clamp(1.0, SCALE_MAX);
    let head = head(dag, theme, inner / scale);
    let legend = legend(dag, theme, inner / scale);
    let body_top = MARGIN + head.height * scale;
    let legend_top = body_top + body.height;
    let width = (inner + 2.0 * MARGIN).ceil();
    let height = (legend_top + legend.height * scale + MARGIN).ceil();
    let left = MARGIN + (inner - body.width) / 2.0;
    let part = |(x, y): (f64, f64), scale: f64, body: &Body| {
        format!("<g transform=\"translate({x:.1} {y:.1}) scale({scale:.2})\">\n{}</g>", body.svg)
    };
    let size = format!(r#"width="{width}" height="{height}" viewBox="0 0 {width} {height}""#);
    let font = r#"font-family="Hack, ui-monospace, monospace""#;
    let lines = [
        format!(r#"<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" {font}>"#),
        format!("<title>{}</title>", escape(&one_line(&dag.title))),
        format!(r#"<rect width="{width}" height="{height}" fill="{}"/>"#, theme.paper().ground),
        part((MARGIN, MARGIN), scale, &head),
        part((left, body_top), 1.0, body),
        part((MARGIN, legend_top), scale, &legend),
        "</svg>\n".to_owned(),
    ];
    lines.join("\n")
}

/// Title, counts and, for a run, a bar of how far it is.
fn head(dag: &Dag, theme: Theme, width: f64) -> Body {
    let paper = theme.paper();
    let counts = dag.counts();
    let is_run = counts.tells_a_run();
    let done = is_run.then(|| format!("{} done", number(counts.get(Look::Done).into())));
    let said: Vec<String> = dag.size_in_words().into_iter().chain(done).collect();
    let said = ellipsis(&said.join(" · "), columns(width, SMALL_SIZE));
    let title = ellipsis(&one_line(&dag.title), columns(width, TITLE_SIZE));
    let title = label((0.0, 14.0), TITLE_SIZE, paper.ink, true, &title);
    let said = label((0.0, 35.0), SMALL_SIZE, paper.muted, false, &said);
    let bar = if is_run { bar(&counts, theme, 46.0, width) } else { String::new() };
    let height = if is_run { 76.0 } else { 56.0 };
    Body { width, height, svg: format!("{title}\n{said}\n{bar}\n") }
}

/// The parts of a bar from `x` on, by look: what is over first, what is to come last. Each with its
/// left end and its width.
pub(super) fn shares(counts: &Counts, x: f64, width: f64) -> Vec<(Look, f64, f64)> {
    const ORDER: [Look; Look::ALL.len()] = [
        Look::Done,
        Look::Skipped,
        Look::Merging,
        Look::Running,
        Look::AsksPerson,
        Look::Paused,
        Look::Failed,
        Look::Blocked,
        Look::Stale,
        Look::Cancelled,
        Look::Ready,
        Look::Waiting,
        Look::Plain,
    ];
    let each = width / f64::from(counts.total().max(1));
    let mut left = x;
    let mut shares = Vec::new();
    for look in ORDER.into_iter().filter(|look| counts.get(*look) > 0) {
        let share = each * f64::from(counts.get(look));
        shares.push((look, left, share));
        left += share;
    }
    shares
}

/// How far a run is, as a thin line.
fn bar(counts: &Counts, theme: Theme, y: f64, width: f64) -> String {
    let part = |(look, left, share): (Look, f64, f64)| {
        // What has not begun is shown as room.
        let idle = matches!(look, Look::Ready | Look::Waiting | Look::Plain);
        let colour = if idle { theme.paper().raised } else { theme.ink(look).line };
        format!(r#"<rect x="{left:.1}" y="{y:.1}" width="{share:.1}" height="6" fill="{colour}"/>"#)
    };
    shares(counts, 0.0, width).into_iter().map(part).collect()
}
