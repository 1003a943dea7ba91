//! What is stored, and how it may change: one total table per machine, and the entries of the
//! journal that record every change. No clock, no I/O; shown status is derived elsewhere.

mod attempt;
mod effect;
mod hold;
mod journal;
mod lane;
mod ledger;
mod record;
mod run;
mod task;

use std::fmt;

pub use attempt::{
    AttemptEnd, AttemptOutcome, Concern, ConcernKind, Disposition, Evidence, FailureClass,
    OutcomeClass, ParkReason, Party, Proposal, Session, Step,
};
pub use effect::{Effect, EffectKey, Verb};
pub use hold::{BudgetState, Cooldown, Hold, Holds};
pub use journal::{Entry, Subject, What};
pub use lane::{LaneEvent, LaneFailure, LaneState};
pub use ledger::{LAST_TURN, LedgerLine, LedgerSum, Spent, Tokens, Usage};
pub use record::{
    After, Answer, Approval, AttemptRecord, Attention, Booked, ByHand, Decision, Delivered, Ending,
    Growth, HookOrigin, LaneCheck, LaneRecord, Memory, MemoryPlace, MergeMethod, Moving, Objection,
    OverBudget, Part, PlanDecision, PlanFound, PlanReader, PlanReading, PlanRecord, ProjectRecord,
    ProjectSettings, PullNews, PullStanding, Question, Remembered, RunOptions, RunRecord,
    SILENCE_FROM, Steer, TaskFailure, TaskMore, TaskRecord, Told, Watched, Weight,
};
pub use run::{Outcome, RunEvent, RunState};
pub use task::{BlockedOn, TaskEvent, TaskState};

/// An event that a machine's table does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{subject} is {from} and cannot take `{event}`")]
pub struct IllegalTransition {
    /// Which machine: `task`, `lane` or `run`.
    pub subject: &'static str,
    /// The state it is in.
    pub from: String,
    /// The event that was tried.
    pub event: String,
}

impl IllegalTransition {
    fn new(subject: &'static str, from: impl fmt::Display, event: impl fmt::Display) -> Self {
        Self { subject, from: from.to_string(), event: event.to_string() }
    }
}
