//! Which task goes next, and why every other one waits.
//!
//! Pure data structures: the engine keeps them up to date as things happen, so that a decision
//! costs the same whatever waits. The rules for "why not" stand beside the rules for "which", and
//! both surfaces and the engine read them here.

mod ready;
mod waiting;

pub use ready::{Key, Pick, ReadyIndex};
pub use waiting::WaitingOn;
