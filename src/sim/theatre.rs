//! The real engine in a world without an outside: a store in memory, a clock that is set by hand,
//! agents and a forge that do what they are told. It can be killed and started again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tokio::task::JoinHandle;

use crate::graph::Graph;
use crate::ids::{ProjectId, RunId};
use crate::notify::{self, Delivery, Notice, Notifier};
use crate::orchestrator::{
    self, Answer, Closed, Command, Doors, GlobalCommand, Handle, Options, Resubmitted, Role,
    RunView, Scope, Submission, Submitted, Watching,
};
use crate::plan::Rules;
use crate::runner::Executor as _;
use crate::scheduler::Policy;
use crate::sim::{ManualClock, Stage};
use crate::state::{Entry, ProjectRecord, RunOptions};
use crate::store::{self, HookStore as _, MemoryStore, Store as _};
use crate::time::{Clock as _, Timestamp};

/// The project of graphs that are submitted to none.
const PROJECT: &str = "shop";

/// The engine and its world.
pub struct Theatre {
    stage: Arc<Stage>,
    clock: Arc<ManualClock>,
    store: Arc<MemoryStore>,
    told: Arc<Told>,
    policy: Policy,
    engine: Option<Engine>,
    /// The last line of the journal that was handed out by [`Theatre::news`].
    seen: u64,
}

struct Engine {
    handle: Handle,
    task: JoinHandle<()>,
}

/// The engine is dead; somebody must start it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the engine is not running")]
pub struct Dead;

impl From<Closed> for Dead {
    fn from(_: Closed) -> Self {
        Self
    }
}

/// Notices that were delivered and not yet looked at, and the numbers of all: a notice that was
/// delivered just before a crash comes once more, and whoever shows it knows it by its number.
#[derive(Default)]
struct Told(Mutex<(Vec<Notice>, BTreeSet<u64>)>);

#[async_trait]
impl Notifier for Told {
    async fn notify(&self, notice: &Notice, _: &ProjectId) -> Result<Delivery, notify::Error> {
        let mut told = self.0.lock().expect("BUG: nobody panics with this lock");
        if told.1.insert(notice.seq) {
            told.0.push(notice.clone());
        }
        Ok(Delivery::Delivered)
    }
}

impl Theatre {
    /// An engine with so many slots and nothing to do.
    pub async fn open(slots: u32) -> Result<Self, store::Error> {
        let mut theatre = Self {
            stage: Arc::default(),
            clock: Arc::new(ManualClock::at(beginning())),
            store: Arc::default(),
            told: Arc::default(),
            policy: Policy::of_slots(slots),
            engine: None,
            seen: 0,
        };
        theatre.start().await?;
        Ok(theatre)
    }

    /// The agents and the forge.
    pub fn stage(&self) -> &Stage {
        &self.stage
    }

    /// What it keeps.
    pub fn store(&self) -> &Arc<MemoryStore> {
        &self.store
    }

    /// What it reads the time from.
    pub fn clock(&self) -> &Arc<ManualClock> {
        &self.clock
    }

    /// What time it is.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Starts the engine, as a daemon does; does nothing if it runs.
    pub async fn start(&mut self) -> Result<(), store::Error> {
        if self.engine.as_ref().is_some_and(|engine| !engine.task.is_finished()) {
            return Ok(());
        }
        let (policy, plans, seed) = (self.policy.clone(), Rules::default(), 1);
        let options = Options {
            policy,
            seed,
            scope: Scope::All,
            role: Role::Daemon,
            plans,
            watching: Watching::default(),
            remembers: false,
        };
        let doors = Doors {
            store: self.store.clone(),
            executor: self.stage.clone(),
            notifier: self.told.clone(),
            clock: self.clock.clone(),
        };
        let (handle, task) = orchestrator::spawn(options, doors).await?;
        self.engine = Some(Engine { handle, task });
        self.rest().await;
        Ok(())
    }

    /// Kills the engine: agents and forge live on.
    pub async fn crash(&mut self) {
        let Some(engine) = self.engine.take() else { return };
        engine.task.abort();
        drop(engine.task.await);
        self.stage.detach();
    }

    /// Has the engine, or the next one, work by another configuration.
    pub async fn apply(&mut self, policy: Policy) -> Result<(), Dead> {
        self.policy = policy.clone();
        self.handle()?.apply(policy).await?;
        self.rest().await;
        Ok(())
    }

    /// The engine, for those who work beside it.
    pub fn handle(&self) -> Result<&Handle, Dead> {
        let engine = self.engine.as_ref().filter(|engine| !engine.task.is_finished());
        engine.map(|engine| &engine.handle).ok_or(Dead)
    }

    /// Submits a graph.
    pub async fn submit(&self, graph: Graph, source: &str, who: &str) -> Result<Submitted, Dead> {
        self.submit_to(PROJECT, graph, source, who).await
    }

    /// Submits a graph to a project.
    pub async fn submit_to(
        &self,
        project: &str,
        graph: Graph,
        source: &str,
        who: &str,
    ) -> Result<Submitted, Dead> {
        let submission = self.submission(project, graph, source, who);
        let submitted = self.handle()?.submit(submission).await?;
        self.rest().await;
        Ok(submitted)
    }

    /// Submits a changed graph of a run.
    pub async fn resubmit(
        &self,
        of: RunId,
        graph: Graph,
        source: &str,
        who: &str,
    ) -> Result<Resubmitted, Dead> {
        let submission = self.submission(PROJECT, graph, source, who);
        let resubmitted = self.handle()?.resubmit(of, submission, false).await?;
        self.rest().await;
        Ok(resubmitted)
    }

    /// Carries out a verb on a run.
    pub async fn command(&self, command: Command) -> Result<Answer, Dead> {
        let answer = self.handle()?.command(command).await?;
        self.rest().await;
        Ok(answer)
    }

    /// Carries out a verb on everything or on a project.
    pub async fn global(&self, command: GlobalCommand) -> Result<Answer, Dead> {
        let answer = self.handle()?.global(command).await?;
        self.rest().await;
        Ok(answer)
    }

    /// A run as it is now; of a dead engine, as it left it.
    pub async fn view(&self, run: RunId) -> Option<RunView> {
        match self.handle() {
            Ok(handle) => handle.view(run).await.ok().flatten(),
            Err(Dead) => {
                let (policy, plans, seed) = (self.policy.clone(), Rules::default(), 1);
                let (scope, role, watching) = (Scope::All, Role::Errand, Watching::default());
                let remembers = false;
                let options = Options { policy, seed, scope, role, plans, watching, remembers };
                orchestrator::look(&*self.store, run, &options, self.now(), false)
                    .await
                    .ok()
                    .flatten()
            }
        }
    }

    /// Lets time pass, from one thing that is due to the next.
    pub async fn advance(&self, by: Duration) {
        let mut left = by;
        while !left.is_zero() {
            let step = left.min(Duration::from_secs(1));
            self.clock.advance(step);
            left = left.saturating_sub(step);
            self.rest().await;
        }
    }

    /// Lets everything happen that can happen now.
    pub async fn rest(&self) {
        let Ok(handle) = self.handle() else { return };
        let mut before = None;
        loop {
            // Whatever was reported before the question was asked is durable when it is answered.
            for _ in 0..2 {
                if handle.view(RunId(0)).await.is_err() {
                    return self.end().await;
                }
            }
            let lines = self.store.counters().await.ok().map(|counters| counters.seq);
            if lines == before {
                return;
            }
            before = lines;
        }
    }

    /// Waits until an engine that takes nothing any more has ended.
    async fn end(&self) {
        while self.engine.as_ref().is_some_and(|engine| !engine.task.is_finished()) {
            tokio::task::yield_now().await;
        }
    }

    /// What was written into the journals since the last time.
    pub async fn news(&mut self) -> Vec<Entry> {
        let news = self.store.whole_journal(self.seen, u32::MAX).await.unwrap_or_default();
        self.seen = news.last().map_or(self.seen, |entry| entry.seq);
        news
    }

    /// What people were told since the last time.
    pub async fn notices(&self) -> Vec<Notice> {
        // They are delivered beside the loop; each delivery comes back as an event.
        while self.store.notices().await.is_ok_and(|left| !left.is_empty()) && self.engine.is_some()
        {
            tokio::task::yield_now().await;
        }
        std::mem::take(&mut self.told.0.lock().expect("BUG: nobody panics with this lock").0)
    }
}

/// When every simulation begins: midnight, wherever it is played, so that clocks show the same.
fn beginning() -> Timestamp {
    Timestamp::local_midnight(2026, 1, 1).unwrap_or(Timestamp(0))
}

impl Theatre {
    fn submission(&self, project: &str, graph: Graph, source: &str, who: &str) -> Submission {
        let known = self.policy.projects.iter().find(|known| known.id.as_str() == project);
        let made = || ProjectRecord::new(project.parse().expect("BUG: a name"), "/nowhere", "main");
        Submission {
            project: known.cloned().unwrap_or_else(made),
            graph,
            source: source.to_owned(),
            options: RunOptions::default(),
            submitter: who.to_owned(),
        }
    }
}
