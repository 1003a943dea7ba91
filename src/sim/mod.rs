//! A world without an outside: the real engine on a clock that is set by hand, with jobs that are
//! carried out by a script; and an agent that plays a script for an engine that is real in all
//! else. Shipped, not only for tests.

pub mod agent;
mod chaos;
mod clock;
mod repo;
mod script;
mod stage;

pub use chaos::{Explored, explore};
pub use clock::ManualClock;
pub use repo::scratch;
pub use script::Script;
pub use stage::{Act, Stage};
