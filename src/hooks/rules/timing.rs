//! When a time comes next.

use std::str::FromStr as _;

use chrono::DateTime;
use croner::Cron;

use crate::hooks::rules::hook::{CronTime, Trigger};
use crate::time::Timestamp;

/// A time that has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// When it came.
    pub at: Timestamp,
    /// How far everything before is done with: the next is looked for after this.
    pub handled: Timestamp,
    /// Whether it came while nobody was there.
    pub missed: bool,
}

/// Later than this is not the loop's own lateness: nobody was there.
const LATE_MS: i64 = 60_000;

/// When a trigger comes next after `last`; `None` for those that are no times.
pub fn next_due(on: &Trigger, last: Timestamp) -> Option<Timestamp> {
    match on {
        Trigger::Every(span) => Some(last + *span),
        Trigger::Cron(time) => time.after(last),
        Trigger::Event { .. } | Trigger::Webhook(_) | Trigger::File { .. } => None,
    }
}

impl Due {
    /// What has come by `now`. Of times that were missed the first is told, and all of them count
    /// as one.
    pub fn by(on: &Trigger, last: Timestamp, now: Timestamp) -> Option<Self> {
        let at = next_due(on, last).filter(|at| *at <= now)?;
        let several = next_due(on, at).is_some_and(|next| next <= now);
        let missed = now.0 - at.0 > LATE_MS;
        Some(Self { at, handled: if missed || several { now } else { at }, missed })
    }
}

impl CronTime {
    /// Why `pattern` is none.
    pub fn problem(pattern: &str) -> Option<String> {
        let fields = pattern.split_whitespace().count();
        if fields != 5 && !pattern.starts_with('@') {
            return Some(format!("it has {fields} field(s), and there are 5"));
        }
        match Cron::from_str(pattern) {
            Ok(_) => None,
            Err(why) => Some(why.to_string()),
        }
    }

    /// The first time after `last`; `None` if there is none any more. A time that the change to
    /// summer time leaves out comes right after it, one that comes twice is taken once.
    pub fn after(&self, last: Timestamp) -> Option<Timestamp> {
        let cron = Cron::from_str(&self.pattern).ok()?;
        let last = DateTime::from_timestamp_millis(last.0)?.with_timezone(&self.zone);
        let next = cron.find_next_occurrence(&last, false).ok()?;
        Some(Timestamp(next.timestamp_millis()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    fn times(pattern: &str, zone: &str, from: &str, count: usize) -> String {
        let cron = CronTime { pattern: pattern.to_owned(), zone: zone.parse().unwrap() };
        let mut told = Vec::new();
        let mut last = at(from);
        for _ in 0..count {
            last = cron.after(last).unwrap();
            let there = DateTime::from_timestamp_millis(last.0).unwrap().with_timezone(&cron.zone);
            told.push(there.format("%a %m-%d %H:%M %z").to_string());
        }
        told.join(", ")
    }

    #[test]
    fn the_same_hour_of_the_day_across_the_changes_of_the_clock() {
        let spring = times("0 7 * * 1-5", "Europe/Berlin", "2026-03-27T00:00:00Z", 3);
        insta::assert_snapshot!(spring, @"Fri 03-27 07:00 +0100, Mon 03-30 07:00 +0200, Tue 03-31 07:00 +0200");
        let autumn = times("0 7 * * *", "Europe/Berlin", "2026-10-24T00:00:00Z", 3);
        insta::assert_snapshot!(autumn, @"Sat 10-24 07:00 +0200, Sun 10-25 07:00 +0100, Mon 10-26 07:00 +0100");
    }

    #[test]
    fn an_hour_that_is_left_out_comes_right_after_and_one_that_comes_twice_counts_once() {
        let spring = times("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3);
        insta::assert_snapshot!(spring, @"Sat 03-28 02:30 +0100, Sun 03-29 03:00 +0200, Mon 03-30 02:30 +0200");
        let autumn = times("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2);
        insta::assert_snapshot!(autumn, @"Sun 10-25 02:30 +0200, Mon 10-26 02:30 +0100");
    }

    #[test]
    fn what_was_missed_comes_once() {
        let every = Trigger::Every(Duration::from_secs(1800));
        let (last, now) = (at("2026-01-01T00:00:00Z"), at("2026-01-03T00:10:00Z"));
        let due = Due::by(&every, last, now).unwrap();
        assert_eq!((due.at, due.handled, due.missed), (at("2026-01-01T00:30:00Z"), now, true));
        assert_eq!(Due::by(&every, due.handled, now), None);
        let due = Due::by(&every, last, at("2026-01-01T00:30:01Z")).unwrap();
        assert_eq!((due.handled, due.missed), (due.at, false), "the pace does not drift");
    }

    #[test]
    fn patterns_that_are_none_are_told_why() {
        for bad in ["0 7 * *", "0 0 7 * * 1-5", "61 * * * *", "x * * * *", ""] {
            assert!(CronTime::problem(bad).is_some(), "{bad}");
        }
        assert_eq!(CronTime::problem("0 7 * * 1-5"), None);
        assert_eq!(CronTime::problem("@daily"), None);
    }
}
