//! What the signs of looks and the colours of lanes mean, as far as they occur.

use crate::render::picture::page::{Body, SMALL_SIZE, label, text_width};
use crate::render::picture::theme::{Theme, sign};
use crate::render::words::{count, ellipsis, number, one_line};
use crate::render::{Band, Dag, Look};

/// Lanes that are named.
const LANES_MAX: usize = 24;

/// Columns of a lane's name.
const LANE_COLUMNS: usize = 24;

const LINE_HEIGHT: f64 = 22.0;
const SIGN_RADIUS: f64 = 6.0;
/// Between two items of a line.
const BETWEEN: f64 = 18.0;
/// Above the first base line, and below the last.
const ABOVE: f64 = 30.0;
const BELOW: f64 = 12.0;

/// Something to stand in a line; its base line is at 0.
struct Item {
    width: f64,
    svg: String,
}

/// The legend in lines of at most `width`.
pub(super) fn legend(dag: &Dag, theme: Theme, width: f64) -> Body {
    let mut body = Body { width, height: 0.0, svg: String::new() };
    for items in [looks(dag, theme), lanes(dag, theme)] {
        let mut left = 0.0;
        for (at, item) in items.iter().enumerate() {
            if at == 0 || left + item.width > width {
                left = 0.0;
                body.height += LINE_HEIGHT;
            }
            let base = body.height - LINE_HEIGHT + ABOVE;
            let place = format!("translate({left:.1} {base:.1})");
            body.svg = body.svg + "<g transform=\"" + &place + "\">" + &item.svg + "</g>\n";
            left += item.width + BETWEEN;
        }
    }
    body.height += if body.svg.is_empty() { 0.0 } else { BELOW };
    body
}

fn looks(dag: &Dag, theme: Theme) -> Vec<Item> {
    let item = |(look, count): (Look, u32)| {
        let left = 3.0 * SIGN_RADIUS;
        let text = format!("{} {}", number(count.into()), look.word());
        let sign = sign(look, theme, (SIGN_RADIUS, -4.0), SIGN_RADIUS);
        let words = label((left, 0.0), SMALL_SIZE, theme.paper().ink, false, &text);
        Item { width: left + text_width(&text, SMALL_SIZE), svg: sign + &words }
    };
    dag.counts().present().filter(|(look, _)| *look != Look::Plain).map(item).collect()
}

fn lanes(dag: &Dag, theme: Theme) -> Vec<Item> {
    if !dag.shows_lanes() {
        return Vec::new();
    }
    let named = dag.lanes.iter().take(LANES_MAX).enumerate();
    let named = named.map(|(at, band)| lane(band, theme.lane(at), theme));
    let left = dag.lanes.len().saturating_sub(LANES_MAX) as u64;
    let rest = (left > 0).then(|| {
        let text = count(left, "more lane");
        let svg = label((0.0, 0.0), SMALL_SIZE, theme.paper().muted, false, &text);
        Item { width: text_width(&text, SMALL_SIZE), svg }
    });
    named.chain(rest).collect()
}

/// Colour, name and, in a run, how it stands.
fn lane(band: &Band, colour: &str, theme: Theme) -> Item {
    let name = ellipsis(&one_line(&band.name), LANE_COLUMNS);
    let end = 12.0 + text_width(&name, SMALL_SIZE);
    let swatch = format!(r#"<rect y="-11" width="5" height="14" rx="2" fill="{colour}"/>"#);
    let named = swatch + &label((12.0, 0.0), SMALL_SIZE, theme.paper().muted, false, &name);
    if band.look == Look::Plain {
        return Item { width: end, svg: named };
    }
    let sign = sign(band.look, theme, (end + 2.0 * SIGN_RADIUS, -4.0), SIGN_RADIUS);
    Item { width: end + 3.0 * SIGN_RADIUS, svg: named + &sign }
}
