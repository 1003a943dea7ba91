//! The environment of a program: nothing but what is put in here, so that no token of the daemon
//! can reach an agent by being forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What every program needs from the daemon's own environment to find programs and to speak to
/// people; none of it is ever a secret.
const ALLOWED: [&str; 4] = ["PATH", "LANG", "TERM", "TZ"];

/// How long a program may take to print its version: the slowest needs six seconds when cold.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// Names and values, all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    variables: BTreeMap<String, String>,
    /// Those whose names do not tell that they are secret.
    #[serde(default)]
    secret: BTreeSet<String>,
}

impl Environment {
    /// What may be passed on from the daemon: `PATH`, `LANG`, `LC_*`, `TERM`, `TZ`, and the
    /// variables called `names`. A value that is not UTF-8 is not passed on.
    pub fn from_daemon(names: &[String]) -> Self {
        let passed = |name: &str| {
            ALLOWED.contains(&name) || name.starts_with("LC_") || names.iter().any(|n| n == name)
        };
        let text = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let variables = text.filter(|(name, _)| passed(name)).collect();
        Self { variables, secret: BTreeSet::new() }
    }

    /// Sets one variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    /// Sets one variable that nobody is to see.
    #[must_use]
    pub fn with_secret(mut self, name: &str, value: impl Into<String>) -> Self {
        self.secret.insert(name.to_owned());
        self.with(name, value)
    }

    /// A home that is the program's own.
    ///
    /// `cargo` and `rustc` are often proxies that look for their toolchains below the home of the
    /// user; with another home they would find none, so they are told where the real ones are.
    #[must_use]
    pub fn with_private_home(self, home: &Path) -> Self {
        let told = std::env::var_os("RUSTUP_HOME").map(PathBuf::from);
        let usual = || std::env::home_dir().map(|home| home.join(".rustup"));
        let rustup = told.or_else(usual).filter(|dir| dir.is_dir());
        let environment = self.with("HOME", home.to_string_lossy());
        match rustup {
            Some(dir) => environment.with("RUSTUP_HOME", dir.to_string_lossy()),
            None => environment,
        }
    }

    /// Makes `taskloom` a command, whatever else is installed: `dir/bin` is created with a link to
    /// `helper`, and becomes the first place where programs are looked for. Not for a gate: where
    /// an agent can write, it can put a program of its own under any name.
    pub fn with_taskloom(self, dir: &Path, helper: &Path) -> io::Result<Self> {
        let bin = dir.join("bin");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&bin)?;
        let link = bin.join("taskloom");
        match fs::remove_file(&link) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            Err(_) | Ok(()) => symlink(helper, link)?,
        }
        let bin = bin.to_string_lossy().into_owned();
        let path = match self.variables.get("PATH") {
            Some(rest) => format!("{bin}:{rest}"),
            None => bin,
        };
        Ok(self.with("PATH", path))
    }

    /// What a short-lived program prints in this environment; `None` if it fails or takes long.
    pub async fn answer_of(&self, program: &Path, args: &[&str]) -> Option<String> {
        let output =
            self.output_of(program, args).await.filter(|output| output.status.success())?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// Whether a short-lived program exits with 0 in this environment, and soon.
    pub async fn succeeds(&self, program: &Path, args: &[&str]) -> bool {
        self.output_of(program, args).await.is_some_and(|output| output.status.success())
    }

    #[expect(clippy::disallowed_methods, reason = "processes start only here and below")]
    async fn output_of(&self, program: &Path, args: &[&str]) -> Option<std::process::Output> {
        let mut command = tokio::process::Command::new(program);
        command
            .args(args)
            .env_clear()
            .envs(&self.variables)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        tokio::time::timeout(ANSWER_WITHIN, command.output()).await.ok()?.ok()
    }

    /// The value of one variable.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// The names of all variables.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(String::as_str)
    }

    /// Whether a variable was said to be secret.
    pub(super) fn is_secret(&self, name: &str) -> bool {
        self.secret.contains(name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &String)> {
        self.variables.iter()
    }
}
