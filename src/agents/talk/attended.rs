//! What agents in a tmux session have in common: how they are launched, and what is typed.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::agents::process::Environment;
use crate::agents::process::pane::{Pane, Typed, with_prompt};
use crate::agents::talk::{Letter, Words};
use crate::agents::{Command, Error, RunSpec, tools};

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

/// A command, typed; `keys` counts those that are no text.
pub(in crate::agents) fn typed(command: &Command, keys: &mut u32) -> Option<Vec<Letter>> {
    match command {
        Command::Steer { seq, text } => {
            Some(vec![Letter::new(format!("steer-{seq}"), &json!(Typed::Text(text.clone())))])
        }
        Command::Interrupt => {
            *keys += 1;
            let key = Typed::Key("Escape".to_owned());
            Some(vec![Letter::new(format!("key-{keys}"), &json!(key))])
        }
        Command::Reply { .. } | Command::User(_) | Command::Answer { .. } | Command::Stop => None,
    }
}
