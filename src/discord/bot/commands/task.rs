//! `/task`: everything that can be done to one task.

use serenity::all::Message;

use crate::discord::board::words;
use crate::discord::bot::answer::Line;
use crate::discord::bot::clicks::{planned, said};
use crate::discord::bot::commands::open;
use crate::discord::bot::front::Carry;
use crate::discord::bot::{Context, Trouble, complete};
use crate::discord::gate::Level;
use crate::discord::keys::{Key, On, Press};
use crate::discord::post::{Button, Post, Style};
use crate::discord::text::{fit, inline};
use crate::failure::Failure;
use crate::graph::TaskIx;
use crate::orchestrator::{RunView, Target, Undo, Verb};
use crate::state::{After, TaskState};

/// Tasks: look at one, try it again, stop it, tell its agent something
#[poise::command(
    slash_command,
    subcommand_required,
    subcommands(
        "show", "list", "retry", "skip", "stop", "cancel", "pause", "resume", "reopen", "priority",
        "logs", "diff", "why", "steer", "answer", "approve", "reject", "reset", "add"
    )
)]
pub(crate) async fn task(_: Context<'_>) -> Result<(), Trouble> {
    Ok(())
}

/// Has a verb carried out on a task and says what came of it.
async fn carry(
    ctx: Context<'_>,
    level: Level,
    named: Option<String>,
    label: &str,
    verb: impl FnOnce(crate::ids::TaskId) -> Verb,
) -> Result<(), Trouble> {
    carry_or_plan(ctx, level, named, label, false, verb).await
}

/// The same, or only says what it would do.
async fn carry_or_plan(
    ctx: Context<'_>,
    level: Level,
    named: Option<String>,
    label: &str,
    dry_run: bool,
    verb: impl FnOnce(crate::ids::TaskId) -> Verb,
) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let front = ctx.data();
        let (permit, view, task) = front.task(&line, level, named.as_deref(), label).await?;
        let verb = verb(view.info.graph.task(task).id.clone());
        let on = On::Task(view.info.id, task);
        let carry = Carry { actor: &line.actor, permit: &permit, view: &view, on, label };
        let receipt = front.carry_out(carry, verb, dry_run).await?;
        Ok(if dry_run { planned(&receipt) } else { said(&receipt) })
    };
    line.finish(done.await).await;
    Ok(())
}

/// Shows something about a task.
pub(crate) async fn look(
    ctx: Context<'_>,
    named: Option<String>,
    show: impl AsyncFnOnce(&Line, &RunView, TaskIx) -> Result<Post, Trouble>,
) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let front = ctx.data();
        let found = front.task(&line, Level::Viewer, named.as_deref(), "look at a task").await;
        let (_, view, task) = found?;
        show(&line, &view, task).await
    };
    line.finish(done.await).await;
    Ok(())
}

/// How a task stands: state, attempts, change, concerns (status, info, details)
#[poise::command(slash_command)]
async fn show(
    ctx: Context<'_>,
    #[description = "the task; in its thread it need not be named"]
    #[autocomplete = "complete::task"]
    task: Option<String>,
) -> Result<(), Trouble> {
    look(ctx, task, async |_, view, task| Ok(details(view, task))).await
}

fn details(view: &RunView, task: TaskIx) -> Post {
    let (spec, record) = (view.info.graph.task(task), &view.tasks[task.at()]);
    let graph = &view.info.graph;
    let names = |tasks: &[TaskIx]| -> String {
        let names: Vec<String> =
            tasks.iter().take(8).map(|t| format!("`{}`", graph.task(*t).id)).collect();
        if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
    };
    let mut lines = vec![
        format!("**{}/{}** · {}", view.info.name, spec.id, words::state_words(view, task)),
        format!(
            "lane `{}` · after {} · before {}",
            graph.lane(spec.lane).id,
            names(graph.parents(task)),
            names(graph.children(task))
        ),
        format!("{} begun", crate::render::words::count(u64::from(record.attempts), "attempt")),
    ];
    if let Some(more) = &record.more {
        lines.extend(
            more.summary.as_ref().map(|text| format!("summary: {}", fit(&inline(text), 400))),
        );
        lines.extend(
            more.note
                .as_ref()
                .map(|text| format!("note for the next attempt: {}", fit(&inline(text), 300))),
        );
    }
    lines.extend(
        record
            .concerns()
            .iter()
            .take(5)
            .map(|c| format!("concern: {}", fit(&inline(&c.text), 200))),
    );
    let mut post = Post::text(lines.join("\n"));
    let on = On::Task(view.info.id, task);
    let failed = matches!(record.state, TaskState::Failed { .. } | TaskState::Blocked { .. });
    post.buttons = match failed {
        true => words::failure_buttons(on, record),
        false => vec![Button::new("Logs", Key::new(Press::Logs, on), Style::Secondary)],
    };
    post
}

/// The tasks of a run with their states
#[poise::command(slash_command)]
async fn list(
    ctx: Context<'_>,
    #[description = "the run; the latest without one"]
    #[autocomplete = "complete::run"]
    run: Option<String>,
) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let front = ctx.data();
        let found = front.run(&line.actor, Level::Viewer, run.as_deref(), "list tasks").await;
        let (_, view) = found?;
        let order = view.info.graph.order().iter().map(|task| {
            let look = crate::render::Look::of(view.tasks[task.at()].state);
            let id = &view.info.graph.task(*task).id;
            format!("{} `{id}` {}", look.glyph(), words::state_words(&view, *task))
        });
        let lines: Vec<String> = order.collect();
        let shown = lines.iter().scan(0, |used, line| {
            *used += crate::discord::text::units(line) + 1;
            (*used < 1_700).then_some(line.as_str())
        });
        let shown: Vec<&str> = shown.collect();
        let rest = lines.len() - shown.len();
        let more = if rest > 0 { format!("\n… and {rest} more") } else { String::new() };
        Ok(Post::text(format!("**{}**\n{}{more}", view.info.name, shown.join("\n"))))
    };
    line.finish(done.await).await;
    Ok(())
}

/// Try a failed, stopped or cancelled task again (again, redo, rerun)
#[poise::command(slash_command)]
async fn retry(
    ctx: Context<'_>,
    #[description = "the task; in its thread it need not be named"]
    #[autocomplete = "complete::task"]
    task: Option<String>,
    #[description = "what the agent should know"] note: Option<String>,
    #[description = "start over, without the work so far"] fresh: Option<bool>,
    #[description = "also what builds on it"] downstream: Option<bool>,
) -> Result<(), Trouble> {
    let (fresh, downstream) = (fresh.unwrap_or(false), downstream.unwrap_or(false));
    let verb = |id| Verb::Retry { target: Target::Task(id), note, fresh, downstream };
    carry(ctx, Level::Operator, task, "Retry", verb).await
}

/// Pass over a task; what depends on it goes on without it (ignore)
#[poise::command(slash_command)]
async fn skip(
    ctx: Context<'_>,
    #[description = "the task; in its thread it need not be named"]
    #[autocomplete = "complete::task"]
    task: Option<String>,
    #[description = "why"] reason: Option<String>,
) -> Result<(), Trouble> {
    carry(ctx, Level::Operator, task, "Skip", |task| Verb::Skip { task, reason }).await
}

/// End the attempt under way; the task waits for a retry (kill, abort)
#[poise::command(slash_command)]
async fn stop(
    ctx: Context<'_>,
    #[description = "the task; in its thread it need not be named"]
    #[autocomplete = "complete::task"]
    task: Option<String>,
) -> Result<(), Trouble> {
    carry(ctx, Level::Operator, task, "Stop", |task| Verb::Stop { task }).await
}

/// Give a task up (drop)
#[poise::command(slash_command)]
async fn cancel(
    ctx: Context<'_>,
    #[description = "the task; in its thread it need not be named"]
    #[autocomplete = "complete::task"]
    task: Option<String>,
) -> Result<(), Trouble> {
    carry(ctx, Level::Operator, task, "Cancel", |task| Verb::Cancel { task: Some(task) }).await
}

/// Park a task; its attempt is ended (hold)
#[poise::command(slash_command)]
async fn pause(
    ctx: Context<'_>,
    #[description = "the task; in its thread it need not be named"]
    #[autocomplete = "complete::task"]
    task: Option<String>,
) -> Result<(), Trouble> {
    carry(ctx, Level::Operator, task, "Pause", |task| Verb::Pause { task: Some(task) }).await
}

/// Go on with a task that was parked (continue, unpause)
#[poise::command(slash_command)]
async fn resume(
    ctx: Context<'_>,
    #[description = "the task; in its thread it need not be named"]
    #[autocomplete = "complete::task"]
    task: Option<String>,
) -> Result<(), Trouble> {
    carry(ctx, Level::Operator, task, "Resume", |task| Verb::Resume { task: Some(task) }).await
}

/// Do a task that is done once more, on top of what is merged (rewind, redo)
#[poise::command(slash_command)]
async fn reopen(
    ctx: Context<'_>,
    #[description = "the task; in its thread it need not be named"]
    #[autocomplete = "complete::task"]
    task: Option<String>,
    #[description = "what the agent should know"] note: Option<String>,
    #[description = "also what builds on it"] downstream: Option<bool>,
) -> Result<(), Trouble> {
    let downstream = downstream.unwrap_or(false);
    let verb = |task| Verb::Rewind { task, note, downstream };
    carry(ctx, Level::Operator, task, "Reopen", verb).await
}

/// Take the last merge into a lane back, or all that came after a task (undo)
#[poise::command(slash_command)]
async fn reset(
    ctx: Context<'_>,
    #[description = "the task; in its thread it need not be named"]
    #[autocomplete = "complete::task"]
    task: Option<String>,
    #[description = "keep this one and take back what was merged after it"] after: Option<bool>,
    #[description = "without it you are told what would move"] do_it: Option<bool>,
) -> Result<(), Trouble> {
    let verb = |task| Verb::Undo {
        what: if after == Some(true) { Undo::After { task } } else { Undo::Task { task } },
    };
    carry_or_plan(ctx, Level::Approver, task, "Take back", do_it != Some(true), verb).await
}

/// Start a task before or after others (reprioritise, order)
#[poise::command(slash_command)]
async fn priority(
    ctx: Context<'_>,
    #[description = "lower goes first"] priority: i32,
    #[description = "the task; in its thread it need not be named"]
    #[autocomplete = "complete::task"]
    task: Option<String>,
) -> Result<(), Trouble> {
    let label = format!("priority {priority}");
    carry(ctx, Level::Operator, task, &label, |task| Verb::Reprioritise { task, priority }).await
}

/// What an attempt and its gates wrote, as a file (output, transcript)
#[poise::command(slash_command)]
async fn logs(
    ctx: Context<'_>,
    #[description = "the task; in its thread it need not be named"]
    #[autocomplete = "complete::task"]
    task: Option<String>,
    #[description = "which attempt, from 1; the latest without a number"]
    #[min = 1]
    attempt: Option<u32>,
) -> Result<(), Trouble> {
    let front = ctx.data();
    look(ctx, task, async |_, view, task| {
        let begun = view.tasks[task.at()].attempts;
        let id = &view.info.graph.task(task).id;
        let wanted = attempt.unwrap_or(begun);
        if wanted == 0 || wanted > begun {
            return Err(Failure::user(format!("`{id}` has had {begun} attempts")).into());
        }
        let post = front.board.log_post(view, task, wanted - 1).await;
        Ok(post.ok_or_else(|| Failure::user(format!("`{id}` has written nothing yet")))?)
    })
    .await
}

/// What a task changes (patch, changes)
#[poise::command(slash_command)]
async fn diff(
    ctx: Context<'_>,
    #[description = "the task; in its thread it need not be named"]
    #[autocomplete = "complete::task"]
    task: Option<String>,
) -> Result<(), Trouble> {
    let front = ctx.data();
    look(ctx, task, async |_, view, task| {
        let proposal = view.tasks[task.at()].proposal();
        let id = &view.info.graph.task(task).id;
        let proposal =
            proposal.ok_or_else(|| Failure::user(format!("`{id}` has no change yet")))?;
        let diff = front.house.office.diff(&view.info, &proposal.base, &proposal.commit).await?;
        let mut post =
            Post::text(format!("`{}..{}`", proposal.base.short(), proposal.commit.short()));
        post.file = Some(crate::discord::post::Attachment {
            name: "change.diff",
            description: format!("What {id} changes"),
            bytes: diff.into_bytes().into(),
        });
        Ok(post)
    })
    .await
}

/// Why a task does not run (reason, waiting, blocked)
#[poise::command(slash_command)]
async fn why(
    ctx: Context<'_>,
    #[description = "the task; in its thread it need not be named"]
    #[autocomplete = "complete::task"]
    task: Option<String>,
) -> Result<(), Trouble> {
    look(ctx, task, async |_, view, task| Ok(Post::text(words::why(view, task)))).await
}

/// Tell an agent something while it works (message, note)
#[poise::command(slash_command)]
async fn steer(
    ctx: Context<'_>,
    #[description = "what"] text: String,
    #[description = "the task; in its thread it need not be named"]
    #[autocomplete = "complete::task"]
    task: Option<String>,
) -> Result<(), Trouble> {
    let label = format!("steer “{}”", fit(&inline(&text), 300));
    carry(ctx, Level::Operator, task, &label, |task| Verb::Steer { task, text }).await
}

/// Answer an agent's question (reply)
#[poise::command(slash_command)]
async fn answer(
    ctx: Context<'_>,
    #[description = "the answer"] text: String,
    #[description = "the task; in its thread it need not be named"]
    #[autocomplete = "complete::task"]
    task: Option<String>,
) -> Result<(), Trouble> {
    let label = format!("answer “{}”", fit(&inline(&text), 300));
    carry(ctx, Level::Operator, task, &label, |task| Verb::Answer { task, text }).await
}

/// Let a task's pull request through as it is now (accept, merge)
#[poise::command(slash_command)]
async fn approve(
    ctx: Context<'_>,
    #[description = "the task; in its thread it need not be named"]
    #[autocomplete = "complete::task"]
    task: Option<String>,
) -> Result<(), Trouble> {
    let verb = |id| Verb::Approve { target: Target::Task(id), commit: None };
    carry(ctx, Level::Approver, task, "Approve", verb).await
}

/// Send a task's pull request back (decline)
#[poise::command(slash_command)]
async fn reject(
    ctx: Context<'_>,
    #[description = "what is to be changed"] note: String,
    #[description = "the task; in its thread it need not be named"]
    #[autocomplete = "complete::task"]
    task: Option<String>,
) -> Result<(), Trouble> {
    let label = format!("Reject: {}", fit(&inline(&note), 300));
    let verb = |id| Verb::Reject { target: Target::Task(id), commit: None, note: Some(note) };
    carry(ctx, Level::Approver, task, &label, verb).await
}

/// Run one task without writing a graph (new, create, ad hoc)
#[expect(clippy::too_many_arguments, reason = "each option of the command is one")]
#[poise::command(slash_command)]
async fn add(
    ctx: Context<'_>,
    #[description = "what the agent is to do"] instructions: String,
    #[description = "the command that must pass on the result"] gate: Option<String>,
    #[description = "the project; the channel's own without one"]
    #[autocomplete = "complete::project"]
    project: Option<String>,
    #[description = "the agent profile"] agent: Option<String>,
    #[description = "lower goes first; 100 without"] priority: Option<i32>,
    #[description = "its agent leaves a plan first"] plan: Option<bool>,
    #[description = "begin when this task has ended well"]
    #[autocomplete = "complete::task"]
    after: Option<String>,
) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let front = ctx.data();
        let mut others = Vec::new();
        if let Some(named) = &after {
            let asked = "begin after a task";
            let found = front.task(&line, Level::Operator, Some(named), asked).await;
            let (_, view, task) = found?;
            let task = view.info.graph.task(task).id.clone();
            others.push(After { run: view.info.id, name: view.info.name.clone(), task });
        }
        let plan = plan.unwrap_or_default();
        let extra = super::submit::One { gate, agent, priority, plan, after: others };
        super::submit::one_task(front, &line, project.as_deref(), &instructions, extra).await
    };
    line.finish(done.await).await;
    Ok(())
}

/// Tells the agent of this thread's task what the message says.
#[poise::command(context_menu_command = "Steer with this")]
pub(crate) async fn steer_with_this(ctx: Context<'_>, message: Message) -> Result<(), Trouble> {
    let text = message.content.clone();
    let label = format!("steer “{}”", fit(&inline(&text), 300));
    carry(ctx, Level::Operator, None, &label, |task| Verb::Steer { task, text }).await
}
