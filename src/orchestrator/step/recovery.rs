//! What a process found when it took up what an earlier one had begun: told once, when all is
//! known.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{ProjectId, RunId};
use crate::notify::{Notice, NoticeKind};
use crate::orchestrator::step::notices::send;
use crate::orchestrator::world::{Desk, Run, World};
use crate::runner::Found;
use crate::state::{EffectKey, LaneState, Subject, TaskState, Verb, What};

/// What is being found out.
#[derive(Debug, Default)]
pub(crate) struct Recovery {
    /// Attempts of which nothing is known yet.
    pending: BTreeSet<EffectKey>,
    runs: BTreeMap<RunId, Tally>,
}

/// What was found of one run.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    at_work: u32,
    ended: u32,
    not_begun: u32,
    /// Merges and checks that were cut short.
    merges: u32,
    needs_you: u32,
}

impl Tally {
    fn add(self, other: Self) -> Self {
        Self {
            at_work: self.at_work + other.at_work,
            ended: self.ended + other.ended,
            not_begun: self.not_begun + other.not_begun,
            merges: self.merges + other.merges,
            needs_you: self.needs_you + other.needs_you,
        }
    }

    fn sentence(self) -> String {
        let part = |count: u32, one: &str, many: &str| match count {
            0 => None,
            1 => Some(format!("1 {one}")),
            n => Some(format!("{n} {many}")),
        };
        let parts = [
            part(self.at_work, "agent goes on", "agents go on"),
            part(self.ended, "ended meanwhile", "ended meanwhile"),
            part(self.not_begun, "is begun again", "are begun again"),
            part(self.merges, "merge or check goes on", "merges and checks go on"),
            part(self.needs_you, "needs you", "need you"),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

impl World {
    /// Notes what the runs that were taken up had under way. Once, when all are there.
    pub(crate) fn begin_recovery(&mut self) {
        let mut recovery = Recovery::default();
        for (id, run) in self.runs.iter().filter(|(_, run)| run.is_open()) {
            let owed = run.to_finish();
            let attempts = owed.iter().filter(|key| key.verb == Verb::Attempt);
            recovery.pending.extend(attempts.clone().copied());
            let merges = (owed.len() - attempts.count()) as u32;
            if !owed.is_empty() {
                recovery.runs.insert(*id, Tally { merges, ..Tally::default() });
            }
        }
        self.desk.recovery = (!recovery.runs.is_empty()).then_some(recovery);
    }

    /// Tells every project with open runs that nothing starts, and why.
    pub(crate) fn tell_of_safe_mode(&mut self) {
        let Some(why) = self.desk.safe_mode.clone() else { return };
        let mut told = BTreeSet::new();
        for (id, run) in self.runs.iter().filter(|(_, run)| run.is_open()) {
            if !told.insert(run.record.project.clone()) {
                continue;
            }
            let what = Some(format!("safe mode: {why}"));
            let seq = self.desk.journal(*id, Subject::Run, None, What::Remark, what);
            let title = "nothing is started until somebody resumes everything".to_owned();
            let mut notice = run.notice(&self.desk, seq, NoticeKind::SafeMode, title);
            notice.run = None;
            notice.lines = vec![why.clone()];
            send(&mut self.desk, &notice);
        }
    }

    /// When everything is known: a line for each run, and one notice for each project.
    pub(crate) fn tell_of_recovery(&mut self) {
        let known = |recovery: &mut Recovery| recovery.pending.is_empty();
        let Some(recovery) = self.desk.recovery.take_if(known) else { return };
        let mut projects: BTreeMap<ProjectId, (Notice, Tally)> = BTreeMap::new();
        for (id, mut tally) in recovery.runs {
            let Some(run) = self.runs.get(&id) else { continue };
            tally.needs_you = run.needs_people();
            let sentence = format!("taken up again: {}", tally.sentence());
            let desk = &mut self.desk;
            let seq = desk.journal(id, Subject::Run, None, What::Recovered, Some(sentence));
            let name = run.info.name.clone();
            let (notice, all) = projects.entry(run.record.project.clone()).or_insert_with(|| {
                let notice = run.notice(desk, seq, NoticeKind::Restarted, String::new());
                (notice, Tally::default())
            });
            *all = all.add(tally);
            if notice.run.as_ref() != Some(&name) {
                notice.run = None;
            }
            notice.lines.push(format!("{name}: {}", tally.sentence()));
        }
        for (mut notice, tally) in projects.into_values() {
            notice.title = format!("back at work: {}", tally.sentence());
            if notice.run.is_some() {
                notice.lines.clear();
            }
            send(&mut self.desk, &notice);
        }
    }
}

impl Desk {
    /// How an attempt that an earlier process began was found; `None`: nobody could say.
    pub(crate) fn found(&mut self, key: &EffectKey, found: Option<Found>) {
        let Some(recovery) = &mut self.recovery else { return };
        if !recovery.pending.remove(key) {
            return;
        }
        let Some(tally) = recovery.runs.get_mut(&key.run) else { return };
        match found {
            Some(Found::AtWork) => tally.at_work += 1,
            Some(Found::Ended) => tally.ended += 1,
            Some(Found::NotBegun) | None => tally.not_begun += 1,
        }
    }
}

impl Run {
    /// How many decisions of people it waits for.
    fn needs_people(&self) -> u32 {
        let tasks = self.tasks.iter().filter(|task| {
            matches!(
                task.state,
                TaskState::WaitingInput { .. }
                    | TaskState::AwaitingApproval { .. }
                    | TaskState::Failed { .. }
                    | TaskState::Stale
            )
        });
        let lanes = self.lanes.iter().filter(|lane| {
            matches!(lane.state, LaneState::AwaitingApproval | LaneState::Failed { .. })
        });
        (tasks.count() + lanes.count()) as u32
    }
}
