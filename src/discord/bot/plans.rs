//! Plans: their buttons, their form, and `/plan`.

use crate::discord::board::words;
use crate::discord::bot::answer::{Field, Line};
use crate::discord::bot::clicks::{said, verb_of};
use crate::discord::bot::commands::task::look;
use crate::discord::bot::commands::{line, open};
use crate::discord::bot::front::Carry;
use crate::discord::bot::{Context, Trouble, complete};
use crate::discord::gate::Level;
use crate::discord::keys::{Key, More, On, Press};
use crate::discord::text::units;
use crate::failure::Failure;
use crate::ids::TaskId;
use crate::orchestrator::{OnPlan, RunView, Verb};

/// What fits into a text field of a form.
const FORM_UNITS_MAX: usize = 4_000;

/// The verb of a button or a form about a plan.
pub(crate) fn verb(task: TaskId, key: &Key, text: String) -> Verb {
    let shown = if let More::Plan(digest) = &key.more { Some(digest.clone()) } else { None };
    let what = if key.press == Press::EditPlan {
        OnPlan::Edit { text }
    } else if key.press == Press::ChangePlan {
        OnPlan::Change { note: text }
    } else if key.press == Press::DiscardPlan {
        OnPlan::Discard
    } else {
        OnPlan::Approve
    };
    Verb::Plan { task, what, shown }
}

/// The form that holds a plan.
pub(crate) async fn edit_form(line: &Line, view: &RunView, key: &Key) -> Result<(), Trouble> {
    let On::Task(_, task) = key.on else {
        return Err(Failure::user("no task is meant").into());
    };
    let plan = view.tasks.get(task.at()).and_then(|record| record.plan());
    let plan = plan.ok_or_else(|| Failure::user("there is no plan any more"))?;
    if units(&plan.text) > FORM_UNITS_MAX {
        let name = format!("{}/{}", view.info.name, view.info.graph.task(task).id);
        return Err(Failure::user("this plan is too long for a form")
            .hint(format!("where the daemon runs: `taskloom plan edit {name} --file FILE`"))
            .hint("or ask for another plan with a note")
            .into());
    }
    let label = "A heading (##) with a text for each step";
    let field = Field { label, value: &plan.text, placeholder: "## Add the table", required: true };
    line.form(&key.to_string(), "The plan", &field).await
}

/// Plans: look at the one of a task, and decide about it
#[poise::command(
    slash_command,
    subcommand_required,
    subcommands("show", "approve", "edit", "reject", "discard")
)]
pub(crate) async fn plan(_: Context<'_>) -> Result<(), Trouble> {
    Ok(())
}

/// The plan of a task, with its buttons if it waits for a decision
#[poise::command(slash_command)]
async fn show(
    ctx: Context<'_>,
    #[description = "the task; in its thread it need not be named"]
    #[autocomplete = "complete::task"]
    task: Option<String>,
) -> Result<(), Trouble> {
    look(ctx, task, async |_, view, task| {
        let id = &view.info.graph.task(task).id;
        let missing = || Failure::user(format!("task `{id}` left no plan"));
        Ok(words::plan(view, task).ok_or_else(missing)?)
    })
    .await
}

/// Make the steps of a plan tasks of its run
#[poise::command(slash_command)]
async fn approve(
    ctx: Context<'_>,
    #[description = "the task; in its thread it need not be named"]
    #[autocomplete = "complete::task"]
    task: Option<String>,
) -> Result<(), Trouble> {
    decide(ctx, task, Press::ApprovePlan, None).await
}

/// Change the text of a plan; it is shown again
#[poise::command(slash_command)]
async fn edit(
    ctx: Context<'_>,
    #[description = "the task; in its thread it need not be named"]
    #[autocomplete = "complete::task"]
    task: Option<String>,
) -> Result<(), Trouble> {
    let line = line(&ctx);
    // A form must be the first answer.
    let opened = async {
        let named = task.as_deref();
        let (_, view, task) = ctx.data().task(&line, Level::Approver, named, "edit a plan").await?;
        let key = words::plan_key(&view, task, Press::EditPlan);
        edit_form(&line, &view, &key).await
    };
    if let Err(trouble) = opened.await {
        drop(line.reply_now(&crate::discord::post::Post::text(trouble.sentence())).await);
    }
    Ok(())
}

/// Have the agent plan again, with a note (request changes)
#[poise::command(slash_command)]
async fn reject(
    ctx: Context<'_>,
    #[description = "what is to be different"] note: String,
    #[description = "the task; in its thread it need not be named"]
    #[autocomplete = "complete::task"]
    task: Option<String>,
) -> Result<(), Trouble> {
    decide(ctx, task, Press::ChangePlan, Some(note)).await
}

/// Go on without the plan of a task
#[poise::command(slash_command)]
async fn discard(
    ctx: Context<'_>,
    #[description = "the task; in its thread it need not be named"]
    #[autocomplete = "complete::task"]
    task: Option<String>,
) -> Result<(), Trouble> {
    decide(ctx, task, Press::DiscardPlan, None).await
}

async fn decide(
    ctx: Context<'_>,
    named: Option<String>,
    press: Press,
    text: Option<String>,
) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let (front, label) = (ctx.data(), super::clicks::label(press));
        let found = front.task(&line, Level::Approver, named.as_deref(), label).await?;
        let (permit, view, task) = found;
        let verb = verb_of(&view, &words::plan_key(&view, task, press), text)?;
        let on = On::Task(view.info.id, task);
        let carry = Carry { actor: &line.actor, permit: &permit, view: &view, on, label };
        Ok(said(&front.carry_out(carry, verb, false).await?))
    };
    line.finish(done.await).await;
    Ok(())
}
