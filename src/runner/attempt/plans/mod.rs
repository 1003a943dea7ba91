//! The plan that an attempt leaves: in a file of its commits, or in its agent's words.

mod reader;

pub(super) use reader::reader_dirs;

use crate::notify::Output;
use crate::plan::PLAN_BYTES_MAX;
use crate::runner::attempt::record::Record;
use crate::runner::attempt::verify::collect::Collected;
use crate::runner::attempt::{Attempt, Break};
use crate::runner::job::{Report, StepFailure};
use crate::runner::project::trouble;
use crate::state::{FailureClass, PlanFound};

impl Attempt<'_> {
    /// Finds the plan in what was collected: what an agent says counts before a file. It is read
    /// from the commit, which the agent cannot change any more.
    pub(super) async fn look_for_plan(
        &self,
        collected: &Collected,
        record: &mut Record,
    ) -> Result<(), Break> {
        // What stood in a file of an earlier round may be gone.
        record.plan = record.plan.take().filter(|plan| plan.file.is_none());
        let Some((path, others)) = collected.plans.split_first() else { return Ok(()) };
        if record.plan.is_some() {
            return Ok(());
        }
        // One more than is allowed: so it shows that there was too much.
        let read = self.project.bare.beginning_of(&collected.commit, path, PLAN_BYTES_MAX + 1);
        let text = read.await.map_err(|error| trouble(&error))?;
        if !others.is_empty() {
            let rest = others.join("`, `");
            let why = format!("the plan is taken from `{path}`; `{rest}` is not looked at");
            self.reporter.report(Report::Remark(why));
        }
        self.say(Output::Line(format!("left a plan in `{path}`")));
        record.plan = Some(PlanFound { file: Some(path.clone()), text, read: None });
        Ok(())
    }

    /// Who was to plan and did not has not done the task: what waits for it would go on without.
    pub(super) fn demand_plan(&self, record: &Record) -> Result<(), Break> {
        if !self.spec().plan || record.plan.is_some() {
            return Ok(());
        }
        let message = "the task was to leave a plan, and none was found: it belongs in \
                       `.taskloom/plan.md`, or is said by `taskloom task plan`";
        Err(StepFailure::new(FailureClass::NothingDone, message).into())
    }
}
