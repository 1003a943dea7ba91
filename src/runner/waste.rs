//! What finished runs left behind, and giving it back.

use std::path::Path;
use std::sync::Arc;

use crate::git::{self, Checkout, Discard, Standing};
use crate::ids::{ProjectId, RunName};
use crate::runner::job::StepFailure;
use crate::runner::project::{Project, trouble};
use crate::runner::shop::Shop;
use crate::state::ProjectRecord;

/// Something that could be freed.
pub struct Waste {
    /// What it is.
    pub what: String,
    /// Why it may go.
    pub why: String,
    /// How much it takes up.
    pub bytes: u64,
    project: Arc<Project>,
    kind: Kind,
}

enum Kind {
    /// The worktree of a run that has settled.
    Worktree(Checkout),
    /// Used trees that wait for the next task.
    Pool,
}

impl Shop {
    /// What of a project could be freed; `settled` are the runs in which nothing goes on.
    pub async fn waste(
        &self,
        project: &ProjectRecord,
        settled: &[(ProjectId, RunName)],
    ) -> Result<Vec<Waste>, StepFailure> {
        let doors = self.inner().projects.open(project).await?;
        let mut waste = Vec::new();
        let (mut pooled, mut parked) = (0, 0);
        for listed in doors.checkouts.list().await.map_err(|error| trouble(&error))? {
            match listed.standing {
                Standing::Ready(checkout) => {
                    let run = settled
                        .iter()
                        .find(|(owner, run)| *owner == project.id && holds(run, &listed.path));
                    if let Some((_, run)) = run {
                        waste.push(Waste {
                            what: listed.path.display().to_string(),
                            why: format!("a worktree of run {run}, in which nothing goes on"),
                            bytes: listed.bytes,
                            project: doors.clone(),
                            kind: Kind::Worktree(checkout),
                        });
                    }
                }
                Standing::Parked | Standing::Trash => {
                    pooled += listed.bytes;
                    parked += 1;
                }
                Standing::Unknown => {}
            }
        }
        if parked > 0 {
            waste.push(Waste {
                what: format!("{parked} used worktrees of project {}", project.id),
                why: "the next tasks would start faster with them".to_owned(),
                bytes: pooled,
                project: doors,
                kind: Kind::Pool,
            });
        }
        Ok(waste)
    }

    /// Frees something. Work that exists nowhere else is kept unless `force` is given.
    pub async fn free(&self, waste: &Waste, force: bool) -> Result<(), StepFailure> {
        let checkouts = &waste.project.checkouts;
        let freed: Result<(), git::Error> = match &waste.kind {
            Kind::Worktree(checkout) => {
                let discard = if force { Discard::Anyway } else { Discard::Checked };
                checkouts.destroy(checkout, discard).await
            }
            Kind::Pool => checkouts.drain_pool().await.map(drop),
        };
        freed.map_err(|error| trouble(&error))
    }
}

/// Whether a worktree belongs to a run: they lie in a directory of the run's name.
fn holds(run: &RunName, worktree: &Path) -> bool {
    let dir = worktree.parent().and_then(|dir| dir.file_name());
    dir.is_some_and(|dir| dir == format!("{}-{}", run.graph, run.number).as_str())
}
