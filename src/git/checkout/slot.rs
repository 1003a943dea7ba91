//! The engine's records of private checkouts, one directory each, outside the reach of agents:
//! what it is, where it stands, the index as it was when the checkout was made.
//!
//! A record is written before the tree it speaks of is touched, so that every tree has one.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::git::checkout::Place;
use crate::ids::CommitId;

/// One checkout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) phase: Phase,
    /// Where its tree is.
    pub(super) place: Place,
    /// What HEAD named when it was made; `None`: the commit itself.
    pub(super) branch: Option<String>,
    /// What was checked out.
    pub(super) commit: CommitId,
}

/// How far a checkout is. The inode of its tree tells it from a directory put in its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub(super) enum Phase {
    /// Being made or taken apart; worth nothing after a crash.
    Making,
    /// Somebody's.
    Ready { inode: u64 },
    /// Waiting for the next user, in the same boot of the machine.
    Parked { inode: u64, boot: String },
}

impl Record {
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready { .. })
    }

    pub(super) fn is_parked(&self) -> bool {
        matches!(self.phase, Phase::Parked { .. })
    }

    pub(super) fn parked_inode(&self) -> Option<u64> {
        match self.phase {
            Phase::Parked { inode, .. } => Some(inode),
            Phase::Making | Phase::Ready { .. } => None,
        }
    }
}

/// The directory of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(records: &Path, number: u32) -> Self {
        Self(records.join(number.to_string()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// The index that git works with; agents get copies.
    pub(super) fn index(&self) -> PathBuf {
        self.0.join("index")
    }

    /// The repository through which the objects of the checkout are seen.
    pub(super) fn view(&self) -> PathBuf {
        self.0.join("view")
    }

    /// What the index of a parked checkout lists.
    pub(super) fn listing(&self) -> PathBuf {
        self.0.join("listing")
    }

    /// Writes the record, whole or not at all.
    pub(super) fn save(&self, record: &Record) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        let text = serde_json::to_vec(record)?;
        let mut file = tempfile::NamedTempFile::new_in(&self.0)?;
        file.write_all(&text)?;
        file.as_file().sync_all()?;
        file.persist(self.0.join("record.json"))?;
        Ok(())
    }

    pub(super) fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => Ok(()),
        }
    }
}

/// Reads every record. One that cannot be read speaks of nothing and is removed; its tree, if
/// there is one, then counts as unknown and is left alone.
pub(super) fn load(records: &Path) -> io::Result<BTreeMap<u32, Record>> {
    fs::create_dir_all(records)?;
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(records)? {
        let entry = entry?;
        let Some(number) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let bytes = fs::read(entry.path().join("record.json")).unwrap_or_default();
        match serde_json::from_slice(&bytes) {
            Ok(record) => drop(found.insert(number, record)),
            Err(_) => Folder::new(records, number).remove()?,
        }
    }
    Ok(found)
}
