//! One owner per data directory: a lock that the kernel drops when its holder dies.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::store::Error;
use crate::time::Timestamp;

/// Who owns a data directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// What it does, as a person would name it: `taskloom run payments`.
    pub what: String,
    /// Since when.
    pub since: Timestamp,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` (pid {}, since {})", self.what, self.pid, self.since.local_minute())
    }
}

impl Holder {
    fn is_gone(&self) -> bool {
        self.pid != 0 && !Path::new(&format!("/proc/{}", self.pid)).exists()
    }
}

/// How often, and how long apart, is looked whether what a dead owner left behind lets go.
const LOOKS: u32 = 300;
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The right to change a data directory, for as long as it lives.
#[derive(Debug)]
pub struct OwnerLock {
    _file: File,
}

impl OwnerLock {
    /// Takes the lock, or says who has it.
    ///
    /// An owner that was killed while it started a program leaves a child that holds the lock
    /// until it has become that program: this waits for it, for up to three seconds.
    pub fn take(data_dir: &Path, holder: &Holder) -> Result<Self, Error> {
        let path = data_dir.join("owner.lock");
        let fail = |source| Error::File { path: path.display().to_string(), source };
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(fail)?;
        let mut looks = 0;
        while let Err(error) = file.try_lock() {
            match (error, file.try_lock_shared()) {
                (TryLockError::Error(source), _) => return Err(fail(source)),
                // Whoever only looks who owns it holds it for a moment.
                (TryLockError::WouldBlock, Ok(())) => file.unlock().map_err(fail)?,
                (TryLockError::WouldBlock, Err(_)) => {
                    let holder = read(&mut file);
                    if looks == LOOKS || !holder.is_gone() {
                        return Err(Error::Owned(holder));
                    }
                    looks += 1;
                    std::thread::sleep(LOOK_AGAIN);
                }
            }
            std::thread::yield_now();
        }
        let text = serde_json::to_string(holder).expect("BUG: a holder is plain data");
        file.set_len(0).and_then(|()| file.rewind()).map_err(fail)?;
        file.write_all(text.as_bytes()).map_err(fail)?;
        Ok(Self { _file: file })
    }

    /// Who holds the lock now, if anybody does.
    pub fn holder(data_dir: &Path) -> Option<Holder> {
        let mut file = OpenOptions::new().read(true).open(data_dir.join("owner.lock")).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Some(read(&mut file)),
            Ok(()) | Err(TryLockError::Error(_)) => None,
        }
    }
}

/// The holder writes its name just after it has the lock: a reader in between sees nobody in
/// particular.
fn read(file: &mut File) -> Holder {
    let mut text = String::new();
    let whole = file.rewind().and_then(|()| file.read_to_string(&mut text));
    let parsed = whole.ok().and_then(|_| serde_json::from_str(&text).ok());
    parsed.unwrap_or(Holder { pid: 0, what: "taskloom".to_owned(), since: Timestamp(0) })
}
