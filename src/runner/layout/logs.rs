//! What an attempt and its gates wrote, as files in the order in which they were begun, compressed
//! or not.

use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use crate::agents::process::hostile;

/// What the name of a compressed log ends with.
pub(super) const COMPRESSED: &str = ".zst";

/// How much of a compressed log is held at once on the way to its end, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;

/// What a log is of; in one number, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// What an agent said, for people.
    Said,
    /// What an agent's program wrote: all of it, in whatever language it speaks.
    Wire,
    /// What it complained of beside that.
    Errors,
    Gate,
}

/// The logs of an attempt in the order in which they were begun: turn 0, gate 1, turn 1, gate 2 …
/// `dirs` are the attempt's directory and that of its records. What a program wrote in a language
/// of its own is left out where there is what it means, unless it is asked for (`raw`).
pub fn log_files(dirs: [&Path; 2], raw: bool) -> Vec<PathBuf> {
    let entries = dirs.into_iter().filter_map(|dir| std::fs::read_dir(dir).ok()).flatten();
    let mut files: Vec<(u32, Kind, PathBuf)> = entries
        .flatten()
        // An agent can put a pipe in the place of its log, and reading that would never end.
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .filter_map(|entry| {
            let name = log_name(&entry.path());
            let (kind, number) = name.strip_suffix(".log")?.split_once('-')?;
            let (number, more) = number.split_once('.').unwrap_or((number, ""));
            let number: u32 = number.parse().ok()?;
            match (kind, more) {
                ("said", "") => Some((number, Kind::Said, entry.path())),
                ("agent", "") => Some((number, Kind::Wire, entry.path())),
                ("agent", "stderr") if entry.metadata().is_ok_and(|it| it.len() > 0) => {
                    Some((number, Kind::Errors, entry.path()))
                }
                ("gate", "") => Some((number.checked_sub(1)?, Kind::Gate, entry.path())),
                _ => None,
            }
        })
        .collect();
    // Where a log is there twice, a crash came between compressing it and taking it away.
    files.sort();
    files.dedup_by_key(|(turn, kind, path)| (*turn, *kind, log_name(path)));
    let said: Vec<u32> =
        files.iter().filter(|file| file.1 == Kind::Said).map(|file| file.0).collect();
    files.retain(|(turn, kind, _)| match kind {
        Kind::Said => !raw,
        Kind::Wire | Kind::Errors => raw || !said.contains(turn),
        Kind::Gate => true,
    });
    files.into_iter().map(|(.., path)| path).collect()
}

/// What a log is called, whether it is compressed or not.
pub fn log_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.strip_suffix(COMPRESSED).unwrap_or(&name).to_owned()
}

/// Reads a log as it was written, from its byte `from` on, also if it comes to be compressed at
/// this moment.
pub fn open_log(path: &Path, from: u64) -> io::Result<Box<dyn Read + Send>> {
    let compressed = path.with_file_name(log_name(path) + COMPRESSED);
    if path != compressed
        && let Some(mut file) = hostile::open(path).map_err(io::Error::other)?
    {
        file.seek(SeekFrom::Start(from))?;
        return Ok(Box::new(file));
    }
    match hostile::open(&compressed).map_err(io::Error::other)? {
        Some(file) => {
            let mut log = zstd::stream::read::Decoder::new(file)?;
            io::copy(&mut log.by_ref().take(from), &mut io::sink())?;
            Ok(Box::new(log))
        }
        None => Err(io::ErrorKind::NotFound.into()),
    }
}

/// All of them in one, each under its name; of what is longer than `most` bytes the beginning and
/// the end, with a line that says what is left out.
pub fn transcript(dirs: [&Path; 2], most: usize) -> std::io::Result<Vec<u8>> {
    let files = log_files(dirs, false);
    let each = most / files.len().max(1);
    let mut all = Vec::new();
    for path in files {
        let name = log_name(&path);
        all.extend_from_slice(format!("── {name}\n").as_bytes());
        read_ends(&path, each, &mut all)?;
        if !all.ends_with(b"\n") {
            all.push(b'\n');
        }
    }
    Ok(all)
}

fn read_ends(path: &Path, most: usize, into: &mut Vec<u8>) -> io::Result<()> {
    let plain = hostile::open(path).map_err(io::Error::other)?;
    let plain = plain.filter(|_| !path.to_string_lossy().ends_with(COMPRESSED));
    let Some(mut file) = plain else { return stream_ends(&mut open_log(path, 0)?, most, into) };
    let size = file.metadata()?.len();
    let most = most as u64;
    if size <= most {
        file.take(most).read_to_end(into)?;
        return Ok(());
    }
    // People look at the end first.
    let head = most * 4 / 9;
    let tail = most - head;
    file.by_ref().take(head).read_to_end(into)?;
    let left_out = size - head - tail;
    into.extend_from_slice(gap(left_out).as_bytes());
    file.seek(SeekFrom::Start(size - tail))?;
    file.take(tail).read_to_end(into)?;
    Ok(())
}

/// The same of something whose size is known only at its end.
fn stream_ends(from: &mut dyn Read, most: usize, into: &mut Vec<u8>) -> io::Result<()> {
    let mut first = Vec::new();
    from.take(most as u64).read_to_end(&mut first)?;
    let head = most * 4 / 9;
    let tail = most - head;
    let mut rest = first.split_off(head.min(first.len()));
    let mut passed = 0;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = from.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        rest.extend_from_slice(&chunk[..read]);
        let over = rest.len().saturating_sub(tail);
        passed += over as u64;
        rest.drain(..over);
    }
    into.extend_from_slice(&first);
    if passed > 0 {
        into.extend_from_slice(gap(passed).as_bytes());
    }
    into.extend_from_slice(&rest);
    Ok(())
}

fn gap(left_out: u64) -> String {
    format!("\n… {left_out} bytes are left out here …\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_what_it_means_the_language_of_a_program_is_left_out() {
        let (dir, records) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for name in ["agent-0.log", "agent-0.stderr.log", "agent-1.log"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        for name in ["said-0.log", "gate-1.log", "gate-x.log", "said-0.md"] {
            std::fs::write(records.path().join(name), "x").unwrap();
        }
        let names = |raw| {
            let files = log_files([dir.path(), records.path()], raw);
            let name = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
            files.iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(names(false), ["said-0.log", "gate-1.log", "agent-1.log"]);
        assert_eq!(names(true), ["agent-0.log", "gate-1.log", "agent-1.log"]);
    }

    #[test]
    fn of_a_long_log_the_ends_are_shown() {
        let (dir, records) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        std::fs::write(dir.path().join("agent-0.log"), "begin ".repeat(1_000) + "the end").unwrap();
        std::fs::write(records.path().join("gate-1.log"), "passed").unwrap();
        let all = transcript([dir.path(), records.path()], 900).unwrap();
        let all = String::from_utf8(all).unwrap();
        assert!(all.starts_with("── agent-0.log\nbegin begin"), "{all}");
        assert!(all.contains("bytes are left out here"), "{all}");
        assert!(all.ends_with("the end\n── gate-1.log\npassed\n"), "{all}");
        assert!(all.len() < 1_100, "{}", all.len());
    }

    #[test]
    fn a_compressed_log_reads_as_it_was_written() {
        let (dir, records) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let long: String = (0..50_000).map(|n| format!("line {n}\n")).collect();
        std::fs::write(dir.path().join("agent-0.log"), &long).unwrap();
        std::fs::write(records.path().join("gate-1.log"), "passed").unwrap();
        let dirs = [dir.path(), records.path()];
        let shown = |most| transcript(dirs, most).unwrap();
        let before = (shown(900), shown(1 << 20));
        crate::runner::layout::press::press(dir.path()).unwrap();
        assert!(!dir.path().join("agent-0.log").exists());
        assert_eq!((shown(900), shown(1 << 20)), before);
        let mut text = String::new();
        open_log(&dir.path().join("agent-0.log"), 0).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, long, "whoever knew it by its old name finds it");
        // As after a crash between compressing and taking away: it is there once.
        std::fs::write(dir.path().join("agent-0.log"), &long).unwrap();
        assert_eq!(shown(900), before.0);
        assert_eq!(log_files(dirs, false).len(), 2);
    }
}
