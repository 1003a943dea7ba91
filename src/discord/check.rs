//! Whether the bot is set up as it must be: what Discord says about its token, its server, its
//! channels and its intents.

use serenity::all::{
    ApplicationFlags, Channel, ChannelId, GuildChannel, GuildId, Http, HttpBuilder, Member,
    PartialGuild, Permissions,
};

use crate::discord::office::Finding;
use crate::discord::options::Options;
use crate::discord::outbox::{API, client};
use crate::failure::Failure;
use crate::secret::SecretSource;

/// What the bot needs in each channel.
const PERMISSIONS: [(Permissions, &str); 7] = [
    (Permissions::VIEW_CHANNEL, "View Channel"),
    (Permissions::SEND_MESSAGES, "Send Messages"),
    (Permissions::CREATE_PUBLIC_THREADS, "Create Public Threads"),
    (Permissions::SEND_MESSAGES_IN_THREADS, "Send Messages in Threads"),
    (Permissions::ATTACH_FILES, "Attach Files"),
    (Permissions::READ_MESSAGE_HISTORY, "Read Message History"),
    (Permissions::ADD_REACTIONS, "Add Reactions"),
];

/// The bot's token. It is shown nowhere.
pub fn token(source: &SecretSource) -> Result<String, Failure> {
    Ok(source.read("the bot's token", "discord.token")?.0)
}

fn fine(sentence: impl Into<String>) -> Finding {
    Finding { fine: true, sentence: sentence.into() }
}

fn wrong(sentence: impl Into<String>) -> Finding {
    Finding { fine: false, sentence: sentence.into() }
}

/// Asks Discord about everything that the bot needs, a sentence each.
pub async fn check(options: &Options, token: &str) -> Vec<Finding> {
    let Ok(web) = client() else {
        return vec![wrong("the HTTP client cannot be set up".to_owned())];
    };
    let api = options.api.clone().unwrap_or_else(|| API.to_owned());
    let http = HttpBuilder::new(token).client(web).proxy(api).ratelimiter_disabled(true).build();
    let mut findings = Vec::new();
    let me = match http.get_current_user().await {
        Ok(me) => me,
        Err(error) => {
            return vec![wrong(match http_status(&error) {
                Some(401) => {
                    "Discord does not know the token; make a new one under Bot → Reset Token"
                        .to_owned()
                }
                Some(status) => format!("Discord answers {status} to the token"),
                None => "Discord cannot be reached".to_owned(),
            })];
        }
    };
    findings.push(fine(format!("the token is that of the bot `{}`", me.name)));
    if options.message_content {
        findings.push(match message_content(&http).await {
            Some(true) => fine("the intent MESSAGE_CONTENT is granted".to_owned()),
            Some(false) => wrong("the intent MESSAGE_CONTENT is off; switch it on under Bot → Privileged Gateway Intents, or set `message_content: false`".to_owned()),
            None => wrong("whether the intent MESSAGE_CONTENT is granted cannot be read".to_owned()),
        });
    }
    let guild = GuildId::new(options.rules.guild.max(1));
    let Ok(guild) = http.get_guild(guild).await else {
        findings.push(wrong(format!(
            "the bot is not in the server {guild}; open the invite link of the README and choose it"
        )));
        return findings;
    };
    findings.push(fine(format!("it is in the server `{}`", guild.name)));
    let Ok(member) = http.get_member(guild.id, me.id).await else {
        findings.push(wrong("its roles in the server cannot be read".to_owned()));
        return findings;
    };
    let channels = channels(options);
    if channels.is_empty() {
        findings.push(wrong(
            "no channel is configured; name one under `discord.channel`, or bind one: `/project bind`"
                .to_owned(),
        ));
    }
    for id in channels {
        findings.push(channel(&http, &guild, &member, id).await);
    }
    if options.rules.owner.is_none() {
        findings.push(Finding {
            fine: options
                .rules
                .everywhere
                .values()
                .any(|g| !g.users.is_empty() || !g.roles.is_empty()),
            sentence:
                "no owner is configured; whoever is refused is told their id for `discord.owner`"
                    .to_owned(),
        });
    }
    findings
}

async fn message_content(http: &Http) -> Option<bool> {
    let info = http.get_current_application_info().await.ok()?;
    let flags = info.flags?;
    let any = ApplicationFlags::GATEWAY_MESSAGE_CONTENT
        | ApplicationFlags::GATEWAY_MESSAGE_CONTENT_LIMITED;
    Some(flags.intersects(any))
}

async fn channel(http: &Http, guild: &PartialGuild, member: &Member, id: u64) -> Finding {
    let found = http.get_channel(ChannelId::new(id.max(1))).await;
    let channel: GuildChannel = match found {
        Ok(Channel::Guild(channel)) if channel.guild_id == guild.id => channel,
        Ok(_) => return wrong(format!("the channel {id} is not one of the server")),
        Err(error) => {
            let why =
                http_status(&error).map_or("no answer".to_owned(), |status| status.to_string());
            return wrong(format!(
                "the channel {id} cannot be seen ({why}): give the bot View Channel there"
            ));
        }
    };
    lacks(&channel, guild.user_permissions_in(&channel, member))
}

fn lacks(channel: &GuildChannel, has: Permissions) -> Finding {
    let missing = PERMISSIONS.iter().filter(|(permission, _)| !has.contains(*permission));
    let missing: Vec<&str> = missing.map(|(_, name)| *name).collect();
    match missing.as_slice() {
        [] => fine(format!("it may do what it must in #{}", channel.name)),
        missing => wrong(format!("it lacks in #{}: {}", channel.name, missing.join(", "))),
    }
}

fn channels(options: &Options) -> std::collections::BTreeSet<u64> {
    options.channel.iter().chain(options.channels.values()).copied().collect()
}

/// The status that Discord answered, if it answered.
pub(crate) fn http_status(error: &serenity::Error) -> Option<u16> {
    let serenity::Error::Http(http) = error else { return None };
    http.status_code().map(|status| status.as_u16())
}
