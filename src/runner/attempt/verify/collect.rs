//! Brings the agent's work into the engine's repository and looks at what it is.

use crate::git::{self, Changes, Checkout, How, Kind, RefChange, RefName, Why};
use crate::ids::CommitId;
use crate::notify::Output;
use crate::runner::attempt::prepare::Prepared;
use crate::runner::attempt::{Attempt, Break};
use crate::runner::job::{Report, StepFailure};
use crate::runner::lanes::pulls::branch;
use crate::runner::project::{told, trouble};
use crate::state::{Evidence, FailureClass, Proposal};
use crate::time::Timestamp;

/// Paths that decide what runs on other people's machines, or what later agents are told. A person
/// lets a change to them through.
const PROTECTED: &[&str] = &[
    ".github/",
    ".gitattributes",
    ".gitmodules",
    ".claude/",
    ".mcp.json",
    "CLAUDE.md",
    "AGENTS.md",
];

/// What an agent has done.
pub(in crate::runner::attempt) struct Collected {
    pub(in crate::runner::attempt) commit: CommitId,
    pub(in crate::runner::attempt) commits: u32,
    pub(in crate::runner::attempt) files: u32,
    pub(in crate::runner::attempt) insertions: u32,
    pub(in crate::runner::attempt) deletions: u32,
    /// Paths that a person must let through, with the reason.
    pub(in crate::runner::attempt) protected: Vec<String>,
    /// Files of it that may be plans, the likeliest first.
    pub(in crate::runner::attempt) plans: Vec<String>,
}

impl Collected {
    /// What is proposed to the lane, which is at `base`.
    pub(in crate::runner::attempt) fn proposed(
        self,
        base: &CommitId,
        evidence: Option<Evidence>,
    ) -> Proposal {
        let Self { commit, commits, files, insertions, deletions, protected, plans: _ } = self;
        let base = base.clone();
        Proposal { base, commits, files, insertions, deletions, protected, commit, evidence }
    }
}

impl Attempt<'_> {
    /// Imports what HEAD of the worktree names and commits what was not committed.
    pub(in crate::runner::attempt) async fn collect(
        &self,
        prepared: &Prepared,
        turn: u32,
    ) -> Result<Collected, Break> {
        let commit = self.import(&prepared.checkout, self.ended_at(turn)).await?;
        self.measure(&prepared.lane, commit).await
    }

    /// What a commit that is here adds to the lane.
    pub(in crate::runner::attempt) async fn measure(
        &self,
        base: &CommitId,
        commit: CommitId,
    ) -> Result<Collected, Break> {
        let bare = &self.project.bare;
        let commits = bare.ahead(base, &commit).await.map_err(|error| trouble(&error))?;
        let changes = bare.changes(base, &commit).await.map_err(|error| trouble(&error))?;
        let count = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Ok(Collected {
            commits: count(commits as u64),
            files: count(changes.files.len() as u64),
            insertions: count(changes.insertions()),
            deletions: count(changes.deletions()),
            protected: protected(&changes),
            plans: plans(&changes),
            commit,
        })
    }

    /// When a turn of the agent ended.
    fn ended_at(&self, turn: u32) -> Timestamp {
        let exit = self.dir.join(format!("agent-{turn}.exit.json"));
        let written = std::fs::symlink_metadata(exit).and_then(|exit| exit.modified()).ok();
        let since = written.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        let ms = since.and_then(|since| i64::try_from(since.as_millis()).ok());
        ms.map_or_else(|| self.shop.clock.now(), Timestamp)
    }

    /// The commit that holds all work of the worktree, in the engine's repository.
    /// `at` dates what the agent did not commit: the same again makes the same commit.
    pub(in crate::runner::attempt) async fn import(
        &self,
        checkout: &Checkout,
        at: Timestamp,
    ) -> Result<CommitId, StepFailure> {
        let bare = &self.project.bare;
        let (run, id) = (&self.run.name, &self.spec().id);
        let head = bare.import(checkout, &self.key()).await.map_err(|error| invalid(&error))?;
        let message = format!(
            "{id}: {}\n\nLeft uncommitted by the agent, committed by Taskloom.\n\n\
             Taskloom-Run: {run}\nTaskloom-Task: {id}\nTaskloom-Attempt: {}\n\
             Taskloom-Leftovers: true\n",
            self.spec().title,
            self.number
        );
        let (by, at) = (&self.shop.options.identity, at);
        let left = bare.leftovers(checkout, &head, &message, by, at).await;
        let left = left.map_err(|error| invalid(&error))?;
        for (path, why) in &left.left_out {
            let remark = format!("`{path}` cannot be committed: {}", reason(*why));
            self.reporter.report(Report::Remark(remark));
        }
        if left.commit.is_some() {
            let line = "uncommitted work was committed by Taskloom";
            self.say(Output::Line(line.to_owned()));
        }
        Ok(left.commit.unwrap_or(head))
    }

    /// Points the task's branch at what was verified.
    pub(in crate::runner::attempt) async fn point_branch(
        &self,
        commit: &CommitId,
    ) -> Result<(), StepFailure> {
        let name = branch(&self.run.branches().task(&self.spec().id)).to_ref();
        self.hold(name, commit).await.map_err(|error| trouble(&error))
    }

    /// Points a ref at a commit and lets go of where the work was staged.
    pub(in crate::runner::attempt) async fn hold(
        &self,
        name: RefName,
        commit: &CommitId,
    ) -> Result<(), git::Error> {
        let bare = &self.project.bare;
        let staged = RefName::new(&format!("refs/staging/{}", self.key()))?;
        let mut changes = Vec::new();
        match bare.lookup(&name).await? {
            Some(from) if from == *commit => {}
            Some(from) => changes.push(RefChange::Move { name, from, to: commit.clone() }),
            None => changes.push(RefChange::Create { name, to: commit.clone() }),
        }
        if let Some(from) = bare.lookup(&staged).await? {
            changes.push(RefChange::Delete { name: staged, from });
        }
        if changes.is_empty() { Ok(()) } else { bare.transact(&changes).await }
    }

    /// What names this attempt in the engine's repository.
    pub(in crate::runner::attempt) fn key(&self) -> String {
        let (run, id) = (&self.run.name, &self.spec().id);
        format!("{}/{}/{id}/{}", run.graph, run.number, self.number)
    }
}

fn reason(why: Why) -> &'static str {
    match why {
        Why::Repository => "it is a repository of its own",
        Why::NotAFile => "it is neither a file nor a link",
        Why::Unreadable => "it cannot be read",
    }
}

/// What cannot be taken in is the agent's doing unless git itself is in trouble.
fn invalid(error: &crate::git::Error) -> StepFailure {
    let failure = trouble(error);
    if failure.class == FailureClass::Internal {
        let message = format!("the work cannot be taken in: {}", told(error));
        return StepFailure::new(FailureClass::InvalidSignal, message);
    }
    failure
}

/// Where some agents keep their plans, below a directory that is protected.
const AGENT_PLAN: &str = ".claude/plan.md";

/// Where plans are looked for, the likeliest place first; a directory stands for the Markdown in it.
const PLANS: &[&str] = &[".taskloom/plan.md", AGENT_PLAN, "plan.md", "docs/plans/", "plans/"];

/// Files that may be plans and were added or changed, the likeliest first.
fn plans(changes: &Changes) -> Vec<String> {
    let written = changes.files.iter().filter(|change| {
        let file = matches!(change.kind, Kind::File | Kind::Executable);
        file && matches!(change.how, How::Added | How::Modified)
    });
    let place = |path: &str| {
        PLANS.iter().position(|place| match path.strip_prefix(place) {
            Some(rest) if place.ends_with('/') => !rest.contains('/') && rest.ends_with(".md"),
            Some(rest) => rest.is_empty(),
            None => false,
        })
    };
    let mut found: Vec<(usize, &str)> =
        written.filter_map(|change| Some((place(&change.path)?, change.path.as_str()))).collect();
    found.sort_unstable();
    found.into_iter().map(|(_, path)| path.to_owned()).collect()
}

fn protected(changes: &Changes) -> Vec<String> {
    let reason = |change: &crate::git::Change| {
        let path = &change.path;
        let guarded = PROTECTED.iter().any(|p| match p.strip_suffix('/') {
            Some(dir) => path.split('/').any(|part| part == dir),
            None => path.rsplit('/').next() == Some(p),
        });
        match &change.kind {
            Kind::Gitlink => Some(format!("`{path}` is a submodule")),
            Kind::Symlink { target } if leaves_tree(path, target.as_deref()) => {
                Some(format!("`{path}` is a link out of the tree"))
            }
            // Nothing reads it but who is asked for a plan, and a person sees it.
            Kind::File if path == AGENT_PLAN => None,
            _ if guarded => Some(format!("`{path}` is a protected path")),
            Kind::File | Kind::Executable | Kind::Symlink { .. } => None,
        }
    };
    changes.files.iter().filter_map(reason).collect()
}

/// Whether a link at `path` points out of the tree, or to where nobody knows.
fn leaves_tree(path: &str, target: Option<&str>) -> bool {
    let Some(target) = target else { return true };
    if target.starts_with('/') {
        return true;
    }
    let mut depth = path.matches('/').count() as i64;
    for part in target.split('/') {
        match part {
            ".." => depth -= 1,
            "" | "." => {}
            _ => depth += 1,
        }
        if depth < 0 {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leaves_the_tree_when_it_climbs_above_its_top_on_the_way() {
        assert!(!leaves_tree("a/b", Some("../c")));
        assert!(!leaves_tree("a/b/c", Some("../../x/../y")));
        assert!(leaves_tree("a", Some("../c")));
        assert!(leaves_tree("a/b", Some("../../a/b")));
        assert!(leaves_tree("a", Some("/etc/passwd")));
        assert!(leaves_tree("a", None));
    }
}
