//! What people type about hooks.

use clap::{Args, Subcommand};

use crate::ids::HookName;

#[derive(Debug, Subcommand)]
pub(crate) enum HookCommand {
    /// List hooks: what sets each off, how it stands, when it is due.
    List,
    /// Show one hook: its steps, and how often it was set off, held back and dropped.
    Show {
        /// Which.
        name: HookName,
    },
    /// Make a hook. It is kept in the store; hooks of the configuration are changed there.
    #[command(after_help = "The file is one entry of `hooks:` in the configuration:\n\n  \
        name: nightly\n  project: shop\n  on: {cron: \"0 3 * * *\", time_zone: Europe/Berlin}\n  \
        steps:\n    - {run_tests: cargo test, skip_if: exit_zero}\n    \
        - notify: \"{{step_1.failed}} tests fail on the default branch\"")]
    Add {
        /// The hook's file; `-` for standard input.
        file: String,
    },
    /// Change a hook of the store: the file takes the place of the hook of its name.
    Edit {
        /// The hook's file; `-` for standard input.
        file: String,
    },
    /// Remove a hook of the store. What it did is kept.
    Remove {
        /// Which.
        name: HookName,
    },
    /// Switch a hook on, also one of the configuration.
    Enable {
        /// Which.
        name: HookName,
    },
    /// Switch a hook off, also one of the configuration; what waits of it is dropped.
    Disable {
        /// Which.
        name: HookName,
    },
    /// Set a hook off by hand, whatever its cooldown.
    Fire(FireArgs),
    /// List what hooks did, do and are still to do, newest first.
    Runs {
        /// Of one hook [default: of all].
        name: Option<HookName>,
        /// How many.
        #[arg(long, value_name = "N", default_value_t = 20)]
        #[arg(value_parser = clap::value_parser!(u32).range(1..=200))]
        limit: u32,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  taskloom hook fire nightly --dry-run\n  \
    taskloom hook fire fix-failures --set task=refund --set run=payments/3")]
pub(crate) struct FireArgs {
    /// Which.
    pub(crate) name: HookName,
    /// What its steps find as `{{event.KEY}}`.
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = pair)]
    pub(crate) set: Vec<(String, String)>,
    /// If it is at work, wait behind that.
    #[arg(long)]
    pub(crate) queue: bool,
    /// Say what each step would do, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE, as task=refund")?;
    Ok((key.to_owned(), value.to_owned()))
}
