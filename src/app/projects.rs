//! Which repositories there are, and under which names: those of the configuration, those that
//! people made, and those that somebody ran a graph in.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};

use crate::app::{App, failure_of};
use crate::config::{self, Source};
use crate::failure::Failure;
use crate::git::{Git, Identity, UserRepo};
use crate::ids::{ProjectId, check_name};
use crate::runner::Layout;
use crate::scheduler::{Policy, ProfileRules};
use crate::state::ProjectRecord;
use crate::store::Store as _;
use crate::time::{Clock as _, SystemClock};

/// What is known of a project that is to be made known: its repository is made or cloned if it is
/// not there.
pub(crate) async fn found(
    config: &config::Config,
    id: &ProjectId,
    source: &Source,
    branch: Option<&str>,
) -> anyhow::Result<ProjectRecord> {
    let git = Git::find().await?;
    let place = made(&git, config, id, source).await?;
    let repo = UserRepo::open(&git, &place).await?;
    let place = repo.top().unwrap_or(repo.dir()).canonicalize()?;
    let branch = match branch {
        Some(branch) => branch.to_owned(),
        None => default_branch(&repo, matches!(source, Source::Clone(_))).await?,
    };
    Ok(ProjectRecord::new(id.clone(), place.display().to_string(), branch))
}

/// Where a project is on this machine.
pub(crate) fn place_of(config: &config::Config, id: &ProjectId, source: &Source) -> PathBuf {
    match source {
        Source::Link(path) | Source::Init(path) => path.clone(),
        Source::Clone(_) => Layout::new(config.data_dir.clone()).clone_of(id),
    }
}

/// Sees to it that a project's repository is there; where.
async fn made(
    git: &Git,
    config: &config::Config,
    id: &ProjectId,
    source: &Source,
) -> anyhow::Result<PathBuf> {
    let place = place_of(config, id, source);
    match source {
        Source::Link(_) => {}
        Source::Init(_) => {
            let by = Identity::new(&config.git.author_name, &config.git.author_email)?;
            git.begin(&place, &by, SystemClock.now()).await?;
        }
        Source::Clone(url) => git.clone_of(url, &place).await?,
    }
    Ok(place)
}

impl App {
    /// Sees to it that the repository of a project of the configuration is there.
    pub(super) async fn settle(&self, project: &config::Project) -> anyhow::Result<ProjectRecord> {
        let place = made(&self.git, &self.config(), &project.id, &project.source).await?;
        self.project(&place).await
    }

    /// The projects of the configuration that can be worked in; the log says why others cannot.
    async fn configured(&self) -> Vec<ProjectRecord> {
        let mut records = Vec::new();
        for project in &self.config().projects {
            match self.settle(project).await {
                Ok(record) => records.push(record),
                Err(error) => tracing::warn!("project `{}`: {error:#}", project.id),
            }
        }
        records
    }

    /// What the configuration says about who may start when.
    pub(crate) async fn policy(&self) -> Policy {
        Policy { projects: self.configured().await, ..policy(&self.config()) }
    }

    /// A project by its name, found again by its place, so that a branch that was renamed
    /// meanwhile is known.
    pub(crate) async fn project_named(&self, id: &ProjectId) -> Result<ProjectRecord, Failure> {
        let config = self.config();
        let configured = config.projects.iter().find(|project| project.id == *id);
        if let Some(project) = configured {
            return self.settle(project).await.map_err(failure_of);
        }
        let known = self.store.projects().await.unwrap_or_default();
        let record = known.into_iter().find(|project| project.id == *id);
        let record = record.ok_or_else(|| Failure::user(format!("there is no project `{id}`")))?;
        self.project(Path::new(&record.repo)).await.map_err(failure_of)
    }

    /// The project of the repository that `path` is in: the one of the configuration, the one of
    /// this repository that is known, or a new one named after the directory.
    pub async fn project(&self, path: &Path) -> anyhow::Result<ProjectRecord> {
        let path = std::path::absolute(path)?;
        let repo = UserRepo::open(&self.git, &path).await?;
        let place = repo.top().unwrap_or(repo.dir());
        let place = place.canonicalize().with_context(|| format!("{}", place.display()))?;
        let root = self.layout.root().canonicalize()?;
        if root.starts_with(&place) {
            let message = format!(
                "the data directory {} lies in the repository {}",
                root.display(),
                place.display()
            );
            anyhow::bail!(Failure::config(message).hint("name another one: `--data-dir DIR`"));
        }
        let known = self.store.projects().await?;
        let config = self.config();
        let is_here = |p: &&config::Project| same(&place_of(&config, &p.id, &p.source), &place);
        let configured = config.projects.iter().find(is_here);
        let by_place = known.iter().find(|p| Path::new(&p.repo) == place);
        let id = match (configured, by_place) {
            (Some(project), _) => project.id.clone(),
            (None, Some(project)) => project.id.clone(),
            (None, None) => new_id(&place, &known, &config.projects),
        };
        let branch = configured.and_then(|project| project.default_branch.clone());
        let branch = match branch {
            Some(branch) => branch,
            None => {
                let clone = |p: &config::Project| matches!(p.source, Source::Clone(_));
                default_branch(&repo, configured.is_some_and(clone)).await?
            }
        };
        let mut record = ProjectRecord::new(id, place.display().to_string(), branch);
        if let Some(project) = configured {
            record.settings = project.settings.clone();
            record.configured = true;
        } else if let Some(known) = known.into_iter().find(|known| known.id == record.id) {
            record.settings = known.settings;
        }
        Ok(record)
    }
}

/// Where lanes begin in a repository that nobody says it of.
async fn default_branch(repo: &UserRepo, cloned: bool) -> anyhow::Result<String> {
    let found = if cloned { repo.current_branch().await? } else { repo.default_branch().await? };
    let branch = found.ok_or_else(|| {
        let place = repo.top().unwrap_or(repo.dir()).display();
        Failure::user(format!("the repository {place} has no branch"))
            .hint("make a first commit on the branch that results should go to")
    })?;
    Ok(branch.as_str().to_owned())
}

/// What a configuration says about who may start when, projects left out.
pub(crate) fn policy(config: &config::Config) -> Policy {
    let rules = config.agents.iter().map(|(name, profile)| {
        let fallback = profile.fallback.clone();
        (name.clone(), ProfileRules { slots: profile.slots, fallback })
    });
    Policy {
        slots: config.slots,
        project_slots: config.project_slots,
        default_agent: config.default_agent.clone(),
        profiles: rules.collect(),
        projects: Vec::new(),
        budget: config.budget,
        quiet: config.quiet,
        resume: config.resume,
    }
}

fn same(link: &Path, place: &Path) -> bool {
    link.canonicalize().is_ok_and(|link| link == place)
}

/// A name for a repository that has none: its directory's, with what tells it from others of the
/// same name.
fn new_id(place: &Path, known: &[ProjectRecord], configured: &[config::Project]) -> ProjectId {
    let taken = |id: &str| {
        known.iter().any(|p| p.id.as_str() == id) || configured.iter().any(|p| p.id.as_str() == id)
    };
    let name = place.file_name().map(|name| name.to_string_lossy().into_owned());
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let name: String = name.unwrap_or_default().chars().filter(|c| fits(*c)).take(48).collect();
    let name = name.trim_start_matches(['_', '-']);
    let name = if check_name(name).is_ok() { name } else { "project" };
    let digest = Sha256::digest(PathBuf::from(place).as_os_str().as_encoded_bytes());
    let unique = format!("{name}-{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2]);
    let id = if taken(name) { &unique } else { name };
    id.parse().expect("BUG: made of proven characters")
}
