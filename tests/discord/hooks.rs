//! Hooks in Discord.

use serde_json::json;

use super::stage::Stage;
use super::stage::seen::plain;

const HOOK: &str =
    "name: greet\nproject: shop\non: {every: 24h}\nsteps:\n  - notify: hello, everybody";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_admin_makes_a_hook_and_an_operator_sets_it_off() {
    let permissions = "  permissions: {operator: {users: ['BOB']}}\n";
    let Some(stage) = Stage::new(permissions).await else { return };
    let shop = stage.channel("shop");
    for (name, options) in [
        ("hook list", json!({})),
        ("hook add", json!({})),
        ("hook edit", json!({ "hook": "greet" })),
        ("hook remove", json!({ "hook": "greet" })),
        ("hook disable", json!({ "hook": "greet" })),
        ("hook fire", json!({ "hook": "greet" })),
        ("hook runs", json!({})),
    ] {
        let answer = stage.ask("mallory", &shop, name, options).await;
        assert!(answer.text().contains("you have no permission here"), "{name}: {}", answer.text());
    }
    let denied = stage.ask("bob", &shop, "hook add", json!({})).await;
    assert!(denied.text().contains("needs the permission `admin`"), "{}", denied.text());

    let form = stage.command("alice", &shop, "hook add", &json!({}));
    let made = stage.answer(&stage.fill("alice", &form, HOOK).await).await;
    let wrong = stage.command("alice", &shop, "hook add", &json!({}));
    let bad = HOOK.replace("24h", "1s");
    let refused = stage.answer(&stage.fill("alice", &wrong, &bad).await).await;
    let list = stage.ask("bob", &shop, "hook list", json!({})).await;
    let rehearsed = json!({ "hook": "greet", "dry_run": true });
    let rehearsed = stage.ask("bob", &shop, "hook fire", rehearsed).await;
    let fired = stage.ask("bob", &shop, "hook fire", json!({ "hook": "greet" })).await;
    stage.message(&shop, "⚑ **greet: hello, everybody**").await;
    let runs = stage.ask("bob", &shop, "hook runs", json!({})).await;
    let off = stage.ask("alice", &shop, "hook disable", json!({ "hook": "greet" })).await;
    let removed = stage.ask("alice", &shop, "hook remove", json!({ "hook": "greet" })).await;
    let told = [&made, &refused, &list, &rehearsed, &fired, &runs, &off, &removed];
    let told: Vec<String> = told.iter().map(|message| plain(message.text())).collect();
    insta::assert_snapshot!(told.join("\n--\n"));
    stage.behaved();
}
