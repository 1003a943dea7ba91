//! A world without an outside: the real engine on a clock that is set by hand, with jobs that are
//! carried out by a script. Shipped, not only for tests.

mod clock;
mod repo;
mod stage;

pub use clock::ManualClock;
pub use repo::scratch;
pub use stage::{Act, Stage};
