//! Projects that are clones: of a remote repository that others push to, that goes away and comes
//! back, and whose clone somebody deletes.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Child;
use std::sync::{Arc, Mutex};

use crate::world::{Said, World, signal, until};

/// Waits until it is let go, and writes a file.
const GRAPH: &str = r#"
name: NAME
retry: {backoff: {initial: 1s, max: 1s, jitter: 0}}
workstreams: [{id: default, auto_merge: true}]
tasks:
  - id: work
    description: Waits.
    primary_agent: {framework: shell, command: "touch WORLD/begun; while [ ! -e WORLD/go ]; do sleep 0.05; done; echo NAME > NAME.txt"}
"#;

/// A world with a remote repository `remote.git`, and a daemon.
struct Stage {
    world: World,
    daemon: Option<Child>,
    heard: Arc<Mutex<String>>,
}

impl Stage {
    /// Before the daemon is started.
    fn quiet() -> Self {
        let world = World::new();
        let stage = Self { world, daemon: None, heard: Arc::default() };
        let remote = stage.remote().display().to_string();
        stage.world.git(&["clone", "-q", "--bare", "--branch", "main", ".", &remote]);
        let config = format!("projects: [{{id: shop, clone: 'file://{remote}'}}]\n");
        stage.world.write("config.yaml", &config);
        stage
    }

    fn new() -> Self {
        let mut stage = Self::quiet();
        stage.start();
        stage
    }

    fn start(&mut self) {
        let before = self.begun();
        let mut daemon = self.world.serve();
        let (out, err) = (daemon.stdout.take().unwrap(), daemon.stderr.take().unwrap());
        for stream in [Box::new(out) as Box<dyn Read + Send>, Box::new(err)] {
            let heard = self.heard.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let mut heard = heard.lock().unwrap();
                    heard.push_str(&line);
                    heard.push('\n');
                }
            });
        }
        self.daemon = Some(daemon);
        until("the daemon is at work", || self.begun() > before);
    }

    fn end(&mut self) {
        let mut daemon = self.daemon.take().unwrap();
        signal(&daemon, "TERM");
        daemon.wait().unwrap();
    }

    /// How many daemons came to work so far.
    fn begun(&self) -> usize {
        self.heard().matches("at work in").count()
    }

    /// What the daemon has said.
    fn heard(&self) -> String {
        self.heard.lock().unwrap().clone()
    }

    fn remote(&self) -> PathBuf {
        self.world.path("remote.git")
    }

    fn clone_dir(&self) -> PathBuf {
        self.world.data().join("clones/shop.git")
    }

    /// Runs git in the remote repository.
    fn there(&self, args: &[&str]) -> String {
        let dir = self.remote().display().to_string();
        self.world.git(&[&["-C", &dir], args].concat())
    }

    /// The remote repository goes away, or comes back.
    fn away(&self, away: bool) {
        let (here, there) = (self.remote(), self.world.path("elsewhere.git"));
        let (from, to) = if away { (here, there) } else { (there, here) };
        fs::rename(from, to).unwrap();
    }

    /// Somebody else pushes a file.
    fn push(&self, file: &str) {
        let (remote, tree) = (self.remote(), self.world.path(&format!("tree-{file}")));
        let (remote, tree) = (remote.display().to_string(), tree.display().to_string());
        self.world.git(&["clone", "-q", "--branch", "main", &remote, &tree]);
        fs::write(format!("{tree}/{file}"), "by hand\n").unwrap();
        for args in [&["add", "-A"][..], &["commit", "-qm", "Theirs"], &["push", "-q"]] {
            self.world.git(&[&["-C", &tree], args].concat());
        }
    }

    fn submit(&self, name: &str) -> Said {
        let home = self.world.path("").display().to_string();
        let graph = GRAPH.replace("NAME", name).replace("WORLD", home.trim_end_matches('/'));
        let graph = self.world.write("graph.yaml", &graph).display().to_string();
        let (repo, config) = (self.clone_dir(), self.world.path("config.yaml"));
        let (repo, config) = (repo.display().to_string(), config.display().to_string());
        self.world.taskloom(&["submit", &graph, "--repo", &repo, "--config", &config])
    }

    /// Has a task begun, which waits.
    fn begin(&self, name: &str) {
        fs::remove_file(self.world.path("go")).ok();
        fs::remove_file(self.world.path("begun")).ok();
        let said = self.submit(name);
        assert_eq!(said.code, 0, "{said:?}");
        until("it has begun", || self.world.path("begun").exists());
    }

    fn go(&self) {
        self.world.write("go", "");
    }

    fn succeeds(&self) {
        until("the run succeeds", || self.world.state_of_run() == "succeeded");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            daemon.kill().ok();
            daemon.wait().ok();
        }
        if std::thread::panicking() {
            eprintln!("the daemon said: {}", self.heard());
            eprintln!("{}", self.world.taskloom(&["status"]).out);
        }
        self.world.kill_all();
    }
}

#[test]
fn it_is_cloned_at_the_start_and_what_is_merged_is_pushed() {
    let stage = Stage::new();
    stage.begin("ours");
    stage.go();
    stage.succeeds();
    assert_eq!(stage.there(&["show", "main:ours.txt"]), "ours\n");
    let branches = stage.there(&["for-each-ref", "--format=%(refname)"]);
    assert!(!branches.contains("taskloom"), "its own branches stay with it: {branches}");
    assert!(!stage.heard().contains("WARN"), "{}", stage.heard());
}

#[test]
fn what_somebody_else_pushes_meanwhile_is_taken_in() {
    let stage = Stage::new();
    stage.begin("ours");
    stage.push("theirs.txt");
    stage.go();
    stage.succeeds();
    assert_eq!(stage.there(&["show", "main:theirs.txt"]), "by hand\n");
    assert_eq!(stage.there(&["show", "main:ours.txt"]), "ours\n");
}

#[test]
fn a_push_in_the_last_moment_is_not_overwritten_and_the_next_try_has_it() {
    let stage = Stage::new();
    stage.begin("ours");
    // When it is pushed to, somebody else is faster.
    stage.push("theirs.txt");
    let theirs = stage.there(&["rev-parse", "main"]);
    stage.there(&["update-ref", "refs/heads/main", "main~1"]);
    let hook = format!(
        "#!/bin/sh\ntest -e raced && exit 0\ntouch raced\nunset GIT_QUARANTINE_PATH\n\
         git update-ref refs/heads/main {theirs}"
    );
    let path = stage.remote().join("hooks/pre-receive");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, hook).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    stage.go();
    stage.succeeds();
    assert!(stage.remote().join("raced").exists());
    assert_eq!(stage.there(&["show", "main:theirs.txt"]), "by hand\n");
    assert_eq!(stage.there(&["show", "main:ours.txt"]), "ours\n");
    assert!(stage.heard().contains("its target moved; checked again"), "{}", stage.heard());
}

#[test]
fn what_conflicts_with_what_was_pushed_is_said_and_nothing_is_overwritten() {
    let stage = Stage::new();
    stage.begin("theirs");
    stage.push("theirs.txt");
    let theirs = stage.there(&["rev-parse", "main"]);
    stage.go();
    until("the run ends", || stage.world.state_of_run() == "completed with failures");
    assert_eq!(stage.there(&["rev-parse", "main"]), theirs);
    let status = stage.world.taskloom(&["status"]).out;
    assert!(status.contains("conflicts in theirs.txt"), "{status}");
}

#[test]
fn a_remote_that_is_away_when_it_is_pushed_to_gets_the_result_later() {
    let stage = Stage::new();
    stage.begin("ours");
    stage.away(true);
    stage.go();
    let said = "merge will be tried again: the remote repository is out of reach, or refuses";
    until("it is said", || stage.heard().contains(said));
    stage.away(false);
    stage.succeeds();
    assert_eq!(stage.there(&["show", "main:ours.txt"]), "ours\n");
}

#[test]
fn a_remote_that_is_away_at_the_start_is_cloned_when_it_is_back() {
    let mut stage = Stage::quiet();
    stage.away(true);
    stage.start();
    assert!(!stage.clone_dir().exists());
    stage.away(false);
    until("it is cloned", || stage.clone_dir().exists());
    stage.begin("ours");
    stage.go();
    stage.succeeds();
    assert_eq!(stage.there(&["show", "main:ours.txt"]), "ours\n");
    let heard = stage.heard();
    assert!(
        heard.contains("project `shop`: the remote repository is out of reach, or refuses"),
        "{heard}"
    );
}

#[test]
fn a_clone_that_somebody_deletes_is_made_again() {
    let stage = Stage::new();
    stage.begin("ours");
    fs::remove_dir_all(stage.clone_dir()).unwrap();
    stage.go();
    stage.succeeds();
    assert_eq!(stage.there(&["show", "main:ours.txt"]), "ours\n");
    fs::remove_dir_all(stage.clone_dir()).unwrap();
    until("it is cloned again", || stage.clone_dir().join("HEAD").exists());
    stage.begin("more");
    stage.go();
    stage.succeeds();
    assert_eq!(stage.there(&["show", "main:more.txt"]), "more\n");
}

#[test]
fn another_address_is_followed_from_then_on() {
    let mut stage = Stage::new();
    let moved = stage.world.path("moved.git");
    fs::rename(stage.remote(), &moved).unwrap();
    let config = format!("projects: [{{id: shop, clone: 'file://{}'}}]\n", moved.display());
    stage.world.write("config.yaml", &config);
    stage.end();
    stage.start();
    stage.begin("ours");
    stage.go();
    stage.succeeds();
    fs::rename(&moved, stage.remote()).unwrap();
    assert_eq!(stage.there(&["show", "main:ours.txt"]), "ours\n");
}

#[test]
fn a_clone_is_added_on_the_command_line() {
    let stage = Stage::new();
    let url = format!("file://{}", stage.remote().display());
    let config = stage.world.path("config.yaml").display().to_string();
    let add = |url: &str| {
        let args = ["project", "add", "other", "--clone", url, "--config", &config];
        stage.world.taskloom(&args)
    };
    let missing = add(&format!("file://{}/nowhere.git", stage.world.path("").display()));
    assert_eq!(missing.code, 1, "{missing:?}");
    assert!(
        missing.err.contains("the remote repository is out of reach, or refuses"),
        "{missing:?}"
    );
    assert!(!stage.world.data().join("clones/other.git").exists());
    assert_eq!(add(&url).code, 0);
    let listed = stage.world.taskloom(&["project", "list"]).out;
    assert!(listed.contains("other") && listed.contains("clones/other.git (main)"), "{listed}");
}

#[test]
fn an_address_with_a_password_is_refused_and_repeated_nowhere() {
    let stage = Stage::new();
    let config = stage.world.path("config.yaml").display().to_string();
    let secret = "tr0ub4dor";
    for url in [
        format!("https://ada:{secret}@localhost/shop.git"),
        format!("https://{secret}@localhost/shop.git"),
        format!("ssh://ada:{secret}@localhost/shop.git"),
    ] {
        let args = ["project", "add", "other", "--clone", &url, "--config", &config];
        let refused = stage.world.taskloom(&args);
        assert_ne!(refused.code, 0);
        assert!(refused.err.contains("holds a password or a token"), "{refused:?}");
        assert!(!refused.err.contains(secret) && !refused.out.contains(secret), "{refused:?}");
        let wrong = format!("projects: [{{id: shop, clone: '{url}'}}]\n");
        let wrong = stage.world.write("wrong.yaml", &wrong).display().to_string();
        let refused = stage.world.taskloom(&["doctor", "--config", &wrong]);
        assert!(refused.out.contains("project `shop`: the address"), "{refused:?}");
        assert!(!refused.err.contains(secret) && !refused.out.contains(secret), "{refused:?}");
    }
    stage.world.holds_nowhere(secret);
}
