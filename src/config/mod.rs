//! The configuration file: every option with its default, validated as a whole.
//!
//! Nothing below [`crate::app`] sees a [`Config`]: each component is handed its own options.

mod agents;
mod credentials;
mod discord;
mod github;
mod hooks;
pub mod hot;
mod http;
mod memory;
mod plans;
mod projects;
mod raw;
mod retention;
mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::failure::Failure;
use crate::graph::{Budget, SandboxKind};
use crate::hooks::rules::Hook;
use crate::ids::ProfileName;
use crate::orchestrator::Watching;
use crate::runner::{Credentials, Stall};
use crate::scheduler::Resume;
use crate::state::MergeMethod;
use crate::time::{Quiet, Zone};

pub use self::http::Http;
pub use crate::runner::AgentProfile;
pub use github::{GitHub, GitHubSignIn, Webhook};
pub use hooks::Hooks;
pub use memory::Memory;
pub use projects::{Project, Source};
pub use retention::Retention;

/// A configuration that has been checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Attempts at once on this machine.
    pub slots: u32,
    /// Attempts at once in a project that does not say.
    pub project_slots: u32,
    /// What all projects together may use within a day.
    pub budget: Budget,
    /// When nothing is started.
    pub quiet: Option<Quiet>,
    /// Where times of day are meant.
    pub zone: Zone,
    /// What happens when an agent's limit is reset.
    pub resume: Resume,
    /// The profile of tasks that name neither profile nor framework.
    pub default_agent: Option<ProfileName>,
    /// Agent profiles by name.
    pub agents: BTreeMap<ProfileName, AgentProfile>,
    /// Variables of the daemon that agents get and graphs may use.
    pub env: Vec<String>,
    /// What agents sign in and work with.
    pub credentials: Credentials,
    /// The wall around agents, where the graph does not say.
    pub sandbox: SandboxKind,
    /// Whether agents get a home directory of their own.
    pub home: Home,
    /// What one agent may use.
    pub limits: Limits,
    /// How long things may take.
    pub timeouts: Timeouts,
    /// What becomes of agents that are silent.
    pub stall: Stall,
    /// How runs are watched over.
    pub watching: Watching,
    /// What a daemon that is told to end does with agents at work.
    pub on_shutdown: OnShutdown,
    /// How commits and merges are made.
    pub git: GitOptions,
    /// How plans are turned into tasks.
    pub plans: crate::plan::Rules,
    /// The profile that makes steps of plans in words; `None`: rules do.
    pub plan_parser: Option<ProfileName>,
    /// What tasks remember of each other.
    pub memory: Memory,
    /// Nothing is prepared while less than this is free, in MiB.
    pub disk_free_min_mib: u64,
    /// How long things are kept.
    pub retention: Retention,
    /// Repositories by name.
    pub projects: Vec<Project>,
    /// GitHub; `None`: no project is there.
    pub github: Option<GitHub>,
    /// The HTTP server; `None`: there is none.
    pub http: Option<Http>,
    /// The bot; `None`: there is none.
    pub discord: Option<crate::discord::Options>,
    /// Hooks.
    pub hooks: Hooks,
}

/// Which home directory agents see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Home {
    /// An empty one of the attempt's own.
    #[default]
    Private,
    /// The daemon's.
    User,
}

/// What one agent, with all that it starts, may use. `None`: no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Address space of each process, in MiB.
    pub memory_mib: Option<u64>,
    /// Processes of the user.
    pub processes: Option<u64>,
    /// Open files of each process.
    pub open_files: Option<u64>,
    /// Size of each file written, in MiB.
    pub file_size_mib: Option<u64>,
}

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// One turn of an agent, where the graph does not say.
    pub attempt: Duration,
    /// One gate or check.
    pub gate: Duration,
    /// Between asking a program to end and killing it.
    pub grace: Duration,
    /// What runs may go on so long when the daemon drains at its end.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            attempt: Duration::from_secs(4 * 60 * 60),
            gate: Duration::from_secs(30 * 60),
            grace: Duration::from_secs(10),
            drain: Duration::from_secs(10 * 60),
        }
    }
}

/// What a daemon that is told to end does with agents at work.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnShutdown {
    /// They run on; the next daemon takes them up where they are.
    #[default]
    Detach,
    /// They may come to their end within [`Timeouts::drain`]; then they are suspended.
    Drain,
    /// They are ended at once; the next daemon begins their attempts again.
    Suspend,
}

/// How commits and merges are made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitOptions {
    /// How pull requests are merged.
    pub merge_method: MergeMethod,
    /// Who commits, for agents and for the engine.
    pub author_name: String,
    /// Their address.
    pub author_email: String,
    /// Who is named as co-author of what a submitter's run merges, by the submitter's name.
    pub co_authors: BTreeMap<String, String>,
}

impl Default for Config {
    fn default() -> Self {
        raw::Raw::default().check(None).expect("BUG: the defaults are valid")
    }
}

impl Config {
    /// Reads a configuration from text; `home` is what `~` stands for.
    pub fn parse(text: &str, home: Option<&Path>) -> Result<Self, Failure> {
        raw::parse(text)?.check(home)
    }

    /// Reads one hook, as an entry of `hooks:` is written.
    pub fn read_hook(&self, text: &str, home: Option<&Path>) -> Result<Hook, Failure> {
        self.hooks.read(text, &self.agents, home)
    }

    /// Reads a configuration file.
    pub fn load(path: &Path, home: Option<&Path>) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(|why| Failure::config(format!("cannot read {}: {why}", path.display())))?;
        Self::parse(&text, home).map_err(|mut failure| {
            failure.message = format!("{}: {}", path.display(), failure.message);
            failure
        })
    }
}
