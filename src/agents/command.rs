//! The command agent, framework `shell`: any program. Its instructions are on its standard input
//! and in a file, its output is text, and its exit code decides.
//!
//! It has no session: each turn runs the same command again in the same checkout, with what was
//! missing on its standard input and in a file.

use std::collections::VecDeque;
use std::time::Duration;

use async_trait::async_trait;

use crate::agents::process::hostile::InvalidSignal;
use crate::agents::process::{
    self, Exit, Input, LaunchSpec, Launcher, ProcessEvent, Stderr, Supervised, adopt,
};
use crate::agents::signals::Signalled;
use crate::agents::{
    Adopted, Agent, AgentEvent, AgentRun, Capabilities, Command, Cursor, Error, Preflight, Profile,
    RunSpec, TurnOutcome, turn,
};
use crate::graph::Framework;
use crate::time::Timestamp;

const FRAMEWORK: &str = "shell";

/// A line that is longer than this is passed on in pieces: it is data and not for reading.
const LINE_BYTES_MAX: usize = 16 << 10;

/// Runs `sh -c <command>`.
#[derive(Debug, Clone, Default)]
pub struct CommandAgent {
    launcher: Launcher,
}

impl CommandAgent {
    /// One that starts its programs by `launcher`.
    pub fn new(launcher: Launcher) -> Self {
        Self { launcher }
    }

    async fn launch(&self, spec: &RunSpec) -> Result<Supervised, Error> {
        Ok(self.launcher.launch(&launch_spec(spec)?).await?)
    }
}

#[async_trait]
impl Agent for CommandAgent {
    fn kind(&self) -> Framework {
        Framework::Shell
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn preflight(&self, profile: &Profile) -> Result<Preflight, Error> {
        command_of(profile)?;
        let hint = "a command is run by it".to_owned();
        let program = which::which("sh")
            .map_err(|_| Error::NotInstalled { program: "sh".to_owned(), hint })?;
        Ok(Preflight { program, version: None })
    }

    async fn start(&self, spec: RunSpec) -> Result<Box<dyn AgentRun>, Error> {
        let process = self.launch(&spec).await?;
        Ok(Box::new(CommandRun::new(self.clone(), spec, process, 0)))
    }

    async fn adopt(
        &self,
        spec: RunSpec,
        seen: Cursor,
    ) -> Result<Adopted<Box<dyn AgentRun>>, Error> {
        let found = adopt(&spec.dir, &turn::stem(spec.turn), seen.process).await?;
        Ok(found.map(|process| {
            let run = CommandRun::new(self.clone(), spec, process, seen.process.signals);
            Box::new(run) as Box<dyn AgentRun>
        }))
    }
}

/// How a shell says that there is no such program.
fn not_found(exit: Option<&Exit>) -> bool {
    exit.is_some_and(|exit| exit.end == process::End::Code(127))
}

fn command_of(profile: &Profile) -> Result<&str, Error> {
    let missing = Error::Incomplete { framework: FRAMEWORK, what: "a `command`" };
    profile.command.as_deref().filter(|c| !c.trim().is_empty()).ok_or(missing)
}

fn launch_spec(spec: &RunSpec) -> Result<LaunchSpec, Error> {
    let shell = ["sh", "-c", command_of(&spec.profile)?].map(str::to_owned);
    let input = match &spec.feedback {
        Some(feedback) => turn::feedback_file(spec, feedback)?,
        None => spec.instructions.clone(),
    };
    let mut launch = turn::launch(spec, shell.into(), Input::File(input.clone()))?;
    if spec.answer.is_some() {
        // What it complains of is no part of its answer.
        launch.stderr = Stderr::Separate;
    }
    if spec.feedback.is_some() {
        launch.environment =
            launch.environment.with("TASKLOOM_FEEDBACK", input.to_string_lossy().into_owned());
    }
    Ok(launch)
}

/// One attempt of a command agent.
struct CommandRun {
    agent: CommandAgent,
    spec: RunSpec,
    process: Supervised,
    /// The number of the last signal that was told, now or to a reader before.
    signals: u32,
    /// The beginning of a line.
    partial: Vec<u8>,
    /// What is to be told, with where that brings the reader.
    untold: VecDeque<(AgentEvent, Cursor)>,
    cursor: Cursor,
    trouble: Option<process::Error>,
    exit: Option<Exit>,
    turn_over: bool,
}

#[async_trait]
impl AgentRun for CommandRun {
    async fn next(&mut self) -> Option<AgentEvent> {
        loop {
            if let Some((event, cursor)) = self.untold.pop_front() {
                self.cursor = cursor;
                return Some(event);
            }
            if self.turn_over {
                return None;
            }
            match self.process.next().await {
                Ok(Some(ProcessEvent::Output(output))) => self.take_output(&output),
                Ok(Some(ProcessEvent::Signal(signal))) => self.tell_signal(signal),
                Ok(Some(ProcessEvent::Exited(exit))) => self.end_turn(Some(exit)),
                Ok(None) => self.end_turn(None),
                Err(error) => {
                    self.trouble.get_or_insert(error);
                }
            }
        }
    }

    fn cursor(&self) -> Cursor {
        self.cursor
    }

    async fn send(&mut self, command: Command) -> Result<(), Error> {
        let cannot = |what| Err(Error::Unsupported { framework: FRAMEWORK, what });
        match command {
            Command::User(feedback) if self.turn_over => self.next_turn(feedback).await,
            Command::User(_) => cannot("begin a turn within another"),
            Command::Steer { .. } => cannot("take a word while it works"),
            Command::Reply { .. } => cannot("ask for permissions"),
            Command::Interrupt => Ok(self.process.interrupt().await?),
            Command::Answer { seq, text } => Ok(self.process.answer(seq, text).await?),
            Command::Stop => Ok(self.process.stop(self.spec.grace).await?),
        }
    }

    async fn finish(mut self: Box<Self>, grace: Duration) -> Result<Exit, Error> {
        match self.exit {
            Some(exit) => Ok(exit),
            None => {
                self.process.stop(grace).await?;
                Ok(self.process.wait().await?)
            }
        }
    }
}

impl CommandRun {
    fn new(agent: CommandAgent, spec: RunSpec, process: Supervised, signals: u32) -> Self {
        let cursor = Cursor { turn: spec.turn, process: process.cursor() };
        Self {
            agent,
            spec,
            process,
            signals,
            partial: Vec::new(),
            untold: VecDeque::new(),
            cursor,
            trouble: None,
            exit: None,
            turn_over: false,
        }
    }

    async fn next_turn(&mut self, feedback: String) -> Result<(), Error> {
        let mut spec = self.spec.clone();
        spec.turn += 1;
        spec.feedback = Some(feedback);
        let process = self.agent.launch(&spec).await?;
        *self = Self::new(self.agent.clone(), spec, process, 0);
        Ok(())
    }

    /// Queues an event together with the place that the reader reaches by it: half a line that
    /// was read is not told yet, and is read again by whoever goes on from there.
    fn tell(&mut self, event: AgentEvent) {
        let mut process = self.process.cursor();
        process.log_bytes -= self.partial.len() as u64;
        process.signals = self.signals;
        self.untold.push_back((event, Cursor { turn: self.spec.turn, process }));
    }

    fn tell_signal(&mut self, signal: Signalled) {
        self.signals = signal.seq;
        self.tell(AgentEvent::Signal(signal));
    }

    fn take_output(&mut self, output: &[u8]) {
        let untold = self.untold.len();
        self.partial.extend_from_slice(output);
        if let Some(end) = self.partial.iter().rposition(|b| *b == b'\n') {
            let rest = self.partial.split_off(end + 1);
            let lines = std::mem::replace(&mut self.partial, rest);
            self.tell_text(&lines[..end]);
        }
        if self.partial.len() > LINE_BYTES_MAX {
            self.tell_partial();
        }
        if self.untold.len() == untold {
            self.tell(AgentEvent::Pulse);
        }
    }

    fn tell_partial(&mut self) {
        let line = std::mem::take(&mut self.partial);
        self.tell_text(&line);
    }

    fn tell_text(&mut self, text: &[u8]) {
        self.tell(AgentEvent::Text(String::from_utf8_lossy(text).into_owned()));
    }

    fn end_turn(&mut self, exit: Option<Exit>) {
        if !self.partial.is_empty() {
            self.tell_partial();
        }
        let at = exit.as_ref().map_or(Timestamp(0), |exit| exit.ended_at);
        if let Err(invalid) = self.tell_status(at) {
            self.trouble.get_or_insert(invalid.into());
        }
        let outcome = turn::outcome(exit.as_ref(), self.trouble.as_ref(), TurnOutcome::Completed);
        let outcome = match (outcome, &self.spec.profile.install_hint) {
            (TurnOutcome::Failed { why }, Some(hint)) if not_found(exit.as_ref()) => {
                TurnOutcome::Failed { why: format!("{why}: a program was not found; {hint}") }
            }
            (outcome, _) => outcome,
        };
        self.tell(AgentEvent::TurnEnd { turn: self.spec.turn, outcome });
        self.exit = exit;
        self.turn_over = true;
    }

    /// Tells what was left in `status.json`.
    fn tell_status(&mut self, at: Timestamp) -> Result<(), InvalidSignal> {
        let said = self.process.signals();
        for (signal, seq) in turn::left_behind(&self.spec)?.into_iter().zip(said + 1..) {
            if seq > self.signals {
                self.tell_signal(Signalled { seq, at, signal });
            }
        }
        Ok(())
    }
}
