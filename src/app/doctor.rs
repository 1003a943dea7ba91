//! What is right and wrong with this machine and its set-up, a sentence each.

use std::path::Path;

use crate::config::{AgentProfile, Config};
use crate::discord;
use crate::graph::Framework;
use crate::ids::ProfileName;
use crate::render::words;
use crate::store::{Access, OwnerLock, SqliteStore};

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
    findings.extend(agents(config));
    findings.push(program("bwrap", "the sandbox `bwrap` needs it; this version does not offer it"));
    findings.push(program("tmux", "interactive agents need it; this version does not offer them"));
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

fn agents(config: &Config) -> Vec<Finding> {
    let told = |(name, profile): (&ProfileName, &AgentProfile)| {
        let command = profile.command.as_deref().unwrap_or("no command");
        let (verdict, sentence) = if profile.framework == Framework::Shell {
            (Verdict::Fine, format!("`{name}` runs {command}"))
        } else {
            let word = profile.framework.word();
            (Verdict::Wrong, format!("`{name}`: this version cannot speak to `{word}`"))
        };
        Finding { what: "agent", verdict, sentence }
    };
    config.agents.iter().map(told).collect()
}

fn program(name: &'static str, what_for: &str) -> Finding {
    let (verdict, sentence) = match which::which(name) {
        Ok(path) => (Verdict::Note, format!("found at {}", path.display())),
        Err(_) => (Verdict::Note, format!("not found; {what_for}")),
    };
    Finding { what: name, verdict, sentence }
}
