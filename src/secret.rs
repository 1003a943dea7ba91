//! What must not be seen: keys and tokens, and where they are kept.

use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// A key or token. Nothing shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Where a secret is. It is read once, and shown nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In a variable of the process.
    Env(String),
    /// In a file that only its owner can read.
    File(PathBuf),
}

impl SecretSource {
    /// Reads it. `what` names it for people, as “the bot's token”; `option` is where the
    /// configuration says so, as `discord.token`.
    pub fn read(&self, what: &str, option: &str) -> Result<Secret, Failure> {
        let text = match self {
            Self::Env(variable) => std::env::var(variable).map_err(|_| {
                Failure::config(format!("{what} is not in the variable {variable}"))
                    .hint(format!("set it, or name a file: `{option}_file`"))
            })?,
            Self::File(path) => read_private(path).map_err(|failure| Failure {
                message: format!("{what}: {}", failure.message),
                ..failure
            })?,
        };
        match text.trim() {
            "" => Err(Failure::config(format!("{what} is empty"))),
            text => Ok(Secret(text.to_owned())),
        }
    }
}

/// Reads a file that nobody else may read.
pub fn read_private(path: &Path) -> Result<String, Failure> {
    let cannot = |why| Failure::config(format!("cannot read {}: {why}", path.display()));
    let mode = std::fs::metadata(path).map_err(cannot)?.mode();
    if mode & 0o077 != 0 {
        return Err(Failure::config(format!("{} can be read by others", path.display()))
            .hint(format!("chmod 600 {}", path.display())));
    }
    std::fs::read_to_string(path).map_err(cannot)
}
