//! The tools by which an agent says how its task goes: an MCP server on the standard input and
//! output of `taskloom task mcp`, which the agent itself starts.
//!
//! It speaks through the attempt's socket, as `taskloom task` does. So it outlives a restart of
//! the daemon, needs no network and no secret, and what is said goes the one way all signals go.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rmcp::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, ErrorData,
    Implementation, ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig,
    Tool,
};
use rmcp::service::{RequestContext, RoleServer, ServiceExt as _};
use rmcp::transport::io::stdio;
use serde_json::{Value, json};

use crate::agents::signals::{self, DIR_VARIABLE, Signal};
use crate::agents::{RunSpec, TurnOutcome};

/// Its name in the agent's configuration.
pub const SERVER: &str = "taskloom";

/// How it is started.
pub(super) const ARGS: [&str; 2] = ["task", "mcp"];

/// A question waits for a person, who may be asleep: a day.
pub(super) const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// How long a server may take to start: some are fetched first, and an agent is given up that says
/// nothing for longer.
pub(super) const START_WITHIN: Duration = Duration::from_secs(60);

/// What it means that an agent has not reached a server that it was given; `why` in parentheses,
/// if that is known.
pub(super) fn out_of_reach(server: &str, why: &str) -> TurnOutcome {
    let why = match server == SERVER {
        true => format!(
            "the agent could not reach Taskloom's MCP server{why}; without it it cannot say how its \
             task goes"
        ),
        false => {
            format!("the agent could not reach the MCP server `{server}` of its profile{why}")
        }
    };
    TurnOutcome::Transient { why }
}

/// The use of a tool in a line: its name with the command, the file, or the whole input. What an
/// agent says by our own tools is told as what it says.
pub fn in_words(name: &str, input: &Value) -> Option<String> {
    if name.starts_with(&format!("mcp__{SERVER}__")) || name.starts_with(&format!("{SERVER}.")) {
        return None;
    }
    Some(format!("{name} {}", subject(input)).trim_end().to_owned())
}

/// What a tool is used on.
pub(super) fn subject(input: &Value) -> String {
    let names = ["command", "file_path", "path", "url", "pattern", "description"];
    let known = names.iter().find_map(|name| input[*name].as_str());
    match known {
        Some(text) => text.lines().next().unwrap_or_default().to_owned(),
        None if input.as_object().is_none_or(serde_json::Map::is_empty) => String::new(),
        None => input.to_string(),
    }
}

/// The program: the one that `taskloom task` is for this agent.
pub(super) fn command(spec: &RunSpec) -> String {
    spec.dir.join("bin/taskloom").display().to_string()
}

/// What it needs to know.
pub(super) fn environment(spec: &RunSpec) -> BTreeMap<String, String> {
    let mut all = BTreeMap::from([(DIR_VARIABLE.to_owned(), spec.dir.display().to_string())]);
    all.extend(spec.environment.get("PATH").map(|path| ("PATH".to_owned(), path.to_owned())));
    all
}

/// Serves the tools on standard input and output until the client hangs up.
pub async fn serve(dir: Option<PathBuf>) -> io::Result<()> {
    let service = Tools { dir }.serve(stdio()).await.map_err(io::Error::other)?;
    service.waiting().await.map_err(io::Error::other)?;
    Ok(())
}

struct Tools {
    dir: Option<PathBuf>,
}

impl ServerHandler for Tools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(Implementation::new(SERVER, env!("CARGO_PKG_VERSION")))
            .with_instructions("Say with these tools how your task goes. Call `done` last.")
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(described(&ROWS)))
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let dir = self.dir.clone();
        // A question blocks until a person has answered.
        let told = tokio::task::spawn_blocking(move || say(dir.as_deref(), &call)).await;
        let (text, fine) = match told {
            Ok(Ok(answer)) => (answer.unwrap_or_else(|| "noted".to_owned()), true),
            Ok(Err(error)) => (error, false),
            Err(error) => (error.to_string(), false),
        };
        let content = vec![ContentBlock::text(text)];
        let result =
            if fine { CallToolResult::success(content) } else { CallToolResult::error(content) };
        Ok(CallToolResponse::Complete(result))
    }
}

/// A call is a signal by another name.
fn say(dir: Option<&Path>, call: &CallToolRequestParams) -> Result<Option<String>, String> {
    let mut signal = call.arguments.clone().unwrap_or_default();
    signal.insert("signal".to_owned(), call.name.clone().into());
    let signal = Signal::parse(Value::from(signal).to_string().as_bytes());
    let signal = signal.map_err(|error| error.to_string())?;
    signals::send(dir, &signal).map_err(|error| error.to_string())
}

/// Name, what it is for, and its arguments: name, description, whether it is needed.
pub type Row = (&'static str, &'static str, &'static [(&'static str, &'static str, bool)]);

const ROWS: [Row; 14] = [
    (
        "done",
        "Say that your task is done. Call it last, when all is committed.",
        &[("summary", "What you did, for those who build on it", false)],
    ),
    ("no_changes", "Say that your task is done and that nothing had to be changed.", &[]),
    ("failed", "Say that your task cannot be done.", &[("reason", "Why", true)]),
    (
        "concern",
        "Raise a doubt about the design: a person looks before this is merged.",
        &[("text", "The doubt", true)],
    ),
    ("ops_concern", "Report trouble with tools or environment.", &[("text", "The trouble", true)]),
    ("summary", "Say what you did, for those who build on it.", &[("text", "The summary", true)]),
    (
        "learned",
        "Say what you would have liked to know before you began, for tasks to come.",
        &[("text", "What you learned", true)],
    ),
    (
        "declare",
        "Declare a file that later tasks may need.",
        &[
            ("path", "Its path in the repository", true),
            ("action", "created, modified or deleted", true),
            ("category", "What it is: src, test, spec, docs or another word", true),
        ],
    ),
    (
        "ask",
        "Ask a person and wait for the answer. It can take hours.",
        &[("question", "The question", true), ("choices", "Answers to choose from", false)],
    ),
    (
        "note",
        "Tell a later task something.",
        &[("to", "The id of the task", true), ("text", "The note", true)],
    ),
    ("approve", "If you review a change: let it through.", &[]),
    (
        "object",
        "If you review a change: say what has to be changed before it can be let through.",
        &[("objections", "Each objection", true)],
    ),
    (
        "plan",
        "Leave a plan, if your task asks for one: others carry its steps out once a person \
         approves it.",
        &[("text", "The plan: a heading with a text for each step", true)],
    ),
    ("progress", "Say how far you are, in a line.", &[("text", "The line", true)]),
];

/// Tools as a client is told of them.
pub fn described(rows: &[Row]) -> Vec<Tool> {
    let tool = |(name, description, arguments): &Row| {
        let property = |(name, description, _): &(&str, &str, bool)| {
            let schema = match *name {
                "choices" | "objections" => json!({ "type": "array", "items": { "type": "string" },
                    "description": description }),
                "action" => json!({ "type": "string", "description": description,
                    "enum": ["created", "modified", "deleted"] }),
                _ => json!({ "type": "string", "description": description }),
            };
            ((*name).to_owned(), schema)
        };
        let needed: Vec<&str> =
            arguments.iter().filter(|(.., needed)| *needed).map(|(name, ..)| *name).collect();
        let properties: serde_json::Map<String, Value> = arguments.iter().map(property).collect();
        let schema = json!({ "type": "object", "properties": properties, "required": needed });
        let Value::Object(schema) = schema else { unreachable!("BUG: an object is an object") };
        Tool::new(*name, *description, schema)
    };
    rows.iter().map(tool).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_is_a_signal() {
        for (name, _, arguments) in ROWS {
            let value = |(name, ..): &(&str, &str, bool)| match *name {
                "action" => json!("created"),
                "choices" | "objections" => json!(["a", "b"]),
                _ => json!("x"),
            };
            let given: serde_json::Map<String, Value> = arguments
                .iter()
                .map(|argument| (argument.0.to_owned(), value(argument)))
                .chain([("signal".to_owned(), json!(name))])
                .collect();
            let signal = Signal::parse(Value::from(given).to_string().as_bytes());
            assert!(signal.is_ok(), "{name}: {signal:?}");
        }
    }
}
