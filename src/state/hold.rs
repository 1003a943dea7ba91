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
