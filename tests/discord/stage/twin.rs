//! The Discord twin as a process: a server, two channels and three people, on loopback.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// What the twin says about itself.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct About {
    pub(crate) rest: String,
    pub(crate) gateway: String,
    pub(crate) token: String,
    pub(crate) guild: String,
    pub(crate) bot: String,
    pub(crate) channels: BTreeMap<String, String>,
    pub(crate) users: BTreeMap<String, String>,
}

pub(crate) struct Twin {
    pub(crate) about: About,
    to: ChildStdin,
    from: Lines<BufReader<ChildStdout>>,
    _process: Child,
    _home: tempfile::TempDir,
}

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/discord")
}

impl Twin {
    /// Starts it; `None`, with a word about it, where Node or its packages are not installed.
    #[expect(clippy::disallowed_methods, reason = "the twin is a program beside the tests")]
    pub(crate) async fn start() -> Option<Self> {
        let node = which::which("node");
        let (Ok(node), true) = (node, dir().join("node_modules/discord-digital-twin").is_dir())
        else {
            eprintln!("SKIPPED: no Discord twin; `npm ci --prefix tests/discord` installs it");
            return None;
        };
        let home = tempfile::tempdir().unwrap();
        let mut process = Command::new(node)
            .arg("twin.mjs")
            .current_dir(dir())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let to = process.stdin.take().unwrap();
        let mut from = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = from.next_line().await.unwrap().expect("the twin says who it is");
        let about: About = serde_json::from_str(&line).unwrap();
        for address in [&about.rest, &about.gateway] {
            assert!(address.contains("://127.0.0.1:"), "{address} is not on this machine");
        }
        Some(Self { about, to, from, _process: process, _home: home })
    }

    /// Has something done, as its line says.
    async fn deed(&mut self, deed: Value) -> Value {
        let line = format!("{deed}\n");
        self.to.write_all(line.as_bytes()).await.unwrap();
        let line = self.from.next_line().await.unwrap().expect("the twin answers");
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert!(answer.get("failed").is_none(), "{deed}: {answer}");
        answer["done"].clone()
    }

    /// Somebody writes a message.
    pub(crate) async fn write(&mut self, channel: &str, user: &str, text: &str) -> Value {
        let user = self.about.users[user].clone();
        self.deed(json!({ "deed": "write", "channel": channel, "user": user, "text": text })).await
    }

    /// Somebody deletes a message.
    pub(crate) async fn drop_message(&mut self, channel: &str, user: &str, message: &str) {
        let user = self.about.users[user].clone();
        let deed = json!({ "deed": "drop", "channel": channel, "user": user, "message": message });
        self.deed(deed).await;
    }

    /// Somebody deletes a channel or thread.
    pub(crate) async fn close_channel(&mut self, channel: &str) {
        self.deed(json!({ "deed": "close", "channel": channel })).await;
    }
}
