//! Repositories that are made here for a project: a new one, or a clone of a remote one. A clone is
//! bare, follows the branches of its origin when it is read, and gives them what was merged.
//!
//! The origin is reached as its owner reaches it by hand: their SSH agent, their SSH files. No
//! password is asked for and none is kept.

use std::fs;
use std::path::Path;

use crate::git::command::{Call, TRANSFER};
use crate::git::{BranchName, Error, Git, Identity, Refusal, Signature, UserRepo};
use crate::ids::CommitId;
use crate::time::Timestamp;

/// The setting that says where a clone of ours comes from; the clone of a user has none.
const ORIGIN: &str = "taskloom.origin";

/// The branch of a repository that is made new.
const FIRST_BRANCH: &str = "main";

/// Variables of this process by which the origin is reached.
const REACH: &[&str] = &["HOME", "SSH_AUTH_SOCK", "HTTPS_PROXY", "https_proxy", "NO_PROXY"];

/// An origin that is silent for so long is away: a server that does not answer, a transfer that
/// does not move.
const SILENCE: &[&str] = &["http.lowSpeedLimit=1000", "http.lowSpeedTime=60"];
const SSH: &str = "ssh -o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=30";

/// What may be asked for a repository: nothing that runs a program of the URL's choice.
const PROTOCOLS: &str = "file:https:ssh";

impl Git {
    /// Makes a repository with an empty commit, unless there is one.
    pub async fn begin(&self, dir: &Path, by: &Identity, at: Timestamp) -> Result<(), Error> {
        if dir.join(".git").exists() {
            return Ok(());
        }
        fs::create_dir_all(dir).map_err(Error::io("make", dir))?;
        let git_dir = dir.join(".git");
        let init = self.call("init").args(["--quiet", "--initial-branch", FIRST_BRANCH]);
        init.arg("--end-of-options").arg(dir).done().await?;
        let tree = self.call("mktree").repo(&git_dir).text().await?;
        let Signature { name, email, date } = Signature::new(by, at);
        let commit = self
            .call("commit-tree")
            .repo(&git_dir)
            .args([tree.as_str(), "-m", "Begin"])
            .env("GIT_AUTHOR_NAME", &name)
            .env("GIT_AUTHOR_EMAIL", &email)
            .env("GIT_COMMITTER_NAME", &name)
            .env("GIT_COMMITTER_EMAIL", &email)
            .env("GIT_AUTHOR_DATE", &date)
            .env("GIT_COMMITTER_DATE", &date)
            .text()
            .await?;
        let branch = format!("refs/heads/{FIRST_BRANCH}");
        self.call("update-ref").repo(&git_dir).args([branch.as_str(), &commit]).done().await
    }

    /// Makes a clone of `url`, unless there is one; that one follows `url` from now on. One that was
    /// cut short is made again.
    pub async fn clone_of(&self, url: &str, dir: &Path) -> Result<(), Error> {
        let _alone = self.alone().await;
        if is_cloned(dir) {
            let set = self.call("config").repo(dir).args([ORIGIN, url]);
            return set.done().await;
        }
        let parent = dir.parent().unwrap_or(dir);
        fs::create_dir_all(parent).map_err(Error::io("make", parent))?;
        let name = dir.file_name().map(|name| name.to_string_lossy().into_owned());
        let half = dir.with_file_name(format!(".{}.new", name.unwrap_or_default()));
        if half.exists() {
            fs::remove_dir_all(&half).map_err(Error::io("remove", &half))?;
        }
        let call = self.call("clone").args(["--quiet", "--bare", "--end-of-options", url]);
        reached(call).arg(&half).within(TRANSFER).done().await.map_err(away)?;
        self.call("config").repo(&half).args([ORIGIN, url]).done().await?;
        fs::rename(&half, dir).map_err(Error::io("rename", &half))
    }
}

/// Whether a clone is there.
pub fn is_cloned(dir: &Path) -> bool {
    dir.join("HEAD").exists()
}

/// What went wrong at the origin.
fn away(error: Error) -> Error {
    Error::Origin { source: Box::new(error) }
}

fn reached(call: Call<'_>) -> Call<'_> {
    let call = REACH.iter().fold(call, |call, name| match std::env::var_os(name) {
        Some(value) => call.env(name, value),
        None => call,
    });
    PROTOCOLS
        .split(':')
        .map(|protocol| format!("protocol.{protocol}.allow=always"))
        .chain(SILENCE.iter().map(|&setting| setting.to_owned()))
        .fold(call, |call, setting| call.setting(&setting))
        .env("GIT_ALLOW_PROTOCOL", PROTOCOLS)
        .env("GIT_SSH_COMMAND", SSH)
}

impl UserRepo {
    /// Where it comes from, if it is a clone of ours.
    pub(crate) async fn origin(&self) -> Result<Option<String>, Error> {
        let answer = self.call("config").args(["--get", ORIGIN]).answer().await?;
        match answer.code {
            0 => Ok(Some(String::from_utf8_lossy(&answer.stdout).trim_end().to_owned())),
            1 => Ok(None),
            _ => Err(answer.failure()),
        }
    }

    /// Takes over where branches are at the origin, if it is a clone of ours.
    pub async fn follow(&self, branches: &[BranchName]) -> Result<(), Error> {
        let Some(url) = self.origin().await? else { return Ok(()) };
        let refspecs = branches.iter().map(|name| format!("+{0}:{0}", name.to_ref()));
        let call = self.call("fetch").args(["--quiet", "--no-tags", "--no-write-fetch-head"]);
        let call = call.args(["--no-auto-maintenance", "--end-of-options", &url]);
        reached(call).args(refspecs).within(TRANSFER).done().await.map_err(away)
    }

    /// Moves a branch of the origin, if it is a clone of ours and the branch is still there.
    pub(crate) async fn give_back(
        &self,
        branch: &BranchName,
        from: &CommitId,
        to: &CommitId,
    ) -> Result<(), Error> {
        let Some(url) = self.origin().await? else { return Ok(()) };
        let name = branch.to_ref();
        let call = self
            .call("push")
            .args(["--quiet", "--no-verify", "--no-signed", "--recurse-submodules=no"])
            .arg(format!("--force-with-lease={name}:{from}"))
            .args(["--end-of-options", &url])
            .arg(format!("{to}:{name}"));
        let answer = reached(call).within(TRANSFER).answer().await.map_err(away)?;
        if answer.code == 0 {
            return Ok(());
        }
        let names = self.call("ls-remote").args(["--quiet", "--end-of-options", &url]);
        let there = reached(names).arg(name.as_str()).within(TRANSFER).text().await;
        let there = there.map_err(away)?;
        let found = there.split_whitespace().next().and_then(|id| id.parse().ok());
        if found.as_ref() == Some(to) {
            return Ok(());
        }
        if found.as_ref() == Some(from) {
            return Err(away(answer.failure()));
        }
        let expected = Some(from.clone());
        Err(Refusal::Moved { branch: branch.clone(), expected, found }.into())
    }
}
