//! `/hook`: what happens by itself when something else happens, or it is time.

use std::fmt::Write as _;

use crate::discord::bot::answer::{Field, Line};
use crate::discord::bot::commands::{ANSWER_UNITS, joined, line as line_of, open};
use crate::discord::bot::front::Front;
use crate::discord::bot::{Context, Trouble, complete};
use crate::discord::gate::{Actor, Level};
use crate::discord::keys::{Key, On, Press};
use crate::discord::post::Post;
use crate::discord::text::{block, fit, inline, units};
use crate::failure::Failure;
use crate::hooks::rules::{HookRun, Status};
use crate::hooks::{Asked, Given, Kept, Told};
use crate::ids::HookName;

/// Runs that are shown at once.
const RUNS_SHOWN: u32 = 10;

/// The longest hook that fits into a form ("Text Input", `max_length`).
const FORM_UNITS_MAX: usize = 4_000;

/// Hooks: what happens by itself, when it happens, what it did
#[poise::command(
    slash_command,
    subcommand_required,
    subcommands("list", "add", "edit", "remove", "enable", "disable", "fire", "runs")
)]
pub(crate) async fn hook(_: Context<'_>) -> Result<(), Trouble> {
    Ok(())
}

fn name(text: &str) -> Result<HookName, Failure> {
    text.parse().map_err(|why| Failure::user(format!("`{text}` is no name of a hook: {why}")))
}

/// The hooks that somebody may see; who may see none is told so.
async fn seen(front: &Front, actor: &Actor, asked: &str) -> Result<Vec<Told>, Trouble> {
    let mut all = front.house.office.hooks().await?;
    let all_seen = front.board.options().rules.authorize(actor, Level::Viewer, None).is_ok();
    all.retain(|hook| hook.project.as_ref().map_or(all_seen, |p| front.sees(actor, p)));
    if all.is_empty() {
        front.permit(actor, Level::Viewer, None, asked).await?;
    }
    Ok(all)
}

fn said(given: &Given) -> Post {
    Post::text(format!("✓ {}", inline(&given.sentence)))
}

/// The hooks that you may see, and how they stand
#[poise::command(slash_command)]
async fn list(ctx: Context<'_>) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let hooks = seen(ctx.data(), &line.actor, "list hooks").await?;
        let parts = hooks.iter().map(part).collect();
        Ok(joined(parts, "there are no hooks: `/hook add` makes one"))
    };
    line.finish(done.await).await;
    Ok(())
}

fn part(hook: &Told) -> String {
    let sign = if hook.enabled { '●' } else { '○' };
    let mut text = format!("{sign} **{}** {}", hook.name, inline(&hook.on));
    if let Some(project) = &hook.project {
        let _ = write!(text, " · {project}");
    }
    if let Some(next) = hook.next {
        let _ = write!(text, " · next <t:{}:R>", next.0 / 1_000);
    }
    for (number, what) in [
        (u64::from(hook.running), "at work"),
        (hook.waiting as u64, "waiting"),
        (hook.state.held_back, "held back"),
        (hook.state.dropped, "dropped"),
    ] {
        if number > 0 {
            let _ = write!(text, " · {number} {what}");
        }
    }
    let over = if hook.shadows { ", over one of the store" } else { "" };
    let _ = write!(text, "\n-# {}{over}", hook.source);
    text
}

/// A form to write or change a hook in; what it does is a program, so only admins get it.
async fn form(line: &Line, press: Press, text: &str) -> Result<(), Trouble> {
    if units(text) > FORM_UNITS_MAX {
        return Err(Failure::user("this hook is too long for a form").into());
    }
    let placeholder = "name: nightly\nproject: shop\non: {every: 1h}\nsteps:\n  - notify: hello";
    let field = Field { label: "The hook, as YAML", value: text, placeholder, required: true };
    line.form(&Key::new(press, On::All).to_string(), "Hook", &field).await
}

/// What was written in a form.
pub(crate) async fn written(
    front: &Front,
    line: &Line,
    press: Press,
    text: String,
) -> Result<Post, Trouble> {
    let replace = press == Press::EditHook;
    let asked = if replace { "change a hook" } else { "make a hook" };
    change(front, line, Kept::Put { text, replace }, asked).await
}

async fn change(front: &Front, line: &Line, change: Kept, asked: &str) -> Result<Post, Trouble> {
    front.permit(&line.actor, Level::Admin, None, asked).await?;
    let given = front.house.office.change_hook(change).await;
    let outcome = given.as_ref().map_or_else(|why| why.message.clone(), |g| g.sentence.clone());
    front.audit(&line.actor, asked, None, true, &outcome).await;
    Ok(said(&given?))
}

/// Make a hook: what sets it off, and what it does (new, create)
#[poise::command(slash_command)]
async fn add(ctx: Context<'_>) -> Result<(), Trouble> {
    let (front, line) = (ctx.data(), line_of(&ctx));
    let shown = async {
        front.permit(&line.actor, Level::Admin, None, "make a hook").await?;
        form(&line, Press::AddHook, "").await
    };
    if let Err(trouble) = shown.await {
        drop(line.reply_now(&Post::text(trouble.sentence())).await);
    }
    Ok(())
}

/// Change a hook that was made by a command
#[poise::command(slash_command)]
async fn edit(
    ctx: Context<'_>,
    #[description = "the hook"]
    #[autocomplete = "complete::hook"]
    hook: String,
) -> Result<(), Trouble> {
    let (front, line) = (ctx.data(), line_of(&ctx));
    let shown = async {
        front.permit(&line.actor, Level::Admin, None, "change a hook").await?;
        let text = front.house.office.hook_text(&name(&hook)?).await?;
        form(&line, Press::EditHook, &text).await
    };
    if let Err(trouble) = shown.await {
        drop(line.reply_now(&Post::text(trouble.sentence())).await);
    }
    Ok(())
}

async fn changed(
    ctx: Context<'_>,
    hook: &str,
    asked: &str,
    of: impl FnOnce(HookName) -> Kept,
) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async { change(ctx.data(), &line, of(name(hook)?), asked).await };
    line.finish(done.await).await;
    Ok(())
}

/// Remove a hook that was made by a command (delete)
#[poise::command(slash_command)]
async fn remove(
    ctx: Context<'_>,
    #[description = "the hook"]
    #[autocomplete = "complete::hook"]
    hook: String,
) -> Result<(), Trouble> {
    changed(ctx, &hook, "remove a hook", |hook| Kept::Remove { hook }).await
}

/// Switch a hook on
#[poise::command(slash_command)]
async fn enable(
    ctx: Context<'_>,
    #[description = "the hook"]
    #[autocomplete = "complete::hook"]
    hook: String,
) -> Result<(), Trouble> {
    changed(ctx, &hook, "switch a hook on", |hook| Kept::Enable { hook, on: true }).await
}

/// Switch a hook off; what waits of it is dropped
#[poise::command(slash_command)]
async fn disable(
    ctx: Context<'_>,
    #[description = "the hook"]
    #[autocomplete = "complete::hook"]
    hook: String,
) -> Result<(), Trouble> {
    changed(ctx, &hook, "switch a hook off", |hook| Kept::Enable { hook, on: false }).await
}

/// Set a hook off by hand (run, trigger)
#[poise::command(slash_command)]
async fn fire(
    ctx: Context<'_>,
    #[description = "the hook"]
    #[autocomplete = "complete::hook"]
    hook: String,
    #[description = "only say what it would do"] dry_run: Option<bool>,
    #[description = "if it is at work, wait behind that"] queue: Option<bool>,
) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let front = ctx.data();
        let hook = name(&hook)?;
        let known = seen(front, &line.actor, "set a hook off").await?;
        let project = known.iter().find(|known| known.name == hook);
        let project = project.and_then(|hook| hook.project.clone());
        let asked = format!("set hook {hook} off");
        let permit = front.permit(&line.actor, Level::Operator, project.as_ref(), &asked).await?;
        let (queue, dry_run) = (queue == Some(true), dry_run == Some(true));
        let who = permit.who().to_owned();
        let order = Asked { hook, who, event: Default::default(), queue, dry_run };
        let given = front.house.office.fire_hook(order).await?;
        if dry_run {
            let lines = fit(&block(&given.lines.join("\n")), ANSWER_UNITS);
            return Ok(Post::text(format!("{}\n```\n{lines}\n```", inline(&given.sentence))));
        }
        front.audit(&line.actor, &asked, None, true, &given.sentence).await;
        Ok(said(&given))
    };
    line.finish(done.await).await;
    Ok(())
}

/// What hooks did, do and are still to do (history, log)
#[poise::command(slash_command)]
async fn runs(
    ctx: Context<'_>,
    #[description = "one hook; all without"]
    #[autocomplete = "complete::hook"]
    hook: Option<String>,
) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let front = ctx.data();
        let known = seen(front, &line.actor, "list runs of hooks").await?;
        let hook = hook.map(|hook| name(&hook)).transpose()?;
        let runs = front.house.office.hook_runs(hook.as_ref(), RUNS_SHOWN).await?;
        let visible = |run: &&HookRun| known.iter().any(|hook| hook.name == run.hook);
        let parts = runs.iter().filter(visible).map(run_part).collect();
        Ok(joined(parts, "no hook was set off yet"))
    };
    line.finish(done.await).await;
    Ok(())
}

fn run_part(run: &HookRun) -> String {
    let sign = match run.status {
        Status::Succeeded => '✓',
        Status::Skipped => '·',
        Status::Queued | Status::Running => '▸',
        Status::Failed | Status::Dropped | Status::Lost => '✗',
    };
    let mut text = format!(
        "{sign} **{}** #{} {} <t:{}:R> · {}",
        run.hook,
        run.id,
        run.status.word(),
        run.created_at.0 / 1_000,
        inline(&fit(&run.trigger, 120)),
    );
    if run.count > 1 {
        let _ = write!(text, " (and {} more)", run.count - 1);
    }
    if let Some(why) = &run.why {
        let _ = write!(text, "\n-# {}", inline(&fit(why, 200)));
    }
    if !run.made.is_empty() {
        let _ = write!(text, "\n-# submitted {}", inline(&run.made.join(", ")));
        if run.tokens > 0 {
            let _ = write!(text, ", {} tokens", run.tokens);
        }
    }
    text
}
