//! One attempt, from worktree to verified commit.
//!
//! The line: prepare → launch → kickoff → work → collect → gate → (back to work) → propose,
//! then always capture and tear down. Every step looks first at what is on disk: an attempt that
//! a crash cut short goes on where it was, and an agent that still runs never notices.

pub(crate) mod command;
mod ears;
mod plans;
mod prepare;
mod record;
mod stall;
mod teardown;
mod verify;
mod work;

use std::path::PathBuf;
use std::sync::Arc;

use crate::agents::{AgentRun, Command};
use crate::crash;
use crate::git::Place;
use crate::graph::{PrPolicy, Task, TaskIx};
use crate::ids::CommitId;
use crate::notify::{Output, TaskRef};
use crate::runner::instructions::{NOTHING, NUDGE};
use crate::runner::job::{AttemptContext, Found, Job, Report, Reporter, RunInfo, StepFailure};
use crate::runner::project::Project;
use crate::runner::shop::Inner;
use crate::state::{AttemptEnd, AttemptOutcome, FailureClass, Step};

pub(crate) use ears::Ears;
use prepare::Launched;
use record::Record;
pub use stall::Stall;
use verify::collect::Collected;
use verify::gate;

/// An attempt under way.
pub(crate) struct Attempt<'a> {
    shop: &'a Arc<Inner>,
    run: &'a RunInfo,
    task: TaskIx,
    number: u32,
    context: AttemptContext,
    project: Arc<Project>,
    place: Place,
    /// The attempt's directory, which the agent writes to as well.
    dir: PathBuf,
    /// What only the engine writes.
    records: PathBuf,
    reporter: &'a Reporter,
    reference: TaskRef,
}

/// Why an attempt does not come to a proposal.
enum Break {
    /// It ended in another way.
    Outcome(Box<AttemptOutcome>),
    /// A step failed.
    Step(StepFailure),
}

impl From<AttemptOutcome> for Break {
    fn from(outcome: AttemptOutcome) -> Self {
        Self::Outcome(Box::new(outcome))
    }
}

impl From<StepFailure> for Break {
    fn from(failure: StepFailure) -> Self {
        Self::Step(failure)
    }
}

/// Carries an attempt out, or goes on with it.
pub(crate) async fn run(
    shop: &Arc<Inner>,
    job: &Job,
    task: TaskIx,
    number: u32,
    reporter: &Reporter,
    ears: Ears,
) -> AttemptEnd {
    let run = &*job.run;
    let id = run.graph.task(task).id.clone();
    let dir = shop.layout.attempt(&run.project.id, &run.name, &id, number);
    let records = shop.layout.records(&run.project.id, &run.name, &id, number);
    let project = match shop.projects.open(&run.project).await {
        Ok(project) => project,
        Err(failure) => {
            // Whatever becomes of the attempt, no agent outlives it.
            teardown::end_programs(&dir, &records, shop.options.grace).await;
            return failed(failure);
        }
    };
    let attempt = Attempt {
        shop,
        run,
        task,
        number,
        context: job.attempt.as_deref().cloned().unwrap_or_default(),
        project,
        place: Place::task(&run.name, &id),
        dir,
        records,
        reporter,
        reference: TaskRef {
            project: run.project.id.clone(),
            run: run.id,
            name: run.name.clone(),
            task: id,
        },
    };
    let end = attempt.whole(ears).await;
    shop.streams.close(&attempt.reference);
    end
}

/// No agent begins another turn that may not.
fn may_go_on(ears: &mut Ears) -> Result<(), Break> {
    match ears.halt_asked() {
        true => Err(AttemptOutcome::Stopped { kept: None }.into()),
        false => Ok(()),
    }
}

fn failed(failure: StepFailure) -> AttemptEnd {
    let StepFailure { class, message } = failure;
    let message = message.into();
    AttemptEnd::bare(AttemptOutcome::Failed { class, message, kept: None })
}

impl Attempt<'_> {
    fn spec(&self) -> &Task {
        self.run.graph.task(self.task)
    }

    fn step(&self, step: Step) {
        self.reporter.report(Report::Step(step));
    }

    fn say(&self, output: Output) {
        self.shop.streams.post(&self.reference, &self.spec().title, output);
    }

    async fn whole(&self, ears: Ears) -> AttemptEnd {
        // An earlier process may have come to the end and died before it could say so.
        if let Some(mut end) = self.finished_before() {
            self.reporter.report(Report::Found(Found::Ended));
            self.end_agent().await;
            end.concerns.extend(self.tear_down(&end.outcome).await);
            return end;
        }
        let mut record = match Record::open(&self.dir, &self.records, self.number) {
            Ok(record) => record,
            Err(error) => {
                self.end_agent().await;
                return failed(self.cannot_write(&error));
            }
        };
        let came = match self.context.adopt {
            Some(_) => self.adopt(&mut record, ears).await,
            None => self.line(&mut record, ears).await,
        };
        let outcome = match came {
            Ok(outcome) => outcome,
            Err(Break::Outcome(outcome)) => *outcome,
            Err(Break::Step(StepFailure { class, message })) => {
                AttemptOutcome::Failed { class, message: message.into(), kept: None }
            }
        };
        self.end_agent().await;
        self.step(Step::Capturing);
        let outcome = self.save_work(outcome, &mut record).await;
        self.capture(&mut record, &outcome);
        self.step(Step::TearingDown);
        // Written down first: without its worktree the work could not be collected again.
        let mut end = record.end(outcome);
        match self.remember(&end) {
            Ok(()) => {
                crash::point("attempt.remembered");
                end.concerns.extend(self.tear_down(&end.outcome).await);
            }
            Err(error) => end.concerns.push(self.ops(self.cannot_write(&error).message)),
        }
        end
    }

    /// From worktree to verified commit.
    async fn line(&self, record: &mut Record, mut ears: Ears) -> Result<AttemptOutcome, Break> {
        let prepared = self.prepare().await?;
        record.profile.clone_from(&prepared.profile);
        let Launched { mut agent, round: begun, resumed } =
            self.launch(&prepared, &mut ears, record).await?;
        let mut last: Option<CommitId> = None;
        for round in begun.. {
            record
                .begin_turn(round - 1, prepared.claims())
                .map_err(|error| Break::Step(self.cannot_write(&error)))?;
            self.work(&mut agent, record, &mut ears).await?;
            // Who can speak is asked once what its silence, or its nothing, means.
            let asks = prepared.claims() && round == 1;
            if asks && record.claim.is_none() {
                may_go_on(&mut ears)?;
                self.ask_again(&mut agent, NUDGE, "ended its turn without a word").await?;
                continue;
            }
            self.step(Step::Gating);
            let collected = self.collect(&prepared, round - 1).await?;
            crash::point("attempt.collected");
            self.look_for_plan(&collected, record).await?;
            match self.demand_work(&collected, record) {
                Err(_) if asks && record.refused.is_empty() => {
                    may_go_on(&mut ears)?;
                    self.ask_again(&mut agent, NOTHING, "changed nothing").await?;
                    self.step(Step::Working);
                    continue;
                }
                demanded => demanded?,
            }
            self.demand_word(&prepared, record)?;
            self.demand_plan(record)?;
            let gated = tokio::select! {
                gated = self.gate(&collected.commit, round, resumed) => gated?,
                // The gate is ended with everything else that this attempt began.
                () = ears.stopped() => return Err(AttemptOutcome::Stopped { kept: None }.into()),
            };
            let evidence = match gated {
                gate::Gate::Passed(evidence) => evidence,
                gate::Gate::Failed { how, output } => {
                    may_go_on(&mut ears)?;
                    let same = last.as_ref() == Some(&collected.commit);
                    self.feed_back(&mut agent, round, same, &how, &output).await?;
                    last = Some(collected.commit);
                    self.step(Step::Working);
                    continue;
                }
            };
            crash::point("attempt.gated");
            if self.spec().review.is_some() {
                may_go_on(&mut ears)?;
            }
            let objections = self.review(&prepared, &collected, round, record, &mut ears).await?;
            if let Some(objections) = objections {
                may_go_on(&mut ears)?;
                self.send_back(&mut agent, round, &objections).await?;
                self.step(Step::Working);
                continue;
            }
            self.read_plan(record, &mut ears).await?;
            if collected.commits == 0 {
                return Ok(AttemptOutcome::NoChanges);
            }
            self.point_branch(&collected.commit).await?;
            crash::point("attempt.pointed");
            return Ok(AttemptOutcome::Proposed(collected.proposed(&prepared.lane, evidence)));
        }
        unreachable!("BUG: the rounds of a gate are bounded")
    }

    async fn ask_again(
        &self,
        agent: &mut Box<dyn AgentRun>,
        text: &str,
        why: &str,
    ) -> Result<(), Break> {
        self.say(Output::Line(format!("{why}; it is asked once")));
        agent.send(Command::User(text.to_owned())).await.map_err(|e| prepare::agent_trouble(&e))?;
        Ok(())
    }

    /// Ending well with nothing done is no success unless the task may.
    fn demand_work(&self, collected: &Collected, record: &Record) -> Result<(), Break> {
        let nothing = collected.commits == 0;
        let planned = self.spec().plan && record.plan.is_some();
        let may = record.said_no_changes() || planned || self.spec().pr == PrPolicy::Never;
        if !nothing || may {
            return Ok(());
        }
        if !record.refused.is_empty() {
            let tools: Vec<&str> = record.refused.iter().map(String::as_str).collect();
            let message = format!(
                "the agent changed nothing, and was refused {}: allow more in its profile \
                 (`permissions`), or change the task",
                tools.join(", ")
            );
            return Err(StepFailure::new(FailureClass::NeedsHuman, message).into());
        }
        let message = "the agent ended without an error and changed nothing; if nothing had to be \
                       changed it should have said so (`taskloom task no-changes`)";
        Err(StepFailure::new(FailureClass::NothingDone, message).into())
    }

    /// Who can say that the work is done and does not, although asked, is not believed where no
    /// gate can tell.
    fn demand_word(&self, prepared: &prepare::Prepared, record: &Record) -> Result<(), Break> {
        if !prepared.claims() || record.claim.is_some() || self.spec().gate.is_some() {
            return Ok(());
        }
        let message = "the agent ended twice without saying whether its task is done, and there \
                       is no gate that could tell; look at what it did, then retry or skip";
        Err(StepFailure::new(FailureClass::NeedsHuman, message).into())
    }

    fn cannot_write(&self, error: &std::io::Error) -> StepFailure {
        let message = format!("cannot write to {}: {error}", self.dir.display());
        StepFailure::new(FailureClass::Transient, message)
    }
}
