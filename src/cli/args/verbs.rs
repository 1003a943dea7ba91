//! The operator's verbs as people type them.

use std::time::Duration;

use clap::{Args, Subcommand};

use crate::ids::{ProfileName, ProjectId};

/// What an operator can ask of runs, tasks and the process at work.
#[derive(Debug, Subcommand)]
pub(crate) enum VerbCommand {
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
    /// Have a task go on whose budget is used up; or allow a project more within its 24 hours.
    Allow(AllowArgs),
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
    /// Take the last merge into a lane back: the branch of the lane goes back to before it.
    ResetTask(UndoArgs),
    /// Take everything back that was merged into a lane after a task.
    ResetTo(ResetToArgs),
    /// Take everything back that was merged into a lane. If the lane is in its target already, a
    /// revert is proposed: what others build on is never moved back.
    ResetWorkstream(UndoArgs),
    /// Give a lane up: its branches are removed, its pull requests closed, its tasks cancelled.
    TeardownWorkstream(UndoArgs),
    /// Take a whole run back, lane by lane, and give it up.
    Reset(UndoArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  taskloom reset-task payments/3/refund --dry-run\n  \
    taskloom reset-workstream payments/3/api\n  taskloom reset payments/3 --yes")]
pub(crate) struct UndoArgs {
    /// What: `[GRAPH[/NUMBER]/]TASK`, the same with a lane, or a run, `GRAPH[/NUMBER]`.
    pub(crate) subject: String,
    #[command(flatten)]
    pub(crate) how: HowArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  taskloom reset-to --after payments/3/schema")]
pub(crate) struct ResetToArgs {
    /// The task that stays: `[GRAPH[/NUMBER]/]TASK`.
    #[arg(long, value_name = "TASK")]
    pub(crate) after: String,
    #[command(flatten)]
    pub(crate) how: HowArgs,
}

/// Whether it is done, and without a question.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct HowArgs {
    /// Only say what it would move.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask.
    #[arg(long, short)]
    pub(crate) yes: bool,
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
#[command(after_help = "Examples:\n  taskloom allow payments/3/refund\n  \
    taskloom allow refund --finish-up\n  taskloom allow refund --agent codex\n  \
    taskloom allow --project shop")]
pub(crate) struct AllowArgs {
    /// `TASK`, `GRAPH/TASK` or `GRAPH/NUMBER/TASK`: it goes on with a quarter more.
    #[arg(required_unless_present_any = ["all", "project"])]
    pub(crate) task: Option<String>,
    /// Only a tenth more, and its agent is told to come to an end.
    #[arg(long, conflicts_with = "agent")]
    pub(crate) finish_up: bool,
    /// Another agent goes on.
    #[arg(long, value_name = "PROFILE")]
    pub(crate) agent: Option<ProfileName>,
    /// The budget of everything.
    #[arg(long, conflicts_with_all = ["task", "project", "finish_up", "agent"])]
    pub(crate) all: bool,
    /// The budget of a project.
    #[arg(long, value_name = "PROJECT", conflicts_with_all = ["task", "finish_up", "agent"])]
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
