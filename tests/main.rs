//! The one integration binary; every file beside this one is a module here.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

mod agents;
mod chaos;
mod clis;
mod clones;
mod config;
mod crashes;
mod daemon;
mod defects;
mod discord;
mod engine;
mod github;
mod graphs;
mod hooks;
mod logs;
mod memory;
mod model;
mod pictures;
mod plans;
mod queue;
mod readers;
mod reload;
mod runs;
mod sandboxes;
mod scenarios;
mod scripted;
mod states;
mod store;
mod tidy;
mod undo;
mod verbs;
mod vitals;
mod watching;
mod world;
