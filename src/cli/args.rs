//! The command line as people type it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::ids::ProjectId;

/// Runs graphs of coding-agent tasks: each in its own git worktree, merged lane by lane.
#[derive(Debug, Parser)]
#[command(name = "taskloom", version, propagate_version = true, max_term_width = 100)]
#[command(
    after_help = "Start here: `taskloom demo`. Exit codes: 0 done, 1 completed with failures or \
    refused, 2 internal error or bad usage, 3 tasks wait until a person merges a lane, 130 cancelled \
    or suspended."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub(crate) struct Common {
    /// Where everything is kept [default: ~/.local/share/taskloom].
    #[arg(long, global = true, value_name = "DIR", env = "TASKLOOM_DATA_DIR")]
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) data_dir: Option<PathBuf>,
    /// The configuration file [default: ~/.config/taskloom/config.yaml, if it is there].
    #[arg(long, global = true, value_name = "FILE", env = "TASKLOOM_CONFIG")]
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print the log to standard error, from this level on.
    #[arg(long, global = true, value_name = "LEVEL", default_value = "warn")]
    pub(crate) log: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Play a small graph on a scratch repository, with a failure that a retry heals.
    Demo(DemoArgs),
    /// Run a graph, or go on with it where it was suspended.
    Run(RunArgs),
    /// Work on every run, and take graphs and commands, until it is told to end.
    Serve(ServeArgs),
    /// Hand a graph to the daemon (`taskloom serve`).
    Submit(SubmitArgs),
    /// Say everything that is wrong with a graph, or what it would do.
    Check(CheckArgs),
    /// Draw a graph, coloured by state when a run is named.
    Graph(GraphArgs),
    /// List runs, or the graphs in a directory.
    List(ListArgs),
    /// Show where a run stands: its lanes, its tasks, and why each waits.
    Status(RunRef),
    /// Show everything about a run or a task.
    Show(AnyRef),
    /// Say why a task does not run.
    Why(TaskRef),
    /// Print what a task's agent and gates wrote.
    Logs(LogsArgs),
    /// Try a failed, stopped or cancelled task, or a failed lane, again.
    Retry(RetryArgs),
    /// Pass over a task: its dependents go on without it.
    Skip(SkipArgs),
    /// End the attempt of a task; it waits for a retry.
    Stop(VerbArgs),
    /// Give up a task or a run. What is merged stays.
    Cancel(VerbArgs),
    /// Do a task that has succeeded again, on top of what is merged.
    #[command(visible_alias = "reopen")]
    Rewind(RewindArgs),
    /// Start nothing new: in a run, in a project, anywhere; or park a task.
    Pause(PauseArgs),
    /// Go on with what is paused.
    Resume(PauseArgs),
    /// Have the process at work start nothing new; what runs goes on.
    Drain(GlobalArgs),
    /// Have the process at work end; what still runs is suspended and goes on with the next.
    Shutdown(ShutdownArgs),
    /// Start a task before or after others.
    Reprioritise(PriorityArgs),
    /// Tell a task's agent something while it works.
    Steer(SteerArgs),
    /// Let a pull request of a task or lane through.
    Approve(VerbArgs),
    /// Send a pull request of a task or lane back.
    Reject(RejectArgs),
    /// Answer the question of a task's agent.
    Answer(AnswerArgs),
    /// Free the worktrees that runs left. Branches, logs and records stay.
    Gc(GcArgs),
    /// Check this machine: git, disk, data directory, agents.
    Doctor,
    /// Check the configuration.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// For agents: say how the task goes, in words or as one JSON object.
    Task {
        #[command(subcommand)]
        command: TaskCommand,
    },
    /// Be an agent that does what a script says.
    #[command(hide = true)]
    Play {
        /// The script's file.
        #[arg(value_hint = ValueHint::FilePath)]
        script: PathBuf,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  taskloom demo\n  taskloom demo --dir /tmp/loom")]
pub(crate) struct DemoArgs {
    /// Where to put the scratch repository and its data [default: a new temporary directory].
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  taskloom run graph.yaml --repo ~/src/shop\n  \
    taskloom run graph.yaml --repo . --slots 2 --retry-failed\n\n\
    Ctrl-C suspends: agents run on, and the same command takes them up again. Ctrl-C twice ends \
    the agents.")]
pub(crate) struct RunArgs {
    /// The graph's file; or a run, `GRAPH/NUMBER`, to go on with.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) graph: PathBuf,
    #[command(flatten)]
    pub(crate) options: SubmitOptions,
    /// Begin a new run although an earlier one is not finished.
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Go on from the latest run of a graph that has changed since: keep what is done and
    /// unchanged, and do the rest in a new run; the old one is given up.
    #[arg(long, conflicts_with_all = ["fresh", "retry_failed"])]
    pub(crate) amend: bool,
    /// Going on with a run, try its failed tasks again.
    #[arg(long, conflicts_with = "fresh")]
    pub(crate) retry_failed: bool,
    /// Do not show what agents write.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// What a submitter sets above a graph.
#[derive(Debug, Args)]
pub(crate) struct SubmitOptions {
    /// The repository to work on. Branches `taskloom/...` are made in it; another branch moves
    /// only forward, when a lane merges into it that is approved or has `auto_merge`.
    #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub(crate) repo: PathBuf,
    /// Attempts at once, instead of the graph's `max_concurrency`.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) slots: Option<u32>,
    /// Attempts per task, instead of the graph's.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_attempts: Option<u32>,
    /// When worktrees are given back, instead of the graph's `teardown_mode`.
    #[arg(long, value_name = "WHEN")]
    pub(crate) teardown: Option<TeardownArg>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum TeardownArg {
    Always,
    Never,
    OnSuccess,
}

#[derive(Debug, Args)]
#[command(after_help = "SIGTERM and Ctrl-C do what `on_shutdown` of the configuration says: by \
    default agents run on, and the next `taskloom serve` takes them up where they are.")]
pub(crate) struct ServeArgs {
    /// Do not show what agents write.
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  taskloom submit graph.yaml --repo ~/src/shop")]
pub(crate) struct SubmitArgs {
    /// The graph's file.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) graph: PathBuf,
    #[command(flatten)]
    pub(crate) options: SubmitOptions,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  taskloom check graph.yaml")]
pub(crate) struct CheckArgs {
    /// The graph's file.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) graph: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  taskloom graph graph.yaml\n  \
    taskloom graph payments/3 --format png --output run.png")]
pub(crate) struct GraphArgs {
    /// A graph's file, or a run: `GRAPH` or `GRAPH/NUMBER`.
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) graph: String,
    /// How to draw it.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Picture,
    /// Where to write it [default: standard output; required for png on a terminal].
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// Colours of svg and png.
    #[arg(long, default_value = "light")]
    pub(crate) theme: ThemeArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Picture {
    Text,
    Dot,
    Mermaid,
    Svg,
    Png,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ThemeArg {
    Light,
    Dark,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  taskloom list\n  taskloom list --graphs examples")]
pub(crate) struct ListArgs {
    /// List the graphs below this directory instead of runs.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) graphs: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RunRef {
    /// `GRAPH` or `GRAPH/NUMBER` [default: the latest run].
    pub(crate) run: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  taskloom show payments/3\n  taskloom show payments/3/refund")]
pub(crate) struct AnyRef {
    /// `GRAPH[/NUMBER]`, or a task: `[GRAPH[/NUMBER]/]TASK` [default: the latest run].
    pub(crate) subject: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  taskloom why payments/3/refund")]
pub(crate) struct TaskRef {
    /// `TASK`, `GRAPH/TASK` or `GRAPH/NUMBER/TASK`.
    pub(crate) task: String,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  taskloom logs refund\n  taskloom logs payments/3/refund -f\n  \
    taskloom logs refund --attempt 0"
)]
pub(crate) struct LogsArgs {
    /// `TASK`, `GRAPH/TASK` or `GRAPH/NUMBER/TASK`.
    pub(crate) task: String,
    /// Go on as more is written, until the attempt ends.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Which attempt, from 0 [default: the last].
    #[arg(long, value_name = "N")]
    pub(crate) attempt: Option<u32>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  taskloom retry refund --note 'mock the clock'\n  \
    taskloom retry payments/3/refund --fresh\n  taskloom retry --lane payments/3/api")]
pub(crate) struct RetryArgs {
    #[command(flatten)]
    pub(crate) verb: VerbArgs,
    /// What the next attempt should know.
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
    /// Start over, without the work so far.
    #[arg(long)]
    pub(crate) fresh: bool,
    /// Also try again what builds on it and failed, was stopped or cancelled, or is stale.
    #[arg(long)]
    pub(crate) downstream: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  taskloom rewind refund --note 'round to cents'\n  \
    taskloom rewind payments/3/refund --downstream --dry-run")]
pub(crate) struct RewindArgs {
    #[command(flatten)]
    pub(crate) verb: VerbArgs,
    /// What the next attempt should know.
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
    /// Do what builds on it again as well, instead of marking it stale.
    #[arg(long)]
    pub(crate) downstream: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  taskloom pause payments/3\n  taskloom pause refund\n  \
    taskloom pause --project shop\n  taskloom resume --all")]
pub(crate) struct PauseArgs {
    /// A run, `GRAPH[/NUMBER]`, or a task, `[GRAPH[/NUMBER]/]TASK`.
    #[arg(required_unless_present_any = ["all", "project"])]
    pub(crate) subject: Option<String>,
    /// Everything.
    #[arg(long, conflicts_with_all = ["subject", "project"])]
    pub(crate) all: bool,
    /// Every run of a project.
    #[arg(long, value_name = "PROJECT", conflicts_with = "subject")]
    pub(crate) project: Option<ProjectId>,
    /// Only say what it would do.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GlobalArgs {
    /// Only say what it would do.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  taskloom shutdown --within 10m")]
pub(crate) struct ShutdownArgs {
    /// How long what runs may go on before it is suspended.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = humantime::parse_duration)]
    pub(crate) within: Duration,
    /// Only say what it would do.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  taskloom reprioritise refund 10")]
pub(crate) struct PriorityArgs {
    /// `TASK`, `GRAPH/TASK` or `GRAPH/NUMBER/TASK`.
    pub(crate) task: String,
    /// Its priority from now on: lower goes first.
    #[arg(allow_negative_numbers = true)]
    pub(crate) priority: i32,
    /// Only say what it would do.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  taskloom steer refund 'leave the schema as it is'")]
pub(crate) struct SteerArgs {
    /// `TASK`, `GRAPH/TASK` or `GRAPH/NUMBER/TASK`.
    pub(crate) task: String,
    /// What to tell it.
    pub(crate) text: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  taskloom skip refund --reason 'done by hand'")]
pub(crate) struct SkipArgs {
    #[command(flatten)]
    pub(crate) verb: VerbArgs,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  taskloom reject refund --note 'use the ledger'")]
pub(crate) struct RejectArgs {
    #[command(flatten)]
    pub(crate) verb: VerbArgs,
    /// Why, for the agent.
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  taskloom answer refund PostgreSQL")]
pub(crate) struct AnswerArgs {
    /// `TASK`, `GRAPH/TASK` or `GRAPH/NUMBER/TASK`.
    pub(crate) task: String,
    /// The answer.
    pub(crate) text: String,
}

/// What a verb is done to.
#[derive(Debug, Args)]
pub(crate) struct VerbArgs {
    /// `TASK`, `GRAPH/TASK` or `GRAPH/NUMBER/TASK`; for verbs on runs `GRAPH` or `GRAPH/NUMBER`.
    pub(crate) subject: String,
    /// The last part names a lane, not a task.
    #[arg(long)]
    pub(crate) lane: bool,
    /// Only say what it would do.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  taskloom gc            # says what it would free, and why\n  \
    taskloom gc --yes"
)]
pub(crate) struct GcArgs {
    /// Free it.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Also free work that exists nowhere else.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say what is wrong with a configuration file.
    Check {
        /// The file [default: the one that would be used].
        #[arg(value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommand {
    /// The task is done.
    Done {
        /// What was done, for those who build on it.
        #[arg(long)]
        summary: Option<String>,
    },
    /// The task is done, and nothing had to be changed.
    NoChanges,
    /// The task cannot be done.
    Failed {
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// A doubt about the design: it keeps the lane from merging by itself.
    Concern {
        /// The doubt.
        text: String,
    },
    /// Trouble with tools or environment.
    OpsConcern {
        /// The trouble.
        text: String,
    },
    /// What was done, for those who build on it.
    Summary {
        /// The summary.
        text: String,
    },
    /// A file that others may need.
    Declare {
        /// Its path in the repository.
        #[arg(long)]
        path: String,
        /// What happened to it.
        #[arg(long)]
        action: ActionArg,
        /// What it is.
        #[arg(long)]
        category: String,
    },
    /// Ask a person, and wait for the answer, which is printed.
    Ask {
        /// The question.
        question: String,
        /// An answer to choose from; more than one may be given.
        #[arg(long = "choice", value_name = "ANSWER")]
        choices: Vec<String>,
    },
    /// Tell a later task something.
    Note {
        /// Which task.
        #[arg(long)]
        to: String,
        /// What.
        text: String,
    },
    /// Say what is going to be done.
    Plan {
        /// The plan.
        text: String,
    },
    /// Say how far the work is.
    Progress {
        /// How far.
        text: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ActionArg {
    Created,
    Modified,
    Deleted,
}
