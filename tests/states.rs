//! The full product of states and events of every machine, as tables. The snapshots are the
//! documentation of the machines.

use std::fmt::{Display, Write as _};

use taskloom::graph::TaskIx;
use taskloom::state::{
    BlockedOn, FailureClass, IllegalTransition, LaneEvent, LaneFailure, LaneState, Outcome,
    ParkReason, RunEvent, RunState, Step, TaskEvent, TaskState,
};

const WHY: ParkReason = ParkReason::RateLimit;
const TASK: BlockedOn = BlockedOn::Task(TaskIx(7));
const OPERATOR: BlockedOn = BlockedOn::Operator;
const CLASS: FailureClass = FailureClass::AgentFailed;

fn task_states() -> Vec<TaskState> {
    use TaskState as S;
    vec![
        S::Defined,
        S::Ready,
        S::Running { attempt: 1, step: Step::Working },
        S::WaitingInput { attempt: 1 },
        S::Paused { until: None, why: WHY },
        S::PrCreated { attempt: 1 },
        S::AwaitingApproval { attempt: 1 },
        S::Merging { attempt: 1 },
        S::AwaitingPlanApproval { merged: true },
        S::AwaitingPlanApproval { merged: false },
        S::Merged,
        S::Completed,
        S::Failed { class: CLASS },
        S::Blocked { on: TASK },
        S::Blocked { on: OPERATOR },
        S::Skipped,
        S::Cancelled,
        S::Stale,
    ]
}

fn task_events() -> Vec<TaskEvent> {
    use TaskEvent as E;
    vec![
        E::Opened,
        E::Closed,
        E::Started { attempt: 2 },
        E::Stepped { step: Step::Gating },
        E::Asked,
        E::Answered,
        E::Parked { until: None, why: WHY },
        E::Unparked,
        E::PrOpened,
        E::ApprovalAsked,
        E::Approved,
        E::MergeBegun,
        E::MergePostponed,
        E::PlanAsked,
        E::Merged,
        E::Completed,
        E::Retried,
        E::Failed { class: CLASS },
        E::Blocked { on: TASK },
        E::Blocked { on: OPERATOR },
        E::Released,
        E::Skipped,
        E::Cancelled,
        E::Outdated,
        E::Undone,
    ]
}

fn lane_states() -> Vec<LaneState> {
    use LaneState as S;
    let failed = LaneFailure::ALL.map(|why| S::Failed { why });
    let mut all = vec![
        S::Pending,
        S::Active,
        S::MergeReady,
        S::Checking,
        S::PrCreated,
        S::AwaitingApproval,
        S::Merging,
        S::Merged,
        S::Reset,
    ];
    all.extend(failed);
    all
}

fn lane_events() -> Vec<LaneEvent> {
    use LaneEvent as E;
    vec![
        E::Prepared,
        E::Finished,
        E::Reopened,
        E::CheckBegun,
        E::PrOpened,
        E::ApprovalAsked,
        E::MergeBegun,
        E::TargetMoved,
        E::Merged,
        E::IntegrationSkipped,
        E::Failed { why: LaneFailure::Check },
        E::Retried,
        E::Reset,
    ]
}

/// Every state with the events that it takes; what is not listed is refused.
fn table<S: Copy + Display, E: Copy + Display>(
    states: &[S],
    events: &[E],
    next: impl Fn(S, E) -> Result<S, IllegalTransition>,
) -> String {
    let mut text = String::new();
    for state in states {
        writeln!(text, "{state}").unwrap();
        let mut refused = 0;
        for event in events {
            match next(*state, *event) {
                Ok(after) => writeln!(text, "    {event:<20} -> {after}").unwrap(),
                Err(_) => refused += 1,
            }
        }
        writeln!(text, "    ({refused} of {} refused)", events.len()).unwrap();
    }
    text
}

#[test]
fn the_table_of_tasks() {
    insta::assert_snapshot!(table(&task_states(), &task_events(), TaskState::next));
}

#[test]
fn the_table_of_lanes() {
    insta::assert_snapshot!(table(&lane_states(), &lane_events(), LaneState::next));
}

#[test]
fn the_table_of_runs() {
    let mut states = vec![RunState::Open];
    states.extend(Outcome::ALL.map(|outcome| RunState::Settled { outcome }));
    let events = [RunEvent::Settled { outcome: Outcome::AwaitingMerge }, RunEvent::Reopened];
    insta::assert_snapshot!(table(&states, &events, RunState::next));
}

#[test]
fn a_refused_event_names_the_machine_the_state_and_the_event() {
    let refused = TaskState::Merged.next(TaskEvent::Started { attempt: 0 }).unwrap_err();
    assert_eq!(refused.to_string(), "task is merged and cannot take `started`");
}
