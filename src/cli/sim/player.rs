//! One scenario as it is played: what each command does, and what it prints.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Parser as _;

use crate::app::{self, hooked};
use crate::cli::args::{Cli, Command as Line, PlanCommand};
use crate::cli::inspect::summary_within;
use crate::cli::plan::decided;
use crate::cli::sim::hooks::Hooks;
use crate::cli::verbs::{Asked, Subject, asked};
use crate::config::Config;
use crate::control::names::{find_task, nearest, task_id};
use crate::failure::Failure;
use crate::graph::{self, Graph, LaneIx, TaskIx};
use crate::hooks;
use crate::ids::RunId;
use crate::orchestrator::{Command, GlobalCommand, OnPlan, RunView, Target};
use crate::render::{self, Dag, Look};
use crate::scheduler::Policy;
use crate::sim::scenario::Act as Step;
use crate::sim::{Act, Dead, LaneAct, Theatre};
use crate::state::{
    Entry, FailureClass, ProjectRecord, RunRecord, Subject as About, TaskEvent, What,
};
use crate::store::Store as _;

/// Agents at once.
const SLOTS: u32 = 8;

/// Who speaks, unless a command says otherwise.
const OPERATOR: &str = "ada";

/// How wide a table may be.
const COLUMNS: usize = 100;

/// How often hooks look at the time, while it passes.
const HOOKS_LOOK_SECS: u64 = 60;

/// The commands that are none of the command line.
const COMMANDS: &[&str] = &[
    "submit", "amend", "config", "agents", "agent", "lane", "advance", "crash", "restart", "show",
    "graph", "why", "notices", "tick",
];

/// One scenario as it is played.
pub(super) struct Player {
    theatre: Theatre,
    /// Where graphs are looked for.
    dir: PathBuf,
    /// If the configuration has some, and what it says of them.
    hooks: Option<(Hooks, hooks::Options)>,
}

impl Player {
    pub(super) async fn open(dir: Option<&Path>) -> anyhow::Result<Self> {
        let theatre = Theatre::open(SLOTS).await?;
        theatre.stage().be_patient(true);
        let dir = dir.map(Path::to_path_buf).unwrap_or_default();
        Ok(Self { theatre, dir, hooks: None })
    }

    /// Does what a command says; what it prints.
    pub(super) async fn play(&mut self, step: &Step) -> Result<String, Failure> {
        let words: Vec<&str> = step.words.iter().map(String::as_str).collect();
        let mut text = match words.as_slice() {
            ["submit" | "amend", rest @ ..] => self.submit(words[0] == "amend", rest, step).await?,
            ["config"] => self.configure(&step.input).await?,
            ["agent", task, "uses", tokens] => self.uses(task, tokens).await?,
            ["agents", "succeed"] => self.agents(false),
            ["agents", "wait"] => self.agents(true),
            ["agent", task, "plans"] => self.act(task, Act::PlanOnly(step.input.clone())).await?,
            ["agent", task, does, rest @ ..] => self.agent(task, does, &rest.join(" ")).await?,
            ["lane", lane, does] => self.lane(lane, does)?,
            ["tick"] => {
                self.theatre.rest().await;
                String::new()
            }
            ["advance", time] => self.advance(time).await?,
            ["crash"] => {
                self.theatre.crash().await;
                String::new()
            }
            ["restart"] => self.restart().await?,
            ["show", rest @ ..] => summary_within(&self.view(rest.first()).await?, COLUMNS),
            ["graph", rest @ ..] => picture(&self.view(rest.first()).await?),
            ["why", task] => self.why(task).await?,
            ["notices"] => self.notices().await,
            _ => self.verb(&step.words).await?,
        };
        self.rest().await;
        for entry in self.theatre.news().await {
            if let Some(line) = self.line(&entry).await {
                text.push_str(&line);
            }
        }
        if let Some((hooks, _)) = &mut self.hooks {
            text.push_str(&hooks.news().await);
        }
        Ok(text)
    }

    /// Lets everything happen that can happen now.
    async fn rest(&self) {
        match &self.hooks {
            Some((hooks, _)) => hooks.rest(&self.theatre).await,
            None => self.theatre.rest().await,
        }
    }

    async fn restart(&mut self) -> Result<String, Failure> {
        self.theatre.start().await.map_err(|error| Failure::bug(error.to_string()))?;
        if let Some((hooks, options)) = self.hooks.take() {
            let hooks = hooks.restart(&self.theatre, options.clone()).await?;
            self.hooks = Some((hooks, options));
        }
        Ok(String::new())
    }

    async fn submit(&mut self, amend: bool, rest: &[&str], step: &Step) -> Result<String, Failure> {
        let (project, rest) = match rest {
            ["--project", project, rest @ ..] if !amend => (Some(*project), rest),
            all => (None, all),
        };
        let source = match rest {
            [] => step.input.clone(),
            [file] => {
                let path = self.dir.join(file);
                std::fs::read_to_string(&path).map_err(|why| {
                    Failure::user(format!("cannot read {}: {why}", path.display()))
                })?
            }
            [..] => return Err(Failure::user("`submit` takes one file, or the graph below it")),
        };
        let graph: Graph = match graph::load(source.as_bytes()) {
            Ok(graph) => graph,
            Err(problems) => return Ok(graph::report("graph", source.as_bytes(), &problems)),
        };
        if !amend {
            let submitted = match project {
                None => self.theatre.submit(graph, &source, OPERATOR).await,
                Some(to) => self.theatre.submit_to(to, graph, &source, OPERATOR).await,
            };
            let submitted = submitted.map_err(dead)?;
            return Ok(format!("submitted as {}\n", submitted.name));
        }
        let of = self.run(None).await?;
        let answer = self.theatre.resubmit(of, graph, &source, OPERATOR).await.map_err(dead)?;
        Ok(match answer {
            Ok((Some(submitted), what)) => {
                format!("submitted as {}, which {what}\n", submitted.name)
            }
            Ok((None, what)) => format!("{what}\n"),
            Err(failure) => refused(&failure),
        })
    }

    /// Works by another configuration from now on.
    async fn configure(&mut self, text: &str) -> Result<String, Failure> {
        let config = Config::parse(text, None)?;
        let records = config.projects.iter().map(|project| ProjectRecord {
            settings: project.settings.clone(),
            configured: true,
            ..ProjectRecord::new(project.id.clone(), "/nowhere", "main")
        });
        let policy = Policy { projects: records.collect(), ..app::policy(&config) };
        self.theatre.apply(policy).await.map_err(dead)?;
        let options = hooked::options(&config);
        self.hooks = match self.hooks.take() {
            Some((hooks, _)) => {
                hooks.reload(options.clone()).await?;
                Some((hooks, options))
            }
            None if options.hooks.is_empty() => None,
            None => Some((Hooks::start(&self.theatre, options.clone()).await?, options)),
        };
        Ok(String::new())
    }

    /// The agent at work on a task uses so many thousands of tokens, and works on.
    async fn uses(&self, task: &str, tokens: &str) -> Result<String, Failure> {
        let count = tokens.trim_end_matches('k').parse::<u64>();
        let count =
            count.map_err(|_| Failure::user(format!("`{tokens}` is no count, as `40k`")))?;
        let id = task.parse().map_err(|why| Failure::user(format!("`{task}`: {why}")))?;
        let act = Act::Spend(count * 1_000, Box::new(Act::Hang));
        if !self.theatre.stage().act(&id, act) {
            return Err(Failure::user(format!("no agent is at work on `{task}`")));
        }
        self.theatre.rest().await;
        Ok(String::new())
    }

    fn agents(&self, patient: bool) -> String {
        self.theatre.stage().be_patient(patient);
        String::new()
    }

    /// An agent does something: the one at work, or the next of the task.
    async fn agent(&self, task: &str, does: &str, what: &str) -> Result<String, Failure> {
        let act = match does {
            "succeeds" => Act::Succeed,
            "doubts" => Act::Doubt(what.to_owned()),
            "changes-nothing" => Act::NoChanges,
            "fails" => Act::Fail(class(what)?),
            "hits-limit" if what.is_empty() => Act::Park(None),
            "hits-limit" => Act::Park(Some(self.theatre.now() + duration(what)?)),
            "asks" => Act::Ask(what.to_owned()),
            "hangs" => Act::Hang,
            "conflicts" => Act::Conflict,
            "stumbles" => Act::StumbleAtMerge,
            _ => {
                return Err(unknown(
                    "an agent",
                    does,
                    &[
                        "succeeds",
                        "doubts",
                        "changes-nothing",
                        "fails",
                        "hits-limit",
                        "asks",
                        "hangs",
                        "conflicts",
                        "stumbles",
                    ],
                ));
            }
        };
        self.act(task, act).await
    }

    async fn act(&self, task: &str, act: Act) -> Result<String, Failure> {
        let id = task.parse().map_err(|why| Failure::user(format!("`{task}`: {why}")))?;
        if self.theatre.stage().act(&id, act.clone()) {
            self.theatre.rest().await;
            return Ok(String::new());
        }
        self.theatre.stage().script(&id, [act]);
        Ok(format!("the next agent of {task} will do so\n"))
    }

    /// The next job on a lane goes so.
    fn lane(&self, lane: &str, does: &str) -> Result<String, Failure> {
        let act = match does {
            "check-fails" => LaneAct::CheckFails,
            "conflicts" => LaneAct::Conflict,
            "target-moves" => LaneAct::TargetMoves,
            "is-closed" => LaneAct::Closed,
            "stumbles" => LaneAct::Stumble,
            "cannot-begin" => LaneAct::CannotPrepare,
            _ => {
                return Err(unknown(
                    "a lane",
                    does,
                    &[
                        "check-fails",
                        "conflicts",
                        "target-moves",
                        "is-closed",
                        "stumbles",
                        "cannot-begin",
                    ],
                ));
            }
        };
        let id = lane.parse().map_err(|why| Failure::user(format!("`{lane}`: {why}")))?;
        self.theatre.stage().script_lane(&id, act);
        Ok(String::new())
    }

    async fn advance(&self, time: &str) -> Result<String, Failure> {
        let Some((hooks, _)) = &self.hooks else {
            self.theatre.advance(duration(time)?).await;
            return Ok(String::new());
        };
        let (all, mut gone) = (duration(time)?, Duration::ZERO);
        while gone < all {
            let step = (all - gone).min(Duration::from_secs(1));
            self.theatre.advance(step).await;
            gone += step;
            if hooks.are_behind().await || gone.as_secs().is_multiple_of(HOOKS_LOOK_SECS) {
                hooks.rest(&self.theatre).await;
            }
        }
        Ok(String::new())
    }

    async fn why(&self, text: &str) -> Result<String, Failure> {
        let (run, task) = match text.rsplit_once('/') {
            Some((run, task)) => (Some(run), task),
            None => (None, text),
        };
        let view = self.view(run.as_ref()).await?;
        let at = find_task(&view, task)?;
        let state = view.tasks[at.at()].state;
        Ok(match &view.waiting[at.at()] {
            Some(waiting) => format!("{task} ({}): {waiting}\n", state.word()),
            None => format!("{task}: {state}\n"),
        })
    }

    async fn notices(&self) -> String {
        let mut text = String::new();
        for notice in self.theatre.notices().await {
            let _ = writeln!(text, "{}", notice.title);
            for line in &notice.lines {
                let _ = writeln!(text, "  {line}");
            }
        }
        text
    }

    /// A verb, as on the command line; `as NAME` before it names who speaks.
    async fn verb(&self, words: &[String]) -> Result<String, Failure> {
        let (who, words) = match words {
            [first, who, rest @ ..] if first == "as" => (who.as_str(), rest),
            all => (OPERATOR, all),
        };
        let known = words.first().map(String::as_str).unwrap_or_default();
        let line = std::iter::once("taskloom").chain(words.iter().map(String::as_str));
        let asked = match Cli::try_parse_from(line).map(|cli| cli.command) {
            Ok(Line::Verb(verb)) => asked(verb)?,
            Ok(Line::Plan { command: PlanCommand::Approve(args) }) => {
                decided(args, OnPlan::Approve)
            }
            Ok(Line::Plan { command: PlanCommand::Changes(args) }) => {
                decided(args.plan, OnPlan::Change { note: args.note })
            }
            Ok(Line::Plan { command: PlanCommand::Discard(args) }) => {
                decided(args, OnPlan::Discard)
            }
            Ok(_) => return Err(no_command(known)),
            Err(error) if error.kind() == clap::error::ErrorKind::InvalidSubcommand => {
                return Err(no_command(known));
            }
            Err(error) => {
                let text = error.to_string();
                let first: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).collect();
                let first = first.iter().map(|line| line.trim()).collect::<Vec<_>>().join(" ");
                return Err(Failure::user(first.trim_start_matches("error: ").to_owned()));
            }
        };
        self.carry_out(who, asked).await
    }

    async fn carry_out(&self, who: &str, asked: Asked) -> Result<String, Failure> {
        let who = who.to_owned();
        let answer = match asked {
            Asked::Everything { verb, dry_run } => {
                self.theatre.global(GlobalCommand { who, verb, dry_run }).await
            }
            Asked::Run { subject, dry_run, make, confirm: _ } => {
                let (run, target) = self.subject(subject).await?;
                self.theatre.command(Command { run, who, verb: make(target)?, dry_run }).await
            }
        };
        Ok(match answer.map_err(dead)? {
            Ok(receipt) if receipt.affected.is_empty() => format!("{}\n", receipt.sentence),
            Ok(receipt) => {
                let names: Vec<String> = receipt.affected.iter().map(ToString::to_string).collect();
                format!("{}\n  affects: {}\n", receipt.sentence, names.join(", "))
            }
            Err(failure) => refused(&failure),
        })
    }

    async fn subject(&self, subject: Subject) -> Result<(RunId, Option<Target>), Failure> {
        let (text, lane, or_run) = match subject {
            Subject::Part { text, lane } => (text, lane, false),
            Subject::RunOrTask(text) => (text, false, true),
        };
        if or_run && let Ok(run) = self.run(Some(&text)).await {
            return Ok((run, None));
        }
        let (run, part) = match text.rsplit_once('/') {
            Some((run, part)) => (self.run(Some(run)).await?, part),
            None => (self.run(None).await?, text.as_str()),
        };
        let task = task_id(part)?;
        let view = self.theatre.view(run).await;
        let is_lane = view.is_some_and(|view| {
            let id = part.parse().ok();
            view.info.graph.lookup_task(&task).is_none()
                && id.is_some_and(|id| view.info.graph.lookup_lane(&id).is_some())
        });
        let target = if lane || is_lane {
            let id = part.parse().map_err(|why| Failure::user(format!("`{part}`: {why}")))?;
            Target::Lane(id)
        } else {
            Target::Task(task)
        };
        Ok((run, Some(target)))
    }

    /// The run that is named; the latest without a name.
    async fn run(&self, name: Option<&str>) -> Result<RunId, Failure> {
        let runs = self.theatre.store().runs(None).await;
        let runs = runs.map_err(|error| Failure::bug(error.to_string()))?;
        let fits = |run: &&RunRecord| {
            name.is_none_or(|name| run.name.to_string() == name || run.name.graph.as_str() == name)
        };
        runs.iter().rev().find(fits).map(|run| run.id).ok_or_else(|| match name {
            Some(name) => Failure::user(format!("no run `{name}` was submitted")),
            None => Failure::user("nothing was submitted").hint("`submit` takes a graph below it"),
        })
    }

    async fn view(&self, name: Option<&&str>) -> Result<RunView, Failure> {
        let run = self.run(name.copied()).await?;
        self.theatre.view(run).await.ok_or_else(|| Failure::bug("the run is gone"))
    }

    /// A line of the journal as it is printed; `None` for what is said already.
    async fn line(&self, entry: &Entry) -> Option<String> {
        let view = self.theatre.view(entry.run).await?;
        let subject = match entry.subject {
            About::Run => view.info.name.to_string(),
            About::Lane(lane) => format!("lane {}", view.info.graph.lane(lane).id),
            About::Task(task) => view.info.graph.task(task).id.to_string(),
        };
        let what = match entry.what {
            What::Submitted | What::Commanded => return None,
            What::Task(TaskEvent::Stepped { step }) => step.word().to_owned(),
            What::Task(event) => event.to_string(),
            What::Lane(event) => event.to_string(),
            What::Run(event) => event.to_string(),
            What::GatePassed
            | What::GateFailed
            | What::RetryScheduled
            | What::AutoMergeSkipped
            | What::MergeFailed
            | What::WaitingForMerge
            | What::Delivered
            | What::Grown
            | What::Concern
            | What::Steered
            | What::Recovered
            | What::BudgetWarning
            | What::BudgetReached
            | What::LimitReached
            | What::Stuck
            | What::Remark => entry.what.kind().replace('_', " "),
        };
        let detail = entry.detail.as_deref().and_then(|detail| detail.lines().next());
        let detail = detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
        Some(format!("{subject}: {what}{detail}\n"))
    }
}

/// The graph as it stands, as text.
fn picture(view: &RunView) -> String {
    let task = |t: TaskIx| Look::of(view.tasks[t.at()].state);
    let lane = |l: LaneIx| Look::of_lane(view.lanes[l.at()].state);
    render::text(&Dag::of(&view.info.graph, task, lane))
}

fn refused(failure: &Failure) -> String {
    format!("refused: {failure}\n")
}

fn dead(_: Dead) -> Failure {
    Failure::user("the engine is dead").hint("`restart` starts it again")
}

fn duration(text: &str) -> Result<Duration, Failure> {
    humantime::parse_duration(text).map_err(|why| {
        Failure::user(format!("`{text}` is no duration ({why})")).hint("write `90s` or `2h`")
    })
}

fn class(text: &str) -> Result<FailureClass, Failure> {
    let word = if text.is_empty() { "agent failed" } else { text };
    let known: Vec<&str> = FailureClass::ALL.iter().map(|class| class.word()).collect();
    let found = FailureClass::ALL.into_iter().find(|class| class.word() == word);
    found.ok_or_else(|| {
        Failure::user(format!("there is no failure `{word}`"))
            .hint(format!("it is one of: {}", known.join(", ")))
    })
}

fn unknown(who: &str, does: &str, known: &[&str]) -> Failure {
    let failure = Failure::user(format!("{who} cannot do `{does}`"));
    match nearest(does, known.iter().copied()) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint(format!("it is one of: {}", known.join(", "))),
    }
}

fn no_command(word: &str) -> Failure {
    use clap::CommandFactory as _;
    let cli = Cli::command();
    let verbs = cli.get_subcommands().map(clap::Command::get_name);
    let failure = Failure::user(format!("there is no command `{word}`"));
    match nearest(word, COMMANDS.iter().copied().chain(verbs)) {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => {
            failure.hint(format!("it is an operator's verb, or one of: {}", COMMANDS.join(", ")))
        }
    }
}
