//! From the text of a plan to the tasks that it asks for.
//!
//! A plan is what an agent wrote, so nothing in it is trusted: whatever stands there, reading it
//! ends, costs little and yields few tasks. This module must not know who wrote it or what becomes
//! of it.

mod answer;
mod fragment;
mod markdown;

use serde::{Deserialize, Serialize};

use crate::graph::{self, Problem};
use crate::ids::TaskId;

pub use answer::{ANSWER_BYTES_MAX, Unfit, answered, schema};
pub use fragment::write;

/// The longest plan that is read. A long one has a few pages; what is longer is a log.
pub const PLAN_BYTES_MAX: usize = 48 << 10;

/// As many tasks as a configuration may let one plan have: more than a person looks through.
pub const STEPS_MAX: u32 = 100;

/// Characters of a title: what a list shows of it.
const TITLE_CHARS_MAX: usize = 80;

/// How plans are turned into tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// How many plans may stand between a task and the graph's file: tasks of a plan are 1 deep.
    pub max_depth: u32,
    /// Tasks of one plan.
    pub max_steps: u32,
    /// Plans of the file's own tasks need no person.
    pub auto_approve: bool,
}

impl Default for Rules {
    fn default() -> Self {
        // A plan that is longer than a page of tasks is not one that somebody has read.
        Self { max_depth: 1, max_steps: 20, auto_approve: false }
    }
}

/// One task that a plan asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its name, if the author gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<TaskId>,
    /// One line for people.
    pub title: String,
    /// What is to be done.
    pub text: String,
    /// The steps that it waits for, by their places from 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<u32>,
}

/// What a plan comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// Tasks, and how many more there would have been.
    Steps {
        /// At most as many as are allowed.
        steps: Vec<Step>,
        /// How many were left out.
        dropped: usize,
    },
    /// It says itself that it is not for this.
    OptedOut,
}

/// Why there are no tasks in a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is too long.
    #[error("the plan is longer than {} KiB", PLAN_BYTES_MAX >> 10)]
    TooLong,
    /// Nothing in it could be a task.
    #[error(
        "the plan holds no step: neither a heading with a text, nor a numbered list, nor prose"
    )]
    Empty,
    /// Its graph is wrong; the places are those of the plan.
    #[error("{}", told(.0))]
    Graph(Vec<Problem>),
}

fn told(problems: &[Problem]) -> String {
    problems.first().map_or_else(String::new, |first| format!("the plan's graph: {first}"))
}

/// Reads a plan: its graph if it has one, else its headings, else its numbered list, else all of it
/// as one step.
pub fn read(text: &str, steps_max: u32) -> Result<Reading, Unreadable> {
    if text.len() > PLAN_BYTES_MAX {
        return Err(Unreadable::TooLong);
    }
    let text = clean(text);
    let body = markdown::Body::of(&text);
    if body.opts_out() {
        return Ok(Reading::OptedOut);
    }
    if let Some((line, source)) = body.graph() {
        return of_graph(line, &source, most(steps_max));
    }
    let (found, dropped) = fitted(body.steps(), steps_max);
    if found.is_empty() {
        return Err(Unreadable::Empty);
    }
    let chained = (0..).zip(found).map(|(at, (title, text)): (u32, _)| Step {
        id: None,
        title: Some(short(&title))
            .filter(|it| !it.is_empty())
            .unwrap_or(format!("Step {}", at + 1)),
        text,
        after: at.checked_sub(1).into_iter().collect(),
    });
    Ok(Reading::Steps { steps: chained.collect(), dropped })
}

/// Whether a plan says in words alone what it asks for, so that an agent may be asked what that is.
/// A graph is its author's own word, and who opts out is left alone.
pub fn in_words(text: &str) -> bool {
    if text.len() > PLAN_BYTES_MAX || text.trim().is_empty() {
        return false;
    }
    let text = clean(text);
    let body = markdown::Body::of(&text);
    !body.opts_out() && body.graph().is_none()
}

/// How many steps there may be.
fn most(steps_max: u32) -> usize {
    steps_max.clamp(1, STEPS_MAX) as usize
}

/// The first of them, as many as there may be, and how many are left out.
fn fitted<T>(mut found: Vec<T>, steps_max: u32) -> (Vec<T>, usize) {
    let dropped = found.len().saturating_sub(most(steps_max));
    found.truncate(most(steps_max));
    (found, dropped)
}

/// The tasks of a graph whose source stands below line `above` of the plan.
fn of_graph(above: u32, source: &str, max: usize) -> Result<Reading, Unreadable> {
    let placed = |mut problem: Problem| {
        problem.line += above;
        problem
    };
    let graph = graph::load_plan(source.as_bytes())
        .map_err(|found| Unreadable::Graph(found.into_iter().map(placed).collect()))?;
    let all = graph.tasks().len();
    if all > max {
        let message = format!("the plan has {all} tasks; at most {max} are allowed");
        let hint = Some("leave some to a later plan, or raise `plans.max_steps`".to_owned());
        let (line, column, path) = (above + 1, 1, "tasks".to_owned());
        return Err(Unreadable::Graph(vec![Problem { line, column, path, message, hint }]));
    }
    let steps = (0..).map(graph::TaskIx).zip(graph.tasks()).map(|(ix, task)| Step {
        id: Some(task.id.clone()),
        title: short(&task.title),
        text: task.description.clone().unwrap_or_default(),
        after: graph.parents(ix).iter().map(|parent| parent.0).collect(),
    });
    Ok(Reading::Steps { steps: steps.collect(), dropped: 0 })
}

/// The text without what a person would not see: control characters, and those that reorder text.
pub fn clean(text: &str) -> String {
    let hidden = |c: char| graph::is_hidden(c) || c == '\u{feff}';
    text.replace("\r\n", "\n").replace('\r', "\n").chars().filter(|c| !hidden(*c)).collect()
}

/// A title as lists show it.
fn short(title: &str) -> String {
    let title = title.split_whitespace().collect::<Vec<_>>().join(" ");
    if title.chars().nth(TITLE_CHARS_MAX).is_none() {
        return title;
    }
    let kept: String = title.chars().take(TITLE_CHARS_MAX - 1).collect();
    format!("{}…", kept.trim_end())
}
