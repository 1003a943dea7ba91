//! Gates and checks: a command of the graph on a clean checkout of an exact commit, supervised
//! like an agent, and found again after a restart.

use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use crate::agents::process::{
    self, Adopted, Cause, Cursor, End, Exit, LaunchSpec, ProcessEvent, Supervised, hostile,
    log_path,
};
use crate::git::{self, Checkout, Checkouts, Discard, Order};
use crate::runner::job::StepFailure;
use crate::runner::project::{told, trouble};
use crate::runner::shop::Inner;
use crate::state::FailureClass;

/// How much of a command's output is read back: what fails is usually said last.
const OUTPUT_BYTES_MAX: u64 = 64 * 1024;

/// How often a command that is lost (a reboot, a kill from outside) is begun again.
pub(crate) const LOST_MAX: u32 = 3;

/// What a command came to.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It exited with 0.
    Passed {
        /// How long it took.
        took_ms: u64,
    },
    /// It did not.
    Failed {
        /// In few words.
        how: String,
        /// The end of what it wrote.
        output: String,
    },
}

/// Runs a command, or goes on with it if it was begun before.
pub(crate) async fn run(
    shop: &Inner,
    spec: LaunchSpec,
    mut on_output: impl FnMut(&[u8]) + Send,
) -> Result<Verdict, StepFailure> {
    for again in 0..=LOST_MAX {
        let mut spec = spec.clone();
        if again > 0 {
            spec.stem = format!("{}.{again}", spec.stem);
        }
        let adopted = process::adopt(&spec.dir, &spec.stem, Cursor::default()).await;
        let mut supervised = match adopted.map_err(|error| process_trouble(&error))? {
            Adopted::Running(found) | Adopted::Finished(found) => found,
            Adopted::Lost(_) => continue,
            Adopted::Never => {
                let launched = shop.launcher.launch(&spec).await;
                launched.map_err(|error| process_trouble(&error))?
            }
        };
        match follow(&mut supervised, &mut on_output).await {
            Ok(Some(exit)) => return verdict(&spec, &exit),
            Ok(None) | Err(process::Error::Lost { .. }) => {}
            Err(error) => return Err(process_trouble(&error)),
        }
    }
    let message = format!("`{}` was lost {} times", spec.stem, LOST_MAX + 1);
    Err(StepFailure::new(FailureClass::Transient, message))
}

async fn follow(
    supervised: &mut Supervised,
    on_output: &mut (impl FnMut(&[u8]) + Send),
) -> Result<Option<Exit>, process::Error> {
    let mut exit = None;
    while let Some(event) = supervised.next().await? {
        match event {
            ProcessEvent::Output(bytes) => on_output(&bytes),
            ProcessEvent::Signal(_) => {}
            ProcessEvent::Exited(how) => exit = Some(how),
        }
    }
    Ok(exit)
}

fn verdict(spec: &LaunchSpec, exit: &Exit) -> Result<Verdict, StepFailure> {
    let took_ms = exit.ended_at.since(exit.started_at).as_millis();
    let how = match (&exit.end, exit.cause) {
        (End::Code(0), Cause::Itself) => {
            return Ok(Verdict::Passed { took_ms: u64::try_from(took_ms).unwrap_or(u64::MAX) });
        }
        (End::CannotStart(why), _) => {
            return Err(StepFailure::new(FailureClass::CannotStart, why.clone()));
        }
        (_, Cause::Stopped | Cause::Shutdown) => {
            let message = format!("`{}` was stopped from outside", spec.stem);
            return Err(StepFailure::new(FailureClass::Transient, message));
        }
        (_, Cause::Deadline) => {
            let limit = spec.deadline.unwrap_or_default();
            format!("no end within {}", humantime::format_duration(limit))
        }
        (End::Code(code), Cause::Itself) => format!("exit code {code}"),
        (End::Signal(number), Cause::Itself) => format!("ended by signal {number}"),
    };
    let output = tail(&log_path(&spec.dir, &spec.stem)).unwrap_or_default();
    Ok(Verdict::Failed { how, output })
}

/// The end of a log; nothing where there is none, or something else.
pub(crate) fn tail(path: &Path) -> io::Result<String> {
    let Ok(Some(mut file)) = hostile::open(path) else { return Ok(String::new()) };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(OUTPUT_BYTES_MAX)))?;
    let mut bytes = Vec::new();
    file.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A clean checkout of an exact commit. What lies there from before is worth nothing.
pub(crate) async fn clean_checkout(
    checkouts: &Checkouts,
    order: &Order<'_>,
) -> Result<Checkout, StepFailure> {
    if let Some(old) = checkouts.lookup(order.place) {
        checkouts.release(&old, Discard::Anyway).await.map_err(|error| trouble(&error))?;
    }
    match checkouts.prepare(order).await {
        Err(error @ git::Error::Occupied { .. }) => {
            Err(StepFailure::new(FailureClass::CannotStart, told(&error)))
        }
        other => other.map_err(|error| trouble(&error)),
    }
}

/// What an error of a supervised process means for the step that met it.
pub(crate) fn process_trouble(error: &process::Error) -> StepFailure {
    use process::Error as E;
    let class = match error {
        E::Lost { .. } => FailureClass::Lost,
        // Whoever writes a launch record before us is no engine.
        E::InvalidSignal(_) | E::AlreadyLaunched { .. } => FailureClass::InvalidSignal,
        E::NotLaunched { .. } | E::Io { .. } => FailureClass::Transient,
        E::Refused(_) | E::Ended => FailureClass::Internal,
    };
    StepFailure::new(class, told(error))
}
