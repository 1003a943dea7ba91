#![doc = include_str!("ARCHITECTURE.md")]

pub mod entropy;
pub mod failure;
pub mod graph;
pub mod ids;
pub mod notify;
pub mod render;
pub mod scheduler;
pub mod state;
pub mod store;
pub mod time;
