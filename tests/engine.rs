//! The real engine on a clock set by hand, with jobs carried out by a script.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use taskloom::graph;
use taskloom::ids::{RunId, TaskId};
use taskloom::notify::Silent;
use taskloom::orchestrator::{
    Command, Doors, Handle, Options, Role, RunView, Scope, Submission, Submitted, Target, Verb,
    Watching, spawn,
};
use taskloom::plan::Rules;
use taskloom::runner::Executor as _;
use taskloom::scheduler::Policy;
use taskloom::sim::{Act, ManualClock, Stage};
use taskloom::state::{
    FailureClass, LaneState, Outcome, ProjectRecord, RunOptions, Subject, TaskState,
};
use taskloom::store::{MemoryStore, Store as _};
use taskloom::time::Timestamp;

/// An engine in a world without an outside.
pub(crate) struct World {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) stage: Arc<Stage>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) handle: Handle,
    pub(crate) run: RunId,
    pub(crate) engine: tokio::task::JoinHandle<()>,
}

const ADA: &str = "ada";

pub(crate) fn task(id: &str) -> TaskId {
    id.parse().unwrap()
}

pub(crate) fn options(scope: Scope) -> Options {
    let (policy, plans) = (Policy::of_slots(8), Rules::default());
    let (role, watching) = (Role::Attached, Watching::default());
    Options { policy, seed: 1, scope, role, plans, watching, remembers: false }
}

pub(crate) fn doors(
    store: &Arc<MemoryStore>,
    stage: &Arc<Stage>,
    clock: &Arc<ManualClock>,
) -> Doors {
    Doors {
        store: store.clone(),
        executor: stage.clone(),
        notifier: Arc::new(Silent),
        clock: clock.clone(),
    }
}

pub(crate) fn submission(source: &str) -> Submission {
    let graph = graph::load(source.as_bytes()).unwrap_or_else(|problems| panic!("{problems:?}"));
    Submission {
        project: ProjectRecord::new("shop".parse().unwrap(), "/nowhere", "main"),
        graph,
        source: source.to_owned(),
        options: RunOptions::default(),
        submitter: ADA.to_owned(),
    }
}

impl World {
    /// Submits a graph after the script was laid.
    pub(crate) async fn play(source: &str, script: &[(&str, &[Act])]) -> Self {
        let world = Self::begin(source, script, options(Scope::New)).await;
        world.rest().await;
        world
    }

    pub(crate) async fn begin(source: &str, script: &[(&str, &[Act])], options: Options) -> Self {
        let (store, stage) = (Arc::new(MemoryStore::default()), Arc::new(Stage::default()));
        let clock = Arc::new(ManualClock::at(Timestamp(1_000_000)));
        for (id, acts) in script {
            stage.script(&task(id), acts.iter().cloned());
        }
        let (handle, engine) = spawn(options, doors(&store, &stage, &clock)).await.unwrap();
        let Submitted { run, .. } = handle.submit(submission(source)).await.unwrap();
        Self { store, stage, clock, handle, run, engine }
    }

    /// Another process takes over from the store.
    pub(crate) async fn restart(self, options: Options) -> Self {
        self.handle.detach().await.unwrap();
        self.restart_ended(options).await
    }

    /// Another process takes over from one that has ended by itself.
    pub(crate) async fn restart_ended(mut self, options: Options) -> Self {
        let doors = doors(&self.store, &self.stage, &self.clock);
        (self.handle, self.engine) = spawn(options, doors).await.unwrap();
        self
    }

    /// Another process takes over from one that ended without a word.
    pub(crate) async fn crash(self, options: Options) -> Self {
        self.rest().await;
        self.engine.abort();
        self.stage.detach();
        self.restart_ended(options).await
    }

    pub(crate) async fn view(&self) -> RunView {
        self.handle.view(self.run).await.unwrap().unwrap()
    }

    /// Waits until a whole round of the loop adds nothing to the journal.
    pub(crate) async fn rest(&self) {
        let mut before = 0;
        loop {
            self.view().await;
            self.view().await;
            let lines = self.store.journal(self.run, 0, u32::MAX).await.unwrap().len();
            if lines == before {
                return;
            }
            before = lines;
        }
    }

    pub(crate) async fn ask(&self, verb: Verb) -> String {
        self.ask_as(ADA, verb).await
    }

    pub(crate) async fn ask_as(&self, who: &str, verb: Verb) -> String {
        let command = Command { run: self.run, who: who.to_owned(), verb, dry_run: false };
        let answer = self.handle.command(command).await.unwrap();
        self.rest().await;
        match answer {
            Ok(receipt) => receipt.sentence,
            Err(failure) => format!("refused: {failure}"),
        }
    }

    pub(crate) async fn state(&self, id: &str) -> TaskState {
        let view = self.view().await;
        view.tasks[view.info.graph.lookup_task(&task(id)).unwrap().at()].state
    }

    pub(crate) async fn lane(&self, id: &str) -> LaneState {
        let view = self.view().await;
        view.lanes[view.info.graph.lookup_lane(&id.parse().unwrap()).unwrap().at()].state
    }

    pub(crate) async fn outcome(&self) -> Option<Outcome> {
        self.view().await.run.state.outcome()
    }

    /// Where every task stands, and why it waits.
    pub(crate) async fn picture(&self) -> String {
        let view = self.view().await;
        let mut text = format!("run is {}\n", view.run.state);
        for (lane, record) in view.info.graph.lanes().iter().zip(&view.lanes) {
            writeln!(text, "lane {} is {}", lane.id, record.state).unwrap();
        }
        for ((spec, record), waiting) in
            view.info.graph.tasks().iter().zip(&view.tasks).zip(&view.waiting)
        {
            write!(text, "{} is {}", spec.id, record.state).unwrap();
            match waiting {
                Some(reason) => writeln!(text, ": {reason}").unwrap(),
                None => text.push('\n'),
            }
        }
        text
    }

    /// The journal, one line each.
    pub(crate) async fn story(&self) -> String {
        let view = self.view().await;
        let mut text = String::new();
        for entry in self.store.journal(self.run, 0, u32::MAX).await.unwrap() {
            let subject = match entry.subject {
                Subject::Run => "run".to_owned(),
                Subject::Lane(lane) => format!("lane {}", view.info.graph.lane(lane).id),
                Subject::Task(task) => view.info.graph.task(task).id.to_string(),
            };
            write!(text, "{:<32} {subject}", entry.what.kind()).unwrap();
            if let Some(detail) = &entry.detail {
                write!(text, " ({detail})").unwrap();
            }
            text.push('\n');
        }
        text
    }
}

pub(crate) const CHAIN: &str = "
name: chain
tasks:
  - {id: a, description: first}
  - {id: b, description: second, dependencies: [a]}
  - {id: c, description: third, dependencies: [b]}
";

pub(crate) const SIBLINGS: &str = "
name: siblings
tasks:
  - {id: bad, description: fails}
  - {id: after, description: waits, dependencies: [bad]}
  - {id: last, description: waits longer, dependencies: [after, good]}
  - {id: good, description: independent}
";

const LANES: &str = "
name: lanes
workstreams:
  - {id: up, auto_merge: true, max_parallel: 2}
  - {id: down}
tasks:
  - {id: u1, description: x, workstream_id: up}
  - {id: u2, description: x, workstream_id: up}
  - {id: d1, description: x, workstream_id: down, dependencies: [u1]}
";

pub(crate) fn retry(id: &str) -> Verb {
    Verb::Retry { target: Target::Task(task(id)), note: None, fresh: false, downstream: false }
}

pub(crate) fn approve_lane(id: &str) -> Verb {
    Verb::Approve { target: Target::Lane(id.parse().unwrap()), commit: None }
}

#[tokio::test]
async fn a_chain_runs_in_order_and_its_lane_waits_for_a_person() {
    let world = World::play(CHAIN, &[]).await;
    insta::assert_snapshot!(world.story().await);
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
    assert_eq!(world.lane("default").await, LaneState::AwaitingApproval);
    assert_eq!(world.ask(approve_lane("default")).await, "lane `default` is approved by ada");
    assert_eq!(world.lane("default").await, LaneState::Merged);
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
}

#[tokio::test]
async fn a_failure_blocks_what_waits_for_it_and_nothing_else() {
    let fail = [Act::Fail(FailureClass::AgentFailed)];
    let world = World::play(SIBLINGS, &[("bad", &fail)]).await;
    insta::assert_snapshot!(world.picture().await);
    assert_eq!(world.outcome().await, Some(Outcome::CompletedWithFailures));
    let again = world.ask(retry("bad")).await;
    assert_eq!(again, "task `bad` is tried again; that unblocks 2 more");
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
    assert_eq!(world.state("last").await, TaskState::Merged);
}

#[tokio::test]
async fn what_two_failures_block_stays_blocked_when_one_is_gone() {
    let graph = "
name: two
tasks:
  - {id: a, description: x}
  - {id: b, description: x}
  - {id: c, description: x, dependencies: [a, b]}
  - {id: d, description: x, dependencies: [c]}
";
    let fail = [Act::Fail(FailureClass::GateFailed)];
    let world = World::play(graph, &[("a", &fail), ("b", &fail)]).await;
    world.ask(retry("a")).await;
    assert_eq!(world.state("a").await, TaskState::Merged);
    assert!(world.picture().await.contains("c is blocked: is blocked by `b`"));
    let skip = Verb::Skip { task: task("b"), reason: Some("not needed".to_owned()) };
    assert_eq!(world.ask(skip.clone()).await, "task `b` is skipped; `c` becomes ready");
    assert_eq!(world.ask(skip).await, "task `b` is already skipped");
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
}

#[tokio::test]
async fn attempts_are_used_up_before_a_task_fails() {
    let graph = "
name: tries
max_task_attempts: 2
tasks:
  - {id: a, description: x}
";
    let fails = [Act::Fail(FailureClass::GateFailed), Act::Fail(FailureClass::GateFailed)];
    let world = World::play(graph, &[("a", &fails)]).await;
    assert_eq!(world.state("a").await, TaskState::Failed { class: FailureClass::GateFailed });
    assert_eq!(world.stage.jobs().iter().filter(|job| job.ends_with("attempt")).count(), 2);
    assert_eq!(world.ask(retry("a")).await, "task `a` is tried again");
    assert_eq!(world.state("a").await, TaskState::Merged);
}

#[tokio::test]
async fn outside_trouble_waits_and_uses_up_no_attempt() {
    let fail = [Act::Fail(FailureClass::Transient), Act::Fail(FailureClass::Transient)];
    let world = World::play(CHAIN, &[("a", &fail)]).await;
    assert_eq!(world.state("a").await, TaskState::Ready);
    assert!(world.picture().await.contains("a is ready: is tried again at"));
    assert_eq!(world.outcome().await, None);
    for _ in 0..2 {
        world.clock.advance(Duration::from_secs(3600));
        world.rest().await;
    }
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
}

#[tokio::test]
async fn a_merge_that_stumbles_is_repeated_and_one_that_conflicts_goes_back() {
    let graph = "
name: merges
max_task_attempts: 2
tasks:
  - {id: a, description: x}
  - {id: b, description: x}
";
    let world = World::play(graph, &[("a", &[Act::StumbleAtMerge]), ("b", &[Act::Conflict])]).await;
    assert!(matches!(world.state("a").await, TaskState::Merging { .. }));
    assert!(matches!(world.state("b").await, TaskState::PrCreated { .. }));
    world.clock.advance(Duration::from_secs(3600));
    world.rest().await;
    insta::assert_snapshot!(world.story().await);
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
}

#[tokio::test]
async fn a_lane_downstream_waits_for_the_whole_lane_upstream() {
    let hold = [Act::Hang];
    let world = World::play(LANES, &[("u2", &hold)]).await;
    insta::assert_snapshot!(world.picture().await);
    let stop = Verb::Stop { task: task("u2") };
    assert_eq!(world.ask(stop.clone()).await, "the attempt of task `u2` is ended");
    assert_eq!(world.ask(stop).await, "task `u2` is already stopped");
    assert_eq!(world.stage.alive(), 0);
    assert_eq!(world.outcome().await, Some(Outcome::CompletedWithFailures));
    world.ask(retry("u2")).await;
    assert_eq!(world.lane("up").await, LaneState::Merged);
    assert_eq!(world.state("d1").await, TaskState::Merged);
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
}

#[tokio::test]
async fn a_design_concern_leaves_the_merge_to_a_person_also_after_a_restart() {
    let doubt = [Act::Doubt("two sources of truth".to_owned())];
    let world = World::play(LANES, &[("u1", &doubt)]).await;
    assert_eq!(world.lane("up").await, LaneState::AwaitingApproval);
    assert_eq!(world.outcome().await, Some(Outcome::AwaitingMerge));
    let story = world.story().await;
    assert!(story.contains("workstream_auto_merge_skipped"), "{story}");
    assert_eq!(story.matches("waiting_for_integration_merge").count(), 1);
    let world = {
        let run = world.run;
        world.restart(options(Scope::One(run))).await
    };
    world.rest().await;
    assert_eq!(world.lane("up").await, LaneState::AwaitingApproval);
    world.ask(approve_lane("up")).await;
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
}

#[tokio::test]
async fn nested_lanes_merge_child_first_and_empty_ones_need_no_pull_request() {
    let graph = "
name: nested
workstreams:
  - {id: all, auto_merge: true}
  - {id: part, parent_workstream_id: all, auto_merge: true}
  - {id: lonely}
tasks:
  - {id: p, description: x, workstream_id: part}
";
    let world = World::play(graph, &[]).await;
    insta::assert_snapshot!(world.story().await);
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
}

#[tokio::test]
async fn approvals_are_counted_by_the_rule_and_bound_to_the_commit() {
    let graph = "
name: rule
tasks:
  - id: a
    description: x
    approval: {roles: [], count: 2, no_self: true}
";
    let world = World::play(graph, &[]).await;
    let approve = || Verb::Approve { target: Target::Task(task("a")), commit: None };
    assert_eq!(world.outcome().await, Some(Outcome::AwaitingMerge));
    insta::assert_snapshot!(world.ask_as(ADA, approve()).await);
    assert_eq!(world.ask_as("bo", approve()).await, "task `a` is approved by bo");
    assert!(world.ask_as("bo", approve()).await.starts_with("refused: bo has already approved"));
    assert!(matches!(world.state("a").await, TaskState::AwaitingApproval { .. }));
    world.ask_as("cy", approve()).await;
    assert_eq!(world.state("a").await, TaskState::Merged);
}

#[tokio::test]
async fn a_rejection_goes_back_to_the_agent_with_its_note() {
    let graph = "
name: rule
max_task_attempts: 2
tasks:
  - {id: a, description: x, approval: true}
";
    let world = World::play(graph, &[]).await;
    let note = Some("mock the clock".to_owned());
    world.ask(Verb::Reject { target: Target::Task(task("a")), commit: None, note }).await;
    let view = world.view().await;
    assert!(matches!(view.tasks[0].state, TaskState::AwaitingApproval { attempt: 1 }));
    let failure = view.tasks[0].failure().unwrap();
    assert_eq!(failure.message, "rejected by ada: mock the clock");
}

#[tokio::test]
async fn a_question_waits_for_its_answer() {
    let world = World::play(CHAIN, &[("a", &[Act::Ask("which one?".to_owned())])]).await;
    assert!(world.picture().await.contains("a is asks you: waits for a person to answer"));
    assert_eq!(world.outcome().await, None);
    let answer = Verb::Answer { task: task("a"), text: "this one".to_owned() };
    assert_eq!(world.ask(answer.clone()).await, "the agent of task `a` is answered `this one`");
    assert!(world.ask(answer).await.starts_with("refused: the agent of task `a` asks nothing"));
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
}

#[tokio::test]
async fn a_limit_parks_the_task_and_frees_its_place_until_it_is_over() {
    let until = Timestamp(1_000_000 + 60_000);
    let world = World::play(CHAIN, &[("a", &[Act::Park(Some(until))])]).await;
    assert!(matches!(world.state("a").await, TaskState::Paused { .. }));
    assert_eq!(world.outcome().await, None);
    world.clock.advance(Duration::from_secs(60 + 21));
    world.rest().await;
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
}

#[tokio::test]
async fn a_cancelled_run_ends_its_attempts_and_stays_cancelled() {
    let world = World::play(SIBLINGS, &[("bad", &[Act::Hang])]).await;
    world.ask(Verb::Cancel { task: None }).await;
    assert_eq!(world.outcome().await, Some(Outcome::Cancelled));
    assert_eq!(world.stage.alive(), 0);
    insta::assert_snapshot!(world.picture().await);
    assert!(world.ask(retry("bad")).await.starts_with("refused: run `siblings/1` was cancelled"));
    let again = world.ask(Verb::Cancel { task: None }).await;
    assert_eq!(again, "run `siblings/1` is already cancelled");
}

#[tokio::test]
async fn a_paused_run_starts_nothing_new() {
    let world = World::play(CHAIN, &[("a", &[Act::Ask("go?".to_owned())])]).await;
    world.ask(Verb::Pause { task: None }).await;
    world.ask(Verb::Answer { task: task("a"), text: "yes".to_owned() }).await;
    assert!(world.picture().await.contains("b is ready: the run is paused"));
    world.ask(Verb::Resume { task: None }).await;
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
}

#[tokio::test]
async fn an_internal_error_stops_the_run_until_a_person_retries() {
    let graph = "
name: fatal
tasks:
  - {id: a, description: x}
  - {id: b, description: x, dependencies: [c]}
  - {id: c, description: x}
max_concurrency: 1
";
    let world = World::play(graph, &[("a", &[Act::Fail(FailureClass::Internal)])]).await;
    assert_eq!(world.outcome().await, Some(Outcome::FatalInternalError));
    assert!(world.picture().await.contains("c is ready: the run stopped because of an internal"));
    world.ask(retry("a")).await;
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
}

#[tokio::test]
async fn a_restart_takes_up_what_is_owed_and_does_nothing_twice() {
    let world = World::begin(SIBLINGS, &[("bad", &[Act::Hang])], options(Scope::New)).await;
    world.rest().await;
    let before = world.stage.jobs();
    let run = world.run;
    let world = world.restart(options(Scope::One(run))).await;
    world.rest().await;
    let after = world.stage.jobs();
    assert_eq!(after[before.len()..], ["1/t/0/0/attempt"]);
    assert_eq!(world.stage.alive(), 1);
    let story = world.story().await;
    assert_eq!(story.matches("task_started                     bad").count(), 1);
    world.ask(Verb::Stop { task: task("bad") }).await;
    assert_eq!(world.stage.alive(), 0);
}

#[tokio::test]
async fn slots_are_shared_and_priority_decides() {
    let graph = "
name: order
max_concurrency: 1
tasks:
  - {id: late, description: x, priority: 200}
  - {id: early, description: x, priority: 1}
  - {id: middle, description: x}
";
    let world = World::play(graph, &[]).await;
    let story = world.story().await;
    let started: Vec<&str> =
        story.lines().filter_map(|line| line.strip_prefix("task_started")).map(str::trim).collect();
    assert_eq!(started, ["early", "middle", "late"]);
}

#[tokio::test]
async fn the_same_schedule_gives_the_same_story() {
    let acts = [Act::Fail(FailureClass::AgentFailed)];
    let first = World::play(LANES, &[("u1", &acts)]).await.story().await;
    let second = World::play(LANES, &[("u1", &acts)]).await.story().await;
    assert_eq!(first, second);
}

#[tokio::test]
async fn an_approval_after_the_rest_opens_the_lane_for_what_waits_in_it() {
    let graph = "name: g\ntasks:\n  - {id: a, description: x}\n  \
                 - {id: b, description: x, approval: true}\n  \
                 - {id: c, description: x, dependencies: [b]}\n";
    let world = World::play(graph, &[("a", &[Act::Fail(FailureClass::AgentFailed)])]).await;
    assert_eq!(world.outcome().await, Some(Outcome::CompletedWithFailures));
    world.ask(Verb::Approve { target: Target::Task(task("b")), commit: None }).await;
    assert_eq!(world.state("c").await, TaskState::Merged);
}

#[tokio::test]
async fn skipping_a_blocked_task_frees_what_only_it_held_back() {
    let graph = "name: g\ntasks:\n  - {id: a, description: x}\n  \
                 - {id: b, description: x, dependencies: [a]}\n  \
                 - {id: c, description: x, dependencies: [b]}\n";
    let world = World::play(graph, &[("a", &[Act::Fail(FailureClass::AgentFailed)])]).await;
    let said = world.ask(Verb::Skip { task: task("b"), reason: None }).await;
    assert_eq!(said, "task `b` is skipped; `c` becomes ready");
    assert_eq!(world.state("c").await, TaskState::Merged);
}

#[tokio::test]
async fn a_paused_run_that_has_nothing_left_comes_to_its_end() {
    let graph = "name: g\ntasks:\n  - {id: a, description: x}\n";
    let world =
        World::begin(graph, &[("a", &[Act::Ask("?".to_owned())])], options(Scope::New)).await;
    world.rest().await;
    world.ask(Verb::Pause { task: None }).await;
    world.ask(Verb::Answer { task: task("a"), text: "yes".to_owned() }).await;
    assert_eq!(world.outcome().await, Some(Outcome::Succeeded));
}
