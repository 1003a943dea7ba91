//! The repository that a forge keeps: branches are brought here from it, and pushed there by commit
//! id. Only from the engine's own repository, whose configuration nobody else writes.
//!
//! How git signs in is an environment variable of the one process that needs it: never an
//! argument, a URL, a file or a log. Nothing is pushed without saying what it may replace.

mod origin;

pub use origin::is_cloned;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::git::bare::FETCH_OPTIONS;
use crate::git::collect::IMPORT_SETTINGS;
use crate::git::command::{Answer, Call, TRANSFER};
use crate::git::{Bare, BranchName, Error, RefName};
use crate::ids::CommitId;

/// How long a server may take to name some branches.
const NAMES: Duration = Duration::from_secs(60);

/// Variables of this process that say how the network is reached.
const NETWORK: &[&str] = &["HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy", "SSL_CERT_FILE"];

/// Where a forge keeps a repository, and how to sign in there.
#[derive(Clone)]
pub struct Remote {
    url: String,
    authorization: String,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("url", &self.url).finish_non_exhaustive()
    }
}

/// One branch to be set at a remote.
#[derive(Debug, Clone)]
pub struct Push<'a> {
    /// Which.
    pub branch: &'a BranchName,
    /// Where it must be now; `None`: nowhere. Anything else there is left alone.
    pub from: Option<&'a CommitId>,
    /// Where it is to be; `None`: nowhere.
    pub to: Option<&'a CommitId>,
}

/// What became of a [`Push`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// It is where it is to be, perhaps since before.
    Done,
    /// It was not where it should have been, and is left there.
    Stale {
        /// Where it is.
        found: Option<CommitId>,
    },
    /// The server does not want it.
    Refused {
        /// In its words.
        why: String,
    },
}

impl Remote {
    /// The repository at `url`, which holds no name and no password, for the user `name`.
    pub fn new(url: &str, name: &str, password: &str) -> Self {
        let basic = BASE64_STANDARD.encode(format!("{name}:{password}"));
        Self { url: url.to_owned(), authorization: format!("Authorization: Basic {basic}") }
    }

    /// Lets a command reach this server and no other.
    fn reached<'g>(&self, call: Call<'g>) -> Call<'g> {
        // Plain HTTP never leaves this machine; whoever makes a remote sees to that.
        let protocol = if self.url.starts_with("http://") { "http" } else { "https" };
        let call = NETWORK.iter().fold(call, |call, name| match std::env::var_os(name) {
            Some(value) => call.env(name, value),
            None => call,
        });
        call.setting(&format!("protocol.{protocol}.allow=always"))
            // The header must not follow a redirect to somebody else.
            .setting("http.followRedirects=false")
            .setting("http.lowSpeedLimit=1000")
            .setting("http.lowSpeedTime=60")
            .env("GIT_ALLOW_PROTOCOL", protocol)
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", format!("http.{}.extraHeader", self.url))
            .env("GIT_CONFIG_VALUE_0", &self.authorization)
    }
}

impl Bare {
    /// Where those of `branches` are at `remote` that exist there.
    pub async fn there(
        &self,
        remote: &Remote,
        branches: &[&BranchName],
    ) -> Result<BTreeMap<BranchName, CommitId>, Error> {
        let names: Vec<RefName> = branches.iter().map(|branch| branch.to_ref()).collect();
        let call = self.call("ls-remote").args(["--quiet", "--end-of-options"]).arg(&remote.url);
        let call = call.args(names.iter().map(RefName::as_str)).within(NAMES);
        let text = remote.reached(call).text().await?;
        let pair = |line: &str| {
            let (commit, name) = line.split_once('\t')?;
            Some((RefName::new(name).ok()?, commit.parse().ok()?))
        };
        let mut found = text
            .lines()
            .map(pair)
            .collect::<Option<BTreeMap<RefName, CommitId>>>()
            .ok_or(Error::Garbled { verb: "ls-remote" })?;
        // A pattern also finds what ends like it.
        let wanted = branches.iter().zip(&names);
        Ok(wanted.filter_map(|(b, name)| Some(((*b).clone(), found.remove(name)?))).collect())
    }

    /// Brings a branch of `remote` here, as the ref `into`; where it is, or `None` if it is not
    /// there. `checked` has every new object checked first, for what anybody may have pushed.
    pub async fn bring(
        &self,
        remote: &Remote,
        branch: &BranchName,
        into: &RefName,
        checked: bool,
    ) -> Result<Option<CommitId>, Error> {
        let settings = if checked { IMPORT_SETTINGS } else { &[] };
        let call = settings.iter().fold(self.call("fetch"), |call, s| call.setting(s));
        let call = call
            .args(FETCH_OPTIONS)
            .args(["--end-of-options", &remote.url])
            .arg(format!("+{}:{into}", branch.to_ref()))
            .within(TRANSFER);
        match remote.reached(call).done().await {
            Ok(()) => self.lookup(into).await,
            Err(Error::Failed { stderr, .. }) if stderr.contains("couldn't find remote ref") => {
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    /// Sets a branch at `remote`, if it is where it should be.
    pub async fn push(&self, remote: &Remote, push: &Push<'_>) -> Result<Pushed, Error> {
        let name = push.branch.to_ref();
        let id = |commit: Option<&CommitId>| commit.map_or("", CommitId::as_str).to_owned();
        let call = self
            .call("push")
            .args(["--porcelain", "--quiet", "--no-verify", "--no-signed"])
            .args(["--recurse-submodules=no", "--atomic"])
            .arg(format!("--force-with-lease={name}:{}", id(push.from)))
            .args(["--end-of-options", &remote.url])
            .arg(format!("{}:{name}", id(push.to)))
            .within(TRANSFER);
        let answer = remote.reached(call).answer().await?;
        if answer.code == 0 {
            return Ok(Pushed::Done);
        }
        let Some(why) = refusal(&answer) else { return Err(answer.failure()) };
        // An earlier push may have gone through without an answer.
        let found = self.there(remote, &[push.branch]).await?.remove(push.branch);
        if found.as_ref() == push.to {
            return Ok(Pushed::Done);
        }
        if found.as_ref() != push.from {
            return Ok(Pushed::Stale { found });
        }
        let hint = answer.complaint();
        Ok(Pushed::Refused { why: if hint.is_empty() { why } else { format!("{why}: {hint}") } })
    }
}

/// Why a server refused, from the one line that `push --porcelain` writes about a branch that it
/// did not set: `!`, both names, `[remote rejected] (reason)`.
fn refusal(answer: &Answer) -> Option<String> {
    let text = String::from_utf8_lossy(&answer.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("!\t"))?;
    let summary = line.split_once('\t').map_or(line, |(_, summary)| summary);
    let reason = summary.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    Some(reason.unwrap_or(summary).replace(|c: char| c.is_control(), " "))
}
