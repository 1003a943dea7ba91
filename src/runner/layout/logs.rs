//! What an attempt and its gates wrote, as files in the order in which they were begun.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

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
            let name = entry.file_name().to_string_lossy().into_owned();
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
    files.sort();
    let said: Vec<u32> =
        files.iter().filter(|file| file.1 == Kind::Said).map(|file| file.0).collect();
    files.retain(|(turn, kind, _)| match kind {
        Kind::Said => !raw,
        Kind::Wire | Kind::Errors => raw || !said.contains(turn),
        Kind::Gate => true,
    });
    files.into_iter().map(|(.., path)| path).collect()
}

/// All of them in one, each under its name; of what is longer than `most` bytes the beginning and
/// the end, with a line that says what is left out.
pub fn transcript(dirs: [&Path; 2], most: usize) -> std::io::Result<Vec<u8>> {
    let files = log_files(dirs, false);
    let each = most / files.len().max(1);
    let mut all = Vec::new();
    for path in files {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        all.extend_from_slice(format!("── {name}\n").as_bytes());
        read_ends(&path, each, &mut all)?;
        if !all.ends_with(b"\n") {
            all.push(b'\n');
        }
    }
    Ok(all)
}

fn read_ends(path: &Path, most: usize, into: &mut Vec<u8>) -> std::io::Result<()> {
    let mut file = File::open(path)?;
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
    into.extend_from_slice(format!("\n… {left_out} bytes are left out here …\n").as_bytes());
    file.seek(SeekFrom::Start(size - tail))?;
    file.take(tail).read_to_end(into)?;
    Ok(())
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
}
