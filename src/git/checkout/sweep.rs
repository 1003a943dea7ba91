//! Emptying directories that agents owned, with nothing trusted: no link is followed, no depth
//! is too deep, no permission is in the way.
//!
//! Knows nothing of git but the list of paths that an index holds.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fs::{self, DirEntry, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use crate::git::Error;

/// What a directory of a checkout may be used for, whatever an agent made of it.
const DIRECTORY_MODE: u32 = 0o755;

/// The paths of an index, as `ls-files --stage -z` lists them.
pub(super) struct Tracked<'a> {
    /// Files and links; `false`: the directory of a submodule.
    paths: HashMap<&'a [u8], bool>,
    /// Every directory that leads to one of them.
    directories: HashSet<&'a [u8]>,
}

impl<'a> Tracked<'a> {
    pub(super) fn parse(listed: &'a [u8]) -> Option<Self> {
        let mut tracked = Self { paths: HashMap::new(), directories: HashSet::new() };
        for line in listed.split(|b| *b == 0).filter(|l| !l.is_empty()) {
            let tab = line.iter().position(|b| *b == b'\t')?;
            let path = &line[tab + 1..];
            tracked.paths.insert(path, !line.starts_with(b"160000 "));
            let slashes = path.iter().enumerate().rev().filter(|(_, b)| **b == b'/');
            for (slash, _) in slashes {
                if !tracked.directories.insert(&path[..slash]) {
                    break;
                }
            }
        }
        Some(tracked)
    }
}

/// Leaves only files, links and directories of `tracked` in `tree`: whatever else is there,
/// `.git` included, is deleted. A file that is tracked is not looked into; git compares it by
/// what the engine's own index says of it.
pub(super) fn sweep(tree: &Path, tracked: &Tracked<'_>, trash: &Path) -> Result<(), Error> {
    let mut open = vec![Vec::new()];
    while let Some(folder) = open.pop() {
        let full = tree.join(OsStr::from_bytes(&folder));
        make_passable(&full, DIRECTORY_MODE).map_err(Error::io("open", &full))?;
        for entry in fs::read_dir(&full).map_err(Error::io("read", &full))? {
            let entry = entry.map_err(Error::io("read", &full))?;
            let mut path = folder.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(entry.file_name().as_bytes());
            let kind = entry.file_type().map_err(Error::io("read", &full))?;
            if kind.is_dir() && tracked.directories.contains(&path[..]) {
                open.push(path);
            } else if kind.is_dir()
                || !(kind.is_file() || kind.is_symlink())
                || tracked.paths.get(&path[..]) != Some(&true)
            {
                remove(&entry.path(), trash).map_err(Error::io("remove", &entry.path()))?;
            }
        }
    }
    Ok(())
}

/// Takes a file or a whole directory away. `trash` lies on the same file system; what cannot be
/// deleted, because a git that outlived its daemon still writes there, stays in it for later.
pub(super) fn remove(path: &Path, trash: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(other) => Err(other),
        Ok(meta) if !meta.is_dir() => fs::remove_file(path),
        Ok(_) => {
            let pit = tempfile::tempdir_in(trash)?;
            make_passable(path, 0o700)?;
            fs::rename(path, pit.path().join("0"))?;
            if let Err(error) = empty(pit.path()) {
                tracing::warn!(%error, path = %path.display(), "not all of it could be deleted");
            }
            Ok(())
        }
    }
}

/// Deletes what is in `pit`, each directory only after its own were moved up into the pit: so
/// neither the stack nor the length of a path grows with the depth of what an agent nested.
fn empty(pit: &Path) -> io::Result<()> {
    let mut open = vec![pit.join("0")];
    let mut number = 0u64;
    while let Some(folder) = open.pop() {
        let mut hoist = |entry: &DirEntry| {
            number += 1;
            let up = pit.join(number.to_string());
            make_passable(&entry.path(), 0o700)?;
            fs::rename(entry.path(), &up)?;
            open.push(up);
            Ok(())
        };
        while clear(&folder, &mut hoist)? {}
        fs::remove_dir(&folder)?;
    }
    Ok(())
}

/// One pass over a directory; `false` if there was nothing in it. Some file systems skip entries
/// when others go while they are being listed.
fn clear(folder: &Path, hoist: &mut impl FnMut(&DirEntry) -> io::Result<()>) -> io::Result<bool> {
    let mut found = false;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        found = true;
        if entry.file_type()?.is_dir() {
            hoist(&entry)?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(found)
}

/// Gives a directory back the permissions that working in it takes.
fn make_passable(folder: &Path, mode: u32) -> io::Result<()> {
    if fs::symlink_metadata(folder)?.permissions().mode() & 0o7777 == mode {
        return Ok(());
    }
    fs::set_permissions(folder, Permissions::from_mode(mode))
}

/// What a directory takes up: bytes on disk and entries. What cannot be looked at is not counted.
pub(super) fn measure(path: &Path) -> (u64, u64) {
    let (mut bytes, mut entries) = (0, 0);
    let mut open = vec![path.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            entries += 1;
            bytes += meta.blocks() * 512;
            if meta.is_dir() {
                open.push(entry.path());
            }
        }
    }
    (bytes, entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nesting_deeper_than_any_path_is_removed() {
        // In memory where there is such a place: some disks take milliseconds for a directory.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("trash")).unwrap();
        fs::create_dir(at("deep")).unwrap();
        // 1,200 levels and 6,000 characters: beyond the usual bounds of open files and of paths.
        for _ in 0..12 {
            let chain = (0..100).fold(at("new"), |path, _| path.join("deep"));
            fs::create_dir_all(&chain).unwrap();
            fs::rename(at("deep"), chain.join("deep")).unwrap();
            fs::rename(at("new"), at("deep")).unwrap();
        }
        remove(&at("deep"), &at("trash")).unwrap();
        assert!(!at("deep").exists());
        assert_eq!(fs::read_dir(at("trash")).unwrap().count(), 0);
    }

    #[test]
    fn a_sweep_leaves_what_is_tracked_and_follows_no_link() {
        let dir = tempfile::tempdir().unwrap();
        let (tree, trash, outside) =
            (dir.path().join("tree"), dir.path().join("trash"), dir.path().join("outside"));
        for folder in
            ["tree/a/b", "tree/.git/hooks", "tree/new", "tree/sub/.git", "outside", "trash"]
        {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        for file in ["tree/a/b/kept", "tree/a/stray", "tree/new/x", "outside/b"] {
            fs::write(dir.path().join(file), "").unwrap();
        }
        std::os::unix::fs::symlink(&outside, tree.join("c")).unwrap();
        std::os::unix::fs::symlink("a", tree.join("link")).unwrap();
        fs::set_permissions(tree.join("a/b"), Permissions::from_mode(0o000)).unwrap();
        let listed =
            b"100644 x 0\ta/b/kept\x00100644 x 0\tc/b\x00120000 x 0\tlink\x00160000 x 0\tsub\0";
        sweep(&tree, &Tracked::parse(listed).unwrap(), &trash).unwrap();
        let mut left: Vec<_> = fs::read_dir(&tree)
            .unwrap()
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["a", "link"]);
        assert!(tree.join("a/b/kept").exists() && !tree.join("a/stray").exists());
        assert!(outside.join("b").exists());
    }
}
