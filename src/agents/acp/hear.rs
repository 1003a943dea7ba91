//! What the lines of an agent mean that speaks the Agent Client Protocol.

use std::collections::BTreeMap;
use std::path::PathBuf;

use agent_client_protocol_schema::v1::{
    AuthenticateRequest, CancelNotification, ContentBlock, InitializeResponse, LoadSessionRequest,
    McpServer, NewSessionRequest, NewSessionResponse, PermissionOption, PermissionOptionKind,
    PromptRequest, PromptResponse, RequestPermissionOutcome, RequestPermissionRequest,
    RequestPermissionResponse, SelectedPermissionOutcome, SessionNotification, SessionUpdate,
    StopReason, ToolCallStatus, ToolKind,
};
use serde_json::{Value, json};

use crate::agents::acp::{request, servers};
use crate::agents::talk::{Letter, Protocol, Step, clip, tell};
use crate::agents::{AgentEvent, Command, Permissions, RunSpec, Session, TurnOutcome, tools};
use crate::state::{Tokens, Usage};

/// An agent that wants a sign-in says so with this code.
/// <https://agentclientprotocol.com/protocol/v1/schema#errorcode>
const AUTH_REQUIRED: i64 = -32_000;

/// Ways to sign in that need nothing but a variable.
const SIGN_INS: [(&str, &str); 2] =
    [("gemini-api-key", "GEMINI_API_KEY"), ("openai-api-key", "OPENAI_API_KEY")];

/// One turn.
#[derive(Debug)]
pub struct Acp {
    session: Session,
    resumes: bool,
    cwd: PathBuf,
    servers: Vec<McpServer>,
    permissions: Permissions,
    /// Kinds of tools that it may use beyond those.
    allowed: Vec<ToolKind>,
    prompt: String,
    /// What would be added to a system prompt, if the protocol had one.
    preface: String,
    /// What a session is told that knows nothing yet.
    instructions: String,
    /// Ways to sign in for which there is a variable.
    keys: Vec<&'static str>,
    loads: bool,
    version: Option<String>,
    /// Whether the prompt is with the agent; what it tells before that is an old story.
    prompted: bool,
    /// Words that are not a whole line yet.
    text: String,
    thought: String,
    open: BTreeMap<String, (Value, Vec<PermissionOption>)>,
    /// Tools that were announced and not ended.
    tools: BTreeMap<String, bool>,
    interrupts: u32,
}

impl Acp {
    pub(super) fn new(spec: &RunSpec, prompt: &str, instructions: String) -> Self {
        let has = |variable: &str| spec.environment.get(variable).is_some();
        Self {
            resumes: spec.session.is_some(),
            session: spec.session.clone().unwrap_or_default(),
            cwd: spec.worktree.clone(),
            servers: servers(spec),
            permissions: spec.profile.permissions,
            allowed: spec
                .profile
                .allowed_tools
                .iter()
                .filter_map(|kind| read(&json!(kind)))
                .collect(),
            prompt: prompt.to_owned(),
            preface: spec.profile.system_prompt.clone().unwrap_or_default(),
            instructions,
            keys: SIGN_INS.iter().filter(|(_, key)| has(key)).map(|(name, _)| *name).collect(),
            loads: false,
            version: None,
            prompted: false,
            text: String::new(),
            thought: String::new(),
            open: BTreeMap::new(),
            tools: BTreeMap::new(),
            interrupts: 0,
        }
    }
}

impl Protocol for Acp {
    fn hear(&mut self, line: &str) -> Vec<Step> {
        let Ok(message) = serde_json::from_str::<Value>(line) else {
            return tell(AgentEvent::Garbage(clip(line)));
        };
        match (message["method"].as_str(), &message["id"]) {
            (Some("session/update"), _) => self.update(&message["params"]),
            (Some("session/request_permission"), id) => self.asked(id, &message["params"]),
            (Some(_), Value::Null) => vec![],
            (Some(method), id) => {
                let error = json!({ "code": -32_601, "message": format!("no {method} here") });
                let line = json!({ "jsonrpc": "2.0", "id": id, "error": error });
                vec![Step::Write(Letter::new(format!("refuse-{id}"), &line))]
            }
            (None, id) => self.answered(id.as_str().unwrap_or_default(), &message),
        }
    }

    fn say(&mut self, command: &Command) -> Option<Vec<Letter>> {
        match command {
            Command::Interrupt => {
                self.interrupts += 1;
                let params = CancelNotification::new(self.session.id.clone());
                let line =
                    json!({ "jsonrpc": "2.0", "method": "session/cancel", "params": params });
                Some(vec![Letter::new(format!("interrupt-{}", self.interrupts), &line)])
            }
            Command::Reply { id, text } => Some(self.reply(id, text)),
            Command::Steer { .. } | Command::User(_) | Command::Answer { .. } | Command::Stop => {
                None
            }
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(value: &Value) -> Option<T> {
    serde_json::from_value(value.clone()).ok()
}

impl Acp {
    /// An answer to a request of ours.
    fn answered(&mut self, id: &str, message: &Value) -> Vec<Step> {
        let (result, error) = (&message["result"], &message["error"]);
        match (id, error.is_null()) {
            ("hello", true) => self.greeted(result),
            ("key", true) => vec![Step::Write(self.begin())],
            ("session", true) => self.begun(result),
            ("turn", true) => self.over(result),
            // It has forgotten the session: a new one is told everything.
            ("session", false) if self.resumes && error["code"] != AUTH_REQUIRED => {
                self.resumes = false;
                vec![Step::Write(Letter { key: "session-anew".to_owned(), ..self.begin() })]
            }
            (_, false) => {
                let mut steps = self.flush();
                steps.push(Step::Over(verdict(error)));
                steps
            }
            (_, true) => vec![],
        }
    }

    fn greeted(&mut self, result: &Value) -> Vec<Step> {
        self.version = result["agentInfo"]["version"].as_str().map(str::to_owned);
        let Some(hello) = read::<InitializeResponse>(result) else {
            let why = "its answer to `initialize` is not understood".to_owned();
            return vec![Step::Over(TurnOutcome::Failed { why })];
        };
        self.loads = hello.agent_capabilities.load_session;
        let distant = self.servers.iter().find_map(|server| {
            if let McpServer::Http(server) = server { Some(&server.name) } else { None }
        });
        if let Some(name) = distant.filter(|_| !hello.agent_capabilities.mcp_capabilities.http) {
            let why = format!(
                "the agent takes no MCP servers by address, and its profile has `{name}` with a `url`"
            );
            return vec![Step::Kill(TurnOutcome::CannotStart { why })];
        }
        let ways = result["authMethods"].as_array().into_iter().flatten();
        let way = ways.filter_map(|way| way["id"].as_str()).find(|way| self.keys.contains(way));
        match way {
            Some(way) => {
                let params = AuthenticateRequest::new(way.to_owned());
                vec![Step::Write(request("key", "authenticate", &params))]
            }
            None => vec![Step::Write(self.begin())],
        }
    }

    /// Begins the session, or goes on with it.
    fn begin(&mut self) -> Letter {
        let servers = self.servers.clone();
        self.resumes &= self.loads;
        if !self.resumes && !self.prompt.starts_with(&self.instructions) {
            self.prompt = format!("{}\n\n---\n\n{}", self.instructions, self.prompt);
        }
        if !self.resumes && !self.preface.is_empty() {
            self.prompt = format!("{}\n\n---\n\n{}", self.preface, self.prompt);
        }
        if self.resumes {
            let id = self.session.id.clone();
            let params = LoadSessionRequest::new(id, &self.cwd).mcp_servers(servers);
            return request("session", "session/load", &params);
        }
        let params = NewSessionRequest::new(&self.cwd).mcp_servers(servers);
        request("session", "session/new", &params)
    }

    fn begun(&mut self, result: &Value) -> Vec<Step> {
        if let Some(new) = read::<NewSessionResponse>(result) {
            self.session = Session { id: new.session_id.0.to_string(), ..Session::default() };
        }
        self.prompted = true;
        self.text.clear();
        self.thought.clear();
        let prompt = vec![ContentBlock::from(self.prompt.clone())];
        let params = PromptRequest::new(self.session.id.clone(), prompt);
        vec![
            Step::Tell(AgentEvent::Started {
                session: Some(self.session.clone()),
                model: None,
                version: self.version.clone(),
            }),
            Step::Write(request("turn", "session/prompt", &params)),
        ]
    }

    fn over(&mut self, result: &Value) -> Vec<Step> {
        let mut steps = self.flush();
        let of = |name: &str| result["usage"][name].as_u64().unwrap_or_default();
        if of("totalTokens") > 0 {
            let (output, cache_read) = (of("outputTokens"), of("cachedReadTokens"));
            let cache_write = of("cachedWriteTokens");
            let rest = Tokens { input: 0, output, cache_read, cache_write }.all();
            let input = of("totalTokens").saturating_sub(rest);
            let tokens = Tokens { input, output, cache_read, cache_write };
            let (usage, session) = (Usage { tokens, usd: 0.0 }, Some(self.session.clone()));
            steps.push(Step::Tell(AgentEvent::Usage { usage, session }));
        }
        let reason = read::<PromptResponse>(result).map(|response| response.stop_reason);
        steps.push(Step::Over(if reason == Some(StopReason::EndTurn) {
            TurnOutcome::Completed
        } else if reason == Some(StopReason::Refusal) {
            TurnOutcome::NeedsHuman { why: "the model refuses".to_owned() }
        } else {
            let reason = result["stopReason"].as_str().unwrap_or("nothing");
            TurnOutcome::Failed { why: format!("the turn ended with {reason}") }
        }));
        steps
    }

    fn update(&mut self, params: &Value) -> Vec<Step> {
        if !self.prompted {
            return vec![];
        }
        let Some(notification) = read::<SessionNotification>(params) else {
            return tell(AgentEvent::Unknown(params.clone()));
        };
        if let SessionUpdate::AgentMessageChunk(chunk) = &notification.update {
            let ContentBlock::Text(text) = &chunk.content else { return vec![] };
            let mut steps = self.flush_thought();
            self.text += &text.text;
            steps.extend(self.whole_lines());
            return steps;
        }
        if let SessionUpdate::AgentThoughtChunk(chunk) = &notification.update {
            let ContentBlock::Text(text) = &chunk.content else { return vec![] };
            self.thought += &text.text;
            return vec![];
        }
        if let SessionUpdate::ToolCall(call) = &notification.update {
            let input = call.raw_input.clone().unwrap_or_default();
            let id = call.tool_call_id.0.to_string();
            return self.tool(id, &call.title, input, call.status, String::new());
        }
        if let SessionUpdate::ToolCallUpdate(update) = &notification.update {
            let fields = &update.fields;
            let (Some(status), id) = (fields.status, update.tool_call_id.0.to_string()) else {
                return vec![];
            };
            let title = fields.title.clone().unwrap_or_else(|| "a tool".to_owned());
            let input = fields.raw_input.clone().unwrap_or_default();
            let content = params["update"]["content"].as_array().into_iter().flatten();
            let output = content.filter_map(|part| part["content"]["text"].as_str());
            return self.tool(id, &title, input, status, output.collect());
        }
        if let SessionUpdate::UsageUpdate(usage) = &notification.update {
            let usd = usage.cost.as_ref().map_or(0.0, |cost| cost.amount);
            let new = (usd - self.session.usd).max(0.0);
            self.session.usd = usd;
            let session = Some(self.session.clone());
            let usage = Usage { tokens: Tokens::default(), usd: new };
            return tell(AgentEvent::Usage { usage, session });
        }
        vec![]
    }

    /// A tool is told when it begins and when it ends, each once.
    fn tool(
        &mut self,
        id: String,
        title: &str,
        input: Value,
        status: ToolCallStatus,
        output: String,
    ) -> Vec<Step> {
        let mut steps = self.flush();
        if !self.tools.contains_key(&id) {
            let name = title.lines().next().unwrap_or_default().to_owned();
            let own = name.contains(&format!("({} MCP Server)", tools::SERVER));
            let name = if own { format!("{}.{name}", tools::SERVER) } else { name };
            steps.push(Step::Tell(AgentEvent::ToolStart { id: id.clone(), name, input }));
        }
        let ended = [ToolCallStatus::Completed, ToolCallStatus::Failed].contains(&status);
        if self.tools.insert(id.clone(), ended) != Some(true) && ended {
            let ok = status == ToolCallStatus::Completed;
            steps.push(Step::Tell(AgentEvent::ToolEnd { id, ok, output }));
        }
        steps
    }

    fn asked(&mut self, id: &Value, params: &Value) -> Vec<Step> {
        let Some(asked) = read::<RequestPermissionRequest>(params) else {
            let error = json!({ "code": -32_602, "message": "this is not understood" });
            let line = json!({ "jsonrpc": "2.0", "id": id, "error": error });
            return vec![Step::Write(Letter::new(format!("refuse-{id}"), &line))];
        };
        let fields = &asked.tool_call.fields;
        let title = fields.title.clone().unwrap_or_else(|| "a tool".to_owned());
        let kind = fields.kind.unwrap_or_default();
        // A command can have any title.
        let own =
            kind == ToolKind::Other && title.contains(&format!("({} MCP Server)", tools::SERVER));
        let allowed = own || self.allowed.contains(&kind);
        let free = match self.permissions {
            Permissions::Ask => allowed,
            Permissions::Edits => allowed || kind == ToolKind::Edit,
            Permissions::All => true,
        };
        let by_kind = |kind| asked.options.iter().find(|option| option.kind == kind);
        let allow = by_kind(PermissionOptionKind::AllowOnce)
            .or_else(|| by_kind(PermissionOptionKind::AllowAlways));
        if let Some(allow) = allow.filter(|_| free) {
            // Some agents tell of a tool only when it has ended.
            let tool = asked.tool_call.tool_call_id.0.to_string();
            let input = fields.raw_input.clone().unwrap_or_default();
            let begun = ToolCallStatus::InProgress;
            let mut steps = self.tool(tool, &title, input, begun, String::new());
            steps.push(Step::Write(chosen(id, Some(allow))));
            return steps;
        }
        let mut steps = self.flush();
        let input = fields.raw_input.as_ref().map(tools::subject).unwrap_or_default();
        let about = if input.is_empty() { String::new() } else { format!(" `{}`", clip(&input)) };
        steps.push(Step::Tell(AgentEvent::Asked {
            id: id.to_string(),
            text: format!("May it use {}?{about}", clip(&title)),
            choices: asked.options.iter().map(|option| option.name.clone()).collect(),
        }));
        self.open.insert(id.to_string(), (id.clone(), asked.options));
        steps
    }

    fn reply(&mut self, name: &str, text: &str) -> Vec<Letter> {
        let Some((id, options)) = self.open.remove(name) else { return vec![] };
        let said = |option: &&PermissionOption| option.name.eq_ignore_ascii_case(text.trim());
        let refusal = |option: &&PermissionOption| option.kind == PermissionOptionKind::RejectOnce;
        let option = options.iter().find(said).or_else(|| options.iter().find(refusal));
        vec![chosen(&id, option)]
    }

    /// Lines that have come to their end.
    fn whole_lines(&mut self) -> Vec<Step> {
        let Some(end) = self.text.rfind('\n') else { return vec![] };
        let rest = self.text.split_off(end + 1);
        let lines = std::mem::replace(&mut self.text, rest);
        tell(AgentEvent::Text(lines.trim_end_matches('\n').to_owned()))
    }

    fn flush_thought(&mut self) -> Vec<Step> {
        match std::mem::take(&mut self.thought) {
            thought if thought.is_empty() => vec![],
            thought => tell(AgentEvent::Thought(thought)),
        }
    }

    fn flush(&mut self) -> Vec<Step> {
        let mut steps = self.flush_thought();
        let text = std::mem::take(&mut self.text);
        if !text.trim().is_empty() {
            steps.extend(tell(AgentEvent::Text(text)));
        }
        steps
    }
}

/// The answer to a request for permission; without an option the turn is called off.
fn chosen(id: &Value, option: Option<&PermissionOption>) -> Letter {
    let outcome = match option {
        Some(option) => {
            let selected = SelectedPermissionOutcome::new(option.option_id.clone());
            RequestPermissionOutcome::Selected(selected)
        }
        None => RequestPermissionOutcome::Cancelled,
    };
    let result = RequestPermissionResponse::new(outcome);
    let line = json!({ "jsonrpc": "2.0", "id": id, "result": result });
    Letter::new(format!("reply-{id}"), &line)
}

/// What an error means. Agents name the kind of their trouble in ways of their own.
fn verdict(error: &Value) -> TurnOutcome {
    let why = said(error);
    let kind = error["data"]["errorKind"].as_str().or(error["data"]["codexErrorInfo"].as_str());
    let status = error["code"].as_i64().or(error["data"]["status"].as_i64());
    match (kind, status) {
        (_, Some(AUTH_REQUIRED | 401 | 403)) => TurnOutcome::NeedsHuman {
            why: format!(
                "the agent is not signed in: {why}; sign in with its own program, or give \
                          the profile a key"
            ),
        },
        (Some("rate_limit" | "overloaded" | "server_error" | "rateLimitExceeded"), _)
        | (_, Some(429 | 500..=599)) => TurnOutcome::Transient { why },
        _ => TurnOutcome::Failed { why },
    }
}

fn said(error: &Value) -> String {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let details = text(&error["data"]["details"]).or_else(|| text(&error["data"]));
    details.or_else(|| text(&error["message"])).unwrap_or_else(|| "no reason".to_owned())
}
