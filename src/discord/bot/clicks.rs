//! Buttons. Each is looked up in the store when it is pressed: one on an old message works, or
//! says why it does not any more.

use std::fmt::Write as _;

use serenity::all::{ComponentInteraction, ComponentInteractionDataKind, Message, MessageFlags};

use crate::discord::board::{cards, settled, words};
use crate::discord::bot::answer::{Field, Line};
use crate::discord::bot::front::{Carry, Draft, Front, target};
use crate::discord::bot::{Trouble, commands, plans};
use crate::discord::gate::{Level, Permit};
use crate::discord::keys::{Key, More, On, Press};
use crate::discord::outbox::{Call, Priority};
use crate::discord::post::{Attachment, Button, Choice, Post, Select, Style};
use crate::discord::text::{block, fit, inline};
use crate::failure::Failure;
use crate::graph::TaskIx;
use crate::orchestrator::{Allowance, GlobalVerb, Receipt, RunView, Verb};
use crate::state::TaskState;

/// How much of a log's end is shown in a message.
const LOG_TAIL_BYTES: usize = 1_700;

/// A button was pressed.
pub(crate) async fn pressed(front: &Front, click: &ComponentInteraction) {
    let line = Line::of_click(&front.http, &front.board.outbox, click);
    let id = click.data.custom_id.as_str();
    let Ok(key) = id.parse::<Key>() else {
        tracing::warn!(id, "an unknown button was pressed");
        let gone = Post::text("✗ this button is not known: it is of another version");
        drop(line.reply_now(&gone).await);
        return;
    };
    let confirmed =
        click.message.flags.is_some_and(|flags| flags.contains(MessageFlags::EPHEMERAL));
    if key.press.opens_form() {
        // A form must be the first answer, so what it takes to open one is done before it.
        if let Err(trouble) = open_form(front, &line, &key).await {
            drop(line.reply_now(&Post::text(trouble.sentence())).await);
        }
        return;
    }
    // What only the person sees and has decided about makes room for what came of it.
    let settles = confirmed && key.press.settles();
    let announced = if settles { line.defer_change().await } else { line.defer(true).await };
    if announced.is_err() {
        tracing::warn!("a press came too late to be answered");
        return;
    }
    let pressed = Pressed { key: &key, confirmed, chosen: chosen(click) };
    let done = press(front, &line, pressed).await;
    if settles && let Err(trouble) = &done {
        line.add(&Post::text(trouble.sentence())).await;
        return;
    }
    let stale = matches!(&done, Err(Trouble::Failed(why)) if why.message.starts_with(STALE));
    if !confirmed && (stale || (done.is_ok() && key.press.decides())) {
        disable(front, &click.message).await;
    }
    line.finish(done).await;
}

/// What was pressed.
struct Pressed<'a> {
    key: &'a Key,
    /// In a message that only the person sees, after it said what would be done.
    confirmed: bool,
    /// In a list, what of it.
    chosen: Option<String>,
}

fn chosen(click: &ComponentInteraction) -> Option<String> {
    let ComponentInteractionDataKind::StringSelect { values } = &click.data.kind else {
        return None;
    };
    values.first().cloned()
}

/// How sentences about buttons of the past begin.
const STALE: &str = "this button is of the past";

/// What it takes to press a button.
fn level(press: Press) -> Level {
    match press {
        Press::Logs | Press::FullLog | Press::Diff | Press::Queue | Press::Graph | Press::Why => {
            Level::Viewer
        }
        Press::Approve
        | Press::Reject
        | Press::More
        | Press::FinishUp
        | Press::Switch
        | Press::SwitchTo
        | Press::ApprovePlan
        | Press::EditPlan
        | Press::ChangePlan
        | Press::DiscardPlan => Level::Approver,
        Press::ResumeAll | Press::AddHook | Press::EditHook => Level::Admin,
        Press::Retry
        | Press::RetryNote
        | Press::RetryDown
        | Press::RetryFailed
        | Press::Skip
        | Press::TakeOver
        | Press::Answer
        | Press::AnswerText
        | Press::Pause
        | Press::Resume
        | Press::Stop
        | Press::CancelRun
        | Press::Start
        | Press::Apply
        | Press::Edit
        | Press::Rehearse
        | Press::Discard
        | Press::StopTask
        | Press::ResumeTask => Level::Operator,
    }
}

/// Finds what a button is about, and asks the gate.
pub(crate) async fn admit(
    front: &Front,
    line: &Line,
    key: &Key,
) -> Result<(Permit, RunView), Trouble> {
    let asked = key.to_string();
    let Some(run) = key.on.run() else {
        front.permit(&line.actor, level(key.press), None, &asked).await?;
        return Err(Failure::user("this button is not understood any more").into());
    };
    // The gate is asked before it is said whether the run is there.
    let Ok(view) = front.view(run).await else {
        front.permit(&line.actor, level(key.press), None, &asked).await?;
        return Err(Failure::user(format!("{STALE}: its run is not there any more")).into());
    };
    let project = view.info.project.id.clone();
    let permit = front.permit(&line.actor, level(key.press), Some(&project), &asked).await?;
    if let Some(why) = settled::past(&view, key) {
        return Err(Failure::user(format!("{STALE}: {why}")).into());
    }
    Ok((permit, view))
}

async fn open_form(front: &Front, line: &Line, key: &Key) -> Result<(), Trouble> {
    let id = key.to_string();
    if let On::Draft(draft) = key.on {
        let draft = front.draft(draft).await?;
        front.permit(&line.actor, Level::Operator, Some(&draft.project), "edit a draft").await?;
        return commands::submit::edit_form(line, &id, &draft.source).await;
    }
    let (permit, view) = admit(front, line, key).await?;
    if key.press == Press::EditPlan {
        return plans::edit_form(line, &view, key).await;
    }
    let (title, label, placeholder, required) = if key.press == Press::RetryNote {
        ("Retry with a note", "What the agent should know", "use printf", true)
    } else if key.press == Press::Reject {
        ("Reject", "What is to be changed", "handle the empty case", true)
    } else if key.press == Press::ChangePlan {
        ("Ask for another plan", "What is to be different", "smaller steps", true)
    } else if key.press == Press::AnswerText {
        ("Answer", "Your answer", "", true)
    } else {
        ("Skip", "Why", "not needed any more", false)
    };
    let mut label = label.to_owned();
    if key.press == Press::Skip {
        let verb = verb_of(&view, key, None)?;
        let carry =
            Carry { actor: &line.actor, permit: &permit, view: &view, on: key.on, label: "Skip" };
        let would = front.carry_out(carry, verb, true).await?;
        label = match would.affected.len() {
            0 => "Why".to_owned(),
            n => format!("Why ({n} tasks go on without it)"),
        };
    }
    line.form(&id, title, &Field { label: &label, value: "", placeholder, required }).await
}

/// The engine's verb of a button, with what was written into its form.
pub(crate) fn verb_of(view: &RunView, key: &Key, text: Option<String>) -> Result<Verb, Trouble> {
    let commit = match &key.more {
        More::Commit(commit) => Some(commit.clone()),
        More::Nothing | More::Attempt(_) | More::Question(..) | More::Plan(_) => None,
    };
    let target = || target(view, key.on);
    let task = || match target()? {
        crate::orchestrator::Target::Task(id) => Ok(id),
        crate::orchestrator::Target::Lane(_) => {
            Err(Trouble::from(Failure::user("no task is meant")))
        }
    };
    Ok(match key.press {
        Press::Retry => {
            Verb::Retry { target: target()?, note: None, fresh: false, downstream: false }
        }
        Press::RetryNote => {
            Verb::Retry { target: target()?, note: text, fresh: false, downstream: false }
        }
        Press::RetryDown => {
            Verb::Retry { target: target()?, note: None, fresh: false, downstream: true }
        }
        Press::Skip => {
            Verb::Skip { task: task()?, reason: text.filter(|text| !text.trim().is_empty()) }
        }
        Press::Approve => Verb::Approve { target: target()?, commit },
        Press::Reject => Verb::Reject { target: target()?, commit, note: text },
        Press::Answer | Press::AnswerText => {
            Verb::Answer { task: task()?, text: text.unwrap_or_default() }
        }
        Press::Pause => Verb::Pause { task: None },
        Press::Resume => Verb::Resume { task: None },
        Press::CancelRun => Verb::Cancel { task: None },
        Press::TakeOver => Verb::Pause { task: Some(task()?) },
        Press::More => Verb::Allow { task: task()?, how: Allowance::More },
        Press::FinishUp => Verb::Allow { task: task()?, how: Allowance::FinishUp },
        Press::SwitchTo => {
            let name = text.unwrap_or_default();
            let profile = name.trim().parse().map_err(|why| {
                Failure::user(format!("`{}` is no agent's name: {why}", inline(&name)))
            })?;
            Verb::Allow { task: task()?, how: Allowance::Switch { profile } }
        }
        Press::StopTask => Verb::Stop { task: task()? },
        Press::ResumeTask => Verb::Resume { task: Some(task()?) },
        Press::ApprovePlan | Press::EditPlan | Press::ChangePlan | Press::DiscardPlan => {
            plans::verb(task()?, key, text.unwrap_or_default())
        }
        Press::RetryFailed
        | Press::Logs
        | Press::FullLog
        | Press::Diff
        | Press::Stop
        | Press::Queue
        | Press::Graph
        | Press::Why
        | Press::Start
        | Press::Apply
        | Press::Edit
        | Press::Rehearse
        | Press::Discard
        | Press::AddHook
        | Press::EditHook
        | Press::Switch
        | Press::ResumeAll => return Err(Failure::user("this button does nothing to a run").into()),
    })
}

async fn press(front: &Front, line: &Line, pressed: Pressed<'_>) -> Result<Post, Trouble> {
    let Pressed { key, confirmed, chosen } = pressed;
    if let On::Draft(id) = key.on {
        let draft: Draft = front.draft(id).await?;
        front.permit(&line.actor, Level::Operator, Some(&draft.project), "a draft").await?;
        return commands::submit::pressed(front, line, key.press, id, draft).await;
    }
    if key.press == Press::ResumeAll {
        return resume_all(front, line).await;
    }
    let (permit, view) = admit(front, line, key).await?;
    let carry =
        |label| Carry { actor: &line.actor, permit: &permit, view: &view, on: key.on, label };
    match key.press {
        Press::Retry
        | Press::Approve
        | Press::Pause
        | Press::Resume
        | Press::More
        | Press::FinishUp
        | Press::StopTask
        | Press::ResumeTask
        | Press::ApprovePlan
        | Press::DiscardPlan => {
            let label = label(key.press);
            let verb = verb_of(&view, key, None)?;
            Ok(said(&front.carry_out(carry(label), verb, false).await?))
        }
        Press::RetryDown | Press::CancelRun => {
            let verb = verb_of(&view, key, None)?;
            let receipt = front.carry_out(carry(label(key.press)), verb, !confirmed).await?;
            Ok(if confirmed { said(&receipt) } else { confirm(&receipt, key) })
        }
        Press::Switch => which_agent(front, &view, key),
        Press::SwitchTo | Press::Answer => {
            let text = chosen.map_or_else(|| choice(&view, key), Ok)?;
            let label = format!("{} “{}”", label(key.press), inline(&fit(&text, 100)));
            let verb = verb_of(&view, key, Some(text))?;
            Ok(said(&front.carry_out(carry(&label), verb, false).await?))
        }
        Press::RetryFailed => retry_failed(front, line, &permit, &view).await,
        Press::Stop => Ok(how_to_stop(&view)),
        Press::TakeOver => take_over(front, line, &permit, &view, key).await,
        Press::Logs | Press::FullLog => logs(front, &view, key).await,
        Press::Diff => diff(front, &view, key).await,
        Press::Queue => Ok(Post::text(words::queue(&view))),
        Press::Graph => {
            let mut post = Post::text(format!("**{}**", view.info.name));
            post.file = cards::drawing(&view);
            Ok(post)
        }
        Press::Why => Ok(Post::text(words::why(&view, task_of(&view, key)?))),
        Press::RetryNote
        | Press::Skip
        | Press::Reject
        | Press::AnswerText
        | Press::EditPlan
        | Press::ChangePlan
        | Press::Start
        | Press::Apply
        | Press::Edit
        | Press::Rehearse
        | Press::Discard
        | Press::AddHook
        | Press::EditHook
        | Press::ResumeAll => Err(Failure::user("this button is not understood any more").into()),
    }
}

async fn resume_all(front: &Front, line: &Line) -> Result<Post, Trouble> {
    let asked = "resume everything";
    let permit = front.permit(&line.actor, Level::Admin, None, asked).await?;
    let verb = GlobalVerb::Resume { project: None };
    Ok(said(&front.carry_out_global(&line.actor, &permit, verb, asked).await?))
}

/// What people call it.
pub(crate) fn label(press: Press) -> &'static str {
    match press {
        Press::Retry | Press::RetryFailed => "Retry",
        Press::RetryNote => "Retry with note",
        Press::RetryDown => "Retry + downstream",
        Press::Skip => "Skip",
        Press::Approve => "Approve",
        Press::Reject => "Reject",
        Press::Answer | Press::AnswerText => "answer",
        Press::Pause => "Pause",
        Press::Resume | Press::ResumeAll | Press::ResumeTask => "Resume",
        Press::More => "+25 %",
        Press::FinishUp => "Finish up",
        Press::Switch | Press::SwitchTo => "Switch agent",
        Press::StopTask => "Stop",
        Press::CancelRun => "Cancel the run",
        Press::TakeOver => "Take over",
        Press::ApprovePlan => "Approve the plan",
        Press::EditPlan => "Edit the plan",
        Press::ChangePlan => "Ask for another plan",
        Press::DiscardPlan => "Discard the plan",
        Press::Logs
        | Press::FullLog
        | Press::Diff
        | Press::Stop
        | Press::Queue
        | Press::Graph
        | Press::Why
        | Press::Start
        | Press::Apply
        | Press::Edit
        | Press::Rehearse
        | Press::AddHook
        | Press::EditHook
        | Press::Discard => "look",
    }
}

/// What was done, in the engine's words.
pub(crate) fn said(receipt: &Receipt) -> Post {
    let glyph = if receipt.changed { "✓" } else { "·" };
    let mut text = format!("{glyph} {}", receipt.sentence);
    if !receipt.affected.is_empty() {
        let names: Vec<String> =
            receipt.affected.iter().take(8).map(|id| format!("`{id}`")).collect();
        let more = receipt.affected.len().saturating_sub(8);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let _ = write!(text, "\n-# also: {}{more}", names.join(", "));
    }
    for moved in receipt.moves.iter().take(8) {
        let _ = write!(text, "\n- {moved}");
    }
    Post::text(text)
}

/// What would be done by a command that is to be said again to do it.
pub(crate) fn planned(receipt: &Receipt) -> Post {
    let mut post = said(receipt);
    let plan = post.content.trim_start_matches(['✓', '·', ' ']);
    post.content =
        format!("This would be done: {plan}\n-# say it again with `do_it: True`, and it is done");
    post
}

/// What would be done, and a button to do it.
fn confirm(receipt: &Receipt, key: &Key) -> Post {
    let mut post = said(receipt);
    post.content =
        format!("This would be done: {}", post.content.trim_start_matches(['✓', '·', ' ']));
    post.with(vec![Button::new("Do it", key.clone(), Style::Danger)])
}

fn how_to_stop(view: &RunView) -> Post {
    let on = On::Run(view.info.id);
    let text = format!(
        "**{}**\nPause: what runs goes on, nothing new starts.\nCancel: agents are ended and the run is given up.",
        view.info.name
    );
    Post::text(text).with(vec![
        Button::new("Pause", Key::new(Press::Pause, on), Style::Secondary),
        Button::new("Cancel the run", Key::new(Press::CancelRun, on), Style::Danger),
    ])
}

/// Asks which other agent goes on with a task.
fn which_agent(front: &Front, view: &RunView, key: &Key) -> Result<Post, Trouble> {
    let task = task_of(view, key)?;
    let spec = view.info.graph.task(task);
    let switched = view.tasks[task.at()].more.as_ref().and_then(|more| more.agent.as_ref());
    let now = switched.or(spec.agent.profile.as_ref());
    let others = front.house.office.agents().into_iter().filter(|(name, _)| Some(name) != now);
    let choices: Vec<Choice> =
        others.map(|(name, description)| Choice { name: name.to_string(), description }).collect();
    if choices.is_empty() {
        return Err(Failure::user("there is no other agent")
            .hint("add one under `agents:` in the configuration")
            .into());
    }
    let key = Key { press: Press::SwitchTo, ..key.clone() };
    let mut post = Post::text(format!("Which agent goes on with `{}`?", spec.id));
    post.select = Some(Select { key, placeholder: "choose an agent", choices });
    Ok(post)
}

fn choice(view: &RunView, key: &Key) -> Result<String, Trouble> {
    let More::Question(_, _, _, at) = key.more else {
        return Err(Failure::user("this button is not understood any more").into());
    };
    let task = task_of(view, key)?;
    let more = view.tasks[task.at()].more.as_ref();
    let question = more.and_then(|more| more.question.as_ref());
    let choice = question.and_then(|question| question.choices.get(at as usize)).cloned();
    choice.ok_or_else(|| Failure::user("the question has no such answer").into())
}

fn task_of(view: &RunView, key: &Key) -> Result<TaskIx, Trouble> {
    if let On::Task(_, task) = key.on
        && task.at() < view.tasks.len()
    {
        return Ok(task);
    }
    Err(Failure::user("no task is meant").into())
}

async fn retry_failed(
    front: &Front,
    line: &Line,
    permit: &Permit,
    view: &RunView,
) -> Result<Post, Trouble> {
    let mut retried = Vec::new();
    for (at, record) in view.tasks.iter().enumerate() {
        if !matches!(record.state, TaskState::Failed { .. }) {
            continue;
        }
        let task = TaskIx(u32::try_from(at).unwrap_or(u32::MAX));
        let on = On::Task(view.info.id, task);
        let verb = verb_of(view, &Key::new(Press::Retry, on), None)?;
        let carry = Carry { actor: &line.actor, permit, view, on, label: "Retry" };
        if front.carry_out(carry, verb, false).await?.changed {
            retried.push(format!("`{}`", view.info.graph.task(task).id));
        }
    }
    Ok(Post::text(match retried.len() {
        0 => "· nothing has failed any more".to_owned(),
        _ => format!("✓ tried again: {}", fit(&retried.join(", "), 1_500)),
    }))
}

async fn take_over(
    front: &Front,
    line: &Line,
    permit: &Permit,
    view: &RunView,
    key: &Key,
) -> Result<Post, Trouble> {
    let task = task_of(view, key)?;
    let record = &view.tasks[task.at()];
    let spec = view.info.graph.task(task);
    let running =
        matches!(record.state, TaskState::Running { .. } | TaskState::WaitingInput { .. });
    let mut text = String::new();
    if running {
        let verb = verb_of(view, key, None)?;
        let carry = Carry { actor: &line.actor, permit, view, on: key.on, label: "Take over" };
        text = front.carry_out(carry, verb, false).await?.sentence + "\n";
    }
    let attempt = record.attempts.saturating_sub(1);
    let place = front.house.office.receipt(&view.info, &spec.id, attempt).await;
    let kept = record.more.as_ref().and_then(|more| more.kept.as_ref());
    let kept = kept.map(|commit| format!("\nthe work so far is commit `{}`", commit.short()));
    let _ = write!(
        text,
        "`{}` is yours: nothing touches it until somebody presses Retry or Skip.\n{place}{}\n\
         Put right what is wrong on `{}`, then press Retry: the next attempt begins there. \
         If you did all of it by hand, press Skip.",
        spec.id,
        kept.unwrap_or_default(),
        view.info.branches().lane(&view.info.graph.lane(spec.lane).id),
    );
    Ok(Post::text(text))
}

async fn logs(front: &Front, view: &RunView, key: &Key) -> Result<Post, Trouble> {
    let task = task_of(view, key)?;
    let id = &view.info.graph.task(task).id;
    let latest = view.tasks[task.at()].attempts.saturating_sub(1);
    let attempt = if let More::Attempt(attempt) = key.more { attempt } else { latest };
    let nothing = || Failure::user(format!("`{id}` has written nothing yet"));
    if key.press == Press::FullLog {
        return Ok(front.board.log_post(view, task, attempt).await.ok_or_else(nothing)?);
    }
    let bytes = front.house.office.log(&view.info, id, attempt, LOG_TAIL_BYTES * 2).await?;
    let text = block(&String::from_utf8_lossy(&bytes));
    if text.trim().is_empty() {
        return Err(nothing().into());
    }
    let tail: String = {
        let from = text.len().saturating_sub(LOG_TAIL_BYTES);
        let from = (from..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text[from..].to_owned()
    };
    let head = format!("the end of the log of `{id}`, attempt {}", attempt + 1);
    let key = Key::of(Press::FullLog, key.on, attempt);
    Ok(Post::text(format!("{head}\n```\n{}\n```", tail.trim())).with(vec![Button::new(
        "Full log",
        key,
        Style::Secondary,
    )]))
}

async fn diff(front: &Front, view: &RunView, key: &Key) -> Result<Post, Trouble> {
    let More::Commit(commit) = &key.more else {
        return Err(Failure::user("this button is not understood any more").into());
    };
    let base = match key.on {
        On::Task(_, task) => {
            view.tasks.get(task.at()).and_then(|t| t.proposal()).map(|p| p.base.clone())
        }
        On::Lane(_, lane) => {
            view.lanes.get(lane.at()).and_then(|l| l.checked.as_ref()).map(|c| c.target.clone())
        }
        On::All | On::Run(_) | On::Draft(_) => None,
    };
    let base =
        base.ok_or_else(|| Failure::user(format!("{STALE}: nothing is proposed any more")))?;
    let text = front.house.office.diff(&view.info, &base, commit).await?;
    let head = format!("`{}..{}`", base.short(), commit.short());
    if text.len() <= 1_500 {
        return Ok(Post::text(format!("{head}\n```diff\n{}\n```", block(&text))));
    }
    let mut post = Post::text(format!("{head}, as a file"));
    post.file = Some(Attachment {
        name: "change.diff",
        description: format!("The change {head}"),
        bytes: text.into_bytes().into(),
    });
    Ok(post)
}

/// Shows that the buttons of a message do nothing any more.
pub(crate) async fn disable(front: &Front, message: &Message) {
    let Ok(rows) = serde_json::to_value(&message.components) else { return };
    let call = Call::Disable { message: message.id.get(), rows: settled::disabled(rows) };
    let channel = message.channel_id.get();
    if let Err(error) = front.board.outbox.ask(channel, Priority::State, call).await {
        tracing::debug!(%error, "buttons of the past still look alive");
    }
}
