//! Merging without a work tree: trees are merged and commits made in the engine's repository.
//!
//! A conflict is a result. Nothing here moves a ref; who may move one to the commit made here is
//! the caller's affair. Time comes in as a value, so the same inputs make the same commit.

use crate::git::{Bare, Commit, Error, Identity, Signature, TreeId, Version};
use crate::ids::CommitId;
use crate::time::Timestamp;

/// The most commits that are replayed one by one: each costs two git processes, and nobody reads
/// a longer history of one task.
const REBASE_COMMITS_MAX: usize = 100;

/// `merge-tree --merge-base` came with it.
const MERGE_BASE_SINCE: Version = Version { major: 2, minor: 40, patch: 0 };

/// What git's own notes on conflicts may take up; they go into prompts and cards.
const NOTES_BYTES_MAX: usize = 16 * 1024;

/// How two trees went together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merged {
    /// Without a conflict.
    Tree(TreeId),
    /// People or agents must decide.
    Conflict {
        /// The paths, sorted.
        files: Vec<String>,
        /// What git says of each, one sentence a line.
        notes: String,
    },
}

/// How a branch joins another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Method {
    /// A commit with both as parents.
    #[default]
    Merge,
    /// One commit with the whole change.
    Squash,
    /// Each commit again, on top.
    Rebase,
}

/// Two commits to be made one history.
#[derive(Debug, Clone)]
pub struct Combine<'a> {
    /// The branch that is merged into.
    pub ours: &'a CommitId,
    /// The branch that is merged.
    pub theirs: &'a CommitId,
    /// How.
    pub method: Method,
    /// The message of the new commit, trailers included; a rebase keeps each commit's own.
    pub message: &'a str,
    /// Who makes it.
    pub by: &'a Identity,
    /// When.
    pub at: Timestamp,
}

/// What became of [`Combine`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Combined {
    /// The tip of the joined history.
    Commit(CommitId),
    /// `theirs` holds nothing that `ours` lacks.
    UpToDate,
    /// Neither a merge nor a rebase went through.
    Conflict {
        /// The paths, sorted.
        files: Vec<String>,
        /// What git says of each, one sentence a line.
        notes: String,
    },
}

/// A commit to be made.
#[derive(Debug, Clone)]
pub struct NewCommit<'a> {
    /// What it holds.
    pub tree: &'a TreeId,
    /// What it follows.
    pub parents: &'a [&'a CommitId],
    /// The whole message.
    pub message: &'a str,
    /// Who wrote it.
    pub author: &'a Signature,
    /// Who makes it.
    pub committer: &'a Signature,
}

impl Bare {
    /// Merges two commits' trees by their common history.
    pub async fn merge_tree(&self, ours: &CommitId, theirs: &CommitId) -> Result<Merged, Error> {
        self.merged(None, ours, theirs).await
    }

    /// `ours` without what `merged` brought on top of `before`.
    pub async fn reverse_tree(
        &self,
        ours: &CommitId,
        merged: &CommitId,
        before: &CommitId,
    ) -> Result<Merged, Error> {
        self.git().require(MERGE_BASE_SINCE, "to revert")?;
        self.merged(Some(merged), ours, before).await
    }

    async fn merged(
        &self,
        base: Option<&CommitId>,
        ours: &CommitId,
        theirs: &CommitId,
    ) -> Result<Merged, Error> {
        let answer = self
            .call("merge-tree")
            .args(["--write-tree", "-z", "--messages", "--name-only"])
            .args(base.map(|b| format!("--merge-base={b}")))
            .args([ours.as_str(), theirs.as_str()])
            .answer()
            .await?;
        match answer.code {
            0 | 1 => parse_merge(&answer.stdout, answer.code == 0).ok_or_else(|| answer.garbled()),
            _ if base.is_none() && !self.related(ours, theirs).await? => {
                Err(Error::Unrelated { ours: ours.clone(), theirs: theirs.clone() })
            }
            _ => Err(answer.failure()),
        }
    }

    async fn related(&self, ours: &CommitId, theirs: &CommitId) -> Result<bool, Error> {
        let call = self.call("merge-base").args([ours.as_str(), theirs.as_str()]);
        Ok(call.answer().await?.code != 1)
    }

    /// Makes a commit; no ref points to it yet.
    pub async fn commit_tree(&self, new: &NewCommit<'_>) -> Result<CommitId, Error> {
        let text = self
            .call("commit-tree")
            .args(new.parents.iter().flat_map(|p| ["-p", p.as_str()]))
            .args(["-F", "-", new.tree.as_str()])
            .env("GIT_AUTHOR_NAME", &new.author.name)
            .env("GIT_AUTHOR_EMAIL", &new.author.email)
            .env("GIT_AUTHOR_DATE", &new.author.date)
            .env("GIT_COMMITTER_NAME", &new.committer.name)
            .env("GIT_COMMITTER_EMAIL", &new.committer.email)
            .env("GIT_COMMITTER_DATE", &new.committer.date)
            .stdin(format!("{}\n", new.message.trim_end()))
            .text()
            .await?;
        text.parse().map_err(|_| Error::Garbled { verb: "commit-tree" })
    }

    /// Joins `theirs` to `ours` by the given method. Where the trees conflict, each commit is
    /// replayed by itself; that resolves what both sides began alike.
    pub async fn combine(&self, join: &Combine<'_>) -> Result<Combined, Error> {
        if self.is_ancestor(join.theirs, join.ours).await? {
            return Ok(Combined::UpToDate);
        }
        if join.method == Method::Rebase {
            return self.rebase(join).await;
        }
        let tree = match self.merge_tree(join.ours, join.theirs).await? {
            Merged::Tree(tree) => tree,
            Merged::Conflict { files, notes } => match self.rebase_if_able(join).await? {
                Some(tip) => self.tree_of(&tip).await?,
                None => return Ok(Combined::Conflict { files, notes }),
            },
        };
        if join.method == Method::Squash && self.tree_of(join.ours).await? == tree {
            return Ok(Combined::UpToDate);
        }
        let signature = Signature::new(join.by, join.at);
        let parents = [join.ours, join.theirs];
        let new = NewCommit {
            tree: &tree,
            parents: if join.method == Method::Merge { &parents } else { &parents[..1] },
            message: join.message,
            author: &signature,
            committer: &signature,
        };
        Ok(Combined::Commit(self.commit_tree(&new).await?))
    }

    /// The second try after a conflict: no reason to fail where the first one has an answer.
    async fn rebase_if_able(&self, join: &Combine<'_>) -> Result<Option<CommitId>, Error> {
        match self.rebase(join).await {
            Ok(Combined::Commit(tip)) => Ok(Some(tip)),
            Ok(Combined::UpToDate | Combined::Conflict { .. })
            | Err(Error::TooOld { .. } | Error::TooManyCommits { .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Replays the commits of `theirs` on `ours`, merges left out, authors kept.
    async fn rebase(&self, join: &Combine<'_>) -> Result<Combined, Error> {
        self.git().require(MERGE_BASE_SINCE, "to rebase")?;
        if self.is_ancestor(join.ours, join.theirs).await? {
            return Ok(Combined::Commit(join.theirs.clone()));
        }
        let limit = REBASE_COMMITS_MAX;
        let commits = self.commits(join.ours, join.theirs, limit + 1).await?;
        if commits.len() > limit {
            let commits = self.ahead(join.ours, join.theirs).await?;
            return Err(Error::TooManyCommits { commits, limit });
        }
        let committer = Signature::new(join.by, join.at);
        let mut tip = join.ours.clone();
        let mut held = self.tree_of(&tip).await?;
        for commit in commits {
            let [parent] = &commit.parents[..] else { continue };
            match self.merged(Some(parent), &tip, &commit.id).await? {
                // The other side holds this change already.
                Merged::Tree(tree) if tree == held => {}
                Merged::Tree(tree) => {
                    tip = self.replay(&commit, &tip, &tree, &committer).await?;
                    held = tree;
                }
                Merged::Conflict { files, notes } => {
                    return Ok(Combined::Conflict { files, notes });
                }
            }
        }
        Ok(if tip == *join.ours { Combined::UpToDate } else { Combined::Commit(tip) })
    }

    async fn replay(
        &self,
        commit: &Commit,
        tip: &CommitId,
        tree: &TreeId,
        committer: &Signature,
    ) -> Result<CommitId, Error> {
        let new = NewCommit {
            tree,
            parents: &[tip],
            message: &commit.message,
            author: &commit.author,
            committer,
        };
        self.commit_tree(&new).await
    }
}

/// Reads `merge-tree -z --messages --name-only`: the tree, the conflicted paths, an empty field,
/// then messages of a count, that many paths, a kind and a sentence.
fn parse_merge(output: &[u8], clean: bool) -> Option<Merged> {
    let text = String::from_utf8_lossy(output);
    let mut fields = text.split('\0');
    let tree = fields.next()?.trim_end().parse().ok()?;
    if clean {
        return Some(Merged::Tree(tree));
    }
    let mut files: Vec<String> =
        fields.by_ref().take_while(|f| !f.is_empty()).map(str::to_owned).collect();
    files.sort_unstable();
    files.dedup();
    let mut notes = String::new();
    while let Some(count) = fields.next().filter(|f| !f.is_empty()) {
        let count: usize = count.parse().ok()?;
        let mut message = fields.by_ref().skip(count);
        let kind = message.next()?;
        let sentence = message.next()?;
        if kind.starts_with("CONFLICT") && notes.len() + sentence.len() < NOTES_BYTES_MAX {
            notes.push_str(sentence.trim_end());
            notes.push('\n');
        }
    }
    Some(Merged::Conflict { files, notes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conflicts_are_read_as_data() {
        let tree = "4".repeat(40);
        let output = format!(
            "{tree}\0b\0a\0a\0\x001\0a\0Auto-merging\0Auto-merging a\n\0\
             1\0a\0CONFLICT (contents)\0CONFLICT (content): Merge conflict in a\n\0"
        );
        let Some(Merged::Conflict { files, notes }) = parse_merge(output.as_bytes(), false) else {
            panic!("no conflict was read")
        };
        assert_eq!(files, ["a", "b"]);
        assert_eq!(notes, "CONFLICT (content): Merge conflict in a\n");
        assert_eq!(
            parse_merge(format!("{tree}\0").as_bytes(), true),
            Some(Merged::Tree(tree.parse().unwrap()))
        );
    }
}
