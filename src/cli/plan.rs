//! `taskloom plan`: look at the plan of a task, and decide about it.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

use console::Style;
use serde_json::json;

use crate::cli::Outcome;
use crate::cli::args::{Common, PlanArgs, PlanCommand, VerbArgs};
use crate::cli::out::text;
use crate::cli::refs::{Reading, print};
use crate::cli::verbs::{Asked, carry_out_asked, task};
use crate::control::names::task_id;
use crate::failure::Failure;
use crate::graph::TaskIx;
use crate::ids::TaskId;
use crate::orchestrator::{OnPlan, RunView, Verb};
use crate::plan::{self, PLAN_BYTES_MAX};
use crate::render::words;
use crate::state::{PlanRecord, TaskState};

/// How many lines of a step are shown; `--text` prints all.
const STEP_LINES_SHOWN: usize = 4;

pub(crate) async fn plan(common: &Common, command: PlanCommand) -> Outcome {
    let decided = match command {
        PlanCommand::Show(args) => return show(common, &args.task, args.text).await,
        PlanCommand::Approve(args) => decided(args, OnPlan::Approve),
        PlanCommand::Edit(args) => {
            let text = written(&args.file)?;
            decided(args.plan, OnPlan::Edit { text })
        }
        PlanCommand::Changes(args) => decided(args.plan, OnPlan::Change { note: args.note }),
        PlanCommand::Discard(args) => decided(args, OnPlan::Discard),
    };
    carry_out_asked(common, decided).await
}

/// A decision about a plan.
pub(crate) fn decided(args: PlanArgs, what: OnPlan) -> Asked {
    let PlanArgs { task: subject, digest: shown, dry_run } = args;
    let verb = VerbArgs { subject, lane: false, dry_run };
    task(verb, |task| Verb::Plan { task, what, shown })
}

/// A text that somebody wrote; no more of it than a plan may have.
fn written(file: &Path) -> Result<String, Failure> {
    let cannot =
        |why: std::io::Error| Failure::user(format!("`{}` cannot be read: {why}", file.display()));
    let mut text = String::new();
    // One more than is allowed: so it shows that there was too much.
    let most = PLAN_BYTES_MAX as u64 + 1;
    if file == Path::new("-") {
        std::io::stdin().take(most).read_to_string(&mut text).map_err(cannot)?;
    } else {
        let opened = std::fs::File::open(file).map_err(cannot)?;
        opened.take(most).read_to_string(&mut text).map_err(cannot)?;
    }
    Ok(text)
}

async fn show(common: &Common, named: &str, bare: bool) -> Outcome {
    let reading = Reading::open(common).await?;
    let named = reading.part(named).await?;
    let view = reading.view(&named.run).await?;
    let id = task_id(&named.part)?;
    let missing = || Failure::user(format!("run `{}` has no task `{id}`", view.info.name));
    let task = view.info.graph.lookup_task(&id).ok_or_else(missing)?;
    let left = view.tasks[task.at()].plan();
    let plan = left.ok_or_else(|| Failure::user(format!("task `{id}` left no plan")))?;
    if bare {
        text(&plan.text);
        return Ok(0);
    }
    let names = names(&view, task, plan);
    let mut json = json!(plan);
    json["task"] = json!(id);
    json["state"] = json!(view.tasks[task.at()].state.word());
    json["tasks"] = json!(names);
    print(common, &json, || shown(common, &view, task, plan, &names))
}

/// What the tasks are called, or would be.
fn names(view: &RunView, task: TaskIx, plan: &PlanRecord) -> Vec<TaskId> {
    if plan.decided.as_ref().is_some_and(|decided| decided.approved) {
        let tasks = view.info.graph.tasks().iter();
        let own = tasks.filter(|other| other.planned_by == Some(task));
        return own.map(|own| own.id.clone()).collect();
    }
    plan::write(&view.info.graph, task, &plan.steps, None).0
}

fn shown(
    common: &Common,
    view: &RunView,
    task: TaskIx,
    plan: &PlanRecord,
    names: &[TaskId],
) -> String {
    let id = &view.info.graph.task(task).id;
    let waits = matches!(view.tasks[task.at()].state, TaskState::AwaitingPlanApproval { .. });
    let source = plan.file.as_ref().map_or_else(
        || "as its agent said it".to_owned(),
        |file| format!("from `{}`", words::one_line(file)),
    );
    let edited = plan.edited_by.as_ref().map(|who| format!(", changed by {who}"));
    let bold = Style::new().bold();
    let mut text = format!(
        "plan of {}, {source}{} (digest {})\n",
        bold.apply_to(format!("{}/{id}", view.info.name)),
        edited.unwrap_or_default(),
        plan.digest
    );
    let _ = writeln!(text, "{}\n", standing(view, task, plan));
    if let Some(reader) = &plan.reader {
        let _ = writeln!(text, "{}\n", words::visible(&reader.sentence()));
    }
    if let Some(why) = &plan.problem {
        let _ = writeln!(text, "{}\n", words::visible(why));
    }
    for (at, (step, name)) in plan.steps.iter().zip(names).enumerate() {
        let after: Vec<&str> =
            step.after.iter().filter_map(|at| Some(names.get(*at as usize)?.as_str())).collect();
        let after = match after.is_empty() {
            true => String::new(),
            false => format!("  after {}", after.join(", ")),
        };
        let title = words::one_line(&step.title);
        let _ = writeln!(text, "{}. {title}\n   {name}{after}", at + 1);
        let lines = step.text.lines().filter(|line| !line.trim().is_empty());
        for line in lines.take(STEP_LINES_SHOWN) {
            let _ = writeln!(text, "     {}", words::visible(line));
        }
    }
    if plan.dropped > 0 {
        let _ = writeln!(text, "\n{} more step(s) are left out: too many", plan.dropped);
    }
    if waits {
        let name = format!("{}/{id}", view.info.name);
        let program = format!("{} plan", crate::cli::program(common));
        let _ = writeln!(text, "\nnext:");
        if plan.problem.is_none() {
            let _ = writeln!(text, "  {program} approve {name}");
        }
        let _ = writeln!(text, "  {program} show {name} --text > plan.md    # all of it, to edit");
        let _ = writeln!(text, "  {program} edit {name} --file plan.md");
        let _ = writeln!(text, "  {program} changes {name} --note '…'");
        let _ = writeln!(text, "  {program} discard {name}");
    }
    text
}

/// What becomes of it, as far as that is known.
fn standing(view: &RunView, task: TaskIx, plan: &PlanRecord) -> String {
    if let Some(decided) = &plan.decided {
        let how = if decided.approved { "approved" } else { "discarded" };
        let who = decided
            .who
            .as_deref()
            .map_or_else(|| "by itself".to_owned(), |who| format!("by {who}"));
        return format!("{how} {who}, {}", decided.at.local_minute());
    }
    match &view.waiting[task.at()] {
        Some(waiting) => format!("the task {waiting}"),
        None => format!("the task is {}", view.tasks[task.at()].state.word()),
    }
}
