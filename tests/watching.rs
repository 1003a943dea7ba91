//! Watching over runs: who is told of what has waited too long, what waits for a person, and what
//! becomes of runs that rest.

#[path = "watching/archive.rs"]
mod archive;
#[path = "watching/inbox.rs"]
mod inbox;
#[path = "watching/reminders.rs"]
mod reminders;
#[path = "watching/stats.rs"]
mod stats;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use taskloom::ids::{ProjectId, RunId};
use taskloom::notify::{Delivery, Error, Notice, NoticeKind, Notifier};
use taskloom::orchestrator::{
    Command, Doors, Handle, Options, Role, RunView, Scope, Verb, Watching, spawn,
};
use taskloom::runner::Executor as _;
use taskloom::scheduler::Policy;
use taskloom::sim::{Act, ManualClock, Stage};
use taskloom::store::{MemoryStore, Store as _};
use taskloom::time::Timestamp;

use crate::engine::{submission, task};

pub(crate) const HOUR: Duration = Duration::from_secs(60 * 60);

/// Keeps what people are told of things that waited too long.
#[derive(Default)]
struct Ears(Mutex<Vec<Notice>>);

#[async_trait]
impl Notifier for Ears {
    async fn notify(&self, notice: &Notice, _: &ProjectId) -> Result<Delivery, Error> {
        if notice.kind == NoticeKind::Stuck {
            self.0.lock().unwrap().push(notice.clone());
        }
        Ok(Delivery::Delivered)
    }
}

/// A daemon on a clock that is set by hand.
pub(crate) struct House {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) stage: Arc<Stage>,
    clock: Arc<ManualClock>,
    pub(crate) handle: Handle,
    engine: tokio::task::JoinHandle<()>,
    ears: Arc<Ears>,
    options: Options,
}

fn options() -> Options {
    Options {
        policy: Policy::of_slots(2),
        role: Role::Daemon,
        watching: Watching {
            stuck_after: Some(HOUR),
            repeat: 6 * HOUR,
            archive_after: Some(24 * HOUR),
        },
        ..crate::engine::options(Scope::All)
    }
}

impl House {
    pub(crate) async fn open(script: &[(&str, &[Act])]) -> Self {
        let options = options();
        let (store, stage) = (Arc::new(MemoryStore::default()), Arc::new(Stage::default()));
        let (clock, ears) =
            (Arc::new(ManualClock::at(Timestamp(1_000_000))), Arc::new(Ears::default()));
        for (id, acts) in script {
            stage.script(&task(id), acts.iter().cloned());
        }
        let doors = Doors {
            store: store.clone(),
            executor: stage.clone(),
            notifier: ears.clone(),
            clock: clock.clone(),
        };
        let (handle, engine) = spawn(options.clone(), doors).await.unwrap();
        Self { store, stage, clock, handle, engine, ears, options }
    }

    /// Another process takes over after this one was killed.
    pub(crate) async fn crash(mut self) -> Self {
        self.engine.abort();
        drop((&mut self.engine).await);
        self.stage.detach();
        let doors = Doors {
            store: self.store.clone(),
            executor: self.stage.clone(),
            notifier: self.ears.clone(),
            clock: self.clock.clone(),
        };
        (self.handle, self.engine) = spawn(self.options.clone(), doors).await.unwrap();
        self
    }

    pub(crate) async fn submit(&self, source: &str) -> RunId {
        let run = self.handle.submit(submission(source)).await.unwrap().run;
        self.rest().await;
        run
    }

    /// Waits until rounds of the loop add nothing, and everything that is told was heard.
    pub(crate) async fn rest(&self) {
        let mut before = 0;
        loop {
            for _ in 0..4 {
                drop(self.handle.view(RunId(0)).await);
                tokio::task::yield_now().await;
            }
            let lines = self.store.counters().await.unwrap().seq;
            let delivered = self.store.notices().await.unwrap().is_empty();
            if lines == before && delivered {
                return;
            }
            before = lines;
        }
    }

    pub(crate) async fn later(&self, span: Duration) {
        self.clock.advance(span);
        self.rest().await;
    }

    pub(crate) async fn view(&self, run: RunId) -> RunView {
        self.handle.view(run).await.unwrap().unwrap()
    }

    pub(crate) async fn ask(&self, run: RunId, verb: Verb) -> String {
        let command = Command { run, who: "ada".to_owned(), verb, dry_run: false };
        let answer = self.handle.command(command).await.unwrap();
        self.rest().await;
        answer.map_or_else(|failure| format!("refused: {failure}"), |receipt| receipt.sentence)
    }

    /// What people were told since they were asked last.
    pub(crate) fn told(&self) -> String {
        let told = std::mem::take(&mut *self.ears.0.lock().unwrap());
        let one = |notice: &Notice| {
            let run = notice.run.as_ref().map_or("all".to_owned(), ToString::to_string);
            let lines: String = notice.lines.iter().map(|line| format!("    {line}\n")).collect();
            format!("[{run}] {}\n{lines}", notice.title)
        };
        told.iter().map(one).collect()
    }
}
