//! The outside: agents, branches and pull requests. It survives the engine's processes, and doing
//! something twice under one key is doing it once.

use std::collections::{BTreeMap, BTreeSet};

use crate::entropy::Entropy;
use crate::graph::LaneIx;
use crate::ids::CommitId;
use crate::runner::{Report, RunInfo, StepFailure, ToAttempt};
use crate::sim::chaos::others::Others;
use crate::state::{
    AttemptEnd, AttemptOutcome, Concern, ConcernKind, Effect, EffectKey, FailureClass, LaneCheck,
    ParkReason, Part, Party, PlanFound, Proposal, Question, Step, Usage,
};
use crate::time::Timestamp;

/// An attempt as it really is.
#[derive(Debug, Clone)]
enum Life {
    Works,
    /// Waits for the answer to its question.
    Asks,
    Ended(AttemptOutcome),
}

pub(crate) struct Outside {
    dice: Entropy,
    wild: bool,
    attempts: BTreeMap<EffectKey, Life>,
    /// Attempts that the current process follows.
    followed: BTreeSet<EffectKey>,
    /// Attempts whose question was passed on.
    asked: BTreeSet<EffectKey>,
    /// Attempts that have had their question.
    questioned: BTreeSet<EffectKey>,
    /// What attempts left to be done after them.
    plans: BTreeMap<EffectKey, PlanFound>,
    pub(crate) merges: BTreeMap<EffectKey, Vec<CommitId>>,
    heads: BTreeMap<LaneIx, CommitId>,
    pub(crate) ahead: BTreeMap<LaneIx, u32>,
    target: CommitId,
    commits: u64,
    others: Others,
}

/// A plan of few steps, in a chain or side by side; now and then one that is none.
fn plan(dice: &mut Entropy) -> String {
    match dice.below(8) {
        0 => "too short".to_owned(),
        1 => "---\nauto_tasks: false\n---\n## Step\n\nThis is not to become a task.\n".to_owned(),
        2 => "```yaml\ntasks: [{id: a, description: x, dependencies: [a]}]\n```\n".to_owned(),
        3 | 4 => "```yaml\ntasks: [{id: t0, description: x}, {id: b, description: x}, \
                  {id: c, description: x, dependencies: [b]}]\n```\n"
            .to_owned(),
        _ => (0..=dice.below(3))
            .map(|n| format!("## Part {n}\n\nWhat is to be done in it.\n\n"))
            .collect(),
    }
}

fn commit(number: u64) -> CommitId {
    format!("{number:040x}").parse().expect("BUG: forty digits")
}

impl Outside {
    pub(super) fn new(seed: u64) -> Self {
        let mut dice = Entropy::seeded(seed ^ 0x5eed);
        let others = Others::new(dice.below(2) == 0);
        Self {
            dice,
            others,
            wild: true,
            attempts: BTreeMap::new(),
            followed: BTreeSet::new(),
            asked: BTreeSet::new(),
            questioned: BTreeSet::new(),
            plans: BTreeMap::new(),
            merges: BTreeMap::new(),
            heads: BTreeMap::new(),
            ahead: BTreeMap::new(),
            target: commit(1),
            commits: 1,
        }
    }

    /// From now on everything works.
    pub(super) fn calm(&mut self) {
        self.wild = false;
    }

    pub(super) fn is_wild(&self) -> bool {
        self.wild
    }

    fn chance(&mut self, of: u64) -> bool {
        self.wild && self.dice.below(of) == 0
    }

    fn commit(&mut self) -> CommitId {
        self.commits += 1;
        commit(self.commits)
    }

    /// Attempts that live, whoever follows them.
    pub(crate) fn alive(&self) -> impl Iterator<Item = EffectKey> {
        let alive = self.attempts.iter().filter(|(_, life)| !matches!(life, Life::Ended(_)));
        alive.map(|(key, _)| *key)
    }

    /// Whether an agent ever asked.
    pub(crate) fn has_asked(&self) -> bool {
        !self.questioned.is_empty()
    }

    /// Attempts that can do something that the current process would hear of.
    pub(super) fn connected(&self) -> Vec<EffectKey> {
        let can = |key: &&EffectKey| match self.attempts[*key] {
            Life::Works | Life::Ended(_) => true,
            Life::Asks => !self.asked.contains(*key),
        };
        self.followed.iter().filter(can).copied().collect()
    }

    /// The current process begins an attempt or takes it up. Whether it began it.
    pub(super) fn attach(&mut self, key: EffectKey) -> bool {
        self.followed.insert(key);
        let new = !self.attempts.contains_key(&key);
        self.attempts.entry(key).or_insert(Life::Works);
        new
    }

    /// The process that followed is gone.
    pub(super) fn detach(&mut self) {
        self.followed.clear();
        // Whoever follows next hears everything again.
        self.asked.clear();
    }

    /// An attempt does something.
    pub(super) fn act(&mut self, key: EffectKey) -> Vec<Report> {
        match self.attempts[&key].clone() {
            Life::Ended(outcome) => {
                self.followed.remove(&key);
                vec![self.end(key, outcome)]
            }
            Life::Asks => {
                self.asked.insert(key);
                vec![Report::Asked(Question {
                    turn: 0,
                    seq: 1,
                    text: "?".to_owned(),
                    choices: vec![],
                    free: false,
                })]
            }
            Life::Works => match self.dice.below(10) {
                0..3 => vec![Report::Step(Step::Working)],
                3 => vec![Report::Gate { passed: false, detail: "x".to_owned() }],
                4 if self.wild && self.questioned.insert(key) => {
                    self.attempts.insert(key, Life::Asks);
                    Vec::new()
                }
                _ => {
                    let outcome = self.outcome();
                    if self.chance(2) {
                        let text = plan(&mut self.dice);
                        self.plans.insert(key, PlanFound { file: None, text, read: None });
                    }
                    self.attempts.insert(key, Life::Ended(outcome));
                    Vec::new()
                }
            },
        }
    }

    fn outcome(&mut self) -> AttemptOutcome {
        let class = match if self.wild { self.dice.below(14) } else { 13 } {
            0 => return AttemptOutcome::NoChanges,
            1 => {
                let until = (self.dice.below(2) == 0).then_some(Timestamp(2_000_000));
                let (whose, why) = (Party::Doer, ParkReason::UsageLimit);
                return AttemptOutcome::Parked { whose, until, why, kept: None };
            }
            2 => FailureClass::AgentFailed,
            3 => FailureClass::GateFailed,
            4 => FailureClass::Transient,
            5 => FailureClass::Lost,
            6 if self.dice.below(4) == 0 => FailureClass::Internal,
            7 => FailureClass::CannotStart,
            8 => return AttemptOutcome::Stopped { kept: None },
            _ => return AttemptOutcome::Proposed(self.proposal()),
        };
        AttemptOutcome::Failed { class, message: "as drawn".into(), kept: None }
    }

    fn proposal(&mut self) -> Proposal {
        let (base, commit) = (self.commit(), self.commit());
        let (commits, files, insertions, deletions) = (1, 1, 1, 0);
        let protected = if self.chance(12) { vec![".github/x".into()] } else { Vec::new() };
        Proposal { commit, base, commits, files, insertions, deletions, protected, evidence: None }
    }

    fn end(&mut self, key: EffectKey, outcome: AttemptOutcome) -> Report {
        let doubts = self.chance(10);
        let doubt =
            Concern { kind: ConcernKind::Design, attempt: key.attempt, text: "?".to_owned() };
        let concerns = if doubts { vec![doubt] } else { Vec::new() };
        let usage = Usage::default();
        let (session, summary, plan) = (None, None, self.plans.get(&key).cloned().map(Box::new));
        let learned = Vec::new();
        let end = AttemptEnd { session, outcome, summary, learned, concerns, usage, plan };
        Report::AttemptEnded(end)
    }

    /// An attempt is told something. Nobody hears who does not follow, and who has ended.
    pub(super) fn hear(&mut self, key: EffectKey, message: &ToAttempt) -> Vec<Report> {
        if !self.followed.contains(&key) {
            return Vec::new();
        }
        match (message, &self.attempts[&key]) {
            (ToAttempt::Stop, Life::Works | Life::Asks) => {
                let outcome = AttemptOutcome::Stopped { kept: None };
                self.attempts.insert(key, Life::Ended(outcome));
                Vec::new()
            }
            (ToAttempt::Answer(_), Life::Asks) => {
                self.attempts.insert(key, Life::Works);
                vec![Report::Answered]
            }
            (ToAttempt::Steer(steer), life) => {
                let (seq, taken) = (steer.seq, matches!(life, Life::Works));
                vec![Report::Steered { seq, taken }]
            }
            _ => Vec::new(),
        }
    }

    /// An answer that was given while nobody followed reaches an attempt that is taken up.
    pub(super) fn answer_at_hand(&mut self, key: EffectKey) -> bool {
        let asks = matches!(self.attempts.get(&key), Some(Life::Asks));
        if asks {
            self.attempts.insert(key, Life::Works);
        }
        asks
    }

    /// Does a job that is no attempt, or finds that it was done.
    pub(super) fn carry_out(&mut self, info: &RunInfo, job: &Effect) -> Report {
        // What was merged is found by its key, whatever fails now.
        let done = self.merges.get(&job.key()).and_then(|all| all.last().cloned());
        if let (Effect::MergePr { .. }, Some(commit)) = (job, done) {
            return Report::Merged { commit, delivered: None };
        }
        if self.chance(10) {
            let class = match self.dice.below(4) {
                0 => FailureClass::CannotStart,
                _ => FailureClass::Transient,
            };
            return Report::Failed(StepFailure::new(class, "as drawn"));
        }
        match job {
            Effect::Attempt { .. } => panic!("BUG: attempts are attached"),
            Effect::WatchPr { .. } | Effect::WatchLanePr { .. } => self.look(info, job.key().part),
            Effect::ClosePr { .. } | Effect::CloseLanePr { .. } => Report::Closed,
            Effect::PrepareLane { lane, .. } => {
                let head = self.commit();
                let head = self.heads.entry(*lane).or_insert(head).clone();
                Report::LanePrepared { head }
            }
            Effect::MoveLane { lane, from, to, .. } => self.move_back(*lane, from, to),
            Effect::DropLane { .. } | Effect::RevertLane { .. } => {
                Report::Undone { sentence: "given up".to_owned() }
            }
            Effect::OpenPr { commit, .. } => self.open(job.key().part, commit.clone()),
            Effect::OpenLanePr { lane, .. } => {
                let head = self.heads[lane].clone();
                self.open(job.key().part, head)
            }
            Effect::MergePr { task, .. } => {
                if self.others.shared && self.chance(10) {
                    return Report::Held { why: "a rule".to_owned() };
                }
                if self.others.shared && self.chance(10) {
                    let pushed = self.commit();
                    self.others.push(job.key().part, pushed);
                    return Report::TargetMoved;
                }
                if self.chance(8) {
                    let failure = StepFailure::new(FailureClass::Conflict, "as drawn");
                    return Report::Failed(failure);
                }
                let lane = info.graph.task(*task).lane;
                let commit = self.merge(job.key());
                self.heads.insert(lane, commit.clone());
                *self.ahead.entry(lane).or_default() += 1;
                Report::Merged { commit, delivered: None }
            }
            Effect::CheckLane { lane, .. } => self.check(*lane),
            Effect::MergeLane { target, .. } => {
                if *target != self.target {
                    return Report::TargetMoved;
                }
                if self.others.shared && self.chance(8) {
                    return Report::Held { why: "a rule".to_owned() };
                }
                let commit = self.merge(job.key());
                if self.chance(4) {
                    self.target = commit.clone();
                }
                Report::Merged { commit, delivered: None }
            }
        }
    }

    /// Somebody may have added to the lane, and then it is left alone.
    fn move_back(&mut self, lane: LaneIx, from: &CommitId, to: &CommitId) -> Report {
        if self.heads.get(&lane).is_none_or(|at| at != from && at != to) {
            let class = FailureClass::Internal;
            return Report::Failed(StepFailure::new(class, "somebody added to it"));
        }
        self.heads.insert(lane, to.clone());
        Report::Undone { sentence: "moved back".to_owned() }
    }

    fn open(&mut self, part: Part, head: CommitId) -> Report {
        self.others.opened(part, head);
        Report::PrOpened { url: "pr".to_owned(), shared: self.others.shared }
    }

    fn look(&mut self, info: &RunInfo, part: Part) -> Report {
        let news = self.commit();
        let (found, merged) = self.others.look(&mut self.dice, part, news.clone(), !self.wild);
        if let (true, Part::Task(task)) = (merged, part) {
            let lane = info.graph.task(task).lane;
            self.heads.insert(lane, news);
            *self.ahead.entry(lane).or_default() += 1;
        }
        Report::News(found)
    }

    fn check(&mut self, lane: LaneIx) -> Report {
        if self.chance(8) {
            return Report::Failed(StepFailure::new(FailureClass::GateFailed, "as drawn"));
        }
        if self.chance(6) {
            self.target = self.commit();
        }
        let Some(ahead) = self.ahead.get(&lane).copied() else {
            return Report::LaneUpToDate { delivered: None };
        };
        let (commit, target) = (self.heads[&lane].clone(), self.target.clone());
        let (files, insertions, deletions) = (1, 1, 0);
        let checks = Vec::new();
        Report::LaneChecked(LaneCheck {
            commit,
            target,
            ahead,
            files,
            insertions,
            deletions,
            checks,
        })
    }

    fn merge(&mut self, key: EffectKey) -> CommitId {
        let commit = self.commit();
        self.merges.entry(key).or_default().push(commit.clone());
        commit
    }
}
