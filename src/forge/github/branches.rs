//! The engine's branches at GitHub. What the engine pushed it may replace; what anybody else
//! pushed is left alone.
//!
//! Before a commit is pushed, `refs/taskloom/pushed/<digest of branch>/<commit>` says so: whatever
//! stands at GitHub and is not among those was put there by somebody else.

use crate::forge::github::client::outside;
use crate::forge::github::{GitHub, numbers_below, rejected};
use crate::forge::{Error, digest, is_ours};
use crate::git::{self, Bare, BranchName, Push, Pushed, RefChange, RefName, Remote};
use crate::ids::CommitId;

/// How often a push is tried whose branch moves meanwhile.
const PUSH_TRIES: usize = 3;

/// What git says when it is not let in.
const NOT_LET_IN: &[&str] = &[
    "Authentication failed",
    "could not read Username",
    "returned error: 401",
    "returned error: 403",
];

impl GitHub {
    fn remote(&self, token: &str) -> Remote {
        Remote::new(&self.git_url(), "x-access-token", token)
    }

    /// Does something with git at GitHub; once more with another token if it is not let in.
    async fn with_git<T, F>(
        &self,
        what: &str,
        act: impl Fn(Remote) -> F + Send + Sync,
    ) -> Result<T, Error>
    where
        T: Send,
        F: Future<Output = Result<T, git::Error>> + Send,
    {
        let client = self.client();
        let token = client.token().await?;
        let first = act(self.remote(&token)).await;
        let Err(git::Error::Failed { stderr, .. }) = &first else { return Ok(first?) };
        let locked_out = NOT_LET_IN.iter().any(|sign| stderr.contains(sign));
        if locked_out && let Some(token) = client.other_token(&token).await? {
            return Ok(act(self.remote(&token)).await?);
        }
        if locked_out {
            return Err(Error::Denied {
                forge: "GitHub".to_owned(),
                what: what.to_owned(),
                why: format!("{stderr}; the token needs `contents` to be written"),
            });
        }
        Err(outside(what, stderr))
    }

    /// Sets one of the engine's branches at GitHub, unless somebody else has pushed to it.
    pub(super) async fn set_there(&self, branch: &BranchName, to: &CommitId) -> Result<(), Error> {
        let pushed = self.pushed(branch).await?;
        self.note_pushed(branch, to).await?;
        let mut from = match pushed.is_empty() {
            true => None,
            false => self.there(branch).await?,
        };
        for _ in 0..PUSH_TRIES {
            if from.as_ref() == Some(to) {
                return Ok(());
            }
            if let Some(foreign) = from.as_ref().filter(|at| !pushed.contains(at)) {
                return Err(Error::Foreign {
                    what: format!(
                        "`{branch}` on GitHub is at {}, which somebody else pushed; it is left \
                         alone: take those commits into the work by hand, or delete the branch, \
                         then retry",
                        foreign.short()
                    ),
                });
            }
            match self.push(branch, from.as_ref(), Some(to)).await? {
                Pushed::Done => return Ok(()),
                Pushed::Stale { found } => from = found,
                Pushed::Refused { why } => return Err(rejected(branch, why)),
            }
        }
        Err(Error::Busy { base: branch.clone(), tries: PUSH_TRIES })
    }

    /// From now on a commit on a branch is the engine's own, to be replaced by what follows it.
    pub(super) async fn note_pushed(
        &self,
        branch: &BranchName,
        commit: &CommitId,
    ) -> Result<(), Error> {
        Ok(self.bare.note(&pushed_ref(branch, commit), commit).await?)
    }

    pub(super) async fn push(
        &self,
        branch: &BranchName,
        from: Option<&CommitId>,
        to: Option<&CommitId>,
    ) -> Result<Pushed, Error> {
        let (bare, push) = (&self.bare, &Push { branch, from, to });
        self.with_git("take a push", |at| async move { bare.push(&at, push).await }).await
    }

    /// Where a branch is at GitHub.
    pub(super) async fn there(&self, branch: &BranchName) -> Result<Option<CommitId>, Error> {
        let bare = &self.bare;
        let asked = |at: Remote| async move { bare.there(&at, &[branch]).await };
        Ok(self.with_git("name its branches", asked).await?.remove(branch))
    }

    /// Every commit that the engine has pushed to a branch.
    async fn pushed(&self, branch: &BranchName) -> Result<Vec<CommitId>, Error> {
        Ok(self.bare.heads(&pushed_below(branch)).await?.into_values().collect())
    }

    /// Brings a branch here; one of the engine's is moved forward.
    pub(super) async fn bring(&self, branch: &BranchName) -> Result<Option<CommitId>, Error> {
        let _one_at_a_time = self.bringing.lock().await;
        if !is_ours(branch) {
            let into = Bare::upstream(branch);
            return self.fetched(branch, &into, false).await;
        }
        let into = there_ref(branch);
        let Some(there) = self.fetched(branch, &into, true).await? else { return Ok(None) };
        let name = branch.to_ref();
        let Some(here) = self.bare.lookup(&name).await? else {
            self.bare.transact(&[RefChange::Create { name, to: there.clone() }]).await?;
            return Ok(Some(there));
        };
        if here == there || self.bare.is_ancestor(&there, &here).await? {
            return Ok(Some(here));
        }
        if !self.bare.is_ancestor(&here, &there).await? {
            return Err(Error::Foreign {
                what: format!(
                    "`{branch}` on GitHub was rewritten: {} does not follow {}; put it back, or \
                     reset the lane",
                    there.short(),
                    here.short()
                ),
            });
        }
        self.bare.transact(&[RefChange::Move { name, from: here, to: there.clone() }]).await?;
        Ok(Some(there))
    }

    /// Brings what somebody pushed to a task's branch, beside the engine's own.
    pub(super) async fn bring_aside(&self, branch: &BranchName) -> Result<Option<CommitId>, Error> {
        let _one_at_a_time = self.bringing.lock().await;
        self.fetched(branch, &there_ref(branch), true).await
    }

    async fn fetched(
        &self,
        branch: &BranchName,
        into: &RefName,
        checked: bool,
    ) -> Result<Option<CommitId>, Error> {
        let bare = &self.bare;
        let bring = |at: Remote| async move { bare.bring(&at, branch, into, checked).await };
        self.with_git("send a branch", bring).await
    }

    /// Deletes a branch there, if it is still at `commit`. Whoever put it elsewhere keeps it.
    pub(super) async fn drop_there(
        &self,
        branch: &BranchName,
        commit: &CommitId,
    ) -> Result<(), Error> {
        if let Pushed::Refused { why } = self.push(branch, Some(commit), None).await? {
            tracing::warn!(%branch, why, "GitHub keeps a branch");
        }
        Ok(())
    }

    /// Deletes a branch there and here, if it is still at `commit`, and what is noted about it.
    pub(super) async fn drop_branch(
        &self,
        branch: &BranchName,
        commit: &CommitId,
    ) -> Result<(), Error> {
        self.drop_there(branch, commit).await?;
        let mut gone = self.bare.heads(&pushed_below(branch)).await?;
        gone.extend(self.bare.heads(&numbers_below(branch)).await?);
        let there = there_ref(branch);
        gone.extend(self.bare.lookup(&there).await?.map(|at| (there, at)));
        let name = branch.to_ref();
        gone.extend(self.bare.lookup(&name).await?.filter(|at| at == commit).map(|at| (name, at)));
        let changes: Vec<RefChange> =
            gone.into_iter().map(|(name, from)| RefChange::Delete { name, from }).collect();
        Ok(self.bare.transact(&changes).await?)
    }
}

fn pushed_below(branch: &BranchName) -> String {
    format!("refs/taskloom/pushed/{}/", digest(branch))
}

fn pushed_ref(branch: &BranchName, commit: &CommitId) -> RefName {
    own(&format!("{}{commit}", pushed_below(branch)))
}

fn there_ref(branch: &BranchName) -> RefName {
    own(&format!("refs/taskloom/there/{}", digest(branch)))
}

fn own(name: &str) -> RefName {
    RefName::new(name).expect("BUG: an id fits into a ref")
}
