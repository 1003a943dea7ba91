//! Reports about a task: steps of its attempt, its end, its pull request.

use crate::graph::TaskIx;
use crate::ids::CommitId;
use crate::orchestrator::step::limits::Limit;
use crate::orchestrator::step::verbs::PARKED;
use crate::orchestrator::world::{Desk, Run};
use crate::runner::{Report, StepFailure};
use crate::state::{
    AttemptEnd, AttemptOutcome, AttemptRecord, BlockedOn, ConcernKind, Disposition, Effect,
    EffectKey, Ending, FailureClass, Proposal, Question, Step, TaskEvent, TaskFailure, TaskMore,
    TaskState, Verb, What,
};

/// Failures that usually pass are repeated this often before they count as failures of the
/// attempt: with the default back-off, more than half an hour of outside trouble.
const TRANSIENT_REPEATS_MAX: u32 = 6;

impl Run {
    /// A report about the job of `key` on `task`. The job is known to be owed.
    pub(crate) fn task_report(
        &mut self,
        desk: &mut Desk,
        task: TaskIx,
        key: &EffectKey,
        report: Report,
    ) {
        match report {
            Report::Step(step) => self.stepped(desk, task, step),
            Report::Gate { passed, detail } => {
                let what = if passed { What::GatePassed } else { What::GateFailed };
                self.note(desk, task, what, Some(detail));
            }
            Report::Asked(question) => self.asked(desk, task, question),
            Report::Answered => self.answered(desk, task),
            Report::Steered { seq, taken } => self.steered(desk, task, seq, taken),
            Report::Spent(spent) => self.spent(desk, task, key.attempt, spent),
            Report::Found(found) => desk.found(key, Some(found)),
            Report::Remark(text) => {
                self.note(desk, task, What::Remark, Some(text));
            }
            Report::AttemptEnded(end) => {
                desk.found(key, None);
                self.forget(desk, key);
                self.attempt_ended(desk, task, end);
            }
            Report::PrOpened { url, shared } => {
                self.forget(desk, key);
                self.pr_opened(desk, task, url, shared.then_some(key.attempt));
            }
            Report::News(news) => self.task_news(desk, task, news),
            Report::Closed => {
                self.forget(desk, key);
                let what = "its pull request is closed".to_owned();
                self.note(desk, task, What::Remark, Some(what));
            }
            Report::TargetMoved => {
                self.forget(desk, key);
                self.task_moved(desk, task);
            }
            Report::Held { why } => {
                self.forget(desk, key);
                self.task_held(desk, task, why);
            }
            Report::Merged { commit, .. } => {
                self.forget(desk, key);
                self.merged(desk, task, commit);
            }
            Report::Failed(StepFailure { class, message }) if key.verb == Verb::Attempt => {
                desk.found(key, None);
                self.forget(desk, key);
                let (message, kept) = (message.into(), None);
                let outcome = AttemptOutcome::Failed { class, message, kept };
                self.attempt_ended(desk, task, AttemptEnd::bare(outcome));
            }
            Report::Failed(failure) if key.verb == Verb::Watch => {
                let why = format!("not watched until the next start: {}", failure.message);
                self.note(desk, task, What::Remark, Some(why));
            }
            Report::Failed(failure) => self.task_job_failed(desk, task, key, failure),
            Report::LanePrepared { .. }
            | Report::Undone { .. }
            | Report::LaneChecked(_)
            | Report::LaneUpToDate { .. } => {
                panic!("BUG: a lane's report came about task {}", self.graph().task(task).id)
            }
        }
    }

    fn stepped(&mut self, desk: &mut Desk, task: TaskIx, step: Step) {
        let now = self.tasks[task.at()].state;
        if matches!(now, TaskState::Running { step: at, .. } if at != step) {
            self.task_event(desk, task, TaskEvent::Stepped { step }, None);
        }
    }

    fn asked(&mut self, desk: &mut Desk, task: TaskIx, question: Question) {
        // Whoever follows an agent again hears its questions again.
        let more = self.tasks[task.at()].more.as_ref();
        let old = more.is_some_and(|more| more.answers.contains(&question.place()));
        if old || !matches!(self.tasks[task.at()].state, TaskState::Running { .. }) {
            return;
        }
        let text = question.text.clone();
        self.tasks[task.at()].more_mut().question = Some(question.clone());
        let seq = self.task_event(desk, task, TaskEvent::Asked, Some(text));
        self.notify_question(desk, task, seq, &question);
    }

    fn answered(&mut self, desk: &mut Desk, task: TaskIx) {
        if matches!(self.tasks[task.at()].state, TaskState::WaitingInput { .. }) {
            let more = self.tasks[task.at()].more_mut();
            more.answers.extend(more.question.take().map(|question| question.place()));
            more.answer = None;
            self.task_event(desk, task, TaskEvent::Answered, None);
        }
    }

    fn steered(&mut self, desk: &mut Desk, task: TaskIx, seq: u64, taken: bool) {
        let steers = &mut self.tasks[task.at()].more_mut().steers;
        let Some(at) = steers.iter().position(|steer| steer.seq == seq) else { return };
        let steer = steers.remove(at);
        self.changed.task(task);
        desk.touched.insert(self.info.id);
        if !taken {
            self.note_down(task, &steer.text);
            let why = "its agent takes no messages while it works; the next attempt is told";
            self.note(desk, task, What::Remark, Some(why.to_owned()));
        }
    }

    /// What the agent was to be told and had not taken is for the next attempt.
    fn untold(&mut self, task: TaskIx) {
        for steer in std::mem::take(&mut self.tasks[task.at()].more_mut().steers) {
            self.note_down(task, &steer.text);
        }
    }

    fn attempt_ended(&mut self, desk: &mut Desk, task: TaskIx, end: AttemptEnd) {
        let record = &mut self.tasks[task.at()];
        let attempt = record.attempts.saturating_sub(1);
        let ending = record.ending();
        let more = record.more_mut();
        more.ending = None;
        more.fresh = false;
        more.question = None;
        more.answers.clear();
        more.answer = None;
        // What the agent said and doubted still stands if somebody pushed to its branch.
        let adopted = more.adopt.take().is_some();
        if !adopted {
            more.session = end.session.map(|session| *session);
        }
        said(more, end.summary, end.learned);
        let concerns = end.concerns.clone();
        if !adopted {
            more.concerns = end.concerns;
        }
        self.untold(task);
        self.close_books(desk, task, attempt, end.usage, !adopted);
        self.plan_found(desk, task, end.plan.filter(|_| end.outcome.is_well()), adopted);
        for concern in concerns {
            let kind = match concern.kind {
                ConcernKind::Design => "design",
                ConcernKind::Ops => "ops",
            };
            self.note(desk, task, What::Concern, Some(format!("{kind}: {}", concern.text)));
        }
        self.keep_attempt(desk, task, attempt, &end.outcome);
        let limited = matches!(end.outcome, AttemptOutcome::Parked { .. });
        if !limited {
            let by = self.done_by(desk, task);
            desk.works(by);
        }
        match (end.outcome, ending) {
            // What it was to be paused for needs no agent any more.
            (AttemptOutcome::Proposed(proposal), Some(Ending::Budget)) => {
                self.proposed(desk, task, proposal);
            }
            (AttemptOutcome::NoChanges, Some(Ending::Budget)) => self.completed(desk, task),
            // It came to its end before it was told; a person wanted it not to go on all the same.
            (AttemptOutcome::Proposed(proposal), Some(why)) => {
                self.keep(task, Some(proposal.commit));
                self.ended_as_asked(desk, task, why);
            }
            (AttemptOutcome::NoChanges, Some(why)) => self.ended_as_asked(desk, task, why),
            (AttemptOutcome::Proposed(proposal), None) => self.proposed(desk, task, proposal),
            (AttemptOutcome::NoChanges, None) => self.completed(desk, task),
            (AttemptOutcome::Failed { kept, .. } | AttemptOutcome::Stopped { kept }, Some(why)) => {
                self.keep(task, kept);
                self.ended_as_asked(desk, task, why);
            }
            (AttemptOutcome::Failed { class, message, kept }, None) => {
                self.keep(task, kept);
                self.attempt_failed(desk, task, class, message.into());
            }
            (AttemptOutcome::Stopped { kept }, None) => {
                self.keep(task, kept);
                let message = "the attempt was stopped from outside".to_owned();
                self.attempt_failed(desk, task, FailureClass::Lost, message);
            }
            (AttemptOutcome::Parked { whose, until, why, kept }, _) => {
                self.keep(task, kept);
                self.limited(desk, task, &Limit { whose, until, why }, ending);
            }
        }
    }

    fn keep_attempt(
        &mut self,
        desk: &mut Desk,
        task: TaskIx,
        attempt: u32,
        outcome: &AttemptOutcome,
    ) {
        let (word, message, commit) = match outcome {
            AttemptOutcome::Proposed(p) => ("proposed", None, Some(p.commit.clone())),
            AttemptOutcome::NoChanges => ("no changes", None, None),
            AttemptOutcome::Failed { class, message, kept } => {
                (class.word(), Some(message.to_string()), kept.clone())
            }
            AttemptOutcome::Parked { why, kept, .. } => {
                ("parked", Some(why.word().to_owned()), kept.clone())
            }
            AttemptOutcome::Stopped { kept } => ("stopped", None, kept.clone()),
        };
        desk.batch.attempts.push(AttemptRecord {
            run: self.info.id,
            task,
            attempt,
            started_at: self.tasks[task.at()].started_at,
            ended_at: Some(desk.now),
            outcome: Some(word.to_owned()),
            message,
            commit,
        });
    }

    fn keep(&mut self, task: TaskIx, kept: Option<CommitId>) {
        if kept.is_some() {
            self.tasks[task.at()].more_mut().kept = kept;
        }
    }

    pub(super) fn ended_as_asked(&mut self, desk: &mut Desk, task: TaskIx, why: Ending) {
        let event = match why {
            Ending::Stop => TaskEvent::Blocked { on: BlockedOn::Operator },
            Ending::Cancel => TaskEvent::Cancelled,
            Ending::Suspend => TaskEvent::Retried,
            Ending::Pause => PARKED,
            Ending::Budget => return self.paused_for_budget(desk, task),
        };
        self.task_event(desk, task, event, None);
        if event == TaskEvent::Retried {
            self.wait_again(desk, task);
        }
    }

    fn proposed(&mut self, desk: &mut Desk, task: TaskIx, proposal: Proposal) {
        let attempt = self.tasks[task.at()].attempts.saturating_sub(1);
        let commit = proposal.commit.clone();
        self.tasks[task.at()].transients = 0;
        let more = self.tasks[task.at()].more_mut();
        more.kept = Some(commit.clone());
        more.proposal = Some(proposal);
        more.decisions.clear();
        if matches!(self.tasks[task.at()].state, TaskState::WaitingInput { .. }) {
            self.task_event(desk, task, TaskEvent::Answered, None);
        }
        self.task_event(desk, task, TaskEvent::Stepped { step: Step::PrOpening }, None);
        self.owe(desk, Effect::OpenPr { run: self.info.id, task, attempt, commit });
    }

    fn completed(&mut self, desk: &mut Desk, task: TaskIx) {
        if matches!(self.tasks[task.at()].state, TaskState::WaitingInput { .. }) {
            self.task_event(desk, task, TaskEvent::Answered, None);
        }
        self.work_done(desk, task, TaskEvent::Completed, None);
    }

    fn pr_opened(&mut self, desk: &mut Desk, task: TaskIx, url: String, watch: Option<u32>) {
        self.tasks[task.at()].transients = 0;
        self.tasks[task.at()].more_mut().pr = Some(url.clone());
        self.task_event(desk, task, TaskEvent::PrOpened, Some(url));
        match watch {
            Some(attempt) => self.watch_task(desk, task, attempt),
            None => self.consider_task(desk, task),
        }
    }

    /// How many approvals the task's pull request still needs.
    pub(crate) fn task_approvals_missing(&self, task: TaskIx) -> u32 {
        let Some(proposal) = self.tasks[task.at()].proposal() else { return 0 };
        let guarded = u32::from(!proposal.protected.is_empty());
        let rule = self.info.task_approval(task);
        let needed = rule.map_or(guarded, |rule| rule.count.max(guarded));
        let decisions = self.tasks[task.at()].more.as_ref().map_or(&[][..], |m| &m.decisions);
        let given = decisions.iter().filter(|d| d.commit == proposal.commit).count();
        needed.saturating_sub(given as u32)
    }

    /// One merge at a time into each lane, in the order in which they became ready.
    pub(crate) fn enqueue_merge(&mut self, desk: &mut Desk, task: TaskIx) {
        let lane = self.graph().task(task).lane;
        self.lane_mut(lane).queue.push(task);
        self.merge_next(desk, lane);
    }

    pub(crate) fn merge_next(&mut self, desk: &mut Desk, lane: crate::graph::LaneIx) {
        if self.is_undoing(lane) {
            return;
        }
        let Some(task) = self.lanes[lane.at()].queue.first().copied() else { return };
        let TaskState::PrCreated { attempt } = self.tasks[task.at()].state else { return };
        let commit = self.tasks[task.at()].proposal().map(|p| p.commit.clone());
        let commit = commit.expect("BUG: a pull request has a commit");
        self.task_event(desk, task, TaskEvent::MergeBegun, None);
        self.owe(desk, Effect::MergePr { run: self.info.id, task, attempt, commit });
    }

    /// Takes a task out of its lane's merge queue, if it is in it.
    pub(crate) fn leave_queue(&mut self, desk: &mut Desk, task: TaskIx) {
        let lane = self.graph().task(task).lane;
        if self.lanes[lane.at()].queue.contains(&task) {
            self.lane_mut(lane).queue.retain(|queued| *queued != task);
            self.merge_next(desk, lane);
        }
    }

    pub(crate) fn merged(&mut self, desk: &mut Desk, task: TaskIx, commit: CommitId) {
        let detail = Some(commit.short().to_owned());
        let lane = self.graph().task(task).lane;
        let onto = self.lane_mut(lane).tip.replace(commit.clone());
        let more = self.tasks[task.at()].more_mut();
        more.merged = Some(commit);
        more.onto = onto;
        more.note = None;
        more.fresh = false;
        self.lane_mut(lane).queue.retain(|queued| *queued != task);
        self.work_done(desk, task, TaskEvent::Merged, detail);
        self.merge_next(desk, lane);
    }

    fn task_job_failed(
        &mut self,
        desk: &mut Desk,
        task: TaskIx,
        key: &EffectKey,
        failure: StepFailure,
    ) {
        let record = &mut self.tasks[task.at()];
        let later = failure.class.disposition() == Disposition::Later;
        if later && record.transients < TRANSIENT_REPEATS_MAX {
            record.transients += 1;
            let repeats = record.transients;
            let at = desk.now + self.backoff(desk, repeats);
            self.tasks[task.at()].not_before = Some(at);
            self.arm(desk, at, crate::state::Part::Task(task));
            self.changed.task(task);
            self.note(desk, task, What::RetryScheduled, Some(failure.message));
            return;
        }
        self.forget(desk, key);
        if key.verb == Verb::Close {
            self.note(desk, task, What::Remark, Some(failure.message));
            return;
        }
        let lane = self.graph().task(task).lane;
        self.lane_mut(lane).queue.retain(|queued| *queued != task);
        self.attempt_failed(desk, task, failure.class, failure.message);
        self.merge_next(desk, lane);
    }

    /// The attempt, or what it proposed, failed: again, later, or a person's.
    pub(crate) fn attempt_failed(
        &mut self,
        desk: &mut Desk,
        task: TaskIx,
        class: FailureClass,
        message: String,
    ) {
        let limit = self.max_attempts(task);
        let record = &mut self.tasks[task.at()];
        let attempt = record.attempts.saturating_sub(1);
        let failure = TaskFailure { attempt, class, message: message.clone() };
        record.more_mut().failure = Some(failure);
        let waits =
            class.disposition() == Disposition::Later && record.transients < TRANSIENT_REPEATS_MAX;
        if waits {
            record.transients += 1;
            let repeats = record.transients;
            // A process that a reboot or a kill took with it is begun again at once; if that goes
            // on, something is wrong.
            if class != FailureClass::Lost || repeats > 1 {
                let at = desk.now + self.backoff(desk, repeats);
                self.tasks[task.at()].not_before = Some(at);
            }
        } else {
            record.transients = 0;
            record.spent += 1;
        }
        let repeats = match class.disposition() {
            Disposition::Again | Disposition::Later => waits || self.tasks[task.at()].spent < limit,
            Disposition::AskHuman | Disposition::Fatal => false,
        };
        if repeats {
            let detail = format!("{class}: {}", first_line(&message));
            self.note(desk, task, What::RetryScheduled, Some(detail));
            self.task_event(desk, task, TaskEvent::Retried, None);
            // What it waited for may be done again by now, or have grown.
            self.wait_again(desk, task);
        } else {
            let seq = self.task_event(desk, task, TaskEvent::Failed { class }, Some(message));
            self.notify_task_failed(desk, task, seq);
        }
        if class.disposition() == Disposition::Fatal {
            let id = self.graph().task(task).id.clone();
            self.fatal(desk, &format!("task `{id}` hit an internal error"));
        }
    }

    pub(crate) fn max_attempts(&self, task: TaskIx) -> u32 {
        self.record.options.max_task_attempts.unwrap_or(self.graph().task(task).max_attempts)
    }

    /// The system itself failed: nothing new starts if the graph says so, which it does unless it
    /// says otherwise.
    pub(crate) fn fatal(&mut self, desk: &mut Desk, message: &str) {
        if self.graph().settings().fail_fast_on_internal_error && self.record.fatal.is_none() {
            self.record.fatal = Some(message.to_owned());
            self.changed.run = true;
            desk.touched.insert(self.info.id);
        }
    }
}

/// What an agent said last about its work stands.
fn said(more: &mut TaskMore, summary: Option<Box<str>>, learned: Vec<String>) {
    more.summary = summary.map(String::from).or_else(|| more.summary.take());
    if !learned.is_empty() {
        more.learned = learned;
    }
}

/// The first line of a text that is not blank.
pub(crate) fn first_line(text: &str) -> &str {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("")
}
