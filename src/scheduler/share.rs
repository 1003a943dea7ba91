//! Which project goes next: the one that lags furthest behind its share.
//!
//! A project's *deficit* is its part of the weights less its part of what was used. Whoever has had
//! nothing yet, and has nothing under way, goes before everybody else. All numbers are whole, so the
//! order is the same wherever and whenever it is computed.

use std::cmp::Ordering;

use crate::state::Weight;

/// What a project that has work claims, and what it has had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Its share beside the others.
    pub weight: Weight,
    /// What was charged to it within the window, in tokens: what was used, and for what is under
    /// way an estimate.
    pub used: u64,
    /// Nothing of it has ended within the window and nothing is under way.
    pub unserved: bool,
}

/// The sums over all projects that have work or have something under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sums {
    weight: u64,
    used: u64,
}

impl Sums {
    /// With one more.
    #[must_use]
    pub fn with(self, weight: Weight, used: u64) -> Self {
        Self {
            weight: self.weight.saturating_add(u64::from(weight.thousandths())),
            used: self.used.saturating_add(used),
        }
    }
}

impl Claim {
    /// Its deficit, in parts of `weight × used` of all.
    fn deficit(&self, all: Sums) -> i128 {
        let part = i128::from(self.weight.thousandths()) * i128::from(all.used.max(1));
        part - i128::from(self.used) * i128::from(all.weight)
    }

    /// Who goes first is smaller. Equal claims are equal: something else must decide.
    pub fn cmp(&self, other: &Claim, all: Sums) -> Ordering {
        let unserved = other.unserved.cmp(&self.unserved);
        unserved.then_with(|| other.deficit(all).cmp(&self.deficit(all)))
    }
}
