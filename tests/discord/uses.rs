//! What people do in Discord, one thing at a time.

use serde_json::{Value, json};

use super::stage::seen::plain;
use super::stage::{Stage, until};

/// Nothing happens in it until a person answers.
const ASKING: &str = r#"
name: ask
workstreams: [{id: default, auto_merge: true}]
tasks:
  - id: colour
    title: Pick a colour
    description: Ask.
    primary_agent:
      framework: shell
      command: |
        echo "thinking"
        taskloom task ask "Which colour for @everyone?" --choice red --choice blue > answer.txt
"#;

/// Works until it is let go.
pub(super) const WAITING: &str = r#"
name: wait
workstreams: [{id: default, auto_merge: true}]
tasks:
  - id: work
    title: work
    description: Waits.
    primary_agent: {framework: shell, command: "while [ ! -e WORLD/go ]; do sleep 0.05; done; echo done > work.txt"}
  - id: next
    title: next
    description: Comes next.
    dependencies: [work]
    primary_agent: {framework: shell, command: "echo next > next.txt"}
"#;

pub(super) fn waiting(stage: &Stage) -> String {
    WAITING.replace("WORLD", &stage.world.path("").display().to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_granted_nothing_can_do_nothing() {
    let Some(mut stage) = Stage::new("").await else { return };
    let shop = stage.channel("shop");
    stage.submit("alice", &waiting(&stage)).await;
    let thread = stage.thread("work").await;
    let card = stage.message(&shop, "**wait/1**").await;
    let header = stage.message(&thread, "branch `").await;
    let refused =
        |text: &str| text.contains("you have no permission here") && text.contains("id `");
    for (name, options) in [
        ("status", json!({})),
        ("help", json!({})),
        ("run show", json!({ "run": "wait/1" })),
        ("run cancel", json!({ "run": "wait/1" })),
        ("task stop", json!({ "task": "wait/1/work" })),
        ("task why", json!({ "task": "nothing/9/there" })),
        ("submit graph", json!({ "file": ["g.yaml", "name: x"] })),
        ("submit graph", json!({})),
        ("scheduler pause", json!({})),
        ("archive", json!({ "run": "wait/1" })),
        ("restore", json!({ "run": "wait/1" })),
        ("inbox", json!({})),
        ("doctor", json!({})),
    ] {
        let answer = stage.ask("mallory", &shop, name, options).await;
        assert!(refused(answer.text()), "{name}: {}", answer.text());
    }
    for (message, label) in
        [(&card, "Pause"), (&card, "Stop…"), (&card, "Graph"), (&header, "Full log")]
    {
        let answer = stage.answer(&stage.press("mallory", message, label)).await;
        assert!(refused(answer.text()), "{label}: {}", answer.text());
    }
    let form = stage.press_key("mallory", &card, "tl:skip:r1.t0");
    assert!(refused(stage.answer(&form).await.text()));
    let unknown = stage.answer(&stage.press_key("mallory", &card, "tl:retry:r99.t7:a0")).await;
    assert!(refused(unknown.text()), "{}", unknown.text());
    let menu = stage.answer(&stage.menu("mallory", &shop, "Make this a task", &card)).await;
    assert!(refused(menu.text()), "{}", menu.text());
    let offered = stage.offered("mallory", &shop, "task stop", "task", "").await;
    assert_eq!(offered, Vec::<String>::new());
    let bot = stage.twin.about.bot.clone();
    stage.twin.write(&thread, "mallory", &format!("<@{bot}> stop everything")).await;
    assert!(refused(stage.message(&thread, "no permission").await.text()));
    assert_eq!(stage.world.state("work"), "running");
    assert!(!stage.heard().contains("stop everything"));
    stage.world.write("go", "");
    stage.message(&shop, "**wait/1** · succeeded").await;
    stage.behaved();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_level_is_granted_by_role_and_reaches_no_further() {
    let config = "  permissions: {operator: {roles: ['11']}, viewer: {users: ['BOB']}}\n";
    let Some(mut stage) = Stage::new(config).await else { return };
    let shop = stage.channel("shop");
    let denied = stage.ask("bob", &shop, "submit graph", json!({ "name": "x" })).await;
    assert!(denied.text().contains("needs the permission `operator`, and you have `viewer`"));
    assert_eq!(stage.ask("bob", &shop, "status", json!({})).await.text(), "nothing is open");
    stage.role("bob", "11");
    let started = stage.submit("bob", &waiting(&stage)).await;
    assert!(started.text().starts_with("✓ **wait/1** is started"), "{}", started.text());
    let denied = stage.ask("bob", &shop, "scheduler pause", json!({})).await;
    assert!(denied.text().contains("needs the permission `admin`"), "{}", denied.text());
    stage.world.write("go", "");
    stage.message(&shop, "**wait/1** · succeeded").await;
    stage.behaved();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_is_answered_with_a_button() {
    let Some(stage) = Stage::new("").await else { return };
    stage.submit("alice", ASKING).await;
    let thread = stage.thread("colour · Pick a colour").await;
    let question = stage.message(&thread, "task `colour` asks").await;
    assert_eq!(question.buttons(), ["red", "blue", "Answer…"]);
    let inbox = stage.ask("alice", &stage.channel("shop"), "inbox", json!({})).await;
    assert!(inbox.text().contains("`colour` asks: Which colour"), "{}", inbox.text());
    let answer = stage.answer(&stage.press("alice", &question, "blue")).await;
    assert!(answer.text().contains("answered `blue`"), "{}", answer.text());
    stage.message(&stage.channel("shop"), "**ask/1** · succeeded").await;
    assert_eq!(stage.world.git(&["show", "main:answer.txt"]).trim(), "blue");
    let late = stage.answer(&stage.press_key("alice", &question, &question.key("red"))).await;
    assert!(late.text().contains("this button is of the past"), "{}", late.text());
    let now = stage.messages(&thread).await.into_iter().find(|m| m.id() == question.id()).unwrap();
    assert_eq!(now.buttons(), ["(red)", "(blue)", "(Answer…)"]);
    let (shop, run) = (stage.channel("shop"), json!({ "run": "ask/1" }));
    let away = stage.ask("alice", &shop, "archive", run.clone()).await;
    assert!(away.text().contains("run `ask/1` is put away"), "{}", away.text());
    let list = stage.ask("alice", &shop, "run list", json!({})).await;
    assert!(!list.text().contains("ask/1"), "{}", list.text());
    let back = stage.ask("alice", &shop, "restore", run).await;
    assert!(back.text().contains("run `ask/1` is back as it was"), "{}", back.text());
    let list = stage.ask("alice", &shop, "run list", json!({})).await;
    assert!(list.text().contains("ask/1"), "{}", list.text());
    insta::assert_snapshot!(plain(question.text()), @"<@ID> ? **task `colour` asks: Which colour for \\@everyone?**");
    assert_eq!(question.value["mentions"].as_array().map_or(0, Vec::len), 0);
    stage.behaved();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_in_a_thread_reaches_the_agent() {
    let Some(mut stage) = Stage::new("").await else { return };
    stage.submit("alice", &waiting(&stage)).await;
    let thread = stage.thread("work").await;
    let bot = stage.twin.about.bot.clone();
    let said = stage.twin.write(&thread, "alice", &format!("<@{bot}> mind the gap")).await;
    stage.twin.write(&thread, "alice", "nobody in particular is meant").await;
    let id = said["id"].as_str().unwrap().to_owned();
    let reaction = |emoji: &'static str| {
        let (proxy, id) = (&stage.proxy, id.clone());
        until(emoji, async move || {
            let put =
                |asked: &super::stage::Asked| asked.method == "PUT" && asked.path.contains(&id);
            let wanted: String = emoji.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let all = proxy.exchanges();
            all.iter().any(|e| put(&e.asked) && e.asked.path.contains(&wanted)).then_some(())
        })
    };
    reaction("👀").await;
    // This agent takes no messages: the next attempt is told.
    reaction("📝").await;
    let noted = stage.ask("alice", &thread, "task show", json!({})).await;
    assert!(noted.text().contains("note for the next attempt: mind the gap"), "{}", noted.text());
    assert!(!noted.text().contains("nobody in particular"));
    stage.world.write("go", "");
    stage.message(&stage.channel("shop"), "**wait/1** · succeeded").await;
    stage.behaved();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graph_that_is_wrong_is_told_everything_and_stores_nothing() {
    let Some(stage) = Stage::new("").await else { return };
    let shop = stage.channel("shop");
    let graph = "name: x\ntasks:\n  - {id: a, dependencies: [b], descripton: x}\n  - {id: a}\n";
    let answer =
        stage.ask("alice", &shop, "submit graph", json!({ "file": ["x.yaml", graph] })).await;
    insta::assert_snapshot!(answer.text());
    let form = stage.command("alice", &shop, "submit graph", &json!({}));
    let preview = stage.answer(&stage.fill("alice", &form, ASKING).await).await;
    assert_eq!(preview.buttons(), ["Start", "Rehearse", "Edit", "Cancel"]);
    assert!(!preview.files.is_empty(), "a picture comes with a preview");
    let played = stage.answer(&stage.press("alice", &preview, "Rehearse")).await;
    assert!(played.text().contains("rehearsal of ask: succeeded"), "{}", played.text());
    let edit = stage.press("alice", &preview, "Edit");
    let shown = stage.callback(&edit).await;
    assert_eq!(shown["data"]["components"][0]["components"][0]["value"], ASKING);
    let edited = stage.fill("alice", &edit, &ASKING.replace("name: ask", "name: edited")).await;
    let preview = stage.answer(&edited).await;
    assert!(preview.text().starts_with("**edited**"), "{}", preview.text());
    let gone = stage.answer(&stage.press("alice", &preview, "Cancel")).await;
    assert!(gone.text().contains("nothing was started"), "{}", gone.text());
    let again = stage.press_key("alice", &preview, &preview.key("Start"));
    until("the refusal", async || {
        let deed = stage.deed(&again);
        deed.follow_ups
            .iter()
            .any(|m| m["content"].as_str().unwrap().contains("already"))
            .then_some(())
    })
    .await;
    assert!(stage.messages(&shop).await.is_empty());
    stage.behaved();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graph_that_changed_goes_on_from_what_is_done() {
    let Some(stage) = Stage::new("").await else { return };
    let shop = stage.channel("shop");
    let first = "name: two\ntasks:\n  - id: a\n    description: x\n    primary_agent: {framework: shell, command: 'echo a > one.txt'}\n";
    stage.submit("alice", first).await;
    stage.message(&shop, "lane `default` waits for approval").await;
    let more = format!(
        "{first}  - id: b\n    description: x\n    dependencies: [a]\n    primary_agent: {{framework: shell, command: 'echo b > two.txt'}}\n"
    );
    let options = json!({ "file": ["two.yaml", more] });
    let preview = stage.ask("alice", &shop, "submit graph", options).await;
    assert!(preview.text().contains("goes on from two/1: 1 result is kept"), "{}", preview.text());
    let applied = stage.answer(&stage.press("alice", &preview, "Apply as resume")).await;
    assert!(
        applied.text().starts_with("✓ **two/2** is started: it goes on from two/1"),
        "{}",
        applied.text()
    );
    until("the second task", async || (stage.world.state("b") == "merged").then_some(())).await;
    stage.behaved();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_merged_is_taken_back_after_it_was_said_what_moves() {
    let Some(stage) = Stage::new("").await else { return };
    let shop = stage.channel("shop");
    let graph = "name: two\ntasks:\n  - id: a\n    description: x\n    primary_agent: {framework: shell, command: 'echo a > one.txt'}\n";
    stage.submit("alice", graph).await;
    stage.message(&shop, "lane `default` waits for approval").await;
    let lane = json!({ "lane": "two/1/default" });
    let plan = stage.ask("alice", &shop, "lane reset", lane).await;
    let told = plan.text();
    assert!(told.starts_with("This would be done: lane `default` is taken back"), "{told}");
    assert!(told.contains("- `taskloom/two/1/w/default` goes from"), "{told}");
    assert_eq!(stage.world.state("a"), "merged");
    let lane = json!({ "lane": "two/1/default", "do_it": true });
    let done = stage.ask("alice", &shop, "lane reset", lane).await;
    assert!(done.text().starts_with("✓ lane `default` is taken back"), "{}", done.text());
    until("it is undone", async || (stage.world.state("a") == "stopped").then_some(())).await;
    stage.behaved();
}

/// Every command once, in an order in which each has something to say.
fn every_command() -> Vec<(&'static str, Value)> {
    let task = |more: Value| {
        let mut options = json!({ "task": "wait/1/work" });
        options.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        options
    };
    let lane = json!({ "lane": "wait/1/default" });
    let run = json!({ "run": "wait/1" });
    vec![
        ("status", json!({})),
        ("queue", json!({})),
        ("queue", run.clone()),
        ("inbox", json!({})),
        ("why", json!({ "task": "wait/1/next" })),
        ("stats", json!({ "by": 2 })),
        ("usage", json!({})),
        ("agents", json!({})),
        ("help", json!({})),
        ("task show", task(json!({}))),
        ("task list", run.clone()),
        ("task priority", task(json!({ "priority": -5 }))),
        ("task retry", task(json!({}))),
        ("task logs", json!({ "task": "wait/1/next" })),
        ("task diff", task(json!({}))),
        ("task why", task(json!({}))),
        ("task steer", task(json!({ "text": "hurry" }))),
        ("task answer", task(json!({ "text": "x" }))),
        ("task approve", task(json!({}))),
        ("task reject", task(json!({ "note": "x" }))),
        ("task reopen", task(json!({}))),
        ("task reset", task(json!({}))),
        ("task pause", json!({ "task": "wait/1/next" })),
        ("task resume", json!({ "task": "wait/1/next" })),
        ("task skip", json!({ "task": "wait/1/missing" })),
        ("archive", run.clone()),
        ("restore", run.clone()),
        ("run list", json!({})),
        ("run show", run.clone()),
        ("run graph", run.clone()),
        ("run pause", run.clone()),
        ("run resume", run.clone()),
        ("lane show", lane.clone()),
        ("lane checks", lane.clone()),
        ("lane merge", lane.clone()),
        ("lane reject", lane.clone()),
        ("lane retry", lane.clone()),
        ("lane reset", lane),
        ("run reset", run.clone()),
        ("submit issue", json!({ "number": 3 })),
        ("project list", json!({})),
        ("project show", json!({})),
        ("project pause", json!({ "project": "shop" })),
        ("project resume", json!({ "project": "shop" })),
        ("project bind", json!({ "project": "shop" })),
        ("project show", json!({ "project": "shpo" })),
        ("scheduler pause", json!({})),
        ("scheduler resume", json!({})),
        ("verbosity", json!({ "level": 2 })),
        ("task add", json!({ "instructions": "Write x.txt", "gate": "test -e x.txt" })),
        ("task stop", json!({ "task": "next" })),
        ("task cancel", json!({ "task": "next" })),
        ("run cancel", run),
        ("scheduler drain", json!({})),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_answers() {
    let Some(stage) = Stage::new("").await else { return };
    let shop = stage.channel("shop");
    stage.submit("alice", &waiting(&stage)).await;
    let thread = stage.thread("work").await;
    let all = every_command();
    let mut told = Vec::new();
    for (name, options) in all {
        let answer = stage.ask("alice", &shop, name, options.clone()).await;
        if name == "run cancel" {
            let cancelled = async || (stage.world.state("work") == "cancelled").then_some(());
            until("the end of the attempt", cancelled).await;
        }
        let files: Vec<&str> = answer.files.iter().map(|file| file.name.as_str()).collect();
        told.push(format!(
            "/{name} {options}\n{}\n{files:?} {:?}\n\n",
            answer.text(),
            answer.buttons()
        ));
    }
    let here = stage.ask("alice", &thread, "task why", json!({})).await;
    told.push(format!("in the thread: /task why\n{}\n", here.text()));
    insta::assert_snapshot!(plain(&told.concat()));
    let doctor = stage.ask("alice", &shop, "doctor", json!({})).await;
    assert!(doctor.text().contains("the token is that of the bot"), "{}", doctor.text());
    stage.behaved();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_typed_is_completed_and_messages_have_menus() {
    let Some(mut stage) = Stage::new("").await else { return };
    let shop = stage.channel("shop");
    stage.submit("alice", &waiting(&stage)).await;
    let thread = stage.thread("work").await;
    let offered = stage.offered("alice", &shop, "task stop", "task", "").await;
    assert_eq!(offered, ["wait/1/work · work · running", "wait/1/next · next · defined"]);
    let offered = stage.offered("alice", &shop, "task stop", "task", "NEX").await;
    assert_eq!(offered, ["wait/1/next · next · defined"]);
    assert_eq!(stage.offered("alice", &shop, "run show", "run", "wa").await, ["wait/1 · open"]);
    assert_eq!(
        stage.offered("alice", &shop, "lane show", "lane", "").await,
        ["wait/1/default · active"]
    );
    assert_eq!(stage.offered("alice", &shop, "project show", "project", "").await, ["shop"]);
    std::fs::create_dir(stage.world.repo().join("graphs")).unwrap();
    std::fs::write(stage.world.repo().join("graphs/ask.yaml"), ASKING).unwrap();
    assert_eq!(stage.offered("alice", &shop, "submit graph", "name", "").await, ["ask"]);
    let named = stage.ask("alice", &shop, "submit graph", json!({ "name": "ask" })).await;
    assert!(named.text().starts_with("**ask**"), "{}", named.text());
    stage.twin.write(&shop, "bob", "Write a haiku: @everyone\nabout \"quotes\"").await;
    let wish = stage.message(&shop, "haiku").await;
    let preview = stage.answer(&stage.menu("alice", &shop, "Make this a task", &wish)).await;
    assert_eq!(preview.buttons(), ["Start", "Rehearse", "Edit", "Cancel"], "{}", preview.text());
    let told = stage.answer(&stage.menu("alice", &thread, "Steer with this", &wish)).await;
    assert!(told.text().contains("the agent of task `work` is told"), "{}", told.text());
    stage.world.write("go", "");
    stage.message(&shop, "**wait/1** · succeeded").await;
    stage.behaved();
}
