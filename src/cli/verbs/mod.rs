//! The operator's verbs. They reach the process that owns the data directory over its socket; if
//! there is none, the command applies them itself and leaves everything else alone.

mod asked;

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::app::{self, App, Running};
use crate::cli::Outcome;
use crate::cli::args::{Common, VerbCommand};
use crate::cli::out::{outln, text};
use crate::cli::refs::Reading;
use crate::config::Config;
use crate::control::names::{self, Named, task_id};
use crate::control::{self, Request};
use crate::failure::Failure;
use crate::ids::ProjectId;
use crate::notify::Silent;
use crate::orchestrator::{
    Answer, Command, GlobalCommand, GlobalVerb, Receipt, Role, RunView, Scope, Target, Verb,
};
use crate::state::{RunRecord, RunState, TaskState};
use crate::store::{OwnerLock, Store as _};

pub(crate) use asked::{Asked, Subject, asked, task};

/// How many names a receipt lists before it counts the rest.
const NAMES_SHOWN: usize = 8;

pub(crate) async fn carry_out(common: &Common, verb: VerbCommand) -> Outcome {
    carry_out_asked(common, asked(verb)?).await
}

pub(crate) async fn carry_out_asked(common: &Common, asked: Asked) -> Outcome {
    let (subject, dry_run, make, confirm) = match asked {
        Asked::Everything { verb, dry_run } => return on_everything(common, verb, dry_run).await,
        Asked::Run { subject, dry_run, make, confirm } => (subject, dry_run, make, confirm),
    };
    let reading = Reading::open(common).await?;
    let (run, target) = match subject {
        Subject::Part { text, lane: true } => {
            let named = reading.part(&text).await?;
            let target = lane(&named.part)?;
            (named.run, Some(target))
        }
        Subject::Part { text, lane: false } => {
            let named = reading.part(&text).await?;
            let target = target(&reading, &named).await?;
            (named.run, Some(target))
        }
        Subject::RunOrTask(text) => match reading.run(Some(&text)).await {
            Ok(run) => (run, None),
            Err(_) => {
                let named = reading.part(&text).await?;
                let task = task_id(&named.part)?;
                (named.run, Some(Target::Task(task)))
            }
        },
    };
    let command = Command { run: run.id, who: who(), verb: make(target)?, dry_run };
    let (config, driven) = (reading.config.clone(), reading.driven());
    reading.store.close().await?;
    if confirm {
        let plan = Command { dry_run: true, ..command.clone() };
        let (answer, _) = answer(&config, &run, &plan, driven).await?;
        tell(common, &plan, answer?, driven, None)?;
        agreed()?;
    }
    let (answer, after) = answer(&config, &run, &command, driven).await?;
    tell(common, &command, answer?, driven, after.as_ref())
}

/// Asks the person at the terminal; an error if they do not want it.
fn agreed() -> Result<(), Failure> {
    let refused = Failure::user("nothing was done");
    if !std::io::stdin().is_terminal() {
        return Err(refused.hint("say `--yes` where nobody can be asked"));
    }
    text("do it? [y/N] ");
    let mut line = String::new();
    drop(std::io::stdin().read_line(&mut line));
    match line.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(refused),
    }
}

pub(crate) async fn on_everything(common: &Common, verb: GlobalVerb, dry_run: bool) -> Outcome {
    let config = super::config(common)?;
    if let GlobalVerb::Pause { project: Some(id) }
    | GlobalVerb::Resume { project: Some(id) }
    | GlobalVerb::Allow { project: Some(id) } = &verb
    {
        known_project(&config, id).await?;
    }
    let of_process = matches!(verb, GlobalVerb::Drain | GlobalVerb::Shutdown { .. });
    let command = GlobalCommand { who: who(), verb, dry_run };
    let driven = OwnerLock::holder(&config.data_dir).is_some();
    let receipt = if driven || of_process {
        ask(&config, &Request::Global(command)).await?
    } else {
        let app = App::open(config, "taskloom, for one command", Vec::new()).await?;
        let running = app.start(Scope::All, Role::Errand, Arc::new(Silent)).await?;
        let answer = running.handle.global(command).await?;
        running.detach().await;
        answer?
    };
    if common.json {
        let json = json!({ "receipt": receipt, "dry_run": dry_run, "driven": driven });
        outln!("{json:#}");
    } else {
        outln!("{}{}", if dry_run { "would be: " } else { "" }, receipt.sentence);
    }
    Ok(0)
}

/// A misspelt project must not be paused for ever.
async fn known_project(config: &Config, id: &ProjectId) -> anyhow::Result<()> {
    let stored = app::reader(config).await?.projects().await?;
    let configured = config.projects.iter().map(|project| &project.id);
    let known: Vec<&ProjectId> = stored.iter().map(|p| &p.id).chain(configured).collect();
    if known.contains(&id) {
        return Ok(());
    }
    let missing = Failure::user(format!("there is no project `{id}`"));
    let names = known.iter().map(|known| known.as_str());
    Err(match names::nearest(id.as_str(), names) {
        Some(near) => missing.hint(format!("did you mean `{near}`?")).into(),
        None => missing.hint("`taskloom list` shows the projects of its runs").into(),
    })
}

fn lane(part: &str) -> anyhow::Result<Target> {
    let id = part.parse().map_err(|why| Failure::user(format!("`{part}` is no lane: {why}")))?;
    Ok(Target::Lane(id))
}

/// A task if there is one of that name, else a lane.
async fn target(reading: &Reading, named: &Named) -> anyhow::Result<Target> {
    let view = reading.view(&named.run).await?;
    let task = task_id(&named.part)?;
    if view.info.graph.lookup_task(&task).is_none()
        && let Ok(Target::Lane(id)) = lane(&named.part)
        && view.info.graph.lookup_lane(&id).is_some()
    {
        return Ok(Target::Lane(id));
    }
    Ok(Target::Task(task))
}

/// Has a run take a command: by the process at work, or here if there is none.
async fn answer(
    config: &Config,
    run: &RunRecord,
    command: &Command,
    driven: bool,
) -> anyhow::Result<(Answer, Option<RunView>)> {
    if driven {
        return Ok((Ok(ask(config, &Request::Run(command.clone())).await?), None));
    }
    let mut after = None;
    let app = App::open(config.clone(), &format!("taskloom, for {}", run.name), Vec::new()).await?;
    let running = app.start(Scope::One(run.id), Role::Errand, Arc::new(Silent)).await?;
    let answer = running.handle.command(command.clone()).await?;
    if answer.as_ref().is_ok_and(|receipt| receipt.changed) && !command.dry_run {
        taken_in(&running, command).await?;
        after = running.handle.view(run.id).await?;
    }
    running.detach().await;
    Ok((answer, after))
}

/// How long a process that owns the data directory may take until it listens.
const START_UP: Duration = Duration::from_secs(5);

/// How often it is asked in that time.
const START_UP_TRIES: u32 = 100;

/// Has the process at work do something.
pub(crate) async fn ask(config: &Config, request: &Request) -> anyhow::Result<Receipt> {
    let Some(holder) = OwnerLock::holder(&config.data_dir) else {
        return Err(Failure::user("no process is at work")
            .hint("`taskloom serve` starts one; `taskloom run GRAPH` runs one graph")
            .into());
    };
    let mut answer = control::ask(&config.data_dir, request).await;
    for _ in 0..START_UP_TRIES {
        if !matches!(answer, Err(control::Error::Nobody)) {
            break;
        }
        tokio::time::sleep(START_UP / START_UP_TRIES).await;
        answer = control::ask(&config.data_dir, request).await;
    }
    match answer {
        Ok(answer) => Ok(answer?),
        Err(error) => {
            Err(Failure::outside(format!("{holder} did not take the command: {error}")).into())
        }
    }
}

/// How long a command waits until the agents that it concerns have taken it in: longer than the
/// longest way of ending one.
const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until the agents that the command ends have ended or have the answer, and what it lets
/// through is merged.
async fn taken_in(running: &Running, command: &Command) -> anyhow::Result<()> {
    match tokio::time::timeout(PATIENCE, until_taken_in(running, command)).await {
        Ok(done) => done,
        Err(_) => Err(Failure::outside("it is recorded, and not done yet")
            .hint("the next `taskloom run` of the graph goes on with it")
            .into()),
    }
}

async fn until_taken_in(running: &Running, command: &Command) -> anyhow::Result<()> {
    let mut journal = running.handle.subscribe();
    loop {
        let Some(view) = running.handle.view(command.run).await? else { return Ok(()) };
        let under_way = view.tasks.iter().any(|task| {
            let alive =
                matches!(task.state, TaskState::Running { .. } | TaskState::WaitingInput { .. });
            let answered = task.more.as_ref().is_some_and(|more| more.answer.is_some());
            alive && (task.ending().is_some() || answered)
        });
        if (!under_way && !view.merging) || journal.recv().await.is_err() {
            return Ok(());
        }
    }
}

fn tell(
    common: &Common,
    command: &Command,
    receipt: Receipt,
    driven: bool,
    after: Option<&RunView>,
) -> Outcome {
    let (run, dry_run) = (command.run, command.dry_run);
    if common.json {
        let json = json!({ "run": run, "receipt": receipt, "dry_run": dry_run, "driven": driven });
        outln!("{json:#}");
        return Ok(0);
    }
    let would = if dry_run { "would be: " } else { "" };
    outln!("{would}{}", receipt.sentence);
    if !receipt.affected.is_empty() {
        let names: Vec<String> =
            receipt.affected.iter().take(NAMES_SHOWN).map(ToString::to_string).collect();
        let rest = receipt.affected.len().saturating_sub(NAMES_SHOWN);
        let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
        outln!("  affects: {}{more}", names.join(", "));
    }
    for moved in &receipt.moves {
        outln!("  {moved}");
    }
    let Some(view) = after else { return Ok(0) };
    if let Verb::Approve { target: Target::Lane(id), .. } = &command.verb
        && let Some(lane) = view.info.graph.lookup_lane(id)
    {
        let record = &view.lanes[lane.at()];
        let became = record.delivered.as_ref().map(|delivered| format!("; {}", delivered.sentence));
        outln!("  it is {}{}", record.state.word(), became.unwrap_or_default());
    }
    if view.run.state == RunState::Open {
        outln!(
            "  no process drives the run now: `{} run {}` goes on with it",
            super::program(common),
            view.info.name
        );
    }
    Ok(0)
}

/// Who sits at this terminal.
pub(crate) fn who() -> String {
    let known = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
    known.ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "operator".to_owned())
}
