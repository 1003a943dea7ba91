//! A plan in a task's thread: looked at, changed, approved.

use serde_json::json;

use super::stage::Stage;
use super::stage::seen::plain;

/// Plans two steps; each of them is done by the same program.
const PLANNING: &str = r##"
name: refunds
workstreams: [{id: default, auto_merge: true}]
tasks:
  - id: design
    title: Design refunds
    description: Plan it.
    plan: true
    primary_agent:
      framework: shell
      command: |
        if [ -e plan.md ]; then echo done >> done.txt; exit 0; fi
        printf '## Add the table\n\nIn cents, with a migration.\n\n## Serve it\n\nOver HTTP, with @everyone told.\n' > plan.md
  - id: release
    description: Release it.
    dependencies: [design]
    primary_agent: {framework: shell, command: "wc -l < done.txt > release.txt"}
"##;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_is_decided_in_its_thread() {
    let Some(mut stage) = Stage::new("").await else { return };
    let shop = stage.channel("shop");
    stage.submit("alice", PLANNING).await;
    let thread = stage.thread("design · Design refunds").await;
    let notice = stage.message(&thread, "has planned 2 tasks").await;
    assert_eq!(notice.buttons(), ["Approve", "Edit…", "Ask for changes", "Discard"]);
    assert!(!notice.files.is_empty(), "the plan comes as a file");
    insta::assert_snapshot!(plain(notice.text()));
    let inbox = stage.ask("alice", &shop, "inbox", json!({})).await;
    assert!(inbox.text().contains("`design` has a plan for you"), "{}", inbox.text());
    let denied = stage.answer(&stage.press("mallory", &notice, "Approve")).await;
    assert!(denied.text().contains("you have no permission here"), "{}", denied.text());
    // What was shown before an edit is not what is decided about.
    let form = stage.press("alice", &notice, "Edit…");
    let one = "## All at once\n\nThe table and what serves it.\n\n## And again\n\nLook at all of it once more.\n";
    let edited = stage.answer(&stage.fill("alice", &form, one).await).await;
    assert!(edited.text().contains("asks for 2 tasks now"), "{}", edited.text());
    stage.message(&thread, "1. All at once").await;
    let old = stage.answer(&stage.press_key("alice", &notice, &notice.key("Approve"))).await;
    assert!(old.text().contains("another one than you were shown"), "{}", old.text());
    stage.end("TERM").await;
    stage.start().await;
    let shown = stage.ask("alice", &thread, "plan show", json!({})).await;
    assert!(shown.text().contains("1. All at once\n2. And again"), "{}", shown.text());
    let done = stage.answer(&stage.press("alice", &shown, "Approve")).await;
    assert!(done.text().contains("2 tasks come after it, before `release`"), "{}", done.text());
    stage.message(&shop, "**refunds/1** · succeeded").await;
    assert_eq!(stage.world.git(&["show", "main:release.txt"]).trim(), "2");
    stage.behaved();
}
