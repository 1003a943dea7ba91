//! YAML in, immutable DAG out.
//!
//! A graph file is untrusted input: [`load`] checks everything before anything runs and reports
//! every problem at once. Nothing here does I/O or knows what becomes of the graph.

mod dag;
mod frontier;
mod model;

pub use dag::{Graph, LaneIx, TaskIx};
pub use frontier::Frontier;
pub use model::{
    AdrVerbosity, AgentSpec, Approval, Backoff, Budget, Environment, Framework, Input, Isolation,
    Lane, OciRuntime, OnFailure, PrPolicy, Review, Role, SandboxKind, Settings, TaggedPath, Task,
    Teardown, TokenTier,
};
