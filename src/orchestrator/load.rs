//! From the store into the world: at the start of a process, when people ask about a run that
//! rests, and for readers without an engine.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::graph;
use crate::ids::RunId;
use crate::notify::Notice;
use crate::orchestrator::engine::{Engine, Options, Role, Scope};
use crate::orchestrator::growth;
use crate::orchestrator::handle::Event;
use crate::orchestrator::view::RunView;
use crate::orchestrator::world::{BUDGETS, COOLDOWNS, HOLDS, World};
use crate::runner::RunInfo;
use crate::scheduler::{BUCKET, Used, WINDOW};
use crate::state::{LedgerSum, ProjectRecord, RunRecord};
use crate::store::{self, Store, StoredRun, Which};
use crate::time::Timestamp;

/// The setting under which the store keeps when daemons began that did not end in good order.
const STARTS: &str = "starts";

/// So many daemons that ended without a word within [`CRASH_WINDOW`] are a crash loop.
const CRASHES_MAX: usize = 5;

/// See [`CRASHES_MAX`].
const CRASH_WINDOW: Duration = Duration::from_secs(10 * 60);

/// A run as the store has it, without an engine: for readers beside the owner, or when there is
/// none. `driven` says whether some process works on it.
pub async fn look(
    store: &dyn Store,
    run: RunId,
    options: &Options,
    now: Timestamp,
    driven: bool,
) -> Result<Option<RunView>, store::Error> {
    let Some(stored) = store.load(run).await? else { return Ok(None) };
    let info = Arc::new(info_of(store, &stored).await?);
    let mut world = World::new(store.counters().await?, options.policy.clone(), options.seed);
    world.restore(store, now).await?;
    world.adopt(info, stored);
    let view = world.view(run);
    Ok(view.map(|view| if driven { view } else { view.left_alone() }))
}

impl World {
    /// Takes in what the store knows of everything that runs share.
    pub(crate) async fn restore(
        &mut self,
        store: &dyn Store,
        now: Timestamp,
    ) -> Result<(), store::Error> {
        self.desk.now = now;
        self.desk.quiet_until = self.desk.policy.quiet.and_then(|quiet| quiet.until(now));
        self.desk.holds = setting(store, HOLDS).await?;
        self.desk.budgets = setting(store, BUDGETS).await?;
        self.desk.cooldowns = setting(store, COOLDOWNS).await?;
        self.know_projects(store.projects().await?);
        self.desk.apply_budgets();
        self.desk.apply_cooldowns();
        for sum in store.spent(now - WINDOW, BUCKET.as_millis() as i64).await? {
            let LedgerSum { at, project, usage, charge, ended, .. } = sum;
            let used = Used { tokens: usage.tokens.all(), usd: usage.usd, charge, ended };
            let project = self.desk.queue.project(&project);
            self.desk.queue.charge(project, at, used);
        }
        Ok(())
    }
}

async fn setting<T: DeserializeOwned + Default>(
    store: &dyn Store,
    name: &'static str,
) -> Result<T, store::Error> {
    let Some(text) = store.setting(name).await? else { return Ok(T::default()) };
    serde_json::from_str(&text).map_err(|why| damaged(name, &why))
}

fn damaged(setting: &str, why: &serde_json::Error) -> store::Error {
    store::Error::Inconsistent {
        table: "settings",
        column: "value",
        row: setting.to_owned(),
        why: why.to_string(),
    }
}

async fn info_of(store: &dyn Store, stored: &StoredRun) -> Result<RunInfo, store::Error> {
    let projects = store.projects().await?;
    let project = projects.into_iter().find(|p| p.id == stored.run.project);
    let project = project.ok_or_else(|| store::Error::Inconsistent {
        table: "projects",
        column: "id",
        row: stored.run.project.to_string(),
        why: "a run's project is gone".to_owned(),
    })?;
    run_info(&stored.run, project, stored.source.clone(), stored.plans.clone())
}

fn run_info(
    record: &RunRecord,
    project: ProjectRecord,
    source: String,
    plans: Vec<String>,
) -> Result<RunInfo, store::Error> {
    let graph = graph::load(source.as_bytes()).map_err(|problems| store::Error::Inconsistent {
        table: "graphs",
        column: "source",
        row: record.graph_digest.clone(),
        why: problems.first().map(ToString::to_string).unwrap_or_default(),
    })?;
    let graph = growth::grown(graph, &record.grown, &plans)?;
    Ok(RunInfo {
        id: record.id,
        name: record.name.clone(),
        teardown: record.options.teardown.unwrap_or(graph.settings().teardown),
        project,
        graph,
        source,
        plans,
        submitter: record.submitter.clone(),
        continues: record.continues.clone(),
    })
}

impl Engine {
    pub(super) async fn load(&mut self) -> Result<(), store::Error> {
        // A run that rests may have pull requests that are watched.
        let store = self.doors.store.clone();
        self.numbers = store.numbers().await?;
        let mut wanted = BTreeSet::new();
        match self.options.scope {
            Scope::All => {
                wanted.extend(store.owing().await?);
                let open = store.select(&Which::Open, u32::MAX).await?;
                wanted.extend(open.iter().map(|run| run.id));
                self.mind_resting().await?;
                self.next_sweep = Some(self.doors.clock.now());
            }
            Scope::One(run) => wanted.extend([run]),
            Scope::New => {}
        }
        for run in wanted {
            self.fetch(run).await?;
        }
        self.look_for_what_is_waited_for().await?;
        for (seq, text) in self.doors.store.notices().await? {
            if self.options.role == Role::Errand {
                break;
            }
            if let Ok(notice) = serde_json::from_str::<Notice>(&text) {
                self.tally.notices_pending += 1;
                self.announce(seq, notice);
            }
        }
        Ok(())
    }

    /// Takes a run up from the store, if it is there.
    pub(super) async fn fetch(&mut self, run: RunId) -> Result<(), store::Error> {
        let Some(stored) = self.doors.store.load(run).await? else { return Ok(()) };
        let info = Arc::new(info_of(&*self.doors.store, &stored).await?);
        self.world.adopt(info, stored);
        if !self.world.runs[&run].is_open() {
            self.world.desk.settled.push(run);
        }
        Ok(())
    }

    /// A run that came to rest is not in memory; one that people ask about is fetched.
    pub(super) async fn fetch_for(&mut self, event: &Event) {
        let run = match event {
            Event::Submit(submission, _) => {
                for after in &submission.options.after {
                    self.fetch_if_missing(after.run).await;
                }
                return;
            }
            Event::Command(command, _) => command.run,
            Event::View(run, _) => *run,
            Event::Resubmit(resubmit, _) => resubmit.of,
            Event::Global(..)
            | Event::Announce(..)
            | Event::Report(..)
            | Event::Told(_)
            | Event::Policy(..)
            | Event::Remember(_)
            | Event::Drain
            | Event::Census(_)
            | Event::Shutdown(..) => return,
        };
        if self.options.scope == Scope::All {
            self.fetch_if_missing(run).await;
        }
    }

    async fn fetch_if_missing(&mut self, run: RunId) {
        if !self.world.runs.contains_key(&run)
            && let Err(error) = self.fetch(run).await
        {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, %run, "a run could not be read");
        }
    }

    /// What open runs wait for of runs that are not worked on: it may have been done while they
    /// were not worked on themselves.
    async fn look_for_what_is_waited_for(&mut self) -> Result<(), store::Error> {
        for run in self.world.waited_for() {
            if self.world.runs.contains_key(&run) {
                continue;
            }
            if let Some(stored) = self.doors.store.load(run).await? {
                let info = info_of(&*self.doors.store, &stored).await?;
                let done = stored.tasks.iter().filter(|(_, task)| task.state.is_success());
                let done = done.map(|(task, _)| info.graph.task(*task).id.clone());
                self.world.desk.done.extend(done.map(|task| (run, task)));
            }
        }
        Ok(())
    }

    /// Runs that rest and that people are to be reminded of are not in memory either.
    pub(super) async fn fetch_due(&mut self) {
        for run in self.world.absent_due(self.doors.clock.now()) {
            if let Err(error) = self.fetch(run).await {
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, %run, "a run could not be read");
            }
        }
    }

    /// Notes when runs that rest are looked at.
    async fn mind_resting(&mut self) -> Result<(), store::Error> {
        if self.world.desk.reminders.watching.stuck_after.is_none() {
            return Ok(());
        }
        for run in self.doors.store.select(&Which::Reminded, u32::MAX).await? {
            let at = run.attention.remind_at.map(|at| (at, run.id));
            self.world.desk.reminders.due.extend(at);
        }
        Ok(())
    }

    /// Counts the daemons before this one that ended without a word.
    pub(super) async fn look_back(&mut self) -> Result<(), store::Error> {
        let now = self.doors.clock.now();
        let mut starts: Vec<Timestamp> = setting(&*self.doors.store, STARTS).await?;
        starts.retain(|start| now.since(*start) < CRASH_WINDOW);
        if starts.len() >= CRASHES_MAX {
            self.world.desk.safe_mode = Some(format!(
                "the daemon ended without a word {} times within {} minutes",
                starts.len(),
                CRASH_WINDOW.as_secs() / 60
            ));
        }
        starts.push(now);
        self.set_starts(&starts).await
    }

    pub(super) async fn set_starts(&self, starts: &[Timestamp]) -> Result<(), store::Error> {
        let text = serde_json::to_string(starts).expect("BUG: numbers are plain data");
        let settings = vec![(STARTS, text)];
        self.doors.store.commit(&store::Batch { settings, ..store::Batch::default() }).await
    }
}
