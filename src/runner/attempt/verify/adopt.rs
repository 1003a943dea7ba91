//! Work that somebody else pushed to the task's branch: verified like an agent's, without one.

use crate::runner::attempt::record::Record;
use crate::runner::attempt::verify::gate::Gate;
use crate::runner::attempt::{Attempt, Break, Ears};
use crate::runner::job::StepFailure;
use crate::runner::lanes::pulls::{branch, failure, head_of};
use crate::state::{AttemptOutcome, FailureClass, Step};

impl Attempt<'_> {
    /// Brings in what stands on the task's branch where others push, and verifies it.
    pub(in crate::runner::attempt) async fn adopt(
        &self,
        record: &mut Record,
        mut ears: Ears,
    ) -> Result<AttemptOutcome, Break> {
        self.step(Step::Gating);
        let branches = self.run.branches();
        let head = branch(&branches.task(&self.spec().id));
        let there = self.project.forge.take_aside(&head).await.map_err(|error| failure(&error))?;
        let Some(commit) = there else {
            let message = format!("`{head}` is gone; a retry makes it again");
            return Err(StepFailure::new(FailureClass::NeedsHuman, message).into());
        };
        let lane = branch(&branches.lane(&self.run.graph.lane(self.spec().lane).id));
        let lane = head_of(&self.project, &lane).await?;
        let collected = self.measure(&lane, commit.clone()).await?;
        self.look_for_plan(&collected, record).await?;
        let gated = tokio::select! {
            gated = self.gate(&commit, 1, false) => gated?,
            () = ears.stopped() => return Err(AttemptOutcome::Stopped { kept: Some(commit) }.into()),
        };
        let evidence = match gated {
            Gate::Passed(evidence) => evidence,
            Gate::Failed { how, output } => {
                let message = format!("what was pushed fails the gate ({how})\n{output}").into();
                let class = FailureClass::GateFailed;
                return Ok(AttemptOutcome::Failed { class, message, kept: Some(commit) });
            }
        };
        self.read_plan(record, &mut ears).await?;
        self.point_branch(&collected.commit).await?;
        Ok(AttemptOutcome::Proposed(collected.proposed(&lane, evidence)))
    }
}
