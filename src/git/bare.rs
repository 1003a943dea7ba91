//! The engine's own bare repository, one per project. Agents can read its objects and write
//! nothing of it; lanes, task branches and imported work are refs in it.
//!
//! This file keeps the repository and its refs. What is in the history is asked in `history`,
//! what is made of it in `merge`, what comes out of checkouts in `collect`.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use crate::git::command::{Call, TRANSFER};
use crate::git::{BranchName, Error, Git, ObjectFormat, RefName, UserRepo};
use crate::ids::CommitId;

/// A lock this old has no owner: git holds one for as long as it takes to write a small file and
/// rename it. A younger one may belong to a git that outlived the previous daemon.
const LOCK_STALE_AFTER: Duration = Duration::from_secs(10);

/// How often [`Bare::heal`] looks again whether a young lock is gone.
const LOCK_LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Where the user's branches are kept, out of the way of the engine's own.
const UPSTREAM: &str = "refs/upstream/heads/";

/// The repository. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Bare(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    git: Git,
    dir: PathBuf,
    format: ObjectFormat,
    /// Held by what rewrites files of the whole repository: `shallow`, packs, packed refs. git
    /// lets two of those collide. Refs and objects come in side by side.
    reshaping: Mutex<()>,
}

/// One change of a transaction; all of them happen or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefChange {
    /// The ref must not exist.
    Create {
        /// Which.
        name: RefName,
        /// Its value.
        to: CommitId,
    },
    /// The ref must be at `from`.
    Move {
        /// Which.
        name: RefName,
        /// Its value now.
        from: CommitId,
        /// Its value then.
        to: CommitId,
    },
    /// The ref must be at `from` and is gone afterwards.
    Delete {
        /// Which.
        name: RefName,
        /// Its value now.
        from: CommitId,
    },
    /// The ref must be at `at` and stays there.
    Verify {
        /// Which.
        name: RefName,
        /// Its value.
        at: CommitId,
    },
}

/// What [`Bare::sync`] brought.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// Where each branch is in the user's repository.
    pub heads: BTreeMap<BranchName, CommitId>,
    /// Branches that the user's repository does not have.
    pub missing: Vec<BranchName>,
}

impl RefChange {
    fn name(&self) -> &RefName {
        match self {
            Self::Create { name, .. }
            | Self::Move { name, .. }
            | Self::Delete { name, .. }
            | Self::Verify { name, .. } => name,
        }
    }

    fn expected(&self) -> Option<&CommitId> {
        match self {
            Self::Create { .. } => None,
            Self::Move { from, .. } | Self::Delete { from, .. } => Some(from),
            Self::Verify { at, .. } => Some(at),
        }
    }

    /// The command that `update-ref -z --stdin` reads.
    pub(crate) fn line(&self) -> String {
        match self {
            Self::Create { name, to } => format!("create {name}\0{to}\0"),
            Self::Move { name, from, to } => format!("update {name}\0{to}\0{from}\0"),
            Self::Delete { name, from } => format!("delete {name}\0{from}\0"),
            Self::Verify { name, at } => format!("verify {name}\0{at}\0"),
        }
    }
}

impl Bare {
    /// Opens the repository at `dir`, making it if it is not there or only half made.
    pub async fn open(git: &Git, dir: &Path, format: ObjectFormat) -> Result<Self, Error> {
        check_path(dir)?;
        let inner =
            Inner { git: git.clone(), dir: dir.to_owned(), format, reshaping: Mutex::new(()) };
        let bare = Self(Arc::new(inner));
        if !bare.is_whole() {
            bare.make().await?;
        }
        Ok(bare)
    }

    /// The configuration is written last, so that whoever finds it as it should be finds the rest.
    fn is_whole(&self) -> bool {
        let has = |name: &str| self.dir().join(name).is_dir();
        let says = |name: &str| fs::read_to_string(self.dir().join(name)).unwrap_or_default();
        has("objects")
            && has("refs")
            && says("HEAD").starts_with("ref: ")
            && says("config") == self.config()
    }

    async fn make(&self) -> Result<(), Error> {
        let dir = self.dir();
        fs::create_dir_all(dir).map_err(Error::io("make", dir))?;
        let head = dir.join("HEAD");
        if fs::metadata(&head).is_ok_and(|m| m.len() == 0) {
            // An empty HEAD is what a power cut leaves of a new one; `init` would keep it.
            fs::remove_file(&head).map_err(Error::io("remove", &head))?;
        }
        let format = format!("--object-format={}", self.0.format.word());
        self.git()
            .call("init")
            .args(["--bare", "--quiet", "--template=", "--initial-branch=main"])
            .arg(format)
            .arg("--")
            .arg(dir)
            .done()
            .await?;
        self.write_config().map_err(Error::io("write", &dir.join("config")))
    }

    fn write_config(&self) -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(self.dir())?;
        file.write_all(self.config().as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(self.dir().join("config"))?;
        Ok(())
    }

    fn config(&self) -> String {
        let (version, extension) = match self.0.format {
            ObjectFormat::Sha1 => (0, ""),
            ObjectFormat::Sha256 => (1, "[extensions]\n\tobjectFormat = sha256\n"),
        };
        format!(
            "[core]\n\trepositoryformatversion = {version}\n\tfilemode = true\n\tbare = true\n\
             {extension}[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n"
        )
    }

    /// The git that works here.
    pub fn git(&self) -> &Git {
        &self.0.git
    }

    /// The repository's directory.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// Where its objects are: private checkouts borrow them, so a sandbox must let them be read.
    pub fn objects(&self) -> PathBuf {
        self.dir().join("objects")
    }

    /// What `objects/info/alternates` of a repository says that borrows from this one.
    pub(crate) fn alternates(&self) -> String {
        format!("{}\n", self.objects().display())
    }

    /// How its objects are named.
    pub fn format(&self) -> ObjectFormat {
        self.0.format
    }

    pub(crate) fn call(&self, verb: &'static str) -> Call<'_> {
        self.git().call(verb).repo(self.dir())
    }

    /// Clears away what a killed git left: locks and half-written objects. The caller must own
    /// the store that this repository belongs to, or it would take locks from a living owner.
    /// Returns how many files went. Gives young locks the time to become nobody's.
    pub async fn heal(&self) -> Result<usize, Error> {
        let mut removed = 0;
        let mut patience = LOCK_STALE_AFTER;
        loop {
            let (bare, stale_after) = (self.clone(), LOCK_STALE_AFTER.min(patience));
            let swept = spawn_blocking(move || remove_stale(bare.dir(), stale_after));
            let (gone, young) = swept.await.expect("BUG: sweeping does not panic")?;
            removed += gone;
            if young == 0 || patience.is_zero() {
                return Ok(removed);
            }
            tokio::time::sleep(LOCK_LOOK_AGAIN).await;
            patience = patience.saturating_sub(LOCK_LOOK_AGAIN);
        }
    }

    /// Packs loose objects and refs. Nothing that exists is thrown away; the more of them there
    /// are, the longer every fetch takes. For quiet moments.
    pub async fn compact(&self) -> Result<(), Error> {
        let _one_at_a_time = self.0.reshaping.lock().await;
        self.call("repack")
            .args(["-d", "--geometric=2", "--quiet"])
            .within(TRANSFER)
            .done()
            .await?;
        self.call("pack-refs").arg("--all").done().await
    }

    /// How many objects are not packed.
    pub async fn loose(&self) -> Result<u64, Error> {
        let call = self.call("count-objects");
        let verb = "count-objects";
        let text = call.text().await?;
        let count = text.split(' ').next().and_then(|count| count.parse().ok());
        count.ok_or(Error::Garbled { verb })
    }

    /// Brings `branches` of the user's repository here, as [`Bare::upstream`] names them. Nothing
    /// is written there.
    pub async fn sync(&self, source: &UserRepo, branches: &[BranchName]) -> Result<Synced, Error> {
        let there = source.branches(branches).await?;
        let refspecs: Vec<String> =
            there.keys().map(|b| format!("+refs/heads/{b}:{UPSTREAM}{b}")).collect();
        if !refspecs.is_empty() {
            let _one_at_a_time = self.0.reshaping.lock().await;
            self.fetch(source.dir(), &refspecs, &["--update-shallow"], &[]).await?;
        }
        let mut synced = Synced { heads: BTreeMap::new(), missing: Vec::new() };
        let here = self.heads(UPSTREAM).await?;
        for branch in branches {
            match here.get(&Self::upstream(branch)).filter(|_| there.contains_key(branch)) {
                Some(commit) => drop(synced.heads.insert(branch.clone(), commit.clone())),
                None => synced.missing.push(branch.clone()),
            }
        }
        Ok(synced)
    }

    /// The ref that holds the user's `branch` as of the last [`Bare::sync`].
    pub fn upstream(branch: &BranchName) -> RefName {
        RefName::new(&format!("{UPSTREAM}{branch}")).expect("BUG: a branch fits into any ref")
    }

    /// Fetches from a repository of this machine into refs of this one.
    pub(crate) async fn fetch(
        &self,
        from: &Path,
        refspecs: &[String],
        options: &[&str],
        settings: &[&str],
    ) -> Result<(), Error> {
        let call = settings.iter().fold(self.call("fetch"), |call, s| call.setting(s));
        call.args(FETCH_OPTIONS)
            .args(options)
            .arg("--end-of-options")
            .arg(from)
            .args(refspecs)
            .within(TRANSFER)
            .done()
            .await
    }

    /// Where `name` is, if it exists.
    pub async fn lookup(&self, name: &RefName) -> Result<Option<CommitId>, Error> {
        Ok(self.heads(name.as_str()).await?.remove(name))
    }

    /// All refs below a prefix that ends in a slash, or the one of exactly this name.
    pub async fn heads(&self, prefix: &str) -> Result<BTreeMap<RefName, CommitId>, Error> {
        self.refs(&[prefix]).await
    }

    /// All refs that are one of `patterns` or below it.
    pub(crate) async fn refs(
        &self,
        patterns: &[&str],
    ) -> Result<BTreeMap<RefName, CommitId>, Error> {
        listed(self.call("for-each-ref").arg(REF_FORMAT).arg("--").args(patterns)).await
    }

    /// Makes a ref, unless it is there; refs that only note something are never moved.
    pub async fn note(&self, name: &RefName, at: &CommitId) -> Result<(), Error> {
        let create = RefChange::Create { name: name.clone(), to: at.clone() };
        match self.transact(&[create]).await {
            Err(Error::Moved { found: Some(_), .. }) => Ok(()),
            other => other,
        }
    }

    /// Whether a commit is here.
    pub async fn holds(&self, commit: &CommitId) -> Result<bool, Error> {
        let answer = self.call("cat-file").args(["-e", &format!("{commit}^{{commit}}")]).answer();
        Ok(answer.await?.code == 0)
    }

    /// Does all of `changes` or, if a ref is not where it should be, none: [`Error::Moved`].
    pub async fn transact(&self, changes: &[RefChange]) -> Result<(), Error> {
        let lines: String = changes.iter().map(RefChange::line).collect();
        let call = self.call("update-ref").args(["-z", "--stdin"]).stdin(lines);
        match call.done().await {
            Err(refused @ Error::Failed { .. }) => Err(self.moved(changes, refused).await?),
            other => other,
        }
    }

    /// Why a transaction was refused: the first ref that is elsewhere, else what git said.
    async fn moved(&self, changes: &[RefChange], refused: Error) -> Result<Error, Error> {
        let names: Vec<&str> = changes.iter().map(|c| c.name().as_str()).collect();
        let now = self.refs(&names).await?;
        let elsewhere = changes.iter().find(|c| now.get(c.name()) != c.expected());
        Ok(elsewhere.map_or(refused, |change| Error::Moved {
            name: change.name().clone(),
            expected: change.expected().cloned(),
            found: now.get(change.name()).cloned(),
        }))
    }
}

/// Paths of repositories are written into files that hold one per line, and quoted by nobody.
pub(crate) fn check_path(path: &Path) -> Result<(), Error> {
    let plain = path.to_str().is_some_and(|text| !text.contains(char::is_control));
    if plain && path.is_absolute() {
        return Ok(());
    }
    Err(Error::BadPath { path: path.to_owned() })
}

/// What every fetch on this machine goes without: tags, files beside the refs, submodules,
/// pruning and maintenance.
pub(crate) const FETCH_OPTIONS: &[&str] = &[
    "--quiet",
    "--no-tags",
    "--no-write-fetch-head",
    "--no-recurse-submodules",
    "--no-auto-maintenance",
    "--no-write-commit-graph",
    "--no-prune",
    "--no-prune-tags",
];

pub(crate) const REF_FORMAT: &str = "--format=%(objectname) %(refname)";

/// Runs a `for-each-ref` with [`REF_FORMAT`].
pub(crate) async fn listed(call: Call<'_>) -> Result<BTreeMap<RefName, CommitId>, Error> {
    let text = call.text().await?;
    let pair = |line: &str| {
        let (commit, name) = line.split_once(' ')?;
        Some((RefName::new(name).ok()?, commit.parse().ok()?))
    };
    let pairs = text.lines().map(pair).collect::<Option<BTreeMap<_, _>>>();
    pairs.ok_or(Error::Garbled { verb: "for-each-ref" })
}

/// Removes files that are stale; tells how many went and how many are too young to judge.
fn remove_stale(dir: &Path, stale_after: Duration) -> Result<(usize, usize), Error> {
    let now = file_system_time(dir).map_err(Error::io("write in", dir))?;
    let (mut gone, mut young) = (0, 0);
    let mut open = vec![dir.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).map_err(Error::io("read", &folder))? {
            let entry = entry.map_err(Error::io("read", &folder))?;
            // What vanishes while it is looked at needs no healing.
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                open.push(entry.path());
            } else if is_litter(&entry.file_name().to_string_lossy()) {
                let age = meta.modified().ok().and_then(|at| now.duration_since(at).ok());
                if age.unwrap_or_default() >= stale_after {
                    gone += usize::from(fs::remove_file(entry.path()).is_ok());
                } else {
                    young += 1;
                }
            }
        }
    }
    Ok((gone, young))
}

/// Refs end in no `.lock` and start with no dot, objects and packs never start with `tmp_`.
fn is_litter(name: &str) -> bool {
    name.ends_with(".lock") || name.starts_with("tmp_") || name.starts_with(".tmp")
}

/// The clock that stamps the files, which may be another machine's.
fn file_system_time(dir: &Path) -> std::io::Result<SystemTime> {
    tempfile::tempfile_in(dir)?.metadata()?.modified()
}
