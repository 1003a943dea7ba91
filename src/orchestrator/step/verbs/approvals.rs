//! Approvals: bound to the commit that a person was shown, counted by the graph's rule.

use crate::failure::Failure;
use crate::graph::{LaneIx, TaskIx};
use crate::ids::CommitId;
use crate::orchestrator::command::{Answer, Target};
use crate::orchestrator::step::verbs::{Plan, done, nothing};
use crate::orchestrator::world::{Desk, Run};
use crate::state::{Decision, FailureClass, LaneFailure, LaneState, TaskEvent, TaskState};

impl Run {
    pub(super) fn approve(
        &mut self,
        desk: &mut Desk,
        plan: &Plan<'_>,
        target: &Target,
        shown: Option<&CommitId>,
    ) -> Answer {
        match target {
            Target::Task(id) => {
                let task = self.find_task(id)?;
                if matches!(
                    self.tasks[task.at()].state,
                    TaskState::PrCreated { .. } | TaskState::Merging { .. } | TaskState::Merged
                ) {
                    return Ok(nothing(format!("{target} is approved already")));
                }
                self.same_commit(target, shown)?;
                self.approve_task(desk, plan, target, task)?;
            }
            Target::Lane(id) => {
                let lane = self.find_lane(id)?;
                let state = self.lanes[lane.at()].state;
                if matches!(state, LaneState::Merging | LaneState::Merged) {
                    return Ok(nothing(format!("{target} is {} already", state.word())));
                }
                self.same_commit(target, shown)?;
                self.approve_lane(desk, plan, target, lane)?;
            }
        }
        Ok(done(format!("{target} is approved by {}", plan.who), Vec::new()))
    }

    /// A person decides about what they were shown, and nothing else.
    fn same_commit(&self, target: &Target, shown: Option<&CommitId>) -> Result<(), Failure> {
        let Some(shown) = shown else { return Ok(()) };
        let now = match target {
            Target::Task(id) => self.tasks[self.find_task(id)?.at()].proposal().map(|p| &p.commit),
            Target::Lane(id) => {
                self.lanes[self.find_lane(id)?.at()].checked.as_ref().map(|check| &check.commit)
            }
        };
        match now {
            Some(now) if now == shown => Ok(()),
            Some(now) => Err(Failure::user(format!(
                "{target} is at commit {} now, and you were shown {}",
                now.short(),
                shown.short()
            ))
            .hint("look at what it is now and decide again")),
            None => Err(Failure::user(format!("{target} has nothing to decide about now"))),
        }
    }

    fn approve_task(
        &mut self,
        desk: &mut Desk,
        plan: &Plan<'_>,
        target: &Target,
        task: TaskIx,
    ) -> Result<(), Failure> {
        if !matches!(self.tasks[task.at()].state, TaskState::AwaitingApproval { .. }) {
            return Err(self.refused(task, "approved"));
        }
        let commit = self.tasks[task.at()].proposal().map(|p| p.commit.clone());
        let commit = commit.expect("BUG: what awaits approval has a commit");
        let given = self.tasks[task.at()].more.as_ref().map_or(&[][..], |more| &more.decisions);
        let no_self = self.info.task_approval(task).is_some_and(|rule| rule.no_self);
        let decision = self.decision(desk, plan, target, commit, given, no_self)?;
        if !plan.dry_run {
            self.tasks[task.at()].more_mut().decisions.push(decision);
            self.changed.task(task);
            if self.task_approvals_missing(task) == 0 {
                self.task_event(desk, task, TaskEvent::Approved, None);
                self.enqueue_merge(desk, task);
            }
        }
        Ok(())
    }

    fn approve_lane(
        &mut self,
        desk: &mut Desk,
        plan: &Plan<'_>,
        target: &Target,
        lane: LaneIx,
    ) -> Result<(), Failure> {
        self.lane_awaits_approval(lane, "approved")?;
        let record = &self.lanes[lane.at()];
        let commit = record.checked.as_ref().map(|check| check.commit.clone());
        let commit = commit.expect("BUG: what awaits approval was checked");
        let no_self = self.info.lane_approval(lane).is_some_and(|rule| rule.no_self);
        let decision = self.decision(desk, plan, target, commit, &record.decisions, no_self)?;
        if !plan.dry_run {
            self.lane_mut(lane).decisions.push(decision);
            if self.lane_approvals_missing(lane) == 0 {
                self.begin_lane_merge(desk, lane);
            }
        }
        Ok(())
    }

    fn lane_awaits_approval(&self, lane: LaneIx, verb: &str) -> Result<(), Failure> {
        let state = self.lanes[lane.at()].state;
        if state == LaneState::AwaitingApproval {
            return Ok(());
        }
        let id = &self.graph().lane(lane).id;
        Err(Failure::user(format!("lane `{id}` is {} and cannot be {verb}", state.word())))
    }

    fn decision(
        &self,
        desk: &Desk,
        plan: &Plan<'_>,
        target: &Target,
        commit: CommitId,
        given: &[Decision],
        no_self: bool,
    ) -> Result<Decision, Failure> {
        if no_self && plan.who == self.record.submitter {
            return Err(Failure::user(format!(
                "{target} must be approved by somebody else than {}, who submitted the run",
                plan.who
            )));
        }
        if given.iter().any(|d| d.who == plan.who && d.commit == commit) {
            return Err(Failure::user(format!("{} has already approved {target}", plan.who))
                .hint("another person must approve as well"));
        }
        Ok(Decision { who: plan.who.to_owned(), at: desk.now, commit, review: false })
    }

    pub(super) fn reject(
        &mut self,
        desk: &mut Desk,
        plan: &Plan<'_>,
        target: &Target,
        shown: Option<&CommitId>,
        note: Option<&str>,
    ) -> Answer {
        self.same_commit(target, shown)?;
        let message = match note {
            Some(note) => format!("rejected by {}: {note}", plan.who),
            None => format!("rejected by {}", plan.who),
        };
        match target {
            Target::Task(id) => {
                let task = self.find_task(id)?;
                if !matches!(self.tasks[task.at()].state, TaskState::AwaitingApproval { .. }) {
                    return Err(self.refused(task, "rejected"));
                }
                if !plan.dry_run {
                    self.attempt_failed(desk, task, FailureClass::Rejected, message);
                }
            }
            Target::Lane(id) => {
                let lane = self.find_lane(id)?;
                self.lane_awaits_approval(lane, "rejected")?;
                if !plan.dry_run {
                    self.lane_failed(desk, lane, LaneFailure::Closed, &message);
                }
            }
        }
        Ok(done(format!("{target} is rejected"), Vec::new()))
    }
}
