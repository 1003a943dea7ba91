//! Taking back what was merged: with the repository alone, and with a GitHub beside it.

use std::process::Child;

use crate::github::stage::{Stage, file, subjects};
use crate::world::{World, until};

const LANES: &str = "
name: g
workstreams: [{id: default}]
tasks:
  - {id: first, description: x}
  - {id: second, description: y, dependencies: [first]}
  - {id: third, description: z, dependencies: [second]}
";

/// A world whose agents write a file each.
fn world() -> World {
    let world = World::new();
    world.write(
        "config.yaml",
        "agents: {helper: {framework: shell, command: 'echo done > $TASKLOOM_TASK.txt'}}\n\
         default_agent: helper\n",
    );
    world
}

fn taskloom(world: &World, args: &[&str]) -> (i32, String) {
    let config = world.path("config.yaml").display().to_string();
    let mut args = args.to_vec();
    args.extend(["--config", &config]);
    let said = world.taskloom(&args);
    (said.code, said.out + &said.err)
}

fn run(world: &World, graph: &str) -> (i32, String) {
    let graph = world.write("g.yaml", graph).display().to_string();
    let repo = world.repo().display().to_string();
    taskloom(world, &["run", &graph, "--repo", &repo])
}

/// Where the lane's branch is, in the engine's repository.
fn lane(world: &World) -> String {
    let repo = std::fs::read_dir(world.data().join("repos")).unwrap().next().unwrap().unwrap();
    let dir = repo.path().display().to_string();
    world.git(&["-C", &dir, "log", "--format=%s", "--first-parent", "taskloom/g/1/w/default"])
}

/// Commits and times are others each time.
fn plain(text: &str) -> String {
    let hex = |word: &str| {
        let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        bare.len() == 10 && bare.chars().all(|c| c.is_ascii_hexdigit())
    };
    let line = |line: &str| {
        let words = line.split(' ').map(|word| if hex(word) { "COMMIT" } else { word });
        words.collect::<Vec<_>>().join(" ")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_last_merge_and_all_after_one_are_taken_back_as_they_were_announced() {
    let world = world();
    let desk = world.desk();
    assert_eq!(run(&world, LANES).0, 0);
    let before = lane(&world);
    let mut told = Vec::new();
    let mut say = |args: &[&str]| {
        let (code, text) = taskloom(&world, args);
        told.push(format!("$ taskloom {}\n{}\n[{code}]", args.join(" "), plain(text.trim_end())));
    };
    say(&["reset-task", "g/1/first", "--yes"]);
    say(&["reset-task", "g/1/third", "--dry-run"]);
    assert_eq!(lane(&world), before, "a rehearsal moves nothing");
    say(&["reset-task", "g/1/third"]);
    say(&["reset-task", "g/1/third", "--yes"]);
    assert!(lane(&world).starts_with("second: "), "{}", lane(&world));
    assert_eq!(world.state("third"), "stopped");
    say(&["reset-to", "--after", "g/1/first", "--yes"]);
    assert!(lane(&world).starts_with("first: "), "{}", lane(&world));
    say(&["reset-workstream", "g/1/default", "--yes"]);
    assert!(lane(&world).starts_with("second, not pushed"), "{}", lane(&world));
    say(&["reset-workstream", "g/1/default", "--yes"]);
    insta::assert_snapshot!(told.join("\n\n"));
    // Everything can be done again.
    for task in ["first", "second", "third"] {
        assert_eq!(taskloom(&world, &["retry", &format!("g/1/{task}")]).0, 0);
    }
    assert_eq!(taskloom(&world, &["run", "g/1"]).0, 0);
    assert_eq!(lane(&world).lines().count(), before.lines().count());
    assert_eq!(world.desk(), desk);
    world.finish();
}

#[test]
fn what_is_in_the_target_is_reverted_and_what_is_not_is_removed() {
    let world = world();
    let merged = LANES.replace("{id: default}", "{id: default, auto_merge: true}");
    assert_eq!(run(&world, &merged).0, 0);
    assert!(world.git(&["ls-tree", "--name-only", "main"]).contains("third.txt"));
    let desk = world.desk().without("main");
    let (code, refused) = taskloom(&world, &["teardown-workstream", "g/1/default", "--yes"]);
    assert_eq!(code, 1, "{refused}");
    let (code, told) = taskloom(&world, &["reset", "g/1", "--yes"]);
    assert_eq!(code, 0, "{told}");
    assert!(told.contains("`main` stays; a commit that reverts"), "{told}");
    let files = world.git(&["ls-tree", "--name-only", "main"]);
    assert!(!files.contains("third.txt") && files.contains("README.md"), "{files}");
    let last = world.git(&["log", "-1", "--format=%s", "main"]);
    assert_eq!(last.trim(), "Revert \"Merge lane default of g/1\"");
    assert_eq!(world.desk().without("main"), desk);
    assert_eq!(run(&world, &LANES.replace("name: g", "name: h")).0, 0);
    let (code, told) = taskloom(&world, &["reset", "h/1", "--yes"]);
    assert_eq!(code, 0, "{told}");
    let repo = std::fs::read_dir(world.data().join("repos")).unwrap().next().unwrap().unwrap();
    let dir = repo.path().display().to_string();
    let refs = world.git(&["-C", &dir, "for-each-ref", "--format=%(refname)"]);
    assert!(!refs.contains("refs/heads/taskloom/h/1/w/"), "{refs}");
    assert!(
        refs.contains("refs/taskloom/undone/taskloom/h/1/w/default/"),
        "nothing is lost: {refs}"
    );
    world.finish();
}

fn ended(stage: &Stage, daemon: Child) {
    assert_eq!(stage.end(daemon).code, 0);
}

#[test]
fn on_github_only_the_engines_own_branches_move_and_main_is_reverted_by_a_pull_request() {
    let stage = Stage::new("");
    let daemon = stage.serve(LANES);
    stage.until_lane("awaits approval");
    let main = stage.hub.repo().at("main");
    let said = stage.taskloom(&["reset-task", "g/1/third", "--yes"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let lane = "taskloom/g/1/w/default";
    until("the branch is back", || subjects(&stage, lane)[0].starts_with("second: "));
    until("the task is stopped", || stage.state("third") == "stopped");
    assert_eq!(stage.hub.repo().at("main"), main);
    // Somebody adds to the branch: what the engine does not know it does not move.
    stage.hub.repo().edit(lane, "by-hand.txt", "a person's\n");
    let said = stage.taskloom(&["reset-task", "g/1/second", "--yes"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    until("it is refused", || {
        stage.taskloom(&["show", "g/1", "--json"]).out.contains("it was not taken back")
    });
    assert!(file(&stage, lane, "by-hand.txt").is_some());
    assert_eq!(stage.state("second"), "merged");
    assert_eq!(stage.taskloom(&["retry", "g/1/third"]).code, 0);
    stage.until_lane("awaits approval");
    assert_eq!(stage.taskloom(&["approve", "g/1/default", "--lane"]).code, 0);
    stage.until_lane("merged");
    let said = stage.taskloom(&["reset-workstream", "g/1/default", "--yes"]);
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    until("a revert is proposed", || stage.hub.pull("/revert/default").is_some());
    let pull = stage.hub.pull("/revert/default").unwrap();
    assert_eq!((&*pull.title, &*pull.base), ("Revert \"Merge lane default of g/1\"", "main"));
    assert!(file(&stage, "main", "third.txt").is_some(), "people decide about it");
    stage.hub.merge(pull.number, "octocat");
    assert!(file(&stage, "main", "third.txt").is_none());
    ended(&stage, daemon);
    stage.finish();
}
