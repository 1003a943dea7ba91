//! What is wrong with a hook, as far as that can be known before it runs.

use crate::hooks::rules::hook::{Action, Hook, Query, Step, Trigger};
use crate::hooks::rules::template::{Piece, Template};
use crate::state::What;

/// Steps of one hook: more is a program, which belongs into a script of the repository.
pub const STEPS_MAX: usize = 32;

/// Runs of one hook that may wait, at most: each is a row and some memory.
pub const QUEUE_MAX: u32 = 1_000;

/// Runs of one hook at once, at most.
pub const CONCURRENT_MAX: u32 = 16;

/// The shortest pace, in seconds.
pub const EVERY_SECONDS_MIN: u64 = 10;

/// Everything that is wrong with a hook, a sentence each, with its place in the hook.
pub fn problems(hook: &Hook) -> Vec<String> {
    let mut found = trigger(hook);
    if hook.steps.is_empty() {
        found.push("there are no `steps`; write at least one, as `- notify: TEXT`".to_owned());
    }
    if hook.steps.len() > STEPS_MAX {
        found.push(format!("it has {} steps, and {STEPS_MAX} are the most", hook.steps.len()));
    }
    if !(1..=QUEUE_MAX).contains(&hook.queue_max) {
        found.push(format!("`queue_max` must be from 1 to {QUEUE_MAX}"));
    }
    if !(1..=CONCURRENT_MAX).contains(&hook.max_concurrent) {
        found.push(format!("`max_concurrent` must be from 1 to {CONCURRENT_MAX}"));
    }
    for (at, step) in hook.steps.iter().enumerate() {
        let place = format!("step {} ({})", at + 1, step.action.word());
        found.extend(of_step(hook, at, step).into_iter().map(|why| format!("{place}: {why}")));
    }
    found
}

fn trigger(hook: &Hook) -> Vec<String> {
    let mut found = Vec::new();
    match &hook.on {
        Trigger::Event { kind, .. } if !What::KINDS.contains(&kind.as_str()) => {
            let mut near: Vec<&str> = What::KINDS.to_vec();
            near.sort_by_key(|known| strsim::damerau_levenshtein(kind, known));
            found.push(format!("`on.event`: there is no `{kind}`; did you mean `{}`?", near[0]));
        }
        Trigger::Every(span) if span.as_secs() < EVERY_SECONDS_MIN => {
            found.push(format!("`on.every` must be at least {EVERY_SECONDS_MIN}s"));
        }
        Trigger::Every(span) if hook.cooldown > *span => {
            found.push("`cooldown` is longer than `on.every`, which it would overrule".to_owned());
        }
        Trigger::File { paths, .. } if paths.is_empty() => {
            found.push("`on.file.paths` is empty; write patterns, as `docs/**`".to_owned());
        }
        Trigger::File { .. } if hook.project.is_none() => {
            found.push("`on.file` needs a `project`, whose files are meant".to_owned());
        }
        Trigger::Event { .. }
        | Trigger::Every(_)
        | Trigger::Cron(_)
        | Trigger::Webhook(_)
        | Trigger::File { .. } => {}
    }
    found
}

fn of_step(hook: &Hook, at: usize, step: &Step) -> Vec<String> {
    let mut found = Vec::new();
    let has_project = hook.project.is_some() || matches!(hook.on, Trigger::Event { .. });
    if step.action.needs_project() && !has_project {
        found.push("it is done in a project; name one: `project: NAME`".to_owned());
    }
    if let Some(skip) = step.skip_if.filter(|skip| !skip.applies_to(&step.action)) {
        found.push(format!("`skip_if: {}` says nothing about it", skip.word()));
    }
    if matches!(step.action, Action::Agent { .. }) && at + 1 < hook.steps.len() {
        found.push("an agent is the last step, since nothing waits for it".to_owned());
    }
    if let Action::Http(url) = &step.action {
        found.extend(host_of(url).err());
    }
    let names = step.action.templates().into_iter().flat_map(|template| template.names());
    found.extend(names.filter_map(|name| unknown(hook, at, name)));
    found
}

/// Why a name cannot be known when step `at` (from 0) is done.
fn unknown(hook: &Hook, at: usize, piece: &Piece) -> Option<String> {
    let name = piece.name();
    match piece {
        Piece::Text(_) => None,
        Piece::Step(n, _) if *n > at => {
            Some(format!("`{{{{{name}}}}}`: only steps before this one have results"))
        }
        Piece::Step(n, path) => {
            let action = &hook.steps.get(n - 1)?.action;
            let field = path.first()?;
            let known = action.fields();
            // What is in rows and in pages is seen when they are there.
            (!known.contains(&field.as_str()))
                .then(|| format!("`{{{{{name}}}}}`: {} gives {}", action.word(), known.join(", ")))
        }
        Piece::Event(path) => {
            let (field, known) = (path.first()?, known_of(&hook.on)?);
            (!known.contains(&field.as_str())).then(|| {
                format!("`{{{{{name}}}}}`: of what sets it off there are {}", known.join(", "))
            })
        }
    }
}

/// What is known of what sets a hook off; `None`: that is seen when it comes.
fn known_of(on: &Trigger) -> Option<Vec<&'static str>> {
    let run = ["kind", "seq", "at", "project", "run", "graph", "submitter", "detail", "outcome"];
    match on {
        Trigger::Event { kind, .. } => {
            let mut known = run.to_vec();
            if !kind.starts_with("run_") {
                known.push("lane");
            }
            if !kind.starts_with("run_") && !kind.starts_with("workstream_") {
                known.extend(["task", "title", "attempt"]);
            }
            known.push("class");
            Some(known)
        }
        Trigger::Every(_) | Trigger::Cron(_) => Some(vec!["at", "due", "last", "missed"]),
        Trigger::File { .. } => Some(vec!["at", "paths", "count"]),
        Trigger::Webhook(_) => None,
    }
}

/// The host, with its port if it has one, of an address in which names may stand for parts behind
/// it.
pub fn host_of(url: &Template) -> Result<String, String> {
    let Some(Piece::Text(text)) = url.pieces.first() else {
        return Err("its host must be written out".to_owned());
    };
    let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
    let end = rest.find(['/', '?', '#']);
    let host = &rest[..end.unwrap_or(rest.len())];
    if end.is_none() && url.pieces.len() > 1 {
        return Err("its host must be written out".to_owned());
    }
    let here = matches!(host.split(':').next(), Some("127.0.0.1" | "localhost"));
    match scheme {
        "https" => {}
        "http" if here => {}
        _ => return Err(format!("`{text}` is no `https://` address")),
    }
    if host.is_empty() || host.contains('@') {
        return Err(format!("`{text}` names no host"));
    }
    Ok(host.to_ascii_lowercase())
}

/// The names of all queries.
pub fn queries() -> String {
    Query::ALL.map(Query::word).join(", ")
}
