//! Names that git takes, proven once: refs, branches, trees, authors.
//!
//! A proven name never starts with a dash and holds no control character, so it can stand in a
//! command line or in the lines that `update-ref` reads. This file must not start git.

use std::fmt;
use std::str::FromStr;

use crate::git::Error;
use crate::ids::{CommitId, CommitIdError};
use crate::time::Timestamp;

/// The longest ref. File systems refuse path segments beyond 255 bytes and paths beyond 4,096;
/// a ref also gets `.lock` and the repository's path around it.
const REF_BYTES_MAX: usize = 1024;

/// A full ref name, `refs/…`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RefName(Box<str>);

/// A branch, without `refs/heads/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BranchName(Box<str>);

/// The rule of <https://git-scm.com/docs/git-check-ref-format>.
fn well_formed(name: &str) -> bool {
    let bad_char = |c: char| {
        c.is_ascii_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\')
    };
    let bad_part = |part: &str| {
        part.is_empty() || part.starts_with('.') || part.ends_with(".lock") || part.len() > 250
    };
    name.len() <= REF_BYTES_MAX
        && !name.contains("..")
        && !name.contains("@{")
        && !name.ends_with('.')
        && !name.contains(bad_char)
        && !name.split('/').any(bad_part)
}

impl RefName {
    /// `name` if it starts with `refs/` and git would take it.
    pub fn new(name: &str) -> Result<Self, Error> {
        if name.starts_with("refs/") && well_formed(name) {
            Ok(Self(name.into()))
        } else {
            Err(Error::BadName { name: name.to_owned() })
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The branch that this is, if it is one.
    pub fn branch(&self) -> Option<BranchName> {
        BranchName::new(self.0.strip_prefix("refs/heads/")?).ok()
    }
}

impl BranchName {
    /// `name` if git would take it as a branch.
    pub fn new(name: &str) -> Result<Self, Error> {
        if name.starts_with('-') || name == "HEAD" || !well_formed(name) {
            return Err(Error::BadName { name: name.to_owned() });
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its ref, `refs/heads/…`.
    pub fn to_ref(&self) -> RefName {
        RefName(format!("refs/heads/{}", self.0).into())
    }
}

impl FromStr for BranchName {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::new(text)
    }
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for BranchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for BranchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The id of a tree: what a commit holds, whoever wrote it and when.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreeId(CommitId);

impl TreeId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for TreeId {
    type Err = CommitIdError;
    fn from_str(text: &str) -> Result<Self, CommitIdError> {
        Ok(Self(text.parse()?))
    }
}

impl fmt::Debug for TreeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// How a repository names its objects. Repositories of different formats cannot fetch from each
/// other, so the engine's follows the user's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ObjectFormat {
    /// 40 digits.
    #[default]
    Sha1,
    /// 64 digits.
    Sha256,
}

impl ObjectFormat {
    /// git's word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }
}

/// Who a commit is by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    name: String,
    email: String,
}

impl Identity {
    /// A name and an address that fit into a commit's header.
    pub fn new(name: &str, email: &str) -> Result<Self, Error> {
        for text in [name, email] {
            let bad = |c: char| c.is_control() || matches!(c, '<' | '>');
            if text.trim().is_empty() || text.contains(bad) {
                return Err(Error::BadIdentity { text: text.chars().take(80).collect() });
            }
        }
        Ok(Self { name: name.trim().to_owned(), email: email.trim().to_owned() })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address.
    pub fn email(&self) -> &str {
        &self.email
    }
}

/// Who and when, as git writes it into a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    pub(crate) name: String,
    pub(crate) email: String,
    /// `<seconds> <zone>`.
    pub(crate) date: String,
}

impl Signature {
    /// `who` at `at`, in UTC.
    pub fn new(who: &Identity, at: Timestamp) -> Self {
        let seconds = at.0.div_euclid(1000).max(0);
        Self { name: who.name.clone(), email: who.email.clone(), date: format!("{seconds} +0000") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refs_follow_gits_rule() {
        let good = ["refs/heads/main", "refs/a/b-c_d.e", "refs/heads/é", "refs/x/-y", "refs/@"];
        let bad = [
            "",
            "main",
            "refs/",
            "refs/a//b",
            "refs/a/",
            "refs/.a",
            "refs/a.lock",
            "refs/a..b",
            "refs/a b",
            "refs/a~1",
            "refs/a\n",
            "refs/a@{0}",
            "refs/a.",
            "refs/a\\b",
            "refs/*",
            "refs/a\u{7f}",
        ];
        for name in good {
            assert!(RefName::new(name).is_ok(), "{name}");
        }
        for name in bad {
            assert!(RefName::new(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_branch_cannot_be_taken_for_an_option_or_for_head() {
        for name in ["-d", "--all", "HEAD", "", "a b", "x.lock/y"] {
            assert!(BranchName::new(name).is_err(), "{name}");
        }
        let branch = BranchName::new("taskloom/g/1/t/a").unwrap();
        assert_eq!(branch.to_ref().as_str(), "refs/heads/taskloom/g/1/t/a");
        assert_eq!(branch.to_ref().branch(), Some(branch));
    }

    #[test]
    fn an_identity_cannot_break_a_commit_header() {
        for (name, email) in [("", "a@b"), ("a", " "), ("a\nb", "c"), ("a", "<c>"), ("\0", "c")] {
            assert!(Identity::new(name, email).is_err(), "{name:?} {email:?}");
        }
        let who = Identity::new(" Ann \"A\" O'Neil", "ann@example.org").unwrap();
        let signed = Signature::new(&who, Timestamp(1_700_000_000_999));
        assert_eq!((who.name(), signed.date.as_str()), ("Ann \"A\" O'Neil", "1700000000 +0000"));
    }
}
