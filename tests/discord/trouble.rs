//! What goes wrong between the bot and Discord: limits, lost answers, refusals, dead connections.
//! The numbers in names are those of the list of faults.

use std::time::Duration;

use serde_json::json;

use super::stage::faults::{Fault, error, limited};
use super::stage::{Asked, Stage, until};
use super::uses::waiting;

fn creates(asked: &Asked) -> bool {
    asked.method == "POST" && asked.path.ends_with("/messages")
}

/// A run from its beginning to its end; everything is there once.
async fn plays(stage: &Stage) {
    let shop = stage.channel("shop");
    stage.submit("alice", &waiting(stage)).await;
    let thread = stage.thread("work").await;
    stage.message(&thread, "branch `").await;
    stage.world.write("go", "");
    stage.message(&shop, "run `wait/1`: succeeded").await;
    stage.message(&thread, "✓ **merged**").await;
    let all = stage.messages(&shop).await;
    for what in ["**wait/1** · ", "**work** · ", "run `wait/1`: succeeded"] {
        let times = all.iter().filter(|message| message.text().contains(what)).count();
        assert_eq!(times, 1, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e01_a_limit_of_a_route_is_waited_out() {
    let Some(stage) = Stage::new("").await else { return };
    let answer = limited(Duration::from_millis(1_500), false);
    stage.proxy.fault(2, creates, Fault::Answer(answer));
    plays(&stage).await;
    stage.behaved();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e02_a_global_limit_stops_everything() {
    let Some(stage) = Stage::new("").await else { return };
    let pause = Duration::from_secs(2);
    stage.proxy.fault(1, creates, Fault::Answer(limited(pause, true)));
    plays(&stage).await;
    let all = stage.proxy.exchanges();
    let hit = all.iter().find(|exchange| exchange.status == 429).unwrap();
    let within = all.iter().filter(|exchange| {
        exchange.at > hit.at
            && exchange.at < hit.at + pause
            && exchange.asked.path.starts_with("/channels")
    });
    assert!(within.count() <= 1);
    stage.behaved();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e05_e06_what_was_done_and_not_confirmed_is_there_once() {
    let Some(stage) = Stage::new("").await else { return };
    stage.proxy.fault(2, creates, Fault::AfterEffect(error(500, 0)));
    let mut garbage = error(200, 0);
    garbage.body = "<html>".to_owned();
    stage.proxy.fault(1, creates, Fault::AfterEffect(garbage));
    plays(&stage).await;
    stage.behaved();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e04_a_request_that_is_never_answered_is_made_again() {
    let Some(stage) = Stage::new("").await else { return };
    stage.proxy.fault(1, creates, Fault::Hang);
    plays(&stage).await;
    assert_eq!(stage.verdict(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e07_a_channel_that_refuses_is_left_alone_and_the_run_goes_on() {
    let Some(stage) = Stage::new("").await else { return };
    stage.proxy.fault(u32::MAX, creates, Fault::Answer(error(403, 50_013)));
    stage.submit("alice", &waiting(&stage)).await;
    stage.world.write("go", "");
    until("the run is done", async || (stage.world.state_of_run() == "succeeded").then_some(()))
        .await;
    let refused = stage.proxy.exchanges().iter().filter(|e| e.status == 403).count();
    assert!((1..=4).contains(&refused), "{refused}");
    stage.behaved();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e08_a_token_that_is_gone_ends_the_posting_and_not_the_run() {
    let Some(stage) = Stage::new("").await else { return };
    stage.proxy.fault(u32::MAX, creates, Fault::Answer(error(401, 0)));
    stage.submit("alice", &waiting(&stage)).await;
    until("it is said", async || {
        stage.heard().contains("does not know the bot's token").then_some(())
    })
    .await;
    stage.world.write("go", "");
    until("the run is done", async || (stage.world.state_of_run() == "succeeded").then_some(()))
        .await;
    let sent = stage.proxy.exchanges().iter().filter(|e| e.status == 401).count();
    assert_eq!(sent, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e09_a_lost_connection_loses_no_press_and_one_that_comes_twice_counts_once() {
    let Some(stage) = Stage::new("").await else { return };
    let shop = stage.channel("shop");
    stage.submit("alice", &waiting(&stage)).await;
    let card = stage.message(&shop, "**wait/1**").await;
    let wire = &stage.proxy.shared.wire;
    for (at, cut) in ["fin", "7", "4000"].into_iter().enumerate() {
        match cut {
            "fin" => wire.fin(),
            "7" => wire.ask_to_reconnect(),
            _ => wire.close(Some(4_000)),
        }
        let pressed = stage.press("alice", &card, "Queue");
        assert!(stage.answer(&pressed).await.text().contains("`work`"), "{cut}");
        assert_eq!(wire.sign_ins(), (1, u32::try_from(at).unwrap() + 1), "{cut}");
    }
    let pressed = stage.press("alice", &card, "Pause");
    wire.again("INTERACTION_CREATE");
    assert!(stage.answer(&pressed).await.text().contains("is paused"));
    let callbacks = stage.proxy.exchanges();
    let of = callbacks.iter().filter(|e| e.asked.path.contains(&format!("/{pressed}/")));
    assert_eq!(of.count(), 1);
    wire.invalidate();
    until("it signs in anew", async || (wire.sign_ins().0 == 2 && wire.is_up()).then_some(()))
        .await;
    let resumed = stage.answer(&stage.press_key("alice", &card, "tl:resume:r1")).await;
    assert!(resumed.text().contains("goes on"), "{}", resumed.text());
    stage.world.write("go", "");
    stage.message(&shop, "run `wait/1`: succeeded").await;
    stage.behaved();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e12_a_refused_sign_in_is_said_and_not_repeated() {
    for (code, what) in [(4_004, "does not know the bot's token"), (4_014, "MESSAGE_CONTENT")] {
        let Some(mut stage) = Stage::quiet("").await else { return };
        stage.proxy.shared.wire.refuse_with(code);
        stage.launch();
        until(what, async || stage.heard().contains(what).then_some(())).await;
        assert_eq!(stage.proxy.shared.wire.sign_ins().0, 1);
        let said = stage.world.taskloom(&["status"]);
        assert!(said.err.contains("no run") || said.out.contains("no run"), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e13_few_sign_ins_are_kept_for_tomorrow() {
    let Some(mut stage) = Stage::quiet("").await else { return };
    stage.proxy.shared.limits.lock().unwrap().sign_ins_left = 5;
    stage.launch();
    until("it waits", async || stage.heard().contains("too many sign-ins today").then_some(()))
        .await;
    assert_eq!(stage.proxy.shared.wire.sign_ins().0, 0);
    stage.signed_in().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e15_e16_a_thread_that_cannot_be_opened_moves_its_notices_to_the_channel() {
    let Some(stage) = Stage::new("").await else { return };
    let opens = |asked: &Asked| asked.path.ends_with("/threads");
    stage.proxy.fault(u32::MAX, opens, Fault::Answer(error(400, 160_006)));
    let graph = "name: bad\ntasks:\n  - id: a\n    description: x\n    max_attempts: 1\n    primary_agent: {framework: shell, command: 'exit 3'}\n";
    stage.submit("alice", graph).await;
    let notice = stage.message(&stage.channel("shop"), "task `a` failed").await;
    assert!(notice.buttons().contains(&"Retry".to_owned()));
    stage.behaved();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e18_slow_answers_are_deferred_and_e19_late_ones_are_posted() {
    let Some(stage) = Stage::new("").await else { return };
    let shop = stage.channel("shop");
    let original = |asked: &Asked| asked.path.ends_with("/@original");
    stage.proxy.fault(1, original, Fault::Slow(Duration::from_secs(4)));
    let answer = stage.ask("alice", &shop, "status", json!({})).await;
    assert_eq!(answer.text(), "nothing is open");
    stage.proxy.fault(1, original, Fault::Answer(error(404, 10_015)));
    let id = stage.command("alice", &shop, "status", &json!({}));
    assert_eq!(stage.callback(&id).await["type"], 5);
    let posted = stage.message(&shop, "nothing is open").await;
    assert!(posted.text().starts_with("<@"), "{}", posted.text());
    stage.behaved();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e20_e21_two_people_press_five_times_and_one_attempt_begins() {
    let config = "  permissions: {operator: {users: ['BOB']}}\n";
    let Some(stage) = Stage::new(config).await else { return };
    let graph = "name: bad\ntasks:\n  - id: a\n    title: a\n    description: x\n    max_attempts: 1\n    primary_agent: {framework: shell, command: 'exit 3'}\n";
    stage.submit("alice", graph).await;
    let thread = stage.thread("a").await;
    let notice = stage.message(&thread, "failed").await;
    let key = notice.key("Retry");
    let presses: Vec<String> = ["alice", "bob", "alice", "bob", "alice"]
        .iter()
        .map(|who| stage.press_key(who, &notice, &key))
        .collect();
    let mut taken = 0;
    for id in &presses {
        let text = stage.answer(id).await.text().to_owned();
        taken += usize::from(text.starts_with("✓"));
        assert!(
            text.starts_with('✓') || text.contains("already") || text.contains("of the past"),
            "{text}"
        );
    }
    assert_eq!(taken, 1);
    let unknown = stage.answer(&stage.press_key("alice", &notice, "tl:dance:r1")).await;
    assert!(unknown.text().contains("this button is not known"), "{}", unknown.text());
    until("the second attempt", async || {
        let status = stage.world.json(&["status", "bad"]);
        (status["tasks"][0]["attempts"] == 2).then_some(())
    })
    .await;
    stage.behaved();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e22_a_bot_whose_commands_are_refused_serves_all_the_same() {
    let Some(mut stage) = Stage::quiet("").await else { return };
    let registers = |asked: &Asked| asked.path.ends_with("/commands");
    stage.proxy.fault(u32::MAX, registers, Fault::Answer(error(400, 30_034)));
    stage.start().await;
    let answer = stage.ask("alice", &stage.channel("shop"), "status", json!({})).await;
    assert_eq!(answer.text(), "nothing is open");
    assert!(stage.heard().contains("the commands could not be registered"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e23_hostile_output_stays_in_its_block() {
    let Some(stage) = Stage::new("").await else { return };
    let graph = r#"
name: evil
tasks:
  - id: a
    title: "@everyone https://discord.gg/x"
    description: x
    max_attempts: 1
    primary_agent:
      framework: shell
      command: |
        printf '@everyone <@&1> ```\n# out\n\033[31mred\033[0m \000nul https://discord.gg/x\n'
        head -c 5000 /dev/zero | tr '\0' x; echo
        exit 3
"#;
    stage.submit("alice", graph).await;
    let shop = stage.channel("shop");
    let anchor = stage.message(&shop, "failed, agent failed").await;
    let thread = anchor.value["thread"]["id"].as_str().map(str::to_owned);
    let threads = stage.threads().await;
    let thread = thread.unwrap_or_else(|| threads[0].clone());
    stage.message(&thread, "red").await;
    for message in stage.messages(&thread).await.iter().chain(&stage.messages(&shop).await) {
        let text = message.text();
        assert!(text.matches("```").count().is_multiple_of(2), "{text}");
        assert!(!text.contains(['\u{1b}', '\0', '\u{202e}']), "{text}");
        let outside: String = text.split("```").step_by(2).collect();
        assert!(
            !outside.contains(" @everyone") && !outside.contains("https://discord.gg"),
            "{text}"
        );
    }
    for exchange in stage.proxy.exchanges().iter().filter(|e| creates(&e.asked)) {
        assert_eq!(exchange.asked.body["allowed_mentions"]["parse"], json!([]));
    }
    stage.behaved();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e24_filtered_output_is_withheld_and_e25_what_is_left_out_is_attached() {
    let Some(stage) = Stage::new("").await else { return };
    let secret = |asked: &Asked| {
        creates(asked) && asked.body["content"].as_str().is_some_and(|c| c.contains("forbidden"))
    };
    stage.proxy.fault(u32::MAX, secret, Fault::Answer(error(400, 200_000)));
    let graph = "name: long\ntasks:\n  - id: a\n    title: a\n    description: x\n    primary_agent: {framework: shell, command: 'echo forbidden; while ! test -e GO; do sleep 0.05; done; yes 0123456789 | head -c 31457280; echo done > x.txt'}\n";
    let graph = graph.replace("GO", &stage.world.path("go").display().to_string());
    stage.submit("alice", &graph).await;
    let thread = stage.thread("a").await;
    stage.message(&thread, "output withheld by a filter").await;
    stage.world.write("go", "");
    stage.message(&thread, "left out here").await;
    let log = stage.message(&thread, "the log of `a`, attempt 1").await;
    let bytes = &log.files[0].bytes;
    assert!(bytes.len() < 10 << 20, "{}", bytes.len());
    let text = String::from_utf8_lossy(bytes);
    assert!(text.contains("forbidden") && text.contains("bytes are left out here"));
    stage.behaved();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e10_a_connection_that_is_dead_without_a_word_is_made_anew() {
    let Some(mut stage) = Stage::quiet("").await else { return };
    let wire = &stage.proxy.shared.wire;
    wire.heartbeats(1_000, false);
    stage.start().await;
    let wire = &stage.proxy.shared.wire;
    until("it signs in anew", async || (wire.sign_ins().0 >= 2).then_some(())).await;
    wire.heartbeats(41_250, true);
    until("it is back", async || wire.is_up().then_some(())).await;
    assert_eq!(wire.intents() & (1 << 15), 0, "message contents are not asked for");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e14_e17_what_people_delete_is_made_again() {
    let Some(mut stage) = Stage::new("").await else { return };
    let shop = stage.channel("shop");
    stage.submit("alice", &waiting(&stage)).await;
    let thread = stage.thread("work").await;
    stage.message(&thread, "branch `").await;
    let card = stage.message(&shop, "**wait/1**").await;
    stage.twin.drop_message(&shop, "alice", card.id()).await;
    stage.twin.close_channel(&thread).await;
    stage.world.write("go", "");
    let again = stage.message(&shop, "**wait/1** · succeeded").await;
    assert_ne!(again.id(), card.id());
    assert_eq!(stage.world.state_of_run(), "succeeded");
    stage.behaved();
}
