//! What an attempt and its gates wrote, as files in the order in which they were begun.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

/// The logs of an attempt in the order in which they were begun: turn 0, gate 1, turn 1, gate 2 …
/// `dirs` are the attempt's directory and that of its records.
pub fn log_files(dirs: [&Path; 2]) -> Vec<PathBuf> {
    let entries = dirs.into_iter().filter_map(|dir| std::fs::read_dir(dir).ok()).flatten();
    let mut files: Vec<(u32, u32, PathBuf)> = entries
        .flatten()
        // An agent can put a pipe in the place of its log, and reading that would never end.
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let stem = name.strip_suffix(".log")?;
            let (kind, number) = stem.split_once('-')?;
            let number: u32 = number.split('.').next()?.parse().ok()?;
            match kind {
                "agent" => Some((number, 0, entry.path())),
                "gate" => Some((number.checked_sub(1)?, 1, entry.path())),
                _ => None,
            }
        })
        .collect();
    files.sort();
    files.into_iter().map(|(.., path)| path).collect()
}

/// All of them in one, each under its name; of what is longer than `most` bytes the beginning and
/// the end, with a line that says what is left out.
pub fn transcript(dirs: [&Path; 2], most: usize) -> std::io::Result<Vec<u8>> {
    let files = log_files(dirs);
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
