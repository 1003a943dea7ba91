//! One try at a task: the steps it goes through, how it may end, and what that means for the next.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{CommitId, ProfileName};
use crate::state::ledger::{Tokens, Usage};
use crate::state::record::PlanFound;
use crate::time::Timestamp;

/// Where a running attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Worktree, branch, instructions, receipt.
    Preparing,
    /// The agent's process is being started.
    Launching,
    /// The agent is being given its task.
    Kickoff,
    /// The agent works.
    Working,
    /// The completion gate runs on the exact commit.
    Gating,
    /// A second agent looks at the change.
    Reviewing,
    /// Logs, outputs and summary are being kept.
    Capturing,
    /// Processes and worktree are being given back.
    TearingDown,
    /// The pull request is being opened.
    PrOpening,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Step; 9] = [
        Step::Preparing,
        Step::Launching,
        Step::Kickoff,
        Step::Working,
        Step::Gating,
        Step::Reviewing,
        Step::Capturing,
        Step::TearingDown,
        Step::PrOpening,
    ];

    /// What people read.
    pub fn word(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Launching => "launching",
            Self::Kickoff => "kickoff",
            Self::Working => "working",
            Self::Gating => "gating",
            Self::Reviewing => "reviewing",
            Self::Capturing => "capturing",
            Self::TearingDown => "tearing down",
            Self::PrOpening => "opening PR",
        }
    }
}

/// Why an attempt failed, in classes that differ in what is done about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The agent said so, or ended with an error.
    AgentFailed,
    /// The gate failed as often as it may.
    GateFailed,
    /// A reviewer or a person rejected the change.
    Rejected,
    /// The agent ended well and left neither commits nor the word that none are needed.
    NothingDone,
    /// A time limit passed.
    TimedOut,
    /// The agent left something in place of a signal that cannot be one.
    InvalidSignal,
    /// The change touches what only a person may let through.
    Protected,
    /// The change does not merge.
    Conflict,
    /// The process was lost: a reboot, a kill from outside.
    Lost,
    /// The attempt could not begin: a missing program, a sandbox that cannot be established.
    CannotStart,
    /// Something outside that usually passes: a network, a lock, a full queue.
    Transient,
    /// The pull request was closed by somebody.
    PrClosed,
    /// Only a person can help: nobody is signed in, an account is empty, a model refuses.
    NeedsHuman,
    /// Taskloom itself failed.
    Internal,
}

/// What is done about a failure while attempts remain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Try again at once; it uses up an attempt.
    Again,
    /// Try again after a wait; it uses up no attempt, below a cap.
    Later,
    /// A person decides.
    AskHuman,
    /// The system is at fault.
    Fatal,
}

/// The three classes of the seeds' `task_finished` event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeClass {
    /// Done.
    Success,
    /// The task failed; the system did not.
    ExpectedFailure,
    /// The system failed.
    InternalError,
}

impl FailureClass {
    /// Every class.
    pub const ALL: [FailureClass; 14] = [
        Self::AgentFailed,
        Self::GateFailed,
        Self::Rejected,
        Self::NothingDone,
        Self::TimedOut,
        Self::InvalidSignal,
        Self::Protected,
        Self::Conflict,
        Self::Lost,
        Self::CannotStart,
        Self::Transient,
        Self::PrClosed,
        Self::NeedsHuman,
        Self::Internal,
    ];

    /// What is done about it while attempts remain.
    pub fn disposition(self) -> Disposition {
        match self {
            Self::AgentFailed
            | Self::GateFailed
            | Self::Rejected
            | Self::NothingDone
            | Self::TimedOut
            | Self::InvalidSignal
            | Self::Conflict => Disposition::Again,
            Self::Transient | Self::Lost => Disposition::Later,
            Self::CannotStart | Self::Protected | Self::PrClosed | Self::NeedsHuman => {
                Disposition::AskHuman
            }
            Self::Internal => Disposition::Fatal,
        }
    }

    /// The class in the seeds' terms.
    pub fn outcome_class(self) -> OutcomeClass {
        match self.disposition() {
            Disposition::Fatal => OutcomeClass::InternalError,
            Disposition::Again | Disposition::Later | Disposition::AskHuman => {
                OutcomeClass::ExpectedFailure
            }
        }
    }

    /// What people read.
    pub fn word(self) -> &'static str {
        match self {
            Self::AgentFailed => "agent failed",
            Self::GateFailed => "gate failed",
            Self::Rejected => "rejected",
            Self::NothingDone => "nothing done",
            Self::TimedOut => "timed out",
            Self::InvalidSignal => "invalid signal",
            Self::Protected => "protected path",
            Self::Conflict => "merge conflict",
            Self::Lost => "process lost",
            Self::CannotStart => "cannot start",
            Self::Transient => "outside trouble",
            Self::PrClosed => "PR closed",
            Self::NeedsHuman => "needs a person",
            Self::Internal => "internal error",
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// Why a task is parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParkReason {
    /// Too many requests.
    RateLimit,
    /// A subscription's window is used up.
    UsageLimit,
    /// A budget is used up.
    Budget,
    /// An operator paused it.
    Operator,
}

impl ParkReason {
    /// What people read.
    pub fn word(self) -> &'static str {
        match self {
            Self::RateLimit => "rate limit",
            Self::UsageLimit => "usage limit",
            Self::Budget => "budget",
            Self::Operator => "by an operator",
        }
    }
}

/// A conversation of an agent that a later process can go on with.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Its name in the agent's own terms.
    pub id: String,
    /// What it has cost so far, in tokens, where the agent only tells the sum.
    #[serde(default)]
    pub tokens: Tokens,
    /// And in US dollars.
    pub usd: f64,
    /// The profile that it belongs to: another one knows nothing of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

/// How an attempt ended, as its runner tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptEnd {
    /// What came of it.
    pub outcome: AttemptOutcome,
    /// What the agent says it did.
    pub summary: Option<Box<str>>,
    /// What it says that others should know.
    pub learned: Vec<String>,
    /// Doubts that were raised, of this attempt alone.
    pub concerns: Vec<Concern>,
    /// What it cost.
    pub usage: Usage,
    /// The conversation that the next attempt can go on with.
    pub session: Option<Box<Session>>,
    /// The plan that it left.
    pub plan: Option<Box<PlanFound>>,
}

impl AttemptEnd {
    /// An end of which nothing is known but what came of it.
    pub fn bare(outcome: AttemptOutcome) -> Self {
        Self {
            outcome,
            summary: None,
            learned: Vec::new(),
            concerns: Vec::new(),
            usage: Usage::default(),
            session: None,
            plan: None,
        }
    }
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum AttemptOutcome {
    /// A verified commit to merge.
    Proposed(Proposal),
    /// Nothing to merge, rightly.
    NoChanges,
    /// It failed; `kept` is the commit under which the work so far was saved, if there was any.
    Failed {
        /// Why, for the machine.
        class: FailureClass,
        /// Why, for people: a sentence, then perhaps lines of output.
        message: Box<str>,
        /// The work so far.
        kept: Option<CommitId>,
    },
    /// It cannot go on before `until`.
    Parked {
        /// Whose limit is reached.
        whose: Party,
        /// When it can, if that is known.
        until: Option<Timestamp>,
        /// Why.
        why: ParkReason,
        /// The work so far.
        kept: Option<CommitId>,
    },
    /// It was ended on request; `kept` as for `Failed`.
    Stopped {
        /// The work so far.
        kept: Option<CommitId>,
    },
}

/// An agent that has a part in an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Party {
    /// The one that does the task.
    Doer,
    /// The one that looks at its work, and its profile, if it has one.
    Reviewer(Option<ProfileName>),
}

impl AttemptOutcome {
    /// The agent did what it was to do.
    pub fn is_well(&self) -> bool {
        matches!(self, Self::Proposed(_) | Self::NoChanges)
    }
}

/// A verified commit that is ready to be merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The head of the task branch.
    pub commit: CommitId,
    /// Where the task branch was cut from.
    pub base: CommitId,
    /// Commits between them.
    pub commits: u32,
    /// Files changed.
    pub files: u32,
    /// Lines added.
    pub insertions: u32,
    /// Lines removed.
    pub deletions: u32,
    /// What in it only a person may let through, one phrase each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub protected: Vec<String>,
    /// What the engine itself ran on the commit.
    pub evidence: Option<Evidence>,
}

/// A gate or check that the engine itself ran, and that passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The command.
    pub command: String,
    /// The commit it ran on.
    pub commit: CommitId,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// Which run of the gate it was in its attempt, from 1.
    pub round: u32,
}

/// A doubt that was raised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concern {
    /// About what.
    pub kind: ConcernKind,
    /// In which attempt.
    pub attempt: u32,
    /// The words.
    pub text: String,
}

/// What a concern is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConcernKind {
    /// The design: stops an auto-merge.
    Design,
    /// Tools or environment.
    Ops,
}
