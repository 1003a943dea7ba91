//! The forge of a project without a remote: pull requests are refs in the engine's repository.
//!
//! Three kinds of refs say everything, so a crash between any two steps loses nothing:
//! `refs/taskloom/pull/<digest of head>/<base>` that it was opened, `refs/taskloom/closed/<digest>`
//! that it was closed, `refs/taskloom/merged/<digest>/<head commit>` which commit merged it. The
//! last is written before the base moves, and counts only if the base contains that commit: a
//! base that was moved back since is not merged any more, with nothing to tidy up.

use std::collections::BTreeMap;

use async_trait::async_trait;

use crate::forge::{
    Error, Forge, MergeOrder, Opened, Outcome, Proposal, Pull, Standing, digest, move_here,
    must_be, must_own, shown, whole_message,
};
use crate::git::{self, Bare, BranchName, Combine, Combined, Merged, RefChange, RefName};
use crate::ids::CommitId;
use crate::state::{PullNews, PullStanding};

/// How often a merge is computed again because a branch moved meanwhile. The engine merges into
/// a branch one by one; more than a few surprises in a row are no coincidence.
const MERGE_TRIES: usize = 5;

/// The forge of one project.
#[derive(Debug, Clone)]
pub struct Local {
    bare: Bare,
}

/// The names of a pull request's refs.
struct Names {
    head: RefName,
    base: RefName,
    opened: RefName,
    closed: RefName,
    /// What [`Names::opened`] starts with, whatever the base.
    opened_below: String,
    merged_below: String,
}

/// What the refs say of a pull request.
struct Known {
    names: Names,
    refs: BTreeMap<RefName, CommitId>,
}

impl Names {
    fn of(pull: &Pull) -> Self {
        let digest = digest(&pull.head);
        let name = |text: &str| RefName::new(text).expect("BUG: a branch fits into any ref");
        let opened_below = opened_below(&pull.head);
        Self {
            head: pull.head.to_ref(),
            base: pull.base.to_ref(),
            opened: name(&format!("{opened_below}{}", pull.base)),
            closed: name(&format!("refs/taskloom/closed/{digest}")),
            merged_below: format!("refs/taskloom/merged/{digest}/"),
            opened_below,
        }
    }

    fn merged(&self, head: &CommitId) -> RefName {
        RefName::new(&format!("{}{head}", self.merged_below)).expect("BUG: an id fits into a ref")
    }
}

fn opened_below(head: &BranchName) -> String {
    format!("refs/taskloom/pull/{}/", digest(head))
}

impl Known {
    fn at(&self, name: &RefName) -> Option<&CommitId> {
        self.refs.get(name)
    }

    fn head(&self) -> Option<&CommitId> {
        self.at(&self.names.head)
    }

    fn base(&self) -> Option<&CommitId> {
        self.at(&self.names.base)
    }

    fn is_open(&self) -> bool {
        self.at(&self.names.opened).is_some() && self.at(&self.names.closed).is_none()
    }

    /// Both ends, which a proposal and a merge need.
    fn ends(&self, pull: &Pull) -> Result<(&CommitId, &CommitId), Error> {
        let missing = |branch: &BranchName| Error::NoBranch { branch: branch.clone() };
        let head = self.head().ok_or_else(|| missing(&pull.head))?;
        let base = self.base().ok_or_else(|| missing(&pull.base))?;
        Ok((head, base))
    }
}

impl Local {
    /// A forge in `bare`.
    pub fn new(bare: Bare) -> Self {
        Self { bare }
    }

    async fn known(&self, pull: &Pull) -> Result<Known, Error> {
        let names = Names::of(pull);
        let single = [&names.head, &names.base, &names.closed].map(RefName::as_str);
        let mut patterns = vec![names.opened_below.as_str(), names.merged_below.as_str()];
        patterns.extend(single);
        let refs = self.bare.refs(&patterns).await?;
        Ok(Known { names, refs })
    }

    /// The commit that merged `head`, or any head if the branch is gone, as long as the base
    /// contains it.
    async fn merged_by(
        &self,
        known: &Known,
        head: Option<&CommitId>,
    ) -> Result<Option<CommitId>, Error> {
        let Some(base) = known.base() else { return Ok(None) };
        let wanted = head.map(|head| known.names.merged(head));
        let records = known.refs.iter().filter(|(name, _)| match &wanted {
            Some(wanted) => *name == wanted,
            None => name.as_str().starts_with(&known.names.merged_below),
        });
        for (_, commit) in records {
            if self.bare.is_ancestor(commit, base).await? {
                return Ok(Some(commit.clone()));
            }
        }
        Ok(None)
    }

    /// One try; `None` if a branch moved meanwhile.
    async fn try_merge(
        &self,
        pull: &Pull,
        order: &MergeOrder<'_>,
    ) -> Result<Option<Outcome>, Error> {
        let known = self.known(pull).await?;
        if let Some(commit) = self.merged_by(&known, Some(order.head)).await? {
            return Ok(Some(Outcome::Merged { commit }));
        }
        let (head, base) = known.ends(pull)?;
        if !known.is_open() {
            return Err(Error::NotOpen { head: pull.head.clone() });
        }
        must_be(&pull.head, order.head, head)?;
        if let Some(expected) = order.base {
            must_be(&pull.base, expected, base)?;
        }
        let join = Combine {
            ours: base,
            theirs: head,
            method: order.method,
            message: &whole_message(order),
            by: order.by,
            at: order.at,
        };
        match self.bare.combine(&join).await? {
            Combined::Commit(commit) => self.record(&known, head, base, commit).await,
            Combined::UpToDate => Ok(Some(Outcome::UpToDate)),
            Combined::Conflict { files, notes } => Ok(Some(Outcome::Conflict { files, notes })),
        }
    }

    /// Moves the base to the merge. git works a transaction off in order, so whoever finds the
    /// base moved finds the record, too, even after a crash in between.
    async fn record(
        &self,
        known: &Known,
        head: &CommitId,
        base: &CommitId,
        commit: CommitId,
    ) -> Result<Option<Outcome>, Error> {
        let (name, to) = (known.names.merged(head), commit.clone());
        let record = match known.at(&name).cloned() {
            Some(from) => RefChange::Move { name, from, to },
            None => RefChange::Create { name, to },
        };
        let still = RefChange::Verify { name: known.names.head.clone(), at: head.clone() };
        let (name, from, to) = (known.names.base.clone(), base.clone(), commit.clone());
        match self.bare.transact(&[record, still, RefChange::Move { name, from, to }]).await {
            Ok(()) => Ok(Some(Outcome::Merged { commit })),
            Err(git::Error::Moved { .. }) => Ok(None),
            Err(other) => Err(other.into()),
        }
    }
}

#[async_trait]
impl Forge for Local {
    async fn open(&self, proposal: &Proposal<'_>) -> Result<Opened, Error> {
        let pull = proposal.pull;
        must_own(&pull.head)?;
        must_own(&pull.base)?;
        let known = self.known(pull).await?;
        let (head, base) = known.ends(pull)?;
        must_be(&pull.head, proposal.commit, head)?;
        if self.merged_by(&known, Some(head)).await?.is_some() {
            return Ok(Opened::AlreadyMerged);
        }
        if self.bare.is_ancestor(head, base).await? {
            return Ok(Opened::NothingAhead);
        }
        let names = &known.names;
        // It has one base; that it was closed, or opened for another, is over.
        let over = known.refs.iter().filter(|(name, _)| {
            let opened = name.as_str().starts_with(&names.opened_below) && **name != names.opened;
            opened || **name == names.closed
        });
        let mut changes: Vec<RefChange> = over
            .map(|(name, from)| RefChange::Delete { name: name.clone(), from: from.clone() })
            .collect();
        if known.at(&names.opened).is_none() {
            changes.push(RefChange::Create { name: names.opened.clone(), to: head.clone() });
        }
        if !changes.is_empty() {
            self.bare.transact(&changes).await?;
        }
        Ok(Opened::Pull { url: shown(pull) })
    }

    async fn find_by_head(&self, head: &BranchName) -> Result<Option<Pull>, Error> {
        let below = opened_below(head);
        let refs = self.bare.heads(&below).await?;
        let base = refs.keys().find_map(|name| name.as_str().strip_prefix(&below));
        let base = base.map(BranchName::new).transpose()?;
        Ok(base.map(|base| Pull { head: head.clone(), base }))
    }

    async fn inspect(&self, pull: &Pull) -> Result<Standing, Error> {
        let known = self.known(pull).await?;
        if let Some(commit) = self.merged_by(&known, known.head()).await? {
            return Ok(Standing::Merged { commit });
        }
        let (Some(head), Some(base), true) = (known.head(), known.base(), known.is_open()) else {
            return Ok(Standing::Closed);
        };
        let conflicts = match self.bare.merge_tree(base, head).await? {
            Merged::Tree(_) => Vec::new(),
            Merged::Conflict { files, .. } => files,
        };
        Ok(Standing::Open { head: head.clone(), base: base.clone(), conflicts })
    }

    async fn merge(&self, pull: &Pull, order: &MergeOrder<'_>) -> Result<Outcome, Error> {
        must_own(&pull.head)?;
        must_own(&pull.base)?;
        for _ in 0..MERGE_TRIES {
            if let Some(outcome) = self.try_merge(pull, order).await? {
                return Ok(outcome);
            }
        }
        Err(Error::Busy { base: pull.base.clone(), tries: MERGE_TRIES })
    }

    /// Nobody looks at a pull request here but through the engine, which says it itself.
    async fn comment(&self, _pull: &Pull, _text: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn publish(&self, _branch: &BranchName) -> Result<(), Error> {
        Ok(())
    }

    async fn take_in(&self, branch: &BranchName) -> Result<Option<CommitId>, Error> {
        Ok(self.bare.lookup(&branch.to_ref()).await?)
    }

    async fn take_aside(&self, head: &BranchName) -> Result<Option<CommitId>, Error> {
        self.take_in(head).await
    }

    async fn look(&self, pull: &Pull) -> Result<PullNews, Error> {
        let known = self.known(pull).await?;
        let (head, _) = known.ends(pull)?;
        Ok(PullNews {
            standing: match self.merged_by(&known, Some(head)).await? {
                Some(commit) => PullStanding::Merged { commit, by: None },
                None if known.is_open() => PullStanding::Open,
                None => PullStanding::Closed,
            },
            head: head.clone(),
            holds: Vec::new(),
            objections: Vec::new(),
            approvals: Vec::new(),
            mergeable: None,
        })
    }

    async fn move_back(
        &self,
        branch: &BranchName,
        from: &CommitId,
        to: &CommitId,
    ) -> Result<(), Error> {
        must_own(branch)?;
        move_here(&self.bare, branch, from, to).await
    }

    /// Nobody else acts here.
    async fn stirred(&self) {
        std::future::pending().await
    }

    async fn close(&self, pull: &Pull) -> Result<(), Error> {
        let known = self.known(pull).await?;
        let (Some(head), None) = (known.head(), known.at(&known.names.closed)) else {
            return Ok(());
        };
        let closed = RefChange::Create { name: known.names.closed.clone(), to: head.clone() };
        Ok(self.bare.transact(&[closed]).await?)
    }

    async fn delete_branch(&self, head: &BranchName, commit: &CommitId) -> Result<(), Error> {
        let delete = RefChange::Delete { name: head.to_ref(), from: commit.clone() };
        match self.bare.transact(&[delete]).await {
            Err(git::Error::Moved { found: None, .. }) => Ok(()),
            Err(git::Error::Moved { found: Some(found), .. }) => must_be(head, commit, &found),
            other => Ok(other?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::{Identity, Method};
    use crate::time::Timestamp;

    #[test]
    fn trailers_are_a_paragraph_that_no_value_can_break() {
        let head = "a".repeat(40).parse().unwrap();
        let by = Identity::new("Taskloom", "taskloom@localhost").unwrap();
        let order = MergeOrder {
            head: &head,
            base: None,
            method: Method::Merge,
            message: "Merge task a\n\nIt does things.\n\n",
            trailers: &[("Taskloom-Run", "g/3".to_owned()), ("Taskloom-Task", "a\nb".to_owned())],
            by: &by,
            at: Timestamp(0),
        };
        assert_eq!(
            whole_message(&order),
            "Merge task a\n\nIt does things.\n\nTaskloom-Run: g/3\nTaskloom-Task: a b\n"
        );
    }

    #[test]
    fn no_two_branches_share_their_refs() {
        let branch = |name: &str| BranchName::new(name).unwrap();
        assert_ne!(digest(&branch("taskloom/g/1/t/a")), digest(&branch("taskloom/g/1/t/b")));
        assert_eq!(digest(&branch("taskloom/g/1/t/a")).len(), 20);
    }
}
