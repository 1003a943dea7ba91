//! What was used within a rolling window, kept in buckets so that it costs the same however much
//! happened.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Timestamp;

/// How far back shares and budgets look.
pub const WINDOW: Duration = Duration::from_secs(24 * 60 * 60);

/// What a bucket holds: fine enough that the window's end is sharp, coarse enough that a project's
/// window fits into a few kilobytes.
pub const BUCKET: Duration = Duration::from_secs(5 * 60);

/// What was used in some time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Used {
    /// Tokens of all kinds.
    pub tokens: u64,
    /// US dollars.
    pub usd: f64,
    /// What counts for shares, in tokens: those above, and something for attempts that tell none.
    pub charge: u64,
    /// Attempts that ended.
    pub ended: u64,
}

impl Used {
    fn add(&mut self, other: Used) {
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.usd += other.usd;
        self.charge = self.charge.saturating_add(other.charge);
        self.ended += other.ended;
    }
}

/// A rolling window.
#[derive(Debug, Clone, Default)]
pub struct Window {
    /// The beginning of each bucket, and what it holds; the oldest first.
    buckets: VecDeque<(Timestamp, Used)>,
    all: Used,
}

/// The beginning of the bucket that a time lies in.
pub fn bucket(at: Timestamp) -> Timestamp {
    let width = BUCKET.as_millis() as i64;
    Timestamp(at.0.div_euclid(width) * width)
}

impl Window {
    /// Takes down what was used at a time that is not before the last.
    pub fn add(&mut self, at: Timestamp, used: Used) {
        let start = self.buckets.back().map_or(bucket(at), |(last, _)| bucket(at).max(*last));
        match self.buckets.back_mut() {
            Some((last, held)) if *last == start => held.add(used),
            Some(_) | None => self.buckets.push_back((start, used)),
        }
        self.all.add(used);
    }

    /// Forgets what is older than the window.
    pub fn roll(&mut self, now: Timestamp) {
        let mut forgot = false;
        while self.next_change().is_some_and(|at| at <= now) {
            self.buckets.pop_front();
            forgot = true;
        }
        if forgot {
            // Summed again: dollars are no whole numbers, and differences would add up.
            self.all = Used::default();
            self.buckets.iter().for_each(|(_, used)| self.all.add(*used));
        }
    }

    /// What was used within the window.
    pub fn used(&self) -> Used {
        self.all
    }

    /// When something falls out of it next.
    pub fn next_change(&self) -> Option<Timestamp> {
        self.buckets.front().map(|(start, _)| *start + WINDOW + BUCKET)
    }

    /// When as much will have fallen out that the rest is `fine`; `None` if it never is.
    pub fn fine_at(&self, fine: impl Fn(Used) -> bool) -> Option<Timestamp> {
        let mut rest = self.all;
        for (start, used) in &self.buckets {
            rest.tokens = rest.tokens.saturating_sub(used.tokens);
            rest.usd = (rest.usd - used.usd).max(0.0);
            if fine(rest) {
                return Some(*start + WINDOW + BUCKET);
            }
        }
        None
    }
}
