//! Telling people of what has waited too long: when each run is looked at, and what was said.
//!
//! A run is looked at when its own timer fires and at no other time. Runs that rest with something
//! for a person are looked at too; the loop fetches them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::graph::TaskIx;
use crate::ids::{ProjectId, RunId};
use crate::notify::{Ask, Notice, NoticeKind};
use crate::orchestrator::step::send;
use crate::orchestrator::view::RunView;
use crate::orchestrator::watch::Watching;
use crate::orchestrator::watch::causes::{Cause, Outside, causes, last_start};
use crate::orchestrator::watch::needs::{Need, needs};
use crate::orchestrator::world::{Desk, World};
use crate::state::{Subject, TaskState, Told, What};
use crate::time::Timestamp;

/// How often people are told of one cause: after that it stands in the inbox, and whoever did not
/// react five times does not the sixth.
const TELL_MAX: u32 = 5;

/// How many causes of one run are told of one by one at a time; a graph that fails in a hundred
/// places is one piece of news.
const TOLD_AT_ONCE: usize = 3;

/// Looks at one run within this part of the span are one look.
const GAP: u32 = 12;

/// How many names a notice holds.
const NAMES_SHOWN: usize = 10;

/// Which run is looked at when, and what projects were told.
#[derive(Debug, Default)]
pub(crate) struct Reminders {
    pub(crate) watching: Watching,
    pub(crate) due: BTreeSet<(Timestamp, RunId)>,
    /// When which project was told last of something that is no matter of one run. A few
    /// entries for each project.
    told_of: BTreeMap<(ProjectId, String), Timestamp>,
}

impl Reminders {
    /// When a run is looked at next.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }
}

impl World {
    /// Runs that are to be looked at and are not in memory.
    pub(crate) fn absent_due(&self, now: Timestamp) -> Vec<RunId> {
        let due = self.desk.reminders.due.iter().take_while(|(at, _)| *at <= now);
        due.map(|(_, run)| *run).filter(|run| !self.runs.contains_key(run)).collect()
    }

    /// Looks at every run whose time has come, and tells what has waited too long.
    pub(crate) fn remind(&mut self) {
        let now = self.desk.now;
        while let Some((at, id)) = self.desk.reminders.due.first().copied() {
            if at > now {
                break;
            }
            self.desk.reminders.due.remove(&(at, id));
            if let Some(run) = self.runs.get_mut(&id) {
                run.reminder = None;
                self.look_at(id);
            }
        }
    }

    fn look_at(&mut self, id: RunId) {
        let Watching { stuck_after: Some(after), repeat, .. } = self.desk.reminders.watching else {
            return;
        };
        let Some(view) = self.view(id) else { return };
        let found = self.causes(&view);
        let mut told = std::mem::take(&mut self.run_mut(id).record.attention.told);
        // What is gone, or began anew, was not told of.
        told.retain(|told| {
            found.iter().any(|cause| cause.key == told.cause && cause.since == told.since)
        });
        let mut due: Vec<&Cause> = Vec::new();
        for cause in &found {
            let next = next_of(cause, &told, after, repeat);
            if next.is_some_and(|next| next <= self.desk.now) {
                due.push(cause);
            }
        }
        due.sort_by_key(|cause| (std::cmp::Reverse(cause.holds_up.len()), cause.since));
        self.tell(&view, &due, &mut told, repeat);
        let next = found.iter().filter_map(|cause| next_of(cause, &told, after, repeat)).min();
        let next = next.map(|next| next.max(self.desk.now + after / GAP));
        let run = self.runs.get_mut(&id).expect("BUG: it was just looked at");
        run.record.attention.told = told;
        run.changed.run |= !due.is_empty();
        self.desk.touched.insert(id);
        self.arm_reminder(id, next);
    }

    fn run_mut(&mut self, id: RunId) -> &mut crate::orchestrator::world::Run {
        self.runs.get_mut(&id).expect("BUG: it was just looked at")
    }

    fn causes(&self, view: &RunView) -> Vec<Cause> {
        let starts = self.runs.values().filter(|run| run.is_open());
        let starts = starts.flat_map(|run| &run.tasks).map(|task| task.started_at);
        let last_start = starts.max().unwrap_or_default().max(last_start(view, None));
        causes(view, &Outside { holds: &self.desk.holds, last_start })
    }

    /// Tells of what is due: the first few by themselves, the others in a line.
    fn tell(&mut self, view: &RunView, due: &[&Cause], told: &mut Vec<Told>, repeat: Duration) {
        let now = self.desk.now;
        let mut notices: Vec<(&Cause, Vec<String>)> = Vec::new();
        let mut rest = 0usize;
        for cause in due {
            let project = &view.run.project;
            let before = self.desk.told_widely(project, cause, now, repeat);
            if before.is_none() && notices.len() < TOLD_AT_ONCE {
                notices.push((cause, lines(view, cause)));
            } else if before.is_none() {
                rest += 1;
            }
            let at = before.unwrap_or(now);
            match told.iter_mut().find(|told| told.cause == cause.key) {
                Some(told) => (told.at, told.times) = (at, told.times + 1),
                None => {
                    let (cause, since) = (cause.key.clone(), cause.since);
                    told.push(Told { cause, since, at, times: 1 });
                }
            }
        }
        if let (true, Some((_, last))) = (rest > 0, notices.last_mut()) {
            last.push(format!("{rest} more wait as long; the inbox lists them"));
        }
        for (cause, lines) in notices {
            self.send_reminder(view, cause, lines);
        }
    }

    fn send_reminder(&mut self, view: &RunView, cause: &Cause, lines: Vec<String>) {
        let span = span(self.desk.now.since(cause.since));
        let said = format!("still waiting after {span}: {}", cause.sentence);
        let desk = &mut self.desk;
        let seq = desk.journal(view.run.id, cause.subject, None, What::Stuck, Some(said.clone()));
        let graph = &view.info.graph;
        let (task, lane) = match cause.subject {
            Subject::Task(task) => (Some(graph.task(task).id.clone()), None),
            Subject::Lane(lane) => (None, Some(graph.lane(lane).id.clone())),
            Subject::Run => (None, None),
        };
        let notice = Notice {
            seq,
            at: desk.now,
            kind: NoticeKind::Stuck,
            project: view.run.project.clone(),
            run: (!cause.wide).then(|| view.info.name.clone()),
            task,
            lane,
            title: said,
            lines,
            asks: asks(view, cause),
        };
        send(desk, &notice);
    }

    /// After a turn: when a run that something happened to is looked at.
    pub(crate) fn mind(&mut self, id: RunId) {
        let Some(run) = self.runs.get(&id) else { return };
        if !run.is_open() {
            return self.mind_resting(id);
        }
        let armed = run.reminder;
        let Some(after) = self.desk.reminders.watching.stuck_after else { return };
        let soon = self.desk.now + after;
        if armed.is_none_or(|at| at > soon) {
            self.arm_reminder(id, Some(soon));
        }
    }

    /// A run that rests says how much in it is for people, and when they are reminded.
    fn mind_resting(&mut self, id: RunId) {
        let Some(view) = self.view(id) else { return };
        let count = u32::try_from(needs(&view).len()).unwrap_or(u32::MAX);
        let next = self.first_due(&view);
        let attention = &mut self.run_mut(id).record.attention;
        if attention.needs != Some(count) {
            attention.needs = Some(count);
            self.run_mut(id).changed.run = true;
        }
        let next = next.filter(|_| view.run.archived_at.is_none());
        self.arm_reminder(id, next);
    }

    /// When the first cause of a run is to be told of.
    fn first_due(&self, view: &RunView) -> Option<Timestamp> {
        let Watching { stuck_after: Some(after), repeat, .. } = self.desk.reminders.watching else {
            return None;
        };
        let told = &view.run.attention.told;
        let found = self.causes(view);
        found.iter().filter_map(|cause| next_of(cause, told, after, repeat)).min()
    }

    /// A run that a process takes up is looked at when the one before would have done so.
    pub(crate) fn mind_adopted(&mut self, id: RunId) {
        if self.desk.reminders.watching.stuck_after.is_none() {
            return;
        }
        let next = self.view(id).filter(|view| view.run.archived_at.is_none());
        let next = next.and_then(|view| self.first_due(&view));
        self.arm_reminder(id, next);
    }

    fn arm_reminder(&mut self, id: RunId, at: Option<Timestamp>) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        if let Some(before) = std::mem::replace(&mut run.reminder, at) {
            self.desk.reminders.due.remove(&(before, id));
        }
        if !run.is_open() && run.record.attention.remind_at != at {
            run.record.attention.remind_at = at;
            run.changed.run = true;
        }
        self.desk.reminders.due.extend(at.map(|at| (at, id)));
    }
}

impl Desk {
    /// When a project was told of something that is no matter of one run, if that is not long ago.
    /// Otherwise it is told now.
    fn told_widely(
        &mut self,
        project: &ProjectId,
        cause: &Cause,
        now: Timestamp,
        repeat: Duration,
    ) -> Option<Timestamp> {
        if !cause.wide {
            return None;
        }
        let key = (project.clone(), cause.key.clone());
        let before = self.reminders.told_of.get(&key).copied().filter(|at| now.since(*at) < repeat);
        if before.is_none() {
            self.reminders.told_of.insert(key, now);
        }
        before
    }
}

/// When people are to be told of a cause; `None`: often enough.
fn next_of(cause: &Cause, told: &[Told], after: Duration, repeat: Duration) -> Option<Timestamp> {
    match told.iter().find(|told| told.cause == cause.key && told.since == cause.since) {
        Some(told) => (told.times < TELL_MAX).then(|| told.at + repeat),
        None => Some(cause.since + after),
    }
}

/// What a cause holds up.
fn lines(view: &RunView, cause: &Cause) -> Vec<String> {
    let names: Vec<String> = cause
        .holds_up
        .iter()
        .take(NAMES_SHOWN)
        .map(|task: &TaskIx| view.info.graph.task(*task).id.to_string())
        .collect();
    let all = cause.holds_up.len();
    if all == 0 {
        return Vec::new();
    }
    let tasks = if all == 1 { "1 task" } else { &format!("{all} tasks") };
    let rest = all - names.len();
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    vec![format!("it holds up {tasks}: {}{more}", names.join(", "))]
}

fn asks(view: &RunView, cause: &Cause) -> Vec<Ask> {
    let Some(need) = cause.need else { return Vec::new() };
    match need {
        Need::Approval => vec![Ask::Approve, Ask::Reject],
        Need::Question | Need::Silence => {
            let Subject::Task(task) = cause.subject else { return Vec::new() };
            let more = view.tasks[task.at()].more.as_ref();
            let question = more.and_then(|more| more.question.as_ref());
            question.map(|asked| vec![Ask::Answer(asked.choices.clone())]).unwrap_or_default()
        }
        Need::Failed => match cause.subject {
            Subject::Task(task)
                if matches!(view.tasks[task.at()].state, TaskState::Failed { .. }) =>
            {
                vec![Ask::Retry, Ask::Skip, Ask::Logs]
            }
            Subject::Task(_) | Subject::Lane(_) | Subject::Run => vec![Ask::Retry],
        },
        Need::Stopped | Need::Stale => vec![Ask::Retry, Ask::Skip],
        Need::Budget => vec![Ask::More, Ask::FinishUp, Ask::Stop],
        Need::Plan | Need::Held | Need::Paused | Need::Broken => Vec::new(),
    }
}

/// A span to the minute, for people.
fn span(span: Duration) -> String {
    let minutes = span.as_secs() / 60;
    match minutes {
        0 => humantime::format_duration(Duration::from_secs(span.as_secs())).to_string(),
        minutes => humantime::format_duration(Duration::from_secs(minutes * 60)).to_string(),
    }
}
