//! Real processes through the built program: how they end, what is found of them after a crash,
//! what they may say, and the command agent on top.

mod command;
mod ending;
mod recovery;
mod saying;
mod walls;

use std::fs;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use taskloom::agents::process::{
    Adopted, Cursor, Environment, Error, Exit, LaunchSpec, Launcher, MARKER, ProcessEvent,
    Supervised, adopt, log_path,
};
use taskloom::agents::signals::Signalled;

const TASKLOOM: &str = env!("CARGO_BIN_EXE_taskloom");

/// Longer than anything here takes on the busiest machine; a test that needs it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A directory for the records of launches.
struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// `sh -c script`, with `taskloom` on PATH and a short grace.
    fn spec(&self, stem: &str, script: &str) -> LaunchSpec {
        let mut spec = LaunchSpec::new(self.path(), stem, &["sh", "-c", script], self.path());
        spec.environment = Environment::from_daemon(&[])
            .with_taskloom(self.path(), Path::new(TASKLOOM))
            .unwrap()
            .with("TASKLOOM_DIR", self.path().to_str().unwrap());
        spec.agent_socket = true;
        spec.grace = Duration::from_millis(300);
        spec
    }

    async fn launch(&self, stem: &str, script: &str) -> Supervised {
        launch(&self.spec(stem, script)).await
    }

    async fn adopt(&self, stem: &str, seen: Cursor) -> Adopted<Supervised> {
        soon(adopt(self.path(), stem, seen)).await.unwrap()
    }

    /// One of the records as data.
    fn record(&self, name: &str) -> Value {
        serde_json::from_slice(&fs::read(self.path().join(name)).unwrap()).unwrap()
    }

    fn log(&self, stem: &str) -> String {
        fs::read_to_string(log_path(self.path(), stem)).unwrap()
    }

    /// The pids of what is alive of the program.
    fn alive(&self, stem: &str) -> Vec<i32> {
        // One that is just ending has no command line any more.
        let counts = |pid: &i32| {
            fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| !line.is_empty() && line != b"taskloom\0shim\0")
        };
        self.marked(stem).into_iter().filter(counts).collect()
    }

    /// The pids of what carries the mark of the launch, its shim included.
    fn marked(&self, stem: &str) -> Vec<i32> {
        let mark = format!("{MARKER}={}/{stem}", self.path().display());
        let carries = |pid: &i32| {
            fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|env| env.split(|b| *b == 0).any(|v| v == mark.as_bytes()))
        };
        let pids = fs::read_dir("/proc").unwrap();
        pids.filter_map(|e| e.unwrap().file_name().to_str()?.parse().ok()).filter(carries).collect()
    }

    fn shim_pid(&self, stem: &str) -> i32 {
        pid_of(&self.record(&format!("{stem}.shim.json"))["shim"])
    }
}

fn pid_of(identity: &Value) -> i32 {
    identity["pid"].as_i64().unwrap().try_into().unwrap()
}

fn launcher() -> Launcher {
    Launcher::new(TASKLOOM)
}

async fn launch(spec: &LaunchSpec) -> Supervised {
    soon(launcher().launch(spec)).await.unwrap()
}

async fn soon<T>(wanted: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wanted).await.expect("it takes too long")
}

/// Waits for something that only the machine knows.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

/// All that a program does, up to its end.
#[derive(Debug, Default)]
struct Story {
    output: String,
    signals: Vec<Signalled>,
    exit: Option<Exit>,
}

impl Story {
    fn exit(&self) -> &Exit {
        self.exit.as_ref().expect("it ended")
    }

    fn add(&mut self, event: ProcessEvent) {
        match event {
            ProcessEvent::Output(bytes) => self.output += std::str::from_utf8(&bytes).unwrap(),
            ProcessEvent::Signal(signal) => self.signals.push(signal),
            ProcessEvent::Exited(exit) => self.exit = Some(exit),
        }
    }

    /// Follows until the output holds `text`.
    async fn until(&mut self, process: &mut Supervised, text: &str) {
        while !self.output.contains(text) {
            let event = soon(process.next()).await.unwrap();
            self.add(event.unwrap_or_else(|| panic!("ended without `{text}`: {self:?}")));
        }
    }

    async fn follow(&mut self, process: &mut Supervised) -> Result<(), Error> {
        while let Some(event) = soon(process.next()).await? {
            self.add(event);
        }
        Ok(())
    }
}

async fn story_of(mut process: Supervised) -> Story {
    let mut story = Story::default();
    story.follow(&mut process).await.unwrap();
    story
}

/// A process that has nothing to do with any launch.
struct Stranger(std::process::Child);

impl Stranger {
    fn new() -> Self {
        #[expect(clippy::disallowed_methods, reason = "a process that is not supervised")]
        let child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        Self(child)
    }

    fn pid(&self) -> i32 {
        self.0.id().try_into().unwrap()
    }

    fn start(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap()
    }

    fn is_alive(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn kill(pid: i32) {
    let pid = nix::unistd::Pid::from_raw(pid);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
}

fn found(adopted: Adopted<Supervised>) -> (&'static str, Option<Supervised>) {
    match adopted {
        Adopted::Running(found) => ("running", Some(found)),
        Adopted::Finished(found) => ("finished", Some(found)),
        Adopted::Lost(found) => ("lost", Some(found)),
        Adopted::Never => ("never", None),
    }
}

/// A path whose length no socket address can hold.
fn deep_dir(below: &Path) -> PathBuf {
    let dir = below.join("d".repeat(100)).join("e".repeat(100));
    fs::create_dir_all(&dir).unwrap();
    dir
}
