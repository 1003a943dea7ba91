//! The life of a lane: from its integration branch to its merge into the target.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::state::IllegalTransition;

/// Where a lane stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneState {
    /// Has no integration branch yet.
    Pending,
    /// Has one; its tasks may run.
    Active,
    /// All its tasks succeeded and all its child lanes are merged.
    MergeReady,
    /// Its merge result is being computed and its checks run on it.
    Checking,
    /// Its pull request is open.
    PrCreated,
    /// Its pull request waits for a person.
    AwaitingApproval,
    /// Its pull request is being merged.
    Merging,
    /// In its target.
    Merged,
    /// Cannot be merged until somebody acts.
    Failed {
        /// Why.
        why: LaneFailure,
    },
    /// Undone by a person.
    Reset,
}

/// Why a lane failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneFailure {
    /// Its integration branch could not be made.
    Prepare,
    /// A task or child lane of it failed for good.
    Task,
    /// It does not merge into its target.
    Conflict,
    /// A check failed on the merge result.
    Check,
    /// The forge failed.
    Forge,
    /// Somebody closed its pull request or rejected it.
    Closed,
}

impl LaneFailure {
    /// Every reason.
    pub const ALL: [LaneFailure; 6] =
        [Self::Prepare, Self::Task, Self::Conflict, Self::Check, Self::Forge, Self::Closed];

    /// What people read.
    pub fn word(self) -> &'static str {
        match self {
            Self::Prepare => "cannot be prepared",
            Self::Task => "task failed",
            Self::Conflict => "merge conflict",
            Self::Check => "check failed",
            Self::Forge => "forge trouble",
            Self::Closed => "rejected",
        }
    }
}

/// What may happen to a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneEvent {
    /// Its integration branch is there.
    Prepared,
    /// Everything in it succeeded.
    Finished,
    /// Something in it is being worked on again.
    Reopened,
    /// Its merge result is being checked.
    CheckBegun,
    /// Its pull request is open.
    PrOpened,
    /// A person must approve.
    ApprovalAsked,
    /// Enough people approved, or nobody needs to.
    MergeBegun,
    /// The target, or its own branch, moved: the merge result must be checked again.
    TargetMoved,
    /// The forge did not merge it when it was told to.
    MergePostponed,
    /// In its target.
    Merged,
    /// It holds nothing that its target lacks.
    IntegrationSkipped,
    /// It cannot be merged.
    Failed {
        /// Why.
        why: LaneFailure,
    },
    /// It will be tried again.
    Retried,
    /// A person undoes it.
    Reset,
}

impl LaneState {
    /// Returns the state after `event`, or why that cannot be.
    pub fn next(self, event: LaneEvent) -> Result<LaneState, IllegalTransition> {
        use LaneEvent as E;
        use LaneState as S;
        let next = match (self, event) {
            (S::Pending, E::Prepared) => S::Active,
            (S::Active, E::Finished) => S::MergeReady,
            (
                S::MergeReady | S::Checking | S::PrCreated | S::AwaitingApproval | S::Failed { .. },
                E::Reopened,
            ) => S::Active,
            (S::MergeReady, E::CheckBegun) => S::Checking,
            (S::Checking, E::PrOpened) => S::PrCreated,
            (S::PrCreated, E::ApprovalAsked) => S::AwaitingApproval,
            (S::PrCreated | S::AwaitingApproval, E::MergeBegun) => S::Merging,
            (S::PrCreated | S::AwaitingApproval | S::Merging, E::TargetMoved) => S::Checking,
            (S::Merging, E::MergePostponed) => S::PrCreated,
            (S::PrCreated | S::AwaitingApproval | S::Merging, E::Merged) => S::Merged,
            (S::Checking, E::IntegrationSkipped) => S::Merged,
            (
                S::Pending
                | S::Active
                | S::MergeReady
                | S::Checking
                | S::PrCreated
                | S::AwaitingApproval
                | S::Merging,
                E::Failed { why },
            ) => S::Failed { why },
            (S::Failed { why: LaneFailure::Prepare }, E::Retried) => S::Pending,
            (S::Failed { .. }, E::Retried) => S::Active,
            (
                S::Pending
                | S::Active
                | S::MergeReady
                | S::PrCreated
                | S::AwaitingApproval
                | S::Merged
                | S::Failed { .. },
                E::Reset,
            ) => S::Reset,
            (state, event) => return Err(IllegalTransition::new("lane", state, event)),
        };
        Ok(next)
    }

    /// Its integration branch is there and tasks may still join it.
    pub fn takes_tasks(self) -> bool {
        matches!(self, Self::Active)
    }

    /// Its integration branch is there, or has been.
    pub fn is_active_or_later(self) -> bool {
        matches!(
            self,
            Self::Active
                | Self::MergeReady
                | Self::Checking
                | Self::PrCreated
                | Self::AwaitingApproval
                | Self::Merging
                | Self::Merged
        )
    }

    /// Its pull request is open.
    pub fn has_pull(self) -> bool {
        matches!(self, Self::PrCreated | Self::AwaitingApproval | Self::Merging)
    }

    /// Only a person can move it on, and nothing is wrong.
    pub fn waits_for_person(self) -> bool {
        matches!(self, Self::AwaitingApproval)
    }

    /// One word for people and columns.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::MergeReady => "ready to merge",
            Self::Checking => "checking",
            Self::PrCreated => "PR open",
            Self::AwaitingApproval => "awaits approval",
            Self::Merging => "merging",
            Self::Merged => "merged",
            Self::Failed { .. } => "failed",
            Self::Reset => "reset",
        }
    }
}

impl fmt::Display for LaneState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Failed { why } = self {
            write!(f, "failed ({})", why.word())
        } else {
            f.pad(self.word())
        }
    }
}

impl fmt::Display for LaneEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self {
            Self::Prepared => "prepared",
            Self::Finished => "finished",
            Self::Reopened => "reopened",
            Self::CheckBegun => "check begun",
            Self::PrOpened => "pr opened",
            Self::ApprovalAsked => "approval asked",
            Self::MergeBegun => "merge begun",
            Self::TargetMoved => "target moved",
            Self::MergePostponed => "merge postponed",
            Self::Merged => "merged",
            Self::IntegrationSkipped => "integration skipped",
            Self::Failed { .. } => "failed",
            Self::Retried => "retried",
            Self::Reset => "reset",
        };
        f.pad(word)
    }
}
