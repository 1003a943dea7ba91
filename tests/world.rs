//! A world for tests of the whole program: a user's repository that must stay as it is, a data
//! directory, and the real binary with an empty environment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long anything here may take before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long to leave the processor to others between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A user's repository and a data directory.
pub(crate) struct World {
    dir: TempDir,
}

/// What a command printed.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// Everything of the user's repository that must not change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Desk {
    status: String,
    head: String,
    reflog: String,
    /// All refs but those below `taskloom/`.
    refs: BTreeMap<String, String>,
}

impl Desk {
    /// The same without one branch, where that may move.
    pub(crate) fn without(mut self, branch: &str) -> Self {
        self.refs.remove(&format!("refs/heads/{branch}"));
        self
    }
}

impl World {
    /// A repository with two commits on `main`, a feature branch checked out with a commit of its
    /// own, staged, unstaged and untracked changes.
    pub(crate) fn new() -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap() };
        let repo = world.repo();
        fs::create_dir(&repo).unwrap();
        world.git(&["init", "-q", "-b", "main"]);
        fs::write(repo.join("README.md"), "# A user's work\n").unwrap();
        world.commit("first");
        fs::write(repo.join("a.txt"), "a\n").unwrap();
        world.commit("second, not pushed anywhere");
        world.git(&["switch", "-q", "-c", "feature/mine"]);
        fs::write(repo.join("b.txt"), "b\n").unwrap();
        world.commit("work in progress");
        fs::write(repo.join("a.txt"), "a changed\n").unwrap();
        fs::write(repo.join("staged.txt"), "staged\n").unwrap();
        world.git(&["add", "staged.txt"]);
        fs::write(repo.join("untracked.txt"), "untracked\n").unwrap();
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn repo(&self) -> PathBuf {
        self.path("repo")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Writes a file of the world, a graph for instance.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn commit(&self, message: &str) {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", message]);
    }

    /// Runs git in the user's repository as the user would.
    #[expect(clippy::disallowed_methods, reason = "the user's own git")]
    pub(crate) fn git(&self, args: &[&str]) -> String {
        let mut command = Command::new("git");
        command.args(args).current_dir(self.repo()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.dir.path());
        for (name, value) in [
            ("GIT_AUTHOR_NAME", "Ada"),
            ("GIT_AUTHOR_EMAIL", "ada@localhost"),
            ("GIT_COMMITTER_NAME", "Ada"),
            ("GIT_COMMITTER_EMAIL", "ada@localhost"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
        ] {
            command.env(name, value);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "git {args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What must not change.
    pub(crate) fn desk(&self) -> Desk {
        let refs = self.git(&["for-each-ref", "--format=%(refname) %(objectname)"]);
        let refs = refs.lines().filter_map(|line| line.split_once(' '));
        let own = |name: &str| name.starts_with("refs/heads/taskloom/");
        Desk {
            status: self.git(&["status", "--porcelain=v2", "--branch"]),
            head: self.git(&["symbolic-ref", "HEAD"]),
            reflog: self.git(&["reflog", "HEAD"]),
            refs: refs
                .filter(|(name, _)| !own(name))
                .map(|(name, id)| (name.to_owned(), id.to_owned()))
                .collect(),
        }
    }

    fn program(&self, args: &[&str]) -> Command {
        let mut command = self.bare(args);
        command.arg("--data-dir").arg(self.data());
        command
    }

    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    fn bare(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_taskloom"));
        command.args(args).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap());
        command.env("HOME", self.dir.path()).env("USER", "ada").env("TZ", "UTC");
        command.current_dir(self.dir.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn taskloom(&self, args: &[&str]) -> Said {
        said(self.program(args).output().unwrap())
    }

    /// Runs the program to its end without naming a data directory.
    pub(crate) fn taskloom_bare(&self, args: &[&str]) -> Said {
        said(self.bare(args).output().unwrap())
    }

    /// Runs the program to its end in a directory.
    pub(crate) fn taskloom_in(&self, dir: &Path, args: &[&str]) -> Said {
        said(self.program(args).current_dir(dir).output().unwrap())
    }

    /// Runs a graph on the repository.
    pub(crate) fn run(&self, graph: &Path, more: &[&str]) -> Said {
        let (graph, repo) = (graph.display().to_string(), self.repo().display().to_string());
        let mut args = vec!["run", &graph, "--repo", &repo];
        args.extend(more);
        self.taskloom(&args)
    }

    /// Runs a graph on the repository with more in the environment.
    pub(crate) fn run_with(&self, graph: &Path, variables: &[(&str, OsString)]) -> Said {
        let (graph, repo) = (graph.display().to_string(), self.repo().display().to_string());
        let mut command = self.program(&["run", &graph, "--repo", &repo]);
        said(command.envs(variables.iter().map(|(name, value)| (name, value))).output().unwrap())
    }

    /// Starts a run with more in the environment and leaves it running.
    pub(crate) fn spawn_with(&self, graph: &Path, variables: &[(&str, OsString)]) -> Child {
        let (graph, repo) = (graph.display().to_string(), self.repo().display().to_string());
        let mut command = self.program(&["run", &graph, "--repo", &repo]);
        command.envs(variables.iter().map(|(name, value)| (name, value))).spawn().unwrap()
    }

    /// Starts the program with more in the environment and leaves it running.
    pub(crate) fn spawn_program(&self, args: &[&str], variables: &[(&str, OsString)]) -> Child {
        let mut command = self.program(args);
        command.envs(variables.iter().map(|(name, value)| (name, value))).spawn().unwrap()
    }

    /// Starts a daemon with the world's `config.yaml`.
    pub(crate) fn serve(&self) -> Child {
        self.serve_with("warn", &[])
    }

    /// The same with what it logs and variables of its own.
    pub(crate) fn serve_with(&self, log: &str, variables: &[(&str, OsString)]) -> Child {
        let config = self.path("config.yaml").display().to_string();
        let mut command = self.program(&["serve", "--quiet", "--config", &config, "--log", log]);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.spawn().unwrap()
    }

    /// Worktrees that are still there.
    pub(crate) fn worktrees(&self) -> Vec<PathBuf> {
        let trees = walk(&self.data().join("worktrees"));
        let own = |path: &PathBuf| {
            let path = path.to_string_lossy();
            !path.contains("/.pool/") && !path.contains("/.trash/")
        };
        trees.into_iter().filter(own).collect()
    }

    /// Starts a run and leaves it running.
    pub(crate) fn start(&self, graph: &Path) -> Child {
        self.start_with(graph, &[])
    }

    /// Starts a run with more options and leaves it running.
    pub(crate) fn start_with(&self, graph: &Path, more: &[&str]) -> Child {
        let (graph, repo) = (graph.display().to_string(), self.repo().display().to_string());
        let mut args = vec!["run", &graph, "--repo", &repo, "--json"];
        args.extend(more);
        self.program(&args).spawn().unwrap()
    }

    /// The answer of a command as data.
    pub(crate) fn json(&self, args: &[&str]) -> serde_json::Value {
        let mut args = args.to_vec();
        args.push("--json");
        let said = self.taskloom(&args);
        serde_json::from_str(&said.out).unwrap_or_else(|why| panic!("{why}: {said:?}"))
    }

    /// The state of the latest run.
    pub(crate) fn state_of_run(&self) -> String {
        let status = self.taskloom(&["status", "--json"]);
        let status = serde_json::from_str::<serde_json::Value>(&status.out).unwrap_or_default();
        status["state"].as_str().unwrap_or_default().to_owned()
    }

    /// The state of a task of the latest run.
    pub(crate) fn state(&self, task: &str) -> String {
        let status = self.taskloom(&["status", "--json"]);
        let Ok(status) = serde_json::from_str::<serde_json::Value>(&status.out) else {
            return "no run".to_owned();
        };
        let tasks = status["tasks"].as_array().cloned().unwrap_or_default();
        let found = tasks.iter().find(|t| t["id"] == task);
        found.map_or_else(String::new, |t| t["state"].as_str().unwrap().to_owned())
    }

    /// Processes of this world that still live: their environment names its directory.
    pub(crate) fn processes(&self) -> Vec<String> {
        let command = |pid: String| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&command).replace('\0', " ")
        };
        self.pids().into_iter().map(command).collect()
    }

    fn pids(&self) -> Vec<String> {
        let needle = self.dir.path().to_string_lossy().into_owned();
        let ours = |entry: &fs::DirEntry| {
            let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
            String::from_utf8_lossy(&environ).contains(&needle)
        };
        let entries = fs::read_dir("/proc").unwrap().flatten();
        entries.filter(ours).map(|e| e.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Asserts that no file of Taskloom's and nothing in the repository contains `secret`.
    pub(crate) fn holds_nowhere(&self, secret: &str) {
        let mut found: Vec<PathBuf> = walk_files(&self.data());
        found.extend(walk_files(&self.repo()));
        found.retain(|path| {
            let bytes = fs::read(path).unwrap_or_default();
            bytes.windows(secret.len()).any(|window| window == secret.as_bytes())
        });
        assert!(found.is_empty(), "{found:?}");
    }

    /// Kills every process of this world, as a power cut would.
    pub(crate) fn kill_all(&self) {
        until("no process is left", || {
            for pid in self.pids() {
                let _ = kill(&pid, "KILL");
            }
            self.pids().is_empty()
        });
    }

    /// Kills one process of this world.
    pub(crate) fn kill_one(&self, which: usize) {
        let pids = self.pids();
        if !pids.is_empty() {
            kill(&pids[which % pids.len()], "KILL");
        }
    }

    /// Asserts that a run left nothing behind but what it is meant to leave.
    pub(crate) fn finish(self) {
        until("no process is left", || self.processes().is_empty());
        let data = self.data();
        let lost: Vec<PathBuf> = walk(&data)
            .into_iter()
            .filter(|path| {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                name.ends_with(".sock") || (name.ends_with(".lock") && name != "owner.lock")
            })
            .filter(|path| !is_record(path))
            .collect();
        assert!(lost.is_empty(), "left behind: {lost:?}");
    }
}

/// Lock files of launches stay as records; nobody holds them.
fn is_record(path: &Path) -> bool {
    let kept = ["attempts", "records", "lanes"];
    path.components().any(|part| kept.iter().any(|kept| part.as_os_str() == *kept))
        && fs::File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(walk(&path));
        } else {
            found.push(path);
        }
    }
    found
}

fn said(output: Output) -> Said {
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// All plain files below a directory.
fn walk_files(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let each = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => walk_files(&entry.path()),
        Ok(kind) if kind.is_file() => vec![entry.path()],
        Ok(_) | Err(_) => vec![],
    };
    entries.flat_map(each).collect()
}

/// Waits for a child with a deadline.
pub(crate) fn ended(child: Child) -> Said {
    said(child.wait_with_output().unwrap())
}

/// Waits until something holds; fails with its name when it takes too long.
#[expect(clippy::disallowed_methods, reason = "a deadline for tests that hang")]
pub(crate) fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "never came: {what}");
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// Sends a signal to a child.
pub(crate) fn signal(child: &Child, name: &str) {
    assert!(kill(&child.id().to_string(), name));
}

/// Whether the signal could be sent.
#[expect(clippy::disallowed_methods, reason = "the operator's own kill")]
fn kill(pid: &str, name: &str) -> bool {
    let mut command = Command::new("kill");
    command.args([&format!("-{name}"), pid]).stderr(Stdio::null());
    command.status().unwrap().success()
}

/// Whether walls of namespaces can be had here.
#[expect(clippy::disallowed_methods, reason = "what decides whether a test can be made")]
pub(crate) fn bwrap() -> bool {
    let probe = ["--unshare-all", "--ro-bind", "/", "/", "true"];
    let works = Command::new("bwrap").args(probe).output().is_ok_and(|out| out.status.success());
    if !works {
        eprintln!("SKIPPED: bwrap is not installed, or may not make namespaces here");
    }
    works
}

/// Whether agents can be given a session to attach to.
pub(crate) fn tmux() -> bool {
    let found = which::which("tmux").is_ok();
    if !found {
        eprintln!("SKIPPED: tmux is not installed (`apt-get install tmux`)");
    }
    found
}
