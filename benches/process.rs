//! What supervision costs: a launch through the shim beside a bare spawn, output through the shim
//! beside `cat`, and the memory of a shim. Both sides alternate in one run, so that a busy machine
//! is busy for both.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on should say where")]

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use taskloom::agents::process::{Environment, Input, LaunchSpec, Launcher, ProcessEvent};
use taskloom::time::Stopwatch;

const TASKLOOM: &str = env!("CARGO_BIN_EXE_taskloom");
const ROUNDS: usize = 300;
const FLOOD_BYTES: u64 = 1 << 30;
const FLOOD_ROUNDS: usize = 5;

#[tokio::main]
async fn main() {
    // Not under /tmp, which is memory on some machines: records are synced to a disk.
    let dir = tempfile::tempdir_in(
        std::env::var("BENCH_DIR").unwrap_or(env!("CARGO_TARGET_TMPDIR").into()),
    )
    .unwrap();
    let dir = dir.path();
    let (mut bare, mut shell, mut disk, mut shim) = (vec![], vec![], vec![], vec![]);
    for round in 0..ROUNDS {
        disk.push(synced(dir));
        bare.push(spawned(&["true"]).await);
        shell.push(spawned(&["sh", "-c", ":"]).await);
        shim.push(launched(&spec(dir, &format!("t{round}"), &["true"])).await);
    }
    println!("launch to exit, {ROUNDS} rounds             p50        p99");
    let table = [
        ("true", bare),
        ("sh -c :", shell),
        ("one small file, synced", disk),
        ("true through the shim", shim),
    ];
    for (name, times) in table {
        println!("  {name:32} {}", quantiles(times));
    }
    let (mut cat, mut log) = (Vec::new(), Vec::new());
    let flood = format!("head -c {FLOOD_BYTES} /dev/zero");
    for round in 0..FLOOD_ROUNDS {
        let file = dir.join("cat.log");
        cat.push(spawned(&["sh", "-c", &format!("{flood} | cat > {}", file.display())]).await);
        fs::remove_file(file).unwrap();
        let mut spec = spec(dir, &format!("f{round}"), &["sh", "-c", &flood]);
        spec.log_bytes_max = u64::MAX;
        log.push(launched(&spec).await);
        fs::remove_file(dir.join(format!("f{round}.log"))).unwrap();
    }
    println!("{} MiB of output, {FLOOD_ROUNDS} rounds", FLOOD_BYTES >> 20);
    for (name, times) in [("cat > file", cat), ("log, followed by a reader", log)] {
        let median = sorted(times)[FLOOD_ROUNDS / 2].as_secs_f64();
        println!("  {name:32} {:7.0} MiB/s", (FLOOD_BYTES >> 20) as f64 / median);
    }
    println!("memory of an idle shim");
    memory(dir).await;
}

fn spec(dir: &Path, stem: &str, program: &[&str]) -> LaunchSpec {
    let mut spec = LaunchSpec::new(dir, stem, program, dir);
    spec.environment = Environment::from_daemon(&[]);
    spec
}

async fn launched(spec: &LaunchSpec) -> Duration {
    let watch = Stopwatch::start();
    let mut process = Launcher::new(TASKLOOM).launch(spec).await.unwrap();
    assert!(process.wait().await.unwrap().is_success());
    watch.elapsed()
}

/// What every launch must wait for: its record.
fn synced(dir: &Path) -> Duration {
    let watch = Stopwatch::start();
    let mut file = tempfile::NamedTempFile::new_in(dir).unwrap();
    file.write_all(&[b' '; 300]).unwrap();
    file.as_file().sync_all().unwrap();
    watch.elapsed()
}

async fn spawned(program: &[&str]) -> Duration {
    let watch = Stopwatch::start();
    #[expect(clippy::disallowed_methods, reason = "the other side of the comparison")]
    let mut command = tokio::process::Command::new(program[0]);
    let piped = command.args(&program[1..]).stdin(Stdio::null()).stdout(Stdio::piped());
    assert!(piped.spawn().unwrap().wait_with_output().await.unwrap().status.success());
    watch.elapsed()
}

async fn memory(dir: &Path) {
    let mut spec = spec(dir, "memory", &["sh", "-c", "echo $PPID; read hold"]);
    spec.input = Input::Open(String::new());
    let mut process = Launcher::new(TASKLOOM).launch(&spec).await.unwrap();
    let Some(ProcessEvent::Output(pid)) = process.next().await.unwrap() else { panic!("no pid") };
    let pid = String::from_utf8(pid).unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", pid.trim())).unwrap();
    for line in status.lines().filter(|l| l.starts_with("VmRSS") || l.starts_with("RssAnon")) {
        println!("  {line}");
    }
    process.stop(Duration::ZERO).await.unwrap();
    process.wait().await.unwrap();
}

fn sorted(mut times: Vec<Duration>) -> Vec<Duration> {
    times.sort();
    times
}

fn quantiles(times: Vec<Duration>) -> String {
    let times = sorted(times);
    let ms = |share: usize| times[times.len() * share / 100].as_secs_f64() * 1e3;
    format!("{:7.2} ms {:7.2} ms", ms(50), ms(99))
}
