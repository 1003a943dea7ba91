//! Defects of the systems before this one that concern git, processes and the command line, on the
//! real program; each test has the number of the report. Those of scheduling are scenarios
//! (`scenarios/d*.sim`). Others are shown elsewhere:
//!
//! * D-07 (a pull request that an agent named was merged): an agent has no way to name one; what
//!   it says and forges is in `scripted`, what it may write in `agents::walls`.
//! * D-08 (summaries lost on resume): `scripted::what_an_agent_says_reaches_people_and_later_tasks`
//!   and, for a changed graph, `d08` below.
//! * D-19, D-20 (a second run, Ctrl-C): `runs::a_second_owner_is_refused_…`,
//!   `runs::a_second_interrupt_ends_the_agents_…`.
//! * D-22 (fields without effect): a graph that asks for what is not there is refused,
//!   `runs::a_graph_that_cannot_run_here_stores_and_starts_nothing`.
//! * D-26 (a reset that erased others' commits): nothing rewrites history; `scenarios/rewind.sim`.
//! * D-28 (secrets on command lines): `agents::walls`.
//! * D-30 is about another program's packaging.

use crate::world::{World, until};

fn graph(world: &World, name: &str, text: &str) -> std::path::PathBuf {
    world.write(
        &format!("{name}.yaml"),
        &text.replace("WORLD", &world.path("").display().to_string()),
    )
}

/// The user stands on `main` with a commit that nobody else has: it stays, and nothing is staged.
#[test]
fn d06_the_users_branch_and_index_are_left_alone() {
    let world = World::new();
    world.git(&["commit", "-q", "-a", "-m", "put aside"]);
    world.git(&["switch", "-q", "main"]);
    let before = world.desk();
    let graph = graph(
        &world,
        "desk",
        r#"
name: desk
workstreams: [{id: one, auto_merge: true}, {id: two, auto_merge: true}]
tasks:
  - {id: a, description: x, workstream_id: one, primary_agent: {framework: shell, command: "echo a > a1.txt"}}
  - {id: b, description: x, workstream_id: two, primary_agent: {framework: shell, command: "echo b > b1.txt"}}
"#,
    );
    let said = world.run(&graph, &[]);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    assert_eq!(world.desk(), before);
    assert!(said.out.contains("`main` was left alone"), "{}", said.out);
    std::fs::write(world.repo().join("n.txt"), "mine\n").unwrap();
    world.git(&["add", "n.txt"]);
    world.git(&["commit", "-q", "-m", "mine"]);
    assert_eq!(world.git(&["show", "--format=", "--name-status", "HEAD"]), "A\tn.txt\n");
    world.git(&["merge", "-q", "--no-edit", "taskloom/desk/1/into/main"]);
    assert_eq!(world.git(&["show", "HEAD:a1.txt"]), "a\n");
    world.finish();
}

/// A task that is added to a lane that was merged runs, in nested lanes of real branches too, and what
/// was done is there.
#[test]
fn d03_a_task_added_to_a_merged_lane_runs_on_what_is_there() {
    let world = World::new();
    let text = r#"
name: rel
workstreams:
  - {id: release, auto_merge: true}
  - {id: api, parent_workstream_id: release, auto_merge: true}
  - {id: ui, parent_workstream_id: release, auto_merge: true}
tasks:
  - {id: a1, description: x, workstream_id: api, primary_agent: {framework: shell, command: "echo a1 > a1.txt"}}
  - {id: u1, description: x, workstream_id: ui, primary_agent: {framework: shell, command: "COMMAND"}}
  - {id: r1, description: x, workstream_id: release, dependencies: [a1], primary_agent: {framework: shell, command: "cat a1.txt > r1.txt"}}
"#;
    let file = graph(&world, "rel", &text.replace("COMMAND", "exit 3"));
    assert_eq!(world.run(&file, &[]).code, 1);
    let added = "  - {id: a2, description: x, workstream_id: api, dependencies: [a1], primary_agent: {framework: shell, command: \"cat a1.txt > a2.txt\"}}\n";
    graph(&world, "rel", &(text.replace("COMMAND", "echo u1 > u1.txt") + added));
    let said = world.run(&file, &["--amend"]);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    assert!(said.out.contains("goes on from rel/1: 2 results are kept"), "{}", said.out);
    let files = world.git(&["ls-tree", "--name-only", "main"]);
    assert_eq!(files, "README.md\na.txt\na1.txt\na2.txt\nr1.txt\nu1.txt\n");
    let once = world.git(&["log", "--format=%s", "--merges", "main"]);
    assert_eq!(once.lines().filter(|line| line.starts_with("a1: ")).count(), 1, "{once}");
    world.finish();
}

/// What upstream tasks said reaches those of a run that goes on from theirs.
#[test]
fn d08_summaries_are_handed_on_to_a_changed_graph() {
    let world = World::new();
    let text = r#"
name: told
tasks:
  - id: first
    description: x
    primary_agent: {framework: shell, command: "echo 1 > 1.txt; taskloom task summary 'the ledger is in 1.txt'"}
  - id: second
    description: x
    dependencies: [first]
    primary_agent: {framework: shell, command: "grep -q 'the ledger is in 1.txt' \"$TASKLOOM_INSTRUCTIONS\" && COMMAND"}
"#;
    let file = graph(&world, "told", &text.replace("COMMAND", "exit 3"));
    assert_eq!(world.run(&file, &[]).code, 1);
    graph(&world, "told", &text.replace("COMMAND", "echo 2 > 2.txt"));
    let said = world.run(&file, &["--amend"]);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    assert!(said.out.contains("goes on from told/1: 1 result is kept"), "{}", said.out);
    let files = world.git(&["ls-tree", "--name-only", "taskloom/told/2/w/default"]);
    assert_eq!(files, "1.txt\n2.txt\nREADME.md\na.txt\n");
    world.finish();
}

/// A record of the end that is empty, as a crash or an agent may leave it, is no success.
#[test]
fn d09_a_torn_record_is_no_success() {
    let world = World::new();
    let graph = graph(
        &world,
        "torn",
        r#"
name: torn
tasks:
  - id: a
    description: x
    primary_agent:
      framework: shell
      command: |
        dir=$(dirname "$TASKLOOM_INSTRUCTIONS")
        : > "$dir/agent-0.exit.json"; : > "$dir/result.json"; : > "$dir/done"
        echo work > work.txt
        exit 3
"#,
    );
    let said = world.run(&graph, &[]);
    assert_eq!(said.code, 1, "{}\n{}", said.out, said.err);
    assert_eq!(world.state("a"), "failed");
    world.finish();
}

#[test]
fn d16_an_agent_that_is_not_there_fails_at_once() {
    let world = World::new();
    let graph = graph(
        &world,
        "missing",
        "name: missing\ntasks:\n  - {id: a, description: x, primary_agent: {framework: shell, command: no-such-agent-anywhere}}\n",
    );
    let said = world.run(&graph, &[]);
    assert_eq!(said.code, 1);
    assert!(said.out.contains("no-such-agent-anywhere"), "{}", said.out);
    world.finish();
}

/// A gate that waits for what another lane does: a loop that ran gates itself would never end.
#[test]
fn d17_a_gate_holds_up_nothing_else() {
    let world = World::new();
    let graph = graph(
        &world,
        "gates",
        r#"
name: gates
workstreams: [{id: one}, {id: two}]
tasks:
  - id: waits
    description: x
    workstream_id: one
    completion_gate: "touch WORLD/waiting; while [ ! -e WORLD/go ]; do sleep 0.05; done"
    primary_agent: {framework: shell, command: "echo 1 > 1.txt"}
  - id: goes
    description: x
    workstream_id: two
    primary_agent: {framework: shell, command: "while [ ! -e WORLD/waiting ]; do sleep 0.05; done; touch WORLD/go; echo 2 > 2.txt"}
"#,
    );
    let said = world.run(&graph, &[]);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    world.finish();
}

#[test]
fn d23_a_task_may_be_called_like_its_lane() {
    let world = World::new();
    let graph = graph(
        &world,
        "names",
        r#"
name: names
workstreams: [{id: auth, auto_merge: true}, {id: integration, auto_merge: true}]
tasks:
  - {id: auth, description: x, workstream_id: auth, primary_agent: {framework: shell, command: "echo 1 > 1.txt"}}
  - {id: integration, description: x, workstream_id: integration, primary_agent: {framework: shell, command: "echo 2 > 2.txt"}}
"#,
    );
    let said = world.run(&graph, &[]);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    assert_eq!(world.git(&["show", "main:1.txt"]), "1\n");
    world.finish();
}

/// A person who merges a lane by hand and then approves it gets what they have, and no error.
#[test]
fn d25_a_lane_that_a_person_merged_is_merged() {
    let world = World::new();
    let graph = graph(
        &world,
        "hand",
        "name: hand\ntasks:\n  - {id: a, description: x, primary_agent: {framework: shell, command: \"echo 1 > 1.txt\"}}\n",
    );
    assert_eq!(world.run(&graph, &[]).code, 0);
    world.git(&["commit", "-q", "-a", "-m", "put aside"]);
    world.git(&["switch", "-q", "main"]);
    world.git(&["merge", "-q", "--no-ff", "-m", "by hand", "taskloom/hand/1/w/default"]);
    world.git(&["switch", "-q", "feature/mine"]);
    let approved = world.taskloom(&["approve", "--lane", "hand/1/default"]);
    assert_eq!(approved.code, 0, "{}\n{}", approved.out, approved.err);
    assert_eq!(world.taskloom(&["run", "hand/1"]).code, 0);
    let lane = world.json(&["status", "hand/1"])["lanes"][0]["state"].clone();
    assert_eq!(lane, "merged");
    let subjects = world.git(&["log", "--merges", "--first-parent", "--format=%s", "main"]);
    assert_eq!(subjects, "by hand\n");
    world.finish();
}

#[test]
fn d27_nothing_of_a_task_stays_behind_but_its_records() {
    let world = World::new();
    let graph = graph(
        &world,
        "tidy",
        "name: tidy\nworkstreams: [{id: default, auto_merge: true}]\ntasks:\n  - {id: a, description: x, primary_agent: {framework: shell, command: \"echo 1 > 1.txt\"}}\n",
    );
    assert_eq!(world.run(&graph, &[]).code, 0);
    let refs = world.git(&["for-each-ref", "--format=%(refname)", "refs/heads/taskloom"]);
    assert_eq!(
        refs,
        "refs/heads/taskloom/tidy/1/into/main\nrefs/heads/taskloom/tidy/1/w/default\n"
    );
    assert_eq!(world.git(&["worktree", "list"]).lines().count(), 1);
    assert!(world.worktrees().is_empty(), "{:?}", world.worktrees());
    world.finish();
}

/// Hooks and settings that an agent plants where it works are run by nobody else's git.
#[test]
fn d29_planted_hooks_and_settings_are_never_run() {
    let world = World::new();
    let graph = graph(
        &world,
        "hooks",
        r#"
name: hooks
workstreams: [{id: default, auto_merge: true}]
tasks:
  - id: a
    description: x
    completion_gate: test -e planted.txt
    primary_agent:
      framework: shell
      command: |
        dir=$(git rev-parse --absolute-git-dir)
        echo planted > planted.txt
        git add planted.txt && git commit -qm planted
        mkdir -p "$dir/hooks"
        printf '#!/bin/sh\ntouch WORLD/owned\n' > "$dir/hooks/evil"
        chmod +x "$dir/hooks/evil"
        for hook in post-checkout post-merge pre-push post-commit reference-transaction post-index-change pre-auto-gc; do
          cp "$dir/hooks/evil" "$dir/hooks/$hook"
        done
        printf '[core]\n\tfsmonitor = WORLD/evil\n\thooksPath = %s\n[filter "x"]\n\tclean = WORLD/evil\n\tsmudge = WORLD/evil\n' "$dir/hooks" >> "$dir/config"
        printf '* filter=x\n' > .gitattributes
        cp "$dir/hooks/evil" WORLD/evil
"#,
    );
    let said = world.run(&graph, &[]);
    // The file that chooses filters needs a person; whatever comes of it, nothing was run.
    assert!(said.code == 0 || said.code == 3, "{}\n{}", said.out, said.err);
    world.taskloom(&["approve", "hooks/1/a"]);
    world.taskloom(&["run", "hooks/1"]);
    assert!(world.path("evil").exists(), "the agent did not come that far");
    assert!(!world.path("owned").exists(), "what an agent planted was run");
    until("no process is left", || world.processes().is_empty());
    world.finish();
}
