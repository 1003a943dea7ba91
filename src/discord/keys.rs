//! The durable names of buttons and modals: `tl:<verb>:<what>[:<more>]`, at most 100 characters
//! (Discord's limit of a custom id). Everything else is looked up in the store when one is
//! pressed, so that a button works after a restart and on an old message.

use std::fmt;
use std::str::FromStr;

use crate::graph::{LaneIx, TaskIx};
use crate::ids::{CommitId, RunId};

/// Hexadecimal digits of a plan's digest.
const DIGEST_CHARS: usize = 16;

/// What a button does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Press {
    /// Try again.
    Retry,
    /// Ask for a note, then try again with it.
    RetryNote,
    /// Try again with everything that builds on it.
    RetryDown,
    /// Try everything again that failed in the run.
    RetryFailed,
    /// Ask for a reason, then pass over.
    Skip,
    /// Show the end of the log.
    Logs,
    /// Attach the whole log.
    FullLog,
    /// Hold the task and say where its work is.
    TakeOver,
    /// Let a commit through.
    Approve,
    /// Ask for a note, then send it back.
    Reject,
    /// Attach the diff.
    Diff,
    /// Give one of the offered answers.
    Answer,
    /// Ask for an answer.
    AnswerText,
    /// Start nothing new.
    Pause,
    /// Go on.
    Resume,
    /// Ask whether to stop, and how.
    Stop,
    /// Give the run up.
    CancelRun,
    /// Say what runs and what waits.
    Queue,
    /// Draw the graph.
    Graph,
    /// Why it does not run.
    Why,
    /// Start a drafted graph.
    Start,
    /// Start a drafted graph that goes on from the run before.
    Apply,
    /// Edit a drafted graph.
    Edit,
    /// Play a drafted graph without agents.
    Rehearse,
    /// Throw a draft away.
    Discard,
    /// Resume everything after safe mode.
    ResumeAll,
    /// Allow a quarter more of a budget.
    More,
    /// Have an agent come to an end with a little more.
    FinishUp,
    /// Ask which other agent is to go on.
    Switch,
    /// Have the agent go on that was chosen.
    SwitchTo,
    /// Do not go on with a task.
    StopTask,
    /// Go on with a task.
    ResumeTask,
    /// Make a plan tasks of its run.
    ApprovePlan,
    /// Edit a plan.
    EditPlan,
    /// Ask for a note, then have the agent plan again.
    ChangePlan,
    /// Go on without a plan.
    DiscardPlan,
    /// Make a hook of what was written.
    AddHook,
    /// Change a hook into what was written.
    EditHook,
}

impl Press {
    /// Every verb.
    pub const ALL: [Press; 38] = [
        Self::Retry,
        Self::RetryNote,
        Self::RetryDown,
        Self::RetryFailed,
        Self::Skip,
        Self::Logs,
        Self::FullLog,
        Self::TakeOver,
        Self::Approve,
        Self::Reject,
        Self::Diff,
        Self::Answer,
        Self::AnswerText,
        Self::Pause,
        Self::Resume,
        Self::Stop,
        Self::CancelRun,
        Self::Queue,
        Self::Graph,
        Self::Why,
        Self::Start,
        Self::Apply,
        Self::Edit,
        Self::Rehearse,
        Self::Discard,
        Self::ResumeAll,
        Self::More,
        Self::FinishUp,
        Self::Switch,
        Self::SwitchTo,
        Self::StopTask,
        Self::ResumeTask,
        Self::ApprovePlan,
        Self::EditPlan,
        Self::ChangePlan,
        Self::DiscardPlan,
        Self::AddHook,
        Self::EditHook,
    ];

    /// Its name in a custom id. Never renamed: old messages keep it.
    // tidy: flat match
    fn word(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::RetryNote => "retry-note",
            Self::RetryDown => "retry-down",
            Self::RetryFailed => "retry-failed",
            Self::Skip => "skip",
            Self::Logs => "logs",
            Self::FullLog => "full-log",
            Self::TakeOver => "take-over",
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Diff => "diff",
            Self::Answer => "answer",
            Self::AnswerText => "answer-text",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Stop => "stop",
            Self::CancelRun => "cancel-run",
            Self::Queue => "queue",
            Self::Graph => "graph",
            Self::Why => "why",
            Self::Start => "start",
            Self::Apply => "apply",
            Self::Edit => "edit",
            Self::Rehearse => "rehearse",
            Self::Discard => "discard",
            Self::ResumeAll => "resume-all",
            Self::More => "more",
            Self::FinishUp => "finish-up",
            Self::Switch => "switch",
            Self::SwitchTo => "switch-to",
            Self::StopTask => "stop-task",
            Self::ResumeTask => "resume-task",
            Self::ApprovePlan => "plan-approve",
            Self::EditPlan => "plan-edit",
            Self::ChangePlan => "plan-change",
            Self::DiscardPlan => "plan-discard",
            Self::AddHook => "add-hook",
            Self::EditHook => "edit-hook",
        }
    }

    /// Whether it decides what its message asked, so that the message's buttons have had their day.
    pub(crate) fn decides(self) -> bool {
        matches!(
            self,
            Self::Retry
                | Self::RetryNote
                | Self::Skip
                | Self::Approve
                | Self::Reject
                | Self::Answer
                | Self::AnswerText
                | Self::More
                | Self::FinishUp
                | Self::StopTask
                | Self::ResumeTask
                | Self::ApprovePlan
                | Self::EditPlan
                | Self::ChangePlan
                | Self::DiscardPlan
        )
    }

    /// Whether the message that only the presser sees makes room for what came of it.
    pub(crate) fn settles(self) -> bool {
        matches!(
            self,
            Self::Start
                | Self::Apply
                | Self::Discard
                | Self::RetryDown
                | Self::CancelRun
                | Self::Pause
                | Self::Resume
                | Self::SwitchTo
        )
    }

    /// Whether it opens a form first.
    pub(crate) fn opens_form(self) -> bool {
        matches!(
            self,
            Self::RetryNote
                | Self::Skip
                | Self::Reject
                | Self::AnswerText
                | Self::Edit
                | Self::EditPlan
                | Self::ChangePlan
        )
    }
}

/// What a button is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum On {
    /// Everything.
    All,
    /// A run.
    Run(RunId),
    /// A task of a run.
    Task(RunId, TaskIx),
    /// A lane of a run.
    Lane(RunId, LaneIx),
    /// A graph that was shown and not started yet.
    Draft(u64),
}

impl On {
    /// The run, if it is about one.
    pub fn run(self) -> Option<RunId> {
        match self {
            Self::Run(run) | Self::Task(run, _) | Self::Lane(run, _) => Some(run),
            Self::All | Self::Draft(_) => None,
        }
    }
}

impl fmt::Display for On {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Run(run) => write!(f, "r{}", run.0),
            Self::Task(run, task) => write!(f, "r{}.t{}", run.0, task.0),
            Self::Lane(run, lane) => write!(f, "r{}.l{}", run.0, lane.0),
            Self::Draft(id) => write!(f, "d{id}"),
        }
    }
}

/// The durable name of a button or a modal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key {
    /// What it does.
    pub press: Press,
    /// To what.
    pub on: On,
    /// What else it is bound to.
    pub more: More,
}

/// What else a button is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum More {
    /// Nothing.
    Nothing,
    /// The commit that the person was shown.
    Commit(CommitId),
    /// The failed or ended attempt that the person was shown.
    Attempt(u32),
    /// The question that the person was shown: attempt, turn, number, and which choice.
    Question(u32, u32, u64, u32),
    /// The digest of the plan that the person was shown.
    Plan(String),
}

/// A custom id that is none of ours, or of a version that knew more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this button is not known")]
pub struct Unknown;

impl Key {
    /// A button that is bound to nothing but what it is about.
    pub fn new(press: Press, on: On) -> Self {
        Self { press, on, more: More::Nothing }
    }

    /// A button that is about a commit.
    pub fn at(press: Press, on: On, commit: CommitId) -> Self {
        Self { press, on, more: More::Commit(commit) }
    }

    /// A button that is about an attempt.
    pub fn of(press: Press, on: On, attempt: u32) -> Self {
        Self { press, on, more: More::Attempt(attempt) }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tl:{}:{}", self.press.word(), self.on)?;
        match &self.more {
            More::Nothing => Ok(()),
            More::Commit(commit) => write!(f, ":c{}", commit.as_str()),
            More::Attempt(attempt) => write!(f, ":a{attempt}"),
            More::Question(attempt, turn, seq, choice) => {
                write!(f, ":q{attempt}.{turn}.{seq}.{choice}")
            }
            More::Plan(digest) => write!(f, ":p{digest}"),
        }
    }
}

impl FromStr for Key {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        let mut parts = text.strip_prefix("tl:").ok_or(Unknown)?.split(':');
        let (word, on) = (parts.next().ok_or(Unknown)?, parts.next().ok_or(Unknown)?);
        let press = Press::ALL.into_iter().find(|press| press.word() == word).ok_or(Unknown)?;
        let key = Self { press, on: read_on(on)?, more: read_more(parts.next())? };
        // One spelling each: what does not come out as it went in was not written here.
        if parts.next().is_none() && key.to_string() == text { Ok(key) } else { Err(Unknown) }
    }
}

fn read_on(text: &str) -> Result<On, Unknown> {
    if text == "all" {
        return Ok(On::All);
    }
    if let Some(id) = text.strip_prefix('d') {
        return Ok(On::Draft(number(id)?));
    }
    let (run, part) = text.strip_prefix('r').ok_or(Unknown)?.split_once('.').unzip();
    let run = RunId(number(run.unwrap_or(&text[1..]))?);
    match part.map(|part| part.split_at_checked(1).ok_or(Unknown)).transpose()? {
        None => Ok(On::Run(run)),
        Some(("t", ix)) => Ok(On::Task(run, TaskIx(number(ix)?))),
        Some(("l", ix)) => Ok(On::Lane(run, LaneIx(number(ix)?))),
        Some(_) => Err(Unknown),
    }
}

fn read_more(text: Option<&str>) -> Result<More, Unknown> {
    let Some(text) = text else { return Ok(More::Nothing) };
    let (kind, rest) = text.split_at_checked(1).ok_or(Unknown)?;
    match kind {
        "c" => rest.parse().map(More::Commit).map_err(|_| Unknown),
        "a" => Ok(More::Attempt(number(rest)?)),
        "p" => {
            let hex = |c: char| matches!(c, '0'..='9' | 'a'..='f');
            let digest = rest.len() == DIGEST_CHARS && rest.chars().all(hex);
            digest.then(|| More::Plan(rest.to_owned())).ok_or(Unknown)
        }
        "q" => {
            let mut parts = rest.split('.');
            let mut next = || parts.next().ok_or(Unknown);
            let (attempt, turn, seq, choice) = (next()?, next()?, next()?, next()?);
            Ok(More::Question(number(attempt)?, number(turn)?, number(seq)?, number(choice)?))
        }
        _ => Err(Unknown),
    }
}

fn number<T: FromStr>(text: &str) -> Result<T, Unknown> {
    text.parse().map_err(|_| Unknown)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_on() -> impl Strategy<Value = On> {
        // More runs and lines of a journal than any store will hold.
        let run = (0i64..1_000_000_000_000).prop_map(RunId);
        prop_oneof![
            Just(On::All),
            run.clone().prop_map(On::Run),
            (run.clone(), 0u32..).prop_map(|(run, ix)| On::Task(run, TaskIx(ix))),
            (run, 0u32..).prop_map(|(run, ix)| On::Lane(run, LaneIx(ix))),
            (0u64..).prop_map(On::Draft),
        ]
    }

    fn any_more() -> impl Strategy<Value = More> {
        prop_oneof![
            Just(More::Nothing),
            "[0-9a-f]{40}".prop_map(|sha| More::Commit(sha.parse().unwrap())),
            (0u32..).prop_map(More::Attempt),
            "[0-9a-f]{16}".prop_map(More::Plan),
            (0u32.., 0u32.., 0u64..1_000_000_000_000, 0u32..)
                .prop_map(|(a, t, s, c)| More::Question(a, t, s, c)),
        ]
    }

    proptest! {
        #[test]
        fn a_key_fits_and_is_read_as_it_was_written(
            press in 0..Press::ALL.len(), on in any_on(), more in any_more(),
        ) {
            let key = Key { press: Press::ALL[press], on, more };
            let text = key.to_string();
            prop_assert!(text.len() <= 100, "{text}");
            prop_assert_eq!(text.parse(), Ok(key));
        }

        #[test]
        fn what_was_not_written_here_is_unknown(text in "(tl:)?[a-z-]{0,9}:?[rdtl0-9.]{0,9}:?[capq0-9.]{0,5}") {
            if let Ok(key) = text.parse::<Key>() {
                prop_assert_eq!(key.to_string(), text);
            }
        }
    }
}
