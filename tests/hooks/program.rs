//! The real program: a daemon with hooks, a repository, requests and commands.

use std::net::TcpListener;
use std::process::Child;

use hmac::{Hmac, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use crate::world::{World, ended, signal, until};

const SECRET: &str = "It's a Secret to Everybody";

/// A task fails and says something that a careless shell would do.
const GRAPH: &str = "
name: broken
workstreams: [{id: default, auto_merge: true}]
tasks:
  - id: refund
    description: Fails.
    max_attempts: 1
    primary_agent: {framework: shell, command: 'exit 1'}
";

struct Daemon {
    world: World,
    process: Child,
    url: String,
}

impl Daemon {
    fn with(hooks: &str) -> Self {
        let world = World::new();
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = format!(
            "projects: [{{id: shop, link: {repo}, default_branch: main}}]\n\
             agents: {{helper: {{framework: shell, command: 'cat > note.txt'}}}}\n\
             default_agent: helper\nhttp: {{listen: '{free}'}}\nhooks:\n{hooks}",
            repo = world.repo().display(),
        );
        world.write("config.yaml", &config.replace("WORLD", &world.path("").display().to_string()));
        let process = Self::serve(&world);
        Self { world, process, url: format!("http://{free}") }
    }

    fn serve(world: &World) -> Child {
        let process = world.serve_with("warn", &[("RING_SECRET", SECRET.into())]);
        let socket = world.data().join("control.sock");
        until("the daemon listens", || socket.exists());
        process
    }

    fn hook(&self, args: &[&str]) -> String {
        let config = self.world.path("config.yaml").display().to_string();
        let said = self.world.taskloom(&[&["hook"], args, &["--config", &config]].concat());
        format!("{}{}", said.out, said.err)
    }

    fn runs(&self) -> Vec<Value> {
        let json: Value = serde_json::from_str(&self.hook(&["runs", "--json"])).unwrap();
        json["hook_runs"].as_array().unwrap().clone()
    }

    fn until_over(&self, hook: &str) -> Value {
        let over = |run: &Value| {
            run["hook"] == hook && !matches!(run["status"].as_str(), Some("queued" | "running"))
        };
        until(&format!("{hook} has run"), || self.runs().iter().any(over));
        self.runs().into_iter().find(over).unwrap()
    }

    async fn post(&self, hook: &str, signature: &str, body: &str) -> (u16, String) {
        let request = reqwest::Client::new().post(format!("{}/hook/{hook}", self.url));
        let request = request.header("X-Hub-Signature-256", signature).body(body.to_owned());
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    fn end(self) -> String {
        signal(&self.process, "TERM");
        let said = ended(self.process);
        assert_eq!(said.code, 0, "{}", said.err);
        said.out
    }
}

fn signed(body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    let hex: String =
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

const FIX: &str = "
  - name: fix
    on: {event: task_finished, where: {outcome: '*failure'}}
    steps:
      - {shell: 'git log --oneline | wc -l; ls; echo of {{event.task}}'}
      - {create_task: {title: 'Fix {{event.task}}', description: '{{step_1}}'}}
      - {notify: 'filed {{step_2.run}}'}
";

#[test]
fn a_task_fails_and_a_hook_has_an_agent_look_at_it() {
    let daemon = Daemon::with(FIX);
    let desk = daemon.world.desk();
    let graph = daemon.world.write("broken.yaml", GRAPH);
    let repo = daemon.world.repo().display().to_string();
    let said = daemon.world.taskloom(&["submit", graph.to_str().unwrap(), "--repo", &repo]);
    assert_eq!(said.out, "submitted as broken/1\n", "{}", said.err);
    let run = daemon.until_over("fix");
    assert_eq!((&run["status"], &run["made"][0]), (&"succeeded".into(), &"shop:inbox/1".into()));
    // The default branch, and not what lies in the user's clone.
    assert_eq!(run["steps"][0]["result"]["stdout"], "2\nREADME.md\na.txt\nof refund\n");
    until("the agent is done", || daemon.world.taskloom(&["list"]).out.contains("inbox/1   succ"));
    let shown = daemon.world.taskloom(&["show", "inbox/1", "--json"]).out;
    assert!(shown.contains("hook fix") && shown.contains("fix-refund"), "{shown}");
    assert_eq!(daemon.runs().len(), 1, "what it made does not set it off");
    assert_eq!(daemon.world.desk(), desk);
    let heard = daemon.end();
    assert!(heard.contains("⚑ fix: filed inbox/1"), "{heard}");
}

const RING: &str = "
  - name: ring
    project: shop
    on: {webhook: {secret_env: RING_SECRET}}
    steps:
      - {shell: 'echo {{event.who}} \"{{event.who}}\" ''{{event.who}}''; cat note; exit 3', may_fail: true}
      - {notify: '{{step_1.exit_code}}'}
";

#[tokio::test]
async fn only_signed_requests_set_a_hook_off_and_what_they_say_is_never_a_command() {
    let daemon = Daemon::with(RING);
    let canary = daemon.world.path("canary");
    let who = format!("a'b\\\"; touch {0}; $(touch {0}) `touch {0}`", canary.display());
    let body = serde_json::json!({ "who": who }).to_string();
    let refused = (401, "the signature does not fit\n".to_owned());
    assert_eq!(daemon.post("ring", "", &body).await, refused);
    assert_eq!(daemon.post("ring", &signed("another"), &body).await, refused);
    assert_eq!(daemon.post("nobody", &signed(&body), &body).await, refused);
    assert!(daemon.runs().is_empty());
    assert_eq!(daemon.post("ring", &signed(&body), &body).await, (202, "run 1\n".to_owned()));
    let run = daemon.until_over("ring");
    assert_eq!(run["status"], "succeeded", "{run}");
    assert_eq!(run["steps"][0]["result"]["stdout"], format!("{who} {who} {who}\n"));
    assert_eq!(run["steps"][1]["result"]["sent"], "3");
    assert!(!canary.exists());
    daemon.end();
}

const SLOW: &str = "
  - name: slow
    project: shop
    on: {webhook: {secret_env: RING_SECRET}}
    steps: [{shell: 'echo $$ > WORLD/pid; while [ ! -e WORLD/go ]; do sleep 0.05; done'}]
  - name: docs
    project: shop
    on: {file: {paths: ['docs/**'], debounce: 100ms}}
    steps: [{notify: 'changed: {{event.paths}}'}]
";

#[test]
fn a_daemon_that_is_killed_leaves_no_command_and_no_run_that_seems_to_run() {
    let mut daemon = Daemon::with(SLOW);
    let set_off = daemon.hook(&["fire", "slow"]);
    assert_eq!(set_off, "hook `slow` was set off as run 1\n");
    let pid_file = daemon.world.path("pid");
    until("the command runs", || std::fs::read_to_string(&pid_file).is_ok_and(|p| !p.is_empty()));
    let refused = daemon.hook(&["fire", "slow"]);
    assert!(refused.contains("hook `slow` is at work already"), "{refused}");
    assert!(daemon.hook(&["fire", "slow", "--queue"]).contains("as run 2"));
    let pid = std::fs::read_to_string(&pid_file).unwrap();
    let alive = format!("/proc/{}", pid.trim());
    std::fs::remove_file(daemon.world.data().join("control.sock")).unwrap();
    signal(&daemon.process, "KILL");
    drop(daemon.process.wait());
    assert!(std::path::Path::new(&alive).exists());
    daemon.process = Daemon::serve(&daemon.world);
    until("the command is ended", || !std::path::Path::new(&alive).exists());
    let lost = daemon.runs().into_iter().find(|run| run["id"] == 1).unwrap();
    assert_eq!(
        (&lost["status"], &lost["why"]),
        (&"lost".into(), &"the process ended while it ran".into())
    );
    daemon.world.write("go", "");
    let done = |run: &Value| run["id"] == 2 && run["status"] == "succeeded";
    until("what waited is done", || daemon.runs().iter().any(done));
    daemon.end();
}

#[test]
fn files_of_the_project_set_a_hook_off_also_in_a_directory_that_is_new() {
    let daemon = Daemon::with(SLOW);
    std::fs::create_dir(daemon.world.repo().join("docs")).unwrap();
    let file = daemon.world.repo().join("docs/plan.md");
    until("the change is seen", || {
        std::fs::write(&file, "plan").unwrap();
        !daemon.runs().is_empty()
    });
    let run = daemon.until_over("docs");
    assert_eq!(run["steps"][0]["result"]["sent"], "changed: docs/plan.md");
    daemon.end();
}

#[test]
fn hooks_are_made_and_looked_at_without_a_daemon() {
    let world = World::new();
    let file = world.write(
        "hook.yaml",
        "name: nightly\nproject: shop\non: {cron: '0 3 * * *', time_zone: Europe/Berlin}\n\
         steps: [{run_tests: cargo test, skip_if: exit_zero}, {notify: '{{step_1.failed}} fail'}]\n",
    );
    let file = file.to_str().unwrap();
    let said = |args: &[&str]| {
        let said = world.taskloom(args);
        format!("$ taskloom {}\n{}{}\n", args.join(" "), said.out, said.err)
    };
    let told = [
        said(&["hook", "list"]),
        said(&["hook", "add", file]),
        said(&["hook", "add", file]),
        said(&["hook", "fire", "nightly", "--dry-run"]),
        said(&["hook", "fire", "nightly"]),
        said(&["hook", "disable", "nightly"]),
        said(&["hook", "list"]),
        said(&["hook", "show", "nightly"]),
        said(&["hook", "runs"]),
        said(&["hook", "remove", "nightli"]),
        said(&["hook", "remove", "nightly"]),
    ];
    let told = told.concat().replace(&world.path("").display().to_string(), "WORLD/");
    insta::assert_snapshot!(told);
}
