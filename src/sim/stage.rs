//! Carries out jobs by a script: no git, no processes, no files.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard};

use crate::graph::LaneIx;
use crate::ids::{CommitId, RunId, TaskId};
use crate::runner::{Executor, Job, LaneEnd, Report, Reporter, StepFailure, ToAttempt};
use crate::state::{
    AttemptEnd, AttemptOutcome, Concern, ConcernKind, Effect, EffectKey, FailureClass, LaneCheck,
    ParkReason, Proposal, Question, Step, Usage,
};
use crate::time::Timestamp;

/// How one attempt, or one merge of its work, goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Proposes a commit.
    Succeed,
    /// Proposes a commit, with a doubt about the design.
    Doubt(String),
    /// Ends well with nothing to merge.
    NoChanges,
    /// Fails.
    Fail(FailureClass),
    /// Cannot go on before.
    Park(Option<Timestamp>),
    /// Asks, and succeeds when it is answered.
    Ask(String),
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
    /// What was played for a job: a job that comes again is played again the same.
    played: BTreeMap<EffectKey, Act>,
    alive: BTreeMap<EffectKey, Reporter>,
    stumbled: BTreeSet<EffectKey>,
    jobs: Vec<String>,
    commits: u64,
    heads: BTreeMap<(RunId, LaneIx), CommitId>,
    /// Commits that each lane has and its target lacks.
    ahead: BTreeMap<(RunId, LaneIx), u32>,
    held: bool,
    waiting: Vec<(Job, Reporter)>,
}

impl Stage {
    /// How the next attempts of a task go, in order.
    pub fn script(&self, task: &TaskId, acts: impl IntoIterator<Item = Act>) {
        self.inner().script.entry(task.clone()).or_default().extend(acts);
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

    /// How many attempts are under way.
    pub fn alive(&self) -> usize {
        self.inner().alive.len()
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
        format!("{:040x}", self.commits).parse().expect("BUG: forty digits")
    }

    fn play(&mut self, job: &Job, reporter: &Reporter) -> Vec<Report> {
        let key = job.effect.key();
        match &job.effect {
            Effect::PrepareLane { run, lane, .. } => {
                let head = self.commit();
                self.heads.insert((*run, *lane), head);
                vec![Report::LanePrepared]
            }
            Effect::Attempt { task, .. } => {
                let id = &job.run.graph.task(*task).id;
                let script = &mut self.script;
                let mut next = || script.get_mut(id).and_then(VecDeque::pop_front);
                let act = self.played.entry(key).or_insert_with(|| next().unwrap_or(Act::Succeed));
                let act = act.clone();
                self.attempt(key, act, reporter)
            }
            Effect::OpenPr { commit, .. } => vec![Report::PrOpened { url: commit.short().into() }],
            Effect::MergePr { run, task, attempt, .. } => {
                let made = Effect::Attempt { run: *run, task: *task, attempt: *attempt }.key();
                let act = self.played.get(&made).cloned().unwrap_or(Act::Succeed);
                self.merge(key, &act, *run, job.run.graph.task(*task).lane)
            }
            Effect::CheckLane { run, lane } => {
                let Some(ahead) = self.ahead.get(&(*run, *lane)).copied() else {
                    return vec![Report::LaneUpToDate];
                };
                let (commit, target) = (self.heads[&(*run, *lane)].clone(), self.commit());
                let checks = job.run.graph.lane(*lane).checks.clone();
                let (files, insertions, deletions) = (ahead, ahead, 0);
                let check =
                    LaneCheck { commit, target, ahead, files, insertions, deletions, checks };
                vec![Report::LaneChecked(check)]
            }
            Effect::OpenLanePr { lane, .. } => {
                vec![Report::PrOpened { url: format!("lane-{}", lane.0) }]
            }
            Effect::MergeLane { run, lane, .. } => {
                let commit = match job.run.lane_target(*lane) {
                    LaneEnd::Lane(parent) => self.advance(*run, parent),
                    LaneEnd::Branch(_) => self.commit(),
                };
                vec![Report::Merged { commit, delivered: None }]
            }
        }
    }

    fn attempt(&mut self, key: EffectKey, act: Act, reporter: &Reporter) -> Vec<Report> {
        let mut reports = vec![Report::Step(Step::Working)];
        let outcome = match act {
            Act::Succeed | Act::Conflict | Act::StumbleAtMerge | Act::Doubt(_) => {
                AttemptOutcome::Proposed(self.proposal())
            }
            Act::NoChanges => AttemptOutcome::NoChanges,
            Act::Fail(class) => {
                AttemptOutcome::Failed { class, message: "as scripted".into(), kept: None }
            }
            Act::Park(until) => AttemptOutcome::Parked { until, why: ParkReason::UsageLimit },
            Act::Hang => {
                self.alive.insert(key, reporter.clone());
                return reports;
            }
            Act::Ask(text) => {
                self.alive.insert(key, reporter.clone());
                reports.push(Report::Asked(Question {
                    turn: 0,
                    seq: 1,
                    text,
                    choices: Vec::new(),
                }));
                return reports;
            }
        };
        let mut concerns = Vec::new();
        if let Act::Doubt(text) = &self.played[&key] {
            let (kind, attempt, text) = (ConcernKind::Design, key.attempt, text.clone());
            concerns.push(Concern { kind, attempt, text });
        }
        let usage = Usage::default();
        reports.push(Report::AttemptEnded(AttemptEnd { outcome, summary: None, concerns, usage }));
        reports
    }

    fn proposal(&mut self) -> Proposal {
        let (base, commit) = (self.commit(), self.commit());
        let (commits, files, insertions, deletions) = (1, 1, 1, 0);
        let protected = Vec::new();
        Proposal { commit, base, commits, files, insertions, deletions, protected, evidence: None }
    }

    fn merge(&mut self, key: EffectKey, act: &Act, run: RunId, lane: LaneIx) -> Vec<Report> {
        if *act == Act::Conflict {
            let failure = StepFailure::new(FailureClass::Conflict, "a.txt conflicts");
            return vec![Report::Failed(failure)];
        }
        if *act == Act::StumbleAtMerge && self.stumbled.insert(key) {
            let failure = StepFailure::new(FailureClass::Transient, "the network is down");
            return vec![Report::Failed(failure)];
        }
        vec![Report::Merged { commit: self.advance(run, lane), delivered: None }]
    }

    fn advance(&mut self, run: RunId, lane: LaneIx) -> CommitId {
        let commit = self.commit();
        self.heads.insert((run, lane), commit.clone());
        *self.ahead.entry((run, lane)).or_default() += 1;
        commit
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
        if let ToAttempt::Steer(steer) = &message {
            if let Some(reporter) = self.inner().alive.get(key) {
                reporter.report(Report::Steered { seq: steer.seq, taken: true });
            }
            return;
        }
        let found = {
            let mut inner = self.inner();
            let proposal = inner.proposal();
            inner.alive.remove(key).map(|reporter| (reporter, proposal))
        };
        let Some((reporter, proposal)) = found else { return };
        let outcome = match message {
            ToAttempt::Stop => AttemptOutcome::Stopped { kept: None },
            ToAttempt::Steer(_) => unreachable!("BUG: taken above"),
            ToAttempt::Answer(_) => {
                reporter.report(Report::Answered);
                AttemptOutcome::Proposed(proposal)
            }
        };
        let (summary, concerns, usage) = (None, Vec::new(), Usage::default());
        reporter.report(Report::AttemptEnded(AttemptEnd { outcome, summary, concerns, usage }));
    }

    fn detach(&self) {
        self.inner().alive.clear();
    }
}
