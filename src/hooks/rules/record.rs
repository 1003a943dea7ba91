//! What is kept of hooks: how each stands, and every run of it.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{HookName, ProjectId};
use crate::time::Timestamp;

/// The number of a run of a hook. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HookRunId(pub i64);

impl fmt::Display for HookRunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Where a run of a hook stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It waits for its turn.
    Queued,
    /// Its steps are being done.
    Running,
    /// All were done.
    Succeeded,
    /// A step found that there is nothing to do.
    Skipped,
    /// A step went wrong.
    Failed,
    /// It was never begun.
    Dropped,
    /// The process ended while it ran.
    Lost,
}

impl Status {
    /// What people read.
    pub fn word(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
            Self::Lost => "lost",
        }
    }

    /// Whether something still comes.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Running)
    }
}

/// What came of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// What it did: `shell`.
    pub action: String,
    /// How long it took.
    pub took_ms: u64,
    /// Its result, the longest texts cut.
    pub result: Value,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One run of a hook, or what was dropped instead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HookRun {
    /// Its number.
    pub id: HookRunId,
    /// Of which hook.
    pub hook: HookName,
    /// What it is made for: the same thing sets the same hook off once.
    pub key: String,
    /// What set it off, for people.
    pub trigger: String,
    /// What set it off, for its steps.
    pub event: Value,
    /// In which project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectId>,
    /// How many hooks led to it, one after another.
    pub depth: u32,
    /// Where it stands.
    pub status: Status,
    /// When it was set off.
    pub created_at: Timestamp,
    /// When its first step began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Why it ended as it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// How many it stands for, where many were dropped.
    #[serde(default = "one")]
    pub count: u64,
    /// What came of its steps.
    #[serde(default)]
    pub steps: Vec<StepRecord>,
    /// The runs that it submitted: `shop:inbox/3`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<String>,
    /// What those used so far; counted by whoever asks.
    #[serde(default)]
    pub tokens: u64,
}

fn one() -> u64 {
    1
}

/// How a hook stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookState {
    /// Up to when its times are done with.
    pub handled_at: Timestamp,
    /// When it was set off last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fired_at: Option<Timestamp>,
    /// Lines of the journal up to this are not its business.
    pub since_seq: u64,
    /// Switched on or off by a person, whatever is written down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// How often it was not set off: within its cooldown, or because one waited already.
    #[serde(default)]
    pub held_back: u64,
    /// How often it should have run and was dropped.
    #[serde(default)]
    pub dropped: u64,
}
