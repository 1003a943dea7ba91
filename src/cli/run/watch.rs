//! The attached console: live lines from the journal, output of agents, bars on a terminal.
//!
//! It is nothing but one implementation of the injected callbacks and one listener to the journal.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use console::{Color, Style};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::json;

use crate::cli::out::{errln, outln};
use crate::cli::refs::quoted;
use crate::graph::TaskIx;
use crate::ids::{ProfileName, ProjectId, RunId};
use crate::notify::{
    Ask, Chunk, Delivery, Error, Notice, NoticeKind, Notifier, Output, TaskRef, TaskThread,
    ThreadFactory,
};
use crate::render::words;
use crate::runner::RunInfo;
use crate::state::{BlockedOn, Entry, LaneEvent, RunEvent, Step, Subject, TaskEvent, What};
use crate::time::Timestamp;

/// How wide the column of names is at most; longer names are cut in the middle.
const NAME_COLUMNS_MAX: usize = 24;

/// The same where each name has its run before it.
const RUN_COLUMNS_MAX: usize = 40;

/// How many running tasks have a line of their own under the bar.
const RUNNING_SHOWN: usize = 8;

/// A line that is longer is shown in pieces, so that output without an end of line has a bound.
const LINE_BYTES_MAX: usize = 8 * 1024;

const COLOURS: [Color; 6] =
    [Color::Cyan, Color::Magenta, Color::Yellow, Color::Blue, Color::Green, Color::Red];

/// How the console behaves.
#[derive(Debug, Clone)]
pub(crate) struct Manner {
    pub(crate) json: bool,
    /// Do not show what agents write.
    pub(crate) quiet: bool,
    /// This program, as the operator would call it again.
    pub(crate) program: String,
}

/// The attached console. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Console(Arc<Inner>);

struct Inner {
    manner: Manner,
    bars: Option<MultiProgress>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    infos: BTreeMap<RunId, Arc<RunInfo>>,
    /// Many runs are shown: each line names its own.
    several: bool,
    /// They are of more than one project.
    projects: bool,
    columns: usize,
    whole: Option<ProgressBar>,
    running: BTreeMap<(RunId, TaskIx), Running>,
    partial: BTreeMap<String, String>,
}

struct Running {
    since: Timestamp,
    bar: Option<ProgressBar>,
}

impl Console {
    pub(crate) fn new(manner: Manner) -> Self {
        let lively = std::io::stderr().is_terminal() && !manner.json;
        let bars = lively.then(MultiProgress::new);
        Self(Arc::new(Inner { manner, bars, state: Mutex::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().expect("BUG: nobody panics with this lock")
    }

    /// Begins to show a run.
    pub(crate) fn begin(&self, info: &Arc<RunInfo>, done: usize) {
        let mut state = self.state();
        let widths = info.graph.tasks().iter().map(|task| task.id.as_str().len());
        let lanes = info.graph.lanes().iter().map(|lane| lane.id.as_str().len() + "lane ".len());
        state.columns = widths.chain(lanes).max().unwrap_or(0).min(NAME_COLUMNS_MAX);
        state.infos.insert(info.id, info.clone());
        state.whole = self.0.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new(info.graph.tasks().len() as u64));
            bar.set_style(style("{prefix} {wide_bar:.green/black.dim} {pos}/{len} {elapsed}"));
            bar.set_prefix(info.name.to_string());
            bar.set_position(done as u64);
            bar.enable_steady_tick(Duration::from_millis(500));
            bar
        });
    }

    /// Whether a line about a run can be shown. A run that grew is looked at again.
    pub(crate) fn knows(&self, entry: &Entry) -> bool {
        let grew = entry.what == What::Grown;
        !grew && self.state().infos.contains_key(&entry.run)
    }

    /// Takes in that a run has more tasks than before.
    pub(crate) fn renew(&self, info: &Arc<RunInfo>) {
        let mut state = self.state();
        if let Some(bar) = &state.whole {
            bar.set_length(info.graph.tasks().len() as u64);
        }
        state.infos.insert(info.id, info.clone());
    }

    /// Shows a run among others, until it comes to rest.
    pub(crate) fn follow_along(&self, info: &Arc<RunInfo>) {
        let mut state = self.state();
        state.columns = RUN_COLUMNS_MAX;
        state.several = true;
        state.infos.insert(info.id, info.clone());
        let known = state.infos.values().any(|other| other.project.id != info.project.id);
        state.projects |= known;
    }

    /// Takes the bars away.
    pub(crate) fn end(&self) {
        let mut state = self.state();
        for (_, running) in std::mem::take(&mut state.running) {
            if let Some(bar) = running.bar {
                bar.finish_and_clear();
            }
        }
        if let Some(bar) = state.whole.take() {
            bar.finish_and_clear();
        }
    }

    /// Prints a line above the bars.
    pub(crate) fn line(&self, text: &str) {
        match &self.0.bars {
            Some(bars) => drop(bars.println(text)),
            None if self.0.manner.json => errln!("{text}"),
            None => outln!("{text}"),
        }
    }

    /// Shows what happened.
    pub(crate) fn show(&self, entry: &Entry) {
        let Some(info) = self.state().infos.get(&entry.run).cloned() else { return };
        if self.0.manner.json {
            outln!("{}", entry_json(&info, entry));
            return;
        }
        let sentence = self.sentence(entry);
        self.follow(&info, entry);
        if let Some(text) = sentence {
            let columns = self.state().columns;
            let name = self.named(&info, &subject(&info, entry.subject));
            let dim = Style::new().dim();
            let clock = dim.apply_to(entry.at.local_clock());
            let name = words::ellipsis_middle(&name, columns);
            let name = colour(entry.subject).apply_to(format!("{name:<columns$}"));
            self.line(&format!("{clock} {name} {text}"));
        }
        if matches!(entry.what, What::Run(RunEvent::Settled { .. })) && self.state().several {
            self.state().infos.remove(&entry.run);
        }
    }

    /// A name as it stands before a line: with its run where several are shown.
    fn named(&self, info: &RunInfo, name: &str) -> String {
        let state = self.state();
        match (state.several, state.projects) {
            (false, _) => name.to_owned(),
            (true, false) => format!("{} {name}", info.name),
            (true, true) => format!("{}:{} {name}", info.project.id, info.name),
        }
    }

    /// Keeps the bars in step.
    fn follow(&self, info: &Arc<RunInfo>, entry: &Entry) {
        let Subject::Task(task) = entry.subject else { return };
        let What::Task(event) = entry.what else { return };
        let mut state = self.state();
        match event {
            TaskEvent::Started { .. } => {
                let bar = self.running_bar(&state, info, task);
                state.running.insert((entry.run, task), Running { since: entry.at, bar });
            }
            TaskEvent::Stepped { step } => {
                if let Some(Running { bar: Some(bar), .. }) = state.running.get(&(entry.run, task))
                {
                    bar.set_message(step.word());
                }
            }
            TaskEvent::Merged | TaskEvent::Completed | TaskEvent::Skipped => {
                if let Some(bar) = &state.whole {
                    bar.inc(1);
                }
                state.stop((entry.run, task));
            }
            TaskEvent::Failed { .. }
            | TaskEvent::Retried
            | TaskEvent::Cancelled
            | TaskEvent::Parked { .. }
            | TaskEvent::Blocked { .. } => state.stop((entry.run, task)),
            TaskEvent::Outdated | TaskEvent::Undone => {
                if let Some(bar) = &state.whole {
                    bar.dec(1);
                }
            }
            TaskEvent::Opened
            | TaskEvent::Closed
            | TaskEvent::Asked
            | TaskEvent::Answered
            | TaskEvent::Unparked
            | TaskEvent::PrOpened
            | TaskEvent::ApprovalAsked
            | TaskEvent::Approved
            | TaskEvent::MergeBegun
            | TaskEvent::MergePostponed
            | TaskEvent::PlanAsked
            | TaskEvent::Released => {}
        }
    }

    fn running_bar(&self, state: &State, info: &Arc<RunInfo>, task: TaskIx) -> Option<ProgressBar> {
        let bars = self.0.bars.as_ref()?;
        if state.running.len() >= RUNNING_SHOWN {
            return None;
        }
        let bar = bars.add(ProgressBar::new_spinner());
        bar.set_style(style("  {spinner} {prefix} {msg} {elapsed}"));
        bar.set_prefix(name_of(info, task));
        bar.set_message(Step::Preparing.word());
        bar.enable_steady_tick(Duration::from_millis(200));
        Some(bar)
    }

    fn took(&self, entry: &Entry) -> String {
        let Subject::Task(task) = entry.subject else { return String::new() };
        let since = self.state().running.get(&(entry.run, task)).map(|running| running.since);
        since.map_or_else(String::new, |since| {
            format!(" ({})", words::duration(entry.at.since(since)))
        })
    }

    /// What people read of an entry; `None` for what is too small to tell.
    fn sentence(&self, entry: &Entry) -> Option<String> {
        let detail = entry.detail.as_deref().unwrap_or_default();
        let first = words::one_line(detail.lines().next().unwrap_or_default());
        let bad = |text: String| Style::new().red().apply_to(text).to_string();
        let good = |text: String| Style::new().green().apply_to(text).to_string();
        let asks = |text: String| Style::new().yellow().apply_to(text).to_string();
        Some(match entry.what {
            What::Task(event) => return self.task_sentence(entry, event, &first),
            What::Lane(event) => return lane_sentence(event, &first),
            What::GatePassed => format!("gate passed: {first}"),
            What::GateFailed => bad(format!("gate failed: {first}")),
            What::RetryScheduled => asks(format!("will be tried again: {first}")),
            What::AutoMergeSkipped => asks(format!("not merged by itself: {first}")),
            What::MergeFailed => asks(format!("merge will be tried again: {first}")),
            What::WaitingForMerge => asks("waits for a person to approve".to_owned()),
            What::Delivered => good(first),
            What::Commanded => format!("» {first}"),
            What::Grown => asks(format!("grew {first}")),
            What::Concern => asks(format!("concern: {first}")),
            What::Steered => format!("» {first}"),
            What::BudgetWarning | What::BudgetReached | What::LimitReached => first,
            What::Recovered | What::Remark => first,
            What::Stuck => asks(first),
            What::Submitted => format!("submitted as {first}"),
            What::Run(_) => return None,
        })
    }

    fn task_sentence(&self, entry: &Entry, event: TaskEvent, first: &str) -> Option<String> {
        let bad = |text: String| Style::new().red().apply_to(text).to_string();
        let good = |text: String| Style::new().green().apply_to(text).to_string();
        let asks = |text: String| Style::new().yellow().bold().apply_to(text).to_string();
        let took = self.took(entry);
        Some(match event {
            TaskEvent::Started { attempt: 0 } => "started".to_owned(),
            TaskEvent::Started { attempt } => format!("started, attempt {}", attempt + 1),
            TaskEvent::Merged => good(format!("merged{took}")),
            TaskEvent::Completed => good(format!("done, nothing to merge{took}")),
            TaskEvent::Failed { class } => bad(format!("failed, {class}: {first}")),
            TaskEvent::Blocked { on: BlockedOn::Task(_) } => format!("blocked: {first}"),
            TaskEvent::Blocked { on: BlockedOn::Operator } => "stopped".to_owned(),
            TaskEvent::Asked => asks(format!("asks: {first}")),
            TaskEvent::Answered => "has its answer".to_owned(),
            TaskEvent::Parked { .. } => asks("parked".to_owned()),
            TaskEvent::ApprovalAsked => asks("waits for approval".to_owned()),
            TaskEvent::PlanAsked => asks("its plan waits for a person".to_owned()),
            TaskEvent::Approved => "approved".to_owned(),
            TaskEvent::Skipped => "skipped".to_owned(),
            TaskEvent::Cancelled => "cancelled".to_owned(),
            TaskEvent::Outdated => asks("is stale".to_owned()),
            TaskEvent::Undone => asks("taken back".to_owned()),
            TaskEvent::Opened
            | TaskEvent::Closed
            | TaskEvent::Stepped { .. }
            | TaskEvent::Unparked
            | TaskEvent::PrOpened
            | TaskEvent::MergeBegun
            | TaskEvent::MergePostponed
            | TaskEvent::Retried
            | TaskEvent::Released => return None,
        })
    }

    /// How to do on this surface what a notice asks for.
    fn command(&self, notice: &Notice, ask: &Ask) -> String {
        let program = &self.0.manner.program;
        let run = notice.run.as_ref().map(ToString::to_string).unwrap_or_default();
        let subject = match (&notice.task, &notice.lane) {
            (Some(task), _) => format!("{run}/{task}"),
            (None, Some(lane)) => format!("--lane {run}/{lane}"),
            (None, None) => run,
        };
        match ask {
            Ask::Retry => format!("{program} retry {subject}"),
            Ask::Skip => format!("{program} skip {subject}"),
            Ask::Logs => format!("{program} logs {subject}"),
            Ask::Approve => format!("{program} approve {subject}"),
            Ask::Reject => format!("{program} reject {subject} --note TEXT"),
            Ask::ApprovePlan => format!("{program} plan approve {subject}"),
            Ask::EditPlan => format!("{program} plan edit {subject} --file FILE"),
            Ask::ChangePlan => format!("{program} plan changes {subject} --note TEXT"),
            Ask::DiscardPlan => format!("{program} plan discard {subject}"),
            Ask::Answer(choices) if choices.is_empty() => {
                format!("{program} answer {subject} TEXT")
            }
            Ask::More => format!("{program} allow {subject}"),
            Ask::FinishUp => format!("{program} allow {subject} --finish-up"),
            Ask::Switch(profiles) => {
                let names: Vec<&str> = profiles.iter().map(ProfileName::as_str).collect();
                format!("{program} allow {subject} --agent {}", names.join("|"))
            }
            Ask::Stop => format!("{program} stop {subject}"),
            Ask::Resume => format!("{program} resume {subject}"),
            Ask::Answer(choices) => {
                let choices: Vec<String> = choices.iter().map(|choice| quoted(choice)).collect();
                format!("{program} answer {subject} {}", choices.join("|"))
            }
        }
    }

    fn output(&self, task: &str, text: &str) {
        if self.0.manner.quiet || self.0.manner.json {
            return;
        }
        let columns = self.state().columns;
        let dim = Style::new().dim();
        let name = words::ellipsis_middle(task, columns);
        let prefix = dim.apply_to(format!("         {name:<columns$} │"));
        self.line(&format!("{prefix} {}", words::visible(text)));
    }
}

impl State {
    fn stop(&mut self, task: (RunId, TaskIx)) {
        if let Some(Running { bar: Some(bar), .. }) = self.running.remove(&task) {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("BUG: a template of ours")
}

fn subject(info: &RunInfo, subject: Subject) -> String {
    match subject {
        Subject::Run => "run".to_owned(),
        Subject::Lane(lane) => format!("lane {}", info.graph.lane(lane).id),
        Subject::Task(task) => name_of(info, task),
    }
}

/// A plan may have added the task since the run was looked at.
fn name_of(info: &RunInfo, task: TaskIx) -> String {
    let known = info.graph.tasks().get(task.at());
    known.map_or_else(|| format!("task {}", task.0 + 1), |task| task.id.to_string())
}

fn colour(subject: Subject) -> Style {
    match subject {
        Subject::Run => Style::new().bold(),
        Subject::Lane(_) => Style::new().bold(),
        Subject::Task(task) => Style::new().fg(COLOURS[task.at() % COLOURS.len()]),
    }
}

fn lane_sentence(event: LaneEvent, first: &str) -> Option<String> {
    let bad = |text: String| Style::new().red().apply_to(text).to_string();
    let good = |text: String| Style::new().green().apply_to(text).to_string();
    let asks = |text: String| Style::new().yellow().bold().apply_to(text).to_string();
    Some(match event {
        LaneEvent::PrOpened => format!("proposed: {first}"),
        LaneEvent::ApprovalAsked => asks("waits for approval".to_owned()),
        LaneEvent::Merged => good(format!("merged: {first}")),
        LaneEvent::IntegrationSkipped => "nothing to merge".to_owned(),
        LaneEvent::Failed { why } if first.is_empty() => bad(format!("failed: {}", why.word())),
        LaneEvent::Failed { why } => bad(format!("failed, {}: {first}", why.word())),
        LaneEvent::TargetMoved => "its target moved; checked again".to_owned(),
        LaneEvent::MergePostponed => asks(format!("not merged: {first}")),
        LaneEvent::Retried => "tried again".to_owned(),
        LaneEvent::Reset => "undone".to_owned(),
        LaneEvent::Prepared
        | LaneEvent::Finished
        | LaneEvent::Reopened
        | LaneEvent::CheckBegun
        | LaneEvent::MergeBegun => return None,
    })
}

/// A line of the journal as data.
pub(crate) fn entry_json(info: &RunInfo, entry: &Entry) -> serde_json::Value {
    let (lane, task) = match entry.subject {
        Subject::Run => (None, None),
        Subject::Lane(lane) => (Some(&info.graph.lane(lane).id), None),
        Subject::Task(task) => {
            let spec = info.graph.tasks().get(task.at());
            let lane = spec.map(|spec| &info.graph.lane(spec.lane).id);
            (lane, spec.map(|spec| &spec.id))
        }
    };
    json!({
        "seq": entry.seq, "at": entry.at.rfc3339(), "kind": entry.what.kind(),
        "run": info.name.to_string(), "workstream": lane, "task": task,
        "attempt": entry.attempt, "outcome_class": entry.what.outcome_class(),
        "detail": entry.detail,
    })
}

#[async_trait]
impl Notifier for Console {
    async fn notify(&self, notice: &Notice, _: &ProjectId) -> Result<Delivery, Error> {
        if self.0.manner.json || notice.kind == NoticeKind::RunSettled {
            return Ok(Delivery::Delivered);
        }
        let of_hook = notice.kind == NoticeKind::Hook;
        if notice.kind.needs_person() || of_hook {
            let style = if of_hook { Style::new().cyan() } else { Style::new().yellow().bold() };
            let (sign, title) = (if of_hook { '⚑' } else { '▲' }, words::one_line(&notice.title));
            let mut told = vec![style.apply_to(format!("{sign} {title}")).to_string()];
            let lines = notice.lines.iter().flat_map(|line| line.lines());
            told.extend(lines.map(|line| format!("  {}", words::visible(line))));
            told.extend(notice.asks.iter().map(|ask| format!("  → {}", self.command(notice, ask))));
            // In one piece, so that no other line comes between.
            self.line(&told.join("\n"));
        }
        Ok(Delivery::Delivered)
    }
}

#[async_trait]
impl ThreadFactory for Console {
    async fn create_thread(
        &self,
        task: &TaskRef,
        _title: &str,
    ) -> Result<Box<dyn TaskThread>, Error> {
        let info = self.state().infos.get(&task.run).cloned();
        let name = task.task.to_string();
        let task = info.map_or(name.clone(), |info| self.named(&info, &name));
        Ok(Box::new(Thread { console: self.clone(), task }))
    }
}

struct Thread {
    console: Console,
    task: String,
}

#[async_trait]
impl TaskThread for Thread {
    async fn post(&self, chunk: &Chunk) -> Result<(), Error> {
        if chunk.missed_bytes > 0 {
            let missed = words::bytes(chunk.missed_bytes as u64);
            self.console.output(&self.task, &format!("… {missed} not shown, see the log"));
        }
        match &chunk.output {
            Output::Thought(_) => {}
            Output::Line(text) => {
                for line in text.lines() {
                    self.console.output(&self.task, &format!("▸ {line}"));
                }
            }
            Output::Text(text) => {
                let whole = {
                    let mut state = self.console.state();
                    let partial = state.partial.entry(self.task.clone()).or_default();
                    partial.push_str(text);
                    let end = partial.rfind('\n').map_or(0, |at| at + 1);
                    let end =
                        if partial.len() - end > LINE_BYTES_MAX { partial.len() } else { end };
                    let rest = partial.split_off(end);
                    std::mem::replace(partial, rest)
                };
                for line in whole.lines() {
                    self.console.output(&self.task, line);
                }
            }
        }
        Ok(())
    }

    async fn summary_to_parent(&self, line: &str) -> Result<(), Error> {
        self.console.line(line);
        Ok(())
    }
}
