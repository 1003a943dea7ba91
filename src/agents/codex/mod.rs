//! Codex: `codex app-server`, JSON-RPC as lines both ways.
//!
//! What is relied on was observed with 0.169.0. A turn is one process; the next one resumes the
//! thread. Codex has a sandbox of its own, which also stands without one of Taskloom's; what it
//! wants beyond that comes to a person as a question.

mod hear;
mod pane;
mod verdict;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::agents::process::Launcher;
use crate::agents::talk::{Dialect, Letter, Step, Talker, Words, tell};
use crate::agents::{
    AgentEvent, Capabilities, Error, McpServer, Permissions, Profile, RunSpec, Session, tools,
};
use crate::graph::Framework;
use crate::sandbox::Kind;
use crate::state::{Tokens, Usage};

use hear::Codex;
pub use pane::CodexPane;

/// The first version in which all was seen that is relied on.
const FLOOR: [u32; 3] = [0, 169, 0];

/// How this program is launched.
#[derive(Debug, Clone, Copy, Default)]
pub struct CodexServer;

impl Talker<CodexServer> {
    /// One that starts its programs by `launcher`.
    pub fn codex(launcher: Launcher) -> Self {
        Self::of(CodexServer, launcher)
    }
}

impl Dialect for CodexServer {
    type Protocol = Codex;

    fn framework(&self) -> Framework {
        Framework::Codex
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
    }

    fn program(&self, profile: &Profile) -> Result<Vec<String>, Error> {
        Ok(vec![profile.command.clone().unwrap_or_else(|| "codex".to_owned())])
    }

    fn version(&self) -> Option<(&'static [&'static str], [u32; 3])> {
        Some((&["--version"], FLOOR))
    }

    fn signed_in(&self) -> Option<&'static [&'static str]> {
        Some(&["login", "status"])
    }

    fn words(&self, spec: &RunSpec, _: &str) -> Result<Words, Error> {
        let mut program = self.program(&spec.profile)?;
        program.push("app-server".to_owned());
        program.extend(settings(&SETTINGS));
        program.extend(spec.profile.args.iter().cloned());
        // Last, so that no argument takes it back.
        program.extend(spec.answer.iter().flat_map(|_| settings(&NO_TOOLS)));
        let client = json!({ "name": "taskloom", "version": env!("CARGO_PKG_VERSION") });
        let hello =
            json!({ "id": "hello", "method": "initialize", "params": { "clientInfo": client } });
        let opening = [hello, json!({ "method": "initialized" }), thread(spec)];
        let opening = opening.iter().map(|message| format!("{message}\n")).collect();
        let environment = spec.environment.clone();
        Ok(Words { program, starts: None, environment, opening, files: Vec::new() })
    }

    fn protocol(&self, spec: &RunSpec, prompt: &str) -> Codex {
        let servers = servers(spec).into_keys().collect();
        Codex::new(spec.session.clone(), servers, prompt, spec.answer.clone())
    }
}

/// What is switched off for an answer: all that the model could do beside saying it.
const NO_TOOLS: [&str; 9] = [
    "features.shell_tool=false",
    "features.unified_exec=false",
    "features.view_image=false",
    "features.multi_agent=false",
    "features.goals=false",
    "features.apps=false",
    "features.plugins=false",
    "tools.view_image=false",
    "web_search=disabled",
];

/// What holds for every one that Taskloom starts.
const SETTINGS: [&str; 3] = [
    "check_for_update_on_startup=false",
    // A snapshot of the shell is one of its environment: keys would lie in a file.
    "features.shell_snapshot=false",
    // What the model runs does not see keys either.
    "shell_environment_policy.ignore_default_excludes=false",
];

fn settings(of: &[&str]) -> impl Iterator<Item = String> {
    of.iter().map(|setting| format!("--config={setting}"))
}

/// When it asks, and what its own sandbox lets through.
fn rights(spec: &RunSpec) -> (&'static str, &'static str) {
    let (approval, own) = match spec.profile.permissions {
        Permissions::Ask => ("untrusted", "workspace-write"),
        Permissions::Edits => ("on-request", "workspace-write"),
        Permissions::All => ("never", "danger-full-access"),
    };
    let (approval, own) =
        if spec.answer.is_some() { ("untrusted", "read-only") } else { (approval, own) };
    match spec.sandbox.kind {
        Kind::None => (approval, own),
        // A wall within the wall could not be built.
        Kind::Bwrap | Kind::Oci => (approval, "danger-full-access"),
    }
}

/// Taskloom's own tools, and the servers of the profile, by name. Variables are named, and it
/// passes on what it has in its environment.
fn servers(spec: &RunSpec) -> BTreeMap<String, Value> {
    if spec.answer.is_some() {
        return BTreeMap::new();
    }
    let own = json!({
        "command": tools::command(spec), "args": tools::ARGS, "env": tools::environment(spec),
        // What an agent says to Taskloom needs nobody's leave.
        "default_tools_approval_mode": "approve",
        "tool_timeout_sec": tools::PATIENCE.as_secs(),
    });
    let given = |(name, server): (&String, &McpServer)| {
        let mut table = match server {
            McpServer::Program { command, args, env } => {
                json!({ "command": command, "args": args, "env_vars": env })
            }
            McpServer::Address { url, token_env: None } => json!({ "url": url }),
            McpServer::Address { url, token_env: Some(token) } => {
                json!({ "url": url, "bearer_token_env_var": token })
            }
        };
        let all = format!("mcp__{name}");
        let mode = if allows(&spec.profile, &all) { "approve" } else { "prompt" };
        table["default_tools_approval_mode"] = json!(mode);
        table["startup_timeout_sec"] = json!(tools::START_WITHIN.as_secs());
        let single = spec.profile.allowed_tools.iter();
        let single = single.filter_map(|tool| tool.strip_prefix(&all)?.strip_prefix("__"));
        let single: BTreeMap<&str, Value> =
            single.map(|tool| (tool, json!({ "approval_mode": "approve" }))).collect();
        table["tools"] = json!(single);
        (name.clone(), table)
    };
    let own = (tools::SERVER.to_owned(), own);
    spec.profile.mcp_servers.iter().map(given).chain([own]).collect()
}

/// Whether it may use a tool without asking.
fn allows(profile: &Profile, tool: &str) -> bool {
    match profile.permissions {
        Permissions::All => true,
        Permissions::Ask | Permissions::Edits => profile.allowed_tools.iter().any(|t| t == tool),
    }
}

/// Begins the thread, or goes on with it.
fn thread(spec: &RunSpec) -> Value {
    let (approval, sandbox) = rights(spec);
    let servers = servers(spec).into_iter();
    let servers: BTreeMap<String, Value> =
        servers.map(|(name, server)| (format!("mcp_servers.{name}"), server)).collect();
    let mut params = json!({
        "cwd": spec.worktree, "approvalPolicy": approval, "sandbox": sandbox, "config": servers,
    });
    if let Some(text) = &spec.profile.system_prompt {
        params["developerInstructions"] = json!(text);
    }
    if let Some(model) = &spec.profile.model {
        params["model"] = json!(model);
    }
    let method = match &spec.session {
        None => "thread/start",
        Some(session) => {
            params["threadId"] = json!(session.id);
            params["excludeTurns"] = json!(true);
            "thread/resume"
        }
    };
    json!({ "id": "thread", "method": method, "params": params })
}

/// A request of ours; its id is also its key.
fn request(id: &str, method: &str, params: &Value) -> Letter {
    Letter::new(id, &json!({ "id": id, "method": method, "params": params }))
}

/// What a session cost since it was counted last: `counts` are its input, what of it came from a
/// cache and went into one, and the sum of input and output.
fn spent(session: &mut Session, counts: [u64; 4]) -> Vec<Step> {
    let [input, cache_read, cache_write, sum] = counts;
    let tokens = Tokens {
        input: input.saturating_sub(cache_read.saturating_add(cache_write)),
        output: sum.saturating_sub(input),
        cache_read,
        cache_write,
    };
    let usage = Usage { tokens: tokens.since(session.tokens), usd: 0.0 };
    if tokens.all() > session.tokens.all() {
        session.tokens = tokens;
    }
    tell(AgentEvent::Usage { usage, session: Some(session.clone()) })
}
