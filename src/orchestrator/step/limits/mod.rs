//! An agent's limit is reached: its profile cools down for everybody, others go on, and its tasks
//! go on where they were when the limit is reset.

pub(super) mod budgets;
mod outside;

use std::time::Duration;

use crate::graph::TaskIx;
use crate::orchestrator::world::{COOLDOWNS, Desk, Run};
use crate::scheduler::{PoolIx, Resume};
use crate::state::{Cooldown, Ending, ParkReason, Party, TaskEvent, TaskState, What};
use crate::time::Timestamp;

/// How long a limit lasts of which nobody knows when it is reset: the first time, and at most.
const UNKNOWN_FIRST: Duration = Duration::from_secs(60);
const UNKNOWN_MAX: Duration = Duration::from_secs(30 * 60);

/// How much later than its limit is reset a profile is used again, at most: everybody who waits
/// for the same vendor comes back at the full minute.
const JITTER_MAX: Duration = Duration::from_secs(20);

/// A limit that an attempt came to.
pub(crate) struct Limit {
    pub(crate) whose: Party,
    /// When it is reset, if that is known.
    pub(crate) until: Option<Timestamp>,
    pub(crate) why: ParkReason,
}

impl Desk {
    /// A profile's limit is reached; until when it cools down.
    fn cool(&mut self, by: PoolIx, resets: Option<Timestamp>) -> Timestamp {
        let name = self.queue.profile(by).cloned();
        let before = name.as_ref().and_then(|name| self.cooldowns.get(name)).copied();
        let unknown = match resets {
            Some(_) => 0,
            None => before.map_or(0, |before| before.unknown).saturating_add(1),
        };
        let resets = resets.filter(|at| *at > self.now).unwrap_or_else(|| {
            let doubled = UNKNOWN_FIRST.saturating_mul(1 << unknown.saturating_sub(1).min(10));
            self.now + doubled.min(UNKNOWN_MAX)
        });
        let until = resets + JITTER_MAX.mul_f64(self.entropy.unit());
        let Some(name) = name else { return until };
        // Another task may know of a later one.
        let until = before.map_or(until, |before| until.max(before.until));
        self.cooldowns.insert(name, Cooldown { until, unknown });
        self.queue.cool(by, Some(until));
        self.keep_cooldowns();
        until
    }

    /// A profile does its work: what was known of its limits is over.
    pub(crate) fn works(&mut self, by: PoolIx) {
        let Some(name) = self.queue.profile(by) else { return };
        if self.cooldowns.get(name).is_some_and(|known| known.until <= self.now) {
            let name = name.clone();
            self.cooldowns.remove(&name);
            self.keep_cooldowns();
        }
    }

    fn keep_cooldowns(&mut self) {
        let text = serde_json::to_string(&self.cooldowns).expect("BUG: plain data");
        self.batch.settings.push((COOLDOWNS, text));
    }

    /// Has the queue know who cools down.
    pub(crate) fn apply_cooldowns(&mut self) {
        for (name, cooldown) in &self.cooldowns {
            let pool = self.queue.pool(Some(name));
            self.queue.cool(pool, Some(cooldown.until).filter(|until| *until > self.now));
        }
    }
}

impl Run {
    /// The agent of an attempt that is over cannot go on before its limit is reset.
    pub(crate) fn limited(
        &mut self,
        desk: &mut Desk,
        task: TaskIx,
        limit: &Limit,
        ending: Option<Ending>,
    ) {
        let (by, pool) = match &limit.whose {
            Party::Doer => (self.done_by(desk, task), Some(self.place.pool_ix(task))),
            // Nobody stands in for a reviewer.
            Party::Reviewer(profile) => (desk.queue.pool(profile.as_ref()), None),
        };
        let until = desk.cool(by, limit.until);
        if let Some(asked) = ending {
            // It was to end anyway.
            return self.ended_as_asked(desk, task, asked);
        }
        let named = desk.queue.profile(by).map(|name| format!("the limit of `{name}`"));
        let named = named.unwrap_or_else(|| "the agent's limit".to_owned());
        let reached = format!("{named} is reached until {}", until.local_clock());
        // Tasks that name no profile have no stand-in, and do not cool each other down.
        let pool = pool.filter(|pool| desk.queue.profile(*pool).is_some());
        let other = pool.and_then(|pool| desk.queue.stand_in(pool));
        match other.and_then(|other| desk.queue.profile(other)) {
            Some(other) => {
                let what = format!("{reached}; `{other}` goes on");
                self.note(desk, task, What::LimitReached, Some(what));
                self.task_event(desk, task, TaskEvent::Retried, None);
            }
            None => {
                self.note(desk, task, What::LimitReached, Some(reached));
                let anybody = pool.and_then(|pool| desk.queue.cooled_at(pool));
                let event = TaskEvent::Parked { until: anybody.or(Some(until)), why: limit.why };
                self.task_event(desk, task, event, None);
            }
        }
    }

    /// The time has come at which a parked task can go on.
    pub(crate) fn limit_is_reset(&mut self, desk: &mut Desk, task: TaskIx) {
        let TaskState::Paused { why, .. } = self.tasks[task.at()].state else { return };
        match desk.policy.resume {
            Resume::Auto => {
                self.task_event(desk, task, TaskEvent::Unparked, None);
                self.wait_again(desk, task);
            }
            Resume::Ask => {
                let event = TaskEvent::Parked { until: None, why };
                let what = "its limit is reset; it waits to be resumed".to_owned();
                let seq = self.task_event(desk, task, event, Some(what));
                self.notify_resume(desk, task, seq);
            }
        }
    }
}
