//! The bot in a Discord of its own: the daemon is the real binary, the server and its people are
//! the twin, and a proxy between them judges every request.

mod again;
mod budgets;
mod flood;
mod hooks;
mod memory;
mod plans;
mod stage;
mod trouble;
mod uses;

use serde_json::json;

use stage::seen::{plain, seen};
use stage::{Message, Stage, until};

/// Two tasks, the second of which needs to be told how; a person lets the result through.
const STORY: &str = r#"
name: greeting
tasks:
  - id: hello
    title: Say hello
    description: Write hello.txt that says hello.
    primary_agent: {framework: shell, command: "echo writing; echo hello > hello.txt"}
    completion_gate: grep -q hello hello.txt
  - id: shout
    title: Say it louder
    description: Upper-case it.
    max_attempts: 1
    dependencies: [hello]
    primary_agent:
      framework: shell
      command: |
        grep -q "use tr" "$TASKLOOM_INSTRUCTIONS" || { echo "how?"; exit 3; }
        tr a-z A-Z < hello.txt > shout.txt
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graph_goes_from_a_phone_to_the_main_branch() {
    let Some(stage) = Stage::new("").await else { return };
    let shop = stage.channel("shop");
    let options = json!({ "file": ["greeting.yaml", STORY] });
    let preview = stage.ask("alice", &shop, "submit graph", options).await;
    let started = stage.answer(&stage.press("alice", &preview, "Start")).await;
    let thread = stage.thread("shout · Say it louder").await;
    let failure = stage.message(&thread, "failed").await;
    stage.message(&thread, "▸ attempt 1 of `shout` begins\nhow?").await;
    stage.message(&stage.thread("hello · Say hello").await, "writing").await;
    let form = stage.press("alice", &failure, "Retry with note");
    let told = stage.answer(&stage.fill("alice", &form, "use tr").await).await;
    let approval = stage.message(&shop, "lane `default` waits for approval").await;
    let diff = stage.answer(&stage.press("alice", &approval, "View diff")).await;
    let approved = stage.answer(&stage.press("alice", &approval, "Approve")).await;
    let card = until("the card is final", async || {
        let all = stage.messages(&shop).await;
        all.into_iter().find(|m| m.text().contains("**greeting/1** · succeeded"))
    })
    .await;
    until("the last anchor", async || {
        let all = stage.messages(&shop).await;
        all.into_iter().find(|m| m.text().contains("**shout**") && m.text().contains("merged"))
    })
    .await;
    stage.message(&thread, "✓ **merged**").await;
    assert_eq!(stage.world.git(&["show", "main:shout.txt"]), "HELLO\n");
    let answers: Vec<Message> = vec![preview, started, told, diff, approved];
    let story = format!(
        "answers\n{}\n\n#shop\n{}\n\n#shop > hello\n{}\n\n#shop > shout\n{}",
        answers
            .iter()
            .map(|a| plain(&format!("── {}\n{:?}\n", a.text(), a.buttons())))
            .collect::<String>(),
        seen(&stage.messages(&shop).await),
        seen(&stage.messages(&stage.thread("hello · Say hello").await).await),
        seen(&stage.messages(&thread).await),
    );
    insta::assert_snapshot!(story);
    assert_eq!(card.files.len(), 1);
    stage.behaved();
}
