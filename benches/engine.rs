//! What the engine costs beside what it cannot do without. Both sides alternate in one run; what
//! counts is their ratio. Run it with `cargo bench --bench engine [in-memory|durable|memory|start]`.
//!
//! * in memory: every event, state and reason of a task, beside a hand-written tokio loop that
//!   spawns each task and counts dependencies, and does nothing else;
//! * durable: the same on SQLite with `synchronous=FULL`, beside committing the very same batches
//!   one after the other, and beside a bare row for each change in transactions of the same size;
//! * memory: what an open task takes;
//! * start: with 10,000 open tasks and 100,000 in runs that are settled.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on should say where")]

mod doors;
#[path = "../tests/graphs/shapes.rs"]
mod shapes;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use doors::{Nowhere, doors, median, nowhere, options, scratch, submit_all};
use shapes::Shape;
use taskloom::graph::{self, TaskIx};
use taskloom::ids::{ProjectId, RunId};
use taskloom::orchestrator::{Options, Scope, Submission, spawn};
use taskloom::runner::{Executor, Job, Report, Reporter, ToAttempt};
use taskloom::state::{
    AttemptEnd, AttemptOutcome, AttemptRecord, Effect, Entry, LedgerSum, ProjectRecord, RunEvent,
    RunOptions, RunRecord, Usage, What,
};
use taskloom::store::{Access, Batch, Counters, Error, SqliteStore, Store, StoredRun};
use taskloom::time::{Stopwatch, Timestamp};
use tokio::sync::mpsc;

/// Odd, so that the median is a measurement.
const ROUNDS: usize = 5;

/// The largest graph; more tasks are more runs.
const RUN_TASKS: usize = 10_000;

/// Attempts at once where the disk decides.
const SLOTS: u32 = 64;

fn main() {
    let wanted = std::env::args().nth(1).filter(|word| !word.starts_with("--"));
    let is_wanted = |name: &str| wanted.as_ref().is_none_or(|wanted| wanted == name);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    // Spawned: the thread that blocks on a future takes part in no other work. The engine itself is
    // spawned always.
    if is_wanted("in-memory") {
        runtime.block_on(runtime.spawn(in_memory())).unwrap();
    }
    if is_wanted("durable") {
        runtime.block_on(durable());
    }
    if is_wanted("memory") {
        runtime.block_on(memory());
    }
    if is_wanted("start") {
        runtime.block_on(start());
    }
}

/// Everything is done the moment it is asked for.
struct Instant;

impl Executor for Instant {
    fn execute(&self, job: Job, reporter: Reporter) {
        reporter.report(match &job.effect {
            Effect::PrepareLane { .. } => Report::LanePrepared { head: nowhere() },
            Effect::Attempt { .. } => {
                Report::AttemptEnded(AttemptEnd::bare(AttemptOutcome::NoChanges))
            }
            Effect::CheckLane { .. } => Report::LaneUpToDate { delivered: None },
            Effect::OpenPr { .. }
            | Effect::MergePr { .. }
            | Effect::WatchPr { .. }
            | Effect::MoveLane { .. }
            | Effect::DropLane { .. }
            | Effect::RevertLane { .. }
            | Effect::WatchLanePr { .. }
            | Effect::ClosePr { .. }
            | Effect::CloseLanePr { .. }
            | Effect::OpenLanePr { .. }
            | Effect::MergeLane { .. } => unreachable!("nothing is ever merged here"),
        });
    }
    fn tell(&self, _: &taskloom::state::EffectKey, _: ToAttempt) {}
    fn detach(&self) {}
}

/// Attempts never end.
struct Never;

impl Executor for Never {
    fn execute(&self, job: Job, reporter: Reporter) {
        if matches!(job.effect, Effect::PrepareLane { .. }) {
            reporter.report(Report::LanePrepared { head: nowhere() });
        }
    }
    fn tell(&self, _: &taskloom::state::EffectKey, _: ToAttempt) {}
    fn detach(&self) {}
}

/// A store that also keeps what it was given.
struct Recorded {
    store: SqliteStore,
    batches: Mutex<Vec<Batch>>,
}

#[async_trait]
impl Store for Recorded {
    async fn commit(&self, batch: &Batch) -> Result<(), Error> {
        self.batches.lock().unwrap().push(batch.clone());
        self.store.commit(batch).await
    }
    async fn counters(&self) -> Result<Counters, Error> {
        self.store.counters().await
    }
    async fn projects(&self) -> Result<Vec<ProjectRecord>, Error> {
        self.store.projects().await
    }
    async fn runs(&self, project: Option<&ProjectId>) -> Result<Vec<RunRecord>, Error> {
        self.store.runs(project).await
    }
    async fn load(&self, run: RunId) -> Result<Option<StoredRun>, Error> {
        self.store.load(run).await
    }
    async fn owing(&self) -> Result<Vec<RunId>, Error> {
        self.store.owing().await
    }
    async fn journal(&self, run: RunId, after: u64, limit: u32) -> Result<Vec<Entry>, Error> {
        self.store.journal(run, after, limit).await
    }
    async fn attempts(&self, run: RunId) -> Result<Vec<AttemptRecord>, Error> {
        self.store.attempts(run).await
    }
    async fn spent(&self, since: Timestamp, bucket_ms: i64) -> Result<Vec<LedgerSum>, Error> {
        self.store.spent(since, bucket_ms).await
    }
    async fn used(&self, run: RunId) -> Result<Vec<(TaskIx, u32, Usage)>, Error> {
        self.store.used(run).await
    }
    async fn notices(&self) -> Result<Vec<(u64, String)>, Error> {
        self.store.notices().await
    }
    async fn setting(&self, name: &'static str) -> Result<Option<String>, Error> {
        self.store.setting(name).await
    }
}

fn submissions(name: &str, shape: fn(usize) -> Shape, tasks: usize) -> Vec<Submission> {
    let runs = tasks.div_ceil(RUN_TASKS);
    let source = shapes::yaml(name, &shape(tasks / runs));
    let lanes = "workstreams:\n  - {id: default, max_parallel: 100000}\ntasks:\n";
    let source = source.replacen("tasks:\n", lanes, 1);
    let submission = |_| Submission {
        project: ProjectRecord::new("shop".parse().unwrap(), "/nowhere", "main"),
        graph: graph::load(source.as_bytes()).unwrap_or_else(|p| panic!("{}", p[0])),
        source: source.clone(),
        options: RunOptions::default(),
        submitter: "bench".to_owned(),
    };
    (0..runs).map(submission).collect()
}

/// Runs everything to its end; how long it took after the graphs were read.
async fn played(store: Arc<dyn Store>, slots: u32, work: Vec<Submission>) -> Duration {
    let (handle, engine) = spawn(options(slots), doors(store, Arc::new(Instant))).await.unwrap();
    let mut journal = handle.subscribe();
    let mut open = work.len();
    let watch = Stopwatch::start();
    let submitting = submit_all(handle.clone(), work);
    let listening = async {
        while open > 0 {
            let settled = |e: &&Entry| matches!(e.what, What::Run(RunEvent::Settled { .. }));
            match journal.recv().await {
                Ok(entries) => open -= entries.iter().filter(settled).count(),
                Err(error) => panic!("the listener fell behind: {error}"),
            }
        }
    };
    tokio::join!(submitting, listening);
    let took = watch.elapsed();
    handle.detach().await.unwrap();
    engine.await.unwrap();
    took
}

/// The least that a scheduler on tokio does: spawn each task, hear of its end, count.
async fn tokio_loop(shape: &Shape) -> Duration {
    let mut children = vec![Vec::new(); shape.len()];
    let mut missing: Vec<usize> = shape.iter().map(Vec::len).collect();
    for (task, parents) in shape.iter().enumerate() {
        parents.iter().for_each(|parent| children[*parent].push(task));
    }
    let (done, mut ended) = mpsc::unbounded_channel();
    let start = |task: usize| {
        let done = done.clone();
        tokio::spawn(async move { done.send(task).unwrap() });
    };
    let watch = Stopwatch::start();
    (0..shape.len()).filter(|task| missing[*task] == 0).for_each(start);
    for _ in 0..shape.len() {
        let task = ended.recv().await.unwrap();
        for child in &children[task] {
            missing[*child] -= 1;
            if missing[*child] == 0 {
                start(*child);
            }
        }
    }
    watch.elapsed()
}

fn layered(tasks: usize) -> Shape {
    shapes::layered(tasks, 100)
}

type Named = (&'static str, fn(usize) -> Shape);

const SHAPES: [Named; 3] =
    [("chain", shapes::chain), ("fan-out", shapes::fan_out), ("layered", layered)];

async fn in_memory() {
    println!("in memory, instant runner; microseconds a task, median of {ROUNDS}");
    println!("shape         tasks     tokio    engine   ratio");
    for (name, shape) in SHAPES {
        for tasks in [1_000, 10_000, 100_000] {
            let (mut bound, mut engine) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                let runs = tasks / RUN_TASKS.min(tasks);
                let one = shape(tasks / runs);
                let mut took = Duration::ZERO;
                for _ in 0..runs {
                    took += tokio_loop(&one).await;
                }
                bound.push(took);
                let work = submissions(name, shape, tasks);
                engine.push(played(Arc::new(Nowhere), u32::MAX, work).await);
            }
            let each = |times| median(times).as_secs_f64() * 1e6 / tasks as f64;
            let (bound, engine) = (each(bound), each(engine));
            let ratio = engine / bound;
            println!("{name:<10} {tasks:>8} {bound:>9.2} {engine:>9.2} {ratio:>7.1}");
        }
    }
}

async fn durable() {
    println!("durable, SQLite FULL, {SLOTS} slots; median of {ROUNDS}");
    println!(
        "shape         tasks  lines/commit  engine lines/s  same batches   bare rows   engine/bare"
    );
    for (name, shape) in SHAPES {
        let tasks = if name == "chain" { 1_000 } else { RUN_TASKS };
        let (mut engine, mut alone, mut bare) = (Vec::new(), Vec::new(), Vec::new());
        let (mut lines, mut commits) = (0, 0);
        for _ in 0..ROUNDS {
            let dir = scratch();
            let store = SqliteStore::open(dir.path(), Access::Own).await.unwrap();
            let store = Arc::new(Recorded { store, batches: Mutex::default() });
            engine.push(played(store.clone(), SLOTS, submissions(name, shape, tasks)).await);
            let batches = std::mem::take(&mut *store.batches.lock().unwrap());
            lines = batches.iter().map(|batch| batch.journal.len()).sum();
            commits = batches.len();
            alone.push(committed(&batches).await);
            bare.push(bare_rows(&batches).await);
        }
        let rate = |times| lines as f64 / median(times).as_secs_f64();
        let (engine, alone, bare) = (rate(engine), rate(alone), rate(bare));
        println!(
            "{name:<10} {tasks:>8} {:>13.1} {engine:>15.0} {alone:>13.0} {bare:>11.0} {:>12.0} %",
            lines as f64 / commits as f64,
            100.0 * engine / bare
        );
    }
}

/// The same batches, one after the other.
async fn committed(batches: &[Batch]) -> Duration {
    let dir = scratch();
    let store = SqliteStore::open(dir.path(), Access::Own).await.unwrap();
    let watch = Stopwatch::start();
    for batch in batches {
        store.commit(batch).await.unwrap();
    }
    watch.elapsed()
}

/// A row of the journal and of the state for each change, in transactions of the same size.
async fn bare_rows(batches: &[Batch]) -> Duration {
    let dir = scratch();
    let store = SqliteStore::open(dir.path(), Access::Own).await.unwrap();
    let only: Vec<Batch> = batches
        .iter()
        .map(|batch| Batch {
            journal: batch.journal.clone(),
            tasks: batch.tasks.clone(),
            ..Batch::default()
        })
        .collect();
    let watch = Stopwatch::start();
    for batch in &only {
        store.commit(batch).await.unwrap();
    }
    watch.elapsed()
}

async fn memory() {
    let tasks = 100_000;
    let before = resident();
    let work = submissions("layered", layered, tasks);
    let read = resident();
    let doors = doors(Arc::new(Nowhere), Arc::new(Never));
    let (handle, engine) = spawn(options(8), doors).await.unwrap();
    submit_all(handle.clone(), work).await;
    let each = |from, to| (to - from) / tasks as u64;
    println!(
        "memory of {tasks} open tasks, layered: {} bytes each for the graphs, {} for the engine",
        each(before, read),
        each(read, resident())
    );
    handle.detach().await.unwrap();
    engine.await.unwrap();
}

async fn start() {
    let dir = scratch();
    let store = Arc::new(SqliteStore::open(dir.path(), Access::Own).await.unwrap());
    played(store.clone(), SLOTS, submissions("archived", layered, 100_000)).await;
    let all = Options { scope: Scope::All, ..options(8) };
    let (handle, engine) = spawn(all.clone(), doors(store.clone(), Arc::new(Never))).await.unwrap();
    submit_all(handle.clone(), submissions("open", layered, 10_000)).await;
    handle.detach().await.unwrap();
    engine.await.unwrap();
    let (mut raw, mut took, mut run) = (Vec::new(), Vec::new(), None);
    for _ in 0..ROUNDS {
        let watch = Stopwatch::start();
        let open = store.runs(None).await.unwrap().pop().unwrap();
        let stored = store.load(open.id).await.unwrap().unwrap();
        graph::load(stored.source.as_bytes()).unwrap();
        raw.push(watch.elapsed());
        let watch = Stopwatch::start();
        let doors = doors(store.clone(), Arc::new(Never));
        let (handle, engine) = spawn(all.clone(), doors).await.unwrap();
        let view = handle.view(open.id).await.unwrap().unwrap();
        took.push(watch.elapsed());
        run = Some(view.info.name.clone());
        handle.detach().await.unwrap();
        engine.await.unwrap();
    }
    let (raw, took) = (median(raw), median(took));
    println!("start with 10,000 open tasks ({}) and 100,000 settled ones", run.unwrap());
    println!(
        "  load and read alone {raw:.1?}, until the first answer {took:.1?}: {:.1} times",
        took.as_secs_f64() / raw.as_secs_f64()
    );
    idle(&all, &store).await;
}

/// What an engine with all that costs while nothing happens.
async fn idle(all: &Options, store: &Arc<SqliteStore>) {
    let doors = doors(store.clone(), Arc::new(Never));
    let (handle, engine) = spawn(all.clone(), doors).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (before, watch) = (processor_time(), Stopwatch::start());
    tokio::time::sleep(Duration::from_secs(10)).await;
    let used = processor_time() - before;
    let share = 100.0 * used.as_secs_f64() / watch.elapsed().as_secs_f64();
    println!("  idle for 10 s: {used:.1?} of processor time, {share:.2} %");
    handle.detach().await.unwrap();
    engine.await.unwrap();
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Processor time of this process, from the kernel's accounting in hundredths of a second.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}
