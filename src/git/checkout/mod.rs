//! Private checkouts: the worktree of a task, with a `.git` of its own that borrows the objects of
//! the engine's repository, and throw-away checkouts of one commit for gates and checks.
//!
//! An agent owns its checkout entirely; the engine therefore never runs git on what is in it. Each
//! checkout has a record and an index outside the agent's reach, and it is with these that git
//! writes, compares and restores the tree. What is used up is swept and parked, because restoring
//! a tree is far cheaper than writing one.

mod fill;
mod lay;
mod pool;
mod slot;
mod sweep;

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use serde::{Deserialize, Serialize};

use crate::git::{BranchName, Error, Identity, RefName};
use crate::ids::{CommitId, LaneId, RunName, TaskId};

pub(in crate::git) use lay::copy_with_time;
pub use pool::Checkouts;

/// What checkouts of one project are made with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the trees are; everything in it belongs to the engine.
    pub worktrees: PathBuf,
    /// Where the records are. Agents must not be able to write here.
    pub records: PathBuf,
    /// How many used trees are kept for the next user.
    pub pool_max: usize,
    /// What may come to be otherwise.
    pub terms: Arc<RwLock<Terms>>,
}

/// What holds for the next checkout; those that are made already stay as they are.
#[derive(Debug, Clone)]
pub struct Terms {
    /// How much of the disk is left alone.
    pub floor: DiskFloor,
    /// Whom commits of the agent are by.
    pub identity: Identity,
}

impl Options {
    fn terms(&self) -> Terms {
        self.terms.read().expect("BUG: nobody panics with this lock").clone()
    }
}

/// How much must be free before a checkout is made: the larger of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskFloor {
    /// In bytes.
    pub bytes: u64,
    /// In hundredths of the file system.
    pub percent: u64,
}

impl DiskFloor {
    /// The bytes that are free on the file system of `path`; an error if they are too few.
    pub fn check(self, path: &Path) -> Result<u64, Error> {
        let disk = rustix::fs::statvfs(path).map_err(|e| Error::io("look at", path)(e.into()))?;
        let floor_bytes = self.bytes.max(disk.f_frsize * disk.f_blocks / 100 * self.percent);
        let free_bytes = disk.f_frsize * disk.f_bavail;
        if free_bytes < floor_bytes {
            return Err(Error::DiskLow { path: path.to_owned(), free_bytes, floor_bytes });
        }
        Ok(free_bytes)
    }
}

impl Default for DiskFloor {
    /// 2 GiB, 5 %: agents build things, and a full disk loses more than one task.
    fn default() -> Self {
        Self { bytes: 2 << 30, percent: 5 }
    }
}

/// Where a checkout is, below the worktrees: `<graph>-<run>/<name>`. Made of proven names only,
/// and what is not a task holds a character that names cannot.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    group: String,
    name: String,
}

impl Place {
    /// The worktree of a task.
    pub fn task(run: &RunName, task: &TaskId) -> Self {
        Self::new(run, task.to_string())
    }

    /// Where a task's gate runs.
    pub fn gate(run: &RunName, task: &TaskId) -> Self {
        Self::new(run, format!("{task}@gate"))
    }

    /// Where a task's change is looked at.
    pub fn review(run: &RunName, task: &TaskId) -> Self {
        Self::new(run, format!("{task}@review"))
    }

    /// Where a lane's checks run.
    pub fn lane(run: &RunName, lane: &LaneId) -> Self {
        Self::new(run, format!("{lane}@lane"))
    }

    /// Where something runs that belongs to no run: step `step` of what has the number `number`.
    pub fn errand(number: i64, step: usize) -> Self {
        Self { group: "@errands".to_owned(), name: format!("{number}-{step}") }
    }

    fn new(run: &RunName, name: String) -> Self {
        Self { group: format!("{}-{}", run.graph, run.number), name }
    }

    fn below(&self, worktrees: &Path) -> PathBuf {
        worktrees.join(&self.group).join(&self.name)
    }
}

/// What to check out, and where.
#[derive(Debug, Clone)]
pub struct Order<'a> {
    /// Where.
    pub place: &'a Place,
    /// The branch that HEAD names; `None`: the commit itself.
    pub branch: Option<&'a BranchName>,
    /// What.
    pub commit: &'a CommitId,
    /// Further refs that the agent can look at.
    pub refs: &'a [(RefName, CommitId)],
}

/// A checkout, as it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkout {
    /// The directory.
    pub tree: PathBuf,
    /// The branch that HEAD named.
    pub branch: Option<BranchName>,
    /// The commit that was checked out.
    pub base: CommitId,
    pub(super) place: Place,
    pub(super) number: u32,
    folder: slot::Folder,
}

impl Checkout {
    /// The index as it was when the checkout was made.
    pub(super) fn index(&self) -> PathBuf {
        self.folder.index()
    }

    /// A repository that shows this checkout's objects and nothing else of its `.git`.
    pub(super) fn view(&self) -> PathBuf {
        self.folder.view()
    }
}

/// Whether work that exists nowhere else may be lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discard {
    /// It may not: the checkout is looked through first.
    Checked,
    /// It may, or the caller has just collected it.
    Anyway,
}

/// What a directory among the worktrees is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Somebody's.
    Ready(Checkout),
    /// Waiting for the next user.
    Parked,
    /// Given up, but not deleted yet: [`Checkouts::open`] tries again.
    Trash,
    /// Not the engine's.
    Unknown,
}

/// A directory among the worktrees with what it takes up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub standing: Standing,
    /// Bytes on disk.
    pub bytes: u64,
    /// Files and directories.
    pub entries: u64,
}
