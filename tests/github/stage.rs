//! A world whose project is on a GitHub of its own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Child;

use crate::world::{Said, World, ended, signal, until};

use super::hub::{Hub, PullState, TOKEN};

pub(crate) struct Stage {
    pub(crate) world: World,
    pub(crate) hub: Hub,
    pub(crate) variables: Vec<(&'static str, OsString)>,
}

/// Two tasks, the second after the first, each with a file of its own.
pub(crate) const CHAIN: &str = "
name: g
workstreams: [{id: default, auto_merge: true}]
tasks:
  - {id: first, description: writes the first file}
  - {id: second, description: writes the second file, dependencies: [first]}
";

/// One task.
pub(crate) const ONE: &str = "
name: g
workstreams: [{id: default, auto_merge: true}]
tasks:
  - {id: one, description: writes a file, max_attempts: 3}
";

/// What the task writes: what it was told, so that it does something else when it is told more.
const AGENT: &str = "cat > $TASKLOOM_TASK.txt";

impl Stage {
    /// `more` goes into the section `github` of the configuration, two spaces in.
    pub(crate) fn new(more: &str) -> Self {
        Self::signed_in("token_env: HUB_TOKEN", more)
    }

    /// With another way to sign in.
    pub(crate) fn signed_in(sign_in: &str, more: &str) -> Self {
        let world = World::new();
        let hub = Hub::start(&world.path("github"), &world.repo());
        let config = format!(
            "projects: [{{id: shop, link: {repo}, github: octo/shop, default_branch: main}}]\n\
             agents: {{helper: {{framework: shell, command: '{AGENT}'}}}}\n\
             default_agent: helper\n\
             github:\n  {sign_in}\n  api: {api}\n  web: {web}\n  poll: 50ms\n  \
             people: {{octocat: alice, hubot: bob}}\n  \
             pace: {{per_minute: 60000, per_hour: 60000}}\n{more}",
            repo = world.repo().display(),
            api = hub.api(),
            web = hub.web(),
        );
        world.write("config.yaml", &config);
        Self { world, hub, variables: vec![("HUB_TOKEN", TOKEN.into())] }
    }

    pub(crate) fn graph(&self, text: &str) -> PathBuf {
        self.world.write("g.yaml", text)
    }

    pub(crate) fn config(&self) -> String {
        self.world.path("config.yaml").display().to_string()
    }

    /// Runs a graph to its rest.
    pub(crate) fn run(&self, graph: &str) -> Said {
        ended(self.start(graph))
    }

    /// Starts a run and leaves it running.
    pub(crate) fn start(&self, graph: &str) -> Child {
        let (graph, repo) = (self.graph(graph), self.world.repo().display().to_string());
        let graph = graph.display().to_string();
        self.program(&["run", &graph, "--repo", &repo])
    }

    pub(crate) fn program(&self, args: &[&str]) -> Child {
        let config = self.config();
        let mut args = args.to_vec();
        args.extend(["--config", &config]);
        self.world.spawn_program(&args, &self.variables)
    }

    pub(crate) fn taskloom(&self, args: &[&str]) -> Said {
        ended(self.program(args))
    }

    /// A daemon.
    pub(crate) fn daemon(&self) -> Child {
        let daemon = self.world.serve_with("warn", &self.variables);
        until("the daemon listens", || self.world.data().join("control.sock").exists());
        daemon
    }

    /// A daemon with a run.
    pub(crate) fn serve(&self, graph: &str) -> Child {
        let daemon = self.daemon();
        let (graph, repo) = (self.graph(graph), self.world.repo().display().to_string());
        let said = self.taskloom(&["submit", &graph.display().to_string(), "--repo", &repo]);
        assert_eq!(said.code, 0, "{}{}", said.out, said.err);
        daemon
    }

    /// Ends a daemon in good order.
    pub(crate) fn end(&self, daemon: Child) -> Said {
        signal(&daemon, "TERM");
        ended(daemon)
    }

    /// The pull request of a task, as soon as it is there.
    pub(crate) fn pull(&self, task: &str) -> PullState {
        let head = format!("/t/{task}");
        until("the pull request is open", || self.hub.pull(&head).is_some());
        self.hub.pull(&head).unwrap()
    }

    /// The pull request of the lane.
    pub(crate) fn lane_pull(&self) -> PullState {
        until("the lane's pull request is open", || self.hub.pull("/w/default").is_some());
        self.hub.pull("/w/default").unwrap()
    }

    pub(crate) fn state(&self, task: &str) -> String {
        self.world.state(task)
    }

    /// Waits until the lane is in a state.
    pub(crate) fn until_lane(&self, state: &str) {
        until(&format!("the lane is {state}"), || {
            let run = self.world.json(&["status", "g"]);
            run["lanes"][0]["state"].as_str().is_some_and(|found| found.starts_with(state))
        });
    }

    pub(crate) fn finish(self) {
        self.hub.finish();
        self.world.holds_nowhere(TOKEN);
        self.world.finish();
    }
}

/// Subjects of a branch's first parents, the newest first.
pub(crate) fn subjects(stage: &Stage, branch: &str) -> Vec<String> {
    let log = stage.hub.repo().git(&["log", "--first-parent", "--format=%s", branch]);
    log.lines().map(str::to_owned).collect()
}

/// A file of a branch, if it is there.
pub(crate) fn file(stage: &Stage, branch: &str, path: &str) -> Option<String> {
    stage.hub.repo().try_git(&["show", &format!("{branch}:{path}")]).ok()
}

/// All private: a key file, for instance.
pub(crate) fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
