//! Agents behind one trait: how a program that does the work is started, followed, spoken to and
//! ended, whatever it is.
//!
//! An adapter turns what its program writes into [`AgentEvent`]s and [`Command`]s into what its
//! program understands. It must not judge the work: that a turn ended and what was claimed is
//! told; whether it is true is the runner's to find out.

mod acp;
mod claude;
mod codex;
mod command;
pub mod process;
mod profile;
mod registry;
pub mod signals;
mod talk;
pub mod tools;
mod turn;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::graph::Framework;
use crate::ids::{RunName, TaskId};
use crate::sandbox;
use crate::state::Usage;
use crate::time::Timestamp;

pub use crate::state::Session;
pub use acp::AcpClient;
pub use claude::{ClaudeCode, ClaudePane};
pub use codex::{CodexPane, CodexServer};
pub use command::CommandAgent;
pub use process::Adopted;
pub use profile::{McpServer, Permissions, Profile};
pub use registry::{Place, Registry, UnknownAgent};
pub use talk::Talker;

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

    /// Whether its program says that somebody is signed in, in the environment that the agent would
    /// have; `None`: it does not say such things.
    async fn signed_in(&self, _: &Profile, _: &process::Environment) -> Option<bool> {
        None
    }

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
    /// Say how the task stands when it is asked to; who only ends need not.
    pub claims: bool,
}

impl Capabilities {
    /// All of them: an agent with a protocol of its own that leaves nothing out.
    pub const ALL: Self =
        Self { resume_session: true, steer: true, permissions: true, usage: true, claims: true };
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
    /// What it is told instead of its instructions where it goes on with a session.
    pub going_on: Option<PathBuf>,
    /// Where the files of upstream tasks are listed, if there are any.
    pub inputs: Option<PathBuf>,
    /// What the last turn lacked, if this is not the first.
    pub feedback: Option<String>,
    /// The session to go on with, if the agent can.
    pub session: Option<Session>,
    /// The JSON schema of an answer, if the turn is for that alone: the agent has no tools then, not
    /// even Taskloom's. Only for frameworks that [`Profile::check_answers`] lets through.
    pub answer: Option<Value>,
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
        /// The session, to resume it by.
        session: Option<Session>,
        /// The model that answers.
        model: Option<String>,
        /// The program's version.
        version: Option<String>,
    },
    /// It says this: whole lines, without the last line break.
    Text(String),
    /// It gives the answer that it was asked for, as JSON. Without a protocol of its own an agent says
    /// it as text.
    Answer(String),
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
    /// It waits for a person by the means of its own protocol: for a permission, or an answer.
    Asked {
        /// Names the question, for [`Command::Reply`].
        id: String,
        /// What it asks.
        text: String,
        /// Answers that it understands; any other is passed on as text.
        choices: Vec<String>,
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
        /// Tokens and money.
        usage: Usage,
        /// The session with what it has cost in all, where the agent counts that.
        session: Option<Session>,
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
    /// A limit of its vendor was reached; the session goes on later.
    Limited {
        /// Which limit.
        window: String,
        /// When it starts anew, if that is known.
        resets_at: Option<Timestamp>,
    },
    /// Something outside failed that usually passes: too many requests, an overloaded vendor.
    Transient {
        /// A sentence for people.
        why: String,
    },
    /// Only a person can help: nobody is signed in, the account is empty, the model refuses.
    NeedsHuman {
        /// A sentence for people.
        why: String,
    },
    /// The session cannot be gone on with: it is full, or gone. Another one can.
    SessionSpent {
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
    /// Go on with this: begins the next turn after the end of one.
    User(String),
    /// Take this into account, in the middle of a turn.
    Steer {
        /// Names the message: it is passed on once, however often it is told.
        seq: u64,
        /// The message.
        text: String,
    },
    /// Leave what you do just now.
    Interrupt,
    /// The answer to [`AgentEvent::Asked`].
    Reply {
        /// Names the question.
        id: String,
        /// One of the choices, or words of one's own.
        text: String,
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
    #[error("`{program}` was not found on PATH; {hint}")]
    NotInstalled {
        /// That program.
        program: String,
        /// What to do about it.
        hint: String,
    },
    /// A server of the profile needs a variable that is not there.
    #[error(
        "the MCP server `{server}` of the agent profile needs ${variable}, which is not set where \
         Taskloom runs"
    )]
    NoVariable {
        /// That server.
        server: String,
        /// That variable.
        variable: String,
    },
    /// A program is older than what is understood.
    #[error("`{program}` says it is {version}; {floor} or later is needed: update it")]
    TooOld {
        /// That program.
        program: String,
        /// What it says.
        version: String,
        /// The first version that will do.
        floor: String,
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
