//! The engine: a synchronous, deterministic core and the thin loop around it.
//!
//! One task owns the world. Everybody else holds a [`Handle`], whose calls answer when what they
//! asked for is durable. Attempts, forges, timers and commands come back as events; nothing here
//! knows Discord, a terminal, git or a process: jobs go to an injected
//! [`Executor`](crate::runner::Executor), notices to an injected
//! [`Notifier`](crate::notify::Notifier).

mod census;
mod command;
mod desk;
mod engine;
pub(crate) mod growth;
mod handle;
mod job;
mod load;
pub(crate) mod step;
mod view;
mod watch;
pub(crate) mod world;

pub use census::{Census, Histogram, Tally};
pub use command::{
    Allowance, Answer, Command, GlobalCommand, GlobalVerb, OnPlan, Receipt, Resubmission,
    Submission, Submitted, Target, Undo, Verb,
};
pub use engine::{Doors, Options, Role, Scope, spawn};
pub use handle::{Closed, Handle, Resubmitted};
pub use load::look;
pub use view::{Reasons, RunView};
pub use watch::{Item, Need, Waits, Watching, holds_up, inbox, needs};
