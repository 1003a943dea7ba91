//! The life of a task: its states, its events and the one table that joins them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::graph::TaskIx;
use crate::state::IllegalTransition;
use crate::state::attempt::{FailureClass, ParkReason, Step};
use crate::time::Timestamp;

/// Where a task stands. What belongs to a state but does not steer it (a commit, a message, who
/// skipped it) is kept beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Waits for dependencies or for a lane to be merged.
    Defined,
    /// Could run; waits for a place or a moment.
    Ready,
    /// An attempt is under way.
    Running {
        /// Which, from 0.
        attempt: u32,
        /// Where it stands.
        step: Step,
    },
    /// The agent has asked a person.
    WaitingInput {
        /// Which, from 0.
        attempt: u32,
    },
    /// Parked; the attempt's session goes on later.
    Paused {
        /// When, if that is known.
        until: Option<Timestamp>,
        /// Why.
        why: ParkReason,
    },
    /// Its pull request is open and waits for its turn to merge.
    PrCreated {
        /// Which, from 0.
        attempt: u32,
    },
    /// Its pull request waits for a person.
    AwaitingApproval {
        /// Which, from 0.
        attempt: u32,
    },
    /// Its pull request is being merged.
    Merging {
        /// Which, from 0.
        attempt: u32,
    },
    /// Its work is done, and a person is to decide about the plan that it left.
    AwaitingPlanApproval {
        /// Whether there were commits, which are merged.
        merged: bool,
    },
    /// Done, with commits.
    Merged,
    /// Done, without commits.
    Completed,
    /// Out of attempts, or beyond help.
    Failed {
        /// Why.
        class: FailureClass,
    },
    /// Cannot run because of something that a person may change.
    Blocked {
        /// What.
        on: BlockedOn,
    },
    /// Passed over by a person.
    Skipped,
    /// Given up by a person.
    Cancelled,
    /// Was done; something it builds on was reworked.
    Stale,
}

/// What a blocked task is blocked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockedOn {
    /// A task upstream that failed, was cancelled or was stopped.
    Task(TaskIx),
    /// An operator stopped it.
    Operator,
}

/// What may happen to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskEvent {
    /// Everything it waits for is there.
    Opened,
    /// Something it waits for was taken back.
    Closed,
    /// An attempt begins.
    Started {
        /// Which, from 0.
        attempt: u32,
    },
    /// The attempt came to another step.
    Stepped {
        /// Which.
        step: Step,
    },
    /// The agent asks a person.
    Asked,
    /// The person answered.
    Answered,
    /// The agent cannot go on for now.
    Parked {
        /// Until when, if that is known.
        until: Option<Timestamp>,
        /// Why.
        why: ParkReason,
    },
    /// It can go on.
    Unparked,
    /// Its pull request is open.
    PrOpened,
    /// A person must approve.
    ApprovalAsked,
    /// Enough people approved.
    Approved,
    /// The merge queue has come to it.
    MergeBegun,
    /// The merge must wait after all.
    MergePostponed,
    /// Merged, by the engine or by somebody.
    Merged,
    /// Its work is done, and what it planned needs a person.
    PlanAsked,
    /// Ended well with nothing to merge.
    Completed,
    /// It will be tried again.
    Retried,
    /// It failed for good.
    Failed {
        /// Why.
        class: FailureClass,
    },
    /// It cannot run.
    Blocked {
        /// Because of what.
        on: BlockedOn,
    },
    /// What blocked it is gone.
    Released,
    /// A person passes over it.
    Skipped,
    /// A person gives it up.
    Cancelled,
    /// Something it builds on is being reworked.
    Outdated,
    /// A person took its result back.
    Undone,
}

impl TaskState {
    /// Returns the state after `event`, or why that cannot be.
    // tidy: flat match
    pub fn next(self, event: TaskEvent) -> Result<TaskState, IllegalTransition> {
        use TaskEvent as E;
        use TaskState as S;
        let next = match (self, event) {
            (S::Defined, E::Opened) => S::Ready,
            (S::Ready, E::Closed) => S::Defined,
            (S::Ready, E::Started { attempt }) => S::Running { attempt, step: Step::Preparing },
            (S::Running { attempt, .. }, E::Stepped { step }) => S::Running { attempt, step },
            (S::Running { attempt, .. }, E::Asked) => S::WaitingInput { attempt },
            (S::WaitingInput { attempt }, E::Answered) => {
                S::Running { attempt, step: Step::Working }
            }
            (
                S::Defined
                | S::Ready
                | S::Running { .. }
                | S::WaitingInput { .. }
                | S::Paused { .. },
                E::Parked { until, why },
            ) => S::Paused { until, why },
            (S::Paused { .. }, E::Unparked) => S::Ready,
            (S::Running { attempt, .. }, E::PrOpened) => S::PrCreated { attempt },
            (S::PrCreated { attempt }, E::ApprovalAsked) => S::AwaitingApproval { attempt },
            (S::AwaitingApproval { attempt }, E::Approved) => S::PrCreated { attempt },
            (S::PrCreated { attempt }, E::MergeBegun) => S::Merging { attempt },
            (S::Merging { attempt }, E::MergePostponed) => S::PrCreated { attempt },
            (S::AwaitingPlanApproval { .. } | S::Merged | S::Completed | S::Stale, E::Undone) => {
                S::Blocked { on: BlockedOn::Operator }
            }
            (S::Running { .. }, E::PlanAsked) => S::AwaitingPlanApproval { merged: false },
            (
                S::PrCreated { .. } | S::AwaitingApproval { .. } | S::Merging { .. },
                E::PlanAsked,
            ) => S::AwaitingPlanApproval { merged: true },
            (S::AwaitingPlanApproval { merged: true }, E::Merged) => S::Merged,
            (S::AwaitingPlanApproval { merged: false }, E::Completed) => S::Completed,
            (S::PrCreated { .. } | S::AwaitingApproval { .. } | S::Merging { .. }, E::Merged) => {
                S::Merged
            }
            (S::Running { .. }, E::Completed) => S::Completed,
            (
                S::Running { .. }
                | S::WaitingInput { .. }
                | S::PrCreated { .. }
                | S::AwaitingApproval { .. }
                | S::Merging { .. }
                | S::AwaitingPlanApproval { .. }
                | S::Failed { .. }
                | S::Blocked { on: BlockedOn::Operator }
                | S::Cancelled
                | S::Stale,
                E::Retried,
            ) => S::Ready,
            (
                S::Running { .. }
                | S::WaitingInput { .. }
                | S::Paused { .. }
                | S::PrCreated { .. }
                | S::AwaitingApproval { .. }
                | S::Merging { .. },
                E::Failed { class },
            ) => S::Failed { class },
            (S::Defined | S::Ready, E::Blocked { on }) => S::Blocked { on },
            (S::Blocked { on: BlockedOn::Task(_) }, E::Blocked { on: on @ BlockedOn::Task(_) }) => {
                S::Blocked { on }
            }
            (
                S::Running { .. }
                | S::WaitingInput { .. }
                | S::Paused { .. }
                | S::PrCreated { .. }
                | S::AwaitingApproval { .. },
                E::Blocked { on: on @ BlockedOn::Operator },
            ) => S::Blocked { on },
            (S::Blocked { on: BlockedOn::Task(_) }, E::Released) => S::Defined,
            (
                S::Defined
                | S::Ready
                | S::Paused { .. }
                | S::AwaitingApproval { .. }
                | S::Failed { .. }
                | S::Blocked { .. }
                | S::Cancelled
                | S::Stale,
                E::Skipped,
            ) => S::Skipped,
            (
                S::Defined
                | S::Ready
                | S::Running { .. }
                | S::WaitingInput { .. }
                | S::Paused { .. }
                | S::PrCreated { .. }
                | S::AwaitingApproval { .. }
                | S::AwaitingPlanApproval { .. }
                | S::Blocked { .. }
                | S::Stale,
                E::Cancelled,
            ) => S::Cancelled,
            (
                S::AwaitingPlanApproval { .. } | S::Merged | S::Completed | S::Skipped,
                E::Outdated,
            ) => S::Stale,
            (state, event) => return Err(IllegalTransition::new("task", state, event)),
        };
        Ok(next)
    }

    /// Ended well: dependents need not wait for it.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Merged | Self::Completed | Self::Skipped)
    }

    /// Its own work is done, and stands.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Merged | Self::Completed)
    }

    /// Ended in a way that stops its dependents until a person acts.
    pub fn is_dead_end(self) -> bool {
        matches!(
            self,
            Self::Failed { .. } | Self::Cancelled | Self::Blocked { on: BlockedOn::Operator }
        )
    }

    /// The attempt under way or just proposed, if there is one.
    pub fn attempt(self) -> Option<u32> {
        match self {
            Self::Running { attempt, .. }
            | Self::WaitingInput { attempt }
            | Self::PrCreated { attempt }
            | Self::AwaitingApproval { attempt }
            | Self::Merging { attempt } => Some(attempt),
            Self::Defined
            | Self::Ready
            | Self::Paused { .. }
            | Self::AwaitingPlanApproval { .. }
            | Self::Merged
            | Self::Completed
            | Self::Failed { .. }
            | Self::Blocked { .. }
            | Self::Skipped
            | Self::Cancelled
            | Self::Stale => None,
        }
    }

    /// The attempt whose pull request is open.
    pub fn pull(self) -> Option<u32> {
        let open = matches!(
            self,
            Self::PrCreated { .. } | Self::AwaitingApproval { .. } | Self::Merging { .. }
        );
        self.attempt().filter(|_| open)
    }

    /// One word for people and columns.
    pub fn word(self) -> &'static str {
        match self {
            Self::Defined => "defined",
            Self::Ready => "ready",
            Self::Running { step: Step::PrOpening, .. } => "opening PR",
            Self::Running { .. } => "running",
            Self::WaitingInput { .. } => "asks you",
            Self::Paused { .. } => "paused",
            Self::PrCreated { .. } => "in merge queue",
            Self::AwaitingApproval { .. } => "awaits approval",
            Self::Merging { .. } => "merging",
            Self::AwaitingPlanApproval { .. } => "awaits plan approval",
            Self::Merged => "merged",
            Self::Completed => "completed",
            Self::Failed { .. } => "failed",
            Self::Blocked { on: BlockedOn::Task(_) } => "blocked",
            Self::Blocked { on: BlockedOn::Operator } => "stopped",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
            Self::Stale => "stale",
        }
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Running { attempt, step } = self {
            write!(f, "running (attempt {}, {})", attempt + 1, step.word())
        } else if let Self::Paused { why, .. } = self {
            write!(f, "paused ({})", why.word())
        } else if let Self::Failed { class } = self {
            write!(f, "failed ({class})")
        } else {
            f.pad(self.word())
        }
    }
}

impl fmt::Display for TaskEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self {
            Self::Opened => "opened",
            Self::Closed => "closed",
            Self::Started { .. } => "started",
            Self::Stepped { .. } => "stepped",
            Self::Asked => "asked",
            Self::Answered => "answered",
            Self::Parked { .. } => "parked",
            Self::Unparked => "unparked",
            Self::PrOpened => "pr opened",
            Self::ApprovalAsked => "approval asked",
            Self::Approved => "approved",
            Self::MergeBegun => "merge begun",
            Self::MergePostponed => "merge postponed",
            Self::Merged => "merged",
            Self::PlanAsked => "plan asked",
            Self::Completed => "completed",
            Self::Retried => "retried",
            Self::Failed { .. } => "failed",
            Self::Blocked { on: BlockedOn::Task(_) } => "blocked by task",
            Self::Blocked { on: BlockedOn::Operator } => "stopped",
            Self::Released => "released",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
            Self::Outdated => "outdated",
            Self::Undone => "undone",
        };
        f.pad(word)
    }
}
