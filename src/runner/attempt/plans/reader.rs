//! A plan that says in words what it asks for is read by an agent, if the configuration names one.
//!
//! That agent is given the text and nothing else: no tools, no checkout, no token but what it signs
//! in with. What it answers is checked like anything that an agent writes, and a person is shown it
//! like any other plan. Whatever goes wrong with it costs its answer and nothing else: rules read
//! the plan then. Its turn is one of a supervised program in the attempt's records, so that who
//! comes after a crash finds it at work, or what it said.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::agents::{
    Adopted, AgentEvent, AgentRun, Command, Cursor, Permissions, Profile, RunSpec, TurnOutcome,
};
use crate::crash;
use crate::graph::{self, AgentSpec, Environment};
use crate::ids::ProfileName;
use crate::notify::Output;
use crate::plan::{self, ANSWER_BYTES_MAX, Step, Unfit};
use crate::runner::attempt::command::LOST_MAX;
use crate::runner::attempt::prepare::agent_trouble;
use crate::runner::attempt::record::Record;
use crate::runner::attempt::{Attempt, Break, Ears};
use crate::runner::files;
use crate::runner::instructions::reading_brief;
use crate::runner::job::{Report, StepFailure};
use crate::runner::shop::{Chosen, Parser};
use crate::sandbox;
use crate::state::{AttemptOutcome, PlanFound, PlanReader, PlanReading};

/// A plan has a few pages, and its steps are said in one answer: who needs longer hangs.
const TIME_MAX: Duration = Duration::from_secs(10 * 60);

/// How much is said of what went wrong.
const WHY_CHARS_MAX: usize = 300;

/// What nobody is there to answer.
const NOBODY: &str = "you only read a plan, and nobody can be asked; answer by what stands there";

/// Why an agent made no steps of a plan.
enum Unread {
    /// The attempt is to end.
    Stopped,
    /// Its process is gone; another one may do.
    Lost(String),
    /// In a sentence without its subject.
    Why(String),
}

impl From<StepFailure> for Unread {
    fn from(failure: StepFailure) -> Self {
        Self::Why(failure.message)
    }
}

impl From<std::io::Error> for Unread {
    fn from(error: std::io::Error) -> Self {
        Self::Why(format!("its files cannot be written: {error}"))
    }
}

impl From<Unfit> for Unread {
    fn from(unfit: Unfit) -> Self {
        Self::Why(unfit.to_string())
    }
}

/// Where the turns of a plan's reader are kept: another for each that was lost.
pub(in crate::runner::attempt) fn reader_dirs(records: &Path) -> impl Iterator<Item = PathBuf> {
    (0..=LOST_MAX).map(|again| records.join(format!("plan-{again}")))
}

impl Attempt<'_> {
    /// Has the attempt's plan read by an agent, if it is one for that. The plan is never lost by it.
    pub(in crate::runner::attempt) async fn read_plan(
        &self,
        record: &mut Record,
        ears: &mut Ears,
    ) -> Result<(), Break> {
        let Some(parser) = &self.shop.options.parser else { return Ok(()) };
        let Some(text) = record.plan.as_ref().and_then(|plan| self.for_agent(parser, plan)) else {
            return Ok(());
        };
        let (steps, dropped, failed) = match self.steps_by(parser, &text, record, ears).await {
            Ok((steps, dropped)) => (steps, dropped, None),
            Err(Unread::Stopped) => return Err(AttemptOutcome::Stopped { kept: None }.into()),
            Err(Unread::Lost(why) | Unread::Why(why)) => (Vec::new(), 0, Some(shortened(&why))),
        };
        let reader = PlanReader { profile: parser.profile.clone(), failed };
        self.say(Output::Line(reader.sentence()));
        if reader.failed.is_some() {
            self.reporter.report(Report::Remark(reader.sentence()));
        }
        if let Some(plan) = &mut record.plan {
            plan.read = Some(PlanReading { reader, steps, dropped });
        }
        Ok(())
    }

    /// The text of a plan that becomes tasks and is no graph.
    fn for_agent(&self, parser: &Parser, plan: &PlanFound) -> Option<String> {
        let shallow = graph::depth(&self.run.graph, self.task) < parser.rules.max_depth;
        (shallow && plan::in_words(&plan.text)).then(|| plan::clean(&plan.text))
    }

    async fn steps_by(
        &self,
        parser: &Parser,
        text: &str,
        record: &mut Record,
        ears: &mut Ears,
    ) -> Result<(Vec<Step>, usize), Unread> {
        if ears.stop_asked() {
            return Err(Unread::Stopped);
        }
        if ears.halt_asked() {
            return Err(Unread::Why("no more turns may begin".to_owned()));
        }
        self.say(Output::Line(format!("agent `{}` reads the plan", parser.profile)));
        let mut lost = Unread::Lost(String::new());
        for dir in reader_dirs(&self.records) {
            match self.asked(parser, text, dir, record, ears).await {
                Err(again @ Unread::Lost(_)) => lost = again,
                Err(unread) => return Err(unread),
                Ok(answer) => return Ok(plan::answered(&answer, parser.rules.max_steps)?),
            }
        }
        Err(lost)
    }

    /// Asks in a turn of its own, or takes up the one that was begun before.
    async fn asked(
        &self,
        parser: &Parser,
        text: &str,
        dir: PathBuf,
        record: &mut Record,
        ears: &mut Ears,
    ) -> Result<String, Unread> {
        let spec = AgentSpec {
            profile: Some(parser.profile.clone()),
            environment: Some(Environment::Headless),
            ..AgentSpec::default()
        };
        let Chosen { agent, profile, env, .. } = self.shop.agent_for(&spec, None)?;
        let given = self.shop.sign_in(&self.run.graph, agent.kind())?;
        let dirs = given.dirs.clone();
        let environment = given.into_environment(self.environment(&dir.join("home"), &env)?);
        let spec = self.reader_spec(profile, environment, dirs, dir);
        let trouble = |error| Unread::from(agent_trouble(&error));
        let adopted = agent.adopt(spec.clone(), Cursor::default()).await.map_err(trouble)?;
        let mut reader = match adopted {
            Adopted::Running(run) | Adopted::Finished(run) => run,
            Adopted::Lost(_) => return Err(Unread::Lost("its process was lost".to_owned())),
            Adopted::Never => {
                // It finds the plan where it is, and nothing else.
                files::private_dir(&spec.worktree)?;
                files::write(&spec.worktree.join("plan.md"), text.as_bytes())?;
                let brief = reading_brief(text, parser.rules.max_steps, &plan::schema());
                files::write(&spec.instructions, brief.as_bytes())?;
                let started = agent.start(spec).await.map_err(trouble)?;
                crash::point("attempt.plan-asked");
                started
            }
        };
        let answer = self.hear_reader(&mut reader, &parser.profile, record, ears).await;
        reader.finish(self.shop.options.grace).await.ok();
        answer
    }

    fn reader_spec(
        &self,
        profile: Profile,
        environment: crate::agents::process::Environment,
        dirs: Vec<PathBuf>,
        dir: PathBuf,
    ) -> RunSpec {
        let worktree = dir.join("desk");
        let walls = self.walls(&worktree, &environment);
        let name = format!("{}-plan", walls.container.name);
        let sandbox = sandbox::Request {
            writes: [vec![dir.clone()], dirs].concat(),
            // What the task may reach is about its work; its reader has no hands, and a model.
            network: true,
            container: sandbox::Container { name, ..walls.container },
            ..walls
        };
        let timeout = self.spec().timeout.unwrap_or(self.shop.options.attempt_timeout);
        RunSpec {
            profile: Profile {
                permissions: Permissions::Ask,
                allowed_tools: Vec::new(),
                mcp_servers: std::collections::BTreeMap::new(),
                ..profile
            },
            task: self.spec().id.clone(),
            run: self.run.name.clone(),
            attempt: self.number,
            turn: 0,
            worktree,
            instructions: dir.join("instructions.md"),
            dir,
            going_on: None,
            inputs: None,
            feedback: None,
            session: None,
            answer: Some(plan::schema()),
            environment,
            sandbox,
            deadline: Some(timeout.min(TIME_MAX)),
            grace: self.shop.options.grace,
            limits: self.shop.options.limits,
        }
    }

    /// Follows the reader to the end of its turn. What it says counts where it gives no answer by a
    /// protocol.
    async fn hear_reader(
        &self,
        reader: &mut Box<dyn AgentRun>,
        profile: &ProfileName,
        record: &mut Record,
        ears: &mut Ears,
    ) -> Result<String, Unread> {
        let (mut said, mut answer, mut by) = (String::new(), None, None);
        loop {
            let event = tokio::select! {
                event = reader.next() => event,
                () = ears.stopped() => return Err(Unread::Stopped),
            };
            match event {
                Some(AgentEvent::Answer(text)) => answer = Some(text),
                Some(AgentEvent::Text(text)) => {
                    // One more than is allowed: so it shows that there was too much.
                    if said.len() <= ANSWER_BYTES_MAX {
                        said += &text;
                        said.push('\n');
                    }
                }
                Some(AgentEvent::Asked { id, .. }) => {
                    let reply = Command::Reply { id, text: NOBODY.to_owned() };
                    reader.send(reply).await.ok();
                }
                Some(AgentEvent::Started { model, .. }) => by = model,
                Some(AgentEvent::Usage { usage, .. }) => {
                    self.spent_by(record, usage, (by.clone(), Some(profile.clone())));
                }
                Some(AgentEvent::TurnEnd { outcome: TurnOutcome::Completed, .. }) => {
                    return Ok(answer.unwrap_or(said));
                }
                Some(AgentEvent::TurnEnd { outcome, .. }) => return Err(unread(outcome)),
                Some(_) => {}
                None => return Err(Unread::Why("it ended without a word".to_owned())),
            }
        }
    }
}

/// What the end of a turn means that did not come to an answer.
fn unread(outcome: TurnOutcome) -> Unread {
    Unread::Why(match outcome {
        TurnOutcome::Lost { why } => return Unread::Lost(why),
        TurnOutcome::Limited { window, .. } => format!("its {window} limit is reached"),
        TurnOutcome::TimedOut => "it took too long".to_owned(),
        TurnOutcome::Completed | TurnOutcome::Stopped => "it was ended from outside".to_owned(),
        TurnOutcome::Transient { why }
        | TurnOutcome::CannotStart { why }
        | TurnOutcome::NeedsHuman { why }
        | TurnOutcome::SessionSpent { why }
        | TurnOutcome::InvalidSignal { why }
        | TurnOutcome::Failed { why } => why,
    })
}

/// The first line, as much of it as a person reads: the words may be the agent's.
fn shortened(why: &str) -> String {
    let why = plan::clean(why);
    why.trim().lines().next().unwrap_or_default().chars().take(WHY_CHARS_MAX).collect()
}
