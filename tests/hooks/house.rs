//! The owner of hooks with a store, a clock that is set by hand, and an outside that does what it
//! is told. It can be killed and started again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use taskloom::failure::Failure;
use taskloom::hooks::rules::{Fired, Hook, HookRun, HookRunId, Limits, Query, Status};
use taskloom::hooks::{
    Asked, Diffed, Doors, Fetched, Handle, Happened, House, Kept, Knocked, Made, Options, Origin,
    Outside, Ran, Shell, Wanted,
};
use taskloom::ids::{ProjectId, RunId};
use taskloom::sim::ManualClock;
use taskloom::state::{Entry, FailureClass, Subject, TaskEvent, What};
use taskloom::store::{
    Access, Batch, HookBatch, HookRow, HookStore, MemoryStore, SqliteStore, Store as _,
};
use taskloom::time::Timestamp;
use tokio::sync::{Semaphore, broadcast};
use tokio::task::JoinHandle;

use super::hook;

/// How long anything here may take before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(30);

/// An outside in which commands end when they are let.
struct Stage {
    said: Mutex<Vec<String>>,
    may_end: Semaphore,
}

impl Stage {
    fn say(&self, what: String) {
        self.said.lock().unwrap().push(what);
    }

    fn said(&self) -> Vec<String> {
        self.said.lock().unwrap().clone()
    }
}

#[async_trait]
impl Outside for Stage {
    async fn happened(&self, entry: &Entry) -> Result<Option<Happened>, Failure> {
        let task = entry.detail.as_deref().unwrap_or_default();
        let fired = Fired {
            key: format!("seq:{}", entry.seq),
            sentence: format!("{task} failed"),
            event: json!({ "task": task, "outcome": "expected_failure", "detail": "it's broken" }),
            project: Some("shop".parse().unwrap()),
            depth: 0,
            made_by: None,
        };
        Ok(Some(Happened { seq: entry.seq, kind: entry.what.kind(), fired }))
    }

    async fn shell(&self, shell: Shell) -> Result<Ran, Failure> {
        self.say(format!("{} runs {} with {:?}", shell.origin.run, shell.command, shell.variables));
        self.may_end.acquire().await.unwrap().forget();
        Ok(Ran {
            exit_code: Some(1),
            stdout: "test result: FAILED. 3 passed; 1 failed".to_owned(),
            ..Ran::default()
        })
    }

    async fn read_file(&self, _: &ProjectId, path: &str) -> Result<String, Failure> {
        match path {
            "empty" => Ok(String::new()),
            _ => Err(Failure::user(format!("`main` has no file `{path}`"))),
        }
    }

    async fn fetch(&self, url: &str, _: Duration) -> Result<Fetched, Failure> {
        self.say(format!("asks {url}"));
        Ok(Fetched { status: 503, body: "down".to_owned() })
    }

    async fn query(&self, _: Query, _: Option<&ProjectId>, _: u32) -> Result<Vec<Value>, Failure> {
        Ok(vec![json!({ "task": "refund" })])
    }

    async fn diff(
        &self,
        _: &ProjectId,
        _: Option<&str>,
        _: Option<&str>,
    ) -> Result<Diffed, Failure> {
        Err(Failure::outside("there is no git here"))
    }

    async fn submit(&self, o: &Origin, project: &ProjectId, w: Wanted) -> Result<Made, Failure> {
        self.say(format!("{} submits {w:?}", o.run));
        Ok(Made { project: project.clone(), run: format!("inbox/{}", o.run) })
    }

    async fn tell(&self, _: &Origin, project: &ProjectId, text: &str) -> Result<(), Failure> {
        self.say(format!("{project} is told: {text}"));
        Ok(())
    }

    async fn clean_up(&self, run: HookRunId) -> Vec<String> {
        self.say(format!("what {run} left is ended"));
        vec![format!("shop:inbox/{run}")]
    }

    async fn over(&self, _: HookRunId) {}
}

struct World {
    store: Arc<MemoryStore>,
    clock: Arc<ManualClock>,
    stage: Arc<Stage>,
    journal: broadcast::Sender<Arc<[Entry]>>,
    hooks: Vec<Hook>,
    house: Option<(Handle, JoinHandle<()>)>,
    lines: u64,
}

impl World {
    async fn with(hooks: &[&str]) -> Self {
        let mut world = Self {
            store: Arc::default(),
            clock: Arc::new(ManualClock::at(Timestamp(1_700_000_000_000))),
            stage: Arc::new(Stage { said: Mutex::default(), may_end: Semaphore::new(0) }),
            journal: broadcast::channel(4).0,
            hooks: hooks.iter().map(|text| hook(text)).collect(),
            house: None,
            lines: 0,
        };
        world.start().await;
        world
    }

    async fn start(&mut self) {
        let options = self.options();
        let doors = Doors {
            store: self.store.clone(),
            outside: self.stage.clone(),
            clock: self.clock.clone(),
            journal: self.journal.subscribe(),
        };
        self.house = Some(House::start(options, doors).await.unwrap());
        drop(self.handle().list().await);
    }

    fn options(&self) -> Options {
        Options {
            limits: Limits { slots: 2, depth_max: 3 },
            hooks: self.hooks.clone(),
            read: Arc::new(|text| Ok(hook(text))),
        }
    }

    async fn crash(&mut self) {
        let (_, task) = self.house.take().unwrap();
        task.abort();
        drop(task.await);
    }

    fn handle(&self) -> &Handle {
        &self.house.as_ref().unwrap().0
    }

    /// A task fails: it is kept, and told if `told`.
    async fn fails(&mut self, task: &str, told: bool) {
        self.lines += 1;
        let entry = Entry {
            seq: self.lines,
            at: Timestamp(0),
            run: RunId(1),
            subject: Subject::Run,
            attempt: None,
            what: What::Task(TaskEvent::Failed { class: FailureClass::AgentFailed }),
            detail: Some(task.into()),
        };
        let journal = vec![entry.clone()];
        self.store.commit(&Batch { journal, ..Batch::default() }).await.unwrap();
        if told {
            drop(self.journal.send(Arc::from([entry])));
        }
    }

    async fn runs(&self) -> Vec<HookRun> {
        let rows = self.store.hook_runs(None, 1_000).await.unwrap();
        rows.iter().rev().map(|row| serde_json::from_str(row).unwrap()).collect()
    }

    /// Waits until the runs are as wanted.
    async fn until(&self, what: &str, fits: impl Fn(&[HookRun]) -> bool) -> Vec<HookRun> {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let runs = self.runs().await;
                if fits(&runs) {
                    return runs;
                }
                tokio::task::yield_now().await;
            }
        });
        match waited.await {
            Ok(runs) => runs,
            Err(_) => panic!("not in time: {what}: {:#?}", self.runs().await),
        }
    }
}

fn statuses(runs: &[HookRun]) -> Vec<Status> {
    runs.iter().map(|run| run.status).collect()
}

fn all(status: Status, count: usize) -> impl Fn(&[HookRun]) -> bool {
    move |runs| runs.len() == count && runs.iter().all(|run| run.status == status)
}

const FIX: &str = "
name: fix
on: {event: task_finished, where: {outcome: '*failure'}}
steps:
  - {run_tests: 'cargo test {{event.task}}', skip_if: exit_zero}
  - {create_task: {title: 'Fix {{event.task}}', description: '{{step_1.failed}} failed: {{event.detail}}'}}
  - notify: 'filed {{step_2.run}}'
";

#[tokio::test]
async fn a_task_fails_and_its_hook_files_another() {
    let mut world = World::with(&[FIX]).await;
    world.stage.may_end.add_permits(1);
    world.fails("re'fund", true).await;
    let runs = world.until("the hook has run", all(Status::Succeeded, 1)).await;
    insta::assert_snapshot!(world.stage.said().join("\n"));
    assert_eq!(runs[0].made, ["shop:inbox/1"]);
    let actions: Vec<&str> = runs[0].steps.iter().map(|step| step.action.as_str()).collect();
    assert_eq!(actions, ["run_tests", "create_task", "notify"]);
}

/// The predecessor left whatever was under way when it ended at “running”, for ever.
#[tokio::test]
async fn a_run_that_was_under_way_when_the_process_died_is_lost_and_not_running_for_ever() {
    let mut world = World::with(&[FIX]).await;
    for task in ["a", "b"] {
        world.fails(task, true).await;
    }
    world
        .until("one runs, one waits", |runs| statuses(runs) == [Status::Running, Status::Queued])
        .await;
    world.crash().await;
    world.start().await;
    world.stage.may_end.add_permits(2);
    let runs = world
        .until("what waited goes on", |runs| statuses(runs) == [Status::Lost, Status::Succeeded])
        .await;
    assert_eq!(runs[0].why.as_deref(), Some("the process ended while it ran"));
    assert_eq!(runs[0].made, ["shop:inbox/1"], "what it had submitted is found again");
    assert!(world.stage.said().contains(&"what 1 left is ended".to_owned()));
}

#[tokio::test]
async fn no_event_is_lost_and_none_counts_twice_wherever_the_process_dies() {
    let text = "{name: n, queue_max: 100, on: {event: task_finished}, steps: [{notify: '{{event.task}}'}]}";
    let mut world = World::with(&[text]).await;
    let mut expected = Vec::new();
    for round in 0..10 {
        // Told, kept but not told, and more than the channel holds.
        for at in 0..8 {
            let task = format!("t{round}-{at}");
            world.fails(&task, at % 3 != 0).await;
            expected.push(task);
        }
        world.crash().await;
        world.start().await;
    }
    let over = |runs: &[HookRun]| runs.len() == 80 && runs.iter().all(|r| !r.status.is_open());
    let runs = world.until("all events were heard", over).await;
    let heard: Vec<&str> = runs.iter().map(|run| run.event["task"].as_str().unwrap()).collect();
    assert_eq!(heard, expected, "each once, in the order of the journal");
}

#[tokio::test]
async fn a_listener_that_falls_behind_reads_what_it_missed() {
    let text = "{name: n, on: {event: task_finished}, steps: [{notify: '{{event.task}}'}]}";
    let mut world = World::with(&[text]).await;
    for at in 0..50 {
        world.fails(&format!("t{at}"), true).await;
    }
    world.until("all were heard", all(Status::Succeeded, 50)).await;
}

#[tokio::test]
async fn a_request_that_is_sent_again_sets_nothing_off_again() {
    let text = "{name: ring, project: shop, on: {webhook: {secret_env: X}}, steps: [{notify: 'by {{event.who}}'}]}";
    let mut world = World::with(&[text]).await;
    let ring = async |world: &World, delivery: &str| {
        let body = json!({ "who": "ann" });
        let name = "ring".parse().unwrap();
        world.handle().knock(name, Some(delivery.to_owned()), body).await.unwrap()
    };
    assert_eq!(ring(&world, "1").await, Knocked::Heard(HookRunId(1)));
    assert_eq!(ring(&world, "1").await, Knocked::Known);
    world.crash().await;
    world.start().await;
    assert_eq!(ring(&world, "1").await, Knocked::Known);
    assert_eq!(ring(&world, "2").await, Knocked::Heard(HookRunId(2)));
}

#[tokio::test]
async fn steps_end_a_run_as_they_say() {
    let of = |name: &str, steps: &str| {
        format!(
            "{{name: {name}, project: shop, on: {{webhook: {{secret_env: X}}}}, steps: [{steps}]}}"
        )
    };
    let hooks = [
        of("a", "{read_file: empty, skip_if: empty}, {notify: never}"),
        of("b", "{read_file: nothing.md}, {notify: never}"),
        of(
            "c",
            "{http: 'https://example.org/{{event.q}}', skip_if: status_ok}, {notify: '{{step_1.status}} {{step_1}}'}",
        ),
        of("d", "{http: 'https://example.org/'}, {notify: never}"),
        of("e", "{notify: '{{event.missing}}'}"),
        of("f", "{query: failed_tasks}, {notify: '{{step_1.rows.0.task}} of {{step_1.count}}'}"),
    ];
    let texts: Vec<&str> = hooks.iter().map(String::as_str).collect();
    let world = World::with(&texts).await;
    for name in ["a", "b", "c", "d", "e", "f"] {
        let body = json!({ "q": "a/b?c" });
        drop(world.handle().knock(name.parse().unwrap(), None, body).await);
    }
    let over = |runs: &[HookRun]| runs.len() == 6 && runs.iter().all(|r| !r.status.is_open());
    let runs = world.until("all are over", over).await;
    let told = |run: &HookRun| {
        format!("{} {} {}\n", run.hook, run.status.word(), run.why.as_deref().unwrap_or(""))
    };
    let mut said = world.stage.said();
    said.sort();
    let table: String = runs.iter().map(told).collect();
    insta::assert_snapshot!(format!("{table}\n{}", said.join("\n")));
}

#[tokio::test]
async fn hooks_of_the_store_are_changed_by_commands_and_those_of_the_configuration_are_not() {
    let mut world = World::with(&[FIX]).await;
    let own = "{name: own, project: shop, on: {every: 1h}, steps: [{notify: x}]}";
    let said = async |world: &World, change: Kept| match world.handle().change(change).await {
        Ok(given) => given.sentence,
        Err(failure) => failure.to_string(),
    };
    let put = |text: &str, replace| Kept::Put { text: text.to_owned(), replace };
    let mut told = Vec::new();
    for change in [
        put(own, true),
        put(own, false),
        put(own, false),
        put(&own.replace("1h", "2h"), true),
        put(FIX, false),
        Kept::Remove { hook: "fix".parse().unwrap() },
        Kept::Remove { hook: "fox".parse().unwrap() },
        Kept::Enable { hook: "fix".parse().unwrap(), on: false },
    ] {
        told.push(said(&world, change).await);
    }
    world.crash().await;
    world.start().await;
    for hook in world.handle().list().await.unwrap() {
        told.push(format!("{} {} {} {}", hook.name, hook.source, hook.enabled, hook.on));
    }
    world.hooks.push(hook(own));
    world.handle().reload(world.options()).await.unwrap();
    let list = world.handle().list().await.unwrap();
    let over = list.iter().find(|hook| hook.name.as_str() == "own").unwrap();
    told.push(format!("{} {} over the store's: {}", over.name, over.source, over.shadows));
    told.push(said(&world, Kept::Remove { hook: "own".parse().unwrap() }).await);
    insta::assert_snapshot!(told.join("\n"));
}

#[tokio::test]
async fn a_rehearsal_says_what_each_step_would_do_and_does_nothing() {
    let world = World::with(&[FIX]).await;
    let event = [("task".to_owned(), "re'fund $(id)".to_owned())].into();
    let (hook, who) = ("fix".parse().unwrap(), "ada".to_owned());
    let asked = Asked { hook, who, event, queue: false, dry_run: true };
    let given = world.handle().fire(asked).await.unwrap();
    insta::assert_snapshot!(format!("{}\n{}", given.sentence, given.lines.join("\n")));
    assert_eq!((world.runs().await.len(), world.stage.said().len()), (0, 0));
}

#[tokio::test]
async fn a_file_and_memory_keep_the_same_of_hooks() {
    let dir = tempfile::tempdir().unwrap();
    let file = SqliteStore::open(dir.path(), Access::Own).await.unwrap();
    let memory = MemoryStore::default();
    let stores: [&dyn HookStore; 2] = [&file, &memory];
    for store in stores {
        let row = |id: i64, key: &str, open: bool| HookRow {
            id,
            hook: "fix".to_owned(),
            key: key.to_owned(),
            status: if open { "queued" } else { "succeeded" },
            open,
            record: format!("{{\"id\":{id},\"open\":{open}}}"),
        };
        let name = || "fix".to_owned();
        let batch = HookBatch {
            hooks: vec![(name(), Some("text".to_owned()))],
            states: vec![(name(), Some("{}".to_owned()))],
            runs: vec![row(1, "a", true), row(2, "b", true), row(3, "a", true)],
            position: Some(7),
        };
        store.commit_hooks(&batch).await.unwrap();
        store.commit_hooks(&batch).await.unwrap();
        assert_eq!(store.open_hook_runs().await.unwrap().len(), 2, "one key, one run");
        assert_eq!(store.hook_position().await.unwrap(), Some(7));
        assert!(store.is_hook_key("fix", "a").await.unwrap());
        assert!(!store.is_hook_key("fix", "c").await.unwrap());
        let runs = (4..=500).map(|id| row(id, &id.to_string(), false)).collect();
        store.commit_hooks(&HookBatch { runs, ..HookBatch::default() }).await.unwrap();
        let kept = store.hook_runs(Some("fix"), 1_000).await.unwrap();
        assert_eq!(kept.len(), 202, "200 that are over, and all that are not");
        assert!(kept[0].contains(":500,"), "{}", kept[0]);
        assert_eq!(store.last_hook_run().await.unwrap(), 500);
        let gone = vec![(name(), None)];
        let batch = HookBatch { hooks: gone.clone(), states: gone, ..HookBatch::default() };
        store.commit_hooks(&batch).await.unwrap();
        assert!(store.hooks().await.unwrap().is_empty());
        assert!(store.hook_states().await.unwrap().is_empty());
    }
}
