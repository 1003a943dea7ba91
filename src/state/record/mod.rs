//! What is kept of every run, lane, task and attempt: the rows of the store and, unchanged, the
//! cells of the engine's world.

mod attention;
mod memory;
mod plan;
mod project;
mod pull;

use serde::{Deserialize, Serialize};

use crate::graph::{LaneIx, TaskIx, Teardown};
use crate::ids::{CommitId, HookName, ProfileName, ProjectId, RunId, RunName, TaskId};
use crate::state::attempt::{Concern, FailureClass, Proposal, Session};
use crate::state::lane::LaneState;
use crate::state::ledger::Usage;
use crate::state::run::RunState;
use crate::state::task::TaskState;
use crate::time::Timestamp;

pub use attention::{Attention, Told};
pub use memory::{Memory, MemoryPlace, Remembered};
pub use plan::{Growth, PlanDecision, PlanFound, PlanReader, PlanReading, PlanRecord};
pub use project::{MergeMethod, ProjectRecord, ProjectSettings, Weight};
pub use pull::{Approval, Objection, PullNews, PullStanding, Watched};

/// One submission of a graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Its number in the store.
    pub id: RunId,
    /// Its project.
    pub project: ProjectId,
    /// How people name it.
    pub name: RunName,
    /// SHA-256 of the graph's source, which the store keeps under it.
    pub graph_digest: String,
    /// Where it stands.
    pub state: RunState,
    /// When it was submitted.
    pub created_at: Timestamp,
    /// When it last settled or reopened.
    pub since: Timestamp,
    /// Who submitted it.
    pub submitter: String,
    /// What the submitter set above the graph.
    pub options: RunOptions,
    /// Nothing new starts until it is resumed.
    #[serde(default)]
    pub paused: bool,
    /// Given up by a person.
    #[serde(default)]
    pub cancelled: bool,
    /// The system's own failure that stopped it.
    #[serde(default)]
    pub fatal: Option<String>,
    /// The runs that this one goes on from, latest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub continues: Vec<RunName>,
    /// What it may use of its budget, in hundredths, instead of all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowance: Option<u32>,
    /// Somebody was warned that most of its budget is used up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub warned: bool,
    /// What it still waits for of [`RunOptions::after`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<After>,
    /// What plans added to its graph, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grown: Vec<Growth>,
    /// When it was put away: nothing but what people see of it changes by that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<Timestamp>,
    /// What in it waits for people, and what they were told of that.
    #[serde(default)]
    pub attention: Attention,
}

impl RunRecord {
    /// Since when it could be put away, once it rests.
    pub fn rests_since(&self) -> Timestamp {
        self.since.max(self.attention.restored_at.unwrap_or_default())
    }
}

/// What a submitter may set above the graph.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunOptions {
    /// Attempts at once, instead of the graph's or the project's limit.
    pub max_concurrency: Option<u32>,
    /// Attempts per task, instead of the graph's and the tasks' own.
    pub max_task_attempts: Option<u32>,
    /// When worktrees are given back.
    pub teardown: Option<Teardown>,
    /// The issue on the forge that it was made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issue: Option<u64>,
    /// Tasks of other runs that must have ended well before anything of it begins.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<After>,
    /// The hook that submitted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hook: Option<HookOrigin>,
}

/// A task of another run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct After {
    /// The run.
    pub run: RunId,
    /// How people name it.
    pub name: RunName,
    /// The task.
    pub task: TaskId,
}

/// Which hook submitted a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HookOrigin {
    /// Its name: what happens in the run does not set it off.
    pub hook: HookName,
    /// The number of the hook's run.
    pub run: i64,
    /// How many hooks led to the run, this one included.
    pub depth: u32,
}

/// What is kept of a task. A task that nothing happened to has no row: it is
/// [`TaskRecord::default`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Where it stands.
    pub state: TaskState,
    /// Since when.
    pub since: Timestamp,
    /// Attempts begun; the next has this number.
    #[serde(default)]
    pub attempts: u32,
    /// When the last of them began.
    #[serde(default = "never", skip_serializing_if = "is_never")]
    pub started_at: Timestamp,
    /// Attempts that count against the limit.
    #[serde(default)]
    pub spent: u32,
    /// Transient failures in a row.
    #[serde(default)]
    pub transients: u32,
    /// Not to be started before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// Set by a person instead of the graph's priority.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<i32>,
    /// What only some tasks have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more: Option<Box<TaskMore>>,
}

impl Default for TaskRecord {
    fn default() -> Self {
        Self {
            state: TaskState::Defined,
            since: Timestamp(0),
            attempts: 0,
            started_at: never(),
            spent: 0,
            transients: 0,
            not_before: None,
            priority: None,
            more: None,
        }
    }
}

fn never() -> Timestamp {
    Timestamp(0)
}

fn is_never(at: &Timestamp) -> bool {
    *at == never()
}

impl TaskRecord {
    /// What only some tasks have, made on first use.
    pub fn more_mut(&mut self) -> &mut TaskMore {
        self.more.get_or_insert_default()
    }

    /// The commit to merge or merged, with what was verified about it.
    pub fn proposal(&self) -> Option<&Proposal> {
        self.more.as_ref()?.proposal.as_ref()
    }

    /// How the last failed attempt failed.
    pub fn failure(&self) -> Option<&TaskFailure> {
        self.more.as_ref()?.failure.as_ref()
    }

    /// What it was asked to end for, while it ends.
    pub fn ending(&self) -> Option<Ending> {
        self.more.as_ref()?.ending
    }

    /// What its pull request waits for where others act on it, too.
    pub fn holds(&self) -> Vec<String> {
        let watched = self.more.as_ref().and_then(|more| more.watched.as_ref());
        watched.map(|watched| watched.holds()).unwrap_or_default()
    }

    /// Why the forge did not merge its pull request.
    pub fn held(&self) -> Option<&str> {
        self.more.as_ref()?.watched.as_ref()?.held.as_deref()
    }

    /// The plan that its last attempt left.
    pub fn plan(&self) -> Option<&PlanRecord> {
        self.more.as_ref()?.plan.as_deref()
    }

    /// Doubts raised by the attempt that counts.
    pub fn concerns(&self) -> &[Concern] {
        self.more.as_ref().map_or(&[], |more| &more.concerns)
    }
}

/// What only some tasks have.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskMore {
    /// The commit to merge or merged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proposal: Option<Proposal>,
    /// Where its pull request is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pr: Option<String>,
    /// What others do with it there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watched: Option<Box<Watched>>,
    /// What somebody pushed to its branch: the next attempt verifies it instead of working.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adopt: Option<CommitId>,
    /// The merge commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub merged: Option<CommitId>,
    /// Where its lane was before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub onto: Option<CommitId>,
    /// The last failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<TaskFailure>,
    /// Doubts raised by the last attempt that ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub concerns: Vec<Concern>,
    /// What the agent says it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// What it says that others should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub learned: Vec<String>,
    /// The run that did it, if this one only goes on from there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept_from: Option<RunName>,
    /// What a person wants the next attempt to know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// What a person told the agent under way and it has not taken yet.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steers: Vec<Steer>,
    /// The next attempt starts over, without the work so far.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub fresh: bool,
    /// The work so far of an attempt that did not succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<CommitId>,
    /// Why the attempt under way is being ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// What the agent asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<Question>,
    /// The questions of the attempt that were answered: their turns and numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<(u32, u64)>,
    /// The conversation that the next attempt goes on with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<Session>,
    /// What a person answered, until the agent has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// Who decided what on the pull request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<Decision>,
    /// The plan that its last attempt left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<Box<PlanRecord>>,
    /// Who skipped, stopped or cancelled it, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<ByHand>,
    /// The profile that a person chose for it, instead of the graph's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<ProfileName>,
    /// Who does its attempt in the place of a profile whose limit was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stand_in: Option<ProfileName>,
    /// What it cost so far.
    pub usage: Usage,
    /// What the attempt under way cost of that, and the number of the last line of the ledger
    /// that says so.
    #[serde(skip_serializing_if = "Booked::is_nothing")]
    pub booked: Booked,
    /// What it may use of its budget, in hundredths, instead of all of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowance: Option<u32>,
    /// Somebody was warned that most of its budget is used up.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub warned: bool,
    /// Which budget it was paused for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub over: Option<OverBudget>,
}

/// What the attempt under way cost so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Booked {
    /// The last line of the ledger about it.
    pub seq: u32,
    /// What all of them say.
    pub usage: Usage,
}

impl Booked {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// A budget that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverBudget {
    /// The task's own.
    Task,
    /// That of its run.
    Run,
    /// That of its project within a day.
    Project,
    /// That of everything within a day.
    All,
}

/// How an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFailure {
    /// Which attempt, from 0.
    pub attempt: u32,
    /// Why, for the machine.
    pub class: FailureClass,
    /// Why, for people.
    pub message: String,
}

/// Why an attempt under way is being ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// To be blocked until somebody retries it.
    Stop,
    /// To be cancelled.
    Cancel,
    /// To be tried again later without using up an attempt: the program is being stopped, or a
    /// retry was asked for before the attempt had ended.
    Suspend,
    /// To be parked until somebody resumes it.
    Pause,
    /// To be parked until somebody allows it more: a budget is used up.
    Budget,
}

/// Numbers of questions about an agent's silence begin here: far above all that agents ask, and
/// exact in every reader of JSON.
pub const SILENCE_FROM: u64 = 1 << 48;

/// What an agent asks a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// In which turn of the agent it is asked, from 0.
    #[serde(default)]
    pub turn: u32,
    /// Names the question inside its turn, from 1.
    pub seq: u64,
    /// The question.
    pub text: String,
    /// Answers to choose from; empty: any text.
    pub choices: Vec<String>,
    /// Whether any other text is an answer too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub free: bool,
}

impl Question {
    /// Its place among the questions of its attempt.
    pub fn place(&self) -> (u32, u64) {
        (self.turn, self.seq)
    }

    /// Whether it is no question of the agent, but one about its silence.
    pub fn is_about_silence(&self) -> bool {
        self.seq >= SILENCE_FROM
    }
}

/// A person's answer to an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// In which turn of the agent the question was asked, from 0.
    #[serde(default)]
    pub turn: u32,
    /// Which question of the turn.
    pub seq: u64,
    /// The answer.
    pub text: String,
}

/// Something that a person did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByHand {
    /// Who.
    pub who: String,
    /// Why, in their words.
    pub reason: Option<String>,
}

/// What a person tells an agent while it works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Steer {
    /// Counts what was told, from 1: the number of its line in the journal.
    pub seq: u64,
    /// The text.
    pub text: String,
}

/// A person's answer, bound to what it was shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Who.
    pub who: String,
    /// When.
    pub at: Timestamp,
    /// On which commit.
    pub commit: CommitId,
    /// As a review on the forge, where it can be taken back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub review: bool,
}

/// What became of a lane's result in the user's repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivered {
    /// What was done, or why the user's branch was left alone.
    pub sentence: String,
    /// Where the result waits to be taken in by hand, if the user's branch was left alone.
    pub waits_on: Option<String>,
}

/// What is kept of a lane. A lane that nothing happened to has no row: it is
/// [`LaneRecord::default`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaneRecord {
    /// Where it stands.
    pub state: LaneState,
    /// Since when.
    pub since: Timestamp,
    /// Tasks whose pull requests wait to be merged, first first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queue: Vec<TaskIx>,
    /// What was computed and checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<LaneCheck>,
    /// The run whose integration branch this lane's is made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<RunName>,
    /// Where its integration branch began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<CommitId>,
    /// Where its integration branch is, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tip: Option<CommitId>,
    /// Its branch is being moved back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moving: Option<Moving>,
    /// Where its pull request is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pr: Option<String>,
    /// What others do with it there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watched: Option<Box<Watched>>,
    /// Who approved it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<Decision>,
    /// The merge commit in the target.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merged: Option<CommitId>,
    /// What became of the result in the user's repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered: Option<Delivered>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Failures of its merge in a row that usually pass.
    #[serde(default)]
    pub transients: u32,
    /// The last of several tries is not to begin before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
}

impl Default for LaneRecord {
    fn default() -> Self {
        Self {
            state: LaneState::Pending,
            since: Timestamp(0),
            queue: Vec::new(),
            checked: None,
            from: None,
            base: None,
            tip: None,
            moving: None,
            pr: None,
            watched: None,
            decisions: Vec::new(),
            merged: None,
            delivered: None,
            failure: None,
            transients: 0,
            not_before: None,
        }
    }
}

/// A move of a lane's branch back to where it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moving {
    /// Where it is.
    pub from: CommitId,
    /// Where it is to be.
    pub to: CommitId,
    /// The tasks whose results are taken back by it.
    pub tasks: Vec<TaskIx>,
}

/// A lane's merge result that was computed and whose checks passed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneCheck {
    /// The lane's head.
    pub commit: CommitId,
    /// The target's head.
    pub target: CommitId,
    /// Commits that the target lacks.
    pub ahead: u32,
    /// Files changed.
    pub files: u32,
    /// Lines added.
    pub insertions: u32,
    /// Lines removed.
    pub deletions: u32,
    /// The checks that passed.
    pub checks: Vec<String>,
}

/// One try at a task, for the history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// Whose.
    pub run: RunId,
    /// Which task.
    pub task: TaskIx,
    /// Which try, from 0.
    pub attempt: u32,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended, if it has.
    pub ended_at: Option<Timestamp>,
    /// How it ended, in one word.
    pub outcome: Option<String>,
    /// More about the end.
    pub message: Option<String>,
    /// The commit that it left.
    pub commit: Option<CommitId>,
}

/// Which lane or task of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// A lane.
    Lane(LaneIx),
    /// A task.
    Task(TaskIx),
}
