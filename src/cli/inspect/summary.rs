//! Where a run stands, as a table, and what the operator can do now.

use std::fmt::Write as _;

use crate::cli::args::Common;
use crate::cli::refs;
use crate::control::names;
use crate::graph::{LaneIx, TaskIx};
use crate::orchestrator::RunView;
use crate::render::progress::progress;
use crate::render::table::{Align, Table};
use crate::render::{Dag, Look, words};
use crate::runner::Layout;
use crate::state::{
    BlockedOn, ConcernKind, LaneFailure, LaneRecord, LaneState, ParkReason, RunState, TaskRecord,
    TaskState,
};

/// How many next steps are named: more than that is no help.
const STEPS_SHOWN: usize = 8;

/// Where a run stands, in a table.
pub(crate) fn summary(view: &RunView) -> String {
    summary_within(view, width())
}

/// The same in so many columns.
pub(crate) fn summary_within(view: &RunView, columns: usize) -> String {
    let graph = &view.info.graph;
    let look = |t: TaskIx| Look::of(view.tasks[t.at()].state);
    let lane_look = |l: LaneIx| Look::of_lane(view.lanes[l.at()].state);
    let dag = Dag::of(graph, look, lane_look);
    let held = view.held.as_ref().filter(|_| view.run.state == RunState::Open && view.driven);
    let held = held.map(|held| format!(", but {held}")).unwrap_or_default();
    let alone = if view.driven || view.run.state != RunState::Open {
        ""
    } else {
        ", no process drives it now"
    };
    let mut text = format!("{}: {}{held}{alone}\n", view.info.name, view.run.state);
    let _ = writeln!(text, "{}\n", progress(&dag.counts()));
    let mut table = Table::new([
        ("", Align::Left),
        ("TASK", Align::Left),
        ("STATE", Align::Left),
        ("TRIES", Align::Right),
        ("LANE", Align::Left),
        ("", Align::Left),
    ]);
    for task in graph.order().iter().copied() {
        let (spec, record) = (graph.task(task), &view.tasks[task.at()]);
        table.row([
            look(task).glyph().to_string(),
            spec.id.to_string(),
            record.state.word().to_owned(),
            record.attempts.to_string(),
            graph.lane(spec.lane).id.to_string(),
            remark(view, task, record),
        ]);
    }
    text.push_str(&table.render(Some(columns)));
    text.push('\n');
    for lane in graph.lane_ixs() {
        let record = &view.lanes[lane.at()];
        let glyph = lane_look(lane).glyph();
        let _ = writeln!(
            text,
            "{glyph} lane {}: {}{}",
            graph.lane(lane).id,
            record.state,
            lane_remark(record)
        );
        for task in graph.lane_tasks(lane) {
            let concerns = view.tasks[task.at()].concerns();
            for concern in concerns.iter().filter(|c| c.kind == ConcernKind::Design) {
                let concern = words::one_line(&concern.text);
                let _ = writeln!(text, "    concern of {}: {concern}", graph.task(*task).id);
            }
        }
    }
    if let Some(fatal) = &view.run.fatal {
        let _ = writeln!(text, "internal error: {fatal}");
    }
    text
}

fn lane_remark(record: &LaneRecord) -> String {
    if let Some(failure) = record.failure.as_ref().and_then(|f| f.lines().next()) {
        return format!(": {}", words::one_line(failure));
    }
    if let Some(watched) = record.watched.as_ref().filter(|_| record.state.has_pull()) {
        let holds = watched.held.clone().into_iter().chain(watched.holds());
        let holds: Vec<String> = holds.map(|hold| words::one_line(&hold)).collect();
        if !holds.is_empty() {
            return format!(": {}", holds.join("; "));
        }
    }
    let waits = record.delivered.as_ref().filter(|delivered| delivered.waits_on.is_some());
    waits.map_or_else(String::new, |delivered| format!(", but {}", delivered.sentence))
}

/// How wide this terminal is, within reason.
fn width() -> usize {
    let columns = console::Term::stdout().size_checked().map(|(_, columns)| columns as usize);
    columns.unwrap_or(120).max(60)
}

/// The last column: why it waits, or how it went.
fn remark(view: &RunView, task: TaskIx, record: &TaskRecord) -> String {
    if let TaskState::Failed { class } = record.state {
        let message = record.failure().map(|f| f.message.lines().next().unwrap_or("").to_owned());
        return format!("{class}: {}", message.unwrap_or_default());
    }
    if let (TaskState::WaitingInput { .. }, Some(more)) = (record.state, &record.more)
        && let Some(question) = &more.question
    {
        return format!("asks: {}", words::one_line(&question.text));
    }
    if let Some(waiting) = &view.waiting[task.at()] {
        return waiting.to_string();
    }
    if let Some(run) = record.more.as_ref().and_then(|more| more.kept_from.as_ref()) {
        return format!("kept from {run}");
    }
    match (record.state, record.proposal()) {
        (TaskState::Merged, Some(p)) => {
            let took = record.since.since(record.started_at);
            let files = words::count(u64::from(p.files), "file");
            format!("{files}, +{} -{}, {}", p.insertions, p.deletions, words::duration(took))
        }
        (TaskState::Running { step, .. }, _) => step.word().to_owned(),
        (TaskState::Skipped | TaskState::Cancelled, _) => {
            let by = record.more.as_ref().and_then(|more| more.by.as_ref());
            by.map(|by| format!("by {}: {}", by.who, by.reason.as_deref().unwrap_or("no reason")))
                .unwrap_or_default()
        }
        _ => String::new(),
    }
}

/// What the operator can do now.
pub(crate) fn next_steps(
    common: &Common,
    view: &RunView,
    layout: &Layout,
    several: bool,
) -> String {
    let program = crate::cli::program(common);
    let name = &names::spoken(&view.info, several);
    let graph = &view.info.graph;
    let mut steps = Vec::new();
    for (spec, record) in graph.tasks().iter().zip(&view.tasks) {
        let id = &spec.id;
        if matches!(record.state, TaskState::Failed { .. }) {
            steps.push(format!("{program} logs {name}/{id}"));
            steps.push(format!("{program} retry {name}/{id} --note '…'"));
        } else if record.state == TaskState::Stale {
            steps.push(format!("{program} retry {name}/{id}"));
            steps.push(format!("{program} skip {name}/{id}    # keeps it as it is"));
        } else if record.state == (TaskState::Paused { until: None, why: ParkReason::Operator }) {
            steps.push(format!("{program} resume {name}/{id}"));
        } else if matches!(record.state, TaskState::Blocked { on: BlockedOn::Operator }) {
            steps.push(format!("{program} retry {name}/{id}"));
        } else if matches!(record.state, TaskState::AwaitingApproval { .. }) {
            steps.push(format!("{program} approve {name}/{id}"));
        } else if matches!(record.state, TaskState::AwaitingPlanApproval { .. }) {
            steps.push(format!("{program} plan show {name}/{id}"));
        } else if matches!(record.state, TaskState::WaitingInput { .. }) {
            steps.push(format!("{program} answer {name}/{id} '…'"));
        }
    }
    for (spec, record) in graph.lanes().iter().zip(&view.lanes) {
        if record.state == LaneState::AwaitingApproval {
            steps.push(match (&record.watched, &record.pr) {
                (Some(_), Some(pr)) => pr.clone(),
                _ => {
                    let branch = view.info.branches().lane(&spec.id);
                    let repo = refs::quoted(&view.info.project.repo);
                    let main = &view.info.project.default_branch;
                    format!("git -C {repo} diff {main}...{branch}")
                }
            });
            steps.push(format!("{program} approve --lane {name}/{}", spec.id));
        } else if matches!(record.state, LaneState::Failed { why } if why != LaneFailure::Task) {
            steps.push(format!("{program} retry --lane {name}/{}", spec.id));
        } else if let Some(waits_on) = record.delivered.as_ref().and_then(|d| d.waits_on.as_ref()) {
            let repo = refs::quoted(&view.info.project.repo);
            let branch = spec.target_branch.as_ref().unwrap_or(&view.info.project.default_branch);
            steps.push(format!(
                "git -C {repo} merge {waits_on}    # where `{branch}` is checked out"
            ));
        }
    }
    if view.run.paused && view.run.state == RunState::Open {
        steps.push(format!("{program} resume {name}"));
    }
    if view.run.state == RunState::Open && !view.driven {
        steps.push(format!("{program} run {name}    # goes on with it"));
    }
    let mut text = String::new();
    if !steps.is_empty() {
        text.push_str("\nnext:\n");
    }
    steps.truncate(STEPS_SHOWN);
    for step in steps {
        let _ = writeln!(text, "  {step}");
    }
    let dir = layout.run(&view.info.project.id, &view.info.name);
    let _ = writeln!(text, "\nlogs: {}", dir.display());
    text
}
