//! Hooks in a scenario: the real ones, beside the engine. Their commands all fail, and there are
//! no files and no pages.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::app::hooked::one_task;
use crate::failure::Failure;
use crate::graph;
use crate::hooks::rules::{HookRun, HookRunId, Query, Status};
use crate::hooks::{
    self, Diffed, Doors, Fetched, Happened, House, Made, Options, Origin, Outside, Ran, Shell,
    Wanted,
};
use crate::ids::ProjectId;
use crate::orchestrator::{Handle, Submission};
use crate::sim::{ManualClock, Theatre};
use crate::state::{Entry, ProjectRecord};
use crate::store::{HookStore as _, MemoryStore, Store as _};
use crate::time::Clock as _;

/// Runs of hooks that a scenario may have.
const RUNS_MAX: u32 = 10_000;

/// The hooks of a scenario.
pub(super) struct Hooks {
    handle: hooks::Handle,
    house: JoinHandle<()>,
    store: Arc<MemoryStore>,
    /// The runs whose end was told.
    told: BTreeMap<HookRunId, Status>,
    /// How many lines the journal had when they rested last.
    rested: AtomicU64,
}

impl Hooks {
    /// Starts them beside the engine of now.
    pub(super) async fn start(theatre: &Theatre, options: Options) -> Result<Self, Failure> {
        let engine = theatre.handle().map_err(|dead| Failure::user(dead.to_string()))?;
        let (store, clock) = (theatre.store().clone(), theatre.clock().clone());
        let outside = Scripted { engine: engine.clone(), store: store.clone(), clock };
        let doors = Doors {
            store: store.clone(),
            outside: Arc::new(outside),
            clock: theatre.clock().clone(),
            journal: engine.subscribe(),
        };
        let started = House::start(options, doors).await;
        let (handle, house) = started.map_err(|error| Failure::bug(error.to_string()))?;
        Ok(Self { handle, house, store, told: BTreeMap::new(), rested: AtomicU64::new(0) })
    }

    /// Starts them again, as the next process does.
    pub(super) async fn restart(
        self,
        theatre: &Theatre,
        options: Options,
    ) -> Result<Self, Failure> {
        let told = self.told;
        self.house.abort();
        drop(self.house.await);
        Ok(Self { told, ..Self::start(theatre, options).await? })
    }

    /// Works by another configuration.
    pub(super) async fn reload(&self, options: Options) -> Result<(), Failure> {
        self.handle.reload(options).await
    }

    /// Lets everything happen that can happen now, in the engine as well.
    pub(super) async fn rest(&self, theatre: &Theatre) {
        let mut before = None;
        loop {
            theatre.rest().await;
            // It has heard the journal when it answers.
            if self.handle.list().await.is_err() {
                return;
            }
            let runs = self.runs().await;
            let lines = self.lines().await;
            self.rested.store(lines, Ordering::Relaxed);
            let works = runs.iter().any(|run| run.status == Status::Running);
            let now = Some((lines, runs));
            if !works && now == before {
                return;
            }
            before = now;
            tokio::task::yield_now().await;
        }
    }

    /// Whether something happened that they were not asked about.
    pub(super) async fn are_behind(&self) -> bool {
        self.lines().await != self.rested.load(Ordering::Relaxed)
    }

    async fn lines(&self) -> u64 {
        self.store.counters().await.map_or(0, |counters| counters.seq)
    }

    /// The runs that ended since the last time, a line each.
    pub(super) async fn news(&mut self) -> String {
        let mut text = String::new();
        for run in self.runs().await.iter().rev() {
            if run.status.is_open() || self.told.insert(run.id, run.status).is_some() {
                continue;
            }
            let made = run.made.iter().map(|made| format!(", made {made}")).collect::<String>();
            let why = run.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
            let _ = writeln!(text, "hook {}: {}{why}{made}", run.hook, run.status.word());
        }
        text
    }

    /// Newest first.
    async fn runs(&self) -> Vec<HookRun> {
        let rows = self.store.hook_runs(None, RUNS_MAX).await.unwrap_or_default();
        rows.iter().filter_map(|row| serde_json::from_str(row).ok()).collect()
    }
}

/// Does what steps need done, in a scenario.
struct Scripted {
    engine: Handle,
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
}

fn nothing<T>(what: &str) -> Result<T, Failure> {
    Err(Failure::user(format!("a scenario has no {what}")))
}

#[async_trait]
impl Outside for Scripted {
    async fn happened(&self, entry: &Entry) -> Result<Option<Happened>, Failure> {
        let view = self.engine.view(entry.run).await;
        let view = view.map_err(|closed| Failure::outside(closed.to_string()))?;
        Ok(view.map(|view| Happened::of(entry, &view.info, view.run.options.hook.as_ref())))
    }

    async fn shell(&self, _: Shell) -> Result<Ran, Failure> {
        Ok(Ran { exit_code: Some(1), ..Ran::default() })
    }

    async fn read_file(&self, _: &ProjectId, _: &str) -> Result<String, Failure> {
        nothing("files")
    }

    async fn fetch(&self, _: &str, _: Duration) -> Result<Fetched, Failure> {
        nothing("pages")
    }

    async fn query(&self, _: Query, _: Option<&ProjectId>, _: u32) -> Result<Vec<Value>, Failure> {
        Ok(Vec::new())
    }

    async fn diff(
        &self,
        _: &ProjectId,
        _: Option<&str>,
        _: Option<&str>,
    ) -> Result<Diffed, Failure> {
        nothing("files")
    }

    async fn submit(
        &self,
        origin: &Origin,
        project: &ProjectId,
        wanted: Wanted,
    ) -> Result<Made, Failure> {
        let source = match wanted {
            Wanted::Named(_) => return nothing("graphs in its projects"),
            Wanted::Inline(graph) => format!("{graph:#}\n"),
            Wanted::Task { title, description, agent } => {
                one_task(origin, &title, &description, agent.map(|agent| agent.to_string()))?
            }
        };
        let known = self.store.projects().await.unwrap_or_default();
        let record = known.into_iter().find(|known| known.id == *project);
        let graph = graph::load(source.as_bytes()).map_err(|problems| {
            Failure::user(graph::report("graph", source.as_bytes(), &problems))
        })?;
        let submission = Submission {
            project: record
                .unwrap_or_else(|| ProjectRecord::new(project.clone(), "/nowhere", "main")),
            graph,
            source,
            options: origin.options(),
            submitter: format!("hook {}", origin.hook),
        };
        let submitted = self.engine.submit(submission).await;
        let submitted = submitted.map_err(|closed| Failure::outside(closed.to_string()))?;
        Ok(Made { project: project.clone(), run: submitted.name.to_string() })
    }

    async fn tell(&self, origin: &Origin, project: &ProjectId, text: &str) -> Result<(), Failure> {
        let announced = self.engine.announce(origin.notice(project, text, self.clock.now())).await;
        announced.map_err(|closed| Failure::outside(closed.to_string()))
    }

    async fn clean_up(&self, run: HookRunId) -> Vec<String> {
        hooks::made_by(&self.store.runs(None).await.unwrap_or_default(), run)
    }

    async fn over(&self, _: HookRunId) {}
}
