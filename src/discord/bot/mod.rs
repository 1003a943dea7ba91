//! What people ask: commands, buttons, forms and messages. Each goes through the gate first, is
//! acknowledged within three seconds, and is answered by the engine's own sentences.

mod answer;
mod clicks;
mod commands;
mod complete;
mod forms;
mod front;
mod gateway;
mod plans;
mod talk;

pub use gateway::{Bot, Trouble as GatewayTrouble, start};

pub(crate) use front::Front;

use std::sync::Arc;

use crate::discord::gate::Denied;
use crate::failure::Failure;
use crate::orchestrator::Closed;

/// What commands share.
pub(crate) type Data = Arc<Front>;

/// What a command is run with.
pub(crate) type Context<'a> = poise::Context<'a, Data, Trouble>;

/// Why something that was asked is not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("{0}")]
    Failed(#[from] Failure),
    #[error(transparent)]
    Closed(#[from] Closed),
    #[error("Discord did not take the answer")]
    Discord(#[from] Box<serenity::Error>),
}

impl Trouble {
    /// What the person reads.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::Failed(failure) => {
                // Hints that name commands of the terminal are of no use on a phone.
                let hints = failure.hints.iter().filter(|hint| !hint.contains("`taskloom "));
                let hints: String = hints.map(|hint| format!("\n-# {hint}")).collect();
                format!("✗ {}{hints}", failure.message)
            }
            Self::Denied(denied) => format!("✗ {denied}"),
            Self::Closed(closed) => format!("✗ {closed}"),
            Self::Discord(_) => "✗ Discord did not take the answer".to_owned(),
        }
    }
}
