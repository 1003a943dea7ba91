//! What people were told of a run that waits, and whether something in it still waits for them.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// What is known of a run's claims on people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Attention {
    /// Since when somebody keeps it from starting anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused_at: Option<Timestamp>,
    /// When it was brought back after it had been put away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored_at: Option<Timestamp>,
    /// What people were told waits in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub told: Vec<Told>,
    /// How many things in it wait for a person, once it has come to rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needs: Option<u32>,
    /// While it rests: when it is looked at for something to remind people of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remind_at: Option<Timestamp>,
}

/// A cause of waiting that people were told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Names the cause inside its run.
    pub cause: String,
    /// Since when it held; if it holds since another moment, it is another.
    pub since: Timestamp,
    /// When they were told last.
    pub at: Timestamp,
    /// How often.
    pub times: u32,
}
