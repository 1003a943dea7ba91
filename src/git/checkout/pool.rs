//! Hands checkouts out, takes them back, keeps some for the next user: who has what.
//!
//! What is done to a tree is in `fill`. Whatever changes one runs to its end even if nobody waits
//! for it any more: a half-swept directory at a place that is handed out again would be worse
//! than a late answer.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::spawn_blocking;

use crate::git::bare::check_path;
use crate::git::checkout::slot::{self, Folder, Phase, Record};
use crate::git::checkout::sweep::{measure, remove};
use crate::git::checkout::{Checkout, Discard, Listed, Options, Order, Place, Standing};
use crate::git::{Bare, BranchName, Error, RefName};
use crate::ids::CommitId;

/// Used trees, below the worktrees. No graph is called like it: names start with a letter or
/// digit.
const POOL: &str = ".pool";

/// What is being deleted, below the worktrees.
const TRASH: &str = ".trash";

/// File systems that stamp a file's change time at every write, memory-mapped ones included, so
/// that a file whose stamp is the engine's still holds what the engine wrote. A mapped write to
/// tmpfs leaves no stamp (seen on Linux 6.18), and network and union file systems promise
/// nothing. The numbers are those of `statfs(2)`: ext2 to ext4, XFS, Btrfs.
const STAMPING_FILE_SYSTEMS: [i64; 3] = [0xef53, 0x5846_5342, 0x9123_683e];

/// The checkouts of one project. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Checkouts(Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) bare: Bare,
    pub(super) options: Options,
    /// Used trees may be restored instead of written anew.
    reuse: bool,
    /// What this boot of the machine is called. A power cut can leave files without content.
    boot: String,
    slots: Mutex<BTreeMap<u32, Record>>,
    /// The number of the next record. None is used twice, not even after a crash: a git that
    /// outlived the daemon still writes to the one that it was given.
    next: AtomicU32,
}

/// An [`Order`] that outlives its caller.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) place: Place,
    pub(super) branch: Option<BranchName>,
    pub(super) commit: CommitId,
    pub(super) refs: Vec<(RefName, CommitId)>,
}

/// A number that nobody else has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    pub(super) number: u32,
    /// The inode of the parked tree that is to be restored.
    pub(super) parked: Option<u64>,
}

impl Checkouts {
    /// Opens the checkouts of `bare`'s project. What a crash left half made is removed; what was
    /// handed out stays handed out.
    pub async fn open(bare: Bare, options: Options) -> Result<Self, Error> {
        let opened = spawn_blocking(move || Inner::open(bare, options));
        Ok(Self(Arc::new(opened.await.expect("BUG: opening does not panic")?)))
    }

    /// Makes a checkout. [`Error::Occupied`] if something is at that place: it is to be adopted
    /// or given back first.
    pub async fn prepare(&self, order: &Order<'_>) -> Result<Checkout, Error> {
        let wish = Wish {
            place: order.place.clone(),
            branch: order.branch.cloned(),
            commit: order.commit.clone(),
            refs: order.refs.to_vec(),
        };
        let inner = Arc::clone(&self.0);
        let made = tokio::spawn(async move { inner.prepare(&wish).await });
        made.await.expect("BUG: preparing does not panic")
    }

    /// The checkout at a place, if it is there and still the directory that was made.
    pub fn lookup(&self, place: &Place) -> Option<Checkout> {
        let slots = self.0.slots();
        let (number, record) = slots.iter().find(|(_, r)| r.is_ready() && r.place == *place)?;
        self.0.receipt(*number, record)
    }

    /// The checkout that [`Checkouts::prepare`] would make, if it is there already.
    pub fn adopt(&self, order: &Order<'_>) -> Option<Checkout> {
        let fits = |c: &Checkout| c.branch.as_ref() == order.branch && c.base == *order.commit;
        self.lookup(order.place).filter(fits)
    }

    /// Takes a checkout back and keeps its tree for the next user, as far as the pool goes.
    /// Nothing happens if it was given back before.
    pub async fn release(&self, checkout: &Checkout, discard: Discard) -> Result<(), Error> {
        self.give_up(checkout, discard, true).await
    }

    /// Deletes a checkout. Nothing happens if it was given back before.
    pub async fn destroy(&self, checkout: &Checkout, discard: Discard) -> Result<(), Error> {
        self.give_up(checkout, discard, false).await
    }

    async fn give_up(
        &self,
        checkout: &Checkout,
        discard: Discard,
        keep_tree: bool,
    ) -> Result<(), Error> {
        if discard == Discard::Checked {
            self.0.refuse_if_unsaved(checkout).await?;
        }
        let (inner, checkout) = (Arc::clone(&self.0), checkout.clone());
        let gone = tokio::spawn(async move { inner.give_up(&checkout, keep_tree).await });
        gone.await.expect("BUG: giving up does not panic")
    }

    /// Deletes the parked trees; returns how many went.
    pub async fn drain_pool(&self) -> Result<usize, Error> {
        let inner = Arc::clone(&self.0);
        let drained = spawn_blocking(move || {
            let parked = inner.take_parked();
            parked.iter().try_for_each(|n| inner.purge(*n)).map(|()| parked.len())
        });
        drained.await.expect("BUG: draining does not panic")
    }

    /// Everything among the worktrees, with its size.
    pub async fn list(&self) -> Result<Vec<Listed>, Error> {
        let inner = Arc::clone(&self.0);
        spawn_blocking(move || inner.list()).await.expect("BUG: listing does not panic")
    }
}

impl Inner {
    fn open(bare: Bare, options: Options) -> Result<Self, Error> {
        check_path(&options.worktrees)?;
        let top = &options.worktrees;
        for folder in [POOL, TRASH] {
            let folder = top.join(folder);
            fs::create_dir_all(&folder).map_err(Error::io("make", &folder))?;
        }
        let kind = rustix::fs::statfs(top).map_err(|e| Error::io("look at", top)(e.into()))?;
        let records = &options.records;
        let slots = slot::load(records).map_err(Error::io("read", records))?;
        let inner = Self {
            reuse: STAMPING_FILE_SYSTEMS.contains(&kind.f_type),
            boot: fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default(),
            bare,
            options,
            next: AtomicU32::new(slots.last_key_value().map_or(0, |(last, _)| last + 1)),
            slots: Mutex::new(slots),
        };
        inner.heal()?;
        Ok(inner)
    }

    /// Removes what is worth nothing: half-made checkouts, parked trees that cannot be trusted,
    /// records without a tree, trees of the pool without a record, what was being deleted.
    fn heal(&self) -> Result<(), Error> {
        let records = self.slots().clone();
        let mut parked = 0;
        for (number, record) in &records {
            match &record.phase {
                Phase::Making => self.purge(*number)?,
                Phase::Ready { .. } if self.receipt(*number, record).is_some() => {}
                Phase::Ready { .. } => self.forget(*number)?,
                Phase::Parked { inode, boot } => {
                    let here = inode_of(&self.parked_tree(*number)) == Some(*inode);
                    if here && self.may_park(parked) && !boot.is_empty() && *boot == self.boot {
                        parked += 1;
                    } else {
                        self.purge(*number)?;
                    }
                }
            }
        }
        let known = self.slots().keys().map(u32::to_string).collect::<Vec<_>>();
        for (folder, spare) in [(POOL, known), (TRASH, Vec::new())] {
            for path in children(&self.options.worktrees.join(folder))? {
                let name = path.file_name().unwrap_or_default();
                if !spare.iter().any(|s| name == s.as_str()) {
                    remove(&path, &self.trash()).map_err(Error::io("remove", &path))?;
                }
            }
        }
        Ok(())
    }

    fn may_park(&self, parked: usize) -> bool {
        self.reuse && parked < self.options.pool_max
    }

    pub(super) fn slots(&self) -> MutexGuard<'_, BTreeMap<u32, Record>> {
        // The map is changed by single inserts and removals, so a panic elsewhere left it whole.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn folder(&self, number: u32) -> Folder {
        Folder::new(&self.options.records, number)
    }

    pub(super) fn tree(&self, place: &Place) -> PathBuf {
        place.below(&self.options.worktrees)
    }

    pub(super) fn parked_tree(&self, number: u32) -> PathBuf {
        self.options.worktrees.join(POOL).join(number.to_string())
    }

    pub(super) fn trash(&self) -> PathBuf {
        self.options.worktrees.join(TRASH)
    }

    /// The receipt of a checkout whose tree is where it was made.
    pub(super) fn receipt(&self, number: u32, record: &Record) -> Option<Checkout> {
        let Phase::Ready { inode } = record.phase else { return None };
        let tree = self.tree(&record.place);
        (inode_of(&tree)? == inode).then(|| Checkout {
            branch: record.branch.as_deref().and_then(|b| BranchName::new(b).ok()),
            base: record.commit.clone(),
            place: record.place.clone(),
            folder: self.folder(number),
            number,
            tree,
        })
    }

    async fn prepare(self: Arc<Self>, wish: &Wish) -> Result<Checkout, Error> {
        self.refuse_if_low()?;
        let claim = self.claim(wish, true)?;
        match self.fill_or_purge(claim, wish).await {
            // Whatever the last user did to that tree, a new one does not have it.
            Err(error) if claim.parked.is_some() => {
                warn(&error, "a parked tree could not be restored; a new one is written");
                let claim = self.claim(wish, false)?;
                self.fill_or_purge(claim, wish).await
            }
            made => made,
        }
    }

    fn refuse_if_low(&self) -> Result<(), Error> {
        self.options.terms().floor.check(&self.options.worktrees).map(drop)
    }

    /// Reserves a place and a number: that of a parked tree, best one of the same commit.
    fn claim(&self, wish: &Wish, reuse: bool) -> Result<Claim, Error> {
        let mut slots = self.slots();
        let tree = self.tree(&wish.place);
        let taken = slots.values().any(|r| !r.is_parked() && r.place == wish.place);
        if taken || fs::symlink_metadata(&tree).is_ok() {
            return Err(Error::Occupied { path: tree });
        }
        let parked = slots
            .iter()
            .filter(|_| reuse)
            .filter_map(|(n, r)| r.parked_inode().map(|inode| (r.commit == wish.commit, *n, inode)))
            .max();
        let number = match parked {
            Some((_, number, _)) => number,
            None => self.next.fetch_add(1, Ordering::Relaxed),
        };
        let record = Record {
            phase: Phase::Making,
            place: wish.place.clone(),
            branch: wish.branch.as_ref().map(ToString::to_string),
            commit: wish.commit.clone(),
        };
        slots.insert(number, record);
        Ok(Claim { number, parked: parked.map(|(_, _, inode)| inode) })
    }

    async fn fill_or_purge(self: &Arc<Self>, claim: Claim, wish: &Wish) -> Result<Checkout, Error> {
        let filled = self.fill(claim, wish).await;
        if filled.is_err() {
            self.purge_aside(claim.number).await?;
        }
        filled
    }

    async fn give_up(self: Arc<Self>, checkout: &Checkout, keep_tree: bool) -> Result<(), Error> {
        let Some(record) = self.take_back(checkout) else { return Ok(()) };
        let parked = self.slots().values().filter(|r| r.is_parked()).count();
        let kept = if keep_tree && self.may_park(parked) {
            let parked = self.park(checkout, record).await;
            parked.inspect_err(|e| warn(e, "a used tree could not be swept; it is deleted")).is_ok()
        } else {
            false
        };
        if !kept {
            self.purge_aside(checkout.number).await?;
        }
        // Fails as long as other checkouts of the run are there.
        let _others_left = fs::remove_dir(checkout.tree.parent().unwrap_or(&checkout.tree));
        Ok(())
    }

    /// Makes a checkout nobody's; `None` if it is that already.
    fn take_back(&self, checkout: &Checkout) -> Option<Record> {
        let mut slots = self.slots();
        let record = slots.get_mut(&checkout.number)?;
        if !record.is_ready() || record.place != checkout.place {
            return None;
        }
        let before = record.clone();
        record.phase = Phase::Making;
        Some(before)
    }

    fn take_parked(&self) -> Vec<u32> {
        let mut slots = self.slots();
        let parked = slots.iter_mut().filter(|(_, record)| record.is_parked());
        parked
            .map(|(number, record)| {
                record.phase = Phase::Making;
                *number
            })
            .collect()
    }

    async fn purge_aside(self: &Arc<Self>, number: u32) -> Result<(), Error> {
        let inner = Arc::clone(self);
        let purged = spawn_blocking(move || inner.purge(number));
        purged.await.expect("BUG: purging does not panic")
    }

    /// Deletes a tree wherever it stands, then its record.
    fn purge(&self, number: u32) -> Result<(), Error> {
        let Some(record) = self.slots().get(&number).cloned() else { return Ok(()) };
        let tree = self.tree(&record.place);
        let own = match record.phase {
            Phase::Making => true,
            // Its place may be another's by now.
            Phase::Ready { inode } | Phase::Parked { inode, .. } => inode_of(&tree) == Some(inode),
        };
        let paths = [Some(self.parked_tree(number)), own.then_some(tree)];
        for path in paths.into_iter().flatten() {
            remove(&path, &self.trash()).map_err(Error::io("remove", &path))?;
        }
        self.forget(number)
    }

    fn forget(&self, number: u32) -> Result<(), Error> {
        let folder = self.folder(number);
        folder.remove().map_err(Error::io("remove", folder.path()))?;
        self.slots().remove(&number);
        Ok(())
    }

    fn list(&self) -> Result<Vec<Listed>, Error> {
        let mut found = Vec::new();
        for group in children(&self.options.worktrees)? {
            for path in children(&group)? {
                let Some(standing) = self.standing(&path) else { continue };
                let (bytes, entries) = measure(&path);
                found.push(Listed { path, standing, bytes, entries });
            }
        }
        Ok(found)
    }

    /// What a directory is; `None` while it is being made or taken apart.
    fn standing(&self, path: &Path) -> Option<Standing> {
        if path.starts_with(self.trash()) {
            return Some(Standing::Trash);
        }
        let slots = self.slots();
        if path.starts_with(self.options.worktrees.join(POOL)) {
            let parked = slots.iter().any(|(n, r)| r.is_parked() && self.parked_tree(*n) == path);
            return parked.then_some(Standing::Parked);
        }
        let own = slots.iter().find(|(_, r)| !r.is_parked() && self.tree(&r.place) == path);
        let Some((number, record)) = own else { return Some(Standing::Unknown) };
        match record.phase {
            Phase::Making | Phase::Parked { .. } => None,
            Phase::Ready { .. } => {
                Some(self.receipt(*number, record).map_or(Standing::Unknown, Standing::Ready))
            }
        }
    }

    /// What a parked record is saved as.
    pub(super) fn parked_phase(&self, inode: u64) -> Phase {
        Phase::Parked { inode, boot: self.boot.clone() }
    }
}

fn warn(error: &Error, message: &'static str) {
    tracing::warn!(error = error as &dyn std::error::Error, "{message}");
}

/// The inode of a directory; `None` if it is none.
pub(super) fn inode_of(path: &Path) -> Option<u64> {
    fs::symlink_metadata(path).ok().filter(fs::Metadata::is_dir).map(|m| m.ino())
}

/// The entries of a directory, in order; none if it is not a directory.
fn children(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    if inode_of(folder).is_none() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).map_err(Error::io("read", folder))?;
    let paths = entries.map(|e| e.map(|e| e.path()));
    let mut paths = paths.collect::<Result<Vec<_>, _>>().map_err(Error::io("read", folder))?;
    paths.sort();
    Ok(paths)
}
