//! The stage's forge and repository: pull requests, merges, lanes.

use crate::graph::LaneIx;
use crate::ids::{CommitId, RunId};
use crate::runner::{Job, LaneEnd, Report, StepFailure};
use crate::sim::stage::{Act, Inner};
use crate::state::{Effect, EffectKey, FailureClass, LaneCheck, Verb};

/// How one job on a lane goes, if it does not go well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneAct {
    /// The check of the merge result fails.
    CheckFails,
    /// The merge result conflicts.
    Conflict,
    /// The target moves before the merge.
    TargetMoves,
    /// A person closes the pull request instead of merging it.
    Closed,
    /// Outside trouble, once.
    Stumble,
    /// The integration branch cannot be made.
    CannotPrepare,
    /// What was merged cannot be taken back.
    CannotUndo,
}

impl LaneAct {
    /// The job that it happens to.
    fn strikes(self, verb: Verb) -> bool {
        match self {
            Self::CheckFails | Self::Conflict => verb == Verb::Check,
            Self::TargetMoves | Self::Closed | Self::Stumble => verb == Verb::Merge,
            Self::CannotPrepare => verb == Verb::Prepare,
            Self::CannotUndo => verb == Verb::Undo,
        }
    }

    fn report(self) -> Report {
        let failed = |class, message: &str| Report::Failed(StepFailure::new(class, message));
        match self {
            Self::CheckFails => failed(FailureClass::GateFailed, "the check failed"),
            Self::Conflict => failed(FailureClass::Conflict, "a.txt conflicts"),
            Self::TargetMoves => Report::TargetMoved,
            Self::Closed => failed(FailureClass::PrClosed, "the pull request was closed"),
            Self::Stumble => failed(FailureClass::Transient, "the network is down"),
            Self::CannotPrepare => failed(FailureClass::CannotStart, "there is no such branch"),
            Self::CannotUndo => failed(FailureClass::Internal, "the branch has moved"),
        }
    }
}

impl Inner {
    /// Everything but attempts.
    pub(super) fn play_lane(&mut self, job: &Job) -> Vec<Report> {
        let key = job.effect.key();
        if let Some(act) = self.lane_trouble(job) {
            return vec![act.report()];
        }
        match &job.effect {
            Effect::Attempt { .. }
            | Effect::WatchPr { .. }
            | Effect::WatchLanePr { .. }
            | Effect::ClosePr { .. }
            | Effect::CloseLanePr { .. } => Vec::new(),
            Effect::PrepareLane { run, lane, .. } => {
                let head = self.commit();
                let head = self.heads.entry((*run, *lane)).or_insert(head).clone();
                vec![Report::LanePrepared { head }]
            }
            Effect::MoveLane { run, lane, to, .. } => {
                self.heads.insert((*run, *lane), to.clone());
                vec![Report::Undone { sentence: "moved back".to_owned() }]
            }
            Effect::DropLane { .. } | Effect::RevertLane { .. } => {
                vec![Report::Undone { sentence: "given up".to_owned() }]
            }
            Effect::OpenPr { commit, .. } => {
                vec![Report::PrOpened { url: commit.short().into(), shared: false }]
            }
            Effect::MergePr { run, task, attempt, .. } => {
                let made = Effect::Attempt { run: *run, task: *task, attempt: *attempt }.key();
                let act = self.attempts.get(&made).map_or(Act::Succeed, |made| made.act.clone());
                self.merge(key, &act, *run, job.run.graph.task(*task).lane)
            }
            Effect::CheckLane { run, lane } => {
                let Some(ahead) = self.ahead.get(&(*run, *lane)).copied() else {
                    return vec![Report::LaneUpToDate { delivered: None }];
                };
                let (commit, target) = (self.heads[&(*run, *lane)].clone(), self.commit());
                let checks = job.run.graph.lane(*lane).checks.clone();
                let (files, insertions, deletions) = (ahead, ahead, 0);
                let check =
                    LaneCheck { commit, target, ahead, files, insertions, deletions, checks };
                vec![Report::LaneChecked(check)]
            }
            Effect::OpenLanePr { lane, .. } => {
                vec![Report::PrOpened { url: format!("lane-{}", lane.0), shared: false }]
            }
            Effect::MergeLane { run, lane, .. } => {
                if let Some(commit) = self.merges.get(&key).cloned() {
                    return vec![Report::Merged { commit, delivered: None }];
                }
                let commit = match job.run.lane_target(*lane) {
                    LaneEnd::Lane(parent) => self.advance(*run, parent),
                    LaneEnd::Branch(_) => self.commit(),
                };
                self.merges.insert(key, commit.clone());
                vec![Report::Merged { commit, delivered: None }]
            }
        }
    }

    fn lane_trouble(&mut self, job: &Job) -> Option<LaneAct> {
        let lane = match &job.effect {
            Effect::PrepareLane { lane, .. }
            | Effect::CheckLane { lane, .. }
            | Effect::MergeLane { lane, .. }
            | Effect::MoveLane { lane, .. }
            | Effect::DropLane { lane, .. }
            | Effect::RevertLane { lane, .. } => *lane,
            Effect::Attempt { .. }
            | Effect::OpenPr { .. }
            | Effect::MergePr { .. }
            | Effect::WatchPr { .. }
            | Effect::WatchLanePr { .. }
            | Effect::ClosePr { .. }
            | Effect::CloseLanePr { .. }
            | Effect::OpenLanePr { .. } => return None,
        };
        let script = self.lane_script.get_mut(&job.run.graph.lane(lane).id)?;
        let next = script.front().copied()?;
        if !next.strikes(job.effect.key().verb) {
            return None;
        }
        script.pop_front()
    }

    fn merge(&mut self, key: EffectKey, act: &Act, run: RunId, lane: LaneIx) -> Vec<Report> {
        if let Some(commit) = self.merges.get(&key).cloned() {
            return vec![Report::Merged { commit, delivered: None }];
        }
        if *act == Act::Conflict {
            let failure = StepFailure::new(FailureClass::Conflict, "a.txt conflicts");
            return vec![Report::Failed(failure)];
        }
        if *act == Act::StumbleAtMerge && self.stumbled.insert(key) {
            let failure = StepFailure::new(FailureClass::Transient, "the network is down");
            return vec![Report::Failed(failure)];
        }
        let commit = self.advance(run, lane);
        self.merges.insert(key, commit.clone());
        vec![Report::Merged { commit, delivered: None }]
    }

    fn advance(&mut self, run: RunId, lane: LaneIx) -> CommitId {
        let commit = self.commit();
        self.heads.insert((run, lane), commit.clone());
        *self.ahead.entry((run, lane)).or_default() += 1;
        commit
    }
}
