//! What people ask about the queue: projects, what was used.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use crate::ids::{ProfileName, ProjectId};

/// What can be asked of projects.
#[derive(Debug, Subcommand)]
pub(crate) enum ProjectCommand {
    /// The projects that are known, and what holds for each.
    List,
    /// Make a project known.
    Add(ProjectAddArgs),
    /// Change what holds for a project that is not in the configuration.
    Set(ProjectSetArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  taskloom project add shop --link ~/src/shop --weight 2\n  \
    taskloom project add site --clone https://example.org/site.git")]
pub(crate) struct ProjectAddArgs {
    /// Its name.
    pub(crate) id: ProjectId,
    /// Your clone of it.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) link: Option<PathBuf>,
    /// A repository that is made, with an empty commit, if it is not there.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) init: Option<PathBuf>,
    /// A remote repository; Taskloom keeps a clone of its own.
    #[arg(long, value_name = "URL")]
    pub(crate) clone: Option<String>,
    /// Where lanes start and end [default: as found there].
    #[arg(long, value_name = "BRANCH")]
    pub(crate) branch: Option<String>,
    #[command(flatten)]
    pub(crate) set: SettingsArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  taskloom project set shop --weight 3 --budget-tokens 5000000")]
pub(crate) struct ProjectSetArgs {
    /// Its name.
    pub(crate) id: ProjectId,
    #[command(flatten)]
    pub(crate) set: SettingsArgs,
}

/// What holds for a project.
#[derive(Debug, Args)]
pub(crate) struct SettingsArgs {
    /// Its share beside other projects that have work: 1 is the usual one.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) weight: Option<f64>,
    /// How many of its agents may run at once; 0: as many as of any project.
    #[arg(long, value_name = "N")]
    pub(crate) max_agents: Option<u32>,
    /// Tokens that it may use within 24 hours; 0: no limit.
    #[arg(long, value_name = "N")]
    pub(crate) budget_tokens: Option<u64>,
    /// US dollars that it may use within 24 hours; 0: no limit.
    #[arg(long, value_name = "N")]
    pub(crate) budget_usd: Option<f64>,
    /// The agent of tasks that name none.
    #[arg(long, value_name = "PROFILE")]
    pub(crate) agent: Option<ProfileName>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  taskloom usage --since 7d --by model\n  \
    taskloom usage --since 30d --chart usage.png")]
pub(crate) struct UsageArgs {
    /// How far back.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = humantime::parse_duration)]
    pub(crate) since: Duration,
    /// Of one project.
    #[arg(long, value_name = "PROJECT")]
    pub(crate) project: Option<ProjectId>,
    /// What it is added up by.
    #[arg(long, value_name = "WHAT", default_value = "project")]
    pub(crate) by: ByArg,
    /// Draw it into this file, PNG or SVG by its name, instead of printing it.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) chart: Option<PathBuf>,
    /// Draw it on a dark ground.
    #[arg(long, requires = "chart")]
    pub(crate) dark: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ByArg {
    Project,
    Profile,
    Model,
}
