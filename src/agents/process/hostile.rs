//! Reading what a program may have written: it can put anything in the place of a file, and
//! nothing of that may block the reader, fill its memory or show it a file that is not ours.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;

/// A file that cannot be what it stands for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a valid file: {why}", .file.display())]
pub struct InvalidSignal {
    /// Which file.
    pub file: PathBuf,
    /// What is wrong with it, for the one who wrote it.
    pub why: String,
}

impl InvalidSignal {
    /// Says what is wrong with `file`.
    pub fn new(file: &Path, why: impl Into<String>) -> Self {
        Self { file: file.to_owned(), why: why.into() }
    }
}

/// The content of the file, at most `cap` bytes; `None` if there is no such file.
pub fn read(path: &Path, cap: u64) -> Result<Option<Vec<u8>>, InvalidSignal> {
    let Some(file) = open(path)? else { return Ok(None) };
    let mut content = Vec::new();
    // One byte more than allowed tells a file that is too long from one that just fits, also
    // when it grows while it is read.
    file.take(cap + 1)
        .read_to_end(&mut content)
        .map_err(|e| InvalidSignal::new(path, e.to_string()))?;
    if content.len() as u64 > cap {
        return Err(InvalidSignal::new(path, format!("it is longer than {cap} bytes")));
    }
    Ok(Some(content))
}

/// Opens a regular file of ours that has one name; `None` if there is no such file.
pub fn open(path: &Path) -> Result<Option<File>, InvalidSignal> {
    let invalid = |why: &str| InvalidSignal::new(path, why);
    // Looking first keeps a device from being opened at all: opening one can have effects.
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(invalid(&e.to_string())),
        Ok(seen) => judge(&seen).map_err(invalid)?,
    }
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)
        .map_err(|e| invalid(&e.to_string()))?;
    let opened = file.metadata().map_err(|e| invalid(&e.to_string()))?;
    judge(&opened).map_err(invalid)?;
    Ok(Some(file))
}

fn judge(found: &fs::Metadata) -> Result<(), &'static str> {
    let kind = found.file_type();
    if kind.is_symlink() {
        Err("it is a symbolic link")
    } else if kind.is_dir() {
        Err("it is a directory")
    } else if kind.is_fifo() {
        Err("it is a FIFO")
    } else if !kind.is_file() {
        Err("it is a device or a socket")
    } else if found.nlink() != 1 {
        Err("it has more than one name (a hard link)")
    } else if found.uid() != nix::unistd::geteuid().as_raw() {
        Err("it belongs to another user")
    } else {
        Ok(())
    }
}
