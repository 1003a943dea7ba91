//! Which hook is due, what waits, what may begin: the state of all hooks, and how it changes.
//!
//! What changes is gathered into a [`Turn`], which is kept before anything of it is done.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::{Value, json};

use crate::hooks::rules::hook::{Hook, Trigger};
use crate::hooks::rules::record::{HookRun, HookRunId, HookState, Status, StepRecord};
use crate::hooks::rules::timing::{Due, next_due};
use crate::ids::{HookName, ProjectId};
use crate::time::Timestamp;

/// What holds for all hooks together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Runs of hooks at once.
    pub slots: u32,
    /// How many hooks may lead to one another.
    pub depth_max: u32,
}

/// Something that sets a hook off.
#[derive(Debug, Clone, PartialEq)]
pub struct Fired {
    /// What it is: the same sets the same hook off once.
    pub key: String,
    /// For people.
    pub sentence: String,
    /// For the steps.
    pub event: Value,
    /// In which project; the hook's own goes before it.
    pub project: Option<ProjectId>,
    /// How many hooks led to it.
    pub depth: u32,
    /// The hook that made what it comes from.
    pub made_by: Option<HookName>,
}

/// Why a hook was not set off by hand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is none of that name.
    #[error("there is no hook `{0}`")]
    Unknown(HookName),
    /// It runs.
    #[error("hook `{0}` is at work already")]
    Busy(HookName),
    /// No more can wait.
    #[error("{waiting} runs of hook `{name}` wait already")]
    Full {
        /// Which.
        name: HookName,
        /// How many.
        waiting: usize,
    },
}

/// What has to be kept, and what begins once it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Turn {
    /// Runs, new or changed.
    pub runs: Vec<HookRun>,
    /// Hooks that stand otherwise.
    pub states: Vec<(HookName, HookState)>,
    /// What begins.
    pub begin: Vec<(HookRun, Hook)>,
}

/// One hook and how it stands.
#[derive(Debug, Clone)]
struct Kept {
    hook: Hook,
    state: HookState,
    waiting: VecDeque<HookRunId>,
    running: u32,
    /// What is dropped since something was accepted last: one line for all of it.
    dropping: Option<HookRun>,
}

/// All hooks.
#[derive(Debug, Clone)]
pub struct Desk {
    limits: Limits,
    hooks: BTreeMap<HookName, Kept>,
    /// Runs that wait or are under way.
    runs: BTreeMap<HookRunId, HookRun>,
    running: u32,
    next_id: i64,
    /// Runs and hooks that changed in this turn.
    changed: Vec<HookRun>,
    touched: BTreeSet<HookName>,
}

impl Kept {
    fn is_on(&self) -> bool {
        self.state.enabled.unwrap_or(self.hook.enabled)
    }

    fn is_busy(&self) -> bool {
        self.running >= self.hook.max_concurrent || !self.waiting.is_empty()
    }
}

impl Desk {
    /// Without hooks; runs are numbered from `next_id`.
    pub fn new(limits: Limits, next_id: i64) -> Self {
        Self {
            limits,
            hooks: BTreeMap::new(),
            runs: BTreeMap::new(),
            running: 0,
            next_id,
            changed: Vec::new(),
            touched: BTreeSet::new(),
        }
    }

    /// Other limits hold from now on.
    pub fn limit(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// The number of the next run.
    pub fn next_id(&self) -> i64 {
        self.next_id
    }

    /// Adds a hook or changes one. A new one begins to wait now, after line `seq` of the journal.
    pub fn put(&mut self, hook: Hook, state: Option<HookState>, now: Timestamp, seq: u64) {
        let name = hook.name.clone();
        if let Some(kept) = self.hooks.get_mut(&name) {
            if kept.hook.on != hook.on {
                (kept.state.handled_at, kept.state.since_seq) = (now, seq);
                self.touched.insert(name);
            }
            kept.hook = hook;
            return;
        }
        let known = state.is_some();
        let mut state = state.unwrap_or_default();
        // Also if the clock was set back: a time in the future would never be waited for.
        if !known || state.handled_at > now {
            state.handled_at = now;
        }
        if !known {
            state.since_seq = seq;
            self.touched.insert(name.clone());
        }
        let waiting = VecDeque::new();
        self.hooks.insert(name, Kept { hook, state, waiting, running: 0, dropping: None });
    }

    /// Takes a hook away. What waits of it is dropped; what runs goes on.
    pub fn remove(&mut self, name: &HookName, now: Timestamp) {
        self.empty(name, "the hook was removed", now);
        self.hooks.remove(name);
        self.touched.remove(name);
    }

    /// Switches a hook on or off; off, what waits of it is dropped.
    pub fn enable(&mut self, name: &HookName, on: bool, now: Timestamp, seq: u64) {
        if !on {
            self.empty(name, "the hook was switched off", now);
        }
        let Some(kept) = self.hooks.get_mut(name) else { return };
        if on && !kept.is_on() {
            // What happened meanwhile is not made up for.
            (kept.state.handled_at, kept.state.since_seq) = (now, seq);
        }
        kept.state.enabled = (kept.hook.enabled != on).then_some(on);
        self.touched.insert(name.clone());
    }

    fn empty(&mut self, name: &HookName, why: &str, now: Timestamp) {
        let waiting = self.hooks.get_mut(name).map(|kept| std::mem::take(&mut kept.waiting));
        for id in waiting.into_iter().flatten() {
            self.end(id, Status::Dropped, Some(why.to_owned()), now);
        }
    }

    /// Takes a run up that an earlier process left: it waits on, or is lost.
    pub fn adopt(&mut self, run: HookRun, now: Timestamp) {
        let (id, hook) = (run.id, run.hook.clone());
        let status = run.status;
        self.runs.insert(id, run);
        match (status, self.hooks.get_mut(&hook)) {
            (Status::Queued, Some(kept)) => kept.waiting.push_back(id),
            (Status::Queued, None) => {
                let why = "the hook is not there any more".to_owned();
                self.end(id, Status::Dropped, Some(why), now);
            }
            (
                Status::Running
                | Status::Succeeded
                | Status::Skipped
                | Status::Failed
                | Status::Dropped
                | Status::Lost,
                _,
            ) => {
                let why = "the process ended while it ran".to_owned();
                self.end(id, Status::Lost, Some(why), now);
            }
        }
    }

    /// Whether some hook waits for events of a kind.
    pub fn wants(&self, kind: &str) -> bool {
        self.hooks.values().any(|kept| {
            kept.is_on() && matches!(&kept.hook.on, Trigger::Event { kind: k, .. } if k == kind)
        })
    }

    /// The hooks that are switched on, and how they stand.
    pub fn hooks(&self) -> impl Iterator<Item = (&Hook, &HookState, bool)> {
        self.hooks.values().map(|kept| (&kept.hook, &kept.state, kept.is_on()))
    }

    /// One hook.
    pub fn hook(&self, name: &HookName) -> Option<&Hook> {
        self.hooks.get(name).map(|kept| &kept.hook)
    }

    /// How many runs of a hook are under way, and how many wait.
    pub fn load(&self, name: &HookName) -> (u32, usize) {
        self.hooks.get(name).map_or((0, 0), |kept| (kept.running, kept.waiting.len()))
    }

    /// A line of the journal was kept.
    pub fn happened(&mut self, kind: &str, seq: u64, fired: &Fired, now: Timestamp) {
        let text = |name: &str| fired.event.get(name).map(super::text_of).unwrap_or_default();
        let fits = |kept: &&Kept| match &kept.hook.on {
            Trigger::Event { kind: wanted, conditions } => {
                wanted == kind
                    && kept.state.since_seq < seq
                    && conditions.iter().all(|(field, p)| p.fits(&text(field.word())))
            }
            Trigger::Every(_) | Trigger::Cron(_) | Trigger::Webhook(_) | Trigger::File { .. } => {
                false
            }
        };
        let here = |kept: &&Kept| match (&kept.hook.project, &fired.project) {
            (Some(own), Some(of)) => own == of,
            (Some(_) | None, _) => true,
        };
        // What a hook made does not set it off again.
        let other = |kept: &&Kept| fired.made_by.as_ref() != Some(&kept.hook.name);
        let hooks = self.hooks.values().filter(|kept| kept.is_on());
        let hooks = hooks.filter(|kept| fits(kept) && here(kept) && other(kept));
        let names: Vec<HookName> = hooks.map(|kept| kept.hook.name.clone()).collect();
        for name in names {
            self.accept(&name, fired.clone(), now);
        }
    }

    /// A request or a change of files; nothing comes of it while the hook is switched off.
    pub fn knock(&mut self, name: &HookName, fired: Fired, now: Timestamp) -> Option<HookRunId> {
        self.hooks.get(name).filter(|kept| kept.is_on())?;
        self.accept(name, fired, now)
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Timestamp) {
        let due = self.hooks.values().filter(|kept| kept.is_on()).filter_map(|kept| {
            let due = Due::by(&kept.hook.on, kept.state.handled_at, now)?;
            Some((kept.hook.name.clone(), due, kept.state.handled_at))
        });
        for (name, due, last) in due.collect::<Vec<_>>() {
            if let Some(kept) = self.hooks.get_mut(&name) {
                kept.state.handled_at = due.handled;
                self.touched.insert(name.clone());
                if !kept.waiting.is_empty() {
                    kept.state.held_back += 1;
                    continue;
                }
            }
            let late = if due.missed { ", made up for: nobody was there" } else { "" };
            let fired = Fired {
                // Times that come twice, where the clock was set back, are two.
                key: format!("time:{}:{}", due.at.0, self.next_id),
                sentence: format!("due at {}{late}", due.at.rfc3339()),
                event: json!({
                    "at": now.rfc3339(), "due": due.at.rfc3339(), "last": last.rfc3339(),
                    "missed": due.missed,
                }),
                project: None,
                depth: 0,
                made_by: None,
            };
            self.accept(&name, fired, now);
        }
    }

    /// When time has to pass next.
    pub fn next_due(&self) -> Option<Timestamp> {
        let on = self.hooks.values().filter(|kept| kept.is_on());
        on.filter_map(|kept| next_due(&kept.hook.on, kept.state.handled_at)).min()
    }

    /// A person sets it off, whatever its cooldown; while it runs only to `queue` behind it.
    pub fn fire(
        &mut self,
        name: &HookName,
        fired: Fired,
        queue: bool,
        now: Timestamp,
    ) -> Result<HookRunId, Refused> {
        let kept = self.hooks.get(name).ok_or_else(|| Refused::Unknown(name.clone()))?;
        if kept.is_busy() && !queue {
            return Err(Refused::Busy(name.clone()));
        }
        let waiting = kept.waiting.len();
        if waiting >= kept.hook.queue_max as usize {
            return Err(Refused::Full { name: name.clone(), waiting });
        }
        Ok(self.enqueue(name, fired, now))
    }

    fn accept(&mut self, name: &HookName, fired: Fired, now: Timestamp) -> Option<HookRunId> {
        let kept = self.hooks.get_mut(name)?;
        let cool = kept.state.fired_at.is_none_or(|at| now.since(at) >= kept.hook.cooldown);
        if !cool {
            kept.state.held_back += 1;
            self.touched.insert(name.clone());
            return None;
        }
        if fired.depth > self.limits.depth_max {
            let why = format!("{} hooks led to it, one after another", fired.depth);
            self.drop_one(name, fired, why, now);
            return None;
        }
        if kept.waiting.len() >= kept.hook.queue_max as usize {
            let why = format!("{} runs waited already", kept.waiting.len());
            self.drop_one(name, fired, why, now);
            return None;
        }
        Some(self.enqueue(name, fired, now))
    }

    fn enqueue(&mut self, name: &HookName, fired: Fired, now: Timestamp) -> HookRunId {
        let run = self.new_run(name, fired, Status::Queued, now);
        let id = run.id;
        if let Some(kept) = self.hooks.get_mut(name) {
            kept.waiting.push_back(id);
            kept.state.fired_at = Some(now);
            kept.dropping = None;
        }
        self.touched.insert(name.clone());
        self.runs.insert(id, run.clone());
        self.changed.push(run);
        id
    }

    fn drop_one(&mut self, name: &HookName, fired: Fired, why: String, now: Timestamp) {
        let known = self.hooks.get_mut(name).and_then(|kept| kept.dropping.take());
        let mut run = match known {
            Some(run) => HookRun { count: run.count + 1, ended_at: Some(now), ..run },
            None => self.new_run(name, fired, Status::Dropped, now),
        };
        run.ended_at = Some(now);
        run.why = Some(why);
        self.changed.push(run.clone());
        if let Some(kept) = self.hooks.get_mut(name) {
            kept.state.dropped += 1;
            kept.dropping = Some(run);
        }
        self.touched.insert(name.clone());
    }

    fn new_run(
        &mut self,
        name: &HookName,
        fired: Fired,
        status: Status,
        now: Timestamp,
    ) -> HookRun {
        let id = HookRunId(self.next_id);
        self.next_id += 1;
        let own = self.hooks.get(name).and_then(|kept| kept.hook.project.clone());
        HookRun {
            id,
            hook: name.clone(),
            key: fired.key,
            trigger: fired.sentence,
            event: fired.event,
            project: own.or(fired.project),
            depth: fired.depth,
            status,
            created_at: now,
            started_at: None,
            ended_at: None,
            why: None,
            count: 1,
            steps: Vec::new(),
            made: Vec::new(),
            tokens: 0,
        }
    }

    /// A step was done.
    pub fn step_done(&mut self, id: HookRunId, step: StepRecord, made: Option<String>) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        run.steps.push(step);
        run.made.extend(made);
        self.changed.push(run.clone());
    }

    /// A run came to its end.
    pub fn ended(&mut self, id: HookRunId, status: Status, why: Option<String>, now: Timestamp) {
        let under_way = self.runs.get(&id).is_some_and(|run| run.status == Status::Running);
        if !under_way {
            return;
        }
        self.running = self.running.saturating_sub(1);
        let hook = self.runs.get(&id).map(|run| run.hook.clone());
        if let Some(kept) = hook.and_then(|hook| self.hooks.get_mut(&hook)) {
            kept.running = kept.running.saturating_sub(1);
        }
        self.end(id, status, why, now);
    }

    fn end(&mut self, id: HookRunId, status: Status, why: Option<String>, now: Timestamp) {
        let Some(mut run) = self.runs.remove(&id) else { return };
        (run.status, run.why, run.ended_at) = (status, why, Some(now));
        self.changed.push(run);
    }

    /// What the turn came to. What waits longest begins first, as far as limits allow.
    pub fn turn(&mut self, now: Timestamp) -> Turn {
        let mut begin = Vec::new();
        let queued = self.runs.iter().filter(|(_, run)| run.status == Status::Queued);
        for id in queued.map(|(id, _)| *id).collect::<Vec<_>>() {
            if self.running >= self.limits.slots {
                break;
            }
            if let Some(begun) = self.begin(id, now) {
                begin.push(begun);
            }
        }
        let touched = std::mem::take(&mut self.touched);
        let states = touched.into_iter().filter_map(|name| {
            let state = self.hooks.get(&name)?.state.clone();
            Some((name, state))
        });
        let states = states.collect();
        // Of several changes the last is kept.
        let mut runs: Vec<HookRun> = Vec::new();
        for run in std::mem::take(&mut self.changed) {
            match runs.iter_mut().find(|known| known.id == run.id) {
                Some(known) => *known = run,
                None => runs.push(run),
            }
        }
        Turn { runs, states, begin }
    }

    fn begin(&mut self, id: HookRunId, now: Timestamp) -> Option<(HookRun, Hook)> {
        let run = self.runs.get_mut(&id)?;
        let kept = self.hooks.get_mut(&run.hook)?;
        if kept.running >= kept.hook.max_concurrent {
            return None;
        }
        kept.waiting.retain(|waiting| *waiting != id);
        kept.running += 1;
        self.running += 1;
        (run.status, run.started_at) = (Status::Running, Some(now));
        self.changed.push(run.clone());
        Some((run.clone(), kept.hook.clone()))
    }
}

impl Turn {
    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.states.is_empty()
    }
}
