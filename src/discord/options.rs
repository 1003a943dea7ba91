//! How the bot is set up: where it signs in, where it posts, who may do what.

use std::collections::BTreeMap;

use crate::discord::gate::Rules;
use crate::ids::ProjectId;
use crate::secret::SecretSource;

/// How the bot is set up.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Where the bot's token is.
    pub token: SecretSource,
    /// Where runs of projects without a channel of their own are shown.
    pub channel: Option<u64>,
    /// Where the runs of some projects are shown.
    pub channels: BTreeMap<ProjectId, u64>,
    /// Who may do what.
    pub rules: Rules,
    /// How much of what agents do is shown in their threads.
    pub verbosity: Verbosity,
    /// Whether messages in threads may be read without a mention. Needs the privileged intent
    /// MESSAGE_CONTENT.
    pub message_content: bool,
    /// Another address of Discord's API, on this machine; for tests.
    pub api: Option<String>,
}

impl Options {
    /// The channel of a project.
    pub fn channel_of(&self, project: &ProjectId) -> Option<u64> {
        self.channels.get(project).copied().or(self.channel)
    }

    /// The project that a channel belongs to, if it belongs to one.
    pub fn project_of(&self, channel: u64) -> Option<&ProjectId> {
        self.channels.iter().find(|(_, id)| **id == channel).map(|(project, _)| project)
    }
}

/// How much of what agents do is shown in their threads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Beginnings, ends and what needs a person.
    Quiet,
    /// Also what agents write and do.
    #[default]
    Normal,
    /// Everything, also what agents think.
    All,
}

impl Verbosity {
    /// What people write.
    pub fn word(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Normal => "normal",
            Self::All => "all",
        }
    }
}
