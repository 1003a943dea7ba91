//! Questions about the history in the engine's repository: who descends from whom, what a branch
//! changes, which commits it adds.
//!
//! Reads only. What is asked about a branch is asked from its merge base with another on, as a
//! pull request shows it.

use std::collections::HashMap;

use crate::git::{Bare, Error, Signature, TreeId};
use crate::ids::CommitId;

/// The most symlink targets that are looked up; a change with more is not read by anyone, and
/// the kind alone makes it need a person.
const LINKS_MAX: usize = 1000;

/// The longest symlink target that is shown. Linux takes 4,095 bytes.
const LINK_BYTES_MAX: usize = 4096;

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A file.
    File,
    /// A file that may be run.
    Executable,
    /// A symbolic link.
    Symlink {
        /// Where it points to; `None` if it is gone or too long.
        target: Option<String>,
    },
    /// A commit of another repository: a submodule.
    Gitlink,
}

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It is new.
    Added,
    /// It was there.
    Modified,
    /// It is gone; its kind is what it was.
    Deleted,
}

/// One changed path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Relative to the top, with `/`.
    pub path: String,
    /// What happened to it.
    pub how: How,
    /// What it is.
    pub kind: Kind,
    /// Lines that came; `None` if it is binary.
    pub insertions: Option<u64>,
    /// Lines that went; `None` if it is binary.
    pub deletions: Option<u64>,
}

/// What a branch changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// Every path, in git's order. A rename is a deletion and an addition.
    pub files: Vec<Change>,
}

impl Changes {
    /// Lines that came.
    pub fn insertions(&self) -> u64 {
        self.files.iter().filter_map(|f| f.insertions).sum()
    }

    /// Lines that went.
    pub fn deletions(&self) -> u64 {
        self.files.iter().filter_map(|f| f.deletions).sum()
    }
}

/// A diff as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diff {
    /// The text, cut at a line break if it is too long.
    pub text: String,
    /// There was more.
    pub cut: bool,
}

/// A commit with what a person reads of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its id.
    pub id: CommitId,
    /// Its parents, the branch that it was made on first.
    pub parents: Vec<CommitId>,
    /// Who wrote it, and when.
    pub author: Signature,
    /// The whole message.
    pub message: String,
}

impl Commit {
    /// The first line of the message.
    pub fn subject(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }
}

impl Bare {
    /// Whether `ancestor` is `commit` or in its past.
    pub async fn is_ancestor(&self, ancestor: &CommitId, commit: &CommitId) -> Result<bool, Error> {
        let answer = self
            .call("merge-base")
            .arg("--is-ancestor")
            .args([ancestor.as_str(), commit.as_str()])
            .answer()
            .await?;
        match answer.code {
            0 => Ok(true),
            1 => Ok(false),
            _ => Err(answer.failure()),
        }
    }

    /// How many commits `head` has that `base` has not.
    pub async fn ahead(&self, base: &CommitId, head: &CommitId) -> Result<usize, Error> {
        let text =
            self.call("rev-list").arg("--count").arg(range(base, head)).arg("--").text().await?;
        text.parse().map_err(|_| Error::Garbled { verb: "rev-list" })
    }

    /// The tree of a commit.
    pub async fn tree_of(&self, commit: &CommitId) -> Result<TreeId, Error> {
        let spec = format!("{commit}^{{tree}}");
        let text = self.call("rev-parse").args(["--verify", "--quiet"]).arg(spec).text().await?;
        text.parse().map_err(|_| Error::Garbled { verb: "rev-parse" })
    }

    /// The paths that `head` changes since it left `base`.
    pub async fn changes(&self, base: &CommitId, head: &CommitId) -> Result<Changes, Error> {
        let answer = self
            .call("diff-tree")
            .args(["-r", "-z", "--raw", "--numstat", "--no-renames", "--no-abbrev"])
            .args(["--no-ext-diff", "--no-textconv", "--merge-base"])
            .args([base.as_str(), head.as_str()])
            .answer()
            .await?;
        if answer.code != 0 {
            return Err(answer.failure());
        }
        let (mut files, links) = parse_changes(&answer.stdout).ok_or_else(|| answer.garbled())?;
        self.follow(&mut files, &links).await?;
        Ok(Changes { files })
    }

    /// Looks up where the symlinks point to; `links` are places in `files` with their blobs.
    async fn follow(&self, files: &mut [Change], links: &[Link]) -> Result<(), Error> {
        let links = &links[..links.len().min(LINKS_MAX)];
        if links.is_empty() {
            return Ok(());
        }
        let blobs: String = links.iter().map(|(_, blob)| format!("{blob}\n")).collect();
        let answer = self.call("cat-file").arg("--batch").stdin(blobs).answer().await?;
        let targets = parse_blobs(&answer.stdout).ok_or_else(|| answer.garbled())?;
        for ((at, _), bytes) in links.iter().zip(targets) {
            if bytes.len() <= LINK_BYTES_MAX {
                let target = Some(String::from_utf8_lossy(bytes).into_owned());
                files[*at].kind = Kind::Symlink { target };
            }
        }
        Ok(())
    }

    /// What `head` changes since it left `base`, as text of at most `bytes_max` bytes.
    pub async fn diff(
        &self,
        base: &CommitId,
        head: &CommitId,
        bytes_max: usize,
    ) -> Result<Diff, Error> {
        let answer = self
            .call("diff-tree")
            .args(["-r", "-p", "--no-color", "--no-ext-diff", "--no-textconv", "--merge-base"])
            .args([base.as_str(), head.as_str()])
            .beginning(bytes_max)
            .await?;
        if answer.code != 0 && !answer.cut {
            return Err(answer.failure());
        }
        let mut text = String::from_utf8_lossy(&answer.stdout).into_owned();
        if answer.cut {
            text.truncate(text.rfind('\n').map_or(0, |at| at + 1));
        }
        Ok(Diff { text, cut: answer.cut })
    }

    /// The beginning of a file of a commit, at most `bytes_max` bytes. What is no text in it is
    /// replaced.
    pub async fn beginning_of(
        &self,
        commit: &CommitId,
        path: &str,
        bytes_max: usize,
    ) -> Result<String, Error> {
        let call = self.call("cat-file").arg("blob").arg(format!("{commit}:{path}"));
        let answer = call.beginning(bytes_max).await?;
        if answer.code != 0 && !answer.cut {
            return Err(answer.failure());
        }
        Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
    }

    /// One commit.
    pub async fn commit(&self, id: &CommitId) -> Result<Commit, Error> {
        let found = self.log(id.as_str(), 1).await?.pop();
        found.ok_or(Error::Garbled { verb: "log" })
    }

    /// The commits that `head` has and `base` has not, oldest first, at most `limit` of the
    /// newest.
    pub async fn commits(
        &self,
        base: &CommitId,
        head: &CommitId,
        limit: usize,
    ) -> Result<Vec<Commit>, Error> {
        self.log(&range(base, head), limit).await
    }

    async fn log(&self, which: &str, limit: usize) -> Result<Vec<Commit>, Error> {
        let answer = self
            .call("log")
            .args(["-z", "--topo-order", "--reverse", "--no-color", "--no-show-signature"])
            .args(["--no-mailmap", "--no-decorate", "--no-notes", "--encoding=UTF-8"])
            .args(["--date=raw", "--format=%H%n%P%n%an%n%ae%n%ad%n%B"])
            .arg(format!("--max-count={limit}"))
            .arg(which)
            .arg("--")
            .answer()
            .await?;
        if answer.code != 0 {
            return Err(answer.failure());
        }
        let text = String::from_utf8_lossy(&answer.stdout);
        let commits = text.split('\0').filter(|c| !c.is_empty()).map(parse_commit);
        commits.collect::<Option<_>>().ok_or_else(|| answer.garbled())
    }
}

fn range(base: &CommitId, head: &CommitId) -> String {
    format!("{base}..{head}")
}

fn parse_commit(text: &str) -> Option<Commit> {
    let mut parts = text.splitn(6, '\n');
    let id = parts.next()?.parse().ok()?;
    let parents =
        parts.next()?.split_whitespace().map(|p| p.parse().ok()).collect::<Option<_>>()?;
    let author = Signature {
        name: parts.next()?.to_owned(),
        email: parts.next()?.to_owned(),
        date: parts.next()?.to_owned(),
    };
    Some(Commit { id, parents, author, message: parts.next()?.trim_end().to_owned() })
}

/// Which change is a symbolic link, and the blob that holds where it points.
type Link = (usize, String);

/// Reads `--raw --numstat -z`: all raw records first, `:<mode> <mode> <id> <id> <letter>` and the
/// path, then all counts, `<plus>\t<minus>\t<path>`.
fn parse_changes(output: &[u8]) -> Option<(Vec<Change>, Vec<Link>)> {
    let mut files = Vec::new();
    let mut links = Vec::new();
    let mut place = HashMap::new();
    let mut fields = output.split(|b| *b == 0).filter(|f| !f.is_empty());
    while let Some(field) = fields.next() {
        let text = String::from_utf8_lossy(field);
        if let Some(record) = text.strip_prefix(':') {
            let path = fields.next()?;
            let (change, blob) = parse_raw(record, path)?;
            links.extend(blob.map(|blob| (files.len(), blob)));
            place.insert(path, files.len());
            files.push(change);
        } else {
            let (plus, rest) = text.split_once('\t')?;
            let (minus, _) = rest.split_once('\t')?;
            let path = &field[plus.len() + 1 + minus.len() + 1..];
            let file: &mut Change = files.get_mut(*place.get(path)?)?;
            (file.insertions, file.deletions) = (plus.parse().ok(), minus.parse().ok());
        }
    }
    Some((files, links))
}

/// One raw record; for a symlink also the blob that holds its target.
fn parse_raw(record: &str, path: &[u8]) -> Option<(Change, Option<String>)> {
    let mut parts = record.split(' ');
    let (old_mode, new_mode) = (parts.next()?, parts.next()?);
    let (old_id, new_id) = (parts.next()?, parts.next()?);
    let how = match parts.next()? {
        "A" => How::Added,
        "D" => How::Deleted,
        _ => How::Modified,
    };
    let (mode, id) = if how == How::Deleted { (old_mode, old_id) } else { (new_mode, new_id) };
    let kind = match mode {
        "100755" => Kind::Executable,
        "120000" => Kind::Symlink { target: None },
        "160000" => Kind::Gitlink,
        _ => Kind::File,
    };
    let blob = (mode == "120000").then(|| id.to_owned());
    let path = String::from_utf8_lossy(path).into_owned();
    Some((Change { path, how, kind, insertions: None, deletions: None }, blob))
}

/// Reads `cat-file --batch`: `<id> blob <size>`, a line break, the bytes, a line break.
fn parse_blobs(output: &[u8]) -> Option<Vec<&[u8]>> {
    let mut blobs = Vec::new();
    let mut rest = output;
    while !rest.is_empty() {
        let end = rest.iter().position(|b| *b == b'\n')?;
        let header = std::str::from_utf8(&rest[..end]).ok()?;
        let size: usize = header.rsplit(' ').next()?.parse().ok()?;
        blobs.push(rest.get(end + 1..end + 1 + size)?);
        rest = rest.get(end + 1 + size + 1..)?;
    }
    Some(blobs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_records_and_counts_meet_by_path() {
        let id = "1".repeat(40);
        let output = format!(
            ":000000 120000 {id} {id} A\0a\tb\0:100644 100755 {id} {id} M\0c\nd\0\
             1\t0\ta\tb\0-\t-\tc\nd\0"
        );
        let (files, links) = parse_changes(output.as_bytes()).unwrap();
        let seen: Vec<_> = files.iter().map(|f| (f.path.as_str(), f.how, f.insertions)).collect();
        assert_eq!(seen, [("a\tb", How::Added, Some(1)), ("c\nd", How::Modified, None)]);
        assert_eq!(links, [(0, id)]);
        assert!(parse_changes(b"nonsense\0").is_none());
    }

    #[test]
    fn blobs_may_hold_line_breaks() {
        let output = b"aa blob 3\na\nb\ncc blob 0\n\n";
        assert_eq!(parse_blobs(output).unwrap(), [&b"a\nb"[..], b""]);
        assert!(parse_blobs(b"aa missing\n").is_none());
    }
}
