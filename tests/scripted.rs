//! Agents that misbehave, played by a script: what a user sees of each, and that nothing of them
//! is left.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::world::{World, ended, signal, until};

/// A graph of one task, `work`, whose agent plays `script`; `more` are further fields of the task.
fn graph(world: &World, more: &str, script: &str) -> PathBuf {
    let script = world.write("script.yaml", script);
    let play = format!("exec taskloom play {}", script.display());
    graph_of(world, more, &play)
}

fn graph_of(world: &World, more: &str, command: &str) -> PathBuf {
    let text = format!(
        "name: play\ntasks:\n  - id: work\n    description: Plays.\n    {more}\n    \
         primary_agent:\n      framework: shell\n      command: |\n        {}\n",
        command.replace('\n', "\n        ")
    );
    world.write("play.yaml", &text)
}

/// Runs it to its end, which must be a failure; returns what `show` says of it.
fn failure(world: &World, graph: &Path, options: &[&str]) -> String {
    let run = world.start_with(graph, options);
    until("the task has failed", || world.state("work") == "failed");
    assert_eq!(ended(run).code, 1);
    world.taskloom(&["show", "work"]).out
}

/// Runs it to its end, which must be a success.
fn success(world: &World, graph: &Path) {
    let said = world.run(graph, &["--quiet"]);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    assert_eq!(world.state("work"), "merged");
}

/// The directory of an attempt of `work`.
fn attempt(world: &World, number: u32) -> PathBuf {
    let logs = world.json(&["logs", "work", "--attempt", &(number + 1).to_string()]);
    Path::new(logs["logs"][0]["path"].as_str().unwrap()).parent().unwrap().to_owned()
}

/// How the process of the first turn ended.
fn exit(world: &World) -> Value {
    let text = fs::read(attempt(world, 0).join("agent-0.exit.json")).unwrap();
    serde_json::from_slice(&text).unwrap()
}

fn log(world: &World) -> Vec<u8> {
    let mut log = Vec::new();
    let path = attempt(world, 0).join("agent-0.log");
    taskloom::runner::open_log(&path, 0).unwrap().read_to_end(&mut log).unwrap();
    log
}

/// A file of the lane.
fn merged(world: &World, file: &str) -> String {
    world.git(&["show", &format!("taskloom/play/1/w/default:{file}")])
}

fn attempts(world: &World, id: &str) -> u64 {
    let status = world.json(&["status"]);
    let task = status["tasks"].as_array().unwrap().iter().find(|task| task["id"] == id).cloned();
    task.unwrap()["attempts"].as_u64().unwrap()
}

#[test]
fn an_agent_that_crashes_has_failed_with_the_signal_and_its_last_words() {
    let world = World::new();
    let graph = graph(&world, "", "[say: on thin ice, crash: ]");
    let shown = failure(&world, &graph, &[]);
    assert!(shown.contains("the command was ended by signal 6"), "{shown}");
    assert!(shown.contains("on thin ice"), "{shown}");
    world.finish();
}

#[test]
fn ending_well_with_nothing_done_is_no_success() {
    let world = World::new();
    let graph = graph(&world, "", "[say: all is well, done: all of it]");
    let shown = failure(&world, &graph, &[]);
    assert!(shown.contains("ended without an error and changed nothing"), "{shown}");
    world.finish();
}

#[test]
fn a_second_attempt_can_do_better_and_its_commits_are_merged() {
    let world = World::new();
    let script = "
- on_attempt:
    0: [{complain: no tools here}, {exit: 3}]
    else: [{write: {path: a/b.txt, text: b}}, {commit: by the script}, {delete: a.txt}]
- append: {path: a/b.txt, text: c}
";
    let path = graph(&world, "", script);
    let again =
        fs::read_to_string(&path).unwrap().replace("tasks:", "max_task_attempts: 2\ntasks:");
    fs::write(&path, again).unwrap();
    success(&world, &path);
    assert_eq!(attempts(&world, "work"), 2);
    assert_eq!(log(&world), b"no tools here\n");
    assert_eq!(merged(&world, "a/b.txt"), "bc");
    let subjects = world.git(&["log", "--format=%s", "taskloom/play/1/w/default"]);
    assert!(subjects.contains("by the script"), "{subjects}");
    let files = world.git(&["ls-tree", "--name-only", "taskloom/play/1/w/default"]);
    assert!(!files.contains("a.txt"), "{files}");
    world.finish();
}

#[test]
fn a_second_turn_answers_the_gate() {
    let world = World::new();
    let script = "
- on_turn:
    0: [{write: {path: half.txt, text: half}}]
    1: [{write: {path: whole.txt, text: whole}}]
";
    let graph = graph(&world, "completion_gate: test -e whole.txt", script);
    success(&world, &graph);
    assert_eq!(attempts(&world, "work"), 1);
    assert_eq!(merged(&world, "half.txt"), "half");
    world.finish();
}

#[test]
fn a_flood_of_output_is_cut_in_the_middle_and_the_work_is_merged() {
    const MIB: usize = 1 << 20;
    let world = World::new();
    let script = "
- say: first words
- flood: {bytes: 70_000_000, line: 1000}
- say: last words
- write: {path: dry.txt, text: dry}
";
    let graph = graph(&world, "", script);
    success(&world, &graph);
    let log = log(&world);
    assert!((63 * MIB..=64 * MIB + 100).contains(&log.len()), "{}", log.len());
    assert!(log.starts_with(b"first words\n") && log.ends_with(b"last words\n"));
    let exit = exit(&world);
    let written = "first words\nlast words\n".len() as u64 + 70_000_000;
    let gap = format!("\n[taskloom: {} bytes of output left out here]\n", exit["cut_bytes"]);
    assert_eq!(log.len() as u64 - gap.len() as u64 + exit["cut_bytes"].as_u64().unwrap(), written);
    world.finish();
}

#[test]
fn garbage_and_endless_lines_do_no_harm() {
    let world = World::new();
    let script = "
- garbage: 100_000
- long_line: 3_000_000
- garbage: 10
- write: {path: clean.txt, text: clean}
";
    let graph = graph(&world, "", script);
    let said = world.run(&graph, &[]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(!said.out.contains('\x1b') && !said.err.contains('\x1b'), "escapes reach the terminal");
    assert_eq!(log(&world).len(), 100_000 + 3_000_001 + 10);
    let text = world.json(&["logs", "work"])["logs"][0]["text"].clone();
    assert!(text.as_str().is_some_and(|text| text.contains("xxx")), "what is text is shown");
    assert_eq!(merged(&world, "clean.txt"), "clean");
    world.finish();
}

#[test]
fn what_an_agent_leaves_running_is_ended_with_it() {
    let world = World::new();
    let graph = graph(&world, "", "[fork: 1h, write: {path: a, text: b}]");
    success(&world, &graph);
    let exit = exit(&world);
    assert_eq!((&exit["leftovers"], &exit["survivors"]), (&1.into(), &0.into()), "{exit}");
    world.finish();
}

/// A configuration with little patience.
fn hasty(world: &World, more: &str) -> String {
    let text = format!("timeouts: {{grace: 100ms}}\n{more}\n");
    world.write("config.yaml", &text).display().to_string()
}

/// How long the process of the first turn lived.
fn lived_ms(world: &World) -> i64 {
    let exit = exit(world);
    exit["ended_at"].as_i64().unwrap() - exit["started_at"].as_i64().unwrap()
}

#[test]
fn stop_ends_an_agent_that_heeds_no_signal() {
    let world = World::new();
    let graph = graph(&world, "", "[ignore_term: , say: try me, stall: forever]");
    let run = world.start_with(&graph, &["--config", &hasty(&world, "")]);
    until("the agent works", || world.taskloom(&["logs", "work"]).out.contains("try me"));
    let stopped = world.taskloom(&["stop", "work"]);
    assert_eq!(stopped.code, 0, "{}", stopped.err);
    assert_eq!(ended(run).code, 1);
    assert_eq!(world.state("work"), "stopped");
    assert_eq!(exit(&world)["end"], serde_json::json!({ "signal": 9 }));
    world.finish();
}

#[test]
fn an_attempt_that_takes_too_long_is_ended_within_the_grace_of_the_configuration() {
    let world = World::new();
    let graph = graph(&world, "timeout: 1s", "[ignore_term: , stall: forever]");
    let shown = failure(&world, &graph, &["--config", &hasty(&world, "")]);
    assert!(shown.contains("the agent did not end within 1s"), "{shown}");
    let lived = lived_ms(&world);
    assert!((1_000..5_000).contains(&lived), "{lived} ms");
    world.finish();
}

#[test]
fn an_agent_that_says_nothing_for_too_long_has_failed() {
    let world = World::new();
    let graph = graph(&world, "", "[ignore_term: , say: one word, stall: forever]");
    let shown = failure(
        &world,
        &graph,
        &["--config", &hasty(&world, "stall: {after: 300ms, nudges: 0, ask: false}")],
    );
    assert!(shown.contains("the agent was silent for 300ms"), "{shown}");
    let lived = lived_ms(&world);
    assert!((300..4_500).contains(&lived), "{lived} ms");
    world.finish();
}

#[test]
fn a_person_is_asked_about_a_silent_agent_and_has_it_wait_or_begin_again() {
    let world = World::new();
    let steps =
        "[ignore_term: , on_attempt: {0: [stall: forever], 1: [write: {path: a, text: b}]}]";
    let graph = graph(&world, "", steps);
    let run = world
        .start_with(&graph, &["--config", &hasty(&world, "stall: {after: 500ms, stop: false}")]);
    until("somebody is asked", || world.state("work") == "asks you");
    let why = world.taskloom(&["why", "work"]).out;
    assert!(why.contains("its agent has said nothing for 500ms: what becomes of it?"), "{why}");
    assert!(why.contains("choices: Wait | Stop and retry"), "it takes no messages: {why}");
    let inbox = world.taskloom(&["inbox"]).out;
    assert!(inbox.contains("is silent"), "{inbox}");
    assert_eq!(world.taskloom(&["answer", "work", "Wait"]).code, 0);
    until("it is asked again", || {
        world.taskloom(&["show", "work"]).out.contains("asks: its agent has said nothing")
    });
    assert_eq!(world.taskloom(&["answer", "work", "Stop and retry"]).code, 0);
    assert_eq!(ended(run).code, 0);
    assert_eq!(world.state("work"), "merged");
    assert_eq!(attempts(&world, "work"), 2);
    world.finish();
}

/// The predecessor could not stop a silent agent, and by default nothing ended it.
#[test]
fn defect_13_a_silent_agent_that_heeds_nothing_is_ended_after_a_question_that_nobody_answers() {
    let world = World::new();
    let graph = graph(&world, "", "[ignore_term: , say: one word, stall: forever]");
    let shown = failure(&world, &graph, &["--config", &hasty(&world, "stall: {after: 400ms}")]);
    assert!(shown.contains("the agent was silent for 800ms"), "{shown}");
    assert!(taskloom::runner::Stall::default().after.is_some(), "it is so by default");
    until("no process is left", || world.processes().is_empty());
    world.finish();
}

#[test]
fn an_agent_that_writes_half_lines_is_not_silent() {
    let world = World::new();
    let command = "for i in 1 2 3 4 5 6 7 8 9 10; do printf .; sleep 0.2; done; echo > a";
    let graph = graph_of(&world, "", command);
    let said = world.run(&graph, &["--config", &hasty(&world, "stall: {after: 1s, ask: false}")]);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    world.finish();
}

/// Asks, and goes on only with the right answer.
const ASKING: &str = "
- ask: {question: Which colour?, choices: [red, green], expect: red, answer_to: colour.txt}
- say: thanks
";

#[test]
fn an_answer_goes_to_the_agent_that_waits_for_it() {
    let world = World::new();
    let path = graph(&world, "", ASKING);
    let silent = "  - id: mute\n    description: Says nothing.\n    \
                  primary_agent: {framework: shell, command: exec sleep 1h}\n";
    fs::write(&path, fs::read_to_string(&path).unwrap() + silent).unwrap();
    let run =
        world.start_with(&path, &["--config", &hasty(&world, "stall: {after: 1s, ask: false}")]);
    until("it waits for a person", || world.state("work") == "asks you");
    // Whoever waits for a person is not silent: another agent is ended for that meanwhile.
    until("another is silent for too long", || world.state("mute") == "failed");
    assert_eq!(world.taskloom(&["retry", "mute"]).code, 0);
    until("it is silent again", || {
        world.state("mute") == "failed" && attempts(&world, "mute") == 2
    });
    assert_eq!(world.state("work"), "asks you");
    let shown = world.taskloom(&["show", "work"]).out;
    assert!(shown.contains("Which colour?"), "{shown}");

    assert_eq!(world.taskloom(&["skip", "mute"]).code, 0);
    let answered = world.taskloom(&["answer", "work", "red"]);
    assert_eq!(answered.code, 0, "{}", answered.err);
    assert_eq!(ended(run).code, 0);
    assert_eq!(attempts(&world, "work"), 1);
    assert_eq!(merged(&world, "colour.txt"), "red");
    assert_eq!(log(&world), b"thanks\n");
    world.finish();
}

#[test]
fn an_agent_may_fail_for_an_answer() {
    let world = World::new();
    let graph = graph(&world, "", ASKING);
    let run = world.start(&graph);
    until("it waits for a person", || world.state("work") == "asks you");
    assert_eq!(world.taskloom(&["answer", "work", "green"]).code, 0);
    assert_eq!(ended(run).code, 1);
    let shown = world.taskloom(&["show", "work"]).out;
    assert!(shown.contains("the command exited with code 4"), "{shown}");
    assert!(shown.contains("expected the answer `red`, not `green`"), "{shown}");
    world.finish();
}

#[test]
fn what_an_agent_says_reaches_people_and_later_tasks() {
    let world = World::new();
    let script = "
- progress: half way
- plan: the other half
- write: {path: api.md, text: api}
- declare: {path: api.md, action: created, category: spec}
- note: {to: after, text: mind the gap}
- concern: the rules contradict each other
- ops_concern: the disk is slow
- summary: wrote it
- done:
";
    let path = graph(&world, "", script);
    let after = "  - id: after\n    description: Comes next.\n    dependencies: [work]\n    \
                 inputs_from: [{task: work, category: spec}]\n    primary_agent: {framework: shell, \
                 command: cat \"$TASKLOOM_INSTRUCTIONS\" > told.md}\n";
    let lanes = "workstreams: [{id: default, auto_merge: true}]\ntasks:";
    let text = fs::read_to_string(&path).unwrap().replace("tasks:", lanes) + after;
    fs::write(&path, text).unwrap();
    let said = world.run(&path, &[]);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    assert!(said.out.contains("half way"), "{}", said.out);
    let told = merged(&world, "told.md");
    for word in ["mind the gap", "wrote it", "api.md"] {
        assert!(told.contains(word), "{word} in {told}");
    }
    let shown = world.taskloom(&["show", "work"]).out;
    for word in ["the rules contradict each other", "the disk is slow"] {
        assert!(shown.contains(word), "{word} in {shown}");
    }
    let lane = &world.json(&["status"])["lanes"][0];
    assert_eq!(lane["state"], "awaits approval", "a doubt keeps it from merging by itself");
    world.finish();
}

#[test]
fn a_claim_of_failure_and_a_claim_of_nothing_to_do_are_believed() {
    let world = World::new();
    let claims = "on_attempt: {0: [failed: no such library], else: [no_changes: ]}";
    let graph = graph(&world, "", &format!("- {claims}"));
    let shown = failure(&world, &graph, &[]);
    assert!(shown.contains("the agent says: no such library"), "{shown}");
    assert_eq!(world.taskloom(&["retry", "work"]).code, 0);
    assert_eq!(world.run(&graph, &[]).code, 0);
    assert_eq!(world.state("work"), "completed");
    world.finish();
}

#[test]
fn a_script_that_is_none_fails_with_its_line() {
    let world = World::new();
    let graph = graph(&world, "", "- say: hello\n- sing: la\n");
    let shown = failure(&world, &graph, &[]);
    assert!(shown.contains("unknown variant `sing`"), "{shown}");
    assert!(shown.contains("at line 2, column 3"), "{shown}");
    assert!(!shown.contains("hello"), "nothing is played: {shown}");
    world.finish();
}

#[test]
fn what_cannot_be_a_signal_fails_the_attempt_and_blocks_nobody() {
    let left = [
        ("ln -s /etc/passwd", "it is a symbolic link"),
        ("mkfifo", "it is a FIFO"),
        ("mkdir", "it is a directory"),
        ("ln script.sh", "it has more than one name"),
        ("truncate -s 70000", "it is longer than 65536 bytes"),
        ("echo nonsense >", "not a signal"),
    ];
    let world = World::new();
    let cases = left.iter().enumerate();
    let cases =
        cases.map(|(n, (make, _))| format!("{n}) {make} \"$TASKLOOM_DIR/status.json\" ;;\n"));
    let command =
        format!("echo x > script.sh\ncase $TASKLOOM_ATTEMPT in\n{}esac", cases.collect::<String>());
    let graph = graph_of(&world, "", &command);
    for (n, (make, why)) in left.iter().enumerate() {
        if n > 0 {
            assert_eq!(world.taskloom(&["retry", "work"]).code, 0);
        }
        let shown = failure(&world, &graph, &[]);
        assert!(shown.contains(why), "{make}: {shown}");
    }
    world.finish();
}

#[test]
fn a_pipe_in_the_place_of_a_file_of_the_engine_blocks_nobody() {
    let world = World::new();
    let command = "
for file in transcript.jsonl summary.md outputs.json asked.json concerns.jsonl; do
    rm -f \"$TASKLOOM_DIR/$file\"; mkfifo \"$TASKLOOM_DIR/$file\"
done
echo more than the pipe; taskloom task progress on; echo x > done.txt";
    let graph = graph_of(&world, "", command.trim());
    let run = world.start(&graph);
    until("the task is merged", || world.state("work") == "merged");
    assert_eq!(ended(run).code, 0);
    world.finish();
}

#[test]
fn a_pipe_in_the_place_of_the_log_blocks_nobody() {
    let world = World::new();
    let command = "
rm \"$TASKLOOM_DIR/agent-0.log\"; mkfifo \"$TASKLOOM_DIR/agent-0.log\"; exit 1";
    let graph = graph_of(&world, "", command.trim());
    let shown = failure(&world, &graph, &[]);
    assert!(shown.contains("the command exited with code 1"), "{shown}");
    assert_eq!(world.taskloom(&["logs", "work"]).out, "");
    world.finish();
}

/// A run that was suspended when its agent had put a pipe in the place of `file`; the agent then
/// does `more`.
fn suspended(world: &World, file: &str, more: &str) -> PathBuf {
    let pipe = format!("rm -f \"$TASKLOOM_DIR/{file}\"; mkfifo \"$TASKLOOM_DIR/{file}\"");
    let graph = graph_of(world, "", &format!("{pipe}; echo ready\n{more}"));
    let run = world.start(&graph);
    until("the pipe is there", || world.taskloom(&["logs", "work"]).out.contains("ready"));
    signal(&run, "TERM");
    assert_eq!(ended(run).code, 130);
    graph
}

#[test]
fn a_pipe_in_the_place_of_a_record_does_not_hold_up_whoever_goes_on() {
    let world = World::new();
    let go = world.path("go").display().to_string();
    let script = format!("[wait_for: {go}, write: {{path: x.txt, text: x}}]");
    let script = world.write("script.yaml", &script).display().to_string();
    let graph =
        suspended(&world, "../../records/0/asked.json", &format!("exec taskloom play {script}"));
    let run = world.start(&graph);
    world.write("go", "");
    until("the task is merged", || world.state("work") == "merged");
    assert_eq!(ended(run).code, 0);
    world.finish();
}

#[test]
fn no_agent_outlives_an_attempt_that_cannot_go_on() {
    let world = World::new();
    let graph = suspended(&world, "../../records/0/receipt.json", "exec sleep 1h");
    assert!(!world.processes().is_empty(), "the agent runs on");
    let run = world.start(&graph);
    until("the attempt has failed", || {
        world.taskloom(&["show", "work"]).out.contains("it is a FIFO")
    });
    signal(&run, "TERM");
    assert_eq!(ended(run).code, 130, "it is to be tried again");
    world.finish();
}

/// What a gate that passed would have left.
const PASSED: &str = r#"{"end":{"code":0},"cause":"itself","started_at":1,"ended_at":2,"log_bytes":0,"cut_bytes":0,"leftovers":0,"survivors":0}"#;

#[test]
fn a_forged_record_of_a_gate_is_no_evidence() {
    let world = World::new();
    let command = format!(
        "for dir in \"$TASKLOOM_DIR\" \"$TASKLOOM_DIR/../../records/0\"; do
    echo '{PASSED}' > \"$dir/gate-1.exit.json\"; done; echo x > x.txt"
    );
    let graph = graph_of(&world, "completion_gate: \"false\"", &command);
    let shown = failure(&world, &graph, &[]);
    assert!(shown.contains("the gate `false` failed"), "{shown}");
    world.finish();
}

#[test]
fn a_forged_result_is_not_believed_after_a_restart() {
    let world = World::new();
    let go = world.path("go").display().to_string();
    let command = format!(
        "echo '{{\"outcome\":\"no_changes\",\"summary\":null,\"concerns\":[],\
         \"usage\":{{\"tokens\":0,\"usd\":0.0}}}}' > \"$TASKLOOM_DIR/result.json\"
echo ready; while [ ! -e {go} ]; do sleep 0.05; done; echo x > x.txt"
    );
    let graph = graph_of(&world, "completion_gate: \"false\"", &command);
    let run = world.start(&graph);
    until("it is forged", || world.taskloom(&["logs", "work"]).out.contains("ready"));
    signal(&run, "TERM");
    assert_eq!(ended(run).code, 130);
    world.write("go", "");
    let shown = failure(&world, &graph, &[]);
    assert!(shown.contains("the gate `false` failed"), "{shown}");
    world.finish();
}

#[test]
fn a_stop_ends_the_gate_too_and_nothing_is_merged() {
    let world = World::new();
    let gate = "completion_gate: \"echo gated; exec sleep 1h\"";
    let graph = graph_of(&world, gate, "echo x > x.txt");
    for verb in ["stop", "cancel"] {
        let run = world.start(&graph);
        until("the gate runs", || world.taskloom(&["logs", "work"]).out.ends_with("gated\n"));
        let said = world.taskloom(&[verb, "work"]);
        assert_eq!(said.code, 0, "{}", said.err);
        ended(run);
        assert!(world.processes().is_empty(), "{:?}", world.processes());
        let wanted = if verb == "stop" { "stopped" } else { "cancelled" };
        assert_eq!(world.state("work"), wanted);
        if verb == "stop" {
            assert_eq!(world.taskloom(&["retry", "work"]).code, 0);
        }
    }
    world.finish();
}

#[test]
fn an_agent_that_goes_back_in_history_has_done_nothing() {
    let world = World::new();
    let graph = graph_of(&world, "", "git checkout -q HEAD~1");
    let shown = failure(&world, &graph, &[]);
    assert!(shown.contains("changed nothing"), "{shown}");
    world.finish();
}

#[test]
fn work_that_cannot_be_saved_is_not_thrown_away() {
    let world = World::new();
    let many = "i=0; while [ $i -lt 10050 ]; do echo > f$i; i=$((i+1)); done; exit 1";
    let graph = graph_of(&world, "", many);
    let shown = failure(&world, &graph, &[]);
    let place = shown.split("lies only in ").nth(1).expect(&shown);
    let place = Path::new(place.split(": ").next().unwrap());
    assert!(place.join("f10049").exists(), "{shown}");
    assert_eq!(world.taskloom(&["retry", "work"]).code, 0);
    let again = failure(&world, &graph, &[]);
    assert!(again.contains("the work of an earlier attempt lies only in"), "{again}");
    assert!(place.join("f10049").exists());
    world.finish();
}
