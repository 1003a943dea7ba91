//! The door to git: the engine's own bare repository per project, the private checkouts of tasks,
//! and the few things done in a repository of the user.
//!
//! Trees that agents wrote are hostile. No command here reads configuration, hooks, attributes or
//! an index out of one: each names the engine's own repository and an index that the engine made.
//! Nothing here knows tasks, attempts or forges; branches and places are handed in.

pub mod bare;
pub mod checkout;
mod collect;
pub mod command;
mod deliver;
mod history;
mod merge;
pub mod names;
pub mod remote;
pub mod user_repo;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use bare::{Bare, RefChange, Synced};
pub use checkout::{
    Checkout, Checkouts, Discard, DiskFloor, Listed, Options, Order, Place, Standing, Terms,
};
pub use collect::{LEFTOVER_FILE_BYTES_MAX, LEFTOVER_FILES_MAX, Leftovers, Why};
pub use command::{Git, Version};
pub use deliver::Refusal;
pub use history::{Change, Changes, Commit, Diff, How, Kind};
pub use merge::{Combine, Combined, Merged, Method, NewCommit};
pub use names::{BranchName, Identity, ObjectFormat, RefName, Signature, TreeId};
pub use remote::{Push, Pushed, Remote};
pub use user_repo::UserRepo;

use crate::ids::CommitId;

/// What went wrong, by what can be done about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no `git` on PATH.
    #[error("`git` is not on PATH; install git {} or newer", command::FLOOR)]
    Missing,
    /// The installed git cannot do what is asked.
    #[error("git {found} is too old {purpose}; install git {need} or newer")]
    TooOld {
        /// What is installed.
        found: Version,
        /// What is needed.
        need: Version,
        /// What for, to be read after "too old".
        purpose: &'static str,
    },
    /// git did not finish in time and was killed.
    #[error("`git {verb}` did not finish within {}", humantime::format_duration(*limit))]
    Timeout {
        /// The git command.
        verb: &'static str,
        /// How long it was given.
        limit: Duration,
    },
    /// git refused.
    #[error("`git {verb}` failed with exit code {code}: {stderr}")]
    Failed {
        /// The git command.
        verb: &'static str,
        /// Its exit code; -1 if a signal ended it.
        code: i32,
        /// The end of what it said, on one line.
        stderr: String,
    },
    /// The origin of a clone of ours cannot be reached, or does not take what is pushed.
    #[error("the remote repository is out of reach, or refuses")]
    Origin {
        /// Why.
        #[source]
        source: Box<Error>,
    },
    /// git said more than is taken in.
    #[error("`git {verb}` printed more than {limit_bytes} bytes")]
    TooMuchOutput {
        /// The git command.
        verb: &'static str,
        /// The bound.
        limit_bytes: usize,
    },
    /// git said something that this version of Taskloom does not understand.
    #[error("cannot read the answer of `git {verb}`")]
    Garbled {
        /// The git command.
        verb: &'static str,
    },
    /// The disk or the system refused.
    #[error("cannot {what} `{}`", path.display())]
    Io {
        /// The verb.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A text that git would not take as the name of a ref or branch.
    #[error("`{name}` cannot be the name of a branch or ref")]
    BadName {
        /// The text.
        name: String,
    },
    /// A name or address that would break a commit's header.
    #[error("`{text}` cannot be the name or address of an author")]
    BadIdentity {
        /// The text.
        text: String,
    },
    /// A ref is not where it was expected; nothing was changed.
    #[error("`{name}` is at {}, not at {}", shown(found.as_ref()), shown(expected.as_ref()))]
    Moved {
        /// The ref.
        name: RefName,
        /// Where it should have been; `None`: nowhere.
        expected: Option<CommitId>,
        /// Where it is.
        found: Option<CommitId>,
    },
    /// Two histories without a common commit.
    #[error("{ours:?} and {theirs:?} have no common history")]
    Unrelated {
        /// One side.
        ours: CommitId,
        /// The other.
        theirs: CommitId,
    },
    /// More commits than a rebase replays.
    #[error("{commits} commits are too many to rebase; at most {limit}")]
    TooManyCommits {
        /// How many there are.
        commits: usize,
        /// The bound.
        limit: usize,
    },
    /// The directory is no git repository, or none that git lets this user read.
    #[error("`{}` cannot be used as a git repository: {why}", path.display())]
    NoRepository {
        /// The directory.
        path: PathBuf,
        /// What git says.
        why: String,
    },
    /// A directory that a repository or a checkout cannot be in.
    #[error("`{}` must be an absolute path of plain text", path.display())]
    BadPath {
        /// The directory.
        path: PathBuf,
    },
    /// A checkout has no commit to import: HEAD names none, or what it names is not there.
    #[error("`{}` names no commit", path.display())]
    NoHead {
        /// The HEAD of the checkout.
        path: PathBuf,
    },
    /// A private checkout is not as git and the engine leave it; nothing was read from it.
    #[error("`{}` was tampered with: {what}", path.display())]
    Tampered {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// A file of uncommitted work is too large to be committed.
    #[error(
        "`{path}` has {bytes} bytes, at most {limit_bytes} can be committed; ignore it or commit less"
    )]
    FileTooLarge {
        /// Relative to the checkout.
        path: String,
        /// Its size.
        bytes: u64,
        /// The bound.
        limit_bytes: u64,
    },
    /// More uncommitted files than are committed for somebody.
    #[error(
        "{files} files are uncommitted, at most {limit} are committed; is a directory missing from `.gitignore`?"
    )]
    TooManyFiles {
        /// How many there are.
        files: usize,
        /// The bound.
        limit: usize,
    },
    /// The file system is nearly full.
    #[error("`{}` has {} MiB free, and nothing is prepared below {} MiB (`disk_free_min_mib` and 5 % of the disk)", path.display(), free_bytes >> 20, floor_bytes >> 20)]
    DiskLow {
        /// A directory on it.
        path: PathBuf,
        /// What is left.
        free_bytes: u64,
        /// What must be left.
        floor_bytes: u64,
    },
    /// Something else stands where the checkout should be made.
    #[error("`{}` exists already", path.display())]
    Occupied {
        /// The place.
        path: PathBuf,
    },
    /// HEAD of the checkout is in no ref of the engine's repository.
    #[error("`{}` holds commits that exist nowhere else", path.display())]
    UnsavedCommits {
        /// The checkout.
        path: PathBuf,
    },
    /// The checkout holds files that were not committed.
    #[error("`{}` holds uncommitted work that exists nowhere else (files: {files})", path.display())]
    UnsavedFiles {
        /// The checkout.
        path: PathBuf,
        /// How many.
        files: usize,
    },
    /// A branch of the user is left alone.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Error {
    pub(crate) fn io(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { what, path, source }
    }
}

fn shown(commit: Option<&CommitId>) -> &str {
    commit.map_or("no commit", CommitId::short)
}
