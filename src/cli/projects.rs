//! `taskloom project`: which repositories there are, and what holds for each.

use serde_json::json;

use crate::app;
use crate::cli::Outcome;
use crate::cli::args::{Common, ProjectAddArgs, ProjectCommand, ProjectSetArgs, SettingsArgs};
use crate::cli::out::{outln, text};
use crate::cli::refs::Reading;
use crate::cli::verbs;
use crate::config::Source;
use crate::control::settings::SettingsChange;
use crate::failure::Failure;
use crate::graph::Budget;
use crate::ids::ProjectId;
use crate::orchestrator::GlobalVerb;
use crate::render::table::{Align, Table};
use crate::render::words::number;
use crate::scheduler::WINDOW;
use crate::state::ProjectRecord;
use crate::store::Store as _;
use crate::time::{Clock as _, SystemClock};

pub(crate) async fn project(common: &Common, command: ProjectCommand) -> Outcome {
    match command {
        ProjectCommand::List => list(common).await,
        ProjectCommand::Add(args) => add(common, args).await,
        ProjectCommand::Set(args) => set(common, args).await,
    }
}

async fn list(common: &Common) -> Outcome {
    let reading = Reading::open(common).await?;
    let (records, slots) = (reading.store.projects().await?, reading.config.project_slots);
    let now = SystemClock.now();
    let sums = reading.store.spent(now - WINDOW, WINDOW.as_millis() as i64).await?;
    reading.store.close().await?;
    let used = |id: &ProjectId| -> u64 {
        let own = sums.iter().filter(|sum| sum.project == *id);
        own.map(|sum| sum.usage.tokens.all()).sum()
    };
    if common.json {
        let projects: Vec<_> = records
            .iter()
            .map(|record| json!({ "project": record, "tokens_24h": used(&record.id) }))
            .collect();
        outln!("{:#}", json!({ "projects": projects }));
        return Ok(0);
    }
    let mut table = Table::new([
        ("PROJECT", Align::Left),
        ("WEIGHT", Align::Right),
        ("AGENTS", Align::Right),
        ("TOKENS 24 H", Align::Right),
        ("BUDGET", Align::Right),
        ("SET IN", Align::Left),
        ("REPOSITORY", Align::Left),
    ]);
    for record in &records {
        let settings = &record.settings;
        table.row([
            record.id.to_string(),
            settings.weight.number().to_string(),
            settings.max_agents.unwrap_or(slots).to_string(),
            number(used(&record.id)),
            budget(settings.budget),
            if record.configured { "configuration" } else { "store" }.to_owned(),
            format!("{} ({})", record.repo, record.default_branch),
        ]);
    }
    match records.is_empty() {
        true => {
            outln!("no projects yet: `taskloom project add`, or `projects:` in the configuration")
        }
        false => text(table.render(None)),
    }
    Ok(0)
}

fn budget(budget: Budget) -> String {
    let tokens = budget.tokens.map(|tokens| format!("{} tokens", number(tokens)));
    let usd = budget.usd.map(|usd| format!("${usd:.2}"));
    let parts: Vec<String> = tokens.into_iter().chain(usd).collect();
    if parts.is_empty() { "—".to_owned() } else { parts.join(", ") }
}

async fn add(common: &Common, args: ProjectAddArgs) -> Outcome {
    let config = super::config(common)?;
    let absolute = |path: std::path::PathBuf| std::path::absolute(path);
    let source = match (args.link, args.init, args.clone) {
        (Some(path), None, None) => Source::Link(absolute(path)?),
        (None, Some(path), None) => Source::Init(absolute(path)?),
        (None, None, Some(url)) => Source::remote(&url)?,
        _ => {
            let failure = Failure::user("say where the project is, in one way");
            return Err(failure.hint("`--link PATH`, `--init PATH` or `--clone URL`").into());
        }
    };
    let mut record = app::found(&config, &args.id, &source, args.branch.as_deref()).await?;
    change(args.set).apply(&mut record.settings)?;
    keep(common, record).await
}

async fn set(common: &Common, args: ProjectSetArgs) -> Outcome {
    let reading = Reading::open(common).await?;
    let known = reading.store.projects().await?;
    reading.store.close().await?;
    let missing = || Failure::user(format!("there is no project `{}`", args.id));
    let mut record = known.into_iter().find(|p| p.id == args.id).ok_or_else(missing)?;
    change(args.set).apply(&mut record.settings)?;
    keep(common, record).await
}

fn change(set: SettingsArgs) -> SettingsChange {
    let SettingsArgs { weight, max_agents, budget_tokens, budget_usd, agent } = set;
    SettingsChange { weight, max_agents, budget_tokens, budget_usd, agent }
}

async fn keep(common: &Common, record: ProjectRecord) -> Outcome {
    let verb = GlobalVerb::SetProject { project: Box::new(record) };
    verbs::on_everything(common, verb, false).await
}
