//! The picture worth looking at: SVG, and PNG made from it.
//!
//! `layout` says where everything stands, `drawing` and `nodes` draw it, `summary` stands in where
//! there is too much to draw, and `page` puts title and `legend` around either.

mod chart;
mod drawing;
mod layout;
mod legend;
mod nodes;
mod page;
mod png;
mod summary;
mod theme;

use crate::render::Dag;

pub use chart::{Chart, SERIES_MAX, Series};
pub use png::{Error, png};
pub use theme::Theme;

/// `dag` as a picture of its own: no script, no outside reference, no font but those of the reader.
pub fn svg(dag: &Dag, theme: Theme) -> String {
    let body = drawing::draw(dag, theme).unwrap_or_else(|| summary::draw(dag, theme));
    page::page(dag, theme, &body)
}
