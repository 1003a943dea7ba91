//! `/memory`: what tasks that are done left behind for later ones.

use std::fmt::Write as _;

use crate::control::memory::missing;
use crate::discord::bot::answer::Line;
use crate::discord::bot::clicks::said;
use crate::discord::bot::commands::{joined, open};
use crate::discord::bot::front::Front;
use crate::discord::bot::{Context, Trouble, complete};
use crate::discord::gate::Level;
use crate::discord::text::{fit, inline};
use crate::failure::Failure;
use crate::orchestrator::GlobalVerb;
use crate::state::Remembered;
use crate::store::{self, Search};

/// Memories that are shown at most, and how much of each thing that they say: of what is longer few
/// would fit into one answer.
const SHOWN: u32 = 10;
const SAID_UNITS: usize = 200;

/// Memory: what tasks did, learned and doubted, for later ones
#[poise::command(slash_command, subcommand_required, subcommands("search", "forget"))]
pub(crate) async fn memory(_: Context<'_>) -> Result<(), Trouble> {
    Ok(())
}

fn trouble(error: &store::Error) -> Failure {
    Failure::outside(error.to_string())
}

/// What earlier tasks left behind that has any of these words (find, learned)
#[poise::command(slash_command)]
async fn search(
    ctx: Context<'_>,
    #[description = "the words"]
    #[max_length = 200]
    words: String,
    #[description = "the project; the channel's own without one"]
    #[autocomplete = "complete::project"]
    project: Option<String>,
) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let front = ctx.data();
        let id = front.project(&line.actor, project.as_deref(), line.channel).await?;
        front.permit(&line.actor, Level::Viewer, Some(&id), "search memories").await?;
        let search = Search { text: words, project: Some(id), without: None, limit: SHOWN };
        let found = front.board.doors.recall.search(&search).await;
        let found = found.map_err(|error| trouble(&error))?;
        let parts = found.iter().map(part).collect();
        Ok(joined(parts, "nothing that is remembered has these words"))
    };
    line.finish(done.await).await;
    Ok(())
}

fn part(found: &Remembered) -> String {
    let memory = &found.memory;
    let mut text = format!(
        "**{}** {} · {} · <t:{}:R>",
        found.id,
        memory.source(),
        inline(&fit(&memory.title, SAID_UNITS)),
        memory.place.at.0 / 1_000
    );
    for (what, said) in memory.parts() {
        let _ = write!(text, "\n-# {what}: {}", inline(&fit(said, SAID_UNITS)));
    }
    text
}

/// Forget one: later tasks are not told of it (remove, delete)
#[poise::command(slash_command)]
async fn forget(
    ctx: Context<'_>,
    #[description = "its number, as `/memory search` shows it"] number: i64,
) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let (front, asked) = (ctx.data(), format!("Forget memory {number}"));
        let found = known(front, &line, number, &asked).await?;
        let project = Some(&found.memory.place.project);
        let permit = front.permit(&line.actor, Level::Operator, project, &asked).await?;
        let verb = GlobalVerb::Forget { id: number };
        Ok(said(&front.carry_out_global(&line.actor, &permit, verb, &asked).await?))
    };
    line.finish(done.await).await;
    Ok(())
}

/// A memory of a project that somebody may see; who may see none is told so.
async fn known(
    front: &Front,
    line: &Line,
    number: i64,
    asked: &str,
) -> Result<Remembered, Trouble> {
    let found = front.board.doors.recall.memory(number).await.map_err(|error| trouble(&error))?;
    let sees = |found: &Remembered| front.sees(&line.actor, &found.memory.place.project);
    if let Some(found) = found.filter(sees) {
        return Ok(found);
    }
    let projects = front.house.office.projects().await;
    if !projects.iter().any(|project| front.sees(&line.actor, &project.id)) {
        front.permit(&line.actor, Level::Viewer, None, asked).await?;
    }
    Err(missing(number).into())
}
