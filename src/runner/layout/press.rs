//! Logs of attempts that are over, made small.
//!
//! A crash leaves a log whole, or compressed, or both; doing it again makes it right. What lies in
//! an attempt's directory may have been put there by the agent: only plain files of ours are read,
//! and a compressed log that is there already is not believed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::agents::process::hostile;
use crate::crash;
use crate::runner::files;
use crate::runner::layout::logs::{COMPRESSED, log_name};

/// Smaller logs are left as they are: they take up a few blocks at most, and people may like to
/// read them with other tools.
const WORTH_BYTES_MIN: u64 = 64 * 1024;

/// A tenth of the size for text at hundreds of megabytes in a second; higher levels win little.
const LEVEL: i32 = 3;

/// What a compressed log is called until it is whole.
const PARTIAL: &str = ".pressing-";

/// Whether a file of an attempt is a log: everything else is a result or a record.
pub(super) fn is_log(path: &Path) -> bool {
    let name = log_name(path);
    name.ends_with(".log") || name == "transcript.jsonl"
}

/// The logs in a directory: plain files, whatever else bears such a name.
pub(super) fn logs_in(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut logs = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_file() && is_log(&entry.path()) {
            logs.push(entry.path());
        }
    }
    Ok(logs)
}

/// Compresses the large logs in a directory.
pub(crate) fn press(dir: &Path) -> io::Result<()> {
    files::remove_all(dir, |name| name.starts_with(PARTIAL))?;
    for log in logs_in(dir)? {
        if !log.to_string_lossy().ends_with(COMPRESSED) {
            press_one(dir, &log)?;
        }
    }
    Ok(())
}

fn press_one(dir: &Path, log: &Path) -> io::Result<()> {
    let opened = hostile::open(log).map_err(io::Error::other)?;
    let Some(mut file) = opened else { return Ok(()) };
    let about = file.metadata()?;
    if about.len() < WORTH_BYTES_MIN {
        return Ok(());
    }
    let partial = tempfile::Builder::new().prefix(PARTIAL).tempfile_in(dir)?;
    let mut encoder = zstd::stream::write::Encoder::new(partial, LEVEL)?;
    encoder.include_checksum(true)?;
    io::copy(&mut file, &mut encoder)?;
    let partial = encoder.finish()?;
    // Its age is what decides when it is deleted.
    partial.as_file().set_modified(about.modified()?)?;
    partial.as_file().sync_all()?;
    let whole = dir.join(log_name(log) + COMPRESSED);
    partial.persist(whole).map_err(|error| error.error)?;
    File::open(dir)?.sync_all()?;
    crash::point("log.pressed");
    fs::remove_file(log)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_large_logs_are_touched_and_nothing_that_an_agent_put_in_their_place() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| dir.path().join(name);
        let large = vec![b'x'; 1 << 20];
        let secret = other.path().join("secret.log");
        fs::write(&secret, &large).unwrap();
        fs::write(at("small.log"), "small").unwrap();
        fs::write(at("summary.md"), &large).unwrap();
        fs::write(at("agent-0.log"), &large).unwrap();
        fs::write(at("agent-0.log.zst"), "what an agent would have people read").unwrap();
        fs::write(at(".pressing-abc"), "half").unwrap();
        symlink(&secret, at("agent-1.log")).unwrap();
        press(dir.path()).unwrap();
        press(dir.path()).unwrap();
        let mut names: Vec<_> = fs::read_dir(dir.path()).unwrap().collect::<Vec<_>>();
        names.sort_by_key(|entry| entry.as_ref().unwrap().file_name());
        let names: Vec<_> = names.iter().map(|e| e.as_ref().unwrap().file_name()).collect();
        assert_eq!(names, ["agent-0.log.zst", "agent-1.log", "small.log", "summary.md"]);
        assert_eq!(zstd::decode_all(File::open(at("agent-0.log.zst")).unwrap()).unwrap(), large);
        assert_eq!(fs::read(&secret).unwrap(), large);
    }
}
