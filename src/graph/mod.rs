//! YAML in, immutable DAG out.
//!
//! A graph file is untrusted input: [`load`] checks everything before anything runs and reports
//! every problem at once. Nothing here does I/O or knows what becomes of the graph.

mod dag;
mod diff;
mod frontier;
mod grow;
mod knots;
mod model;
mod node;
mod problem;
mod select;
mod spec;

pub use dag::{Graph, LaneIx, TaskIx};
pub use diff::{Change, Changed, Diff, Entries, diff};
pub use frontier::Frontier;
pub use grow::{Ungrown, depth, grow};
pub use model::{
    AdrVerbosity, AgentSpec, Approval, Backoff, Budget, Environment, Framework, Input, Isolation,
    Lane, OciRuntime, OnFailure, PrPolicy, Review, Role, SandboxKind, Settings, TaggedPath, Task,
    Teardown, TokenTier,
};
pub use node::{FILE_BYTES_MAX, NESTING_MAX};
pub(crate) use problem::is_hidden;
pub use problem::{PROBLEMS_SHOWN_MAX, Problem, report};
pub use select::{Index, SelectError, Unreadable};
pub use spec::{
    EDGES_MAX, ENV_VALUE_BYTES_MAX, ENV_VARIABLES_MAX, LINE_BYTES_MAX, PROSE_BYTES_MAX, TASKS_MAX,
    load, load_plan,
};
