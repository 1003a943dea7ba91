//! What a person is shown when something cannot be done: whose move it is, one sentence, hints.
//!
//! Modules keep their own typed errors; they become a [`Failure`] only at the edge.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Whose move it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The request cannot be done as it was made.
    User,
    /// The configuration or the machine's set-up is wrong.
    Config,
    /// Something outside did not do its part: a disk, git, a network.
    Outside,
    /// Taskloom itself is wrong.
    Bug,
}

/// One sentence that says what is wrong and where, and hints that say what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Whose move it is.
    pub kind: Kind,
    /// A sentence without a full stop.
    pub message: String,
    /// What to do, most likely first.
    pub hints: Vec<String>,
}

impl Failure {
    /// A request that cannot be done as it was made.
    pub fn user(message: impl Into<String>) -> Self {
        Self::new(Kind::User, message)
    }

    /// A wrong configuration or set-up.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(Kind::Config, message)
    }

    /// Something outside failed.
    pub fn outside(message: impl Into<String>) -> Self {
        Self::new(Kind::Outside, message)
    }

    /// A defect of Taskloom.
    pub fn bug(message: impl Into<String>) -> Self {
        Self::new(Kind::Bug, message)
    }

    /// Of `kind`, without hints.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hints: Vec::new() }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for hint in &self.hints {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
