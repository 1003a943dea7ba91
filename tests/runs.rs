//! Graphs run for real: the binary, a git repository, processes. What must hold is what a user
//! would look at: outcome, history, the desk that was not touched, nothing left behind.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::world::{World, ended, signal, until};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(format!("{name}.yaml"))
}

/// Runs an example; asserts its exit code and that the desk is as it was, and returns the status.
fn play(name: &str, code: i32) -> (World, Value) {
    let world = World::new();
    let before = world.desk();
    let said = world.run(&example(name), &[]);
    assert_eq!(said.code, code, "{}\n{}", said.out, said.err);
    assert_eq!(world.desk().without("main"), before.without("main"));
    let status = world.json(&["status", name]);
    (world, status)
}

fn states(status: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let tasks = status["tasks"].as_array().unwrap();
    tasks.iter().map(|task| (text(&task["id"]), text(&task["state"]))).collect()
}

fn lanes(status: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let lanes = status["lanes"].as_array().unwrap();
    lanes.iter().map(|lane| (text(&lane["id"]), text(&lane["state"]))).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(id, state)| ((*id).to_owned(), (*state).to_owned())).collect()
}

fn task<'a>(status: &'a Value, id: &str) -> &'a Value {
    let tasks = status["tasks"].as_array().unwrap();
    tasks.iter().find(|task| task["id"] == id).unwrap()
}

#[test]
fn the_chain_waits_for_a_person_who_merges_it() {
    let (world, status) = play("chain", 0);
    let merged = pairs(&[("write", "merged"), ("sort", "merged"), ("count", "merged")]);
    assert_eq!(states(&status), merged);
    assert_eq!(lanes(&status), pairs(&[("default", "awaits approval")]));
    let before = world.desk();
    let main = world.git(&["rev-parse", "main"]);

    let approved = world.taskloom(&["approve", "--lane", "chain/1/default"]);
    assert_eq!(approved.code, 0, "{}", approved.err);
    assert!(approved.out.contains("it is merged; `main` is now at "), "{}", approved.out);
    let again = world.taskloom(&["approve", "--lane", "chain/1/default"]);
    assert_eq!(again.out, "lane `default` is merged already\n", "{}", again.err);
    assert_eq!(lanes(&world.json(&["status", "chain/1"])), pairs(&[("default", "merged")]));
    assert_ne!(world.git(&["rev-parse", "main"]), main);
    assert_eq!(world.desk().without("main"), before.without("main"));
    world.finish();
}

#[test]
fn the_parallel_tasks_all_merge() {
    let (world, status) = play("parallel", 0);
    assert!(states(&status).iter().all(|(_, state)| state == "merged"), "{status}");
    world.finish();
}

#[test]
fn the_diamond_merges_by_itself_and_moves_main_forward() {
    let (world, status) = play("diamond", 0);
    assert!(lanes(&status).iter().all(|(_, state)| state == "merged"), "{status}");
    let merges = world.git(&["log", "--merges", "--first-parent", "--format=%s", "main"]);
    assert_eq!(merges.lines().count(), 4, "{merges}");
    assert_eq!(merges.lines().next(), Some("Merge lane top of diamond/1"));
    world.finish();
}

#[test]
fn the_role_pipeline_ends_well_although_the_reviewer_changes_nothing() {
    let (world, status) = play("role-pipeline", 0);
    assert_eq!(task(&status, "review")["state"], "completed");
    assert_eq!(task(&status, "implement")["state"], "merged");
    world.finish();
}

#[test]
fn a_failed_gate_goes_back_to_the_agent_of_the_same_attempt() {
    let (world, status) = play("gate-retry", 0);
    let prices = task(&status, "prices");
    assert_eq!((&prices["state"], &prices["attempts"]), (&"merged".into(), &1.into()));
    let logs = world.json(&["logs", "gate-retry/1/prices"]);
    let logs = logs["logs"].as_array().unwrap().iter();
    let names: Vec<String> = logs
        .map(|log| log["path"].as_str().unwrap().rsplit('/').next().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["agent-0.log", "gate-1.log", "agent-1.log", "gate-2.log"]);
    world.finish();
}

#[test]
fn a_failure_blocks_its_dependents_until_it_is_skipped() {
    let (world, status) = play("blocked", 1);
    assert_eq!(task(&status, "weigh")["state"], "failed");
    assert_eq!(task(&status, "sweep")["state"], "merged");
    let why = world.taskloom(&["why", "blocked/1/ship"]);
    assert_eq!(why.out, "blocked/1/ship (blocked): is blocked by `weigh`, which did not succeed\n");
    let preview = world.taskloom(&["skip", "weigh", "--dry-run"]);
    assert_eq!(
        preview.out,
        "would be: task `weigh` is skipped; `label` becomes ready\n  affects: label\n"
    );
    assert_eq!(world.state("weigh"), "failed");
    assert_eq!(world.taskloom(&["skip", "weigh", "--reason", "by hand"]).code, 0);
    assert_eq!(world.state("label"), "ready");
    let why = world.taskloom(&["why", "label"]);
    assert_eq!(why.out, "blocked/1/label (ready): no process drives this run now\n");
    world.finish();
}

#[test]
fn child_lanes_merge_into_their_parent() {
    let (world, status) = play("lanes", 0);
    let expected = [("release", "awaits approval"), ("engine", "merged"), ("manual", "merged")];
    assert_eq!(lanes(&status), pairs(&expected));
    world.finish();
}

#[test]
fn a_design_concern_stops_the_merge_and_an_ops_concern_does_not() {
    let (world, status) = play("concerns", 0);
    let lanes = lanes(&status);
    assert!(lanes.contains(&("tariff".to_owned(), "awaits approval".to_owned())), "{lanes:?}");
    assert!(lanes.contains(&("bell".to_owned(), "merged".to_owned())), "{lanes:?}");
    let shown = world.taskloom(&["show", "concerns/1/write-tariff"]);
    assert!(shown.out.contains("concern: "), "{}", shown.out);
    world.finish();
}

#[test]
fn declared_files_are_handed_on() {
    let (world, status) = play("inputs", 0);
    assert_eq!(task(&status, "average")["state"], "merged");
    let branch = "taskloom/inputs/1/w/default:weather/average.txt";
    assert_eq!(world.git(&["show", branch]).trim(), "15");
    world.finish();
}

#[test]
fn two_hundred_tasks_all_merge() {
    let (world, status) = play("layered-200", 0);
    let states = states(&status);
    assert_eq!(states.len(), 200);
    assert!(states.iter().all(|(_, state)| state == "merged"), "{status}");
    let branch = lanes(&status).remove(0).0;
    let head = format!("taskloom/layered-200/1/w/{branch}");
    let count = world.git(&["rev-list", "--count", &format!("main..{head}")]);
    assert_eq!(count.trim(), "400");
    world.finish();
}

#[test]
fn a_repository_is_found_from_where_the_user_stands() {
    let world = World::new();
    let graph = example("chain").display().to_string();
    let named = world.taskloom(&["run", &graph, "--repo", "repo"]);
    assert_eq!(named.code, 0, "{}", named.err);
    let within = world.repo().join("within");
    std::fs::create_dir(&within).unwrap();
    let below = world.taskloom_in(&within, &["run", &graph]);
    assert_eq!(below.code, 0, "{}", below.err);
    // Done, and waiting for a person: it is shown and not done once more.
    assert!(below.out.contains("approve --lane chain/1/default"), "{}", below.out);
    let fresh = world.taskloom_in(&within, &["run", &graph, "--fresh"]);
    assert!(fresh.out.contains("chain/2"), "the same project: {}", fresh.out);
    world.finish();
}

/// A task that goes on until it is told to stop, and one that waits for it.
const ENDLESS: &str = r#"
name: endless
tasks:
  - id: work
    description: Works for ever.
    primary_agent:
      framework: shell
      command: |
        echo begun > begun.txt
        git add -A && git commit -qm begun
        while true; do sleep 0.05; done
  - id: after
    description: Waits.
    dependencies: [work]
    primary_agent: {framework: shell, command: "echo after > after.txt"}
"#;

#[test]
fn a_stopped_and_a_cancelled_run_leave_the_desk_as_it_was() {
    let world = World::new();
    let before = world.desk();
    let graph = world.write("endless.yaml", ENDLESS);
    let run = world.start(&graph);
    until("the agent works", || world.state("work") == "running");
    let stopped = world.taskloom(&["stop", "work"]);
    assert_eq!(stopped.out, "the attempt of task `work` is ended\n", "{}", stopped.err);
    assert_eq!(ended(run).code, 1);
    assert_eq!(world.state("work"), "stopped");
    assert_eq!(world.state("after"), "defined");
    assert_eq!(world.desk(), before);

    assert_eq!(world.taskloom(&["retry", "work", "--note", "again"]).code, 0);
    let run = world.start(&graph);
    until("the agent works again", || world.state("work") == "running");
    let cancelled = world.taskloom(&["cancel", "endless"]);
    assert!(cancelled.out.starts_with("run `endless/1` is cancelled"), "{}", cancelled.err);
    assert_eq!(ended(run).code, 130);
    assert_eq!(world.state("work"), "cancelled");
    assert_eq!(world.desk(), before);
    world.finish();
}

/// Waits for a file, so that a test can hold it back as long as it needs.
fn held(world: &World) -> PathBuf {
    let gate = world.path("go");
    let graph = format!(
        r#"
name: held
tasks:
  - id: work
    description: Waits for a file.
    primary_agent:
      framework: shell
      command: |
        echo "begun by $$"
        while [ ! -e {} ]; do sleep 0.05; done
        echo "$TASKLOOM_ATTEMPT" > attempt.txt
  - id: after
    description: Comes next.
    dependencies: [work]
    primary_agent: {{framework: shell, command: "echo after > after.txt"}}
"#,
        gate.display()
    );
    world.write("held.yaml", &graph)
}

fn begun(world: &World) -> String {
    let logs = world.taskloom(&["logs", "held/1/work"]);
    logs.out
}

#[test]
fn an_interrupted_run_goes_on_with_the_same_agent() {
    let world = World::new();
    let graph = held(&world);
    let run = world.start(&graph);
    until("the agent works", || begun(&world).contains("begun by"));
    let agent = begun(&world);
    signal(&run, "TERM");
    assert_eq!(ended(run).code, 130);
    assert!(!world.processes().is_empty(), "the agent runs on");
    let shown = world.taskloom(&["status"]);
    assert!(shown.out.contains("held/1: open"), "{}", shown.out);

    world.write("go", "");
    let again = world.run(&graph, &[]);
    assert_eq!(again.code, 0, "{}\n{}", again.out, again.err);
    assert_eq!(begun(&world), agent, "it was begun once");
    assert_eq!(world.git(&["show", "taskloom/held/1/w/default:attempt.txt"]).trim(), "0");
    world.finish();
}

#[test]
fn a_second_interrupt_ends_the_agents_and_the_run_begins_them_again() {
    let world = World::new();
    let graph = held(&world);
    let mut run = world.start(&graph);
    until("the agent works", || begun(&world).contains("begun by"));
    let first = begun(&world);
    let mut told = BufReader::new(run.stderr.take().unwrap());
    signal(&run, "INT");
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    assert!(line.starts_with("suspending: 1 agent will run on in the background"), "{line}");
    signal(&run, "INT");
    assert_eq!(ended(run).code, 130);
    assert!(world.processes().is_empty(), "{:?}", world.processes());
    assert_eq!(world.state("work"), "ready");

    world.write("go", "");
    let again = world.run(&graph, &[]);
    assert_eq!(again.code, 0, "{}\n{}", again.out, again.err);
    assert_ne!(begun(&world), first, "it was begun again");
    world.finish();
}

#[test]
fn an_interrupted_run_starts_nothing_new_and_goes_on_by_its_name() {
    let world = World::new();
    let graph = held(&world);
    let mut run = world.start(&graph);
    until("the agent works", || begun(&world).contains("begun by"));
    let mut told = BufReader::new(run.stderr.take().unwrap());
    signal(&run, "INT");
    told.read_line(&mut String::new()).unwrap();
    world.write("go", "");
    assert_eq!(ended(run).code, 130);
    assert_ne!(world.state("after"), "merged");

    let status = world.taskloom(&["status"]);
    assert!(status.out.contains("held/1: open, no process drives it now"), "{}", status.out);
    assert!(status.out.contains("run held/1    # goes on with it"), "{}", status.out);
    let again = world.taskloom(&["run", "held/1"]);
    assert_eq!(again.code, 0, "{}\n{}", again.out, again.err);
    assert_eq!(world.state("after"), "merged");
    world.finish();
}

#[test]
fn runs_of_the_same_name_are_told_apart_by_their_project() {
    let world = World::new();
    let other = world.path("other");
    std::fs::create_dir(&other).unwrap();
    world.git(&["-C", other.to_str().unwrap(), "init", "-q", "-b", "main"]);
    let args = ["-C", other.to_str().unwrap(), "commit", "-q", "--allow-empty", "-m", "first"];
    world.git(&args);
    assert_eq!(world.run(&example("chain"), &[]).code, 0);
    let graph = example("chain").display().to_string();
    let second = world.taskloom(&["run", &graph, "--repo", "other"]);
    assert!(second.out.contains("approve --lane other:chain/1/default"), "{}", second.out);

    let vague = world.taskloom(&["approve", "--lane", "chain/1/default"]);
    assert_eq!(vague.code, 1);
    assert_eq!(
        vague.err,
        "error: `chain/1` is a run of more than one project\n  \
         hint: write one of `other:chain/1`, `repo:chain/1`\n"
    );
    let clear = world.taskloom(&["approve", "--lane", "repo:chain/1/default"]);
    assert_eq!(clear.code, 0, "{}", clear.err);
    assert_eq!(lanes(&world.json(&["status", "repo:chain"])), pairs(&[("default", "merged")]));
    let waits = lanes(&world.json(&["status", "other:chain/1"]));
    assert_eq!(waits, pairs(&[("default", "awaits approval")]));
    world.finish();
}

#[test]
fn a_reader_that_goes_away_does_not_end_a_run() {
    let world = World::new();
    let mut run = world.start(&example("chain"));
    drop(run.stdout.take());
    assert_eq!(ended(run).code, 0);
    assert_eq!(world.state("count"), "merged");
    world.finish();
}

#[test]
fn a_killed_run_goes_on_with_the_same_agent() {
    let world = World::new();
    let graph = held(&world);
    let run = world.start(&graph);
    until("the agent works", || begun(&world).contains("begun by"));
    let agent = begun(&world);
    signal(&run, "KILL");
    ended(run);
    world.write("go", "");
    let again = world.run(&graph, &[]);
    assert_eq!(again.code, 0, "{}\n{}", again.out, again.err);
    assert_eq!(begun(&world), agent, "it was begun once");
    world.finish();
}

/// Kills the run, and where `all` is set every process of it, when it has printed so many lines.
/// Whether it is to go on.
fn killed_at(world: &World, graph: &Path, line: usize, all: bool) -> bool {
    let mut run = world.start(graph);
    let mut said = BufReader::new(run.stdout.take().unwrap()).lines();
    let came = said.nth(line).is_some();
    if all {
        world.kill_all();
    } else if came {
        signal(&run, "KILL");
    }
    said.for_each(drop);
    ended(run);
    world.json(&["status"])["state"] != "succeeded"
}

#[test]
fn kills_at_any_moment_lose_nothing_and_repeat_nothing() {
    let step = std::env::var("TASKLOOM_KILLS").map_or(9, |step| step.parse().unwrap());
    let (mut tree, mut line) = (None, 0);
    loop {
        let world = World::new();
        let cut = killed_at(&world, &example("diamond"), line, line % 2 == 0);
        if cut && killed_at(&world, &example("diamond"), line / 3, line % 3 == 0) {
            let end = world.run(&example("diamond"), &[]);
            assert_eq!(end.code, 0, "killed at {line}: {}\n{}", end.out, end.err);
        }
        let merges = world.git(&["log", "--merges", "--first-parent", "--format=%s", "main"]);
        assert_eq!(merges.lines().count(), 4, "killed at {line}: {merges}");
        let now = world.git(&["rev-parse", "main^{tree}"]);
        assert_eq!(tree.get_or_insert_with(|| now.clone()), &now, "killed at {line}");
        world.git(&["fsck", "--strict", "--no-dangling"]);
        // A process that was killed leaves its socket; the next one takes it away.
        world.taskloom(&["cancel", "diamond", "--dry-run"]);
        world.finish();
        if !cut {
            return;
        }
        line += step;
    }
}

#[test]
fn a_power_cut_costs_no_attempt() {
    let world = World::new();
    let graph = held(&world);
    let run = world.start(&graph);
    until("the agent works", || begun(&world).contains("begun by"));
    world.kill_all();
    ended(run);
    world.write("go", "");
    let again = world.run(&graph, &[]);
    assert_eq!(again.code, 0, "{}\n{}", again.out, again.err);
    assert!(again.out.contains("will be tried again: process lost"), "{}", again.out);
    assert_eq!(world.git(&["show", "taskloom/held/1/w/default:attempt.txt"]).trim(), "1");
    world.finish();
}

#[test]
fn a_second_owner_is_refused_and_a_changed_graph_is_not_mixed_in() {
    let world = World::new();
    let graph = held(&world);
    let run = world.start(&graph);
    until("the agent works", || world.state("work") == "running");
    let second = world.run(&graph, &[]);
    assert_eq!(second.code, 1);
    assert!(second.err.contains("is in use by `taskloom run held` (pid "), "{}", second.err);
    signal(&run, "TERM");
    ended(run);

    let text = std::fs::read_to_string(&graph).unwrap();
    std::fs::write(&graph, text.replace("Comes next.", "Comes later.")).unwrap();
    let changed = world.run(&graph, &[]);
    assert_eq!(changed.code, 1);
    insta::assert_snapshot!(changed.err);
    assert_eq!(world.taskloom(&["cancel", "held"]).code, 0);
    world.finish();
}

#[test]
fn failed_attempts_keep_their_work_and_a_retry_is_told_about_it() {
    let world = World::new();
    let graph = world.write(
        "kept.yaml",
        r#"
name: kept
tasks:
  - id: work
    description: Fails first.
    primary_agent:
      framework: shell
      command: |
        if [ "$TASKLOOM_ATTEMPT" = 0 ]; then
          echo half > half.txt; git add -A; git commit -qm half; echo more > more.txt
          echo "something went wrong" >&2; exit 3
        fi
        git show refs/taskloom/previous:half.txt > whole.txt
        git show refs/taskloom/previous:more.txt >> whole.txt
        grep -q 'something went wrong' "$TASKLOOM_INSTRUCTIONS" && grep -q 'use both' "$TASKLOOM_INSTRUCTIONS"
"#,
    );
    assert_eq!(world.run(&graph, &[]).code, 1);
    let shown = world.taskloom(&["show", "work"]);
    assert!(shown.out.contains("something went wrong"), "{}", shown.out);
    let retried = world.taskloom(&["retry", "work", "--note", "use both"]);
    assert_eq!(retried.code, 0, "{}", retried.err);
    let again = world.run(&graph, &[]);
    assert_eq!(again.code, 0, "{}\n{}", again.out, again.err);
    assert_eq!(world.git(&["show", "taskloom/kept/1/w/default:whole.txt"]), "half\nmore\n");
    world.finish();
}

#[test]
fn a_merge_conflict_goes_back_to_the_agent_on_the_merged_state() {
    let world = World::new();
    let graph = world.write(
        "clash.yaml",
        r#"
name: clash
max_task_attempts: 3
max_concurrency: 2
tasks:
  - id: one
    description: Writes one.
    primary_agent: {framework: shell, command: "echo one >> list.txt"}
  - id: two
    description: Writes two.
    primary_agent: {framework: shell, command: "echo two >> list.txt"}
"#,
    );
    let run = world.run(&graph, &[]);
    assert_eq!(run.code, 0, "{}\n{}", run.out, run.err);
    let list = world.git(&["show", "taskloom/clash/1/w/default:list.txt"]);
    let mut lines: Vec<&str> = list.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["one", "two"]);
    world.finish();
}

#[test]
fn main_that_is_checked_out_is_left_alone_with_a_hint() {
    let world = World::new();
    world.git(&["stash", "-q", "-u"]);
    world.git(&["switch", "-q", "main"]);
    let before = world.desk();
    let said = world.run(&example("diamond"), &[]);
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(world.desk(), before);
    let hint = "the result is on `taskloom/diamond/1/into/main`; `main` was left alone: `main` is \
                checked out in";
    assert!(said.out.contains(hint), "{}", said.out);
    let status = world.taskloom(&["status", "diamond"]);
    assert!(status.out.contains("✓ lane top: merged, but the result is on"), "{}", status.out);
    assert!(status.out.contains("merge taskloom/diamond/1/into/main    # where `main` is"));
    let result = world.git(&["log", "-1", "--format=%s", "taskloom/diamond/1/into/main"]);
    assert_eq!(result.trim(), "Merge lane top of diamond/1");
    world.finish();
}

#[test]
fn what_a_person_adds_meanwhile_is_taken_in() {
    let world = World::new();
    let graph = world.path("held.yaml");
    let text = std::fs::read_to_string(held(&world)).unwrap();
    let lanes = "workstreams: [{id: default, auto_merge: true}]\ntasks:";
    std::fs::write(&graph, text.replace("tasks:", lanes)).unwrap();
    let run = world.start(&graph);
    until("the agent works", || world.state("work") == "running");
    let tree = world.git(&["rev-parse", "feature/mine^{tree}"]);
    let message = ["commit-tree", tree.trim(), "-p", "main", "-m", "a colleague's"];
    let commit = world.git(&message);
    world.git(&["update-ref", "refs/heads/main", commit.trim()]);
    world.write("go", "");
    assert_eq!(ended(run).code, 0);
    let subjects = world.git(&["log", "--format=%s", "main"]);
    assert!(subjects.contains("a colleague's"), "{subjects}");
    assert!(subjects.contains("Merge lane default of held/1"), "{subjects}");
    world.finish();
}

#[test]
fn a_graph_that_cannot_run_here_stores_and_starts_nothing() {
    let world = World::new();
    let graph = world.write(
        "cannot.yaml",
        r#"
name: cannot
tools: [no-such-tool]
workstreams: [{id: default, base_branch: nowhere}]
tasks:
  - {id: a, description: x, workstream_id: default}
  - id: b
    description: x
    workstream_id: default
    isolation: {sandbox: oci}
    env: {TOKEN: "${SECRET}"}
    primary_agent: {framework: shell, command: "true"}
"#,
    );
    let said = world.run(&graph, &[]);
    assert_eq!(said.code, 1);
    let repo = world.repo().canonicalize().unwrap().display().to_string();
    insta::assert_snapshot!(said.err.replace(&repo, "[repo]"));
    assert_eq!(world.taskloom(&["list"]).out, "no runs yet\n");
    world.finish();
}

#[test]
fn what_agents_write_cannot_be_taken_for_what_taskloom_says() {
    let world = World::new();
    let graph = world.write(
        "forger.yaml",
        r#"
name: forger
tasks:
  - id: work
    description: Lies.
    primary_agent:
      framework: shell
      command: |
        printf '\033[2Jcleared\n'
        taskloom task concern "$(printf 'x\nlane default: merged\nforger/1: failed')"
        echo x > x.txt
"#,
    );
    let run = world.run(&graph, &[]);
    assert_eq!(run.code, 0, "{}", run.err);
    let shown = world.taskloom(&["show", "work"]);
    for text in [&run.out, &shown.out] {
        assert!(!text.lines().any(|line| line.starts_with("forger/1: failed")), "{text}");
        assert!(!text.lines().any(|line| line.starts_with("lane default: merged")), "{text}");
    }
    assert!(!run.out.contains('\u{1b}'), "{}", run.out);
    world.finish();
}

#[test]
fn a_data_directory_inside_the_repository_is_refused() {
    let world = World::new();
    let before = world.desk();
    let inside = world.repo().join("data");
    std::fs::create_dir(&inside).unwrap();
    let graph = example("chain").display().to_string();
    let (repo, inside) = (world.repo().display().to_string(), inside.display().to_string());
    let args = ["run", &graph, "--repo", &repo, "--data-dir", &inside];
    let said = world.taskloom_bare(&args);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("lies in the repository"), "{}", said.err);
    std::fs::remove_dir_all(&inside).unwrap();
    assert_eq!(world.desk(), before);
    world.finish();
}

/// A second agent that wants the greeting louder, and is content when it is.
const REVIEWED: &str = "name: reviewed
workstreams:
  - {id: default, auto_merge: true}
tasks:
  - id: greet
    description: Write a greeting.
    completion_gate: test -s greeting.txt
    MORE
    review:
      agent:
        framework: shell
        command: |
          cat > seen.md
          if grep -q '+hello$' seen.md; then taskloom task object 'say it louder' 'mind the comma'
          elif grep -q '+HELLO' seen.md; then taskloom task approve
          fi
    primary_agent:
      framework: shell
      command: |
        case $TASKLOOM_TURN in 0) echo hello ;; *) cat >> heard.txt; echo ANSWER ;; esac > greeting.txt
";

#[test]
fn what_a_reviewer_objects_to_goes_back_and_what_it_approves_is_merged() {
    let world = World::new();
    let graph = REVIEWED.replace("MORE", "max_gate_attempts: 3").replace("ANSWER", "HELLO");
    let said = world.run(&world.write("reviewed.yaml", &graph), &[]);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    assert_eq!(world.git(&["show", "main:greeting.txt"]), "HELLO\n");
    let heard = world.git(&["show", "main:heard.txt"]);
    assert!(heard.contains("- say it louder\n- mind the comma"), "{heard}");
    assert!(world.git(&["ls-tree", "--name-only", "main", "seen.md"]).is_empty());
    assert!(said.out.contains("the reviewer approves"), "{}", said.out);
    until("all processes are gone", || world.processes().is_empty());
}

#[test]
fn a_reviewer_has_the_last_word_and_its_silence_is_no_consent() {
    let world = World::new();
    let stubborn = REVIEWED.replace("MORE", "max_attempts: 1\n    max_gate_attempts: 2");
    let said = world.run(&world.write("reviewed.yaml", &stubborn.replace("ANSWER", "hello")), &[]);
    assert_eq!(said.code, 1, "{}\n{}", said.out, said.err);
    let why = world.taskloom(&["why", "greet"]).out;
    assert!(why.contains("rejected: the reviewer objects, for the last time"), "{why}");
    let silent = stubborn.replace("name: reviewed", "name: silent").replace("ANSWER", "mumble");
    let said = world.run(&world.write("silent.yaml", &silent), &[]);
    assert_eq!(said.code, 1, "{}\n{}", said.out, said.err);
    let why = world.taskloom(&["why", "silent/1/greet"]).out;
    assert!(why.contains("the reviewer ended without a word"), "{why}");
}
