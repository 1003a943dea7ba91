//! What keeps everything, or all of one project, from starting.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::ProjectId;
use crate::time::Timestamp;

/// Who paused, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Who.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// Everything that is paused above single runs. Survives restarts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Holds {
    /// Everything is paused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub all: Option<Hold>,
    /// These projects are.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub projects: BTreeMap<ProjectId, Hold>,
}

impl Holds {
    /// The hold on everything (`None`) or on one project.
    pub fn get(&self, project: Option<&ProjectId>) -> Option<&Hold> {
        match project {
            None => self.all.as_ref(),
            Some(project) => self.projects.get(project),
        }
    }

    /// Sets or lifts the hold on everything (`None`) or on one project.
    pub fn set(&mut self, project: Option<&ProjectId>, hold: Option<Hold>) {
        match (project, hold) {
            (None, hold) => self.all = hold,
            (Some(project), Some(hold)) => drop(self.projects.insert(project.clone(), hold)),
            (Some(project), None) => drop(self.projects.remove(project)),
        }
    }

    /// Whether a project's tasks are kept from starting.
    pub fn holds(&self, project: &ProjectId) -> bool {
        self.all.is_some() || self.projects.contains_key(project)
    }
}

/// An agent profile whose limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cooldown {
    /// Until when.
    pub until: Timestamp,
    /// How often in a row nobody said until when.
    #[serde(default)]
    pub unknown: u32,
}

/// What is kept about the budget of a project within a day, or of everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetState {
    /// Whose; `None`: that of everything.
    pub project: Option<ProjectId>,
    /// When somebody was last warned that most of it is used up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warned: Option<Timestamp>,
    /// What it may use instead of all of it, in hundredths, and until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowance: Option<(u32, Timestamp)>,
}
