//! Putting away what has rested long enough with nothing in it for a person.

use std::time::Duration;

use crate::ids::RunId;
use crate::orchestrator::command::{Command, Verb};
use crate::orchestrator::engine::{Engine, Role, Scope};
use crate::orchestrator::watch::needs::needs;
use crate::orchestrator::world::World;
use crate::store::{self, Which};
use crate::time::Timestamp;

/// Runs that are put away in one turn: people wait no longer than that takes.
const SWEEP_MAX: u32 = 16;

/// How long between two looks, at least, where the last one left something.
const SWEEP_GAP: Duration = Duration::from_secs(60);

/// Who puts away what nobody did by hand.
const WHO: &str = "taskloom";

impl Engine {
    /// Puts away what may be, if it is time to look.
    pub(in crate::orchestrator) async fn sweep(&mut self) {
        let now = self.doors.clock.now();
        if self.next_sweep.is_some_and(|at| at <= now) {
            self.next_sweep = match self.sweep_now(now).await {
                Ok(next) => next,
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "runs that rest could not be put away");
                    Some(now + SWEEP_GAP)
                }
            };
        }
    }

    async fn sweep_now(&mut self, now: Timestamp) -> Result<Option<Timestamp>, store::Error> {
        let Some(after) = self.archive_after() else { return Ok(None) };
        let before = Timestamp((now - after).0 + 1);
        let due = self.doors.store.select(&Which::Resting { before }, SWEEP_MAX).await?;
        let mut done = 0;
        for run in &due {
            if !self.world.runs.contains_key(&run.id) {
                self.fetch(run.id).await?;
            }
            done += u32::from(self.world.put_away(run.id));
        }
        if !due.is_empty() {
            // What was just put away is not in the store yet: the next turn looks on.
            return Ok(Some(if done == SWEEP_MAX { now } else { now + SWEEP_GAP }));
        }
        let ever = Timestamp(i64::MAX);
        let next = self.doors.store.select(&Which::Resting { before: ever }, 1).await?;
        Ok(next.first().map(|run| (run.rests_since() + after).max(now + SWEEP_GAP)))
    }

    /// After a run came to rest: it may be the next.
    pub(in crate::orchestrator) fn sweep_later(&mut self) {
        if let Some(after) = self.archive_after() {
            let due = self.world.desk.now + after;
            self.next_sweep = Some(self.next_sweep.map_or(due, |next| next.min(due)));
        }
    }

    fn archive_after(&self) -> Option<Duration> {
        let own = self.options.role == Role::Daemon && self.options.scope == Scope::All;
        self.options.watching.archive_after.filter(|_| own)
    }
}

impl World {
    /// Puts a run away unless something in it waits for a person; whether it did.
    fn put_away(&mut self, run: RunId) -> bool {
        if self.view(run).is_none_or(|view| !needs(&view).is_empty()) {
            return false;
        }
        let command = Command { run, who: WHO.to_owned(), verb: Verb::Archive, dry_run: false };
        self.command(&command).is_ok_and(|receipt| receipt.changed)
    }
}
