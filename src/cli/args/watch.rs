//! What is asked about runs that rest, and about how attempts went, as people type it.

use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::ids::ProjectId;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  taskloom archive payments/3\n  \
    taskloom archive --older-than 7d --dry-run")]
pub(crate) struct ArchiveArgs {
    /// `GRAPH` or `GRAPH/NUMBER`.
    #[arg(required_unless_present = "older_than")]
    pub(crate) run: Option<String>,
    /// All that have rested longer, with nothing in them for a person.
    #[arg(long, value_name = "TIME", conflicts_with = "run")]
    #[arg(value_parser = humantime::parse_duration)]
    pub(crate) older_than: Option<Duration>,
    /// Only say what it would do.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  taskloom restore payments/3")]
pub(crate) struct RestoreArgs {
    /// `GRAPH/NUMBER`; `taskloom list --archived` lists them.
    pub(crate) run: String,
    /// Only say what it would do.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  taskloom stats --since 7d\n  \
    taskloom stats --project shop --by model --json")]
pub(crate) struct StatsArgs {
    /// Only of this project.
    #[arg(long, value_name = "PROJECT")]
    pub(crate) project: Option<ProjectId>,
    /// Attempts that began within this time.
    #[arg(long, value_name = "TIME", default_value = "30d")]
    #[arg(value_parser = humantime::parse_duration)]
    pub(crate) since: Duration,
    /// A line for each.
    #[arg(long, value_name = "WHAT", default_value = "profile")]
    pub(crate) by: By,
}

/// What attempts are put together by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum By {
    Project,
    Profile,
    Model,
    Role,
}
