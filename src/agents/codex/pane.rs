//! Codex in a tmux session, for people to attach to (`taskloom attach`).
//!
//! What it does is read from the record that it keeps of its session. Its daemons and updaters
//! are descendants of the supervisor like everything else, and end with it.

use serde_json::{Value, json};

use crate::agents::codex::verdict::verdict;
use crate::agents::codex::{FLOOR, SETTINGS, rights, servers, settings, spent};
use crate::agents::process::Launcher;
use crate::agents::talk::attended::{Typist, demand_tmux, is_furnished, own_place, words};
use crate::agents::talk::{Dialect, Letter, Protocol, Step, Talker, Words, clip, tell, text_of};
use crate::agents::{
    AgentEvent, Capabilities, Command, Error, Profile, RunSpec, Session, TurnOutcome,
};
use crate::graph::Framework;
use crate::state::Usage;

/// Where it keeps what is its own, if not in its usual place.
const CONFIG: &str = "CODEX_HOME";

/// How it is launched.
#[derive(Debug, Clone, Copy, Default)]
pub struct CodexPane;

impl Talker<CodexPane> {
    /// One that starts its programs by `launcher`.
    pub fn codex_pane(launcher: Launcher) -> Self {
        Self::of(CodexPane, launcher)
    }
}

impl Dialect for CodexPane {
    type Protocol = Attended;

    fn framework(&self) -> Framework {
        Framework::Codex
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { permissions: false, ..Capabilities::ALL }
    }

    fn program(&self, profile: &Profile) -> Result<Vec<String>, Error> {
        demand_tmux()?;
        Ok(vec![profile.command.clone().unwrap_or_else(|| "codex".to_owned())])
    }

    fn version(&self) -> Option<(&'static [&'static str], [u32; 3])> {
        Some((&["--version"], FLOOR))
    }

    fn signed_in(&self) -> Option<&'static [&'static str]> {
        Some(&["login", "status"])
    }

    fn words(&self, spec: &RunSpec, prompt: &str) -> Result<Words, Error> {
        let mut program = self.program(&spec.profile)?;
        program.extend(spec.session.iter().map(|_| "resume".to_owned()));
        let (approval, sandbox) = rights(spec);
        program.push(format!("--ask-for-approval={approval}"));
        program.push(format!("--sandbox={sandbox}"));
        program.extend(settings(&SETTINGS));
        let servers = servers(spec).into_iter();
        let servers = servers
            .map(|(name, server)| format!("--config=mcp_servers.{name}={}", in_toml(&server)));
        program.extend(servers);
        let added = |text: &String| format!("--config=developer_instructions={}", json!(text));
        program.extend(spec.profile.system_prompt.iter().map(added));
        program.extend(spec.profile.model.iter().map(|model| format!("--model={model}")));
        program.extend(spec.profile.args.iter().cloned());
        program.extend(spec.session.iter().map(|session| session.id.clone()));
        let config = own_place(spec, CONFIG, ".codex");
        let place = json!(spec.worktree);
        let trust = format!("[projects.{place}]\ntrust_level = \"trusted\"\n");
        let furniture = match is_furnished(spec, CONFIG) {
            true => vec![(config.join("config.toml"), trust)],
            false => Vec::new(),
        };
        let environment = spec.environment.clone();
        Ok(words(spec, prompt, program, environment, &config.join("sessions"), furniture))
    }

    fn protocol(&self, spec: &RunSpec, _: &str) -> Attended {
        Attended { session: spec.session.clone().unwrap_or_default(), typist: Typist::default() }
    }
}

/// A value as TOML has it in one line. Its strings and plain values are written as those of JSON.
fn in_toml(value: &Value) -> String {
    match value {
        Value::Object(table) => {
            let pairs: Vec<String> =
                table.iter().map(|(name, value)| format!("{name}={}", in_toml(value))).collect();
            format!("{{{}}}", pairs.join(","))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(in_toml).collect::<Vec<_>>().join(","))
        }
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            plain.to_string()
        }
    }
}

/// One turn.
#[derive(Debug)]
pub struct Attended {
    session: Session,
    typist: Typist,
}

impl Protocol for Attended {
    fn hear(&mut self, line: &str) -> Vec<Step> {
        let Ok(message) = serde_json::from_str::<Value>(line) else {
            return tell(AgentEvent::Garbage(clip(line)));
        };
        let payload = &message["payload"];
        match (message["type"].as_str(), payload["type"].as_str()) {
            (Some("pane"), _) => match (message["error"].as_str(), message["lost"].as_str()) {
                (Some(why), _) => vec![Step::Over(TurnOutcome::Failed { why: why.to_owned() })],
                (None, Some(text)) => self.typist.lost(text),
                (None, None) => tell(AgentEvent::Started {
                    session: Some(self.session.clone()).filter(|session| !session.id.is_empty()),
                    model: None,
                    version: None,
                }),
            },
            (Some("session_meta"), _) => {
                self.session.id = text_of(payload, "id");
                let session = Some(self.session.clone());
                tell(AgentEvent::Usage { usage: Usage::default(), session })
            }
            (Some("event_msg"), Some("item_completed")) => {
                if payload["item"]["type"] == "UserMessage" {
                    self.typist.arrived(&said(&payload["item"]));
                }
                completed(&payload["item"])
            }
            (Some("event_msg"), Some("token_count")) => self.tokens(&payload["info"]),
            (Some("event_msg"), Some("task_complete")) => self.typist.turn_over(),
            (Some("event_msg"), Some("turn_aborted")) => {
                vec![Step::Over(TurnOutcome::Failed { why: "the turn was interrupted".to_owned() })]
            }
            (Some("event_msg"), Some("error")) => {
                let info = in_camel_case(payload["codex_error_info"].as_str().unwrap_or_default());
                let error = json!({ "message": payload["message"], "codexErrorInfo": info });
                vec![Step::Over(verdict(&error, &[]))]
            }
            _ => vec![],
        }
    }

    fn say(&mut self, command: &Command) -> Option<Vec<Letter>> {
        self.typist.say(command)
    }
}

impl Attended {
    fn tokens(&mut self, info: &Value) -> Vec<Step> {
        let of = |name: &str| info["total_token_usage"][name].as_u64().unwrap_or_default();
        let names =
            ["input_tokens", "cached_input_tokens", "cache_write_input_tokens", "total_tokens"];
        spent(&mut self.session, names.map(of))
    }
}

/// The record has the same words as the protocol, written otherwise.
fn in_camel_case(word: &str) -> String {
    let mut parts = word.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |word, part| {
        let (head, rest) = part.split_at(part.len().min(1));
        word + &head.to_ascii_uppercase() + rest
    })
}

/// The text of a message.
fn said(item: &Value) -> String {
    let parts = item["content"].as_array().into_iter().flatten();
    parts.filter_map(|part| part["text"].as_str()).collect()
}

/// An item is told of when it has come to its end.
fn completed(item: &Value) -> Vec<Step> {
    let id = text_of(item, "id");
    match item["type"].as_str() {
        Some("AgentMessage") => tell(AgentEvent::Text(said(item))),
        Some("CommandExecution") => {
            let meant = item["parsed_cmd"][0]["cmd"].as_str().unwrap_or("a command");
            let input = json!({ "command": meant });
            let output = text_of(item, "aggregated_output");
            let begun = AgentEvent::ToolStart { id: id.clone(), name: "shell".to_owned(), input };
            let ended = AgentEvent::ToolEnd { id, ok: item["exit_code"] == 0, output };
            vec![Step::Tell(begun), Step::Tell(ended)]
        }
        _ => vec![],
    }
}
