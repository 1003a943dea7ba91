//! Carries out what the engine decides: one attempt as a straight line, and the work around it.
//!
//! The engine hands out a [`Job`] and hears [`Report`]s; it knows nothing else of what happens
//! here. Whoever executes looks first whether the job was done already: a job may be handed out
//! again after a crash.

mod attempt;
mod errand;
mod files;
mod instructions;
mod job;
mod lanes;
mod layout;
mod preflight;
mod project;
mod shop;
mod walls;
mod waste;

pub use attempt::Stall;
pub use errand::{BranchDiff, Errand, ErrandEnd};
pub use job::{
    AttemptContext, Executor, Found, Job, LaneEnd, PullContext, Pulled, PulledLane, Report,
    Reporter, RunInfo, StepFailure, ToAttempt,
};
pub use layout::{
    Layout, OldLogs, are_deleted, delete_old, log_files, log_name, old_logs, open_log, tidy,
    transcript,
};
pub use shop::{AgentProfile, Credentials, Lore, OnGitHub, Options, Parser, Shop, SignIn};
pub use walls::probe as probe_wall;
pub use waste::Waste;
