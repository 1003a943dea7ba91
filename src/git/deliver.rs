//! Bringing results into the repository of the user: branches below `taskloom/`, and, where the
//! user wants it, his target branch moved forward.
//!
//! What is checked out anywhere is left alone, and so are HEAD, the index, work trees, remotes,
//! tags and every other ref. Each change is one compare-and-swap.

use std::fs;
use std::path::{Path, PathBuf};

use crate::git::bare::{FETCH_OPTIONS, RefChange};
use crate::git::command::TRANSFER;
use crate::git::{Bare, BranchName, Error, RefName, UserRepo};
use crate::ids::CommitId;

/// Branches below it are the engine's, in whatever repository.
const OWN: &str = "taskloom/";

/// Files of a work tree's git directory that name the branches of an operation in progress.
/// Moving such a branch would break the end of the operation.
const OPERATIONS: &[(&str, &str)] = &[
    ("rebase-merge/head-name", "rebase"),
    ("rebase-apply/head-name", "rebase"),
    ("rebase-merge/update-refs", "rebase"),
    ("BISECT_START", "bisect"),
];

/// Why a branch of the user is left alone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The branch is not below `taskloom/`.
    #[error("`{branch}` is not a branch of Taskloom's")]
    NotOurs {
        /// Which.
        branch: BranchName,
    },
    /// The branch is checked out.
    #[error("`{branch}` is checked out in `{}`; switch to another branch there, or merge {to:?} by hand", worktree.display())]
    CheckedOut {
        /// Which.
        branch: BranchName,
        /// Where.
        worktree: PathBuf,
        /// What it would have been moved to.
        to: CommitId,
    },
    /// An unfinished operation will move the branch itself.
    #[error("a {operation} of `{branch}` is unfinished in `{}`; finish or abort it", git_dir.display())]
    InOperation {
        /// Which.
        branch: BranchName,
        /// What is going on.
        operation: &'static str,
        /// The git directory that says so.
        git_dir: PathBuf,
    },
    /// The branch is not where it was when the result was made.
    #[error("`{branch}` has moved to {}", found.as_ref().map_or("nowhere", CommitId::short))]
    Moved {
        /// Which.
        branch: BranchName,
        /// Where it should have been.
        expected: Option<CommitId>,
        /// Where it is.
        found: Option<CommitId>,
    },
    /// The new commit does not follow the old one.
    #[error("{to:?} does not follow {from:?}; `{branch}` can only be moved forward")]
    NotForward {
        /// Which.
        branch: BranchName,
        /// Where it is.
        from: CommitId,
        /// Where it should go.
        to: CommitId,
    },
}

impl UserRepo {
    /// Sets one of the engine's branches here, creating it if `expected` is `None`. Nothing
    /// happens if it is at `to` already.
    pub async fn deliver(
        &self,
        bare: &Bare,
        branch: &BranchName,
        expected: Option<&CommitId>,
        to: &CommitId,
    ) -> Result<(), Error> {
        if !branch.as_str().starts_with(OWN) {
            return Err(Refusal::NotOurs { branch: branch.clone() }.into());
        }
        if self.is_there(branch, expected, to).await? {
            return Ok(());
        }
        self.take(bare, to).await?;
        if let Some(from) = expected {
            self.must_follow(branch, from, to).await?;
        }
        self.swap(branch, expected, to).await
    }

    /// A branch that holds what `to` does not is not ours to move, whatever it is called.
    async fn must_follow(
        &self,
        branch: &BranchName,
        from: &CommitId,
        to: &CommitId,
    ) -> Result<(), Error> {
        let answer = self
            .call("merge-base")
            .args(["--is-ancestor", from.as_str(), to.as_str()])
            .answer()
            .await?;
        match answer.code {
            0 => Ok(()),
            1 => Err(Error::Refused(Refusal::NotForward {
                branch: branch.clone(),
                from: from.clone(),
                to: to.clone(),
            })),
            _ => Err(answer.failure()),
        }
    }

    /// Moves one of the engine's branches here back, if it is where the engine put it.
    pub async fn move_back(
        &self,
        branch: &BranchName,
        from: &CommitId,
        to: &CommitId,
    ) -> Result<(), Error> {
        if !branch.as_str().starts_with(OWN) {
            return Err(Refusal::NotOurs { branch: branch.clone() }.into());
        }
        if self.is_there(branch, Some(from), to).await? {
            return Ok(());
        }
        self.swap(branch, Some(from), to).await
    }

    /// Moves a branch of the user from `from` forward to `to`. Nothing happens if it is there
    /// already.
    pub async fn fast_forward(
        &self,
        bare: &Bare,
        branch: &BranchName,
        from: &CommitId,
        to: &CommitId,
    ) -> Result<(), Error> {
        if self.is_there(branch, Some(from), to).await? {
            return Ok(());
        }
        self.take(bare, to).await?;
        self.must_follow(branch, from, to).await?;
        self.give_back(branch, from, to).await?;
        // What took a while may have changed meanwhile what is checked out.
        if self.is_there(branch, Some(from), to).await? {
            return Ok(());
        }
        self.swap(branch, Some(from), to).await
    }

    /// Whether `branch` is at `to`; refuses if it is not at `expected` either, or in use.
    async fn is_there(
        &self,
        branch: &BranchName,
        expected: Option<&CommitId>,
        to: &CommitId,
    ) -> Result<bool, Error> {
        let found = self.branch(branch).await?;
        if found.as_ref() == Some(to) {
            return Ok(true);
        }
        if found.as_ref() != expected {
            let (branch, expected) = (branch.clone(), expected.cloned());
            return Err(Refusal::Moved { branch, expected, found }.into());
        }
        self.refuse_if_in_use(branch, to).await?;
        Ok(false)
    }

    async fn refuse_if_in_use(&self, branch: &BranchName, to: &CommitId) -> Result<(), Error> {
        let name = branch.to_ref();
        let worktrees = self.worktrees().await?;
        if let Some(user) = worktrees.into_iter().find(|w| w.head.as_ref() == Some(&name)) {
            let (branch, to) = (branch.clone(), to.clone());
            return Err(Refusal::CheckedOut { branch, worktree: user.path, to }.into());
        }
        for git_dir in git_dirs(self.dir()) {
            let under_way = OPERATIONS.iter().find(|(file, _)| names(&git_dir.join(file), &name));
            if let Some((_, operation)) = under_way {
                let branch = branch.clone();
                return Err(Refusal::InOperation { branch, operation, git_dir }.into());
            }
        }
        Ok(())
    }

    /// Brings a commit with its history here; no ref points to it yet.
    async fn take(&self, bare: &Bare, commit: &CommitId) -> Result<(), Error> {
        self.call("fetch")
            .args(FETCH_OPTIONS)
            .arg("--end-of-options")
            .arg(bare.dir())
            .arg(commit.as_str())
            .within(TRANSFER)
            .done()
            .await
    }

    async fn swap(
        &self,
        branch: &BranchName,
        expected: Option<&CommitId>,
        to: &CommitId,
    ) -> Result<(), Error> {
        let (name, to) = (branch.to_ref(), to.clone());
        let change = match expected.cloned() {
            Some(from) => RefChange::Move { name, from, to },
            None => RefChange::Create { name, to },
        };
        let call = self.call("update-ref").args(["-m", "taskloom: deliver", "-z", "--stdin"]);
        let Err(refused) = call.stdin(change.line()).done().await else { return Ok(()) };
        let found = self.branch(branch).await?;
        if found.as_ref() == expected {
            return Err(refused);
        }
        Err(Refusal::Moved { branch: branch.clone(), expected: expected.cloned(), found }.into())
    }
}

/// The git directory of every work tree: the repository's own and those of linked ones.
fn git_dirs(common: &Path) -> Vec<PathBuf> {
    let linked = fs::read_dir(common.join("worktrees")).into_iter().flatten().flatten();
    std::iter::once(common.to_owned()).chain(linked.map(|e| e.path())).collect()
}

/// Whether a file of git's names a branch on a line of its own, in full or short.
fn names(file: &Path, branch: &RefName) -> bool {
    let text = fs::read_to_string(file).unwrap_or_default();
    let short = branch.as_str().strip_prefix("refs/heads/");
    text.lines().any(|line| line == branch.as_str() || Some(line) == short)
}
