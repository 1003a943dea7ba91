//! How an agent is configured, and which of that its kind can be told at all: what it cannot do is
//! refused with a sentence and never silently left out.
//!
//! No value of a variable stands here: servers name the variables that they get.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::agents::Error;
use crate::agents::process::Environment;
use crate::agents::tools::SERVER;
use crate::graph::Framework;

/// In a tmux session all that an agent is told has to fit into a command of 16 KiB, twice as long
/// where it is escaped: this much for what is added to the system prompt,
const SYSTEM_PROMPT_BYTES_MAX: usize = 4 << 10;

/// this much for all servers,
const SERVERS_BYTES_MAX: usize = 4 << 10;

/// and this much for all tools.
const TOOLS_BYTES_MAX: usize = 2 << 10;

/// A server is a process, or a connection, for each agent at work.
const SERVERS_MAX: usize = 16;

/// It becomes part of the names of tools, for which models have room for 64 characters.
const SERVER_NAME_CHARS_MAX: usize = 32;

/// A sentence for people.
const HINT_CHARS_MAX: usize = 300;

/// How an agent is configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// The command line, for the frameworks that leave it open; for the others the program, if it
    /// is not the usual one.
    pub command: Option<String>,
    /// The model; `None`: the agent's own default.
    pub model: Option<String>,
    /// What it may do without being asked.
    pub permissions: Permissions,
    /// More arguments for its program.
    pub args: Vec<String>,
    /// Tools that it may use without asking beyond its permissions, in its program's own words.
    pub allowed_tools: Vec<String>,
    /// MCP servers that it is given beside Taskloom's own, by name.
    pub mcp_servers: BTreeMap<String, McpServer>,
    /// What is added to its system prompt.
    pub system_prompt: Option<String>,
    /// What is said where its program is not found.
    pub install_hint: Option<String>,
}

/// What an agent may do without asking a person first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permissions {
    /// Nothing but reading.
    Ask,
    /// Changing files in its checkout as well.
    #[default]
    Edits,
    /// Everything: what it can reach is up to the sandbox.
    All,
}

/// A server of tools that an agent uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum McpServer {
    /// A program that the agent starts and speaks to on standard input and output.
    Program {
        /// The program.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// The names of the variables that it is given.
        env: Vec<String>,
    },
    /// One that listens somewhere (streamable HTTP).
    Address {
        /// Where.
        url: String,
        /// The variable that holds the token it is shown (`Authorization: Bearer`).
        token_env: Option<String>,
    },
}

impl McpServer {
    /// The variables that it needs.
    pub fn variables(&self) -> &[String] {
        match self {
            Self::Program { env, .. } => env,
            Self::Address { token_env, .. } => token_env.as_slice(),
        }
    }

    /// Every text of it.
    fn texts(&self) -> Vec<&String> {
        match self {
            Self::Program { command, args, env } => {
                std::iter::once(command).chain(args).chain(env).collect()
            }
            Self::Address { url, token_env } => std::iter::once(url).chain(token_env).collect(),
        }
    }
}

/// The kinds of tools that the Agent Client Protocol tells apart.
/// <https://agentclientprotocol.com/protocol/v1/tool-calls#param-kind>
const ACP_KINDS: [&str; 10] = [
    "read",
    "edit",
    "delete",
    "move",
    "search",
    "execute",
    "think",
    "fetch",
    "switch_mode",
    "other",
];

impl Profile {
    /// What an agent of `framework` cannot be told of this, in a sentence without its subject.
    pub fn check(&self, framework: Framework) -> Result<(), String> {
        self.check_tools(framework)?;
        self.check_servers(framework)?;
        self.check_system_prompt(framework)?;
        let hint = self.install_hint.as_deref();
        if hint.is_some_and(|hint| !is_line(hint) || hint.chars().count() > HINT_CHARS_MAX) {
            return Err(format!(
                "`install_hint` must be one line of at most {HINT_CHARS_MAX} characters"
            ));
        }
        Ok(())
    }

    /// Whether an agent of `framework` can be asked for one answer and do nothing else meanwhile; why
    /// not, in a sentence without its subject.
    pub fn check_answers(framework: Framework) -> Result<(), &'static str> {
        match framework {
            Framework::ClaudeCode | Framework::Codex | Framework::Shell => Ok(()),
            Framework::Gemini | Framework::Opencode | Framework::Acp => {
                Err("cannot be kept from its tools by the Agent Client Protocol")
            }
        }
    }

    fn check_tools(&self, framework: Framework) -> Result<(), String> {
        if self.allowed_tools.is_empty() {
            return Ok(());
        }
        if self.permissions == Permissions::All {
            return Err("`permissions: all` allows every tool, so `allowed_tools` would hold \
                        nothing back; leave it out, or say `permissions: ask`"
                .to_owned());
        }
        let bytes: usize = self.allowed_tools.iter().map(String::len).sum();
        if bytes > TOOLS_BYTES_MAX {
            return Err(format!("`allowed_tools` may have {TOOLS_BYTES_MAX} bytes in all"));
        }
        self.allowed_tools.iter().try_for_each(|tool| self.check_tool(tool, framework))
    }

    fn check_tool(&self, tool: &str, framework: Framework) -> Result<(), String> {
        let of_server = tool.strip_prefix("mcp__");
        match framework {
            Framework::ClaudeCode => match of_server {
                Some(rest) => self.check_server_of_tool(tool, rest),
                None if is_rule(tool) => Ok(()),
                None => Err(format!(
                    "`{tool}` in `allowed_tools` is no rule of Claude Code; write `Read`, \
                     `Bash(git log *)` or `mcp__SERVER`"
                )),
            },
            Framework::Codex => match of_server {
                Some(rest) => self.check_server_of_tool(tool, rest),
                None => Err(format!(
                    "`{tool}` in `allowed_tools` is nothing that Codex can be told; it takes \
                     `mcp__SERVER` and `mcp__SERVER__TOOL`, and for the rest `permissions`"
                )),
            },
            Framework::Gemini | Framework::Opencode | Framework::Acp => {
                match ACP_KINDS.contains(&tool) {
                    true => Ok(()),
                    false => Err(format!(
                        "`{tool}` in `allowed_tools` is no kind of tool of the Agent Client \
                         Protocol; there are: {}",
                        ACP_KINDS.join(", ")
                    )),
                }
            }
            Framework::Shell => {
                Err("a command asks nobody for permission; leave out `allowed_tools`, and put it \
                     behind a sandbox"
                    .to_owned())
            }
        }
    }

    /// `rest` is what follows `mcp__`: a server, or a server and a tool of it.
    fn check_server_of_tool(&self, tool: &str, rest: &str) -> Result<(), String> {
        let (server, of_it) = rest.split_once("__").map_or((rest, None), |(s, t)| (s, Some(t)));
        if !self.mcp_servers.contains_key(server) {
            return Err(format!(
                "`{tool}` in `allowed_tools` is of a server that is not among its `mcp_servers`"
            ));
        }
        let bare = |tool: &str| !tool.is_empty() && tool.chars().all(is_name_char);
        match of_it.is_none_or(bare) {
            true => Ok(()),
            false => Err(format!("`{tool}` in `allowed_tools` names no tool")),
        }
    }

    fn check_servers(&self, framework: Framework) -> Result<(), String> {
        match framework {
            Framework::Shell if !self.mcp_servers.is_empty() => {
                return Err("a command cannot be given `mcp_servers`; start them in it".to_owned());
            }
            Framework::ClaudeCode
            | Framework::Codex
            | Framework::Gemini
            | Framework::Opencode
            | Framework::Acp
            | Framework::Shell => {}
        }
        if self.mcp_servers.len() > SERVERS_MAX {
            return Err(format!("there may be {SERVERS_MAX} `mcp_servers`"));
        }
        let texts = self.mcp_servers.values().flat_map(McpServer::texts);
        if texts.map(String::len).sum::<usize>() > SERVERS_BYTES_MAX {
            return Err(format!("`mcp_servers` may have {SERVERS_BYTES_MAX} bytes in all"));
        }
        self.mcp_servers.iter().try_for_each(|(name, server)| {
            check_server(name, server).map_err(|why| format!("`mcp_servers.{name}`: {why}"))
        })
    }

    fn check_system_prompt(&self, framework: Framework) -> Result<(), String> {
        let Some(text) = &self.system_prompt else { return Ok(()) };
        if framework == Framework::Shell {
            return Err("a command has no system prompt; leave out `system_prompt`".to_owned());
        }
        if text.trim().is_empty() {
            return Err("`system_prompt` is empty".to_owned());
        }
        if text.len() > SYSTEM_PROMPT_BYTES_MAX {
            return Err(format!(
                "`system_prompt` has {} bytes, {SYSTEM_PROMPT_BYTES_MAX} at most; what is longer \
                 belongs in a file of the repository",
                text.len()
            ));
        }
        match text.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\t')) {
            true => Ok(()),
            false => Err("`system_prompt` has control characters in it".to_owned()),
        }
    }

    /// The variables that its servers need.
    pub fn variables(&self) -> impl Iterator<Item = &String> {
        self.mcp_servers.values().flat_map(McpServer::variables)
    }

    /// Whether the variables that its servers need are in `environment`.
    pub fn check_variables(&self, environment: &Environment) -> Result<(), Error> {
        let needed = self
            .mcp_servers
            .iter()
            .flat_map(|(server, of)| of.variables().iter().map(move |variable| (server, variable)));
        match { needed }.find(|(_, variable)| environment.get(variable).is_none()) {
            Some((server, variable)) => {
                Err(Error::NoVariable { server: server.clone(), variable: variable.clone() })
            }
            None => Ok(()),
        }
    }

    /// What to do where its program is not found.
    pub(super) fn hint(&self, framework: Framework) -> String {
        if let Some(own) = &self.install_hint {
            return own.clone();
        }
        let package = match framework {
            Framework::ClaudeCode => Some("@anthropic-ai/claude-code"),
            Framework::Codex => Some("@openai/codex"),
            Framework::Gemini => Some("@google/gemini-cli"),
            Framework::Opencode => Some("opencode-ai"),
            Framework::Acp | Framework::Shell => None,
        };
        let how = package.map(|package| format!(" (`npm install --global {package}`)"));
        format!(
            "install it{}, or give its path as `command` of the agent profile",
            how.unwrap_or_default()
        )
    }
}

fn check_server(name: &str, server: &McpServer) -> Result<(), String> {
    if name.eq_ignore_ascii_case(SERVER) {
        return Err("that is the name of Taskloom's own server; take another".to_owned());
    }
    let fits = (1..=SERVER_NAME_CHARS_MAX).contains(&name.len());
    if !fits || name.contains("__") || !name.chars().all(is_name_char) {
        return Err(format!(
            "a name has 1 to {SERVER_NAME_CHARS_MAX} letters, digits, `-` and single `_`"
        ));
    }
    if let Some(variable) = server.variables().iter().find(|name| !is_variable(name)) {
        return Err(format!(
            "`{variable}` is no name of a variable; values are not written here, they stay in the \
             environment of Taskloom"
        ));
    }
    if let Some(text) = server.texts().into_iter().find(|text| text.contains("${")) {
        return Err(format!(
            "`{text}` has `${{` in it, and nothing is filled in there; name the variable under \
             `env`"
        ));
    }
    if server.texts().iter().any(|text| text.chars().any(char::is_control)) {
        return Err("control characters have no place there".to_owned());
    }
    match server {
        McpServer::Program { command, .. } if command.trim().is_empty() => {
            Err("`command` is empty".to_owned())
        }
        McpServer::Address { url, .. } if !is_address(url) => {
            Err("`url` must be an http or https address without a user and a password in it"
                .to_owned())
        }
        McpServer::Address { url, token_env: Some(_) } if !is_sheltered(url) => {
            Err("a token is shown to `https://` and to this machine only".to_owned())
        }
        McpServer::Program { .. } | McpServer::Address { .. } => Ok(()),
    }
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_')
}

fn is_variable(name: &str) -> bool {
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    begins && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_line(text: &str) -> bool {
    !text.trim().is_empty() && !text.chars().any(char::is_control)
}

/// A tool, or a tool and in parentheses on what.
fn is_rule(rule: &str) -> bool {
    let (tool, on) = rule.split_once('(').map_or((rule, None), |(tool, on)| (tool, Some(on)));
    let named = tool.starts_with(|c: char| c.is_ascii_alphabetic());
    let whole = on.is_none_or(|on| on.len() > 1 && on.ends_with(')'));
    named && tool.chars().all(is_name_char) && whole && is_line(rule)
}

fn is_address(url: &str) -> bool {
    let plain = !url.contains(|c: char| c.is_whitespace() || c == '"' || c == '\\');
    plain && host_of(url).is_some_and(|host| !host.is_empty() && !host.contains('@'))
}

/// The host of an address, with its port.
fn host_of(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    rest?.split(['/', '?', '#']).next()
}

/// Whether nobody on the way hears what is said there.
fn is_sheltered(url: &str) -> bool {
    let here = |host: &str| {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        matches!(name, "127.0.0.1" | "localhost" | "[::1]")
    };
    url.starts_with("https://") || host_of(url).is_some_and(here)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::agents::process::Limits;
    use crate::agents::talk::{Dialect, Protocol as _, Step};
    use crate::agents::{AcpClient, ClaudeCode, ClaudePane, CodexPane, CodexServer, RunSpec};
    use crate::ids::RunName;
    use crate::sandbox;

    /// What must be in nothing that others can see.
    const TOKEN: &str = "canary-5f1e";

    fn whole(tools: &[&str]) -> Profile {
        let program = McpServer::Program {
            command: "npx".to_owned(),
            args: vec!["-y".to_owned(), "tracker \"x\"".to_owned()],
            env: vec!["TRACKER_TOKEN".to_owned()],
        };
        let address = McpServer::Address {
            url: "https://docs.example/mcp".to_owned(),
            token_env: Some("DOCS_TOKEN".to_owned()),
        };
        Profile {
            model: Some("m".to_owned()),
            permissions: Permissions::Ask,
            args: vec!["--more".to_owned()],
            allowed_tools: tools.iter().map(|&tool| tool.to_owned()).collect(),
            mcp_servers: BTreeMap::from([
                ("tracker".to_owned(), program),
                ("docs".to_owned(), address),
            ]),
            system_prompt: Some("Be \"brief\".\nNo jokes.".to_owned()),
            ..Profile::default()
        }
    }

    fn spec(profile: Profile) -> RunSpec {
        let walls = sandbox::Request {
            kind: sandbox::Kind::None,
            worktree: "/w".into(),
            writes: vec![],
            reads: vec![],
            programs: vec![],
            hidden: "/nowhere".into(),
            network: true,
            container: sandbox::Container::default(),
        };
        let environment = Environment::default().with("HOME", "/home").with("PATH", "/bin");
        RunSpec {
            profile,
            task: "greet".parse().unwrap(),
            run: RunName { graph: "greeting".parse().unwrap(), number: 3 },
            attempt: 0,
            turn: 0,
            worktree: "/w".into(),
            dir: "/d".into(),
            instructions: "/nowhere/instructions.md".into(),
            going_on: None,
            inputs: None,
            feedback: None,
            session: None,
            answer: None,
            environment: environment.with("TRACKER_TOKEN", TOKEN).with("DOCS_TOKEN", TOKEN),
            sandbox: walls,
            deadline: None,
            grace: std::time::Duration::ZERO,
            limits: Limits::default(),
        }
    }

    /// The command line, the files and what is said first.
    fn launched(dialect: &impl Dialect, tools: &[&str]) -> String {
        let words = dialect.words(&spec(whole(tools)), "Do it.").unwrap();
        let shown = |(path, text): &(PathBuf, String)| format!("{}: {text}", path.display());
        let files: Vec<String> = words.files.iter().map(shown).collect();
        let seen = format!("{}\n{}", words.program.join("\n"), files.join("\n"));
        assert!(!seen.contains(TOKEN), "{seen}");
        format!("{seen}\n\n{}", words.opening)
    }

    #[test]
    fn each_program_is_told_all_of_its_profile_in_its_own_words() {
        let tools = ["Bash(git log *)", "mcp__tracker__find"];
        insta::assert_snapshot!("claude", launched(&ClaudeCode, &tools));
        let tools = ["mcp__docs", "mcp__tracker__find"];
        insta::assert_snapshot!("codex", launched(&CodexServer, &tools));
    }

    #[test]
    fn who_is_asked_for_an_answer_gets_its_schema_and_no_tools() {
        let answer = Some(serde_json::json!({ "type": "object" }));
        let spec = RunSpec { answer, ..spec(whole(&[])) };
        let words = ClaudeCode.words(&spec, "Read it.").unwrap();
        assert_eq!(words.files, []);
        insta::assert_snapshot!("claude_answers", words.program.join("\n"));
        let words = CodexServer.words(&spec, "Read it.").unwrap();
        let mut protocol = CodexServer.protocol(&spec, "Read it.");
        let steps = protocol.hear(r#"{"id":"thread","result":{"thread":{"id":"t"}}}"#);
        let turn = steps.into_iter().filter_map(|step| match step {
            Step::Write(letter) => Some(letter.line),
            Step::Tell(_) | Step::Over(_) | Step::Kill(_) => None,
        });
        let turn: String = turn.collect();
        let told = format!("{}\n{}{turn}", words.program.join("\n"), words.opening);
        insta::assert_snapshot!("codex_answers", told);
    }

    #[test]
    fn in_a_session_it_is_told_the_same() {
        if which::which("tmux").is_err() {
            return;
        }
        insta::assert_snapshot!("claude_pane", launched(&ClaudePane, &["mcp__docs"]));
        insta::assert_snapshot!("codex_pane", launched(&CodexPane, &["mcp__docs"]));
    }

    /// What an agent that speaks the protocol is told after it has said `hello`.
    fn greeted(capabilities: &str) -> String {
        let spec = spec(whole(&["execute", "fetch"]));
        let dialect = AcpClient { framework: Framework::Gemini };
        let mut protocol = dialect.protocol(&spec, "Do it.");
        let hello = format!(
            r#"{{"id":"hello","result":{{"protocolVersion":1,"agentCapabilities":{capabilities}}}}}"#
        );
        let asks = |id: u32, kind: &str| {
            format!(
                r#"{{"id":{id},"method":"session/request_permission","params":{{"sessionId":"s",
                "toolCall":{{"toolCallId":"c","title":"echo (taskloom MCP Server)","kind":"{kind}"}},
                "options":[{{"optionId":"yes","name":"Allow","kind":"allow_once"}}]}}}}"#
            )
        };
        let lines = [
            hello,
            r#"{"id":"session","result":{"sessionId":"s"}}"#.to_owned(),
            asks(1, "execute"),
            asks(2, "delete"),
            asks(3, "other"),
        ];
        let told =
            lines.iter().flat_map(|line| protocol.hear(line)).filter_map(|step| match step {
                Step::Write(letter) => Some(letter.line),
                Step::Tell(crate::agents::AgentEvent::Asked { text, .. }) => Some(text),
                Step::Kill(outcome) => Some(format!("{outcome:?}")),
                Step::Tell(_) | Step::Over(_) => None,
            });
        told.map(|line| line + "\n").collect()
    }

    #[test]
    fn by_the_protocol_it_is_given_values_and_kinds_are_allowed() {
        insta::assert_snapshot!("acp", greeted(r#"{"mcpCapabilities":{"http":true}}"#));
        let told = greeted("{}");
        assert!(told.starts_with("CannotStart"), "{told}");
        assert!(told.contains("takes no MCP servers by address"), "{told}");
    }

    #[test]
    fn a_server_without_its_variable_is_not_given_to_anybody() {
        let environment = Environment::default().with("DOCS_TOKEN", "x");
        let why = whole(&[]).check_variables(&environment).unwrap_err().to_string();
        assert!(why.contains("`tracker`") && why.contains("$TRACKER_TOKEN"), "{why}");
        assert!(whole(&[]).check_variables(&environment.with("TRACKER_TOKEN", "")).is_ok());
    }

    #[test]
    fn the_own_hint_wins() {
        let hint = |own: Option<&str>, framework| {
            let install_hint = own.map(str::to_owned);
            Profile { install_hint, ..Profile::default() }.hint(framework)
        };
        assert_eq!(hint(Some("ask Ada"), Framework::Codex), "ask Ada");
        assert!(hint(None, Framework::Codex).contains("install --global @openai/codex"));
        assert!(hint(None, Framework::Acp).starts_with("install it, or"));
    }
}
