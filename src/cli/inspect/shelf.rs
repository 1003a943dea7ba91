//! What waits for people, and what is put away: `inbox`, `archive`, `restore`.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::app::App;
use crate::cli::Outcome;
use crate::cli::args::{ArchiveArgs, Common, RestoreArgs};
use crate::cli::out::outln;
use crate::cli::refs::{Reading, print};
use crate::cli::verbs::{self, who};
use crate::config::Config;
use crate::control::Request;
use crate::control::names::find_run;
use crate::failure::Failure;
use crate::notify::Silent;
use crate::orchestrator::{Command, Item, Receipt, Role, Scope, Verb, inbox};
use crate::render::table::{Align, Table};
use crate::render::words;
use crate::state::RunRecord;
use crate::store::{OwnerLock, Store as _, Which};
use crate::time::{Clock as _, SystemClock, Timestamp};

/// Open runs, and runs with something for a person, that are looked into.
const RUNS_LOOKED_AT: u32 = 1_000;

/// How wide what is asked, or why it failed, is shown.
const ABOUT_COLUMNS: usize = 60;

pub(crate) async fn show(common: &Common) -> Outcome {
    let (json, told) = inbox_of(common).await?;
    print(common, &json, || told)
}

/// Everything that waits for a person, as data and for people.
pub(crate) async fn inbox_of(common: &Common) -> anyhow::Result<(Value, String)> {
    let reading = Reading::open(common).await?;
    let runs = reading.store.select(&Which::ForPeople, RUNS_LOOKED_AT).await?;
    let mut views = Vec::new();
    for run in &runs {
        views.push(reading.view(run).await?);
    }
    let items = inbox(&views);
    let now = SystemClock.now();
    let several = reading.several().await?;
    Ok((json!(items), in_words(&items, now, several)))
}

fn in_words(items: &[Item], now: Timestamp, several: bool) -> String {
    if items.is_empty() {
        return "nothing waits for you\n".to_owned();
    }
    let mut table = Table::new([
        ("WHAT", Align::Left),
        ("NEEDS YOU", Align::Left),
        ("FOR", Align::Right),
        ("HOLDS UP", Align::Right),
        ("", Align::Left),
    ]);
    for item in items {
        let name = if several { format!("{}:{}", item.project, item.name()) } else { item.name() };
        let held = if item.blocks == 0 { "-".to_owned() } else { item.blocks.to_string() };
        let about = item.about.as_deref().map(words::one_line).unwrap_or_default();
        table.row([
            name,
            item.need.phrase().to_owned(),
            words::duration(now.since(item.since)),
            held,
            words::ellipsis(&about, ABOUT_COLUMNS),
        ]);
    }
    table.render(None)
}

pub(crate) async fn archive(common: &Common, args: &ArchiveArgs) -> Outcome {
    let reading = Reading::open(common).await?;
    let runs = match (args.older_than, &args.run) {
        (Some(span), _) => {
            let before = SystemClock.now() - span;
            reading.store.select(&Which::Resting { before }, u32::MAX).await?
        }
        (None, text) => vec![reading.run(text.as_deref()).await?],
    };
    each(common, reading, &runs, Verb::Archive, args.dry_run).await
}

pub(crate) async fn restore(common: &Common, args: &RestoreArgs) -> Outcome {
    let reading = Reading::open(common).await?;
    let put_away = reading.store.select(&Which::Archived, u32::MAX).await?;
    let run = find_run(put_away, Some(&args.run)).map_err(|failure| Failure {
        hints: vec!["`taskloom list --archived` lists what is put away".to_owned()],
        ..failure
    });
    let run = match (run, reading.run(Some(&args.run)).await) {
        (Ok(run), _) | (Err(_), Ok(run)) => run,
        (Err(failure), Err(_)) => return Err(failure.into()),
    };
    each(common, reading, &[run], Verb::Restore, args.dry_run).await
}

/// Does the same to some runs, by the process at work or here.
async fn each(
    common: &Common,
    reading: Reading,
    runs: &[RunRecord],
    verb: Verb,
    dry_run: bool,
) -> Outcome {
    let config = reading.config.clone();
    reading.store.close().await?;
    let commands =
        runs.iter().map(|run| Command { run: run.id, who: who(), verb: verb.clone(), dry_run });
    let receipts = carried(&config, commands.collect()).await?;
    if common.json {
        outln!("{:#}", json!({ "receipts": receipts, "dry_run": dry_run }));
        return Ok(0);
    }
    let would = if dry_run { "would be: " } else { "" };
    for receipt in &receipts {
        outln!("{would}{}", receipt.sentence);
    }
    if receipts.is_empty() {
        outln!("nothing has rested that long");
    }
    Ok(0)
}

async fn carried(config: &Config, commands: Vec<Command>) -> anyhow::Result<Vec<Receipt>> {
    let mut receipts = Vec::new();
    if OwnerLock::holder(&config.data_dir).is_some() {
        for command in commands {
            receipts.push(verbs::ask(config, &Request::Run(command)).await?);
        }
        return Ok(receipts);
    }
    let app = App::open(config.clone(), "taskloom, for runs that rest", Vec::new()).await?;
    let running = app.start(Scope::All, Role::Errand, Arc::new(Silent)).await?;
    let mut refused = None;
    for command in commands {
        match running.handle.command(command).await? {
            Ok(receipt) => receipts.push(receipt),
            Err(failure) => refused = Some(failure),
        }
    }
    running.detach().await;
    refused.map_or(Ok(receipts), |failure| Err(failure.into()))
}
