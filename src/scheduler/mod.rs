//! Which task goes next, and why every other one waits.
//!
//! Pure data structures: the engine keeps them up to date as things happen, so that a decision
//! costs the same whatever waits. The rules for "why not" stand beside the rules for "which", and
//! both surfaces and the engine read them here.

mod policy;
mod queue;
mod ready;
mod share;
mod waiting;
mod window;

pub use policy::{Policy, ProfileRules, Resume};
pub use queue::{CHARGE_DEFAULT, Full, Next, PoolIx, ProjectIx, Queue, filled};
pub use ready::{Key, Pool, ReadyIndex};
pub use share::{Claim, Sums};
pub use waiting::WaitingOn;
pub use window::{BUCKET, Used, WINDOW, Window, bucket};
