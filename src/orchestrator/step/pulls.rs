//! What others do with a pull request: it is merged, closed, pushed to, approved or objected to
//! on the forge. Everything here follows from what was found last, so finding it twice, or late,
//! changes nothing.

use crate::graph::{LaneIx, TaskIx};
use crate::orchestrator::world::{Desk, Run};
use crate::state::{
    Decision, Effect, FailureClass, LaneEvent, LaneFailure, LaneState, Objection, PullNews,
    PullStanding, TaskEvent, TaskState, Watched, What,
};

/// How many answered objections are remembered of one pull request: more than anybody writes.
const HEARD_MAX: usize = 500;

impl Run {
    /// A task's pull request is open where others act too: it is watched from now on, and merged
    /// once it was looked at.
    pub(crate) fn watch_task(&mut self, desk: &mut Desk, task: TaskIx, attempt: u32) {
        let watched = self.tasks[task.at()].more_mut().watched.get_or_insert_default();
        (watched.news, watched.held) = (None, None);
        self.changed.task(task);
        self.owe(desk, Effect::WatchPr { run: self.info.id, task, attempt });
    }

    /// The same of a lane.
    pub(crate) fn watch_lane(&mut self, desk: &mut Desk, lane: LaneIx) {
        let watched = self.lane_mut(lane).watched.get_or_insert_default();
        (watched.news, watched.held) = (None, None);
        self.owe(desk, Effect::WatchLanePr { run: self.info.id, lane });
    }

    /// How a task's pull request was found.
    pub(crate) fn task_news(&mut self, desk: &mut Desk, task: TaskIx, news: PullNews) {
        let Some(watched) = &mut self.tasks[task.at()].more_mut().watched else { return };
        let told = told(watched, &news);
        watched.take(news);
        self.changed.task(task);
        desk.touched.insert(self.info.id);
        if let Some(told) = told {
            self.note(desk, task, What::Remark, Some(told));
        }
        self.consider_task(desk, task);
    }

    /// Does what follows from how a task's pull request was found.
    pub(crate) fn consider_task(&mut self, desk: &mut Desk, task: TaskIx) {
        let state = self.tasks[task.at()].state;
        // One that is being merged is told by the merge itself how it stands.
        let pull =
            matches!(state, TaskState::PrCreated { .. } | TaskState::AwaitingApproval { .. });
        if !pull || self.is_undoing(self.graph().task(task).lane) {
            return;
        }
        let Some(watched) = self.tasks[task.at()].more.as_ref().and_then(|m| m.watched.clone())
        else {
            return self.ask_or_merge(desk, task);
        };
        let Some(news) = &watched.news else { return };
        match &news.standing {
            PullStanding::Merged { commit, by } => {
                let by = by.as_deref().unwrap_or("somebody");
                self.note(desk, task, What::Remark, Some(format!("merged on the forge by {by}")));
                self.reopen(desk);
                return self.merged(desk, task, commit.clone());
            }
            PullStanding::Closed => {
                let message = "its pull request was closed without being merged; a retry opens it \
                               again";
                self.reopen(desk);
                self.leave_queue(desk, task);
                return self.attempt_failed(desk, task, FailureClass::PrClosed, message.to_owned());
            }
            PullStanding::Open => {}
        }
        let proposed = self.tasks[task.at()].proposal().map(|p| p.commit.clone());
        if proposed.as_ref() != Some(&news.head) {
            self.reopen(desk);
            self.leave_queue(desk, task);
            let what =
                format!("somebody pushed {} to its branch; it is verified", news.head.short());
            self.note(desk, task, What::Remark, Some(what.clone()));
            self.tasks[task.at()].more_mut().adopt = Some(news.head.clone());
            self.task_event(desk, task, TaskEvent::Retried, Some(what));
            self.wait_again(desk, task);
            return;
        }
        let unheard = watched.unheard();
        if !unheard.is_empty() {
            let (class, message) = complaint(&unheard);
            let more = self.tasks[task.at()].more_mut();
            more.watched.get_or_insert_default().hear(&unheard);
            self.reopen(desk);
            self.leave_queue(desk, task);
            return self.attempt_failed(desk, task, class, message);
        }
        self.count_reviews(task, news);
        if watched.waits() {
            // What has come to hold it back lets others go first.
            self.leave_queue(desk, task);
        } else {
            self.ask_or_merge(desk, task);
        }
    }

    /// Nothing else is waited for: a person is asked, or it is merged.
    fn ask_or_merge(&mut self, desk: &mut Desk, task: TaskIx) {
        let missing = self.task_approvals_missing(task) > 0;
        let lane = self.graph().task(task).lane;
        let asks = matches!(self.tasks[task.at()].state, TaskState::AwaitingApproval { .. });
        if !asks && missing {
            self.leave_queue(desk, task);
            let seq = self.task_event(desk, task, TaskEvent::ApprovalAsked, None);
            self.notify_task_approval(desk, task, seq);
        } else if asks && !missing {
            self.reopen(desk);
            self.task_event(desk, task, TaskEvent::Approved, None);
            self.enqueue_merge(desk, task);
        } else if !asks && !self.lanes[lane.at()].queue.contains(&task) {
            self.enqueue_merge(desk, task);
        }
    }

    /// Reviews on the forge count like what people say here, and can be taken back there.
    fn count_reviews(&mut self, task: TaskIx, news: &PullNews) {
        let rule = self.info.task_approval(task);
        let no_self = rule.is_some_and(|rule| rule.no_self);
        let submitter = self.record.submitter.clone();
        let decisions = &mut self.tasks[task.at()].more_mut().decisions;
        count_reviews(decisions, news, no_self.then_some(submitter.as_str()));
    }

    /// The forge was told to merge a task's pull request and did not.
    pub(crate) fn task_held(&mut self, desk: &mut Desk, task: TaskIx, why: String) {
        let lane = self.graph().task(task).lane;
        self.lane_mut(lane).queue.retain(|queued| *queued != task);
        let watched = self.tasks[task.at()].more_mut().watched.get_or_insert_default();
        watched.held = Some(why.clone());
        self.task_event(desk, task, TaskEvent::MergePostponed, Some(why));
        if self.record.cancelled {
            self.task_event(desk, task, TaskEvent::Cancelled, None);
            return;
        }
        let seq = self.task_event(desk, task, TaskEvent::ApprovalAsked, None);
        self.notify_task_approval(desk, task, seq);
        self.merge_next(desk, lane);
    }

    /// Somebody pushed to a task's branch before it was merged.
    pub(crate) fn task_moved(&mut self, desk: &mut Desk, task: TaskIx) {
        let lane = self.graph().task(task).lane;
        self.lane_mut(lane).queue.retain(|queued| *queued != task);
        let what = "its branch moved before it was merged".to_owned();
        self.task_event(desk, task, TaskEvent::MergePostponed, Some(what));
        if self.record.cancelled {
            self.task_event(desk, task, TaskEvent::Cancelled, None);
            return;
        }
        let commit = self.tasks[task.at()].proposal().map(|p| p.commit.clone());
        let watched = self.tasks[task.at()].more_mut().watched.get_or_insert_default();
        // What was seen before it moved says nothing any more.
        watched.news.take_if(|news| Some(&news.head) == commit.as_ref());
        self.consider_task(desk, task);
        self.merge_next(desk, lane);
    }

    /// How a lane's pull request was found.
    pub(crate) fn lane_news(&mut self, desk: &mut Desk, lane: LaneIx, news: PullNews) {
        let Some(watched) = &mut self.lane_mut(lane).watched else { return };
        let told = told(watched, &news);
        watched.take(news);
        desk.touched.insert(self.info.id);
        if let Some(told) = told {
            self.lane_note(desk, lane, What::Remark, Some(told));
        }
        self.consider_lane(desk, lane);
    }

    /// Does what follows from how a lane's pull request was found.
    pub(crate) fn consider_lane(&mut self, desk: &mut Desk, lane: LaneIx) {
        let state = self.lanes[lane.at()].state;
        let pull = matches!(state, LaneState::PrCreated | LaneState::AwaitingApproval);
        if !pull || self.is_undoing(lane) {
            return;
        }
        let Some(watched) = self.lanes[lane.at()].watched.clone() else { return };
        let Some(news) = &watched.news else { return };
        match &news.standing {
            PullStanding::Merged { commit, by } => {
                let by = by.as_deref().unwrap_or("somebody");
                self.lane_note(desk, lane, What::Remark, Some(format!("merged by {by}")));
                self.reopen(desk);
                return self.lane_merge_done(desk, lane, commit.clone(), None);
            }
            PullStanding::Closed => {
                let message = "its pull request was closed without being merged; a retry opens it \
                               again";
                self.reopen(desk);
                return self.lane_failed(desk, lane, LaneFailure::Closed, message);
            }
            PullStanding::Open => {}
        }
        let checked = self.lanes[lane.at()].checked.as_ref().map(|check| check.commit.clone());
        if checked.as_ref() != Some(&news.head) {
            self.reopen(desk);
            return self.lane_target_moved(desk, lane);
        }
        let unheard = watched.unheard();
        if !unheard.is_empty() {
            let (class, message) = complaint(&unheard);
            self.lane_mut(lane).watched.get_or_insert_default().hear(&unheard);
            let by_check = class == FailureClass::GateFailed;
            let why = if by_check { LaneFailure::Check } else { LaneFailure::Closed };
            self.reopen(desk);
            return self.lane_failed(desk, lane, why, &message);
        }
        let no_self = self.info.lane_approval(lane).is_some_and(|rule| rule.no_self);
        let submitter = self.record.submitter.clone();
        let decisions = &mut self.lane_mut(lane).decisions;
        count_reviews(decisions, news, no_self.then_some(submitter.as_str()));
        if watched.waits() {
            return;
        }
        if state == LaneState::PrCreated {
            self.ask_or_merge_lane(desk, lane);
        } else if self.lane_may_merge(lane) {
            self.reopen(desk);
            self.begin_lane_merge(desk, lane);
        }
    }

    /// The forge was told to merge a lane's pull request and did not.
    pub(crate) fn lane_held(&mut self, desk: &mut Desk, lane: LaneIx, why: String) {
        self.lane_mut(lane).watched.get_or_insert_default().held = Some(why.clone());
        self.lane_event(desk, lane, LaneEvent::MergePostponed, Some(why));
        if self.record.cancelled {
            let run = self.info.id;
            self.forget(desk, &Effect::WatchLanePr { run, lane }.key());
            self.owe(desk, Effect::CloseLanePr { run, lane });
            return;
        }
        let seq = self.lane_event(desk, lane, LaneEvent::ApprovalAsked, None);
        self.notify_lane_approval(desk, lane, seq);
    }
}

impl Watched {
    /// Takes in what was found; what the forge would not do before is worth another try if
    /// anything is different now.
    fn take(&mut self, news: PullNews) {
        if self.news.as_ref().is_some_and(|known| *known != news) {
            self.held = None;
        }
        self.news = Some(news);
    }

    fn hear(&mut self, objections: &[Objection]) {
        self.heard.extend(objections.iter().map(|objection| objection.key.clone()));
        let over = self.heard.len().saturating_sub(HEARD_MAX);
        self.heard.drain(..over);
    }
}

/// What is new for people to read in the journal.
fn told(watched: &Watched, news: &PullNews) -> Option<String> {
    // What became of it is told by itself.
    if news.standing != PullStanding::Open {
        return None;
    }
    let before = watched.news.as_ref().map_or(&[][..], |known| &known.holds[..]);
    match (before == news.holds, news.holds.is_empty()) {
        (true, _) => None,
        (false, true) => Some("nothing holds its pull request back any more".to_owned()),
        (false, false) => Some(format!("its pull request waits: {}", news.holds.join("; "))),
    }
}

/// What goes back to the agent, or to people.
fn complaint(objections: &[Objection]) -> (FailureClass, String) {
    let by_check = objections.iter().all(|objection| objection.by_check);
    let class = if by_check { FailureClass::GateFailed } else { FailureClass::Rejected };
    let texts: Vec<&str> = objections.iter().map(|o| o.text.trim_end()).collect();
    (class, texts.join("\n\n"))
}

fn count_reviews(decisions: &mut Vec<Decision>, news: &PullNews, not: Option<&str>) {
    let stands = |d: &Decision| {
        news.approvals.iter().any(|review| review.who == d.who && review.commit == d.commit)
    };
    decisions.retain(|decision| !decision.review || stands(decision));
    for review in &news.approvals {
        let given = |d: &Decision| d.who == review.who && d.commit == review.commit;
        if not != Some(review.who.as_str()) && !decisions.iter().any(given) {
            let (who, commit) = (review.who.clone(), review.commit.clone());
            decisions.push(Decision { who, at: review.at, commit, review: true });
        }
    }
}
