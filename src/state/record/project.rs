//! A repository that graphs run on, and what holds for everything that runs there.

use serde::{Deserialize, Serialize};

use crate::graph::{Approval, Budget, SandboxKind};
use crate::ids::{ProfileName, ProjectId};

/// A repository that graphs run on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProjectRecord {
    /// Its name.
    pub id: ProjectId,
    /// The clone that it is linked to: an absolute path.
    pub repo: String,
    /// Where lanes start and end unless the graph says otherwise.
    pub default_branch: String,
    /// What holds for everything that runs there.
    #[serde(default, skip_serializing_if = "ProjectSettings::is_default")]
    pub settings: ProjectSettings,
    /// It stands in the configuration, which wins over what people set elsewhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub configured: bool,
}

impl ProjectRecord {
    /// A project with nothing set.
    pub fn new(id: ProjectId, repo: impl Into<String>, default_branch: impl Into<String>) -> Self {
        Self {
            id,
            repo: repo.into(),
            default_branch: default_branch.into(),
            settings: ProjectSettings::default(),
            configured: false,
        }
    }
}

/// What holds for everything that runs in a project. `None`: as for all projects.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProjectSettings {
    /// Its share beside other projects that have work.
    pub weight: Weight,
    /// How many of its agents may run at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_agents: Option<u32>,
    /// What it may use within the window over which shares are counted.
    #[serde(skip_serializing_if = "Budget::is_unlimited")]
    pub budget: Budget,
    /// The profile of tasks that name neither profile nor framework.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<ProfileName>,
    /// The wall around agents where the graph does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<SandboxKind>,
    /// How its pull requests are merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merge_method: Option<MergeMethod>,
    /// Who must approve its tasks where the graph does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task_approval: Option<Approval>,
    /// Who must approve its lanes where the graph does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lane_approval: Option<Approval>,
    /// Where in the repository its graphs lie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graphs: Option<String>,
}

impl ProjectSettings {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// A share beside others, in thousandths of the usual one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Weight(u32);

impl Weight {
    /// The largest: a thousand times the usual one.
    pub const MAX: Weight = Weight(1_000_000);

    /// A weight from a number such as 1 or 0.5; `None` unless it is from 0.001 to 1000.
    pub fn from_number(number: f64) -> Option<Self> {
        let thousandths = (number * 1_000.0).round();
        let fits = (1.0..=f64::from(Self::MAX.0)).contains(&thousandths);
        fits.then_some(Self(thousandths as u32))
    }

    /// In thousandths of the usual one.
    pub fn thousandths(self) -> u32 {
        self.0
    }

    /// As people write it.
    pub fn number(self) -> f64 {
        f64::from(self.0) / 1_000.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self(1_000)
    }
}

/// How pull requests are merged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MergeMethod {
    /// A merge commit.
    #[default]
    Merge,
    /// One commit.
    Squash,
    /// The commits on top.
    Rebase,
}

impl MergeMethod {
    /// The word of the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::Squash => "squash",
            Self::Rebase => "rebase",
        }
    }
}
