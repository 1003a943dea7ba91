//! Worktree, branch, instructions, receipt, agent.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::agents::process::{Adopted, Environment};
use crate::agents::{
    Agent, AgentEvent, AgentRun, Command, Cursor, Error as AgentError, Profile, RunSpec,
};
use crate::crash;
use crate::git::{Checkout, Order, RefName};
use crate::graph::SandboxKind;
use crate::ids::{CommitId, ProfileName};
use crate::notify::Output;
use crate::runner::attempt::command::{clean_checkout, process_trouble};
use crate::runner::attempt::record::{Outputs, Record};
use crate::runner::attempt::teardown::UNSAVED;
use crate::runner::attempt::{Attempt, Break, Ears};
use crate::runner::files;
use crate::runner::instructions::{Brief, InputFile};
use crate::runner::job::{Found, Report, StepFailure};
use crate::runner::lanes::pulls::{branch, head_of};
use crate::runner::project::told;
use crate::runner::shop::Chosen;
use crate::runner::walls;
use crate::sandbox;
use crate::state::{AttemptOutcome, FailureClass, Memory, Session, Step};

/// Where an agent that begins anew finds the work of earlier attempts.
const PREVIOUS_REF: &str = "refs/taskloom/previous";

/// What an agent is told that remembers what its task is.
const GOING_ON: &str = "going-on.md";

/// How much of a note to a task is passed on, and how many notes.
const NOTES_MAX: usize = 50;

/// What an attempt stands on, written down before the agent starts.
#[derive(Debug, Serialize, Deserialize)]
struct Receipt {
    worktree: String,
    branch: String,
    base: CommitId,
    /// Where its lane was: what the branch has beyond that is the task's work. An attempt that
    /// goes on with the work of earlier ones begins beyond it.
    lane: CommitId,
    sandbox: sandbox::Receipt,
    framework: String,
    /// The profile of the configuration, if it is one of there.
    profile: Option<ProfileName>,
}

/// A worktree with everything that the agent is given.
pub(super) struct Prepared {
    pub(super) checkout: Checkout,
    /// Where its lane was when the attempt began.
    pub(super) lane: CommitId,
    /// The profile that does the work.
    pub(super) profile: Option<ProfileName>,
    spec: RunSpec,
    agent: std::sync::Arc<dyn Agent>,
}

impl Prepared {
    /// Whether the agent can say how its task stands.
    pub(super) fn claims(&self) -> bool {
        self.agent.capabilities().claims
    }
}

/// An agent at work.
pub(super) struct Launched {
    pub(super) agent: Box<dyn AgentRun>,
    /// In which round of its gate it is, from 1: that of its turn.
    pub(super) round: u32,
    /// Whether an earlier process began it.
    pub(super) resumed: bool,
}

impl Attempt<'_> {
    /// Makes the worktree and writes what the agent is given, or finds it.
    pub(super) async fn prepare(&self) -> Result<Prepared, Break> {
        sandbox::receipt(&self.wall())
            .map_err(|error| StepFailure::new(FailureClass::CannotStart, told(&error)))?;
        let receipt: Option<Receipt> = files::read_json(&self.records.join("receipt.json"))
            .map_err(|error| self.cannot_write(&error))?;
        let begun = receipt.as_ref().and_then(|receipt| receipt.profile.clone());
        let chosen = self.shop.agent_for(&self.spec().agent, self.doer(begun.as_ref()))?;
        let Chosen { agent, name, profile, env } = chosen;
        let known = self.project.checkouts.lookup(&self.place).and_then(|found| {
            let receipt = receipt.filter(|receipt| receipt.base == found.base)?;
            Some((found, receipt.lane))
        });
        let (checkout, lane) = match known {
            Some(known) => known,
            None => self.fresh_checkout(&*agent).await?,
        };
        crash::point("attempt.checkout");
        let home = self.agent_home(&*agent);
        let environment = self
            .environment(&home, &env)?
            .with_taskloom(&self.dir, &self.shop.options.helper)
            .map_err(|error| self.cannot_write(&error))?;
        let given = self.shop.credentials(&self.run.graph, &self.spec().agent, name.as_ref())?;
        let beside = [vec![home], given.dirs.clone()].concat();
        let environment = given.into_environment(environment);
        let spec = RunSpec {
            session: self.session_of(name.as_ref()),
            ..self.run_spec(profile, beside, environment, &checkout)
        };
        let memories = self.recalled().await;
        self.write_brief(&checkout, &*agent, &memories)
            .map_err(|error| self.cannot_write(&error))?;
        let receipt = Receipt {
            worktree: checkout.tree.display().to_string(),
            branch: self.branch_name(),
            base: checkout.base.clone(),
            lane: lane.clone(),
            sandbox: sandbox::receipt(&spec.sandbox)
                .map_err(|error| StepFailure::new(FailureClass::CannotStart, told(&error)))?,
            framework: agent.kind().word().to_owned(),
            profile: name.clone(),
        };
        files::write_json(&self.records.join("receipt.json"), &receipt)
            .map_err(|error| self.cannot_write(&error))?;
        crash::point("attempt.receipt");
        if receipt.sandbox.kind != SandboxKind::None {
            let (kind, reach) = (receipt.sandbox.kind.word(), receipt.sandbox.reach.join("; "));
            self.say(Output::Line(format!("sandbox {kind}: it can reach {reach}")));
        }
        Ok(Prepared { checkout, lane, profile: name, spec, agent })
    }

    /// The profile that does the work: the one that began it, else the one that the engine chose.
    fn doer<'a>(&'a self, begun: Option<&'a ProfileName>) -> Option<&'a ProfileName> {
        begun.or(self.context.profile.as_ref())
    }

    /// The agent's home. One that can go on with its conversation keeps it there over the
    /// attempts of its task.
    fn agent_home(&self, agent: &dyn Agent) -> PathBuf {
        let (project, run) = (&self.run.project.id, &self.run.name);
        match agent.capabilities().resume_session {
            true => self.shop.layout.task(project, run, &self.spec().id).join("home"),
            false => self.dir.join("home"),
        }
    }

    fn branch_name(&self) -> String {
        self.run.branches().task(&self.spec().id)
    }

    fn lane_branch_name(&self) -> String {
        self.run.branches().lane(&self.run.graph.lane(self.spec().lane).id)
    }

    /// An agent that can take its session up again goes on with its own commits; any other begins
    /// at the lane's head and finds them under a ref. After a conflict everybody does.
    async fn fresh_checkout(&self, agent: &dyn Agent) -> Result<(Checkout, CommitId), StepFailure> {
        self.refuse_unsaved()?;
        let lane = head_of(&self.project, &branch(&self.lane_branch_name())).await?;
        let kept = self.context.kept.clone().filter(|_| !self.context.fresh);
        let resumes = self.goes_on(agent);
        let previous = RefName::new(PREVIOUS_REF).expect("BUG: a ref of ours");
        let refs: Vec<(RefName, CommitId)> =
            kept.iter().map(|kept| (previous.clone(), kept.clone())).collect();
        let own = branch(&self.branch_name());
        let order = Order {
            place: &self.place,
            branch: Some(&own),
            commit: kept.as_ref().filter(|_| resumes).unwrap_or(&lane),
            refs: &refs,
        };
        let checkout = clean_checkout(&self.project.checkouts, &order).await?;
        Ok((checkout, lane))
    }

    /// Whether the agent goes on where it was: in its own commits, not at the lane's head.
    fn goes_on(&self, agent: &dyn Agent) -> bool {
        let conflict =
            self.context.failure.as_ref().is_some_and(|f| f.class == FailureClass::Conflict);
        agent.capabilities().resume_session && !conflict && !self.context.fresh
    }

    /// The conversation that an agent of a profile goes on with.
    fn session_of(&self, profile: Option<&ProfileName>) -> Option<Session> {
        let session = self.context.session.clone().filter(|_| !self.context.fresh);
        session.filter(|session| session.profile.as_deref() == profile.map(|name| name.as_str()))
    }

    /// A worktree that holds what exists nowhere else is not written over.
    fn refuse_unsaved(&self) -> Result<(), StepFailure> {
        let (project, run, id) = (&self.run.project.id, &self.run.name, &self.spec().id);
        let unsaved = (0..self.number).any(|number| {
            self.shop.layout.records(project, run, id, number).join(UNSAVED).exists()
        });
        let Some(checkout) = self.project.checkouts.lookup(&self.place).filter(|_| unsaved) else {
            return Ok(());
        };
        let message = format!(
            "the work of an earlier attempt lies only in {}; save what is needed, then free it by \
             `taskloom gc --yes --force`",
            checkout.tree.display()
        );
        Err(StepFailure::new(FailureClass::CannotStart, message))
    }

    /// What is to be around the task's agent, gate and checks.
    fn wall(&self) -> sandbox::Request {
        walls::asked_for(self.spec(), self.shop.usual_sandbox(&self.run.project))
    }

    /// The walls around what works in `worktree` with an environment. Nothing can be written but
    /// the worktree.
    pub(super) fn walls(&self, worktree: &Path, environment: &Environment) -> sandbox::Request {
        let name = format!("taskloom-{}", self.key().replace('/', "-"));
        walls::around(self.shop, &self.project, self.wall(), (worktree, environment, name))
    }

    /// The environment of agent and gate. A gate gets no more: the directory of `taskloom` is one
    /// that an agent can write.
    pub(super) fn environment(
        &self,
        home: &Path,
        names: &[String],
    ) -> Result<Environment, StepFailure> {
        files::private_dir(home).map_err(|error| self.cannot_write(&error))?;
        let environment = self.shop.environment(home, names);
        let environment = match self.wall().kind {
            SandboxKind::None => environment,
            // The user's own home is not to be seen through a wall.
            SandboxKind::Bwrap | SandboxKind::Oci => environment.with_private_home(home),
        };
        self.shop.graph_environment(environment, &self.spec().env)
    }

    fn run_spec(
        &self,
        profile: Profile,
        beside: Vec<PathBuf>,
        environment: Environment,
        checkout: &Checkout,
    ) -> RunSpec {
        let mut walls = self.walls(&checkout.tree, &environment);
        walls.writes.push(self.dir.clone());
        walls.container.commands = Some(self.dir.join("bin"));
        walls.writes.extend(beside);
        RunSpec {
            profile,
            task: self.spec().id.clone(),
            run: self.run.name.clone(),
            attempt: self.number,
            turn: 0,
            worktree: checkout.tree.clone(),
            dir: self.dir.clone(),
            instructions: self.dir.join("instructions.md"),
            going_on: Some(self.dir.join(GOING_ON)),
            inputs: Some(self.dir.join("inputs.json")),
            feedback: None,
            session: None,
            answer: None,
            environment,
            sandbox: walls,
            deadline: Some(self.spec().timeout.unwrap_or(self.shop.options.attempt_timeout)),
            grace: self.shop.options.grace,
            limits: self.shop.options.limits,
        }
    }

    /// What earlier tasks of the project left behind that fits this one. A task goes on without.
    async fn recalled(&self) -> Vec<Memory> {
        let Some(limit) = self.shop.options.memories.filter(|limit| *limit > 0) else {
            return Vec::new();
        };
        let spec = self.spec();
        let text = format!("{}\n{}", spec.title, spec.description.as_deref().unwrap_or_default());
        let (project, own) = (&self.run.project.id, (self.run.id, self.task));
        let found = self.shop.lore.recall(project, &text, own, limit).await;
        found.unwrap_or_else(|error| {
            tracing::warn!(%error, task = %spec.id, "what earlier tasks left behind is not told");
            Vec::new()
        })
    }

    fn write_brief(
        &self,
        checkout: &Checkout,
        agent: &dyn Agent,
        memories: &[Memory],
    ) -> std::io::Result<()> {
        let inputs = self.inputs()?;
        let (summaries, notes) = (self.summaries(), self.notes()?);
        let earlier: Vec<String> = (0..self.number)
            .map(|number| {
                let (project, name) = (&self.run.project.id, &self.run.name);
                let dir = self.shop.layout.attempt(project, name, &self.spec().id, number);
                dir.display().to_string()
            })
            .collect();
        let kept = self.context.kept.is_some() && !self.context.fresh && !self.goes_on(agent);
        let kind = self.wall().kind;
        let (worktree, dir) = (checkout.tree.display().to_string(), self.dir.display().to_string());
        let (own, lane) = (self.branch_name(), self.lane_branch_name());
        let brief = Brief {
            graph: &self.run.graph,
            task: self.task,
            run: &self.run.name,
            attempt: self.number,
            worktree: &worktree,
            attempt_dir: &dir,
            branch: &own,
            lane_branch: &lane,
            inputs: &inputs,
            summaries: &summaries,
            notes: &notes,
            memories,
            remembers: self.shop.options.memories.is_some(),
            failure: self.context.failure.as_ref(),
            earlier: &earlier,
            note: self.context.note.as_deref(),
            previous_ref: kept.then_some(PREVIOUS_REF),
            sandbox: walls::bounds(kind),
        };
        files::write(&self.dir.join("instructions.md"), brief.markdown().as_bytes())?;
        files::write(&self.dir.join(GOING_ON), brief.going_on().as_bytes())?;
        files::write_json(&self.dir.join("manifest.json"), &brief.manifest())?;
        files::write_json(&self.dir.join("policies.json"), &brief.policies())?;
        files::write_json(&self.dir.join("inputs.json"), &inputs)?;
        if let Some(context) = &self.run.graph.settings().context {
            files::write(&self.dir.join("context.md"), context.as_bytes())?;
        }
        Ok(())
    }

    /// Files that upstream tasks declared and this one asks for.
    fn inputs(&self) -> std::io::Result<Vec<InputFile>> {
        let mut found = Vec::new();
        for input in &self.spec().inputs {
            let source = &self.run.graph.task(input.task).id;
            let outputs = self
                .task_dirs(source)
                .find_map(|dir| files::read_json::<Outputs>(&dir.join("outputs.json")).transpose());
            let declared = outputs.transpose()?.map(|outputs| outputs.files).unwrap_or_default();
            let wanted = declared
                .into_iter()
                .filter(|file| input.category.as_ref().is_none_or(|c| *c == file.category));
            found.extend(wanted.map(|file| InputFile {
                path: file.path,
                category: file.category,
                source_task: source.clone(),
            }));
        }
        Ok(found)
    }

    /// Where something is kept of a task: in this run, or in those that it goes on from.
    fn task_dirs(&self, task: &crate::ids::TaskId) -> impl Iterator<Item = PathBuf> {
        let runs = std::iter::once(&self.run.name).chain(&self.run.continues);
        runs.map(move |run| self.shop.layout.task(&self.run.project.id, run, task))
    }

    fn summaries(&self) -> Vec<(crate::ids::TaskId, String)> {
        let parents = self.run.graph.parents(self.task).iter();
        let of = |parent: &crate::graph::TaskIx| {
            let id = self.run.graph.task(*parent).id.clone();
            let read = |dir: PathBuf| std::fs::read_to_string(dir.join("summary.md")).ok();
            let text = self.task_dirs(&id).find_map(read)?;
            Some((id, text))
        };
        parents.filter_map(of).collect()
    }

    fn notes(&self) -> std::io::Result<Vec<(crate::ids::TaskId, String)>> {
        let dir = self.shop.layout.task(&self.run.project.id, &self.run.name, &self.spec().id);
        let mut notes = files::read_lines(&dir.join("notes.jsonl"))?;
        notes.truncate(NOTES_MAX);
        Ok(notes)
    }

    /// Starts the agent, or finds it.
    pub(super) async fn launch(
        &self,
        prepared: &Prepared,
        ears: &mut Ears,
        record: &mut Record,
    ) -> Result<Launched, Break> {
        let resumed = self.was_launched(0);
        // Looked for in this order: an agent that lives must still get the message.
        if !resumed && ears.stop_asked() {
            return Err(AttemptOutcome::Stopped { kept: None }.into());
        }
        let mut spec = prepared.spec.clone();
        loop {
            // What was said in turns before the last one must be heard again.
            let last = !self.was_launched(spec.turn + 1);
            let cursor = Cursor { turn: spec.turn, ..Cursor::default() };
            let adopted = prepared.agent.adopt(spec.clone(), cursor).await;
            match adopted.map_err(|error| agent_trouble(&error))? {
                Adopted::Running(run) if last => {
                    return Ok(self.found(Found::AtWork, run, spec.turn));
                }
                Adopted::Finished(run) | Adopted::Lost(run) if last => {
                    return Ok(self.found(Found::Ended, run, spec.turn));
                }
                Adopted::Running(run) | Adopted::Finished(run) | Adopted::Lost(run) => {
                    self.hear_again(run, record).await;
                    spec.turn += 1;
                    spec.session = record.session.clone();
                }
                Adopted::Never => break,
            }
        }
        self.reporter.report(Report::Found(Found::NotBegun));
        self.step(Step::Launching);
        let id = &self.spec().id;
        self.say(Output::Line(format!("attempt {} of `{id}` begins", self.number + 1)));
        if let Some(crate::graph::Environment::Tmux { .. }) = self.spec().agent.environment {
            let line = format!("attach to it: taskloom attach {}/{id}", self.run.name);
            self.say(Output::Line(line));
        }
        let started = prepared.agent.start(spec).await.map_err(|error| agent_trouble(&error))?;
        crash::point("attempt.launched");
        self.step(Step::Kickoff);
        self.step(Step::Working);
        Ok(Launched { agent: started, round: 1, resumed })
    }

    fn found(&self, found: Found, agent: Box<dyn AgentRun>, turn: u32) -> Launched {
        self.reporter.report(Report::Found(found));
        self.step(Step::Working);
        Launched { agent, round: turn + 1, resumed: true }
    }

    async fn hear_again(&self, mut run: Box<dyn AgentRun>, record: &mut Record) {
        while let Some(event) = run.next().await {
            if let AgentEvent::Signal(said) = &event {
                record.hear(said);
            } else if let AgentEvent::Usage { usage, session } = event {
                self.spent(record, usage, session);
            } else if let AgentEvent::Started { session, model, .. } = event {
                record.goes_by(session, model);
            }
        }
    }

    pub(super) fn was_launched(&self, turn: u32) -> bool {
        self.dir.join(format!("agent-{turn}.shim.json")).exists()
    }

    /// Gives the gate's output back to the agent, if it may answer it.
    pub(super) async fn feed_back(
        &self,
        agent: &mut Box<dyn AgentRun>,
        round: u32,
        same: bool,
        how: &str,
        output: &str,
    ) -> Result<(), Break> {
        let gate = self.spec().gate.as_deref().unwrap_or_default();
        let rounds = self.spec().max_gate_attempts;
        self.reporter.report(Report::Gate {
            passed: false,
            detail: format!("{gate} ({how}), try {round} of {rounds}"),
        });
        let tail = output.trim_end();
        if same || round >= rounds {
            let why =
                if same { "and the agent left the tree as it was" } else { "for the last time" };
            let message = format!("the gate `{gate}` failed ({how}) {why}\n{tail}");
            return Err(StepFailure::new(FailureClass::GateFailed, message).into());
        }
        let text = crate::runner::instructions::gate_feedback(gate, how, tail, round, rounds);
        agent.send(Command::User(text)).await.map_err(|error| agent_trouble(&error))?;
        Ok(())
    }

    /// Gives the reviewer's objections to the agent, if it may answer them.
    pub(super) async fn send_back(
        &self,
        agent: &mut Box<dyn AgentRun>,
        round: u32,
        objections: &str,
    ) -> Result<(), Break> {
        let rounds = self.spec().max_gate_attempts;
        if round >= rounds {
            let message = format!("the reviewer objects, for the last time:\n{objections}");
            return Err(StepFailure::new(FailureClass::Rejected, message).into());
        }
        let text = crate::runner::instructions::review_feedback(objections, round, rounds);
        agent.send(Command::User(text)).await.map_err(|error| agent_trouble(&error))?;
        Ok(())
    }
}

/// What an error of an agent means for the step that met it.
pub(super) fn agent_trouble(error: &AgentError) -> StepFailure {
    let class = match error {
        AgentError::Process(error) => return process_trouble(error),
        AgentError::Incomplete { .. }
        | AgentError::NotInstalled { .. }
        | AgentError::NoVariable { .. }
        | AgentError::TooOld { .. }
        | AgentError::Sandbox(_) => FailureClass::CannotStart,
        AgentError::Unsupported { .. } => FailureClass::Internal,
    };
    StepFailure::new(class, told(error))
}
