//! Takes jobs in, carries each out on a task of its own, and keeps what is under way within reach.

mod credentials;
mod lore;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, RwLock};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use crate::agents::process::{Environment, Launcher, Limits};
use crate::agents::{self, Agent, Registry};
use crate::crash;
use crate::failure::Failure;
use crate::forge::github::Account;
use crate::git::{self, DiskFloor, Git, Identity, Method};
use crate::graph::{AgentSpec, Framework, Graph, SandboxKind, TaskIx};
use crate::ids::{CommitId, ProfileName, ProjectId};
use crate::notify::Streams;
use crate::plan::Rules;
use crate::runner::attempt;
use crate::runner::attempt::Stall;
use crate::runner::job::{Executor, Job, Report, Reporter, RunInfo, StepFailure, ToAttempt};
use crate::runner::lanes;
use crate::runner::lanes::pulls;
use crate::runner::layout::{Layout, press};
use crate::runner::project::Projects;
use crate::state::{Effect, EffectKey, FailureClass, MergeMethod, ProjectRecord};
use crate::time::Clock;

pub(crate) use credentials::Given;
pub use credentials::{Credentials, SignIn};
pub use lore::Lore;

/// How attempts are carried out.
#[derive(Debug, Clone)]
pub struct Options {
    /// The profile of tasks that name neither profile nor framework.
    pub default_agent: Option<ProfileName>,
    /// Agent profiles by name.
    pub agents: BTreeMap<ProfileName, AgentProfile>,
    /// Variables of the daemon that agents get and graphs may use.
    pub env: Vec<String>,
    /// What agents sign in and work with.
    pub credentials: Credentials,
    /// The wall around agents where the graph does not say.
    pub sandbox: SandboxKind,
    /// Whether agents get an empty home directory of their own.
    pub private_home: bool,
    /// What one agent may use.
    pub limits: Limits,
    /// How long a turn may take where the graph does not say.
    pub attempt_timeout: Duration,
    /// What becomes of an agent that is silent.
    pub stall: Stall,
    /// How long a gate or check may take.
    pub gate_timeout: Duration,
    /// Between asking a program to end and killing it.
    pub grace: Duration,
    /// The projects whose pull requests are made on GitHub.
    pub github: Option<OnGitHub>,
    /// How pull requests are merged where the project does not say.
    pub method: MergeMethod,
    /// Who commits.
    pub identity: Identity,
    /// Who is named beside them, by the name of who submitted the run: `Ada <ada@example.org>`.
    pub co_authors: BTreeMap<String, String>,
    /// How many earlier tasks an agent is told of; `None`: nothing is remembered.
    pub memories: Option<u32>,
    /// Who makes steps of plans that say in words what they ask for; `None`: rules do.
    pub parser: Option<Parser>,
    /// Nothing is prepared while less is free.
    pub floor: DiskFloor,
    /// The program that supervises and that agents call: this one.
    pub helper: PathBuf,
}

/// An agent that reads plans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parser {
    /// Which.
    pub profile: ProfileName,
    /// What holds for plans.
    pub rules: Rules,
}

/// The account on GitHub that some projects use.
#[derive(Clone)]
pub struct OnGitHub {
    /// The account.
    pub account: Arc<Account>,
    /// What the projects' repositories are called there, as `octo/shop`.
    pub repos: BTreeMap<ProjectId, String>,
}

impl fmt::Debug for OnGitHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnGitHub").field("repos", &self.repos).finish_non_exhaustive()
    }
}

/// How an agent is configured.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentProfile {
    /// How it is spoken to.
    pub framework: Framework,
    /// What its adapter is told.
    pub configured: agents::Profile,
    /// More variables of the daemon that it gets.
    pub env: Vec<String>,
    /// Who does its tasks while its usage limit is reached.
    pub fallback: Option<ProfileName>,
    /// How many of it may run at once.
    pub slots: Option<u32>,
}

impl AgentProfile {
    /// The variables of the daemon that it gets, those of its servers among them.
    pub fn variables(&self) -> Vec<String> {
        self.env.iter().chain(self.configured.variables()).cloned().collect()
    }
}

/// Carries out jobs with real repositories and real processes. Cheap to clone.
#[derive(Clone)]
pub struct Shop(Arc<RwLock<Arc<Inner>>>);

/// What every job works with, from its beginning to its end.
pub(crate) struct Inner {
    pub(crate) options: Options,
    pub(crate) layout: Layout,
    pub(crate) projects: Arc<Projects>,
    pub(crate) registry: Registry,
    pub(crate) launcher: Launcher,
    pub(crate) streams: Streams,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) lore: Arc<dyn Lore>,
    under_way: Arc<Mutex<HashMap<EffectKey, UnderWay>>>,
}

struct UnderWay {
    work: AbortHandle,
    messages: mpsc::UnboundedSender<ToAttempt>,
}

impl Shop {
    /// A shop that works below `layout`.
    pub fn new(
        options: Options,
        layout: Layout,
        git: Git,
        registry: Registry,
        streams: Streams,
        clock: Arc<dyn Clock>,
        lore: Arc<dyn Lore>,
    ) -> Self {
        let (identity, floor) = (options.identity.clone(), options.floor);
        let github = options.github.clone();
        let projects = Arc::new(Projects::new(git, layout.clone(), identity, floor, github));
        let launcher = Launcher::new(options.helper.clone());
        let under_way = Arc::default();
        Self(Arc::new(RwLock::new(Arc::new(Inner {
            options,
            layout,
            projects,
            registry,
            launcher,
            streams,
            clock,
            lore,
            under_way,
        }))))
    }

    /// Takes over another configuration: jobs begin with it from now on. What is under way keeps
    /// what it began with.
    pub fn adjust(&self, options: Options) {
        let mut place = self.0.write().expect("BUG: nobody panics with this lock");
        let (identity, floor) = (options.identity.clone(), options.floor);
        place.projects.adjust(identity, floor, options.github.clone());
        *place = Arc::new(Inner {
            options,
            layout: place.layout.clone(),
            projects: place.projects.clone(),
            registry: place.registry.clone(),
            launcher: place.launcher.clone(),
            streams: place.streams.clone(),
            clock: place.clock.clone(),
            lore: place.lore.clone(),
            under_way: place.under_way.clone(),
        });
    }

    /// The account on GitHub, if projects are there.
    pub fn on_github(&self) -> Option<OnGitHub> {
        self.inner().options.github.clone()
    }

    /// What `head` changes since it left `base`, as text of at most `bytes_max` bytes.
    pub async fn diff(
        &self,
        project: &ProjectRecord,
        base: &CommitId,
        head: &CommitId,
        bytes_max: usize,
    ) -> Result<git::Diff, Failure> {
        let open = self.inner().projects.open(project).await;
        let open = open.map_err(|failure| Failure::outside(failure.message))?;
        let diff = open.bare.diff(base, head, bytes_max).await;
        diff.map_err(|error| Failure::outside(format!("git does not show it: {error}")))
    }

    /// What a job works with that begins now.
    pub(crate) fn inner(&self) -> Arc<Inner> {
        self.0.read().expect("BUG: nobody panics with this lock").clone()
    }
}

impl Inner {
    /// The wall around agents in a project where the graph does not say.
    pub(crate) fn usual_sandbox(&self, project: &ProjectRecord) -> SandboxKind {
        project.settings.sandbox.unwrap_or(self.options.sandbox)
    }

    /// How pull requests of a run are merged.
    pub(crate) fn method(&self, run: &RunInfo) -> Method {
        match run.project.settings.merge_method.unwrap_or(self.options.method) {
            MergeMethod::Merge => Method::Merge,
            MergeMethod::Squash => Method::Squash,
            MergeMethod::Rebase => Method::Rebase,
        }
    }

    fn under_way(&self) -> MutexGuard<'_, HashMap<EffectKey, UnderWay>> {
        self.under_way.lock().expect("BUG: nobody panics with this lock")
    }
}

impl Inner {
    /// Makes the logs of an attempt that is over small, beside everything else. What is left when
    /// the process dies meanwhile is done when the run has come to rest.
    fn press_logs(&self, run: &RunInfo, task: TaskIx, attempt: u32) {
        let (project, id) = (&run.project.id, &run.graph.task(task).id);
        let dirs = [
            self.layout.attempt(project, &run.name, id, attempt),
            self.layout.records(project, &run.name, id, attempt),
        ];
        // Without a result it may be taken up again, and would be read from the beginning.
        if !dirs[1].join("result.json").exists() {
            return;
        }
        drop(tokio::task::spawn_blocking(move || {
            for dir in dirs {
                if let Err(error) = press::press(&dir) {
                    tracing::warn!(%error, dir = %dir.display(), "logs are not compressed");
                }
            }
        }));
    }

    /// What every program is given: the allowed variables and a home.
    pub(crate) fn environment(&self, home: &Path, names: &[String]) -> Environment {
        let names: Vec<String> = self.options.env.iter().chain(names).cloned().collect();
        let environment = Environment::from_daemon(&names);
        match (self.options.private_home, std::env::var("HOME")) {
            (false, Ok(home)) => environment.with("HOME", home),
            _ => environment.with_private_home(home),
        }
    }

    /// Adds what the graph sets; `${NAME}` stands for a variable of the daemon that is allowed.
    pub(crate) fn graph_environment(
        &self,
        environment: Environment,
        pairs: &BTreeMap<String, String>,
    ) -> Result<Environment, StepFailure> {
        let mut environment = environment;
        for (name, value) in pairs {
            let value = expand(value, &self.options.env).map_err(|missing| {
                let message = format!(
                    "`env.{name}` uses ${{{missing}}}, which is not set or not allowed; list it \
                     under `env:` in the configuration"
                );
                StepFailure::new(FailureClass::CannotStart, message)
            })?;
            environment = environment.with(name, value);
        }
        Ok(environment)
    }

    /// The adapter, profile and further variables for an agent: those of the profile that was
    /// chosen for it, or else of its own.
    pub(crate) fn agent_for(
        &self,
        spec: &AgentSpec,
        chosen: Option<&ProfileName>,
    ) -> Result<Chosen, StepFailure> {
        let cannot = |message| StepFailure::new(FailureClass::CannotStart, message);
        // The graph's own default is in the task already.
        let named = match (&spec.profile, spec.framework, &spec.command) {
            (None, None, None) => self.options.default_agent.as_ref(),
            (named, ..) => named.as_ref(),
        };
        let named = chosen.or(named);
        let profile = match named {
            Some(name) => Some(self.options.agents.get(name).ok_or_else(|| {
                cannot(format!("there is no agent `{name}`; add it under `agents:`"))
            })?),
            None => None,
        };
        let own = profile.map(|profile| profile.framework);
        let framework = spec.framework.or(own).unwrap_or(Framework::ClaudeCode);
        let agent = self.registry.find(framework, spec.environment.as_ref());
        let agent = agent.map_err(|error| cannot(error.to_string()))?;
        let given = |own: &Option<String>, theirs: Option<&Option<String>>| {
            own.clone().or_else(|| theirs.cloned().flatten())
        };
        let configured = agents::Profile {
            command: given(&spec.command, profile.map(|p| &p.configured.command)),
            model: given(&spec.model, profile.map(|p| &p.configured.model)),
            ..profile.map(|p| p.configured.clone()).unwrap_or_default()
        };
        // The graph may give a profile to another kind of agent than it was written for.
        configured.check(framework).map_err(|why| match named {
            Some(name) => {
                cannot(format!("agent `{name}` of framework `{}`: {why}", framework.word()))
            }
            None => cannot(why),
        })?;
        let env = profile.map(AgentProfile::variables).unwrap_or_default();
        Ok(Chosen { agent, name: named.cloned(), profile: configured, env })
    }
}

impl Inner {
    /// What an agent signs in and works with.
    pub(crate) fn credentials(
        &self,
        graph: &Graph,
        spec: &AgentSpec,
        begun: Option<&ProfileName>,
    ) -> Result<Given, StepFailure> {
        let framework = self.agent_for(spec, begun)?.agent.kind();
        let named = graph.settings().anthropic_credential.as_deref();
        let given = self.options.credentials.of(framework, spec.isolation.token_tier, named);
        given.map_err(|message| StepFailure::new(FailureClass::CannotStart, message))
    }
}

impl Inner {
    /// What an agent signs in with that only answers.
    pub(crate) fn sign_in(
        &self,
        graph: &Graph,
        framework: Framework,
    ) -> Result<Given, StepFailure> {
        let named = graph.settings().anthropic_credential.as_deref();
        let given = self.options.credentials.signed(framework, named);
        given.map_err(|message| StepFailure::new(FailureClass::CannotStart, message))
    }
}

/// Who does a task's work.
pub(crate) struct Chosen {
    /// How it is spoken to.
    pub(crate) agent: Arc<dyn Agent>,
    /// Its name in the configuration, if it is one of there.
    pub(crate) name: Option<ProfileName>,
    /// How it is configured.
    pub(crate) profile: agents::Profile,
    /// More variables of the daemon that it gets.
    pub(crate) env: Vec<String>,
}

/// Replaces every `${NAME}`; the name of the first that may not be used, or is not there.
fn expand(value: &str, allowed: &[String]) -> Result<String, String> {
    let mut text = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${") {
        let Some((name, tail)) = after.split_once('}') else { break };
        let known = allowed.iter().any(|a| a == name).then(|| std::env::var(name).ok()).flatten();
        text.push_str(before);
        text.push_str(&known.ok_or_else(|| name.to_owned())?);
        rest = tail;
    }
    text.push_str(rest);
    Ok(text)
}

impl Executor for Shop {
    fn execute(&self, job: Job, reporter: Reporter) {
        let shop = self.inner();
        let key = reporter.key();
        let (messages, told) = mpsc::unbounded_channel();
        let jobs = shop.under_way.clone();
        let mut under_way = jobs.lock().expect("BUG: nobody panics with this lock");
        // The same job twice at once: the later one begins when the earlier has ended.
        let earlier = under_way.remove(&key).map(|earlier| earlier.work);
        let work = tokio::spawn(async move {
            if let Some(earlier) = earlier {
                earlier.abort();
                while !earlier.is_finished() {
                    tokio::task::yield_now().await;
                }
            }
            let report = guarded(carry_out(shop.clone(), job, reporter.clone(), told)).await;
            shop.under_way().remove(&key);
            reporter.report(report);
        });
        under_way.insert(key, UnderWay { work: work.abort_handle(), messages });
    }

    fn tell(&self, key: &EffectKey, message: ToAttempt) {
        if let Some(job) = self.inner().under_way().get(key) {
            drop(job.messages.send(message));
        }
    }

    fn detach(&self) {
        for (_, job) in self.inner().under_way().drain() {
            job.work.abort();
        }
    }
}

/// A defect here must not leave the engine waiting for ever. Whoever aborts this aborts the work.
async fn guarded(work: impl Future<Output = Report> + Send + 'static) -> Report {
    let mut set = JoinSet::new();
    set.spawn(work);
    match set.join_next().await {
        Some(Ok(report)) => report,
        Some(Err(defect)) => internal(&format!("Taskloom met a defect of its own: {defect}")),
        None => internal("Taskloom lost a job"),
    }
}

fn internal(message: &str) -> Report {
    Report::Failed(StepFailure::new(FailureClass::Internal, message))
}

async fn carry_out(
    shop: Arc<Inner>,
    job: Job,
    reporter: Reporter,
    told: mpsc::UnboundedReceiver<ToAttempt>,
) -> Report {
    let run = &job.run;
    let (begun, done) = crash_points(&job.effect);
    crash::point(begun);
    let result = match &job.effect {
        Effect::Attempt { task, attempt, .. } => {
            let (task, attempt) = (*task, *attempt);
            let ears = attempt::Ears::new(told);
            let end = attempt::run(&shop, &job, task, attempt, &reporter, ears).await;
            crash::point(done);
            shop.press_logs(run, task, attempt);
            return Report::AttemptEnded(end);
        }
        Effect::PrepareLane { lane, from, .. } => {
            lanes::prepare(&shop, run, *lane, from.as_ref()).await
        }
        Effect::OpenPr { task, commit, .. } => {
            let context = job.pull.unwrap_or_default();
            pulls::open(&shop, run, *task, commit, &context).await
        }
        Effect::MergePr { task, attempt, commit, .. } => {
            pulls::merge(&shop, run, *task, *attempt, commit).await
        }
        Effect::WatchPr { task, .. } => {
            lanes::watch::task(&shop, run, *task, &reporter, told).await
        }
        Effect::WatchLanePr { lane, .. } => {
            lanes::watch::lane(&shop, run, *lane, &reporter, told).await
        }
        Effect::ClosePr { .. } | Effect::CloseLanePr { .. } => {
            lanes::watch::close(&shop, run, job.effect.key().part).await
        }
        Effect::MoveLane { lane, from, to, .. } => {
            lanes::undo::move_back(&shop, run, *lane, from, to).await
        }
        Effect::DropLane { lane, .. } => lanes::undo::give_up(&shop, run, *lane).await,
        Effect::RevertLane { lane, merged, onto, .. } => {
            lanes::undo::revert(&shop, run, *lane, merged, onto.as_ref()).await
        }
        Effect::CheckLane { lane, .. } => lanes::check(&shop, run, *lane, &reporter).await,
        Effect::OpenLanePr { lane, .. } => {
            let context = job.pull.unwrap_or_default();
            lanes::open(&shop, run, *lane, &context).await
        }
        Effect::MergeLane { lane, commit, target, .. } => {
            lanes::merge(&shop, run, *lane, commit, target).await
        }
    };
    crash::point(done);
    result.unwrap_or_else(Report::Failed)
}

/// Before and after what an effect does outside.
fn crash_points(effect: &Effect) -> (&'static str, &'static str) {
    match effect {
        Effect::PrepareLane { .. } => ("prepare.begun", "prepare.done"),
        Effect::Attempt { .. } => ("attempt.begun", "attempt.done"),
        Effect::OpenPr { .. } => ("pull.begun", "pull.done"),
        Effect::MergePr { .. } => ("merge.begun", "merge.done"),
        Effect::WatchPr { .. } | Effect::WatchLanePr { .. } => ("watch.begun", "watch.done"),
        Effect::ClosePr { .. } | Effect::CloseLanePr { .. } => ("watch.begun", "watch.done"),
        Effect::MoveLane { .. } | Effect::DropLane { .. } | Effect::RevertLane { .. } => {
            ("undo.begun", "undo.done")
        }
        Effect::CheckLane { .. } => ("check.begun", "check.done"),
        Effect::OpenLanePr { .. } => ("lane-pull.begun", "lane-pull.done"),
        Effect::MergeLane { .. } => ("lane-merge.begun", "lane-merge.done"),
    }
}
