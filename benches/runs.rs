//! What users wait for, on the real program with real git: from the end of a task to the agent of the
//! next, and where the time of a run of two hundred tasks goes. Run it with
//! `cargo bench --bench runs`.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on should say where")]
#![expect(clippy::disallowed_methods, reason = "the programs that are measured")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use chrono::DateTime;
use serde_json::Value;
use taskloom::time::Stopwatch;

const CHAIN: usize = 60;
const SPAWNS: u32 = 100;

fn main() {
    let dir = std::env::var("BENCH_DIR").unwrap_or(env!("CARGO_TARGET_TMPDIR").into());
    let dir = tempfile::tempdir_in(dir).unwrap();
    let repo = dir.path().join("repo");
    git(dir.path(), &["init", "-q", "-b", "main", "repo"]);
    git(&repo, &["commit", "-q", "--allow-empty", "-m", "first"]);
    latency(dir.path(), &repo);
    layered(dir.path(), &repo);
}

fn git(dir: &Path, args: &[&str]) {
    let identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"];
    let mut command = Command::new("git");
    let status = command.args(identity).args(args).current_dir(dir).status();
    assert!(status.unwrap().success());
}

/// What a run printed, and what it cost.
struct Run {
    journal: Vec<Value>,
    log: String,
    wall: Duration,
    /// Processor time of everything that the run started, itself included.
    processor: Duration,
}

fn run(dir: &Path, repo: &Path, graph: &Path, more: &[&str]) -> Run {
    let log = dir.join("log");
    let before = waited_for();
    let watch = Stopwatch::start();
    let child = Command::new(env!("CARGO_BIN_EXE_taskloom"))
        .args(["run", "--json", "--repo"])
        .args([repo, graph])
        .arg("--data-dir")
        .arg(dir.join("data"))
        .args(more)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", dir)
        .stdout(Stdio::piped())
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let wall = watch.elapsed();
    let processor = waited_for() - before;
    assert!(output.status.success(), "{}", fs::read_to_string(&log).unwrap());
    let text = String::from_utf8(output.stdout).unwrap();
    let journal = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    Run { journal, log: fs::read_to_string(log).unwrap(), wall, processor }
}

fn latency(dir: &Path, repo: &Path) {
    let task = |at: usize| {
        let before = at.checked_sub(1).map(|before| format!(", dependencies: [t{before}]"));
        format!(
            "  - {{id: t{at}, description: x, primary_agent: {{framework: shell, command: \"echo {at} \
             > {at}.txt\"}}{}}}\n",
            before.unwrap_or_default()
        )
    };
    let tasks: String = (0..CHAIN).map(task).collect();
    let graph = dir.join("chain.yaml");
    fs::write(&graph, format!("name: chain\ntasks:\n{tasks}")).unwrap();
    let run = run(dir, repo, &graph, &[]);
    let mut at: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for entry in &run.journal {
        let (Some(task), Some(kind)) = (entry["task"].as_str(), entry["kind"].as_str()) else {
            continue;
        };
        let time = DateTime::parse_from_rfc3339(entry["at"].as_str().unwrap()).unwrap();
        at.entry((task, kind)).or_insert(time.timestamp_millis());
    }
    let names: Vec<String> = (0..CHAIN).map(|at| format!("t{at}")).collect();
    let waits = names.windows(2).map(|pair| {
        at[&(pair[1].as_str(), "task_waiting")] - at[&(pair[0].as_str(), "task_finished")]
    });
    let mut waits: Vec<i64> = waits.collect();
    waits.sort_unstable();
    println!(
        "dependency merged -> agent of the next at work, {CHAIN} tasks in a chain: p50 {} ms, p99 {} ms",
        waits[waits.len() / 2],
        waits[waits.len() * 99 / 100]
    );
}

fn layered(dir: &Path, repo: &Path) {
    let graph = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/layered-200.yaml");
    let wide = run(dir, repo, &graph, &["--slots", "16"]);
    // One at a time, so that what each command takes is its own.
    let more = ["--fresh", "--slots", "1", "--log", "taskloom::git=debug"];
    let run = run(dir, repo, &graph, &more);
    let mut verbs: BTreeMap<String, (u32, u64)> = BTreeMap::new();
    for line in run.log.lines() {
        let field = |name: &str| {
            let at = line.find(name)? + name.len();
            Some(line[at..].split_whitespace().next()?.trim_matches('"').to_owned())
        };
        let (Some(verb), Some(took)) = (field("verb="), field("took_us=")) else { continue };
        let entry = verbs.entry(verb).or_default();
        entry.0 += 1;
        entry.1 += took.parse::<u64>().unwrap_or_default();
    }
    let commands: u32 = verbs.values().map(|(count, _)| count).sum();
    let one_git = spawned(&["git", "--version"]);
    let one_shell = spawned(&["sh", "-c", ":"]);
    let each = |whole: Duration| whole.as_secs_f64() * 1e3 / 200.0;
    let in_git = Duration::from_micros(verbs.values().map(|(_, took)| took).sum());
    let needed = in_git + one_shell * 200;
    println!(
        "200 tasks in layers, 16 at once: {:.1} s, {:.1} ms a task, {:.1} ms of processor time",
        wide.wall.as_secs_f64(),
        each(wide.wall),
        each(wide.processor)
    );
    println!("one at a time: {:.1} s; for each task", run.wall.as_secs_f64());
    println!("  {:>6.1} ms from one to the next", each(run.wall));
    println!("  {:>6.1} ms in {:.1} git commands", each(in_git), f64::from(commands) / 200.0);
    println!(
        "  {:>6.1} ms if each command did nothing ({:.1} ms to start git)",
        each(one_git * commands),
        one_git.as_secs_f64() * 1e3
    );
    println!(
        "  {:.2} times the git commands and one shell",
        run.wall.as_secs_f64() / needed.as_secs_f64()
    );
    println!("  git command        count    of all   ms each");
    let mut verbs: Vec<(String, (u32, u64))> = verbs.into_iter().collect();
    verbs.sort_by_key(|(_, (_, took))| std::cmp::Reverse(*took));
    let whole: u64 = verbs.iter().map(|(_, (_, took))| took).sum();
    for (verb, (count, took)) in verbs.into_iter().take(14) {
        let share = 100.0 * took as f64 / whole as f64;
        println!(
            "  {verb:<16} {count:>7} {share:>8.1} % {:>8.2}",
            took as f64 / 1e3 / f64::from(count)
        );
    }
}

/// What it takes to start a program and wait for it, one after the other.
fn spawned(words: &[&str]) -> Duration {
    let watch = Stopwatch::start();
    for _ in 0..SPAWNS {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).stdout(Stdio::null()).status().unwrap();
    }
    watch.elapsed() / SPAWNS
}

/// Processor time of all processes that ended below this one, in hundredths of a second.
fn waited_for() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: u64 = fields[13].parse::<u64>().unwrap() + fields[14].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}
