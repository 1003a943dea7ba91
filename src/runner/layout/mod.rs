//! Where everything lies below the data directory.

mod logs;
pub(crate) mod press;
mod retain;

pub use logs::{log_files, log_name, open_log, transcript};
pub use retain::{OldLogs, are_deleted, delete_old, old_logs, tidy};

use std::path::{Path, PathBuf};

use crate::ids::{LaneId, ProjectId, RunName, TaskId};

/// The places below one data directory.
#[derive(Debug, Clone)]
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The places below `root`.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The data directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The engine's own repository of a project.
    pub fn repo(&self, project: &ProjectId) -> PathBuf {
        self.root.join("repos").join(format!("{project}.git"))
    }

    /// The clone that is kept of a project's remote repository.
    pub fn clone_of(&self, project: &ProjectId) -> PathBuf {
        self.root.join("clones").join(format!("{project}.git"))
    }

    /// The checkouts of a project.
    pub fn worktrees(&self, project: &ProjectId) -> PathBuf {
        self.root.join("worktrees").join(project.as_str())
    }

    /// What the engine records about the checkouts of a project.
    pub fn checkout_records(&self, project: &ProjectId) -> PathBuf {
        self.root.join("checkouts").join(project.as_str())
    }

    /// What is kept of a run besides the store.
    pub fn run(&self, project: &ProjectId, run: &RunName) -> PathBuf {
        let graphs = self.root.join("runs").join(project.as_str());
        graphs.join(run.graph.as_str()).join(run.number.to_string())
    }

    /// What is kept of a task.
    pub fn task(&self, project: &ProjectId, run: &RunName, task: &TaskId) -> PathBuf {
        self.run(project, run).join("tasks").join(task.as_str())
    }

    /// What is kept of an attempt.
    pub fn attempt(
        &self,
        project: &ProjectId,
        run: &RunName,
        task: &TaskId,
        attempt: u32,
    ) -> PathBuf {
        self.task(project, run, task).join("attempts").join(attempt.to_string())
    }

    /// What the engine itself records of an attempt: its gates and how it ended. Agents are told
    /// of no path here and sandboxes do not show it: what an agent can write is no evidence.
    pub fn records(
        &self,
        project: &ProjectId,
        run: &RunName,
        task: &TaskId,
        attempt: u32,
    ) -> PathBuf {
        self.task(project, run, task).join("records").join(attempt.to_string())
    }

    /// What is kept of a lane: the logs of its checks.
    pub fn lane(&self, project: &ProjectId, run: &RunName, lane: &LaneId) -> PathBuf {
        self.run(project, run).join("lanes").join(lane.as_str())
    }
}
