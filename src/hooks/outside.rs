//! What steps need done outside, and what they are told of it.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::hooks::rules::{Fired, HookRunId, Query};
use crate::ids::{HookName, ProfileName, ProjectId};
use crate::notify::{Notice, NoticeKind};
use crate::runner::RunInfo;
use crate::state::{
    Entry, HookOrigin, LaneEvent, RunEvent, RunOptions, RunRecord, Subject, TaskEvent, What,
};
use crate::time::Timestamp;

/// For which step something is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The hook.
    pub hook: HookName,
    /// Its run.
    pub run: HookRunId,
    /// The step, from 1.
    pub step: usize,
    /// How many hooks led to the run.
    pub depth: u32,
}

/// Steps of a hook have numbers below this, so that each notice has its own.
const STEPS_OF_RUN: u64 = 64;

/// The longest title of a notice or a task, in characters.
const TITLE_CHARS_MAX: usize = 100;

impl Origin {
    /// What people are told by the step.
    pub fn notice(&self, project: &ProjectId, text: &str, at: Timestamp) -> Notice {
        let number = self.run.0.unsigned_abs() * STEPS_OF_RUN + self.step as u64;
        Notice {
            seq: Notice::beside(number),
            at,
            kind: NoticeKind::Hook,
            project: project.clone(),
            run: None,
            task: None,
            lane: None,
            title: format!("{}: {}", self.hook, title(text)),
            lines: text.lines().skip(1).map(str::to_owned).collect(),
            asks: Vec::new(),
        }
    }

    /// What the runs are submitted with that the step makes.
    pub fn options(&self) -> RunOptions {
        let hook = HookOrigin { hook: self.hook.clone(), run: self.run.0, depth: self.depth };
        RunOptions { hook: Some(hook), ..RunOptions::default() }
    }
}

/// Those of some runs that a run of a hook submitted, with their projects.
pub fn made_by(runs: &[RunRecord], run: HookRunId) -> Vec<String> {
    let of = |record: &&RunRecord| record.options.hook.as_ref().is_some_and(|h| h.run == run.0);
    runs.iter().filter(of).map(|run| format!("{}:{}", run.project, run.name)).collect()
}

/// The beginning of a text, on one line.
pub fn title(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(TITLE_CHARS_MAX).collect()
}

/// A command to run in a checkout of a project's default branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shell {
    /// For whom.
    pub origin: Origin,
    /// In which project.
    pub project: ProjectId,
    /// What.
    pub command: String,
    /// More variables that it gets.
    pub variables: BTreeMap<String, String>,
    /// How long it may take.
    pub timeout: Duration,
}

/// What a command came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ran {
    /// `None`: it did not end in time, and was ended.
    pub exit_code: Option<i32>,
    /// What it wrote, the end of it where that is too long.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

/// A page that was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Of HTTP.
    pub status: u16,
    /// The beginning of it where it is too long.
    pub body: String,
}

/// What one commit has and another has not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diffed {
    /// The commit that was left.
    pub base: String,
    /// The commit that was looked at.
    pub head: String,
    /// The beginning of it where it is too long.
    pub diff: String,
}

/// What is to be submitted.
#[derive(Debug, Clone, PartialEq)]
pub enum Wanted {
    /// A graph of the project, by name.
    Named(String),
    /// This graph, as JSON.
    Inline(Value),
    /// A graph of one task.
    Task {
        /// Its title.
        title: String,
        /// What is to be done.
        description: String,
        /// By whom.
        agent: Option<ProfileName>,
    },
}

/// A run that was submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// In which project.
    pub project: ProjectId,
    /// How people name it, `inbox/3`.
    pub run: String,
}

/// A line of the journal, as hooks see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Happened {
    /// Its number.
    pub seq: u64,
    /// Its kind.
    pub kind: &'static str,
    /// What of it sets hooks off.
    pub fired: Fired,
}

impl Happened {
    /// What `entry` says, in the run that it is of.
    pub fn of(entry: &Entry, info: &RunInfo, made_by: Option<&HookOrigin>) -> Self {
        let kind = entry.what.kind();
        let mut event = json!({
            "kind": kind, "seq": entry.seq, "at": entry.at.rfc3339(),
            "project": info.project.id, "run": info.name.to_string(),
            "graph": info.name.graph, "submitter": info.submitter,
            "detail": entry.detail.as_deref().unwrap_or_default(),
        });
        let more = event.as_object_mut().expect("BUG: made as an object above");
        let subject = match entry.subject {
            Subject::Run => format!("of {}", info.name),
            Subject::Lane(lane) => {
                let id = &info.graph.lane(lane).id;
                more.insert("lane".to_owned(), json!(id));
                format!("of lane {}/{id}", info.name)
            }
            Subject::Task(task) => {
                let spec = info.graph.task(task);
                more.insert("lane".to_owned(), json!(info.graph.lane(spec.lane).id));
                more.insert("task".to_owned(), json!(spec.id));
                more.insert("title".to_owned(), json!(spec.title));
                more.insert("attempt".to_owned(), json!(entry.attempt.unwrap_or_default()));
                format!("of {}/{}", info.name, spec.id)
            }
        };
        more.extend(ending(entry.what));
        let fired = Fired {
            key: format!("seq:{}", entry.seq),
            sentence: format!("{kind} {subject}"),
            event,
            project: Some(info.project.id.clone()),
            depth: made_by.map_or(0, |origin| origin.depth),
            made_by: made_by.map(|origin| origin.hook.clone()),
        };
        Self { seq: entry.seq, kind, fired }
    }
}

/// How something ended, where that is what happened.
fn ending(what: What) -> Map<String, Value> {
    let mut ending = Map::new();
    if let Some(outcome) = what.outcome_class() {
        ending.insert("outcome".to_owned(), json!(outcome));
    }
    match what {
        What::Task(TaskEvent::Failed { class }) => {
            ending.insert("class".to_owned(), json!(class));
        }
        What::Lane(LaneEvent::Failed { why }) => {
            ending.insert("class".to_owned(), json!(why));
        }
        What::Run(RunEvent::Settled { outcome }) => {
            ending.insert("outcome".to_owned(), json!(outcome));
        }
        What::Submitted
        | What::Task(_)
        | What::Lane(_)
        | What::Run(RunEvent::Reopened)
        | What::GatePassed
        | What::GateFailed
        | What::RetryScheduled
        | What::AutoMergeSkipped
        | What::MergeFailed
        | What::WaitingForMerge
        | What::Delivered
        | What::Commanded
        | What::Concern
        | What::Steered
        | What::Recovered
        | What::Grown
        | What::BudgetWarning
        | What::BudgetReached
        | What::LimitReached
        | What::Stuck
        | What::Remark => {}
    }
    ending
}

/// Does what steps need done.
#[async_trait]
pub trait Outside: Send + Sync {
    /// What lines of the journal are about; `None`: the run of a line is gone. An error is tried
    /// again.
    async fn happened(&self, entry: &Entry) -> Result<Option<Happened>, Failure>;

    /// Runs a command.
    async fn shell(&self, shell: Shell) -> Result<Ran, Failure>;

    /// A file of the default branch.
    async fn read_file(&self, project: &ProjectId, path: &str) -> Result<String, Failure>;

    /// Fetches a page from a host that is allowed.
    async fn fetch(&self, url: &str, timeout: Duration) -> Result<Fetched, Failure>;

    /// Asks the store or the engine.
    async fn query(
        &self,
        query: Query,
        project: Option<&ProjectId>,
        limit: u32,
    ) -> Result<Vec<Value>, Failure>;

    /// What `head` has since it left `base`; without a name the default branch is meant.
    async fn diff(
        &self,
        project: &ProjectId,
        base: Option<&str>,
        head: Option<&str>,
    ) -> Result<Diffed, Failure>;

    /// Submits a graph.
    async fn submit(
        &self,
        origin: &Origin,
        project: &ProjectId,
        wanted: Wanted,
    ) -> Result<Made, Failure>;

    /// Tells people.
    async fn tell(&self, origin: &Origin, project: &ProjectId, text: &str) -> Result<(), Failure>;

    /// Ends what an earlier process left of a run, and says what that had submitted.
    async fn clean_up(&self, run: HookRunId) -> Vec<String>;

    /// A run is over: nothing of it is needed any more.
    async fn over(&self, run: HookRunId);
}
