//! What a program may say besides its output: claims, doubts, questions. One JSON object each, the
//! same on the socket, in `status.json` and in the record.
//!
//! A signal is a claim and never a fact; judging it is the runner's. Everything here is bounded
//! and checked when it comes in, because whoever says it is not trusted.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::agents::process::hostile::{self, InvalidSignal};
use crate::agents::process::{AGENT_SOCKET, connect};
use crate::ids::TaskId;
use crate::time::Timestamp;

/// The longest signal. A plan or a summary of a page or ten fits; a log does not belong here.
pub const SIGNAL_BYTES_MAX: usize = 64 << 10;

/// How many signals one launch may give. One every ten seconds for three hours is less; more is
/// a loop that has gone wild.
pub const SIGNALS_MAX: u32 = 1_000;

/// As many choices as a Discord menu holds.
pub const CHOICES_MAX: usize = 25;

/// As long as the label of a Discord button may be.
pub const CHOICE_CHARS_MAX: usize = 80;

/// Where a program finds the directory of its attempt, and in it the socket.
pub const DIR_VARIABLE: &str = "TASKLOOM_DIR";

/// What a program that cannot call `taskloom task` leaves in its attempt's directory instead: one
/// signal after another.
pub const STATUS_FILE: &str = "status.json";

/// What is said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "signal", rename_all = "snake_case", deny_unknown_fields)]
pub enum Signal {
    /// The work is done.
    Done {
        /// What was done.
        #[serde(default)]
        summary: Option<String>,
    },
    /// There was nothing to change.
    NoChanges {},
    /// The work cannot be done.
    Failed {
        /// Why.
        reason: String,
    },
    /// A doubt about the design: a person should look before this is merged.
    Concern {
        /// The words.
        text: String,
    },
    /// Trouble with tools or environment.
    OpsConcern {
        /// The words.
        text: String,
    },
    /// What was done, for those who read or build on it.
    Summary {
        /// The words.
        text: String,
    },
    /// Something that would have been good to know before, for tasks to come.
    Learned {
        /// The words.
        text: String,
    },
    /// A file that later tasks may ask for.
    Declare {
        /// Relative, inside the repository.
        path: String,
        /// What became of it.
        action: FileAction,
        /// `src`, `test`, `spec` or any other word.
        category: String,
    },
    /// A question to a person; whoever asks waits for the answer.
    Ask {
        /// The words.
        question: String,
        /// What can be answered; empty: anything.
        #[serde(default)]
        choices: Vec<String>,
    },
    /// Something that a later task should know.
    Note {
        /// That task.
        to: TaskId,
        /// The words.
        text: String,
    },
    /// A reviewer lets a change through.
    Approve {},
    /// A reviewer does not.
    Object {
        /// What has to be changed, each on its own.
        objections: Vec<String>,
    },
    /// What is to be done by others, if a person approves it.
    Plan {
        /// The words.
        text: String,
    },
    /// What is being done.
    Progress {
        /// The words.
        text: String,
    },
}

/// What became of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileAction {
    /// It is new.
    Created,
    /// It was changed.
    Modified,
    /// It is gone.
    Deleted,
}

/// Why something is no signal.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    /// It is too long.
    #[error("a signal may have at most {SIGNAL_BYTES_MAX} bytes, and this one has {0}")]
    TooLong(usize),
    /// It is not JSON, or not a signal.
    #[error("not a signal: {0}")]
    Malformed(#[from] serde_json::Error),
    /// It breaks a rule of its kind.
    #[error("not a signal: {0}")]
    Rule(&'static str),
}

impl Signal {
    /// The signal that `text` is.
    pub fn parse(text: &[u8]) -> Result<Self, SignalError> {
        if text.len() > SIGNAL_BYTES_MAX {
            return Err(SignalError::TooLong(text.len()));
        }
        let signal: Self = serde_json::from_slice(text)?;
        signal.check()?;
        Ok(signal)
    }

    /// Whether it says that the work is at its end, one way or another.
    pub fn is_claim(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::NoChanges {} | Self::Failed { .. })
    }

    fn check(&self) -> Result<(), SignalError> {
        let rule = |fine: bool, rule| if fine { Ok(()) } else { Err(SignalError::Rule(rule)) };
        match self {
            Self::Done { .. } | Self::NoChanges {} | Self::Approve {} => Ok(()),
            Self::Object { objections } => {
                let said = |text: &String| !text.trim().is_empty();
                let any = !objections.is_empty() && objections.iter().all(said);
                rule(any, "it needs objections, none of them empty")
            }
            Self::Failed { reason: text }
            | Self::Concern { text }
            | Self::OpsConcern { text }
            | Self::Summary { text }
            | Self::Learned { text }
            | Self::Note { text, .. }
            | Self::Plan { text }
            | Self::Progress { text } => rule(!text.trim().is_empty(), "its text is empty"),
            Self::Declare { path, category, .. } => {
                rule(stays_inside(path), "its path must be relative and stay in the repository")?;
                rule(!category.trim().is_empty(), "its category is empty")
            }
            Self::Ask { question, choices } => {
                rule(!question.trim().is_empty(), "its question is empty")?;
                rule(choices.len() <= CHOICES_MAX, "it has more than 25 choices")?;
                let different = choices.iter().collect::<BTreeSet<_>>().len() == choices.len();
                rule(different, "two of its choices are the same")?;
                let fits = |c: &String| (1..=CHOICE_CHARS_MAX).contains(&c.trim().chars().count());
                rule(choices.iter().all(fits), "a choice must have 1 to 80 characters")
            }
        }
    }
}

fn stays_inside(path: &str) -> bool {
    let mut parts = Path::new(path).components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, Component::Normal(_)))
}

/// A signal as it was written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signalled {
    /// Counts the signals of a launch, from 1.
    pub seq: u32,
    /// When it came in.
    pub at: Timestamp,
    /// What was said.
    pub signal: Signal,
}

/// What the program is told about a signal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::agents) enum Reply {
    /// It was written down.
    Accepted { seq: u32 },
    /// It was not.
    Refused { why: String },
    /// The answer to it.
    Answer { text: String },
}

/// Why a signal did not get through.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Nobody is there to hear it.
    #[error("`taskloom task` works only inside a task: `{DIR_VARIABLE}` is not set")]
    OutsideAttempt,
    /// The attempt that this belongs to does not listen.
    #[error("nobody listens in `{}`: the attempt is over ({source})", .dir.display())]
    AttemptOver {
        /// Where it was tried.
        dir: PathBuf,
        /// What the machine says.
        source: io::Error,
    },
    /// It is no signal.
    #[error(transparent)]
    Invalid(#[from] SignalError),
    /// It was not taken.
    #[error("{0}")]
    Refused(String),
}

impl SendError {
    /// For scripts: 2 outside an attempt, 3 for a signal that is not taken, 4 when nobody listens.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::OutsideAttempt => 2,
            Self::Invalid(_) | Self::Refused(_) => 3,
            Self::AttemptOver { .. } => 4,
        }
    }
}

/// Says `signal` from inside an attempt whose directory is `dir` (what [`DIR_VARIABLE`] holds).
/// For a question it waits for the answer, however long, and returns it.
pub fn send(dir: Option<&Path>, signal: &Signal) -> Result<Option<String>, SendError> {
    let dir = dir.ok_or(SendError::OutsideAttempt)?;
    let mut line = serde_json::to_vec(signal).map_err(SignalError::from)?;
    // What could not be read back must not be sent: here the one who says it learns best.
    Signal::parse(&line)?;
    line.push(b'\n');
    let over = |source| SendError::AttemptOver { dir: dir.to_owned(), source };
    let mut replies = BufReader::new(connect(dir, AGENT_SOCKET).map_err(over)?);
    replies.get_mut().write_all(&line).map_err(over)?;
    match next_reply(&mut replies).map_err(over)? {
        Reply::Refused { why } => return Err(SendError::Refused(why)),
        Reply::Accepted { .. } | Reply::Answer { .. } => {}
    }
    if !matches!(signal, Signal::Ask { .. }) {
        return Ok(None);
    }
    match next_reply(&mut replies).map_err(over)? {
        Reply::Answer { text } => Ok(Some(text)),
        Reply::Refused { why } => Err(SendError::Refused(why)),
        Reply::Accepted { .. } => Err(SendError::Refused("the answer is missing".to_owned())),
    }
}

fn next_reply(replies: &mut impl io::BufRead) -> io::Result<Reply> {
    let mut line = String::new();
    replies.read_line(&mut line)?;
    if line.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_str(&line)?)
}

/// The signals that a [`STATUS_FILE`] holds, one after another. No file: none.
pub fn read_status(path: &Path) -> Result<Vec<Signal>, InvalidSignal> {
    let Some(content) = hostile::read(path, SIGNAL_BYTES_MAX as u64)? else {
        return Ok(Vec::new());
    };
    let invalid = |e: SignalError| InvalidSignal::new(path, e.to_string());
    let values = serde_json::Deserializer::from_slice(&content).into_iter::<Signal>();
    let mut signals = Vec::new();
    for value in values {
        let signal = value.map_err(|e| invalid(e.into()))?;
        signal.check().map_err(invalid)?;
        signals.push(signal);
    }
    Ok(signals)
}

/// Reads the record of signals while it grows.
#[derive(Debug)]
pub(in crate::agents) struct SignalReader {
    path: PathBuf,
    lines: BufReader<File>,
    seen: u32,
}

impl SignalReader {
    /// A reader that begins after the first `seen` signals; `None` if there is no record.
    pub(in crate::agents) fn open(path: &Path, seen: u32) -> Result<Option<Self>, InvalidSignal> {
        let Some(file) = hostile::open(path)? else { return Ok(None) };
        let mut reader = Self { path: path.to_owned(), lines: BufReader::new(file), seen: 0 };
        while reader.seen < seen && reader.next_line()?.is_some() {}
        Ok(Some(reader))
    }

    /// How many signals have been read or skipped.
    pub(in crate::agents) fn seen(&self) -> u32 {
        self.seen
    }

    /// The next signal; `None` if it is not there yet.
    pub(in crate::agents) fn next(&mut self) -> Result<Option<Signalled>, InvalidSignal> {
        let Some(line) = self.next_line()? else { return Ok(None) };
        let invalid = |e: &dyn std::error::Error| InvalidSignal::new(&self.path, e.to_string());
        let signalled: Signalled = serde_json::from_slice(&line).map_err(|e| invalid(&e))?;
        signalled.signal.check().map_err(|e| invalid(&e))?;
        Ok(Some(signalled))
    }

    fn next_line(&mut self) -> Result<Option<Vec<u8>>, InvalidSignal> {
        // A signal, its number and its time; what is longer was not written by the shim.
        let line_max = SIGNAL_BYTES_MAX as u64 + 1024;
        let mut line = Vec::new();
        let read = (&mut self.lines).take(line_max).read_until(b'\n', &mut line);
        read.map_err(|e| InvalidSignal::new(&self.path, e.to_string()))?;
        if line.len() as u64 == line_max {
            return Err(InvalidSignal::new(&self.path, "a line of it is too long"));
        }
        // Half a line is what a supervisor that was killed had not finished; nobody relied on it.
        if line.pop() != Some(b'\n') {
            return Ok(None);
        }
        self.seen += 1;
        Ok(Some(line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> String {
        match Signal::parse(text.as_bytes()) {
            Ok(signal) => format!("{signal:?}"),
            Err(why) => why.to_string(),
        }
    }

    #[test]
    fn signals_are_checked_and_the_refusal_says_why() {
        let many = format!(
            r#"{{"signal":"ask","question":"?","choices":[{}]}}"#,
            (0..26).map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(",")
        );
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        let cases = [
            r#"{"signal":"done","summary":"all of it"}"#,
            r#"{"signal":"done"}"#,
            r#"{"signal":"no_changes"}"#,
            r#"{"signal":"no_changes","why":"x"}"#,
            r#"{"signal":"failed"}"#,
            r#"{"signal":"failed","reason":" "}"#,
            r#"{"signal":"declare","path":"a/b.rs","action":"created","category":"src"}"#,
            r#"{"signal":"declare","path":"../b","action":"created","category":"src"}"#,
            r#"{"signal":"declare","path":"/etc/passwd","action":"deleted","category":"src"}"#,
            r#"{"signal":"declare","path":"a","action":"eaten","category":"src"}"#,
            r#"{"signal":"ask","question":"which?","choices":["a","b"]}"#,
            r#"{"signal":"ask","question":"which?","choices":["a","a"]}"#,
            r#"{"signal":"ask","question":"which?","choices":[""]}"#,
            &many,
            r#"{"signal":"note","to":"../x","text":"mind the gap"}"#,
            r#"{"signal":"progress","text":"half way"}"#,
            r#"{"signal":"victory"}"#,
            "done",
            "",
            &deep,
        ];
        let head = |case: &str| case.chars().take(80).collect::<String>();
        let table: String =
            cases.iter().map(|case| format!("{}\n    {}\n", head(case), verdict(case))).collect();
        insta::assert_snapshot!(table);
    }

    #[test]
    fn a_signal_that_is_too_long_names_the_limit() {
        let long = format!(r#"{{"signal":"plan","text":"{}"}}"#, "x".repeat(SIGNAL_BYTES_MAX));
        let why = verdict(&long);
        assert!(why.contains("at most 65536 bytes"), "{why}");
    }
}
