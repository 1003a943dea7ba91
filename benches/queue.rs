//! What a decision costs with much waiting, in the predecessor's scenarios: N tasks that are
//! promoted at once, N that wait, N that are ready, and a mix of 70 % done, 20 % waiting, 10 % ready.
//! Beside each stands what it cannot do without, from the same run. Run it with
//! `cargo bench --bench queue [assign|round|promote]`.
//!
//! * assign: twenty slots go to N ready tasks of ten projects, beside grouping and sorting all that
//!   is ready, as the predecessor does;
//! * round: an agent ends and the next begins, in memory and on SQLite with `synchronous=FULL`,
//!   beside one commit of one row on the same disk;
//! * promote: the end of a task opens N others, in one transaction, beside a commit for each.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on should say where")]

mod doors;

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use doors::{Nowhere, doors, median, nowhere, options, scratch, submit_all};
use taskloom::graph;
use taskloom::graph::LaneIx;
use taskloom::ids::{ProjectId, RunId, TaskId};
use taskloom::orchestrator::{Handle, Options, Submission, spawn};
use taskloom::runner::{Executor, Job, Report, Reporter, ToAttempt};
use taskloom::scheduler::{Policy, Queue, ReadyIndex};
use taskloom::state::{
    AttemptEnd, AttemptOutcome, Effect, ProjectRecord, ProjectSettings, RunOptions, TaskEvent, What,
};
use taskloom::store::{Access, Batch, SqliteStore, Store};
use taskloom::time::Stopwatch;
use tokio::sync::mpsc;

/// Open tasks.
const SIZES: [usize; 4] = [100, 1_000, 5_000, 10_000];

const PROJECTS: usize = 10;

/// Slots that are filled in one decision.
const AGENTS: usize = 20;

/// Agents at once in a round: fewer than the smallest mix has ready.
const SLOTS: u32 = 4;

/// Odd, so that the median is a measurement.
const ROUNDS: usize = 51;

/// Commits of one row each that the others are compared with.
const COMMITS: usize = 101;

/// Odd as well; each needs an engine of its own.
const PROMOTIONS: usize = 5;

fn main() {
    let wanted = std::env::args().nth(1).filter(|word| !word.starts_with("--"));
    let is_wanted = |name: &str| wanted.as_ref().is_none_or(|wanted| wanted == name);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if is_wanted("assign") {
        assign();
    }
    if is_wanted("round") {
        runtime.block_on(rounds());
    }
    if is_wanted("promote") {
        runtime.block_on(promote());
    }
}

/// Tasks by how their name begins: `done` ends at once, `ready` works until it is told, and `last`
/// for as long as all is measured, which `later` waits for.
#[derive(Debug, Clone, Copy, Default)]
struct Tasks {
    done: usize,
    later: usize,
    ready: usize,
}

impl Tasks {
    fn yaml(self, name: &str) -> String {
        let mut text = format!("name: {name}\ntasks:\n");
        let mut task = |name: &str, more: &str| {
            writeln!(text, "  - id: {name}\n    description: Work.{more}").unwrap();
        };
        (0..self.done).for_each(|at| task(&format!("done{at}"), "\n    priority: 1"));
        if self.later > 0 {
            task("last", "\n    priority: 2");
        }
        (0..self.ready).for_each(|at| task(&format!("ready{at}"), "\n    priority: 3"));
        for at in 0..self.later {
            task(&format!("later{at}"), "\n    dependencies: [last]");
        }
        text
    }
}

fn submission(project: &str, source: String) -> Submission {
    Submission {
        project: ProjectRecord::new(project.parse().unwrap(), "/nowhere", "main"),
        graph: graph::load(source.as_bytes()).unwrap_or_else(|problems| panic!("{}", problems[0])),
        source,
        options: RunOptions::default(),
        submitter: "bench".to_owned(),
    }
}

/// Begins what it is told to, and ends it when the measurement says so.
struct Held {
    begun: mpsc::UnboundedSender<(TaskId, Reporter)>,
}

impl Executor for Held {
    fn execute(&self, job: Job, reporter: Reporter) {
        if matches!(job.effect, Effect::PrepareLane { .. }) {
            reporter.report(Report::LanePrepared { head: nowhere() });
        } else if let Effect::Attempt { task, .. } = &job.effect {
            let id = job.run.graph.task(*task).id.clone();
            match id.as_str().starts_with("done") {
                true => reporter.report(ended()),
                false => self.begun.send((id, reporter)).unwrap(),
            }
        }
    }
    fn tell(&self, _: &taskloom::state::EffectKey, _: ToAttempt) {}
    fn detach(&self) {}
}

fn ended() -> Report {
    Report::AttemptEnded(AttemptEnd::bare(AttemptOutcome::NoChanges))
}

/// An engine with work, as far as it comes by itself.
struct Busy {
    handle: Handle,
    engine: tokio::task::JoinHandle<()>,
    begun: mpsc::UnboundedReceiver<(TaskId, Reporter)>,
    running: VecDeque<Reporter>,
}

impl Busy {
    async fn with(store: Arc<dyn Store>, slots: u32, work: Vec<Submission>) -> Self {
        let (sender, begun) = mpsc::unbounded_channel();
        let doors = doors(store, Arc::new(Held { begun: sender }));
        let policy = Policy { project_slots: slots.min(SLOTS), ..Policy::of_slots(slots) };
        let (handle, engine) = spawn(Options { policy, ..options(slots) }, doors).await.unwrap();
        submit_all(handle.clone(), work).await;
        let mut busy = Self { handle, engine, begun, running: VecDeque::new() };
        for _ in 0..slots {
            busy.next().await;
        }
        busy
    }

    async fn next(&mut self) {
        let (id, reporter) = self.begun.recv().await.unwrap();
        if id.as_str() != "last" {
            self.running.push_back(reporter);
        }
    }

    /// One agent ends and the next begins.
    async fn round(&mut self) -> Duration {
        let first = self.running.pop_front().unwrap();
        let watch = Stopwatch::start();
        first.report(ended());
        self.next().await;
        watch.elapsed()
    }

    async fn leave(self) {
        self.handle.detach().await.unwrap();
        self.engine.await.unwrap();
    }
}

/// Twenty slots go to N ready tasks.
fn assign() {
    println!(
        "assign: {AGENTS} slots to N ready tasks of {PROJECTS} projects; microseconds, median of {ROUNDS}"
    );
    println!("{:>8} {:>12} {:>12} {:>8}", "N", "sort all", "queue", "ratio");
    for tasks in SIZES.into_iter().chain([100_000]) {
        let sort = median((0..ROUNDS).map(|_| sorted(tasks)).collect());
        let queue = median((0..ROUNDS).map(|_| queued(tasks)).collect());
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        let ratio = micros(queue) / micros(sort);
        println!("{tasks:>8} {:>12.1} {:>12.1} {ratio:>8.3}", micros(sort), micros(queue));
    }
}

/// Groups and sorts everything that is ready, then takes for each slot from the project that had
/// least.
fn sorted(tasks: usize) -> Duration {
    let ready: Vec<(usize, i32, usize)> =
        (0..tasks).map(|at| (at % PROJECTS, (at * 7919 % 100) as i32, at)).collect();
    let watch = Stopwatch::start();
    let mut by_project: BTreeMap<usize, Vec<(i32, usize)>> = BTreeMap::new();
    for (project, priority, task) in &ready {
        by_project.entry(*project).or_default().push((*priority, *task));
    }
    by_project.values_mut().for_each(|tasks| tasks.sort_unstable_by(|a, b| b.cmp(a)));
    let mut had = [0; PROJECTS];
    for _ in 0..AGENTS {
        let with_work = by_project.iter().filter(|(_, tasks)| !tasks.is_empty());
        let least = with_work.map(|(project, _)| *project).min_by_key(|at| had[*at]).unwrap();
        black_box(by_project.get_mut(&least).unwrap().pop());
        had[least] += 1;
    }
    watch.elapsed()
}

/// The same by the queue, which has known of each task since it became ready.
fn queued(tasks: usize) -> Duration {
    let each = tasks / PROJECTS;
    let policy = Policy { project_slots: AGENTS as u32, ..Policy::of_slots(AGENTS as u32) };
    let mut queue = Queue::default();
    queue.apply(&policy);
    let pool = queue.pool(None);
    let graph = submission("p", Tasks { ready: each, ..Tasks::default() }.yaml("g")).graph;
    let mut runs = Vec::new();
    for at in 0..PROJECTS {
        let id: ProjectId = format!("p{at}").parse().unwrap();
        queue.set_project(&id, &ProjectSettings::default(), &policy);
        let project = queue.project(&id);
        let mut ready = ReadyIndex::new(&graph);
        ready.set_open(LaneIx(0), true);
        (0..each).for_each(|at| ready.insert(LaneIx(0), 0, ((at * 7919 % 100) as i32, at as u32)));
        queue.offer(project, pool, RunId(at as i64), None, ready.priority(0));
        runs.push((project, ready));
    }
    let watch = Stopwatch::start();
    for _ in 0..AGENTS {
        let next = queue.next().unwrap();
        let (project, ready) = &mut runs[next.run.0 as usize];
        let (before, task) = (ready.priority(0), ready.next(0).unwrap());
        ready.remove(LaneIx(0), 0, (before.unwrap(), task.0));
        queue.enter(*project, next.by);
        queue.offer(*project, pool, next.run, before, ready.priority(0));
    }
    watch.elapsed()
}

type Scenario = (&'static str, fn(usize) -> Tasks);

/// What is open in each of the ten projects beside the one whose agents end and begin.
const SCENARIOS: [Scenario; 3] = [
    ("waiting", |each| Tasks { later: each - 1, ..Tasks::default() }),
    ("ready", |each| Tasks { ready: each, ..Tasks::default() }),
    ("mix 70/20/10", |each| Tasks { done: each * 7 / 10, later: each / 5, ready: each / 10 }),
];

async fn rounds() {
    println!(
        "round: an agent ends, the next begins, {SLOTS} slots; milliseconds, median of {ROUNDS}"
    );
    let header = ["in memory", "longest", "SQLite", "one commit", "ratio"];
    println!("{:<14} {:>7} {}", "open", "N", header.map(|name| format!("{name:>11}")).concat());
    for (name, tasks) in SCENARIOS {
        for size in SIZES {
            let mut memory = measured(Arc::new(Nowhere), tasks(size / PROJECTS)).await;
            let dir = scratch();
            let store = Arc::new(SqliteStore::open(dir.path(), Access::Own).await.unwrap());
            let disk = median(measured(store, tasks(size / PROJECTS)).await);
            let one = median(commits(COMMITS).await);
            memory.sort();
            let longest = *memory.last().unwrap();
            let times = [median(memory), longest, disk, one].map(|time| time.as_secs_f64() * 1e3);
            let ratio = times[2] / times[3];
            let times = times.map(|time| format!("{time:>11.3}")).concat();
            println!("{name:<14} {size:>7} {times} {ratio:>10.2}");
        }
    }
}

/// Rounds of one project beside ten others with such tasks. Where others wait, each of these has a
/// slot of its own, for what is waited for.
async fn measured(store: Arc<dyn Store>, tasks: Tasks) -> Vec<Duration> {
    let own = (tasks.later > 0).then_some(1);
    let mut work: Vec<Submission> = (0..PROJECTS)
        .map(|at| {
            let mut one = submission(&format!("p{at}"), tasks.yaml("open"));
            one.project.settings.max_agents = own;
            one
        })
        .collect();
    let ready = Tasks { ready: ROUNDS + SLOTS as usize, ..Tasks::default() };
    work.push(submission("busy", ready.yaml("busy")));
    let slots = SLOTS + own.map_or(0, |own| own * PROJECTS as u32);
    let mut busy = Busy::with(store, slots, work).await;
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        times.push(busy.round().await);
    }
    busy.leave().await;
    times
}

/// Commits of one row each, on the same disk.
async fn commits(count: usize) -> Vec<Duration> {
    let dir = scratch();
    let store = SqliteStore::open(dir.path(), Access::Own).await.unwrap();
    let mut times = Vec::new();
    for at in 0..count {
        let project = ProjectRecord::new(format!("p{at}").parse().unwrap(), "/nowhere", "main");
        let batch = Batch { projects: vec![project], ..Batch::default() };
        let watch = Stopwatch::start();
        store.commit(&batch).await.unwrap();
        times.push(watch.elapsed());
    }
    times
}

async fn promote() {
    println!("promote: the end of one task opens N; milliseconds, median of {PROMOTIONS}");
    println!(
        "{:>8} {:>12} {:>12} {:>18} {:>8}",
        "N", "in memory", "SQLite", "a commit for each", "ratio"
    );
    let one = median(commits(COMMITS).await).as_secs_f64() * 1e3;
    for tasks in SIZES {
        let (mut memory, mut disk) = (Vec::new(), Vec::new());
        for _ in 0..PROMOTIONS {
            memory.push(opened(Arc::new(Nowhere), tasks).await);
            let dir = scratch();
            let store = Arc::new(SqliteStore::open(dir.path(), Access::Own).await.unwrap());
            disk.push(opened(store, tasks).await);
        }
        let [memory, disk] = [memory, disk].map(|times| median(times).as_secs_f64() * 1e3);
        let each = one * tasks as f64;
        println!("{tasks:>8} {memory:>12.2} {disk:>12.2} {each:>18.0} {:>8.4}", disk / each);
    }
}

/// From the report that a task ended until all that waited for it are told of, on record.
async fn opened(store: Arc<dyn Store>, tasks: usize) -> Duration {
    // One less than a graph may have: the first is one of them.
    let later = tasks.min(graph::TASKS_MAX - 1);
    let source = Tasks { later, ..Tasks::default() }.yaml("promote").replace("last", "ready");
    let mut busy = Busy::with(store, 1, vec![submission("shop", source)]).await;
    let mut journal = busy.handle.subscribe();
    let watch = Stopwatch::start();
    busy.running.pop_front().unwrap().report(ended());
    let mut open = later;
    while open > 0 {
        let entries = journal.recv().await.unwrap();
        let opened = |what: &What| *what == What::Task(TaskEvent::Opened);
        open -= entries.iter().filter(|entry| opened(&entry.what)).count();
    }
    let took = watch.elapsed();
    busy.leave().await;
    took
}
