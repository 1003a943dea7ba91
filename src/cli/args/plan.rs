//! Decisions about plans as people type them.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

/// What can be done about the plan that a task left.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  taskloom plan show payments/3/design\n  \
    taskloom plan show design --text > plan.md\n  taskloom plan edit design --file plan.md\n  \
    taskloom plan approve design")]
pub(crate) enum PlanCommand {
    /// Show the tasks that it asks for.
    Show(PlanShowArgs),
    /// Make its steps tasks of the run: they come before everything that waits for the task.
    Approve(PlanArgs),
    /// Put another text in its place; it is shown again and waits as before.
    Edit(PlanEditArgs),
    /// Have the agent plan again, with a note. That uses up no attempt.
    Changes(PlanChangesArgs),
    /// Go on without it.
    Discard(PlanArgs),
}

#[derive(Debug, Args)]
pub(crate) struct PlanShowArgs {
    /// `TASK`, `GRAPH/TASK` or `GRAPH/NUMBER/TASK`.
    pub(crate) task: String,
    /// Print the plan as it is written, and nothing else.
    #[arg(long)]
    pub(crate) text: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// `TASK`, `GRAPH/TASK` or `GRAPH/NUMBER/TASK`.
    pub(crate) task: String,
    /// Only if the plan is still the one that `plan show` names so.
    #[arg(long, value_name = "DIGEST")]
    pub(crate) digest: Option<String>,
    /// Only say what it would do.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PlanEditArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    /// The new text; `-` reads standard input.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct PlanChangesArgs {
    #[command(flatten)]
    pub(crate) plan: PlanArgs,
    /// What is to be different.
    #[arg(long, value_name = "TEXT")]
    pub(crate) note: String,
}
