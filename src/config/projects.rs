//! The section `projects`: repositories by name, and what holds for each.

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use crate::config::Retention;
use crate::config::github::repo_name;
use crate::config::raw::{RawMergeMethod, Whole, expand, name};
use crate::config::retention::RawRetention;
use crate::failure::Failure;
use crate::graph::{Approval, Budget, SandboxKind};
use crate::ids::{ProfileName, ProjectId};
use crate::state::{ProjectSettings, Weight};

/// A repository.
#[derive(Debug, Clone, PartialEq)]
pub struct Project {
    /// Its name.
    pub id: ProjectId,
    /// Where it is.
    pub source: Source,
    /// Where lanes start and end; `None`: as found in the clone.
    pub default_branch: Option<String>,
    /// What holds for everything that runs there.
    pub settings: ProjectSettings,
    /// How long its things are kept.
    pub retention: Retention,
    /// Its name on GitHub, if pull requests are made there.
    pub github: Option<String>,
}

/// Where a repository is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A clone of the user's.
    Link(PathBuf),
    /// A repository that is made, with an empty commit, unless there is one.
    Init(PathBuf),
    /// A remote repository, of which the engine keeps a clone of its own.
    Clone(String),
}

impl Source {
    /// A remote repository. An address is written into logs and files, so none holds a secret.
    pub fn remote(url: &str) -> Result<Self, Failure> {
        let url = url.trim();
        if url.is_empty() {
            return Err(Failure::config("the address of the repository to clone is empty"));
        }
        if holds_secret(url) {
            let message = "the address of the repository to clone holds a password or a token";
            return Err(Failure::config(message)
                .hint("use SSH, whose keys are not in the address: `git@HOST:OWNER/NAME.git`"));
        }
        Ok(Self::Clone(url.to_owned()))
    }
}

/// Whether an address says how to sign in. With HTTP a token may also be the user's name; with SSH
/// a name alone is none.
fn holds_secret(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let Some((user, _)) = host.rsplit_once('@') else { return false };
    !scheme.eq_ignore_ascii_case("ssh") || user.contains(':')
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawProject {
    pub(super) id: String,
    #[serde(default)]
    link: Option<String>,
    #[serde(default)]
    init: Option<String>,
    #[serde(default)]
    clone: Option<String>,
    #[serde(default)]
    default_branch: Option<String>,
    #[serde(default)]
    graphs: Option<String>,
    #[serde(default)]
    merge_method: Option<RawMergeMethod>,
    #[serde(default)]
    pub(super) github: Option<String>,
    #[serde(default)]
    weight: Option<f64>,
    #[serde(default)]
    max_agents: Option<Whole>,
    #[serde(default)]
    budget: RawBudget,
    #[serde(default)]
    retention: RawRetention,
    #[serde(default)]
    agent: Option<String>,
    #[serde(default)]
    isolation: RawWall,
    #[serde(default)]
    approval: RawApprovals,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawBudget {
    tokens: Option<Whole>,
    usd: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawWall {
    sandbox: Option<SandboxKind>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawApprovals {
    tasks: Option<RawApproval>,
    lanes: Option<RawApproval>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum RawApproval {
    Whether(bool),
    Rule(RawRule),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawRule {
    count: Whole,
    no_self: bool,
}

impl Default for RawRule {
    fn default() -> Self {
        Self { count: Whole(1), no_self: false }
    }
}

impl RawBudget {
    /// `whose` says which budget it is.
    pub(super) fn check(&self, whose: &str) -> Result<Budget, Failure> {
        let wrong = |what: &str| {
            Failure::config(format!("`{what}` of the budget of {whose} must be more than 0"))
        };
        if self.tokens.is_some_and(|tokens| tokens.0 == 0) {
            return Err(wrong("tokens"));
        }
        if self.usd.is_some_and(|usd| !usd.is_finite() || usd <= 0.0) {
            return Err(wrong("usd"));
        }
        Ok(Budget { tokens: self.tokens.map(|tokens| tokens.0), usd: self.usd })
    }
}

impl RawApproval {
    fn check(self, whose: &str) -> Result<Option<Approval>, Failure> {
        let rule = match self {
            Self::Whether(false) => return Ok(None),
            Self::Whether(true) => RawRule::default(),
            Self::Rule(rule) => rule,
        };
        let count = u32::try_from(rule.count.0).ok().filter(|count| *count > 0);
        let count = count.ok_or_else(|| {
            Failure::config(format!("`count` of the approval of {whose} must be at least 1"))
        })?;
        // Who has which role is not known yet.
        Ok(Some(Approval { roles: Vec::new(), count, no_self: rule.no_self }))
    }
}

impl RawProject {
    fn source(&self, home: Option<&Path>) -> Result<Source, Failure> {
        let id = &self.id;
        match (&self.link, &self.init, &self.clone) {
            (Some(path), None, None) => Ok(Source::Link(expand(path, home)?)),
            (None, Some(path), None) => Ok(Source::Init(expand(path, home)?)),
            (None, None, Some(url)) if !url.trim().is_empty() => {
                Source::remote(url).map_err(|why| Failure {
                    message: format!("project `{id}`: {}", why.message),
                    ..why
                })
            }
            _ => Err(Failure::config(format!("project `{id}` must say where it is, in one way"))
                .hint("`link: PATH` to your clone, `init: PATH` to a new one, or `clone: URL`")),
        }
    }

    fn graphs(&self) -> Result<Option<String>, Failure> {
        let Some(graphs) = &self.graphs else { return Ok(None) };
        let path = Path::new(graphs);
        if path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
            let message = format!("`graphs` of project `{}` leaves the repository", self.id);
            return Err(
                Failure::config(message).hint("name a directory inside it, such as `graphs`")
            );
        }
        Ok(Some(graphs.clone()))
    }

    fn settings(self) -> Result<ProjectSettings, Failure> {
        let graphs = self.graphs()?;
        let whose = format!("project `{}`", self.id);
        let weight = match self.weight {
            None => Weight::default(),
            Some(number) => Weight::from_number(number).ok_or_else(|| {
                Failure::config(format!("`weight` of {whose} must be from 0.001 to 1000"))
            })?,
        };
        let max_agents = match self.max_agents {
            None => None,
            Some(Whole(most)) => {
                Some(u32::try_from(most).ok().filter(|most| *most > 0).ok_or_else(|| {
                    Failure::config(format!("`max_agents` of {whose} must be at least 1"))
                })?)
            }
        };
        let rule = |rule: Option<RawApproval>| match rule {
            Some(rule) => rule.check(&whose),
            None => Ok(None),
        };
        let agent: Option<ProfileName> =
            self.agent.map(|agent| name("`agent`", &agent)).transpose()?;
        Ok(ProjectSettings {
            weight,
            max_agents,
            budget: self.budget.check(&whose)?,
            agent,
            sandbox: self.isolation.sandbox,
            merge_method: self.merge_method.map(RawMergeMethod::check),
            task_approval: rule(self.approval.tasks)?,
            lane_approval: rule(self.approval.lanes)?,
            graphs,
        })
    }
}

/// Checks the whole section; `known` tells the agent profiles.
pub(super) fn check(
    raw: Vec<RawProject>,
    others: Retention,
    home: Option<&Path>,
    known: impl Fn(&ProfileName) -> bool,
) -> Result<Vec<Project>, Failure> {
    let mut projects: Vec<Project> = Vec::new();
    for project in raw {
        let id: ProjectId = name("project", &project.id)?;
        if projects.iter().any(|p| p.id == id) {
            return Err(Failure::config(format!("project `{id}` is there twice")));
        }
        let source = project.source(home)?;
        let default_branch = project.default_branch.clone();
        let github = project.github.as_deref();
        let github = github.map(|repo| repo_name(id.as_str(), repo)).transpose()?;
        let retention = project.retention.check(Some(others));
        let settings = project.settings()?;
        if let Some(agent) = settings.agent.as_ref().filter(|agent| !known(agent)) {
            return Err(Failure::config(format!("`agent` of project `{id}` names `{agent}`"))
                .hint("add it under `agents:`, or name one that is there"));
        }
        projects.push(Project { id, source, default_branch, settings, retention, github });
    }
    Ok(projects)
}
