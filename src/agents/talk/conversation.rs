//! One turn of an agent that is talked to, and the turns after it.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Sleep, sleep};

use crate::agents::process::hostile::InvalidSignal;
use crate::agents::process::{self, Exit, ProcessEvent, Supervised};
use crate::agents::signals::Signalled;
use crate::agents::talk::{Dialect, Letter, Protocol as _, Step, Talker, prompt};
use crate::agents::{
    AgentEvent, AgentRun, Command, Cursor, Error, RunSpec, Session, TurnOutcome, turn,
};
use crate::time::Timestamp;

/// 16 MiB: a message with a picture in it has two or three.
const LINE_BYTES_MAX: usize = 16 << 20;

/// A program that has said nothing by then will not: the slowest was seen to need 16 seconds, for
/// a migration at its first start.
const FIRST_WORD: Duration = Duration::from_secs(90);

/// How long a program may stay after its turn. Claude Code was seen to wait ten minutes for a
/// shell in the background.
const LEAVE: Duration = Duration::from_secs(10);

/// How much of its error output a failure repeats.
const ERROR_BYTES_TOLD: usize = 2_000;

/// An agent that is talked to, at work.
pub(super) struct Conversation<D: Dialect> {
    agent: Talker<D>,
    spec: RunSpec,
    process: Supervised,
    protocol: D::Protocol,
    session: Option<Session>,
    /// What was told to somebody before.
    seen: process::Cursor,
    /// The number of the last signal.
    signals: u32,
    partial: Vec<u8>,
    /// Bytes of a line that is too long, which is passed over.
    passed_over: usize,
    untold: VecDeque<(AgentEvent, Cursor)>,
    letters: VecDeque<Letter>,
    cursor: Cursor,
    /// How the turn went, in the agent's own words.
    over: Option<TurnOutcome>,
    /// Until when something must have happened: its first word, or its leave.
    patience: Option<Pin<Box<Sleep>>>,
    leaving: bool,
    /// Its end was decided here, and whatever it still says decides nothing.
    killed: bool,
    stop: bool,
    trouble: Option<process::Error>,
    exit: Option<Exit>,
    turn_over: bool,
}

#[async_trait]
impl<D: Dialect> AgentRun for Conversation<D> {
    async fn next(&mut self) -> Option<AgentEvent> {
        loop {
            if let Some((event, cursor)) = self.untold.pop_front() {
                self.cursor = cursor;
                return Some(event);
            }
            if self.turn_over {
                return None;
            }
            self.write().await;
            if self.stop {
                self.process.stop(self.spec.grace).await.ok();
                self.stop = false;
            }
            let news = match &mut self.patience {
                None => self.process.next().await,
                Some(until) => tokio::select! {
                    biased;
                    news = self.process.next() => news,
                    () = until => {
                        self.lose_patience();
                        continue;
                    }
                },
            };
            match news {
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
        let framework = self.agent.dialect.framework().word();
        let cannot = |what| Error::Unsupported { framework, what };
        match &command {
            Command::User(feedback) if self.turn_over => {
                return self.next_turn(feedback.clone()).await;
            }
            Command::User(_) => return Err(cannot("begin a turn within another")),
            Command::Answer { seq, text } => {
                return Ok(self.process.answer(*seq, text.clone()).await?);
            }
            Command::Stop => return Ok(self.process.stop(self.spec.grace).await?),
            Command::Steer { .. } | Command::Reply { .. } | Command::Interrupt => {}
        }
        if self.turn_over || self.over.is_some() {
            return Err(process::Error::Ended.into());
        }
        let letters = self.protocol.say(&command).ok_or_else(|| cannot("understand that"))?;
        for letter in letters {
            self.process.write_stdin_once(&letter.key, &(letter.line + "\n")).await?;
        }
        Ok(())
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

impl<D: Dialect> Conversation<D> {
    pub(super) fn new(
        agent: Talker<D>,
        spec: RunSpec,
        prompt: &str,
        process: Supervised,
        seen: Cursor,
    ) -> Self {
        Self {
            protocol: agent.dialect.protocol(&spec, prompt),
            session: spec.session.clone(),
            cursor: Cursor { turn: spec.turn, process: process.cursor() },
            agent,
            spec,
            process,
            seen: seen.process,
            signals: 0,
            partial: Vec::new(),
            passed_over: 0,
            untold: VecDeque::new(),
            letters: VecDeque::new(),
            over: None,
            patience: Some(Box::pin(sleep(FIRST_WORD))),
            leaving: false,
            killed: false,
            stop: false,
            trouble: None,
            exit: None,
            turn_over: false,
        }
    }

    async fn next_turn(&mut self, feedback: String) -> Result<(), Error> {
        let mut spec = self.spec.clone();
        spec.turn += 1;
        spec.feedback = Some(feedback);
        spec.session = self.session.clone();
        let process = self.agent.launch(&spec).await?;
        let prompt = prompt(&spec)?;
        *self = Self::new(self.agent.clone(), spec, &prompt, process, Cursor::default());
        Ok(())
    }

    /// Writes what is to be written. A call that is dropped leaves the letter where it is, and
    /// under its name it is not written twice.
    async fn write(&mut self) {
        while let Some(Letter { key, line }) = self.letters.front().cloned() {
            if let Err(error) = self.process.write_stdin_once(&key, &(line + "\n")).await {
                tracing::debug!(%error, key, "a message to an agent was not taken");
            }
            self.letters.pop_front();
        }
        if self.over.is_some() && !self.leaving {
            self.process.close_stdin().await.ok();
            self.leaving = true;
            self.patience = Some(Box::pin(sleep(LEAVE)));
        }
    }

    fn lose_patience(&mut self) {
        if !self.leaving {
            let limit = humantime::format_duration(FIRST_WORD);
            let why = format!("its program said nothing within {limit}");
            self.over = Some(TurnOutcome::Transient { why });
            self.leaving = true;
        }
        self.patience = None;
        self.stop = true;
    }

    fn take_output(&mut self, output: &[u8]) {
        let untold = self.untold.len();
        let mut rest = output;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, more) = (&rest[..end], &rest[end + 1..]);
            self.add(line);
            self.take_line(more.len() as u64);
            rest = more;
        }
        self.add(rest);
        if self.untold.len() == untold {
            self.tell(AgentEvent::Pulse, 0);
        }
    }

    fn add(&mut self, piece: &[u8]) {
        if self.passed_over > 0 || self.partial.len() + piece.len() > LINE_BYTES_MAX {
            self.passed_over += self.partial.len() + piece.len();
            self.partial.clear();
        } else {
            self.partial.extend_from_slice(piece);
        }
    }

    /// Takes the line that has come to its end, with `ahead` bytes read beyond it.
    fn take_line(&mut self, ahead: u64) {
        let line = std::mem::take(&mut self.partial);
        let passed_over = std::mem::take(&mut self.passed_over);
        if passed_over > 0 {
            let note = format!("a line of {passed_over} bytes was passed over");
            return self.tell(AgentEvent::Garbage(note), ahead);
        }
        let line = String::from_utf8_lossy(&line);
        if line.trim().is_empty() {
            return;
        }
        if !self.leaving {
            self.patience = None;
        }
        for step in self.protocol.hear(line.trim()) {
            if self.killed {
                // How it takes its end is no news.
                if let Step::Tell(event @ AgentEvent::Usage { .. }) = step {
                    self.tell(event, ahead);
                }
                continue;
            }
            if self.over.is_some() && goes_on(&step) {
                // A message came just before its leave: that is another turn of its own.
                self.over = None;
                self.leaving = false;
                self.patience = None;
            }
            match step {
                Step::Tell(event) => self.tell(event, ahead),
                Step::Write(letter) => self.letters.push_back(letter),
                Step::Over(outcome) => self.over = Some(outcome),
                Step::Kill(outcome) => {
                    self.over = Some(outcome);
                    (self.killed, self.leaving, self.stop) = (true, true, true);
                }
            }
        }
    }

    /// Queues an event together with the place that the reader reaches by it.
    fn tell(&mut self, event: AgentEvent, ahead: u64) {
        if let AgentEvent::Started { session: Some(session), .. }
        | AgentEvent::Usage { session: Some(session), .. } = &event
        {
            self.session = Some(session.clone());
        }
        let mut process = self.process.cursor();
        process.log_bytes -= ahead + self.partial.len() as u64;
        process.signals = self.signals;
        let new = process.log_bytes > self.seen.log_bytes || process.signals > self.seen.signals;
        if new || self.seen == process::Cursor::default() {
            self.untold.push_back((event, Cursor { turn: self.spec.turn, process }));
        }
    }

    fn tell_signal(&mut self, signal: Signalled) {
        self.signals = signal.seq;
        self.tell(AgentEvent::Signal(signal), 0);
    }

    fn end_turn(&mut self, exit: Option<Exit>) {
        if !self.partial.is_empty() || self.passed_over > 0 {
            self.take_line(0);
        }
        let at = exit.as_ref().map_or(Timestamp(0), |exit| exit.ended_at);
        if let Err(invalid) = self.tell_status(at) {
            self.trouble.get_or_insert(invalid.into());
        }
        let silent = TurnOutcome::Failed { why: "its program ended in the middle".to_owned() };
        let ended = turn::outcome(exit.as_ref(), self.trouble.as_ref(), silent);
        let outcome = match (self.over.take(), ended) {
            (_, invalid @ TurnOutcome::InvalidSignal { .. }) => invalid,
            (Some(over), _) => over,
            (None, TurnOutcome::Failed { why }) => {
                TurnOutcome::Failed { why: format!("{why}{}", self.last_words()) }
            }
            (None, ended) => ended,
        };
        self.tell(AgentEvent::TurnEnd { turn: self.spec.turn, outcome }, 0);
        self.exit = exit;
        self.turn_over = true;
    }

    fn tell_status(&mut self, at: Timestamp) -> Result<(), InvalidSignal> {
        let said = self.process.signals();
        for (signal, seq) in turn::left_behind(&self.spec)?.into_iter().zip(said + 1..) {
            self.tell_signal(Signalled { seq, at, signal });
        }
        Ok(())
    }

    /// The end of its error output.
    fn last_words(&self) -> String {
        let path = self.spec.dir.join(format!("{}.stderr.log", turn::stem(self.spec.turn)));
        let bytes = process::hostile::read(&path, 64 << 20).ok().flatten().unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(ERROR_BYTES_TOLD)..]);
        let text = text.trim();
        if text.is_empty() { String::new() } else { format!(": {text}") }
    }
}

fn goes_on(step: &Step) -> bool {
    matches!(
        step,
        Step::Tell(
            AgentEvent::Text(_)
                | AgentEvent::Thought(_)
                | AgentEvent::ToolStart { .. }
                | AgentEvent::Asked { .. }
        )
    )
}

/// The first three numbers with dots between them.
pub(super) fn numbers(version: &str) -> Option<[u32; 3]> {
    let words = version.split(|c: char| !c.is_ascii_digit() && c != '.');
    let found = words.filter_map(|word| {
        let parts: Vec<u32> = word.split('.').map_while(|part| part.parse().ok()).collect();
        <[u32; 3]>::try_from(parts).ok()
    });
    { found }.next()
}
