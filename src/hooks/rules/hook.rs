//! What a hook is.

use std::fmt;
use std::time::Duration;

use globset::{Glob, GlobBuilder, GlobMatcher};
use serde_json::Value;

use crate::hooks::rules::template::Template;
use crate::ids::{HookName, ProfileName, ProjectId};
use crate::secret::SecretSource;
use crate::time::Zone;

/// What sets off what.
#[derive(Debug, Clone, PartialEq)]
pub struct Hook {
    /// Its name.
    pub name: HookName,
    /// The project that it is about; `None`: whichever the event is about.
    pub project: Option<ProjectId>,
    /// What sets it off.
    pub on: Trigger,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// So long after one run nothing but a person sets it off.
    pub cooldown: Duration,
    /// Runs of it at once.
    pub max_concurrent: u32,
    /// Runs of it that wait.
    pub queue_max: u32,
    /// Whether anything but a person sets it off.
    pub enabled: bool,
}

/// Where a hook is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// In the configuration.
    Config,
    /// In the store; made by a command.
    Store,
}

impl Source {
    /// What people read.
    pub fn word(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Store => "store",
        }
    }
}

/// What sets a hook off.
#[derive(Debug, Clone, PartialEq)]
pub enum Trigger {
    /// A line of the journal.
    Event {
        /// Its kind.
        kind: String,
        /// What else must fit.
        conditions: Vec<(Field, Pattern)>,
    },
    /// Time, again and again.
    Every(Duration),
    /// Times of the day.
    Cron(CronTime),
    /// A signed request.
    Webhook(SecretSource),
    /// Files in the project's clone.
    File {
        /// Which, below the clone.
        paths: Vec<Pattern>,
        /// How long it must be quiet first.
        debounce: Duration,
    },
}

impl Trigger {
    /// Whether it is a time.
    pub fn is_time(&self) -> bool {
        matches!(self, Self::Every(_) | Self::Cron(_))
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event { kind, conditions } => {
                write!(f, "on {kind}")?;
                for (at, (field, pattern)) in conditions.iter().enumerate() {
                    let word = if at == 0 { " where" } else { "," };
                    write!(f, "{word} {} is {pattern}", field.word())?;
                }
                Ok(())
            }
            Self::Every(span) => write!(f, "every {}", humantime::format_duration(*span)),
            Self::Cron(time) => write!(f, "at {} ({})", time.pattern, time.zone),
            Self::Webhook(_) => f.write_str("by a webhook"),
            Self::File { paths, .. } => {
                let paths: Vec<String> = paths.iter().map(ToString::to_string).collect();
                write!(f, "when {} changes", paths.join(", "))
            }
        }
    }
}

/// A pattern of cron in a time zone.
#[derive(Debug, Clone, PartialEq)]
pub struct CronTime {
    /// Five fields.
    pub pattern: String,
    /// Whose days and hours.
    pub zone: Zone,
}

/// What of an event a condition looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// The project.
    Project,
    /// The run, `payments/3`.
    Run,
    /// The graph of the run.
    Graph,
    /// The lane.
    Lane,
    /// The task.
    Task,
    /// The attempt.
    Attempt,
    /// How it ended.
    Outcome,
    /// Why it failed.
    Class,
    /// What else is said about it.
    Detail,
}

impl Field {
    /// All of them.
    pub const ALL: [Field; 9] = [
        Self::Project,
        Self::Run,
        Self::Graph,
        Self::Lane,
        Self::Task,
        Self::Attempt,
        Self::Outcome,
        Self::Class,
        Self::Detail,
    ];

    /// What people write.
    pub fn word(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Run => "run",
            Self::Graph => "graph",
            Self::Lane => "lane",
            Self::Task => "task",
            Self::Attempt => "attempt",
            Self::Outcome => "outcome",
            Self::Class => "class",
            Self::Detail => "detail",
        }
    }
}

/// A pattern with `*`, `?`, `[…]` and `{a,b}`.
#[derive(Debug, Clone)]
pub struct Pattern(GlobMatcher);

impl Pattern {
    /// A pattern of text, in which `*` stands for anything; why it is none.
    pub fn new(text: &str) -> Result<Self, String> {
        let glob = Glob::new(text).map_err(|why| why.kind().to_string())?;
        Ok(Self(glob.compile_matcher()))
    }

    /// A pattern of paths, in which `*` stays within one directory and `**` does not.
    pub fn of_paths(text: &str) -> Result<Self, String> {
        let glob = GlobBuilder::new(text).literal_separator(true).build();
        Ok(Self(glob.map_err(|why| why.kind().to_string())?.compile_matcher()))
    }

    /// Whether all of `text` fits.
    pub fn fits(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.glob() == other.0.glob()
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.glob().glob())
    }
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What.
    pub action: Action,
    /// How long it may take.
    pub timeout: Duration,
    /// What of its result ends the run there, in good order.
    pub skip_if: Option<SkipIf>,
    /// Whether the next step comes although this one did not go well.
    pub may_fail: bool,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Runs a command in a checkout of the default branch.
    Shell(Template),
    /// Reads a file of the default branch.
    ReadFile(Template),
    /// Fetches a page.
    Http(Template),
    /// Asks the store or the engine.
    Query {
        /// What.
        query: Query,
        /// How many answers at most.
        limit: u32,
    },
    /// What one branch has and another has not.
    GitDiff {
        /// Since it left this; `None`: the default branch.
        base: Option<Template>,
        /// This; `None`: the default branch.
        head: Option<Template>,
    },
    /// Runs tests and counts them.
    RunTests(Template),
    /// Submits a graph.
    SubmitGraph(GraphSource),
    /// Submits a graph of one task.
    CreateTask {
        /// Its title.
        title: Template,
        /// What is to be done.
        description: Template,
        /// By whom; `None`: by the default agent.
        agent: Option<ProfileName>,
    },
    /// Tells people.
    Notify(Template),
    /// Has an agent do something, as a graph of one task.
    Agent {
        /// What.
        prompt: Template,
        /// By whom; `None`: by the default agent.
        profile: Option<ProfileName>,
    },
}

impl Action {
    /// The name that people write.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Shell(_) => "shell",
            Self::ReadFile(_) => "read_file",
            Self::Http(_) => "http",
            Self::Query { .. } => "query",
            Self::GitDiff { .. } => "git_diff",
            Self::RunTests(_) => "run_tests",
            Self::SubmitGraph(_) => "submit_graph",
            Self::CreateTask { .. } => "create_task",
            Self::Notify(_) => "notify",
            Self::Agent { .. } => "agent",
        }
    }

    /// Whether it is done in a project.
    pub fn needs_project(&self) -> bool {
        !matches!(self, Self::Http(_) | Self::Query { .. })
    }

    /// The fields of its result; the first is meant where none is named.
    pub fn fields(&self) -> &'static [&'static str] {
        match self {
            Self::Shell(_) => &["stdout", "stderr", "exit_code"],
            Self::ReadFile(_) => &["content"],
            Self::Http(_) => &["body", "status"],
            Self::Query { .. } => &["rows", "count"],
            Self::GitDiff { .. } => &["diff", "base", "head"],
            Self::RunTests(_) => {
                &["stdout", "stderr", "exit_code", "passed", "failed", "skipped", "total"]
            }
            Self::SubmitGraph(_) | Self::CreateTask { .. } | Self::Agent { .. } => {
                &["run", "project"]
            }
            Self::Notify(_) => &["sent"],
        }
    }

    /// Everything in it that is filled in.
    pub fn templates(&self) -> Vec<&Template> {
        match self {
            Self::Shell(text)
            | Self::ReadFile(text)
            | Self::Http(text)
            | Self::RunTests(text)
            | Self::Notify(text) => vec![text],
            Self::Query { .. } | Self::SubmitGraph(GraphSource::Named(_)) => Vec::new(),
            Self::SubmitGraph(GraphSource::Inline { texts, .. }) => {
                texts.iter().map(|(_, text)| text).collect()
            }
            Self::GitDiff { base, head } => base.iter().chain(head).collect(),
            Self::CreateTask { title, description, .. } => vec![title, description],
            Self::Agent { prompt, .. } => vec![prompt],
        }
    }
}

/// Which graph is submitted.
#[derive(Debug, Clone, PartialEq)]
pub enum GraphSource {
    /// One of the project's.
    Named(String),
    /// This one.
    Inline {
        /// The graph, as it is written.
        graph: Value,
        /// Where in it something is filled in, as JSON pointers: titles and descriptions only.
        texts: Vec<(String, Template)>,
    },
}

/// What the store and the engine can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Query {
    /// Tasks that failed and were not tried again.
    FailedTasks,
    /// The tasks that finished last.
    RecentResults,
    /// What does not run, and why.
    Waiting,
    /// Tokens and cost of the latest runs.
    Usage,
    /// The latest runs of hooks.
    HookRuns,
}

impl Query {
    /// All of them.
    pub const ALL: [Query; 5] =
        [Self::FailedTasks, Self::RecentResults, Self::Waiting, Self::Usage, Self::HookRuns];

    /// What people write.
    pub fn word(self) -> &'static str {
        match self {
            Self::FailedTasks => "failed_tasks",
            Self::RecentResults => "recent_results",
            Self::Waiting => "waiting",
            Self::Usage => "usage",
            Self::HookRuns => "hook_runs",
        }
    }
}

/// What of a result ends the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SkipIf {
    /// The command exited with 0.
    ExitZero,
    /// There was nothing: no output, no content, no row, no difference.
    Empty,
    /// The answer was a 2xx.
    StatusOk,
}

impl SkipIf {
    /// All of them.
    pub const ALL: [SkipIf; 3] = [Self::ExitZero, Self::Empty, Self::StatusOk];

    /// What people write.
    pub fn word(self) -> &'static str {
        match self {
            Self::ExitZero => "exit_zero",
            Self::Empty => "empty",
            Self::StatusOk => "status_ok",
        }
    }

    /// Whether a step of that kind has what is asked about.
    pub fn applies_to(self, action: &Action) -> bool {
        match self {
            Self::ExitZero => matches!(action, Action::Shell(_) | Action::RunTests(_)),
            Self::StatusOk => matches!(action, Action::Http(_)),
            Self::Empty => matches!(
                action,
                Action::Shell(_)
                    | Action::ReadFile(_)
                    | Action::Http(_)
                    | Action::Query { .. }
                    | Action::GitDiff { .. }
            ),
        }
    }

    /// Whether a result is so.
    pub fn holds(self, action: &Action, result: &Value) -> bool {
        match self {
            Self::ExitZero => result["exit_code"] == 0,
            Self::StatusOk => result["status"].as_u64().is_some_and(|s| (200..300).contains(&s)),
            Self::Empty if matches!(action, Action::Query { .. }) => result["count"] == 0,
            Self::Empty => {
                let main = action.fields().first().and_then(|field| result[*field].as_str());
                main.is_none_or(|text| text.trim().is_empty())
            }
        }
    }
}
