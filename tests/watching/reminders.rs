//! What has waited too long.

use taskloom::ids::TaskId;
use taskloom::orchestrator::{GlobalCommand, GlobalVerb, Target, Verb};
use taskloom::sim::Act;
use taskloom::state::FailureClass;

use crate::engine::{CHAIN, SIBLINGS, retry, task};
use crate::watching::{HOUR, House};

const WIDE: &str = "
name: wide
tasks:
  - {id: a, description: x}
  - {id: b, description: x}
  - {id: c, description: x}
  - {id: d, description: x, dependencies: [c]}
";

#[tokio::test]
async fn a_failure_that_nobody_minds_is_told_of_twice_and_then_left_to_the_inbox() {
    let house = House::open(&[("bad", &[Act::Fail(FailureClass::AgentFailed)])]).await;
    house.submit(SIBLINGS).await;
    assert_eq!(house.told(), "", "it was told of when it failed");
    house.later(HOUR / 2).await;
    assert_eq!(house.told(), "");
    house.later(HOUR / 2).await;
    insta::assert_snapshot!(house.told());
    house.later(5 * HOUR).await;
    assert_eq!(house.told(), "", "it is told of every six hours");
    house.later(HOUR).await;
    assert!(house.told().contains("still waiting after 7h: task `bad` failed"));
    for _ in 0..3 {
        house.later(6 * HOUR).await;
        assert_ne!(house.told(), "");
    }
    house.later(60 * HOUR).await;
    assert_eq!(house.told(), "", "five times are enough");
}

#[tokio::test]
async fn a_restart_repeats_nothing_and_forgets_nothing() {
    let house = House::open(&[("bad", &[Act::Fail(FailureClass::AgentFailed)])]).await;
    house.submit(SIBLINGS).await;
    house.later(HOUR).await;
    assert_ne!(house.told(), "");
    let house = house.crash().await;
    house.later(HOUR).await;
    assert_eq!(house.told(), "", "it was told of by the process before");
    let house = house.crash().await;
    house.later(5 * HOUR).await;
    assert!(house.told().contains("still waiting after 7h"), "the time went on meanwhile");
}

#[tokio::test]
async fn what_waits_for_work_that_goes_on_is_not_told_of() {
    let house = House::open(&[("a", &[Act::Hang]), ("b", &[Act::Hang])]).await;
    let run = house.submit(WIDE).await;
    house.later(HOUR / 2).await;
    house.stage.act(&task("a"), Act::Succeed);
    house.rest().await;
    house.later(HOUR / 2).await;
    assert_eq!(house.told(), "", "places change hands");
    house.ask(run, Verb::Cancel { task: None }).await;
    house.later(24 * HOUR).await;
    assert_eq!(house.told(), "", "nothing of a run that was given up is told");
}

#[tokio::test]
async fn a_task_whose_place_never_becomes_free_is_told_of() {
    let house = House::open(&[("a", &[Act::Hang]), ("b", &[Act::Hang])]).await;
    house.submit(WIDE).await;
    house.later(HOUR).await;
    insta::assert_snapshot!(house.told());
}

#[tokio::test]
async fn a_pause_that_was_forgotten_is_told_of_and_a_new_one_is_not() {
    let house = House::open(&[("a", &[Act::Hang])]).await;
    house.stage.be_patient(true);
    let run = house.submit(CHAIN).await;
    house.ask(run, Verb::Pause { task: None }).await;
    house.later(2 * HOUR).await;
    assert_eq!(house.told(), "", "the pause keeps nothing back so far");
    house.stage.act(&task("a"), Act::Succeed);
    house.rest().await;
    house.later(HOUR).await;
    assert!(house.told().starts_with("[chain/1] still waiting after 3h: run `chain/1` is paused"));
    house.ask(run, Verb::Resume { task: None }).await;
    house.later(HOUR / 2).await;
    assert_eq!(house.told(), "");
}

#[tokio::test]
async fn a_pause_of_everything_is_told_of_once_for_each_project() {
    let house = House::open(&[]).await;
    let verb = GlobalVerb::Pause { project: None };
    let pause = GlobalCommand { who: "bo".to_owned(), verb, dry_run: false };
    house.handle.global(pause).await.unwrap().unwrap();
    house.submit(CHAIN).await;
    house.submit(SIBLINGS).await;
    house.later(HOUR).await;
    insta::assert_snapshot!(house.told());
}

#[tokio::test]
async fn an_approval_that_nobody_gives_is_told_of_though_the_run_rests() {
    let house = House::open(&[]).await;
    let run = house.submit(CHAIN).await;
    assert!(house.view(run).await.run.state.outcome().is_some());
    let house = house.crash().await;
    house.later(HOUR).await;
    insta::assert_snapshot!(house.told());
    let lane = Target::Lane("default".parse().unwrap());
    house.ask(run, Verb::Approve { target: lane, commit: None }).await;
    house.later(12 * HOUR).await;
    assert_eq!(house.told(), "");
}

#[tokio::test]
async fn a_question_is_told_of_and_a_failure_that_came_again_is_another() {
    let fail = Act::Fail(FailureClass::AgentFailed);
    let asks = [Act::Ask("which?".to_owned())];
    let house = House::open(&[("a", &asks), ("bad", &[fail.clone(), fail])]).await;
    house.submit(CHAIN).await;
    let run = house.submit(SIBLINGS).await;
    house.later(HOUR).await;
    let told = house.told();
    let question =
        "[chain/1] still waiting after 1h: task `a` asks\n    it holds up 2 tasks: b, c\n";
    assert!(told.contains(question), "{told}");
    assert!(told.contains("task `bad` failed"), "{told}");
    house.ask(run, retry("bad")).await;
    house.later(HOUR).await;
    let told = house.told();
    assert!(told.starts_with("[siblings/1] still waiting after 1h: task `bad` failed"), "{told}");
}

#[tokio::test]
async fn many_failures_are_few_pieces_of_news() {
    let ids: Vec<String> = (0..20).map(|n| format!("t{n}")).collect();
    let tasks: String =
        ids.iter().map(|id| format!("  - {{id: {id}, description: x}}\n")).collect();
    let fail = [Act::Fail(FailureClass::AgentFailed)];
    let script: Vec<(&str, &[Act])> = ids.iter().map(|id| (id.as_str(), &fail[..])).collect();
    let house = House::open(&script).await;
    house.submit(&format!("name: many\ntasks:\n{tasks}")).await;
    house.later(HOUR).await;
    let told = house.told();
    assert_eq!(told.lines().filter(|line| line.starts_with('[')).count(), 3, "{told}");
    assert!(told.ends_with("17 more wait as long; the inbox lists them\n"), "{told}");
}

/// The predecessor knew a second threshold and never looked at it.
#[tokio::test]
async fn defect_21_the_second_threshold_is_used() {
    let house = House::open(&[("bad", &[Act::Fail(FailureClass::AgentFailed)])]).await;
    let run = house.submit(SIBLINGS).await;
    house.later(HOUR).await;
    assert!(house.told().contains("after 1h"));
    house.later(6 * HOUR).await;
    assert!(house.told().contains("after 7h"));
    house.ask(run, retry("bad")).await;
    house.later(12 * HOUR).await;
    let waits: TaskId = task("bad");
    assert!(!house.told().contains(waits.as_str()), "it is done");
}
