//! Things to be done outside the engine. Each is recorded before it is done, under a natural key,
//! so that after a crash whoever does it can look first whether it was done already.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::graph::{LaneIx, TaskIx};
use crate::ids::{CommitId, RunId};

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

/// What names an effect for ever: doing it twice under one key is doing it once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EffectKey(pub Box<str>);

impl fmt::Display for EffectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Effect {
    /// Its natural key. Numbers, not names: `12/t/3/0/attempt`.
    pub fn key(&self) -> EffectKey {
        let key = match self {
            Self::PrepareLane { run, lane } => format!("{run}/w/{}/prepare", lane.0),
            Self::Attempt { run, task, attempt } => format!("{run}/t/{}/{attempt}/attempt", task.0),
            Self::OpenPr { run, task, attempt, .. } => {
                format!("{run}/t/{}/{attempt}/open-pr", task.0)
            }
            Self::MergePr { run, task, attempt, .. } => {
                format!("{run}/t/{}/{attempt}/merge", task.0)
            }
            Self::CheckLane { run, lane } => format!("{run}/w/{}/check", lane.0),
            Self::OpenLanePr { run, lane } => format!("{run}/w/{}/open-pr", lane.0),
            Self::MergeLane { run, lane, .. } => format!("{run}/w/{}/merge", lane.0),
        };
        EffectKey(key.into())
    }

    /// The run it belongs to.
    pub fn run(&self) -> RunId {
        match self {
            Self::PrepareLane { run, .. }
            | Self::Attempt { run, .. }
            | Self::OpenPr { run, .. }
            | Self::MergePr { run, .. }
            | Self::CheckLane { run, .. }
            | Self::OpenLanePr { run, .. }
            | Self::MergeLane { run, .. } => *run,
        }
    }
}
