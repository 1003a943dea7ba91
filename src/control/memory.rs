//! What surfaces say about memories.

use crate::failure::Failure;
use crate::state::Memory;

/// Where a memory comes from, with its project where there are several.
pub fn label(memory: &Memory, several: bool) -> String {
    match several {
        true => format!("{}:{}", memory.place.project, memory.source()),
        false => memory.source(),
    }
}

/// There is no memory of a number.
pub fn missing(id: i64) -> Failure {
    Failure::user(format!("there is no memory {id}"))
}
