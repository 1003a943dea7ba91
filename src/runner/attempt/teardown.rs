//! The end of every attempt: keep the work and the logs, give processes and worktree back, write
//! down how it ended.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::agents::process::{self, Adopted, Cursor};
use crate::git::{Discard, RefName};
use crate::graph::Teardown;
use crate::ids::CommitId;
use crate::runner::attempt::Attempt;
use crate::runner::attempt::plans::reader_dirs;
use crate::runner::attempt::record::Record;
use crate::runner::files;
use crate::runner::project::{told, trouble};
use crate::state::{
    AttemptEnd, AttemptOutcome, Concern, ConcernKind, FailureClass, PlanFound, Proposal, Session,
    Usage,
};

/// Marks an attempt whose worktree holds work that exists nowhere else.
pub(super) const UNSAVED: &str = "unsaved";

/// `result.json`: how an attempt ended, for the process that comes after this one.
#[derive(Serialize, Deserialize)]
struct Ended {
    outcome: EndedAs,
    summary: Option<String>,
    #[serde(default)]
    learned: Vec<String>,
    concerns: Vec<Concern>,
    usage: Usage,
    #[serde(default)]
    session: Option<Session>,
    #[serde(default)]
    plan: Option<Box<PlanFound>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EndedAs {
    Proposed(Proposal),
    NoChanges,
    Failed { class: FailureClass, message: String, kept: Option<CommitId> },
    Stopped { kept: Option<CommitId> },
}

/// Where programs of an attempt are kept that Taskloom itself follows: agent, gate, and who reads its
/// plan.
fn program_dirs(dir: &Path, records: &Path) -> Vec<PathBuf> {
    let readers = reader_dirs(records).filter(|dir| dir.exists());
    [dir.to_owned(), records.to_owned()].into_iter().chain(readers).collect()
}

/// Ends every program of an attempt that still runs.
pub(super) async fn end_programs(dir: &Path, records: &Path, grace: Duration) {
    for dir in program_dirs(dir, records) {
        for stem in begun(&dir) {
            let found = process::adopt(&dir, &stem, Cursor::default()).await;
            let Ok(Adopted::Running(mut program)) = found else { continue };
            program.stop(grace).await.ok();
            // How it ends is of no interest any more, only that it does.
            while let Err(error) = program.wait().await {
                if matches!(error, process::Error::Ended | process::Error::Lost { .. }) {
                    break;
                }
            }
        }
    }
}

/// The names of what was launched in a directory.
fn begun(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut stems: Vec<String> =
        names.filter_map(|name| Some(name.strip_suffix(".shim.json")?.to_owned())).collect();
    stems.sort();
    stems
}

impl Attempt<'_> {
    /// Ends an agent or gate that still runs: a step beside it can fail, and then nobody would
    /// follow it any more.
    pub(super) async fn end_agent(&self) {
        end_programs(&self.dir, &self.records, self.shop.options.grace).await;
    }

    /// Saves the work of an attempt that did not succeed, so that nothing is lost with the
    /// worktree.
    pub(super) async fn save_work(
        &self,
        outcome: AttemptOutcome,
        record: &mut Record,
    ) -> AttemptOutcome {
        let unsuccessful = matches!(
            outcome,
            AttemptOutcome::Failed { .. }
                | AttemptOutcome::Stopped { .. }
                | AttemptOutcome::Parked { .. }
        );
        let checkout = self.project.checkouts.lookup(&self.place).filter(|_| unsuccessful);
        let Some(checkout) = checkout else { return outcome };
        let saved = match self.import(&checkout, self.shop.clock.now()).await {
            Ok(commit) if commit == checkout.base => None,
            Ok(commit) => Some(commit),
            Err(failure) => {
                let place = checkout.tree.display();
                let text = format!("the work so far lies only in {place}: {failure}");
                record.doubt(ConcernKind::Ops, text);
                if let Err(error) = files::write(&self.records.join(UNSAVED), b"") {
                    tracing::error!(%error, "a worktree may be taken for saved");
                }
                None
            }
        };
        if let Some(commit) = &saved {
            self.pin(commit, record).await;
        }
        match outcome {
            AttemptOutcome::Failed { class, message, .. } => {
                AttemptOutcome::Failed { class, message, kept: saved }
            }
            AttemptOutcome::Stopped { .. } => AttemptOutcome::Stopped { kept: saved },
            AttemptOutcome::Parked { whose, until, why, .. } => {
                AttemptOutcome::Parked { whose, until, why, kept: saved }
            }
            other @ (AttemptOutcome::Proposed(_) | AttemptOutcome::NoChanges) => other,
        }
    }

    /// Keeps a commit from being collected as garbage.
    async fn pin(&self, commit: &CommitId, record: &mut Record) {
        let name = format!("refs/taskloom/kept/{}", self.key());
        let pinned = match RefName::new(&name) {
            Ok(name) => self.hold(name, commit).await,
            Err(error) => Err(error),
        };
        if let Err(error) = pinned {
            record.doubt(ConcernKind::Ops, format!("`{name}` was not made: {}", told(&error)));
        }
    }

    /// Writes what people and later tasks read. Trouble here is no trouble of the work.
    pub(super) fn capture(&self, record: &mut Record, outcome: &AttemptOutcome) {
        let (project, run) = (&self.run.project.id, &self.run.name);
        let task_dir = self.shop.layout.task(project, run, &self.spec().id);
        let written = record.write().and_then(|()| {
            if matches!(outcome, AttemptOutcome::Proposed(_) | AttemptOutcome::NoChanges) {
                record.publish(&task_dir)?;
            }
            for (to, text) in &record.notes {
                let Ok(to) = to.parse() else { continue };
                if self.run.graph.lookup_task(&to).is_some() {
                    let dir = self.shop.layout.task(project, run, &to);
                    files::private_dir(&dir)?;
                    files::append_line(&dir.join("notes.jsonl"), &(&self.spec().id, text))?;
                }
            }
            Ok(())
        });
        if let Err(error) = written {
            record.doubt(ConcernKind::Ops, format!("logs are incomplete: {error}"));
        }
    }

    /// Gives the worktree back as the graph says.
    /// What did not work is a concern.
    pub(super) async fn tear_down(&self, outcome: &AttemptOutcome) -> Option<Concern> {
        // A supervisor that was killed could not take its sockets with it.
        for dir in program_dirs(&self.dir, &self.records) {
            if let Err(error) = files::remove_all(&dir, |name| name.ends_with(".sock")) {
                tracing::warn!(%error, dir = %dir.display(), "sockets are left behind");
            }
        }
        let well = matches!(outcome, AttemptOutcome::Proposed(_) | AttemptOutcome::NoChanges);
        let keep = match self.run.teardown {
            Teardown::Always => false,
            Teardown::OnSuccess => !well,
            Teardown::Never => true,
        };
        let keep = keep || self.records.join(UNSAVED).exists();
        let checkout = self.project.checkouts.lookup(&self.place).filter(|_| !keep)?;
        let error = self.project.checkouts.release(&checkout, Discard::Anyway).await.err()?;
        let failure = trouble(&error);
        Some(self.ops(format!("the worktree was not given back: {failure}")))
    }

    /// Trouble of ours with this attempt.
    pub(super) fn ops(&self, text: String) -> Concern {
        Concern { kind: ConcernKind::Ops, attempt: self.number, text }
    }

    /// Writes down how the attempt ended.
    pub(super) fn remember(&self, end: &AttemptEnd) -> std::io::Result<()> {
        let outcome = match &end.outcome {
            AttemptOutcome::Proposed(proposal) => EndedAs::Proposed(proposal.clone()),
            AttemptOutcome::NoChanges => EndedAs::NoChanges,
            AttemptOutcome::Failed { class, message, kept } => {
                EndedAs::Failed { class: *class, message: message.to_string(), kept: kept.clone() }
            }
            AttemptOutcome::Stopped { kept } => EndedAs::Stopped { kept: kept.clone() },
            AttemptOutcome::Parked { .. } => return Ok(()),
        };
        let ended = Ended {
            outcome,
            summary: end.summary.as_deref().map(str::to_owned),
            learned: end.learned.clone(),
            concerns: end.concerns.clone(),
            usage: end.usage,
            session: end.session.as_deref().cloned(),
            plan: end.plan.clone(),
        };
        files::write_json(&self.records.join("result.json"), &ended)
    }

    /// How the attempt ended, if an earlier process wrote it down.
    pub(super) fn finished_before(&self) -> Option<AttemptEnd> {
        let ended: Ended = files::read_json(&self.records.join("result.json")).ok()??;
        let outcome = match ended.outcome {
            EndedAs::Proposed(proposal) => AttemptOutcome::Proposed(proposal),
            EndedAs::NoChanges => AttemptOutcome::NoChanges,
            EndedAs::Failed { class, message, kept } => {
                AttemptOutcome::Failed { class, message: message.into(), kept }
            }
            EndedAs::Stopped { kept } => AttemptOutcome::Stopped { kept },
        };
        Some(AttemptEnd {
            outcome,
            summary: ended.summary.map(String::into_boxed_str),
            learned: ended.learned,
            concerns: ended.concerns,
            usage: ended.usage,
            session: ended.session.map(Box::new),
            plan: ended.plan,
        })
    }
}
