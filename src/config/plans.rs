//! How plans become tasks, as the file says it.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::agents::Profile;
use crate::config::AgentProfile;
use crate::config::raw::{Whole, name};
use crate::failure::Failure;
use crate::ids::ProfileName;
use crate::plan::{Rules, STEPS_MAX};

/// Deeper plans than this are a circle of agents that plan.
const DEPTH_MAX: u32 = 5;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawPlans {
    max_depth: Option<Whole>,
    max_steps: Option<Whole>,
    auto_approve: Option<bool>,
    parser: Option<String>,
}

impl RawPlans {
    /// What holds for plans, and who makes steps of them if rules do not.
    pub(super) fn check(
        self,
        agents: &BTreeMap<ProfileName, AgentProfile>,
    ) -> Result<(Rules, Option<ProfileName>), Failure> {
        let usual = Rules::default();
        let rules = Rules {
            max_depth: within("max_depth", self.max_depth, 0, DEPTH_MAX, usual.max_depth)?,
            max_steps: within("max_steps", self.max_steps, 1, STEPS_MAX, usual.max_steps)?,
            auto_approve: self.auto_approve.unwrap_or(usual.auto_approve),
        };
        let parser = self.parser.map(|id| name("`plans.parser`", &id)).transpose()?;
        if let Some(parser) = &parser {
            let Some(profile) = agents.get(parser) else {
                return Err(Failure::config(format!("`plans.parser` names `{parser}`"))
                    .hint("add it under `agents:`, or name one that is there"));
            };
            Profile::check_answers(profile.framework).map_err(|why| {
                let word = profile.framework.word();
                Failure::config(format!(
                    "`plans.parser` names `{parser}` of framework `{word}`, which {why}"
                ))
                .hint("name one of framework `claude_code`, `codex` or `shell`")
            })?;
        }
        Ok((rules, parser))
    }
}

fn within(key: &str, value: Option<Whole>, min: u32, max: u32, usual: u32) -> Result<u32, Failure> {
    let Some(Whole(value)) = value else { return Ok(usual) };
    let fits = u32::try_from(value).ok().filter(|value| (min..=max).contains(value));
    fits.ok_or_else(|| Failure::config(format!("`plans.{key}` must be {min} to {max}")))
}
