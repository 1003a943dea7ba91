//! Daemons that end and are followed by others: what was posted is there once, and what was pressed
//! meanwhile works.

use serde_json::json;

use super::stage::{Message, Stage, until};
use super::uses::waiting;

/// Messages that contain `what`.
fn with(messages: &[Message], what: &str) -> usize {
    messages.iter().filter(|message| message.text().contains(what)).count()
}

async fn finish(stage: &Stage) {
    stage.world.write("go", "");
    stage.message(&stage.channel("shop"), "**wait/1** · succeeded").await;
    let thread = stage.thread("work").await;
    stage.message(&thread, "✓ **merged**").await;
}

/// Everything that must be there is there once.
async fn is_there_once(stage: &Stage) {
    let shop = stage.messages(&stage.channel("shop")).await;
    let thread = stage.messages(&stage.thread("work").await).await;
    assert_eq!(with(&shop, "**wait/1** · "), 1, "cards");
    assert_eq!(with(&shop, "**work** · "), 1, "messages of the task");
    assert_eq!(with(&shop, "run `wait/1`: succeeded"), 1, "last words");
    assert_eq!(with(&thread, "branch `"), 1, "headers");
    assert_eq!(with(&thread, "✓ **merged**"), 1, "ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_was_killed_goes_on_in_the_same_threads() {
    let Some(mut stage) = Stage::new("").await else { return };
    let shop = stage.channel("shop");
    stage.submit("alice", &waiting(&stage)).await;
    let thread = stage.thread("work").await;
    let card = stage.message(&shop, "**wait/1**").await;
    stage.message(&thread, "branch `").await;
    stage.end("KILL").await;
    stage.launch();
    stage.message(&shop, "back at work").await;
    let back = async || stage.proxy.shared.wire.sign_ins();
    until("the bot signs in again", async || (back().await.0 == 2).then_some(())).await;
    let queue = stage.answer(&stage.press("alice", &card, "Queue")).await;
    assert!(queue.text().contains("● `work` running"), "{}", queue.text());
    finish(&stage).await;
    is_there_once(&stage).await;
    let receipts = stage.messages(&shop).await;
    assert_eq!(with(&receipts, "back at work"), 1, "receipts");
    let commands = stage.proxy.exchanges();
    let registered = commands.iter().filter(|e| e.asked.path.ends_with("/commands")).count();
    assert_eq!(registered, 1, "commands that are the same are not registered again");
    stage.behaved();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_dies_between_saying_and_noting_says_it_once() {
    for point in [
        "post.announced",
        "post.announced:2",
        "post.sent",
        "post.sent:2",
        "post.sent:3",
        "thread.opened",
    ] {
        let Some(mut stage) = Stage::quiet("").await else { return };
        let once = stage.world.path("crashed");
        stage.variables =
            vec![("CRASH_AT", point.into()), ("CRASH_ONCE", once.clone().into_os_string())];
        stage.start().await;
        let preview = stage
            .ask(
                "alice",
                &stage.channel("shop"),
                "submit graph",
                json!({ "file": ["w.yaml", waiting(&stage)] }),
            )
            .await;
        stage.press("alice", &preview, "Start");
        until(point, async || (!stage.is_running()).then_some(())).await;
        assert!(once.exists(), "{point}");
        stage.variables.clear();
        stage.launch();
        finish(&stage).await;
        is_there_once(&stage).await;
        stage.behaved();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_go_on_while_discord_is_away_and_it_is_told_once_it_is_back() {
    let Some(mut stage) = Stage::quiet("").await else { return };
    stage.proxy.shared.wire.open(false);
    stage.proxy.down(true);
    stage.launch();
    let graph = stage.world.write("wait.yaml", &waiting(&stage));
    let repo = stage.world.repo().display().to_string();
    until("the daemon works", async || stage.heard().contains("at work in").then_some(())).await;
    let said = stage.world.taskloom(&["submit", graph.to_str().unwrap(), "--repo", &repo]);
    assert_eq!(said.code, 0, "{}", said.err);
    stage.world.write("go", "");
    until("the run is done", async || (stage.world.state_of_run() == "succeeded").then_some(()))
        .await;
    assert!(stage.messages(&stage.channel("shop")).await.is_empty());
    stage.proxy.down(false);
    stage.proxy.shared.wire.open(true);
    finish(&stage).await;
    is_there_once(&stage).await;
    stage.behaved();
}
