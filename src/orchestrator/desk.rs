//! What the runs share: the queue over all projects, what is paused, what is due; and what the
//! current turn has produced so far. It must not know what is inside a run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use crate::entropy::Entropy;
use crate::failure::Failure;
use crate::graph::TaskIx;
use crate::ids::{ProfileName, ProjectId, RunId, TaskId};
use crate::orchestrator::command::{Answer, GlobalCommand};
use crate::orchestrator::step::{Recovery, done, nothing};
use crate::orchestrator::watch::Reminders;
use crate::orchestrator::world::{Run, World};
use crate::plan;
use crate::runner::ToAttempt;
use crate::scheduler::{Policy, Pool, PoolIx, ProjectIx, Queue};
use crate::state::{
    BudgetState, Cooldown, EffectKey, Entry, Holds, OverBudget, Part, ProjectRecord,
    ProjectSettings, Subject, What,
};
use crate::store::Batch;
use crate::time::Timestamp;

/// The setting under which the store keeps what is paused above single runs.
pub(crate) const HOLDS: &str = "holds";

/// The same for budgets over a window.
pub(crate) const BUDGETS: &str = "budgets";

/// The same for profiles whose limits are reached.
pub(crate) const COOLDOWNS: &str = "cooldowns";

/// What the runs share, and what the current turn has produced so far.
#[derive(Debug)]
pub(crate) struct Desk {
    /// The time of the current turn.
    pub(crate) now: Timestamp,
    /// The number of the next line of the journal.
    pub(crate) next_seq: u64,
    /// What the configuration says about who may start when.
    pub(crate) policy: Policy,
    /// All projects that are known.
    pub(crate) projects: BTreeMap<ProjectId, ProjectRecord>,
    /// Who starts next.
    pub(crate) queue: Queue,
    /// What is kept about budgets over a window.
    pub(crate) budgets: Vec<BudgetState>,
    /// Budgets of which somebody allowed more in this turn: of which project, and which budget.
    pub(crate) allowed: Vec<(Option<ProjectId>, OverBudget)>,
    /// Tasks that others may wait for and that ended well in this turn.
    pub(crate) done: Vec<(RunId, TaskId)>,
    /// Runs that wait for a task of another run.
    pub(crate) waiting: BTreeMap<(RunId, TaskId), BTreeSet<RunId>>,
    /// Profiles whose limits are reached.
    pub(crate) cooldowns: BTreeMap<ProfileName, Cooldown>,
    /// Nothing is started before.
    pub(crate) quiet_until: Option<Timestamp>,
    /// Start nothing new until this is lifted or the process ends.
    pub(crate) draining: bool,
    /// Start nothing new, ever: this is a command without a daemon.
    pub(crate) idle_hands: bool,
    /// Start nothing new until a person says so, and why.
    pub(crate) safe_mode: Option<String>,
    /// What is paused above single runs.
    pub(crate) holds: Holds,
    /// Whether what tasks leave behind is kept for later ones.
    pub(crate) remembers: bool,
    /// How plans are turned into tasks.
    pub(crate) plans: plan::Rules,
    /// What is being found out about attempts that an earlier process began.
    pub(crate) recovery: Option<Recovery>,
    /// Runs that came to rest in this turn.
    pub(crate) settled: Vec<RunId>,
    /// Which run is looked at when for something that has waited too long.
    pub(crate) reminders: Reminders,
    /// What is due when.
    pub(crate) timers: BTreeSet<(Timestamp, RunId, Part)>,
    pub(crate) entropy: Entropy,
    /// Runs that something happened to in this turn.
    pub(crate) touched: BTreeSet<RunId>,
    /// What the turn has to keep.
    pub(crate) batch: Batch,
    /// What is owed since this turn.
    pub(crate) owed_anew: BTreeSet<EffectKey>,
    /// What the turn has to hand out.
    pub(crate) dispatch: Vec<EffectKey>,
    /// What the turn has to tell attempts under way.
    pub(crate) messages: Vec<(EffectKey, ToAttempt)>,
}

/// The place of a run in the queue.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) project: ProjectIx,
    /// The pools of its tasks, each once.
    pub(crate) pools: Vec<PoolIx>,
    /// The priority of the first ready task of each, as the queue knows it.
    offered: Vec<Option<i32>>,
    /// For each task, which of them it belongs to.
    tasks: Vec<Pool>,
}

impl Place {
    pub(crate) fn new(project: ProjectIx, tasks: usize) -> Self {
        Self { project, pools: Vec::new(), offered: Vec::new(), tasks: vec![0; tasks] }
    }

    /// Which of the run's pools a task belongs to.
    pub(crate) fn pool(&self, task: TaskIx) -> Pool {
        self.tasks[task.at()]
    }

    /// The pool of a task in the queue.
    pub(crate) fn pool_ix(&self, task: TaskIx) -> PoolIx {
        self.pools[usize::from(self.pool(task))]
    }

    fn assign(&mut self, task: TaskIx, pool: PoolIx) {
        let known = self.pools.iter().position(|ix| *ix == pool).unwrap_or_else(|| {
            self.pools.push(pool);
            self.offered.push(None);
            self.pools.len() - 1
        });
        self.tasks[task.at()] = known as Pool;
    }
}

impl Desk {
    /// An empty desk.
    pub(crate) fn new(next_seq: u64, policy: Policy, seed: u64) -> Self {
        let mut queue = Queue::default();
        queue.apply(&policy);
        queue.set_budget(None, policy.budget);
        Self {
            now: Timestamp(0),
            next_seq,
            policy,
            projects: BTreeMap::new(),
            queue,
            budgets: Vec::new(),
            allowed: Vec::new(),
            done: Vec::new(),
            waiting: BTreeMap::new(),
            cooldowns: BTreeMap::new(),
            quiet_until: None,
            draining: false,
            idle_hands: false,
            safe_mode: None,
            holds: Holds::default(),
            remembers: false,
            plans: plan::Rules::default(),
            recovery: None,
            settled: Vec::new(),
            reminders: Reminders::default(),
            timers: BTreeSet::new(),
            entropy: Entropy::seeded(seed),
            touched: BTreeSet::new(),
            batch: Batch::default(),
            owed_anew: BTreeSet::new(),
            dispatch: Vec::new(),
            messages: Vec::new(),
        }
    }

    /// Whether nothing new starts, in whatever project.
    pub(crate) fn starts_nothing(&self) -> bool {
        self.draining || self.idle_hands || self.safe_mode.is_some()
    }

    /// What is set for a project.
    pub(crate) fn settings(&self, project: &ProjectId) -> &ProjectSettings {
        static NOTHING: LazyLock<ProjectSettings> = LazyLock::new(ProjectSettings::default);
        self.projects.get(project).map_or(&NOTHING, |record| &record.settings)
    }

    /// Takes in what is known of a project now; keeps it, if it is not what was known.
    pub(crate) fn keep_project(&mut self, before: Option<&ProjectRecord>, now: ProjectRecord) {
        self.queue.set_project(&now.id, &now.settings, &self.policy);
        if before != Some(&now) {
            self.batch.projects.push(now.clone());
        }
        let id = now.id.clone();
        self.projects.insert(id.clone(), now);
        self.apply_budget(Some(&id));
    }

    /// Takes in the projects of the configuration; those that do not stand there any more stay,
    /// as projects that can be changed by commands.
    fn keep_configured(&mut self) {
        let named = |id: &ProjectId| self.policy.projects.iter().any(|p| p.id == *id);
        let dropped = self.projects.values().filter(|p| p.configured && !named(&p.id));
        for before in dropped.cloned().collect::<Vec<_>>() {
            let now = ProjectRecord { configured: false, ..before.clone() };
            self.keep_project(Some(&before), now);
        }
        for project in self.policy.projects.clone() {
            let before = self.projects.get(&project.id).cloned();
            self.keep_project(before.as_ref(), project);
        }
    }

    pub(crate) fn journal(
        &mut self,
        run: RunId,
        subject: Subject,
        attempt: Option<u32>,
        what: What,
        detail: Option<String>,
    ) -> u64 {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.touched.insert(run);
        let detail = detail.map(String::into_boxed_str);
        let at = self.now;
        self.batch.journal.push(Entry { seq, at, run, subject, attempt, what, detail });
        seq
    }
}

impl Run {
    /// Finds the pool of every task.
    pub(crate) fn find_pools(&mut self, desk: &mut Desk) {
        let info = self.info.clone();
        let named = |desk: &Desk, record: &crate::state::TaskRecord, task: TaskIx| {
            let own = record.more.as_ref().and_then(|more| more.agent.clone());
            let settings = desk.settings(&info.project.id);
            let spec = &info.graph.task(task).agent;
            own.or_else(|| desk.policy.profile_of(spec, settings).cloned())
        };
        let mut last: Option<(Option<ProfileName>, PoolIx)> = None;
        for (task, record) in (0..).map(TaskIx).zip(&self.tasks) {
            let name = named(desk, record, task);
            let pool = match &last {
                Some((known, pool)) if *known == name => *pool,
                Some(_) | None => desk.queue.pool(name.as_ref()),
            };
            self.place.assign(task, pool);
            last = Some((name, pool));
        }
    }

    /// The pool that a task's attempt under way takes a slot of.
    pub(crate) fn done_by(&self, desk: &mut Desk, task: TaskIx) -> PoolIx {
        let more = self.tasks[task.at()].more.as_ref();
        match more.and_then(|more| more.stand_in.as_ref()) {
            Some(name) => desk.queue.pool(Some(name)),
            None => self.place.pool_ix(task),
        }
    }

    /// Tells the queue what could start; nothing, if `may` is not so.
    pub(crate) fn offer(&mut self, desk: &mut Desk, may: bool) {
        let Place { project, pools, offered, .. } = &mut self.place;
        for (at, (pool, before)) in pools.iter().zip(offered).enumerate() {
            let now = self.ready.priority(at as Pool).filter(|_| may);
            if now != *before {
                desk.queue.offer(*project, *pool, self.info.id, *before, now);
                *before = now;
            }
        }
    }

    /// The first ready task of a pool of the queue.
    pub(crate) fn first_of(&self, pool: PoolIx) -> Option<TaskIx> {
        let at = self.place.pools.iter().position(|ix| *ix == pool)?;
        self.ready.next(at as Pool)
    }
}

impl World {
    /// Takes in the projects that the store knows; those of the configuration win.
    pub(crate) fn know_projects(&mut self, stored: Vec<ProjectRecord>) {
        for project in stored {
            self.desk.keep_project(Some(&project), project.clone());
        }
        self.desk.keep_configured();
    }

    /// Sets a project up, or changes what is set for it.
    pub(crate) fn set_project(
        &mut self,
        command: &GlobalCommand,
        project: &ProjectRecord,
    ) -> Answer {
        let before = self.desk.projects.get(&project.id).cloned();
        let id = &project.id;
        if before.as_ref().is_some_and(|before| before.configured) {
            return Err(Failure::user(format!("project `{id}` is set in the configuration"))
                .hint("change it there: what stands in the configuration wins"));
        }
        if let Some(agent) = &project.settings.agent {
            self.desk.demand_profile(agent)?;
        }
        let sentence = match &before {
            None => format!("project `{id}` is there"),
            Some(before) if before == project => {
                return Ok(nothing(format!("project `{id}` is so already")));
            }
            Some(_) => format!("project `{id}` is changed"),
        };
        if !command.dry_run {
            let record = ProjectRecord { configured: false, ..project.clone() };
            self.rearrange(|desk| desk.keep_project(before.as_ref(), record));
        }
        Ok(done(sentence, Vec::new()))
    }

    /// Takes over another configuration.
    pub(crate) fn apply(&mut self, policy: Policy) {
        self.rearrange(|desk| {
            desk.policy = policy;
            desk.keep_configured();
        });
    }

    /// Takes over another configuration, or a project that has changed: everything that depends
    /// on it is found again.
    pub(crate) fn rearrange(&mut self, change: impl FnOnce(&mut Desk)) {
        let desk = &mut self.desk;
        for run in self.runs.values_mut() {
            run.offer(desk, false);
            for task in (0..run.tasks.len() as u32).map(TaskIx) {
                run.leave_places(desk, task, run.tasks[task.at()].state);
            }
        }
        change(desk);
        desk.queue.apply(&desk.policy);
        for project in desk.projects.values() {
            desk.queue.set_project(&project.id, &project.settings, &desk.policy);
        }
        desk.apply_budgets();
        for run in self.runs.values_mut() {
            run.find_pools(desk);
            for task in (0..run.tasks.len() as u32).map(TaskIx) {
                run.enter_places(desk, task, run.tasks[task.at()].state);
            }
            desk.touched.insert(run.info.id);
        }
    }
}
