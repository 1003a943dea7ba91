//! `step(world, event, now)`: synchronous, deterministic, no clock, no chance, no I/O.
//!
//! One turn of the loop steps every event that has gathered, plans once, and takes what the turn
//! produced: a batch to keep, jobs to hand out, messages to attempts. This file is the table of
//! contents; each sibling holds one concern of a [`Run`].

mod attempts;
mod lanes;
mod limits;
mod notices;
mod plan;
mod pulls;
mod recovery;
mod resubmit;
mod tasks;
mod verbs;

pub(crate) use notices::send;
pub(crate) use recovery::Recovery;
pub(crate) use resubmit::Carried;
pub(crate) use verbs::{done, nothing};

use std::sync::Arc;

use crate::failure::Failure;
use crate::graph::LaneIx;
use crate::orchestrator::command::{Answer, Command, Submitted};
use crate::orchestrator::world::{Desk, Run, World};
use crate::runner::{Report, RunInfo, ToAttempt};
use crate::state::{
    self, EffectKey, Ending, Part, ProjectRecord, RunRecord, Subject, TaskState, What,
};
use crate::store::Batch;
use crate::time::Timestamp;

/// What one turn produced.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// To be kept before anything else happens.
    pub(crate) batch: Batch,
    /// To be handed out after that.
    pub(crate) dispatch: Vec<EffectKey>,
    /// To be told to attempts under way after that.
    pub(crate) messages: Vec<(EffectKey, ToAttempt)>,
}

impl World {
    /// Begins a turn.
    pub(crate) fn begin(&mut self, now: Timestamp) {
        self.desk.now = now;
        self.desk.queue.roll(now);
        self.desk.roll_budgets();
        self.desk.quiet_until = self.desk.policy.quiet.and_then(|quiet| quiet.until(now));
        self.fire_timers();
        self.remind();
    }

    /// Plans, and takes what the turn produced.
    pub(crate) fn finish(&mut self) -> Turn {
        self.release_over_budget();
        self.tell_those_who_wait();
        self.plan();
        self.tell_of_recovery();
        for id in std::mem::take(&mut self.desk.touched) {
            self.mind(id);
            if let Some(run) = self.runs.get_mut(&id) {
                run.collect(&mut self.desk.batch);
            }
        }
        self.desk.owed_anew.clear();
        Turn {
            batch: std::mem::take(&mut self.desk.batch),
            dispatch: std::mem::take(&mut self.desk.dispatch),
            messages: std::mem::take(&mut self.desk.messages),
        }
    }

    /// Takes in a graph.
    pub(crate) fn submit(
        &mut self,
        info: Arc<RunInfo>,
        record: RunRecord,
        carried: Option<Carried>,
    ) -> Submitted {
        let (id, name) = (info.id, info.name.clone());
        self.next_run = self.next_run.max(id.0 + 1);
        self.note_project(&info.project);
        self.desk.batch.graphs.push((record.graph_digest.clone(), info.source.clone()));
        let mut run = Run::new(info, record, &mut self.desk);
        run.changed.run = true;
        self.desk.journal(id, Subject::Run, None, What::Submitted, Some(name.to_string()));
        if let Some(carried) = carried {
            let what = Some(carried.summary.to_string());
            self.desk.journal(id, Subject::Run, None, What::Remark, what);
            run.take_over(&mut self.desk, carried);
        } else {
            run.find_pools(&mut self.desk);
        }
        run.begin_waiting(&mut self.desk);
        run.open_all(&mut self.desk);
        self.runs.insert(id, run);
        Submitted { run: id, name }
    }

    /// Carries out a verb.
    pub(crate) fn command(&mut self, command: &Command) -> Answer {
        match self.runs.get_mut(&command.run) {
            Some(run) => run.command(&mut self.desk, command),
            None => Err(Failure::user("the process at work does not drive that run")
                .hint("wait until it ends, or end it with Ctrl-C; then say it again")),
        }
    }

    /// Takes in a report. One about something that is not owed any more, or that waits for its
    /// time, is stale and ignored.
    pub(crate) fn report(&mut self, key: &EffectKey, report: Report) {
        let Some(run) = self.runs.get_mut(&key.run) else { return };
        if !run.effects.contains_key(key) || run.waits(key) {
            tracing::debug!(%key, ?report, "a stale report");
            return;
        }
        match key.part {
            Part::Task(task) => run.task_report(&mut self.desk, task, key, report),
            Part::Lane(lane) => run.lane_report(&mut self.desk, lane, key, report),
        }
    }

    /// Starts nothing new from now on.
    pub(crate) fn drain(&mut self) {
        self.desk.draining = true;
    }

    /// Has every attempt under way ended without using it up; a later process begins them again.
    pub(crate) fn suspend(&mut self) {
        self.desk.draining = true;
        for run in self.runs.values_mut() {
            for task in run.info.clone().graph.order() {
                let state = run.tasks[task.at()].state;
                let alive =
                    matches!(state, TaskState::Running { .. } | TaskState::WaitingInput { .. });
                if alive && run.tasks[task.at()].ending().is_none() {
                    run.end_attempt(&mut self.desk, *task, Ending::Suspend);
                }
            }
        }
    }

    /// When something is due next.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        let due = self.desk.timers.first().map(|(at, ..)| *at);
        let waits = self.desk.queue.wakes_at();
        due.into_iter()
            .chain(waits)
            .chain(self.desk.quiet_until)
            .chain(self.desk.reminders.next())
            .min()
    }

    /// What is set for a project stays as it is; where it lies may have changed.
    fn note_project(&mut self, project: &ProjectRecord) {
        let known = self.desk.projects.get(&project.id).cloned();
        let mut record = project.clone();
        if let Some(known) = &known {
            record.settings = known.settings.clone();
            record.configured = known.configured;
        }
        self.desk.keep_project(known.as_ref(), record);
    }
}

impl Run {
    /// At the beginning: what waits for nothing is ready; what has nothing in it is finished.
    fn open_all(&mut self, desk: &mut Desk) {
        let info = self.info.clone();
        let roots: Vec<_> =
            info.graph.order().iter().copied().filter(|t| self.frontier.is_open(*t)).collect();
        self.open_tasks(desk, &roots);
        for lane in info.graph.lane_ixs() {
            self.lane_progress(desk, lane);
        }
    }

    fn lane_report(&mut self, desk: &mut Desk, lane: LaneIx, key: &EffectKey, report: Report) {
        let effect = self.effects[key].clone();
        if let Report::Remark(text) = report {
            self.lane_note(desk, lane, What::Remark, Some(text));
            return;
        }
        if let Report::News(news) = report {
            return self.lane_news(desk, lane, news);
        }
        if let (Report::Failed(failure), state::Verb::Watch) = (&report, key.verb) {
            let why = format!("not watched until the next start: {}", failure.message);
            self.lane_note(desk, lane, What::Remark, Some(why));
            return;
        }
        self.forget(desk, key);
        match report {
            Report::LanePrepared { head } => self.lane_prepared(desk, lane, head),
            Report::Closed => {
                let what = "its pull request is closed".to_owned();
                self.lane_note(desk, lane, What::Remark, Some(what));
            }
            Report::Undone { sentence } => self.lane_undone(desk, lane, sentence),
            Report::LaneChecked(check) => self.lane_checked(desk, lane, check),
            Report::LaneUpToDate { delivered } => self.lane_up_to_date(desk, lane, delivered),
            Report::PrOpened { url, shared } => self.lane_pr_opened(desk, lane, url, shared),
            Report::Held { why } => self.lane_held(desk, lane, why),
            Report::Merged { commit, delivered } => {
                self.lane_merge_done(desk, lane, commit, delivered);
            }
            Report::TargetMoved => self.lane_target_moved(desk, lane),
            Report::Failed(failure) => self.lane_job_failed(desk, lane, &effect, &failure),
            Report::Step(_)
            | Report::Gate { .. }
            | Report::Asked(_)
            | Report::Answered
            | Report::Steered { .. }
            | Report::Spent(_)
            | Report::Found(_)
            | Report::Remark(_)
            | Report::News(_)
            | Report::AttemptEnded(_) => {
                panic!("BUG: a task's report came about lane {}", self.graph().lane(lane).id)
            }
        }
    }

    /// Puts what changed into the batch.
    fn collect(&mut self, batch: &mut Batch) {
        let id = self.info.id;
        if std::mem::take(&mut self.changed.run) {
            batch.runs.push(self.record.clone());
        }
        for lane in std::mem::take(&mut self.changed.lanes) {
            batch.lanes.push((id, lane, self.lanes[lane.at()].clone()));
        }
        for task in std::mem::take(&mut self.changed.tasks) {
            self.changed.task_marks[task.at()] = false;
            batch.tasks.push((id, task, self.tasks[task.at()].clone()));
        }
    }
}
