//! What is done to the tree of one checkout: written or restored, looked through, swept.
//!
//! Who has which tree is none of its business; see `pool`.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::crash;
use crate::git::checkout::Checkout;
use crate::git::checkout::lay::{Plan, lay, lay_view};
use crate::git::checkout::pool::{Claim, Inner, Wish, inode_of};
use crate::git::checkout::slot::{Phase, Record};
use crate::git::checkout::sweep::{Tracked, sweep};
use crate::git::collect::head_of;
use crate::git::command::TREE;
use crate::git::{Bare, Error};
use crate::ids::CommitId;

/// How often a directory is made again that another checkout's end took away as empty.
const MAKE_TRIES: usize = 8;

impl Inner {
    /// Makes the tree of a claim and everything that belongs to it.
    pub(super) async fn fill(
        self: &Arc<Self>,
        claim: Claim,
        wish: &Wish,
    ) -> Result<Checkout, Error> {
        self.aside(wish, move |inner, wish| inner.set_up(claim, wish)).await?;
        self.bare
            .call("read-tree")
            .tree(&self.tree(&wish.place))
            .index(&self.folder(claim.number).index())
            .args(["--reset", "-u", wish.commit.as_str()])
            .within(TREE)
            .done()
            .await?;
        crash::point("checkout.half");
        self.aside(wish, move |inner, wish| inner.finish(claim.number, wish)).await
    }

    async fn aside<T: Send + 'static>(
        self: &Arc<Self>,
        wish: &Wish,
        work: impl FnOnce(&Self, &Wish) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let (inner, wish) = (Arc::clone(self), wish.clone());
        spawn_blocking(move || work(&inner, &wish)).await.expect("BUG: file work does not panic")
    }

    /// Brings the directory to its place, empty or with nothing in it but what a tracked path
    /// may be.
    fn set_up(&self, claim: Claim, wish: &Wish) -> Result<(), Error> {
        let folder = self.folder(claim.number);
        self.save(claim.number)?;
        let tree = self.tree(&wish.place);
        let Some(inode) = claim.parked else {
            return place(&tree, |tree| fs::create_dir(tree)).map_err(Error::io("make", &tree));
        };
        let parked = self.parked_tree(claim.number);
        if inode_of(&parked) != Some(inode) {
            return Err(Error::Tampered { path: parked, what: "it is another directory" });
        }
        place(&tree, |tree| fs::rename(&parked, tree)).map_err(Error::io("move to", &tree))?;
        let listing = fs::read(folder.listing()).map_err(Error::io("read", &folder.listing()))?;
        self.sweep(&tree, &listing)
    }

    fn sweep(&self, tree: &Path, listing: &[u8]) -> Result<(), Error> {
        let tracked = Tracked::parse(listing).ok_or(Error::Garbled { verb: "ls-files" })?;
        sweep(tree, &tracked, &self.trash())
    }

    /// Gives the tree its `.git` and makes it somebody's.
    fn finish(&self, number: u32, wish: &Wish) -> Result<Checkout, Error> {
        let (tree, folder) = (self.tree(&wish.place), self.folder(number));
        let terms = self.options.terms();
        let plan = Plan {
            branch: wish.branch.as_ref(),
            commit: &wish.commit,
            refs: &wish.refs,
            identity: &terms.identity,
        };
        lay(&tree, &plan, &self.bare, &folder.index())
            .map_err(Error::io("write `.git` of", &tree))?;
        let view = folder.view();
        lay_view(&view, &tree, &self.bare).map_err(Error::io("write", &view))?;
        let inode = inode_of(&tree);
        let gone = || Error::Tampered { path: tree.clone(), what: "it is another directory" };
        let record = self.enter(number, Phase::Ready { inode: inode.ok_or_else(gone)? })?;
        self.receipt(number, &record).ok_or_else(gone)
    }

    /// Records the phase of a checkout, on disk first.
    fn enter(&self, number: u32, phase: Phase) -> Result<Record, Error> {
        let mut record = self.slots().get(&number).cloned().expect("BUG: a claim has a record");
        record.phase = phase;
        let folder = self.folder(number);
        folder.save(&record).map_err(Error::io("write", folder.path()))?;
        self.slots().insert(number, record.clone());
        Ok(record)
    }

    fn save(&self, number: u32) -> Result<Record, Error> {
        self.enter(number, Phase::Making)
    }

    /// Sweeps a tree that is nobody's any more and puts it into the pool.
    pub(super) async fn park(
        self: &Arc<Self>,
        checkout: &Checkout,
        record: Record,
    ) -> Result<(), Error> {
        let listing = self
            .bare
            .call("ls-files")
            .tree(&checkout.tree)
            .index(&checkout.index())
            .args(["-z", "--stage"])
            .output()
            .await?;
        let (inner, checkout) = (Arc::clone(self), checkout.clone());
        let parked = spawn_blocking(move || {
            let Phase::Ready { inode } = record.phase else { return Ok(()) };
            if inode_of(&checkout.tree) != Some(inode) {
                let what = "it is another directory";
                return Err(Error::Tampered { path: checkout.tree, what });
            }
            inner.sweep(&checkout.tree, &listing)?;
            let file = inner.folder(checkout.number).listing();
            fs::write(&file, &listing).map_err(Error::io("write", &file))?;
            let pool = inner.parked_tree(checkout.number);
            fs::rename(&checkout.tree, &pool).map_err(Error::io("move to", &pool))?;
            inner.enter(checkout.number, inner.parked_phase(inode)).map(drop)
        });
        parked.await.expect("BUG: parking does not panic")
    }

    /// Looks whether all that a checkout holds is in the engine's repository.
    pub(super) async fn refuse_if_unsaved(&self, checkout: &Checkout) -> Result<(), Error> {
        if inode_of(&checkout.tree).is_none() {
            return Ok(());
        }
        let (tree, path) = (checkout.tree.clone(), checkout.tree.clone());
        let head = spawn_blocking(move || head_of(&tree)).await;
        // A HEAD that cannot be read may have named anything.
        let Ok(head) = head.expect("BUG: reading HEAD does not panic") else {
            return Err(Error::UnsavedCommits { path });
        };
        if !is_kept(&self.bare, &head).await? {
            return Err(Error::UnsavedCommits { path });
        }
        match self.bare.uncommitted(checkout, &head).await?.len() {
            0 => Ok(()),
            files => Err(Error::UnsavedFiles { path, files }),
        }
    }
}

/// Whether a ref of the engine's repository holds `commit`.
async fn is_kept(bare: &Bare, commit: &CommitId) -> Result<bool, Error> {
    let call = bare.call("for-each-ref").args(["--count=1", "--contains", commit.as_str()]);
    let answer = call.answer().await?;
    // A commit that is not there at all is an error to git.
    Ok(answer.code == 0 && !answer.stdout.is_empty())
}

/// Makes a directory's parent, then the directory. The parent goes with the last checkout in it,
/// which may be at this very moment.
fn place(tree: &Path, make: impl Fn(&Path) -> io::Result<()>) -> io::Result<()> {
    let parent = tree.parent().unwrap_or(tree);
    let mut made = Err(io::ErrorKind::NotFound.into());
    for _ in 0..MAKE_TRIES {
        fs::create_dir_all(parent)?;
        made = make(tree);
        if !made.as_ref().is_err_and(|e: &io::Error| e.kind() == io::ErrorKind::NotFound) {
            break;
        }
    }
    made
}
