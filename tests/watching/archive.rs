//! Runs that were put away: they leave the lists, and nothing else changes.

use taskloom::orchestrator::{Target, Verb};
use taskloom::sim::Act;
use taskloom::state::{FailureClass, RunState, TaskState};
use taskloom::store::{Store as _, Which};

use crate::engine::{CHAIN, SIBLINGS, approve_lane, retry, task};
use crate::watching::{HOUR, House};

impl House {
    async fn names(&self, which: Which) -> Vec<String> {
        let runs = self.store.select(&which, 1_000).await.unwrap();
        runs.into_iter().map(|run| run.name.to_string()).collect()
    }

    /// A run in which nothing waits for anybody.
    async fn finished(&self) -> taskloom::ids::RunId {
        let run = self.submit(CHAIN).await;
        self.ask(run, approve_lane("default")).await;
        run
    }
}

#[tokio::test]
async fn what_rests_is_put_away_after_its_time_and_comes_back_as_it_was() {
    let house = House::open(&[]).await;
    let run = house.finished().await;
    house.later(24 * HOUR - HOUR / 60).await;
    assert_eq!(house.names(Which::Active).await, ["chain/1"]);
    house.later(HOUR / 60).await;
    assert_eq!(house.names(Which::Active).await, [""; 0]);
    assert_eq!(house.names(Which::Archived).await, ["chain/1"]);
    assert_eq!(house.ask(run, Verb::Restore).await, "run `chain/1` is back as it was");
    assert_eq!(house.ask(run, Verb::Restore).await, "run `chain/1` is not put away");
    house.later(23 * HOUR).await;
    assert_eq!(house.names(Which::Active).await, ["chain/1"], "its time begins anew");
    house.later(HOUR).await;
    assert_eq!(house.names(Which::Active).await, [""; 0]);
}

#[tokio::test]
async fn what_waits_for_a_person_stays_until_a_person_puts_it_away() {
    let house = House::open(&[("bad", &[Act::Fail(FailureClass::AgentFailed)])]).await;
    let run = house.submit(SIBLINGS).await;
    house.later(60 * HOUR).await;
    assert_eq!(house.names(Which::Active).await, ["siblings/1"]);
    assert_ne!(house.inbox().await, "");
    let said =
        "run `siblings/1` is put away; 1 thing in it waits for a person and leaves the inbox";
    assert_eq!(house.ask(run, Verb::Archive).await, said);
    assert_eq!(house.inbox().await, "");
    house.told();
    house.later(60 * HOUR).await;
    assert_eq!(house.told(), "", "nobody is reminded of what was put away");
    house.ask(run, Verb::Restore).await;
    assert_ne!(house.inbox().await, "");
}

#[tokio::test]
async fn what_is_open_is_not_put_away_and_what_goes_on_comes_back_by_itself() {
    let house =
        House::open(&[("a", &[Act::Hang]), ("bad", &[Act::Fail(FailureClass::AgentFailed)])]).await;
    let open = house.submit(CHAIN).await;
    let refused = house.ask(open, Verb::Archive).await;
    assert!(refused.starts_with("refused: run `chain/1` has not come to rest"), "{refused}");
    let run = house.submit(SIBLINGS).await;
    house.ask(run, Verb::Archive).await;
    house.ask(run, retry("bad")).await;
    assert_eq!(house.names(Which::Archived).await, [""; 0]);
}

/// The predecessor deleted the edges of what it archived, and what depended on it ran.
#[tokio::test]
async fn defect_01_what_depends_on_a_failed_task_stays_blocked_when_it_is_put_away() {
    let house = House::open(&[("bad", &[Act::Fail(FailureClass::AgentFailed)])]).await;
    let run = house.submit(SIBLINGS).await;
    let before = house.view(run).await;
    let jobs = house.stage.jobs().len();
    house.ask(run, Verb::Archive).await;
    let house = house.crash().await;
    house.later(48 * HOUR).await;
    let after = house.view(run).await;
    assert_eq!(before.tasks, after.tasks);
    assert_eq!(before.lanes, after.lanes);
    let at = after.info.graph.lookup_task(&task("after")).unwrap();
    assert!(matches!(after.tasks[at.at()].state, TaskState::Blocked { .. }));
    assert_eq!(house.stage.jobs().len(), jobs, "nothing ran");
}

/// The predecessor deleted what was spent.
#[tokio::test]
async fn defect_02_attempts_history_and_cost_stay_when_a_run_is_put_away() {
    let house = House::open(&[]).await;
    let run = house.finished().await;
    let attempts = house.store.attempts(run).await.unwrap();
    let journal = house.store.journal(run, 0, u32::MAX).await.unwrap();
    house.ask(run, Verb::Archive).await;
    assert_eq!(house.store.attempts(run).await.unwrap(), attempts);
    let after = house.store.journal(run, 0, u32::MAX).await.unwrap();
    assert_eq!(after[..journal.len()], journal, "history only grows");
    assert_eq!(after.len(), journal.len() + 1);
    let lately = Which::Lately { after: attempts[0].started_at };
    assert_eq!(house.names(lately).await, ["chain/1"], "figures still count it");
}

/// With the predecessor, one that could not be archived kept all behind it.
#[tokio::test]
async fn defect_03_what_cannot_be_put_away_keeps_nothing_else() {
    let fail = Act::Fail(FailureClass::AgentFailed);
    let acts: Vec<Act> = (0..40).map(|_| fail.clone()).collect();
    let house = House::open(&[("bad", &acts)]).await;
    for _ in 0..40 {
        house.submit(SIBLINGS).await;
    }
    for _ in 0..20 {
        house.finished().await;
    }
    house.later(24 * HOUR).await;
    assert_eq!(house.names(Which::Archived).await.len(), 20);
    assert_eq!(house.names(Which::Active).await.len(), 40);
}

/// The predecessor gave the id of an archived task to another.
#[tokio::test]
async fn defect_05_a_number_is_never_given_twice() {
    let house = House::open(&[]).await;
    let first = house.finished().await;
    house.ask(first, Verb::Archive).await;
    let house = house.crash().await;
    let second = house.submit(CHAIN).await;
    assert_eq!(house.view(second).await.info.name.to_string(), "chain/2");
    assert_ne!(first, second);
    assert_eq!(house.view(first).await.info.name.to_string(), "chain/1");
}

/// With the predecessor, what was restored ran again.
#[tokio::test]
async fn defect_06_restoring_runs_nothing_again() {
    let house = House::open(&[]).await;
    let run = house.finished().await;
    let (before, jobs) = (house.view(run).await, house.stage.jobs());
    house.ask(run, Verb::Archive).await;
    let house = house.crash().await;
    house.ask(run, Verb::Restore).await;
    house.later(HOUR).await;
    let after = house.view(run).await;
    assert_eq!(before.tasks, after.tasks);
    assert_eq!(before.run.state, after.run.state);
    assert_eq!(before.run.since, after.run.since);
    assert!(matches!(after.run.state, RunState::Settled { .. }));
    assert_eq!(house.stage.jobs(), jobs);
    let lane = Target::Lane("default".parse().unwrap());
    let again = house.ask(run, Verb::Approve { target: lane, commit: None }).await;
    assert!(again.contains("merged"), "{again}");
}
