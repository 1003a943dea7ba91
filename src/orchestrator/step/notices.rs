//! What people are told, and what they may do about it.

use crate::graph::{LaneIx, TaskIx};
use crate::ids::ProfileName;
use crate::notify::{Ask, Notice, NoticeKind};
use crate::orchestrator::step::attempts::first_line;
use crate::orchestrator::world::{Desk, Run, World};
use crate::state::{BlockedOn, Outcome, Question, TaskState, Watched};

/// How many lines of a message a notice holds; the rest is in the log.
const MESSAGE_LINES_MAX: usize = 12;

/// Other agents that are offered where a budget is used up; more is no choice.
const PROFILES_OFFERED_MAX: usize = 8;

/// Has a notice delivered once the turn is durable.
pub(crate) fn send(desk: &mut Desk, notice: &Notice) {
    let text = serde_json::to_string(notice).expect("BUG: a notice is plain data");
    desk.batch.notices.push((notice.seq, text));
}

impl World {
    /// Has people told something that comes from beside the runs.
    pub(crate) fn announce(&mut self, notice: &Notice) {
        send(&mut self.desk, notice);
    }
}

/// Where a pull request is seen by others, and why it is not merged there.
fn seen(watched: &Watched, pr: Option<&String>) -> Vec<String> {
    let held = watched.held.as_ref().map(|why| format!("the forge does not merge it: {why}"));
    held.into_iter().chain(pr.cloned()).collect()
}

impl Run {
    pub(crate) fn notice(&self, desk: &Desk, seq: u64, kind: NoticeKind, title: String) -> Notice {
        Notice {
            seq,
            at: desk.now,
            kind,
            project: self.info.project.id.clone(),
            run: Some(self.info.name.clone()),
            task: None,
            lane: None,
            title,
            lines: Vec::new(),
            asks: Vec::new(),
        }
    }

    pub(crate) fn notify_task_failed(&mut self, desk: &mut Desk, task: TaskIx, seq: u64) {
        let id = self.graph().task(task).id.clone();
        let Some(failure) = self.tasks[task.at()].failure() else { return };
        let title = format!("task `{id}` failed: {}", failure.class.word());
        let mut notice = self.notice(desk, seq, NoticeKind::TaskFailed, title);
        let message = failure.message.lines().filter(|line| !line.trim().is_empty());
        notice.lines.extend(message.take(MESSAGE_LINES_MAX).map(str::to_owned));
        let on = TaskState::Blocked { on: BlockedOn::Task(task) };
        let blocked = self.tasks.iter().filter(|t| t.state == on).count();
        if blocked > 0 {
            notice.lines.push(format!("it blocks {blocked} other task(s)"));
        }
        notice.task = Some(id);
        notice.asks = vec![Ask::Retry, Ask::Skip, Ask::Logs];
        send(desk, &notice);
    }

    pub(crate) fn notify_question(
        &mut self,
        desk: &mut Desk,
        task: TaskIx,
        seq: u64,
        question: &Question,
    ) {
        let id = self.graph().task(task).id.clone();
        let asks = if question.is_about_silence() { ":" } else { " asks:" };
        let title = format!("task `{id}`{asks} {}", first_line(&question.text));
        let mut notice = self.notice(desk, seq, NoticeKind::Question, title);
        notice.lines = question.text.lines().skip(1).map(str::to_owned).collect();
        notice.task = Some(id);
        notice.asks = vec![Ask::Answer(question.choices.clone())];
        send(desk, &notice);
    }

    pub(crate) fn notify_task_approval(&mut self, desk: &mut Desk, task: TaskIx, seq: u64) {
        let id = self.graph().task(task).id.clone();
        let title = format!("task `{id}` waits for approval");
        let mut notice = self.notice(desk, seq, NoticeKind::Approval, title);
        if let Some(proposal) = self.tasks[task.at()].proposal() {
            notice.lines.push(format!(
                "commit {}: {} file(s), +{} -{}",
                proposal.commit.short(),
                proposal.files,
                proposal.insertions,
                proposal.deletions
            ));
            if let Some(evidence) = &proposal.evidence {
                notice.lines.push(format!("gate passed: {}", evidence.command));
            }
            notice.lines.extend(proposal.protected.iter().cloned());
        }
        let more = self.tasks[task.at()].more.as_ref();
        let watched = more.and_then(|more| Some((more.watched.as_ref()?, more.pr.as_ref())));
        notice.lines.extend(watched.into_iter().flat_map(|(watched, pr)| seen(watched, pr)));
        notice.task = Some(id);
        notice.asks = vec![Ask::Approve, Ask::Reject];
        send(desk, &notice);
    }

    pub(crate) fn notify_plan(&mut self, desk: &mut Desk, task: TaskIx, seq: u64) {
        let id = self.graph().task(task).id.clone();
        let Some(plan) = self.tasks[task.at()].plan() else { return };
        let mut asks = vec![Ask::ApprovePlan, Ask::EditPlan, Ask::ChangePlan, Ask::DiscardPlan];
        let (title, mut lines): (String, Vec<String>) = match &plan.problem {
            Some(why) => {
                asks.remove(0);
                let lines = why.lines().take(MESSAGE_LINES_MAX).map(str::to_owned).collect();
                (format!("the plan of task `{id}` cannot become tasks as it is"), lines)
            }
            None => {
                let steps = (1..).zip(&plan.steps);
                let lines = steps.map(|(n, step)| format!("{n}. {}", step.title)).collect();
                let count = plan.steps.len();
                let s = if count == 1 { "" } else { "s" };
                (format!("task `{id}` has planned {count} task{s}"), lines)
            }
        };
        if let Some(reader) = &plan.reader {
            lines.insert(0, reader.sentence());
        }
        if plan.dropped > 0 {
            lines.push(format!("{} more step(s) are left out: too many", plan.dropped));
        }
        let mut notice = self.notice(desk, seq, NoticeKind::Plan, title);
        (notice.lines, notice.task, notice.asks) = (lines, Some(id), asks);
        send(desk, &notice);
    }

    pub(crate) fn notify_lane_approval(&mut self, desk: &mut Desk, lane: LaneIx, seq: u64) {
        let id = self.graph().lane(lane).id.clone();
        let title = format!("lane `{id}` waits for approval");
        let mut notice = self.notice(desk, seq, NoticeKind::Approval, title);
        if let Some(check) = &self.lanes[lane.at()].checked {
            notice.lines.push(format!(
                "commit {}: {} commit(s), {} file(s), +{} -{}",
                check.commit.short(),
                check.ahead,
                check.files,
                check.insertions,
                check.deletions
            ));
            notice.lines.extend(check.checks.iter().map(|c| format!("check passed: {c}")));
        }
        let doubts = self.design_concerns(lane);
        if doubts > 0 {
            notice.lines.push(format!("{doubts} design concern(s) were raised"));
        }
        let record = &self.lanes[lane.at()];
        let watched = record.watched.as_ref().map(|watched| seen(watched, record.pr.as_ref()));
        notice.lines.extend(watched.into_iter().flatten());
        notice.lane = Some(id);
        notice.asks = vec![Ask::Approve, Ask::Reject];
        send(desk, &notice);
    }

    pub(crate) fn notify_lane_merged(
        &mut self,
        desk: &mut Desk,
        lane: LaneIx,
        seq: u64,
        delivered: Option<String>,
    ) {
        let id = self.graph().lane(lane).id.clone();
        let title = format!("lane `{id}` is merged");
        let mut notice = self.notice(desk, seq, NoticeKind::LaneMerged, title);
        notice.lines.extend(delivered);
        notice.lane = Some(id);
        send(desk, &notice);
    }

    pub(crate) fn notify_lane_failed(
        &mut self,
        desk: &mut Desk,
        lane: LaneIx,
        seq: u64,
        message: &str,
    ) {
        let id = self.graph().lane(lane).id.clone();
        let title = format!("lane `{id}` cannot be merged");
        let mut notice = self.notice(desk, seq, NoticeKind::LaneFailed, title);
        notice.lines = message.lines().take(MESSAGE_LINES_MAX).map(str::to_owned).collect();
        notice.lane = Some(id);
        notice.asks = vec![Ask::Retry];
        send(desk, &notice);
    }

    pub(crate) fn notify_settled(&mut self, desk: &mut Desk, seq: u64, outcome: Outcome) {
        let done = self.tasks.iter().filter(|task| task.state.is_success()).count();
        let all = self.tasks.len();
        let title = format!("run `{}`: {outcome}, {done} of {all} tasks done", self.info.name);
        let notice = self.notice(desk, seq, NoticeKind::RunSettled, title);
        send(desk, &notice);
    }

    pub(crate) fn notify_budget_warning(
        &mut self,
        desk: &mut Desk,
        task: TaskIx,
        seq: u64,
        why: &str,
    ) {
        let mut notice = self.notice(desk, seq, NoticeKind::BudgetWarning, why.to_owned());
        notice.task = Some(self.graph().task(task).id.clone());
        send(desk, &notice);
    }

    pub(crate) fn notify_over_budget(
        &mut self,
        desk: &mut Desk,
        task: TaskIx,
        seq: u64,
        why: &str,
        amounts: String,
    ) {
        let id = self.graph().task(task).id.clone();
        let title = format!("task `{id}` is paused: {why}");
        let mut notice = self.notice(desk, seq, NoticeKind::Budget, title);
        notice.lines.push(amounts);
        notice.task = Some(id);
        let own = desk.queue.profile(self.place.pool_ix(task));
        let others = desk.policy.profiles.keys().filter(|name| Some(*name) != own);
        let others: Vec<ProfileName> = others.take(PROFILES_OFFERED_MAX).cloned().collect();
        notice.asks = vec![Ask::More, Ask::FinishUp];
        if !others.is_empty() {
            notice.asks.push(Ask::Switch(others));
        }
        notice.asks.push(Ask::Stop);
        send(desk, &notice);
    }

    pub(crate) fn notify_resume(&mut self, desk: &mut Desk, task: TaskIx, seq: u64) {
        let id = self.graph().task(task).id.clone();
        let title = format!("task `{id}` can go on: its limit is reset");
        let mut notice = self.notice(desk, seq, NoticeKind::LimitReset, title);
        notice.task = Some(id);
        notice.asks = vec![Ask::Resume, Ask::Skip];
        send(desk, &notice);
    }
}
