//! One lane takes an event, and what follows: preparing, checking, proposing, merging.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::graph::LaneIx;
use crate::ids::CommitId;
use crate::orchestrator::world::{Desk, Run};
use crate::runner::StepFailure;
use crate::state::{
    ConcernKind, Delivered, Disposition, Effect, FailureClass, LaneCheck, LaneEvent, LaneFailure,
    LaneRecord, LaneState, Part, Subject, TaskEvent, TaskState, Verb, What,
};

/// How often a merge that fails for outside reasons is repeated before a person is asked.
const MERGE_REPEATS_MAX: u32 = 5;

impl Run {
    /// Applies an event that the caller knows to be legal.
    pub(crate) fn lane_event(
        &mut self,
        desk: &mut Desk,
        lane: LaneIx,
        event: LaneEvent,
        detail: Option<String>,
    ) -> u64 {
        let record = &mut self.lanes[lane.at()];
        let before = record.state;
        let after = match before.next(event) {
            Ok(after) => after,
            Err(illegal) => panic!("BUG: {}: {illegal}", self.graph().lane(lane).id),
        };
        record.state = after;
        record.since = desk.now;
        self.changed.lanes.insert(lane);
        let seq = desk.journal(self.info.id, Subject::Lane(lane), None, What::Lane(event), detail);
        let open = after.takes_tasks() && !self.is_undoing(lane);
        self.ready.set_open(lane, open);
        if before.has_pull() && !after.has_pull() {
            self.forget(desk, &Effect::WatchLanePr { run: self.info.id, lane }.key());
        }
        if after == LaneState::Merged {
            self.lane_merged(desk, lane);
        } else if before == LaneState::Merged {
            self.lane_unmerged(desk, lane);
        }
        seq
    }

    pub(crate) fn lane_note(
        &mut self,
        desk: &mut Desk,
        lane: LaneIx,
        what: What,
        detail: Option<String>,
    ) -> u64 {
        desk.journal(self.info.id, Subject::Lane(lane), None, what, detail)
    }

    pub(crate) fn lane_mut(&mut self, lane: LaneIx) -> &mut LaneRecord {
        self.changed.lanes.insert(lane);
        &mut self.lanes[lane.at()]
    }

    /// The lane has something to do and needs its integration branch.
    pub(crate) fn want(&mut self, lane: LaneIx) {
        let key = Effect::PrepareLane { run: self.info.id, lane, from: None }.key();
        if !self.effects.contains_key(&key) {
            self.wanted.insert(lane);
        }
    }

    /// Has every wanted lane prepared whose parent is there.
    pub(crate) fn prepare_wanted(&mut self, desk: &mut Desk) {
        let mut wanted: Vec<LaneIx> = std::mem::take(&mut self.wanted).into_iter().collect();
        let mut waiting = BTreeSet::new();
        while let Some(lane) = wanted.pop() {
            if self.lanes[lane.at()].state != LaneState::Pending {
                continue;
            }
            let parent = self.graph().lane(lane).parent;
            let parent = parent.filter(|p| !self.lanes[p.at()].state.is_active_or_later());
            if let Some(parent) = parent {
                waiting.insert(lane);
                let asked =
                    Effect::PrepareLane { run: self.info.id, lane: parent, from: None }.key();
                if !self.effects.contains_key(&asked) && !waiting.contains(&parent) {
                    wanted.push(parent);
                }
                continue;
            }
            let from = self.lanes[lane.at()].from.clone();
            self.owe(desk, Effect::PrepareLane { run: self.info.id, lane, from });
        }
        self.wanted = waiting;
    }

    /// Whether a lane failed in a way that keeps new lanes from starting.
    pub(crate) fn fails_fast(&self) -> bool {
        self.graph().settings().fail_fast_on_lane_error
            && (self.left.iter().any(|left| left.dead_ends > 0)
                || self.lanes.iter().any(|lane| matches!(lane.state, LaneState::Failed { .. })))
    }

    /// Concludes the lane if everything in it is done.
    pub(crate) fn lane_progress(&mut self, desk: &mut Desk, lane: LaneIx) {
        if self.record.cancelled || self.is_undoing(lane) {
            return;
        }
        let left = self.left[lane.at()];
        if left.tasks > 0 || left.children > 0 {
            return;
        }
        let state = self.lanes[lane.at()].state;
        if state == LaneState::Pending {
            self.want(lane);
        } else if state == LaneState::Active {
            self.lane_event(desk, lane, LaneEvent::Finished, None);
            self.begin_check(desk, lane);
        }
    }

    fn begin_check(&mut self, desk: &mut Desk, lane: LaneIx) {
        if self.lanes[lane.at()].state == LaneState::MergeReady {
            self.lane_event(desk, lane, LaneEvent::CheckBegun, None);
        }
        self.owe(desk, Effect::CheckLane { run: self.info.id, lane });
    }

    pub(crate) fn lane_prepared(&mut self, desk: &mut Desk, lane: LaneIx, head: CommitId) {
        let record = self.lane_mut(lane);
        record.base.get_or_insert_with(|| head.clone());
        record.tip = Some(head);
        let branch = self.info.branches().lane(&self.graph().lane(lane).id);
        self.lane_event(desk, lane, LaneEvent::Prepared, Some(branch));
        self.lane_progress(desk, lane);
    }

    pub(crate) fn lane_checked(&mut self, desk: &mut Desk, lane: LaneIx, check: LaneCheck) {
        let record = self.lane_mut(lane);
        record.transients = 0;
        record.decisions.retain(|decision| decision.commit == check.commit);
        record.tip = Some(check.commit.clone());
        record.checked = Some(check);
        self.owe(desk, Effect::OpenLanePr { run: self.info.id, lane });
    }

    pub(crate) fn lane_pr_opened(
        &mut self,
        desk: &mut Desk,
        lane: LaneIx,
        url: String,
        shared: bool,
    ) {
        self.lane_mut(lane).pr = Some(url.clone());
        self.lane_event(desk, lane, LaneEvent::PrOpened, Some(url));
        if shared {
            self.watch_lane(desk, lane);
        } else {
            self.ask_or_merge_lane(desk, lane);
        }
    }

    /// Nothing else is waited for: a person is asked, or it is merged.
    pub(crate) fn ask_or_merge_lane(&mut self, desk: &mut Desk, lane: LaneIx) {
        if self.lane_may_merge(lane) {
            self.begin_lane_merge(desk, lane);
            return;
        }
        let doubts = self.design_concerns(lane);
        if self.graph().lane(lane).auto_merge
            && doubts > 0
            && self.lane_approvals_missing(lane) == 0
        {
            let why = Some(format!("{doubts} design concern(s): left for a person"));
            self.lane_note(desk, lane, What::AutoMergeSkipped, why);
        }
        let seq = self.lane_event(desk, lane, LaneEvent::ApprovalAsked, None);
        self.notify_lane_approval(desk, lane, seq);
    }

    /// Whether enough people let it through, or none is needed and nobody has doubts.
    pub(crate) fn lane_may_merge(&self, lane: LaneIx) -> bool {
        let decided = !self.lanes[lane.at()].decisions.is_empty();
        let by_itself = self.graph().lane(lane).auto_merge && self.design_concerns(lane) == 0;
        self.lane_approvals_missing(lane) == 0 && (decided || by_itself)
    }

    /// How many approvals the lane's merge still needs. Without a rule it needs none when it
    /// merges by itself, and one when it does not.
    pub(crate) fn lane_approvals_missing(&self, lane: LaneIx) -> u32 {
        let needed = match self.info.lane_approval(lane) {
            Some(rule) => rule.count,
            None => u32::from(!self.graph().lane(lane).auto_merge),
        };
        let record = &self.lanes[lane.at()];
        let given = record.checked.as_ref().map_or(0, |check| {
            record.decisions.iter().filter(|d| d.commit == check.commit).count()
        });
        needed.saturating_sub(given as u32)
    }

    /// Design concerns of the lane's tasks. Only those of the attempts that count: trouble of
    /// earlier attempts says nothing about the result.
    pub(crate) fn design_concerns(&self, lane: LaneIx) -> usize {
        let of_task = |task: &crate::graph::TaskIx| {
            let concerns = self.tasks[task.at()].concerns();
            concerns.iter().filter(|c| c.kind == ConcernKind::Design).count()
        };
        self.graph().lane_tasks(lane).iter().map(of_task).sum()
    }

    pub(crate) fn begin_lane_merge(&mut self, desk: &mut Desk, lane: LaneIx) {
        let checked = self.lanes[lane.at()].checked.clone();
        let check = checked.expect("BUG: a lane is merged only after its check");
        self.lane_event(desk, lane, LaneEvent::MergeBegun, None);
        let (commit, target) = (check.commit, check.target);
        self.owe(desk, Effect::MergeLane { run: self.info.id, lane, commit, target });
    }

    pub(crate) fn lane_target_moved(&mut self, desk: &mut Desk, lane: LaneIx) {
        self.lane_event(desk, lane, LaneEvent::TargetMoved, None);
        if !self.record.cancelled {
            self.begin_check(desk, lane);
        }
    }

    pub(crate) fn lane_merge_done(
        &mut self,
        desk: &mut Desk,
        lane: LaneIx,
        commit: CommitId,
        delivered: Option<Delivered>,
    ) {
        let record = self.lane_mut(lane);
        record.merged = Some(commit.clone());
        record.delivered = delivered.clone();
        let automatic = self.lanes[lane.at()].decisions.is_empty();
        let how = if automatic { "by itself" } else { "as approved" };
        let detail = format!("{} {how}", commit.short());
        let seq = self.lane_event(desk, lane, LaneEvent::Merged, Some(detail));
        let sentence = delivered.map(|delivered| delivered.sentence);
        if let Some(sentence) = sentence.clone() {
            self.lane_note(desk, lane, What::Delivered, Some(sentence));
        }
        self.notify_lane_merged(desk, lane, seq, sentence);
    }

    /// There is nothing to merge, or it was merged before and is delivered now.
    pub(crate) fn lane_up_to_date(
        &mut self,
        desk: &mut Desk,
        lane: LaneIx,
        delivered: Option<Delivered>,
    ) {
        let sentence = delivered.as_ref().map(|delivered| delivered.sentence.clone());
        self.lane_mut(lane).delivered = delivered;
        let seq = self.lane_event(desk, lane, LaneEvent::IntegrationSkipped, None);
        if let Some(sentence) = sentence {
            self.lane_note(desk, lane, What::Delivered, Some(sentence.clone()));
            self.notify_lane_merged(desk, lane, seq, Some(sentence));
        }
    }

    fn lane_merged(&mut self, desk: &mut Desk, lane: LaneIx) {
        let info = self.info.clone();
        let mut opened = Vec::new();
        self.frontier.satisfy_lane(&info.graph, lane, |t| opened.push(t));
        self.open_tasks(desk, &opened);
        if let Some(parent) = info.graph.lane(lane).parent {
            self.left[parent.at()].children -= 1;
            self.lane_progress(desk, parent);
        }
    }

    fn lane_unmerged(&mut self, desk: &mut Desk, lane: LaneIx) {
        let info = self.info.clone();
        let mut closed = Vec::new();
        self.frontier.retract_lane(&info.graph, lane, |t| closed.push(t));
        for task in closed {
            if self.tasks[task.at()].state == TaskState::Ready {
                self.task_event(desk, task, TaskEvent::Closed, None);
            }
        }
        if let Some(parent) = info.graph.lane(lane).parent {
            self.left[parent.at()].children += 1;
        }
    }

    /// A lane's job failed. Outside trouble is waited out; everything else is a person's.
    pub(crate) fn lane_job_failed(
        &mut self,
        desk: &mut Desk,
        lane: LaneIx,
        effect: &Effect,
        failure: &StepFailure,
    ) {
        if failure.class.disposition() == Disposition::Later
            && self.lanes[lane.at()].transients < MERGE_REPEATS_MAX
        {
            self.repeat_later(desk, lane, effect.clone(), failure);
            return;
        }
        if effect.key().verb == Verb::Close {
            self.lane_note(desk, lane, What::Remark, Some(failure.message.clone()));
            return;
        }
        if effect.key().verb == Verb::Undo {
            return self.lane_not_undone(desk, lane, failure);
        }
        let why = match (effect.key().verb, failure.class) {
            (Verb::Prepare, _) => LaneFailure::Prepare,
            (_, FailureClass::Conflict) => LaneFailure::Conflict,
            (_, FailureClass::GateFailed) => LaneFailure::Check,
            (_, FailureClass::PrClosed | FailureClass::Rejected) => LaneFailure::Closed,
            _ => LaneFailure::Forge,
        };
        self.lane_failed(desk, lane, why, &failure.message);
        if failure.class.disposition() == Disposition::Fatal {
            self.fatal(desk, &failure.message);
        }
    }

    pub(crate) fn lane_failed(
        &mut self,
        desk: &mut Desk,
        lane: LaneIx,
        why: LaneFailure,
        message: &str,
    ) {
        self.lane_mut(lane).failure = Some(message.to_owned());
        let event = LaneEvent::Failed { why };
        let seq = self.lane_event(desk, lane, event, Some(message.to_owned()));
        self.notify_lane_failed(desk, lane, seq, message);
    }

    fn repeat_later(
        &mut self,
        desk: &mut Desk,
        lane: LaneIx,
        effect: Effect,
        failure: &StepFailure,
    ) {
        let record = self.lane_mut(lane);
        record.transients += 1;
        let repeats = record.transients;
        let at = desk.now + self.backoff(desk, repeats);
        self.lane_mut(lane).not_before = Some(at);
        self.arm(desk, at, Part::Lane(lane));
        self.lane_note(desk, lane, What::MergeFailed, Some(failure.message.clone()));
        self.remember(desk, effect);
    }

    /// The wait before the n-th repetition, from 1.
    pub(crate) fn backoff(&self, desk: &mut Desk, n: u32) -> Duration {
        let rule = self.graph().settings().backoff;
        let exponent = i32::try_from(n.saturating_sub(1)).unwrap_or(i32::MAX);
        let plain = rule.initial.as_secs_f64() * rule.factor.powi(exponent);
        let capped = plain.min(rule.max.as_secs_f64());
        let moved = capped * (1.0 + rule.jitter * (2.0 * desk.entropy.unit() - 1.0));
        Duration::from_secs_f64(moved.max(0.0))
    }

    /// A lane that was concluded is concluded no more: what was being done about it is void, and
    /// reports about it will find nothing.
    pub(crate) fn forget_lane_effects(&mut self, desk: &mut Desk, lane: LaneIx) {
        let run = self.info.id;
        for key in [Effect::CheckLane { run, lane }.key(), Effect::OpenLanePr { run, lane }.key()] {
            self.forget(desk, &key);
        }
        let record = self.lane_mut(lane);
        record.checked = None;
        record.decisions.clear();
    }
}
