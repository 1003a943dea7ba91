//! What people may ask of the engine, and what it answers.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::graph::Graph;
use crate::ids::{CommitId, LaneId, ProfileName, ProjectId, RunId, RunName, TaskId};
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

/// What becomes of the results of a run whose graph is submitted again, changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resubmission {
    /// The run that is gone on from.
    pub of: RunName,
    /// Tasks whose results are kept.
    pub kept: Vec<TaskId>,
    /// Tasks that had succeeded and are done again, since they or something below them changed.
    pub again: Vec<TaskId>,
    /// What changed in the graph, in short.
    pub changes: String,
}

impl fmt::Display for Resubmission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let results = match self.kept.len() {
            1 => "1 result is kept".to_owned(),
            n => format!("{n} results are kept"),
        };
        write!(f, "goes on from {}: {results}", self.of)?;
        match self.again.len() {
            0 => {}
            1 => write!(f, ", `{}` is done again", self.again[0])?,
            n => write!(f, ", {n} are done again")?,
        }
        write!(f, " ({})", self.changes)
    }
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

/// How a task goes on whose budget is used up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Allowance {
    /// With a quarter more.
    More,
    /// With a little more, to come to an end.
    FinishUp,
    /// With a quarter more, by another agent.
    Switch {
        /// Whose profile.
        profile: ProfileName,
    },
}

/// What becomes of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnPlan {
    /// Its steps become tasks of the run, before everything that waits for who planned them.
    Approve,
    /// It is put into other words, and shown again.
    Edit {
        /// All of it.
        text: String,
    },
    /// Its agent makes another one.
    Change {
        /// What is to be different.
        note: String,
    },
    /// Nothing comes of it.
    Discard,
}

/// What is taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// The last merge into a lane.
    Task {
        /// Whose.
        task: TaskId,
    },
    /// Everything that was merged into its lane after a task.
    After {
        /// Which.
        task: TaskId,
    },
    /// Everything that was merged into a lane; what is in the target already is reverted.
    Lane {
        /// Which.
        lane: LaneId,
    },
    /// A lane with its branches and pull requests.
    TearDown {
        /// Which.
        lane: LaneId,
    },
    /// Everything; the run is given up.
    Run,
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
        /// Also try again what builds on it and is at a dead end or stale.
        #[serde(default)]
        downstream: bool,
    },
    /// Do a task that has succeeded again, on top of what is merged. What builds on it and has
    /// succeeded too is stale: a person decides about each.
    Rewind {
        /// Which.
        task: TaskId,
        /// What the next attempt should know.
        note: Option<String>,
        /// Do what is stale by it again as well.
        #[serde(default)]
        downstream: bool,
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
    /// Start nothing new in the run; or park one task, whose attempt is ended.
    Pause {
        /// Which task; `None`: the run.
        #[serde(default)]
        task: Option<TaskId>,
    },
    /// Go on.
    Resume {
        /// With which task; `None`: the run.
        #[serde(default)]
        task: Option<TaskId>,
    },
    /// Start a task before or after others.
    Reprioritise {
        /// Which.
        task: TaskId,
        /// Its priority from now on: lower goes first.
        priority: i32,
    },
    /// Let a pull request through.
    Approve {
        /// Which.
        target: Target,
        /// The commit that the person was shown; refused if it is another one now. `None`: as it
        /// is now.
        #[serde(default)]
        commit: Option<CommitId>,
    },
    /// Send a pull request back with a note.
    Reject {
        /// Which.
        target: Target,
        /// The commit that the person was shown, as in [`Verb::Approve`].
        #[serde(default)]
        commit: Option<CommitId>,
        /// Why.
        note: Option<String>,
    },
    /// Decide about the plan that a task left.
    Plan {
        /// Which task's.
        task: TaskId,
        /// What.
        what: OnPlan,
        /// The digest of the plan that the person was shown; refused if it is another one now.
        /// `None`: as it is now.
        #[serde(default)]
        shown: Option<String>,
    },
    /// Answer an agent's question.
    Answer {
        /// Which task's agent.
        task: TaskId,
        /// The answer.
        text: String,
    },
    /// Have a task go on whose budget is used up.
    Allow {
        /// Which.
        task: TaskId,
        /// How.
        how: Allowance,
    },
    /// Take back what was merged.
    Undo {
        /// What.
        what: Undo,
    },
    /// Put a run away that has come to rest: it leaves lists and choices, and nothing else changes.
    Archive,
    /// Bring a run back that was put away. Nothing runs again by that.
    Restore,
    /// Tell an agent something while it works. An agent that takes no messages, or has ended, is
    /// told in its next attempt.
    Steer {
        /// Which task's agent.
        task: TaskId,
        /// What.
        text: String,
    },
}

impl Verb {
    /// Whether a run that has come to rest may go on by it.
    pub(crate) fn sets_going(&self) -> bool {
        match self {
            Self::Pause { .. }
            | Self::Reprioritise { .. }
            | Self::Steer { .. }
            | Self::Plan { what: OnPlan::Edit { .. }, .. }
            | Self::Archive
            | Self::Restore => false,
            Self::Retry { .. }
            | Self::Rewind { .. }
            | Self::Skip { .. }
            | Self::Stop { .. }
            | Self::Cancel { .. }
            | Self::Resume { .. }
            | Self::Approve { .. }
            | Self::Reject { .. }
            | Self::Plan { .. }
            | Self::Undo { .. }
            | Self::Allow { .. }
            | Self::Answer { .. } => true,
        }
    }
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

/// What an operator asks of everything, or of a project. Asking twice is asking once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub enum GlobalVerb {
    /// Start nothing new, also after a restart, until it is resumed.
    Pause {
        /// In which project; `None`: in all.
        project: Option<ProjectId>,
    },
    /// Go on.
    Resume {
        /// With which project; `None`: with everything, also after a drain or in safe mode.
        project: Option<ProjectId>,
    },
    /// Allow a quarter more of a budget within its window.
    Allow {
        /// Of which project; `None`: of everything.
        project: Option<ProjectId>,
    },
    /// Set a project up, or change what is set for it.
    SetProject {
        /// As it is to be.
        project: Box<ProjectRecord>,
    },
    /// Forget what is remembered of a task.
    Forget {
        /// The number of the memory.
        id: i64,
    },
    /// Start nothing new in this process; what runs goes on.
    Drain,
    /// Drain, then end what still runs so that a later process goes on with it, then end.
    Shutdown {
        /// How long what runs may go on.
        within: Duration,
    },
}

/// A verb on everything or on a project, by somebody.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GlobalCommand {
    /// Who asks.
    pub who: String,
    /// What.
    pub verb: GlobalVerb,
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
    /// Branches that are moved by it, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<String>,
}

/// What a command comes to.
pub type Answer = Result<Receipt, Failure>;
