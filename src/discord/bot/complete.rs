//! What is offered while somebody types: runs, tasks, lanes, projects and graphs that they may
//! see, most urgent first.

use serenity::all::{AutocompleteChoice, CreateAutocompleteResponse};

use crate::discord::bot::Context;
use crate::discord::bot::answer::Line;
use crate::discord::bot::front::is_open;
use crate::discord::gate::Level;
use crate::discord::text::{clean, fit};
use crate::orchestrator::RunView;
use crate::render::Look;
use crate::state::RunRecord;
use crate::store::Which;

/// What Discord shows at most, and how long a name may be ("Application Command Option Choice").
const CHOICES_MAX: usize = 25;
const NAME_UNITS_MAX: usize = 100;

/// How many runs are looked into for tasks: typing must not wait.
const RUNS_LOOKED_AT: usize = 12;

fn line(ctx: &Context<'_>) -> Option<Line> {
    let poise::Context::Application(ctx) = ctx else { return None };
    let front = ctx.data();
    Some(Line::of_command(&front.http, &front.board.outbox, ctx.interaction))
}

/// Runs that somebody may see, open ones first, latest first.
async fn runs(ctx: &Context<'_>) -> Vec<RunRecord> {
    let Some(line) = line(ctx) else { return Vec::new() };
    let mut runs = ctx.data().runs(&line.actor).await.unwrap_or_default();
    runs.reverse();
    runs.sort_by_key(|run| !is_open(run));
    runs
}

fn choice(value: String, name: &str) -> AutocompleteChoice {
    AutocompleteChoice::new(fit(&clean(name).replace('\n', " "), NAME_UNITS_MAX), value)
}

/// The best of what fits what was typed.
fn pick(typed: &str, mut all: Vec<(u8, String, String)>) -> CreateAutocompleteResponse {
    let typed = typed.trim().to_lowercase();
    all.retain(|(_, value, name)| {
        value.chars().count() <= NAME_UNITS_MAX
            && (value.to_lowercase().contains(&typed) || name.to_lowercase().contains(&typed))
    });
    all.sort_by_key(|(rank, ..)| *rank);
    let best = all.into_iter().take(CHOICES_MAX);
    let choices = best.map(|(_, value, name)| choice(value, &name)).collect();
    CreateAutocompleteResponse::new().set_choices(choices)
}

fn spoken(run: &RunRecord, several: bool) -> String {
    if several { format!("{}:{}", run.project, run.name) } else { run.name.to_string() }
}

fn several(runs: &[RunRecord]) -> bool {
    runs.first().is_some_and(|first| runs.iter().any(|run| run.project != first.project))
}

/// Runs.
pub(crate) async fn run(ctx: Context<'_>, typed: &str) -> CreateAutocompleteResponse {
    let runs = runs(&ctx).await;
    let several = several(&runs);
    let all = runs.iter().map(|run| {
        let name = spoken(run, several);
        let said = format!("{name} · {}", run.state);
        (u8::from(!is_open(run)), name, said)
    });
    pick(typed, all.collect())
}

/// Runs that were put away, the latest first.
pub(crate) async fn archived(ctx: Context<'_>, typed: &str) -> CreateAutocompleteResponse {
    let Some(line) = line(&ctx) else { return CreateAutocompleteResponse::new() };
    let found = ctx.data().some_runs(&line.actor, &Which::Archived).await;
    let mut runs = found.unwrap_or_default();
    runs.reverse();
    let several = several(&runs);
    let of = |run: &RunRecord| {
        let name = spoken(run, several);
        let said = format!("{name} · {}", run.state);
        (0, name, said)
    };
    pick(typed, runs.iter().map(of).collect())
}

/// Tasks.
pub(crate) async fn task(ctx: Context<'_>, typed: &str) -> CreateAutocompleteResponse {
    parts(ctx, typed, |view, run| {
        let graph = &view.info.graph;
        let of = |at: usize| {
            let (spec, record) = (&graph.tasks()[at], &view.tasks[at]);
            let said = format!("{run}/{} · {} · {}", spec.id, spec.title, record.state.word());
            (urgency(Look::of(record.state)), format!("{run}/{}", spec.id), said)
        };
        (0..graph.tasks().len()).map(of).collect()
    })
    .await
}

/// Lanes.
pub(crate) async fn lane(ctx: Context<'_>, typed: &str) -> CreateAutocompleteResponse {
    parts(ctx, typed, |view, run| {
        let graph = &view.info.graph;
        let of = |at: usize| {
            let (spec, record) = (&graph.lanes()[at], &view.lanes[at]);
            let said = format!("{run}/{} · {}", spec.id, record.state);
            (urgency(Look::of_lane(record.state)), format!("{run}/{}", spec.id), said)
        };
        (0..graph.lanes().len()).map(of).collect()
    })
    .await
}

async fn parts(
    ctx: Context<'_>,
    typed: &str,
    of: impl Fn(&RunView, &str) -> Vec<(u8, String, String)>,
) -> CreateAutocompleteResponse {
    let runs = runs(&ctx).await;
    let several = several(&runs);
    let mut all = Vec::new();
    for run in runs.iter().take(RUNS_LOOKED_AT) {
        let Ok(view) = ctx.data().view(run.id).await else { continue };
        let later = if is_open(run) { 0 } else { 10 };
        let found = of(&view, &spoken(run, several));
        all.extend(found.into_iter().map(|(rank, value, name)| (rank + later, value, name)));
    }
    pick(typed, all)
}

/// Projects.
pub(crate) async fn project(ctx: Context<'_>, typed: &str) -> CreateAutocompleteResponse {
    let Some(line) = line(&ctx) else { return CreateAutocompleteResponse::new() };
    let known = ctx.data().house.office.projects().await;
    let seen = known.into_iter().filter(|project| ctx.data().sees(&line.actor, &project.id));
    pick(typed, seen.map(|p| (0, p.id.to_string(), p.id.to_string())).collect())
}

/// Hooks.
pub(crate) async fn hook(ctx: Context<'_>, typed: &str) -> CreateAutocompleteResponse {
    let Some(line) = line(&ctx) else { return CreateAutocompleteResponse::new() };
    let (front, actor) = (ctx.data(), &line.actor);
    let known = front.house.office.hooks().await.unwrap_or_default();
    let options = front.board.options();
    let all = options.rules.authorize(actor, Level::Viewer, None).is_ok();
    let seen = known
        .into_iter()
        .filter(|hook| hook.project.as_ref().map_or(all, |project| front.sees(actor, project)));
    let offered = seen.map(|hook| {
        (u8::from(!hook.enabled), hook.name.to_string(), format!("{} · {}", hook.name, hook.on))
    });
    pick(typed, offered.collect())
}

/// Graphs in the repository of the channel's project.
pub(crate) async fn graph(ctx: Context<'_>, typed: &str) -> CreateAutocompleteResponse {
    let Some(line) = line(&ctx) else { return CreateAutocompleteResponse::new() };
    let Ok(project) = ctx.data().project(&line.actor, None, line.channel).await else {
        return CreateAutocompleteResponse::new();
    };
    if !ctx.data().sees(&line.actor, &project) {
        return CreateAutocompleteResponse::new();
    }
    let names = ctx.data().house.office.graphs(&project).await;
    pick(typed, names.into_iter().map(|name| (0, name.clone(), name)).collect())
}

fn urgency(look: Look) -> u8 {
    match look {
        Look::AsksPerson | Look::Failed | Look::Stale => 0,
        Look::Running | Look::Merging => 1,
        Look::Paused | Look::Blocked | Look::Ready => 2,
        Look::Waiting | Look::Plain => 3,
        Look::Done | Look::Skipped | Look::Cancelled => 4,
    }
}
