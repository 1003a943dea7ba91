//! How attempts went and what they used, by what did them.

use taskloom::control::stats::{By, stats, table};
use taskloom::sim::Act;
use taskloom::state::FailureClass;
use taskloom::time::Timestamp;

use crate::engine::SIBLINGS;
use crate::watching::House;

#[tokio::test]
async fn attempts_are_put_together_by_what_did_them_with_what_they_used() {
    let fail = Act::Spend(3_000, Box::new(Act::Fail(FailureClass::AgentFailed)));
    let good = Act::Spend(2_000, Box::new(Act::Succeed));
    let house = House::open(&[("bad", &[fail]), ("good", &[good])]).await;
    house.submit(SIBLINGS).await;
    let lines = stats(&*house.store, Timestamp(0), By::Role, |_| true).await.unwrap();
    insta::assert_snapshot!(table(&lines, By::Role), @r"
    ROLE     ATTEMPTS  SUCCEEDED  FAILED  RETRIES  MEDIAN  P90  GATE ROUNDS  TOKENS   COST
    generic         2   1 (50 %)       1        0     0ms  0ms            0   5,000  $0.00
    ");
    let [all] = &stats(&*house.store, Timestamp(0), By::Project, |_| true).await.unwrap()[..]
    else {
        panic!("one project")
    };
    assert_eq!(all.usage, house.view(taskloom::ids::RunId(1)).await.used());
    let nothing = stats(&*house.store, Timestamp(0), By::Project, |_| false).await.unwrap();
    assert_eq!(nothing, []);
    let later = stats(&*house.store, Timestamp(i64::MAX), By::Project, |_| true).await.unwrap();
    assert_eq!(later, []);
}
