//! Codex in a tmux session, for people to attach to (`taskloom attach`).
//!
//! What it does is read from the record that it keeps of its session. Its daemons and updaters
//! are descendants of the supervisor like everything else, and end with it.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::agents::codex::FLOOR;
use crate::agents::codex::verdict::verdict;
use crate::agents::process::Launcher;
use crate::agents::process::pane::{Pane, Typed, with_prompt};
use crate::agents::talk::{Dialect, Letter, Protocol, Step, Talker, Words, clip};
use crate::agents::{
    AgentEvent, Capabilities, Command, Error, Permissions, Profile, RunSpec, Session, TurnOutcome,
    tools,
};
use crate::graph::Framework;
use crate::sandbox::Kind;

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
        Capabilities {
            resume_session: true,
            steer: true,
            permissions: false,
            usage: true,
            claims: true,
        }
    }

    fn program(&self, profile: &Profile) -> Result<Vec<String>, Error> {
        which::which("tmux").map_err(|_| Error::NotInstalled { program: "tmux".to_owned() })?;
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
        let walled = spec.sandbox.kind != Kind::None;
        let rights: &[&str] = match spec.profile.permissions {
            _ if walled => &["--dangerously-bypass-approvals-and-sandbox"],
            Permissions::All => &["--dangerously-bypass-approvals-and-sandbox"],
            Permissions::Edits => &["--ask-for-approval=on-request", "--sandbox=workspace-write"],
            Permissions::Ask => &["--ask-for-approval=untrusted", "--sandbox=workspace-write"],
        };
        program.extend(rights.iter().map(|&word| word.to_owned()));
        let fixed = ["check_for_update_on_startup=false", "features.shell_snapshot=false"];
        program.extend(fixed.map(|setting| format!("--config={setting}")));
        program.push(format!("--config=mcp_servers.{}={}", tools::SERVER, server(spec)));
        program.extend(spec.profile.model.iter().map(|model| format!("--model={model}")));
        program.extend(spec.profile.args.iter().cloned());
        program.extend(spec.session.iter().map(|session| session.id.clone()));
        let file = spec.dir.join(format!("prompt-{}.md", spec.turn));
        let program = with_prompt(&file, program);
        let mut files = vec![(file, prompt.to_owned())];
        let home = PathBuf::from(spec.environment.get("HOME").unwrap_or_default());
        let told = spec.environment.get("CODEX_HOME").map(PathBuf::from);
        let config = told.clone().unwrap_or_else(|| home.join(".codex"));
        // Only a home that was made for this task is furnished.
        if told.is_none() && spec.dir.ancestors().nth(2).is_some_and(|task| home.starts_with(task))
        {
            let place = json!(spec.worktree);
            let trust = format!("[projects.{place}]\ntrust_level = \"trusted\"\n");
            files.push((config.join("config.toml"), trust));
        }
        let pane = Pane {
            dir: spec.dir.clone(),
            session: spec.task.to_string(),
            cwd: spec.worktree.clone(),
            program,
            follow: config.join("sessions"),
            from_end: spec.session.is_some(),
            files,
        };
        let environment = spec.environment.clone().with("TERM", "xterm-256color");
        let program = vec![tools::command(spec), "pane".to_owned(), json!(pane).to_string()];
        Ok(Words { program, environment, opening: String::new() })
    }

    fn protocol(&self, spec: &RunSpec, _: &str) -> Attended {
        Attended { session: spec.session.clone().unwrap_or_default(), keys: 0 }
    }
}

/// Taskloom's own tools, as a table of TOML; its strings are written as those of JSON.
fn server(spec: &RunSpec) -> String {
    let variables = tools::environment(spec);
    let variables: Vec<String> =
        variables.iter().map(|(name, value)| format!("{name}={}", json!(value))).collect();
    format!(
        "{{command={},args={},env={{{}}},default_tools_approval_mode=\"approve\",tool_timeout_sec={}}}",
        json!(tools::command(spec)),
        json!(tools::ARGS),
        variables.join(","),
        tools::PATIENCE.as_secs(),
    )
}

/// One turn.
#[derive(Debug)]
pub struct Attended {
    session: Session,
    keys: u32,
}

fn tell(event: AgentEvent) -> Vec<Step> {
    vec![Step::Tell(event)]
}

fn text_of(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

impl Protocol for Attended {
    fn hear(&mut self, line: &str) -> Vec<Step> {
        let Ok(message) = serde_json::from_str::<Value>(line) else {
            return tell(AgentEvent::Garbage(clip(line)));
        };
        let payload = &message["payload"];
        match (message["type"].as_str(), payload["type"].as_str()) {
            (Some("pane"), _) => match message["error"].as_str() {
                Some(why) => vec![Step::Over(TurnOutcome::Failed { why: why.to_owned() })],
                None => tell(AgentEvent::Started {
                    session: Some(self.session.clone()).filter(|session| !session.id.is_empty()),
                    model: None,
                    version: None,
                }),
            },
            (Some("session_meta"), _) => {
                self.session.id = text_of(payload, "id");
                let session = Some(self.session.clone());
                tell(AgentEvent::Usage { tokens: 0, usd: 0.0, session })
            }
            (Some("event_msg"), Some("item_completed")) => completed(&payload["item"]),
            (Some("event_msg"), Some("token_count")) => self.tokens(&payload["info"]),
            (Some("event_msg"), Some("task_complete")) => {
                vec![Step::Over(TurnOutcome::Completed)]
            }
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
        match command {
            Command::Steer { seq, text } => {
                Some(vec![Letter::new(format!("steer-{seq}"), &json!(Typed::Text(text.clone())))])
            }
            Command::Interrupt => {
                self.keys += 1;
                let key = Typed::Key("Escape".to_owned());
                Some(vec![Letter::new(format!("key-{}", self.keys), &json!(key))])
            }
            Command::Reply { .. } | Command::User(_) | Command::Answer { .. } | Command::Stop => {
                None
            }
        }
    }
}

impl Attended {
    fn tokens(&mut self, info: &Value) -> Vec<Step> {
        let total = info["total_token_usage"]["total_tokens"].as_u64().unwrap_or_default();
        let new = total.saturating_sub(self.session.tokens);
        self.session.tokens = self.session.tokens.max(total);
        tell(AgentEvent::Usage { tokens: new, usd: 0.0, session: Some(self.session.clone()) })
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

/// An item is told of when it has come to its end.
fn completed(item: &Value) -> Vec<Step> {
    let id = text_of(item, "id");
    match item["type"].as_str() {
        Some("AgentMessage") => {
            let parts = item["content"].as_array().into_iter().flatten();
            tell(AgentEvent::Text(parts.filter_map(|part| part["text"].as_str()).collect()))
        }
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
