//! Whether what an agent did will do: what it is, its gate, and a second agent's look at it.

mod adopt;
pub(super) mod collect;
pub(super) mod gate;
mod review;
