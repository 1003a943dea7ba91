//! How plans become tasks, as the file says it.

use serde::Deserialize;

use crate::config::raw::Whole;
use crate::failure::Failure;
use crate::plan::{Rules, STEPS_MAX};

/// Deeper plans than this are a circle of agents that plan.
const DEPTH_MAX: u32 = 5;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawPlans {
    max_depth: Option<Whole>,
    max_steps: Option<Whole>,
    auto_approve: Option<bool>,
}

impl RawPlans {
    pub(super) fn check(self) -> Result<Rules, Failure> {
        let usual = Rules::default();
        Ok(Rules {
            max_depth: within("max_depth", self.max_depth, 0, DEPTH_MAX, usual.max_depth)?,
            max_steps: within("max_steps", self.max_steps, 1, STEPS_MAX, usual.max_steps)?,
            auto_approve: self.auto_approve.unwrap_or(usual.auto_approve),
        })
    }
}

fn within(key: &str, value: Option<Whole>, min: u32, max: u32, usual: u32) -> Result<u32, Failure> {
    let Some(Whole(value)) = value else { return Ok(usual) };
    let fits = u32::try_from(value).ok().filter(|value| (min..=max).contains(value));
    fits.ok_or_else(|| Failure::config(format!("`plans.{key}` must be {min} to {max}")))
}
