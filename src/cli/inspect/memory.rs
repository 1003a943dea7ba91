//! `memory`: what tasks that are done left behind for later ones.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::cli::Outcome;
use crate::cli::args::{Common, MemoryCommand, MemorySearchArgs};
use crate::cli::refs::{Reading, print};
use crate::cli::verbs;
use crate::control::memory::{label, missing};
use crate::ids::ProjectId;
use crate::orchestrator::GlobalVerb;
use crate::render::words;
use crate::state::Remembered;
use crate::store::{Recall as _, Search};

pub(crate) async fn memory(common: &Common, command: MemoryCommand) -> Outcome {
    match command {
        MemoryCommand::Search(args) => search(common, args).await,
        MemoryCommand::List { project, limit } => list(common, project.as_ref(), limit).await,
        MemoryCommand::Forget { id, dry_run } => forget(common, id, dry_run).await,
    }
}

async fn search(common: &Common, args: MemorySearchArgs) -> Outcome {
    let MemorySearchArgs { words, project, limit } = args;
    let reading = Reading::open(common).await?;
    let search = Search { text: words.join(" "), project, without: None, limit };
    let found = reading.store.search(&search).await?;
    show(common, &reading, &found, "nothing that is remembered has these words").await
}

async fn list(common: &Common, project: Option<&ProjectId>, limit: u32) -> Outcome {
    let reading = Reading::open(common).await?;
    let all = reading.store.list(project, limit).await?;
    let nothing = match reading.config.memory.enabled {
        true => "nothing is remembered yet",
        false => "nothing is remembered: `memory: {enabled: true}` in the configuration",
    };
    show(common, &reading, &all, nothing).await
}

async fn show(common: &Common, reading: &Reading, all: &[Remembered], nothing: &str) -> Outcome {
    let several = reading.several().await?;
    let told: Vec<Value> = all.iter().map(as_data).collect();
    print(common, &json!({ "memories": told }), || {
        if all.is_empty() {
            return format!("{nothing}\n");
        }
        all.iter().map(|found| in_words(found, several)).collect()
    })
}

fn as_data(found: &Remembered) -> Value {
    let (memory, place) = (&found.memory, &found.memory.place);
    json!({
        "id": found.id,
        "project": place.project,
        "source": memory.source(),
        "at": place.at,
        "title": memory.title,
        "done": memory.done,
        "learned": memory.learned,
        "concerns": memory.concerns,
    })
}

fn in_words(found: &Remembered, several: bool) -> String {
    let memory = &found.memory;
    let mut text = format!(
        "{:>4}  {}  {}: {}\n",
        found.id,
        memory.place.at.local_minute(),
        label(memory, several),
        words::visible(&words::one_line(&memory.title)),
    );
    for (what, said) in memory.parts() {
        for (at, line) in said.lines().enumerate() {
            let what = if at == 0 { what } else { "" };
            let _ = writeln!(text, "      {what:<10}{}", words::visible(line));
        }
    }
    text
}

async fn forget(common: &Common, id: i64, dry_run: bool) -> Outcome {
    let reading = Reading::open(common).await?;
    let found = reading.store.memory(id).await?;
    reading.store.close().await?;
    if found.is_none() {
        return Err(missing(id).hint("`taskloom memory list` lists what is remembered").into());
    }
    verbs::on_everything(common, GlobalVerb::Forget { id }, dry_run).await
}
