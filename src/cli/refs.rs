//! What the commands that look work with, and how they print.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::app;
use crate::cli::Outcome;
use crate::cli::args::Common;
use crate::cli::out::{self, errln, outln};
use crate::config::Config;
use crate::control;
use crate::control::names::{Named, part_of, run_of};
use crate::failure::Failure;
use crate::orchestrator::{self, Options, Role, RunView, Scope};
use crate::state::{RunRecord, RunState};
use crate::store::{OwnerLock, SqliteStore, Store as _};
use crate::time::{Clock as _, SystemClock};

/// How long a look waits for the process at work.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a reader works with.
pub(crate) struct Reading {
    pub(crate) config: Config,
    pub(crate) store: SqliteStore,
    /// The process at work did not answer: it is asked no more, however many runs are looked at.
    silent: AtomicBool,
}

impl Reading {
    pub(crate) async fn open(common: &Common) -> anyhow::Result<Self> {
        let config = crate::cli::config(common)?;
        let store = app::reader(&config).await?;
        Ok(Self { config, store, silent: AtomicBool::new(false) })
    }

    /// Whether some process works on the runs.
    pub(crate) fn driven(&self) -> bool {
        OwnerLock::holder(&self.config.data_dir).is_some()
    }

    /// Whether runs of more than one project are known.
    pub(crate) async fn several(&self) -> anyhow::Result<bool> {
        Ok(self.store.projects().await?.len() > 1)
    }

    /// A run with everything derived. What keeps its tasks waiting is known best by the process
    /// that works on it: who holds the slots, for example.
    pub(crate) async fn view(&self, run: &RunRecord) -> anyhow::Result<RunView> {
        let options: Options = app::engine_options(&self.config, Scope::New, Role::Errand);
        let (now, driven) = (SystemClock.now(), self.driven());
        let view = orchestrator::look(&self.store, run.id, &options, now, driven).await?;
        let view = view.ok_or_else(|| Failure::outside(format!("run `{}` is gone", run.name)))?;
        if !driven || run.state != RunState::Open || self.silent.load(Ordering::Relaxed) {
            return Ok(view);
        }
        let asked = control::why(&self.config.data_dir, run.id);
        Ok(match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(Some(reasons))) => view.because(reasons),
            // It begins or ends, or does not know the run.
            Ok(Ok(None) | Err(control::Error::Nobody)) => view,
            Ok(Err(_)) | Err(_) => {
                self.silent.store(true, Ordering::Relaxed);
                errln!("warning: the process at work does not answer; this is what is stored");
                view
            }
        })
    }

    /// The run that `text` names; the latest without a name.
    pub(crate) async fn run(&self, text: Option<&str>) -> anyhow::Result<RunRecord> {
        Ok(run_of(&self.store, text).await?)
    }

    /// The run and the task or lane that `text` names.
    pub(crate) async fn part(&self, text: &str) -> anyhow::Result<Named> {
        Ok(part_of(&self.store, text).await?)
    }
}

/// An argument as a shell takes it.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@,+%".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Prints JSON, or text by `plain`.
pub(crate) fn print(
    common: &Common,
    json: &serde_json::Value,
    plain: impl FnOnce() -> String,
) -> Outcome {
    if common.json {
        outln!("{json:#}");
    } else {
        out::text(plain());
    }
    Ok(0)
}
