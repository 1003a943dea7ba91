//! Claude Code: `claude -p`, messages as JSON lines both ways.
//!
//! What is relied on was observed with 2.1.329. A turn is one process; the next one resumes the
//! session. Whatever would prompt comes to a person as a question.

mod hear;
mod pane;
mod verdict;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::agents::process::{Environment, Launcher};
use crate::agents::talk::{Dialect, Letter, Talker, Words};
use crate::agents::{Capabilities, Error, McpServer, Permissions, Profile, RunSpec, tools};
use crate::graph::Framework;
use crate::sandbox::Kind;

use hear::Claude;
pub use pane::ClaudePane;

/// The first version in which all was seen that is relied on.
const FLOOR: [u32; 3] = [2, 1, 197];

/// How this program is launched.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClaudeCode;

impl Talker<ClaudeCode> {
    /// One that starts its programs by `launcher`.
    pub fn claude(launcher: Launcher) -> Self {
        Self::of(ClaudeCode, launcher)
    }
}

impl Dialect for ClaudeCode {
    type Protocol = Claude;

    fn framework(&self) -> Framework {
        Framework::ClaudeCode
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
    }

    fn program(&self, profile: &Profile) -> Result<Vec<String>, Error> {
        Ok(vec![profile.command.clone().unwrap_or_else(|| "claude".to_owned())])
    }

    fn version(&self) -> Option<(&'static [&'static str], [u32; 3])> {
        Some((&["--version"], FLOOR))
    }

    fn signed_in(&self) -> Option<&'static [&'static str]> {
        Some(&["auth", "status"])
    }

    fn words(&self, spec: &RunSpec, prompt: &str) -> Result<Words, Error> {
        let mut program = self.program(&spec.profile)?;
        let fixed =
            ["-p", "--verbose", "--input-format=stream-json", "--output-format=stream-json"];
        program.extend(fixed.map(str::to_owned));
        let files = match &spec.answer {
            Some(_) => Vec::new(),
            None => {
                program.push("--permission-prompt-tool=stdio".to_owned());
                program.extend(rights(spec));
                vec![(servers_file(spec), servers(spec))]
            }
        };
        program.extend(options(&spec.profile));
        program.extend(spec.session.iter().map(|session| format!("--resume={}", session.id)));
        program.extend(spec.profile.args.iter().cloned());
        // Last, so that no argument takes it back.
        program.extend(spec.answer.iter().flat_map(of_answer));
        Ok(Words {
            program,
            starts: None,
            environment: environment(spec),
            opening: user("prompt", prompt).line + "\n",
            files,
        })
    }

    fn protocol(&self, spec: &RunSpec, _: &str) -> Claude {
        Claude::new(spec.session.clone())
    }
}

/// What it may do, and with which tools.
fn rights(spec: &RunSpec) -> Vec<String> {
    let mode = match spec.profile.permissions {
        Permissions::Ask => "default",
        Permissions::Edits => "acceptEdits",
        Permissions::All => "bypassPermissions",
    };
    let mut rights = vec![
        "--strict-mcp-config".to_owned(),
        format!("--permission-mode={mode}"),
        format!("--mcp-config={}", servers_file(spec).display()),
        format!("--allowedTools=mcp__{}", tools::SERVER),
    ];
    let allowed = spec.profile.allowed_tools.iter();
    rights.extend(allowed.map(|tool| format!("--allowedTools={tool}")));
    rights
}

/// It answers by a schema and has no tools; what would prompt is refused.
fn of_answer(schema: &Value) -> Vec<String> {
    vec![
        "--strict-mcp-config".to_owned(),
        "--permission-mode=default".to_owned(),
        "--tools=".to_owned(),
        format!("--json-schema={schema}"),
    ]
}

/// With which model and words.
fn options(profile: &Profile) -> Vec<String> {
    let mut options = Vec::new();
    options.extend(profile.model.iter().map(|model| format!("--model={model}")));
    let added = |text: &String| format!("--append-system-prompt={text}");
    options.extend(profile.system_prompt.iter().map(added));
    options
}

/// Where its servers are written down: command lines are for everybody to see.
fn servers_file(spec: &RunSpec) -> PathBuf {
    spec.dir.join(format!("mcp-{}.json", spec.turn))
}

/// Taskloom's own tools, and the servers of the profile. Variables are named, and it fills in what
/// it has in its environment.
fn servers(spec: &RunSpec) -> String {
    let own = json!({
        "type": "stdio", "command": tools::command(spec), "args": tools::ARGS,
        "env": tools::environment(spec),
    });
    let given = |server: &McpServer| match server {
        McpServer::Program { command, args, env } => {
            let env: BTreeMap<&String, String> =
                env.iter().map(|name| (name, format!("${{{name}}}"))).collect();
            json!({ "type": "stdio", "command": command, "args": args, "env": env })
        }
        McpServer::Address { url, token_env } => {
            let token = token_env.iter();
            let token = token.map(|name| ("Authorization", format!("Bearer ${{{name}}}")));
            let headers: BTreeMap<&str, String> = token.collect();
            json!({ "type": "http", "url": url, "headers": headers })
        }
    };
    let servers = spec.profile.mcp_servers.iter();
    let mut all: BTreeMap<&str, Value> =
        servers.map(|(name, server)| (name.as_str(), given(server))).collect();
    all.insert(tools::SERVER, own);
    json!({ "mcpServers": all }).to_string()
}

fn environment(spec: &RunSpec) -> Environment {
    let environment = spec
        .environment
        .clone()
        .with("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
        .with("DISABLE_AUTOUPDATER", "1")
        // A shell that stays in the background would hold up the end of the turn for minutes.
        .with("CLAUDE_CODE_DISABLE_BACKGROUND_TASKS", "1")
        .with("MCP_TIMEOUT", tools::START_WITHIN.as_millis().to_string())
        .with("MCP_TOOL_TIMEOUT", tools::PATIENCE.as_millis().to_string());
    match spec.sandbox.kind {
        Kind::None => environment,
        // Without it nothing is permitted to root without a question.
        Kind::Bwrap | Kind::Oci => environment.with("IS_SANDBOX", "1"),
    }
}

/// A message of the user.
fn user(key: impl Into<String>, text: &str) -> Letter {
    let content = json!([{ "type": "text", "text": text }]);
    Letter::new(key, &json!({ "type": "user", "message": { "role": "user", "content": content } }))
}
