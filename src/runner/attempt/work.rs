//! One turn of the agent: follow it, pass questions and answers on, end it when it must end.

use std::time::Duration;

use serde_json::json;

use crate::agents::process::log_path;
use crate::agents::signals::{Signal, Signalled};
use crate::agents::{AgentEvent, AgentRun, Command, TurnOutcome, tools};
use crate::ids::ProfileName;
use crate::notify::Output;
use crate::runner::attempt::prepare::agent_trouble;
use crate::runner::attempt::record::Record;
use crate::runner::attempt::stall::{self, Ladder, Rung};
use crate::runner::attempt::{Attempt, Break, Ears, command};
use crate::runner::instructions::SPEAK;
use crate::runner::job::{Report, StepFailure, ToAttempt};
use crate::state::{
    Answer, AttemptOutcome, FailureClass, ParkReason, Party, Question, SILENCE_FROM, Session,
    Spent, Steer, Usage,
};

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
        let mut ladder = Ladder::new(self.context.silence.is_some());
        let mut end = None;
        let mut answer = self.context.answer.clone();
        loop {
            if let Some(decided) = answer.take_if(|answer| answer.seq >= SILENCE_FROM) {
                end = self.decide(agent, &mut ladder, &decided.text, record).await?.or(end);
            }
            // An answer may come before its question is heard again, and twice.
            if let Some(answer) = answer.take_if(|answer| record.waits_for(answer)) {
                self.pass_on(agent, answer, record).await;
            }
            let patient = !record.open.is_empty() || !record.tools.is_empty();
            match self.wake(agent, ears, patient).await {
                Wake::Event(Some(AgentEvent::TurnEnd { turn, outcome })) => {
                    return self.judge(turn, outcome, record, end);
                }
                Wake::Event(Some(event)) => {
                    if ladder.heard() {
                        self.reporter.report(Report::Answered);
                    }
                    self.take_in(event, record)?;
                }
                Wake::Event(None) => {
                    let message = "the agent ended without saying how";
                    return Err(StepFailure::new(FailureClass::Lost, message).into());
                }
                Wake::Told(ToAttempt::Answer(given)) => answer = Some(given),
                Wake::Told(ToAttempt::Steer(steer)) => self.steer(agent, steer).await,
                Wake::Told(ToAttempt::Stop | ToAttempt::Halt) => {
                    agent.send(Command::Stop).await.map_err(|error| agent_trouble(&error))?;
                }
                Wake::Silence => {
                    end = self.silence(agent, &mut ladder, record).await?.or(end);
                }
            }
        }
    }

    /// The agent was silent for one span more.
    async fn silence(
        &self,
        agent: &mut Box<dyn AgentRun>,
        ladder: &mut Ladder,
        record: &Record,
    ) -> Result<Option<StepFailure>, Break> {
        let stall = &self.shop.options.stall;
        let mut rung = ladder.climb(stall);
        if rung == Some(Rung::Nudge) && !self.nudge(agent, record).await {
            rung = ladder.pass_over(stall);
        }
        let spans = stall.after.unwrap_or_default() * ladder.spans();
        let spans = humantime::format_duration(spans);
        match rung {
            Some(Rung::Ask) => {
                let seq = SILENCE_FROM + self.shop.clock.now().0.unsigned_abs();
                let nudge = (!ladder.is_deaf()).then_some(stall::NUDGE);
                let choices = [Some(stall::WAIT), nudge, Some(stall::STOP)];
                let choices: Vec<String> =
                    choices.into_iter().flatten().map(str::to_owned).collect();
                let text = format!("its agent has said nothing for {spans}: what becomes of it?");
                self.tell(record, format!("silent for {spans}; somebody is asked"));
                self.reporter.report(Report::Asked(record.question(seq, &text, &choices)));
                Ok(None)
            }
            Some(Rung::Stop) => {
                agent.send(Command::Stop).await.map_err(|error| agent_trouble(&error))?;
                let message = format!("the agent was silent for {spans}");
                Ok(Some(StepFailure::new(FailureClass::TimedOut, message)))
            }
            Some(Rung::Nudge) | None => Ok(None),
        }
    }

    /// Tells a silent agent to say something. Whether it takes messages while it works.
    async fn nudge(&self, agent: &mut Box<dyn AgentRun>, record: &Record) -> bool {
        let seq = SILENCE_FROM + self.shop.clock.now().0.unsigned_abs();
        let taken = agent.send(Command::Steer { seq, text: SPEAK.to_owned() }).await.is_ok();
        if taken {
            self.tell(record, "is silent, and was told to say where it is".to_owned());
        }
        taken
    }

    /// What a person said of a silent agent. What it is to end for, if it is to end.
    async fn decide(
        &self,
        agent: &mut Box<dyn AgentRun>,
        ladder: &mut Ladder,
        said: &str,
        record: &Record,
    ) -> Result<Option<StepFailure>, Break> {
        self.reporter.report(Report::Answered);
        match said {
            stall::STOP => {
                ladder.stop();
                agent.send(Command::Stop).await.map_err(|error| agent_trouble(&error))?;
                let message = "a person had the silent agent stopped, to be tried again";
                return Ok(Some(StepFailure::new(FailureClass::Transient, message)));
            }
            stall::NUDGE => {
                let taken = self.nudge(agent, record).await;
                ladder.nudged_by_hand(&self.shop.options.stall, taken);
            }
            _ => ladder.wait(),
        }
        Ok(None)
    }

    /// Gives the agent its answer, and asks the next of its questions.
    async fn pass_on(&self, agent: &mut Box<dyn AgentRun>, answer: Answer, record: &mut Record) {
        let Answer { seq, text, .. } = answer;
        record.open.pop_front();
        let command = match record.name_of(seq) {
            Some(id) => Command::Reply { id: id.clone(), text },
            None => Command::Answer { seq: u32::try_from(seq).unwrap_or(u32::MAX), text },
        };
        if let Err(error) = agent.send(command).await {
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
        let taken = agent.send(Command::Steer { seq, text }).await.is_ok();
        self.reporter.report(Report::Steered { seq, taken });
    }

    async fn wake(&self, agent: &mut Box<dyn AgentRun>, ears: &mut Ears, patient: bool) -> Wake {
        // Who waits for a person or a tool is not silent.
        let patience = self.shop.options.stall.after.filter(|_| !patient).unwrap_or(Duration::MAX);
        tokio::select! {
            event = agent.next() => Wake::Event(event),
            // A channel that is closed says nothing: this attempt is being let go.
            Some(message) = ears.next() => Wake::Told(message),
            () = tokio::time::sleep(patience) => Wake::Silence,
        }
    }

    /// One line of what the agent does, as people see it.
    fn tell(&self, record: &Record, line: String) {
        record.shown(&format!("▸ {line}"));
        self.say(Output::Line(line));
    }

    fn take_in(&self, event: AgentEvent, record: &mut Record) -> Result<(), Break> {
        match event {
            AgentEvent::Text(text) => {
                record.transcribe(&json!({ "text": text }));
                record.shown(&text);
                self.say(Output::Text(text + "\n"));
            }
            AgentEvent::Thought(text) => {
                record.transcribe(&json!({ "thought": text }));
                self.say(Output::Thought(text));
            }
            AgentEvent::ToolStart { id, name, input } => {
                record.tools.insert(id);
                if let Some(words) = tools::in_words(&name, &input) {
                    self.tell(record, words);
                }
                record.transcribe(&json!({ "tool": name, "input": input }));
            }
            AgentEvent::ToolEnd { id, ok, output } => {
                record.tools.remove(&id);
                if !ok {
                    let first = output.trim().lines().next().unwrap_or("without a word");
                    self.tell(record, format!("that failed: {first}"));
                }
                record.transcribe(&json!({ "tool_ended": ok, "output": output }));
            }
            AgentEvent::Usage { usage, session } => self.spent(record, usage, session),
            AgentEvent::Signal(said) => self.heard(&said, record),
            AgentEvent::Started { session, model, version } => {
                record.transcribe(&json!({
                    "started": { "session": &session, "model": &model, "version": version }
                }));
                record.goes_by(session, model);
            }
            AgentEvent::Retrying { attempt, max, delay, why } => {
                let of = max.map(|max| format!(" of {max}")).unwrap_or_default();
                let wait = humantime::format_duration(Duration::from_secs(delay.as_secs()));
                self.tell(record, format!("{why}: tried again in {wait} ({attempt}{of})"));
                record.transcribe(&json!({ "retrying": attempt, "why": why }));
            }
            AgentEvent::PermissionDenied { tool } => {
                record.refused.insert(tool.clone());
                self.tell(record, format!("{tool} was refused"));
                record.transcribe(&json!({ "permission_denied": tool }));
            }
            AgentEvent::Limit { rejected, window, resets_at } => {
                let how = if rejected { "reached" } else { "near" };
                self.tell(record, format!("the {window} limit is {how}"));
                record.transcribe(
                    &json!({ "limit": window, "rejected": rejected, "resets_at": resets_at }),
                );
            }
            AgentEvent::Asked { id, text, choices } => {
                record.transcribe(&json!({ "asked": text, "choices": choices }));
                let asked = record.ask(id, &text, &choices);
                self.put(asked, record);
            }
            // It is asked for none.
            AgentEvent::Answer(_) => {}
            AgentEvent::Unknown(value) => record.transcribe(&json!({ "unknown": value })),
            AgentEvent::Garbage(line) => record.transcribe(&json!({ "garbage": line })),
            AgentEvent::Pulse | AgentEvent::Background { .. } | AgentEvent::TurnEnd { .. } => {}
        }
        Ok(())
    }

    fn heard(&self, said: &Signalled, record: &mut Record) {
        record.transcribe(&json!({ "signal": said }));
        match &said.signal {
            Signal::Ask { question, choices } => {
                let asked = record.question(u64::from(said.seq), question, choices);
                self.put(asked, record);
            }
            Signal::Progress { text } => self.tell(record, text.clone()),
            Signal::Concern { text } => self.tell(record, format!("concern: {text}")),
            Signal::OpsConcern { text } => self.tell(record, format!("ops concern: {text}")),
            Signal::Done { summary } => {
                let summary = summary.as_ref().map(|text| format!(": {text}"));
                self.tell(record, format!("says that it is done{}", summary.unwrap_or_default()));
            }
            Signal::NoChanges {} => self.tell(record, "says that nothing must change".to_owned()),
            Signal::Failed { .. }
            | Signal::Summary { .. }
            | Signal::Learned { .. }
            | Signal::Declare { .. }
            | Signal::Note { .. }
            | Signal::Approve {}
            | Signal::Object { .. }
            | Signal::Plan { .. } => {}
        }
        record.hear(said);
    }

    /// Puts a question to a person, after those that are open.
    fn put(&self, asked: Question, record: &mut Record) {
        // Whoever goes on with an agent hears everything again.
        if self.context.answers.contains(&asked.place()) {
            return;
        }
        self.tell(record, format!("asks: {}", asked.text));
        if record.open.is_empty() {
            self.reporter.report(Report::Asked(asked.clone()));
        }
        record.open.push_back(asked);
    }

    /// Takes down what something cost, and tells the engine.
    pub(super) fn spent(&self, record: &mut Record, usage: Usage, session: Option<Session>) {
        record.goes_by(session, None);
        if let Some(spent) = record.spend(usage) {
            self.reporter.report(Report::Spent(spent));
        }
    }

    /// The same for an agent beside the one that does the work: by which model and profile.
    pub(super) fn spent_by(
        &self,
        record: &mut Record,
        usage: Usage,
        (model, profile): (Option<String>, Option<ProfileName>),
    ) {
        if let Some(spent) = record.spend(usage) {
            self.reporter.report(Report::Spent(Spent { model, profile, ..spent }));
        }
    }

    /// What the end of a turn means, with what was claimed.
    fn judge(
        &self,
        turn: u32,
        outcome: TurnOutcome,
        record: &mut Record,
        end: Option<StepFailure>,
    ) -> Result<(), Break> {
        let fail = |class, message: String| Err(StepFailure::new(class, message).into());
        if let Some(Signal::Failed { reason }) = &record.claim {
            return fail(FailureClass::AgentFailed, format!("the agent says: {reason}"));
        }
        match outcome {
            TurnOutcome::Completed => Ok(()),
            TurnOutcome::Stopped if let Some(failure) = end => Err(failure.into()),
            TurnOutcome::Stopped => Err(AttemptOutcome::Stopped { kept: None }.into()),
            TurnOutcome::Failed { why } => {
                let more = self.last_lines(turn);
                fail(FailureClass::AgentFailed, format!("{why}\n{more}").trim_end().to_owned())
            }
            TurnOutcome::TimedOut => {
                let limit = self.spec().timeout.unwrap_or(self.shop.options.attempt_timeout);
                let limit = humantime::format_duration(limit);
                fail(FailureClass::TimedOut, format!("the agent did not end within {limit}"))
            }
            TurnOutcome::Limited { window, resets_at: until } => {
                self.tell(record, format!("the {window} limit is reached"));
                let (whose, why) = (Party::Doer, ParkReason::UsageLimit);
                Err(AttemptOutcome::Parked { whose, until, why, kept: None }.into())
            }
            TurnOutcome::Transient { why } => fail(FailureClass::Transient, why),
            TurnOutcome::NeedsHuman { why } => fail(FailureClass::NeedsHuman, why),
            TurnOutcome::SessionSpent { why } => {
                // The next attempt begins another conversation, on top of the same work.
                record.session = None;
                let class = match self.context.session {
                    Some(_) => FailureClass::Transient,
                    None => FailureClass::AgentFailed,
                };
                fail(class, why)
            }
            TurnOutcome::CannotStart { why } => fail(FailureClass::CannotStart, why),
            TurnOutcome::Lost { why } => fail(FailureClass::Lost, why),
            TurnOutcome::InvalidSignal { why } => fail(FailureClass::InvalidSignal, why),
        }
    }

    /// The last lines that a program wrote for people, if it writes for them.
    fn last_lines(&self, turn: u32) -> String {
        let errors = self.dir.join(format!("agent-{turn}.stderr.log"));
        if errors.exists() {
            return String::new();
        }
        let log = log_path(&self.dir, &format!("agent-{turn}"));
        let output = command::tail(&log).unwrap_or_default();
        let lines: Vec<&str> = output.lines().filter(|line| !line.trim().is_empty()).collect();
        lines[lines.len().saturating_sub(OUTPUT_LINES_TOLD)..].join("\n")
    }
}
