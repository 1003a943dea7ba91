//! What people read of a pull request before they approve it, in GitHub's Markdown.
//!
//! What agents wrote is quoted, never trusted: it mentions nobody, refers to no issue, closes
//! none, and opens no markup.

use std::fmt::Write as _;

use crate::graph::{LaneIx, Task};
use crate::runner::job::{LaneEnd, PullContext, Pulled, RunInfo};
use crate::state::{ConcernKind, TaskState};

/// GitHub takes bodies of 65,536 characters; the marker must fit, too.
/// <https://github.com/orgs/community/discussions/27190>
const BODY_CHARS_MAX: usize = 60_000;

/// What is shown of what one agent says about its work.
const SUMMARY_CHARS_MAX: usize = 6_000;

/// The body of a task's pull request.
pub(crate) fn of_task(run: &RunInfo, context: &PullContext) -> String {
    let Some(pulled) = context.tasks.first() else { return String::new() };
    let spec = run.graph.task(pulled.task);
    let mut body = quoted(spec.description.as_deref().unwrap_or(&spec.title));
    body.push_str("\n\n");
    if let Some(proposal) = &pulled.proposal {
        let _ = write!(
            body,
            "{}, +{} −{}, at {}.",
            count(proposal.files, "file"),
            proposal.insertions,
            proposal.deletions,
            proposal.commit.short()
        );
        if let Some(evidence) = &proposal.evidence {
            let seconds = evidence.took_ms.div_ceil(1000);
            let _ = write!(
                body,
                " Gate `{}` passed on this commit in {seconds} s.",
                code(&evidence.command)
            );
        }
        body.push('\n');
        if !proposal.protected.is_empty() {
            body.push_str("\n### To be let through by a person\n");
            body.extend(proposal.protected.iter().map(|path| format!("- {}\n", quoted(path))));
        }
    }
    if let Some(summary) = summary(pulled) {
        let _ = write!(
            body,
            "\n<details open><summary>What the agent says</summary>\n\n{summary}\n\n</details>\n"
        );
    }
    concerns(&mut body, context, |_| String::new());
    let _ = write!(body, "\n---\n{}", origin(run));
    let _ = write!(body, ", task `{}`, attempt {}", spec.id, pulled.attempt + 1);
    cost(&mut body, pulled.usage.tokens.all(), pulled.usage.usd);
    cut(body)
}

/// The body of a lane's integration pull request.
pub(crate) fn of_lane(run: &RunInfo, lane: LaneIx, context: &PullContext) -> String {
    let spec = run.graph.lane(lane);
    let target = match run.lane_target(lane) {
        LaneEnd::Branch(name) => name,
        LaneEnd::Lane(parent) => format!("lane {}", run.graph.lane(parent).id),
    };
    let mut body = format!("Brings workstream `{}` into `{target}`", spec.id);
    if let Some(check) = &context.check {
        let _ = write!(
            body,
            ": {}, {}, +{} −{}",
            count(check.ahead, "commit"),
            count(check.files, "file"),
            check.insertions,
            check.deletions
        );
    }
    body.push_str(".\n\n");
    for pulled in &context.tasks {
        let task = run.graph.task(pulled.task);
        let _ = writeln!(body, "- {}", bullet(task, pulled));
    }
    for child in &context.lanes {
        let id = &run.graph.lane(child.lane).id;
        let pr = child.pr.as_deref().map(|pr| format!(": {pr}")).unwrap_or_default();
        let _ = writeln!(body, "- workstream `{id}`{pr}");
    }
    if let Some(check) = context.check.as_ref().filter(|check| !check.checks.is_empty()) {
        body.push_str("\n### Checks that passed on the merge result\n");
        body.extend(check.checks.iter().map(|check| format!("- `{}`\n", code(check))));
    }
    concerns(&mut body, context, |pulled| format!("`{}`: ", run.graph.task(pulled.task).id));
    for pulled in &context.tasks {
        if let Some(summary) = summary(pulled) {
            let id = &run.graph.task(pulled.task).id;
            let _ = write!(
                body,
                "\n<details><summary>What the agent of <code>{id}</code> says</summary>\n\n\
                 {summary}\n\n</details>\n"
            );
        }
    }
    let _ = write!(body, "\n---\n{}", origin(run));
    let tokens = context.tasks.iter().map(|pulled| pulled.usage.tokens.all()).sum();
    cost(&mut body, tokens, context.tasks.iter().map(|pulled| pulled.usage.usd).sum());
    cut(body)
}

fn count(n: u32, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

fn bullet(task: &Task, pulled: &Pulled) -> String {
    let came = match &pulled.pr {
        _ if pulled.state == TaskState::Skipped => "skipped",
        Some(pr) => pr,
        None => "nothing to merge",
    };
    format!("`{}` {} — {came}", task.id, quoted(&task.title))
}

fn concerns(body: &mut String, context: &PullContext, whose: impl Fn(&Pulled) -> String) {
    for (kind, title) in [(ConcernKind::Design, "Concerns"), (ConcernKind::Ops, "Ops concerns")] {
        let lines: Vec<String> = context
            .tasks
            .iter()
            .flat_map(|pulled| pulled.concerns.iter().map(move |concern| (pulled, concern)))
            .filter(|(_, concern)| concern.kind == kind)
            .map(|(pulled, concern)| format!("- {}{}\n", whose(pulled), quoted(&concern.text)))
            .collect();
        if !lines.is_empty() {
            let _ = write!(body, "\n### {title}\n{}", lines.concat());
        }
    }
}

fn summary(pulled: &Pulled) -> Option<String> {
    let text = pulled.summary.as_deref()?.trim();
    let short: String = text.chars().take(SUMMARY_CHARS_MAX).collect();
    (!text.is_empty()).then(|| quoted(&short))
}

fn origin(run: &RunInfo) -> String {
    format!("Taskloom run `{}`, submitted by {}", run.name, quoted(&run.submitter))
}

fn cost(body: &mut String, tokens: u64, usd: f64) {
    if tokens > 0 {
        let _ = write!(body, ", {tokens} tokens");
    }
    if usd > 0.0 {
        let _ = write!(body, ", ${usd:.2}");
    }
    body.push('\n');
}

/// A text that does nothing in Markdown as GitHub reads it: no mention, no reference, no markup of
/// its own beyond emphasis and lists.
fn quoted(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.trim().chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            // A word joiner, which is not seen, keeps what follows from being a name or a number.
            '@' | '#' => safe.extend([c, '\u{2060}']),
            '\n' | '\t' => safe.push(c),
            c if c.is_control() => {}
            c => safe.push(c),
        }
    }
    // “GH-12” and full addresses of issues are references, too.
    safe.replace("GH-", "GH\u{2060}-").replace("/issues/", "/\u{2060}issues/")
}

fn code(text: &str) -> String {
    text.replace('`', "'").replace(char::is_control, " ")
}

fn cut(body: String) -> String {
    match body.char_indices().nth(BODY_CHARS_MAX) {
        Some((at, _)) => format!("{}\n\n… (the rest did not fit)", &body[..at]),
        None => body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_agents_write_mentions_nobody_and_closes_nothing() {
        let said = "@octo fixes #12, closes GH-3 and https://github.com/o/r/issues/4\n<script>";
        let safe = quoted(said);
        assert!(!safe.contains("@octo") && !safe.contains("#12") && !safe.contains("GH-3"));
        assert!(!safe.contains("/issues/4") && !safe.contains('<'), "{safe}");
    }
}
