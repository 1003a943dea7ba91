//! Why a task does not run: one stated reason each, the first that applies.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{LaneId, ProfileName, ProjectId, RunName, TaskId};
use crate::state::{LaneState, ParkReason};
use crate::time::Timestamp;

/// How many names a sentence holds before it counts the rest.
const NAMES_SHOWN: usize = 3;

/// Where a task or a lane stands, as people read it.
pub(crate) type Word = Cow<'static, str>;

/// Why a task does not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum WaitingOn {
    /// Dependencies that have not ended well, with where they stand.
    Dependencies {
        /// Which, and where each stands.
        tasks: Vec<(TaskId, Word)>,
    },
    /// A lane upstream that must be merged first.
    UpstreamLane {
        /// Which.
        lane: LaneId,
        /// Where it stands.
        state: Word,
        /// What holds it up, if that is known.
        because: Option<String>,
    },
    /// The lane that this task's lane is nested in has no integration branch yet.
    AncestorLane {
        /// Which.
        lane: LaneId,
        /// Where it stands.
        state: Word,
    },
    /// The task's own lane is not taking tasks.
    OwnLane {
        /// Which.
        lane: LaneId,
        /// Where it stands.
        state: Word,
    },
    /// As many tasks of the lane run as may.
    LaneFull {
        /// Which.
        lane: LaneId,
        /// How many.
        running: u32,
    },
    /// As many tasks of the run run as may.
    RunFull {
        /// How many.
        running: u32,
    },
    /// As many agents run as may.
    SlotsFull {
        /// How many.
        running: u32,
    },
    /// As many of the project's agents run as may.
    ProjectFull {
        /// How many.
        running: u32,
    },
    /// As many agents of its profile run as may.
    ProfileFull {
        /// Which profile.
        profile: ProfileName,
        /// How many.
        running: u32,
    },
    /// The limit of its profile is reached, and of those that stand in for it.
    CoolingDown {
        /// Which profile.
        profile: ProfileName,
        /// Until when.
        until: Timestamp,
    },
    /// A budget is used up.
    Budget {
        /// Of which project; `None`: of everything.
        project: Option<ProjectId>,
        /// When enough of it is long enough ago, if it ever is.
        until: Option<Timestamp>,
    },
    /// Nothing is started at this time of the day.
    QuietHours {
        /// When they end.
        until: Timestamp,
    },
    /// It is its turn, among others, in the next round.
    Turn,
    /// A failure that usually passes; it is tried again.
    Backoff {
        /// When.
        until: Timestamp,
    },
    /// The agent's limits.
    Parked {
        /// Until when, if that is known.
        until: Option<Timestamp>,
        /// Why.
        why: ParkReason,
    },
    /// A task upstream failed, or was cancelled.
    Upstream {
        /// Which.
        task: TaskId,
    },
    /// An operator stopped it.
    Stopped,
    /// It failed for good.
    Failed,
    /// A task of another run must end well first.
    OtherRun {
        /// Which run.
        run: RunName,
        /// Which of its tasks.
        task: TaskId,
    },
    /// The budget of the run is used up.
    RunBudget,
    /// Somebody paused the run.
    RunPaused,
    /// Somebody paused the project.
    ProjectPaused {
        /// Who.
        by: String,
    },
    /// Somebody paused everything.
    AllPaused {
        /// Who.
        by: String,
    },
    /// The daemon ended too often in a short time and starts nothing until a person says so.
    SafeMode {
        /// What happened.
        why: String,
    },
    /// Nothing new is started: the engine drains.
    Draining,
    /// No process drives this run now.
    NotAttached,
    /// The run stopped because of an internal error.
    Fatal,
    /// A lane failed, and the graph says that no new lane starts then.
    FailFast,
    /// A person must approve its pull request.
    Approval,
    /// A person must decide about the plan that it left.
    PlanApproval {
        /// How many tasks it asks for; `None`: none can be made of it as it is.
        steps: Option<usize>,
    },
    /// Its pull request waits for what others do with it.
    Forge {
        /// For what; nothing is known before the first look.
        holds: Vec<String>,
    },
    /// The forge did not merge its pull request when it was told to.
    Held {
        /// In its words.
        why: String,
    },
    /// A person must answer the agent.
    Answer,
    /// Other pull requests of the lane merge first.
    MergeQueue {
        /// How many are before it.
        ahead: usize,
    },
    /// Something it builds on was reworked; a person decides.
    Stale,
}

impl WaitingOn {
    /// Whether nothing is missing but that somebody starts it.
    pub fn is_its_turn(&self) -> bool {
        matches!(
            self,
            Self::Turn
                | Self::RunFull { .. }
                | Self::SlotsFull { .. }
                | Self::ProjectFull { .. }
                | Self::ProfileFull { .. }
                | Self::QuietHours { .. }
                | Self::Backoff { .. }
        )
    }

    /// Whether only a person can end the wait.
    pub fn needs_person(&self) -> bool {
        match self {
            Self::Stopped
            | Self::Failed
            | Self::Upstream { .. }
            | Self::RunPaused
            | Self::RunBudget
            | Self::ProjectPaused { .. }
            | Self::AllPaused { .. }
            | Self::SafeMode { .. }
            | Self::Parked { until: None, .. }
            | Self::Fatal
            | Self::Approval
            | Self::PlanApproval { .. }
            | Self::Held { .. }
            | Self::Answer
            | Self::NotAttached
            | Self::FailFast
            | Self::Stale => true,
            Self::Budget { until, .. } => until.is_none(),
            Self::UpstreamLane { state, .. } => *state == LaneState::AwaitingApproval.word(),
            Self::Dependencies { .. }
            | Self::OtherRun { .. }
            | Self::AncestorLane { .. }
            | Self::OwnLane { .. }
            | Self::LaneFull { .. }
            | Self::RunFull { .. }
            | Self::SlotsFull { .. }
            | Self::ProjectFull { .. }
            | Self::ProfileFull { .. }
            | Self::CoolingDown { .. }
            | Self::QuietHours { .. }
            | Self::Turn
            | Self::Backoff { .. }
            | Self::Parked { until: Some(_), .. }
            | Self::Draining
            | Self::Forge { .. }
            | Self::MergeQueue { .. } => false,
        }
    }
}

impl fmt::Display for WaitingOn {
    // tidy: flat match
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dependencies { tasks } => dependencies(f, tasks),
            Self::UpstreamLane { lane, state, because } => {
                write!(f, "waits for lane `{lane}` to be merged ({state}")?;
                because.as_ref().map_or(Ok(()), |why| write!(f, ": {why}"))?;
                f.write_str(")")
            }
            Self::AncestorLane { lane, state } => {
                write!(f, "waits for the parent lane `{lane}` to begin ({state})")
            }
            Self::OwnLane { lane, state } => {
                write!(f, "its lane `{lane}` takes no tasks now ({state})")
            }
            Self::LaneFull { lane, running } => {
                write!(f, "its lane `{lane}` already runs {running} at once, which is its limit")
            }
            Self::RunFull { running } => {
                write!(f, "the run already runs {running} at once, which is its limit")
            }
            Self::SlotsFull { running: 1 } => f.write_str("the only agent slot is taken"),
            Self::SlotsFull { running } => write!(f, "all {running} agent slots are taken"),
            Self::ProjectFull { running } => {
                write!(f, "its project already runs {running} at once, which is its limit")
            }
            Self::ProfileFull { profile, running } => {
                write!(f, "`{profile}` already runs {running} at once, which is its limit")
            }
            Self::CoolingDown { profile, until } => {
                write!(f, "the limit of `{profile}` is reached until {}", until.local_clock())
            }
            Self::Budget { project, until } => {
                match project {
                    Some(project) => write!(f, "the budget of project `{project}` is used up")?,
                    None => f.write_str("the budget of everything is used up")?,
                }
                until.map_or(Ok(()), |until| write!(f, " until {}", until.local_minute()))
            }
            Self::QuietHours { until } => {
                write!(f, "nothing is started before {} (quiet hours)", until.local_clock())
            }
            Self::Turn => f.write_str("starts in the next round"),
            Self::Backoff { until } => {
                write!(f, "is tried again at {} after outside trouble", until.local_clock())
            }
            Self::Parked { until: Some(until), why } => {
                write!(f, "is parked until {} ({})", until.local_clock(), why.word())
            }
            Self::Parked { until: None, why: ParkReason::Operator } => {
                f.write_str("was paused by an operator")
            }
            Self::Parked { until: None, why: ParkReason::Budget } => {
                f.write_str("waits for a person, because a budget is used up")
            }
            Self::Parked { until: None, why } => {
                write!(f, "waits for a person to resume it ({})", why.word())
            }
            Self::Upstream { task } => write!(f, "is blocked by `{task}`, which did not succeed"),
            Self::Stopped => f.write_str("was stopped by an operator"),
            Self::Failed => f.write_str("failed and has no attempts left"),
            Self::OtherRun { run, task } => write!(f, "waits for `{run}/{task}` to end well"),
            Self::RunBudget => f.write_str("the budget of its run is used up"),
            Self::RunPaused => f.write_str("the run is paused"),
            Self::ProjectPaused { by } => write!(f, "its project is paused by {by}"),
            Self::AllPaused { by } => write!(f, "everything is paused by {by}"),
            Self::SafeMode { why } => write!(f, "nothing is started in safe mode: {why}"),
            Self::Draining => f.write_str("nothing new is started: the engine is draining"),
            Self::NotAttached => f.write_str("no process drives this run now"),
            Self::Fatal => f.write_str("the run stopped because of an internal error"),
            Self::FailFast => {
                f.write_str("another lane failed, and the graph starts no new lane after that")
            }
            Self::Approval => f.write_str("waits for a person to approve its pull request"),
            Self::PlanApproval { steps: None } => {
                f.write_str("waits for a person to put its plan right")
            }
            Self::PlanApproval { steps: Some(1) } => {
                f.write_str("waits for a person to decide about its plan of 1 task")
            }
            Self::PlanApproval { steps: Some(n) } => {
                write!(f, "waits for a person to decide about its plan of {n} tasks")
            }
            Self::Forge { holds } if holds.is_empty() => {
                f.write_str("waits for a look at its pull request")
            }
            Self::Forge { holds } => write!(f, "its pull request waits: {}", holds.join("; ")),
            Self::Held { why } => write!(f, "the forge does not merge its pull request: {why}"),
            Self::Answer => f.write_str("waits for a person to answer the agent"),
            Self::MergeQueue { ahead: 0 } => f.write_str("is next to be merged"),
            Self::MergeQueue { ahead } => write!(f, "waits for {ahead} merges before its own"),
            Self::Stale => {
                f.write_str("builds on something that was reworked and waits for a decision")
            }
        }
    }
}

fn dependencies(f: &mut fmt::Formatter<'_>, tasks: &[(TaskId, Word)]) -> fmt::Result {
    f.write_str("waits for ")?;
    for (at, (task, state)) in tasks.iter().take(NAMES_SHOWN).enumerate() {
        let comma = if at == 0 { "" } else { ", " };
        write!(f, "{comma}`{task}` ({state})")?;
    }
    match tasks.len().saturating_sub(NAMES_SHOWN) {
        0 => Ok(()),
        rest => write!(f, " and {rest} more"),
    }
}
