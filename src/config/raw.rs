//! The shape of the file. The only YAML of the configuration.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::Error as _;

use crate::config::agents::{self, RawAgent};
use crate::config::credentials;
use crate::config::discord::RawDiscord;
use crate::config::github::{GitHub, RawGitHub};
use crate::config::hooks::{self, RawHooks};
use crate::config::hot::Tree;
use crate::config::http::RawHttp;
use crate::config::memory::RawMemory;
use crate::config::plans::RawPlans;
use crate::config::projects::{self, RawBudget, RawProject};
use crate::config::retention::RawRetention;
use crate::config::watch::{self, RawArchive, RawMonitoring, RawStall};
use crate::config::{Config, GitOptions, Home, Http, Limits, OnShutdown, Timeouts};
use crate::failure::Failure;
use crate::graph::SandboxKind;
use crate::runner::Credentials;
use crate::scheduler::Resume;
use crate::state::MergeMethod;
use crate::time::{Quiet, Zone, machine_zone};

/// Agents at once on one machine unless the file says otherwise: each is a process tree with a
/// compiler or two behind it.
const SLOTS_DEFAULT: u32 = 8;

/// Agents at once in one project unless the file says otherwise.
const PROJECT_SLOTS_DEFAULT: u32 = 4;

/// Free space below which nothing is prepared: a checkout, a build and the store must fit.
const DISK_FREE_MIN_MIB_DEFAULT: u64 = 2048;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Raw {
    data_dir: Option<String>,
    slots: Option<Whole>,
    project_slots: Option<Whole>,
    budget: RawBudget,
    quiet_hours: Option<RawQuiet>,
    time_zone: Option<String>,
    resume: RawResume,
    default_agent: Option<String>,
    agents: BTreeMap<String, RawAgent>,
    env: Vec<String>,
    credentials: Option<String>,
    isolation: RawIsolation,
    home: RawHome,
    limits: RawLimits,
    timeouts: RawTimeouts,
    stall: RawStall,
    monitoring: RawMonitoring,
    archive: RawArchive,
    on_shutdown: RawOnShutdown,
    git: RawGit,
    plans: RawPlans,
    memory: RawMemory,
    disk_free_min_mib: Option<Whole>,
    retention: RawRetention,
    projects: Vec<RawProject>,
    github: Option<RawGitHub>,
    http: Option<RawHttp>,
    discord: Option<RawDiscord>,
    hooks: RawHooks,
    hook_slots: Option<Whole>,
    hook_hosts: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawIsolation {
    sandbox: Option<SandboxKind>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawHome {
    #[default]
    Private,
    User,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLimits {
    memory_mib: Option<Whole>,
    processes: Option<Whole>,
    open_files: Option<Whole>,
    file_size_mib: Option<Whole>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawTimeouts {
    attempt: Option<Span>,
    idle: Option<Span>,
    gate: Option<Span>,
    grace: Option<Span>,
    drain: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawGit {
    merge_method: RawMergeMethod,
    author_name: Option<String>,
    author_email: Option<String>,
    co_authors: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawOnShutdown {
    #[default]
    Detach,
    Drain,
    Suspend,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawResume {
    #[default]
    Auto,
    Ask,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuiet {
    from: String,
    to: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawMergeMethod {
    #[default]
    Merge,
    Squash,
    Rebase,
}

/// A duration as people write it.
#[derive(Debug)]
pub(super) struct Span(pub(super) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let span = humantime::parse_duration(&text).map_err(|why| {
            D::Error::custom(format!("`{text}` is no duration ({why}); write `90s` or `2h`"))
        })?;
        Ok(Self(span))
    }
}

/// A whole number, for which the reader's own message would name a type of this program.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole(pub(super) u64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong = |_| D::Error::custom("must be a whole number that is not negative");
        u64::deserialize(deserializer).map(Self).map_err(wrong)
    }
}

/// The names and values of a file that has been read already.
pub(super) fn tree(text: &str) -> Result<Tree, Failure> {
    if text.trim().is_empty() {
        return Ok(Tree::default());
    }
    serde_yaml::from_str(text).map_err(|error| Failure::config(error.without_snippet().to_string()))
}

pub(crate) fn parse(text: &str) -> Result<Raw, Failure> {
    if text.trim().is_empty() {
        return Ok(Raw::default());
    }
    serde_yaml::from_str(text).map_err(|error| {
        let plain = error.without_snippet();
        let message = plain.render_with_formatter(&serde_yaml::UserMessageFormatter);
        let hint = meant(&message).map(|near| format!("did you mean `{near}`?"));
        let failure = Failure::config(message);
        hint.into_iter().fold(failure, Failure::hint)
    })
}

/// The option that was probably meant, where the message is about one that is not there.
fn meant(message: &str) -> Option<&str> {
    let (name, known) = message.strip_prefix("unknown field `")?.split_once("`, expected ")?;
    let known = known.split(" at line ").next()?;
    let known = known.trim_start_matches("one of ").split(", ").map(|name| name.trim_matches('`'));
    let near = |known: &&str| strsim::damerau_levenshtein(name, known) <= 1 + name.len() / 5;
    known.into_iter().find(near)
}

pub(super) fn expand(path: &str, home: Option<&Path>) -> Result<PathBuf, Failure> {
    let Some(rest) = path.strip_prefix('~') else { return Ok(PathBuf::from(path)) };
    let home = home
        .ok_or_else(|| Failure::config(format!("`{path}` cannot be resolved: HOME is not set")))?;
    Ok(home.join(rest.trim_start_matches('/')))
}

pub(super) fn name<T: std::str::FromStr<Err = crate::ids::NameError>>(
    what: &str,
    text: &str,
) -> Result<T, Failure> {
    text.parse().map_err(|why| Failure::config(format!("{what} `{text}`: {why}")))
}

pub(super) fn at_least_one(what: &str, value: Option<Whole>, default: u32) -> Result<u32, Failure> {
    let Some(Whole(value)) = value else { return Ok(default) };
    u32::try_from(value).ok().filter(|value| *value > 0).ok_or_else(|| {
        Failure::config(format!("`{what}` must be at least 1 and at most {}", u32::MAX))
    })
}

impl Raw {
    pub(crate) fn check(self, home: Option<&Path>) -> Result<Config, Failure> {
        let agents = agents::check(self.agents)?;
        let default_agent =
            self.default_agent.map(|id| name("`default_agent`", &id)).transpose()?;
        if let Some(missing) = default_agent.as_ref().filter(|id| !agents.contains_key(*id)) {
            return Err(Failure::config(format!("`default_agent` names `{missing}`"))
                .hint("add it under `agents:`, or name one that is there"));
        }
        let (plans, plan_parser) = self.plans.check(&agents)?;
        let zone = zone(self.time_zone.as_deref())?;
        let retention = self.retention.check(None);
        let http = self.http.map(RawHttp::check).transpose()?;
        let github = github(self.github, &self.projects, http.as_ref(), home)?;
        let heard =
            http.is_some() || github.as_ref().is_some_and(|github| github.webhook.is_some());
        let raw = (self.hooks, self.hook_slots, self.hook_hosts);
        let hooks = hooks::check(raw, &agents, (heard, zone), home)?;
        Ok(Config {
            hooks,
            data_dir: match self.data_dir {
                Some(path) => expand(&path, home)?,
                None => home.map_or_else(PathBuf::new, |h| h.join(".local/share/taskloom")),
            },
            slots: at_least_one("slots", self.slots, SLOTS_DEFAULT)?,
            project_slots: at_least_one(
                "project_slots",
                self.project_slots,
                PROJECT_SLOTS_DEFAULT,
            )?,
            budget: self.budget.check("all projects")?,
            quiet: quiet(self.quiet_hours, zone)?,
            zone,
            resume: match self.resume {
                RawResume::Auto => Resume::Auto,
                RawResume::Ask => Resume::Ask,
            },
            default_agent,
            env: self.env,
            credentials: match self.credentials {
                Some(file) => credentials::load(&expand(&file, home)?, home)?,
                None => Credentials::default(),
            },
            sandbox: self.isolation.sandbox.unwrap_or(SandboxKind::None),
            home: match self.home {
                RawHome::Private => Home::Private,
                RawHome::User => Home::User,
            },
            limits: self.limits.check(),
            stall: self.stall.check(self.timeouts.idle.as_ref().map(|s| s.0))?,
            timeouts: self.timeouts.check(),
            watching: watch::watching(self.monitoring, self.archive)?,
            on_shutdown: self.on_shutdown.check(),
            git: self.git.check(),
            plans,
            plan_parser,
            memory: self.memory.check()?,
            disk_free_min_mib: self.disk_free_min_mib.map_or(DISK_FREE_MIN_MIB_DEFAULT, |n| n.0),
            github,
            http,
            projects: projects::check(self.projects, retention, home, |agent| {
                agents.contains_key(agent)
            })?,
            retention,
            discord: self.discord.map(|raw| raw.check(home)).transpose()?,
            agents,
        })
    }
}

impl RawTimeouts {
    fn check(self) -> Timeouts {
        let usual = Timeouts::default();
        Timeouts {
            attempt: self.attempt.map_or(usual.attempt, |s| s.0),
            gate: self.gate.map_or(usual.gate, |s| s.0),
            grace: self.grace.map_or(usual.grace, |s| s.0),
            drain: self.drain.map_or(usual.drain, |s| s.0),
        }
    }
}

impl RawOnShutdown {
    fn check(self) -> OnShutdown {
        match self {
            Self::Detach => OnShutdown::Detach,
            Self::Drain => OnShutdown::Drain,
            Self::Suspend => OnShutdown::Suspend,
        }
    }
}

impl RawMergeMethod {
    pub(super) fn check(self) -> MergeMethod {
        match self {
            Self::Merge => MergeMethod::Merge,
            Self::Squash => MergeMethod::Squash,
            Self::Rebase => MergeMethod::Rebase,
        }
    }
}

impl RawLimits {
    fn check(self) -> Limits {
        Limits {
            memory_mib: self.memory_mib.map(|n| n.0),
            processes: self.processes.map(|n| n.0),
            open_files: self.open_files.map(|n| n.0),
            file_size_mib: self.file_size_mib.map(|n| n.0),
        }
    }
}

impl RawGit {
    fn check(self) -> GitOptions {
        GitOptions {
            merge_method: self.merge_method.check(),
            author_name: self.author_name.unwrap_or_else(|| "Taskloom".to_owned()),
            author_email: self.author_email.unwrap_or_else(|| "taskloom@localhost".to_owned()),
            co_authors: self.co_authors,
        }
    }
}

fn zone(named: Option<&str>) -> Result<Zone, Failure> {
    let Some(named) = named else { return Ok(machine_zone()) };
    named.parse().map_err(|_| {
        Failure::config(format!("`time_zone` names `{named}`, which is no time zone"))
            .hint("write it as the IANA database does, such as `Europe/Berlin`")
    })
}

fn quiet(raw: Option<RawQuiet>, zone: Zone) -> Result<Option<Quiet>, Failure> {
    let Some(RawQuiet { from, to }) = raw else { return Ok(None) };
    let time = |text: &str| {
        chrono::NaiveTime::parse_from_str(text, "%H:%M").map_err(|_| {
            Failure::config(format!("`quiet_hours` says `{text}`, which is no time of day"))
                .hint("write hours and minutes in quotes, such as \"23:00\"")
        })
    };
    let (from, to) = (time(&from)?, time(&to)?);
    if from == to {
        return Err(Failure::config("`quiet_hours` begin when they end")
            .hint("leave them out, or `taskloom pause` to start nothing at all"));
    }
    Ok(Some(Quiet { from, to, zone }))
}

/// A project on GitHub needs the section, which may be empty.
fn github(
    raw: Option<RawGitHub>,
    projects: &[RawProject],
    http: Option<&Http>,
    home: Option<&Path>,
) -> Result<Option<GitHub>, Failure> {
    let used = projects.iter().find(|project| project.github.is_some());
    match (raw, used) {
        (Some(raw), _) => raw.check(http, home).map(Some),
        (None, Some(project)) => {
            let message =
                format!("project `{}` is on GitHub, and there is no `github:`", project.id);
            Err(Failure::config(message).hint("add `github: {token_env: GITHUB_TOKEN}`"))
        }
        (None, None) => Ok(None),
    }
}
