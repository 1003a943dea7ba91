//! `hook`: looks at hooks in the store, changes them, and has the daemon set them off.

use std::fmt::Write as _;
use std::io::Read as _;

use console::Style;
use serde_json::{Value, json};

use crate::app::{self, App, hooked};
use crate::cli::Outcome;
use crate::cli::args::{Common, FireArgs, HookCommand};
use crate::cli::out::outln;
use crate::cli::refs::print;
use crate::cli::verbs::{ask, who};
use crate::config::Config;
use crate::control::{HookOrder, Request, usage};
use crate::failure::Failure;
use crate::hooks::rules::{HookRun, Status, StepRecord};
use crate::hooks::{self, Asked, Given, Kept, Told};
use crate::ids::HookName;
use crate::render::table::{Align, Table};
use crate::render::words;
use crate::store::{self, HookStore, MemoryStore, OwnerLock};
use crate::time::{Clock as _, SystemClock, Timestamp};

pub(crate) async fn hook(common: &Common, command: HookCommand) -> Outcome {
    match command {
        HookCommand::List => list(common).await,
        HookCommand::Show { name } => show(common, &name).await,
        HookCommand::Add { file } => {
            change(common, Kept::Put { text: read(&file)?, replace: false }).await
        }
        HookCommand::Edit { file } => {
            change(common, Kept::Put { text: read(&file)?, replace: true }).await
        }
        HookCommand::Remove { name } => change(common, Kept::Remove { hook: name }).await,
        HookCommand::Enable { name } => change(common, Kept::Enable { hook: name, on: true }).await,
        HookCommand::Disable { name } => {
            change(common, Kept::Enable { hook: name, on: false }).await
        }
        HookCommand::Fire(args) => fire(common, args).await,
        HookCommand::Runs { name, limit } => runs(common, name.as_ref(), limit).await,
    }
}

fn read(file: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let done = match file {
        "-" => std::io::stdin().read_to_string(&mut text).map(drop),
        _ => std::fs::read_to_string(file).map(|read| text = read),
    };
    done.map_err(|why| Failure::user(format!("cannot read {file}: {why}")))?;
    Ok(text)
}

/// The store, or an empty one where there is none yet: the configuration has hooks all the same.
async fn opened(config: &Config) -> anyhow::Result<Box<dyn HookStore>> {
    match app::reader(config).await {
        Ok(store) => Ok(Box::new(store)),
        Err(store::Error::Missing { .. }) => Ok(Box::new(MemoryStore::default())),
        Err(error) => Err(error.into()),
    }
}

async fn told(common: &Common) -> anyhow::Result<Vec<Told>> {
    let config = super::config(common)?;
    let store = opened(&config).await?;
    Ok(hooks::look(hooked::options(&config), &*store, SystemClock.now()).await?)
}

async fn list(common: &Common) -> Outcome {
    let all = told(common).await?;
    print(common, &json!({ "hooks": all }), || {
        if all.is_empty() {
            return "there are no hooks: write some under `hooks:` in the configuration, or \
                    `taskloom hook add FILE`\n"
                .to_owned();
        }
        let head = ["HOOK", "PROJECT", "SOURCE", "STATE", "NEXT", "SET OFF"];
        let mut table = Table::new(head.map(|head| (head, Align::Left)));
        for hook in &all {
            let project = hook.project.as_ref().map_or("(any)", |project| project.as_str());
            let next = hook.next.map(Timestamp::local_minute).unwrap_or_default();
            table.row([hook.name.as_str(), project, &source(hook), &state(hook), &next, &hook.on]);
        }
        table.render(console::Term::stdout().size_checked().map(|(_, columns)| columns.into()))
    })
}

fn source(hook: &Told) -> String {
    let over = if hook.shadows { ", over one of the store" } else { "" };
    format!("{}{over}", hook.source)
}

fn state(hook: &Told) -> String {
    let mut parts = vec![if hook.enabled { "on" } else { "off" }.to_owned()];
    if hook.running > 0 {
        parts.push(format!("{} at work", hook.running));
    }
    if hook.waiting > 0 {
        parts.push(format!("{} waiting", hook.waiting));
    }
    if hook.state.dropped > 0 {
        parts.push(format!("{} dropped", hook.state.dropped));
    }
    parts.join(", ")
}

async fn show(common: &Common, name: &HookName) -> Outcome {
    let all = told(common).await?;
    let hook = all.iter().find(|hook| hook.name == *name).ok_or_else(|| {
        Failure::user(format!("there is no hook `{name}`")).hint("`taskloom hook list` lists them")
    })?;
    print(common, &json!({ "hook": hook }), || {
        let mut text = format!("{}: {}\n", hook.name, hook.on);
        let mut line = |what: &str, value: &str| {
            let _ = writeln!(text, "  {what:<10}{value}");
        };
        line("project", hook.project.as_ref().map_or("that of the event", |p| p.as_str()));
        line("source", &source(hook));
        line("state", &state(hook));
        if let Some(next) = hook.next {
            line("next", &next.local_minute());
        }
        if let Some(fired) = hook.state.fired_at {
            line("last", &fired.local_minute());
        }
        if hook.state.held_back > 0 {
            line("held back", &format!("{} times, by its cooldown", hook.state.held_back));
        }
        for step in &hook.steps {
            let _ = writeln!(text, "  {}", words::visible(step));
        }
        text
    })
}

async fn change(common: &Common, change: Kept) -> Outcome {
    let config = super::config(common)?;
    let sentence = if OwnerLock::holder(&config.data_dir).is_some() {
        ask(&config, &Request::Hook(HookOrder::Change(change))).await?.sentence
    } else {
        let app = App::open(config, "taskloom, for a hook", Vec::new()).await?;
        app.change_hooks(change).await?.sentence
    };
    print(common, &json!({ "sentence": sentence }), || format!("{sentence}\n"))
}

async fn fire(common: &Common, args: FireArgs) -> Outcome {
    let config = super::config(common)?;
    let FireArgs { name: hook, set, queue, dry_run } = args;
    let asked = Asked { hook, who: who(), event: set.into_iter().collect(), queue, dry_run };
    let given = if dry_run {
        let store = opened(&config).await?;
        hooks::rehearse(hooked::options(&config), &*store, asked, SystemClock.now()).await?
    } else {
        let receipt = ask(&config, &Request::Hook(HookOrder::Fire(asked))).await?;
        Given { sentence: receipt.sentence, run: None, lines: Vec::new() }
    };
    print(common, &json!({ "fired": given, "dry_run": dry_run }), || {
        let lines: String =
            given.lines.iter().map(|line| format!("  {}\n", words::visible(line))).collect();
        format!("{}\n{lines}", given.sentence)
    })
}

async fn runs(common: &Common, hook: Option<&HookName>, limit: u32) -> Outcome {
    let config = super::config(common)?;
    let runs = match app::reader(&config).await {
        Ok(store) => usage::hook_runs(&store, hook, limit).await?,
        Err(store::Error::Missing { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    if common.json {
        outln!("{:#}", json!({ "hook_runs": runs }));
        return Ok(0);
    }
    if runs.is_empty() {
        outln!("no hook was set off yet");
    }
    for run in &runs {
        outln!("{}", line(run));
        for (at, step) in run.steps.iter().enumerate() {
            outln!("      {}", words::visible(&step_line(at, step)));
        }
    }
    Ok(0)
}

fn line(run: &HookRun) -> String {
    let style = match run.status {
        Status::Succeeded => Style::new().green(),
        Status::Failed | Status::Lost | Status::Dropped => Style::new().red(),
        Status::Queued | Status::Running => Style::new().cyan(),
        Status::Skipped => Style::new().dim(),
    };
    let mut text = format!(
        "{:>4}  {}  {}  {}  {}",
        run.id.0,
        run.created_at.local_minute(),
        style.apply_to(format!("{:<9}", run.status.word())),
        run.hook,
        words::one_line(&run.trigger),
    );
    if run.count > 1 {
        let _ = write!(text, " (and {} more like it)", run.count - 1);
    }
    if let Some(why) = &run.why {
        let _ = write!(text, "\n      {}", words::visible(&words::one_line(why)));
    }
    if !run.made.is_empty() {
        let _ = write!(text, "\n      submitted {}", run.made.join(", "));
    }
    if run.tokens > 0 {
        let _ = write!(text, ", {} tokens", run.tokens);
    }
    text
}

/// A step in a line: the most telling of its result.
fn step_line(at: usize, step: &StepRecord) -> String {
    let of = |name: &str| step.result.get(name);
    let number = |name: &str| of(name).and_then(Value::as_i64).map(|n| format!("{name} {n}"));
    let text = |name: &str| of(name).and_then(Value::as_str).map(words::one_line);
    let told = number("failed")
        .and_then(|failed| Some(format!("{}, {failed}", number("passed")?)))
        .or_else(|| number("exit_code"))
        .or_else(|| number("status"))
        .or_else(|| number("count"))
        .or_else(|| text("run"))
        .or_else(|| text("sent"))
        .unwrap_or_default();
    format!("{}. {} {told} ({} ms)", at + 1, step.action, step.took_ms)
}
