//! `logs`: what agents and gates wrote.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use console::Style;
use serde_json::{Value, json};

use crate::agents::process::pane;
use crate::cli::Outcome;
use crate::cli::args::{Common, LogsArgs};
use crate::cli::out::{self, errln, outln};
use crate::cli::refs::Reading;
use crate::control::names::find_task;
use crate::failure::Failure;
use crate::graph::TaskIx;
use crate::orchestrator::RunView;
use crate::runner::{Layout, are_deleted, log_files, log_name, open_log};
use crate::state::TaskState;

/// How often `logs -f` looks for more.
const FOLLOW_PAUSE: Duration = Duration::from_millis(150);

/// The most of one log that is printed as data.
const TEXT_BYTES_MAX: u64 = 256 << 20;

pub(crate) async fn logs(common: &Common, args: &LogsArgs) -> Outcome {
    let reading = Reading::open(common).await?;
    let named = reading.part(&args.task).await?;
    let view = reading.view(&named.run).await?;
    let task = find_task(&view, &named.part)?;
    let id = view.info.graph.task(task).id.clone();
    let begun = view.tasks[task.at()].attempts;
    let attempt = args.attempt.unwrap_or(begun).checked_sub(1).filter(|at| *at < begun);
    let Some(attempt) = attempt else {
        let message = match args.attempt {
            Some(wanted) => format!("task `{id}` has no attempt {wanted}; it has had {begun}"),
            None => format!("task `{id}` has not been tried yet"),
        };
        return Err(Failure::user(message).into());
    };
    let layout = Layout::new(reading.config.data_dir.clone());
    let dir = layout.attempt(&view.run.project, &view.info.name, &id, attempt);
    let records = layout.records(&view.run.project, &view.info.name, &id, attempt);
    let dirs = [dir.as_path(), records.as_path()];
    let run_dir = layout.run(&view.run.project, &view.info.name);
    if log_files(dirs, args.raw).is_empty() && are_deleted(&run_dir) {
        let message = format!("the logs of {} are deleted", view.info.name);
        return Err(Failure::user(message)
            .hint("they were older than `retention.transcripts` of the configuration")
            .into());
    }
    if common.json {
        let logs: Vec<Value> = log_files(dirs, args.raw)
            .iter()
            .map(|path| json!({ "path": path, "text": text_of(path) }))
            .collect();
        outln!("{:#}", json!({ "task": id, "attempt": attempt, "logs": logs }));
        return Ok(0);
    }
    follow(&reading, &view, task, dirs, args).await
}

/// Attaches this terminal to the session of the attempt that runs.
pub(crate) async fn attach(common: &Common, text: &str) -> Outcome {
    let reading = Reading::open(common).await?;
    let named = reading.part(text).await?;
    let view = reading.view(&named.run).await?;
    let task = find_task(&view, &named.part)?;
    let id = &view.info.graph.task(task).id;
    let attempt = view.tasks[task.at()].attempts.saturating_sub(1);
    let layout = Layout::new(reading.config.data_dir.clone());
    let dir = layout.attempt(&view.run.project, &view.info.name, id, attempt);
    if !dir.join(pane::SOCKET).exists() {
        return Err(Failure::user(format!("task `{id}` has no tmux session now"))
            .hint("only an agent at work with `environment: {type: tmux}` has one")
            .into());
    }
    Ok(u8::from(!pane::attach(&dir)?))
}

/// Prints the logs of an attempt, agent's turns and gates in turn; goes on while more comes.
async fn follow(
    reading: &Reading,
    view: &RunView,
    task: TaskIx,
    dirs: [&Path; 2],
    args: &LogsArgs,
) -> Outcome {
    let mut shown: Vec<(String, PathBuf, u64)> = Vec::new();
    loop {
        let over = !args.follow || attempt_over(reading, view, task, dirs).await?;
        for path in log_files(dirs, args.raw) {
            let name = log_name(&path);
            if !shown.iter().any(|(known, ..)| *known == name) {
                let dim = Style::new().dim().for_stderr();
                errln!("{}", dim.apply_to(format!("── {name}")));
                shown.push((name, path, 0));
            }
        }
        for (_, path, offset) in &mut shown {
            *offset = copy_from(path, *offset)?;
        }
        if over {
            return Ok(0);
        }
        tokio::time::sleep(FOLLOW_PAUSE).await;
    }
}

async fn attempt_over(
    reading: &Reading,
    view: &RunView,
    task: TaskIx,
    [_, records]: [&Path; 2],
) -> anyhow::Result<bool> {
    if records.join("result.json").exists() {
        return Ok(true);
    }
    let now = reading.view(&view.run).await?;
    let state = now.tasks[task.at()].state;
    Ok(!matches!(state, TaskState::Running { .. } | TaskState::WaitingInput { .. }))
}

fn text_of(path: &Path) -> Option<String> {
    let mut text = Vec::new();
    open_log(path, 0).ok()?.take(TEXT_BYTES_MAX).read_to_end(&mut text).ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

fn copy_from(path: &Path, offset: u64) -> anyhow::Result<u64> {
    let mut bytes = Vec::new();
    open_log(path, offset)?.read_to_end(&mut bytes)?;
    out::foreign(&bytes);
    Ok(offset + bytes.len() as u64)
}
