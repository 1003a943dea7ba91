//! Which runs are looked for: what is looked at every day must not read what was put away.

use crate::ids::{ProjectId, RunName};
use crate::state::{RunRecord, RunState};
use crate::time::Timestamp;

/// Which runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// Those that were not put away.
    Active,
    /// Those that were.
    Archived,
    /// Those in which something goes on or can go on by itself.
    Open,
    /// Those that are open, or rest with something for a person; none that was put away.
    ForPeople,
    /// Those that rest and that people are reminded of.
    Reminded,
    /// Those that rest since before a moment with nothing for a person, and were not put away.
    Resting {
        /// That moment.
        before: Timestamp,
    },
    /// Those in which something may have happened since a moment, put away or not.
    Lately {
        /// That moment.
        after: Timestamp,
    },
    /// The one of this name.
    Named(ProjectId, RunName),
}

impl Which {
    /// Whether a run is one of them.
    pub fn fits(&self, run: &RunRecord) -> bool {
        let (open, active) = (run.state == RunState::Open, run.archived_at.is_none());
        match self {
            Self::Active => active,
            Self::Archived => !active,
            Self::Open => open,
            Self::ForPeople => active && (open || run.attention.needs != Some(0)),
            Self::Reminded => active && !open && run.attention.remind_at.is_some(),
            Self::Resting { before } => {
                let nothing = run.attention.needs == Some(0);
                active && !open && nothing && run.rests_since() < *before
            }
            Self::Lately { after } => open || run.rests_since() >= *after,
            Self::Named(project, name) => run.project == *project && run.name == *name,
        }
    }
}
