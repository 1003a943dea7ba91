//! What tasks left behind, in Discord.

use serde_json::json;

use super::stage::Stage;
use super::stage::seen::plain;

const GRAPH: &str = r#"
name: greeting
tasks:
  - id: hello
    title: Say hello
    description: Write hello.txt.
    primary_agent:
      framework: shell
      command: |
        echo hello > hello.txt
        taskloom task learned "Greetings are **short**, @everyone."
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memories_are_found_by_who_may_look_and_forgotten_by_who_may_act() {
    let config = "  permissions: {viewer: {users: ['BOB']}}\nmemory: {enabled: true}\n";
    let Some(stage) = Stage::new(config).await else { return };
    let shop = stage.channel("shop");
    let options = json!({ "file": ["greeting.yaml", GRAPH] });
    let preview = stage.ask("alice", &shop, "submit graph", options).await;
    stage.answer(&stage.press("alice", &preview, "Start")).await;
    stage.message(&shop, "lane `default` waits for approval").await;

    let words = json!({ "words": "greetings!" });
    let found = stage.ask("bob", &shop, "memory search", words.clone()).await;
    let forget = json!({ "number": 1 });
    let denied = stage.ask("bob", &shop, "memory forget", forget.clone()).await;
    let stranger = stage.ask("mallory", &shop, "memory forget", forget.clone()).await;
    let hidden = stage.ask("mallory", &shop, "memory search", words.clone()).await;
    let done = stage.ask("alice", &shop, "memory forget", forget.clone()).await;
    let again = stage.ask("alice", &shop, "memory forget", forget).await;
    let gone = stage.ask("bob", &shop, "memory search", words).await;
    let told = [&found, &denied, &stranger, &hidden, &done, &again, &gone];
    let told: Vec<String> = told.iter().map(|message| plain(message.text())).collect();
    insta::assert_snapshot!(told.join("\n--\n"));
    stage.behaved();
}
