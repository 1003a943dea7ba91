//! Many agents that write as fast as they can: Discord is asked within its limits, people are
//! answered at once, and memory stays where it is.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::stage::{Stage, until};

/// How many agents, and for how long; `TASKLOOM_FLOOD=all` is the real thing, for a
/// release build.
fn size() -> (usize, u64) {
    if std::env::var("TASKLOOM_FLOOD").is_ok_and(|size| size == "all") { (20, 30) } else { (4, 8) }
}

fn graph(agents: usize, seconds: u64) -> String {
    let mut text = format!("name: flood\nmax_concurrency: {agents}\ntasks:\n");
    for n in 0..agents {
        let _ = write!(
            text,
            "  - id: t{n}\n    title: t{n}\n    description: x\n    primary_agent:\n      framework: shell\n      command: |\n        end=$(( $(date +%s) + {seconds} ))\n        while [ $(date +%s) -lt $end ]; do yes 'a line of output that is neither short nor long' | head -c 1048576; sleep 0.2; done\n        echo {n} > f{n}.txt\n"
        );
    }
    text
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_output_stays_within_every_limit() {
    let (agents, seconds) = size();
    let Some(stage) = Stage::quiet("").await else { return };
    let config = std::fs::read_to_string(stage.world.path("config.yaml")).unwrap();
    stage
        .world
        .write("config.yaml", &format!("slots: {agents}\nproject_slots: {agents}\n{config}"));
    let mut stage = stage;
    stage.start().await;
    stage.proxy.shared.limits.lock().unwrap().on = true;
    *stage.proxy.shared.latency.lock().unwrap() = Duration::from_millis(200);
    let shop = stage.channel("shop");
    stage.submit("alice", &graph(agents, seconds)).await;
    let begun = Instant::now();
    let mut latencies = Vec::new();
    while begun.elapsed() < Duration::from_secs(seconds) {
        let id = stage.command("alice", &shop, "status", &json!({}));
        stage.answer(&id).await;
        let deed = stage.deed(&id);
        latencies.push(deed.callback.unwrap().0 - deed.sent);
    }
    let peak = resident_kib(stage.pid());
    until("all is done", async || {
        let status = stage.world.json(&["status", "flood"]);
        status["tasks"].as_array().unwrap().iter().all(|t| t["state"] == "merged").then_some(())
    })
    .await;
    latencies.sort();
    let p99 = latencies[latencies.len() * 99 / 100];
    let all = stage.proxy.exchanges();
    let limited = all.iter().filter(|exchange| exchange.status == 429).count();
    let mut times: Vec<Instant> = all.iter().map(|exchange| exchange.at).collect();
    times.sort();
    let second = Duration::from_secs(1);
    let busiest =
        times.iter().map(|at| times.iter().filter(|t| **t >= *at && **t < *at + second).count());
    let busiest = busiest.max().unwrap();
    let edits = all
        .iter()
        .filter(|e| e.asked.method == "PATCH" && e.asked.path.starts_with("/channels"))
        .count();
    println!(
        "{agents} agents, {seconds} s: {} requests, {busiest} in the busiest second, {limited} times 429, \
         {edits} edits, acknowledged in p50 {:?} p99 {p99:?} of {}, {} MiB resident at most",
        all.len(),
        latencies[latencies.len() / 2],
        latencies.len(),
        peak >> 10,
    );
    let refused: Vec<String> = all
        .iter()
        .filter(|exchange| exchange.status == 429)
        .map(|exchange| format!("{} {}", exchange.asked.method, exchange.asked.path))
        .collect();
    assert_eq!(refused, [""; 0], "refused for coming too often");
    assert!(latencies.len() > 1, "people are answered while agents write");
    assert!(busiest <= 50, "{busiest} requests in one second");
    stage.behaved();
}
