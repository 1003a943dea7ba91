//! Codex.

use std::process::Child;

use serde_json::json;

use super::stage::{KEY, PLAN, Stage, over, steps, table};
use crate::model::{Step, refuse, say, tool};
use crate::world::{ended, signal as kill, tmux, until};

fn run(command: &str) -> Step {
    tool("exec_command", json!({ "cmd": command }))
}

fn file(name: &str) -> Step {
    run(&format!("echo hello > {name}.txt"))
}

fn done(summary: &str) -> Step {
    tool("mcp__taskloom/done", json!({ "summary": summary }))
}

#[test]
fn every_way_that_a_turn_can_go_is_told_as_what_it_is() {
    let Some(stage) = Stage::codex() else { return };
    let mut tasks: Vec<(&str, String)> = Vec::new();
    let mut play = |name: &'static str, more: &str, steps: Vec<Step>| {
        stage.model.script(name, steps);
        tasks.push((name, format!("    max_attempts: 1\n{more}")));
    };
    play("writes", "", vec![file("writes"), done("wrote it"), over()]);
    let gate = "    completion_gate: test -f gated.txt\n";
    let fixes = vec![file("other"), done("trust me"), over(), file("gated"), done("now"), over()];
    play("gated", gate, fixes);
    play("forgets", "", vec![file("forgets"), over(), done("it is done"), over()]);
    play("silent", "", vec![over()]);
    let reason = json!({ "reason": "the door is locked" });
    play("gives-up", "", vec![tool("mcp__taskloom/failed", reason), over()]);
    play("limited", "", vec![refuse(429, "rate_limit_exceeded", "slow down")]);
    play("overloaded", "", vec![refuse(503, "server_is_overloaded", "slow down")]);
    play("signed-out", "", vec![refuse(401, "invalid_api_key", "Incorrect API key provided")]);
    let quota = json!({ "error": { "type": "insufficient_quota", "code": "insufficient_quota",
                                   "message": "You exceeded your current quota" } });
    play("penniless", "", vec![refuse(429, "", "").body(quota)]);
    play("cut", "", vec![say("partly").cut()]);
    let left = "setsid tail -f /dev/null > /dev/null 2>&1 & echo > leaves.txt";
    play("leaves", "", vec![run(left), done("left one behind"), over()]);
    let tasks: Vec<(&str, &str)> = tasks.iter().map(|(id, more)| (*id, more.as_str())).collect();
    let said = stage.run(&stage.graph_of("outcomes", &tasks));
    assert_eq!(said.code, 1, "{}\n{}", said.out, said.err);
    insta::assert_snapshot!(table(&stage, "outcomes"));
    insta::assert_snapshot!("what_codex_did_reads_like", stage.log("gated"));
    stage.nothing_is_left();
}

#[test]
fn what_leaves_its_sandbox_is_done_when_a_person_allows_it() {
    let Some(stage) = Stage::codex() else { return };
    let outside = stage.world.path("outside.txt");
    let escalated = json!({
        "cmd": format!("touch {}; echo hello > inside.txt", outside.display()),
        "sandbox_permissions": "require_escalated", "justification": "It must be there.",
    });
    stage.model.script("walled", [tool("exec_command", escalated), done("made it"), over()]);
    let run = stage.spawn(&stage.graph("walled", "    agent: walled\n"));
    stage.waits("asks you");
    let why = stage.why();
    assert!(why.contains("May it run `") && why.contains("It must be there."), "{why}");
    assert!(!outside.exists());
    stage.world.taskloom(&["answer", "work", "Allow"]);
    let said = ended(run);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    assert!(outside.exists());
    stage.nothing_is_left();
}

#[test]
fn its_profile_gives_it_instructions_a_server_and_tools() {
    let Some(stage) = Stage::codex() else { return };
    let stage = stage.with_server("walled", "    allowed_tools: [mcp__tracker__status]\n");
    let status = tool("mcp__tracker/status", json!({}));
    let why = tool("mcp__tracker/why", json!({ "task": "work" }));
    let unchanged = tool("mcp__taskloom/no_changes", json!({}));
    stage.model.script("whole", [status, why, unchanged, over()]);
    let run = stage.spawn(&stage.graph("whole", "    agent: walled\n"));
    stage.waits("asks you");
    let heard = stage.model.asked("whole");
    assert!(heard[0].body.to_string().contains("Mind the gap."), "{}", heard[0].body);
    assert!(heard[1].body["input"].to_string().contains("0/1 done"), "{}", heard[1].body);
    assert_eq!(heard.len(), 2, "one tool was used unasked");
    assert!(stage.why().contains("May it use tracker.why?"), "{}", stage.why());
    stage.world.taskloom(&["answer", "work", "Allow"]);
    let said = ended(run);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    let heard = stage.model.asked("whole");
    let answer = heard[2].body["input"].as_array().unwrap().last().unwrap().to_string();
    assert!(answer.contains("whole/1/work") && !answer.contains("rejected"), "{answer}");
    stage.token_was_seen_by_nobody();
    stage.nothing_is_left();
}

#[test]
fn in_a_tmux_session_its_profile_gives_it_the_same() {
    if !tmux() {
        return;
    }
    let Some(stage) = Stage::codex() else { return };
    let stage = stage.with_server("codex", "");
    let status = tool("mcp__tracker/status", json!({}));
    stage.model.script("whole", [status, file("made"), done("made it"), over()]);
    let more = "    primary_agent: {environment: {type: tmux}}\n";
    let said = stage.run(&stage.graph("whole", more));
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    let heard = stage.model.asked("whole");
    assert!(heard[0].body.to_string().contains("Mind the gap."), "{}", heard[0].body);
    assert!(heard[1].body["input"].to_string().contains("0/1 done"), "{}", heard[1].body);
    stage.token_was_seen_by_nobody();
    stage.nothing_is_left();
}

#[test]
fn in_a_tmux_session_it_does_its_task_and_goes_on_in_it() {
    if !tmux() {
        return;
    }
    let Some(stage) = Stage::codex() else { return };
    let steps = vec![file("other"), done("trust me"), over(), file("gated"), done("now"), over()];
    stage.model.script("gated", steps);
    let more = "    max_attempts: 1\n    completion_gate: test -f gated.txt\n    \
                primary_agent: {environment: {type: tmux}}\n";
    let said = stage.run(&stage.graph("gated", more));
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    assert_eq!(stage.file("gated.txt"), "hello\n");
    let steps: Vec<usize> = stage.model.asked("gated").iter().map(|asked| asked.step).collect();
    assert_eq!(steps, [0, 1, 2, 3, 4, 5], "the conversation goes on");
    let log = stage.log("work");
    assert!(log.contains("▸ shell echo hello > gated.txt\n"), "{log}");
    stage.nothing_is_left();
}

#[test]
fn in_a_tmux_session_it_takes_a_word_of_many_lines() {
    if !tmux() {
        return;
    }
    let Some(stage) = Stage::codex() else { return };
    let go = stage.world.path("go").display().to_string();
    let wait = run(&format!("until test -e {go}; do sleep 0.1; done"));
    stage.model.script("paned", [wait, file("paned"), over()]);
    stage.model.script("aside", [file("aside"), done("as you say"), over()]);
    let more = "    primary_agent: {environment: {type: tmux}}\n";
    let run = stage.spawn(&stage.graph("paned", more));
    until("it is at its command", || !stage.model.asked("paned").is_empty());
    let text = format!("then do as [[aside]] says\n\n{}", "- and mind the gap\n".repeat(80));
    assert_eq!(stage.world.taskloom(&["steer", "work", &text]).code, 0);
    stage.world.write("go", "");
    let said = ended(run);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    assert_eq!(stage.file("aside.txt"), "hello\n");
    let heard = stage.model.asked("aside")[0].body.to_string();
    assert_eq!(heard.matches("and mind the gap").count(), 80, "it is told once and whole");
    stage.nothing_is_left();
}

/// A run whose agent is in the middle of a command, until `go` is there.
fn held(name: &str, then: Vec<Step>) -> Option<(Stage, Child)> {
    let stage = Stage::codex()?;
    let go = stage.world.path("go");
    let command = format!("until test -e {}; do sleep 0.1; done", go.display());
    let wait = tool("exec_command", json!({ "cmd": command, "yield_time_ms": 30_000 }));
    stage.model.script(name, [vec![wait], then].concat());
    let run = stage.spawn(&stage.graph(name, ""));
    until("it is at its command", || stage.log("work").contains("until test"));
    Some((stage, run))
}

#[test]
fn a_word_in_the_middle_of_its_turn_reaches_it_within_that_turn() {
    let Some((stage, run)) = held("steered", vec![over()]) else { return };
    stage.model.script("aside", [file("aside"), done("as you say"), over()]);
    let said = stage.world.taskloom(&["steer", "work", "do as [[aside]] says"]);
    assert_eq!(said.code, 0, "{said:?}");
    stage.world.write("go", "");
    assert_eq!(ended(run).code, 0);
    assert_eq!(stage.file("aside.txt"), "hello\n");
    stage.nothing_is_left();
}

#[test]
fn a_daemon_that_dies_in_the_middle_of_a_turn_finds_its_agent_again() {
    let then = vec![file("after"), done("went on"), over()];
    let Some((stage, run)) = held("adopted", then) else { return };
    kill(&run, "KILL");
    ended(run);
    let run = stage.spawn(&stage.graph("adopted", ""));
    until("it is taken up", || stage.world.state("work") == "running");
    stage.world.write("go", "");
    let said = ended(run);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    let steps: Vec<usize> = stage.model.asked("adopted").iter().map(|asked| asked.step).collect();
    assert_eq!(steps, [0, 1, 2, 3], "nothing is asked twice");
    stage.nothing_is_left();
}

#[test]
fn a_usage_limit_parks_the_task_until_its_reset_and_the_thread_goes_on() {
    let Some(stage) = Stage::codex() else { return };
    let reset = super::stage::now() + 6;
    let full = json!({ "error": { "type": "usage_limit_reached", "plan_type": "plus",
        "message": "The usage limit has been reached", "resets_at": reset } });
    let limited = refuse(429, "", "")
        .body(full)
        .header("x-codex-primary-used-percent", "100.0")
        .header("x-codex-primary-window-minutes", 300)
        .header("x-codex-primary-reset-at", reset);
    stage.model.script("parked", [file("parked"), limited.times(1, "on"), done("x"), over()]);
    let run = stage.spawn(&stage.graph("parked", "    max_attempts: 1\n"));
    stage.waits("paused");
    assert!(stage.why().contains("usage limit"), "{}", stage.why());
    let said = ended(run);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    assert!(super::stage::now() >= reset);
    assert!(stage.model.asked("parked").last().unwrap().body.to_string().contains("echo hello"));
    stage.world.holds_nowhere(KEY);
    stage.nothing_is_left();
}

#[test]
fn a_plan_is_read_by_a_schema_without_tools_whatever_the_profile_may() {
    let Some(stage) = Stage::codex() else { return };
    let stage = stage.with_parser("codex");
    stage.model.script("reads", [say(&steps().to_string())]);
    let plan = tool("mcp__taskloom/plan", json!({ "text": PLAN }));
    stage.model.script("planned", [plan, done("planned it"), over()]);
    let (shown, asked) =
        stage.plan_is_read(["first", "second"].map(|name| vec![file(name), done(name), over()]));
    assert!(shown.contains("agent `codex` read the plan"), "{shown}");
    let schema = &asked["text"]["format"]["schema"];
    assert_eq!(schema["properties"]["steps"]["type"], "array", "{asked}");
    let tools = asked["tools"].as_array().unwrap();
    let names: Vec<&str> = tools.iter().filter_map(|tool| tool["name"].as_str()).collect();
    assert_eq!(names, ["request_user_input"]);
    assert_eq!(stage.file("second.txt"), "hello\n");
    stage.nothing_is_left();
}
