//! Agent profiles in the configuration: what one may say, and what its framework cannot do.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::agents::{McpServer, Permissions, Profile};
use crate::config::AgentProfile;
use crate::config::raw::{Whole, at_least_one, name};
use crate::failure::Failure;
use crate::graph::Framework;
use crate::ids::ProfileName;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAgent {
    framework: Framework,
    #[serde(default)]
    command: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    permissions: Permissions,
    #[serde(default)]
    allowed_tools: Vec<String>,
    #[serde(default)]
    mcp_servers: BTreeMap<String, RawServer>,
    #[serde(default)]
    system_prompt: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: Vec<String>,
    #[serde(default)]
    fallback: Option<String>,
    #[serde(default)]
    slots: Option<Whole>,
    #[serde(default)]
    install_hint: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawServer {
    command: Option<String>,
    args: Vec<String>,
    env: Vec<String>,
    url: Option<String>,
    token_env: Option<String>,
}

/// All of them.
pub(super) fn check(
    raw: BTreeMap<String, RawAgent>,
) -> Result<BTreeMap<ProfileName, AgentProfile>, Failure> {
    let agents = raw.into_iter().map(|(id, raw)| Ok((name("agent", &id)?, agent(&id, raw)?)));
    let agents: BTreeMap<ProfileName, AgentProfile> = agents.collect::<Result<_, _>>()?;
    stand_ins(&agents)?;
    Ok(agents)
}

fn agent(id: &str, raw: RawAgent) -> Result<AgentProfile, Failure> {
    let wrong = |what: String| Failure::config(format!("agent `{id}`: {what}"));
    let framework = raw.framework;
    let needs = matches!(framework, Framework::Shell | Framework::Acp);
    if needs && raw.command.as_deref().is_none_or(|command| command.trim().is_empty()) {
        let word = framework.word();
        return Err(Failure::config(format!(
            "agent `{id}` of framework `{word}` has no `command`"
        )));
    }
    let servers = raw.mcp_servers.into_iter().map(|(name, raw)| match server(raw) {
        Ok(server) => Ok((name, server)),
        Err(why) => Err(wrong(format!("`mcp_servers.{name}` {why}"))),
    });
    let configured = Profile {
        command: raw.command,
        model: raw.model,
        permissions: raw.permissions,
        args: raw.args,
        allowed_tools: raw.allowed_tools,
        mcp_servers: servers.collect::<Result<_, _>>()?,
        system_prompt: raw.system_prompt,
        install_hint: raw.install_hint,
    };
    configured.check(framework).map_err(wrong)?;
    let slots = raw.slots.map(|slots| at_least_one("slots", Some(slots), 1)).transpose();
    Ok(AgentProfile {
        framework,
        configured,
        env: raw.env,
        fallback: raw.fallback.map(|other| name("`fallback`", &other)).transpose()?,
        slots: slots.map_err(|failure| wrong(failure.message))?,
    })
}

/// A server is a program, or somewhere.
fn server(raw: RawServer) -> Result<McpServer, &'static str> {
    let RawServer { command, args, env, url, token_env } = raw;
    match (command, url) {
        (Some(command), None) if token_env.is_none() => {
            Ok(McpServer::Program { command, args, env })
        }
        (None, Some(url)) if args.is_empty() && env.is_empty() => {
            Ok(McpServer::Address { url, token_env })
        }
        (Some(_) | None, _) => {
            Err("needs either `command` (with `args` and `env`) or `url` (with \
                                    `token_env`)")
        }
    }
}

/// Who stands in for somebody must be there.
fn stand_ins(agents: &BTreeMap<ProfileName, AgentProfile>) -> Result<(), Failure> {
    for (id, profile) in agents {
        if let Some(other) = profile.fallback.as_ref().filter(|other| !agents.contains_key(*other))
        {
            return Err(Failure::config(format!(
                "the `fallback` of agent `{id}` is `{other}`, which is not among the agents"
            )));
        }
    }
    Ok(())
}
