//! What the lines of `codex app-server` mean.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::agents::codex::verdict::{Window, said, verdict, windows};
use crate::agents::codex::{request, spent};
use crate::agents::talk::{Letter, Protocol, Step, choose, clip, tell, text_of};
use crate::agents::{AgentEvent, Command, Session, TurnOutcome, tools};

/// The answers to "may I".
const ALLOW: &str = "Allow";
const ALWAYS: &str = "Allow for this session";
const DENY: &str = "Deny";

/// A request of Codex that waits for a person.
#[derive(Debug)]
enum Open {
    /// By its id.
    Approval(Value),
    /// By its id: a tool of a server.
    Tool(Value),
    /// By its id; the questions by their ids, and the answers so far.
    Questions(Value, Vec<String>, BTreeMap<String, String>),
}

/// One turn.
#[derive(Debug)]
pub struct Codex {
    /// As it was before this turn: tokens are told as sums over the whole thread.
    session: Session,
    resumes: bool,
    /// The MCP servers that it was given.
    servers: Vec<String>,
    prompt: String,
    version: Option<String>,
    turn: Option<String>,
    windows: Vec<Window>,
    near_told: bool,
    retries: u32,
    /// What went wrong outside when it last tried again.
    trouble: Option<String>,
    open: BTreeMap<String, Open>,
    interrupts: u32,
    /// The schema of the answer that it is asked for.
    schema: Option<Value>,
    /// The last message.
    said: Option<String>,
}

impl Codex {
    pub(super) fn new(
        session: Option<Session>,
        servers: Vec<String>,
        prompt: &str,
        schema: Option<Value>,
    ) -> Self {
        Self {
            resumes: session.is_some(),
            session: session.unwrap_or_default(),
            servers,
            prompt: prompt.to_owned(),
            version: None,
            turn: None,
            windows: Vec::new(),
            near_told: false,
            retries: 0,
            trouble: None,
            open: BTreeMap::new(),
            interrupts: 0,
            schema,
            said: None,
        }
    }
}

impl Protocol for Codex {
    fn hear(&mut self, line: &str) -> Vec<Step> {
        let Ok(message) = serde_json::from_str::<Value>(line) else {
            return vec![Step::Tell(AgentEvent::Garbage(clip(line)))];
        };
        match (message["method"].as_str(), &message["id"]) {
            (Some(method), Value::Null) => self.told(method, &message["params"], &message),
            (Some(method), id) => self.asked(method, id, &message["params"]),
            (None, id) => self.answered(id.as_str().unwrap_or_default(), &message),
        }
    }

    fn say(&mut self, command: &Command) -> Option<Vec<Letter>> {
        match command {
            Command::Steer { seq, text } => {
                let turn = self.turn.as_ref()?;
                let params = json!({
                    "threadId": self.session.id, "expectedTurnId": turn, "input": input(text),
                });
                Some(vec![request(&format!("steer-{seq}"), "turn/steer", &params)])
            }
            Command::Interrupt => {
                let turn = self.turn.as_ref()?;
                self.interrupts += 1;
                let params = json!({ "threadId": self.session.id, "turnId": turn });
                Some(vec![request(
                    &format!("interrupt-{}", self.interrupts),
                    "turn/interrupt",
                    &params,
                )])
            }
            Command::Reply { id, text } => Some(self.reply(id, text)),
            Command::User(_) | Command::Answer { .. } | Command::Stop => None,
        }
    }
}

fn input(text: &str) -> Value {
    json!([{ "type": "text", "text": text }])
}

impl Codex {
    /// An answer to a request of ours.
    fn answered(&mut self, id: &str, message: &Value) -> Vec<Step> {
        let (result, error) = (&message["result"], &message["error"]);
        match (id, error.is_null()) {
            ("hello", true) => {
                let agent = text_of(result, "userAgent");
                let version = agent.split_once('/').and_then(|(_, rest)| rest.split(' ').next());
                self.version = version.map(str::to_owned);
                vec![]
            }
            ("thread", true) => self.begun(result),
            ("turn", true) => {
                self.turn = result["turn"]["id"].as_str().map(str::to_owned);
                vec![]
            }
            ("thread", false) if self.resumes => {
                vec![Step::Over(TurnOutcome::SessionSpent { why: said(error) })]
            }
            ("hello" | "thread" | "turn", false) => {
                vec![Step::Over(TurnOutcome::Failed { why: said(error) })]
            }
            // A word that came too late, say.
            (_, false) => tell(AgentEvent::Garbage(format!("{id}: {}", said(error)))),
            (_, true) => vec![],
        }
    }

    fn begun(&mut self, result: &Value) -> Vec<Step> {
        self.session.id = text_of(&result["thread"], "id");
        let mut params = json!({ "threadId": self.session.id, "input": input(&self.prompt) });
        if let Some(schema) = &self.schema {
            params["outputSchema"] = schema.clone();
        }
        vec![
            Step::Tell(AgentEvent::Started {
                session: Some(self.session.clone()),
                model: result["model"].as_str().map(str::to_owned),
                version: self.version.clone(),
            }),
            Step::Write(request("turn", "turn/start", &params)),
        ]
    }

    fn told(&mut self, method: &str, params: &Value, message: &Value) -> Vec<Step> {
        match method {
            "turn/started" => {
                self.turn = params["turn"]["id"].as_str().map(str::to_owned);
                vec![]
            }
            "item/started" => started(&params["item"]),
            "item/completed" => {
                if params["item"]["type"] == "agentMessage" {
                    self.said = Some(text_of(&params["item"], "text"));
                }
                completed(&params["item"])
            }
            "thread/tokenUsage/updated" => self.usage(&params["tokenUsage"]["total"]),
            "account/rateLimits/updated" => self.limits(&params["rateLimits"]),
            "mcpServer/startupStatus/updated" => self.server(params),
            "error" if params["willRetry"] == true => {
                let refusal = verdict(&params["error"], &[]);
                if matches!(refusal, TurnOutcome::NeedsHuman { .. }) {
                    return vec![Step::Kill(refusal)];
                }
                self.retries += 1;
                self.trouble = Some(said(&params["error"]));
                tell(AgentEvent::Retrying {
                    attempt: self.retries,
                    max: None,
                    delay: Duration::ZERO,
                    why: said(&params["error"]),
                })
            }
            "turn/completed" => {
                let turn = &params["turn"];
                let outcome = match turn["status"].as_str() {
                    Some("completed") => TurnOutcome::Completed,
                    Some("failed") => self.failed(&turn["error"]),
                    _ => TurnOutcome::Failed { why: "the turn was interrupted".to_owned() },
                };
                // The schema holds for the last message alone.
                let answer = self.said.take().filter(|_| self.schema.is_some());
                let answer = answer.map(|said| Step::Tell(AgentEvent::Answer(said)));
                answer.into_iter().chain([Step::Over(outcome)]).collect()
            }
            "item/commandExecution/outputDelta" => tell(AgentEvent::Pulse),
            // Warnings, names, states: nothing that changes what is done or said.
            _ if is_known(method) => vec![],
            _ => tell(AgentEvent::Unknown(message.clone())),
        }
    }

    /// The last of several failures is told without its kind.
    fn failed(&self, error: &Value) -> TurnOutcome {
        let outcome = verdict(error, &self.windows);
        if let TurnOutcome::Failed { why } = &outcome
            && self.trouble.as_ref() == Some(why)
        {
            return TurnOutcome::Transient { why: why.clone() };
        }
        outcome
    }

    fn usage(&mut self, total: &Value) -> Vec<Step> {
        let of = |name: &str| total[name].as_u64().unwrap_or_default();
        let names = ["inputTokens", "cachedInputTokens", "cacheWriteInputTokens", "totalTokens"];
        spent(&mut self.session, names.map(of))
    }

    fn limits(&mut self, limits: &Value) -> Vec<Step> {
        self.windows = windows(limits);
        match self.windows.first().filter(|fullest| fullest.is_near()).cloned() {
            Some(fullest) if !self.near_told => {
                self.near_told = true;
                tell(AgentEvent::Limit {
                    rejected: fullest.used_percent >= 100.0,
                    window: fullest.name,
                    resets_at: fullest.resets_at,
                })
            }
            _ => vec![],
        }
    }

    /// How the start of an MCP server goes.
    fn server(&self, params: &Value) -> Vec<Step> {
        let name = self.servers.iter().find(|name| params["name"] == **name);
        let Some(name) = name.filter(|_| params["status"] == "failed") else { return vec![] };
        let why = format!(" ({})", clip(&said(&json!({ "message": params["error"] }))));
        vec![Step::Kill(tools::out_of_reach(name, &why))]
    }

    fn asked(&mut self, method: &str, id: &Value, params: &Value) -> Vec<Step> {
        let name = id.to_string();
        let question = match method {
            "item/commandExecution/requestApproval" => {
                format!("May it run `{}`?", clip(&text_of(params, "command")))
            }
            "item/fileChange/requestApproval" => "May it change these files?".to_owned(),
            "item/tool/requestUserInput" => return self.questions(name, id, params),
            "mcpServer/elicitation/request"
                if params["_meta"]["codex_approval_kind"] == "mcp_tool_call" =>
            {
                return self.tool(name, id, params);
            }
            _ => {
                let error = json!({ "code": -32601, "message": "not supported" });
                let line = json!({ "id": id, "error": error });
                return vec![Step::Write(Letter::new(format!("refuse-{name}"), &line))];
            }
        };
        let reason = params["reason"].as_str().map(|reason| format!(" {}", clip(reason)));
        self.open.insert(name.clone(), Open::Approval(id.clone()));
        tell(AgentEvent::Asked {
            id: name,
            text: question + &reason.unwrap_or_default(),
            choices: [ALLOW, ALWAYS, DENY].map(str::to_owned).to_vec(),
        })
    }

    /// It wants to use a tool of a server.
    fn tool(&mut self, name: String, id: &Value, params: &Value) -> Vec<Step> {
        let (server, about) = (text_of(params, "serverName"), &params["_meta"]);
        let tool = clip(&format!("{server}.{}", text_of(about, "tool_name")));
        let given = clip(&tools::subject(&about["tool_params"]));
        let given = if given.is_empty() { given } else { format!(" `{given}`") };
        self.open.insert(name.clone(), Open::Tool(id.clone()));
        tell(AgentEvent::Asked {
            id: name,
            text: format!("May it use {tool}?{given}"),
            choices: [ALLOW, DENY].map(str::to_owned).to_vec(),
        })
    }

    fn questions(&mut self, name: String, id: &Value, params: &Value) -> Vec<Step> {
        let questions = params["questions"].as_array().cloned().unwrap_or_default();
        let ask = |(at, question): (usize, &Value)| {
            let options = question["options"].as_array().into_iter().flatten();
            Step::Tell(AgentEvent::Asked {
                id: format!("{name}#{at}"),
                text: text_of(question, "question"),
                choices: options.map(|option| text_of(option, "label")).collect(),
            })
        };
        let steps = questions.iter().enumerate().map(ask).collect();
        let ids = questions.iter().map(|question| text_of(question, "id")).collect();
        self.open.insert(name, Open::Questions(id.clone(), ids, BTreeMap::new()));
        steps
    }

    /// What a person said to a question. A request with several questions is answered when all are.
    fn reply(&mut self, id: &str, text: &str) -> Vec<Letter> {
        let (name, at) = id.split_once('#').map_or((id, None), |(id, at)| (id, at.parse().ok()));
        let at: usize = at.unwrap_or_default();
        let (id, result) = match self.open.get_mut(name) {
            None => return vec![],
            Some(Open::Approval(id)) => {
                let decision = match choose(text, &[ALLOW, ALWAYS, DENY]) {
                    Some(ALLOW) => "accept",
                    Some(ALWAYS) => "acceptForSession",
                    Some(_) | None => "decline",
                };
                (id.clone(), json!({ "decision": decision }))
            }
            Some(Open::Tool(id)) => {
                let allowed = choose(text, &[ALLOW, DENY]) == Some(ALLOW);
                let action = if allowed { "accept" } else { "decline" };
                (id.clone(), json!({ "action": action, "content": {} }))
            }
            Some(Open::Questions(id, ids, answers)) => {
                let Some(question) = ids.get(at) else { return vec![] };
                answers.insert(question.clone(), text.to_owned());
                if answers.len() < ids.len() {
                    return vec![];
                }
                let answers: BTreeMap<&String, Value> =
                    answers.iter().map(|(id, text)| (id, json!({ "answers": [text] }))).collect();
                (id.clone(), json!({ "answers": answers }))
            }
        };
        let mut letters = Vec::new();
        if matches!(self.open.get(name), Some(Open::Approval(_) | Open::Tool(_)))
            && choose(text, &[ALLOW, ALWAYS, DENY]).is_none()
            && let Some(turn) = &self.turn
        {
            // A refusal has no room for its reason.
            let params = json!({
                "threadId": self.session.id, "expectedTurnId": turn, "input": input(text),
            });
            letters.push(request(&format!("reason-{name}"), "turn/steer", &params));
        }
        let line = json!({ "id": id, "result": result });
        letters.push(Letter::new(format!("reply-{name}"), &line));
        self.open.remove(name);
        letters
    }
}

/// Notifications that need no answer and say nothing to people.
fn is_known(method: &str) -> bool {
    let areas = ["thread/", "turn/", "item/", "account/", "mcpServer/", "remoteControl/", "hook/"];
    let single =
        ["configWarning", "warning", "deprecationNotice", "serverRequest/resolved", "error"];
    single.contains(&method) || areas.iter().any(|area| method.starts_with(area))
}

fn started(item: &Value) -> Vec<Step> {
    let (name, input) = match item["type"].as_str() {
        Some("commandExecution") => {
            // As it was meant, without the shell around it.
            let meant = match item["commandActions"].as_array().map(Vec::as_slice) {
                Some([only]) => &only["command"],
                _ => &item["command"],
            };
            ("shell".to_owned(), json!({ "command": meant }))
        }
        Some("mcpToolCall") => (
            format!("{}.{}", text_of(item, "server"), text_of(item, "tool")),
            item["arguments"].clone(),
        ),
        Some("fileChange") => {
            let changes = item["changes"].as_array().into_iter().flatten();
            let paths: Vec<String> = changes.map(|change| text_of(change, "path")).collect();
            ("edit".to_owned(), json!({ "path": paths.join(", ") }))
        }
        Some("webSearch") => ("search".to_owned(), json!({ "pattern": item["query"] })),
        _ => return vec![],
    };
    tell(AgentEvent::ToolStart { id: text_of(item, "id"), name, input })
}

fn completed(item: &Value) -> Vec<Step> {
    let id = text_of(item, "id");
    match item["type"].as_str() {
        Some("agentMessage") => tell(AgentEvent::Text(text_of(item, "text"))),
        Some("reasoning") => {
            let parts = item["summary"].as_array().into_iter().flatten();
            let text: Vec<&str> = parts.filter_map(Value::as_str).collect();
            if text.is_empty() { vec![] } else { tell(AgentEvent::Thought(text.join("\n"))) }
        }
        Some("commandExecution") => tell(AgentEvent::ToolEnd {
            id,
            ok: item["exitCode"] == 0,
            output: text_of(item, "aggregatedOutput"),
        }),
        Some("mcpToolCall") => {
            let error = text_of(&item["error"], "message");
            tell(AgentEvent::ToolEnd { id, ok: error.is_empty(), output: error })
        }
        Some("fileChange" | "webSearch") => {
            let ok = item["status"].as_str().is_none_or(|status| status == "completed");
            tell(AgentEvent::ToolEnd { id, ok, output: text_of(item, "status") })
        }
        _ => vec![],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::talk::follows;

    /// Recorded from the real program.
    #[test]
    fn what_recorded_streams_mean() {
        let streams = [
            ("cut", include_str!("streams/cut.jsonl")),
            ("limited", include_str!("streams/limited.jsonl")),
            ("no-credit", include_str!("streams/no-credit.jsonl")),
            ("permission", include_str!("streams/permission.jsonl")),
            ("resumed", include_str!("streams/resumed.jsonl")),
            ("signed-out", include_str!("streams/signed-out.jsonl")),
            ("steered", include_str!("streams/steered.jsonl")),
            ("usage-limit", include_str!("streams/usage-limit.jsonl")),
            ("writes", include_str!("streams/writes.jsonl")),
        ];
        for (name, stream) in streams {
            insta::assert_snapshot!(
                name,
                follows(&mut Codex::new(None, vec![], "do it", None), stream)
            );
        }
    }
}
