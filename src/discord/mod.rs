//! The Discord front end: channels are projects, threads are tasks, one live card per run.
//!
//! [`board`] shows what happens, through the [`outbox`]; [`bot`] takes what people ask, through the
//! [`gate`]. The engine knows neither.

pub mod board;
pub mod bot;
mod check;
pub mod gate;
pub mod keys;
pub mod office;
pub mod options;
pub mod outbox;
pub mod post;
pub mod text;

pub use check::{check, token};
pub use options::{Options, Verbosity};
