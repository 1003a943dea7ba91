//! What waits for a person. Pure: a run as it is comes in, what it asks of people goes out. Every
//! list of such things is made here.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use serde::Serialize;

use crate::graph::{LaneIx, TaskIx};
use crate::ids::{ProjectId, RunId};
use crate::orchestrator::view::RunView;
use crate::scheduler::WaitingOn;
use crate::state::{BlockedOn, LaneFailure, LaneState, ParkReason, Subject, TaskRecord, TaskState};
use crate::time::Timestamp;

/// How many of the tasks that something holds up are named.
const NAMED_MAX: usize = 10;

/// What a person is needed for. A new kind needs a variant here and a place in [`needs`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// A pull request waits to be let through.
    Approval,
    /// The forge does not merge a pull request that was let through.
    Held,
    /// A plan waits to be made tasks of, or not.
    Plan,
    /// An agent asks.
    Question,
    /// An agent is silent, and somebody has to say what becomes of it.
    Silence,
    /// A task or a lane failed.
    Failed,
    /// An operator stopped a task.
    Stopped,
    /// What a task builds on was reworked.
    Stale,
    /// An operator paused a task or a run.
    Paused,
    /// A budget is used up.
    Budget,
    /// The run stopped because of an internal error.
    Broken,
}

impl Need {
    /// What people read after the name of what waits.
    pub fn phrase(self) -> &'static str {
        match self {
            Self::Approval => "waits for approval",
            Self::Held => "is not merged by the forge",
            Self::Plan => "has a plan for you",
            Self::Question => "asks",
            Self::Silence => "is silent",
            Self::Failed => "failed",
            Self::Stopped => "was stopped",
            Self::Stale => "is stale",
            Self::Paused => "is paused",
            Self::Budget => "has used up its budget",
            Self::Broken => "met an internal error",
        }
    }

    /// One word for data.
    pub fn word(self) -> &'static str {
        match self {
            Self::Approval => "approval",
            Self::Held => "held",
            Self::Plan => "plan",
            Self::Question => "question",
            Self::Silence => "silence",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::Stale => "stale",
            Self::Paused => "paused",
            Self::Budget => "budget",
            Self::Broken => "broken",
        }
    }
}

/// Something in a run that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waits {
    /// What.
    pub subject: Subject,
    /// For what.
    pub need: Need,
    /// Since when.
    pub since: Timestamp,
}

/// Everything in a run that waits for a person: tasks in the order of the graph, lanes, the run.
pub fn needs(view: &RunView) -> Vec<Waits> {
    if view.run.cancelled {
        return Vec::new();
    }
    let graph = &view.info.graph;
    let tasks = graph.order().iter().filter_map(|task| {
        let record = &view.tasks[task.at()];
        let (subject, since) = (Subject::Task(*task), record.since);
        of_task(record).map(|need| Waits { subject, need, since })
    });
    let lanes = graph.lane_ixs().filter_map(|lane| {
        let record = &view.lanes[lane.at()];
        let held = record.watched.as_ref().is_some_and(|watched| watched.held.is_some());
        let need = of_lane(record.state, held)?;
        Some(Waits { subject: Subject::Lane(lane), need, since: record.since })
    });
    let mut all: Vec<Waits> = tasks.chain(lanes).collect();
    all.extend(of_run(view));
    all
}

fn of_task(record: &TaskRecord) -> Option<Need> {
    match record.state {
        TaskState::AwaitingApproval { .. } if record.held().is_some() => Some(Need::Held),
        TaskState::AwaitingApproval { .. } => Some(Need::Approval),
        TaskState::AwaitingPlanApproval { .. } => Some(Need::Plan),
        TaskState::WaitingInput { .. } => {
            let asked = record.more.as_ref().and_then(|more| more.question.as_ref());
            let silent = asked.is_some_and(|question| question.is_about_silence());
            Some(if silent { Need::Silence } else { Need::Question })
        }
        TaskState::Failed { .. } => Some(Need::Failed),
        TaskState::Blocked { on: BlockedOn::Operator } => Some(Need::Stopped),
        TaskState::Stale => Some(Need::Stale),
        TaskState::Paused { until: None, why: ParkReason::Budget } => Some(Need::Budget),
        TaskState::Paused { until: None, .. } => Some(Need::Paused),
        TaskState::Defined
        | TaskState::Ready
        | TaskState::Running { .. }
        | TaskState::Paused { until: Some(_), .. }
        | TaskState::PrCreated { .. }
        | TaskState::Merging { .. }
        | TaskState::Merged
        | TaskState::Completed
        | TaskState::Blocked { on: BlockedOn::Task(_) }
        | TaskState::Skipped
        | TaskState::Cancelled => None,
    }
}

fn of_lane(state: LaneState, held: bool) -> Option<Need> {
    match state {
        LaneState::AwaitingApproval if held => Some(Need::Held),
        LaneState::AwaitingApproval => Some(Need::Approval),
        // Its tasks say so themselves.
        LaneState::Failed { why: LaneFailure::Task } => None,
        LaneState::Failed { .. } => Some(Need::Failed),
        LaneState::Pending
        | LaneState::Active
        | LaneState::MergeReady
        | LaneState::Checking
        | LaneState::PrCreated
        | LaneState::Merging
        | LaneState::Merged
        | LaneState::Reset => None,
    }
}

fn of_run(view: &RunView) -> Option<Waits> {
    let waits = |need, since| Some(Waits { subject: Subject::Run, need, since });
    if view.run.fatal.is_some() {
        return waits(Need::Broken, view.run.since);
    }
    if !view.run.paused {
        return None;
    }
    // A pause that keeps nothing back is nothing to be reminded of.
    let ready = view.tasks.iter().filter(|task| task.state == TaskState::Ready);
    let since = ready.map(|task| task.since).min()?;
    waits(Need::Paused, view.run.attention.paused_at.unwrap_or(since))
}

/// The tasks that cannot go on before something else does, in the order of the graph.
pub fn holds_up(view: &RunView, subject: Subject) -> Vec<TaskIx> {
    let graph = &view.info.graph;
    let mut found = BTreeSet::new();
    let mut lanes = BTreeSet::new();
    let mut open: Vec<TaskIx> = Vec::new();
    match subject {
        Subject::Run => {
            let waits = |task: &&TaskIx| {
                matches!(view.tasks[task.at()].state, TaskState::Ready | TaskState::Defined)
            };
            return graph.order().iter().filter(waits).copied().collect();
        }
        Subject::Lane(lane) => close(view, lane, &mut lanes, &mut open),
        Subject::Task(task) => {
            open.extend(graph.children(task));
            close(view, graph.task(task).lane, &mut lanes, &mut open);
        }
    }
    while let Some(task) = open.pop() {
        if Subject::Task(task) == subject
            || view.tasks[task.at()].state.is_success()
            || !found.insert(graph.rank(task))
        {
            continue;
        }
        open.extend(graph.children(task));
        close(view, graph.task(task).lane, &mut lanes, &mut open);
    }
    found.into_iter().map(|rank| graph.order()[rank as usize]).collect()
}

/// A lane that is not merged holds up what waits for it, and the lane that it is nested in.
fn close(view: &RunView, lane: LaneIx, closed: &mut BTreeSet<LaneIx>, open: &mut Vec<TaskIx>) {
    let graph = &view.info.graph;
    let mut next = Some(lane).filter(|lane| view.lanes[lane.at()].state != LaneState::Merged);
    while let Some(lane) = next.filter(|lane| closed.insert(*lane)) {
        open.extend(graph.gated_tasks(lane));
        next = graph.lane(lane).parent;
    }
}

/// One line of the list of everything that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Item {
    /// In which project.
    pub project: ProjectId,
    /// In which run.
    pub run: String,
    /// The run, for the store.
    #[serde(skip)]
    pub id: RunId,
    /// Which of its parts.
    #[serde(skip)]
    pub subject: Subject,
    /// The task, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The lane, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lane: Option<String>,
    /// For what.
    pub need: Need,
    /// Since when.
    #[serde(rename = "since_ms")]
    pub since: Timestamp,
    /// What the agent asks, or why it failed: one line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// How many tasks cannot go on before.
    pub blocks: u32,
    /// The first ten of them.
    pub blocked: Vec<String>,
}

/// Everything that waits for a person in some runs: what holds up most first, then what waits
/// longest.
pub fn inbox(views: &[RunView]) -> Vec<Item> {
    let of = |view| needs(view).into_iter().map(move |waits| item(view, &waits));
    let mut items: Vec<Item> = views.iter().flat_map(of).collect();
    items.sort_by(|a, b| {
        let key = |item: &Item| (Reverse(item.blocks), item.since, item.id);
        key(a).cmp(&key(b)).then_with(|| (&a.lane, &a.task).cmp(&(&b.lane, &b.task)))
    });
    items
}

fn item(view: &RunView, waits: &Waits) -> Item {
    let graph = &view.info.graph;
    let held = holds_up(view, waits.subject);
    let (task, lane) = match waits.subject {
        Subject::Run => (None, None),
        Subject::Lane(lane) => (None, Some(graph.lane(lane).id.to_string())),
        Subject::Task(task) => (Some(graph.task(task).id.to_string()), None),
    };
    Item {
        project: view.run.project.clone(),
        run: view.info.name.to_string(),
        id: view.run.id,
        subject: waits.subject,
        task,
        lane,
        need: waits.need,
        since: waits.since,
        about: about(view, waits),
        blocks: u32::try_from(held.len()).unwrap_or(u32::MAX),
        blocked: held.iter().take(NAMED_MAX).map(|t| graph.task(*t).id.to_string()).collect(),
    }
}

/// The first line of what an agent asks, or of why something failed.
fn about(view: &RunView, waits: &Waits) -> Option<String> {
    let text = match waits.subject {
        Subject::Run => view.run.fatal.as_deref(),
        Subject::Lane(lane) => view.lanes[lane.at()].failure.as_deref(),
        Subject::Task(task) => {
            let record = &view.tasks[task.at()];
            match waits.need {
                Need::Question | Need::Silence => {
                    let more = record.more.as_ref();
                    more.and_then(|more| more.question.as_ref()).map(|asked| asked.text.as_str())
                }
                Need::Failed => record.failure().map(|failure| failure.message.as_str()),
                Need::Held => record.held(),
                Need::Approval
                | Need::Plan
                | Need::Stopped
                | Need::Stale
                | Need::Paused
                | Need::Budget
                | Need::Broken => None,
            }
        }
    };
    text?.lines().find(|line| !line.trim().is_empty()).map(|line| line.trim().to_owned())
}

impl Item {
    /// The name of what waits, as people write it.
    pub fn name(&self) -> String {
        match (&self.task, &self.lane) {
            (Some(task), _) => format!("{}/{task}", self.run),
            (None, Some(lane)) => format!("{} lane {lane}", self.run),
            (None, None) => self.run.clone(),
        }
    }

    /// How many tasks it holds up, in words; nothing if none.
    pub fn blocking(&self) -> Option<String> {
        match self.blocks {
            0 => None,
            1 => Some("holds up 1 task".to_owned()),
            n => Some(format!("holds up {n} tasks")),
        }
    }
}

/// Whether a reason to wait is one that only time or others can end, and that nobody reports else.
pub(super) fn is_worth_telling(waiting: &WaitingOn) -> bool {
    matches!(
        waiting,
        WaitingOn::SlotsFull { .. }
            | WaitingOn::RunFull { .. }
            | WaitingOn::LaneFull { .. }
            | WaitingOn::ProjectFull { .. }
            | WaitingOn::ProfileFull { .. }
            | WaitingOn::Budget { until: None, .. }
            | WaitingOn::AllPaused { .. }
            | WaitingOn::ProjectPaused { .. }
            | WaitingOn::OwnLane { .. }
            | WaitingOn::Forge { .. }
    )
}
