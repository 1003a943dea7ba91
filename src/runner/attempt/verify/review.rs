//! A second agent looks at a change, in a checkout of its own, and lets it through or objects.
//!
//! It cannot change anything: what it writes is thrown away with its checkout.

use std::path::PathBuf;

use crate::agents::process::Cursor as ProcessCursor;
use crate::agents::signals::Signal;
use crate::agents::{
    Adopted, AgentEvent, AgentRun, Command, Cursor, Profile, RunSpec, TurnOutcome,
};
use crate::git::{Checkout, Discard, Order, Place, RefName};
use crate::graph::Review;
use crate::ids::ProfileName;
use crate::notify::Output;
use crate::runner::attempt::command::clean_checkout;
use crate::runner::attempt::prepare::{Prepared, agent_trouble};
use crate::runner::attempt::record::Record;
use crate::runner::attempt::verify::collect::Collected;
use crate::runner::attempt::{Attempt, Break, Ears};
use crate::runner::files;
use crate::runner::instructions::{REVIEW_NUDGE, review_brief};
use crate::runner::job::StepFailure;
use crate::runner::project::trouble;
use crate::runner::shop::Chosen;
use crate::state::{AttemptOutcome, FailureClass, ParkReason, Party};

/// How much of a change the reviewer is shown at once; the rest is in its checkout.
const DIFF_BYTES_MAX: usize = 200_000;

/// Where the reviewer finds what the change is a change of.
const BASE_REF: &str = "refs/taskloom/base";

/// What nobody is there to answer.
const NOBODY: &str = "you review a change, and nobody can be asked; judge by what you see";

/// What a reviewer says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Approves,
    Objects(Vec<String>),
}

impl Attempt<'_> {
    /// Has the change looked at, if it is to be. What the reviewer objects to is returned.
    pub(in crate::runner::attempt) async fn review(
        &self,
        prepared: &Prepared,
        collected: &Collected,
        round: u32,
        record: &mut Record,
        ears: &mut Ears,
    ) -> Result<Option<String>, Break> {
        let due = |review: &&Review| self.number + 1 >= review.on_attempt;
        let Some(review) = self.spec().review.as_ref().filter(due) else { return Ok(None) };
        let Chosen { agent, name, profile, env } = self.shop.agent_for(&review.agent, None)?;
        let checkout = self.review_checkout(prepared, collected).await?;
        let spec = self.review_spec(profile, &env, &checkout, round)?;
        self.write_review_brief(&spec, prepared, collected).await?;
        self.say(Output::Line("a second agent looks at the change".to_owned()));
        let adopted =
            agent.adopt(spec.clone(), Cursor { turn: 0, process: ProcessCursor::default() });
        let mut reviewer = match adopted.await.map_err(|error| agent_trouble(&error))? {
            Adopted::Running(run) | Adopted::Finished(run) | Adopted::Lost(run) => run,
            Adopted::Never => agent.start(spec).await.map_err(|error| agent_trouble(&error))?,
        };
        let word = self.hear_reviewer(&mut reviewer, name.as_ref(), record, ears).await;
        // It has said what it has to say, or was told to stop.
        reviewer.finish(self.shop.options.grace).await.ok();
        let released = self.project.checkouts.release(&checkout, Discard::Anyway).await;
        released.map_err(|error| trouble(&error))?;
        match word? {
            Word::Approves => {
                self.say(Output::Line("the reviewer approves".to_owned()));
                Ok(None)
            }
            Word::Objects(objections) => {
                let list: String =
                    objections.iter().map(|text| format!("- {}\n", text.trim())).collect();
                self.say(Output::Line(format!("the reviewer objects:\n{list}")));
                Ok(Some(list))
            }
        }
    }

    async fn review_checkout(
        &self,
        prepared: &Prepared,
        collected: &Collected,
    ) -> Result<Checkout, StepFailure> {
        let place = Place::review(&self.run.name, &self.spec().id);
        let base = RefName::new(BASE_REF).expect("BUG: a ref of ours");
        let refs = [(base, prepared.lane.clone())];
        let order = Order { place: &place, branch: None, commit: &collected.commit, refs: &refs };
        match self.project.checkouts.adopt(&order) {
            Some(checkout) => Ok(checkout),
            None => clean_checkout(&self.project.checkouts, &order).await,
        }
    }

    fn review_spec(
        &self,
        profile: Profile,
        env: &[String],
        checkout: &Checkout,
        round: u32,
    ) -> Result<RunSpec, StepFailure> {
        let dir: PathBuf = self.dir.join(format!("review-{round}"));
        let home = dir.join("home");
        files::private_dir(&dir).map_err(|error| self.cannot_write(&error))?;
        let environment = self
            .environment(&home, env)?
            .with_taskloom(&dir, &self.shop.options.helper)
            .map_err(|error| self.cannot_write(&error))?;
        let review = self.spec().review.as_ref().expect("BUG: a review is under way");
        let given = self.shop.credentials(&self.run.graph, &review.agent, None)?;
        let dirs = given.dirs.clone();
        let environment = given.into_environment(environment);
        let mut sandbox = self.walls(&checkout.tree, &environment);
        sandbox.writes.push(dir.clone());
        sandbox.writes.extend(dirs);
        sandbox.container.name = format!("{}-review-{round}", sandbox.container.name);
        sandbox.container.commands = Some(dir.join("bin"));
        Ok(RunSpec {
            profile,
            task: self.spec().id.clone(),
            run: self.run.name.clone(),
            attempt: self.number,
            turn: 0,
            worktree: checkout.tree.clone(),
            instructions: dir.join("instructions.md"),
            dir,
            going_on: None,
            inputs: None,
            feedback: None,
            session: None,
            answer: None,
            environment,
            sandbox,
            deadline: Some(self.spec().timeout.unwrap_or(self.shop.options.attempt_timeout)),
            grace: self.shop.options.grace,
            limits: self.shop.options.limits,
        })
    }

    async fn write_review_brief(
        &self,
        spec: &RunSpec,
        prepared: &Prepared,
        collected: &Collected,
    ) -> Result<(), StepFailure> {
        let (base, commit) = (&prepared.lane, &collected.commit);
        let diff = self.project.bare.diff(base, commit, DIFF_BYTES_MAX).await;
        let diff = diff.map_err(|error| trouble(&error))?;
        let rest = diff.cut.then_some(BASE_REF);
        let brief = review_brief(self.spec(), &diff.text, rest);
        files::write(&spec.instructions, brief.as_bytes())
            .map_err(|error| self.cannot_write(&error))
    }

    /// Follows the reviewer to its word. One that says none is asked once.
    async fn hear_reviewer(
        &self,
        reviewer: &mut Box<dyn AgentRun>,
        profile: Option<&ProfileName>,
        record: &mut Record,
        ears: &mut Ears,
    ) -> Result<Word, Break> {
        let mut word = None;
        let mut asked = false;
        let mut by = None;
        loop {
            let event = tokio::select! {
                event = reviewer.next() => event,
                () = ears.stopped() => return Err(AttemptOutcome::Stopped { kept: None }.into()),
            };
            match event {
                Some(AgentEvent::Signal(said)) => {
                    if let Signal::Approve {} = said.signal {
                        word = Some(Word::Approves);
                    } else if let Signal::Object { objections } = said.signal {
                        word = Some(Word::Objects(objections));
                    } else if let Signal::Ask { .. } = said.signal {
                        let answer = Command::Answer { seq: said.seq, text: NOBODY.to_owned() };
                        reviewer.send(answer).await.ok();
                    } else {
                        record.transcribe(&serde_json::json!({ "reviewer": said.signal }));
                    }
                }
                Some(AgentEvent::Asked { id, .. }) => {
                    let answer = Command::Reply { id, text: NOBODY.to_owned() };
                    reviewer.send(answer).await.ok();
                }
                Some(AgentEvent::Text(text)) => self.say(Output::Text(text + "\n")),
                Some(AgentEvent::Started { model, .. }) => by = model,
                Some(AgentEvent::Usage { usage, .. }) => {
                    self.spent_by(record, usage, (by.clone(), profile.cloned()));
                }
                Some(AgentEvent::TurnEnd { outcome: TurnOutcome::Completed, .. }) => match word {
                    Some(word) => return Ok(word),
                    None if asked => return Err(silent().into()),
                    None => {
                        asked = true;
                        let nudge = Command::User(REVIEW_NUDGE.to_owned());
                        reviewer.send(nudge).await.map_err(|error| agent_trouble(&error))?;
                    }
                },
                Some(AgentEvent::TurnEnd { outcome, .. }) => return Err(ended(outcome, profile)),
                Some(_) => {}
                None => return Err(silent().into()),
            }
        }
    }
}

fn silent() -> StepFailure {
    let message = "the reviewer ended without a word: it neither approves nor objects";
    StepFailure::new(FailureClass::NeedsHuman, message)
}

/// What the end of a reviewer means that could not end its work.
fn ended(outcome: TurnOutcome, profile: Option<&ProfileName>) -> Break {
    let (class, why) = match outcome {
        TurnOutcome::Limited { resets_at: until, .. } => {
            let (whose, why) = (Party::Reviewer(profile.cloned()), ParkReason::UsageLimit);
            return AttemptOutcome::Parked { whose, until, why, kept: None }.into();
        }
        TurnOutcome::Transient { why } => (FailureClass::Transient, why),
        TurnOutcome::Lost { why } => (FailureClass::Lost, why),
        TurnOutcome::CannotStart { why } => (FailureClass::CannotStart, why),
        TurnOutcome::TimedOut => (FailureClass::TimedOut, "it took too long".to_owned()),
        TurnOutcome::NeedsHuman { why }
        | TurnOutcome::SessionSpent { why }
        | TurnOutcome::InvalidSignal { why }
        | TurnOutcome::Failed { why } => (FailureClass::NeedsHuman, why),
        TurnOutcome::Completed | TurnOutcome::Stopped => {
            (FailureClass::Lost, "it was ended from outside".to_owned())
        }
    };
    StepFailure::new(class, format!("the reviewer: {why}")).into()
}
