//! What a validated graph says, as plain data. Every name here has been proven, every reference
//! resolved, every inheritance applied; defaults that depend on the configuration stay `None`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::graph::dag::{LaneIx, TaskIx};
use crate::ids::{LaneId, ProfileName, TaskId};

/// Gives an enumeration the words that files use for it: one list for reading, writing and hints.
macro_rules! words {
    ($Enum:ident { $($Variant:ident = $word:literal),+ $(,)? }) => {
        impl $Enum {
            /// All of them, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$Variant),+];

            /// The word of the YAML.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$Variant => $word,)+
                }
            }
        }
    };
}

words!(Teardown { Always = "always", Never = "never", OnSuccess = "on_success" });
words!(Role {
    Generic = "generic",
    SpecWriter = "spec_writer",
    TestWriter = "test_writer",
    TestReviewer = "test_reviewer",
    Implementer = "implementer",
});
words!(Framework {
    ClaudeCode = "claude_code",
    Codex = "codex",
    Gemini = "gemini",
    Opencode = "opencode",
    Acp = "acp",
    Shell = "shell",
});
words!(AdrVerbosity {
    None = "none",
    Standard = "standard",
    Detailed = "detailed",
    Educational = "educational",
});
words!(SandboxKind { None = "none", Bwrap = "bwrap", Oci = "oci" });
words!(TokenTier { ReadOnly = "read_only", Standard = "standard", Elevated = "elevated" });
words!(OciRuntime { Docker = "docker", Podman = "podman" });
words!(OnFailure { Block = "block", Continue = "continue" });
words!(PrPolicy { Auto = "auto", Never = "never" });

/// What applies to the whole graph.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Default model of every agent; a task's own wins.
    pub model: Option<String>,
    /// Default agent profile; tasks that it holds for have it already.
    pub agent: Option<ProfileName>,
    /// Programs that must be on PATH at the start.
    pub tools: Vec<String>,
    /// Text given to every agent, as `context.md`.
    pub context: Option<String>,
    /// How many attempts of this graph may run at once; `None`: the project's limit.
    pub max_concurrency: Option<u32>,
    /// How deep `parent_workstream_id` may nest; 1 is parent and child.
    pub max_lane_depth: u32,
    /// How transient failures wait.
    pub backoff: Backoff,
    /// What the whole run may cost.
    pub budget: Budget,
    /// When worktrees are given back.
    pub teardown: Teardown,
    /// Keep an interactive agent's window.
    pub keep_panes: bool,
    /// Stop scheduling when the system itself fails.
    pub fail_fast_on_internal_error: bool,
    /// A failed lane stops new lanes from being prepared.
    pub fail_fast_on_lane_error: bool,
    /// Name of a credential entry.
    pub anthropic_credential: Option<String>,
}

/// How long to wait before the n-th repetition after a transient failure:
/// `initial × factor^n`, at most `max`, moved by up to `± jitter`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// The first wait.
    pub initial: Duration,
    /// Growth per repetition, at least 1.
    pub factor: f64,
    /// The longest wait.
    pub max: Duration,
    /// Share of the wait that chance may add or take, 0 to 1.
    pub jitter: f64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial: Duration::from_secs(30),
            factor: 2.0,
            max: Duration::from_secs(30 * 60),
            jitter: 0.2,
        }
    }
}

/// A ceiling that pauses and asks when it is reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Budget {
    /// Tokens of all kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// US dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd: Option<f64>,
}

impl Budget {
    /// Whether it allows everything.
    pub fn is_unlimited(&self) -> bool {
        self.tokens.is_none() && self.usd.is_none()
    }

    /// The same with so many hundredths more, or less.
    #[must_use]
    pub fn scaled(self, percent: u32) -> Self {
        let tokens = self.tokens.map(|tokens| {
            let scaled = u128::from(tokens) * u128::from(percent) / 100;
            u64::try_from(scaled).unwrap_or(u64::MAX)
        });
        Self { tokens, usd: self.usd.map(|usd| usd * f64::from(percent) / 100.0) }
    }
}

/// When a task's worktree is given back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Teardown {
    /// After every attempt.
    #[default]
    Always,
    /// Only by `taskloom gc`.
    Never,
    /// After successful attempts.
    OnSuccess,
}

/// A workstream: one integration branch and one integration pull request.
#[derive(Debug, Clone, PartialEq)]
pub struct Lane {
    /// Its name.
    pub id: LaneId,
    /// The lane that this one merges into, if it is nested.
    pub parent: Option<LaneIx>,
    /// Where it is cut from; `None`: the parent's integration branch, or the project's default.
    pub base_branch: Option<String>,
    /// Where it merges to; `None`: as for `base_branch`.
    pub target_branch: Option<String>,
    /// Merge without a person when no design concern was raised.
    pub auto_merge: bool,
    /// How many of its tasks may run side by side; `None`: no limit of its own.
    pub max_parallel: Option<u32>,
    /// Who must approve the integration merge.
    pub approval: Option<Approval>,
    /// Commands that must pass on the merge result.
    pub checks: Vec<String>,
    /// Inherited from the graph, field by field.
    pub isolation: Isolation,
}

/// Who must approve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Roles that count; empty: any approver.
    pub roles: Vec<String>,
    /// How many people.
    pub count: u32,
    /// The submitter does not count.
    pub no_self: bool,
}

/// A node.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its name.
    pub id: TaskId,
    /// One line for people.
    pub title: String,
    /// What the agent is asked to do.
    pub description: Option<String>,
    /// What kind of work it is.
    pub role: Role,
    /// The lane it belongs to.
    pub lane: LaneIx,
    /// Files that concern it.
    pub paths: Vec<TaggedPath>,
    /// Files of other tasks that it is given.
    pub inputs: Vec<Input>,
    /// The command that must pass on its exact commit.
    pub gate: Option<String>,
    /// How often the agent may answer a failed gate, the first run included.
    pub max_gate_attempts: u32,
    /// Who does it.
    pub agent: AgentSpec,
    /// Who looks at it.
    pub review: Option<Review>,
    /// Who must approve its pull request.
    pub approval: Option<Approval>,
    /// The agent is to leave a plan.
    pub plan: bool,
    /// That plan needs no person.
    pub auto_approve_plan: bool,
    /// Attempts, the first included.
    pub max_attempts: u32,
    /// Wall-clock limit of one attempt.
    pub timeout: Option<Duration>,
    /// What it may cost.
    pub budget: Budget,
    /// Lower goes first.
    pub priority: i32,
    /// Environment of agent and gate, as written (`${NAME}` not yet replaced), the graph's included.
    pub env: BTreeMap<String, String>,
    /// What its failure means for dependents.
    pub on_failure: OnFailure,
    /// Whether it must produce commits.
    pub pr: PrPolicy,
    /// The task whose plan it comes from; `None`: the file's own.
    pub planned_by: Option<TaskIx>,
}

/// What kind of work a task is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// As described.
    #[default]
    Generic,
    /// Writes stubs and docstrings.
    SpecWriter,
    /// Writes tests.
    TestWriter,
    /// Reviews tests.
    TestReviewer,
    /// Makes tests pass.
    Implementer,
}

/// A path with what it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaggedPath {
    /// Relative, inside the repository.
    pub path: String,
    /// `src`, `test`, `spec` or any other word.
    pub category: String,
}

/// Files of an upstream task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// A direct or transitive dependency.
    pub task: TaskIx,
    /// Only files declared with this category.
    pub category: Option<String>,
}

/// Who does the work. `None` fields are decided by profile and configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AgentSpec {
    /// A profile of the configuration: the task's own, else the graph's default unless the agent
    /// says by itself how it is spoken to.
    pub profile: Option<ProfileName>,
    /// How the agent is spoken to.
    pub framework: Option<Framework>,
    /// Its model, the graph's default included.
    pub model: Option<String>,
    /// How much of an architecture decision record is asked for.
    pub adr: AdrVerbosity,
    /// Where it runs.
    pub environment: Option<Environment>,
    /// The program, for `shell` and `acp`.
    pub command: Option<String>,
    /// What it can reach, inherited from graph, lane and task, field by field.
    pub isolation: Isolation,
}

impl AgentSpec {
    /// The same agent inside the walls of `outer`.
    #[must_use]
    pub(crate) fn within(self, outer: &Isolation) -> AgentSpec {
        AgentSpec { isolation: self.isolation.over(outer), ..self }
    }
}

/// How an agent is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framework {
    /// Claude Code.
    ClaudeCode,
    /// Codex.
    Codex,
    /// Gemini CLI.
    Gemini,
    /// opencode.
    Opencode,
    /// Any agent that speaks the Agent Client Protocol.
    Acp,
    /// Any program.
    Shell,
}

/// How much of an architecture decision record is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdrVerbosity {
    /// Nothing.
    #[default]
    None,
    /// Context, decision, consequences.
    Standard,
    /// With alternatives and evidence.
    Detailed,
    /// With explanations for a newcomer.
    Educational,
}

/// Where an agent runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Environment {
    /// Without a terminal.
    Headless,
    /// In a tmux window to attach to; the session's name, if the author gave one.
    Tmux {
        /// The session's name.
        session: Option<String>,
    },
}

/// What an agent can reach. `None` inherits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Isolation {
    /// The kind of wall.
    pub sandbox: Option<SandboxKind>,
    /// Which credentials it is given.
    pub token_tier: Option<TokenTier>,
    /// Container image, for `oci`.
    pub image: Option<String>,
    /// Container engine, for `oci`.
    pub runtime: Option<OciRuntime>,
    /// Whether it has a network.
    pub network: Option<bool>,
}

impl Isolation {
    /// This, with what it leaves open taken from `outer`.
    #[must_use]
    pub fn over(self, outer: &Isolation) -> Isolation {
        Isolation {
            sandbox: self.sandbox.or(outer.sandbox),
            token_tier: self.token_tier.or(outer.token_tier),
            image: self.image.or_else(|| outer.image.clone()),
            runtime: self.runtime.or(outer.runtime),
            network: self.network.or(outer.network),
        }
    }
}

/// The kind of wall around an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SandboxKind {
    /// None.
    None,
    /// Linux namespaces by bubblewrap.
    Bwrap,
    /// A container.
    Oci,
}

/// Which credentials an agent is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenTier {
    /// May read.
    ReadOnly,
    /// May do its work.
    Standard,
    /// May do more.
    Elevated,
}

/// A container engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OciRuntime {
    /// Docker.
    Docker,
    /// Podman.
    Podman,
}

/// A second agent that looks at the change.
#[derive(Debug, Clone, PartialEq)]
pub struct Review {
    /// Who reviews.
    pub agent: AgentSpec,
    /// From which attempt on, 1-based.
    pub on_attempt: u32,
}

/// What a task's failure means for its dependents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// They wait.
    #[default]
    Block,
    /// They may start.
    Continue,
}

/// Whether a task must produce commits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PrPolicy {
    /// It must, unless it says that there is nothing to change.
    #[default]
    Auto,
    /// It produces none by design.
    Never,
}
