//! What operators can ask for beyond the first day: holding back, redoing, steering, ending.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use taskloom::graph::TaskIx;
use taskloom::ids::{ProjectId, RunId};
use taskloom::notify::{self, Delivery, Notice, Notifier, Silent};
use taskloom::orchestrator::{
    Command, Doors, GlobalCommand, GlobalVerb, Options, Role, Scope, Target, Undo, Verb, spawn,
};
use taskloom::sim::{Act, LaneAct, ManualClock, Stage};
use taskloom::state::{
    AttemptRecord, Entry, FailureClass, LaneState, LedgerSum, Outcome, ParkReason, ProjectRecord,
    RunRecord, RunState, TaskState, Usage,
};
use taskloom::store::{Batch, Counters, Error, MemoryStore, Store, StoredRun};
use taskloom::time::Timestamp;

use crate::engine::{CHAIN, SIBLINGS, World, approve_lane, options, retry, submission, task};

fn steer(id: &str, text: &str) -> Verb {
    Verb::Steer { task: task(id), text: text.to_owned() }
}

fn rewind(id: &str, downstream: bool) -> Verb {
    Verb::Rewind { task: task(id), note: Some("round to cents".to_owned()), downstream }
}

impl World {
    async fn ask_all(&self, verb: GlobalVerb) -> String {
        let command = GlobalCommand { who: "bo".to_owned(), verb, dry_run: false };
        let answer = self.handle.global(command).await.unwrap();
        self.rest().await;
        answer.map_or_else(|failure| format!("refused: {failure}"), |receipt| receipt.sentence)
    }

    async fn note(&self, id: &str) -> Option<String> {
        let view = self.view().await;
        let at = view.info.graph.lookup_task(&task(id)).unwrap().at();
        view.tasks[at].more.as_ref().and_then(|more| more.note.clone())
    }
}

#[tokio::test]
async fn rewinding_marks_what_builds_on_it_stale_and_a_person_decides_about_each() {
    let world = World::play(CHAIN, &[("c", &[Act::Fail(FailureClass::Protected)])]).await;
    assert_eq!(
        world.ask(rewind("a", false)).await,
        "task `a` is done again; 1 that build on it are stale"
    );
    insta::assert_snapshot!(world.picture().await);
    assert_eq!(world.ask(retry("b")).await, "task `b` is tried again");
    assert_eq!(world.ask(retry("c")).await, "task `c` is tried again");
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
}

#[tokio::test]
async fn a_lane_that_could_not_be_given_up_is_approved_as_before() {
    let world = World::play(CHAIN, &[]).await;
    let lane = "default".parse().unwrap();
    world.stage.script_lane(&lane, LaneAct::CannotUndo);
    world.ask(Verb::Undo { what: Undo::TearDown { lane } }).await;
    let journal = world.store.journal(world.run, 0, u32::MAX).await.unwrap();
    let told = |entry: &Entry| {
        entry.detail.as_deref() == Some("it was not taken back: the branch has moved")
    };
    assert!(journal.iter().any(told));
    assert_eq!(world.lane("default").await, LaneState::AwaitingApproval);
    assert_eq!(world.ask(approve_lane("default")).await, "lane `default` is approved by ada");
    assert_eq!(world.lane("default").await, LaneState::Merged);
}

#[tokio::test]
async fn rewinding_with_everything_downstream_does_all_of_it_again_in_order() {
    let world = World::play(CHAIN, &[]).await;
    let said = world.ask(rewind("a", true)).await;
    assert_eq!(said, "task `a` is done again, and 2 that build on it");
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
    let jobs = world.stage.jobs();
    let attempts: Vec<&String> = jobs.iter().filter(|job| job.contains("/attempt")).collect();
    insta::assert_snapshot!(attempts.iter().map(|s| s.as_str()).collect::<Vec<_>>().join("\n"));
}

#[tokio::test]
async fn what_is_under_way_or_merged_into_its_target_is_not_rewound() {
    let world = World::play(CHAIN, &[("b", &[Act::Hang])]).await;
    insta::assert_snapshot!(world.ask(rewind("a", false)).await, @r"
    refused: task `b`, which builds on `a`, is running
      hint: stop it first: `taskloom stop chain/1/b`; or wait
    ");
    let merged =
        CHAIN.replace("tasks:", "workstreams:\n  - {id: default, auto_merge: true}\ntasks:");
    let world = World::play(&merged, &[]).await;
    insta::assert_snapshot!(world.ask(rewind("a", false)).await, @r"
    refused: task `a` cannot be rewound: its lane `default` is merged
      hint: submit a graph that builds on what is merged
    ");
}

/// A graph that was changed while its run stands somewhere.
async fn amended(world: &World, graph: &str) -> Result<(RunId, String), String> {
    let answer = world.handle.resubmit(world.run, submission(graph), false).await.unwrap();
    let (submitted, what) = answer.map_err(|failure| failure.to_string())?;
    Ok((submitted.unwrap().run, what.to_string()))
}

#[tokio::test]
async fn a_changed_graph_keeps_what_is_done_and_unchanged_and_does_the_rest() {
    let world = World::play(CHAIN, &[("c", &[Act::Fail(FailureClass::Protected)])]).await;
    let changed =
        CHAIN.replace("second,", "second and better,") + "  - {id: d, description: new}\n";
    let (run, what) = amended(&world, &changed).await.unwrap();
    insta::assert_snapshot!(what, @"goes on from chain/1: 1 result is kept, `b` is done again (+1 task, 1 task changed (b: title, description), 2 tasks kept)");
    world.rest().await;
    assert_eq!(world.outcome().await, Some(Outcome::Cancelled));
    let world = World { run, ..world };
    world.rest().await;
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
    let jobs = world.stage.jobs();
    let again = |task: u32| {
        jobs.iter().filter(|job| job.contains(&format!("2/t/{task}/0/attempt"))).count()
    };
    assert_eq!([again(0), again(1), again(2), again(3)], [0, 1, 1, 1], "{jobs:?}");
    let view = world.view().await;
    assert_eq!(view.lanes[0].from.as_ref().map(ToString::to_string).as_deref(), Some("chain/1"));
}

#[tokio::test]
async fn a_task_that_is_added_to_a_merged_lane_runs_and_the_lane_merges_again() {
    let graph =
        CHAIN.replace("tasks:", "workstreams:\n  - {id: default, auto_merge: true}\ntasks:");
    let world = World::play(&graph, &[]).await;
    let (run, _) = amended(&world, &(graph + "  - {id: d, description: new, dependencies: [c]}\n"))
        .await
        .unwrap();
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
    let world = World { run, ..world };
    world.rest().await;
    assert_eq!(world.state("d").await, TaskState::Merged);
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
    let jobs = world.stage.jobs();
    assert_eq!(
        jobs.iter().filter(|job| job.starts_with("2/t/") && job.ends_with("attempt")).count(),
        1
    );
    assert!(jobs.iter().any(|job| job == "2/w/0/merge"), "{jobs:?}");
}

#[tokio::test]
async fn a_graph_is_not_changed_under_an_agent_at_work() {
    let world = World::play(CHAIN, &[("b", &[Act::Hang])]).await;
    let refused = amended(&world, &CHAIN.replace("third", "third and last")).await.unwrap_err();
    insta::assert_snapshot!(refused, @r"
    run `chain/1` cannot be changed while something is under way: `b` is running
      hint: `taskloom pause chain/1` and wait, or stop these tasks
    ");
    assert!(matches!(world.state("b").await, TaskState::Running { .. }));
}

#[tokio::test]
async fn a_retry_with_everything_downstream_includes_what_was_stopped() {
    let world = World::play(SIBLINGS, &[("bad", &[Act::Hang])]).await;
    world.ask(Verb::Stop { task: task("after") }).await;
    world.ask(Verb::Stop { task: task("bad") }).await;
    let verb = Verb::Retry {
        target: Target::Task(task("bad")),
        note: None,
        fresh: false,
        downstream: true,
    };
    assert_eq!(world.ask(verb).await, "task `bad` is tried again, and 1 that build on it");
    assert_eq!(world.state("last").await, TaskState::Merged);
}

#[tokio::test]
async fn a_paused_task_ends_its_attempt_keeps_the_run_open_and_goes_on() {
    let world = World::play(CHAIN, &[("a", &[Act::Hang])]).await;
    world.ask(Verb::Pause { task: Some(task("a")) }).await;
    assert_eq!(
        world.state("a").await,
        TaskState::Paused { until: None, why: ParkReason::Operator }
    );
    assert_eq!(world.outcome().await, None);
    assert!(
        world.picture().await.contains("a is paused (by an operator): was paused by an operator")
    );
    let again = world.ask(Verb::Pause { task: Some(task("a")) }).await;
    assert_eq!(again, "task `a` is already paused");
    assert_eq!(
        world.ask(Verb::Pause { task: Some(task("c")) }).await,
        "task `c` is paused until it is resumed"
    );
    world.ask(Verb::Resume { task: Some(task("a")) }).await;
    assert_eq!(world.state("b").await, TaskState::Merged);
    assert!(matches!(world.state("c").await, TaskState::Paused { .. }));
    world.ask(Verb::Resume { task: Some(task("c")) }).await;
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
}

#[tokio::test]
async fn a_task_that_is_resumed_after_its_parent_failed_is_blocked() {
    let world = World::play(SIBLINGS, &[("bad", &[Act::Hang])]).await;
    world.ask(Verb::Pause { task: Some(task("after")) }).await;
    world.ask(Verb::Cancel { task: Some(task("bad")) }).await;
    world.ask(Verb::Resume { task: Some(task("after")) }).await;
    assert!(world.picture().await.contains("after is blocked: is blocked by `bad`"));
}

#[tokio::test]
async fn what_is_paused_above_runs_stays_paused_after_a_restart() {
    let world =
        World::begin(CHAIN, &[("a", &[Act::Ask("go?".to_owned())])], options(Scope::All)).await;
    world.rest().await;
    let shop = Some("shop".parse().unwrap());
    let said = world.ask_all(GlobalVerb::Pause { project: shop.clone() }).await;
    assert_eq!(said, "project `shop` is paused");
    world.ask_all(GlobalVerb::Pause { project: None }).await;
    let world = world.restart(options(Scope::All)).await;
    world.ask(Verb::Answer { task: task("a"), text: "yes".to_owned() }).await;
    assert!(world.picture().await.contains("b is ready: everything is paused by bo"));
    assert_eq!(world.ask_all(GlobalVerb::Resume { project: None }).await, "everything goes on");
    assert!(world.picture().await.contains("b is ready: its project is paused by bo"));
    assert_eq!(world.outcome().await, None);
    world.ask_all(GlobalVerb::Resume { project: shop.clone() }).await;
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
    let again = world.ask_all(GlobalVerb::Resume { project: shop }).await;
    assert_eq!(again, "project `shop` is not paused");
}

#[tokio::test]
async fn a_drain_lets_go_on_what_runs_and_ends_with_a_resume() {
    let world = World::begin(
        CHAIN,
        &[("a", &[Act::Ask("go?".to_owned())])],
        Options { role: Role::Daemon, ..options(Scope::All) },
    )
    .await;
    world.rest().await;
    world.ask_all(GlobalVerb::Drain).await;
    assert_eq!(world.ask_all(GlobalVerb::Drain).await, "it is draining already");
    world.ask(Verb::Answer { task: task("a"), text: "yes".to_owned() }).await;
    assert_eq!(world.state("a").await, TaskState::Merged);
    assert!(world.picture().await.contains("b is ready: nothing new is started"));
    world.ask_all(GlobalVerb::Resume { project: None }).await;
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
}

#[tokio::test]
async fn a_process_that_watches_one_run_ends_when_it_has_drained() {
    let world =
        World::begin(CHAIN, &[("a", &[Act::Ask("go?".to_owned())])], options(Scope::All)).await;
    world.rest().await;
    let mut journal = world.handle.subscribe();
    world.ask_all(GlobalVerb::Drain).await;
    world
        .handle
        .command(Command {
            run: world.run,
            who: "bo".to_owned(),
            verb: Verb::Answer { task: task("a"), text: "yes".to_owned() },
            dry_run: false,
        })
        .await
        .unwrap()
        .unwrap();
    while journal.recv().await.is_ok() {}
    let world = world.restart_ended(options(Scope::All)).await;
    world.rest().await;
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
}

#[tokio::test]
async fn a_shutdown_waits_as_long_as_it_is_told_and_the_next_process_goes_on() {
    let world = World::begin(CHAIN, &[("a", &[Act::Hang])], options(Scope::All)).await;
    world.rest().await;
    let said = world.ask_all(GlobalVerb::Shutdown { within: Duration::from_secs(60) }).await;
    assert_eq!(said, "what runs may go on for 60 s, is suspended then, and the process ends");
    assert!(matches!(world.state("a").await, TaskState::Running { .. }));
    world.clock.advance(Duration::from_secs(61));
    let command = GlobalCommand { who: "bo".to_owned(), verb: GlobalVerb::Drain, dry_run: true };
    drop(world.handle.global(command).await);
    let mut journal = world.handle.subscribe();
    while journal.recv().await.is_ok() {}
    let world = world.restart_ended(options(Scope::All)).await;
    world.rest().await;
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
    let view = world.view().await;
    assert_eq!(view.tasks[0].spent, 0);
}

#[tokio::test]
async fn an_agent_at_work_is_told_at_once_and_others_in_their_next_attempt() {
    let world = World::play(CHAIN, &[("a", &[Act::Hang])]).await;
    assert_eq!(world.ask(steer("a", "leave the schema")).await, "the agent of task `a` is told");
    assert_eq!(world.note("a").await, None);
    assert_eq!(
        world.ask(steer("b", "mind the cache")).await,
        "the next attempt of task `b` is told"
    );
    world.ask(steer("b", "and the log")).await;
    assert_eq!(world.note("b").await.as_deref(), Some("mind the cache\nand the log"));
    assert!(world.ask(steer("b", "  ")).await.starts_with("refused: the message is empty"));
    world.ask(Verb::Stop { task: task("a") }).await;
    world.ask(retry("a")).await;
    insta::assert_snapshot!(world.ask(steer("a", "x")).await, @r"
    refused: task `a` is merged and cannot be told anything
      hint: have it done again: `taskloom rewind chain/1/a --note TEXT`
    ");
}

#[tokio::test]
async fn a_new_priority_changes_who_is_next() {
    let graph = "
name: order
max_concurrency: 1
tasks:
  - {id: first, description: x}
  - {id: second, description: x}
  - {id: third, description: x}
";
    let world = World::play(graph, &[("first", &[Act::Hang])]).await;
    let sooner = Verb::Reprioritise { task: task("third"), priority: -5 };
    let (now, then) = (world.ask(sooner.clone()).await, world.ask(sooner).await);
    assert!(now.starts_with("the priority of task `third` is -5 instead of"), "{now}");
    assert_eq!(then, "the priority of task `third` is already -5");
    world.ask(Verb::Stop { task: task("first") }).await;
    let jobs = world.stage.jobs();
    let at = |what: &str| jobs.iter().position(|job| job.contains(what)).unwrap();
    assert!(at("1/t/2/0/attempt") < at("1/t/1/0/attempt"), "{jobs:?}");
}

#[tokio::test]
async fn a_decision_about_what_was_shown_before_is_refused() {
    let graph = CHAIN.replace("first}", "first, approval: true}");
    let world = World::play(&graph, &[]).await;
    let old = Some("00000000000000000000000000000000000000ff".parse().unwrap());
    let target = Target::Task(task("a"));
    let verb = Verb::Approve { target: target.clone(), commit: old.clone() };
    let refused = world.ask(verb).await;
    assert!(refused.contains("and you were shown 00000000"), "{refused}");
    let refused = world.ask(Verb::Reject { target: target.clone(), commit: old, note: None }).await;
    assert!(refused.contains("and you were shown 00000000"), "{refused}");
    let shown = world.view().await.tasks[0].proposal().map(|p| p.commit.clone());
    world.ask(Verb::Approve { target, commit: shown }).await;
    assert_eq!(world.state("a").await, TaskState::Merged);
}

#[tokio::test]
async fn a_daemon_that_ends_without_a_word_too_often_starts_nothing_until_a_person_says_so() {
    let daemon = || Options { role: Role::Daemon, ..options(Scope::All) };
    let mut world = World::begin(CHAIN, &[("a", &[Act::Hang])], daemon()).await;
    for _ in 0..4 {
        world = world.crash(daemon()).await;
        world.rest().await;
        assert_eq!(world.stage.alive(), 1);
    }
    let world = world.crash(daemon()).await;
    assert_eq!(world.stage.alive(), 0);
    world.ask(Verb::Stop { task: task("a") }).await;
    world.ask_all(GlobalVerb::Pause { project: None }).await;
    let picture = world.picture().await;
    assert!(picture.contains("a is running"), "{picture}");
    assert_eq!(world.ask_all(GlobalVerb::Resume { project: None }).await, "everything goes on");
    assert_eq!(
        world.state("a").await,
        TaskState::Blocked { on: taskloom::state::BlockedOn::Operator }
    );
}

/// A store whose disk is full while it is told so.
#[derive(Default)]
struct Full {
    inner: MemoryStore,
    full: AtomicBool,
}

#[async_trait]
impl Store for Full {
    async fn commit(&self, batch: &Batch) -> Result<(), Error> {
        if self.full.load(Ordering::SeqCst) {
            return Err(Error::Database("the disk is full".into()));
        }
        self.inner.commit(batch).await
    }
    async fn counters(&self) -> Result<Counters, Error> {
        self.inner.counters().await
    }
    async fn projects(&self) -> Result<Vec<ProjectRecord>, Error> {
        self.inner.projects().await
    }
    async fn runs(&self, project: Option<&ProjectId>) -> Result<Vec<RunRecord>, Error> {
        self.inner.runs(project).await
    }
    async fn load(&self, run: RunId) -> Result<Option<StoredRun>, Error> {
        self.inner.load(run).await
    }
    async fn owing(&self) -> Result<Vec<RunId>, Error> {
        self.inner.owing().await
    }
    async fn journal(&self, run: RunId, after: u64, limit: u32) -> Result<Vec<Entry>, Error> {
        self.inner.journal(run, after, limit).await
    }
    async fn attempts(&self, run: RunId) -> Result<Vec<AttemptRecord>, Error> {
        self.inner.attempts(run).await
    }
    async fn spent(&self, since: Timestamp, bucket_ms: i64) -> Result<Vec<LedgerSum>, Error> {
        self.inner.spent(since, bucket_ms).await
    }
    async fn used(&self, run: RunId) -> Result<Vec<(TaskIx, u32, Usage)>, Error> {
        self.inner.used(run).await
    }
    async fn notices(&self) -> Result<Vec<(u64, String)>, Error> {
        self.inner.notices().await
    }
    async fn setting(&self, name: &'static str) -> Result<Option<String>, Error> {
        self.inner.setting(name).await
    }
}

#[tokio::test]
async fn a_store_that_fails_loses_nothing_and_lets_people_look_and_leave() {
    let (store, stage) = (Arc::new(Full::default()), Arc::new(Stage::default()));
    stage.script(&task("a"), [Act::Hang]);
    let doors = Doors {
        store: store.clone(),
        executor: stage.clone(),
        notifier: Arc::new(Silent),
        clock: Arc::new(ManualClock::at(Timestamp(1_000_000))),
    };
    let (handle, engine) = spawn(options(Scope::All), doors.clone()).await.unwrap();
    let run = handle.submit(submission(CHAIN)).await.unwrap().run;
    store.full.store(true, Ordering::SeqCst);
    let stop =
        Command { run, who: "bo".to_owned(), verb: Verb::Stop { task: task("a") }, dry_run: false };
    let asked = tokio::spawn({
        let (handle, stop) = (handle.clone(), stop.clone());
        async move { handle.command(stop).await }
    });
    assert!(handle.view(run).await.unwrap().is_some());
    assert!(!asked.is_finished(), "a command is answered before it is durable");
    handle.detach().await.unwrap();
    engine.await.unwrap();
    assert!(asked.await.unwrap().is_err(), "what was not kept is not acknowledged");
    store.full.store(false, Ordering::SeqCst);
    let (handle, _) = spawn(options(Scope::All), doors).await.unwrap();
    assert!(handle.command(stop).await.unwrap().is_ok());
}

/// Tells people when it is let.
struct Slow {
    may: tokio::sync::Semaphore,
    told: std::sync::Mutex<Vec<u64>>,
}

#[async_trait]
impl Notifier for Slow {
    async fn notify(&self, notice: &Notice, _: &ProjectId) -> Result<Delivery, notify::Error> {
        self.may.acquire().await.unwrap().forget();
        self.told.lock().unwrap().push(notice.seq);
        Ok(Delivery::Delivered)
    }
}

#[tokio::test]
async fn what_people_are_told_while_the_process_ends_the_next_does_not_tell_again() {
    let (store, stage) = (Arc::new(MemoryStore::default()), Arc::new(Stage::default()));
    stage.script(&task("bad"), [Act::Fail(FailureClass::AgentFailed)]);
    let slow = Slow { may: tokio::sync::Semaphore::new(0), told: std::sync::Mutex::default() };
    let slow = Arc::new(slow);
    let doors = Doors {
        store: store.clone(),
        executor: stage.clone(),
        notifier: slow.clone(),
        clock: Arc::new(ManualClock::at(Timestamp(1_000_000))),
    };
    let (handle, engine) = spawn(options(Scope::All), doors.clone()).await.unwrap();
    let run = handle.submit(submission(SIBLINGS)).await.unwrap().run;
    while handle.view(run).await.unwrap().unwrap().run.state == RunState::Open {}
    let owed = store.notices().await.unwrap().len();
    assert!(owed > 0, "a failure is told");
    handle.detach().await.unwrap();
    slow.may.add_permits(100);
    engine.await.unwrap();
    assert_eq!(store.notices().await.unwrap(), []);
    let (handle, engine) = spawn(options(Scope::All), doors).await.unwrap();
    handle.detach().await.unwrap();
    engine.await.unwrap();
    assert_eq!(slow.told.lock().unwrap().len(), owed, "each once");
}
