//! What tasks remember of each other, as the file says it.

use serde::Deserialize;

use crate::config::raw::Whole;
use crate::failure::Failure;

/// What a prompt says of earlier tasks unless the file says otherwise: enough to meet the one that
/// matters, little enough to be read.
const PER_PROMPT_DEFAULT: u32 = 3;

/// More would drown the task itself.
const PER_PROMPT_MAX: u32 = 20;

/// What tasks remember of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Whether what they leave behind is kept, and told to later ones.
    pub enabled: bool,
    /// How many memories a task is told at most.
    pub per_prompt: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawMemory {
    enabled: bool,
    per_prompt: Option<Whole>,
}

impl RawMemory {
    pub(super) fn check(self) -> Result<Memory, Failure> {
        let given = self.per_prompt.map_or(u64::from(PER_PROMPT_DEFAULT), |n| n.0);
        let fits = u32::try_from(given).ok().filter(|number| *number <= PER_PROMPT_MAX);
        let wrong =
            || Failure::config(format!("`memory.per_prompt` must be 0 to {PER_PROMPT_MAX}"));
        Ok(Memory { enabled: self.enabled, per_prompt: fits.ok_or_else(wrong)? })
    }
}
