//! One request to Discord's REST interface, with the rate-limit headers that serenity does not
//! show. Must not decide when.

use std::time::Duration;

use serde_json::{Value, json};

use crate::discord::outbox::plan::{Bucket, Kind, Reply, Route};
use crate::discord::post::{Attachment, Post};

/// Minutes without a message after which Discord puts a thread away: a week, the longest.
const AUTO_ARCHIVE_MINUTES: u32 = 10_080;

/// Until the connection is there, and until the whole answer is.
const CONNECT: Duration = Duration::from_secs(5);
const TOTAL: Duration = Duration::from_secs(15);

/// The address of the interface when no other is configured.
pub const API: &str = "https://discord.com";

/// Something to ask of Discord.
#[derive(Debug, Clone)]
pub enum Call {
    /// Post a message, once for each nonce.
    Create {
        /// What.
        post: Post,
        /// At most 25 characters.
        nonce: String,
    },
    /// Change a message.
    Edit {
        /// Which.
        message: u64,
        /// Into what.
        post: Post,
    },
    /// Show that the buttons of a message do nothing any more.
    Disable {
        /// Which.
        message: u64,
        /// Its rows of buttons, disabled.
        rows: Value,
    },
    /// Open a thread from a message; its id is that of the message.
    OpenThread {
        /// Which.
        message: u64,
        /// Its name.
        name: String,
    },
    /// Add somebody to a thread.
    AddMember {
        /// Whom.
        user: u64,
    },
    /// Take a thread out of the archive, or put it there.
    Archive {
        /// Into it.
        archived: bool,
    },
    /// Put a reaction under a message, or take it back.
    React {
        /// Which.
        message: u64,
        /// Which emoji.
        emoji: &'static str,
        /// Put it there.
        there: bool,
    },
    /// The latest messages.
    Recent,
    /// What the channel is.
    Channel,
}

impl Call {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Create { .. } => Kind::Create,
            Self::Edit { .. } | Self::Disable { .. } => Kind::Edit,
            Self::OpenThread { .. } | Self::AddMember { .. } | Self::Archive { .. } => Kind::Thread,
            Self::React { .. } => Kind::React,
            Self::Recent | Self::Channel => Kind::Read,
        }
    }

    /// What it changes, where a later change makes an earlier one useless.
    pub(crate) fn slot(&self) -> Option<u64> {
        match self {
            Self::Edit { message, .. } => Some(*message),
            Self::Create { .. }
            | Self::Disable { .. }
            | Self::OpenThread { .. }
            | Self::AddMember { .. }
            | Self::Archive { .. }
            | Self::React { .. }
            | Self::Recent
            | Self::Channel => None,
        }
    }
}

/// What Discord answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// For the plan.
    pub reply: Reply,
    /// The answer itself; of a refusal Discord's error.
    pub body: Value,
}

/// Sends requests with the bot's token.
#[derive(Clone)]
pub struct Sender {
    client: reqwest::Client,
    base: String,
    token: String,
}

impl Sender {
    /// Sends to `api`, the interface's address without a path, with `token`.
    pub fn new(api: &str, token: &str) -> Result<Self, reqwest::Error> {
        let base = format!("{}/api/v10", api.trim_end_matches('/'));
        Ok(Self { client: client()?, base, token: format!("Bot {token}") })
    }

    /// Asks once.
    pub async fn call(&self, route: Route, call: &Call) -> Answer {
        let request = self.request(route.channel, call);
        match request.header("Authorization", &self.token).send().await {
            Ok(response) => read(response).await,
            Err(error) => {
                // Without its address, which may hold a token.
                let error = error.without_url();
                tracing::debug!(%error, "Discord did not answer");
                Answer { reply: Reply::Trouble, body: Value::Null }
            }
        }
    }

    fn request(&self, channel: u64, call: &Call) -> reqwest::RequestBuilder {
        let at = format!("{}/channels/{channel}", self.base);
        let client = &self.client;
        match call {
            Call::Create { post, nonce } => {
                with_file(client.post(format!("{at}/messages")), post.create(nonce), post)
            }
            Call::Edit { message, post } => {
                with_file(client.patch(format!("{at}/messages/{message}")), post.edit(), post)
            }
            Call::Disable { message, rows } => client
                .patch(format!("{at}/messages/{message}"))
                .json(&json!({ "components": rows })),
            Call::OpenThread { message, name } => {
                let body = json!({ "name": name, "auto_archive_duration": AUTO_ARCHIVE_MINUTES });
                client.post(format!("{at}/messages/{message}/threads")).json(&body)
            }
            Call::AddMember { user } => client.put(format!("{at}/thread-members/{user}")),
            Call::Archive { archived } => client.patch(at).json(&json!({ "archived": archived })),
            Call::React { message, emoji, there } => {
                let at = format!("{at}/messages/{message}/reactions/{}/@me", percent(emoji));
                if *there { client.put(at) } else { client.delete(at) }
            }
            Call::Recent => client.get(format!("{at}/messages?limit=100")),
            Call::Channel => client.get(at),
        }
    }
}

/// A client that does not wait for ever, as serenity's own does.
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder().connect_timeout(CONNECT).timeout(TOTAL).no_proxy().build()
}

fn percent(emoji: &str) -> String {
    emoji.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn with_file(
    request: reqwest::RequestBuilder,
    body: Value,
    post: &Post,
) -> reqwest::RequestBuilder {
    let Some(Attachment { name, bytes, .. }) = &post.file else { return request.json(&body) };
    let part = reqwest::multipart::Part::bytes(bytes.to_vec()).file_name(*name);
    let form = reqwest::multipart::Form::new().text("payload_json", body.to_string());
    request.multipart(form.part("files[0]", part))
}

async fn read(response: reqwest::Response) -> Answer {
    let status = response.status();
    let header = |name: &str| response.headers().get(name)?.to_str().ok().map(str::to_owned);
    let number = |name: &str| header(name).and_then(|text| text.parse::<f64>().ok());
    let bucket = Bucket {
        left: header("x-ratelimit-remaining").and_then(|text| text.parse().ok()),
        reset_after: seconds(number("x-ratelimit-reset-after")),
    };
    let retry_after = number("retry-after");
    let shared = header("x-ratelimit-scope").is_some_and(|scope| scope == "shared");
    let global = header("x-ratelimit-global").is_some();
    let empty = status.as_u16() == 204;
    let body: Option<Value> = match response.bytes().await {
        Ok(bytes) => serde_json::from_slice(&bytes).ok(),
        Err(_) => None,
    };
    let reply = match status.as_u16() {
        // Something that is no JSON is an answer cut short: it is asked again, once for its nonce.
        200..=299 if body.is_none() && !empty => Reply::Trouble,
        200..=299 => Reply::Done(bucket),
        429 => {
            let said = body.as_ref().and_then(|body| body["retry_after"].as_f64());
            let global = global || body.as_ref().is_some_and(|body| body["global"] == true);
            Reply::Limited {
                retry_after: seconds(said.or(retry_after).or(Some(1.0))),
                global,
                shared,
            }
        }
        401 => Reply::Revoked,
        403 => Reply::Forbidden(bucket),
        400..=499 => Reply::Refused(bucket),
        _ => Reply::Trouble,
    };
    Answer { reply, body: body.unwrap_or_default() }
}

/// A span that Discord gives in seconds; nonsense is none.
fn seconds(value: Option<f64>) -> Duration {
    value.and_then(|value| Duration::try_from_secs_f64(value).ok()).unwrap_or_default()
}
