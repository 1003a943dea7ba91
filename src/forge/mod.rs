//! The door to where branches are proposed, looked at and merged.
//!
//! The engine proves that a pull request is its own: it names head branch, base branch and the
//! commit that was verified, and a forge refuses whatever does not match. What a forge answers
//! follows from what is there, not from what was asked before, so every call may be made again.

pub mod github;
pub mod local;

use async_trait::async_trait;
use sha2::{Digest as _, Sha256};

use crate::git::{self, Bare, BranchName, Identity, Method, RefChange};
use crate::ids::CommitId;
use crate::state::PullNews;
use crate::time::Timestamp;

pub use github::GitHub;
pub use local::Local;

/// Branches that the engine made.
const OWN: &str = "taskloom/";

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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// It is open, perhaps since before.
    Pull {
        /// Where people find it.
        url: String,
    },
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
    /// The forge does not merge it now: it has rules of its own.
    Held {
        /// In its words.
        why: String,
    },
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
    /// Somebody else's pull request, or history, stands where the engine's should.
    #[error("{what}")]
    Foreign {
        /// What was found, and what can be done.
        what: String,
    },
    /// The forge does not take the branch.
    #[error("{forge} does not take `{branch}`: {why}")]
    Rejected {
        /// Who.
        forge: String,
        /// Which.
        branch: BranchName,
        /// In its words.
        why: String,
    },
    /// The forge does not let the engine do this.
    #[error("{forge} refuses to {what}: {why}")]
    Denied {
        /// Who.
        forge: String,
        /// What was tried.
        what: String,
        /// In its words, with what can be done.
        why: String,
    },
    /// The forge did not answer, or not with what was asked; it may have done it all the same.
    #[error("{forge} did not {what}: {why}")]
    Outside {
        /// Who.
        forge: String,
        /// What was tried.
        what: String,
        /// What happened.
        why: String,
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

    /// Whether others act on pull requests here: then they must be looked at again and again.
    fn is_shared(&self) -> bool {
        false
    }

    /// Who it is, for people: `octo/shop on GitHub`; nothing where there is only the engine.
    fn name(&self) -> Option<String> {
        None
    }

    /// Says what keeps the engine from working here.
    async fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Makes a branch of the engine's known to the forge, as it is here.
    async fn publish(&self, branch: &BranchName) -> Result<(), Error>;

    /// Brings a branch here as the forge has it: one of the engine's is moved forward, another is
    /// kept as [`git::Bare::upstream`] names it. Where it is; `None`: it is not there.
    async fn take_in(&self, branch: &BranchName) -> Result<Option<CommitId>, Error>;

    /// Brings what stands on a head branch here without moving the engine's own, since somebody
    /// else may have pushed it. Where it is; `None`: it is not there.
    async fn take_aside(&self, head: &BranchName) -> Result<Option<CommitId>, Error>;

    /// How a pull request is found that others may have acted on.
    async fn look(&self, pull: &Pull) -> Result<PullNews, Error>;

    /// Comes back when another look may find something new.
    async fn stirred(&self);

    /// Moves a branch of the engine's back to a commit of its past, here and where others see it.
    /// Nothing happens if it is there already; it is left alone if it is not at `from`.
    async fn move_back(
        &self,
        branch: &BranchName,
        from: &CommitId,
        to: &CommitId,
    ) -> Result<(), Error>;

    /// Closes a pull request without merging it.
    async fn close(&self, pull: &Pull) -> Result<(), Error>;

    /// Deletes a branch of the engine's from where others see it, if it is still at `commit`; it
    /// stays here.
    async fn retire(&self, _branch: &BranchName, _commit: &CommitId) -> Result<(), Error> {
        Ok(())
    }

    /// Deletes a head branch that is still at `commit`. Nothing happens if it is gone.
    async fn delete_branch(&self, head: &BranchName, commit: &CommitId) -> Result<(), Error>;
}

/// How people name a pull request that exists only here.
fn shown(pull: &Pull) -> String {
    format!("{} -> {}", pull.head, pull.base)
}

fn is_ours(branch: &BranchName) -> bool {
    branch.as_str().starts_with(OWN)
}

fn must_own(branch: &BranchName) -> Result<(), Error> {
    if is_ours(branch) { Ok(()) } else { Err(Error::NotOurs { branch: branch.clone() }) }
}

fn must_be(branch: &BranchName, expected: &CommitId, found: &CommitId) -> Result<(), Error> {
    if found == expected {
        return Ok(());
    }
    let (branch, expected, found) = (branch.clone(), expected.clone(), found.clone());
    Err(Error::Moved { branch, expected, found })
}

/// Stands for a branch in a ref: a branch is a path of its own and may be as long as one.
fn digest(branch: &BranchName) -> String {
    let hash = Sha256::digest(branch.as_str());
    hash[..10].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The message with its trailers in a last paragraph of their own, one on each line.
fn whole_message(order: &MergeOrder<'_>) -> String {
    let line = |text: &str| text.replace(|c: char| c.is_control(), " ");
    let trailers = order.trailers.iter().map(|(key, value)| format!("{key}: {}\n", line(value)));
    format!("{}\n\n{}", order.message.trim_end(), trailers.collect::<String>())
}

/// Moves a branch of the engine's repository back, if it is at `from`.
async fn move_here(
    bare: &Bare,
    branch: &BranchName,
    from: &CommitId,
    to: &CommitId,
) -> Result<(), Error> {
    let (name, from, to) = (branch.to_ref(), from.clone(), to.clone());
    match bare.transact(&[RefChange::Move { name, from: from.clone(), to: to.clone() }]).await {
        Err(git::Error::Moved { found: Some(found), .. }) if found == to => Ok(()),
        Err(git::Error::Moved { found: Some(found), .. }) => must_be(branch, &from, &found),
        Err(git::Error::Moved { found: None, .. }) => {
            Err(Error::NoBranch { branch: branch.clone() })
        }
        other => Ok(other?),
    }
}
