//! Agents that are talked to: their program reads and writes messages, one a line, and a turn is
//! one process of it.
//!
//! An adapter is a [`Dialect`]: how the program is launched, and a [`Protocol`] that understands
//! lines. A protocol is pure: whoever takes an agent up again gives it all lines from the first,
//! and what it then wants to write again is written once, because every letter has a name that
//! the supervisor remembers.

pub(super) mod attended;
mod conversation;

use std::path::PathBuf;

use async_trait::async_trait;
use serde_json::Value;

use crate::agents::process::{self, Environment, Input, LaunchSpec, Launcher, Stderr, adopt};
use crate::agents::talk::conversation::Conversation;
use crate::agents::{
    Adopted, Agent, AgentEvent, AgentRun, Capabilities, Command, Cursor, Error, Preflight, Profile,
    RunSpec, TurnOutcome, turn,
};
use crate::graph::Framework;
use crate::sandbox::Kind;

/// A conversation is kept whole: what is cut out of its middle could not be followed. 1 GiB holds
/// weeks of it.
const LOG_BYTES_MAX: u64 = 1 << 30;

/// A message for the program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// It is written once under this name.
    pub key: String,
    /// One line, without its end.
    pub line: String,
}

impl Letter {
    pub(super) fn new(key: impl Into<String>, message: &serde_json::Value) -> Self {
        Self { key: key.into(), line: message.to_string() }
    }
}

/// What follows from a line.
#[derive(Debug, PartialEq)]
pub enum Step {
    /// Something to be told.
    Tell(AgentEvent),
    /// Something to be written.
    Write(Letter),
    /// The turn is over; the program may take its leave.
    Over(TurnOutcome),
    /// The turn is over, and the program would only go on in vain.
    Kill(TurnOutcome),
}

/// What lines mean.
pub trait Protocol: Send {
    /// What follows from a line.
    fn hear(&mut self, line: &str) -> Vec<Step>;

    /// A command in the program's own words; `None`: it does not understand such.
    fn say(&mut self, command: &Command) -> Option<Vec<Letter>>;
}

/// How a program is launched.
pub struct Words {
    /// The program and its arguments.
    pub program: Vec<String>,
    /// What that starts in its turn, if it is not the agent's program itself.
    pub starts: Option<String>,
    /// Its environment beyond what names the attempt.
    pub environment: Environment,
    /// The first lines that it reads.
    pub opening: String,
    /// Files of the attempt that must be there before it starts; nobody else can read them.
    pub files: Vec<(PathBuf, String)>,
}

/// A kind of agent that is talked to.
pub trait Dialect: Clone + Send + Sync + 'static {
    /// What understands it.
    type Protocol: Protocol;

    /// Which framework it is.
    fn framework(&self) -> Framework;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// The program that would be started, and the lowest version that is understood.
    fn program(&self, profile: &Profile) -> Result<Vec<String>, Error>;

    /// How its version is asked for and which is the first that is understood, if it tells one.
    fn version(&self) -> Option<(&'static [&'static str], [u32; 3])>;

    /// How it is asked whether somebody is signed in: it exits with 0 if so.
    fn signed_in(&self) -> Option<&'static [&'static str]>;

    /// How a turn is launched.
    fn words(&self, spec: &RunSpec, prompt: &str) -> Result<Words, Error>;

    /// What understands the turn of `spec`, of which `prompt` is the first message.
    fn protocol(&self, spec: &RunSpec, prompt: &str) -> Self::Protocol;
}

/// An adapter.
#[derive(Debug, Clone, Default)]
pub struct Talker<D> {
    dialect: D,
    launcher: Launcher,
}

impl<D: Dialect> Talker<D> {
    pub(super) fn of(dialect: D, launcher: Launcher) -> Self {
        Self { dialect, launcher }
    }

    async fn launch(&self, spec: &RunSpec) -> Result<process::Supervised, Error> {
        let prompt = prompt(spec)?;
        spec.profile.check_variables(&spec.environment)?;
        let words = self.dialect.words(spec, &prompt)?;
        self.demand(words.starts.as_ref().or(words.program.first()), spec)?;
        for (path, text) in &words.files {
            turn::write_whole(path, text)?;
        }
        let mut spec = RunSpec { environment: words.environment, ..spec.clone() };
        if let Some(name) = &words.starts {
            spec.sandbox.programs.extend(turn::home_of(name, &spec.environment));
        }
        let launch = turn::launch(&spec, words.program, Input::Open(words.opening))?;
        let launch =
            LaunchSpec { stderr: Stderr::Separate, log_bytes_max: LOG_BYTES_MAX, ..launch };
        Ok(self.launcher.launch(&launch).await?)
    }

    /// The agent's program must be there; an image has its own.
    fn demand(&self, program: Option<&String>, spec: &RunSpec) -> Result<(), Error> {
        let path = spec.environment.get("PATH").unwrap_or_default();
        let there = |name: &&String| which::which_in(name, Some(path), &spec.worktree).is_ok();
        match program.filter(|name| spec.sandbox.kind != Kind::Oci && !there(name)) {
            Some(name) => Err(self.not_installed(name, &spec.profile)),
            None => Ok(()),
        }
    }

    fn not_installed(&self, program: &str, profile: &Profile) -> Error {
        let hint = profile.hint(self.dialect.framework());
        Error::NotInstalled { program: program.to_owned(), hint }
    }
}

/// What a turn begins with: the instructions, or what the last one lacked.
fn prompt(spec: &RunSpec) -> Result<String, Error> {
    if let Some(feedback) = &spec.feedback {
        turn::feedback_file(spec, feedback)?;
        return Ok(feedback.clone());
    }
    let path = spec.going_on.as_ref().filter(|_| spec.session.is_some());
    let path = path.unwrap_or(&spec.instructions);
    let failed = |source| process::Error::Io { doing: "read", path: path.clone(), source };
    Ok(std::fs::read_to_string(path).map_err(failed)?)
}

#[async_trait]
impl<D: Dialect> Agent for Talker<D> {
    fn kind(&self) -> Framework {
        self.dialect.framework()
    }

    fn capabilities(&self) -> Capabilities {
        self.dialect.capabilities()
    }

    async fn preflight(&self, profile: &Profile) -> Result<Preflight, Error> {
        let line = self.dialect.program(profile)?;
        let name = line.first().cloned().unwrap_or_default();
        let program = which::which(&name).map_err(|_| self.not_installed(&name, profile))?;
        let Some((args, floor)) = self.dialect.version() else {
            return Ok(Preflight { program, version: None });
        };
        let version = Environment::from_daemon(&[]).answer_of(&program, args).await;
        match version.as_deref().and_then(conversation::numbers) {
            Some(numbers) if numbers < floor => Err(Error::TooOld {
                program: name,
                version: version.unwrap_or_default(),
                floor: floor.map(|n| n.to_string()).join("."),
            }),
            _ => Ok(Preflight { program, version }),
        }
    }

    async fn signed_in(&self, profile: &Profile, environment: &Environment) -> Option<bool> {
        let line = self.dialect.program(profile).ok()?;
        let program = which::which(line.first()?).ok()?;
        let args = self.dialect.signed_in()?;
        Some(environment.succeeds(&program, args).await)
    }

    async fn start(&self, spec: RunSpec) -> Result<Box<dyn AgentRun>, Error> {
        let process = self.launch(&spec).await?;
        let prompt = prompt(&spec)?;
        Ok(Box::new(Conversation::new(self.clone(), spec, &prompt, process, Cursor::default())))
    }

    async fn adopt(
        &self,
        spec: RunSpec,
        seen: Cursor,
    ) -> Result<Adopted<Box<dyn AgentRun>>, Error> {
        // All of it is heard again, so that the protocol knows where it stands.
        let found = adopt(&spec.dir, &turn::stem(spec.turn), process::Cursor::default()).await?;
        let prompt = prompt(&spec).unwrap_or_default();
        Ok(found.map(|process| {
            let run = Conversation::new(self.clone(), spec, &prompt, process, seen);
            Box::new(run) as Box<dyn AgentRun>
        }))
    }
}

/// The choice that a person means, whatever the case of its letters.
pub(super) fn choose<'a>(text: &str, choices: &[&'a str]) -> Option<&'a str> {
    choices.iter().find(|choice| choice.eq_ignore_ascii_case(text.trim())).copied()
}

/// As much of a text as a person reads.
pub(super) fn clip(text: &str) -> String {
    const CHARS_MAX: usize = 1_000;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

pub(super) fn tell(event: AgentEvent) -> Vec<Step> {
    vec![Step::Tell(event)]
}

/// A text of a message; an empty one where there is none.
pub(super) fn text_of(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

/// What follows from a recorded stream, a line each.
#[cfg(test)]
pub(super) fn follows(protocol: &mut impl Protocol, stream: &str) -> String {
    let steps = stream.lines().flat_map(|line| protocol.hear(line));
    steps.map(|step| format!("{step:?}\n")).collect()
}
