//! `gc`, `doctor`, `config`: what keeps the house in order.

use std::fmt::Write as _;
use std::path::PathBuf;

use console::Style;
use serde_json::json;

use crate::app::doctor::{Finding, Verdict};
use crate::app::{self, App};
use crate::cli::Outcome;
use crate::cli::args::{Common, ConfigCommand, GcArgs};
use crate::config::Config;
use crate::failure::Failure;
use crate::render::words;
use crate::runner::Waste;
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
