//! The life of a run: open until nothing can go on without a person, then settled with an outcome
//! that is computed over every task and every lane.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::state::IllegalTransition;

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Something goes on or can go on by itself.
    Open,
    /// Nothing goes on by itself.
    Settled {
        /// What came of it so far.
        outcome: Outcome,
    },
}

/// What came of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every task ended well, and every lane is merged or waits only for a person.
    Succeeded,
    /// Work remains that waits for a person to approve or merge something.
    AwaitingMerge,
    /// Something failed, or never ran.
    CompletedWithFailures,
    /// Taskloom itself failed.
    FatalInternalError,
    /// Given up by a person.
    Cancelled,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Outcome; 5] = [
        Self::Succeeded,
        Self::AwaitingMerge,
        Self::CompletedWithFailures,
        Self::FatalInternalError,
        Self::Cancelled,
    ];

    /// The exit code of the command line.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Succeeded => 0,
            Self::AwaitingMerge => 3,
            Self::CompletedWithFailures => 1,
            Self::FatalInternalError => 2,
            Self::Cancelled => 130,
        }
    }

    /// What people read.
    pub fn word(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::AwaitingMerge => "awaiting merge",
            Self::CompletedWithFailures => "completed with failures",
            Self::FatalInternalError => "fatal internal error",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What may happen to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunEvent {
    /// Nothing goes on by itself any more.
    Settled {
        /// What came of it.
        outcome: Outcome,
    },
    /// A person set something going again.
    Reopened,
}

impl RunState {
    /// Returns the state after `event`, or why that cannot be.
    pub fn next(self, event: RunEvent) -> Result<RunState, IllegalTransition> {
        match (self, event) {
            (Self::Open, RunEvent::Settled { outcome }) => Ok(Self::Settled { outcome }),
            (Self::Settled { outcome }, RunEvent::Reopened) if outcome != Outcome::Cancelled => {
                Ok(Self::Open)
            }
            (state, event) => Err(IllegalTransition::new("run", state, event)),
        }
    }

    /// The outcome, once settled.
    pub fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Open => None,
            Self::Settled { outcome } => Some(outcome),
        }
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.pad("open"),
            Self::Settled { outcome } => f.pad(outcome.word()),
        }
    }
}

impl fmt::Display for RunEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Settled { .. } => "settled",
            Self::Reopened => "reopened",
        })
    }
}
