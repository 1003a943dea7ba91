//! Everything that waits for a person, in one list.

use std::fmt::Write as _;

use taskloom::orchestrator::{Verb, holds_up, inbox};
use taskloom::sim::Act;
use taskloom::state::{FailureClass, Subject};
use taskloom::store::{Store as _, Which};

use crate::engine::{CHAIN, SIBLINGS, task};
use crate::watching::{HOUR, House};

impl House {
    /// The list as every surface has it.
    pub(crate) async fn inbox(&self) -> String {
        let runs = self.store.select(&Which::ForPeople, 100).await.unwrap();
        let mut views = Vec::new();
        for run in runs {
            views.push(self.view(run.id).await);
        }
        let mut text = String::new();
        for item in inbox(&views) {
            let about = item.about.as_ref().map(|about| format!(": {about}")).unwrap_or_default();
            let blocks = item.blocking().map(|b| format!(" ({b})")).unwrap_or_default();
            writeln!(text, "{} {}{about}{blocks}", item.name(), item.need.phrase()).unwrap();
        }
        text
    }
}

const LONG: &str = "
name: long
workstreams:
  - {id: up}
  - {id: down}
tasks:
  - {id: u1, description: x, workstream_id: up}
  - {id: u2, description: x, workstream_id: up}
  - {id: d1, description: x, workstream_id: down, dependencies: [u1]}
  - {id: d2, description: x, workstream_id: down, dependencies: [d1]}
";

#[tokio::test]
async fn what_holds_up_most_comes_first_and_then_what_waits_longest() {
    let fail = [Act::Fail(FailureClass::AgentFailed)];
    let asks = [Act::Ask("PostgreSQL or SQLite?".to_owned())];
    let house = House::open(&[("bad", &fail), ("a", &asks), ("u2", &fail)]).await;
    house.submit(SIBLINGS).await;
    house.later(HOUR).await;
    house.submit(CHAIN).await;
    house.submit(LONG).await;
    insta::assert_snapshot!(house.inbox().await);
}

#[tokio::test]
async fn what_was_decided_or_given_up_leaves_the_list() {
    let fail = [Act::Fail(FailureClass::AgentFailed)];
    let house = House::open(&[("bad", &fail)]).await;
    let run = house.submit(SIBLINGS).await;
    assert!(house.inbox().await.starts_with("siblings/1/bad failed"));
    house.ask(run, Verb::Cancel { task: None }).await;
    assert_eq!(house.inbox().await, "");
}

#[tokio::test]
async fn a_lane_that_is_not_merged_holds_up_what_waits_for_it() {
    let house = House::open(&[("u2", &[Act::Fail(FailureClass::AgentFailed)])]).await;
    let run = house.submit(LONG).await;
    let view = house.view(run).await;
    let graph = &view.info.graph;
    let failed = graph.lookup_task(&task("u2")).unwrap();
    let held: Vec<&str> = holds_up(&view, Subject::Task(failed))
        .into_iter()
        .map(|task| graph.task(task).id.as_str())
        .collect();
    assert_eq!(held, ["d1", "d2"], "nothing depends on the task, but on its lane");
}

#[tokio::test]
async fn runs_with_nothing_for_a_person_are_not_read() {
    let house = House::open(&[]).await;
    for _ in 0..3 {
        let run = house.submit(CHAIN).await;
        let lane = taskloom::orchestrator::Target::Lane("default".parse().unwrap());
        house.ask(run, Verb::Approve { target: lane, commit: None }).await;
    }
    assert!(house.store.select(&Which::ForPeople, 100).await.unwrap().is_empty());
    assert_eq!(house.store.runs(None).await.unwrap().len(), 3);
}
