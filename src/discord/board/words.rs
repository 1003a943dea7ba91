//! What people read about a run, its tasks and what happened, as messages. Pure.

use std::fmt::Write as _;

use crate::discord::keys::{Key, More, On, Press};
use crate::discord::post::{Attachment, Button, Post, Style};
use crate::discord::text::{block, fit, inline, sentence};
use crate::graph::{LaneIx, TaskIx};
use crate::notify::{Ask, Notice, NoticeKind};
use crate::orchestrator::{Item, RunView, Waits, needs};
use crate::render::progress::progress;
use crate::render::{Dag, Look, words};
use crate::state::{
    BlockedOn, Outcome, ParkReason, PlanRecord, Proposal, Question, RunState, Subject, TaskRecord,
    TaskState,
};
use crate::time::Timestamp;

/// How many running tasks, waiting decisions and lanes a card names before it counts the rest.
const NAMED_MAX: usize = 6;

/// The most of an error, a question or a reason that a notice shows; the rest is in the log.
const LINES_UNITS_MAX: usize = 1_000;

/// How much is said of who read a plan: the steps matter more.
const READER_UNITS_MAX: usize = 300;

/// The longest name of a thread (Discord's channel reference).
const THREAD_NAME_CHARS_MAX: usize = 100;

/// Choices that get a button of their own; more are answered with a form.
const CHOICES_MAX: usize = 4;

/// A time that Discord itself keeps current, as "2 minutes ago".
fn ago(at: Timestamp) -> String {
    format!("<t:{}:R>", at.0 / 1_000)
}

/// A picture of the run as it is now.
pub fn picture(view: &RunView) -> Dag {
    let task = |t: TaskIx| Look::of(view.tasks[t.at()].state);
    let lane = |l: LaneIx| Look::of_lane(view.lanes[l.at()].state);
    let mut dag = Dag::of(&view.info.graph, task, lane);
    dag.title = view.info.name.to_string();
    for node in &mut dag.nodes {
        let ix = node.id.parse().ok().and_then(|id| view.info.graph.lookup_task(&id));
        let record = ix.map(|t| &view.tasks[t.at()]).filter(|record| record.attempts > 1);
        node.note = record.map(|record| format!("attempt {}", record.attempts));
    }
    dag
}

/// The one message that shows how a run stands.
pub fn card(view: &RunView) -> Post {
    let info = &view.info;
    let dag = picture(view);
    let mut text = format!("**{}** · {}\n", info.name, standing(view));
    let _ = writeln!(text, "`{}`", progress(&dag.counts()));
    if dag.lanes.len() > 1 {
        let lanes = dag.lanes.iter().map(|band| format!("{} {}", band.look.glyph(), band.name));
        let _ = writeln!(text, "lanes: {}", some(lanes.collect(), " · "));
    }
    let running = tasks(view, |state| matches!(state, TaskState::Running { .. }));
    let running: Vec<String> = running
        .map(|(task, record)| format!("`{}` {}", id(view, task), ago(record.started_at)))
        .collect();
    if !running.is_empty() {
        let _ = writeln!(text, "now: {}", some(running, ", "));
    }
    let needs = needs_person(view);
    if !needs.is_empty() {
        let _ = writeln!(text, "**needs you**: {}", some(needs, ", "));
    }
    let cost = spent(view);
    if !cost.is_empty() {
        let _ = writeln!(text, "spent: {cost}");
    }
    let _ = write!(text, "-# by {} {}", inline(&info.submitter), ago(view.run.created_at));
    Post::text(text).with(card_buttons(view))
}

fn standing(view: &RunView) -> String {
    let held = view.held.as_ref().filter(|_| view.run.state == RunState::Open);
    match (view.run.state, held) {
        (RunState::Open, Some(held)) => format!("open, but {held}"),
        (RunState::Open, None) => "open".to_owned(),
        (settled @ RunState::Settled { .. }, _) => {
            format!("{settled} {}", ago(view.run.since))
        }
    }
}

fn card_buttons(view: &RunView) -> Vec<Button> {
    let on = On::Run(view.info.id);
    let mut buttons = Vec::new();
    if view.run.state == RunState::Open {
        let (label, press) =
            if view.run.paused { ("Resume", Press::Resume) } else { ("Pause", Press::Pause) };
        buttons.push(Button::new(label, Key::new(press, on), Style::Secondary));
        buttons.push(Button::new("Stop…", Key::new(Press::Stop, on), Style::Danger));
    }
    buttons.push(Button::new("Queue", Key::new(Press::Queue, on), Style::Secondary));
    buttons.push(Button::new("Graph", Key::new(Press::Graph, on), Style::Secondary));
    if tasks(view, |state| matches!(state, TaskState::Failed { .. })).next().is_some() {
        buttons.push(Button::new("Retry failed", Key::new(Press::RetryFailed, on), Style::Primary));
    }
    buttons
}

/// What waits for a person in a run, a phrase each.
pub fn needs_person(view: &RunView) -> Vec<String> {
    let graph = &view.info.graph;
    let phrase = |waits: Waits| {
        let phrase = waits.need.phrase();
        match waits.subject {
            Subject::Task(task) => format!("`{}` {phrase}", graph.task(task).id),
            Subject::Lane(lane) => format!("lane `{}` {phrase}", graph.lane(lane).id),
            Subject::Run => format!("the run {phrase}"),
        }
    };
    needs(view).into_iter().map(phrase).collect()
}

/// What waits for a person, without its run.
pub fn need(item: &Item) -> String {
    let phrase = item.need.phrase();
    let subject = match (&item.task, &item.lane) {
        (Some(task), _) => format!("`{task}` "),
        (None, Some(lane)) => format!("lane `{lane}` "),
        (None, None) => String::new(),
    };
    let about = item.about.as_ref().map(|about| format!(": {}", fit(&inline(about), 120)));
    format!("{subject}{phrase}{}", about.unwrap_or_default())
}

fn tasks(
    view: &RunView,
    wanted: impl Fn(TaskState) -> bool,
) -> impl Iterator<Item = (TaskIx, &TaskRecord)> {
    let order = view.info.graph.order().iter().map(|task| (*task, &view.tasks[task.at()]));
    order.filter(move |(_, record)| wanted(record.state))
}

fn id(view: &RunView, task: TaskIx) -> &str {
    view.info.graph.task(task).id.as_str()
}

fn some(mut items: Vec<String>, between: &str) -> String {
    let rest = items.len().saturating_sub(NAMED_MAX);
    items.truncate(NAMED_MAX);
    let more = if rest > 0 { format!("{between}{rest} more") } else { String::new() };
    items.join(between) + &more
}

fn spent(view: &RunView) -> String {
    let used = view.used();
    cost(used.tokens.all(), used.usd)
}

fn cost(tokens: u64, usd: f64) -> String {
    match (tokens, usd) {
        (0, _) => String::new(),
        (tokens, usd) if usd > 0.0 => format!("{} tokens, ${usd:.2}", words::number(tokens)),
        (tokens, _) => format!("{} tokens", words::number(tokens)),
    }
}

/// The message under the card that a task's thread hangs from.
pub fn anchor(view: &RunView, task: TaskIx) -> Post {
    let record = &view.tasks[task.at()];
    let spec = view.info.graph.task(task);
    let title = if spec.title == spec.id.as_str() { String::new() } else { inline(&spec.title) };
    let title = if title.is_empty() { title } else { format!(" {}", fit(&title, 200)) };
    let glyph = Look::of(record.state).glyph();
    let text = format!("{glyph} **{}**{title} · {}", spec.id, state_words(view, task));
    let on = On::Task(view.info.id, task);
    let stopped = TaskState::Blocked { on: BlockedOn::Operator };
    let buttons = if matches!(record.state, TaskState::Failed { .. }) || record.state == stopped {
        failure_buttons(on, record)
    } else {
        vec![
            Button::new("Logs", Key::new(Press::Logs, on), Style::Secondary),
            Button::new("Why", Key::new(Press::Why, on), Style::Secondary),
        ]
    };
    Post::text(text).with(buttons)
}

/// How a task stands, in a few words.
pub fn state_words(view: &RunView, task: TaskIx) -> String {
    let record = &view.tasks[task.at()];
    let attempt =
        if record.attempts > 1 { format!(", attempt {}", record.attempts) } else { String::new() };
    if let TaskState::Failed { class } = record.state {
        let message = record.failure().and_then(|failure| failure.message.lines().next());
        let message = message.map(|line| format!(": {}", fit(&inline(line), 160)));
        return format!("failed, {}{}{attempt}", class.word(), message.unwrap_or_default());
    }
    if matches!(record.state, TaskState::Running { .. }) {
        return format!("running{attempt} {}", ago(record.started_at));
    }
    if record.state == TaskState::Merged {
        let changed = record.proposal().map(|p| format!(", {}", change(p)));
        return format!("merged{}{attempt}", changed.unwrap_or_default());
    }
    match &view.waiting[task.at()] {
        Some(waiting) => waiting.to_string(),
        None => format!("{}{attempt}", record.state.word()),
    }
}

fn change(proposal: &Proposal) -> String {
    let files = words::count(u64::from(proposal.files), "file");
    format!("{files}, +{} −{}", proposal.insertions, proposal.deletions)
}

/// The name of a task's thread. It never says how the task stands: threads may be renamed twice in
/// ten minutes only.
pub fn thread_name(task: &str, title: &str) -> String {
    let title = crate::discord::text::clean(title).replace('\n', " ");
    let name = if title == task { task.to_owned() } else { format!("{task} · {title}") };
    name.chars().take(THREAD_NAME_CHARS_MAX).collect()
}

/// What stands at the beginning of an attempt.
pub fn header(view: &RunView, task: TaskIx, attempt: u32, receipt: &str) -> Post {
    let spec = view.info.graph.task(task);
    let branch = view.info.branches().task(&spec.id);
    let of = view.tasks[task.at()].attempts.max(attempt + 1);
    let mut text = format!("**{}** · attempt {} · branch `{branch}`", spec.id, of);
    if !receipt.is_empty() {
        let _ = write!(text, "\n-# {receipt}");
    }
    let key = Key::of(Press::FullLog, On::Task(view.info.id, task), attempt);
    Post::text(text).with(vec![Button::new("Full log", key, Style::Secondary)])
}

/// What stands at the end of a task, once it has one; `None` while it has none.
pub fn result(view: &RunView, task: TaskIx) -> Option<Post> {
    let record = &view.tasks[task.at()];
    let done = matches!(record.state, TaskState::Merged | TaskState::Completed);
    if !done && !matches!(record.state, TaskState::Skipped | TaskState::Cancelled) {
        return None;
    }
    let glyph = Look::of(record.state).glyph();
    let mut said = vec![format!("{glyph} **{}**", record.state.word())];
    if done && record.started_at.0 > 0 {
        said.push(words::duration(record.since.since(record.started_at)));
    }
    if let (true, Some(p)) = (done, record.proposal()) {
        said.push(words::count(u64::from(p.commits), "commit"));
        said.push(change(p));
    }
    if let Some(more) = &record.more {
        said.push(cost(more.usage.tokens.all(), more.usage.usd));
        said.push(more.pr.as_deref().map(inline).unwrap_or_default());
        let by = more.by.as_ref().filter(|_| !done);
        said.push(by.map(|by| format!("by {}", inline(&by.who))).unwrap_or_default());
    }
    said.retain(|part| !part.is_empty());
    let attempt = record.attempts.saturating_sub(1);
    let key = Key::of(Press::FullLog, On::Task(view.info.id, task), attempt);
    Some(Post::text(said.join(" · ")).with(vec![Button::new("Full log", key, Style::Secondary)]))
}

/// The buttons under a failure.
pub fn failure_buttons(on: On, record: &TaskRecord) -> Vec<Button> {
    let attempt = record.attempts.saturating_sub(1);
    let button = |label, press, style| Button::new(label, Key::of(press, on, attempt), style);
    vec![
        button("Retry", Press::Retry, Style::Primary),
        button("Retry with note", Press::RetryNote, Style::Primary),
        button("Retry + downstream", Press::RetryDown, Style::Secondary),
        button("Skip", Press::Skip, Style::Danger),
        button("Logs", Press::Logs, Style::Secondary),
        button("Take over", Press::TakeOver, Style::Secondary),
    ]
}

/// A notice as a message. `view` is the run that it is about, if it is about one.
pub fn notice(notice: &Notice, view: Option<&RunView>) -> Post {
    let glyph = match notice.kind {
        NoticeKind::TaskFailed | NoticeKind::LaneFailed | NoticeKind::SafeMode => "✗",
        NoticeKind::Question => "?",
        NoticeKind::Approval | NoticeKind::Plan => "⋎",
        NoticeKind::LaneMerged => "✓",
        NoticeKind::RunSettled => outcome_sign(view),
        NoticeKind::Budget | NoticeKind::BudgetWarning => "¤",
        NoticeKind::LimitReset => "◷",
        NoticeKind::Restarted => "↻",
        NoticeKind::Hook => "⚑",
        NoticeKind::Stuck => "⏳",
    };
    let mut text = format!("{glyph} **{}**", sentence(&notice.title));
    let lines = block(&notice.lines.join("\n"));
    let lines = lines.trim();
    if notice.kind == NoticeKind::Question && !lines.is_empty() {
        let _ = write!(text, "\n{}", fit(&inline(lines), LINES_UNITS_MAX));
    } else if !lines.is_empty() {
        let _ = write!(text, "\n```\n{}\n```", fit(lines, LINES_UNITS_MAX));
    }
    let mut post = Post::text(text);
    // Of a run that failed its tasks have rung already.
    let final_word = notice.kind == NoticeKind::RunSettled && outcome_sign(view) != "✗";
    post.rings = notice.kind.needs_person() || final_word;
    if let (NoticeKind::Plan, Some(view), Some(id)) = (notice.kind, view, &notice.task) {
        let task = view.info.graph.lookup_task(id);
        let plan = task.and_then(|task| view.tasks[task.at()].plan());
        post.file = plan.map(plan_file);
    }
    match view {
        Some(view) => post.with(notice_buttons(notice, view)),
        None if notice.kind == NoticeKind::SafeMode => {
            let key = Key::new(Press::ResumeAll, On::All);
            post.with(vec![Button::new("Resume everything", key, Style::Danger)])
        }
        None => post,
    }
}

fn outcome_sign(view: Option<&RunView>) -> &'static str {
    match view.map(|view| view.run.state) {
        Some(RunState::Settled { outcome: Outcome::Succeeded }) => "✓",
        Some(RunState::Settled { outcome: Outcome::AwaitingMerge }) => "⋎",
        Some(RunState::Settled { outcome: Outcome::Cancelled }) => "⊘",
        Some(RunState::Settled {
            outcome: Outcome::CompletedWithFailures | Outcome::FatalInternalError,
        }) => "✗",
        Some(RunState::Open) | None => "·",
    }
}

fn notice_buttons(notice: &Notice, view: &RunView) -> Vec<Button> {
    let run = view.info.id;
    let graph = &view.info.graph;
    let task = notice.task.as_ref().and_then(|id| graph.lookup_task(id));
    let lane = notice.lane.as_ref().and_then(|id| graph.lookup_lane(id));
    match (about(notice.kind, task.map(|task| view.tasks[task.at()].state)), task, lane) {
        (NoticeKind::TaskFailed, Some(task), _) => {
            failure_buttons(On::Task(run, task), &view.tasks[task.at()])
        }
        (NoticeKind::Question, Some(task), _) => {
            let record = &view.tasks[task.at()];
            let question = record.more.as_ref().and_then(|more| more.question.as_ref());
            question.map_or_else(Vec::new, |q| answer_buttons(On::Task(run, task), record, q))
        }
        (NoticeKind::Approval, Some(task), _) => {
            let commit = view.tasks[task.at()].proposal().map(|p| p.commit.clone());
            approval_buttons(On::Task(run, task), commit)
        }
        (NoticeKind::Approval, None, Some(lane)) => {
            let commit = view.lanes[lane.at()].checked.as_ref().map(|c| c.commit.clone());
            approval_buttons(On::Lane(run, lane), commit)
        }
        (NoticeKind::Budget, Some(task), _) => {
            let switch = notice.asks.iter().any(|ask| matches!(ask, Ask::Switch(_)));
            budget_buttons(On::Task(run, task), &view.tasks[task.at()], switch)
        }
        (NoticeKind::LimitReset, Some(task), _) => {
            let key = |press| Key::new(press, On::Task(run, task));
            vec![
                Button::new("Resume", key(Press::ResumeTask), Style::Primary),
                Button::new("Skip", key(Press::Skip), Style::Danger),
            ]
        }
        (NoticeKind::Plan, Some(task), _) => plan_buttons(view, task),
        (NoticeKind::LaneFailed, _, Some(lane)) => {
            let key = Key::new(Press::Retry, On::Lane(run, lane));
            vec![Button::new("Retry", key, Style::Primary)]
        }
        _ => Vec::new(),
    }
}

/// What a person may do about a budget that is used up.
fn budget_buttons(on: On, record: &TaskRecord, switch: bool) -> Vec<Button> {
    let attempt = record.attempts.saturating_sub(1);
    let button = |label, press, style| Button::new(label, Key::of(press, on, attempt), style);
    let mut buttons = vec![
        button("+25 %", Press::More, Style::Primary),
        button("Finish up", Press::FinishUp, Style::Secondary),
    ];
    if switch {
        buttons.push(button("Switch agent", Press::Switch, Style::Secondary));
    }
    buttons.push(button("Stop", Press::StopTask, Style::Danger));
    buttons
}

/// What waited too long has the buttons that it had when it began to wait.
fn about(kind: NoticeKind, state: Option<TaskState>) -> NoticeKind {
    if kind != NoticeKind::Stuck {
        return kind;
    }
    match state {
        Some(TaskState::WaitingInput { .. }) => NoticeKind::Question,
        Some(TaskState::AwaitingApproval { .. }) | None => NoticeKind::Approval,
        Some(TaskState::AwaitingPlanApproval { .. }) => NoticeKind::Plan,
        Some(TaskState::Paused { why: ParkReason::Budget, .. }) => NoticeKind::Budget,
        Some(TaskState::Paused { .. }) => NoticeKind::LimitReset,
        Some(_) => NoticeKind::TaskFailed,
    }
}

fn answer_buttons(on: On, record: &TaskRecord, question: &Question) -> Vec<Button> {
    let attempt = record.attempts.saturating_sub(1);
    let key = |press, choice| Key {
        press,
        on,
        more: More::Question(attempt, question.turn, question.seq, choice),
    };
    let choices = question.choices.iter().take(CHOICES_MAX).enumerate();
    let mut buttons: Vec<Button> = choices
        .map(|(at, choice)| {
            let choice_at = u32::try_from(at).unwrap_or_default();
            let label = crate::discord::text::clean(choice);
            Button::new(&label, key(Press::Answer, choice_at), Style::Primary)
        })
        .collect();
    buttons.push(Button::new("Answer…", key(Press::AnswerText, 0), Style::Secondary));
    buttons
}

/// A button about the plan of a task as it is.
pub fn plan_key(view: &RunView, task: TaskIx, press: Press) -> Key {
    let plan = view.tasks.get(task.at()).and_then(|record| record.plan());
    let more = plan.map_or(More::Nothing, |plan| More::Plan(plan.digest.clone()));
    Key { press, on: On::Task(view.info.id, task), more }
}

fn plan_buttons(view: &RunView, task: TaskIx) -> Vec<Button> {
    let record = &view.tasks[task.at()];
    if !matches!(record.state, TaskState::AwaitingPlanApproval { .. }) {
        return Vec::new();
    }
    let button = |label, press, style| Button::new(label, plan_key(view, task, press), style);
    let mut buttons = vec![
        button("Approve", Press::ApprovePlan, Style::Success),
        button("Edit…", Press::EditPlan, Style::Primary),
        button("Ask for changes", Press::ChangePlan, Style::Secondary),
        button("Discard", Press::DiscardPlan, Style::Danger),
    ];
    if record.plan().is_none_or(|plan| plan.problem.is_some()) {
        buttons.remove(0);
    }
    buttons
}

/// The text of a plan, for those who want all of it.
fn plan_file(plan: &PlanRecord) -> Attachment {
    Attachment {
        name: "plan.md",
        description: "The plan as it is written".to_owned(),
        bytes: plan.text.clone().into_bytes().into(),
    }
}

/// The plan of a task: what it asks for, all of it as a file, and what can be decided.
pub fn plan(view: &RunView, task: TaskIx) -> Option<Post> {
    let plan = view.tasks[task.at()].plan()?;
    let mut text = why(view, task);
    if let Some(reader) = &plan.reader {
        let _ = write!(text, "\n{}", fit(&inline(&reader.sentence()), READER_UNITS_MAX));
    }
    for (at, step) in plan.steps.iter().enumerate() {
        let _ = write!(text, "\n{}. {}", at + 1, fit(&inline(&step.title), 80));
    }
    if let Some(problem) = &plan.problem {
        let _ = write!(text, "\n```\n{}\n```", fit(block(problem).trim(), LINES_UNITS_MAX));
    }
    let mut post = Post::text(fit(&text, 1_900)).with(plan_buttons(view, task));
    post.file = Some(plan_file(plan));
    Some(post)
}

fn approval_buttons(on: On, commit: Option<crate::ids::CommitId>) -> Vec<Button> {
    let Some(commit) = commit else { return Vec::new() };
    let button =
        |label, press, style| Button::new(label, Key::at(press, on, commit.clone()), style);
    vec![
        button("Approve", Press::Approve, Style::Success),
        button("Reject with note", Press::Reject, Style::Danger),
        button("View diff", Press::Diff, Style::Secondary),
    ]
}

/// What runs, what is next and what waits, with the reason of each.
pub fn queue(view: &RunView) -> String {
    let graph = &view.info.graph;
    let mut lines: Vec<(u8, String)> = Vec::new();
    for task in graph.order() {
        let record = &view.tasks[task.at()];
        let works = matches!(record.state, TaskState::Running { .. } | TaskState::Merging { .. });
        let rank = match &view.waiting[task.at()] {
            _ if works => 1,
            None => continue,
            Some(waiting) if waiting.needs_person() => 0,
            Some(waiting) if waiting.is_its_turn() => 2,
            Some(_) => 3,
        };
        let glyph = Look::of(record.state).glyph();
        lines.push((rank, format!("{glyph} `{}` {}", id(view, *task), state_words(view, *task))));
    }
    lines.sort_by_key(|(rank, _)| *rank);
    let head = format!("**{}** · {}", view.info.name, standing(view));
    if lines.is_empty() {
        return format!("{head}\nnothing runs and nothing waits");
    }
    let mut text = head;
    for (at, (_, line)) in lines.iter().enumerate() {
        if crate::discord::text::units(&text) > 1_600 {
            let _ = write!(text, "\n… and {} more", lines.len() - at);
            break;
        }
        let _ = write!(text, "\n{line}");
    }
    text
}

/// Why a task does not run, or how it stands.
pub fn why(view: &RunView, task: TaskIx) -> String {
    let record = &view.tasks[task.at()];
    let head = format!("`{}/{}` is {}", view.info.name, id(view, task), record.state.word());
    match &view.waiting[task.at()] {
        Some(waiting) => format!("{head}: {waiting}"),
        None => head,
    }
}

/// A long outage in one message: what happened meanwhile and needs nobody.
pub fn digest(lines: &[String]) -> Post {
    let mut text =
        format!("↻ {} while Discord was out of reach:", words::count(lines.len() as u64, "thing"));
    for (at, line) in lines.iter().enumerate() {
        if crate::discord::text::units(&text) > 1_700 {
            let _ = write!(text, "\n… and {} more", lines.len() - at);
            break;
        }
        let _ = write!(text, "\n{}", fit(line, 200));
    }
    Post::text(text)
}
