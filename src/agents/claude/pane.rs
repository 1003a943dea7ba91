//! Claude Code in a tmux session, for people to attach to (`taskloom attach`).
//!
//! Nothing is typed to begin: the prompt is an argument. What it does is read from the record that
//! it keeps of its session, and not from the screen. The dialogs of a first start are answered
//! beforehand in a home that is the agent's own; whatever else it asks, it asks who is attached.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::agents::claude::hear::Claude;
use crate::agents::claude::verdict::signed_out;
use crate::agents::claude::{FLOOR, environment, options, rights, servers, servers_file};
use crate::agents::process::Launcher;
use crate::agents::talk::attended::{Typist, demand_tmux, home, is_furnished, own_place, words};
use crate::agents::talk::{Dialect, Letter, Protocol, Step, Talker, Words, clip, text_of};
use crate::agents::{
    AgentEvent, Capabilities, Command, Error, Profile, RunSpec, Session, TurnOutcome,
};
use crate::graph::Framework;
use crate::state::{Tokens, Usage};

/// Where it keeps what is its own, if not in its usual place.
const CONFIG: &str = "CLAUDE_CONFIG_DIR";

/// How it is launched.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClaudePane;

impl Talker<ClaudePane> {
    /// One that starts its programs by `launcher`.
    pub fn claude_pane(launcher: Launcher) -> Self {
        Self::of(ClaudePane, launcher)
    }
}

impl Dialect for ClaudePane {
    type Protocol = Attended;

    fn framework(&self) -> Framework {
        Framework::ClaudeCode
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { permissions: false, ..Capabilities::ALL }
    }

    fn program(&self, profile: &Profile) -> Result<Vec<String>, Error> {
        demand_tmux()?;
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
        program.extend(rights(spec));
        program.extend(options(&spec.profile));
        let session = session_of(spec);
        let option = if spec.session.is_some() { "resume" } else { "session-id" };
        program.push(format!("--{option}={session}"));
        program.extend(spec.profile.args.iter().cloned());
        let slug: String = spec.worktree.to_string_lossy().chars().map(in_slug).collect();
        let projects = own_place(spec, CONFIG, ".claude").join("projects");
        let follow = projects.join(slug).join(format!("{session}.jsonl"));
        let furniture = match is_furnished(spec, CONFIG) {
            true => first_start(&home(spec), &spec.worktree, spec),
            false => Vec::new(),
        };
        let words = words(spec, prompt, program, environment(spec), &follow, furniture);
        Ok(Words { files: vec![(servers_file(spec), servers(spec))], ..words })
    }

    fn protocol(&self, spec: &RunSpec, _: &str) -> Attended {
        let id = session_of(spec);
        let session = Session { id, ..spec.session.clone().unwrap_or_default() };
        Attended {
            claude: Claude::new(Some(session.clone())),
            session,
            counted: String::new(),
            typist: Typist::default(),
        }
    }
}

/// The session of an attempt has the same name whoever asks.
fn session_of(spec: &RunSpec) -> String {
    if let Some(session) = &spec.session {
        return session.id.clone();
    }
    let digest = Sha256::digest(spec.dir.to_string_lossy().as_bytes());
    let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}

fn in_slug(c: char) -> char {
    if c.is_ascii_alphanumeric() { c } else { '-' }
}

/// What would be asked at a first start, answered: no tour, this directory is trusted, and so is
/// the key, which is named by its end as the program itself does it.
fn first_start(home: &Path, worktree: &Path, spec: &RunSpec) -> Vec<(PathBuf, String)> {
    let key = spec.environment.get("ANTHROPIC_API_KEY").map(|key| {
        let from = key.char_indices().rev().nth(19).map_or(0, |(at, _)| at);
        key[from..].to_owned()
    });
    let state = json!({
        "hasCompletedOnboarding": true, "theme": "dark",
        "customApiKeyResponses": { "approved": Vec::from_iter(key), "rejected": [] },
        "projects": { worktree.to_string_lossy(): { "hasTrustDialogAccepted": true } },
    });
    let settings = json!({ "skipDangerousModePermissionPrompt": true });
    vec![
        (home.join(".claude.json"), state.to_string()),
        (home.join(".claude/settings.json"), settings.to_string()),
    ]
}

/// One turn.
#[derive(Debug)]
pub struct Attended {
    claude: Claude,
    session: Session,
    /// The message whose tokens were counted last: it comes in several lines.
    counted: String,
    typist: Typist,
}

impl Protocol for Attended {
    fn hear(&mut self, line: &str) -> Vec<Step> {
        let Ok(message) = serde_json::from_str::<Value>(line) else {
            return vec![Step::Tell(AgentEvent::Garbage(clip(line)))];
        };
        // What its own helpers do is part of a tool.
        if message["isSidechain"] == true {
            return vec![];
        }
        match (message["type"].as_str(), message["subtype"].as_str()) {
            (Some("pane"), _) => match (message["error"].as_str(), message["lost"].as_str()) {
                (Some(why), _) => vec![Step::Over(TurnOutcome::Failed { why: why.to_owned() })],
                (None, Some(text)) => self.typist.lost(text),
                (None, None) => vec![Step::Tell(AgentEvent::Started {
                    session: Some(self.session.clone()),
                    model: None,
                    version: None,
                })],
            },
            (Some("assistant"), _) => {
                let mut steps = self.claude.hear(line);
                steps.extend(self.tokens(&message["message"]));
                if message["isApiErrorMessage"] == true {
                    steps.push(Step::Over(trouble(&message)));
                }
                steps
            }
            (Some("user"), _) => {
                if let Some(text) = message["message"]["content"].as_str() {
                    self.typist.arrived(text);
                }
                self.claude.hear(line)
            }
            (Some("queue-operation" | "attachment"), _) => {
                self.queued(&message);
                vec![]
            }
            (Some("system"), Some("turn_duration")) => self.typist.turn_over(),
            _ => vec![],
        }
    }

    fn say(&mut self, command: &Command) -> Option<Vec<Letter>> {
        self.typist.say(command)
    }
}

impl Attended {
    /// What is typed in the middle of a turn waits in a queue, and is taken out of it into the turn,
    /// into the next one, or by who is attached and thinks again.
    fn queued(&mut self, message: &Value) {
        if let Some(text) = message["attachment"]["prompt"].as_str() {
            self.typist.arrived(text);
        }
        let text = text_of(message, "content");
        match message["operation"].as_str() {
            Some("enqueue") => self.typist.sent(&text),
            Some("popAll") => drop(self.typist.forget(&text)),
            Some(_) | None => {}
        }
    }

    fn tokens(&mut self, message: &Value) -> Option<Step> {
        let id = message["id"].as_str()?;
        if self.counted == id {
            return None;
        }
        id.clone_into(&mut self.counted);
        let of = |name: &str| message["usage"][name].as_u64().unwrap_or_default();
        let tokens = Tokens {
            input: of("input_tokens"),
            output: of("output_tokens"),
            cache_read: of("cache_read_input_tokens"),
            cache_write: of("cache_creation_input_tokens"),
        };
        let (usage, session) = (Usage { tokens, usd: 0.0 }, Some(self.session.clone()));
        Some(Step::Tell(AgentEvent::Usage { usage, session }))
    }
}

/// What a message means that is an error of the interface.
fn trouble(message: &Value) -> TurnOutcome {
    let blocks = message["message"]["content"].as_array().into_iter().flatten();
    let why: String = blocks.filter_map(|block| block["text"].as_str()).collect();
    let status = message["apiErrorStatus"].as_u64().or(message["api_error_status"].as_u64());
    match (message["error"].as_str(), status) {
        (Some("authentication_failed"), _) | (_, Some(401 | 403)) => signed_out(&why),
        (Some("billing_error"), _) => TurnOutcome::NeedsHuman { why },
        (Some("rate_limit" | "overloaded" | "server_error" | "unknown"), _)
        | (_, Some(429 | 500..=599)) => TurnOutcome::Transient { why },
        _ => TurnOutcome::Failed { why },
    }
}
