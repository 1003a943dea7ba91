//! Watching over runs: what in them waits for a person, and what has waited too long.
//!
//! Everything is derived from a run as it is, when somebody asks or a timer fires; nothing is
//! counted while tasks come and go.

mod causes;
mod needs;
mod remind;
mod shelf;
mod sweep;

use std::time::Duration;

pub use needs::{Item, Need, Waits, holds_up, inbox, needs};
pub(crate) use remind::Reminders;

/// How the engine watches over runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Watching {
    /// How long something may wait before people are told of it; `None`: they never are.
    pub stuck_after: Option<Duration>,
    /// How long they are left alone about it after that.
    pub repeat: Duration,
    /// How long a run rests, with nothing in it for a person, before it is put away; `None`: it
    /// is left where it is.
    pub archive_after: Option<Duration>,
}
