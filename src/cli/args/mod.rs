//! The command line as people type it.

mod hooks;
mod memory;
mod plan;
mod queue;
mod verbs;
mod watch;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

pub(crate) use hooks::{FireArgs, HookCommand};
pub(crate) use memory::{MemoryCommand, MemorySearchArgs};
pub(crate) use plan::{PlanArgs, PlanCommand};
pub(crate) use queue::{
    ByArg, ProjectAddArgs, ProjectCommand, ProjectSetArgs, SettingsArgs, UsageArgs,
};
pub(crate) use verbs::{AllowArgs, HowArgs, PauseArgs, VerbArgs, VerbCommand};
pub(crate) use watch::{ArchiveArgs, By, RestoreArgs, StatsArgs};

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
#[derive(Debug, Clone, Args)]
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
    /// Hand an issue of GitHub to the daemon, as a task; a comment under it says how it goes.
    SubmitIssue(SubmitIssueArgs),
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
    /// Attach this terminal to the tmux session of a task's agent (`environment: {type: tmux}`).
    Attach(TaskRef),
    /// What agents used: tokens and money, from the ledger.
    Usage(UsageArgs),
    /// Projects: which there are, and what holds for each.
    Project {
        #[command(subcommand)]
        command: ProjectCommand,
    },
    /// Look at the plan of a task, and decide about it.
    Plan {
        #[command(subcommand)]
        command: PlanCommand,
    },
    #[command(flatten)]
    Verb(VerbCommand),
    /// Hooks: what happens by itself when something else happens, or it is time.
    Hook {
        #[command(subcommand)]
        command: HookCommand,
    },
    /// What tasks that are done left behind for later ones: search it, forget some of it.
    Memory {
        #[command(subcommand)]
        command: MemoryCommand,
    },
    /// List everything that waits for a person: what holds up most first.
    Inbox,
    /// Put runs away that have come to rest: they leave lists, and nothing else changes.
    Archive(ArchiveArgs),
    /// Bring a run back that was put away, as it was. Nothing runs again.
    Restore(RestoreArgs),
    /// Say how attempts went: how many succeed, how long they take.
    Stats(StatsArgs),
    /// Free the worktrees that runs left. Branches, logs and records stay.
    Gc(GcArgs),
    /// Check this machine: git, disk, data directory, agents.
    Doctor,
    /// Check the configuration, or have the daemon read it again.
    Config {
        #[command(subcommand)]
        command: ConfigCommand,
    },
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Add a task without a graph; for agents: say how the task goes, in words or as one JSON
    /// object.
    Task {
        #[command(subcommand)]
        command: TaskCommand,
    },
    /// For editors: serve `submit`, `status`, `why` and `inbox` as tools over MCP, on standard input and
    /// output.
    Mcp,
    /// Play a scenario: the real engine with scripted agents, by hand and without an outside.
    Sim(SimArgs),
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
    /// Begin when this task of another run has ended well: `[GRAPH[/NUMBER]/]TASK`. May be said
    /// several times.
    #[arg(long, value_name = "TASK")]
    pub(crate) after: Vec<String>,
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
#[command(after_help = "Example:\n  taskloom submit-issue 42 --repo ~/src/shop")]
pub(crate) struct SubmitIssueArgs {
    /// Its number.
    pub(crate) number: u64,
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
#[command(after_help = "Examples:\n  taskloom list\n  taskloom list --archived\n  \
    taskloom list --graphs examples")]
pub(crate) struct ListArgs {
    /// List the graphs below this directory instead of runs.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) graphs: Option<PathBuf>,
    /// List the runs that were put away instead of the others.
    #[arg(long, conflicts_with = "graphs")]
    pub(crate) archived: bool,
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
    taskloom logs refund --attempt 1"
)]
pub(crate) struct LogsArgs {
    /// `TASK`, `GRAPH/TASK` or `GRAPH/NUMBER/TASK`.
    pub(crate) task: String,
    /// Go on as more is written, until the attempt ends.
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Which attempt, from 1 [default: the last].
    #[arg(long, value_name = "N")]
    pub(crate) attempt: Option<u32>,
    /// What the agent's program wrote, in its own language, instead of what it means.
    #[arg(long)]
    pub(crate) raw: bool,
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
    /// Have the daemon read its configuration file again, and say what is applied and what needs a
    /// restart. It does so by itself, too, when the file changes.
    Reload,
    /// Print every option, and whether a running daemon takes it over.
    Keys,
    /// Say what is wrong with a configuration file.
    Check {
        /// The file [default: the one that would be used].
        #[arg(value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  taskloom task add 'Fix the login' --gate 'make test'\n  \
    taskloom task add 'Write the docs' --after payments/3/api")]
pub(crate) struct TaskAddArgs {
    /// What its agent is to do; the first line is its title.
    pub(crate) instructions: String,
    /// The command that must pass on the result.
    #[arg(long, value_name = "COMMAND")]
    pub(crate) gate: Option<String>,
    /// The agent profile.
    #[arg(long, value_name = "PROFILE")]
    pub(crate) agent: Option<String>,
    /// Lower goes first.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) priority: Option<i32>,
    /// Its agent leaves a plan, which becomes tasks when somebody approves it.
    #[arg(long)]
    pub(crate) plan: bool,
    #[command(flatten)]
    pub(crate) options: SubmitOptions,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TaskCommand {
    /// Have one task done without writing a graph.
    Add(TaskAddArgs),
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
    /// What would have been good to know before, for tasks to come (`memory` of the configuration).
    Learned {
        /// What.
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
    /// For reviewers: let the change through.
    Approve,
    /// For reviewers: say what has to be changed.
    Object {
        /// Each objection.
        #[arg(required = true)]
        objections: Vec<String>,
    },
    /// Serve all of these as tools over MCP, on standard input and output; agents start it.
    Mcp,
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
    /// Leave a plan, if the task asks for one: its steps become tasks once a person approves it.
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

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  taskloom sim scenarios/diamond.sim\n  \
    taskloom sim --write my.sim\n  taskloom sim --seeds 10000\n\n\
    What a scenario is made of: docs/sim.md.")]
pub(crate) struct SimArgs {
    /// Scenarios to play; what they print is compared with what they say.
    #[arg(value_hint = ValueHint::FilePath, required_unless_present_any = ["seeds", "seed"])]
    pub(crate) files: Vec<PathBuf>,
    /// Write what is printed into the files instead of comparing.
    #[arg(long)]
    pub(crate) write: bool,
    /// Play so many random schedules with crashes and outside trouble.
    #[arg(long, value_name = "N", conflicts_with = "files")]
    pub(crate) seeds: Option<u64>,
    /// Play one random schedule again, or begin with it.
    #[arg(long, value_name = "N", conflicts_with = "files")]
    pub(crate) seed: Option<u64>,
}
