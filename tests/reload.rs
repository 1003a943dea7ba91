//! A configuration file that changes under a running daemon.

use std::process::Child;

use crate::vitals::{free_port, told};
use crate::world::{World, ended, signal, until};

/// Two tasks that wait for a file each; with one slot, one after the other.
const GRAPH: &str = r#"
name: pair
workstreams: [{id: one, auto_merge: true}, {id: two, auto_merge: true}]
tasks:
  - id: first
    workstream_id: one
    description: Waits.
    primary_agent: {framework: shell, command: "touch WORLD/first; while [ ! -e WORLD/go ]; do sleep 0.05; done; echo x > a.txt"}
  - id: second
    workstream_id: two
    description: Waits, too.
    primary_agent: {framework: shell, command: "touch WORLD/second; while [ ! -e WORLD/go ]; do sleep 0.05; done; echo x > b.txt"}
"#;

struct Stage {
    world: World,
    daemon: Child,
    port: u16,
}

impl Stage {
    fn new(config: &str) -> Self {
        let (world, port) = (World::new(), free_port());
        world.write("config.yaml", &with_http(port, config));
        let daemon = world.serve();
        assert_eq!(told(port, "/healthz").0, 200);
        Self { world, daemon, port }
    }

    /// As an editor saves: another file is put in its place.
    fn save(&self, config: &str) {
        let new = self.world.write("config.yaml~", &with_http(self.port, config));
        std::fs::rename(new, self.world.path("config.yaml")).unwrap();
    }

    fn reload(&self) -> (i32, String, String) {
        let config = self.world.path("config.yaml").display().to_string();
        let said = self.world.taskloom(&["config", "reload", "--config", &config]);
        (said.code, said.out, said.err)
    }

    fn detail(&self) -> String {
        let (_, _, body) = told(self.port, "/readyz");
        let parts: serde_json::Value = serde_json::from_str(&body).unwrap();
        parts["parts"]["config"]["detail"].as_str().unwrap().to_owned()
    }

    fn engine(&self) -> String {
        let (_, _, body) = told(self.port, "/readyz");
        let parts: serde_json::Value = serde_json::from_str(&body).unwrap();
        parts["parts"]["engine"]["detail"].as_str().unwrap().to_owned()
    }

    fn finish(self) {
        assert_eq!(self.world.taskloom(&["shutdown"]).code, 0);
        let said = ended(self.daemon);
        assert_eq!(said.code, 0, "{}", said.err);
        self.world.finish();
    }
}

fn with_http(port: u16, config: &str) -> String {
    format!("http: {{listen: '127.0.0.1:{port}'}}\n{config}")
}

#[test]
fn a_slot_more_is_used_at_once_by_a_run_under_way() {
    let stage = Stage::new("slots: 1\n");
    let place = stage.world.path("").display().to_string();
    let graph = stage.world.write("pair.yaml", &GRAPH.replace("WORLD/", &place));
    let repo = stage.world.repo().display().to_string();
    let submitted = stage.world.taskloom(&["submit", graph.to_str().unwrap(), "--repo", &repo]);
    assert_eq!(submitted.code, 0, "{}", submitted.err);
    until("one works", || stage.engine() == "1 of 1 slots are used");
    stage.save("slots: 2\n");
    until("both work", || {
        stage.world.path("first").exists() && stage.world.path("second").exists()
    });
    assert_eq!(stage.engine(), "2 of 2 slots are used");
    stage.world.write("go", "");
    until("the run is done", || stage.world.state_of_run() == "succeeded");
    stage.finish();
}

#[test]
fn a_file_that_is_wrong_changes_nothing_and_is_told() {
    let stage = Stage::new("slots: 3\n");
    stage.save("slots: 4\ntimeouts: {gate: soon}\n");
    until("it is told", || stage.detail().contains("`soon` is no duration"));
    assert!(stage.detail().starts_with("what held before goes on"), "{}", stage.detail());
    assert_eq!(stage.engine(), "0 of 3 slots are used");
    let (code, _, err) = stage.reload();
    assert!(code == 1 && err.contains("at line 3, column"), "{err}");
    stage.save("slots: 4\n");
    until("it is right again", || stage.engine() == "0 of 4 slots are used");
    assert_eq!(stage.detail(), "as the file says, but for what needs a restart");
    stage.finish();
}

#[test]
fn what_is_taken_over_and_what_needs_a_restart_is_told_by_name() {
    let stage = Stage::new("slots: 3\n");
    let first = stage.reload();
    assert_eq!(first.1, "the configuration is as it was\n", "{}", first.2);
    let elsewhere = stage.world.path("elsewhere").display().to_string();
    stage.save(&format!("slots: 3\ndata_dir: {elsewhere}\nretention: {{transcripts: 1h}}\n"));
    // Whoever comes first takes it over; what needs a restart is said to both.
    let (code, out, err) = stage.reload();
    assert!(code == 0 && out.contains("needs a restart: data_dir"), "{out}{err}");
    signal(&stage.daemon, "HUP");
    until("it lives on", || told(stage.port, "/healthz").0 == 200);
    assert!(stage.reload().1.contains("nothing is taken over; needs a restart: data_dir"));
    let keys = stage.world.taskloom(&["config", "keys"]).out;
    let kind = |key: &str| keys.lines().find(|line| line.split_whitespace().next() == Some(key));
    assert_ne!(kind("slots"), None, "{keys}");
    assert!(kind("data_dir").is_some_and(|line| line.contains("restart")), "{keys}");
    stage.finish();
}
