//! Carries out jobs by a script: no git, no processes, no files. Agents and forge live on when the
//! engine dies, as real ones do.

mod lanes;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard};

use crate::graph::LaneIx;
use crate::ids::{CommitId, LaneId, RunId, TaskId};
use crate::runner::{Executor, Found, Job, Report, Reporter, ToAttempt};
use crate::state::{
    AttemptEnd, AttemptOutcome, Concern, ConcernKind, Effect, EffectKey, FailureClass, ParkReason,
    Party, PlanFound, Proposal, Question, Spent, Step, Tokens, Usage,
};
use crate::time::Timestamp;

pub use lanes::LaneAct;

/// How one attempt, or one merge of its work, goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Proposes a commit.
    Succeed,
    /// Proposes a commit, with a doubt about the design.
    Doubt(String),
    /// Proposes a commit, and leaves a plan.
    Plan(String),
    /// Leaves a plan and has nothing to merge.
    PlanOnly(String),
    /// Ends well with nothing to merge.
    NoChanges,
    /// Fails.
    Fail(FailureClass),
    /// Cannot go on before.
    Park(Option<Timestamp>),
    /// Asks; succeeds when it is answered, or works on if agents wait to be told.
    Ask(String),
    /// Uses so many tokens, then does something.
    Spend(u64, Box<Act>),
    /// Works until it is told to end.
    Hang,
    /// Proposes a commit that does not merge.
    Conflict,
    /// Proposes a commit whose first merge meets outside trouble.
    StumbleAtMerge,
}

/// Carries out jobs by a script. What is not in the script succeeds at once.
#[derive(Default)]
pub struct Stage {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    script: BTreeMap<TaskId, VecDeque<Act>>,
    lane_script: BTreeMap<LaneId, VecDeque<LaneAct>>,
    /// Agents without a script wait to be told.
    patient: bool,
    /// Every attempt that was ever handed out, by its natural key: it is carried out once.
    attempts: BTreeMap<EffectKey, Attempt>,
    /// Every merge that was ever done, by its natural key.
    merges: BTreeMap<EffectKey, CommitId>,
    stumbled: BTreeSet<EffectKey>,
    jobs: Vec<String>,
    commits: u64,
    heads: BTreeMap<(RunId, LaneIx), CommitId>,
    /// Commits that each lane has and its target lacks.
    ahead: BTreeMap<(RunId, LaneIx), u32>,
    held: bool,
    waiting: Vec<(Job, Reporter)>,
}

/// An attempt as it really is, whoever follows it.
struct Attempt {
    task: TaskId,
    act: Act,
    outcome: Option<AttemptOutcome>,
    /// What it has told that it used.
    spent: Vec<Spent>,
    /// Where it is followed from; nowhere while the engine is dead.
    reporter: Option<Reporter>,
}

impl Stage {
    /// How the next attempts of a task go, in order.
    pub fn script(&self, task: &TaskId, acts: impl IntoIterator<Item = Act>) {
        self.inner().script.entry(task.clone()).or_default().extend(acts);
    }

    /// How the next jobs on a lane go, in order, beside those that go well.
    pub fn script_lane(&self, lane: &LaneId, act: LaneAct) {
        self.inner().lane_script.entry(lane.clone()).or_default().push_back(act);
    }

    /// Agents without a script wait to be told what to do, or succeed at once again.
    pub fn be_patient(&self, patient: bool) {
        self.inner().patient = patient;
    }

    /// Has the agent of a task that is at work do something now; whether there is one.
    pub fn act(&self, task: &TaskId, act: Act) -> bool {
        let mut inner = self.inner();
        let mut at_work = inner.attempts.iter().filter(|(_, attempt)| attempt.outcome.is_none());
        let Some(key) = at_work.find(|(_, a)| a.task == *task).map(|(key, _)| *key) else {
            return false;
        };
        inner.attempts.get_mut(&key).expect("BUG: it was just found").act = act;
        let (reports, reporter) = (inner.perform(key), inner.attempts[&key].reporter.clone());
        drop(inner);
        if let Some(reporter) = reporter {
            reports.into_iter().for_each(|report| reporter.report(report));
        }
        true
    }

    /// Holds jobs back until [`Stage::release`].
    pub fn hold(&self) {
        self.inner().held = true;
    }

    /// Carries out what was held back, and holds nothing back any more.
    pub fn release(&self) {
        let waiting = {
            let mut inner = self.inner();
            inner.held = false;
            std::mem::take(&mut inner.waiting)
        };
        for (job, reporter) in waiting {
            self.play(&job, &reporter);
        }
    }

    /// Every job that was handed out, in order.
    pub fn jobs(&self) -> Vec<String> {
        self.inner().jobs.clone()
    }

    /// How many attempts are under way and followed.
    pub fn alive(&self) -> usize {
        let inner = self.inner();
        let alive = |a: &&Attempt| a.outcome.is_none() && a.reporter.is_some();
        inner.attempts.values().filter(alive).count()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("BUG: no code panics on the stage")
    }

    fn play(&self, job: &Job, reporter: &Reporter) {
        let reports = self.inner().play(job, reporter);
        for report in reports {
            reporter.report(report);
        }
    }
}

impl Inner {
    fn commit(&mut self) -> CommitId {
        self.commits += 1;
        // The part that people are shown is what tells them apart.
        format!("{:010x}{:030}", self.commits, 0).parse().expect("BUG: forty digits")
    }

    fn play(&mut self, job: &Job, reporter: &Reporter) -> Vec<Report> {
        let Effect::Attempt { task, .. } = &job.effect else { return self.play_lane(job) };
        let key = job.effect.key();
        let id = &job.run.graph.task(*task).id;
        let mut reports = Vec::new();
        match self.attempts.get_mut(&key) {
            Some(attempt) => {
                attempt.reporter = Some(reporter.clone());
                let ended = attempt.outcome.is_some();
                let found = if ended { Found::Ended } else { Found::AtWork };
                reports.push(Report::Found(found));
                // Whoever follows it again hears again what it used.
                reports.extend(attempt.spent.iter().cloned().map(Report::Spent));
            }
            None => {
                let scripted = self.script.get_mut(id).and_then(VecDeque::pop_front);
                let otherwise = if self.patient { Act::Hang } else { Act::Succeed };
                let (task, act) = (id.clone(), scripted.unwrap_or(otherwise));
                let reporter = Some(reporter.clone());
                let (outcome, spent) = (None, Vec::new());
                self.attempts.insert(key, Attempt { task, act, outcome, spent, reporter });
            }
        }
        reports.push(Report::Step(Step::Working));
        reports.extend(self.perform(key));
        reports
    }

    /// Does what the attempt is to do next; what it has done already it tells again.
    fn perform(&mut self, key: EffectKey) -> Vec<Report> {
        let attempt = self.attempts.get_mut(&key).expect("BUG: it is there");
        if let (None, Act::Spend(tokens, then)) = (&attempt.outcome, attempt.act.clone()) {
            let tokens = Tokens { output: tokens, ..Tokens::default() };
            let (usage, seq) = (Usage { tokens, usd: 0.0 }, attempt.spent.len() as u32 + 1);
            let spent = Spent { turn: 0, seq, usage, model: None, profile: None };
            attempt.spent.push(spent.clone());
            attempt.act = *then;
            let then = self.perform(key);
            return std::iter::once(Report::Spent(spent)).chain(then).collect();
        }
        let attempt = &self.attempts[&key];
        let act = attempt.act.clone();
        let outcome = match (attempt.outcome.clone(), &act) {
            (Some(outcome), _) => outcome,
            (None, Act::Hang | Act::Spend(..)) => return Vec::new(),
            (None, Act::Ask(text)) => {
                let (turn, seq, choices) = (0, 1, Vec::new());
                return vec![Report::Asked(Question {
                    turn,
                    seq,
                    text: text.clone(),
                    choices,
                    free: false,
                })];
            }
            (
                None,
                Act::Succeed | Act::Conflict | Act::StumbleAtMerge | Act::Doubt(_) | Act::Plan(_),
            ) => AttemptOutcome::Proposed(self.proposal()),
            (None, Act::NoChanges | Act::PlanOnly(_)) => AttemptOutcome::NoChanges,
            (None, Act::Fail(class)) => {
                let class = *class;
                AttemptOutcome::Failed { class, message: "as scripted".into(), kept: None }
            }
            (None, Act::Park(until)) => {
                let (whose, why) = (Party::Doer, ParkReason::UsageLimit);
                AttemptOutcome::Parked { whose, until: *until, why, kept: None }
            }
        };
        let mut concerns = Vec::new();
        let mut plan = None;
        if let Act::Plan(text) | Act::PlanOnly(text) = &act {
            let file = matches!(act, Act::Plan(_)).then(|| "plan.md".to_owned());
            plan = Some(Box::new(PlanFound { file, text: text.clone(), read: None }));
        }
        if let Act::Doubt(text) = act {
            concerns.push(Concern { kind: ConcernKind::Design, attempt: key.attempt, text });
        }
        let attempt = self.attempts.get_mut(&key).expect("BUG: it was just found");
        attempt.outcome = Some(outcome.clone());
        let (summary, session, mut usage) = (None, None, Usage::default());
        attempt.spent.iter().for_each(|spent| usage += spent.usage);
        let learned = Vec::new();
        let end = AttemptEnd { outcome, summary, learned, concerns, usage, session, plan };
        vec![Report::AttemptEnded(end)]
    }

    fn proposal(&mut self) -> Proposal {
        let (base, commit) = (self.commit(), self.commit());
        let (commits, files, insertions, deletions) = (1, 1, 1, 0);
        let protected = Vec::new();
        Proposal { commit, base, commits, files, insertions, deletions, protected, evidence: None }
    }

    /// Something that was told to the agent of an attempt.
    fn hear(&mut self, key: EffectKey, message: ToAttempt) -> Vec<Report> {
        let patient = self.patient;
        let Some(attempt) = self.attempts.get_mut(&key) else { return Vec::new() };
        if attempt.reporter.is_none() || attempt.outcome.is_some() {
            return Vec::new();
        }
        match message {
            ToAttempt::Steer(steer) => vec![Report::Steered { seq: steer.seq, taken: true }],
            ToAttempt::Stop | ToAttempt::Halt => {
                attempt.outcome = Some(AttemptOutcome::Stopped { kept: None });
                self.perform(key)
            }
            ToAttempt::Answer(_) if !matches!(attempt.act, Act::Ask(_)) => Vec::new(),
            ToAttempt::Answer(_) => {
                attempt.act = if patient { Act::Hang } else { Act::Succeed };
                let mut reports = vec![Report::Answered];
                reports.extend(self.perform(key));
                reports
            }
        }
    }
}

impl Executor for Stage {
    fn execute(&self, job: Job, reporter: Reporter) {
        {
            let mut inner = self.inner();
            inner.jobs.push(reporter.key().to_string());
            if inner.held {
                inner.waiting.push((job, reporter));
                return;
            }
        }
        self.play(&job, &reporter);
    }

    fn tell(&self, key: &EffectKey, message: ToAttempt) {
        let (reports, reporter) = {
            let mut inner = self.inner();
            let reports = inner.hear(*key, message);
            (reports, inner.attempts.get(key).and_then(|attempt| attempt.reporter.clone()))
        };
        if let Some(reporter) = reporter {
            reports.into_iter().for_each(|report| reporter.report(report));
        }
    }

    fn detach(&self) {
        let mut inner = self.inner();
        inner.waiting.clear();
        inner.attempts.values_mut().for_each(|attempt| attempt.reporter = None);
    }
}
