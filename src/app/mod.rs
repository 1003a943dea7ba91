//! The production wiring: the only place that names every implementation.

pub mod daemon;
pub mod doctor;
mod front;
mod github;
pub(crate) mod hooked;
mod issues;
mod memory;
mod office;
mod projects;

pub(crate) use projects::{found, policy};

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock, RwLock};

use anyhow::Context as _;
use async_trait::async_trait;
use tokio::task::{JoinHandle, JoinSet};

use crate::agents::process::{Launcher, Limits};
use crate::agents::{Agent, CommandAgent, Place, Registry, Talker};
use crate::app::daemon::reload::{self, Reload};
use crate::app::daemon::{clones, sweep, vitals};
use crate::config::{self, Config};
use crate::control;
use crate::crash;
use crate::discord::board::House;
use crate::discord::bot::{self, Bot};
use crate::failure::Failure;
use crate::forge::github::Account;
use crate::git::{DiskFloor, Git, Identity};
use crate::graph::{self, Framework, Graph};
use crate::hooks;
use crate::http;
use crate::notify::{Notifier, Streams, ThreadFactory};
use crate::orchestrator::{self, Doors, Handle, Receipt, Role, Scope, Submission};
use crate::runner::{self, Layout, Parser, Shop};
use crate::state::ProjectRecord;
use crate::store::{self, Access, Holder, OwnerLock, SqliteStore, Store};
use crate::time::{Clock as _, SystemClock};

/// Part of the disk that must stay free besides the configured amount, in hundredths.
const DISK_FREE_PERCENT: u64 = 5;

/// Everything that a process needs to own a data directory.
pub struct App {
    config: RwLock<Arc<Config>>,
    /// The file that it was read from, if from one.
    file: OnceLock<PathBuf>,
    layout: Layout,
    git: Git,
    store: Arc<SqliteStore>,
    shop: Shop,
    front: Option<front::Front>,
    _owner: OwnerLock,
}

/// An engine at work.
pub struct Running {
    /// How to speak to it.
    pub handle: Handle,
    /// `None`: it was waited for.
    engine: Option<JoinHandle<()>>,
    control: Option<control::Server>,
    bot: Option<Bot>,
    github: Option<github::Followers>,
    http: Vec<http::Server>,
    /// What goes on beside the engine, and ends with it.
    beside: JoinSet<()>,
    reload: Arc<Reload>,
    hooked: Option<hooked::Hooked>,
    account: Option<Arc<Account>>,
}

impl App {
    /// Takes the data directory over; `what` names this process to others who try.
    pub async fn open(
        config: Config,
        what: &str,
        threads: Vec<Arc<dyn ThreadFactory>>,
    ) -> anyhow::Result<Arc<Self>> {
        Self::open_with(config, what, threads, false).await
    }

    /// The same with the bot, if one is configured.
    pub async fn open_with_bot(
        config: Config,
        what: &str,
        threads: Vec<Arc<dyn ThreadFactory>>,
    ) -> anyhow::Result<Arc<Self>> {
        Self::open_with(config, what, threads, true).await
    }

    async fn open_with(
        config: Config,
        what: &str,
        mut threads: Vec<Arc<dyn ThreadFactory>>,
        bot: bool,
    ) -> anyhow::Result<Arc<Self>> {
        let layout = Layout::new(config.data_dir.clone());
        private_dir(layout.root())?;
        let clock = SystemClock;
        let holder = Holder { pid: std::process::id(), what: what.to_owned(), since: clock.now() };
        let owner = OwnerLock::take(layout.root(), &holder)?;
        crash::point("store.locked");
        let store = Arc::new(SqliteStore::open(layout.root(), Access::Own).await?);
        crash::point("store.migrated");
        let git = Git::find().await?;
        let options = runner_options(&config, None)?;
        let launcher = Launcher::new(options.helper.clone());
        let registry = registry(&launcher);
        let front = match config.discord.as_ref().filter(|_| bot) {
            Some(options) => Some(front::Front::new(options, &store)?),
            None => None,
        };
        threads.extend(front.iter().map(|front| front.board.clone() as Arc<dyn ThreadFactory>));
        let streams = Streams::new(threads);
        let (lore, clock) = (Arc::new(memory::Shelf(store.clone())), Arc::new(clock));
        let shop = Shop::new(options, layout.clone(), git.clone(), registry, streams, clock, lore);
        let (config, file) = (RwLock::new(Arc::new(config)), OnceLock::new());
        Ok(Arc::new(Self { config, file, layout, git, store, shop, front, _owner: owner }))
    }

    /// The configuration that holds now.
    pub fn config(&self) -> Arc<Config> {
        self.config.read().expect("BUG: nobody panics with this lock").clone()
    }

    /// Says which file the configuration was read from: a daemon follows it.
    pub fn read_from(&self, file: PathBuf) {
        drop(self.file.set(file));
    }

    /// Where everything lies.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Git.
    pub fn git(&self) -> &Git {
        &self.git
    }

    /// Who carries out what the engine decides.
    pub fn shop(&self) -> &Shop {
        &self.shop
    }

    /// Where everything is kept.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Says what keeps a graph from running here.
    pub async fn preflight(&self, graph: &Graph, project: &ProjectRecord) -> Result<(), Failure> {
        let findings = self.shop.preflight(graph, project).await;
        if findings.is_empty() {
            return Ok(());
        }
        let listed: String = findings.iter().map(|finding| format!("\n  {finding}")).collect();
        let failure = Failure::user(format!("the graph cannot run here:{listed}"));
        Err(failure.hint("nothing was started or stored"))
    }

    /// Takes a graph from another process, or from an issue.
    pub(crate) async fn submit(
        &self,
        handle: &Handle,
        order: control::Order,
    ) -> Result<Receipt, Failure> {
        let control::Order { source, repo, options, submitter } = order;
        let graph = graph::load(source.as_bytes()).map_err(|problems| {
            let count = problems.len();
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            Failure::user(format!("the graph has {count} problem(s), the first: {first}"))
                .hint("`taskloom check FILE` tells them all")
        })?;
        let project = self.project(&repo).await.map_err(failure_of)?;
        self.preflight(&graph, &project).await?;
        let id = project.id.clone();
        let submission = Submission { project, graph, source, options, submitter };
        let submitted = handle.submit(submission).await;
        let submitted = submitted.map_err(|closed| Failure::outside(closed.to_string()))?;
        let several = self.store.projects().await.is_ok_and(|projects| projects.len() > 1);
        let sentence = match several {
            true => format!("submitted as {id}:{}", submitted.name),
            false => format!("submitted as {}", submitted.name),
        };
        Ok(Receipt { sentence, affected: Vec::new(), changed: true, moves: Vec::new() })
    }

    /// GitHub, if a project is there.
    pub(crate) fn on_github(&self) -> Result<runner::OnGitHub, Failure> {
        let on = self.shop.on_github();
        on.ok_or_else(|| {
            Failure::user("no project is on GitHub").hint(
                "name a repository in the configuration: `projects: [{…, github: OWNER/NAME}]`",
            )
        })
    }

    /// Starts the engine. A daemon takes graphs from other processes.
    pub async fn start(
        self: &Arc<Self>,
        scope: Scope,
        role: Role,
        notifier: Arc<dyn Notifier>,
    ) -> anyhow::Result<Running> {
        let options = orchestrator::Options {
            policy: self.policy().await,
            ..engine_options(&self.config(), scope, role)
        };
        let notifier = match &self.front {
            Some(front) => Arc::new(front::Both {
                first: notifier,
                second: front.board.clone(),
                told: AtomicU64::default(),
            }),
            None => notifier,
        };
        let doors = Doors {
            store: self.store.clone(),
            executor: Arc::new(self.shop.clone()),
            notifier,
            clock: Arc::new(SystemClock),
        };
        let (handle, engine) = orchestrator::spawn(options, doors).await?;
        let hooked = match role {
            Role::Daemon => Some(hooked::start(self, &handle).await?),
            Role::Attached | Role::Errand => None,
        };
        let hooks = hooked.as_ref().map(|hooked| hooked.handle.clone());
        let reload = Reload::new(self, &handle, hooks.clone());
        let clerk = hooks.clone().map(|hooks| {
            let reload = reload.clone();
            let clerk = Counter { app: self.clone(), handle: handle.clone(), reload, hooks };
            Arc::new(clerk) as Arc<dyn control::Clerk>
        });
        let control = self.listen(&handle, clerk);
        let bot = self.start_bot(&handle, hooks.as_ref()).await;
        let daemon = role == Role::Daemon;
        let github = self.shop.on_github().filter(|_| daemon);
        let github = github.map(|on| github::follow(self, &handle, on.clone()));
        let http = match &hooks {
            Some(hooks) => vitals::listen(self, &handle, &reload, hooks).await?,
            None => Vec::new(),
        };
        let mut beside = JoinSet::new();
        if daemon {
            beside.spawn(sweep::by_the_hour(self.clone()));
            beside.spawn(reload::follow(reload.clone()));
            beside.spawn(clones::follow(self.clone(), handle.clone()));
        }
        let account = self.shop.on_github().map(|on| on.account.clone());
        Ok(Running {
            handle,
            engine: Some(engine),
            control,
            bot,
            github,
            http,
            beside,
            reload,
            hooked,
            account,
        })
    }
}

impl App {
    /// The socket for other processes of this program.
    fn listen(
        &self,
        handle: &Handle,
        clerk: Option<Arc<dyn control::Clerk>>,
    ) -> Option<control::Server> {
        let server = control::Server::start(self.layout.root(), handle.clone(), clerk);
        let told = |error: &control::Error| {
            tracing::warn!(%error, "no control socket: other commands must wait for the end");
        };
        server.inspect_err(told).ok()
    }

    /// The bot, if one is configured.
    async fn start_bot(
        self: &Arc<Self>,
        handle: &Handle,
        hooks: Option<&crate::hooks::Handle>,
    ) -> Option<Bot> {
        let front = self.front.as_ref()?;
        let (app, handle, hooks) = (self.clone(), handle.clone(), hooks.cloned());
        let clerk = office::Clerk { app, handle: handle.clone(), hooks };
        let house = House { handle, office: Arc::new(clerk) };
        front.board.open(house.clone()).await;
        Some(bot::start(front.board.clone(), house, front.token.clone()))
    }
}

/// What went wrong, for people.
fn failure_of(error: anyhow::Error) -> Failure {
    error.downcast::<Failure>().unwrap_or_else(|error| Failure::user(format!("{error:#}")))
}

/// Takes graphs from other processes.
struct Counter {
    app: Arc<App>,
    handle: Handle,
    reload: Arc<Reload>,
    hooks: hooks::Handle,
}

#[async_trait]
impl control::Clerk for Counter {
    async fn submit(&self, order: control::Order) -> Result<Receipt, Failure> {
        self.app.submit(&self.handle, order).await
    }

    async fn reload(&self) -> Result<Receipt, Failure> {
        self.reload.again().await
    }

    async fn submit_issue(&self, order: control::IssueOrder) -> Result<Receipt, Failure> {
        issues::submit(&self.app, &self.handle, order).await
    }

    async fn hook(&self, order: control::HookOrder) -> Result<Receipt, Failure> {
        let given = match order {
            control::HookOrder::Fire(asked) => self.hooks.fire(asked).await?,
            control::HookOrder::Change(change) => self.hooks.change(change).await?,
        };
        let hooks::Given { sentence, .. } = given;
        Ok(Receipt { sentence, affected: Vec::new(), changed: true, moves: Vec::new() })
    }
}

impl Running {
    /// Comes back when the engine has ended.
    pub async fn ended(&mut self) {
        if let Some(engine) = &mut self.engine {
            engine.await.ok();
            self.engine = None;
        }
    }

    /// Reads the configuration again; what came of it, in a sentence.
    pub async fn reload(&self) -> Result<String, Failure> {
        self.reload.again().await.map(|receipt| receipt.sentence)
    }

    /// Lets go of everything; agents run on.
    pub async fn detach(mut self) {
        drop(self.control.take());
        drop(self.github.take());
        self.http.clear();
        self.beside.abort_all();
        drop(self.hooked.take());
        self.handle.detach().await.ok();
        self.ended().await;
        self.sign_off().await;
    }

    /// Ends every agent first.
    pub async fn end_agents(mut self) {
        drop(self.control.take());
        drop(self.github.take());
        self.http.clear();
        self.beside.abort_all();
        drop(self.hooked.take());
        self.handle.end_agents().await.ok();
        self.ended().await;
        self.sign_off().await;
    }

    async fn sign_off(&mut self) {
        if let Some(account) = &self.account {
            tracing::info!(counts = ?account.counts(), "what GitHub was asked");
        }
        if let Some(bot) = self.bot.take() {
            bot.end().await;
        }
    }
}

/// How the engine is set up by a configuration.
pub fn engine_options(config: &Config, scope: Scope, role: Role) -> orchestrator::Options {
    let seed = SystemClock.now().0.unsigned_abs();
    let (policy, plans, watching) = (policy(config), config.plans, config.watching);
    let remembers = config.memory.enabled;
    orchestrator::Options { policy, seed, scope, role, plans, watching, remembers }
}

/// Opens the store beside its owner, if there is one, or without any.
pub async fn reader(config: &Config) -> Result<SqliteStore, store::Error> {
    SqliteStore::open(&config.data_dir, Access::Read).await
}

/// Every adapter there is.
fn registry(launcher: &Launcher) -> Registry {
    let acp = |framework| Arc::new(Talker::acp(framework, launcher.clone()));
    let adapters: [Arc<dyn Agent>; 6] = [
        Arc::new(CommandAgent::new(launcher.clone())),
        Arc::new(Talker::claude(launcher.clone())),
        Arc::new(Talker::codex(launcher.clone())),
        acp(Framework::Acp),
        acp(Framework::Gemini),
        acp(Framework::Opencode),
    ];
    let put = |registry: Registry, agent| registry.with(Place::Headless, agent);
    let headless = adapters.into_iter().fold(Registry::default(), put);
    headless
        .with(Place::Tmux, Arc::new(Talker::claude_pane(launcher.clone())))
        .with(Place::Tmux, Arc::new(Talker::codex_pane(launcher.clone())))
}

fn runner_options(
    config: &Config,
    account: Option<Arc<Account>>,
) -> anyhow::Result<runner::Options> {
    let limits = config.limits;
    let bytes = |mib: Option<u64>| mib.map(|mib| mib << 20);
    Ok(runner::Options {
        github: github::on_github(config, account)?,
        default_agent: config.default_agent.clone(),
        agents: config.agents.clone(),
        env: config.env.clone(),
        credentials: config.credentials.clone(),
        sandbox: config.sandbox,
        private_home: config.home == config::Home::Private,
        limits: Limits {
            memory_bytes: bytes(limits.memory_mib),
            processes: limits.processes,
            file_bytes: bytes(limits.file_size_mib),
            open_files: limits.open_files,
        },
        attempt_timeout: config.timeouts.attempt,
        stall: config.stall,
        gate_timeout: config.timeouts.gate,
        grace: config.timeouts.grace,
        method: config.git.merge_method,
        co_authors: config.git.co_authors.clone(),
        identity: Identity::new(&config.git.author_name, &config.git.author_email)?,
        memories: config.memory.enabled.then_some(config.memory.per_prompt),
        parser: parser(config),
        floor: disk_floor(config),
        helper: std::env::current_exe().context("this program does not find itself")?,
    })
}

/// Who reads plans, and what holds for them.
fn parser(config: &Config) -> Option<Parser> {
    let profile = config.plan_parser.clone()?;
    Some(Parser { profile, rules: config.plans })
}

/// What must stay free where the worktrees are.
pub fn disk_floor(config: &Config) -> DiskFloor {
    DiskFloor { bytes: config.disk_free_min_mib << 20, percent: DISK_FREE_PERCENT }
}

fn private_dir(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.with_context(|| format!("cannot make the data directory {}", path.display()))?;
    let mode = std::fs::Permissions::from_mode(0o700);
    std::fs::set_permissions(path, mode).with_context(|| format!("{}", path.display()))
}
