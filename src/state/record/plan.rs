//! What is kept of plans: the one that a task left, and those that made a run grow.

use serde::{Deserialize, Serialize};

use crate::graph::TaskIx;
use crate::ids::ProfileName;
use crate::plan::Step;
use crate::time::Timestamp;

/// A plan that an attempt left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanFound {
    /// The file in its commit; `None`: the agent said it.
    pub file: Option<String>,
    /// The text.
    pub text: String,
    /// What an agent made of it, if one was to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<PlanReading>,
}

/// What an agent made of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanReading {
    /// Who.
    pub reader: PlanReader,
    /// The steps; none if it failed.
    pub steps: Vec<Step>,
    /// How many more it asks for than one plan may.
    pub dropped: usize,
}

/// An agent that was to make steps of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanReader {
    /// Which.
    pub profile: ProfileName,
    /// Why the steps are those that rules found after all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

impl PlanReader {
    /// Who found the steps, in a sentence.
    pub fn sentence(&self) -> String {
        let Self { profile, failed } = self;
        match failed {
            None => format!("agent `{profile}` read the plan: these steps are its words"),
            Some(why) => {
                format!("agent `{profile}` could not read the plan, so rules did: {why}")
            }
        }
    }
}

/// The plan of a task, with what it comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRecord {
    /// The file that holds it, unless the agent said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The text, as it was found or as a person changed it.
    pub text: String,
    /// Names the text: what a person decides about is what they were shown.
    pub digest: String,
    /// The tasks that it asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
    /// How many more it asks for than one plan may.
    #[serde(default, skip_serializing_if = "is_none")]
    pub dropped: usize,
    /// The agent that was to make steps of the text, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reader: Option<PlanReader>,
    /// Why no tasks can be made of it as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// Who changed it, if somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_by: Option<String>,
    /// What was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<PlanDecision>,
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

/// What was decided about a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanDecision {
    /// Who; `None`: nobody had to.
    pub who: Option<String>,
    /// When.
    pub at: Timestamp,
    /// Whether its tasks were added.
    pub approved: bool,
}

/// Tasks that a plan added to a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Growth {
    /// The task that planned them.
    pub parent: TaskIx,
    /// SHA-256 of their source, which the store keeps among the graphs.
    pub digest: String,
}
