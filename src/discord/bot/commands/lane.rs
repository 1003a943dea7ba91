//! `/lane`: everything that can be done to an integration branch.

use crate::discord::bot::clicks::{planned, said};
use crate::discord::bot::commands::open;
use crate::discord::bot::front::Carry;
use crate::discord::bot::{Context, Trouble, complete};
use crate::discord::gate::Level;
use crate::discord::keys::On;
use crate::discord::post::Post;
use crate::discord::text::{fit, inline};
use crate::graph::LaneIx;
use crate::ids::LaneId;
use crate::orchestrator::{RunView, Target, Undo, Verb};

/// Lanes: look at one, let it be merged, try its merge again
#[poise::command(
    slash_command,
    subcommand_required,
    subcommands("show", "checks", "merge", "reject", "retry", "reset")
)]
pub(crate) async fn lane(_: Context<'_>) -> Result<(), Trouble> {
    Ok(())
}

async fn carry(
    ctx: Context<'_>,
    level: Level,
    named: &str,
    label: &str,
    dry_run: bool,
    verb: impl FnOnce(LaneId) -> Verb,
) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let front = ctx.data();
        let (permit, view, lane) = front.lane(&line.actor, level, named, label).await?;
        let verb = verb(view.info.graph.lane(lane).id.clone());
        let on = On::Lane(view.info.id, lane);
        let carry = Carry { actor: &line.actor, permit: &permit, view: &view, on, label };
        let receipt = front.carry_out(carry, verb, dry_run).await?;
        Ok(if dry_run { planned(&receipt) } else { said(&receipt) })
    };
    line.finish(done.await).await;
    Ok(())
}

async fn look(
    ctx: Context<'_>,
    named: &str,
    show: impl FnOnce(&RunView, LaneIx) -> Vec<String>,
) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let front = ctx.data();
        let asked = "look at a lane";
        let (_, view, lane) = front.lane(&line.actor, Level::Viewer, named, asked).await?;
        Ok(Post::text(show(&view, lane).join("\n")))
    };
    line.finish(done.await).await;
    Ok(())
}

/// How a lane stands (workstream, branch)
#[poise::command(slash_command)]
async fn show(
    ctx: Context<'_>,
    #[description = "the lane"]
    #[autocomplete = "complete::lane"]
    lane: String,
) -> Result<(), Trouble> {
    look(ctx, &lane, |view, lane| {
        let (spec, record) = (view.info.graph.lane(lane), &view.lanes[lane.at()]);
        let tasks = view.info.graph.lane_tasks(lane);
        let done = tasks.iter().filter(|t| view.tasks[t.at()].state.is_success()).count();
        let mut lines = vec![
            format!("**{}/{}** · {}", view.info.name, spec.id, record.state),
            format!("branch `{}`", view.info.branches().lane(&spec.id)),
            format!("{done} of {} tasks done", tasks.len()),
        ];
        lines.extend(record.failure.as_ref().map(|why| fit(&inline(why), 500)));
        lines.extend(record.delivered.as_ref().map(|delivered| inline(&delivered.sentence)));
        lines
    })
    .await
}

/// What was checked on the merge result of a lane (ci, evidence)
#[poise::command(slash_command)]
async fn checks(
    ctx: Context<'_>,
    #[description = "the lane"]
    #[autocomplete = "complete::lane"]
    lane: String,
) -> Result<(), Trouble> {
    look(ctx, &lane, |view, lane| {
        let head = format!("**{}/{}**", view.info.name, view.info.graph.lane(lane).id);
        let Some(check) = &view.lanes[lane.at()].checked else {
            return vec![head, "nothing was checked yet".to_owned()];
        };
        let mut lines = vec![head, format!("commit `{}`", check.commit.short())];
        lines.extend(check.checks.iter().map(|check| format!("✓ {}", fit(&inline(check), 200))));
        if check.checks.is_empty() {
            lines.push("it merges; the graph names no checks".to_owned());
        }
        lines
    })
    .await
}

/// Let a lane's pull request through as it is now (approve, accept)
#[poise::command(slash_command)]
async fn merge(
    ctx: Context<'_>,
    #[description = "the lane"]
    #[autocomplete = "complete::lane"]
    lane: String,
) -> Result<(), Trouble> {
    let verb = |id| Verb::Approve { target: Target::Lane(id), commit: None };
    carry(ctx, Level::Approver, &lane, "Approve", false, verb).await
}

/// Send a lane's pull request back (decline)
#[poise::command(slash_command)]
async fn reject(
    ctx: Context<'_>,
    #[description = "the lane"]
    #[autocomplete = "complete::lane"]
    lane: String,
    #[description = "why"] note: Option<String>,
) -> Result<(), Trouble> {
    let verb = |id| Verb::Reject { target: Target::Lane(id), commit: None, note };
    carry(ctx, Level::Approver, &lane, "Reject", false, verb).await
}

/// Try the merge of a failed lane again
#[poise::command(slash_command)]
async fn retry(
    ctx: Context<'_>,
    #[description = "the lane"]
    #[autocomplete = "complete::lane"]
    lane: String,
) -> Result<(), Trouble> {
    let verb =
        |id| Verb::Retry { target: Target::Lane(id), note: None, fresh: false, downstream: false };
    carry(ctx, Level::Operator, &lane, "Retry", false, verb).await
}

/// How a lane is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, poise::ChoiceParameter)]
pub(crate) enum Back {
    /// To where it began; what is in its target is reverted by a pull request.
    #[name = "to where it began"]
    ToBase,
    /// For good.
    #[name = "for good, with its branches and pull requests"]
    ForGood,
}

/// Take back what was merged into a lane (undo, revert, tear down)
#[poise::command(slash_command)]
async fn reset(
    ctx: Context<'_>,
    #[description = "the lane"]
    #[autocomplete = "complete::lane"]
    lane: String,
    #[description = "how far"] back: Option<Back>,
    #[description = "without it you are told what would move"] do_it: Option<bool>,
) -> Result<(), Trouble> {
    let verb = |lane| Verb::Undo {
        what: match back {
            Some(Back::ForGood) => Undo::TearDown { lane },
            Some(Back::ToBase) | None => Undo::Lane { lane },
        },
    };
    carry(ctx, Level::Approver, &lane, "Take back", do_it != Some(true), verb).await
}
