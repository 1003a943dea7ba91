//! The ledger: what every turn of every agent cost. Lines are added and never changed or removed.

use serde::{Deserialize, Serialize};

use crate::graph::TaskIx;
use crate::ids::{ProfileName, ProjectId, RunId};
use crate::time::Timestamp;

/// The turn of the line that closes an attempt.
pub const LAST_TURN: u32 = u32::MAX;

/// Tokens by what they were for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Kept")]
pub struct Tokens {
    /// Read, and not from a cache.
    pub input: u64,
    /// Written.
    pub output: u64,
    /// Read from a cache.
    pub cache_read: u64,
    /// Written into a cache.
    pub cache_write: u64,
}

/// Tokens as they were written down: stores of before know only the sum.
#[derive(Deserialize)]
#[serde(untagged)]
enum Kept {
    Sum(u64),
    Each {
        #[serde(default)]
        input: u64,
        #[serde(default)]
        output: u64,
        #[serde(default)]
        cache_read: u64,
        #[serde(default)]
        cache_write: u64,
    },
}

impl From<Kept> for Tokens {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::Sum(input) => Self { input, ..Self::default() },
            Kept::Each { input, output, cache_read, cache_write } => {
                Self { input, output, cache_read, cache_write }
            }
        }
    }
}

impl Tokens {
    /// All of them.
    pub fn all(self) -> u64 {
        let Self { input, output, cache_read, cache_write } = self;
        [output, cache_read, cache_write].into_iter().fold(input, u64::saturating_add)
    }

    /// What came since an earlier count.
    #[must_use]
    pub fn since(self, earlier: Tokens) -> Tokens {
        self.each(earlier, u64::saturating_sub)
    }

    fn each(self, other: Tokens, with: impl Fn(u64, u64) -> u64) -> Tokens {
        Tokens {
            input: with(self.input, other.input),
            output: with(self.output, other.output),
            cache_read: with(self.cache_read, other.cache_read),
            cache_write: with(self.cache_write, other.cache_write),
        }
    }
}

impl std::ops::AddAssign for Tokens {
    fn add_assign(&mut self, more: Tokens) {
        *self = self.each(more, u64::saturating_add);
    }
}

/// Tokens and money.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of all kinds.
    pub tokens: Tokens,
    /// US dollars.
    pub usd: f64,
}

impl Usage {
    /// What came since an earlier count.
    #[must_use]
    pub fn since(self, earlier: Usage) -> Usage {
        let usd = (self.usd - earlier.usd).max(0.0);
        Usage { tokens: self.tokens.since(earlier.tokens), usd }
    }

    /// Whether it is nothing at all.
    pub fn is_nothing(self) -> bool {
        self.tokens == Tokens::default() && self.usd <= 0.0
    }
}

impl std::iter::Sum for Usage {
    fn sum<I: Iterator<Item = Usage>>(all: I) -> Usage {
        all.fold(Usage::default(), |mut sum, one| {
            sum += one;
            sum
        })
    }
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, more: Usage) {
        self.tokens += more.tokens;
        self.usd += more.usd;
    }
}

/// Something that an attempt used, as its runner tells it.
#[derive(Debug, Clone, PartialEq)]
pub struct Spent {
    /// In which turn of the agent, from 0.
    pub turn: u32,
    /// Counts what was used in the attempt, from 1. Told again, it has the same number.
    pub seq: u32,
    /// What was used.
    pub usage: Usage,
    /// By which model, if the agent says.
    pub model: Option<String>,
    /// By which profile, if it was not the one that does the work: a reviewer's, or a plan's reader's.
    pub profile: Option<ProfileName>,
}

/// One line of the ledger. Task, attempt and number name it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerLine {
    /// When it was told.
    pub at: Timestamp,
    /// In which run.
    pub run: RunId,
    /// By which task.
    pub task: TaskIx,
    /// In which attempt, from 0.
    pub attempt: u32,
    /// In which turn of the agent, from 0; [`LAST_TURN`] closes the attempt.
    pub turn: u32,
    /// Counts the lines of the attempt.
    pub seq: u32,
    /// In which project.
    pub project: ProjectId,
    /// By which profile.
    pub profile: Option<ProfileName>,
    /// By which model.
    pub model: Option<String>,
    /// What was used.
    pub usage: Usage,
    /// What counts for shares, in tokens.
    pub charge: u64,
}

impl LedgerLine {
    /// Whether it closes its attempt.
    pub fn closes(&self) -> bool {
        self.turn == LAST_TURN
    }
}

/// Lines of the ledger, added up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LedgerSum {
    /// When the bucket begins that they lie in.
    pub at: Timestamp,
    /// In which project.
    pub project: ProjectId,
    /// By which profile.
    pub profile: Option<ProfileName>,
    /// By which model.
    pub model: Option<String>,
    /// What was used.
    pub usage: Usage,
    /// What counts for shares, in tokens.
    pub charge: u64,
    /// Attempts that ended.
    pub ended: u64,
}
