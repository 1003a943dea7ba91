//! The command line: parse, ask the library, print. Sentences of the engine are printed as they
//! are; only this module and its siblings write to the terminal.

mod args;
mod hooks;
mod inspect;
mod mcp;
mod out;
mod pictures;
mod plan;
mod projects;
mod refs;
mod run;
mod sim;
mod upkeep;
mod verbs;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};
use serde_json::json;

use crate::agents::process;
use crate::agents::signals::{self, FileAction, Signal};
use crate::agents::tools;
use crate::cli::args::{ActionArg, Cli, Command, Common, TaskCommand};
use crate::cli::out::{errln, outln};
use crate::config::Config;
use crate::failure::{Failure, Kind};
use crate::sim as simulation;
use crate::store;

/// What a command comes to: an exit code, or an error to be told.
pub(crate) type Outcome = anyhow::Result<u8>;

/// Runs the command line.
pub fn main() -> ExitCode {
    // The hidden commands are on the path of every attempt and cost as little as they can.
    let mut words = std::env::args().skip(1);
    match words.next().as_deref() {
        Some("shim") => return process::shim_main(),
        Some("pane") => return process::pane::main(words),
        Some("exec-agent") => return process::exec_main(words),
        Some("task") => {
            if let Some(json) = words.next().filter(|word| word.starts_with('{')) {
                return send(Signal::parse(json.as_bytes()).map_err(signals::SendError::from));
            }
        }
        Some(_) | None => {}
    }
    let cli = Cli::parse();
    let json = cli.common.json;
    let cli = if let Command::Task { command } = cli.command {
        if !matches!(command, TaskCommand::Add(_)) {
            return say(command);
        }
        Cli { command: Command::Task { command }, ..cli }
    } else {
        cli
    };
    start_log(&cli.common.log);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(dispatch(cli)),
        Err(error) => Err(error.into()),
    };
    outcome.map_or_else(|error| tell(&error, json), ExitCode::from)
}

fn start_log(level: &str) {
    let filter = tracing_subscriber::EnvFilter::try_new(level)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
}

async fn dispatch(cli: Cli) -> Outcome {
    let common = &cli.common;
    match cli.command {
        Command::Demo(args) => run::demo::demo(common, args).await,
        Command::Run(args) => run::run(common, args).await,
        Command::Serve(args) => run::serve::serve(common, args).await,
        Command::Submit(args) => run::serve::submit(common, args).await,
        Command::SubmitIssue(args) => run::serve::submit_issue(common, args).await,
        Command::Check(args) => pictures::check(common, &args),
        Command::Graph(args) => pictures::graph(common, &args).await,
        Command::List(args) => inspect::list(common, &args).await,
        Command::Status(args) => inspect::status(common, args.run.as_deref()).await,
        Command::Show(args) => inspect::show(common, args.subject.as_deref()).await,
        Command::Why(args) => inspect::why(common, &args.task).await,
        Command::Logs(args) => inspect::logs(common, &args).await,
        Command::Attach(args) => inspect::attach(common, &args.task).await,
        Command::Usage(args) => inspect::usage::usage(common, &args).await,
        Command::Project { command } => projects::project(common, command).await,
        Command::Plan { command } => plan::plan(common, command).await,
        Command::Memory { command } => inspect::memory::memory(common, command).await,
        Command::Inbox => inspect::shelf::show(common).await,
        Command::Archive(args) => inspect::shelf::archive(common, &args).await,
        Command::Restore(args) => inspect::shelf::restore(common, &args).await,
        Command::Stats(args) => inspect::stats::stats(common, &args).await,
        Command::Verb(verb) => verbs::carry_out(common, verb).await,
        Command::Hook { command } => hooks::hook(common, command).await,
        Command::Gc(args) => upkeep::gc(common, &args).await,
        Command::Mcp => mcp::mcp(common).await,
        Command::Doctor => upkeep::doctor(common).await,
        Command::Config { command } => upkeep::config(common, command).await,
        Command::Completions { shell } => {
            let mut command = Cli::command();
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, "taskloom", &mut script);
            out::bytes(&script);
            Ok(0)
        }
        Command::Sim(args) => sim::sim(common, &args).await,
        Command::Play { script } => {
            let script = simulation::Script::load(&script)?;
            Ok(simulation::agent::play(&script, &mut std::io::stdout(), &mut std::io::stderr())
                .await?)
        }
        Command::Task { command: TaskCommand::Add(args) } => {
            run::serve::add_task(common, args).await
        }
        Command::Task { .. } => unreachable!("BUG: said before the runtime starts"),
    }
}

/// This program, as the operator would call it again.
pub(crate) fn program(common: &Common) -> String {
    match &common.data_dir {
        Some(dir) => {
            let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.clone());
            format!("taskloom --data-dir {}", refs::quoted(&dir.to_string_lossy()))
        }
        None => "taskloom".to_owned(),
    }
}

/// The configuration that a command works with.
pub(crate) fn config(common: &Common) -> anyhow::Result<Config> {
    let home = std::env::home_dir();
    let mut config = match config_path(common) {
        Some(path) => Config::load(&path, home.as_deref())?,
        None => Config::parse("", home.as_deref())?,
    };
    if let Some(dir) = &common.data_dir {
        config.data_dir = std::path::absolute(dir)?;
    }
    Ok(config)
}

/// The file that was named, or the usual one if it is there.
pub(crate) fn config_path(common: &Common) -> Option<PathBuf> {
    let usual = || {
        let base = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
        let base = base.or_else(|| Some(std::env::home_dir()?.join(".config")))?;
        Some(base.join("taskloom/config.yaml")).filter(|path| path.exists())
    };
    common.config.clone().or_else(usual)
}

/// Tells an error and gives its exit code.
fn tell(error: &anyhow::Error, json: bool) -> ExitCode {
    let failure = failure_of(error);
    if json {
        outln!("{}", json!({ "error": failure }));
    } else {
        errln!("error: {failure}");
    }
    ExitCode::from(match failure.kind {
        Kind::User | Kind::Config | Kind::Outside => 1,
        Kind::Bug => 2,
    })
}

fn failure_of(error: &anyhow::Error) -> Failure {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        return failure.clone();
    }
    let causes: Vec<String> = error.chain().map(ToString::to_string).collect();
    let failure = Failure::outside(causes.join(": "));
    match error.downcast_ref::<store::Error>() {
        Some(store::Error::Owned(_)) => failure.hint(
            "wait until it has ended, or use another `--data-dir`; `taskloom status` and other \
             looks are possible beside it",
        ),
        Some(store::Error::Missing { .. }) => {
            failure.hint("run a graph first: `taskloom demo`, or `taskloom run GRAPH`")
        }
        Some(store::Error::Newer { .. }) => failure.hint("install the newer version again"),
        Some(_) | None => failure,
    }
}

/// `taskloom task …`: says one signal from inside an attempt.
fn say(command: TaskCommand) -> ExitCode {
    if matches!(command, TaskCommand::Mcp) {
        return serve_tools();
    }
    match signal(command) {
        Ok(signal) => send(Ok(signal)),
        Err(message) => {
            errln!("error: {message}");
            ExitCode::from(2)
        }
    }
}

fn serve_tools() -> ExitCode {
    let dir = std::env::var_os(signals::DIR_VARIABLE).map(PathBuf::from);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.and_then(|runtime| runtime.block_on(tools::serve(dir))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            errln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn send(signal: Result<Signal, signals::SendError>) -> ExitCode {
    let dir = std::env::var_os(signals::DIR_VARIABLE).map(PathBuf::from);
    match signal.and_then(|signal| signals::send(dir.as_deref(), &signal)) {
        Ok(answer) => {
            if let Some(answer) = answer {
                outln!("{answer}");
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            errln!("error: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn signal(command: TaskCommand) -> Result<Signal, String> {
    Ok(match command {
        TaskCommand::Add(_) => unreachable!("BUG: it is no signal"),
        TaskCommand::Done { summary } => Signal::Done { summary },
        TaskCommand::NoChanges => Signal::NoChanges {},
        TaskCommand::Failed { reason } => Signal::Failed { reason },
        TaskCommand::Concern { text } => Signal::Concern { text },
        TaskCommand::OpsConcern { text } => Signal::OpsConcern { text },
        TaskCommand::Summary { text } => Signal::Summary { text },
        TaskCommand::Learned { text } => Signal::Learned { text },
        TaskCommand::Declare { path, action, category } => {
            let action = match action {
                ActionArg::Created => FileAction::Created,
                ActionArg::Modified => FileAction::Modified,
                ActionArg::Deleted => FileAction::Deleted,
            };
            Signal::Declare { path, action, category }
        }
        TaskCommand::Ask { question, choices } => Signal::Ask { question, choices },
        TaskCommand::Note { to, text } => {
            let to = to.parse().map_err(|why| format!("`{to}` is no task: {why}"))?;
            Signal::Note { to, text }
        }
        TaskCommand::Approve => Signal::Approve {},
        TaskCommand::Object { objections } => Signal::Object { objections },
        TaskCommand::Plan { text } => Signal::Plan { text },
        TaskCommand::Progress { text } => Signal::Progress { text },
        TaskCommand::Mcp => return Err("`mcp` is no signal".to_owned()),
    })
}
