//! Agents behind one trait: how a program that does the work is started, followed, spoken to and
//! ended, whatever it is.
//!
//! An adapter turns what its program writes into [`AgentEvent`]s and [`Command`]s into what its
//! program understands. It must not judge the work: that a turn ended and what was claimed is
//! told; whether it is true is the runner's to find out.

mod command;
pub mod process;
mod registry;
pub mod signals;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::graph::Framework;
use crate::ids::{RunName, TaskId};
use crate::sandbox;
use crate::time::Timestamp;

pub use command::CommandAgent;
pub use process::Adopted;
pub use registry::{Place, Registry, UnknownAgent};

use process::{Environment, Exit, Limits};
use signals::Signalled;

/// A kind of agent: how a framework is spoken to.
#[async_trait]
pub trait Agent: Send + Sync {
    /// Which framework it speaks to.
    fn kind(&self) -> Framework;

    /// What it can do beyond taking a task and ending.
    fn capabilities(&self) -> Capabilities;

    /// Whether it could be started, found out without starting work.
    async fn preflight(&self, profile: &Profile) -> Result<Preflight, Error>;

    /// Starts a turn. The instructions, or the feedback, are on their way to the agent when this
    /// returns; a turn is started once, ever.
    async fn start(&self, spec: RunSpec) -> Result<Box<dyn AgentRun>, Error>;

    /// Finds a turn again that was started before, perhaps by another daemon; `seen` is how far
    /// the reader had come.
    async fn adopt(&self, spec: RunSpec, seen: Cursor)
    -> Result<Adopted<Box<dyn AgentRun>>, Error>;
}

/// An agent at work.
#[async_trait]
pub trait AgentRun: Send {
    /// What it does next. [`AgentEvent::TurnEnd`] comes once for every turn, last; `None` when the
    /// agent's process has ended and all has been told. [`Command::User`] then still begins
    /// another turn. Dropping the call while it waits loses nothing.
    async fn next(&mut self) -> Option<AgentEvent>;

    /// How far [`AgentRun::next`] has come; with it, [`Agent::adopt`] goes on without a gap.
    fn cursor(&self) -> Cursor;

    /// Tells the agent something. Whatever it cannot do is refused, and it goes on as before.
    async fn send(&mut self, command: Command) -> Result<(), Error>;

    /// Ends it within `grace` with all that it started, and says how its process ended. What it
    /// says meanwhile is not told any more.
    async fn finish(self: Box<Self>, grace: Duration) -> Result<Exit, Error>;
}

/// What an agent can do beyond taking a task and ending.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// Go on with the session of an earlier process.
    pub resume_session: bool,
    /// Take a word in the middle of a turn.
    pub steer: bool,
    /// Ask before it uses a tool.
    pub permissions: bool,
    /// Say what it costs.
    pub usage: bool,
}

/// How an agent is configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// The program, for the frameworks that leave it open.
    pub command: Option<String>,
    /// The model; `None`: the agent's own default.
    pub model: Option<String>,
}

/// What was found without starting work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preflight {
    /// The program that would be started.
    pub program: PathBuf,
    /// Its version, where it tells one.
    pub version: Option<String>,
}

/// One turn of one attempt.
#[derive(Debug, Clone)]
pub struct RunSpec {
    /// How the agent is configured.
    pub profile: Profile,
    /// Whose work it is.
    pub task: TaskId,
    /// In which run.
    pub run: RunName,
    /// Which attempt, from 0.
    pub attempt: u32,
    /// Which turn of it, from 0.
    pub turn: u32,
    /// The checkout to work in.
    pub worktree: PathBuf,
    /// The attempt's directory.
    pub dir: PathBuf,
    /// The file that says what to do.
    pub instructions: PathBuf,
    /// Where the files of upstream tasks are listed, if there are any.
    pub inputs: Option<PathBuf>,
    /// What the last turn lacked, if this is not the first.
    pub feedback: Option<String>,
    /// The session to go on with, if the agent can.
    pub session: Option<String>,
    /// The agent's environment; the adapter adds what names the attempt.
    pub environment: Environment,
    /// What the agent can reach.
    pub sandbox: sandbox::Request,
    /// How long this turn may take.
    pub deadline: Option<Duration>,
    /// How long it has to end when it is stopped or its time is up.
    pub grace: Duration,
    /// What the agent may use.
    pub limits: Limits,
}

/// How far a reader has come in what an agent tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    /// In which turn.
    pub turn: u32,
    /// How far in it.
    pub process: process::Cursor,
}

/// What an agent does.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentEvent {
    /// It is there.
    Started {
        /// Names the session, to resume it by.
        session: Option<String>,
        /// The model that answers.
        model: Option<String>,
        /// The program's version.
        version: Option<String>,
    },
    /// It says this: whole lines, without the last line break.
    Text(String),
    /// It does something of which nothing can be told yet: it writes half a line.
    Pulse,
    /// It thinks this.
    Thought(String),
    /// It begins to use a tool.
    ToolStart {
        /// Names this use.
        id: String,
        /// The tool.
        name: String,
        /// What it is given.
        input: Value,
    },
    /// The tool is done.
    ToolEnd {
        /// Which use.
        id: String,
        /// Whether it worked.
        ok: bool,
        /// What it gave.
        output: String,
    },
    /// It waits for a permission, or for an answer.
    PermissionAsked {
        /// Names the request.
        id: String,
        /// For which tool.
        tool: String,
        /// What the tool would be given.
        input: Value,
        /// It is a question to a person and not a permission.
        is_question: bool,
    },
    /// It wanted to use a tool and may not.
    PermissionDenied {
        /// The tool.
        tool: String,
    },
    /// It tries something outside again.
    Retrying {
        /// Which try this is.
        attempt: u32,
        /// How many there will be, if that is known.
        max: Option<u32>,
        /// How long it waits before.
        delay: Duration,
        /// What went wrong.
        why: String,
    },
    /// It comes near a limit of its vendor, or has reached it.
    Limit {
        /// Reached.
        rejected: bool,
        /// Which limit.
        window: String,
        /// When it starts anew, if that is known.
        resets_at: Option<Timestamp>,
    },
    /// What the turn has cost since the last such event.
    Usage {
        /// Tokens of all kinds.
        tokens: u64,
        /// US dollars.
        usd: f64,
    },
    /// Things it has running beside the conversation.
    Background {
        /// How many.
        running: u32,
    },
    /// It gave a signal: a claim, a doubt, a question.
    Signal(Signalled),
    /// The turn is over.
    TurnEnd {
        /// Which turn.
        turn: u32,
        /// How it went.
        outcome: TurnOutcome,
    },
    /// Something of the protocol that this version does not know.
    Unknown(Value),
    /// A line that is none of the protocol.
    Garbage(String),
}

/// How a turn went, as far as that can be seen from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TurnOutcome {
    /// It came to its end.
    Completed,
    /// It ended with an error.
    Failed {
        /// A sentence for people.
        why: String,
    },
    /// It was stopped on request.
    Stopped,
    /// Its time was up.
    TimedOut,
    /// The program could not be started.
    CannotStart {
        /// A sentence for people that names the path.
        why: String,
    },
    /// The process is gone, and nobody knows how it ended. Nothing of it is left.
    Lost {
        /// A sentence for people.
        why: String,
    },
    /// In place of a signal there was something that cannot be one.
    InvalidSignal {
        /// A sentence for people that names the file.
        why: String,
    },
}

/// What an agent can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Go on with this. After the end of a turn it begins the next one.
    User(String),
    /// Leave what you do just now.
    Interrupt,
    /// The answer to a permission that was asked for.
    Permission {
        /// Names the request.
        id: String,
        /// Yes or no.
        allow: bool,
        /// A reason, for the agent.
        message: Option<String>,
        /// For a question: what is answered to what.
        answers: Vec<(String, String)>,
    },
    /// The answer to the question that was signal `seq`.
    Answer {
        /// Names the question.
        seq: u32,
        /// The answer.
        text: String,
    },
    /// Come to an end.
    Stop,
}

/// What cannot be done with an agent.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The profile or the task lacks what this kind of agent needs.
    #[error("an agent of framework `{framework}` needs {what}")]
    Incomplete {
        /// The kind of agent.
        framework: &'static str,
        /// What is missing.
        what: &'static str,
    },
    /// A program that is needed is not installed.
    #[error("`{program}` was not found on PATH")]
    NotInstalled {
        /// That program.
        program: String,
    },
    /// This kind of agent cannot do that.
    #[error("an agent of framework `{framework}` cannot {what}")]
    Unsupported {
        /// The kind of agent.
        framework: &'static str,
        /// What was asked of it.
        what: &'static str,
    },
    /// The wall around it cannot be had.
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
    /// Its process cannot be had.
    #[error(transparent)]
    Process(#[from] process::Error),
}
