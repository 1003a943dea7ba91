//! What a run waits for of other runs.

use crate::ids::{RunId, TaskId};
use crate::orchestrator::world::{Desk, Run, World};
use crate::state::{After, Subject, What};

impl World {
    /// What of this is not done yet.
    pub(crate) fn not_done(&self, after: &[After]) -> Vec<After> {
        let done = |after: &&After| {
            let run = self.runs.get(&after.run);
            run.is_some_and(|run| {
                let task = run.graph().lookup_task(&after.task);
                task.is_some_and(|task| run.tasks[task.at()].state.is_success())
            })
        };
        after.iter().filter(|after| !done(after)).cloned().collect()
    }

    /// The runs that others wait for.
    pub(crate) fn waited_for(&self) -> Vec<RunId> {
        let mut runs: Vec<RunId> = self.desk.waiting.keys().map(|(run, _)| *run).collect();
        runs.dedup();
        runs
    }

    /// Runs that waited for what is done now go on.
    pub(crate) fn tell_those_who_wait(&mut self) {
        for (of, task) in std::mem::take(&mut self.desk.done) {
            let waiting = self.desk.waiting.remove(&(of, task.clone())).unwrap_or_default();
            for id in waiting {
                if let Some(run) = self.runs.get_mut(&id) {
                    run.waits_no_more(&mut self.desk, of, &task);
                }
            }
        }
    }
}

impl Run {
    /// Has it told when what it waits for is done.
    pub(crate) fn begin_waiting(&self, desk: &mut Desk) {
        for After { run, task, .. } in &self.record.waits_for {
            desk.waiting.entry((*run, task.clone())).or_default().insert(self.info.id);
        }
    }

    fn waits_no_more(&mut self, desk: &mut Desk, of: RunId, task: &TaskId) {
        let is_it = |after: &After| after.run == of && after.task == *task;
        if let Some(after) = self.record.waits_for.iter().find(|after| is_it(after)).cloned() {
            self.record.waits_for.retain(|after| !is_it(after));
            self.changed.run = true;
            let what = Some(format!("`{}/{task}` is done", after.name));
            desk.journal(self.info.id, Subject::Run, None, What::Remark, what);
        }
    }
}
