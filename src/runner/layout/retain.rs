//! How long logs are kept: those of runs at rest are compressed, and after a time deleted. Results,
//! summaries and records stay for ever, and so does everything of open runs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::ids::{ProjectId, RunName};
use crate::runner::files;
use crate::runner::layout::press::{logs_in, press};
use crate::time::Timestamp;

/// What is noted in a run's directory once its logs are looked after.
const NOTE: &str = "logs.json";

/// What was done with the logs of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// When the run had come to rest: if that was at another time, the note is out of date.
    rests_since: Timestamp,
    deleted: bool,
}

/// Logs that may be deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldLogs {
    /// The project.
    pub project: ProjectId,
    /// The run.
    pub run: RunName,
    /// The run's directory.
    pub dir: PathBuf,
    /// How much they take up.
    pub bytes: u64,
    rests_since: Timestamp,
}

/// Compresses the logs of a run at rest, once.
pub fn tidy(run_dir: &Path, rests_since: Timestamp) -> io::Result<()> {
    if !run_dir.is_dir() || note(run_dir).is_some_and(|note| note.rests_since == rests_since) {
        return Ok(());
    }
    for dir in log_dirs(run_dir) {
        press(&dir)?;
    }
    files::write_json(&run_dir.join(NOTE), &Note { rests_since, deleted: false })
}

/// The logs of a run at rest, if there are any; whoever calls knows that they are old.
pub fn old_logs(
    run_dir: PathBuf,
    (project, run): (ProjectId, RunName),
    rests_since: Timestamp,
) -> io::Result<Option<OldLogs>> {
    let done = note(&run_dir).is_some_and(|note| note.rests_since == rests_since && note.deleted);
    if done || !run_dir.is_dir() {
        return Ok(None);
    }
    let mut bytes = 0;
    for dir in log_dirs(&run_dir) {
        for log in logs_in(&dir)? {
            bytes += fs::symlink_metadata(log)?.len();
        }
    }
    Ok(Some(OldLogs { project, run, dir: run_dir, bytes, rests_since }))
}

/// Deletes them.
pub fn delete_old(old: &OldLogs) -> io::Result<()> {
    for dir in log_dirs(&old.dir) {
        for log in logs_in(&dir)? {
            // What was written since belongs to a run that goes on.
            let written = fs::symlink_metadata(&log)?.modified()?;
            let written = written.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            if written.as_millis() <= u128::from(old.rests_since.0.unsigned_abs()) {
                fs::remove_file(&log)?;
            }
        }
    }
    let note = Note { rests_since: old.rests_since, deleted: true };
    files::write_json(&old.dir.join(NOTE), &note)
}

/// Whether the logs of a run were deleted.
pub fn are_deleted(run_dir: &Path) -> bool {
    note(run_dir).is_some_and(|note| note.deleted)
}

fn note(run_dir: &Path) -> Option<Note> {
    files::read_json(&run_dir.join(NOTE)).ok()?
}

/// The directories of a run that hold logs: of attempts, of what is recorded of them, of lanes.
/// Links are not followed.
fn log_dirs(run_dir: &Path) -> Vec<PathBuf> {
    let mut dirs = dirs_in(&run_dir.join("lanes"));
    for task in dirs_in(&run_dir.join("tasks")) {
        for kind in ["attempts", "records"] {
            if is_dir(&task.join(kind)) {
                dirs.extend(dirs_in(&task.join(kind)));
            }
        }
    }
    dirs
}

fn is_dir(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|about| about.is_dir())
}

fn dirs_in(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let dirs = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    dirs.map(|entry| entry.path()).collect()
}
