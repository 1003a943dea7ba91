//! The section `discord` of the file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Deserializer};

use crate::config::github::source;
use crate::config::raw::name;
use crate::discord::gate::{Grant, Level, Rules};
use crate::discord::{Options, Verbosity};
use crate::failure::Failure;
use crate::ids::ProjectId;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RawDiscord {
    #[serde(default)]
    token_env: Option<String>,
    #[serde(default)]
    token_file: Option<String>,
    guild: Snowflake,
    #[serde(default)]
    owner: Option<Snowflake>,
    #[serde(default)]
    channel: Option<Snowflake>,
    #[serde(default)]
    channels: BTreeMap<String, Snowflake>,
    #[serde(default)]
    permissions: RawLevels,
    #[serde(default)]
    project_permissions: BTreeMap<String, RawLevels>,
    #[serde(default)]
    self_approval: Option<bool>,
    #[serde(default)]
    verbosity: RawVerbosity,
    #[serde(default)]
    message_content: bool,
    #[serde(default)]
    api: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLevels {
    viewer: RawGrant,
    operator: RawGrant,
    approver: RawGrant,
    admin: RawGrant,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawGrant {
    users: Vec<Snowflake>,
    roles: Vec<Snowflake>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RawVerbosity {
    Quiet,
    #[default]
    Normal,
    All,
}

/// An id of Discord. Written as text, since some readers of YAML round large numbers.
#[derive(Debug, Clone, Copy)]
struct Snowflake(u64);

impl<'de> Deserialize<'de> for Snowflake {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.parse() {
            Ok(id) if id > 0 => Ok(Self(id)),
            _ => Err(serde::de::Error::custom(format!(
                "`{text}` is no id of Discord; copy it with “Copy ID” (developer mode) and write \
                 it in quotes, as \"123456789012345678\""
            ))),
        }
    }
}

impl RawDiscord {
    pub(crate) fn check(self, home: Option<&Path>) -> Result<Options, Failure> {
        let given = (self.token_env, self.token_file);
        let token = source("discord", "token", given, "DISCORD_TOKEN", home)?;
        let channels = self
            .channels
            .into_iter()
            .map(|(id, channel)| Ok((name::<ProjectId>("`discord.channels`", &id)?, channel.0)));
        let projects = self.project_permissions.into_iter().map(|(id, levels)| {
            Ok((name::<ProjectId>("`discord.project_permissions`", &id)?, levels.grants()))
        });
        let rules = Rules {
            guild: self.guild.0,
            owner: self.owner.map(|id| id.0),
            everywhere: self.permissions.grants(),
            projects: projects.collect::<Result<_, Failure>>()?,
            self_approval: self.self_approval.unwrap_or(true),
        };
        let verbosity = match self.verbosity {
            RawVerbosity::Quiet => Verbosity::Quiet,
            RawVerbosity::Normal => Verbosity::Normal,
            RawVerbosity::All => Verbosity::All,
        };
        Ok(Options {
            token,
            channel: self.channel.map(|id| id.0),
            channels: channels.collect::<Result<_, Failure>>()?,
            rules,
            verbosity,
            message_content: self.message_content,
            api: self.api.map(loopback).transpose()?,
        })
    }
}

impl RawLevels {
    fn grants(self) -> BTreeMap<Level, Grant> {
        let levels = [
            (Level::Viewer, self.viewer),
            (Level::Operator, self.operator),
            (Level::Approver, self.approver),
            (Level::Admin, self.admin),
        ];
        let ids = |ids: Vec<Snowflake>| -> BTreeSet<u64> { ids.iter().map(|id| id.0).collect() };
        let grant = |raw: RawGrant| Grant { users: ids(raw.users), roles: ids(raw.roles) };
        levels.into_iter().map(|(level, raw)| (level, grant(raw))).collect()
    }
}

/// The bot's token goes to no other machine than Discord's, whatever a file says.
fn loopback(api: String) -> Result<String, Failure> {
    let host = api.strip_prefix("http://").and_then(|rest| rest.split(['/', ':']).next());
    match host {
        Some("127.0.0.1" | "localhost") => Ok(api),
        _ => {
            Err(Failure::config(format!("`discord.api` is `{api}`, which is not on this machine"))
                .hint("leave it out; it is for tests, as http://127.0.0.1:PORT"))
        }
    }
}
