//! Where everything stands: `rows` puts tasks into rows, `order` untangles the rows, `place` says
//! how far apart they are. Must not know how anything is drawn.
//!
//! A library would do: but those at hand do not tell the way of a long arrow, which then runs
//! through boxes, and take a minute for a thousand tasks.

mod order;
mod place;
mod rows;

pub(super) use order::untangle;
pub(super) use place::{Gaps, Pair, Placed, place};
pub(super) use rows::{Cell, Layers};
