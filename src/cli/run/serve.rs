//! `serve`: the engine for every run, until it is told to end; and `submit`, which hands it a graph.

use std::sync::Arc;

use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;

use crate::app::{App, Running};
use crate::cli::Outcome;
use crate::cli::args::{Common, ServeArgs, SubmitArgs, SubmitIssueArgs, TaskAddArgs};
use crate::cli::out::outln;
use crate::cli::run::run_options;
use crate::cli::run::watch::{Console, Manner};
use crate::cli::verbs::who;
use crate::cli::{pictures, verbs};
use crate::config::OnShutdown;
use crate::control::inbox::AdHoc;
use crate::control::{IssueOrder, Order, Request};
use crate::notify::ThreadFactory;
use crate::orchestrator::{GlobalCommand, GlobalVerb, Receipt, Role, Scope};
use crate::state::Entry;

pub(crate) async fn serve(common: &Common, args: ServeArgs) -> Outcome {
    let console = Console::new(Manner {
        json: common.json,
        quiet: args.quiet,
        program: crate::cli::program(common),
    });
    let config = crate::cli::config(common)?;
    let threads: Vec<Arc<dyn ThreadFactory>> =
        if args.quiet || common.json { vec![] } else { vec![Arc::new(console.clone())] };
    let app = App::open_with_bot(config, "taskloom serve", threads).await?;
    if let Some(file) = crate::cli::config_path(common) {
        app.read_from(std::path::absolute(file)?);
    }
    let mut hangups = signal(SignalKind::hangup())?;
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    let mut running = app.start(Scope::All, Role::Daemon, Arc::new(console.clone())).await?;
    console.line(&format!("taskloom {} at work in {}", env!("CARGO_PKG_VERSION"), place(&app)));
    let mut journal = running.handle.subscribe();
    loop {
        tokio::select! {
            batch = journal.recv() => match batch {
                Ok(entries) => show(&console, &running, &entries).await,
                Err(RecvError::Lagged(_)) => console.line("… (more happened than can be shown)"),
                Err(RecvError::Closed) => break,
            },
            _ = hangups.recv() => match running.reload().await {
                Ok(sentence) => console.line(&sentence),
                Err(failure) => console.line(&format!("the configuration is as before: {failure}")),
            },
            _ = interrupts.recv() => break,
            _ = terminations.recv() => break,
        }
    }
    end(&app, &console, &mut running, [&mut interrupts, &mut terminations]).await;
    running.detach().await;
    Ok(0)
}

fn place(app: &App) -> String {
    app.layout().root().display().to_string()
}

async fn show(console: &Console, running: &Running, entries: &[Entry]) {
    for entry in entries {
        if !console.knows(entry)
            && let Ok(Some(view)) = running.handle.view(entry.run).await
        {
            console.follow_along(&view.info);
        }
        console.show(entry);
    }
}

/// What a signal means: what the configuration says. A second one does not wait.
async fn end(app: &App, console: &Console, running: &mut Running, signals: [&mut Signal; 2]) {
    let within = match app.config().on_shutdown {
        OnShutdown::Detach => return,
        OnShutdown::Suspend => std::time::Duration::ZERO,
        OnShutdown::Drain => app.config().timeouts.drain,
    };
    let verb = GlobalVerb::Shutdown { within };
    let command = GlobalCommand { who: who(), verb, dry_run: false };
    if let Ok(Ok(receipt)) = running.handle.global(command).await {
        console.line(&receipt.sentence);
    }
    let [interrupts, terminations] = signals;
    tokio::select! {
        () = running.ended() => {}
        _ = interrupts.recv() => {}
        _ = terminations.recv() => {}
    }
}

pub(crate) async fn submit_issue(common: &Common, args: SubmitIssueArgs) -> Outcome {
    let config = crate::cli::config(common)?;
    let order = IssueOrder {
        number: args.number,
        repo: std::path::absolute(&args.options.repo)?,
        options: run_options(common, &args.options).await?,
        submitter: who(),
    };
    say(common, &verbs::ask(&config, &Request::Issue(order)).await?)
}

pub(crate) async fn submit(common: &Common, args: SubmitArgs) -> Outcome {
    say(common, &submitted(common, &args).await?)
}

/// Hands a task that nobody wrote a graph for to the daemon.
pub(crate) async fn add_task(common: &Common, args: TaskAddArgs) -> Outcome {
    let one = AdHoc {
        instructions: args.instructions,
        gate: args.gate,
        agent: args.agent,
        priority: args.priority,
        plan: args.plan,
    };
    let (source, _) = one.graph()?;
    let config = crate::cli::config(common)?;
    let options = run_options(common, &args.options).await?;
    let repo = std::path::absolute(&args.options.repo)?;
    let order = Order { source, repo, options, submitter: who() };
    say(common, &verbs::ask(&config, &Request::Submit(Box::new(order))).await?)
}

fn say(common: &Common, receipt: &Receipt) -> Outcome {
    if common.json {
        outln!("{:#}", json!({ "receipt": receipt }));
    } else {
        outln!("{}", receipt.sentence);
    }
    Ok(0)
}

/// Hands a graph to the daemon.
pub(crate) async fn submitted(common: &Common, args: &SubmitArgs) -> anyhow::Result<Receipt> {
    let (_, source) = pictures::load(&args.graph)?;
    let config = crate::cli::config(common)?;
    let repo = std::path::absolute(&args.options.repo)?;
    let options = run_options(common, &args.options).await?;
    let order = Order { source, repo, options, submitter: who() };
    verbs::ask(&config, &Request::Submit(Box::new(order))).await
}
