//! `gc`, `doctor`, `config`: what keeps the house in order.

use std::fmt::Write as _;
use std::path::PathBuf;

use console::Style;
use serde_json::json;

use crate::app::doctor::{Finding, Verdict};
use crate::app::{self, App};
use crate::cli::args::{Common, ConfigCommand, GcArgs};
use crate::cli::{Outcome, verbs};
use crate::config::{Config, hot};
use crate::control::Request;
use crate::failure::Failure;
use crate::render::words;
use crate::runner::{Waste, delete_old};
use crate::state::RunState;

pub(crate) async fn gc(common: &Common, args: &GcArgs) -> Outcome {
    let app = App::open(super::config(common)?, "taskloom gc", Vec::new()).await?;
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
    let old: Vec<_> =
        app::daemon::sweep::old(&app).await?.into_iter().filter(|logs| logs.bytes > 0).collect();
    for logs in &old {
        let (size, run) = (words::bytes(logs.bytes), &logs.run);
        let why = "older than `retention.transcripts`; results and records stay";
        let _ = writeln!(text, "{size:>10}  logs of {}:{run}: {why}", logs.project);
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
        for logs in &old {
            match delete_old(logs) {
                Ok(()) => freed += logs.bytes,
                Err(error) => {
                    let _ = writeln!(text, "kept the logs of {}: {error}", logs.run);
                }
            }
        }
        let _ = writeln!(text, "freed {}", words::bytes(freed));
    } else if all.is_empty() && old.is_empty() {
        text.push_str("there is nothing to free\n");
    } else {
        let worn = all.iter().map(|waste| waste.bytes);
        let sum = worn.chain(old.iter().map(|logs| logs.bytes)).sum();
        let _ = writeln!(text, "{} could be freed: `taskloom gc --yes`", words::bytes(sum));
    }
    let worn = all.iter().map(|w| json!({ "what": w.what, "why": w.why, "bytes": w.bytes }));
    let logs = old.iter().map(|logs| {
        let what = format!("logs of {}:{}", logs.project, logs.run);
        json!({ "what": what, "why": "older than `retention.transcripts`", "bytes": logs.bytes })
    });
    let listed: Vec<_> = worn.chain(logs).collect();
    super::refs::print(common, &json!({ "waste": listed, "freed_bytes": freed }), || text)
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
    findings.extend(app::doctor::examine(&config).await);
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

pub(crate) async fn config(common: &Common, command: ConfigCommand) -> Outcome {
    match command {
        ConfigCommand::Check { file } => check(common, file),
        ConfigCommand::Keys => {
            let keys: Vec<_> = hot::KEYS
                .iter()
                .map(|(name, when)| json!({ "key": name, "takes_effect": when.word() }))
                .collect();
            super::refs::print(common, &json!(keys), hot::table)
        }
        ConfigCommand::Reload => {
            let receipt = verbs::ask(&super::config(common)?, &Request::Reload).await?;
            super::refs::print(common, &json!({ "receipt": receipt }), || {
                format!("{}\n", receipt.sentence)
            })
        }
    }
}

fn check(common: &Common, file: Option<PathBuf>) -> Outcome {
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
