//! Budgets that are used up: the card that asks, and what its buttons do.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::stage::{Message, Stage, until};

/// Speaks as Claude Code does. Each line of `uses` is a turn of an attempt: which, what the whole
/// session has used when it ends, and what is done in it. In a turn that is not there it thinks
/// until it is stopped.
const FRUGAL: &str = r#"#!/bin/sh
case $1 in --version) echo 2.1.329; exit ;; auth) exit ;; esac
read -r prompt
printf '%s\n' "$prompt" >> WORLD/prompts
echo turn >> WORLD/turns-$TASKLOOM_ATTEMPT
turn=$(wc -l < WORLD/turns-$TASKLOOM_ATTEMPT)
echo '{"type":"system","subtype":"init","session_id":"s","model":"m"}'
read -r _ tokens deed <<END
$(grep "^$TASKLOOM_ATTEMPT " WORLD/uses | sed -n "${turn}p")
END
test -n "$tokens" || exec cat
eval "$deed"
echo '{"type":"result","subtype":"success","is_error":false,"result":"","modelUsage":{"m":{"inputTokens":'$tokens'}}}'
exec cat
"#;

/// A task that may use 1000 tokens.
const GRAPH: &str = r#"
name: thrift
workstreams: [{id: default, auto_merge: true}]
tasks:
  - id: work
    title: work
    description: Writes work.txt.
    agent: frugal
    budget: {tokens: 1000}
    completion_gate: test -e work.txt
"#;

const DONE: &str = "echo done > work.txt";

/// A daemon whose agents are the frugal one and `helper`; turns as `uses` says.
async fn stage(config: &str, uses: &str) -> Option<Stage> {
    let mut stage = Stage::quiet(config).await?;
    let world = &stage.world;
    let home = world.path("").display().to_string();
    let script = FRUGAL.replace("WORLD", &home);
    let script = world.write("frugal.sh", &script);
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let uses = uses.replace("WORLD", &home);
    world.write("uses", &uses.replace("DONE", &format!("{DONE}; taskloom task done")));
    let config = std::fs::read_to_string(world.path("config.yaml")).unwrap();
    let agents = format!(
        "agents: {{frugal: {{framework: claude_code, command: {}}}, helper: {{framework: shell, \
         command: '{DONE}'}}}}\ndefault_agent: frugal\n",
        script.display()
    );
    let lines = config
        .lines()
        .filter(|line| !line.starts_with("agents:") && !line.starts_with("default_agent:"));
    let rest: String = lines.map(|line| format!("{line}\n")).collect();
    world.write("config.yaml", &(agents + &rest));
    stage.start().await;
    Some(stage)
}

/// The newest card that asks, with all of its buttons.
async fn card(stage: &Stage, thread: &str) -> Message {
    let card = stage.message(thread, "is used up**").await;
    assert_eq!(card.buttons(), ["+25 %", "Finish up", "Switch agent", "Stop"]);
    card
}

/// Waits until there are so many messages that contain `what`.
async fn count(stage: &Stage, channel: &str, what: &str, times: usize) -> Vec<Message> {
    until(&format!("{times} × {what}"), async || {
        let all = stage.messages(channel).await.into_iter();
        let found: Vec<Message> = all.filter(|message| message.text().contains(what)).collect();
        (found.len() == times).then_some(found)
    })
    .await
}

/// Waits until the buttons of a message do nothing any more.
async fn is_of_the_past(stage: &Stage, message: &Message) {
    let channel = message.value["channel_id"].as_str().unwrap();
    until("the buttons are off", async || {
        let all = stage.messages(channel).await;
        let now = all.iter().find(|found| found.id() == message.id())?;
        now.buttons().iter().all(|button| button.starts_with('(')).then_some(())
    })
    .await;
}

async fn merged(stage: &Stage) {
    stage.message(&stage.channel("shop"), "**thrift/1** · succeeded").await;
    assert_eq!(stage.world.git(&["show", "main:work.txt"]), "done\n");
}

/// How many turns of an attempt the frugal agent had.
fn turns(stage: &Stage, attempt: u32) -> usize {
    let turns = std::fs::read_to_string(stage.world.path(&format!("turns-{attempt}")));
    turns.unwrap_or_default().lines().count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_are_warned_once_then_asked_and_a_quarter_more_is_allowed_once() {
    let wait = "while [ ! -e WORLD/go ]; do sleep 0.05; done";
    let uses = format!("0 850\n0 1000 {wait}\n1 1300\n2 1400 DONE\n");
    let Some(mut stage) = stage("", &uses).await else { return };
    stage.submit("alice", GRAPH).await;
    let thread = stage.thread("work").await;
    let warning = stage.message(&thread, "85 % of the budget of task `work` is used up").await;
    assert!(warning.text().contains("850 of 1000 tokens"), "{}", warning.text());
    until("the second turn", async || (turns(&stage, 0) == 2).then_some(())).await;
    stage.end("KILL").await;
    stage.launch();
    stage.message(&stage.channel("shop"), "back at work").await;
    stage.world.write("go", "");
    let first = card(&stage, &thread).await;
    assert!(first.text().contains("task `work` is paused: the budget of task `work` is used up"));
    assert!(first.text().contains("1000 of 1000 tokens"), "{}", first.text());
    count(&stage, &thread, "85 % of the budget", 1).await;
    // Twice before the first is answered, and once after.
    let presses = ["+25 %", "+25 %"].map(|label| stage.press("alice", &first, label));
    let mut told = vec![];
    for press in &presses {
        told.push(stage.answer(press).await.text().to_owned());
    }
    told.sort();
    let allowed = "✓ the budget of task `work` is 25 % more, and task `work` goes on";
    assert_eq!(told[0], allowed, "{told:?}");
    assert!(told[1].starts_with("✗ "), "{told:?}");
    // 1300 are more than 1250.
    let second = count(&stage, &thread, "is used up**", 2).await.pop().unwrap();
    assert!(second.text().contains("1300 of 1250 tokens"), "{}", second.text());
    for label in ["+25 %", "Finish up", "Switch agent", "Stop"] {
        let old = stage.answer(&stage.press("alice", &first, label)).await;
        assert!(old.text().contains("this button is of the past"), "{label}: {}", old.text());
    }
    assert_eq!(stage.world.state("work"), "paused");
    is_of_the_past(&stage, &first).await;
    stage.answer(&stage.press("alice", &second, "+25 %")).await;
    merged(&stage).await;
    assert_eq!((turns(&stage, 1) > 0, turns(&stage, 2), turns(&stage, 3)), (true, 1, 0));
    stage.behaved();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_may_not_go_on_finishes_up() {
    let Some(stage) = stage("", "0 1000\n1 1050 DONE\n").await else { return };
    stage.submit("alice", GRAPH).await;
    let thread = stage.thread("work").await;
    let card = card(&stage, &thread).await;
    let told = stage.answer(&stage.press("alice", &card, "Finish up")).await;
    let sentence = "✓ task `work` goes on with 10 % more, and is told to finish up";
    assert_eq!(told.text(), sentence);
    merged(&stage).await;
    let prompts = std::fs::read_to_string(stage.world.path("prompts")).unwrap();
    let last = prompts.lines().last().unwrap();
    assert!(last.contains("The budget of this task is nearly used up"), "{last}");
    is_of_the_past(&stage, &card).await;
    stage.behaved();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_agent_is_chosen_from_a_list_and_goes_on() {
    let Some(stage) = stage("", "0 1000\n").await else { return };
    stage.submit("alice", GRAPH).await;
    let thread = stage.thread("work").await;
    let card = card(&stage, &thread).await;
    let asked = stage.answer(&stage.press("alice", &card, "Switch agent")).await;
    assert_eq!(asked.text(), "Which agent goes on with `work`?");
    assert_eq!(asked.choices(), ["helper: shell"]);
    assert_eq!(stage.world.state("work"), "paused", "nothing is decided yet");
    let told = stage.answer(&stage.choose("alice", &asked, "helper")).await;
    let sentence = "✓ `helper` goes on with task `work`; the budget of task `work` is 25 % more";
    assert_eq!(told.text(), sentence);
    merged(&stage).await;
    is_of_the_past(&stage, &card).await;
    assert_eq!(turns(&stage, 1), 0, "the other one did it");
    let late = stage.choose("alice", &asked, "helper");
    until("a refusal", async || {
        let more = stage.deed(&late).follow_ups;
        more.iter().any(|m| m["content"].as_str().unwrap().contains("of the past")).then_some(())
    })
    .await;
    stage.behaved();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_is_stopped_and_only_by_who_may() {
    let config = "  permissions: {viewer: {users: ['BOB']}}\n";
    let Some(stage) = stage(config, "0 1000\n").await else { return };
    stage.submit("alice", GRAPH).await;
    let thread = stage.thread("work").await;
    let card = card(&stage, &thread).await;
    for label in card.buttons() {
        for who in ["bob", "mallory"] {
            let refused = stage.answer(&stage.press(who, &card, &label)).await;
            assert!(refused.text().contains("permission"), "{who} {label}: {}", refused.text());
        }
    }
    let list = card.key("Switch agent").replace("switch", "switch-to");
    let refused = stage.answer(&stage.choose_key("bob", &card, &list, "helper")).await;
    assert!(refused.text().contains("needs the permission `approver`"), "{}", refused.text());
    assert_eq!(stage.world.state("work"), "paused");
    let told = stage.answer(&stage.press("alice", &card, "Stop")).await;
    assert!(
        told.text().starts_with("✓ task `work` is held back until it is retried"),
        "{}",
        told.text()
    );
    assert_eq!(stage.world.state("work"), "stopped");
    is_of_the_past(&stage, &card).await;
    assert_eq!(turns(&stage, 1), 0);
    stage.behaved();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_allowed_on_the_command_line_is_seen_in_the_card() {
    let Some(stage) = stage("", "0 1000\n1 1100 DONE\n").await else { return };
    stage.submit("alice", GRAPH).await;
    let thread = stage.thread("work").await;
    let card = card(&stage, &thread).await;
    let needs = stage.ask("alice", &thread, "inbox", json!({})).await;
    assert!(needs.text().contains("`work`"), "{}", needs.text());
    let said = stage.world.taskloom(&["allow", "work"]);
    assert_eq!(said.code, 0, "{said:?}");
    is_of_the_past(&stage, &card).await;
    merged(&stage).await;
    stage.behaved();
}
