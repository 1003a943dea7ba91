//! What the configuration says about who may start when. Replaced as a whole when it changes.

use std::collections::BTreeMap;

use crate::graph::{AgentSpec, Budget};
use crate::ids::ProfileName;
use crate::state::{ProjectRecord, ProjectSettings};
use crate::time::Quiet;

/// What the configuration says about who may start when.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policy {
    /// Attempts at once, over all projects.
    pub slots: u32,
    /// Attempts at once in a project that says nothing else, and so in each of its runs.
    pub project_slots: u32,
    /// The profile of tasks that name neither profile nor framework.
    pub default_agent: Option<ProfileName>,
    /// Agent profiles by name.
    pub profiles: BTreeMap<ProfileName, ProfileRules>,
    /// The projects of the configuration.
    pub projects: Vec<ProjectRecord>,
    /// What all projects together may use within the window.
    pub budget: Budget,
    /// When nothing is started.
    pub quiet: Option<Quiet>,
    /// What happens when an agent's limit is reset.
    pub resume: Resume,
}

/// What holds for an agent profile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProfileRules {
    /// How many of it may run at once; `None`: as many as there are slots.
    pub slots: Option<u32>,
    /// Who does its tasks while its limit is reached.
    pub fallback: Option<ProfileName>,
}

/// What happens when an agent's limit is reset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Resume {
    /// Its tasks go on.
    #[default]
    Auto,
    /// A person is asked.
    Ask,
}

impl Policy {
    /// So many slots, whoever asks: what tests and rehearsals need.
    pub fn of_slots(slots: u32) -> Self {
        Self { slots, project_slots: slots, ..Self::default() }
    }

    /// The profile that does a task: its own or its graph's, else the project's, else the
    /// default. `None`: its agent says by itself how it is spoken to.
    pub fn profile_of<'a>(
        &'a self,
        spec: &'a AgentSpec,
        project: &'a ProjectSettings,
    ) -> Option<&'a ProfileName> {
        match (&spec.profile, spec.framework, &spec.command) {
            (None, None, None) => project.agent.as_ref().or(self.default_agent.as_ref()),
            (named, ..) => named.as_ref(),
        }
    }
}
