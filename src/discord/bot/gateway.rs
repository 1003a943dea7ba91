//! The connection to Discord: kept up, watched, and never in the way of the engine.

use std::sync::Arc;
use std::time::Duration;

use poise::{FrameworkOptions, PrefixFrameworkOptions};
use serenity::all::{
    Client, ClientBuilder, ConnectionStage, CreateAllowedMentions, FullEvent, GatewayError,
    GatewayIntents, GuildId, Http, HttpBuilder, Interaction, ShardManager,
};
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::discord::board::{Board, House};
use crate::discord::bot::{Data, Front, Trouble as CommandTrouble, clicks, commands, forms, talk};
use crate::discord::check::http_status;
use crate::discord::outbox::{API, client};

/// The first pause before connecting again, doubled each time, and the longest.
const AGAIN_FIRST: Duration = Duration::from_secs(2);
const AGAIN_LONGEST: Duration = Duration::from_secs(300);

/// A connection that held so long was a good one: the next pause is the first again.
const GOOD_AFTER: Duration = Duration::from_secs(60);

/// Discord resets the token of a bot that signs in more than 1,000 times a day ("Session Start
/// Limit"): with so few left the bot waits for the next day.
const SIGN_INS_RESERVED: u64 = 10;

/// A connection that does not come back by itself within this is made anew.
const LOST_FOR: Duration = Duration::from_secs(120);

/// How often the connection is looked at.
const WATCH_EVERY: Duration = Duration::from_secs(5);

/// Why there is no connection, for as long as somebody does not put it right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The token.
    #[error(
        "Discord does not know the bot's token; put another one where `discord.token_env` or `discord.token_file` says"
    )]
    Token,
    /// An intent.
    #[error(
        "Discord does not grant the intent MESSAGE_CONTENT: switch it on for the bot at discord.com/developers, or set `discord.message_content: false`"
    )]
    Intents,
    /// The HTTP client.
    #[error("the HTTP client cannot be set up")]
    Client,
}

/// The bot at work.
pub struct Bot {
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl Bot {
    /// Signs off.
    pub async fn end(self) {
        self.stop.send_replace(true);
        drop(tokio::time::timeout(Duration::from_secs(2), self.task).await);
    }
}

/// Connects, and keeps connected in the background; comes back at once. What the engine does goes
/// on whether Discord is there or not.
pub fn start(board: Arc<Board>, house: House, token: String) -> Bot {
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(async move {
        if let Err(trouble) = keep_up(&board, &house, &token, stopped).await {
            tracing::error!("{trouble}; runs go on without Discord");
        }
    });
    Bot { task, stop }
}

async fn keep_up(
    board: &Arc<Board>,
    house: &House,
    token: &str,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), Trouble> {
    let mut pause = AGAIN_FIRST;
    loop {
        let since = board.doors.clock.now();
        tokio::select! {
            end = session(board, house, token) => match end {
                Ok(()) => tracing::warn!("the connection to Discord ended"),
                Err(Fault::Final(trouble)) => return Err(trouble),
                Err(Fault::Passing(why)) => tracing::warn!("no connection to Discord: {why}"),
            },
            _ = stopped.wait_for(|stop| *stop) => return Ok(()),
        }
        if board.outbox.is_revoked() {
            return Err(Trouble::Token);
        }
        if board.doors.clock.now().since(since) > GOOD_AFTER {
            pause = AGAIN_FIRST;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = stopped.wait_for(|stop| *stop) => return Ok(()),
        }
        pause = (pause * 2).min(AGAIN_LONGEST);
    }
}

enum Fault {
    Final(Trouble),
    Passing(String),
}

fn http(board: &Board, token: &str) -> Result<Http, Trouble> {
    let web = client().map_err(|_| Trouble::Client)?;
    let api = board.options().api.clone().unwrap_or_else(|| API.to_owned());
    // serenity heeds the address only while its own limiter is off, which it must be anyway.
    Ok(HttpBuilder::new(token)
        .client(web)
        .proxy(api)
        .ratelimiter_disabled(true)
        .default_allowed_mentions(CreateAllowedMentions::new())
        .build())
}

async fn session(board: &Arc<Board>, house: &House, token: &str) -> Result<(), Fault> {
    let http = http(board, token).map_err(Fault::Final)?;
    wait_for_sign_ins(&http).await?;
    let (gone, lost) = watch::channel(());
    let client = ClientBuilder::new_with_http(http, intents(board.options().message_content));
    let framework = framework(board.clone(), house.clone());
    let mut client = client.framework(framework).await.map_err(|e| passing(&e))?;
    let shards = client.shard_manager.clone();
    let watchdog = tokio::spawn(watch_over(board.clone(), shards.clone(), gone));
    let ended = run_until(&mut client, lost).await;
    watchdog.abort();
    board.set_connected(false);
    shards.shutdown_all().await;
    ended
}

/// Runs the client until it ends by itself or the watchdog calls.
async fn run_until(client: &mut Client, mut lost: watch::Receiver<()>) -> Result<(), Fault> {
    // Dropping the client's future ends its shards, also when this one is dropped.
    tokio::select! {
        ended = client.start() => ended.map_err(|error| fault(&error)),
        _ = lost.changed() => Err(Fault::Passing("it is dead; it is made anew".to_owned())),
    }
}

fn fault(error: &serenity::Error) -> Fault {
    use GatewayError::{DisallowedGatewayIntents, InvalidAuthentication, InvalidGatewayIntents};
    let serenity::Error::Gateway(gateway) = error else { return passing(error) };
    if matches!(gateway, InvalidAuthentication) {
        Fault::Final(Trouble::Token)
    } else if matches!(gateway, DisallowedGatewayIntents | InvalidGatewayIntents) {
        Fault::Final(Trouble::Intents)
    } else {
        passing(error)
    }
}

/// Without what its text may hold: addresses with tokens in them.
fn passing(error: &serenity::Error) -> Fault {
    if let serenity::Error::Http(_) = error {
        return match http_status(error) {
            Some(401) => Fault::Final(Trouble::Token),
            Some(status) => Fault::Passing(format!("Discord answers {status}")),
            None => Fault::Passing("Discord does not answer".to_owned()),
        };
    }
    Fault::Passing(error.to_string())
}

/// Waits for the next day when few sign-ins are left of this one's.
async fn wait_for_sign_ins(http: &Http) -> Result<(), Fault> {
    let limit = http.get_bot_gateway().await.map_err(|error| passing(&error))?.session_start_limit;
    if limit.remaining > SIGN_INS_RESERVED {
        return Ok(());
    }
    let wait = Duration::from_millis(limit.reset_after);
    tracing::error!(?wait, left = limit.remaining, "too many sign-ins today; waiting");
    tokio::time::sleep(wait).await;
    Ok(())
}

/// Calls when the connection has been lost for too long.
async fn watch_over(board: Arc<Board>, shards: Arc<ShardManager>, gone: watch::Sender<()>) {
    let mut lost_for = Duration::ZERO;
    loop {
        tokio::time::sleep(WATCH_EVERY).await;
        let up = {
            let runners = shards.runners.lock().await;
            runners.values().any(|runner| runner.stage == ConnectionStage::Connected)
        };
        board.set_connected(up);
        lost_for = if up { Duration::ZERO } else { lost_for + WATCH_EVERY };
        if lost_for >= LOST_FOR {
            gone.send_replace(());
            return;
        }
    }
}

fn intents(message_content: bool) -> GatewayIntents {
    // GUILD_MESSAGES: messages in threads, which hold their text only where the bot is mentioned.
    let intents = GatewayIntents::GUILDS | GatewayIntents::GUILD_MESSAGES;
    if message_content { intents | GatewayIntents::MESSAGE_CONTENT } else { intents }
}

fn framework(board: Arc<Board>, house: House) -> poise::Framework<Data, CommandTrouble> {
    let options = FrameworkOptions {
        commands: commands::all(),
        allowed_mentions: Some(CreateAllowedMentions::new()),
        on_error: |error| Box::pin(commands::failed(error)),
        event_handler: |ctx, event| {
            Box::pin(async move { handle(event.clone(), ctx.user_data().await.clone()).await })
        },
        // A mention begins a message to an agent, not a command.
        prefix_options: PrefixFrameworkOptions {
            mention_as_prefix: false,
            ..PrefixFrameworkOptions::default()
        },
        initialize_owners: false,
        ..FrameworkOptions::default()
    };
    poise::Framework::builder()
        .options(options)
        .initialize_owners(false)
        .setup(move |ctx, ready, framework| {
            // Fails never: poise would have every later command wait for ever.
            let front = Front::new(
                board.clone(),
                house.clone(),
                ctx.http.clone(),
                client().unwrap_or_default(),
                ready.user.id.get(),
            );
            board.set_connected(true);
            tracing::info!(bot = %ready.user.name, "connected to Discord");
            let commands =
                poise::builtins::create_application_commands(&framework.options().commands);
            drop(tokio::spawn(register(board, ctx.http.clone(), commands)));
            Box::pin(async move { Ok(Arc::new(front)) })
        })
        .build()
}

/// Tells Discord which commands there are, if they are others than last time: a server takes 200
/// new ones a day.
async fn register(board: Arc<Board>, http: Arc<Http>, commands: Vec<serenity::all::CreateCommand>) {
    let guild = GuildId::new(board.options().rules.guild.max(1));
    let text = serde_json::to_string(&commands).unwrap_or_default();
    let application = http.application_id().map(|id| id.get()).unwrap_or_default();
    let digest = Sha256::digest(format!("{application} {guild} {text}"));
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let ledger = &board.doors.ledger;
    if ledger.binding("commands").await.ok().flatten().as_deref() == Some(&digest) {
        return;
    }
    let mut pause = AGAIN_FIRST;
    loop {
        match http.create_guild_commands(guild, &commands).await {
            Ok(_) => {
                tracing::info!(count = commands.len(), "commands are registered");
                drop(ledger.bind("commands", Some(&digest)).await);
                return;
            }
            Err(error) => {
                let status = http_status(&error);
                tracing::warn!(?status, "the commands could not be registered; the old ones work");
                if matches!(status, Some(400 | 401 | 403 | 404)) {
                    return;
                }
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(AGAIN_LONGEST);
    }
}

/// Everything that is no command. Each is a task of its own: one that goes wrong takes no other
/// with it, and none waits for another.
async fn handle(event: FullEvent, front: Data) -> Result<(), CommandTrouble> {
    if let FullEvent::InteractionCreate { interaction } = event {
        if let Interaction::Component(click) = interaction {
            if front.is_new(click.id.get()) {
                drop(tokio::spawn(async move { clicks::pressed(&front, &click).await }));
            }
        } else if let Interaction::Modal(form) = interaction
            && front.is_new(form.id.get())
        {
            drop(tokio::spawn(async move { forms::sent(&front, &form).await }));
        }
    } else if let FullEvent::Message { new_message } = event {
        drop(tokio::spawn(async move { talk::heard(&front, &new_message).await }));
    } else if let FullEvent::GuildCreate { guild, .. } = event
        && guild.id.get() != front.board.options().rules.guild
    {
        tracing::warn!(guild = guild.id.get(), "this bot works for another server; it leaves");
        if front.http.leave_guild(guild.id).await.is_err() {
            tracing::warn!("it could not leave");
        }
    }
    Ok(())
}
