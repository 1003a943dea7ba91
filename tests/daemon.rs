//! `taskloom serve`: a daemon that takes graphs and verbs, is told to end in different ways, and is
//! followed by another.

use std::io::{BufRead as _, BufReader, Lines, Read as _};
use std::process::{Child, ChildStdout};

use crate::world::{World, ended, signal, until};

/// One task that waits for a file, and one after it.
const GRAPH: &str = r#"
name: held
workstreams: [{id: default, auto_merge: true}]
tasks:
  - id: work
    description: Waits until it may go on.
    primary_agent:
      framework: shell
      command: |
        echo "begun by $$" >> WORLD/begun
        while [ ! -e WORLD/go ]; do sleep 0.05; done
        echo done > work.txt
  - id: next
    description: Comes next.
    dependencies: [work]
    primary_agent: {framework: shell, command: "echo next > next.txt"}
"#;

struct Daemon {
    world: World,
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it has printed so far.
    heard: String,
}

impl Daemon {
    /// A daemon with a configuration, and the graph submitted to it.
    fn with(config: &str) -> Self {
        let world = World::new();
        world.write("config.yaml", config);
        let graph = world
            .write("held.yaml", &GRAPH.replace("WORLD", &world.path("").display().to_string()));
        let daemon = Self::start(world);
        let world = &daemon.world;
        let repo = world.repo().display().to_string();
        let submitted = world.taskloom(&["submit", graph.to_str().unwrap(), "--repo", &repo]);
        assert_eq!(submitted.out, "submitted as held/1\n", "{}", submitted.err);
        until("the agent works", || begun(world) == 1);
        daemon
    }

    fn start(world: World) -> Self {
        let mut process = world.serve();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut daemon = Self { world, process, lines, heard: String::new() };
        daemon.hears(" at work in ");
        daemon
    }

    /// Reads on until it has printed something.
    fn hears(&mut self, what: &str) {
        while !self.heard.contains(what) {
            let Some(line) = self.lines.next() else {
                let mut complaint = String::new();
                self.process.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
                panic!("it ended before `{what}`: {}{complaint}", self.heard);
            };
            self.heard.push_str(&line.unwrap());
            self.heard.push('\n');
        }
    }

    /// Waits for its end; the world, and everything that it printed.
    fn ended(mut self) -> (World, String) {
        for line in self.lines {
            self.heard.push_str(&line.unwrap());
            self.heard.push('\n');
        }
        let said = ended(self.process);
        assert!(said.code == 0 || said.code == -1, "{}", said.err);
        (self.world, self.heard)
    }

    /// Ends it by a signal, and starts the next.
    fn replaced(self, name: &str) -> (Self, String) {
        signal(&self.process, name);
        let (world, heard) = self.ended();
        (Self::start(world), heard)
    }

    /// Lets the agent go on, and everything to its end.
    fn finish(self) -> String {
        self.world.write("go", "");
        until("the run is done", || self.world.state_of_run() == "succeeded");
        assert_eq!(self.world.git(&["show", "main:next.txt"]), "next\n");
        assert_eq!(self.world.taskloom(&["shutdown"]).code, 0);
        let (world, heard) = self.ended();
        world.finish();
        heard
    }
}

/// How often the agent was begun.
fn begun(world: &World) -> usize {
    std::fs::read_to_string(world.path("begun")).unwrap_or_default().lines().count()
}

#[test]
fn a_daemon_lets_go_of_its_agents_and_the_next_takes_them_up() {
    let (mut daemon, _) = Daemon::with("").replaced("TERM");
    daemon.hears("taken up again: 1 agent goes on");
    assert_eq!(begun(&daemon.world), 1);
    daemon.finish();
}

#[test]
fn a_daemon_that_is_killed_loses_nothing_and_repeats_nothing() {
    let (mut daemon, _) = Daemon::with("").replaced("KILL");
    let second = daemon.world.serve();
    let refused = ended(second);
    assert_eq!(refused.code, 1);
    assert!(refused.err.contains("is in use by `taskloom serve` (pid "), "{}", refused.err);
    daemon.hears("taken up again: 1 agent goes on");
    daemon.finish();
}

#[test]
fn a_daemon_that_suspends_ends_its_agents_and_the_next_begins_them_again() {
    let (daemon, said) = Daemon::with("on_shutdown: suspend\n").replaced("TERM");
    assert!(said.contains("what runs is suspended, and the process ends"), "{said}");
    until("it is begun again", || begun(&daemon.world) == 2);
    let said = daemon.finish();
    assert!(!said.contains("failed"), "{said}");
}

#[test]
fn a_daemon_that_drains_waits_for_its_agents_and_starts_nothing_new() {
    let daemon = Daemon::with("on_shutdown: drain\ntimeouts: {drain: 1h}\n");
    signal(&daemon.process, "TERM");
    until("it drains", || daemon.world.taskloom(&["drain"]).out.contains("already"));
    daemon.world.write("go", "");
    let (world, _) = daemon.ended();
    assert_eq!((world.state("work").as_str(), begun(&world)), ("merged", 1));
    assert_ne!(world.state("next"), "merged");
    Daemon::start(world).finish();
}

#[test]
fn whoever_asks_beside_a_daemon_is_told_who_holds_the_slots_and_that_it_drains() {
    let daemon = Daemon::with("slots: 1\n");
    let world = &daemon.world;
    let other = "name: other\ntasks:\n  - id: later\n    description: Later.\n    \
                 primary_agent: {framework: shell, command: \"true\"}\n";
    let other = world.write("other.yaml", other);
    let repo = world.repo().display().to_string();
    let submitted = world.taskloom(&["submit", other.to_str().unwrap(), "--repo", &repo]);
    assert_eq!(submitted.out, "submitted as other/1\n", "{}", submitted.err);
    let why = || world.taskloom(&["why", "other/1/later"]).out;
    until("the slot counts", || why() == "other/1/later (ready): the only agent slot is taken\n");
    assert_eq!(world.taskloom(&["drain"]).code, 0);
    assert_eq!(why(), "other/1/later (ready): nothing new is started: the engine is draining\n");
    signal(&daemon.process, "STOP");
    let hangs = world.taskloom(&["why", "other/1/later"]);
    signal(&daemon.process, "CONT");
    let warning = "warning: the process at work does not answer; this is what is stored\n";
    assert_eq!((hangs.code, hangs.err.as_str()), (0, warning));
    world.write("go", "");
    let over = || world.taskloom(&["why", "held/1/work"]).out == "held/1/work: merged\n";
    until("the agent has ended", over);
    assert_eq!(world.taskloom(&["shutdown"]).code, 0);
    daemon.ended().0.finish();
}

#[test]
fn a_daemon_in_a_crash_loop_starts_nothing_until_a_person_says_so() {
    let mut daemon = Daemon::with("");
    for _ in 0..4 {
        daemon = daemon.replaced("KILL").0;
    }
    let (mut daemon, _) = daemon.replaced("KILL");
    daemon.hears("ended without a word 5 times within 10 minutes");
    assert_eq!(daemon.world.taskloom(&["resume", "--all"]).out, "everything goes on\n");
    daemon.hears("taken up again: 1 agent goes on");
    daemon.finish();
}
