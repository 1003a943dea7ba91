//! What the engine and those who carry out its effects say to each other.

use std::fmt;
use std::sync::Arc;

use crate::graph::{Approval, Graph, LaneIx, TaskIx, Teardown};
use crate::ids::{Branches, CommitId, ProfileName, RunId, RunName};
use crate::state::{
    Answer, AttemptEnd, Concern, Delivered, Effect, EffectKey, FailureClass, LaneCheck,
    ProjectRecord, Proposal, PullNews, Question, Session, Spent, Steer, Step, TaskFailure,
    TaskState, Usage,
};

/// A run, as those who work for it need it. It never changes but by growing: a plan that is approved
/// makes another one of it, in which every index means what it meant.
#[derive(Debug, Clone)]
pub struct RunInfo {
    /// Its number in the store.
    pub id: RunId,
    /// How people name it.
    pub name: RunName,
    /// Where it works.
    pub project: ProjectRecord,
    /// What it does, with what plans added.
    pub graph: Graph,
    /// The graph's file, byte for byte.
    pub source: String,
    /// The sources of what plans added, in order.
    pub plans: Vec<String>,
    /// When worktrees are given back.
    pub teardown: Teardown,
    /// Who submitted it.
    pub submitter: String,
    /// The runs that it goes on from, latest first.
    pub continues: Vec<RunName>,
}

impl RunInfo {
    /// Who must approve a task: as the graph says, else as the project does.
    pub fn task_approval(&self, task: TaskIx) -> Option<&Approval> {
        let own = self.graph.task(task).approval.as_ref();
        own.or(self.project.settings.task_approval.as_ref())
    }

    /// Who must approve a lane: as the graph says, else as the project does.
    pub fn lane_approval(&self, lane: LaneIx) -> Option<&Approval> {
        let own = self.graph.lane(lane).approval.as_ref();
        own.or(self.project.settings.lane_approval.as_ref())
    }

    /// The branches of the run.
    pub fn branches(&self) -> Branches<'_> {
        Branches::of(&self.name)
    }

    /// The branch of the user's repository that a lane is cut from.
    pub fn lane_base(&self, lane: LaneIx) -> LaneEnd {
        LaneEnd::base(&self.graph, lane, &self.project)
    }

    /// The branch that a lane is merged into.
    pub fn lane_target(&self, lane: LaneIx) -> LaneEnd {
        LaneEnd::target(&self.graph, lane, &self.project)
    }
}

/// Where a lane starts or ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LaneEnd {
    /// A branch of the user's repository.
    Branch(String),
    /// The integration branch of another lane.
    Lane(LaneIx),
}

impl LaneEnd {
    /// Where a lane is cut from: where the graph says, else where it merges to by default.
    pub(crate) fn base(graph: &Graph, lane: LaneIx, project: &ProjectRecord) -> Self {
        let spec = graph.lane(lane);
        Self::of(spec.base_branch.as_deref(), spec.parent, project)
    }

    /// Where a lane merges to: where the graph says, else its parent, else the default branch.
    pub(crate) fn target(graph: &Graph, lane: LaneIx, project: &ProjectRecord) -> Self {
        let spec = graph.lane(lane);
        Self::of(spec.target_branch.as_deref(), spec.parent, project)
    }

    fn of(named: Option<&str>, parent: Option<LaneIx>, project: &ProjectRecord) -> Self {
        match (named, parent) {
            (Some(branch), _) => Self::Branch(branch.to_owned()),
            (None, Some(parent)) => Self::Lane(parent),
            (None, None) => Self::Branch(project.default_branch.clone()),
        }
    }
}

/// Something to carry out.
#[derive(Debug, Clone)]
pub struct Job {
    /// For which run.
    pub run: Arc<RunInfo>,
    /// What.
    pub effect: Effect,
    /// What an attempt has to know; `None` for other effects.
    pub attempt: Option<Box<AttemptContext>>,
    /// What a new pull request tells people; `None` for other effects.
    pub pull: Option<Box<PullContext>>,
}

/// What a pull request tells people.
#[derive(Debug, Clone, Default)]
pub struct PullContext {
    /// Its task, or the tasks of its lane.
    pub tasks: Vec<Pulled>,
    /// The lanes that were merged into its lane.
    pub lanes: Vec<PulledLane>,
    /// How its lane was checked.
    pub check: Option<LaneCheck>,
}

/// What is known of a task that is in a pull request.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// Which.
    pub task: TaskIx,
    /// Where it stands.
    pub state: TaskState,
    /// Its last attempt, from 0.
    pub attempt: u32,
    /// Its own pull request.
    pub pr: Option<String>,
    /// What the agent says.
    pub summary: Option<String>,
    /// Doubts that were raised.
    pub concerns: Vec<Concern>,
    /// What was verified.
    pub proposal: Option<Proposal>,
    /// What it cost.
    pub usage: Usage,
}

/// A lane that is in another's pull request.
#[derive(Debug, Clone)]
pub struct PulledLane {
    /// Which.
    pub lane: LaneIx,
    /// Its own pull request.
    pub pr: Option<String>,
}

/// What an attempt has to know beyond its task.
#[derive(Debug, Clone, Default)]
pub struct AttemptContext {
    /// How the attempt before it failed.
    pub failure: Option<TaskFailure>,
    /// What a person wants it to know.
    pub note: Option<String>,
    /// Start over, without the work so far.
    pub fresh: bool,
    /// The work so far.
    pub kept: Option<CommitId>,
    /// The questions that were answered, by turn and number; others are open.
    pub answers: Vec<(u32, u64)>,
    /// The conversation to go on with.
    pub session: Option<Session>,
    /// The answer to it that the agent does not have yet.
    pub answer: Option<Answer>,
    /// What a person is asked about the silence of its agent, while that is open.
    pub silence: Option<Question>,
    /// What somebody pushed to the task's branch: it is verified, and no agent works.
    pub adopt: Option<CommitId>,
    /// The profile that does the work; `None`: the agent of the task itself.
    pub profile: Option<ProfileName>,
}

/// What happened to a job. The job is over with any report but the first eight and [`Report::News`].
#[derive(Debug)]
pub enum Report {
    /// The attempt came to another step.
    Step(Step),
    /// A gate was run.
    Gate {
        /// Whether it passed.
        passed: bool,
        /// Its command, and for a failure the first useful lines.
        detail: String,
    },
    /// The agent asks a person.
    Asked(Question),
    /// The agent has its answer.
    Answered,
    /// The agent has taken what it was told, or cannot be told anything while it works.
    Steered {
        /// What: [`Steer::seq`].
        seq: u64,
        /// Whether it has.
        taken: bool,
    },
    /// The attempt used something.
    Spent(Spent),
    /// How a process found the attempt that an earlier one began.
    Found(Found),
    /// Something that a person may want to know.
    Remark(String),
    /// The attempt is over.
    AttemptEnded(AttemptEnd),
    /// The integration branch is there.
    LanePrepared {
        /// Where it is.
        head: CommitId,
    },
    /// The pull request is closed.
    Closed,
    /// What was to be taken back is.
    Undone {
        /// What was done.
        sentence: String,
    },
    /// The pull request is open.
    PrOpened {
        /// Where.
        url: String,
        /// Others act on it too, so it must be watched.
        shared: bool,
    },
    /// How a pull request was found that is watched.
    News(PullNews),
    /// The forge does not merge the pull request now.
    Held {
        /// In its words.
        why: String,
    },
    /// The pull request is merged.
    Merged {
        /// The merge commit.
        commit: CommitId,
        /// What became of the result in the user's repository, if that was to be moved.
        delivered: Option<Delivered>,
    },
    /// The merge result was computed, and its checks passed.
    LaneChecked(LaneCheck),
    /// The lane holds nothing that its target lacks.
    LaneUpToDate {
        /// What became of a result that was not delivered before.
        delivered: Option<Delivered>,
    },
    /// The target is not what the checks ran on.
    TargetMoved,
    /// It could not be done.
    Failed(StepFailure),
}

/// How a process found an attempt that an earlier one began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    /// The agent is at work and never noticed.
    AtWork,
    /// The agent ended meanwhile; its result is taken.
    Ended,
    /// No agent had begun; it is launched now.
    NotBegun,
}

/// Why a job could not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepFailure {
    /// For the machine.
    pub class: FailureClass,
    /// For people.
    pub message: String,
}

impl StepFailure {
    /// A failure of a class, with a sentence.
    pub fn new(class: FailureClass, message: impl Into<String>) -> Self {
        Self { class, message: message.into() }
    }
}

impl std::error::Error for StepFailure {}

impl fmt::Display for StepFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Something to tell an attempt under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToAttempt {
    /// End it; it reports how.
    Stop,
    /// Begin no more turns of the agent, and end the one under way. What needs no agent comes to
    /// its end.
    Halt,
    /// The answer to a question.
    Answer(Answer),
    /// Something that a person wants it to know. It reports whether the agent has taken it.
    Steer(Steer),
}

/// Where reports about one job go. Cheap to clone.
#[derive(Clone)]
pub struct Reporter {
    key: EffectKey,
    send: Arc<dyn Fn(EffectKey, Report) + Send + Sync>,
}

impl Reporter {
    /// A reporter for the job of `key`.
    pub fn new(key: EffectKey, send: Arc<dyn Fn(EffectKey, Report) + Send + Sync>) -> Self {
        Self { key, send }
    }

    /// The job.
    pub fn key(&self) -> EffectKey {
        self.key
    }

    /// Tells the engine. Never blocks.
    pub fn report(&self, report: Report) {
        (self.send)(self.key, report);
    }
}

/// Whoever carries out the engine's effects.
pub trait Executor: Send + Sync {
    /// Carries `job` out and reports on it; returns at once. A job may come again after a crash:
    /// what was done already is found by its natural key and not done twice.
    fn execute(&self, job: Job, reporter: Reporter);

    /// Tells an attempt under way something; returns at once. Unknown keys are ignored: the
    /// attempt has ended meanwhile.
    fn tell(&self, key: &EffectKey, message: ToAttempt);

    /// Lets go of everything under way so that a later process can take it up again: agents run
    /// on, nothing reports any more.
    fn detach(&self);
}
