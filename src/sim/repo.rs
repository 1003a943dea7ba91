//! A small repository to try things on: for the demo and for tests, never for a user's work.

use std::path::Path;

use crate::git::{BranchName, Error, Git, Identity};

/// Makes `dir`, which exists, a repository whose `branch` holds all its files in one commit, and
/// checks out a new branch `desk` beside it: where a user would stand.
pub async fn scratch(
    git: &Git,
    dir: &Path,
    branch: &BranchName,
    message: &str,
    by: &Identity,
) -> Result<(), Error> {
    let initial = format!("--initial-branch={branch}");
    git.call("init").args(["--quiet", initial.as_str()]).arg(dir).done().await?;
    let inside = |verb| {
        git.call(verb)
            .repo(&dir.join(".git"))
            .tree(dir)
            .env("GIT_AUTHOR_NAME", by.name())
            .env("GIT_AUTHOR_EMAIL", by.email())
            .env("GIT_COMMITTER_NAME", by.name())
            .env("GIT_COMMITTER_EMAIL", by.email())
    };
    inside("add").arg("--all").done().await?;
    inside("commit").args(["--quiet", "-m", message]).done().await?;
    inside("switch").args(["--quiet", "-c", "desk"]).done().await
}

/// Commits all that changed in a work tree, by whomever its configuration names.
pub(crate) async fn commit_all(git: &Git, tree: &Path, message: &str) -> Result<(), Error> {
    let inside = |verb| git.call(verb).repo(&tree.join(".git")).tree(tree);
    inside("add").arg("--all").done().await?;
    inside("commit").args(["--quiet", "-m", message]).done().await
}
