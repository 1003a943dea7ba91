//! What all turns of an attempt have in common, whatever runs them: the names of their records,
//! the environment that names the attempt, and what was left in `status.json`.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::agents::process::hostile::InvalidSignal;
use crate::agents::process::{self, Cause, End, Environment, Exit, Input, LaunchSpec};
use crate::agents::signals::{DIR_VARIABLE, STATUS_FILE, Signal, read_status};
use crate::agents::{Error, RunSpec, TurnOutcome};
use crate::sandbox;

/// What the names of a turn's records begin with.
pub(super) fn stem(turn: u32) -> String {
    format!("agent-{turn}")
}

/// A launch of `program` for the turn of `spec`, inside its walls.
pub(super) fn launch(
    spec: &RunSpec,
    program: Vec<String>,
    input: Input,
) -> Result<LaunchSpec, Error> {
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let mut environment = spec
        .environment
        .clone()
        .with("TASKLOOM_TASK", spec.task.as_str())
        .with("TASKLOOM_RUN", spec.run.to_string())
        .with("TASKLOOM_ATTEMPT", spec.attempt.to_string())
        .with("TASKLOOM_TURN", spec.turn.to_string())
        .with("TASKLOOM_INSTRUCTIONS", path(&spec.instructions))
        .with(DIR_VARIABLE, path(&spec.dir));
    if let Some(inputs) = &spec.inputs {
        environment = environment.with("TASKLOOM_INPUTS", path(inputs));
    }
    let mut launch = LaunchSpec::new(&spec.dir, &stem(spec.turn), &[], &spec.worktree);
    let mut request = spec.sandbox.clone();
    request
        .programs
        .extend(program.first().map(|name| home_of(name, &environment)).unwrap_or_default());
    let variables = environment.names();
    let walled = sandbox::wrap(program, variables, &request)?;
    (launch.program, launch.afterwards) = (walled.program, walled.afterwards);
    launch.environment = environment;
    launch.input = input;
    launch.agent_socket = spec.answer.is_none();
    launch.deadline = spec.deadline;
    launch.grace = spec.grace;
    launch.limits = spec.limits;
    Ok(launch)
}

/// Where a program lives: its directory, or the modules that it was installed among.
pub(super) fn home_of(name: &str, environment: &Environment) -> Vec<PathBuf> {
    let path = environment.get("PATH").unwrap_or_default();
    let found = which::which_in(name, Some(path), "/").ok().and_then(|at| at.canonicalize().ok());
    let Some(found) = found else { return Vec::new() };
    let modules = found.ancestors().filter(|dir| dir.ends_with("node_modules")).last();
    modules.or(found.parent()).map(Path::to_owned).into_iter().collect()
}

/// Where the feedback of this turn is written for the agent.
pub(super) fn feedback_file(spec: &RunSpec, feedback: &str) -> Result<PathBuf, process::Error> {
    let file = spec.dir.join(format!("feedback-{}.md", spec.turn));
    write_whole(&file, feedback)?;
    Ok(file)
}

/// Puts a file where the agent may have put something else: that is replaced, not written through.
pub(super) fn write_whole(path: &Path, text: &str) -> Result<(), process::Error> {
    let failed = |source| process::Error::Io { doing: "write", path: path.to_owned(), source };
    let dir = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    Ok(())
}

/// What was left in `status.json`, as if it had been said on the socket last. The file is put away
/// under the turn's name, so that the next turn does not find it.
pub(super) fn left_behind(spec: &RunSpec) -> Result<Vec<Signal>, InvalidSignal> {
    let left = spec.dir.join(STATUS_FILE);
    let kept = spec.dir.join(format!("{}.{STATUS_FILE}", stem(spec.turn)));
    match fs::rename(&left, &kept) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            return Err(InvalidSignal::new(&left, e.to_string()));
        }
        Err(_) | Ok(()) => {}
    }
    let signals = read_status(&kept)?;
    signals.into_iter().map(|signal| shown(spec, &kept, &signal)).collect()
}

/// A signal without secrets, as the shim takes them out of those that come on the socket.
fn shown(spec: &RunSpec, kept: &Path, signal: &Signal) -> Result<Signal, InvalidSignal> {
    let text = serde_json::to_string(signal).expect("BUG: a signal is plain data");
    let text = process::without_secrets(&spec.environment, &text);
    // It may be longer than it was: the replacement is.
    serde_json::from_str(&text).map_err(|error| InvalidSignal::new(kept, error.to_string()))
}

/// What the end of a process means for its turn, when nothing else does; `zero` is what an exit
/// code of 0 means.
pub(super) fn outcome(
    exit: Option<&Exit>,
    trouble: Option<&process::Error>,
    zero: TurnOutcome,
) -> TurnOutcome {
    match (exit, trouble) {
        (_, Some(process::Error::InvalidSignal(invalid))) => {
            TurnOutcome::InvalidSignal { why: invalid.to_string() }
        }
        (None, Some(trouble)) => TurnOutcome::Lost { why: trouble.to_string() },
        (None, None) => TurnOutcome::Lost { why: "its records are gone".to_owned() },
        (Some(exit), _) => match (&exit.end, exit.cause) {
            (End::CannotStart(why), _) => TurnOutcome::CannotStart { why: why.clone() },
            (_, Cause::Stopped) => TurnOutcome::Stopped,
            (_, Cause::Deadline) => TurnOutcome::TimedOut,
            (_, Cause::Shutdown) => {
                TurnOutcome::Lost { why: "the machine or the service went down".to_owned() }
            }
            (End::Code(0), Cause::Itself) => zero,
            (End::Code(code), Cause::Itself) => {
                TurnOutcome::Failed { why: format!("the command exited with code {code}") }
            }
            (End::Signal(number), Cause::Itself) => {
                TurnOutcome::Failed { why: format!("the command was ended by signal {number}") }
            }
        },
    }
}
