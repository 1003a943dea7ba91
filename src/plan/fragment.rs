//! The steps of an approved plan as the source of a graph: what is kept of them, and read again by
//! [`crate::graph::load_plan`].

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::graph::{Graph, TaskIx};
use crate::ids::{NAME_CHARS_MAX, TaskId};
use crate::plan::Step;

/// Characters of the planning task's name in the names of its steps: enough to tell it, and little
/// enough that the step's own words have room.
const PARENT_CHARS_MAX: usize = 32;

/// How no name may end: git keeps it for itself.
const LOCK: &str = ".lock";

/// The names of the steps in a graph that they are to be added to, and their source. `told` is
/// where the plan is to be found, for those who carry it out.
pub fn write(
    graph: &Graph,
    parent: TaskIx,
    steps: &[Step],
    told: Option<&str>,
) -> (Vec<TaskId>, String) {
    let names = names(graph, parent, steps);
    let mut source = String::from("tasks:\n");
    for (at, (step, name)) in steps.iter().zip(&names).enumerate() {
        let file = told.map_or_else(String::new, |file| format!("; all of it is in `{file}`"));
        let place = format!(
            "This is step {} of {} of the plan of task `{}`{file}.",
            at + 1,
            steps.len(),
            graph.task(parent).id
        );
        let first = step.text.lines().next().unwrap_or_default();
        let text = match first.contains(&step.title) {
            true => format!("{}\n\n{place}", step.text),
            false => format!("{}\n\n{}\n\n{place}", step.title, step.text),
        };
        let after: Vec<&str> =
            step.after.iter().filter_map(|at| Some(names.get(*at as usize)?.as_str())).collect();
        let _ = writeln!(source, "  - id: {}", quoted(name.as_str()));
        let _ = writeln!(source, "    title: {}", quoted(&step.title));
        let _ = writeln!(source, "    description: {}", quoted(text.trim()));
        let after: Vec<String> = after.into_iter().map(quoted).collect();
        let _ = writeln!(source, "    dependencies: [{}]", after.join(", "));
    }
    (names, source)
}

/// A text as JSON writes it, which YAML reads the same.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A name for each step that the graph does not have yet; case does not make it another.
fn names(graph: &Graph, parent: TaskIx, steps: &[Step]) -> Vec<TaskId> {
    let mut taken: BTreeSet<String> =
        graph.tasks().iter().map(|task| task.id.as_str().to_ascii_lowercase()).collect();
    let parent = graph.task(parent).id.as_str();
    let mut name = |at: usize, step: &Step| {
        let planned = match &step.id {
            Some(id) if !taken.contains(&id.as_str().to_ascii_lowercase()) => id.to_string(),
            Some(id) => fitting(&format!("{}-{id}", cut(parent, PARENT_CHARS_MAX)), ""),
            None => {
                let number = format!("{}-{}", cut(parent, PARENT_CHARS_MAX), at + 1);
                match slug(&step.title) {
                    slug if slug.is_empty() => number,
                    slug => fitting(&format!("{number}-{slug}"), ""),
                }
            }
        };
        let again = (2..).map(|n: u32| fitting(&planned, &format!("-{n}")));
        let mut candidates = std::iter::once(planned.clone()).chain(again);
        let free = candidates.find(|name| taken.insert(name.to_ascii_lowercase()));
        let free = free.expect("BUG: there are more numbers than tasks");
        free.parse().expect("BUG: it was put together of good names")
    };
    steps.iter().enumerate().map(|(at, step)| name(at, step)).collect()
}

/// The words of a title as a name has them.
fn slug(title: &str) -> String {
    let lower = title.to_ascii_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

/// A name cut so that it fits with its end.
fn fitting(name: &str, end: &str) -> String {
    format!("{}{end}", cut(name, NAME_CHARS_MAX - end.len()))
}

/// The beginning of a name that is a name itself.
fn cut(name: &str, chars_max: usize) -> &str {
    let mut kept = &name[..name.len().min(chars_max)];
    loop {
        kept = kept.trim_end_matches(['-', '.', '_']);
        let end = kept.len().saturating_sub(LOCK.len());
        if !kept[end..].eq_ignore_ascii_case(LOCK) {
            return kept;
        }
        kept = &kept[..end];
    }
}
