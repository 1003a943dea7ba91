//! What has kept a run waiting, cause by cause, and since when. Pure.
//!
//! A task that waits for work that goes on is not stuck, and has no cause here: what matters is
//! what stands at the head of a chain.

use std::collections::BTreeMap;

use crate::graph::{LaneIx, TaskIx};
use crate::orchestrator::view::RunView;
use crate::orchestrator::watch::needs::{Need, holds_up, is_worth_telling, needs};
use crate::scheduler::WaitingOn;
use crate::state::{Holds, LaneState, Subject, TaskState};
use crate::time::Timestamp;

/// Why something waits.
#[derive(Debug, Clone)]
pub(super) struct Cause {
    /// Names it inside the run.
    pub(super) key: String,
    /// What waits, or is waited for.
    pub(super) subject: Subject,
    /// The need of a person, if it is one.
    pub(super) need: Option<Need>,
    pub(super) since: Timestamp,
    /// A sentence without its subject's run.
    pub(super) sentence: String,
    /// What cannot go on before it is gone.
    pub(super) holds_up: Vec<TaskIx>,
    /// It is no matter of one run: the project is told once.
    pub(super) wide: bool,
}

/// What lies outside a run and matters to it.
pub(super) struct Outside<'a> {
    pub(super) holds: &'a Holds,
    /// When an attempt of any run began last: slots that change hands starve nobody.
    pub(super) last_start: Timestamp,
}

/// Every cause of waiting in a run.
pub(super) fn causes(view: &RunView, outside: &Outside<'_>) -> Vec<Cause> {
    let mut found: Vec<Cause> = needs(view)
        .into_iter()
        .map(|waits| Cause {
            key: format!("{}:{}", waits.need.word(), part(view, waits.subject)),
            sentence: format!("{} {}", part(view, waits.subject), waits.need.phrase()),
            need: Some(waits.need),
            holds_up: holds_up(view, waits.subject),
            subject: waits.subject,
            since: waits.since,
            wide: false,
        })
        .collect();
    let mut others: BTreeMap<String, Cause> = BTreeMap::new();
    for (at, waiting) in view.waiting.iter().enumerate() {
        let task = TaskIx(at as u32);
        let Some(waiting) = waiting.as_ref().filter(|waiting| is_worth_telling(waiting)) else {
            continue;
        };
        let Some(cause) = other(view, outside, task, waiting) else { continue };
        let known = others.entry(cause.key.clone()).or_insert_with(|| cause.clone());
        known.since = known.since.min(cause.since);
        known.holds_up.extend(cause.holds_up);
    }
    found.extend(others.into_values());
    for lane in view.info.graph.lane_ixs() {
        found.extend(forge_of_lane(view, lane));
    }
    let graph = &view.info.graph;
    for cause in &mut found {
        cause.holds_up.sort_by_key(|task| graph.rank(*task));
        cause.holds_up.dedup();
    }
    found
}

/// What a person reads of a part of a run.
fn part(view: &RunView, subject: Subject) -> String {
    match subject {
        Subject::Run => format!("run `{}`", view.info.name),
        Subject::Lane(lane) => format!("lane `{}`", view.info.graph.lane(lane).id),
        Subject::Task(task) => format!("task `{}`", view.info.graph.task(task).id),
    }
}

/// A cause that is no need of a person as such.
fn other(
    view: &RunView,
    outside: &Outside<'_>,
    task: TaskIx,
    waiting: &WaitingOn,
) -> Option<Cause> {
    let record = &view.tasks[task.at()];
    let lane = view.info.graph.task(task).lane;
    let mut held = holds_up(view, Subject::Task(task));
    let own = || part(view, Subject::Task(task));
    let (key, subject, since, sentence) = if let TaskState::PrCreated { .. } = record.state {
        let key = format!("forge:{}", own());
        (key, Subject::Task(task), record.since, format!("{}: {waiting}", own()))
    } else {
        held.push(task);
        let (key, since) = place(view, outside, lane, waiting)?;
        let subject = if key.starts_with("lane") { Subject::Lane(lane) } else { Subject::Run };
        (key, subject, since.max(record.since), waiting.to_string())
    };
    let wide = matches!(
        waiting,
        WaitingOn::SlotsFull { .. }
            | WaitingOn::ProjectFull { .. }
            | WaitingOn::ProfileFull { .. }
            | WaitingOn::Budget { .. }
            | WaitingOn::AllPaused { .. }
            | WaitingOn::ProjectPaused { .. }
    );
    Some(Cause { key, subject, need: None, since, sentence, holds_up: held, wide })
}

/// What keeps a ready task from its place, and since when that has not changed.
fn place(
    view: &RunView,
    outside: &Outside<'_>,
    lane: LaneIx,
    waiting: &WaitingOn,
) -> Option<(String, Timestamp)> {
    let id = &view.info.graph.lane(lane).id;
    if let WaitingOn::SlotsFull { .. } = waiting {
        return Some(("slots".to_owned(), outside.last_start));
    }
    if let WaitingOn::ProjectFull { .. } = waiting {
        return Some(("project_full".to_owned(), outside.last_start));
    }
    if let WaitingOn::ProfileFull { profile, .. } = waiting {
        return Some((format!("profile_full:{profile}"), outside.last_start));
    }
    if let WaitingOn::Budget { .. } = waiting {
        return Some(("budget".to_owned(), Timestamp::default()));
    }
    if let WaitingOn::RunFull { .. } = waiting {
        return Some(("full".to_owned(), last_start(view, None)));
    }
    if let WaitingOn::LaneFull { .. } = waiting {
        return Some((format!("lane_full:{id}"), last_start(view, Some(lane))));
    }
    if let WaitingOn::AllPaused { .. } = waiting {
        return Some(("all_paused".to_owned(), outside.holds.all.as_ref()?.at));
    }
    if let WaitingOn::ProjectPaused { .. } = waiting {
        let hold = outside.holds.projects.get(&view.run.project)?;
        return Some(("project_paused".to_owned(), hold.at));
    }
    // Another state of its lane is told of by the lane itself.
    let pending = view.lanes[lane.at()].state == LaneState::Pending;
    pending.then(|| (format!("lane:{id}"), view.lanes[lane.at()].since))
}

/// When an attempt of a run, or of one of its lanes, began last.
pub(super) fn last_start(view: &RunView, lane: Option<LaneIx>) -> Timestamp {
    let graph = &view.info.graph;
    let tasks = view.tasks.iter().enumerate();
    let own = tasks.filter(|(at, _)| lane.is_none_or(|lane| graph.tasks()[*at].lane == lane));
    own.map(|(_, task)| task.started_at).max().unwrap_or_default()
}

/// A lane's pull request that others do not finish with.
fn forge_of_lane(view: &RunView, lane: LaneIx) -> Option<Cause> {
    let record = &view.lanes[lane.at()];
    if record.state != LaneState::PrCreated {
        return None;
    }
    let holds = record.watched.as_ref().map(|watched| watched.holds()).unwrap_or_default();
    let subject = Subject::Lane(lane);
    Some(Cause {
        key: format!("forge:{}", part(view, subject)),
        sentence: format!("{}: {}", part(view, subject), WaitingOn::Forge { holds }),
        subject,
        need: None,
        since: record.since,
        holds_up: holds_up(view, subject),
        wide: false,
    })
}
