//! What a daemon does beside the engine: it follows its configuration file, is looked at by probes,
//! tidies up, and makes clones again.

pub(crate) mod clones;
pub(crate) mod reload;
pub mod sweep;
pub(crate) mod vitals;
