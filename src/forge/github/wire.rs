//! What of GitHub's answers is read, in its own terms.

use serde::Deserialize;
use serde_json::Value;

use crate::forge::Error;
use crate::forge::github::client::outside;
use crate::ids::CommitId;

/// A pull request. A list leaves out the fields about its merge.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct PullJson {
    pub(super) number: u64,
    pub(super) html_url: String,
    pub(super) state: String,
    pub(super) title: String,
    #[serde(default)]
    pub(super) body: Option<String>,
    pub(super) head: End,
    pub(super) base: End,
    #[serde(default)]
    pub(super) merged_at: Option<String>,
    #[serde(default)]
    pub(super) merged_by: Option<User>,
    #[serde(default)]
    pub(super) merge_commit_sha: Option<CommitId>,
    #[serde(default)]
    pub(super) mergeable: Option<bool>,
    #[serde(default)]
    pub(super) mergeable_state: Option<String>,
    pub(super) created_at: String,
    pub(super) updated_at: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct End {
    #[serde(rename = "ref")]
    pub(super) name: String,
    pub(super) sha: CommitId,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct User {
    pub(super) login: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Review {
    pub(super) id: u64,
    #[serde(default)]
    pub(super) user: Option<User>,
    #[serde(default)]
    pub(super) body: Option<String>,
    pub(super) state: String,
    #[serde(default)]
    pub(super) commit_id: Option<CommitId>,
    #[serde(default)]
    pub(super) submitted_at: Option<String>,
}

/// A comment on a pull request or issue, or on a line of a review.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Comment {
    pub(super) id: u64,
    #[serde(default)]
    pub(super) user: Option<User>,
    #[serde(default)]
    pub(super) body: Option<String>,
    #[serde(default)]
    pub(super) path: Option<String>,
    #[serde(default)]
    pub(super) line: Option<u64>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct CheckRun {
    pub(super) name: String,
    pub(super) status: String,
    #[serde(default)]
    pub(super) conclusion: Option<String>,
    #[serde(default)]
    pub(super) details_url: Option<String>,
    #[serde(default)]
    pub(super) output: Output,
}

#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Output {
    #[serde(default)]
    pub(super) title: Option<String>,
    #[serde(default)]
    pub(super) summary: Option<String>,
}

/// One context of the older commit statuses.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Status {
    pub(super) context: String,
    pub(super) state: String,
    #[serde(default)]
    pub(super) description: Option<String>,
    #[serde(default)]
    pub(super) target_url: Option<String>,
}

impl PullJson {
    pub(super) fn is_open(&self) -> bool {
        self.state == "open"
    }

    pub(super) fn is_merged(&self) -> bool {
        self.merged_at.is_some()
    }
}

/// Reads one answer.
pub(super) fn read<T: for<'de> Deserialize<'de>>(value: Value, what: &str) -> Result<T, Error> {
    serde_json::from_value(value).map_err(|why| outside(what, &format!("its answer is odd: {why}")))
}

/// Reads the entries of a list.
pub(super) fn read_all<T: for<'de> Deserialize<'de>>(
    values: Vec<Value>,
    what: &str,
) -> Result<Vec<T>, Error> {
    values.into_iter().map(|value| read(value, what)).collect()
}
