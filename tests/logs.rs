//! What becomes of the logs of attempts: compressed, read all the same, and at last deleted.

use std::fs;
use std::path::{Path, PathBuf};

use crate::world::{World, ended, until};

/// An agent that says much.
const GRAPH: &str = r#"
name: loud
workstreams: [{id: default, auto_merge: true}]
tasks:
  - id: talk
    description: Says much.
    primary_agent: {framework: shell, command: "seq 1 40000; echo done > x.txt"}
"#;

fn graph(world: &World) -> PathBuf {
    world.write("loud.yaml", GRAPH)
}

fn attempt(world: &World) -> PathBuf {
    let runs = fs::read_dir(world.data().join("runs")).unwrap();
    let project = runs.map(|entry| entry.unwrap().path()).next().unwrap();
    project.join("loud/1/tasks/talk/attempts/0")
}

fn is_loud(world: &World) {
    let said = world.taskloom(&["logs", "talk"]);
    let lines: Vec<&str> = said.out.lines().collect();
    assert_eq!((lines.len(), lines.last()), (40_000, Some(&"40000")), "{}", said.err);
    assert!(said.err.contains("── agent-0.log\n"), "{}", said.err);
    let json = world.json(&["logs", "talk"]);
    let text = json["logs"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("1\n2\n") && text.ends_with("40000\n"));
}

fn pressed(dir: &Path) -> bool {
    dir.join("agent-0.log.zst").exists() && !dir.join("agent-0.log").exists()
}

#[test]
fn a_large_log_is_compressed_when_the_attempt_is_over_and_reads_as_before() {
    let world = World::new();
    let said = world.run(&graph(&world), &["--quiet"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let dir = attempt(&world);
    until("it is compressed", || pressed(&dir));
    assert!(fs::metadata(dir.join("agent-0.log.zst")).unwrap().len() < 100_000);
    is_loud(&world);
    world.finish();
}

#[test]
fn a_crash_between_compressing_and_taking_away_loses_nothing() {
    let world = World::new();
    let dies = [("CRASH_AT", "log.pressed".into())];
    let died = world.run_with(&graph(&world), &dies);
    assert_eq!(died.code, -1, "{died:?}");
    let dir = attempt(&world);
    assert!(dir.join("agent-0.log").exists() && dir.join("agent-0.log.zst").exists());
    world.write("config.yaml", "");
    let daemon = world.serve();
    until("the run is done", || world.state_of_run() == "succeeded");
    is_loud(&world);
    assert_eq!(world.taskloom(&["shutdown"]).code, 0);
    assert_eq!(ended(daemon).code, 0);
    // The next daemon finds a run at rest, and tidies up.
    let daemon = world.serve();
    until("it is compressed", || pressed(&dir));
    is_loud(&world);
    assert_eq!(world.taskloom(&["shutdown"]).code, 0);
    assert_eq!(ended(daemon).code, 0);
    world.finish();
}

#[test]
fn old_logs_are_deleted_and_results_stay() {
    let world = World::new();
    assert_eq!(world.run(&graph(&world), &["--quiet"]).code, 0);
    let dir = attempt(&world);
    until("it is compressed", || pressed(&dir));
    let record = dir.join("../../records/0/result.json");
    assert!(record.exists());
    let old = world.write("config.yaml", "retention: {transcripts: 1ms}\n");
    let old = old.display().to_string();
    let told = world.taskloom(&["gc", "--config", &old]);
    assert!(told.out.contains("loud/1: older than `retention.transcripts`"), "{}", told.out);
    assert!(pressed(&dir), "it only says so");
    let daemon = world.serve();
    until("they are deleted", || !dir.join("agent-0.log.zst").exists());
    until("it is noted", || world.taskloom(&["logs", "talk"]).code == 1);
    let said = world.taskloom(&["logs", "talk"]);
    assert!(said.err.contains("the logs of loud/1 are deleted"), "{}", said.err);
    assert!(record.exists());
    assert!(world.taskloom(&["show", "talk"]).out.contains("attempt 1: proposed"));
    assert_eq!(world.taskloom(&["shutdown"]).code, 0);
    assert_eq!(ended(daemon).code, 0);
    let told = world.taskloom(&["gc", "--config", &old]);
    assert!(!told.out.contains("retention"), "{}", told.out);
    world.finish();
}
