//! A project's doors: the engine's repository, the checkouts, the user's clone, the forge.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, RwLock};

use tokio::sync::Mutex;

use crate::forge::{self, Forge};
use crate::git::{self, Bare, Checkouts, DiskFloor, Git, Identity, Terms, UserRepo};
use crate::ids::ProjectId;
use crate::runner::job::StepFailure;
use crate::runner::layout::Layout;
use crate::runner::shop::OnGitHub;
use crate::state::{FailureClass, ProjectRecord};

/// Used checkouts that are kept for the next user: as many as agents usually run at once.
const POOL_MAX: usize = 16;

/// After how many merges a repository is packed.
const MERGES_UNPACKED_MAX: u32 = 32;

/// How many loose objects earlier processes may have left.
const LOOSE_MAX: u64 = 500;

/// A project's doors.
pub(crate) struct Project {
    pub(crate) bare: Bare,
    pub(crate) checkouts: Checkouts,
    pub(crate) user: UserRepo,
    pub(crate) forge: Arc<dyn Forge>,
    /// Merges since the repository was last packed.
    merges: AtomicU32,
}

impl Project {
    /// A merge was made. Every so many of them the repository is packed: what a fetch costs grows
    /// with what is not.
    pub(crate) async fn count_merge(&self) {
        if (self.merges.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(MERGES_UNPACKED_MAX)
            && let Err(error) = self.bare.compact().await
        {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "the repository is not packed"
            );
        }
    }
}

/// All projects whose doors are open.
pub(crate) struct Projects {
    git: Git,
    layout: Layout,
    terms: Arc<RwLock<Terms>>,
    github: RwLock<Option<OnGitHub>>,
    open: Mutex<BTreeMap<ProjectId, Arc<Project>>>,
}

impl Projects {
    pub(crate) fn new(
        git: Git,
        layout: Layout,
        identity: Identity,
        floor: DiskFloor,
        github: Option<OnGitHub>,
    ) -> Self {
        let terms = Arc::new(RwLock::new(Terms { floor, identity }));
        Self { git, layout, terms, github: RwLock::new(github), open: Mutex::default() }
    }

    /// Takes over another configuration. Doors that are open stay open; the forge of a project
    /// does not change while they are.
    pub(crate) fn adjust(&self, identity: Identity, floor: DiskFloor, github: Option<OnGitHub>) {
        *self.terms.write().expect("BUG: nobody panics with this lock") = Terms { floor, identity };
        *self.github.write().expect("BUG: nobody panics with this lock") = github;
    }

    fn on_github(&self) -> Option<OnGitHub> {
        self.github.read().expect("BUG: nobody panics with this lock").clone()
    }

    pub(crate) fn git(&self) -> &Git {
        &self.git
    }

    /// The doors of a project, opened on first use; what a crash left half done is healed then.
    pub(crate) async fn open(&self, record: &ProjectRecord) -> Result<Arc<Project>, StepFailure> {
        let mut open = self.open.lock().await;
        if let Some(project) = open.get(&record.id) {
            return Ok(project.clone());
        }
        let unlocked = self.unlock(record).await;
        let project = Arc::new(unlocked.map_err(|error| self.locked(record, &error))?);
        open.insert(record.id.clone(), project.clone());
        Ok(project)
    }

    async fn unlock(&self, record: &ProjectRecord) -> Result<Project, git::Error> {
        let user = UserRepo::open(&self.git, Path::new(&record.repo)).await?;
        let bare = Bare::open(&self.git, &self.layout.repo(&record.id), user.format()).await?;
        bare.heal().await?;
        let options = git::Options {
            worktrees: self.layout.worktrees(&record.id),
            records: self.layout.checkout_records(&record.id),
            pool_max: POOL_MAX,
            terms: self.terms.clone(),
        };
        let checkouts = Checkouts::open(bare.clone(), options).await?;
        let forge = self.forge(&record.id, &bare);
        if bare.loose().await? > LOOSE_MAX {
            bare.compact().await?;
        }
        Ok(Project { bare, checkouts, user, forge, merges: AtomicU32::new(0) })
    }

    /// Why the doors stay shut. A clone of ours that is not there is made again.
    fn locked(&self, record: &ProjectRecord, error: &git::Error) -> StepFailure {
        let gone = matches!(error, git::Error::NoRepository { .. });
        let place = self.layout.clone_of(&record.id);
        let ours = place.strip_prefix(self.layout.root()).unwrap_or(&place);
        match gone && Path::new(&record.repo).ends_with(ours) {
            true => {
                let message = format!("the clone of project `{}` is not there yet", record.id);
                StepFailure::new(FailureClass::Transient, message)
            }
            false => trouble(error),
        }
    }

    /// Whether others act on the project's pull requests, too.
    pub(crate) fn is_shared(&self, project: &ProjectId) -> bool {
        self.on_github().is_some_and(|on| on.repos.contains_key(project))
    }

    /// Where the project's pull requests are made.
    fn forge(&self, project: &ProjectId, bare: &Bare) -> Arc<dyn Forge> {
        let there = self.on_github();
        match there.and_then(|on| Some((on.account, on.repos.get(project)?.clone()))) {
            Some((account, repo)) => Arc::new(forge::GitHub::new(account, &repo, bare.clone())),
            None => Arc::new(forge::Local::new(bare.clone())),
        }
    }
}

/// What an error of git means for the step that met it.
pub(crate) fn trouble(error: &git::Error) -> StepFailure {
    use git::Error as E;
    let passes = matches!(
        error,
        E::Timeout { .. } | E::DiskLow { .. } | E::Io { .. } | E::Failed { .. } | E::Origin { .. }
    );
    let set_up =
        matches!(error, E::Missing | E::TooOld { .. } | E::NoRepository { .. } | E::BadPath { .. });
    let class = match (passes, set_up) {
        (true, _) => FailureClass::Transient,
        (_, true) => FailureClass::CannotStart,
        (false, false) => FailureClass::Internal,
    };
    StepFailure::new(class, told(error))
}

/// An error with its causes, on one line.
pub(crate) fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
