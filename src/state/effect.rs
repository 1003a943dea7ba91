//! Things to be done outside the engine. Each is recorded before it is done, under a natural key,
//! so that after a crash whoever does it can look first whether it was done already.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use crate::graph::{LaneIx, TaskIx};
use crate::ids::{CommitId, RunId, RunName};
use crate::state::record::Part;

/// Something to be done outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Effect {
    /// Make a lane's integration branch.
    PrepareLane {
        /// Whose.
        run: RunId,
        /// Which.
        lane: LaneIx,
        /// From that of an earlier run; `None`: from the lane's base.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<RunName>,
    },
    /// Carry one attempt from worktree to verified commit.
    Attempt {
        /// Whose.
        run: RunId,
        /// Which.
        task: TaskIx,
        /// Which try, from 0.
        attempt: u32,
    },
    /// Open a task's pull request into its lane.
    OpenPr {
        /// Whose.
        run: RunId,
        /// Which.
        task: TaskIx,
        /// Which try, from 0.
        attempt: u32,
        /// The head of the pull request.
        commit: CommitId,
    },
    /// Merge a task's pull request into its lane.
    MergePr {
        /// Whose.
        run: RunId,
        /// Which.
        task: TaskIx,
        /// Which try, from 0.
        attempt: u32,
        /// The head that was verified; another head must not be merged.
        commit: CommitId,
    },
    /// Look again and again what others do with a task's pull request.
    WatchPr {
        /// Whose.
        run: RunId,
        /// Which.
        task: TaskIx,
        /// Which try, from 0.
        attempt: u32,
    },
    /// The same for a lane's integration pull request.
    WatchLanePr {
        /// Whose.
        run: RunId,
        /// Which.
        lane: LaneIx,
    },
    /// Close the pull request of a task that a person gave up.
    ClosePr {
        /// Whose.
        run: RunId,
        /// Which.
        task: TaskIx,
        /// Which try, from 0.
        attempt: u32,
    },
    /// Close the integration pull request of a lane whose run a person gave up.
    CloseLanePr {
        /// Whose.
        run: RunId,
        /// Which.
        lane: LaneIx,
    },
    /// Compute a lane's merge result and run its checks on it.
    CheckLane {
        /// Whose.
        run: RunId,
        /// Which.
        lane: LaneIx,
    },
    /// Open a lane's integration pull request.
    OpenLanePr {
        /// Whose.
        run: RunId,
        /// Which.
        lane: LaneIx,
    },
    /// Move a lane's integration branch back.
    MoveLane {
        /// Whose.
        run: RunId,
        /// Which.
        lane: LaneIx,
        /// Where it must be.
        from: CommitId,
        /// Where it is to be.
        to: CommitId,
    },
    /// Remove a lane's branches and close its pull requests.
    DropLane {
        /// Whose.
        run: RunId,
        /// Which.
        lane: LaneIx,
    },
    /// Propose a revert of a lane's merge to its target.
    RevertLane {
        /// Whose.
        run: RunId,
        /// Which.
        lane: LaneIx,
        /// The merge.
        merged: CommitId,
        /// Where the target was before it.
        #[serde(default)]
        onto: Option<CommitId>,
    },
    /// Merge a lane into its target.
    MergeLane {
        /// Whose.
        run: RunId,
        /// Which.
        lane: LaneIx,
        /// The lane's head that was checked.
        commit: CommitId,
        /// The target's head that it was checked on.
        target: CommitId,
    },
}

/// What an effect does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// [`Effect::PrepareLane`].
    Prepare,
    /// [`Effect::Attempt`].
    Attempt,
    /// [`Effect::CheckLane`].
    Check,
    /// [`Effect::OpenPr`] and [`Effect::OpenLanePr`].
    OpenPr,
    /// [`Effect::MergePr`] and [`Effect::MergeLane`].
    Merge,
    /// [`Effect::ClosePr`] and [`Effect::CloseLanePr`].
    Close,
    /// [`Effect::MoveLane`], [`Effect::DropLane`] and [`Effect::RevertLane`].
    Undo,
    /// [`Effect::WatchPr`] and [`Effect::WatchLanePr`]. Goes on while the run rests.
    Watch,
}

impl Verb {
    /// The word in keys.
    pub fn word(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Attempt => "attempt",
            Self::Check => "check",
            Self::OpenPr => "open-pr",
            Self::Merge => "merge",
            Self::Close => "close-pr",
            Self::Undo => "undo",
            Self::Watch => "watch",
        }
    }
}

/// What names an effect for ever: doing it twice under one key is doing it once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EffectKey {
    /// Whose.
    pub run: RunId,
    /// On what.
    pub part: Part,
    /// Which try, from 0; 0 for lanes.
    pub attempt: u32,
    /// What is done.
    pub verb: Verb,
}

impl fmt::Display for EffectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (run, verb) = (self.run, self.verb.word());
        match self.part {
            Part::Lane(lane) => write!(f, "{run}/w/{}/{verb}", lane.0),
            Part::Task(task) => write!(f, "{run}/t/{}/{}/{verb}", task.0, self.attempt),
        }
    }
}

impl Serialize for EffectKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Effect {
    /// Its natural key: numbers, not names, as in `12/t/3/0/attempt`.
    pub fn key(&self) -> EffectKey {
        let (run, part, attempt, verb) = match self {
            Self::PrepareLane { run, lane, .. } => (run, Part::Lane(*lane), 0, Verb::Prepare),
            Self::Attempt { run, task, attempt } => {
                (run, Part::Task(*task), *attempt, Verb::Attempt)
            }
            Self::OpenPr { run, task, attempt, .. } => {
                (run, Part::Task(*task), *attempt, Verb::OpenPr)
            }
            Self::MergePr { run, task, attempt, .. } => {
                (run, Part::Task(*task), *attempt, Verb::Merge)
            }
            Self::WatchPr { run, task, attempt } => (run, Part::Task(*task), *attempt, Verb::Watch),
            Self::WatchLanePr { run, lane } => (run, Part::Lane(*lane), 0, Verb::Watch),
            Self::ClosePr { run, task, attempt } => (run, Part::Task(*task), *attempt, Verb::Close),
            Self::CloseLanePr { run, lane } => (run, Part::Lane(*lane), 0, Verb::Close),
            Self::CheckLane { run, lane } => (run, Part::Lane(*lane), 0, Verb::Check),
            Self::MoveLane { run, lane, .. }
            | Self::DropLane { run, lane }
            | Self::RevertLane { run, lane, .. } => (run, Part::Lane(*lane), 0, Verb::Undo),
            Self::OpenLanePr { run, lane } => (run, Part::Lane(*lane), 0, Verb::OpenPr),
            Self::MergeLane { run, lane, .. } => (run, Part::Lane(*lane), 0, Verb::Merge),
        };
        EffectKey { run: *run, part, attempt, verb }
    }

    /// The run it belongs to.
    pub fn run(&self) -> RunId {
        self.key().run
    }
}
