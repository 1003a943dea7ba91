//! What hooks are and what they do when: without a clock, without waiting, without doing anything.

pub mod check;
mod counts;
mod desk;
mod hook;
mod record;
mod shell;
mod template;
mod timing;

pub use counts::{Counts, count_tests};
pub use desk::{Desk, Fired, Limits, Refused, Turn};
pub use hook::{
    Action, CronTime, Field, GraphSource, Hook, Pattern, Query, SkipIf, Source, Step, Trigger,
};
pub use record::{HookRun, HookRunId, HookState, Status, StepRecord};
pub use shell::quoted_for_shell;
pub use template::{Names, Piece, Scope, Template, text_of};
pub use timing::{Due, next_due};
