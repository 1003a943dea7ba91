//! `run`: the engine in this process, attached to this terminal.

pub(crate) mod demo;
pub(crate) mod serve;
pub(crate) mod watch;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;

use crate::app::{App, Running};
use crate::cli::args::{Common, RunArgs, SubmitOptions, TeardownArg};
use crate::cli::out::{self, outln};
use crate::cli::refs::Reading;
use crate::cli::run::watch::{Console, Manner};
use crate::cli::verbs::who;
use crate::cli::{Outcome, inspect, pictures};
use crate::control::names;
use crate::control::names::find_task;
use crate::failure::Failure;
use crate::graph::{self, Graph, Teardown};
use crate::ids::RunId;
use crate::orchestrator::{self, Command, Role, RunView, Scope, Submission, Target, Verb};
use crate::state::{
    self, After, LaneState, Outcome as RunOutcome, ProjectRecord, RunOptions, RunRecord, RunState,
    TaskState,
};
use crate::time::{Clock as _, SystemClock};

/// How long a second Ctrl-C is waited for after the first.
const SECOND_THOUGHT: Duration = Duration::from_secs(3);

/// The exit code of a run that was suspended: that of a program ended by an interrupt.
const SUSPENDED: u8 = 130;

pub(crate) async fn run(common: &Common, args: RunArgs) -> Outcome {
    let console = Console::new(Manner {
        json: common.json,
        quiet: args.quiet,
        program: crate::cli::program(common),
    });
    if let Some(name) = run_name(&args.graph) {
        let app = open(common, &console, name).await?;
        let record = names::find_run(app.store().runs(None).await?, Some(name))?;
        let (view, code) = resume(&app, &console, &record, args.retry_failed).await?;
        conclude(common, &app, view.as_ref(), code).await?;
        return Ok(code);
    }
    let (graph, source) = pictures::load(&args.graph)?;
    let app = open(common, &console, graph.name().as_str()).await?;
    let project = app.project(&args.options.repo).await?;
    let options = run_options(common, &args.options).await?;
    let found = match (args.fresh, args.amend) {
        (true, _) => Found::Nothing,
        (false, true) => to_amend(&app, &project, &graph).await?,
        (false, false) => to_resume(&app, &project, &graph, &source).await?,
    };
    let work = Work { project, graph, source, options };
    let (view, code) = match found {
        Found::Same(record) => resume(&app, &console, &record, args.retry_failed).await?,
        Found::Changed(record) => begin(&app, &console, work, Some(&record)).await?,
        Found::Nothing => begin(&app, &console, work, None).await?,
    };
    conclude(common, &app, view.as_ref(), code).await?;
    Ok(code)
}

/// What the submitter sets above the graph.
pub(crate) async fn run_options(
    common: &Common,
    options: &SubmitOptions,
) -> anyhow::Result<RunOptions> {
    let mut after = Vec::new();
    if !options.after.is_empty() {
        let reading = Reading::open(common).await?;
        for text in &options.after {
            let named = reading.part(text).await?;
            let view = reading.view(&named.run).await?;
            let task = find_task(&view, &named.part)?;
            let task = view.info.graph.task(task).id.clone();
            after.push(After { run: named.run.id, name: named.run.name, task });
        }
        reading.store.close().await?;
    }
    Ok(RunOptions {
        max_concurrency: options.slots,
        max_task_attempts: options.max_attempts,
        teardown: options.teardown.map(|when| match when {
            TeardownArg::Always => Teardown::Always,
            TeardownArg::Never => Teardown::Never,
            TeardownArg::OnSuccess => Teardown::OnSuccess,
        }),
        after,
        ..RunOptions::default()
    })
}

/// The argument, if it is the name of a run and no file.
fn run_name(argument: &Path) -> Option<&str> {
    let text = argument.to_str().filter(|_| !argument.exists())?;
    let number = text.rsplit_once('/')?.1;
    number.parse::<u32>().is_ok().then_some(text)
}

async fn open(common: &Common, console: &Console, what: &str) -> anyhow::Result<Arc<App>> {
    let threads = Arc::new(console.clone());
    App::open(crate::cli::config(common)?, &format!("taskloom run {what}"), vec![threads]).await
}

/// What a new run is made of.
pub(crate) struct Work {
    pub(crate) project: ProjectRecord,
    pub(crate) graph: Graph,
    pub(crate) source: String,
    pub(crate) options: RunOptions,
}

/// The run that a command goes on with.
enum Found {
    /// None; a new one begins.
    Nothing,
    /// As it is.
    Same(RunRecord),
    /// With a changed graph.
    Changed(RunRecord),
}

/// The latest run of the graph that was not given up.
async fn to_amend(app: &App, project: &ProjectRecord, graph: &Graph) -> anyhow::Result<Found> {
    let runs = app.store().runs(Some(&project.id)).await?;
    let given_up = |run: &RunRecord| run.state.outcome() == Some(RunOutcome::Cancelled);
    let last = runs.into_iter().rfind(|run| run.name.graph == *graph.name() && !given_up(run));
    last.map(Found::Changed).ok_or_else(|| {
        Failure::user(format!("there is no run of `{}` to go on from", graph.name()))
            .hint("run it without `--amend`")
            .into()
    })
}

/// The run that the same command goes on with, if there is one.
async fn to_resume(
    app: &App,
    project: &ProjectRecord,
    graph: &Graph,
    source: &str,
) -> anyhow::Result<Found> {
    let runs = app.store().runs(Some(&project.id)).await?;
    let own = |run: &&RunRecord| run.name.graph == *graph.name();
    let Some(newest) = runs.iter().rfind(own) else { return Ok(Found::Nothing) };
    let last = runs.iter().rfind(|run| own(run) && !is_over(run)).unwrap_or(newest).clone();
    let stored = app.store().load(last.id).await?;
    let stored = stored.ok_or_else(|| Failure::outside(format!("run `{}` is gone", last.name)))?;
    // What is done and waits for a person is not done once more beside itself.
    let waits = stored.lanes.iter().any(|(_, lane)| lane.state == LaneState::AwaitingApproval);
    if is_over(&last) && (last.cancelled || !waits) {
        return Ok(Found::Nothing);
    }
    if stored.source == source {
        return Ok(Found::Same(last));
    }
    let diff = match graph::load(stored.source.as_bytes()) {
        Ok(old) => graph::diff(&old, graph).to_string(),
        Err(_) => "it cannot be compared".to_owned(),
    };
    Err(Failure::user(format!(
        "run `{}` of this graph is not finished or not merged, and the graph has changed since: \
         {diff}",
        last.name
    ))
    .hint("`--amend` keeps what is done and unchanged, and does the rest in a new run")
    .hint(format!("`taskloom run {}` goes on with it as it was submitted", last.name))
    .hint(format!("`--fresh` begins a new run and leaves `{}` as it is", last.name))
    .hint(format!("`taskloom cancel {}` gives it up", last.name))
    .into())
}

/// Nothing can go on in a run that succeeded or was given up.
fn is_over(run: &RunRecord) -> bool {
    let outcome = run.state.outcome();
    matches!(outcome, Some(RunOutcome::Succeeded | RunOutcome::Cancelled))
}

/// Begins a run, perhaps where an earlier one stands, and follows it to its rest.
pub(crate) async fn begin(
    app: &Arc<App>,
    console: &Console,
    work: Work,
    amends: Option<&RunRecord>,
) -> anyhow::Result<(Option<RunView>, u8)> {
    app.preflight(&work.graph, &work.project).await?;
    let scope = amends.map_or(Scope::New, |old| Scope::One(old.id));
    let running = app.start(scope, Role::Attached, Arc::new(console.clone())).await?;
    let submission = Submission {
        project: work.project,
        graph: work.graph,
        source: work.source,
        options: work.options,
        submitter: who(),
    };
    let mut journal = running.handle.subscribe();
    let submitted = match amends {
        None => running.handle.submit(submission).await?,
        Some(old) => {
            let (submitted, what) = match running.handle.resubmit(old.id, submission, false).await?
            {
                Ok(resubmitted) => resubmitted,
                Err(failure) => {
                    running.detach().await;
                    return Err(failure.into());
                }
            };
            console.line(&format!("this run {what}"));
            submitted.expect("BUG: only a rehearsal submits nothing")
        }
    };
    if let Some(view) = running.handle.view(submitted.run).await? {
        console.begin(&view.info, 0);
    }
    let end = follow(console, &running, &mut journal, submitted.run).await?;
    finish(app, console, running, submitted.run, end).await
}

/// Goes on with a run and follows it to its rest.
async fn resume(
    app: &Arc<App>,
    console: &Console,
    record: &RunRecord,
    retry_failed: bool,
) -> anyhow::Result<(Option<RunView>, u8)> {
    let running =
        app.start(Scope::One(record.id), Role::Attached, Arc::new(console.clone())).await?;
    let mut journal = running.handle.subscribe();
    if let Some(view) = running.handle.view(record.id).await? {
        let done = view.tasks.iter().filter(|task| task.state.is_success()).count();
        console.begin(&view.info, done);
        console.line(&format!(
            "going on with {}: {done} of {} tasks done",
            record.name,
            view.tasks.len()
        ));
        if record.paused {
            command(&running, record.id, Verb::Resume { task: None }).await?;
        }
        if retry_failed {
            for verb in retries(&view) {
                command(&running, record.id, verb).await?;
            }
        }
    }
    let end = follow(console, &running, &mut journal, record.id).await?;
    finish(app, console, running, record.id, end).await
}

/// A retry for everything that is at a dead end.
fn retries(view: &RunView) -> Vec<Verb> {
    let tasks = view.info.graph.tasks().iter().zip(&view.tasks);
    let dead = tasks.filter(|(_, record)| record.state.is_dead_end());
    let tasks = dead.map(|(spec, _)| Target::Task(spec.id.clone()));
    let lanes = view.info.graph.lanes().iter().zip(&view.lanes);
    let failed = lanes.filter(|(_, record)| {
        let why = state::LaneFailure::Task;
        matches!(record.state, LaneState::Failed { .. })
            && record.state != LaneState::Failed { why }
    });
    let lanes = failed.map(|(spec, _)| Target::Lane(spec.id.clone()));
    let retry = |target| Verb::Retry { target, note: None, fresh: false, downstream: false };
    tasks.chain(lanes).map(retry).collect()
}

async fn command(running: &Running, run: RunId, verb: Verb) -> anyhow::Result<()> {
    let command = Command { run, who: who(), verb, dry_run: false };
    running.handle.command(command).await??;
    Ok(())
}

/// How following a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leave {
    Settled,
    Detach,
    EndAgents,
}

/// Shows what happens until the run comes to rest or the operator has enough.
async fn follow(
    console: &Console,
    running: &Running,
    journal: &mut tokio::sync::broadcast::Receiver<Arc<[state::Entry]>>,
    run: RunId,
) -> anyhow::Result<Leave> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    let mut settled = is_settled(running, run).await?;
    loop {
        if settled && journal.is_empty() {
            return Ok(Leave::Settled);
        }
        tokio::select! {
            batch = journal.recv() => match batch {
                Ok(entries) => for entry in entries.iter().filter(|entry| entry.run == run) {
                    if !console.knows(entry)
                        && let Ok(Some(view)) = running.handle.view(run).await
                    {
                        console.renew(&view.info);
                    }
                    console.show(entry);
                    if let state::What::Run(event) = entry.what {
                        settled = matches!(event, state::RunEvent::Settled { .. });
                    }
                },
                Err(RecvError::Lagged(_)) => {
                    console.line("… (more happened than can be shown)");
                    settled = is_settled(running, run).await?;
                }
                Err(RecvError::Closed) => return Ok(Leave::Settled),
            },
            _ = interrupts.recv() => {
                return Ok(second_thought(console, running, run, &mut interrupts).await);
            }
            _ = terminations.recv() => return Ok(Leave::Detach),
        }
    }
}

async fn is_settled(running: &Running, run: RunId) -> anyhow::Result<bool> {
    let view = running.handle.view(run).await?;
    Ok(view.is_none_or(|view| view.run.state != RunState::Open))
}

/// After the first Ctrl-C: a second one within a moment ends the agents.
async fn second_thought(
    console: &Console,
    running: &Running,
    run: RunId,
    interrupts: &mut tokio::signal::unix::Signal,
) -> Leave {
    let view = running.handle.view(run).await.ok().flatten();
    let alive = view.map_or(0, |view| view.tasks.iter().filter(|t| is_alive(t.state)).count());
    if alive == 0 {
        return Leave::Detach;
    }
    running.handle.drain().ok();
    let agents = if alive == 1 { "1 agent".to_owned() } else { format!("{alive} agents") };
    console.line(&format!(
        "suspending: {agents} will run on in the background, and the same command goes on with \
         them; Ctrl-C again within {} s ends them instead",
        SECOND_THOUGHT.as_secs()
    ));
    tokio::select! {
        _ = interrupts.recv() => Leave::EndAgents,
        () = tokio::time::sleep(SECOND_THOUGHT) => Leave::Detach,
    }
}

fn is_alive(state: TaskState) -> bool {
    matches!(state, TaskState::Running { .. } | TaskState::WaitingInput { .. })
}

async fn finish(
    app: &App,
    console: &Console,
    running: Running,
    run: RunId,
    end: Leave,
) -> anyhow::Result<(Option<RunView>, u8)> {
    console.end();
    match end {
        Leave::Settled | Leave::Detach => running.detach().await,
        Leave::EndAgents => running.end_agents().await,
    }
    let options = crate::app::engine_options(&app.config(), Scope::New, Role::Errand);
    let view = orchestrator::look(app.store(), run, &options, SystemClock.now(), false).await?;
    let outcome = view.as_ref().and_then(|view| view.run.state.outcome());
    Ok((view, outcome.map_or(SUSPENDED, RunOutcome::exit_code)))
}

/// What came of it, and what can be done now.
async fn conclude(
    common: &Common,
    app: &App,
    view: Option<&RunView>,
    code: u8,
) -> anyhow::Result<()> {
    let Some(view) = view else { return Ok(()) };
    if common.json {
        let outcome = view.run.state.outcome().map(RunOutcome::word);
        let name = view.info.name.to_string();
        outln!("{}", json!({ "run": name, "outcome": outcome, "exit_code": code }));
        return Ok(());
    }
    let several = app.store().projects().await?.len() > 1;
    outln!();
    out::text(inspect::summary(view));
    out::text(inspect::next_steps(common, view, app.layout(), several));
    Ok(())
}
