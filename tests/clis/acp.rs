//! Gemini CLI and OpenCode, by the Agent Client Protocol.

use serde_json::json;

use super::stage::{Stage, over, table};
use crate::model::{Step, refuse, tool};
use crate::world::{ended, signal as kill, until};

fn file(name: &str) -> Step {
    tool("write_file", json!({ "file_path": format!("{name}.txt"), "content": "hello\n" }))
}

fn run(command: &str) -> Step {
    tool("run_shell_command", json!({ "command": command, "description": "a command" }))
}

fn done(summary: &str) -> Step {
    tool("mcp_taskloom_done", json!({ "summary": summary }))
}

#[test]
fn every_way_that_a_turn_can_go_is_told_as_what_it_is() {
    let Some(stage) = Stage::gemini() else { return };
    let mut tasks: Vec<(&str, String)> = Vec::new();
    let mut play = |name: &'static str, more: &str, steps: Vec<Step>| {
        stage.model.script(name, steps);
        tasks.push((name, format!("    max_attempts: 1\n{more}")));
    };
    play("writes", "", vec![file("writes"), done("wrote it"), over()]);
    play("commands", "    agent: trusted\n", vec![run("touch commands.txt"), done("x"), over()]);
    play("signed-out", "", vec![refuse(401, "UNAUTHENTICATED", "API key not valid")]);
    let tasks: Vec<(&str, &str)> = tasks.iter().map(|(id, more)| (*id, more.as_str())).collect();
    let said = stage.run(&stage.graph_of("outcomes", &tasks));
    assert_eq!(said.code, 1, "{}\n{}", said.out, said.err);
    insta::assert_snapshot!(table(&stage, "outcomes"));
    insta::assert_snapshot!("what_gemini_did_reads_like", stage.log("writes"));
    stage.nothing_is_left();
}

#[test]
fn what_it_may_not_do_is_done_when_a_person_allows_it() {
    let Some(stage) = Stage::gemini() else { return };
    stage.model.script("allowed", [run("touch allowed.txt"), done("made it"), over()]);
    let run = stage.spawn(&stage.graph("allowed", ""));
    stage.waits("asks you");
    let why = stage.why();
    assert!(why.contains("May it use touch allowed.txt") && why.contains("Allow"), "{why}");
    stage.world.taskloom(&["answer", "work", "Allow"]);
    let said = ended(run);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    assert_eq!(stage.file("allowed.txt"), "");
    stage.nothing_is_left();
}

#[test]
fn its_profile_gives_it_instructions_a_server_and_kinds_of_tools() {
    let Some(stage) = Stage::gemini() else { return };
    let stage = stage.with_server("gemini", "    allowed_tools: [execute]\n");
    let status = tool("mcp_tracker_status", json!({}));
    stage.model.script("whole", [run("touch allowed.txt"), status, done("made it"), over()]);
    let run = stage.spawn(&stage.graph("whole", ""));
    stage.waits("asks you");
    let heard = stage.model.asked("whole");
    assert!(heard[0].body["contents"].to_string().contains("Mind the gap."), "{}", heard[0].body);
    assert_eq!(heard.len(), 2, "one tool was used unasked");
    assert!(stage.why().contains("May it use"), "{}", stage.why());
    stage.world.taskloom(&["answer", "work", "Allow"]);
    let said = ended(run);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    assert_eq!(stage.file("allowed.txt"), "");
    let heard = stage.model.asked("whole");
    assert!(heard[2].body["contents"].to_string().contains("0/1 done"), "{}", heard[2].body);
    stage.token_was_seen_by_nobody();
    stage.nothing_is_left();
}

#[test]
fn a_daemon_that_dies_in_the_middle_of_a_turn_finds_its_agent_again() {
    let Some(stage) = Stage::gemini() else { return };
    let go = stage.world.path("go");
    let wait = run(&format!("until test -e {}; do sleep 0.1; done", go.display()));
    stage.model.script("adopted", [wait, file("after"), done("went on"), over()]);
    let graph = stage.graph("adopted", "    agent: trusted\n");
    let run = stage.spawn(&graph);
    until("it is at its command", || stage.log("work").contains("until test"));
    kill(&run, "KILL");
    ended(run);
    let run = stage.spawn(&graph);
    until("it is taken up", || stage.world.state("work") == "running");
    stage.world.write("go", "");
    let said = ended(run);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    let steps: Vec<usize> = stage.model.asked("adopted").iter().map(|asked| asked.step).collect();
    assert_eq!(steps, [0, 1, 2, 3], "nothing is asked twice");
    stage.nothing_is_left();
}

#[test]
fn opencode_writes_a_file_says_that_it_is_done_and_is_merged() {
    let Some(stage) = Stage::opencode() else { return };
    let write = tool("write", json!({ "filePath": "hello.txt", "content": "hello\n" }));
    let done = tool("taskloom_done", json!({ "summary": "wrote it" }));
    stage.model.script("opencode", [write, done, over()]);
    let said = stage.run(&stage.graph("opencode", ""));
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    assert_eq!(stage.file("hello.txt"), "hello\n");
    stage.nothing_is_left();
}
