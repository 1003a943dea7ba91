//! What the bot needs done that is no business of a front end: files, git, checks of the machine.

use async_trait::async_trait;

use crate::failure::Failure;
use crate::graph::Graph;
use crate::hooks;
use crate::hooks::rules::HookRun;
use crate::ids::{CommitId, HookName, ProfileName, ProjectId, RunId, TaskId};
use crate::orchestrator::{Resubmission, Submitted};
use crate::runner::RunInfo;
use crate::state::{ProjectRecord, RunOptions};

/// A graph to be run.
#[derive(Debug, Clone)]
pub struct Order {
    /// On which project.
    pub project: ProjectId,
    /// The graph's file, byte for byte.
    pub source: String,
    /// What the submitter sets above the graph.
    pub options: RunOptions,
    /// Who.
    pub submitter: String,
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether it is as it should be.
    pub fine: bool,
    /// One sentence.
    pub sentence: String,
}

/// Does what needs files, git or the machine.
#[async_trait]
pub trait Office: Send + Sync {
    /// Every project, by name.
    async fn projects(&self) -> Vec<ProjectRecord>;

    /// What is known of a repository that is to be a project: a clone on this machine, or a URL.
    async fn found(&self, id: &ProjectId, from: &str) -> Result<ProjectRecord, Failure>;

    /// Says what keeps a graph from running on a project.
    async fn preflight(&self, graph: &Graph, project: &ProjectId) -> Result<(), Failure>;

    /// Starts a graph.
    async fn submit(&self, order: Order) -> Result<Submitted, Failure>;

    /// Starts a graph that goes on from a run, or says what would be kept.
    async fn resubmit(
        &self,
        of: RunId,
        order: Order,
        dry_run: bool,
    ) -> Result<(Option<Submitted>, Resubmission), Failure>;

    /// The names of the graphs in a project's repository.
    async fn graphs(&self, project: &ProjectId) -> Vec<String>;

    /// The file of one of them.
    async fn graph(&self, project: &ProjectId, name: &str) -> Result<String, Failure>;

    /// The graph that an issue of the project's forge stands for.
    async fn issue(&self, project: &ProjectId, number: u64) -> Result<String, Failure>;

    /// Plays a graph with agents that always succeed, without git or processes; says how it goes.
    async fn rehearse(&self, source: &str) -> Result<String, Failure>;

    /// What a commit changes against what it was cut from.
    async fn diff(
        &self,
        info: &RunInfo,
        base: &CommitId,
        commit: &CommitId,
    ) -> Result<String, Failure>;

    /// Everything that an attempt and its gates wrote, in order; of what is longer than `most`
    /// bytes the beginning and the end.
    async fn log(
        &self,
        info: &RunInfo,
        task: &TaskId,
        attempt: u32,
        most: usize,
    ) -> Result<Vec<u8>, Failure>;

    /// Where an attempt works and with what, one line.
    async fn receipt(&self, info: &RunInfo, task: &TaskId, attempt: u32) -> String;

    /// The agent profiles, by name, with what each is.
    fn agents(&self) -> Vec<(ProfileName, String)>;

    /// All hooks, by name.
    async fn hooks(&self) -> Result<Vec<hooks::Told>, Failure>;

    /// A hook that was made by a command, as it was written.
    async fn hook_text(&self, name: &HookName) -> Result<String, Failure>;

    /// The latest runs of a hook, or of all, newest first.
    async fn hook_runs(&self, hook: Option<&HookName>, limit: u32)
    -> Result<Vec<HookRun>, Failure>;

    /// Sets a hook off, or says what it would do.
    async fn fire_hook(&self, asked: hooks::Asked) -> Result<hooks::Given, Failure>;

    /// Makes, changes or removes a hook.
    async fn change_hook(&self, change: hooks::Kept) -> Result<hooks::Given, Failure>;

    /// What is right and wrong with the machine.
    async fn doctor(&self) -> Vec<Finding>;
}
