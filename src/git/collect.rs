//! Taking finished work out of a private checkout: its commits, and what was not committed.
//!
//! The checkout belonged to an agent and everything in it may be forged. Of its `.git` only two
//! things are used: the id that HEAD names, read here as text, and the object files, which git
//! checks one by one. No configuration, hook, attribute file or index of it is ever read. The
//! agent's processes must have ended.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path};
use std::time::Duration;

use rustix::fs::OFlags;
use tempfile::TempPath;
use tokio::task::spawn_blocking;

use crate::git::checkout::copy_with_time;
use crate::git::command::Call;
use crate::git::{Bare, Checkout, Error, Identity, NewCommit, RefName, Signature};
use crate::ids::CommitId;
use crate::time::Timestamp;

/// The largest uncommitted file that is committed for somebody: forges refuse larger ones.
pub const LEFTOVER_FILE_BYTES_MAX: u64 = 100 * 1024 * 1024;

/// The most uncommitted files that are committed for somebody. More is a dependency directory
/// that `.gitignore` does not know.
pub const LEFTOVER_FILES_MAX: usize = 10_000;

/// For looking through a tree that may hold traps, such as a pipe called `.gitignore`: long
/// enough for half a million files, short enough for whoever waits.
const LOOK: Duration = Duration::from_secs(2 * 60);

/// The largest file of a `.git` that is read as text; 500,000 packed refs fit.
const TEXT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How often a symbolic ref may point to another; git stops at five, too.
const SYMREF_HOPS_MAX: usize = 5;

/// The most files among a checkout's own objects. A task that makes more is no task.
const OBJECT_FILES_MAX: usize = 500_000;

/// Settings of an import: everything that comes in is checked.
pub(crate) const IMPORT_SETTINGS: &[&str] = &[
    "fetch.fsckObjects=true",
    "transfer.fsckObjects=true",
    // Whether all is there is answered by the branches; the records of pull requests only grow.
    "transfer.hideRefs=refs/taskloom",
];

/// Uncommitted work, made a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftovers {
    /// The commit on top of the checkout's head; `None` if nothing was left.
    pub commit: Option<CommitId>,
    /// What no commit can hold, relative to the checkout.
    pub left_out: BTreeMap<String, Why>,
}

/// Why something is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It is a repository of its own.
    Repository,
    /// It is neither a file nor a link.
    NotAFile,
    /// It cannot be read.
    Unreadable,
}

/// What differs between a checkout and its head.
#[derive(Debug, Default)]
pub(crate) struct Differences {
    /// Files and links that are new or changed.
    kept: BTreeSet<Vec<u8>>,
    /// Paths of the head that are gone.
    gone: BTreeSet<Vec<u8>>,
    left_out: BTreeMap<String, Why>,
}

impl Differences {
    /// How many paths would be committed.
    pub(crate) fn len(&self) -> usize {
        self.kept.len() + self.gone.len()
    }
}

impl Bare {
    /// Brings what HEAD of a checkout names here, as `refs/staging/<key>`, checked object by
    /// object. Doing it twice is doing it once.
    pub async fn import(&self, checkout: &Checkout, key: &str) -> Result<CommitId, Error> {
        let staged = RefName::new(&format!("refs/staging/{key}"))?;
        let (bare, seen) = (self.clone(), checkout.clone());
        let looked = spawn_blocking(move || {
            vet_objects(&seen.tree, &bare)?;
            head_of(&seen.tree)
        });
        let head = looked.await.expect("BUG: looking does not panic")?;
        let refspec = format!("+{head}:{staged}");
        self.fetch(&checkout.view(), &[refspec], &[], IMPORT_SETTINGS).await?;
        let answer =
            self.call("rev-parse").args(["--verify", &format!("{head}^{{commit}}")]).text().await;
        match answer {
            Ok(commit) if commit == head.as_str() => Ok(head),
            Ok(_) | Err(Error::Failed { .. }) => Err(Error::NoHead { path: head_file(checkout) }),
            Err(other) => Err(other),
        }
    }

    /// Commits what the checkout holds beyond `head`, which must have been imported. Files that
    /// `.gitignore` names are not taken. `at` dates the commit.
    pub async fn leftovers(
        &self,
        checkout: &Checkout,
        head: &CommitId,
        message: &str,
        by: &Identity,
        at: Timestamp,
    ) -> Result<Leftovers, Error> {
        let index = self.index_of(checkout, head).await?;
        let found = self.differences(checkout, &index).await?;
        let commit = match found.len() {
            0 => None,
            _ => {
                self.take_in(checkout, &index, &found).await?;
                let tree = self.call("write-tree").index(&index).text().await?;
                let tree = tree.parse().map_err(|_| Error::Garbled { verb: "write-tree" })?;
                let author = Signature::new(by, at);
                let new = NewCommit {
                    tree: &tree,
                    parents: &[head],
                    message,
                    author: &author,
                    committer: &author,
                };
                // Files whose line ends git would change back differ without a difference.
                if self.tree_of(head).await? == tree {
                    None
                } else {
                    Some(self.commit_tree(&new).await?)
                }
            }
        };
        Ok(Leftovers { commit, left_out: found.left_out })
    }

    /// What is uncommitted on top of `head`, without taking it.
    pub(crate) async fn uncommitted(
        &self,
        checkout: &Checkout,
        head: &CommitId,
    ) -> Result<Differences, Error> {
        let index = self.index_of(checkout, head).await?;
        self.differences(checkout, &index).await
    }

    /// An index of `head` for this checkout. It starts from the one that the engine saved when
    /// it made the checkout, so that files nobody touched need not be read again.
    async fn index_of(&self, checkout: &Checkout, head: &CommitId) -> Result<TempPath, Error> {
        let seed = checkout.index();
        let copied = spawn_blocking(move || {
            let folder = seed.parent().expect("BUG: the saved index lies in a directory");
            let copy = tempfile::NamedTempFile::new_in(folder)?.into_temp_path();
            copy_with_time(&seed, &copy).map(|()| copy)
        });
        let index = copied.await.expect("BUG: copying does not panic");
        let index = index.map_err(Error::io("copy", &checkout.index()))?;
        if *head != checkout.base {
            let call = self.call("read-tree").tree(&checkout.tree).index(&index);
            call.args(["-m", head.as_str()]).done().await?;
        }
        Ok(index)
    }

    async fn differences(&self, checkout: &Checkout, index: &Path) -> Result<Differences, Error> {
        let listed = self
            .call("ls-files")
            .tree(&checkout.tree)
            .index(index)
            .args(["-z", "-t", "--modified", "--deleted", "--others", "--exclude-standard"])
            .within(LOOK)
            .output()
            .await?;
        let tree = checkout.tree.clone();
        let sorted = spawn_blocking(move || sort_out(&tree, &listed));
        sorted.await.expect("BUG: sorting does not panic")
    }

    /// Puts exactly the paths that were looked at into the index. `add --all` would instead run
    /// a `git status` inside every submodule, under that submodule's own configuration.
    async fn take_in(
        &self,
        checkout: &Checkout,
        index: &Path,
        found: &Differences,
    ) -> Result<(), Error> {
        let update = |options: &[&str], paths: &BTreeSet<Vec<u8>>| -> Option<Call<'_>> {
            let call = self.call("update-index").tree(&checkout.tree).index(index).within(LOOK);
            let lines =
                paths.iter().flat_map(|p| p.iter().copied().chain([0])).collect::<Vec<u8>>();
            (!lines.is_empty()).then(|| call.args(options).args(["-z", "--stdin"]).stdin(lines))
        };
        let steps = [
            update(&["--force-remove"], &found.gone),
            update(&["--add", "--replace"], &found.kept),
        ];
        for call in steps.into_iter().flatten() {
            call.done().await?;
        }
        Ok(())
    }
}

fn head_file(checkout: &Checkout) -> std::path::PathBuf {
    checkout.tree.join(".git/HEAD")
}

/// Sorts what `ls-files -t` lists: `C` and `R` are paths of the index, `?` are not.
fn sort_out(tree: &Path, listed: &[u8]) -> Result<Differences, Error> {
    let mut found = Differences::default();
    for line in listed.split(|b| *b == 0).filter(|l| !l.is_empty()) {
        let (tracked, path) = match line {
            [b'C' | b'R', b' ', path @ ..] => (true, path),
            [b'?', b' ', path @ ..] => (false, path),
            _ => return Err(Error::Garbled { verb: "ls-files" }),
        };
        match verdict(tree, path)? {
            Verdict::Keep => _ = found.kept.insert(path.to_owned()),
            Verdict::Gone if tracked => _ = found.gone.insert(path.to_owned()),
            Verdict::Gone => {}
            Verdict::LeaveOut(why) => _ = found.left_out.insert(shown(path), why),
        }
        if found.len() > LEFTOVER_FILES_MAX {
            return Err(Error::TooManyFiles { files: found.len(), limit: LEFTOVER_FILES_MAX });
        }
    }
    Ok(found)
}

enum Verdict {
    Keep,
    Gone,
    LeaveOut(Why),
}

/// Looks at one path without following a link anywhere on the way.
fn verdict(tree: &Path, path: &[u8]) -> Result<Verdict, Error> {
    let relative = Path::new(OsStr::from_bytes(path));
    let full = tree.join(relative);
    let mut parent = tree.to_owned();
    for part in relative.parent().into_iter().flat_map(Path::components) {
        let Component::Normal(name) = part else {
            return Err(Error::Garbled { verb: "ls-files" });
        };
        parent.push(name);
        if !fs::symlink_metadata(&parent).is_ok_and(|m| m.is_dir()) {
            return Ok(Verdict::Gone);
        }
    }
    let meta = match fs::symlink_metadata(&full) {
        Ok(meta) => meta,
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(Verdict::Gone),
        Err(_) => return Ok(Verdict::LeaveOut(Why::Unreadable)),
    };
    if meta.is_symlink() {
        return Ok(Verdict::Keep);
    }
    if meta.is_dir() {
        let nested = fs::symlink_metadata(full.join(".git")).is_ok();
        return Ok(if nested { Verdict::LeaveOut(Why::Repository) } else { Verdict::Gone });
    }
    if !meta.is_file() {
        return Ok(Verdict::LeaveOut(Why::NotAFile));
    }
    if meta.len() > LEFTOVER_FILE_BYTES_MAX {
        return Err(Error::FileTooLarge {
            path: shown(path),
            bytes: meta.len(),
            limit_bytes: LEFTOVER_FILE_BYTES_MAX,
        });
    }
    let readable = open_plain(&full).is_ok();
    Ok(if readable { Verdict::Keep } else { Verdict::LeaveOut(Why::Unreadable) })
}

fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).trim_end_matches('/').to_owned()
}

/// Opens a plain file for reading; a link, a pipe or a device is an error and blocks nobody.
fn open_plain(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if kind.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

fn is_absent(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::IsADirectory
    )
}

/// A text file of a `.git`; `None` if there is none.
fn read_plain(path: &Path) -> Result<Option<String>, Error> {
    let file = match open_plain(path) {
        Ok(file) => file,
        Err(e) if is_absent(e.kind()) => return Ok(None),
        Err(_) => return Err(tampered(path, "it is not a plain file")),
    };
    let mut text = String::new();
    match file.take(TEXT_BYTES_MAX).read_to_string(&mut text) {
        Ok(_) => Ok(Some(text)),
        Err(_) => Err(tampered(path, "it is not text")),
    }
}

fn tampered(path: &Path, what: &'static str) -> Error {
    Error::Tampered { path: path.to_owned(), what }
}

/// The id that HEAD of a checkout names, read as text.
pub(crate) fn head_of(tree: &Path) -> Result<CommitId, Error> {
    let git = tree.join(".git");
    let head = git.join("HEAD");
    let mut text = read_plain(&head)?;
    for _ in 0..SYMREF_HOPS_MAX {
        let Some(line) = text.as_deref().and_then(|t| t.lines().next()) else { break };
        let Some(name) = line.strip_prefix("ref:") else {
            return line.trim().parse().map_err(|_| Error::NoHead { path: head });
        };
        // The rule for names leaves no way out of the directory.
        let name = RefName::new(name.trim()).map_err(|_| Error::NoHead { path: head.clone() })?;
        text = match read_plain(&git.join(name.as_str()))? {
            Some(loose) => Some(loose),
            None => packed(&git, &name)?,
        };
    }
    Err(Error::NoHead { path: head })
}

fn packed(git: &Path, name: &RefName) -> Result<Option<String>, Error> {
    let text = read_plain(&git.join("packed-refs"))?.unwrap_or_default();
    let of =
        |line: &str| line.split_once(' ').filter(|l| l.1 == name.as_str()).map(|l| l.0.to_owned());
    Ok(text.lines().find_map(of))
}

/// Object files are data that git checks. What could lead it elsewhere, or make it wait for
/// ever, is refused: links, pipes, and a list of alternates that is not the engine's.
fn vet_objects(tree: &Path, bare: &Bare) -> Result<(), Error> {
    let git = tree.join(".git");
    let objects = git.join("objects");
    for dir in [tree, &git, &objects] {
        if !fs::symlink_metadata(dir).is_ok_and(|m| m.is_dir()) {
            return Err(tampered(dir, "it is not a directory"));
        }
    }
    let alternates = objects.join("info/alternates");
    if read_plain(&alternates)?.is_some_and(|text| text != bare.alternates()) {
        return Err(tampered(&alternates, "it names other repositories"));
    }
    let mut open = vec![objects];
    let mut files = 0;
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).map_err(Error::io("read", &folder))? {
            let entry = entry.map_err(Error::io("read", &folder))?;
            let kind = entry.file_type().map_err(Error::io("read", &folder))?;
            if kind.is_dir() {
                open.push(entry.path());
            } else if !kind.is_file() {
                return Err(tampered(&entry.path(), "it is not a plain file"));
            }
            files += 1;
            if files > OBJECT_FILES_MAX {
                return Err(tampered(&folder, "it holds too many files"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dot_git(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(".git").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    fn verdict_of(files: &[(&str, &str)]) -> String {
        let dir = dot_git(files);
        match head_of(dir.path()) {
            Ok(id) => id.as_str()[..2].to_owned(),
            Err(Error::NoHead { .. }) => "none".to_owned(),
            Err(Error::Tampered { what, .. }) => what.to_owned(),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn head_is_read_through_branches_loose_and_packed() {
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let packed = format!("# pack-refs with: peeled\n{b} refs/heads/x\n");
        let on_x = ("HEAD", "ref: refs/heads/x\n");
        assert_eq!(verdict_of(&[("HEAD", &a)]), "aa");
        assert_eq!(verdict_of(&[on_x, ("refs/heads/x", &a), ("packed-refs", &packed)]), "aa");
        assert_eq!(verdict_of(&[on_x, ("packed-refs", &packed)]), "bb");
        assert_eq!(verdict_of(&[on_x]), "none");
        assert_eq!(
            verdict_of(&[("HEAD", "ref: refs/heads/x"), ("refs/heads/x", "ref: refs/heads/x")]),
            "none"
        );
        assert_eq!(verdict_of(&[("HEAD", "ref: refs/../../../etc/passwd\n")]), "none");
        assert_eq!(verdict_of(&[("HEAD", "abc")]), "none");
        assert_eq!(verdict_of(&[]), "none");
    }

    #[test]
    fn a_head_that_is_a_link_or_a_pipe_is_refused_at_once() {
        let dir = dot_git(&[("x", &"a".repeat(40))]);
        let head = dir.path().join(".git/HEAD");
        std::os::unix::fs::symlink(dir.path().join(".git/x"), &head).unwrap();
        assert!(matches!(head_of(dir.path()), Err(Error::Tampered { .. })));
        fs::remove_file(&head).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &head,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        assert!(matches!(head_of(dir.path()), Err(Error::Tampered { .. })));
    }
}
