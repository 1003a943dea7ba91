//! How fast a forge may be asked: a pure plan of when the next request may go out.
//!
//! GitHub documents 80 content-creating requests a minute and 500 an hour, 900 points a minute
//! (a read is 1, a change 5), and asks for a second between changes:
//! <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>. What is
//! planned stays below that, since people use the same account.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Timestamp;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Points a minute; 900 are allowed.
const POINTS_PER_MINUTE: u32 = 800;

/// What a change costs, in points; a read costs one.
const CHANGE_POINTS: u32 = 5;

/// So many requests of the hour's budget are left to people and other programs.
const LEFT_TO_OTHERS: u32 = 50;

/// How many changes may be made; what they are limited to where nobody says otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Changes a minute.
    pub per_minute: u32,
    /// Changes an hour.
    pub per_hour: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { per_minute: 60, per_hour: 450 }
    }
}

/// What went out, and what must be waited for.
#[derive(Debug)]
pub(super) struct Pace {
    pub(super) limits: Limits,
    /// When changes went out, or will, within the last hour.
    changes: VecDeque<Timestamp>,
    /// The same of all requests within the last minute, with their points.
    points: VecDeque<(Timestamp, u32)>,
    not_before: Timestamp,
    longest: Duration,
}

impl Pace {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            changes: VecDeque::new(),
            points: VecDeque::new(),
            not_before: Timestamp(0),
            longest: Duration::ZERO,
        }
    }

    /// Takes the next place; how long the request must wait for it.
    pub(super) fn reserve(&mut self, now: Timestamp, change: bool) -> Duration {
        let mut at = now.max(self.not_before);
        if change {
            let rest = MINUTE / self.limits.per_minute.max(1);
            at = at.max(self.changes.back().map_or(at, |last| *last + rest));
            at = room(&self.changes, self.limits.per_hour, HOUR, at);
        }
        let cost = if change { CHANGE_POINTS } else { 1 };
        at = self.room_for(cost, at);
        if change {
            self.changes.push_back(at);
        }
        self.points.push_back((at, cost));
        self.forget(now);
        let wait = at.since(now);
        self.longest = self.longest.max(wait);
        wait
    }

    /// How long to wait now that the wait is over: others may have been told to wait meanwhile.
    pub(super) fn more(&self, now: Timestamp) -> Duration {
        self.not_before.since(now)
    }

    /// What the server said of its limits: what is left of the hour and when it begins anew, and
    /// how long it wants to be left alone.
    pub(super) fn heard(
        &mut self,
        now: Timestamp,
        left: Option<u32>,
        anew: Option<Timestamp>,
        alone: Option<Duration>,
    ) {
        if let Some(alone) = alone {
            self.not_before = self.not_before.max(now + alone);
        }
        if let (Some(left), Some(anew)) = (left, anew)
            && left <= LEFT_TO_OTHERS
        {
            self.not_before = self.not_before.max(anew);
        }
    }

    /// The longest wait so far.
    pub(super) fn longest(&self) -> Duration {
        self.longest
    }

    /// The first moment from `at` on at which a minute holds no more points than it may.
    fn room_for(&self, cost: u32, mut at: Timestamp) -> Timestamp {
        loop {
            let within = self.points.iter().filter(|(sent, _)| at.since(*sent) < MINUTE);
            let spent: u32 = within.clone().map(|(_, points)| points).sum();
            match within.map(|(sent, _)| *sent).min() {
                Some(first) if spent + cost > POINTS_PER_MINUTE => at = first + MINUTE,
                _ => return at,
            }
        }
    }

    fn forget(&mut self, now: Timestamp) {
        while self.changes.front().is_some_and(|at| now.since(*at) >= HOUR) {
            self.changes.pop_front();
        }
        while self.points.front().is_some_and(|(at, _)| now.since(*at) >= MINUTE) {
            self.points.pop_front();
        }
    }
}

/// The first moment from `at` on at which a window holds less than `max`.
fn room(sent: &VecDeque<Timestamp>, max: u32, window: Duration, at: Timestamp) -> Timestamp {
    match sent.len().checked_sub(max.max(1) as usize) {
        Some(blocking) => at.max(sent[blocking] + window),
        None => at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When each of `count` requests that are wanted at once goes out, in milliseconds.
    fn times(count: usize, change: bool, limits: Limits) -> Vec<i64> {
        let mut pace = Pace::new(limits);
        let now = Timestamp(0);
        (0..count).map(|_| (now + pace.reserve(now, change)).0).collect()
    }

    fn most_within(times: &[i64], window_ms: i64) -> usize {
        let from =
            |start: i64| times.iter().filter(move |t| (start..start + window_ms).contains(t));
        times.iter().map(|start| from(*start).count()).max().unwrap_or(0)
    }

    #[test]
    fn a_thousand_changes_at_once_stay_inside_the_documented_limits() {
        let times = times(1_000, true, Limits::default());
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= 1_000));
        assert!(most_within(&times, 60_000) <= 80);
        assert!(most_within(&times, 3_600_000) <= 500);
    }

    #[test]
    fn reads_are_limited_by_points_only() {
        let times = times(2_000, false, Limits::default());
        assert_eq!(times[799], 0);
        assert!(most_within(&times, 60_000) <= 900);
    }

    #[test]
    fn what_the_server_asks_for_is_waited_for_by_everybody() {
        let mut pace = Pace::new(Limits::default());
        let now = Timestamp(1_000_000);
        pace.heard(now, Some(4_000), Some(now + HOUR), Some(Duration::from_secs(7)));
        assert_eq!(pace.reserve(now, false), Duration::from_secs(7));
        pace.heard(now, Some(LEFT_TO_OTHERS), Some(now + Duration::from_secs(90)), None);
        assert_eq!(pace.more(now), Duration::from_secs(90));
        assert_eq!(pace.reserve(now, true), Duration::from_secs(90));
        assert_eq!(pace.longest(), Duration::from_secs(90));
    }
}
