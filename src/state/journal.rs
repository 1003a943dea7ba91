//! The journal: one entry for every change, written in the transaction of the change.
//!
//! The kinds keep the names of the system whose graphs this one accepts, so that hooks and habits
//! carry over.

use serde::{Deserialize, Serialize};

use crate::graph::{LaneIx, TaskIx};
use crate::ids::RunId;
use crate::state::attempt::{OutcomeClass, Step};
use crate::state::lane::{LaneEvent, LaneFailure};
use crate::state::run::RunEvent;
use crate::state::task::TaskEvent;
use crate::time::Timestamp;

/// One line of the journal.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Counts all entries of the store, from 1.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Whose.
    pub run: RunId,
    /// About what.
    pub subject: Subject,
    /// In which attempt, if in one.
    pub attempt: Option<u32>,
    /// What happened.
    pub what: What,
    /// More about it for people: a message, a URL, a name.
    pub detail: Option<Box<str>>,
}

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The run as a whole.
    Run,
    /// One lane.
    Lane(LaneIx),
    /// One task.
    Task(TaskIx),
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The run was submitted.
    Submitted,
    /// A task took an event; its state follows from the table.
    Task(TaskEvent),
    /// A lane took an event; its state follows from the table.
    Lane(LaneEvent),
    /// The run took an event; its state follows from the table.
    Run(RunEvent),
    /// A gate passed.
    GatePassed,
    /// A gate failed; the agent is told.
    GateFailed,
    /// An attempt failed and will be repeated.
    RetryScheduled,
    /// An auto-merge was left to a person.
    AutoMergeSkipped,
    /// A merge into a target failed and will be repeated.
    MergeFailed,
    /// Nothing goes on but the wait for a person to merge a lane.
    WaitingForMerge,
    /// A lane's merge reached the user's repository, or why it did not.
    Delivered,
    /// Somebody commanded something.
    Commanded,
    /// Tasks were added that a plan asked for.
    Grown,
    /// A doubt was raised.
    Concern,
    /// An agent was told something while it works.
    Steered,
    /// A process took the run up again after the one before had ended.
    Recovered,
    /// Most of a budget is used up.
    BudgetWarning,
    /// A budget is used up.
    BudgetReached,
    /// An agent's limit is reached.
    LimitReached,
    /// Something has waited too long.
    Stuck,
    /// Something that a person may want to know.
    Remark,
}

impl What {
    /// Every kind, as hooks may name them.
    pub const KINDS: [&'static str; 65] = [
        "budget_reached",
        "budget_warning",
        "commanded",
        "concern",
        "limit_reached",
        "remark",
        "run_grown",
        "run_recovered",
        "run_reopened",
        "run_settled",
        "run_submitted",
        "stuck",
        "task_answered",
        "task_approved",
        "task_asked",
        "task_awaiting_approval",
        "task_awaiting_plan_approval",
        "task_blocked",
        "task_cancelled",
        "task_capturing",
        "task_finished",
        "task_gate_failed",
        "task_gate_passed",
        "task_gate_running",
        "task_launched",
        "task_merge_postponed",
        "task_paused",
        "task_pr_created",
        "task_pr_merging",
        "task_pr_opening",
        "task_prepared",
        "task_preparing",
        "task_ready",
        "task_released",
        "task_resumed",
        "task_retried",
        "task_retry_scheduled",
        "task_reviewing",
        "task_skipped",
        "task_stale",
        "task_started",
        "task_steered",
        "task_tearing_down",
        "task_undone",
        "task_waiting",
        "task_waits_again",
        "waiting_for_integration_merge",
        "workstream_auto_merge_failed",
        "workstream_auto_merge_skipped",
        "workstream_awaiting_approval",
        "workstream_checking",
        "workstream_delivered",
        "workstream_integration_failed",
        "workstream_integration_skipped",
        "workstream_merge_postponed",
        "workstream_merge_ready",
        "workstream_merged",
        "workstream_merging",
        "workstream_pr_created",
        "workstream_prepare_failed",
        "workstream_prepared",
        "workstream_reopened",
        "workstream_reset",
        "workstream_retried",
        "workstream_target_moved",
    ];

    /// The name of the kind, as hooks and `--json` know it.
    // tidy: flat match
    pub fn kind(self) -> &'static str {
        match self {
            Self::Submitted => "run_submitted",
            Self::Task(event) => task_kind(event),
            Self::Lane(event) => lane_kind(event),
            Self::Run(RunEvent::Settled { .. }) => "run_settled",
            Self::Run(RunEvent::Reopened) => "run_reopened",
            Self::GatePassed => "task_gate_passed",
            Self::GateFailed => "task_gate_failed",
            Self::RetryScheduled => "task_retry_scheduled",
            Self::AutoMergeSkipped => "workstream_auto_merge_skipped",
            Self::MergeFailed => "workstream_auto_merge_failed",
            Self::WaitingForMerge => "waiting_for_integration_merge",
            Self::Delivered => "workstream_delivered",
            Self::Commanded => "commanded",
            Self::Grown => "run_grown",
            Self::Concern => "concern",
            Self::Steered => "task_steered",
            Self::Recovered => "run_recovered",
            Self::BudgetWarning => "budget_warning",
            Self::BudgetReached => "budget_reached",
            Self::LimitReached => "limit_reached",
            Self::Stuck => "stuck",
            Self::Remark => "remark",
        }
    }

    /// How a finished task ended, in the seeds' three classes; `None` if this is no finish.
    pub fn outcome_class(self) -> Option<OutcomeClass> {
        if let Self::Task(TaskEvent::Failed { class }) = self {
            return Some(class.outcome_class());
        }
        let done = matches!(self, Self::Task(TaskEvent::Merged | TaskEvent::Completed));
        done.then_some(OutcomeClass::Success)
    }
}

fn task_kind(event: TaskEvent) -> &'static str {
    match event {
        TaskEvent::Opened => "task_ready",
        TaskEvent::Closed => "task_waits_again",
        TaskEvent::Started { .. } => "task_started",
        TaskEvent::Stepped { step } => step_kind(step),
        TaskEvent::Asked => "task_asked",
        TaskEvent::Answered => "task_answered",
        TaskEvent::Parked { .. } => "task_paused",
        TaskEvent::Unparked => "task_resumed",
        TaskEvent::PrOpened => "task_pr_created",
        TaskEvent::ApprovalAsked => "task_awaiting_approval",
        TaskEvent::Approved => "task_approved",
        TaskEvent::MergeBegun => "task_pr_merging",
        TaskEvent::MergePostponed => "task_merge_postponed",
        TaskEvent::PlanAsked => "task_awaiting_plan_approval",
        TaskEvent::Merged | TaskEvent::Completed | TaskEvent::Failed { .. } => "task_finished",
        TaskEvent::Retried => "task_retried",
        TaskEvent::Blocked { .. } => "task_blocked",
        TaskEvent::Released => "task_released",
        TaskEvent::Skipped => "task_skipped",
        TaskEvent::Cancelled => "task_cancelled",
        TaskEvent::Outdated => "task_stale",
        TaskEvent::Undone => "task_undone",
    }
}

fn step_kind(step: Step) -> &'static str {
    match step {
        Step::Preparing => "task_preparing",
        Step::Launching => "task_prepared",
        Step::Kickoff => "task_launched",
        Step::Working => "task_waiting",
        Step::Gating => "task_gate_running",
        Step::Reviewing => "task_reviewing",
        Step::Capturing => "task_capturing",
        Step::TearingDown => "task_tearing_down",
        Step::PrOpening => "task_pr_opening",
    }
}

fn lane_kind(event: LaneEvent) -> &'static str {
    match event {
        LaneEvent::Prepared => "workstream_prepared",
        LaneEvent::Finished => "workstream_merge_ready",
        LaneEvent::Reopened => "workstream_reopened",
        LaneEvent::CheckBegun => "workstream_checking",
        LaneEvent::PrOpened => "workstream_pr_created",
        LaneEvent::ApprovalAsked => "workstream_awaiting_approval",
        LaneEvent::MergeBegun => "workstream_merging",
        LaneEvent::TargetMoved => "workstream_target_moved",
        LaneEvent::MergePostponed => "workstream_merge_postponed",
        LaneEvent::Merged => "workstream_merged",
        LaneEvent::IntegrationSkipped => "workstream_integration_skipped",
        LaneEvent::Failed { why: LaneFailure::Prepare } => "workstream_prepare_failed",
        LaneEvent::Failed { .. } => "workstream_integration_failed",
        LaneEvent::Retried => "workstream_retried",
        LaneEvent::Reset => "workstream_reset",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_listed_once() {
        let said = include_str!("journal.rs").split("=> \"").skip(1);
        let mut said: Vec<&str> = said.filter_map(|rest| rest.split('"').next()).collect();
        said.retain(|kind| {
            !kind.is_empty() && kind.bytes().all(|c| c == b'_' || c.is_ascii_lowercase())
        });
        said.sort_unstable();
        said.dedup();
        assert_eq!(said, What::KINDS);
    }
}
