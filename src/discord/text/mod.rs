//! Text for Discord: made harmless, and cut to what a message may hold.

mod clean;
mod pages;

pub use clean::{block, clean, inline, sentence};
pub use pages::{CONTENT_UNITS_MAX, Pages, fit, units};
