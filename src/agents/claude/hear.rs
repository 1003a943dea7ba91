//! What the lines of `claude -p --output-format stream-json` mean.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::agents::claude::user;
use crate::agents::claude::verdict::{Before, Rejected, signed_out, verdict};
use crate::agents::talk::{Letter, Protocol, Step, choose, clip, tell, text_of};
use crate::agents::{AgentEvent, Command, Session, TurnOutcome, tools};
use crate::state::{Tokens, Usage};
use crate::time::Timestamp;

/// The answers to "may I".
const ALLOW: &str = "Allow";
const ALWAYS: &str = "Always allow";
const DENY: &str = "Deny";

/// A request that waits for a person.
#[derive(Debug)]
struct Open {
    input: Value,
    /// What it would change in the rules to be allowed for good.
    suggestions: Value,
    /// The questions of an `AskUserQuestion`, and the answers so far.
    questions: Vec<String>,
    answers: BTreeMap<String, String>,
}

/// One turn.
#[derive(Debug)]
pub struct Claude {
    /// As it was before this turn: costs are told as sums over the whole session.
    session: Session,
    started: bool,
    before: Before,
    open: BTreeMap<String, Open>,
    denied: Vec<String>,
    interrupts: u32,
}

impl Claude {
    pub(super) fn new(session: Option<Session>) -> Self {
        Self {
            session: session.unwrap_or_default(),
            started: false,
            before: Before::default(),
            open: BTreeMap::new(),
            denied: Vec::new(),
            interrupts: 0,
        }
    }
}

impl Protocol for Claude {
    fn hear(&mut self, line: &str) -> Vec<Step> {
        let Ok(message) = serde_json::from_str::<Value>(line) else {
            return vec![Step::Tell(AgentEvent::Garbage(clip(line)))];
        };
        match message["type"].as_str().unwrap_or_default() {
            "system" => self.system(&message),
            "assistant" => self.assistant(&message),
            "user" => results(&message),
            "rate_limit_event" => self.limit(&message["rate_limit_info"]),
            "control_request" => self.asked(&message),
            "control_cancel_request" => {
                self.open.remove(message["request_id"].as_str().unwrap_or_default());
                vec![]
            }
            "control_response" | "stream_event" => vec![],
            "result" => self.result(&message),
            _ => vec![Step::Tell(AgentEvent::Unknown(message))],
        }
    }

    fn say(&mut self, command: &Command) -> Option<Vec<Letter>> {
        match command {
            Command::Steer { seq, text } => Some(vec![user(format!("steer-{seq}"), text)]),
            Command::Interrupt => {
                self.interrupts += 1;
                let id = format!("interrupt-{}", self.interrupts);
                let request = json!({ "subtype": "interrupt" });
                let line =
                    json!({ "type": "control_request", "request_id": id, "request": request });
                Some(vec![Letter::new(id, &line)])
            }
            Command::Reply { id, text } => Some(self.reply(id, text)),
            Command::User(_) | Command::Answer { .. } | Command::Stop => None,
        }
    }
}

impl Claude {
    fn system(&mut self, message: &Value) -> Vec<Step> {
        match message["subtype"].as_str().unwrap_or_default() {
            "init" => self.begun(message),
            "api_retry" => {
                let error = text_of(message, "error").replace('_', " ");
                let status = message["error_status"].as_u64();
                let why = match status {
                    Some(status) => format!("{error} ({status})"),
                    None => "no connection to the model".to_owned(),
                };
                if status == Some(401) || error == "authentication failed" {
                    // It would go on trying for minutes, and nothing would come of it.
                    return vec![Step::Kill(signed_out(&why))];
                }
                let number = |name: &str| message[name].as_u64().and_then(|n| n.try_into().ok());
                tell(AgentEvent::Retrying {
                    attempt: number("attempt").unwrap_or_default(),
                    max: number("max_retries"),
                    delay: Duration::from_millis(
                        message["retry_delay_ms"].as_f64().unwrap_or_default() as u64,
                    ),
                    why,
                })
            }
            "permission_denied" => self.denied(text_of(message, "tool_name")),
            "background_tasks_changed" => {
                let running = message["tasks"].as_array().map_or(0, Vec::len);
                tell(AgentEvent::Background { running: u32::try_from(running).unwrap_or(u32::MAX) })
            }
            _ => vec![],
        }
    }

    fn begun(&mut self, message: &Value) -> Vec<Step> {
        let servers = message["mcp_servers"].as_array().into_iter().flatten();
        for server in servers {
            let name = clip(&text_of(server, "name"));
            match server["status"].as_str() {
                Some("failed") => return vec![Step::Kill(tools::out_of_reach(&name, ""))],
                Some("needs-auth") => {
                    let why = format!(
                        "the MCP server `{name}` wants a sign-in; name a variable with a token as \
                         its `token_env`"
                    );
                    return vec![Step::Kill(TurnOutcome::NeedsHuman { why })];
                }
                Some(_) | None => {}
            }
        }
        if std::mem::replace(&mut self.started, true) {
            return vec![];
        }
        self.session.id = text_of(message, "session_id");
        tell(AgentEvent::Started {
            session: Some(self.session.clone()),
            model: message["model"].as_str().map(str::to_owned),
            version: message["claude_code_version"].as_str().map(str::to_owned),
        })
    }

    fn assistant(&mut self, message: &Value) -> Vec<Step> {
        if let Some(error) = message["error"].as_str() {
            self.before.error = Some(error.to_owned());
        }
        let blocks = message["message"]["content"].as_array().into_iter().flatten();
        let events = blocks.filter_map(|block| match block["type"].as_str()? {
            "thinking" => Some(AgentEvent::Thought(text_of(block, "thinking"))),
            "text" => Some(AgentEvent::Text(text_of(block, "text"))),
            "tool_use" => Some(AgentEvent::ToolStart {
                id: text_of(block, "id"),
                name: text_of(block, "name"),
                input: block["input"].clone(),
            }),
            _ => None,
        });
        events.map(Step::Tell).collect()
    }

    fn limit(&mut self, info: &Value) -> Vec<Step> {
        let rejected = info["status"] == "rejected" && info["isUsingOverage"] != true;
        let window = text_of(info, "rateLimitType").replace('_', " ");
        let resets_at = info["resetsAt"].as_i64().map(|seconds| Timestamp(seconds * 1_000));
        self.before.rejected = rejected.then(|| Rejected { window: window.clone(), resets_at });
        match info["status"].as_str() {
            Some("rejected" | "allowed_warning") => {
                tell(AgentEvent::Limit { rejected, window, resets_at })
            }
            _ => vec![],
        }
    }

    fn denied(&mut self, tool: String) -> Vec<Step> {
        self.denied.push(tool.clone());
        tell(AgentEvent::PermissionDenied { tool })
    }

    fn asked(&mut self, message: &Value) -> Vec<Step> {
        let id = text_of(message, "request_id");
        let request = &message["request"];
        if request["subtype"] != "can_use_tool" {
            let error = json!({ "subtype": "error", "request_id": id, "error": "not supported" });
            let line = json!({ "type": "control_response", "response": error });
            return vec![Step::Write(Letter::new(format!("refuse-{id}"), &line))];
        }
        let tool = text_of(request, "tool_name");
        let input = request["input"].clone();
        let questions =
            if tool == "AskUserQuestion" { input["questions"].as_array() } else { None };
        let questions: Vec<Value> = questions.cloned().unwrap_or_default();
        let mut open = Open {
            input: input.clone(),
            suggestions: request["permission_suggestions"].clone(),
            questions: questions.iter().map(|q| text_of(q, "question")).collect(),
            answers: BTreeMap::new(),
        };
        let steps = if questions.is_empty() {
            open.questions.clear();
            let lasting = open.suggestions.as_array().is_some_and(|all| !all.is_empty());
            let choices = [Some(ALLOW), lasting.then_some(ALWAYS), Some(DENY)];
            tell(AgentEvent::Asked {
                id: id.clone(),
                text: format!("May it use {tool}? `{}`", clip(&tools::subject(&input))),
                choices: choices.into_iter().flatten().map(str::to_owned).collect(),
            })
        } else {
            let ask = |(at, question): (usize, &Value)| {
                let options = question["options"].as_array().into_iter().flatten();
                Step::Tell(AgentEvent::Asked {
                    id: format!("{id}#{at}"),
                    text: text_of(question, "question"),
                    choices: options.map(|option| text_of(option, "label")).collect(),
                })
            };
            questions.iter().enumerate().map(ask).collect()
        };
        self.open.insert(id, open);
        steps
    }

    /// What a person said to a question. A request with several questions is answered when all are.
    fn reply(&mut self, id: &str, text: &str) -> Vec<Letter> {
        let (id, at) = id.split_once('#').map_or((id, None), |(id, at)| (id, at.parse().ok()));
        let Some(open) = self.open.get_mut(id) else { return vec![] };
        let response = if let Some(at) = at {
            let at: usize = at;
            let Some(question) = open.questions.get(at) else { return vec![] };
            open.answers.insert(question.clone(), text.to_owned());
            if open.answers.len() < open.questions.len() {
                return vec![];
            }
            let mut input = open.input.clone();
            input["answers"] = json!(open.answers);
            json!({ "behavior": "allow", "updatedInput": input })
        } else {
            match choose(text, &[ALLOW, ALWAYS, DENY]) {
                Some(ALLOW) => json!({ "behavior": "allow", "updatedInput": open.input }),
                Some(ALWAYS) => json!({
                    "behavior": "allow", "updatedInput": open.input,
                    "updatedPermissions": open.suggestions,
                }),
                Some(_) => {
                    json!({ "behavior": "deny", "message": "the person who was asked says no" })
                }
                None => json!({ "behavior": "deny", "message": text }),
            }
        };
        let answer = json!({ "subtype": "success", "request_id": id, "response": response });
        let letter = Letter::new(
            format!("reply-{id}"),
            &json!({ "type": "control_response", "response": answer }),
        );
        self.open.remove(id);
        vec![letter]
    }

    fn result(&mut self, message: &Value) -> Vec<Step> {
        let mut tokens = Tokens::default();
        for (_, usage) in message["modelUsage"].as_object().into_iter().flatten() {
            let of = |name: &str| usage[name].as_u64().unwrap_or_default();
            tokens += Tokens {
                input: of("inputTokens"),
                output: of("outputTokens"),
                cache_read: of("cacheReadInputTokens"),
                cache_write: of("cacheCreationInputTokens"),
            };
        }
        let usd = message["total_cost_usd"].as_f64().unwrap_or_default();
        let before = Usage { tokens: self.session.tokens, usd: self.session.usd };
        let usage = Usage { tokens, usd }.since(before);
        self.session = Session { tokens, usd, ..self.session.clone() };
        let session = (!self.session.id.is_empty()).then(|| self.session.clone());
        let mut steps = tell(AgentEvent::Usage { usage, session });
        for denial in message["permission_denials"].as_array().into_iter().flatten() {
            let tool = text_of(denial, "tool_name");
            if !self.denied.contains(&tool) {
                steps.extend(self.denied(tool));
            }
        }
        if !message["structured_output"].is_null() {
            steps.extend(tell(AgentEvent::Answer(message["structured_output"].to_string())));
        }
        if message["queued_turn_count"].as_u64().unwrap_or_default() == 0 {
            steps.push(Step::Over(verdict(message, &self.before)));
            self.before = Before::default();
        }
        steps
    }
}

/// The results of tools.
fn results(message: &Value) -> Vec<Step> {
    let blocks = message["message"]["content"].as_array().into_iter().flatten();
    let results = blocks.filter(|block| block["type"] == "tool_result");
    let ended = results.map(|block| {
        let output = match &block["content"] {
            Value::String(text) => text.clone(),
            Value::Array(parts) => {
                parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
            }
            Value::Null => String::new(),
            other @ (Value::Bool(_) | Value::Number(_) | Value::Object(_)) => other.to_string(),
        };
        Step::Tell(AgentEvent::ToolEnd {
            id: text_of(block, "tool_use_id"),
            ok: block["is_error"] != true,
            output,
        })
    });
    ended.collect()
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
            ("denied", include_str!("streams/denied.jsonl")),
            ("max-turns", include_str!("streams/max-turns.jsonl")),
            ("no-credit", include_str!("streams/no-credit.jsonl")),
            ("overloaded", include_str!("streams/overloaded.jsonl")),
            ("permission", include_str!("streams/permission.jsonl")),
            ("questions", include_str!("streams/questions.jsonl")),
            ("refusal", include_str!("streams/refusal.jsonl")),
            ("retried", include_str!("streams/retried.jsonl")),
            ("signed-out", include_str!("streams/signed-out.jsonl")),
            ("too-long", include_str!("streams/too-long.jsonl")),
            ("usage-limit", include_str!("streams/usage-limit.jsonl")),
            ("writes", include_str!("streams/writes.jsonl")),
        ];
        for (name, stream) in streams {
            insta::assert_snapshot!(name, follows(&mut Claude::new(None), stream));
        }
    }

    /// No stream of this was recorded: the server is always there.
    #[test]
    fn without_the_server_of_taskloom_the_turn_is_ended() {
        let stream = include_str!("streams/writes.jsonl");
        let down = stream.replace(r#""status":"connected""#, r#""status":"failed""#);
        let told = follows(&mut Claude::new(None), &down);
        assert!(told.starts_with("Kill(Transient"), "{told}");
    }
}
