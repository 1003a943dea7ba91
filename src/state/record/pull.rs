//! What is known of a pull request on which others act too: people and programs of a forge.

use serde::{Deserialize, Serialize};

use crate::ids::CommitId;
use crate::time::Timestamp;

/// A pull request that is looked at again and again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Watched {
    /// What was found last; nothing before the first look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub news: Option<PullNews>,
    /// Objections that were answered: [`Objection::key`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub heard: Vec<String>,
    /// Why the forge did not merge it when it was told to; nobody tries again before something
    /// changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
}

/// How a pull request stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PullNews {
    /// Whether it is open.
    pub standing: PullStanding,
    /// Where its head branch is.
    pub head: CommitId,
    /// Why it is not to be merged yet, for people: checks that run or failed, changes requested.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub holds: Vec<String>,
    /// What is wrong with it, for whoever can mend it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub objections: Vec<Objection>,
    /// Who approved which commit, of those whose word counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approvals: Vec<Approval>,
    /// What the forge says of a merge now, in its word; a change of it is a reason to try again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mergeable: Option<String>,
}

/// Whether a pull request is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PullStanding {
    /// It is.
    Open,
    /// It is merged.
    Merged {
        /// By this commit.
        commit: CommitId,
        /// By whom, as the forge names them.
        by: Option<String>,
    },
    /// It was closed without being merged.
    Closed,
}

/// Something that is wrong with a pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objection {
    /// Names it for ever, as `review/12`.
    pub key: String,
    /// What is wrong, with who says so.
    pub text: String,
    /// Whether a program says so; else a person.
    pub by_check: bool,
}

/// A review that approves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// By whom, as the engine's journal names them.
    pub who: String,
    /// When.
    pub at: Timestamp,
    /// The commit that they looked at.
    pub commit: CommitId,
}

impl Watched {
    /// The objections that nobody has answered yet.
    pub fn unheard(&self) -> Vec<Objection> {
        let news = self.news.iter().flat_map(|news| &news.objections);
        news.filter(|objection| !self.heard.contains(&objection.key)).cloned().collect()
    }

    /// Why it is not to be merged yet, as far as is known.
    pub fn holds(&self) -> Vec<String> {
        self.news.iter().flat_map(|news| news.holds.iter().cloned()).collect()
    }

    /// Whether somebody must be waited for before it is merged.
    pub fn waits(&self) -> bool {
        self.held.is_some() || self.news.as_ref().is_none_or(|news| !news.holds.is_empty())
    }
}
