//! Walls around agents and gates, for real: what is inside finds out what it can reach.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::world::{World, bwrap, until};

/// Writes into `report.txt` what can be reached from where it runs.
fn spy(world: &World) -> String {
    format!(
        "say() {{ if sh -c \"$2\" > /dev/null 2>&1; then echo \"$1: yes\"; else echo \"$1: no\"; fi; }}\n\
         {{ say 'read the data directory' 'ls {data}/*.db'\n\
         touch {outside}\n\
         say 'read the repository of the user' 'cat {repo}/a.txt'\n\
         say 'read shadow' 'test -s /etc/shadow'\n\
         say 'write the system' 'touch /usr/bin/spy'\n\
         say 'write its home' 'touch ~/note'\n\
         say 'write its worktree' 'touch mine'\n\
         say 'reach the loopback' 'bash -c \": > /dev/tcp/127.0.0.1/{port}\"'\n\
         say 'see processes outside' 'test -e /proc/{pid}/environ'\n\
         }} > report.txt",
        data = world.data().display(),
        outside = world.path("outside").display(),
        repo = world.repo().display(),
        port = world_port(),
        pid = std::process::id(),
    )
}

/// A port on loopback at which somebody listens as long as the test runs.
fn world_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::mem::forget(listener);
    port
}

fn graph(world: &World, name: &str, isolation: &str, gate: &str) -> std::path::PathBuf {
    let indented = spy(world).replace('\n', "\n        ");
    let text = format!(
        "name: {name}\nworkstreams:\n  - {{id: default, auto_merge: true}}\ntasks:\n  - id: spy\n    \
         description: Looks around.\n    completion_gate: {gate}\n    primary_agent:\n      \
         framework: shell\n      isolation: {isolation}\n      command: |\n        {indented}\n        \
         git add report.txt\n        git commit -qm 'what I saw'\n        taskloom task done\n"
    );
    world.write(&format!("{name}.yaml"), &text)
}

#[test]
fn what_is_behind_bwrap_sees_the_system_and_its_own_and_nothing_else() {
    if !bwrap() {
        return;
    }
    let world = World::new();
    let before = world.desk();
    let data = world.data();
    let gate =
        format!("'test -s report.txt && ! ls {}/*.db && ! touch /usr/bin/spy'", data.display());
    let said = world.run(&graph(&world, "walled", "{sandbox: bwrap, network: false}", &gate), &[]);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    assert_eq!(world.desk().without("main"), before.without("main"));
    let report = world.git(&["show", "main:report.txt"]);
    insta::assert_snapshot!(report);
    assert!(said.out.contains("sandbox bwrap: it can reach"), "{}", said.out);
    assert!(!world.path("outside").exists(), "what it wrote there is gone with its walls");
    assert!(world.git(&["log", "--format=%s", "main"]).contains("what I saw"), "it can commit");
    until("all processes are gone", || world.processes().is_empty());
}

/// A container engine that contains nothing: it writes down what it is told and does it.
const STAND_IN: &str = r#"#!/bin/bash
echo "$@" >> "$(dirname "$0")/told"
case $1 in
version) echo "stand-in 1.0" ;;
rm) ;;
run)
  while [ "$1" != "rust:1" ]; do
    case $1 in --workdir=*) cd "${1#--workdir=}" ;; esac
    shift
  done
  shift
  exec "$@" ;;
esac
"#;

#[test]
fn containers_are_told_what_they_may_reach_and_are_cleared_away() {
    let world = World::new();
    fs::create_dir(world.path("engines")).unwrap();
    let engine = world.write("engines/podman", STAND_IN);
    fs::set_permissions(&engine, fs::Permissions::from_mode(0o755)).unwrap();
    let usual = std::env::var("PATH").unwrap();
    let path = format!("{}:{usual}", engine.parent().unwrap().display());
    let isolation = "{sandbox: oci, image: 'rust:1', network: false}";
    let graph = graph(&world, "contained", isolation, "'test -s report.txt'");
    let said = world.run_with(&graph, &[("PATH", path.into())]);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    let told = fs::read_to_string(world.path("engines/told")).unwrap();
    let told = told.replace(&world.path("").display().to_string(), "[world]/");
    let run = told.lines().find(|line| line.starts_with("run ")).unwrap();
    let words: Vec<&str> = run.split(' ').take_while(|word| *word != "rust:1").collect();
    let fixed = |word: &&&str| {
        let names = ["--env=HOME", "--env=TASKLOOM_TASK"];
        let own = word.starts_with("--volume=[world]") || word.starts_with("--workdir=[world]");
        own || names.contains(word) || !(word.starts_with("--volume") || word.starts_with("--env"))
    };
    let fixed: Vec<&str> = words.iter().filter(fixed).copied().collect();
    let user = format!("--user={}:{}", nix::unistd::getuid(), nix::unistd::getgid());
    insta::assert_snapshot!(fixed.join("\n").replace(&user, "--user=[me]"));
    assert!(told.contains("rm --force taskloom-contained-1-spy-0"), "{told}");
}

#[test]
fn where_walls_cannot_be_had_nothing_is_started() {
    let world = World::new();
    let graph = graph(&world, "refused", "{sandbox: bwrap}", "'true'");
    let bin = world.path("bin");
    fs::create_dir(&bin).unwrap();
    for tool in ["git", "sh"] {
        std::os::unix::fs::symlink(which::which(tool).unwrap(), bin.join(tool)).unwrap();
    }
    let said = world.run_with(&graph, &[("PATH", bin.into())]);
    assert_eq!(said.code, 1, "{}\n{}", said.out, said.err);
    assert!(said.err.contains("the sandbox needs `bwrap`, which is not on PATH"), "{}", said.err);
}
