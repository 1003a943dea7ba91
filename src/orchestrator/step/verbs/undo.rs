//! Taking back what was merged into a lane, a lane, or a whole run.
//!
//! What would move is said first. The branch is moved before anything else is believed: it is
//! recorded as owed, done by compare-and-swap, and only then are tasks undone. What is in a target
//! of the user is never moved back, but reverted by a pull request.

use crate::failure::Failure;
use crate::graph::{LaneIx, TaskIx};
use crate::ids::{CommitId, LaneId, TaskId};
use crate::orchestrator::command::{Answer, Receipt, Target, Undo, Verb};
use crate::orchestrator::step::verbs::Plan;
use crate::orchestrator::world::{Desk, Run};
use crate::runner::{LaneEnd, StepFailure};
use crate::state::{Effect, LaneEvent, LaneState, Moving, TaskEvent, TaskState, What};

/// What becomes of one lane.
enum Step {
    /// Its integration branch goes back.
    Move { lane: LaneIx, moving: Moving },
    /// It is given up.
    Drop(LaneIx),
    /// Its merge is reverted in its target.
    Revert(LaneIx),
}

impl Run {
    pub(super) fn undo(&mut self, desk: &mut Desk, plan: &Plan<'_>, what: &Undo) -> Answer {
        let (sentence, steps) = match what {
            Undo::Task { task } => {
                let step = self.back_before(task)?;
                (format!("the result of task `{task}` is taken back"), vec![step])
            }
            Undo::After { task } => {
                let step = self.back_to(task)?;
                (format!("what was merged after task `{task}` is taken back"), vec![step])
            }
            Undo::Lane { lane } => {
                let step = self.back_to_base(lane)?;
                let sentence = match step {
                    Step::Revert(_) => format!("a revert of lane `{lane}` is proposed"),
                    Step::Move { .. } | Step::Drop(_) => {
                        format!("lane `{lane}` is taken back to where it began")
                    }
                };
                (sentence, vec![step])
            }
            Undo::TearDown { lane } => {
                let step = self.torn_down(self.find_lane(lane)?)?;
                (format!("lane `{lane}` is given up, its branch and pull requests too"), vec![step])
            }
            Undo::Run => {
                let lanes: Vec<LaneIx> = self.graph().lane_ixs().collect();
                let steps = lanes.into_iter().filter_map(|lane| self.reset_of(lane).transpose());
                let steps = steps.collect::<Result<Vec<Step>, Failure>>()?;
                (format!("run `{}` is taken back", self.info.name), steps)
            }
        };
        let moves: Vec<String> = steps.iter().map(|step| self.told(step)).collect();
        let affected = steps.iter().flat_map(|step| self.touched_by(step)).collect();
        if !plan.dry_run {
            for step in steps {
                self.begin_undo(desk, plan, step);
            }
            if *what == Undo::Run && !self.record.cancelled {
                self.cancel_run(desk, plan)?;
            }
        }
        let changed = !moves.is_empty();
        Ok(Receipt { sentence, affected, changed, moves })
    }

    /// The last merge of a lane, taken back.
    fn back_before(&self, id: &TaskId) -> Result<Step, Failure> {
        let task = self.find_task(id)?;
        let lane = self.graph().task(task).lane;
        let (merged, onto) = self.merge_of(task)?;
        let tip = self.lanes[lane.at()].tip.clone();
        if tip.as_ref() != Some(&merged) {
            return Err(Failure::user(format!(
                "task `{id}` is not the last that was merged into its lane"
            ))
            .hint(format!("do it again on top: `taskloom rewind {}/{id}`", self.info.name))
            .hint("or take back everything after a task: `taskloom reset-to --after TASK`"));
        }
        self.may_move(lane)?;
        Ok(Step::Move { lane, moving: Moving { from: merged, to: onto, tasks: vec![task] } })
    }

    /// Everything that was merged after a task, taken back.
    fn back_to(&self, id: &TaskId) -> Result<Step, Failure> {
        let task = self.find_task(id)?;
        let lane = self.graph().task(task).lane;
        let (to, _) = self.merge_of(task)?;
        let tip = self.lanes[lane.at()].tip.clone();
        let from = tip.ok_or_else(|| Failure::bug("a lane with merges has no tip"))?;
        let (mut at, mut tasks) = (from.clone(), Vec::new());
        while at != to {
            let last = self.graph().lane_tasks(lane).iter().copied().find(|t| {
                let more = self.tasks[t.at()].more.as_ref();
                more.is_some_and(|more| more.merged.as_ref() == Some(&at))
            });
            let next = last.and_then(|last| Some((last, self.merge_of(last).ok()?.1)));
            let Some((last, onto)) = next else {
                return Err(Failure::user(format!(
                    "somebody else has added to the lane after task `{id}`; it is left alone"
                ))
                .hint("take back their work by hand first"));
            };
            tasks.push(last);
            at = onto;
        }
        if tasks.is_empty() {
            return Err(Failure::user(format!("nothing was merged after task `{id}`")));
        }
        self.may_move(lane)?;
        Ok(Step::Move { lane, moving: Moving { from, to, tasks } })
    }

    /// A whole lane: its branch goes back, or what is in the target already is reverted.
    fn back_to_base(&self, id: &LaneId) -> Result<Step, Failure> {
        let lane = self.find_lane(id)?;
        if self.lanes[lane.at()].state == LaneState::Merged {
            return self.reverted(lane);
        }
        self.may_move(lane)?;
        let record = &self.lanes[lane.at()];
        let (Some(to), Some(from)) = (record.base.clone(), record.tip.clone()) else {
            return Err(Failure::user(format!("lane `{id}` has not begun")));
        };
        let undone = |task: &TaskIx| self.tasks[task.at()].state.next(TaskEvent::Undone).is_ok();
        let tasks: Vec<TaskIx> =
            self.graph().lane_tasks(lane).iter().copied().filter(undone).collect();
        if from == to && tasks.is_empty() {
            return Err(Failure::user(format!("nothing was merged into lane `{id}`")));
        }
        Ok(Step::Move { lane, moving: Moving { from, to, tasks } })
    }

    fn reverted(&self, lane: LaneIx) -> Result<Step, Failure> {
        let id = &self.graph().lane(lane).id;
        if let LaneEnd::Lane(parent) = self.info.lane_target(lane) {
            let parent = &self.graph().lane(parent).id;
            return Err(Failure::user(format!("lane `{id}` is merged into lane `{parent}`")).hint(
                format!("take back that: `taskloom reset-workstream {}/{parent}`", self.info.name),
            ));
        }
        if self.lanes[lane.at()].merged.is_none() {
            return Err(Failure::user(format!("lane `{id}` had nothing to merge")));
        }
        Ok(Step::Revert(lane))
    }

    fn torn_down(&self, lane: LaneIx) -> Result<Step, Failure> {
        let id = &self.graph().lane(lane).id;
        let state = self.lanes[lane.at()].state;
        if state == LaneState::Merged {
            return Err(Failure::user(format!("lane `{id}` is merged"))
                .hint(format!("revert it: `taskloom reset-workstream {}/{id}`", self.info.name)));
        }
        if state == LaneState::Reset {
            return Err(Failure::user(format!("lane `{id}` is given up already")));
        }
        if state == LaneState::Pending {
            return Err(Failure::user(format!("lane `{id}` has not begun"))
                .hint(format!("give up its tasks: `taskloom cancel {}/TASK`", self.info.name)));
        }
        self.nobody_works_in(lane)?;
        Ok(Step::Drop(lane))
    }

    /// What taking the run back means for a lane; nothing where there is nothing to take back.
    fn reset_of(&self, lane: LaneIx) -> Result<Option<Step>, Failure> {
        let record = &self.lanes[lane.at()];
        if matches!(record.state, LaneState::Pending | LaneState::Reset) {
            return Ok(None);
        }
        if record.state == LaneState::Merged {
            let into_lane = matches!(self.info.lane_target(lane), LaneEnd::Lane(_));
            let reverts = record.merged.is_some() && !into_lane;
            return Ok(reverts.then_some(Step::Revert(lane)));
        }
        self.nobody_works_in(lane)?;
        Ok(Some(Step::Drop(lane)))
    }

    /// The commit that merged a task, and what it was merged onto.
    fn merge_of(&self, task: TaskIx) -> Result<(CommitId, CommitId), Failure> {
        let id = &self.graph().task(task).id;
        let more = self.tasks[task.at()].more.as_ref();
        let merge = more.and_then(|more| Some((more.merged.clone()?, more.onto.clone()?)));
        merge.ok_or_else(|| {
            Failure::user(format!("task `{id}` was not merged into its lane by this run"))
        })
    }

    /// A lane's branch may be moved back: it is nowhere else yet, and nobody builds on it now.
    fn may_move(&self, lane: LaneIx) -> Result<(), Failure> {
        let state = self.lanes[lane.at()].state;
        let id = &self.graph().lane(lane).id;
        if matches!(state, LaneState::Merging | LaneState::Merged | LaneState::Reset) {
            let failure = Failure::user(format!("lane `{id}` is {}", state.word()));
            return Err(
                failure.hint("what is in a target is reverted: `taskloom reset-workstream`")
            );
        }
        self.nobody_works_in(lane)
    }

    fn nobody_works_in(&self, lane: LaneIx) -> Result<(), Failure> {
        let id = &self.graph().lane(lane).id;
        let state = self.lanes[lane.at()].state;
        if matches!(state, LaneState::Checking | LaneState::Merging) {
            return Err(Failure::user(format!("lane `{id}` is {}", state.word()))
                .hint("wait until that is over"));
        }
        let at_work = |task: &&TaskIx| self.tasks[task.at()].state.attempt().is_some();
        let Some(task) = self.graph().lane_tasks(lane).iter().find(at_work) else { return Ok(()) };
        let state = self.tasks[task.at()].state.word();
        let task = &self.graph().task(*task).id;
        Err(Failure::user(format!("task `{task}` of lane `{id}` is {state}"))
            .hint(format!("stop it first: `taskloom stop {}/{task}`; or wait", self.info.name)))
    }

    /// What a step moves, for whoever is to say yes.
    fn told(&self, step: &Step) -> String {
        let branch = |lane: LaneIx| self.info.branches().lane(&self.graph().lane(lane).id);
        match step {
            Step::Move { lane, moving } => format!(
                "`{}` goes from {} back to {}",
                branch(*lane),
                moving.from.short(),
                moving.to.short()
            ),
            Step::Drop(lane) => {
                let at = self.lanes[lane.at()].tip.as_ref().map_or("nothing", CommitId::short);
                format!("`{}`, at {at}, is removed and its pull requests closed", branch(*lane))
            }
            Step::Revert(lane) => {
                let merged = self.lanes[lane.at()].merged.as_ref().map_or("", CommitId::short);
                let target = match self.info.lane_target(*lane) {
                    LaneEnd::Branch(name) => name,
                    LaneEnd::Lane(parent) => self.graph().lane(parent).id.to_string(),
                };
                format!("`{target}` stays; a commit that reverts {merged} is proposed to it")
            }
        }
    }

    fn touched_by(&self, step: &Step) -> Vec<TaskId> {
        match step {
            Step::Move { moving, .. } => self.names(&moving.tasks),
            Step::Drop(lane) | Step::Revert(lane) => self.names(self.graph().lane_tasks(*lane)),
        }
    }

    fn begin_undo(&mut self, desk: &mut Desk, plan: &Plan<'_>, step: Step) {
        let run = self.info.id;
        let (lane, effect) = match step {
            Step::Move { lane, moving } => {
                let (from, to) = (moving.from.clone(), moving.to.clone());
                self.lane_mut(lane).moving = Some(moving);
                (lane, Effect::MoveLane { run, lane, from, to })
            }
            Step::Drop(lane) => (lane, Effect::DropLane { run, lane }),
            Step::Revert(lane) => {
                let merged = self.lanes[lane.at()].merged.clone();
                let merged = merged.expect("BUG: only what is merged is reverted");
                let check = self.lanes[lane.at()].checked.as_ref();
                let onto = check.map(|check| check.target.clone());
                (lane, Effect::RevertLane { run, lane, merged, onto })
            }
        };
        let why = format!("{} takes it back", plan.who);
        self.lane_note(desk, lane, What::Remark, Some(why));
        self.ready.set_open(lane, false);
        self.owe(desk, effect);
    }

    /// Whether a lane is being taken back: until that is done, nothing is begun in it.
    pub(crate) fn is_undoing(&self, lane: LaneIx) -> bool {
        // Whatever is done to take it back has this key: a lane is taken back once at a time.
        self.effects.contains_key(&Effect::DropLane { run: self.info.id, lane }.key())
    }

    /// Verbs wait until what is taken back is: where they reach, nothing must move meanwhile.
    pub(crate) fn must_not_be_undoing(&self, verb: &Verb) -> Result<(), Failure> {
        let lanes: Vec<LaneIx> = match verb {
            Verb::Retry { target: Target::Lane(id), .. }
            | Verb::Approve { target: Target::Lane(id), .. }
            | Verb::Reject { target: Target::Lane(id), .. }
            | Verb::Undo { what: Undo::Lane { lane: id } | Undo::TearDown { lane: id } } => {
                self.graph().lookup_lane(id).into_iter().collect()
            }
            Verb::Approve { target: Target::Task(id), .. }
            | Verb::Reject { target: Target::Task(id), .. }
            | Verb::Plan { task: id, .. }
            | Verb::Undo { what: Undo::Task { task: id } | Undo::After { task: id } }
            | Verb::Stop { task: id }
            | Verb::Allow { task: id, .. }
            | Verb::Pause { task: Some(id) }
            | Verb::Resume { task: Some(id) } => {
                let task = self.graph().lookup_task(id);
                task.map(|task| self.graph().task(task).lane).into_iter().collect()
            }
            // These reach further than their own lane.
            Verb::Retry { .. }
            | Verb::Rewind { .. }
            | Verb::Skip { .. }
            | Verb::Cancel { .. }
            | Verb::Undo { what: Undo::Run } => self.graph().lane_ixs().collect(),
            Verb::Pause { task: None }
            | Verb::Resume { task: None }
            | Verb::Reprioritise { .. }
            | Verb::Answer { .. }
            | Verb::Archive
            | Verb::Restore
            | Verb::Steer { .. } => return Ok(()),
        };
        match lanes.into_iter().find(|lane| self.is_undoing(*lane)) {
            Some(lane) => Err(Failure::user(format!(
                "lane `{}` is being taken back",
                self.graph().lane(lane).id
            ))
            .hint("ask again when that is done")),
            None => Ok(()),
        }
    }

    /// What was to be taken back is.
    pub(crate) fn lane_undone(&mut self, desk: &mut Desk, lane: LaneIx, sentence: String) {
        let Some(moving) = self.lane_mut(lane).moving.take() else {
            return self.lane_given_up(desk, lane, sentence);
        };
        self.lane_note(desk, lane, What::Remark, Some(sentence));
        self.lane_mut(lane).tip = Some(moving.to);
        for task in &moving.tasks {
            let more = self.tasks[task.at()].more_mut();
            (more.merged, more.onto, more.proposal) = (None, None, None);
            more.decisions.clear();
            more.fresh = true;
            self.changed.task(*task);
            if self.tasks[task.at()].state.next(TaskEvent::Undone).is_ok() {
                self.task_event(desk, *task, TaskEvent::Undone, None);
            }
        }
        self.outdate_dependents(desk, &moving.tasks);
        // What was concluded about it is void, also where only skipped tasks were in it.
        if self.lanes[lane.at()].state.next(LaneEvent::Reopened).is_ok() {
            self.forget_lane_effects(desk, lane);
            self.lane_event(desk, lane, LaneEvent::Reopened, None);
        }
        let open = self.lanes[lane.at()].state.takes_tasks();
        self.ready.set_open(lane, open);
        self.merge_next(desk, lane);
        self.lane_progress(desk, lane);
    }

    /// What built on something that is undone and has succeeded is a person's to decide about.
    fn outdate_dependents(&mut self, desk: &mut Desk, undone: &[TaskIx]) {
        for task in undone {
            for other in self.info.clone().graph.descendants(*task) {
                let done = matches!(
                    self.tasks[other.at()].state,
                    TaskState::Merged
                        | TaskState::Completed
                        | TaskState::AwaitingPlanApproval { .. }
                );
                if done {
                    let why = Some(format!("`{}` was taken back", self.graph().task(*task).id));
                    self.task_event(desk, other, TaskEvent::Outdated, why);
                }
            }
        }
    }

    /// A lane that was torn down or reverted is over.
    fn lane_given_up(&mut self, desk: &mut Desk, lane: LaneIx, sentence: String) {
        if self.lanes[lane.at()].state != LaneState::Merged {
            self.forget_lane_effects(desk, lane);
        }
        self.lane_event(desk, lane, LaneEvent::Reset, Some(sentence));
        for task in self.graph().lane_tasks(lane).to_vec() {
            if self.tasks[task.at()].state.next(TaskEvent::Undone).is_ok() {
                self.task_event(desk, task, TaskEvent::Undone, None);
            }
            if self.tasks[task.at()].state.next(TaskEvent::Cancelled).is_ok() {
                self.task_event(desk, task, TaskEvent::Cancelled, None);
            }
        }
    }

    /// It could not be taken back; everything is as it was.
    pub(crate) fn lane_not_undone(&mut self, desk: &mut Desk, lane: LaneIx, failure: &StepFailure) {
        self.lane_mut(lane).moving = None;
        let open = self.lanes[lane.at()].state.takes_tasks();
        self.ready.set_open(lane, open);
        desk.touched.insert(self.info.id);
        let message = format!("it was not taken back: {}", failure.message);
        let seq = self.lane_note(desk, lane, What::Remark, Some(message.clone()));
        self.notify_lane_failed(desk, lane, seq, &message);
        self.merge_next(desk, lane);
        self.lane_progress(desk, lane);
        self.consider_lane(desk, lane);
    }
}
