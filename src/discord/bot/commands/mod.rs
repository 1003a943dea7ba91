//! The slash commands and the entries of the message menu.

pub(crate) mod hooks;
mod lane;
mod memory;
mod projects;
mod run;
pub(crate) mod submit;
pub(crate) mod task;
mod whole;

use std::fmt::Write as _;

use crate::discord::bot::answer::Line;
use crate::discord::bot::{Context, Data, Trouble};
use crate::discord::post::Post;
use crate::discord::text::units;

/// All of them.
pub(crate) fn all() -> Vec<poise::Command<Data, Trouble>> {
    let mut all = vec![
        submit::submit(),
        task::task(),
        run::run(),
        run::archive(),
        run::restore(),
        lane::lane(),
        crate::discord::bot::plans::plan(),
        projects::project(),
        hooks::hook(),
        memory::memory(),
        whole::scheduler(),
        whole::status(),
        whole::queue(),
        whole::usage(),
        whole::stats(),
        whole::inbox(),
        whole::why(),
        whole::agents(),
        whole::verbosity(),
        whole::doctor(),
        whole::help(),
        submit::make_task(),
        task::steer_with_this(),
    ];
    for command in &mut all {
        guild_only(command);
    }
    all
}

/// Private messages are refused by Discord already, besides by the gate.
fn guild_only(command: &mut poise::Command<Data, Trouble>) {
    command.guild_only = true;
    command.subcommands.iter_mut().for_each(guild_only);
}

/// Text that fits into one answer.
const ANSWER_UNITS: usize = 1_800;

/// The parts, a line or more each, as many as fit into one answer.
fn joined(parts: Vec<String>, nothing: &str) -> Post {
    let mut text = String::new();
    let all = parts.len();
    for (at, part) in parts.into_iter().enumerate() {
        if units(&text) + units(&part) > ANSWER_UNITS {
            let _ = write!(text, "\n… and {} more", all - at);
            break;
        }
        let _ = write!(text, "{}{part}", if text.is_empty() { "" } else { "\n" });
    }
    Post::text(if text.is_empty() { nothing.to_owned() } else { text })
}

/// The interaction of a command, announced to be answered to the person alone or to all.
pub(crate) async fn open(ctx: &Context<'_>, private: bool) -> Result<Line, Trouble> {
    let line = line(ctx);
    line.defer(private).await?;
    Ok(line)
}

/// The interaction of a command.
pub(crate) fn line(ctx: &Context<'_>) -> Line {
    let poise::Context::Application(ctx) = ctx else {
        unreachable!("BUG: there are no commands with a prefix")
    };
    Line::of_command(&ctx.data().http, &ctx.data().board.outbox, ctx.interaction)
}

/// What became of a command that went wrong, to the person alone.
pub(crate) async fn failed(error: poise::FrameworkError<'_, Data, Trouble>) {
    if let poise::FrameworkError::Command { error, ctx, .. } = error {
        line(&ctx).answer(&Post::text(error.sentence())).await;
    } else if let poise::FrameworkError::CommandPanic { ctx, .. } = error {
        let post = Post::text("✗ this went wrong inside; the log says more");
        line(&ctx).answer(&post).await;
    } else if let poise::FrameworkError::ArgumentParse { error, ctx, .. } = error {
        tracing::debug!(%error, "an argument was not understood");
        let post = Post::text("✗ an option was not understood");
        drop(line(&ctx).reply_now(&post).await);
    } else {
        tracing::warn!(%error, "a command went wrong");
    }
}
