//! `/submit graph`: from a file, a name or a form to a preview, and from there to a run.

use std::fmt::Write as _;
use std::time::Duration;

use serenity::all::{Attachment as Uploaded, Message};
use sha2::{Digest as _, Sha256};

use crate::control::inbox::AdHoc;
use crate::discord::board::cards;
use crate::discord::bot::answer::{Field, Line};
use crate::discord::bot::commands::{line as line_of, open};
use crate::discord::bot::front::{Draft, Front};
use crate::discord::bot::{Context, Trouble, complete};
use crate::discord::gate::Level;
use crate::discord::keys::{Key, On, Press};
use crate::discord::office::Order;
use crate::discord::post::{Attachment, Button, Post, Style};
use crate::discord::text::{block, fit, inline, units};
use crate::failure::Failure;
use crate::graph::{self, Framework, Graph};
use crate::ids::ProjectId;
use crate::render::{Dag, Look, words};
use crate::state::{After, RunOptions};

/// The largest file that is fetched: graphs are refused above 1 MiB, and those are for machines.
const FILE_BYTES_MAX: u32 = 256 * 1024;

/// How long a file may take to be fetched.
const FETCH: Duration = Duration::from_secs(10);

/// Where Discord keeps attachments.
const ATTACHMENT_HOSTS: [&str; 2] = ["cdn.discordapp.com", "media.discordapp.net"];

/// What Discord takes into a form ("Text Input", `value`).
const FORM_UNITS_MAX: usize = 4_000;

/// Submit something to be run
#[poise::command(slash_command, subcommand_required, subcommands("graph", "issue"))]
pub(crate) async fn submit(_: Context<'_>) -> Result<(), Trouble> {
    Ok(())
}

/// When a graph starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, poise::ChoiceParameter)]
pub(crate) enum Start {
    /// After somebody has seen what it does.
    #[name = "after preview"]
    AfterPreview,
    /// At once.
    #[name = "now"]
    Now,
}

/// Run a graph of tasks: attach its YAML file, name one of the project's, or paste it (start, new)
#[poise::command(slash_command)]

pub(crate) async fn graph(
    ctx: Context<'_>,
    #[description = "the YAML file"] file: Option<Uploaded>,
    #[description = "a graph in the project's repository"]
    #[autocomplete = "complete::graph"]
    name: Option<String>,
    #[description = "the project; the channel's own without one"]
    #[autocomplete = "complete::project"]
    project: Option<String>,
    #[description = "tasks at once"]
    #[min = 1]
    max_concurrency: Option<u32>,
    #[description = "play it without agents first"] rehearse: Option<bool>,
    #[description = "when it starts"] start: Option<Start>,
) -> Result<(), Trouble> {
    let front = ctx.data();
    let options = RunOptions { max_concurrency, ..RunOptions::default() };
    if file.is_none() && name.is_none() {
        let line = line_of(&ctx);
        if let Err(trouble) = paste(front, &line, project.as_deref(), options).await {
            drop(line.reply_now(&Post::text(trouble.sentence())).await);
        }
        return Ok(());
    }
    let line = open(&ctx, true).await?;
    let done = async {
        let id = admitted(front, &line, project.as_deref()).await?;
        let source = match (file, name) {
            (Some(file), _) => fetch(front, &file).await?,
            (None, name) => front.house.office.graph(&id, &name.unwrap_or_default()).await?,
        };
        let draft = Draft { project: id, source, options, user: line.actor.user, of: None };
        if rehearse == Some(true) {
            return rehearsal(front, &draft).await;
        }
        if start == Some(Start::Now) {
            checked(front, &draft).await?;
            return begin(front, &line, &draft, false).await;
        }
        preview(front, line.id(), draft).await
    };
    line.finish(done.await).await;
    Ok(())
}

/// Run an issue of the project's repository on GitHub as a task
#[poise::command(slash_command)]
pub(crate) async fn issue(
    ctx: Context<'_>,
    #[description = "its number"]
    #[min = 1]
    number: u32,
    #[description = "the project; the channel's own without one"]
    #[autocomplete = "complete::project"]
    project: Option<String>,
) -> Result<(), Trouble> {
    let front = ctx.data();
    let line = open(&ctx, true).await?;
    let done = async {
        let id = admitted(front, &line, project.as_deref()).await?;
        let number = u64::from(number);
        let source = front.house.office.issue(&id, number).await?;
        let options = RunOptions { issue: Some(number), ..RunOptions::default() };
        let draft = Draft { project: id, source, options, user: line.actor.user, of: None };
        preview(front, line.id(), draft).await
    };
    line.finish(done.await).await;
    Ok(())
}

/// The project, if the person may submit graphs to it.
async fn admitted(front: &Front, line: &Line, project: Option<&str>) -> Result<ProjectId, Trouble> {
    let found = front.project(&line.actor, project, line.channel).await;
    // The gate is asked first: who may do nothing is not told which projects there are.
    let known = found.as_ref().ok();
    front.permit(&line.actor, Level::Operator, known, "submit a graph").await?;
    found
}

async fn paste(
    front: &Front,
    line: &Line,
    project: Option<&str>,
    options: RunOptions,
) -> Result<(), Trouble> {
    let project = admitted(front, line, project).await?;
    let draft = Draft { project, source: String::new(), options, user: line.actor.user, of: None };
    front.keep_draft(line.id(), &draft).await?;
    edit_form(line, &Key::new(Press::Edit, On::Draft(line.id())).to_string(), "").await
}

/// A form to write or change a graph in.
pub(crate) async fn edit_form(line: &Line, key: &str, source: &str) -> Result<(), Trouble> {
    if units(source) > FORM_UNITS_MAX {
        return Err(Failure::user("this graph is too long for a form")
            .hint("change the file and attach it again: `/submit graph`")
            .into());
    }
    let placeholder = "name: greeting\ntasks:\n  - id: hello\n    description: …";
    let field = Field { label: "The graph, as YAML", value: source, placeholder, required: true };
    line.form(key, "Graph", &field).await
}

async fn fetch(front: &Front, file: &Uploaded) -> Result<String, Trouble> {
    if file.size > FILE_BYTES_MAX {
        return Err(Failure::user(format!(
            "the file has {}, more than {}",
            words::bytes(u64::from(file.size)),
            words::bytes(u64::from(FILE_BYTES_MAX))
        ))
        .into());
    }
    let trouble = |why: &str| {
        Trouble::from(Failure::outside(format!("the file could not be fetched: {why}")))
    };
    let url = reqwest::Url::parse(&file.url).map_err(|_| trouble("its address is no address"))?;
    let host = url.host_str().unwrap_or_default();
    let api = front.board.options().api.clone();
    let api = api.and_then(|api| reqwest::Url::parse(&api).ok());
    let ours = api.is_some_and(|api| api.host_str() == Some(host) && api.port() == url.port());
    if !ours && !ATTACHMENT_HOSTS.contains(&host) {
        return Err(trouble("it is not kept by Discord"));
    }
    let get = front.web.get(url).timeout(FETCH).send();
    let response = get.await.and_then(reqwest::Response::error_for_status);
    let mut response = response.map_err(|error| trouble(&error.without_url().to_string()))?;
    let mut bytes = Vec::new();
    while let Some(part) =
        response.chunk().await.map_err(|error| trouble(&error.without_url().to_string()))?
    {
        bytes.extend_from_slice(&part);
        if bytes.len() > FILE_BYTES_MAX as usize {
            return Err(trouble("it is larger than Discord said"));
        }
    }
    String::from_utf8(bytes).map_err(|_| Failure::user("the file is no UTF-8 text").into())
}

/// Everything that is wrong with a graph, as a message; or the graph.
fn read(source: &str) -> Result<Graph, Box<Post>> {
    graph::load(source.as_bytes()).map_err(|problems| {
        let report = graph::report("graph.yaml", source.as_bytes(), &problems);
        let head =
            format!("✗ {}; nothing is stored", words::count(problems.len() as u64, "problem"));
        let shown = block(&report);
        if units(&shown) < 1_700 {
            return Box::new(Post::text(format!("{head}\n```\n{}\n```", shown.trim())));
        }
        let mut post = Post::text(format!("{head}\n```\n{}\n```", fit(shown.trim(), 1_500)));
        post.file = Some(Attachment {
            name: "problems.txt",
            description: "Everything that is wrong with the graph".to_owned(),
            bytes: report.into_bytes().into(),
        });
        Box::new(post)
    })
}

async fn checked(front: &Front, draft: &Draft) -> Result<Graph, Trouble> {
    let graph = graph::load(draft.source.as_bytes());
    let graph = graph.map_err(|problems| {
        let report = graph::report("graph.yaml", draft.source.as_bytes(), &problems);
        Failure::user(format!("the graph is wrong\n```\n{}\n```", fit(&block(&report), 1_500)))
    })?;
    front.house.office.preflight(&graph, &draft.project).await?;
    Ok(graph)
}

fn order(draft: &Draft, submitter: &str) -> Order {
    Order {
        project: draft.project.clone(),
        source: draft.source.clone(),
        options: draft.options.clone(),
        submitter: submitter.to_owned(),
    }
}

/// What a graph would do, with buttons to start it; nothing runs yet.
pub(crate) async fn preview(front: &Front, id: u64, mut draft: Draft) -> Result<Post, Trouble> {
    let graph = match read(&draft.source) {
        Ok(graph) => graph,
        Err(post) => return Ok(*post),
    };
    front.house.office.preflight(&graph, &draft.project).await?;
    let earlier = earlier_run(front, &draft, &graph).await;
    let mut text = summary(&graph, &draft);
    let mut again = None;
    if let Some(of) = earlier {
        match front.house.office.resubmit(of, order(&draft, "preview"), true).await {
            Ok((_, resubmission)) => {
                draft.of = Some(of);
                let _ = write!(text, "\n**again**: {resubmission}");
                again = Some(());
            }
            Err(failure) => {
                let _ = write!(
                    text,
                    "\n-# cannot go on from the run before: {}",
                    inline(&failure.message)
                );
            }
        }
    }
    front.keep_draft(id, &draft).await?;
    let key = |press| Key::new(press, On::Draft(id));
    let mut buttons = Vec::new();
    if again.is_some() {
        buttons.push(Button::new("Apply as resume", key(Press::Apply), Style::Success));
    }
    let label = if again.is_some() { "Start fresh" } else { "Start" };
    buttons.push(Button::new(label, key(Press::Start), Style::Primary));
    buttons.push(Button::new("Rehearse", key(Press::Rehearse), Style::Secondary));
    buttons.push(Button::new("Edit", key(Press::Edit), Style::Secondary));
    buttons.push(Button::new("Cancel", key(Press::Discard), Style::Danger));
    let mut post = Post::text(text).with(buttons);
    post.file = cards::draw(&Dag::of(&graph, |_| Look::Plain, |_| Look::Plain));
    Ok(post)
}

/// The latest run of the same graph, if it is there to go on from.
async fn earlier_run(front: &Front, draft: &Draft, graph: &Graph) -> Option<crate::ids::RunId> {
    let runs = front.board.doors.store.runs(Some(&draft.project)).await.ok()?;
    let same = runs.iter().rev().find(|run| run.name.graph == *graph.name() && !run.cancelled);
    same.map(|run| run.id)
}

/// What a graph is and would do.
fn summary(graph: &Graph, draft: &Draft) -> String {
    let count = |n: usize, noun: &str| words::count(n as u64, noun);
    let mut text = format!(
        "**{}** for `{}`: {}, {}, {} · critical path {}",
        graph.name(),
        draft.project,
        count(graph.tasks().len(), "task"),
        count(graph.lanes().len(), "lane"),
        count(graph.waves().len(), "wave"),
        graph.critical_path().len(),
    );
    let mut agents: Vec<&str> = graph
        .tasks()
        .iter()
        .map(|task| task.agent.framework.map_or("default", Framework::word))
        .collect();
    agents.sort_unstable();
    agents.dedup();
    let _ = write!(text, "\nagents: {}", agents.join(", "));
    for lane in graph.lane_ixs() {
        let spec = graph.lane(lane);
        let into = match (&spec.target_branch, spec.parent) {
            (Some(branch), _) => format!("`{}`", inline(branch)),
            (None, Some(parent)) => format!("lane `{}`", graph.lane(parent).id),
            (None, None) => "the default branch".to_owned(),
        };
        let how = if spec.auto_merge { "merges by itself" } else { "waits for approval" };
        let _ = write!(text, "\nlane `{}` into {into}, {how}", spec.id);
        if units(&text) > 700 {
            let _ = write!(text, "\n…");
            break;
        }
    }
    let commands = commands(graph);
    if !commands.is_empty() {
        let shown = block(&commands.join("\n"));
        let _ = write!(
            text,
            "\nit runs {}:\n```\n{}\n```",
            count(commands.len(), "command"),
            fit(&shown, 500)
        );
    }
    let digest = Sha256::digest(draft.source.as_bytes());
    let hex: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let _ = write!(text, "\n-# sha256 {hex}… · nothing runs yet");
    text
}

/// The shell commands that a graph names: a graph is a program.
fn commands(graph: &Graph) -> Vec<String> {
    let gates = graph.tasks().iter().flat_map(|task| task.gate.iter().cloned());
    let agents = graph.tasks().iter().flat_map(|task| task.agent.command.iter().cloned());
    let mut all: Vec<String> = agents.chain(gates).collect();
    let mut seen = std::collections::BTreeSet::new();
    all.retain(|command| seen.insert(command.clone()));
    all
}

async fn rehearsal(front: &Front, draft: &Draft) -> Result<Post, Trouble> {
    let report = front.house.office.rehearse(&draft.source).await?;
    Ok(Post::text(format!("```\n{}\n```", fit(&block(&report), 1_800))))
}

async fn begin(front: &Front, line: &Line, draft: &Draft, resume: bool) -> Result<Post, Trouble> {
    let asked = "submit a graph";
    let permit = front.permit(&line.actor, Level::Operator, Some(&draft.project), asked).await?;
    let order = order(draft, permit.who());
    let (submitted, kept) = match draft.of.filter(|_| resume) {
        Some(of) => {
            let (submitted, resubmission) = front.house.office.resubmit(of, order, false).await?;
            (submitted, Some(resubmission))
        }
        None => (Some(front.house.office.submit(order).await?), None),
    };
    let submitted = submitted.ok_or_else(|| Failure::bug("a run was not made"))?;
    let outcome = format!("submitted as {}", submitted.name);
    front.audit(&line.actor, asked, None, true, &outcome).await;
    let kept = kept.map(|kept| format!(": it {kept}")).unwrap_or_default();
    let channel = front.board.channel(&draft.project).await;
    let place = channel.map(|id| format!(" → <#{id}>")).unwrap_or_default();
    Ok(Post::text(format!("✓ **{}** is started{kept}{place}", submitted.name)))
}

/// A button under a preview.
pub(crate) async fn pressed(
    front: &Front,
    line: &Line,
    press: Press,
    id: u64,
    draft: Draft,
) -> Result<Post, Trouble> {
    match press {
        Press::Start | Press::Apply => {
            // Whoever presses first starts it; a second press finds no draft.
            front.drop_draft(id).await;
            let begun = begin(front, line, &draft, press == Press::Apply).await;
            if begun.is_err() {
                front.keep_draft(id, &draft).await?;
            }
            begun
        }
        Press::Rehearse => rehearsal(front, &draft).await,
        Press::Discard => {
            front.drop_draft(id).await;
            Ok(Post::text("· thrown away; nothing was started"))
        }
        Press::Edit
        | Press::AddHook
        | Press::EditHook
        | Press::Retry
        | Press::RetryNote
        | Press::RetryDown
        | Press::RetryFailed
        | Press::Skip
        | Press::Logs
        | Press::FullLog
        | Press::TakeOver
        | Press::Approve
        | Press::Reject
        | Press::Diff
        | Press::Answer
        | Press::AnswerText
        | Press::Pause
        | Press::Resume
        | Press::Stop
        | Press::CancelRun
        | Press::Queue
        | Press::Graph
        | Press::Why
        | Press::ResumeAll
        | Press::More
        | Press::FinishUp
        | Press::Switch
        | Press::SwitchTo
        | Press::StopTask
        | Press::ResumeTask
        | Press::ApprovePlan
        | Press::EditPlan
        | Press::ChangePlan
        | Press::DiscardPlan => Err(Failure::user("this button is not understood any more").into()),
    }
}

/// A graph was written into the form.
pub(crate) async fn written(
    front: &Front,
    _line: &Line,
    id: u64,
    draft: Draft,
    source: String,
) -> Result<Post, Trouble> {
    preview(front, id, Draft { source, ..draft }).await
}

/// What one task may have besides its instructions.
#[derive(Debug, Default)]
pub(crate) struct One {
    pub(crate) gate: Option<String>,
    pub(crate) agent: Option<String>,
    pub(crate) priority: Option<i32>,
    pub(crate) plan: bool,
    pub(crate) after: Vec<After>,
}

/// A preview of a graph of one task.
pub(crate) async fn one_task(
    front: &Front,
    line: &Line,
    project: Option<&str>,
    instructions: &str,
    extra: One,
) -> Result<Post, Trouble> {
    let project = admitted(front, line, project).await?;
    let One { gate, agent, priority, plan, after } = extra;
    let instructions = instructions.to_owned();
    let (source, _) = AdHoc { instructions, gate, agent, priority, plan }.graph()?;
    let options = RunOptions { after, ..RunOptions::default() };
    let draft = Draft { project, source, options, user: line.actor.user, of: None };
    preview(front, line.id(), draft).await
}

/// A task whose instructions are a message.
#[poise::command(context_menu_command = "Make this a task")]
pub(crate) async fn make_task(ctx: Context<'_>, message: Message) -> Result<(), Trouble> {
    let line = open(&ctx, true).await?;
    let done = one_task(ctx.data(), &line, None, &message.content, One::default()).await;
    line.finish(done).await;
    Ok(())
}
