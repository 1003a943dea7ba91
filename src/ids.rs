//! The names of things: newtypes that prove their rule once, so that nothing behind them
//! re-checks or quotes by hand.
//!
//! A slug becomes a path segment, a git ref component, a tmux window and a
//! Discord custom id as it stands. This file must not know what the named things are.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name, in characters. A branch holds three of them and must stay under the
/// 255 bytes that file systems allow a path segment.
pub const NAME_CHARS_MAX: usize = 64;

/// Why a text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("a name must not be empty")]
    Empty,
    /// More than [`NAME_CHARS_MAX`] characters.
    #[error("a name must have at most {NAME_CHARS_MAX} characters")]
    TooLong,
    /// The first character is not a letter or digit.
    #[error("a name must start with a letter or a digit, not with `{0}`")]
    BadStart(char),
    /// A character outside letters, digits, `.`, `_` and `-`.
    #[error("a name may hold only letters, digits, `.`, `_` and `-`, not `{}`", .0.escape_debug())]
    BadChar(char),
    /// `..`, which git refuses in refs and which climbs in paths.
    #[error("a name must not hold `..`")]
    DotDot,
    /// `.lock`, which git keeps for itself.
    #[error("a name must not end in `.lock`")]
    DotLock,
    /// A dot at the end, which git refuses in refs.
    #[error("a name must not end in `.`")]
    DotEnd,
}

/// Says whether `text` may be a name: `[A-Za-z0-9][A-Za-z0-9._-]{0,63}`, no `..`, not ending in
/// `.lock` or `.`. The rule is that of git's ref components
/// (<https://git-scm.com/docs/git-check-ref-format>), narrowed to what is also a safe path
/// segment on every file system.
pub fn check_name(text: &str) -> Result<(), NameError> {
    let first = text.chars().next().ok_or(NameError::Empty)?;
    if !first.is_ascii_alphanumeric() {
        return Err(NameError::BadStart(first));
    }
    let bad = |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if let Some(c) = text.chars().find(bad) {
        return Err(NameError::BadChar(c));
    }
    if text.len() > NAME_CHARS_MAX {
        return Err(NameError::TooLong);
    }
    if text.contains("..") {
        return Err(NameError::DotDot);
    }
    if text.to_ascii_lowercase().ends_with(".lock") {
        return Err(NameError::DotLock);
    }
    if text.ends_with('.') {
        return Err(NameError::DotEnd);
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $Name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $Name(Box<str>);

        impl $Name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $Name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                check_name(text)?;
                Ok(Self(text.into()))
            }
        }

        impl TryFrom<String> for $Name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                check_name(&text)?;
                Ok(Self(text.into()))
            }
        }

        impl From<$Name> for String {
            fn from(name: $Name) -> Self {
                name.0.into()
            }
        }

        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name! {
    /// The name of a graph: its identity on disk, in branches and in threads.
    ///
    /// Names of different kinds do not convert into each other:
    /// ```compile_fail
    /// # use taskloom::ids::{GraphName, TaskId};
    /// let task: TaskId = "a".parse::<GraphName>().unwrap();
    /// ```
    GraphName
}
name! {
    /// The name of a task inside its graph.
    TaskId
}
name! {
    /// The name of a lane (a workstream) inside its graph.
    LaneId
}
name! {
    /// The name of a project.
    ProjectId
}
name! {
    /// The name of an agent profile of the configuration.
    ProfileName
}
name! {
    /// The name of a hook.
    HookName
}

/// The number of a run in the store. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub i64);

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How people name a run: the graph's name and the number of the submission, `payments/3`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunName {
    /// The graph that was submitted.
    pub graph: GraphName,
    /// Counts the submissions of this graph in its project, from 1.
    pub number: u32,
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.graph, self.number)
    }
}

/// A full git object id in lower-case hexadecimal: 40 digits (SHA-1) or 64 (SHA-256).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CommitId(Box<str>);

/// A text that is no full object id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a full git object id")]
pub struct CommitIdError(String);

impl CommitId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first ten digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..10]
    }
}

impl FromStr for CommitId {
    type Err = CommitIdError;
    fn from_str(text: &str) -> Result<Self, CommitIdError> {
        let digits = |c: u8| c.is_ascii_digit() || matches!(c, b'a'..=b'f');
        if matches!(text.len(), 40 | 64) && text.bytes().all(digits) {
            Ok(Self(text.into()))
        } else {
            Err(CommitIdError(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for CommitId {
    type Error = CommitIdError;
    fn try_from(text: String) -> Result<Self, CommitIdError> {
        text.parse()
    }
}

impl From<CommitId> for String {
    fn from(id: CommitId) -> Self {
        id.0.into()
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.short())
    }
}

/// The branches of a run, collision-free by construction: a task may be called like a lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branches<'a> {
    run: &'a RunName,
}

impl<'a> Branches<'a> {
    /// The branches of `run`.
    pub fn of(run: &'a RunName) -> Self {
        Self { run }
    }

    /// Where the work of `task` is proposed from.
    pub fn task(&self, task: &TaskId) -> String {
        format!("{}/t/{task}", self.prefix())
    }

    /// The integration branch of `lane`.
    pub fn lane(&self, lane: &LaneId) -> String {
        format!("{}/w/{lane}", self.prefix())
    }

    /// The target branch as this run has moved it, `…/into/main`.
    pub fn target(&self, branch: &str) -> String {
        format!("{}/into/{branch}", self.prefix())
    }

    /// Where a revert of `lane` is proposed from.
    pub fn revert(&self, lane: &LaneId) -> String {
        format!("{}/revert/{lane}", self.prefix())
    }

    /// What every branch of the run starts with.
    pub fn prefix(&self) -> String {
        format!("taskloom/{}/{}", self.run.graph, self.run.number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_rule_and_say_which_part_they_break() {
        let verdict = |text: &str| match check_name(text) {
            Ok(()) => "ok".to_owned(),
            Err(why) => why.to_string(),
        };
        let cases = [
            "a", "A.b_c-9", "", ".a", "-rf", "a/b", "a b", "a..b", "x.lock", "x.LOCK", "x.", "é",
            "$(id)", "a\nb",
        ];
        let table: String = cases
            .iter()
            .map(|c| format!("{:12} {}\n", c.escape_debug().to_string(), verdict(c)))
            .collect();
        insta::assert_snapshot!(table);
        assert_eq!(check_name(&"a".repeat(64)), Ok(()));
        assert_eq!(check_name(&"a".repeat(65)), Err(NameError::TooLong));
    }

    #[test]
    fn a_task_and_a_lane_of_one_name_have_two_branches() {
        let run = RunName { graph: "g".parse().unwrap(), number: 2 };
        let branches = Branches::of(&run);
        assert_eq!(branches.task(&"x".parse().unwrap()), "taskloom/g/2/t/x");
        assert_eq!(branches.lane(&"x".parse().unwrap()), "taskloom/g/2/w/x");
        assert_eq!(branches.target("main"), "taskloom/g/2/into/main");
    }
}
