//! One turn of the agent: follow it, pass questions and answers on, end it when it must end.

use std::time::Duration;

use serde_json::json;

use crate::agents::process::log_path;
use crate::agents::signals::{Signal, Signalled};
use crate::agents::{AgentEvent, AgentRun, Command, TurnOutcome};
use crate::notify::Output;
use crate::runner::attempt::prepare::agent_trouble;
use crate::runner::attempt::record::Record;
use crate::runner::attempt::{Attempt, Break, Ears, command};
use crate::runner::job::{Report, StepFailure, ToAttempt};
use crate::state::{Answer, AttemptOutcome, FailureClass, ParkReason, Steer};

/// How many lines of output a failure repeats; the rest is in the log.
const OUTPUT_LINES_TOLD: usize = 20;

/// What wakes the one who follows an agent.
enum Wake {
    Event(Option<AgentEvent>),
    Told(ToAttempt),
    Silence,
}

impl Attempt<'_> {
    /// Follows the agent to the end of its turn.
    pub(super) async fn work(
        &self,
        agent: &mut Box<dyn AgentRun>,
        record: &mut Record,
        ears: &mut Ears,
    ) -> Result<(), Break> {
        let mut silent = false;
        let mut answer = self.context.answer.clone();
        loop {
            // An answer may come before its question is heard again, and twice.
            if let Some(answer) = answer.take_if(|answer| record.waits_for(answer)) {
                self.pass_on(agent, answer, record).await;
            }
            match self.wake(agent, ears, !record.open.is_empty()).await {
                Wake::Event(Some(AgentEvent::TurnEnd { turn, outcome })) => {
                    return self.judge(turn, outcome, record, silent);
                }
                Wake::Event(Some(event)) => self.take_in(event, record)?,
                Wake::Event(None) => {
                    let message = "the agent ended without saying how";
                    return Err(StepFailure::new(FailureClass::Lost, message).into());
                }
                Wake::Told(ToAttempt::Answer(given)) => answer = Some(given),
                Wake::Told(ToAttempt::Steer(steer)) => self.steer(agent, steer).await,
                Wake::Told(ToAttempt::Stop) => {
                    agent.send(Command::Stop).await.map_err(|error| agent_trouble(&error))?;
                }
                Wake::Silence => {
                    silent = true;
                    agent.send(Command::Stop).await.map_err(|error| agent_trouble(&error))?;
                }
            }
        }
    }

    /// Gives the agent its answer, and asks the next of its questions.
    async fn pass_on(&self, agent: &mut Box<dyn AgentRun>, answer: Answer, record: &mut Record) {
        let Answer { seq, text, .. } = answer;
        record.open.pop_front();
        let seq = u32::try_from(seq).unwrap_or(u32::MAX);
        if let Err(error) = agent.send(Command::Answer { seq, text }).await {
            self.reporter.report(Report::Remark(format!("the answer was not taken: {error}")));
        }
        self.reporter.report(Report::Answered);
        if let Some(next) = record.open.front() {
            self.reporter.report(Report::Asked(next.clone()));
        }
    }

    /// Tells the agent something in the middle of its turn, if it listens then.
    async fn steer(&self, agent: &mut Box<dyn AgentRun>, steer: Steer) {
        let Steer { seq, text } = steer;
        let taken = agent.send(Command::User(text)).await.is_ok();
        self.reporter.report(Report::Steered { seq, taken });
    }

    async fn wake(&self, agent: &mut Box<dyn AgentRun>, ears: &mut Ears, asking: bool) -> Wake {
        // Who waits for a person is not silent.
        let patience = self.shop.options.idle_timeout.filter(|_| !asking).unwrap_or(Duration::MAX);
        tokio::select! {
            event = agent.next() => Wake::Event(event),
            // A channel that is closed says nothing: this attempt is being let go.
            Some(message) = ears.next() => Wake::Told(message),
            () = tokio::time::sleep(patience) => Wake::Silence,
        }
    }

    fn take_in(&self, event: AgentEvent, record: &mut Record) -> Result<(), Break> {
        match event {
            AgentEvent::Text(text) => {
                record.transcribe(&json!({ "text": text }));
                self.say(Output::Text(text + "\n"));
            }
            AgentEvent::Thought(text) => {
                record.transcribe(&json!({ "thought": text }));
                self.say(Output::Thought(text));
            }
            AgentEvent::ToolStart { name, input, .. } => {
                self.say(Output::Line(format!("{name} {input}")));
                record.transcribe(&json!({ "tool": name, "input": input }));
            }
            AgentEvent::ToolEnd { ok, output, .. } => {
                record.transcribe(&json!({ "tool_ended": ok, "output": output }));
            }
            AgentEvent::Usage { tokens, usd } => {
                record.usage.tokens += tokens;
                record.usage.usd += usd;
            }
            AgentEvent::Limit { rejected: true, window, resets_at } => {
                self.say(Output::Line(format!("limit reached: {window}")));
                let why = ParkReason::UsageLimit;
                let parked = AttemptOutcome::Parked { until: resets_at, why };
                return Err(parked.into());
            }
            AgentEvent::Signal(said) => self.heard(&said, record),
            AgentEvent::Started { session, model, version } => record.transcribe(
                &json!({ "started": { "session": session, "model": model, "version": version } }),
            ),
            AgentEvent::Retrying { attempt, why, .. } => {
                record.transcribe(&json!({ "retrying": attempt, "why": why }));
            }
            AgentEvent::PermissionDenied { tool } => {
                record.transcribe(&json!({ "permission_denied": tool }));
            }
            AgentEvent::Limit { window, .. } => {
                record.transcribe(&json!({ "limit_near": window }));
            }
            AgentEvent::Unknown(value) => record.transcribe(&json!({ "unknown": value })),
            AgentEvent::Garbage(line) => record.transcribe(&json!({ "garbage": line })),
            AgentEvent::Pulse
            | AgentEvent::PermissionAsked { .. }
            | AgentEvent::Background { .. }
            | AgentEvent::TurnEnd { .. } => {}
        }
        Ok(())
    }

    fn heard(&self, said: &Signalled, record: &mut Record) {
        record.transcribe(&json!({ "signal": said }));
        match &said.signal {
            Signal::Ask { question, choices } => {
                let asked = record.question(u64::from(said.seq), question, choices);
                // Whoever goes on with an agent hears everything again.
                if self.context.answered.is_none_or(|last| last < asked.place()) {
                    self.say(Output::Line(format!("asks: {question}")));
                    if record.open.is_empty() {
                        self.reporter.report(Report::Asked(asked.clone()));
                    }
                    record.open.push_back(asked);
                }
            }
            Signal::Progress { text } => self.say(Output::Line(text.clone())),
            Signal::Concern { text } => self.say(Output::Line(format!("concern: {text}"))),
            Signal::OpsConcern { text } => self.say(Output::Line(format!("ops concern: {text}"))),
            Signal::Done { .. }
            | Signal::NoChanges {}
            | Signal::Failed { .. }
            | Signal::Summary { .. }
            | Signal::Declare { .. }
            | Signal::Note { .. }
            | Signal::Plan { .. } => {}
        }
        record.hear(said);
    }

    /// What the end of a turn means, with what was claimed.
    fn judge(
        &self,
        turn: u32,
        outcome: TurnOutcome,
        record: &Record,
        silent: bool,
    ) -> Result<(), Break> {
        let fail = |class, message: String| Err(StepFailure::new(class, message).into());
        if let Some(Signal::Failed { reason }) = &record.claim {
            return fail(FailureClass::AgentFailed, format!("the agent says: {reason}"));
        }
        match outcome {
            TurnOutcome::Completed => Ok(()),
            TurnOutcome::Stopped if silent => {
                let limit = self.shop.options.idle_timeout.unwrap_or_default();
                let limit = humantime::format_duration(limit);
                fail(FailureClass::TimedOut, format!("the agent was silent for {limit}"))
            }
            TurnOutcome::Stopped => Err(AttemptOutcome::Stopped { kept: None }.into()),
            TurnOutcome::Failed { why } => {
                fail(FailureClass::AgentFailed, format!("{why}\n{}", self.last_lines(turn)))
            }
            TurnOutcome::TimedOut => {
                let limit = self.spec().timeout.unwrap_or(self.shop.options.attempt_timeout);
                let limit = humantime::format_duration(limit);
                fail(FailureClass::TimedOut, format!("the agent did not end within {limit}"))
            }
            TurnOutcome::CannotStart { why } => fail(FailureClass::CannotStart, why),
            TurnOutcome::Lost { why } => fail(FailureClass::Lost, why),
            TurnOutcome::InvalidSignal { why } => fail(FailureClass::InvalidSignal, why),
        }
    }

    fn last_lines(&self, turn: u32) -> String {
        let log = log_path(&self.dir, &format!("agent-{turn}"));
        let output = command::tail(&log).unwrap_or_default();
        let lines: Vec<&str> = output.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(OUTPUT_LINES_TOLD)..].join("\n")
    }
}
