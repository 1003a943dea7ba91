//! What a person may want to know, as data: never how it looks.

use serde::{Deserialize, Serialize};

use crate::ids::{LaneId, ProfileName, ProjectId, RunName, TaskId};
use crate::time::Timestamp;

/// Something that a person may want to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The journal's line that it is about, or [`Notice::beside`]: a number that is never used
    /// twice.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub kind: NoticeKind,
    /// In which project.
    pub project: ProjectId,
    /// In which of its runs, if in one.
    pub run: Option<RunName>,
    /// On which task, if on one.
    pub task: Option<TaskId>,
    /// On which lane, if on one.
    pub lane: Option<LaneId>,
    /// One sentence.
    pub title: String,
    /// More: the first useful lines of a message, what is blocked.
    pub lines: Vec<String>,
    /// What the person may do about it, most likely first.
    pub asks: Vec<Ask>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// A task failed for good.
    TaskFailed,
    /// An agent asks a question.
    Question,
    /// A pull request waits for approval.
    Approval,
    /// A task left a plan that waits for approval.
    Plan,
    /// A lane was merged, and perhaps delivered to the user's repository.
    LaneMerged,
    /// A lane cannot be merged.
    LaneFailed,
    /// The run came to rest.
    RunSettled,
    /// Most of a budget is used up.
    BudgetWarning,
    /// A task is paused because a budget is used up.
    Budget,
    /// The limit of a task's agent is reset, and somebody must say that it goes on.
    LimitReset,
    /// The daemon came back after a stop or a crash.
    Restarted,
    /// The daemon ended too often and starts nothing.
    SafeMode,
    /// What a hook has to say.
    Hook,
    /// Something has waited too long.
    Stuck,
}

impl Notice {
    /// A number for a notice that is about no line of the journal; none of its lines has it.
    pub fn beside(number: u64) -> u64 {
        (1 << 62) + number
    }
}

impl NoticeKind {
    /// Whether it waits for a person.
    pub fn needs_person(self) -> bool {
        match self {
            Self::TaskFailed
            | Self::Question
            | Self::Approval
            | Self::Plan
            | Self::LaneFailed
            | Self::Budget
            | Self::LimitReset
            | Self::SafeMode
            | Self::Stuck => true,
            Self::LaneMerged
            | Self::RunSettled
            | Self::BudgetWarning
            | Self::Restarted
            | Self::Hook => false,
        }
    }
}

/// What a person may do about a notice; every surface has its own way to offer it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Try again.
    Retry,
    /// Pass over.
    Skip,
    /// Look at the logs.
    Logs,
    /// Let it through.
    Approve,
    /// Do not let it through.
    Reject,
    /// Let a plan become tasks.
    ApprovePlan,
    /// Put a plan into other words.
    EditPlan,
    /// Send a plan back to its agent.
    ChangePlan,
    /// Go on without what was planned.
    DiscardPlan,
    /// Answer a question, with choices if there are any.
    Answer(Vec<String>),
    /// Allow a quarter more of the budget.
    More,
    /// Have the agent come to an end with a little more.
    FinishUp,
    /// Have another agent go on; these are there.
    Switch(Vec<ProfileName>),
    /// Do not go on.
    Stop,
    /// Go on.
    Resume,
}
