//! Commands about everything: what runs, what waits for a person, whether all is well.

use std::fmt::Write as _;
use std::time::Duration;

use crate::control::stats::{self, Stats};
use crate::control::usage::{self, By};
use crate::discord::board::{cards, words};
use crate::discord::bot::answer::Line;
use crate::discord::bot::clicks::said;
use crate::discord::bot::commands::{joined, open};
use crate::discord::bot::front::{Front, is_open};
use crate::discord::bot::{Context, Trouble, complete};
use crate::discord::gate::{Actor, Level};
use crate::discord::options::Verbosity;
use crate::discord::post::Post;
use crate::discord::text::{fit, inline};
use crate::failure::Failure;
use crate::ids::ProjectId;
use crate::orchestrator::{GlobalVerb, Item, RunView, inbox as everything};
use crate::render::progress::progress;
use crate::render::words::{count, duration, number};
use crate::state::{Subject, Usage};
use crate::store::Which;

/// Open runs that are looked into at most.
const RUNS_LOOKED_AT: usize = 50;

/// Names that a list of what was used shows; the chart has more.
const USAGE_ROWS_MAX: usize = 12;

/// Runs with something for a person that are looked into at most.
const INBOX_RUNS: usize = 200;

/// Open runs that somebody may see, latest first. Somebody who may see nothing is told so.
async fn open_runs(front: &Front, actor: &Actor, asked: &str) -> Result<Vec<RunView>, Trouble> {
    let runs = front.runs(actor).await?;
    if runs.is_empty() {
        front.permit(actor, Level::Viewer, None, asked).await?;
    }
    let mut views = Vec::new();
    for run in runs.iter().rev().filter(|run| is_open(run)).take(RUNS_LOOKED_AT) {
        views.push(front.view(run.id).await?);
    }
    Ok(views)
}

/// How all open runs stand (overview, dashboard)
#[poise::command(slash_command)]
pub(crate) async fn status(ctx: Context<'_>) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let views = open_runs(ctx.data(), &line.actor, "status").await?;
        let of = |view: &RunView| {
            let counts = words::picture(view).counts();
            let needs = words::needs_person(view).len();
            let needs = if needs > 0 { format!(" · **{needs} need you**") } else { String::new() };
            let held = view.held.as_ref().map(|held| format!(" · {held}")).unwrap_or_default();
            format!("**{}** `{}`{needs}{held}", view.info.name, progress(&counts))
        };
        Ok(joined(views.iter().map(of).collect(), "nothing is open"))
    };
    line.finish(done.await).await;
    Ok(())
}

/// What runs, what is next, and what waits for what (jobs, waiting)
#[poise::command(slash_command)]
pub(crate) async fn queue(
    ctx: Context<'_>,
    #[description = "one run; all open ones without"]
    #[autocomplete = "complete::run"]
    run: Option<String>,
) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let front = ctx.data();
        let views = match run {
            Some(named) => {
                vec![front.run(&line.actor, Level::Viewer, Some(&named), "queue").await?.1]
            }
            None => open_runs(front, &line.actor, "queue").await?,
        };
        Ok(joined(views.iter().map(words::queue).collect(), "nothing runs and nothing waits"))
    };
    line.finish(done.await).await;
    Ok(())
}

/// What waits for you: failures, questions, approvals (todo, needs me, pending)
#[poise::command(slash_command)]
pub(crate) async fn inbox(ctx: Context<'_>) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let front = ctx.data();
        // A run at rest may still wait for a decision, so not only open ones are looked at.
        let runs = front.some_runs(&line.actor, &Which::ForPeople).await?;
        if runs.is_empty() {
            front.permit(&line.actor, Level::Viewer, None, "inbox").await?;
        }
        let mut views = Vec::new();
        for run in runs.iter().rev().take(INBOX_RUNS) {
            views.push(front.view(run.id).await?);
        }
        let items = everything(&views);
        let all = items.len();
        let mut parts = Vec::new();
        if all > 1 {
            parts.push(format!("**{all} things wait for you**, what holds up most first:"));
        }
        for item in &items {
            parts.push(in_words(front, item).await);
        }
        Ok(joined(parts, "nothing waits for you"))
    };
    line.finish(done.await).await;
    Ok(())
}

/// One line of the list, with the thread of its task.
async fn in_words(front: &Front, item: &Item) -> String {
    let mut text = format!("**{}** {}", item.run, words::need(item));
    if let Some(held) = item.blocking() {
        let _ = write!(text, " · {held}");
    }
    let _ = write!(text, " · <t:{}:R>", item.since.0 / 1_000);
    if let Subject::Task(task) = item.subject
        && let Some(thread) = front.board.thread(item.id, task).await
    {
        let _ = write!(text, " → <#{thread}>");
    }
    text
}

/// Why a task does not run (reason, waiting, blocked)
#[poise::command(slash_command)]
pub(crate) async fn why(
    ctx: Context<'_>,
    #[description = "the task; in its thread it need not be named"]
    #[autocomplete = "complete::task"]
    task: Option<String>,
) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let found = ctx.data().task(&line, Level::Viewer, task.as_deref(), "why").await;
        let (_, view, task) = found?;
        Ok(Post::text(words::why(&view, task)))
    };
    line.finish(done.await).await;
    Ok(())
}

/// The agent profiles of this daemon (models, frameworks)
#[poise::command(slash_command)]
pub(crate) async fn agents(ctx: Context<'_>) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let front = ctx.data();
        front.permit(&line.actor, Level::Viewer, None, "list agents").await?;
        let agents = front.house.office.agents().into_iter();
        let lines = agents.map(|(name, what)| format!("`{name}`: {what}")).collect();
        Ok(joined(lines, "no profiles: tasks say themselves how their agents are run"))
    };
    line.finish(done.await).await;
    Ok(())
}

/// How much of what agents do is shown in threads (quiet, verbose)
#[poise::command(slash_command)]
pub(crate) async fn verbosity(
    ctx: Context<'_>,
    #[description = "how much"] level: Shown,
) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let front = ctx.data();
        front.permit(&line.actor, Level::Operator, None, "verbosity").await?;
        let verbosity = match level {
            Shown::Quiet => Verbosity::Quiet,
            Shown::Normal => Verbosity::Normal,
            Shown::All => Verbosity::All,
        };
        front.board.set_verbosity(verbosity);
        Ok(Post::text(format!("✓ threads show `{}` from now on", verbosity.word())))
    };
    line.finish(done.await).await;
    Ok(())
}

/// How much is shown.
#[derive(Debug, Clone, Copy, poise::ChoiceParameter)]
pub(crate) enum Shown {
    /// Beginnings, ends and what needs a person.
    #[name = "quiet"]
    Quiet,
    /// Also what agents write and do.
    #[name = "normal"]
    Normal,
    /// Also what agents think.
    #[name = "all"]
    All,
}

/// Everything at once: hold back, go on, drain
#[poise::command(slash_command, subcommand_required, subcommands("pause", "resume", "drain"))]
pub(crate) async fn scheduler(_: Context<'_>) -> Result<(), Trouble> {
    Ok(())
}

async fn carry(ctx: Context<'_>, verb: GlobalVerb, label: &str) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let front = ctx.data();
        let permit = front.permit(&line.actor, Level::Admin, None, label).await?;
        Ok(said(&front.carry_out_global(&line.actor, &permit, verb, label).await?))
    };
    line.finish(done.await).await;
    Ok(())
}

/// Start nothing new anywhere, also after a restart (hold, freeze)
#[poise::command(slash_command)]
async fn pause(ctx: Context<'_>) -> Result<(), Trouble> {
    carry(ctx, GlobalVerb::Pause { project: None }, "Pause everything").await
}

/// Go on with everything, also after a drain or in safe mode (continue)
#[poise::command(slash_command)]
async fn resume(ctx: Context<'_>) -> Result<(), Trouble> {
    carry(ctx, GlobalVerb::Resume { project: None }, "Resume everything").await
}

/// Start nothing new in this process; what runs goes on
#[poise::command(slash_command)]
async fn drain(ctx: Context<'_>) -> Result<(), Trouble> {
    carry(ctx, GlobalVerb::Drain, "Drain").await
}

/// What is right and wrong with the machine and the bot (health, check)
#[poise::command(slash_command)]
pub(crate) async fn doctor(ctx: Context<'_>) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let front = ctx.data();
        front.permit(&line.actor, Level::Admin, None, "doctor").await?;
        let findings = front.house.office.doctor().await;
        let lines = findings.iter().map(|finding| {
            let glyph = if finding.fine { '✓' } else { '✗' };
            format!("{glyph} {}", fit(&inline(&finding.sentence), 300))
        });
        Ok(joined(lines.collect(), "nothing was checked"))
    };
    line.finish(done.await).await;
    Ok(())
}

/// The project that somebody named and may see; without a name all that they may see are meant.
async fn one_or_all(
    front: &Front,
    line: &Line,
    named: Option<&str>,
    asked: &str,
) -> Result<Option<ProjectId>, Trouble> {
    let one = match named {
        Some(named) => Some(front.project(&line.actor, Some(named), line.channel).await?),
        None => None,
    };
    front.permit(&line.actor, Level::Viewer, one.as_ref(), asked).await?;
    Ok(one)
}

/// What agents used, with a chart (tokens, cost, budget)
#[poise::command(slash_command)]
pub(crate) async fn usage(
    ctx: Context<'_>,
    #[description = "one project; all that you may see without"]
    #[autocomplete = "complete::project"]
    project: Option<String>,
    #[description = "how many days back; 1 without"]
    #[min = 1]
    #[max = 90]
    days: Option<u32>,
) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let front = ctx.data();
        let one = one_or_all(front, &line, project.as_deref(), "look at what was used").await?;
        let now = front.board.doors.clock.now();
        let span = Duration::from_secs(u64::from(days.unwrap_or(1)) * 24 * 60 * 60);
        let (since, width) = (now - span, usage::bucket(span));
        let sums = front.board.doors.store.spent(since, width.as_millis() as i64).await;
        let mut sums = sums.map_err(|error| Failure::outside(error.to_string()))?;
        sums.retain(|sum| front.sees(&line.actor, &sum.project));
        let by = if one.is_some() { By::Profile } else { By::Project };
        let rows = usage::rows(&sums, by, one.as_ref());
        if rows.is_empty() {
            return Ok(Post::text("nothing was used in that time"));
        }
        let mut text = String::new();
        for row in rows.iter().take(USAGE_ROWS_MAX) {
            let (tokens, usd) = (number(row.usage.tokens.all()), row.usage.usd);
            let _ = writeln!(
                text,
                "**{}** {tokens} tokens · ${usd:.2} · {}",
                inline(&row.name),
                count(row.attempts, "attempt")
            );
        }
        let chart = usage::chart(&sums, by, one.as_ref(), (since, now), width);
        let mut post = Post::text(text);
        post.file = cards::chart(&chart);
        Ok(post)
    };
    line.finish(done.await).await;
    Ok(())
}

/// What figures are put together by.
#[derive(Debug, Clone, Copy, poise::ChoiceParameter)]
pub(crate) enum Together {
    /// The agent profile.
    #[name = "agent profile"]
    Profile,
    /// The model.
    #[name = "model"]
    Model,
    /// The project.
    #[name = "project"]
    Project,
    /// What kind of task it is.
    #[name = "role"]
    Role,
}

/// How attempts went: successes, retries, times, tokens (analytics, success rate)
#[poise::command(slash_command)]
pub(crate) async fn stats(
    ctx: Context<'_>,
    #[description = "one project; all that you may see without"]
    #[autocomplete = "complete::project"]
    project: Option<String>,
    #[description = "what they are put together by; the agent profile without"] by: Option<
        Together,
    >,
    #[description = "how many days back; 30 without"]
    #[min = 1]
    #[max = 365]
    days: Option<u32>,
) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = async {
        let front = ctx.data();
        let one = one_or_all(front, &line, project.as_deref(), "look at how attempts went").await?;
        let by = match by {
            Some(Together::Model) => stats::By::Model,
            Some(Together::Project) => stats::By::Project,
            Some(Together::Role) => stats::By::Role,
            Some(Together::Profile) | None => stats::By::Profile,
        };
        let span = Duration::from_secs(u64::from(days.unwrap_or(30)) * 24 * 60 * 60);
        let after = front.board.doors.clock.now() - span;
        let wanted =
            |id: &_| one.as_ref().is_none_or(|one| one == id) && front.sees(&line.actor, id);
        let lines = stats::stats(&*front.board.doors.store, after, by, wanted).await;
        let lines = lines.map_err(|error| Failure::outside(error.to_string()))?;
        Ok(joined(lines.iter().map(went).collect(), "no attempts in that time"))
    };
    line.finish(done.await).await;
    Ok(())
}

/// One line of it.
fn went(line: &Stats) -> String {
    let mut text = format!(
        "**{}** {} · {} succeeded · {} failed",
        inline(&line.by),
        count(u64::from(line.attempts), "attempt"),
        line.succeeded_in_words(),
        line.failed
    );
    if line.other > 0 {
        let _ = write!(text, " · {} stopped or under way", line.other);
    }
    if line.retries > 0 {
        let _ = write!(text, " · {} retried", line.retries);
    }
    if let (Some(median), Some(p90)) = (line.median_ms, line.p90_ms) {
        let [median, p90] = [median, p90].map(|ms| duration(Duration::from_millis(ms)));
        let _ = write!(text, " · half within {median}, nine of ten within {p90}");
    }
    if line.usage != Usage::default() {
        let (tokens, usd) = (number(line.usage.tokens.all()), line.usage.usd);
        let _ = write!(text, " · {tokens} tokens, ${usd:.2}");
    }
    text
}

/// What this bot can do
#[poise::command(slash_command)]
pub(crate) async fn help(ctx: Context<'_>) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let front = ctx.data();
    let admitted = front.runs(&line.actor).await;
    let options = front.board.options();
    let rules = &options.rules;
    let somewhere = !admitted.unwrap_or_default().is_empty();
    let done = match rules.authorize(&line.actor, Level::Viewer, None) {
        Err(denied) if !somewhere => Err(Trouble::from(denied)),
        _ => Ok(Post::text(HELP)),
    };
    line.finish(done).await;
    Ok(())
}

const HELP: &str = "\
`/submit graph` runs a graph: attach its YAML file, name one of the project's, or paste it. You see what it does first.
`/usage` what was used · `/stats` how attempts went · `/status` how everything stands · `/queue` what runs and what waits · `/inbox` what waits for you · `/why` the reason
`/task` look at, retry, skip, stop, steer, answer, approve · `/task add` one task without a graph
`/plan` look at what a task planned, approve, edit, reject, discard\n`/run` look at, pause, resume, cancel, draw · `/archive`, `/restore` · `/lane` look at, merge, reject, retry
`/memory` what earlier tasks left behind for later ones
`/project`, `/scheduler`, `/agents`, `/verbosity`, `/doctor`
Each task has a thread with its agent's output. Write there (with a mention of the bot) to tell its agent something.
Menu on a message: *Make this a task*, *Steer with this*.";
