//! The door to where branches are proposed, looked at and merged.
//!
//! The engine proves that a pull request is its own: it names head branch, base branch and the
//! commit that was verified, and a forge refuses whatever does not match. What a forge answers
//! follows from what is there, not from what was asked before, so every call may be made again.

pub mod local;

use async_trait::async_trait;

use crate::git::{self, BranchName, Identity, Method};
use crate::ids::CommitId;
use crate::time::Timestamp;

pub use local::Local;

/// A proposal to merge one branch into another. The head branch names it for ever.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pull {
    /// What is proposed.
    pub head: BranchName,
    /// What it is to be merged into.
    pub base: BranchName,
}

/// What opens a pull request.
#[derive(Debug, Clone)]
pub struct Proposal<'a> {
    /// Which branches.
    pub pull: &'a Pull,
    /// Where the head branch must be.
    pub commit: &'a CommitId,
    /// One line.
    pub title: &'a str,
    /// What people read before they approve.
    pub body: &'a str,
}

/// What became of a [`Proposal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// It is open, perhaps since before.
    Pull,
    /// It was merged before.
    AlreadyMerged,
    /// The head has no commit that the base lacks; nothing was opened.
    NothingAhead,
}

/// Where a pull request stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It can be merged, or could but for conflicts.
    Open {
        /// Where the head branch is.
        head: CommitId,
        /// Where the base branch is.
        base: CommitId,
        /// Files that conflict; empty if it can be merged.
        conflicts: Vec<String>,
    },
    /// It is in the base branch.
    Merged {
        /// By this commit.
        commit: CommitId,
    },
    /// Somebody closed it, its head branch is gone, or it never was.
    Closed,
}

/// How a pull request is to be merged.
#[derive(Debug, Clone)]
pub struct MergeOrder<'a> {
    /// The head that was verified; no other is merged.
    pub head: &'a CommitId,
    /// The base that the result was checked on, if it was; then no other is merged into.
    pub base: Option<&'a CommitId>,
    /// How.
    pub method: Method,
    /// The message of the new commit, its first line the subject.
    pub message: &'a str,
    /// What follows the message, `Taskloom-Task: a` and the like.
    pub trailers: &'a [(&'a str, String)],
    /// Who merges.
    pub by: &'a Identity,
    /// When. The same order on the same base makes the same commit.
    pub at: Timestamp,
}

/// What became of a [`MergeOrder`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is merged, perhaps since before.
    Merged {
        /// By this commit.
        commit: CommitId,
    },
    /// The base holds everything already, although no merge of this head is recorded.
    UpToDate,
    /// Neither a merge nor a rebase goes through.
    Conflict {
        /// The paths, sorted.
        files: Vec<String>,
        /// What git says of each, one sentence a line.
        notes: String,
    },
}

/// What went wrong, by what can be done about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The branch is not one that the engine made.
    #[error("`{branch}` is not a branch of Taskloom's, so it is neither proposed nor merged into")]
    NotOurs {
        /// Which.
        branch: BranchName,
    },
    /// The branch does not exist.
    #[error("there is no branch `{branch}`")]
    NoBranch {
        /// Which.
        branch: BranchName,
    },
    /// A branch is not where it was verified.
    #[error("`{branch}` is at {}, not at {}", found.short(), expected.short())]
    Moved {
        /// Which.
        branch: BranchName,
        /// Where it was verified.
        expected: CommitId,
        /// Where it is.
        found: CommitId,
    },
    /// The pull request was never opened, or closed since.
    #[error("the pull request of `{head}` is not open; open it first")]
    NotOpen {
        /// Its head branch.
        head: BranchName,
    },
    /// The base branch did not stand still.
    #[error("`{base}` moved during each of {tries} tries to merge; try again later")]
    Busy {
        /// The base branch.
        base: BranchName,
        /// How often it was tried.
        tries: usize,
    },
    /// git failed.
    #[error(transparent)]
    Git(#[from] git::Error),
}

/// A place where branches are proposed, looked at and merged.
#[async_trait]
pub trait Forge: Send + Sync {
    /// Proposes a branch, or reopens its closed proposal. Nothing happens if it is open.
    async fn open(&self, proposal: &Proposal<'_>) -> Result<Opened, Error>;

    /// The pull request that was opened for a branch, whatever became of it.
    async fn find_by_head(&self, head: &BranchName) -> Result<Option<Pull>, Error>;

    /// Where a pull request stands.
    async fn inspect(&self, pull: &Pull) -> Result<Standing, Error>;

    /// Merges a pull request. Nothing happens if that head was merged before.
    async fn merge(&self, pull: &Pull, order: &MergeOrder<'_>) -> Result<Outcome, Error>;

    /// Says something to those who look at a pull request.
    async fn comment(&self, pull: &Pull, text: &str) -> Result<(), Error>;

    /// Closes a pull request without merging it.
    async fn close(&self, pull: &Pull) -> Result<(), Error>;

    /// Deletes a head branch that is still at `commit`. Nothing happens if it is gone.
    async fn delete_branch(&self, head: &BranchName, commit: &CommitId) -> Result<(), Error>;
}
