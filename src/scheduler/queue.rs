//! Who starts next, over all projects: what is ready by project and profile, who runs, who cools
//! down, what was used. Kept up to date as things happen, so that a decision looks at each project
//! that has work once, whatever waits.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::Budget;
use crate::ids::{ProfileName, ProjectId, RunId};
use crate::scheduler::policy::Policy;
use crate::scheduler::share::{Claim, Sums};
use crate::scheduler::window::{Used, Window};
use crate::state::{ProjectSettings, Weight};
use crate::time::Timestamp;

/// What an attempt is charged, in tokens, before anything is known, and where its agent tells
/// nothing.
pub const CHARGE_DEFAULT: u64 = 10_000;

/// A project in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProjectIx(u32);

/// All tasks of one profile; those that name none are one pool as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolIx(u32);

/// What starts next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Next {
    /// The run that it is in.
    pub run: RunId,
    /// Whose profile it asks for.
    pub pool: PoolIx,
    /// Who does it.
    pub by: PoolIx,
}

/// Who starts next.
#[derive(Debug, Clone, Default)]
pub struct Queue {
    slots: u32,
    project_slots: u32,
    used: u32,
    projects: Vec<Project>,
    project_ixs: BTreeMap<ProjectId, ProjectIx>,
    pools: Vec<Pool>,
    pool_ixs: BTreeMap<Option<ProfileName>, PoolIx>,
    /// Projects that have something ready or under way.
    active: BTreeSet<ProjectIx>,
    /// What all of them used, and may use.
    window: Window,
    budget: Budget,
}

#[derive(Debug, Clone)]
struct Project {
    id: ProjectId,
    weight: Weight,
    max: u32,
    budget: Budget,
    running: u32,
    /// The first ready task of each run, by pool: its priority, and the run.
    heads: BTreeMap<PoolIx, BTreeSet<(i32, RunId)>>,
    window: Window,
}

#[derive(Debug, Clone)]
struct Pool {
    name: Option<ProfileName>,
    max: u32,
    running: u32,
    /// Its limit is reached until then.
    cooling: Option<Timestamp>,
    fallback: Option<PoolIx>,
}

/// Why nothing of a project or profile starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Full {
    /// As many agents run as may.
    Slots(u32),
    /// As many of the project.
    Project(u32),
    /// As many of the profile.
    Profile(ProfileName, u32),
    /// The profile's limit is reached, and that of everybody who stands in for it.
    Cooling(ProfileName, Timestamp),
    /// The budget of the project (or, `None`, of everything) is used up, until enough of it lies
    /// outside the window.
    Budget(Option<ProjectId>, Option<Timestamp>),
}

/// Which part of a budget is used up: 1 is all of it.
pub fn filled(tokens: u64, usd: f64, budget: Budget) -> f64 {
    let of_tokens = budget.tokens.map(|max| tokens as f64 / max.max(1) as f64);
    let of_usd = budget.usd.map(|max| usd / max);
    of_tokens.into_iter().chain(of_usd).fold(0.0, f64::max)
}

/// Whether something used up a budget.
fn exceeds(used: Used, budget: Budget) -> bool {
    filled(used.tokens, used.usd, budget) >= 1.0
}

impl Queue {
    /// Takes over what the configuration says, but for budgets; what is known of projects and pools
    /// stays.
    pub fn apply(&mut self, policy: &Policy) {
        self.slots = policy.slots;
        self.project_slots = policy.project_slots;
        for name in policy.profiles.keys() {
            self.pool(Some(name));
        }
        for at in 0..self.pools.len() {
            let rules = self.pools[at].name.as_ref().and_then(|name| policy.profiles.get(name));
            let fallback = rules.and_then(|rules| rules.fallback.as_ref());
            let fallback = fallback.map(|name| self.pool(Some(name)));
            self.pools[at].max = rules.and_then(|rules| rules.slots).unwrap_or(u32::MAX);
            self.pools[at].fallback = fallback;
        }
    }

    /// A project as it is now, but for its budget.
    pub fn set_project(&mut self, id: &ProjectId, settings: &ProjectSettings, policy: &Policy) {
        let ix = self.project(id);
        let project = self.at(ix);
        project.weight = settings.weight;
        project.max = settings.max_agents.unwrap_or(policy.project_slots);
    }

    /// What a project, or (`None`) all of them together, may use within the window.
    pub fn set_budget(&mut self, project: Option<ProjectIx>, budget: Budget) {
        match project {
            Some(ix) => self.at(ix).budget = budget,
            None => self.budget = budget,
        }
    }

    /// What it may use.
    pub fn budget(&self, project: Option<ProjectIx>) -> Budget {
        project.map_or(self.budget, |ix| self.projects[ix.0 as usize].budget)
    }

    /// The place of a project, made when it is first asked for.
    pub fn project(&mut self, id: &ProjectId) -> ProjectIx {
        if let Some(ix) = self.project_ixs.get(id) {
            return *ix;
        }
        let ix = ProjectIx(self.projects.len() as u32);
        self.projects.push(Project {
            id: id.clone(),
            weight: Weight::default(),
            max: self.project_slots,
            budget: Budget::default(),
            running: 0,
            heads: BTreeMap::new(),
            window: Window::default(),
        });
        self.project_ixs.insert(id.clone(), ix);
        ix
    }

    /// The pool of a profile, made when it is first asked for.
    pub fn pool(&mut self, name: Option<&ProfileName>) -> PoolIx {
        let name = name.cloned();
        if let Some(ix) = self.pool_ixs.get(&name) {
            return *ix;
        }
        let ix = PoolIx(self.pools.len() as u32);
        let (max, running, cooling, fallback) = (u32::MAX, 0, None, None);
        self.pools.push(Pool { name: name.clone(), max, running, cooling, fallback });
        self.pool_ixs.insert(name, ix);
        ix
    }

    /// The name of a pool's profile.
    pub fn profile(&self, pool: PoolIx) -> Option<&ProfileName> {
        self.pools[pool.0 as usize].name.as_ref()
    }

    fn at(&mut self, project: ProjectIx) -> &mut Project {
        &mut self.projects[project.0 as usize]
    }

    /// How many attempts are under way.
    pub fn running(&self) -> u32 {
        self.used
    }

    /// The priority of the first task of a run that is ready in a pool; `before` is what was said
    /// last.
    pub fn offer(
        &mut self,
        project: ProjectIx,
        pool: PoolIx,
        run: RunId,
        before: Option<i32>,
        now: Option<i32>,
    ) {
        let entry = self.at(project);
        let heads = entry.heads.entry(pool).or_default();
        if let Some(priority) = before {
            heads.remove(&(priority, run));
        }
        if let Some(priority) = now {
            heads.insert((priority, run));
        }
        if heads.is_empty() {
            entry.heads.remove(&pool);
        }
        self.note_activity(project);
    }

    /// An attempt begins, or is taken up.
    pub fn enter(&mut self, project: ProjectIx, pool: PoolIx) {
        self.used += 1;
        self.at(project).running += 1;
        self.pools[pool.0 as usize].running += 1;
        self.note_activity(project);
    }

    /// An attempt is over, or waits for a person.
    pub fn leave(&mut self, project: ProjectIx, pool: PoolIx) {
        let less = |count: &mut u32| {
            *count = count.checked_sub(1).expect("BUG: a slot was given back twice");
        };
        less(&mut self.used);
        less(&mut self.at(project).running);
        less(&mut self.pools[pool.0 as usize].running);
        self.note_activity(project);
    }

    fn note_activity(&mut self, ix: ProjectIx) {
        let project = self.at(ix);
        if project.running > 0 || !project.heads.is_empty() {
            self.active.insert(ix);
        } else {
            self.active.remove(&ix);
        }
    }

    /// Something was used in a project.
    pub fn charge(&mut self, project: ProjectIx, at: Timestamp, used: Used) {
        self.at(project).window.add(at, used);
        self.window.add(at, used);
    }

    /// Forgets what lies outside the window, and limits that are reset.
    pub fn roll(&mut self, now: Timestamp) {
        self.window.roll(now);
        for project in &mut self.projects {
            project.window.roll(now);
        }
        for pool in &mut self.pools {
            pool.cooling = pool.cooling.filter(|until| *until > now);
        }
    }

    /// A profile's limit is reached until then, or it is not any more.
    pub fn cool(&mut self, pool: PoolIx, until: Option<Timestamp>) {
        self.pools[pool.0 as usize].cooling = until;
    }

    /// When somebody can do the tasks of a pool again, if nobody can now.
    pub fn cooled_at(&self, pool: PoolIx) -> Option<Timestamp> {
        let next = |ix: &PoolIx| self.pools[ix.0 as usize].fallback;
        let chain = std::iter::successors(Some(pool), next).take(self.pools.len());
        let until = chain.map(|ix| self.pools[ix.0 as usize].cooling);
        until.collect::<Option<Vec<_>>>()?.into_iter().min()
    }

    /// Who does the tasks of a pool now: itself, or the first of those that stand in for it that
    /// does not cool down. `None`: all do.
    pub fn stand_in(&self, pool: PoolIx) -> Option<PoolIx> {
        let next = |ix: &PoolIx| self.pools[ix.0 as usize].fallback;
        let mut chain = std::iter::successors(Some(pool), next).take(self.pools.len());
        chain.find(|ix| self.pools[ix.0 as usize].cooling.is_none())
    }

    /// What a project, or (`None`) all of them together, used within the window.
    pub fn used(&self, project: Option<ProjectIx>) -> Used {
        project.map_or(self.window.used(), |ix| self.projects[ix.0 as usize].window.used())
    }

    /// When something may start that may not now, if nothing else happens.
    pub fn wakes_at(&self) -> Option<Timestamp> {
        let cooled = self.pools.iter().filter_map(|pool| pool.cooling);
        let spent = exceeds(self.window.used(), self.budget).then(|| self.window.next_change());
        let waits = |ix: &&ProjectIx| {
            let project = &self.projects[ix.0 as usize];
            exceeds(project.window.used(), project.budget) && !project.heads.is_empty()
        };
        let projects = self.active.iter().filter(waits);
        let projects = projects.map(|ix| self.projects[ix.0 as usize].window.next_change());
        cooled.chain(projects.chain(spent).flatten()).min()
    }

    /// What starts next.
    pub fn next(&self) -> Option<Next> {
        if self.used >= self.slots || exceeds(self.window.used(), self.budget) {
            return None;
        }
        let all = self.sums();
        let mut best: Option<(Claim, (i32, RunId), PoolIx, PoolIx)> = None;
        for project in self.active.iter().map(|ix| &self.projects[ix.0 as usize]) {
            let Some((head, pool, by)) = self.head(project) else { continue };
            let claim = self.claim(project);
            let first = best
                .as_ref()
                .is_none_or(|(other, at, ..)| claim.cmp(other, all).then(head.cmp(at)).is_lt());
            if first {
                best = Some((claim, head, pool, by));
            }
        }
        best.map(|(_, (_, run), pool, by)| Next { run, pool, by })
    }

    /// The first task of a project that may start.
    fn head(&self, project: &Project) -> Option<((i32, RunId), PoolIx, PoolIx)> {
        if project.running >= project.max || exceeds(project.window.used(), project.budget) {
            return None;
        }
        let heads = project.heads.iter().filter_map(|(pool, heads)| {
            let by = self.free(*pool)?;
            Some((*heads.first()?, *pool, by))
        });
        heads.min()
    }

    /// Who can do a task of a pool now.
    fn free(&self, pool: PoolIx) -> Option<PoolIx> {
        let by = self.stand_in(pool)?;
        let found = &self.pools[by.0 as usize];
        (found.running < found.max).then_some(by)
    }

    fn sums(&self) -> Sums {
        self.active
            .iter()
            .map(|ix| &self.projects[ix.0 as usize])
            .fold(Sums::default(), |sums, project| {
                sums.with(project.weight, self.claim(project).used)
            })
    }

    fn claim(&self, project: &Project) -> Claim {
        let used = project.window.used();
        let each = used.charge.checked_div(used.ended).unwrap_or_else(|| {
            let all = self.window.used();
            all.charge.checked_div(all.ended).unwrap_or(CHARGE_DEFAULT)
        });
        Claim {
            weight: project.weight,
            used: used.charge.saturating_add(each.saturating_mul(u64::from(project.running))),
            unserved: used.ended == 0 && project.running == 0,
        }
    }

    /// What keeps a ready task of a pool of a project from starting; `None`: it is its turn, or
    /// that of others before it.
    pub fn why_not(&self, project: ProjectIx, pool: PoolIx) -> Option<Full> {
        let project = &self.projects[project.0 as usize];
        let over = |window: &Window, budget: Budget| {
            exceeds(window.used(), budget).then(|| window.fine_at(|rest| !exceeds(rest, budget)))
        };
        if let Some(until) = over(&self.window, self.budget) {
            return Some(Full::Budget(None, until));
        }
        if let Some(until) = over(&project.window, project.budget) {
            return Some(Full::Budget(Some(project.id.clone()), until));
        }
        if self.used >= self.slots {
            return Some(Full::Slots(self.used));
        }
        match self.stand_in(pool) {
            None => {
                let name = self.pools[pool.0 as usize].name.clone();
                let (name, until) = name.zip(self.cooled_at(pool))?;
                return Some(Full::Cooling(name, until));
            }
            Some(by) => {
                let by = &self.pools[by.0 as usize];
                if by.running >= by.max
                    && let Some(name) = &by.name
                {
                    return Some(Full::Profile(name.clone(), by.running));
                }
            }
        }
        (project.running >= project.max).then_some(Full::Project(project.running))
    }
}
