//! `gc`, `doctor`, `config`: what keeps the house in order.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use console::Style;
use serde_json::json;

use crate::app::{self, App};
use crate::cli::Outcome;
use crate::cli::args::{Common, ConfigCommand, GcArgs};
use crate::config::{AgentProfile, Config};
use crate::failure::Failure;
use crate::graph::Framework;
use crate::ids::ProfileName;
use crate::render::words;
use crate::runner::Waste;
use crate::state::RunState;
use crate::store::{Access, OwnerLock, SqliteStore};

pub(crate) async fn gc(common: &Common, args: &GcArgs) -> Outcome {
    let app = App::open(super::config(common)?, "taskloom gc", None).await?;
    let runs = app.store().runs(None).await?;
    let settled: Vec<_> = runs.iter().filter(|run| run.state != RunState::Open).collect();
    let names: Vec<_> = settled.iter().map(|run| (run.project.clone(), run.name.clone())).collect();
    let mut all: Vec<Waste> = Vec::new();
    for project in app.store().projects().await? {
        all.extend(app.shop().waste(&project, &names).await?);
    }
    let mut freed = 0;
    let mut text = String::new();
    for waste in &all {
        let size = words::bytes(waste.bytes);
        let _ = writeln!(text, "{size:>10}  {}: {}", waste.what, waste.why);
    }
    if args.yes {
        for waste in &all {
            match app.shop().free(waste, args.force).await {
                Ok(()) => freed += waste.bytes,
                Err(failure) => {
                    let _ = writeln!(text, "kept {}: {failure}", waste.what);
                }
            }
        }
        let _ = writeln!(text, "freed {}", words::bytes(freed));
    } else if all.is_empty() {
        text.push_str("there is nothing to free\n");
    } else {
        let sum = all.iter().map(|waste| waste.bytes).sum();
        let _ = writeln!(text, "{} could be freed: `taskloom gc --yes`", words::bytes(sum));
    }
    let listed: Vec<_> =
        all.iter().map(|w| json!({ "what": w.what, "why": w.why, "bytes": w.bytes })).collect();
    super::refs::print(common, &json!({ "waste": listed, "freed_bytes": freed }), || text)
}

/// One thing that was looked at.
struct Finding {
    what: &'static str,
    verdict: Verdict,
    sentence: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Fine,
    Note,
    Wrong,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Note => "note",
            Self::Wrong => "wrong",
        }
    }
}

pub(crate) async fn doctor(common: &Common) -> Outcome {
    let mut findings = Vec::new();
    let config = match super::config(common) {
        Ok(config) => {
            let path = super::config_path(common);
            let sentence = path.map_or_else(
                || "no file; the defaults hold".to_owned(),
                |path| format!("{} is fine", path.display()),
            );
            findings.push(Finding { what: "configuration", verdict: Verdict::Fine, sentence });
            config
        }
        Err(error) => {
            let sentence = format!("{error:#}");
            findings.push(Finding { what: "configuration", verdict: Verdict::Wrong, sentence });
            Config::parse("", std::env::home_dir().as_deref())?
        }
    };
    findings.push(git().await);
    findings.extend(data(&config).await);
    findings.push(disk(&config));
    findings.extend(agents(&config));
    findings.push(program("bwrap", "the sandbox `bwrap` needs it; this version does not offer it"));
    findings.push(program("tmux", "interactive agents need it; this version does not offer them"));
    let wrong = findings.iter().any(|f| f.verdict == Verdict::Wrong);
    let json: Vec<_> = findings
        .iter()
        .map(|f| json!({ "what": f.what, "verdict": f.verdict.word(), "sentence": f.sentence }))
        .collect();
    super::refs::print(common, &json!(json), || {
        let mut text = String::new();
        for Finding { what, verdict, sentence } in &findings {
            let (mark, style) = match verdict {
                Verdict::Fine => ("✓", Style::new().green()),
                Verdict::Note => ("·", Style::new().dim()),
                Verdict::Wrong => ("✗", Style::new().red()),
            };
            let _ = writeln!(text, "{} {what}: {sentence}", style.apply_to(mark));
        }
        text
    })?;
    Ok(u8::from(wrong))
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
    let (verdict, sentence) = match app::disk_floor(config).check(there(&config.data_dir)) {
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

pub(crate) fn config(common: &Common, command: ConfigCommand) -> Outcome {
    let ConfigCommand::Check { file } = command;
    let path: Option<PathBuf> = file.or_else(|| super::config_path(common));
    let Some(path) = path else {
        return Err(Failure::config("there is no configuration file")
            .hint("name one, or copy config.example.yaml to ~/.config/taskloom/config.yaml")
            .into());
    };
    let config = Config::load(&path, std::env::home_dir().as_deref())?;
    let json = json!({ "file": path, "valid": true, "data_dir": config.data_dir });
    super::refs::print(common, &json, || {
        let agents = words::count(config.agents.len() as u64, "agent profile");
        let projects = words::count(config.projects.len() as u64, "project");
        format!("{} is fine: {agents}, {projects}\n", path.display())
    })
}
