//! The agents' own programs, at work through the whole of Taskloom, against a scripted model.
//!
//! They run with an empty environment, a private home, dummy keys and a model on loopback. Without
//! the programs (`npm ci --prefix tests/clis`) these tests say that they are skipped.

mod acp;
mod claude;
mod codex;
mod stage;
