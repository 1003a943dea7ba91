//! Claude Code.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Child;

use serde_json::{Value, json};

use super::stage::{KEY, PLAN, Stage, bash, done, file, now, over, signal, steps, table};
use crate::model::{Step, refuse, say, tool};
use crate::world::{bwrap, ended, signal as kill, tmux, until};

fn limit() -> Step {
    refuse(429, "rate_limit_error", "This request would exceed your rate limit.")
}

/// Every task has another scenario, and what people read of its end is the table.
#[test]
fn every_way_that_a_turn_can_go_is_told_as_what_it_is() {
    let Some(stage) = Stage::claude() else { return };
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
    play("thinks-again", "", vec![done("did it"), over(), file("again"), done("now"), over()]);
    play("unchanged", "", vec![done("did it"), over(), signal("no_changes", json!({})), over()]);
    play("silent", "", vec![over()]);
    play("claims", "", vec![done("did all of it"), over()]);
    let reason = json!({ "reason": "the door is locked" });
    play("gives-up", "", vec![signal("failed", reason), over()]);
    let brief = limit().header("retry-after", 1).times(1, "better now");
    play("limited", "", vec![brief, file("limited"), done("x"), over()]);
    play("limited-long", "", vec![limit().header("retry-after", 1)]);
    play("overloaded", "", vec![refuse(529, "overloaded_error", "Overloaded")]);
    play("broken", "", vec![refuse(500, "api_error", "Internal server error")]);
    play("signed-out", "", vec![refuse(401, "authentication_error", "invalid x-api-key")]);
    let credit = "Your credit balance is too low to access the Anthropic API.";
    play("penniless", "", vec![refuse(400, "invalid_request_error", credit)]);
    let long = "prompt is too long: 250000 tokens > 200000 maximum";
    play("too-long", "", vec![refuse(400, "invalid_request_error", long)]);
    play("refuses", "", vec![say("No.").stop("refusal")]);
    play("cut", "", vec![say("partly").cut()]);
    play("short-turns", "    agent: short\n", vec![file("short-turns"), over()]);
    play("mute", "    agent: mute\n", vec![bash("touch mute.txt"), over()]);
    play("noisy", "    agent: noisy\n", vec![file("noisy"), done("heard"), over()]);
    play("terminated", "    agent: free\n", vec![bash("kill -TERM $PPID"), over()]);
    let orphan = "(setsid tail -f /dev/null &); kill -KILL $PPID; tail -f /dev/null";
    play("killed", "    agent: free\n", vec![bash(orphan), over()]);
    let left = "setsid tail -f /dev/null > /dev/null 2>&1 & echo > leaves.txt";
    play("leaves", "    agent: free\n", vec![bash(left), done("left one behind"), over()]);
    let tasks: Vec<(&str, &str)> = tasks.iter().map(|(id, more)| (*id, more.as_str())).collect();
    let said = stage.run(&stage.graph_of("outcomes", &tasks));
    assert_eq!(said.code, 1, "{}\n{}", said.out, said.err);
    insta::assert_snapshot!(table(&stage, "outcomes"));
    insta::assert_snapshot!("what_a_fix_reads_like", stage.log("gated"));
    stage.nothing_is_left();
}

/// A run whose task has come to a question.
fn asked(name: &str, steps: Vec<Step>) -> Option<(Stage, Child)> {
    let stage = Stage::claude()?;
    stage.model.script(name, steps);
    let run = stage.spawn(&stage.graph(name, ""));
    stage.waits("asks you");
    Some((stage, run))
}

#[test]
fn what_it_may_not_do_is_done_when_a_person_allows_it() {
    let steps = vec![bash("sh -c 'touch allowed.txt'"), done("made it"), over()];
    let Some((stage, run)) = asked("allowed", steps) else { return };
    let why = stage.why();
    assert!(why.contains("May it use Bash? `sh -c 'touch allowed.txt'`"), "{why}");
    assert!(why.contains("choices: Allow"), "{why}");
    let said = stage.world.taskloom(&["answer", "work", "Allow"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(ended(run).code, 0);
    assert_eq!(stage.file("allowed.txt"), "");
    stage.nothing_is_left();
}

#[test]
fn what_a_person_refuses_is_not_done_and_the_reason_is_heard() {
    let steps = vec![bash("sh -c 'touch refused.txt'"), file("instead"), done("other"), over()];
    let Some((stage, run)) = asked("refused", steps) else { return };
    stage.world.taskloom(&["answer", "work", "use the other tool"]);
    assert_eq!(ended(run).code, 0);
    assert_eq!(stage.world.git(&["ls-tree", "--name-only", "main", "refused.txt"]), "");
    let heard = stage.model.asked("refused")[1].body.to_string();
    assert!(heard.contains("use the other tool"), "{heard}");
    stage.nothing_is_left();
}

#[test]
fn questions_of_its_own_are_answered_one_by_one() {
    let question = |text: &str, choices: [&str; 2]| {
        let options = choices.map(|label| json!({ "label": label, "description": label }));
        json!({ "question": text, "header": "Which", "multiSelect": false, "options": options })
    };
    let questions =
        [question("Which db?", ["sqlite", "postgres"]), question("Which port?", ["80", "81"])];
    let steps = vec![
        tool("AskUserQuestion", json!({ "questions": questions })),
        file("x"),
        done("x"),
        over(),
    ];
    let Some((stage, run)) = asked("questions", steps) else { return };
    assert!(stage.why().contains("Which db?"), "{}", stage.why());
    stage.world.taskloom(&["answer", "work", "postgres"]);
    until("the second question", || stage.why().contains("Which port?"));
    stage.world.taskloom(&["answer", "work", "81"]);
    assert_eq!(ended(run).code, 0);
    let heard = stage.model.asked("questions")[1].body.to_string();
    assert!(heard.contains("postgres") && heard.contains("81"), "{heard}");
    stage.nothing_is_left();
}

#[test]
fn a_question_by_the_tool_of_taskloom_waits_for_its_answer() {
    let question = json!({ "question": "Tabs or spaces?", "choices": ["tabs", "spaces"] });
    let steps = vec![signal("ask", question), file("y"), done("y"), over()];
    let Some((stage, run)) = asked("tool-asks", steps) else { return };
    stage.world.taskloom(&["answer", "work", "spaces"]);
    assert_eq!(ended(run).code, 0);
    let heard = stage.model.asked("tool-asks")[1].body.to_string();
    assert!(heard.contains("spaces"), "{heard}");
    stage.nothing_is_left();
}

#[test]
fn its_profile_gives_it_a_system_prompt_a_server_and_tools() {
    let Some(stage) = Stage::claude() else { return };
    let tools = "    allowed_tools: [\"Bash(touch *)\", mcp__tracker__status]\n";
    let stage = stage.with_server("claude", tools);
    let why = tool("mcp__tracker__why", json!({ "task": "work" }));
    let status = tool("mcp__tracker__status", json!({}));
    let steps = vec![status, bash("touch allowed.txt"), why, done("made it"), over()];
    stage.model.script("whole", steps);
    let run = stage.spawn(&stage.graph("whole", ""));
    stage.waits("asks you");
    let heard = stage.model.asked("whole");
    assert!(heard[0].body["system"].to_string().contains("Mind the gap."));
    assert!(heard[1].body["messages"].to_string().contains("0/1 done"), "{}", heard[1].body);
    assert_eq!(heard.len(), 3, "two tools were used unasked");
    assert!(stage.why().contains("May it use mcp__tracker__why?"), "{}", stage.why());
    stage.world.taskloom(&["answer", "work", "Allow"]);
    let said = ended(run);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    assert_eq!(stage.file("allowed.txt"), "");
    stage.token_was_seen_by_nobody();
    let doctor = stage.doctor().out;
    assert!(doctor.contains("uses Bash(touch *), mcp__tracker__status unasked"), "{doctor}");
    assert!(doctor.contains("MCP server `tracker`: /"), "{doctor}");
    stage.nothing_is_left();
}

#[test]
fn a_plan_is_read_by_a_schema_without_tools_whatever_the_profile_may() {
    let Some(stage) = Stage::claude() else { return };
    let stage = stage.with_parser("trusted");
    stage.model.script("reads", [tool("StructuredOutput", steps())]);
    let plan = signal("plan", json!({ "text": PLAN }));
    stage.model.script("planned", [plan, done("planned it"), over()]);
    let (shown, asked) =
        stage.plan_is_read(["first", "second"].map(|name| vec![file(name), done(name), over()]));
    assert!(shown.contains("agent `trusted` read the plan"), "{shown}");
    let tools = asked["tools"].as_array().unwrap();
    let names: Vec<&str> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    assert!(!names.iter().any(|name| name.starts_with("mcp__")), "{names:?}");
    assert!(!names.contains(&"Bash") && !names.contains(&"Read"), "{names:?}");
    let answer = tools.iter().find(|tool| tool["name"] == "StructuredOutput").unwrap();
    assert_eq!(answer["input_schema"]["properties"]["steps"]["type"], "array");
    assert_eq!(stage.file("second.txt"), "hello\n");
    // What it cost is the task's, and its own profile's.
    let usage = stage.world.json(&["usage", "--by", "profile"]);
    let rows = usage["rows"].as_array().unwrap();
    assert!(rows.iter().any(|row| row["name"] == "trusted"), "{usage}");
    stage.nothing_is_left();
}

#[test]
fn in_a_tmux_session_its_profile_gives_it_the_same() {
    if !tmux() {
        return;
    }
    let Some(stage) = Stage::claude() else { return };
    let stage = stage.with_server("claude", "    allowed_tools: [mcp__tracker__status]\n");
    let status = tool("mcp__tracker__status", json!({}));
    stage.model.script("whole", [status, file("made"), done("made it"), over()]);
    let said = stage.run(&stage.graph("whole", TMUX));
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    let heard = stage.model.asked("whole");
    assert!(heard[0].body["system"].to_string().contains("Mind the gap."));
    assert!(heard[1].body["messages"].to_string().contains("0/1 done"), "{}", heard[1].body);
    stage.token_was_seen_by_nobody();
    stage.nothing_is_left();
}

#[test]
fn without_a_server_of_its_profile_it_does_not_work() {
    let Some(stage) = Stage::claude() else { return };
    let stage = stage.with_server("claude", "");
    stage.world.write("tracker.sh", "#!/bin/sh\nexit 1\n");
    stage.model.script("alone", [file("alone"), done("x"), over()]);
    let said = stage.run(&stage.graph("alone", "    max_attempts: 1\n"));
    assert_eq!(said.code, 1, "{}\n{}", said.out, said.err);
    let why = stage.why();
    assert!(why.contains("could not reach the MCP server `tracker` of its profile"), "{why}");
    stage.nothing_is_left();
}

/// A run whose agent is in the middle of a command, until `go` is there.
fn held(name: &str, then: Vec<Step>) -> Option<(Stage, Child)> {
    let stage = Stage::claude()?;
    let go = stage.world.path("go");
    let wait = bash(&format!("until test -e {}; do read -t 0.1 < /dev/zero; done", go.display()));
    stage.model.script(name, [vec![wait], then].concat());
    let run = stage.spawn(&stage.graph(name, "    agent: free\n"));
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
    // It heard it together with the end of its command.
    let heard = stage.model.asked("aside")[0].body["messages"].to_string();
    assert!(heard.contains("tool_result"), "{heard}");
    stage.nothing_is_left();
}

#[test]
fn a_daemon_that_dies_in_the_middle_of_a_turn_finds_its_agent_again() {
    let then = vec![file("after"), done("went on"), over()];
    let Some((stage, run)) = held("adopted", then) else { return };
    kill(&run, "KILL");
    ended(run);
    let run = stage.spawn(&stage.graph("adopted", "    agent: free\n"));
    until("it is taken up", || stage.world.state("work") == "running");
    stage.world.write("go", "");
    let said = ended(run);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    let steps: Vec<usize> = stage.model.asked("adopted").iter().map(|asked| asked.step).collect();
    assert_eq!(steps, [0, 1, 2, 3], "nothing is asked twice");
    assert_eq!(stage.sessions(0).len(), 1);
    stage.nothing_is_left();
}

#[test]
fn a_stopped_task_goes_on_in_its_session() {
    let Some((stage, run)) = held("stopped", vec![over()]) else { return };
    stage.model.script("second", [file("second"), done("did it"), over()]);
    stage.world.taskloom(&["stop", "work"]);
    stage.waits("stopped");
    let said = stage.world.taskloom(&["retry", "work", "--note", "now do as [[second]] says"]);
    assert_eq!(said.code, 0, "{said:?}");
    ended(run);
    let said = stage.run(&stage.graph("stopped", "    agent: free\n"));
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    let heard = stage.model.asked("second")[0].body["messages"].to_string();
    assert!(heard.contains("[[stopped]]"), "the conversation goes on: {heard}");
    assert_eq!(stage.sessions(0), stage.sessions(1));
    stage.nothing_is_left();
}

#[test]
fn a_usage_limit_frees_its_slot_and_the_session_goes_on_at_the_reset() {
    let Some(stage) = Stage::signed_in("CLAUDE_CODE_OAUTH_TOKEN", KEY) else { return };
    let reset = now() + 6;
    let limited = limit()
        .header("retry-after", 6)
        .header("x-should-retry", "false")
        .header("anthropic-ratelimit-unified-status", "rejected")
        .header("anthropic-ratelimit-unified-reset", reset)
        .header("anthropic-ratelimit-unified-representative-claim", "five_hour")
        .header("anthropic-ratelimit-unified-5h-status", "rejected")
        .header("anthropic-ratelimit-unified-5h-reset", reset)
        .header("anthropic-ratelimit-unified-5h-utilization", "1.0");
    stage.model.script("parked", [file("parked"), limited.times(1, "on"), done("x"), over()]);
    stage.model.script("other", [file("other"), done("x"), over()]);
    let graph = stage.graph_of("limits", &[("parked", "    max_attempts: 1\n"), ("other", "")]);
    let run = stage.spawn(&graph);
    until("it is parked", || stage.world.state("parked") == "paused");
    let why = stage.world.taskloom(&["why", "parked"]).out;
    assert!(why.contains("usage limit"), "{why}");
    until("the other one is done", || stage.world.state("other") == "merged");
    assert_eq!(stage.world.state("parked"), "paused", "the slot was free at once");
    let said = ended(run);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    assert!(now() >= reset);
    let heard = stage.model.asked("parked");
    let last = heard.last().unwrap().body["messages"].to_string();
    assert!(last.contains("File created"), "the conversation goes on: {last}");
    stage.nothing_is_left();
}

#[test]
fn behind_walls_it_may_do_everything_and_reaches_its_model_and_taskloom() {
    if !bwrap() {
        return;
    }
    let Some(stage) = Stage::claude() else { return };
    let look = format!("ls {}/*.db; touch {}", stage.world.data().display(), "made.txt");
    stage.model.script("walled", [bash(&look), done("made it"), over()]);
    let walls = "    agent: trusted\n    isolation: {sandbox: bwrap}\n";
    let said = stage.run(&stage.graph("walled", walls));
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    assert_eq!(stage.file("made.txt"), "");
    let seen = stage.model.asked("walled")[1].body["messages"].to_string();
    assert!(seen.contains("No such file or directory"), "{seen}");
    stage.nothing_is_left();
}

#[test]
fn while_a_limit_is_reached_the_fallback_goes_on() {
    let Some(stage) = Stage::signed_in("CLAUDE_CODE_OAUTH_TOKEN", KEY) else { return };
    let config = std::fs::read_to_string(stage.world.path("config.yaml")).unwrap();
    let config = config.replacen("    args: [\"--max-turns=1\"]", "    fallback: claude", 1);
    assert!(config.contains("fallback"), "{config}");
    stage.world.write("config.yaml", &config);
    let reset = now() + 600;
    let limited = limit()
        .header("x-should-retry", "false")
        .header("anthropic-ratelimit-unified-status", "rejected")
        .header("anthropic-ratelimit-unified-reset", reset)
        .header("anthropic-ratelimit-unified-representative-claim", "five_hour");
    let steps = vec![limited.times(1, "on"), file("spare"), done("x"), over()];
    stage.model.script("spare", steps);
    let more = "    agent: short\n    max_attempts: 1\n";
    let said = stage.run(&stage.graph("spare", more));
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    assert_eq!(stage.file("spare.txt"), "hello\n");
    assert_ne!(stage.sessions(0), stage.sessions(1), "another profile, another conversation");
    stage.nothing_is_left();
}

#[test]
fn a_reviewer_s_limit_is_its_own_and_what_it_used_is_booked_on_it() {
    let Some(stage) = Stage::signed_in("CLAUDE_CODE_OAUTH_TOKEN", KEY) else { return };
    let config = std::fs::read_to_string(stage.world.path("config.yaml")).unwrap();
    let typist = "  typist: {framework: shell, command: echo hello > seen.txt}\n";
    stage.world.write("config.yaml", &(config + typist));
    let reset = now() + 4;
    let limited = limit()
        .header("x-should-retry", "false")
        .header("anthropic-ratelimit-unified-status", "rejected")
        .header("anthropic-ratelimit-unified-reset", reset)
        .header("anthropic-ratelimit-unified-representative-claim", "five_hour");
    let approves = signal("approve", json!({}));
    stage.model.script("seen", [limited.times(1, "on"), approves, over()]);
    let more = "    agent: typist\n    max_attempts: 1\n    review: {agent: free}\n";
    let said = stage.run(&stage.graph("seen", more));
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    assert!(said.out.contains("the limit of `free` is reached"), "{}", said.out);
    assert!(now() >= reset);
    let used = stage.world.taskloom(&["usage", "--by", "profile"]).out;
    assert!(used.lines().any(|line| line.starts_with("free ") && line.contains("3,750")), "{used}");
    stage.nothing_is_left();
}

#[test]
fn what_agents_leave_for_later_tasks_reaches_them() {
    let Some(stage) = Stage::claude() else { return };
    let note = json!({ "to": "second", "text": "mind the gap" });
    let declared = json!({ "path": "first.txt", "action": "created", "category": "outputs" });
    let first = vec![
        file("first"),
        signal("note", note),
        signal("declare", declared),
        signal("concern", json!({ "text": "the roof leaks" })),
        done("laid the ground"),
        over(),
    ];
    stage.model.script("first", first);
    stage.model.script("second", [file("second"), done("built on it"), over()]);
    let graph = stage.graph_of(
        "hand-over",
        &[("first", ""), ("second", "    dependencies: [first]\n    inputs_from: {task: first}\n")],
    );
    let said = stage.run(&graph);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    let prompt = stage.model.asked("second")[0].body["messages"][0].to_string();
    for words in ["mind the gap", "laid the ground", "first.txt"] {
        assert!(prompt.contains(words), "{words}: {prompt}");
    }
    let status: Value = stage.world.json(&["show", "first"]);
    assert!(status.to_string().contains("the roof leaks"), "{status}");
    stage.nothing_is_left();
}

#[test]
fn the_doctor_says_of_each_profile_whether_it_can_work() {
    let Some(stage) = Stage::claude() else { return };
    let said = stage.doctor();
    let lines = said.out.lines().filter(|line| line.contains("`claude`"));
    let line = lines.collect::<Vec<_>>().join("\n");
    assert!(line.contains("2.1.329 (Claude Code); signed in"), "{}", said.out);
    let Some(stage) = Stage::signed_in("NO_KEY_AT_ALL", "nothing") else { return };
    let said = stage.doctor();
    assert!(said.out.contains("not signed in: agents have a home of their own"), "{}", said.out);
}

/// It has the key, so that what it runs has it too; nobody else ever sees it.
#[test]
fn a_key_that_is_printed_is_seen_by_nobody() {
    let Some(stage) = Stage::claude() else { return };
    let leak = "echo $ANTHROPIC_API_KEY; echo -n \"$ANTHROPIC_API_KEY\" | base64 -w0; \
                taskloom task concern \"it is $ANTHROPIC_API_KEY\"; touch leak.txt";
    stage.model.script("leak", [bash(leak), done("it is out"), over()]);
    let graph = stage.graph("leak", "    agent: free\n");
    let said = stage.run(&graph);
    assert!(said.out.contains("it is [redacted ANTHROPIC_API_KEY]"), "{}\n{}", said.out, said.err);
    let raw = stage.world.taskloom(&["logs", "leak/1/work", "--raw"]).out;
    assert_eq!(raw.matches("[redacted ANTHROPIC_API_KEY]").count(), 4, "{raw}");
    until("all processes are gone", || stage.world.processes().is_empty());
    // What Claude Code remembers of its session is its own, and private.
    std::fs::remove_dir_all(stage.world.data().join("runs/repo/leak/1/tasks/work/home")).unwrap();
    stage.world.holds_nowhere(KEY);
}

const TMUX: &str = "    primary_agent: {environment: {type: tmux}}\n";

#[test]
fn in_a_tmux_session_it_does_its_task_and_people_can_look_and_speak() {
    if !tmux() {
        return;
    }
    let Some(stage) = Stage::claude() else { return };
    let question = json!({ "question": "Which ink?", "choices": ["red", "blue"] });
    let steps = vec![signal("ask", question), file("paned"), over()];
    stage.model.script("paned", steps);
    stage.model.script("aside", [file("aside"), done("as you say"), over()]);
    let run = stage.spawn(&stage.graph("paned", TMUX));
    stage.waits("asks you");
    let screen = stage.screen("paned");
    assert!(screen.contains("Claude Code v2.1.329"), "{screen}");
    stage.world.taskloom(&["steer", "work", "then do as [[aside]] says"]);
    stage.world.taskloom(&["answer", "work", "blue"]);
    let said = ended(run);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    assert!(said.out.contains("attach to it: taskloom attach paned/1/work"), "{}", said.out);
    assert_eq!(stage.file("aside.txt"), "hello\n");
    stage.nothing_is_left();
}

#[test]
fn in_a_tmux_session_a_word_of_many_lines_is_told_once_and_whole() {
    if !tmux() {
        return;
    }
    let Some(stage) = Stage::claude() else { return };
    stage.model.script("paned", [signal("ask", json!({ "question": "Which ink?" })), over()]);
    stage.model.script("aside", [file("aside"), done("as you say"), over()]);
    let run = stage.spawn(&stage.graph("paned", TMUX));
    stage.waits("asks you");
    let text = format!("then do as [[aside]] says\n\n{}", "- and mind the gap\n".repeat(80));
    assert_eq!(stage.world.taskloom(&["steer", "work", &text]).code, 0);
    stage.world.taskloom(&["answer", "work", "blue"]);
    let said = ended(run);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    assert_eq!(stage.file("aside.txt"), "hello\n");
    let heard = stage.model.asked("aside")[0].body["messages"].to_string();
    assert_eq!(heard.matches("and mind the gap").count(), 80, "{heard}");
    stage.nothing_is_left();
}

#[test]
fn when_the_program_in_a_tmux_session_ends_its_last_words_are_the_reason() {
    if !tmux() {
        return;
    }
    let Some(stage) = Stage::claude() else { return };
    let script = "#!/bin/sh\ncase $1 in --version) echo 2.1.329 ;; *) echo 'the ink is out'; exit 3 ;; esac\n";
    let script = stage.world.write("ends.sh", script);
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let ends = format!(
        "default_agent: ends\nagents:\n  ends: {{framework: claude_code, command: {}}}\n",
        script.display()
    );
    stage.world.write("config.yaml", &ends);
    let said = stage.run(&stage.graph("ends", &format!("{TMUX}    max_attempts: 1\n")));
    assert_eq!(said.code, 1, "{}\n{}", said.out, said.err);
    let why = stage.why();
    assert!(why.contains("the program in the session has ended: the ink is out"), "{why}");
    stage.nothing_is_left();
}

#[test]
fn in_a_tmux_session_behind_walls_it_need_not_ask() {
    if !tmux() || !bwrap() {
        return;
    }
    let Some(stage) = Stage::claude() else { return };
    let config = std::fs::read_to_string(stage.world.path("config.yaml")).unwrap();
    let config = config.replace("default_agent: claude", "default_agent: trusted");
    stage.world.write("config.yaml", &config);
    let steps = vec![bash("sh -c 'touch made.txt'"), done("made it"), over()];
    stage.model.script("walled", steps);
    let more = format!("{TMUX}    isolation: {{sandbox: bwrap}}\n");
    let said = stage.run(&stage.graph("walled", &more));
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    assert_eq!(stage.file("made.txt"), "");
    stage.nothing_is_left();
}

#[test]
fn a_key_and_a_token_of_the_credentials_reach_the_agent_that_may_have_them() {
    let Some(stage) = Stage::signed_in("NO_KEY_AT_ALL", "nothing") else { return };
    let (read, standard) = ("token-that-may-read", "token-that-may-write");
    let secrets = format!(
        "anthropic:\n  main: {{type: api_key, key: {KEY}}}\ntoken_tiers:\n  \
         read_only: {{FORGE: {read}}}\n  standard: {{FORGE: {standard}}}\n"
    );
    let file = stage.world.write("credentials.yaml", &secrets);
    let config = std::fs::read_to_string(stage.world.path("config.yaml")).unwrap();
    stage.world.write("config.yaml", &format!("credentials: {}\n{config}", file.display()));
    let refused = stage.run(&stage.graph("early", ""));
    assert!(refused.err.contains("can be read by others"), "{}", refused.err);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(stage.doctor().out.contains("(Claude Code); signed in"), "{}", stage.doctor().out);
    // What may be shown of a secret is how long it is.
    let look = "echo length ${#FORGE}; echo $FORGE; touch $TASKLOOM_TASK.txt";
    stage.model.script("reads", [bash(look), done("x"), over()]);
    stage.model.script("writes", [bash(look), done("x"), over()]);
    let free = "    agent: free\n";
    let tier = format!("{free}    isolation: {{token_tier: read_only}}\n");
    let graph = stage.graph_of("tiers", &[("reads", &tier), ("writes", free)]);
    let said = stage.run(&graph);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    for (task, token) in [("reads", read), ("writes", standard)] {
        let raw = stage.world.taskloom(&["logs", &format!("tiers/1/{task}"), "--raw"]).out;
        assert!(raw.contains(&format!("length {}", token.len())), "{raw}");
        assert!(raw.contains("[redacted FORGE]"), "{raw}");
    }
    let elevated = format!("{free}    isolation: {{token_tier: elevated}}\n");
    let refused = stage.run(&stage.graph("late", &elevated));
    assert!(refused.err.contains("there is no token tier `elevated`"), "{}", refused.err);
    std::fs::remove_dir_all(stage.world.data().join("runs/repo/tiers/1/tasks")).unwrap();
    for secret in [KEY, read, standard] {
        stage.world.holds_nowhere(secret);
    }
}

/// An editor, or an agent that works on something else, asks how a run goes.
#[test]
fn an_editor_asks_by_mcp() {
    let Some(stage) = Stage::claude() else { return };
    stage.model.script("asked", [signal("failed", json!({ "reason": "no ink" })), over()]);
    stage.run(&stage.graph("asked", "    max_attempts: 1\n"));
    let server = json!({ "mcpServers": { "taskloom": {
        "command": env!("CARGO_BIN_EXE_taskloom"),
        "args": ["mcp", "--data-dir", stage.world.data()],
    } } });
    stage.world.write("mcp.json", &server.to_string());
    let why = tool("mcp__taskloom__why", json!({ "task": "asked/1/work" }));
    let status = tool("mcp__taskloom__status", json!({}));
    stage.model.script("editor", [status, why, say("So that is it.")]);
    let said = stage.editor("How did [[editor]] go?");
    let heard = stage.model.asked("editor").last().unwrap().body["messages"].to_string();
    assert!(heard.contains("completed with failures"), "{said:?}\n{heard}");
    assert!(heard.contains("the agent says: no ink"), "{heard}");
}
