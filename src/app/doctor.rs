//! What is right and wrong with this machine and its set-up, a sentence each.

use std::path::Path;
use std::time::Duration;

use crate::agents::process::{Environment, Launcher};
use crate::agents::{Agent, McpServer};
use crate::app::github::on_github;
use crate::config::{AgentProfile, Config, Home};
use crate::discord;
use crate::graph::SandboxKind;
use crate::http;
use crate::render::words;
use crate::runner;
use crate::sandbox;
use crate::store::{Access, OwnerLock, SqliteStore};

/// A server that says nothing for this long is as good as away.
const SERVER_ANSWERS_WITHIN: Duration = Duration::from_secs(5);

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub what: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// In a sentence.
    pub sentence: String,
}

/// How something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Fine,
    /// Worth knowing.
    Note,
    /// To be put right.
    Wrong,
}

impl Verdict {
    /// What people read.
    pub fn word(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Note => "note",
            Self::Wrong => "wrong",
        }
    }
}

/// Looks at everything but the configuration file itself.
pub async fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = vec![git().await];
    findings.extend(data(config).await);
    findings.push(disk(config));
    findings.extend(agents(config).await);
    findings.push(walls(config).await);
    findings.push(program("tmux", "agents with `environment: {type: tmux}` need it"));
    findings.extend(github(config).await);
    if let Some(options) = &config.discord {
        findings.extend(bot(options).await);
    }
    findings
}

async fn bot(options: &discord::Options) -> Vec<Finding> {
    let token = match discord::token(&options.token) {
        Ok(token) => token,
        Err(failure) => {
            let sentence = failure.to_string().replace("\n  hint:", ";");
            return vec![Finding { what: "discord", verdict: Verdict::Wrong, sentence }];
        }
    };
    let checked = discord::check(options, &token).await;
    let told = checked.into_iter().map(|checked| {
        let verdict = if checked.fine { Verdict::Fine } else { Verdict::Wrong };
        Finding { what: "discord", verdict, sentence: checked.sentence }
    });
    told.collect()
}

/// Whether the repositories of the projects that are on GitHub can be worked on.
async fn github(config: &Config) -> Vec<Finding> {
    let finding = |verdict, sentence| Finding { what: "github", verdict, sentence };
    let on = match on_github(config, None) {
        Ok(Some(on)) => on,
        Ok(None) => return Vec::new(),
        Err(failure) => {
            let sentence = failure.to_string().replace("\n  hint:", ";");
            return vec![finding(Verdict::Wrong, sentence)];
        }
    };
    let mut findings = Vec::new();
    for (project, repo) in &on.repos {
        findings.push(match on.account.check(repo).await {
            Ok(()) => {
                finding(Verdict::Fine, format!("`{project}` is {repo}, and may be pushed to"))
            }
            Err(error) => finding(Verdict::Wrong, format!("`{project}`: {error}")),
        });
    }
    let webhook = config.github.as_ref().and_then(|github| github.webhook.as_ref());
    findings.push(match webhook {
        Some(webhook) => {
            finding(Verdict::Fine, format!("webhooks are heard at {}", webhook.listen))
        }
        None => {
            let poll = config.github.as_ref().map(|github| github.poll).unwrap_or_default();
            let every = humantime::format_duration(poll);
            let sentence = format!("no webhook; GitHub is asked every {every}");
            finding(Verdict::Note, sentence)
        }
    });
    findings
}

async fn git() -> Finding {
    let (verdict, sentence) = match crate::git::Git::find().await {
        Ok(git) => (Verdict::Fine, format!("version {}", git.version())),
        Err(error) => (Verdict::Wrong, error.to_string()),
    };
    Finding { what: "git", verdict, sentence }
}

async fn data(config: &Config) -> Vec<Finding> {
    let dir = &config.data_dir;
    let mut findings = Vec::new();
    if !SqliteStore::path(dir).exists() {
        let (verdict, sentence) = match tempfile::tempfile_in(there(dir)) {
            Ok(_) => (Verdict::Note, format!("{}: the first run makes it", dir.display())),
            Err(why) => (Verdict::Wrong, format!("{} cannot be made: {why}", dir.display())),
        };
        findings.push(Finding { what: "data directory", verdict, sentence });
        return findings;
    }
    let (verdict, sentence) = match SqliteStore::open(dir, Access::Read).await {
        Ok(_) => match tempfile::tempfile_in(dir) {
            Ok(_) => (Verdict::Fine, format!("{} can be used", dir.display())),
            Err(why) => (Verdict::Wrong, format!("{} cannot be written: {why}", dir.display())),
        },
        Err(error) => (Verdict::Wrong, error.to_string()),
    };
    findings.push(Finding { what: "data directory", verdict, sentence });
    let sentence = match OwnerLock::holder(dir) {
        Some(holder) => format!("in use by {holder}"),
        None => "nobody works on it now".to_owned(),
    };
    findings.push(Finding { what: "owner", verdict: Verdict::Note, sentence });
    findings
}

/// The directory, or the nearest one above it that is there.
fn there(dir: &Path) -> &Path {
    dir.ancestors().find(|dir| dir.is_dir()).unwrap_or(Path::new("/"))
}

fn disk(config: &Config) -> Finding {
    let (verdict, sentence) = match crate::app::disk_floor(config).check(there(&config.data_dir)) {
        Ok(free) => (Verdict::Fine, format!("{} free", words::bytes(free))),
        Err(error) => (Verdict::Wrong, error.to_string()),
    };
    Finding { what: "disk", verdict, sentence }
}

async fn agents(config: &Config) -> Vec<Finding> {
    let registry = crate::app::registry(&Launcher::default());
    let mut findings = Vec::new();
    for (name, profile) in &config.agents {
        let (verdict, sentence) = match registry.find(profile.framework, None) {
            Err(error) => (Verdict::Wrong, error.to_string()),
            Ok(agent) => examine_agent(config, &*agent, profile).await,
        };
        let sentence = format!("`{name}` ({}): {sentence}", profile.framework.word());
        findings.push(Finding { what: "agent", verdict, sentence });
    }
    findings
}

async fn examine_agent(
    config: &Config,
    agent: &dyn Agent,
    profile: &AgentProfile,
) -> (Verdict, String) {
    let configured = &profile.configured;
    let found = match agent.preflight(configured).await {
        Ok(found) => found,
        Err(error) => return (Verdict::Wrong, error.to_string()),
    };
    let version = found.version.map(|version| format!(", {version}")).unwrap_or_default();
    let mut told = vec![format!("{}{version}", found.program.display())];
    let empty = tempfile::tempdir().ok();
    let home = match (config.home, &empty) {
        (Home::Private, Some(empty)) => Some(empty.path().to_owned()),
        (Home::Private | Home::User, _) => std::env::home_dir(),
    };
    let environment = match environment(config, profile, &home.unwrap_or_default()) {
        Ok(environment) => environment,
        Err(trouble) => return (Verdict::Wrong, trouble),
    };
    let mut verdict = Verdict::Fine;
    match agent.signed_in(configured, &environment).await {
        None => {}
        Some(true) => told.push("signed in".to_owned()),
        Some(false) => {
            verdict = Verdict::Note;
            told.push(sign_in(config.home).to_owned());
        }
    }
    if !configured.allowed_tools.is_empty() {
        told.push(format!("uses {} unasked", configured.allowed_tools.join(", ")));
    }
    for (name, server) in &configured.mcp_servers {
        match examine_server(server, &environment).await {
            Ok(at) => told.push(format!("MCP server `{name}`: {at}")),
            Err(trouble) => {
                verdict = Verdict::Wrong;
                told.push(format!("MCP server `{name}`: {trouble}"));
            }
        }
    }
    if let Some(text) = &configured.system_prompt {
        told.push(format!("{} more of system prompt", words::bytes(text.len() as u64)));
    }
    (verdict, told.join("; "))
}

/// What an agent would have, with a home.
fn environment(
    config: &Config,
    profile: &AgentProfile,
    home: &Path,
) -> Result<Environment, String> {
    let names: Vec<String> = config.env.iter().cloned().chain(profile.variables()).collect();
    let environment = Environment::from_daemon(&names).with("HOME", home.to_string_lossy());
    // Of several entries the graph names one, so any of them will do here.
    let any = config.credentials.anthropic.keys().next().map(String::as_str);
    let given = config.credentials.of(profile.framework, None, any)?;
    Ok(given.into_environment(environment))
}

fn sign_in(home: Home) -> &'static str {
    match home {
        Home::Private => {
            "not signed in: agents have a home of their own (`home: private`), so give it a key by \
             `env`, or set `home: user`"
        }
        Home::User => "not signed in: sign in with its own program, or give it a key by `env`",
    }
}

/// Where a server of a profile is, or why an agent would not reach it.
async fn examine_server(server: &McpServer, environment: &Environment) -> Result<String, String> {
    let missing = server.variables().iter().find(|name| environment.get(name).is_none());
    if let Some(name) = missing {
        return Err(format!("${name} is not set where this runs"));
    }
    match server {
        McpServer::Program { command, .. } => match which::which(command) {
            Ok(path) => Ok(path.display().to_string()),
            Err(_) => Err(format!("`{command}` was not found on PATH")),
        },
        McpServer::Address { url, .. } => {
            http::fetch::answers(url, SERVER_ANSWERS_WITHIN).await.map(|()| url.clone())
        }
    }
}

async fn walls(config: &Config) -> Finding {
    let (kind, asked) = match config.sandbox {
        SandboxKind::None => (SandboxKind::Bwrap, false),
        kind @ (SandboxKind::Bwrap | SandboxKind::Oci) => (kind, true),
    };
    let what = kind.word();
    let Some((program, args)) = sandbox::probe(kind, None) else {
        return Finding { what, verdict: Verdict::Note, sentence: "not needed".to_owned() };
    };
    let (verdict, sentence) = match (runner::probe_wall(program, &args).await, asked) {
        (None, true) => (Verdict::Fine, "agents run behind it".to_owned()),
        (None, false) => (Verdict::Note, "can be used (`isolation: {sandbox: bwrap}`)".to_owned()),
        (Some(trouble), true) => (Verdict::Wrong, trouble),
        (Some(trouble), false) => (Verdict::Note, trouble),
    };
    Finding { what, verdict, sentence }
}

fn program(name: &'static str, what_for: &str) -> Finding {
    let (verdict, sentence) = match which::which(name) {
        Ok(path) => (Verdict::Note, format!("found at {}", path.display())),
        Err(_) => (Verdict::Note, format!("not found; {what_for}")),
    };
    Finding { what: name, verdict, sentence }
}
