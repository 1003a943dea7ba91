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
    EnvVariable, Implementation, InitializeRequest, McpServer, McpServerStdio,
};
use serde::Serialize;
use serde_json::json;

use crate::agents::process::Launcher;
use crate::agents::talk::{Dialect, Letter, Talker, Words};
use crate::agents::{Capabilities, Error, Profile, RunSpec, tools};
use crate::graph::Framework;

use hear::Acp;

/// How such a program is launched.
#[derive(Debug, Clone, Copy)]
pub struct AcpClient {
    framework: Framework,
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
        Ok(Words { program, starts: None, environment, opening })
    }

    fn protocol(&self, spec: &RunSpec, prompt: &str) -> Acp {
        let instructions = std::fs::read_to_string(&spec.instructions).unwrap_or_default();
        Acp::new(spec, prompt, instructions)
    }
}

/// Taskloom's own tools.
fn server(spec: &RunSpec) -> McpServer {
    let args = tools::ARGS.map(str::to_owned).to_vec();
    let variables = tools::environment(spec);
    let variables = variables.into_iter().map(|(name, value)| EnvVariable::new(name, value));
    let server = McpServerStdio::new(tools::SERVER, tools::command(spec));
    McpServer::Stdio(server.args(args).env(variables.collect()))
}

/// A request of ours; its id is also its key.
fn request(id: &str, method: &str, params: &impl Serialize) -> Letter {
    Letter::new(id, &json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }))
}
