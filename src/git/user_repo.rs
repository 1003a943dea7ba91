//! Facts about a repository of the user. Reads only; what the engine writes there is in
//! `deliver`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::git::bare::{REF_FORMAT, listed};
use crate::git::command::Call;
use crate::git::{BranchName, Error, Git, ObjectFormat, RefName};
use crate::ids::CommitId;

/// Where `git clone` writes down what the remote's default branch is.
const REMOTE_HEAD: &str = "refs/remotes/origin/HEAD";

/// Below it are the remote's branches.
const REMOTE: &str = "refs/remotes/origin/";

/// A repository of the user. Cheap to clone.
#[derive(Debug, Clone)]
pub struct UserRepo {
    git: Git,
    dir: PathBuf,
    top: Option<PathBuf>,
    format: ObjectFormat,
}

/// A work tree of the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Worktree {
    pub(crate) path: PathBuf,
    /// What its HEAD names, if it names a branch.
    pub(crate) head: Option<RefName>,
}

impl UserRepo {
    /// The repository that `path` is in.
    pub async fn open(git: &Git, path: &Path) -> Result<Self, Error> {
        let ask = || git.call("rev-parse").discover(path).arg("--path-format=absolute");
        let facts = ask().args(["--git-common-dir", "--show-object-format"]).text().await;
        let facts = facts.map_err(|error| {
            let Error::Failed { stderr: why, .. } = error else { return error };
            Error::NoRepository { path: path.to_owned(), why }
        })?;
        let (dir, format) = facts.split_once('\n').ok_or(Error::Garbled { verb: "rev-parse" })?;
        // A bare repository has none.
        let top = ask().arg("--show-toplevel").text().await.ok().map(PathBuf::from);
        let format = if format == "sha256" { ObjectFormat::Sha256 } else { ObjectFormat::Sha1 };
        Ok(Self { git: git.clone(), dir: dir.into(), top, format })
    }

    /// The directory that holds its refs and objects.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The top of the work tree that it was opened in; `None` if it is bare.
    pub fn top(&self) -> Option<&Path> {
        self.top.as_deref()
    }

    /// How its objects are named.
    pub fn format(&self) -> ObjectFormat {
        self.format
    }

    pub(crate) fn call(&self, verb: &'static str) -> Call<'_> {
        self.git.call(verb).repo(&self.dir)
    }

    /// Which branch work starts from if nobody says: what the remote calls its HEAD, else
    /// `main`, else `master`, else the one that is checked out.
    pub async fn default_branch(&self) -> Result<Option<BranchName>, Error> {
        let known = self
            .call("for-each-ref")
            .args(["--format=%(refname) %(symref)", "--"])
            .args([REMOTE_HEAD, "refs/heads/main", "refs/heads/master"])
            .text()
            .await?;
        let pair = |line| str::split_once(line, ' ').unwrap_or((line, ""));
        let pairs: BTreeMap<&str, &str> = known.lines().map(pair).collect();
        let remote = pairs.get(REMOTE_HEAD).and_then(|to| to.strip_prefix(REMOTE));
        let local = ["main", "master"]
            .into_iter()
            .find(|name| pairs.contains_key(format!("refs/heads/{name}").as_str()));
        match remote.or(local) {
            Some(name) => Ok(Some(BranchName::new(name)?)),
            None => self.current_branch().await,
        }
    }

    /// What is checked out; in a bare repository, what its HEAD names.
    pub async fn current_branch(&self) -> Result<Option<BranchName>, Error> {
        let answer = self.call("symbolic-ref").args(["--quiet", "HEAD"]).answer().await?;
        match answer.code {
            0 => {
                let name = String::from_utf8_lossy(&answer.stdout);
                Ok(RefName::new(name.trim_end()).ok().and_then(|name| name.branch()))
            }
            1 => Ok(None),
            _ => Err(answer.failure()),
        }
    }

    /// Where `branch` is, if there is one.
    pub async fn branch(&self, branch: &BranchName) -> Result<Option<CommitId>, Error> {
        Ok(self.branches(std::slice::from_ref(branch)).await?.remove(branch))
    }

    /// Where those of `branches` are that exist.
    pub async fn branches(
        &self,
        branches: &[BranchName],
    ) -> Result<BTreeMap<BranchName, CommitId>, Error> {
        if branches.is_empty() {
            return Ok(BTreeMap::new());
        }
        let names: Vec<RefName> = branches.iter().map(BranchName::to_ref).collect();
        let call = self.call("for-each-ref").arg(REF_FORMAT).arg("--");
        let mut refs = listed(call.args(names.iter().map(RefName::as_str))).await?;
        // A name also lists what lies below it.
        let found = branches
            .iter()
            .zip(&names)
            .filter_map(|(branch, name)| Some((branch.clone(), refs.remove(name)?)));
        Ok(found.collect())
    }

    /// Every work tree with what is checked out in it.
    pub(crate) async fn worktrees(&self) -> Result<Vec<Worktree>, Error> {
        let output = self.call("worktree").args(["list", "--porcelain", "-z"]).output().await?;
        let text = String::from_utf8_lossy(&output);
        let mut worktrees: Vec<Worktree> = Vec::new();
        for line in text.split('\0') {
            if let Some(path) = line.strip_prefix("worktree ") {
                worktrees.push(Worktree { path: path.into(), head: None });
            } else if let (Some(name), Some(last)) =
                (line.strip_prefix("branch "), worktrees.last_mut())
            {
                last.head = RefName::new(name).ok();
            }
        }
        Ok(worktrees)
    }
}
