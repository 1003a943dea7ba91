#![doc = include_str!("ARCHITECTURE.md")]

pub mod agents;
pub mod entropy;
pub mod failure;
pub mod graph;
pub mod ids;
pub mod notify;
pub mod render;
pub mod sandbox;
pub mod scheduler;
pub mod state;
pub mod store;
pub mod time;
