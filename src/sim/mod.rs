//! A world without an outside: the real engine on a clock that is set by hand, with jobs that are
//! carried out by a script; and an agent that plays a script for an engine that is real in all
//! else. Shipped, not only for tests.

pub mod agent;
mod chaos;
mod clock;
mod rehearsal;
mod repo;
pub mod scenario;
mod script;
mod stage;
mod theatre;

pub use chaos::{Explored, explore};
pub use clock::ManualClock;
pub use rehearsal::{Rehearsal, rehearse};
pub use repo::scratch;
pub use script::Script;
pub use stage::{Act, LaneAct, Stage};
pub use theatre::{Dead, Theatre};
