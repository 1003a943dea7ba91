//! The process dies at every point between intent, act and record; the next one goes on, and what
//! comes of it is what comes of a run that nothing happened to.
//!
//! Every point is played once, some twice in a row and together with another;
//! `TASKLOOM_CRASHES=all` plays all so.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;

use taskloom::crash::POINTS;
use taskloom::entropy::Entropy;

use crate::world::{World, ended, until};

/// Two nested lanes, a gate, a check, and an agent that fails once. An agent that is killed alone has
/// failed as well, so there are attempts to spare.
const GRAPH: &str = r#"
name: crash
max_task_attempts: 9
retry: {backoff: {initial: 50ms, max: 100ms, jitter: 0}}
workstreams:
  - {id: outer, auto_merge: true}
  - {id: inner, parent_workstream_id: outer, auto_merge: true, checks: ["test -s one.txt"]}
tasks:
  - id: one
    description: Writes the first file.
    workstream_id: inner
    completion_gate: test -s one.txt
    primary_agent:
      framework: shell
      command: |
        echo "$TASKLOOM_TASK $TASKLOOM_ATTEMPT" >> BEGAN
        echo one > one.txt
        taskloom task summary "Wrote one."
  - id: two
    description: Writes the second file, and fails first.
    workstream_id: outer
    dependencies: [one]
    primary_agent:
      framework: shell
      command: |
        echo "$TASKLOOM_TASK $TASKLOOM_ATTEMPT" >> BEGAN
        test -e FAILED || { touch FAILED; exit 3; }
        echo two > two.txt
        taskloom task learned "One was there."
"#;

/// A world, and what a run in it may leave.
struct Stage {
    world: World,
    graph: PathBuf,
}

impl Stage {
    fn new() -> Self {
        let world = World::new();
        std::fs::create_dir_all(world.path(".config/taskloom")).unwrap();
        world.write(".config/taskloom/config.yaml", "memory: {enabled: true}\n");
        let place = |name: &str| world.path(name).display().to_string();
        let text = GRAPH.replace("BEGAN", &place("began")).replace("FAILED", &place("failed"));
        let graph = world.write("crash.yaml", &text);
        Self { world, graph }
    }

    /// Goes on with the run to its end, or to the point; whether the point was passed. A run that
    /// has come to its end is left alone.
    fn run(&self, point: Option<&str>, once: &str) -> bool {
        let once = self.world.path(once);
        if self.world.state_of_run() == "succeeded" {
            return false;
        }
        let crash =
            point.map(|point| [("CRASH_AT", point.into()), ("CRASH_ONCE", once.clone().into())]);
        let said = self.world.run_with(&self.graph, crash.as_ref().map_or(&[][..], |crash| crash));
        let crashed = once.exists();
        let died = said.code == -1;
        assert!(crashed || !died, "{point:?}: {}\n{}", said.out, said.err);
        if !died {
            assert_eq!(said.code, 0, "{point:?}: {}\n{}", said.out, said.err);
        }
        crashed
    }

    /// What every run comes to, whatever happened to it.
    fn check(self, point: &str) {
        let world = self.world;
        let merges = world.git(&["log", "--merges", "--format=%s", "main"]);
        let mut merges: Vec<&str> = merges.lines().collect();
        merges.sort_unstable();
        let expected = [
            "Merge lane inner of crash/1",
            "Merge lane outer of crash/1",
            "one: Writes the first file.",
            "two: Writes the second file, and fails first.",
        ];
        assert_eq!(merges, expected, "{point}");
        let files = world.git(&["ls-tree", "-r", "--name-only", "main"]);
        assert_eq!(files, "README.md\na.txt\none.txt\ntwo.txt\n", "{point}");
        let began = std::fs::read_to_string(world.path("began")).unwrap();
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        began.lines().for_each(|attempt| *times.entry(attempt).or_default() += 1);
        assert!(times.values().all(|times| *times == 1), "{point}: begun twice: {times:?}");
        let shown = world.json(&["show", "crash/1"]);
        assert_eq!(shown["state"], "succeeded", "{point}");
        let listed = world.json(&["memory", "list"]);
        let memories = listed["memories"].as_array().unwrap().iter();
        let memories: Vec<_> =
            memories.map(|m| (&m["source"], &m["done"], &m["learned"])).collect();
        let expected = [
            (&"crash/1/two".into(), &"".into(), &"One was there.".into()),
            (&"crash/1/one".into(), &"Wrote one.".into(), &"".into()),
        ];
        assert_eq!(memories, expected, "{point}");
        let refs = world.git(&["for-each-ref", "--format=%(refname)", "refs/heads/taskloom"]);
        let mut refs: Vec<&str> = refs.lines().collect();
        refs.retain(|name| name.contains("/t/"));
        assert!(refs.is_empty(), "{point}: {refs:?}");
        world.git(&["fsck", "--strict", "--no-dangling"]);
        assert!(world.worktrees().is_empty(), "{point}: {:?}", world.worktrees());
        // A process that was killed leaves its socket; the next one takes it away.
        world.taskloom(&["cancel", "crash", "--dry-run"]);
        world.finish();
    }
}

/// A verb that is durable and not answered is said again and does nothing the second time.
#[test]
fn a_command_that_was_kept_and_not_answered_is_not_done_twice() {
    let world = World::new();
    let graph = world.write(
        "held.yaml",
        "name: held\ntasks:\n  - id: work\n    description: Waits.\n    primary_agent:\n      \
         framework: shell\n      command: sleep 1000\n",
    );
    let once = world.path("crashed");
    let crash = [("CRASH_AT", "command.kept".into()), ("CRASH_ONCE", once.clone().into())];
    let run = world.spawn_with(&graph, &crash);
    until("the agent works", || world.state("work") == "running");
    let unanswered = world.taskloom(&["stop", "work"]);
    assert_eq!(unanswered.code, 1, "{}", unanswered.out);
    assert!(unanswered.err.contains("did not take the command"), "{}", unanswered.err);
    assert!(once.exists());
    assert_eq!(ended(run).code, -1);
    let again = world.taskloom(&["stop", "work"]);
    assert_eq!(again.code, 0, "{}", again.err);
    assert!(again.out.contains("is being stopped already"), "{}", again.out);
    assert_eq!(world.run(&graph, &[]).code, 1);
    assert_eq!(world.state("work"), "stopped");
    world.finish();
}

/// Kills drawn at random over the same graph: when, and whom. `TASKLOOM_SEED` replays one,
/// `TASKLOOM_SEEDS` plays more.
#[test]
fn random_kills_change_nothing() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let only = number("TASKLOOM_SEED");
    let (first, last) = match only {
        Some(seed) => (seed, seed + 1),
        None => (0, number("TASKLOOM_SEEDS").unwrap_or(6)),
    };
    for seed in first..last {
        let mut dice = Entropy::seeded(seed);
        let stage = Stage::new();
        for _ in 0..=dice.below(3) {
            if stage.world.state_of_run() == "succeeded" {
                break;
            }
            let mut run = stage.world.start(&stage.graph);
            let mut lines = BufReader::new(run.stdout.take().unwrap()).lines();
            lines.nth(dice.below(40) as usize);
            match dice.below(3) {
                0 => drop(run.kill()),
                1 => stage.world.kill_all(),
                _ => stage.world.kill_one(dice.below(1 << 20) as usize),
            }
            lines.for_each(drop);
            ended(run);
        }
        stage.run(None, "never");
        stage.check(&format!("seed {seed}"));
    }
}

/// Points that a plain run does not pass: they are played by tests of their own.
const ELSEWHERE: &[&str] = &[
    "command.kept",
    "post.announced",
    "post.sent",
    "thread.opened",
    "github.pushed",
    "github.created",
    "github.merged",
    "undo.begun",
    "undo.done",
    "watch.begun",
    "watch.done",
    "log.pressed",
    "attempt.plan-asked",
];

/// Dies at each of the points, one process after the other.
fn play(points: &[&str]) {
    let stage = Stage::new();
    for (time, point) in points.iter().enumerate() {
        let passed = stage.run(Some(point), &format!("crashed-{time}"));
        assert!(passed || time > 0, "the point `{point}` is never passed");
    }
    stage.run(None, "never");
    stage.check(&points.join(", "));
}

/// How much further on the second of two different points is.
const FURTHER_ON: usize = 7;

/// One in `of` of the points, so that the machine's processors share them.
fn play_share(share: usize, of: usize) {
    let all = std::env::var("TASKLOOM_CRASHES").is_ok_and(|text| text == "all");
    let points = POINTS.iter().filter(|point| !ELSEWHERE.contains(point)).enumerate();
    for (at, point) in points.filter(|(at, _)| at % of == share) {
        play(&[point]);
        if all || at % 8 == share {
            play(&[point, point]);
            play(&[point, POINTS[(at + FURTHER_ON) % POINTS.len()]]);
        }
    }
}

#[test]
fn at_every_point_one() {
    play_share(0, 4);
}

#[test]
fn at_every_point_two() {
    play_share(1, 4);
}

#[test]
fn at_every_point_three() {
    play_share(2, 4);
}

#[test]
fn at_every_point_four() {
    play_share(3, 4);
}
