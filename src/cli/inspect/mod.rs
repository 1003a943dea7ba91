//! Looks at what is stored: `list`, `status`, `show`, `why`, `logs`.

mod logs;
pub(crate) mod memory;
pub(crate) mod shelf;
pub(crate) mod stats;
mod summary;
pub(crate) mod usage;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use console::Style;
use serde_json::{Value, json};

pub(crate) use logs::{attach, logs};
pub(crate) use summary::{next_steps, summary, summary_within};

use crate::cli::Outcome;
use crate::cli::args::{Common, ListArgs};
use crate::cli::refs::{Reading, print};
use crate::control::names::{Named, find_task};
use crate::failure::Failure;
use crate::graph::{Index, TaskIx};
use crate::orchestrator::RunView;
use crate::render::table::{Align, Table};
use crate::render::words;
use crate::runner::Layout;
use crate::state::{TaskRecord, TaskState};
use crate::store::{Store as _, Which};
use crate::time::Timestamp;

/// How deep `list --graphs` looks into a directory.
const GRAPHS_DEPTH_MAX: usize = 8;

pub(crate) async fn list(common: &Common, args: &ListArgs) -> Outcome {
    if let Some(dir) = &args.graphs {
        return list_graphs(common, dir);
    }
    let reading = Reading::open(common).await?;
    let which = if args.archived { Which::Archived } else { Which::Active };
    let runs = reading.store.select(&which, u32::MAX).await?;
    let json: Vec<Value> = runs
        .iter()
        .map(|run| {
            json!({
                "id": run.id, "run": run.name.to_string(), "project": run.project,
                "state": run.state.to_string(), "created_at": run.created_at.rfc3339(),
                "submitter": run.submitter,
                "archived_at": run.archived_at.map(Timestamp::rfc3339),
            })
        })
        .collect();
    let others = runs.is_empty() && !reading.store.select(&Which::Archived, 1).await?.is_empty();
    print(common, &json!(json), || {
        let mut table = Table::new([
            ("RUN", Align::Left),
            ("STATE", Align::Left),
            ("SINCE", Align::Left),
            ("PROJECT", Align::Left),
        ]);
        for run in runs.iter().rev() {
            let state = if run.paused { "paused".to_owned() } else { run.state.to_string() };
            table.row([
                run.name.to_string(),
                state,
                run.since.local_minute(),
                run.project.to_string(),
            ]);
        }
        match (runs.is_empty(), args.archived) {
            (false, _) => table.render(None),
            (true, true) => "nothing is put away\n".to_owned(),
            (true, false) if others => {
                "no runs but those that were put away: `taskloom list --archived`\n".to_owned()
            }
            (true, false) => "no runs yet\n".to_owned(),
        }
    })
}

fn list_graphs(common: &Common, dir: &Path) -> Outcome {
    let mut files = Vec::new();
    walk(dir, GRAPHS_DEPTH_MAX, &mut files)?;
    let index = Index::build(files.into_iter().map(|path| {
        let content = std::fs::read(&path).map_err(|why| why.to_string());
        (path, content)
    }));
    let graphs: Vec<Value> =
        index.graphs().map(|(name, path)| json!({ "name": name, "path": path })).collect();
    let unreadable: Vec<Value> = index
        .unreadable()
        .iter()
        .map(|file| json!({ "path": file.path, "why": file.why }))
        .collect();
    let twice: Vec<String> = index.duplicates().map(|error| error.to_string()).collect();
    let json = json!({ "graphs": graphs, "unreadable": unreadable, "duplicates": twice });
    print(common, &json, || {
        let mut table = Table::new([("GRAPH", Align::Left), ("FILE", Align::Left)]);
        for (name, path) in index.graphs() {
            table.row([name.to_string(), path.display().to_string()]);
        }
        let mut text = table.render(None);
        for error in &twice {
            let _ = writeln!(text, "\n{error}");
        }
        if !index.unreadable().is_empty() {
            text.push_str("\nnot graphs, or broken ones:\n");
        }
        for file in index.unreadable() {
            let _ = writeln!(text, "  {}: {}", file.path.display(), file.why);
        }
        text
    })?;
    Ok(u8::from(!twice.is_empty()))
}

fn walk(dir: &Path, depth: usize, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries = std::fs::read_dir(dir)
        .map_err(|why| Failure::user(format!("cannot read {}: {why}", dir.display())))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let yaml = path.extension().is_some_and(|e| e == "yaml" || e == "yml");
        if path.is_dir() && depth > 0 && !path.is_symlink() {
            walk(&path, depth - 1, files)?;
        } else if yaml && path.is_file() {
            files.push(path);
        }
    }
    Ok(())
}

pub(crate) async fn status(common: &Common, run: Option<&str>) -> Outcome {
    let (json, told) = status_of(common, run).await?;
    print(common, &json, || told)
}

/// Where a run stands, as data and for people.
pub(crate) async fn status_of(
    common: &Common,
    run: Option<&str>,
) -> anyhow::Result<(Value, String)> {
    let reading = Reading::open(common).await?;
    let run = reading.run(run).await?;
    let view = reading.view(&run).await?;
    let layout = Layout::new(reading.config.data_dir.clone());
    let several = reading.several().await?;
    let told = summary(&view) + &next_steps(common, &view, &layout, several);
    Ok((view_json(&view), told))
}

/// A run as data.
fn view_json(view: &RunView) -> Value {
    let graph = &view.info.graph;
    let tasks: Vec<Value> = graph.order().iter().map(|t| task_json(view, *t)).collect();
    let lanes: Vec<Value> = graph
        .lane_ixs()
        .map(|l| {
            let (spec, record) = (graph.lane(l), &view.lanes[l.at()]);
            json!({
                "id": spec.id, "state": record.state.word(), "merged": record.merged,
                "failure": record.failure, "pr": record.pr, "check": record.checked,
                "approvals": record.decisions, "watched": record.watched,
                "delivered": record.delivered,
            })
        })
        .collect();
    json!({
        "run": view.info.name.to_string(), "id": view.run.id, "project": view.run.project,
        "state": view.run.state.to_string(), "paused": view.run.paused, "driven": view.driven,
        "fatal": view.run.fatal, "submitter": view.run.submitter,
        "created_at": view.run.created_at.rfc3339(), "since": view.run.since.rfc3339(),
        "lanes": lanes, "tasks": tasks,
    })
}

fn task_json(view: &RunView, task: TaskIx) -> Value {
    let (spec, record) = (view.info.graph.task(task), &view.tasks[task.at()]);
    let waiting = view.waiting[task.at()].as_ref();
    json!({
        "id": spec.id, "title": spec.title, "lane": view.info.graph.lane(spec.lane).id,
        "state": record.state.word(), "since": record.since.rfc3339(),
        "attempts": record.attempts, "waiting_on": waiting,
        "why": waiting.map(ToString::to_string), "record": record,
    })
}

pub(crate) async fn show(common: &Common, subject: Option<&str>) -> Outcome {
    let reading = Reading::open(common).await?;
    let as_run = reading.run(subject).await;
    if let (Some(text), Err(_)) = (subject, &as_run) {
        let named = reading.part(text).await?;
        return show_task(common, &reading, &named).await;
    }
    let view = reading.view(&as_run?).await?;
    let journal = reading.store.journal(view.run.id, 0, u32::MAX).await?;
    let entries: Vec<Value> =
        journal.iter().map(|e| crate::cli::run::watch::entry_json(&view.info, e)).collect();
    let several = reading.several().await?;
    let mut json = view_json(&view);
    json["journal"] = json!(entries);
    let layout = Layout::new(reading.config.data_dir.clone());
    print(common, &json, || {
        let mut text = summary(&view);
        let _ = writeln!(
            text,
            "\nsubmitted {} by {}",
            view.run.created_at.local_minute(),
            view.run.submitter
        );
        let _ = writeln!(text, "repository {}", view.info.project.repo);
        let _ = writeln!(text, "journal: {} lines", journal.len());
        text + &next_steps(common, &view, &layout, several)
    })
}

async fn show_task(common: &Common, reading: &Reading, named: &Named) -> Outcome {
    let view = reading.view(&named.run).await?;
    let task = find_task(&view, &named.part)?;
    let id = view.info.graph.task(task).id.clone();
    let attempts = reading.store.attempts(view.run.id).await?;
    let attempts: Vec<_> = attempts.into_iter().filter(|a| a.task == task).collect();
    let layout = Layout::new(reading.config.data_dir.clone());
    let dir = layout.task(&view.run.project, &view.info.name, &id);
    let mut json = task_json(&view, task);
    json["attempts"] = json!(attempts);
    json["directory"] = json!(dir);
    print(common, &json, || {
        let (spec, record) = (view.info.graph.task(task), &view.tasks[task.at()]);
        let bold = Style::new().bold();
        let mut text = format!("{} {}\n", bold.apply_to(&spec.id), spec.title);
        let _ = writeln!(text, "state: {}", record.state);
        if let Some(waiting) = &view.waiting[task.at()] {
            let _ = writeln!(text, "why: {waiting}");
        }
        for attempt in &attempts {
            let took = attempt.ended_at.map(|end| words::duration(end.since(attempt.started_at)));
            let outcome = attempt.outcome.as_deref().unwrap_or("under way");
            let _ = writeln!(
                text,
                "attempt {}: {outcome}{}",
                attempt.attempt + 1,
                took.map(|took| format!(" after {took}")).unwrap_or_default()
            );
            for line in attempt.message.iter().flat_map(|m| m.lines()).take(12) {
                let _ = writeln!(text, "    {}", words::visible(line));
            }
        }
        more_about(&mut text, record);
        let _ = writeln!(text, "files: {}", dir.display());
        text
    })
}

fn more_about(text: &mut String, record: &TaskRecord) {
    let Some(more) = &record.more else { return };
    if let Some(question) = &more.question {
        let _ = writeln!(text, "asks: {}", words::visible(&question.text));
        for choice in &question.choices {
            let _ = writeln!(text, "    {}", words::visible(choice));
        }
    }
    if let Some(failure) = more.failure.as_ref().filter(|_| record.state.is_dead_end()) {
        let _ = writeln!(text, "failure: {}: {}", failure.class, indented(&failure.message));
    }
    if let Some(pr) = &more.pr {
        let _ = writeln!(text, "pull request: {pr}");
    }
    if let Some(plan) = &more.plan {
        let steps = words::count(plan.steps.len() as u64, "step");
        let decided =
            plan.decided.as_ref().map(|it| if it.approved { "approved" } else { "discarded" });
        let _ = writeln!(text, "plan: {steps}, {}", decided.unwrap_or("not decided"));
    }
    for decision in &more.decisions {
        let how = if decision.review { " in a review" } else { "" };
        let (who, commit) = (&decision.who, decision.commit.short());
        let _ = writeln!(text, "approved by {who}{how}, at {commit}");
    }
    for path in more.proposal.iter().flat_map(|proposal| &proposal.protected) {
        let _ = writeln!(text, "to be let through: {}", words::visible(path));
    }
    if let Some(proposal) = &more.proposal {
        let files = words::count(u64::from(proposal.files), "file");
        let _ = writeln!(
            text,
            "commit {}: {files}, +{} -{}",
            proposal.commit, proposal.insertions, proposal.deletions
        );
        if let Some(evidence) = &proposal.evidence {
            let took = words::duration(Duration::from_millis(evidence.took_ms));
            let _ = writeln!(text, "gate passed on it in {took}: {}", evidence.command);
        }
    }
    if let Some(summary) = &more.summary {
        let _ = writeln!(text, "summary: {}", indented(summary));
    }
    for concern in &more.concerns {
        let _ = writeln!(text, "concern: {}", indented(&concern.text));
    }
}

/// What an agent wrote, so that no line of it can be taken for one of ours.
fn indented(text: &str) -> String {
    words::visible(text.trim_end()).replace('\n', "\n    ")
}

/// What a task asks, or how its last attempt failed.
fn beyond_waiting(record: &TaskRecord) -> String {
    let Some(more) = &record.more else { return String::new() };
    let mut text = String::new();
    if let Some(question) = &more.question {
        let _ = writeln!(text, "  it asks: {}", indented(&question.text));
        if !question.choices.is_empty() {
            let _ = writeln!(text, "  choices: {}", indented(&question.choices.join(" | ")));
        }
    }
    let failed = matches!(record.state, TaskState::Failed { .. } | TaskState::Ready);
    if let Some(failure) = more.failure.as_ref().filter(|_| failed) {
        let _ = writeln!(
            text,
            "  attempt {}: {}: {}",
            failure.attempt + 1,
            failure.class,
            failure.message
        );
    }
    text
}

/// Says why a task does not run.
pub(crate) async fn why(common: &Common, text: &str) -> Outcome {
    let (json, told) = reason_of(common, text).await?;
    print(common, &json, || told)
}

/// Why a task does not run, as data and for people.
pub(crate) async fn reason_of(common: &Common, text: &str) -> anyhow::Result<(Value, String)> {
    let reading = Reading::open(common).await?;
    let named = reading.part(text).await?;
    let view = reading.view(&named.run).await?;
    let task = find_task(&view, &named.part)?;
    let id = view.info.graph.task(task).id.clone();
    let record = &view.tasks[task.at()];
    let waiting = view.waiting[task.at()].as_ref();
    let json = json!({
        "run": view.info.name.to_string(), "task": id, "state": record.state.word(),
        "waiting_on": waiting, "why": waiting.map(ToString::to_string),
        "needs_person": waiting.is_some_and(|w| w.needs_person()),
    });
    let told = match waiting {
        Some(waiting) => {
            let state = record.state.word();
            format!("{}/{id} ({state}): {waiting}\n{}", view.info.name, beyond_waiting(record))
        }
        None => format!("{}/{id}: {}\n", view.info.name, record.state),
    };
    Ok((json, told))
}
