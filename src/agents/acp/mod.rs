//! The Agent Client Protocol: Gemini CLI, OpenCode, Goose and whatever else speaks it on standard
//! input and output.
//!
//! The messages are those of its schema. They are read line by line like those of every other
//! agent, and not by the protocol's own runtime, because whoever takes an agent up again has to
//! hear all that was said from the first line on.
//! <https://agentclientprotocol.com/protocol/v1/overview>

mod hear;

use agent_client_protocol_schema::ProtocolVersion;
use agent_client_protocol_schema::v1::{
    EnvVariable, HttpHeader, Implementation, InitializeRequest, McpServer, McpServerHttp,
    McpServerStdio,
};
use serde::Serialize;
use serde_json::json;

use crate::agents::process::Launcher;
use crate::agents::talk::{Dialect, Letter, Talker, Words};
use crate::agents::{self, Capabilities, Error, Profile, RunSpec, tools};
use crate::graph::Framework;

use hear::Acp;

/// How such a program is launched.
#[derive(Debug, Clone, Copy)]
pub struct AcpClient {
    pub(super) framework: Framework,
}

impl Talker<AcpClient> {
    /// One that starts the programs of a framework by `launcher`.
    pub fn acp(framework: Framework, launcher: Launcher) -> Self {
        Self::of(AcpClient { framework }, launcher)
    }
}

impl AcpClient {
    /// The usual program of a framework, and what makes it speak the protocol.
    fn usual(self) -> Option<(&'static str, &'static str)> {
        if self.framework == Framework::Gemini {
            Some(("gemini", "--acp"))
        } else if self.framework == Framework::Opencode {
            Some(("opencode", "acp"))
        } else {
            None
        }
    }
}

impl Dialect for AcpClient {
    type Protocol = Acp;

    fn framework(&self) -> Framework {
        self.framework
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { steer: false, ..Capabilities::ALL }
    }

    fn program(&self, profile: &Profile) -> Result<Vec<String>, Error> {
        let words = match (self.usual(), &profile.command) {
            (Some((_, option)), Some(program)) => vec![program.clone(), option.to_owned()],
            (Some((program, option)), None) => vec![program.to_owned(), option.to_owned()],
            (None, Some(line)) => shell_words::split(line).unwrap_or_default(),
            (None, None) => Vec::new(),
        };
        let missing = "a `command`: the program that speaks the protocol, with its arguments";
        match words.is_empty() {
            true => Err(Error::Incomplete { framework: self.framework.word(), what: missing }),
            false => Ok(words),
        }
    }

    fn version(&self) -> Option<(&'static [&'static str], [u32; 3])> {
        None
    }

    fn signed_in(&self) -> Option<&'static [&'static str]> {
        None
    }

    fn words(&self, spec: &RunSpec, _: &str) -> Result<Words, Error> {
        let mut program = self.program(&spec.profile)?;
        if let (true, Some(model)) = (self.usual().is_some(), &spec.profile.model) {
            program.push(format!("--model={model}"));
        }
        program.extend(spec.profile.args.iter().cloned());
        let client = Implementation::new("taskloom", env!("CARGO_PKG_VERSION"));
        let hello = InitializeRequest::new(ProtocolVersion::V1).client_info(client);
        let opening = request("hello", "initialize", &hello).line + "\n";
        let environment = spec
            .environment
            .clone()
            // Worktrees are made by Taskloom; nobody is there to trust them by hand.
            .with("GEMINI_CLI_TRUST_WORKSPACE", "true")
            .with("OPENCODE_DISABLE_AUTOUPDATE", "1");
        Ok(Words { program, starts: None, environment, opening, files: Vec::new() })
    }

    fn protocol(&self, spec: &RunSpec, prompt: &str) -> Acp {
        let instructions = std::fs::read_to_string(&spec.instructions).unwrap_or_default();
        Acp::new(spec, prompt, instructions)
    }
}

/// Taskloom's own tools, and the servers of the profile. The protocol has no other way to give a
/// server a variable than its value; it goes from here to the agent's input and is kept nowhere.
fn servers(spec: &RunSpec) -> Vec<McpServer> {
    let args = tools::ARGS.map(str::to_owned).to_vec();
    let variables = tools::environment(spec);
    let variables = variables.into_iter().map(|(name, value)| EnvVariable::new(name, value));
    let own = McpServerStdio::new(tools::SERVER, tools::command(spec));
    let own = McpServer::Stdio(own.args(args).env(variables.collect()));
    let value = |name: &String| spec.environment.get(name).map(str::to_owned);
    let given = |(name, server): (&String, &agents::McpServer)| match server {
        agents::McpServer::Program { command, args, env } => {
            let variables =
                env.iter().filter_map(|name| Some(EnvVariable::new(name, value(name)?)));
            let server = McpServerStdio::new(name, command).args(args.clone());
            McpServer::Stdio(server.env(variables.collect()))
        }
        agents::McpServer::Address { url, token_env } => {
            let token = token_env.as_ref().and_then(value);
            let token = token.map(|token| format!("Bearer {token}"));
            let headers = token.map(|token| HttpHeader::new("Authorization", token));
            McpServer::Http(McpServerHttp::new(name, url).headers(Vec::from_iter(headers)))
        }
    };
    spec.profile.mcp_servers.iter().map(given).chain([own]).collect()
}

/// A request of ours; its id is also its key.
fn request(id: &str, method: &str, params: &impl Serialize) -> Letter {
    Letter::new(id, &json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
}
