//! What a daemon does beside the engine: it follows its configuration file, is looked at by probes,
//! and tidies up.

pub(crate) mod reload;
pub mod sweep;
pub(crate) mod vitals;
