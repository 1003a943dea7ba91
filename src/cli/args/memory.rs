//! What is asked about what tasks left behind, as people type it.

use clap::{Args, Subcommand};

use crate::ids::ProjectId;

/// What can be asked of memories.
#[derive(Debug, Subcommand)]
pub(crate) enum MemoryCommand {
    /// Find what has any of these words, the best first.
    Search(MemorySearchArgs),
    /// List what is remembered, the latest first.
    List {
        /// Of one project.
        #[arg(long, value_name = "PROJECT")]
        project: Option<ProjectId>,
        /// How many at most.
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u32,
    },
    /// Forget one: later tasks are not told of it.
    Forget {
        /// Its number, as `search` and `list` show it.
        id: i64,
        /// Only say what it would do.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  taskloom memory search refund ledger --project shop")]
pub(crate) struct MemorySearchArgs {
    /// The words.
    #[arg(required = true)]
    pub(crate) words: Vec<String>,
    /// In one project.
    #[arg(long, value_name = "PROJECT")]
    pub(crate) project: Option<ProjectId>,
    /// How many at most.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) limit: u32,
}
