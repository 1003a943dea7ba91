//! `/run`: everything that can be done to a run.

use crate::discord::board::{cards, words};
use crate::discord::bot::clicks::{planned, said};
use crate::discord::bot::commands::open;
use crate::discord::bot::front::Carry;
use crate::discord::bot::{Context, Trouble, complete};
use crate::discord::gate::Level;
use crate::discord::keys::On;
use crate::discord::post::Post;
use crate::orchestrator::{RunView, Undo, Verb};

/// How many runs are listed.
const RUNS_LISTED: usize = 15;

/// Runs: look at one, hold it back, give it up
#[poise::command(
    slash_command,
    subcommand_required,
    subcommands("list", "show", "graph", "pause", "resume", "cancel", "reset")
)]
pub(crate) async fn run(_: Context<'_>) -> Result<(), Trouble> {
    Ok(())
}

async fn carry(
    ctx: Context<'_>,
    named: Option<String>,
    label: &str,
    verb: Verb,
) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let front = ctx.data();
        let found = front.run(&line.actor, Level::Operator, named.as_deref(), label).await;
        let (permit, view) = found?;
        let on = On::Run(view.info.id);
        let carry = Carry { actor: &line.actor, permit: &permit, view: &view, on, label };
        Ok(said(&front.carry_out(carry, verb, false).await?))
    };
    line.finish(done.await).await;
    Ok(())
}

async fn look(
    ctx: Context<'_>,
    named: Option<String>,
    show: impl FnOnce(&RunView) -> Post,
) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let front = ctx.data();
        let asked = "look at a run";
        let (_, view) = front.run(&line.actor, Level::Viewer, named.as_deref(), asked).await?;
        Ok(show(&view))
    };
    line.finish(done.await).await;
    Ok(())
}

/// The latest runs and how they stand (history)
#[poise::command(slash_command)]
async fn list(ctx: Context<'_>) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let front = ctx.data();
        let runs = front.runs(&line.actor).await?;
        if runs.is_empty() {
            front.permit(&line.actor, Level::Viewer, None, "list runs").await?;
            return Ok(Post::text("no runs yet: `/submit graph` starts one"));
        }
        let lines = runs.iter().rev().take(RUNS_LISTED).map(|run| {
            let state = if run.paused { "paused".to_owned() } else { run.state.to_string() };
            format!(
                "**{}** · {state} · `{}` · <t:{}:R>",
                run.name,
                run.project,
                run.since.0 / 1_000
            )
        });
        Ok(Post::text(lines.collect::<Vec<_>>().join("\n")))
    };
    line.finish(done.await).await;
    Ok(())
}

/// How a run stands (status, progress)
#[poise::command(slash_command)]
async fn show(
    ctx: Context<'_>,
    #[description = "the run; the latest without one"]
    #[autocomplete = "complete::run"]
    run: Option<String>,
) -> Result<(), Trouble> {
    look(ctx, run, words::card).await
}

/// The graph of a run as a picture (dag, draw)
#[poise::command(slash_command)]
async fn graph(
    ctx: Context<'_>,
    #[description = "the run; the latest without one"]
    #[autocomplete = "complete::run"]
    run: Option<String>,
) -> Result<(), Trouble> {
    look(ctx, run, |view| {
        let mut post = Post::text(format!("**{}**", view.info.name));
        post.file = cards::drawing(view);
        post
    })
    .await
}

/// Start nothing new in a run; what runs goes on (hold)
#[poise::command(slash_command)]
async fn pause(
    ctx: Context<'_>,
    #[description = "the run; the latest without one"]
    #[autocomplete = "complete::run"]
    run: Option<String>,
) -> Result<(), Trouble> {
    carry(ctx, run, "Pause", Verb::Pause { task: None }).await
}

/// Go on with a run (continue, unpause)
#[poise::command(slash_command)]
async fn resume(
    ctx: Context<'_>,
    #[description = "the run; the latest without one"]
    #[autocomplete = "complete::run"]
    run: Option<String>,
) -> Result<(), Trouble> {
    carry(ctx, run, "Resume", Verb::Resume { task: None }).await
}

/// End the agents of a run and give it up (stop, abort, kill)
#[poise::command(slash_command)]
async fn cancel(
    ctx: Context<'_>,
    #[description = "the run"]
    #[autocomplete = "complete::run"]
    run: String,
) -> Result<(), Trouble> {
    carry(ctx, Some(run), "Cancel the run", Verb::Cancel { task: None }).await
}

/// Put a run away that rests: it leaves lists, nothing else changes (hide, tidy)
#[poise::command(slash_command)]
pub(crate) async fn archive(
    ctx: Context<'_>,
    #[description = "the run"]
    #[autocomplete = "complete::run"]
    run: String,
) -> Result<(), Trouble> {
    carry(ctx, Some(run), "Put away", Verb::Archive).await
}

/// Bring a run back that was put away; nothing runs again (unarchive, unhide)
#[poise::command(slash_command)]
pub(crate) async fn restore(
    ctx: Context<'_>,
    #[description = "the run"]
    #[autocomplete = "complete::archived"]
    run: String,
) -> Result<(), Trouble> {
    carry(ctx, Some(run), "Bring back", Verb::Restore).await
}

/// Take a whole run back, lane by lane, and give it up (undo, revert)
#[poise::command(slash_command)]
async fn reset(
    ctx: Context<'_>,
    #[description = "the run; the latest without one"]
    #[autocomplete = "complete::run"]
    run: Option<String>,
    #[description = "without it you are told what would move"] do_it: Option<bool>,
) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let (front, label, dry_run) = (ctx.data(), "Take back", do_it != Some(true));
        let found = front.run(&line.actor, Level::Approver, run.as_deref(), label).await;
        let (permit, view) = found?;
        let on = On::Run(view.info.id);
        let carry = Carry { actor: &line.actor, permit: &permit, view: &view, on, label };
        let verb = Verb::Undo { what: Undo::Run };
        let receipt = front.carry_out(carry, verb, dry_run).await?;
        Ok(if dry_run { planned(&receipt) } else { said(&receipt) })
    };
    line.finish(done.await).await;
    Ok(())
}
