//! What those who carry an effect out must know beyond it.

use crate::graph::{LaneIx, TaskIx};
use crate::orchestrator::world::{Desk, Run};
use crate::runner::{AttemptContext, Job, PullContext, Pulled, PulledLane};
use crate::state::{Effect, Question};

impl Run {
    /// The job of an effect.
    pub(crate) fn job(&self, desk: &Desk, effect: &Effect) -> Job {
        let (mut attempt, mut pull) = (None, None);
        if let Effect::Attempt { task, .. } = effect {
            attempt = Some(Box::new(self.attempt_context(desk, *task)));
        } else if let Effect::OpenPr { task, .. } = effect {
            pull = Some(Box::new(self.pull_context(&[*task], None)));
        } else if let Effect::OpenLanePr { lane, .. } = effect {
            let tasks = self.graph().lane_tasks(*lane);
            pull = Some(Box::new(self.pull_context(tasks, Some(*lane))));
        }
        Job { run: self.info.clone(), effect: effect.clone(), attempt, pull }
    }

    fn attempt_context(&self, desk: &Desk, task: TaskIx) -> AttemptContext {
        let more = self.tasks[task.at()].more.as_deref().cloned().unwrap_or_default();
        let pool = self.place.pool_ix(task);
        let profile = more.stand_in.or_else(|| desk.queue.profile(pool).cloned());
        AttemptContext {
            failure: more.failure,
            note: more.note,
            fresh: more.fresh,
            kept: more.kept,
            answers: more.answers,
            session: more.session,
            answer: more.answer,
            silence: more.question.filter(Question::is_about_silence),
            adopt: more.adopt,
            profile,
        }
    }

    fn pull_context(&self, tasks: &[TaskIx], lane: Option<LaneIx>) -> PullContext {
        let of_task = |task: &TaskIx| {
            let record = &self.tasks[task.at()];
            let more = record.more.as_deref().cloned().unwrap_or_default();
            Pulled {
                task: *task,
                state: record.state,
                attempt: record.attempts.saturating_sub(1),
                pr: more.pr,
                summary: more.summary,
                concerns: more.concerns,
                proposal: more.proposal,
                usage: more.usage,
            }
        };
        let of_lane =
            |lane: &LaneIx| PulledLane { lane: *lane, pr: self.lanes[lane.at()].pr.clone() };
        let children = lane.map_or(&[][..], |lane| self.graph().lane_children(lane));
        PullContext {
            tasks: tasks.iter().map(of_task).collect(),
            lanes: children.iter().map(of_lane).collect(),
            check: lane.and_then(|lane| self.lanes[lane.at()].checked.clone()),
        }
    }
}
