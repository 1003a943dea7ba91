//! The `.git` of a private checkout, written by hand: no process, no template, no hook.
//!
//! Also the view: a repository that only the engine can write and that shows a checkout's
//! objects, so that an import reads no file of the agent's `.git` but objects.

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes};
use std::io::{self, Write as _};
use std::path::Path;

use crate::git::{Bare, BranchName, Identity, ObjectFormat, RefName};
use crate::ids::CommitId;

/// What a fresh `.git` says.
pub(super) struct Plan<'a> {
    pub(super) branch: Option<&'a BranchName>,
    pub(super) commit: &'a CommitId,
    pub(super) refs: &'a [(RefName, CommitId)],
    pub(super) identity: &'a Identity,
}

/// Writes `tree/.git`, which must not exist, and gives it a copy of `index`.
pub(super) fn lay(tree: &Path, plan: &Plan<'_>, bare: &Bare, index: &Path) -> io::Result<()> {
    let git = tree.join(".git");
    fs::create_dir(&git)?;
    for folder in ["info", "objects/pack", "refs/heads", "refs/tags"] {
        fs::create_dir_all(git.join(folder))?;
    }
    borrow(&git, bare, &bare.alternates())?;
    let head = match plan.branch {
        Some(branch) => format!("ref: {}\n", branch.to_ref()),
        None => format!("{}\n", plan.commit),
    };
    write(&git.join("HEAD"), &head)?;
    write(&git.join("packed-refs"), &packed_refs(plan))?;
    write(&git.join("config"), &config(bare.format(), plan.identity))?;
    copy_with_time(index, &git.join("index"))
}

/// Writes the view of `tree`'s objects at `view`, anew.
pub(super) fn lay_view(view: &Path, tree: &Path, bare: &Bare) -> io::Result<()> {
    fs::create_dir_all(view.join("refs"))?;
    let alternates = format!("{}{}\n", bare.alternates(), tree.join(".git/objects").display());
    borrow(view, bare, &alternates)?;
    write(&view.join("HEAD"), "ref: refs/heads/none\n")?;
    write(&view.join("config"), &format!("[core]\n\tbare = true\n{}", version(bare.format())))
}

/// Points a repository at objects elsewhere, and at where their history was cut short.
fn borrow(git: &Path, bare: &Bare, alternates: &str) -> io::Result<()> {
    fs::create_dir_all(git.join("objects/info"))?;
    write(&git.join("objects/info/alternates"), alternates)?;
    match fs::copy(bare.dir().join("shallow"), git.join("shallow")) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    File::create(path)?.write_all(text.as_bytes())
}

/// Copies an index with its time: git trusts an entry only if its file is older than the index.
pub(in crate::git) fn copy_with_time(from: &Path, to: &Path) -> io::Result<()> {
    fs::copy(from, to)?;
    let times = FileTimes::new().set_modified(fs::metadata(from)?.modified()?);
    File::options().write(true).open(to)?.set_times(times)
}

/// All refs in one file, sorted as its first line promises.
fn packed_refs(plan: &Plan<'_>) -> String {
    let branch = plan.branch.map(|b| (b.to_ref(), plan.commit));
    let refs: BTreeMap<_, _> =
        plan.refs.iter().map(|(name, at)| (name.clone(), at)).chain(branch).collect();
    let lines = refs.iter().map(|(name, at)| format!("{at} {name}\n"));
    std::iter::once("# pack-refs with: peeled fully-peeled sorted \n".to_owned())
        .chain(lines)
        .collect()
}

/// The identity of the agent, no signing whatever its own configuration says, and no packing in
/// the background that would still run when the engine looks.
fn config(format: ObjectFormat, identity: &Identity) -> String {
    format!(
        "[core]\n\tbare = false\n\tfilemode = true\n\tlogallrefupdates = true\n{}\
         [user]\n\tname = {}\n\temail = {}\n\
         [commit]\n\tgpgSign = false\n[tag]\n\tgpgSign = false\n[gc]\n\tauto = 0\n\
         [maintenance]\n\tauto = false\n",
        version(format),
        quoted(identity.name()),
        quoted(identity.email()),
    )
}

/// The rest of `[core]`, and what it takes for another object format.
fn version(format: ObjectFormat) -> &'static str {
    match format {
        ObjectFormat::Sha1 => "\trepositoryformatversion = 0\n",
        ObjectFormat::Sha256 => {
            "\trepositoryformatversion = 1\n[extensions]\n\tobjectFormat = sha256\n"
        }
    }
}

/// A value as git's configuration quotes it; an identity holds no control characters.
fn quoted(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_as_git_reads_them() {
        assert_eq!(quoted(r#"Ann "A" \ B"#), r#""Ann \"A\" \\ B""#);
    }

    #[test]
    fn refs_are_packed_in_order() {
        let (one, two) = ("1".repeat(40).parse().unwrap(), "2".repeat(40).parse().unwrap());
        let branch = BranchName::new("taskloom/g/1/t/a").unwrap();
        let identity = Identity::new("a", "b").unwrap();
        let plan = Plan {
            branch: Some(&branch),
            commit: &one,
            refs: &[(RefName::new("refs/a").unwrap(), two)],
            identity: &identity,
        };
        let (a, b) = ("2".repeat(40), "1".repeat(40));
        assert!(
            packed_refs(&plan)
                .ends_with(&format!("sorted \n{a} refs/a\n{b} refs/heads/taskloom/g/1/t/a\n"))
        );
    }
}
