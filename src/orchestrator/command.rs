//! What people may ask of the engine, and what it answers.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::graph::Graph;
use crate::ids::{LaneId, RunId, RunName, TaskId};
use crate::state::{ProjectRecord, RunOptions};

/// A graph to be run.
#[derive(Debug)]
pub struct Submission {
    /// On which repository.
    pub project: ProjectRecord,
    /// What.
    pub graph: Graph,
    /// The graph's file, byte for byte.
    pub source: String,
    /// What the submitter sets above the graph.
    pub options: RunOptions,
    /// Who.
    pub submitter: String,
}

/// A run that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Submitted {
    /// Its number in the store.
    pub run: RunId,
    /// How people name it.
    pub name: RunName,
}

/// A lane or a task, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// A task.
    Task(TaskId),
    /// A lane.
    Lane(LaneId),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Task(id) => write!(f, "task `{id}`"),
            Self::Lane(id) => write!(f, "lane `{id}`"),
        }
    }
}

/// What an operator asks about a run. Asking twice is asking once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum Verb {
    /// Try a failed, stopped or cancelled task, or a failed lane, again.
    Retry {
        /// What.
        target: Target,
        /// What the next attempt should know.
        note: Option<String>,
        /// Start over, without the work so far.
        fresh: bool,
    },
    /// Pass over a task; dependents go on without it.
    Skip {
        /// Which.
        task: TaskId,
        /// Why.
        reason: Option<String>,
    },
    /// End the attempt under way; the task waits for a retry.
    Stop {
        /// Which.
        task: TaskId,
    },
    /// Give up a task, or the whole run.
    Cancel {
        /// Which; `None`: the run.
        task: Option<TaskId>,
    },
    /// Start nothing new in the run.
    Pause,
    /// Go on.
    Resume,
    /// Let a pull request through, as it is now.
    Approve {
        /// Which.
        target: Target,
    },
    /// Send a pull request back with a note.
    Reject {
        /// Which.
        target: Target,
        /// Why.
        note: Option<String>,
    },
    /// Answer an agent's question.
    Answer {
        /// Which task's agent.
        task: TaskId,
        /// The answer.
        text: String,
    },
}

/// A verb on a run by somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Which run.
    pub run: RunId,
    /// Who asks.
    pub who: String,
    /// What.
    pub verb: Verb,
    /// Only say what it would do.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a command did, or would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// One sentence.
    pub sentence: String,
    /// Tasks that it affects besides the named one.
    pub affected: Vec<TaskId>,
    /// Whether anything changed.
    pub changed: bool,
}

/// What a command comes to.
pub type Answer = Result<Receipt, Failure>;
