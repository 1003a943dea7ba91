//! What agents in a tmux session have in common: how they are launched, and what is typed.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::agents::process::Environment;
use crate::agents::process::pane::{Pane, Typed, with_prompt};
use crate::agents::talk::{Letter, Step, Words, clip, tell};
use crate::agents::{AgentEvent, Command, Error, RunSpec, TurnOutcome, tools};

/// Without tmux there is no session.
pub(in crate::agents) fn demand_tmux() -> Result<(), Error> {
    let hint = "install it; agents with `environment: {type: tmux}` work in it".to_owned();
    which::which("tmux").map_err(|_| Error::NotInstalled { program: "tmux".to_owned(), hint })?;
    Ok(())
}

/// Where a program keeps what is its own: where the variable says, or in its usual place at home.
pub(in crate::agents) fn own_place(spec: &RunSpec, variable: &str, usual: &str) -> PathBuf {
    let told = spec.environment.get(variable).map(PathBuf::from);
    told.unwrap_or_else(|| home(spec).join(usual))
}

pub(in crate::agents) fn home(spec: &RunSpec) -> PathBuf {
    PathBuf::from(spec.environment.get("HOME").unwrap_or_default())
}

/// Whether the home was made for this task, and the program keeps what is its own there: only then
/// it is furnished.
pub(in crate::agents) fn is_furnished(spec: &RunSpec, variable: &str) -> bool {
    let task = spec.dir.ancestors().nth(2);
    spec.environment.get(variable).is_none()
        && task.is_some_and(|task| home(spec).starts_with(task))
}

/// A turn in a session: the program gets the prompt as its last argument, and what it does is in
/// `follow`.
pub(in crate::agents) fn words(
    spec: &RunSpec,
    prompt: &str,
    program: Vec<String>,
    environment: Environment,
    follow: &Path,
    furniture: Vec<(PathBuf, String)>,
) -> Words {
    let starts = program.first().cloned();
    let file = spec.dir.join(format!("prompt-{}.md", spec.turn));
    let pane = Pane {
        dir: spec.dir.clone(),
        session: spec.task.to_string(),
        cwd: spec.worktree.clone(),
        program: with_prompt(&file, program),
        follow: follow.to_owned(),
        from_end: spec.session.is_some(),
        files: [vec![(file, prompt.to_owned())], furniture].concat(),
    };
    Words {
        program: vec![tools::command(spec), "pane".to_owned(), json!(pane).to_string()],
        starts,
        environment: environment.with("TERM", "xterm-256color"),
        opening: String::new(),
        files: Vec::new(),
    }
}

/// What is typed into a session, and how its turn goes: a turn that ends while a text is on its way
/// goes on with it.
#[derive(Debug, Default)]
pub(in crate::agents) struct Typist {
    /// Texts that were typed, here or by who is attached, and are not in the conversation yet.
    on_the_way: Vec<String>,
    /// The turn before them has ended.
    over: bool,
    /// How many keys were pressed.
    keys: u32,
}

impl Typist {
    /// A command, typed.
    pub(in crate::agents) fn say(&mut self, command: &Command) -> Option<Vec<Letter>> {
        match command {
            Command::Steer { seq, text } => {
                self.sent(text);
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

    /// A text is on its way.
    pub(in crate::agents) fn sent(&mut self, text: &str) {
        let text = bare(text);
        if !self.on_the_way.iter().any(|sent| text.contains(sent)) {
            self.on_the_way.push(text);
        }
    }

    /// A text is in the conversation: a turn goes on with it, or begins.
    pub(in crate::agents) fn arrived(&mut self, text: &str) {
        if self.forget(text) {
            self.over = false;
        }
    }

    /// A text will not come.
    pub(in crate::agents) fn lost(&mut self, text: &str) -> Vec<Step> {
        let note = format!("what was typed was not taken: {}", clip(text));
        let mut steps = tell(AgentEvent::Garbage(note));
        if self.forget(text) && self.over {
            steps.extend(self.turn_over());
        }
        steps
    }

    /// A text is not on its way any more, whatever its program put around it; whether it was.
    pub(in crate::agents) fn forget(&mut self, text: &str) -> bool {
        let (text, before) = (bare(text), self.on_the_way.len());
        self.on_the_way.retain(|sent| !text.contains(sent));
        self.on_the_way.len() < before
    }

    /// The program has come to the end of a turn.
    pub(in crate::agents) fn turn_over(&mut self) -> Vec<Step> {
        self.over = true;
        match self.on_the_way.is_empty() {
            true => vec![Step::Over(TurnOutcome::Completed)],
            false => Vec::new(),
        }
    }
}

/// A text as it can be compared: programs trim and indent.
fn bare(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
