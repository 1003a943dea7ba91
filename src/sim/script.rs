//! What a scripted agent does: a YAML list of steps, each a word (`crash`) or a map of one key
//! (`say: hello`).
//!
//! Strict: a key that is not known, a number that is none, is refused with its line before
//! anything is played. This file must not do anything itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::agents::signals::FileAction;
use crate::failure::Failure;
use crate::ids::TaskId;

/// As long as an ordinary line of a log.
const FLOOD_LINE_BYTES: u64 = 100;

/// The steps of a scripted agent.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Script(Vec<Step>);

/// One thing that a scripted agent does.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Step {
    /// A line of output.
    Say(String),
    /// A line of error output.
    Complain(String),
    /// Makes a file, with its directories, or replaces it.
    Write {
        path: PathBuf,
        text: String,
    },
    /// Adds to a file.
    Append {
        path: PathBuf,
        text: String,
    },
    /// Removes a file.
    Delete(PathBuf),
    /// Commits all that changed.
    Commit(String),
    Done(Option<String>),
    NoChanges,
    Failed(String),
    Summary(String),
    Learned(String),
    Concern(String),
    OpsConcern(String),
    Plan(String),
    Progress(String),
    Note {
        to: TaskId,
        text: String,
    },
    Declare {
        path: String,
        action: FileAction,
        category: String,
    },
    Ask(Ask),
    /// Waits until there is a file.
    WaitFor(PathBuf),
    /// Does nothing for so long.
    Stall(Stall),
    /// So many bytes of output at once, in lines.
    Flood {
        #[serde(deserialize_with = "whole")]
        bytes: u64,
        #[serde(default = "flood_line", deserialize_with = "whole")]
        line: u64,
    },
    /// So many bytes that are no text.
    #[serde(deserialize_with = "whole")]
    Garbage(u64),
    /// A line of so many bytes.
    #[serde(deserialize_with = "whole")]
    LongLine(u64),
    /// Leaves a process of its own behind that lives so long.
    Fork(Span),
    /// From now on heeds neither an interrupt nor a request to terminate.
    IgnoreTerm,
    /// Ends by a signal.
    Crash,
    /// Ends.
    #[serde(deserialize_with = "whole")]
    Exit(u8),
    /// Steps by the number of the attempt, from 0.
    OnAttempt(Cases),
    /// Steps by the number of the turn, from 0.
    OnTurn(Cases),
}

/// A question, and what is made of the answer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ask {
    pub(crate) question: String,
    #[serde(default)]
    pub(crate) choices: Vec<String>,
    /// Any other answer ends the agent.
    pub(crate) expect: Option<String>,
    /// The file that the answer is written to.
    pub(crate) answer_to: Option<PathBuf>,
}

/// How long nothing is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stall {
    For(Duration),
    Forever,
}

/// A duration as people write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

/// Which steps are for which number.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Cases(BTreeMap<Case, Vec<Step>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Case {
    Number(u32),
    Else,
}

impl<'de> Deserialize<'de> for Stall {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "forever" {
            return Ok(Self::Forever);
        }
        duration(&text).map(Self::For).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        duration(&text).map(Self).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Case {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = |_| D::Error::custom(format!("`{text}` is neither a number nor `else`"));
        if text == "else" { Ok(Self::Else) } else { text.parse().map(Self::Number).map_err(wrong) }
    }
}

/// A whole number, for which the reader's own message would name a type of this program.
fn whole<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let wrong = |_| D::Error::custom("must be a whole number, not negative and not too large");
    T::deserialize(deserializer).map_err(wrong)
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = |why| format!("`{text}` is no duration ({why}); write `90s` or `2h`");
    humantime::parse_duration(text).map_err(wrong)
}

fn flood_line() -> u64 {
    FLOOD_LINE_BYTES
}

impl Script {
    /// Reads a script.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        serde_yaml::from_str(text).map_err(|error| {
            let plain = error.without_snippet();
            Failure::user(plain.render_with_formatter(&serde_yaml::UserMessageFormatter))
        })
    }

    /// Reads the script in a file.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path)
            .map_err(|why| Failure::user(format!("cannot read {}: {why}", path.display())))?;
        Self::parse(&text).map_err(|mut failure| {
            failure.message = format!("{}: {}", path.display(), failure.message);
            failure
        })
    }

    /// The steps of one turn, in order.
    pub(crate) fn steps(&self, attempt: u32, turn: u32) -> Vec<&Step> {
        let mut open: Vec<&Step> = self.0.iter().rev().collect();
        let mut steps = Vec::new();
        while let Some(step) = open.pop() {
            if let Step::OnAttempt(cases) = step {
                open.extend(cases.of(attempt).iter().rev());
            } else if let Step::OnTurn(cases) = step {
                open.extend(cases.of(turn).iter().rev());
            } else {
                steps.push(step);
            }
        }
        steps
    }
}

impl Cases {
    fn of(&self, number: u32) -> &[Step] {
        let found = self.0.get(&Case::Number(number)).or_else(|| self.0.get(&Case::Else));
        found.map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_of_a_turn_are_in_the_order_of_the_script() {
        let script = "
- say: always
- on_attempt:
    0: [{say: first}, {on_turn: {1: [{say: again}], else: [{say: once}]}}]
    else: [{say: later}]
- done: all of it
- crash
";
        let script = Script::parse(script).unwrap();
        let said = |attempt, turn| {
            let of = |step: &&Step| format!("{step:?}");
            script.steps(attempt, turn).iter().map(of).collect::<Vec<_>>().join(", ")
        };
        let rest = r#"Done(Some("all of it")), Crash"#;
        assert_eq!(said(0, 0), format!(r#"Say("always"), Say("first"), Say("once"), {rest}"#));
        assert_eq!(said(0, 1), format!(r#"Say("always"), Say("first"), Say("again"), {rest}"#));
        assert_eq!(said(7, 0), format!(r#"Say("always"), Say("later"), {rest}"#));
    }

    #[test]
    fn words_and_maps_are_steps() {
        let script = "
- done:
- no_changes
- ignore_term
- ask: {question: which?}
- stall: forever
- stall: 1m 30s
- flood: {bytes: 7}
- exit: 3
";
        insta::assert_snapshot!(
            Script::parse(script).unwrap().0.iter().map(|s| format!("{s:?}\n")).collect::<String>()
        );
    }

    #[test]
    fn a_bad_script_is_refused_with_its_line() {
        let cases = [
            "- sing: la",
            "- say: x\n- write: {path: a, txt: b}",
            "- say: x\n- write: {path: a}",
            "- stall: soon",
            "- exit: 256",
            "- on_turn: {first: []}",
            "- on_turn: {0: [], 0: []}",
            "- say: x\n  complain: y",
            "say: x",
            "- note: {to: ../x, text: y}",
            "- declare: {path: a, action: eaten, category: src}",
            "- crash: now",
            "",
        ];
        let verdict = |case: &str| match Script::parse(case) {
            Ok(script) => format!("{script:?}"),
            Err(failure) => failure.to_string(),
        };
        let table: String =
            cases.iter().map(|case| format!("{case}\n    {}\n", verdict(case))).collect();
        insta::assert_snapshot!(table);
    }
}
