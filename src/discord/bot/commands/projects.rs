//! `/project`: which there are, what holds them back, where they are shown.

use crate::control::settings::SettingsChange;
use crate::discord::bot::clicks::said;
use crate::discord::bot::commands::open;
use crate::discord::bot::{Context, Trouble, complete};
use crate::discord::gate::Level;
use crate::discord::post::Post;
use crate::discord::text::inline;
use crate::failure::Failure;
use crate::ids::ProjectId;
use crate::orchestrator::GlobalVerb;

/// Projects: which there are, hold one back, show it in a channel
#[poise::command(
    slash_command,
    subcommand_required,
    subcommands("list", "show", "add", "edit", "pause", "resume", "bind")
)]
pub(crate) async fn project(_: Context<'_>) -> Result<(), Trouble> {
    Ok(())
}

/// The projects that you may see
#[poise::command(slash_command)]
async fn list(ctx: Context<'_>) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let front = ctx.data();
        let mut known = front.house.office.projects().await;
        known.retain(|project| front.sees(&line.actor, &project.id));
        if known.is_empty() {
            front.permit(&line.actor, Level::Viewer, None, "list projects").await?;
            return Ok(Post::text(
                "no projects yet: name one under `projects:` in the configuration",
            ));
        }
        let mut lines = Vec::new();
        for project in known {
            let channel = front.board.channel(&project.id).await;
            let shown = channel.map_or("nowhere".to_owned(), |id| format!("<#{id}>"));
            lines.push(format!(
                "**{}** · `{}` · shown in {shown}",
                project.id, project.default_branch
            ));
        }
        Ok(Post::text(lines.join("\n")))
    };
    line.finish(done.await).await;
    Ok(())
}

/// The runs of a project and how they stand
#[poise::command(slash_command)]
async fn show(
    ctx: Context<'_>,
    #[description = "the project; the channel's own without one"]
    #[autocomplete = "complete::project"]
    project: Option<String>,
) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let front = ctx.data();
        let id = front.project(&line.actor, project.as_deref(), line.channel).await?;
        front.permit(&line.actor, Level::Viewer, Some(&id), "show a project").await?;
        let runs = front.runs(&line.actor).await?;
        let of = runs.iter().rev().filter(|run| run.project == id).take(10);
        let lines = of
            .map(|run| format!("**{}** · {} · <t:{}:R>", run.name, run.state, run.since.0 / 1_000));
        let lines: Vec<String> = lines.collect();
        let none = || "no runs yet: `/submit graph` starts one".to_owned();
        let lines = if lines.is_empty() { none() } else { lines.join("\n") };
        Ok(Post::text(format!("project **{id}**\n{lines}")))
    };
    line.finish(done.await).await;
    Ok(())
}

/// Make a clone on the daemon's machine known as a project (new, create)
#[poise::command(slash_command)]
async fn add(
    ctx: Context<'_>,
    #[description = "its name"] name: String,
    #[description = "where the clone is on the daemon's machine; or the URL to clone"] from: String,
) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let front = ctx.data();
        let asked = "add a project";
        let permit = front.permit(&line.actor, Level::Admin, None, asked).await?;
        let id: ProjectId = name
            .parse()
            .map_err(|why| Failure::user(format!("`{}` is no name: {why}", inline(&name))))?;
        let record = front.house.office.found(&id, &from).await?;
        let verb = GlobalVerb::SetProject { project: Box::new(record) };
        Ok(said(&front.carry_out_global(&line.actor, &permit, verb, asked).await?))
    };
    line.finish(done.await).await;
    Ok(())
}

/// Change a project's share, limits and agent (weight, budget)
#[poise::command(slash_command)]
async fn edit(
    ctx: Context<'_>,
    #[description = "the project"]
    #[autocomplete = "complete::project"]
    project: String,
    #[description = "its share beside others; 1 is the usual one"] weight: Option<f64>,
    #[description = "its agents at once; 0: as many as of any project"] max_agents: Option<u32>,
    #[description = "tokens within 24 hours; 0: no limit"] budget_tokens: Option<u64>,
    #[description = "US dollars within 24 hours; 0: no limit"] budget_usd: Option<f64>,
    #[description = "the agent of tasks that name none"] agent: Option<String>,
) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let front = ctx.data();
        let id = front.project(&line.actor, Some(&project), line.channel).await?;
        let asked = "change a project";
        let permit = front.permit(&line.actor, Level::Admin, Some(&id), asked).await?;
        let known = front.house.office.projects().await;
        let missing = || Failure::user(format!("there is no project `{id}`"));
        let mut record = known.into_iter().find(|p| p.id == id).ok_or_else(missing)?;
        let agent = agent.map(|agent| agent.parse()).transpose();
        let agent = agent.map_err(|why| Failure::user(format!("no agent's name: {why}")))?;
        let change = SettingsChange { weight, max_agents, budget_tokens, budget_usd, agent };
        change.apply(&mut record.settings)?;
        let verb = GlobalVerb::SetProject { project: Box::new(record) };
        Ok(said(&front.carry_out_global(&line.actor, &permit, verb, asked).await?))
    };
    line.finish(done.await).await;
    Ok(())
}

async fn hold(
    ctx: Context<'_>,
    named: Option<String>,
    label: &str,
    verb: impl FnOnce(ProjectId) -> GlobalVerb,
) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let front = ctx.data();
        let id = front.project(&line.actor, named.as_deref(), line.channel).await?;
        let permit = front.permit(&line.actor, Level::Operator, Some(&id), label).await?;
        Ok(said(&front.carry_out_global(&line.actor, &permit, verb(id), label).await?))
    };
    line.finish(done.await).await;
    Ok(())
}

/// Start nothing new in a project, also after a restart (hold)
#[poise::command(slash_command)]
async fn pause(
    ctx: Context<'_>,
    #[description = "the project; the channel's own without one"]
    #[autocomplete = "complete::project"]
    project: Option<String>,
) -> Result<(), Trouble> {
    hold(ctx, project, "Pause a project", |id| GlobalVerb::Pause { project: Some(id) }).await
}

/// Go on with a project (continue, unpause)
#[poise::command(slash_command)]
async fn resume(
    ctx: Context<'_>,
    #[description = "the project; the channel's own without one"]
    #[autocomplete = "complete::project"]
    project: Option<String>,
) -> Result<(), Trouble> {
    hold(ctx, project, "Resume a project", |id| GlobalVerb::Resume { project: Some(id) }).await
}

/// Show a project in this channel from now on (link, move)
#[poise::command(slash_command)]
async fn bind(
    ctx: Context<'_>,
    #[description = "the project"]
    #[autocomplete = "complete::project"]
    project: String,
) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let front = ctx.data();
        let id = front.project(&line.actor, Some(&project), line.channel).await?;
        let asked = "bind a project to a channel";
        front.permit(&line.actor, Level::Admin, Some(&id), asked).await?;
        front.board.bind(&id, line.channel).await;
        front.audit(&line.actor, asked, None, true, &format!("{id} to {}", line.channel)).await;
        Ok(Post::text(format!("✓ new runs of **{id}** are shown here")))
    };
    line.finish(done.await).await;
    Ok(())
}
