//! A task that nobody wrote a graph for: a graph of one, called `inbox`.

use crate::failure::Failure;
use crate::graph::{self, Graph};
use crate::ids::NAME_CHARS_MAX;
use crate::render::words::is_hidden;

/// The name of all graphs that are made so.
pub const INBOX: &str = "inbox";

/// How many characters of its first line make a task's title.
const TITLE_CHARS_MAX: usize = 80;

/// How many characters of a title make the task's name: a thread shows both.
const ID_CHARS_MAX: usize = NAME_CHARS_MAX - 24;

/// A task without a graph.
#[derive(Debug, Clone, Default)]
pub struct AdHoc {
    /// What its agent is to do; the first line is its title.
    pub instructions: String,
    /// The command that must pass on the result.
    pub gate: Option<String>,
    /// The agent profile.
    pub agent: Option<String>,
    /// Lower goes first.
    pub priority: Option<i32>,
    /// Its agent is to leave a plan.
    pub plan: bool,
}

impl AdHoc {
    /// The file of its graph, and the graph.
    pub fn graph(&self) -> Result<(String, Graph), Failure> {
        // What messages carry along and nobody sees has no place in a file.
        let stays = |c: &char| matches!(c, '\n' | '\t') || !is_hidden(*c);
        let instructions: String = self.instructions.chars().filter(stays).collect();
        let instructions = instructions.trim();
        if instructions.is_empty() {
            return Err(Failure::user("there is nothing to do in it"));
        }
        let title = instructions.lines().next().unwrap_or_default();
        let title: String = title.chars().take(TITLE_CHARS_MAX).collect();
        let mut task = serde_json::json!({
            "id": id_of(&title),
            "title": title,
            "description": instructions,
        });
        if let Some(gate) = &self.gate {
            task["completion_gate"] = serde_json::json!(gate);
        }
        if let Some(agent) = &self.agent {
            task["agent"] = serde_json::json!(agent);
        }
        if let Some(priority) = self.priority {
            task["priority"] = serde_json::json!(priority);
        }
        if self.plan {
            task["plan"] = serde_json::json!(true);
        }
        // JSON is YAML, and quotes what people write.
        let graph = serde_json::json!({ "name": INBOX, "tasks": [task] });
        let source = format!("{graph:#}\n");
        let graph = graph::load(source.as_bytes()).map_err(|problems| {
            let first = problems.first().map(ToString::to_string).unwrap_or_default();
            Failure::user(format!("no task can be made of it: {first}"))
        })?;
        Ok((source, graph))
    }
}

/// A name made of a title: its letters and digits, in lower case, joined by hyphens.
fn id_of(title: &str) -> String {
    let mut id = String::new();
    for c in title.chars().map(|c| c.to_ascii_lowercase()) {
        if c.is_ascii_alphanumeric() {
            id.push(c);
        } else if !id.is_empty() && !id.ends_with('-') {
            id.push('-');
        }
        if id.len() >= ID_CHARS_MAX {
            break;
        }
    }
    let id = id.trim_end_matches('-');
    if id.is_empty() { "task".to_owned() } else { id.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_task_is_named_after_what_it_is_to_do() {
        assert_eq!(
            id_of("Fix the login: 500 on empty e-mail!"),
            "fix-the-login-500-on-empty-e-mail"
        );
        assert_eq!(id_of("日本語"), "task");
    }

    proptest! {
        #[test]
        fn whatever_people_write_is_one_task(instructions in "\\PC{1,300}(\n\\PC{0,300}){0,3}") {
            prop_assume!(instructions.chars().any(|c| c.is_alphanumeric()));
            let one = AdHoc { instructions: instructions.clone(), ..AdHoc::default() };
            let (_, graph) = one.graph().unwrap();
            prop_assert_eq!(graph.tasks().len(), 1);
            let kept = graph.tasks()[0].description.clone().unwrap_or_default();
            let words = |text: &str| text.chars().filter(|c| c.is_alphanumeric()).collect::<String>();
            prop_assert_eq!(words(&kept), words(&instructions));
        }
    }
}
