//! Where things were posted. A message is announced in the store before it is sent and found
//! again after a crash, so that it is there once.

use std::sync::Arc;

use dashmap::DashMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::sync::Mutex;

use crate::crash;
use crate::discord::outbox::{Call, Error, Outbox, Priority};
use crate::discord::post::Post;
use crate::store::Ledger;
use crate::time::{Clock, Timestamp};

/// Discord keeps a nonce "the past few minutes" (its API reference, "Create Message"): after less
/// than this a repeated message is not looked for, since the nonce makes it one.
const NONCE_TRUSTED_MS: i64 = 60_000;

/// Characters of a nonce; Discord takes 25.
const NONCE_CHARS: usize = 24;

/// How many messages' last content is remembered so that an edit to the same is not sent.
const REMEMBERED_MAX: usize = 10_000;

/// Where something is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The channel or thread.
    pub(crate) channel: u64,
    /// The message; `None`: it was about to be posted.
    pub(crate) message: Option<u64>,
    /// When it was about to be.
    pub(crate) at: Timestamp,
    /// How many there were before it in its stead.
    #[serde(default)]
    pub(crate) round: u32,
}

/// Remembers where everything is.
pub(crate) struct Places {
    ledger: Arc<dyn Ledger>,
    outbox: Outbox,
    clock: Arc<dyn Clock>,
    busy: DashMap<String, Arc<Mutex<()>>>,
    /// The last content of messages, as a digest.
    last: DashMap<u64, [u8; 32]>,
}

impl Places {
    pub(crate) fn new(ledger: Arc<dyn Ledger>, outbox: Outbox, clock: Arc<dyn Clock>) -> Self {
        Self { ledger, outbox, clock, busy: DashMap::new(), last: DashMap::new() }
    }

    /// Where `name` was posted, if it was.
    pub(crate) async fn find(&self, name: &str) -> Option<Place> {
        let text = self.ledger.binding(name).await.unwrap_or_else(|error| {
            tracing::error!(%error, name, "a binding could not be read");
            None
        })?;
        serde_json::from_str(&text).ok()
    }

    /// Posts `post` under `name`, unless it was posted before; says where it is.
    pub(crate) async fn post(
        &self,
        name: &str,
        channel: u64,
        post: &Post,
        priority: Priority,
    ) -> Result<(u64, u64), Error> {
        let turn = self.busy.entry(name.to_owned()).or_default().clone();
        let posted = {
            let _turn = turn.lock().await;
            self.post_once(name, channel, post, priority).await
        };
        drop(turn);
        self.busy.remove_if(name, |_, turn| Arc::strong_count(turn) == 1);
        posted
    }

    async fn post_once(
        &self,
        name: &str,
        channel: u64,
        post: &Post,
        priority: Priority,
    ) -> Result<(u64, u64), Error> {
        let now = self.clock.now();
        let place = match self.find(name).await {
            Some(Place { channel, message: Some(message), .. }) => return Ok((channel, message)),
            Some(place) => {
                let old = now.0 - place.at.0 > NONCE_TRUSTED_MS;
                if old && let Some(message) = self.search(place.channel, post).await? {
                    self.keep(name, Place { message: Some(message), ..place.clone() }).await?;
                    return Ok((place.channel, message));
                }
                Place { channel, at: now, ..place }
            }
            None => Place { channel, message: None, at: now, round: 0 },
        };
        self.keep(name, place.clone()).await?;
        crash::point("post.announced");
        let nonce = nonce(name, place.round);
        let call = Call::Create { post: post.clone(), nonce };
        let body = self.outbox.ask(channel, priority, call).await?;
        crash::point("post.sent");
        let message = id_of(&body).ok_or(Error::Expired)?;
        self.remember(message, post);
        self.keep(name, Place { message: Some(message), ..place }).await?;
        Ok((channel, message))
    }

    /// Forgets where `name` is, so that it is posted anew: the message is gone or too old.
    pub(crate) async fn renew(&self, name: &str) {
        let Some(place) = self.find(name).await else { return };
        let place = Place { message: None, at: self.clock.now(), round: place.round + 1, ..place };
        drop(self.keep(name, place).await);
    }

    /// Changes a message, unless that would change nothing.
    pub(crate) async fn edit(
        &self,
        channel: u64,
        message: u64,
        post: &Post,
        priority: Priority,
    ) -> Result<(), Error> {
        let digest = digest(post);
        if self.last.get(&message).is_some_and(|last| *last == digest) {
            return Ok(());
        }
        let call = Call::Edit { message, post: post.clone() };
        self.outbox.ask(channel, priority, call).await?;
        self.remember(message, post);
        Ok(())
    }

    fn remember(&self, message: u64, post: &Post) {
        if self.last.len() >= REMEMBERED_MAX {
            self.last.clear();
        }
        self.last.insert(message, digest(post));
    }

    async fn keep(&self, name: &str, place: Place) -> Result<(), Error> {
        let text = serde_json::to_string(&place).expect("BUG: a place is plain data");
        self.ledger.bind(name, Some(&text)).await.map_err(|error| {
            tracing::error!(%error, name, "where something is posted could not be kept");
            Error::Expired
        })
    }

    /// Looks whether the channel has the message already: one with the same buttons, or with the
    /// same text if it has none.
    async fn search(&self, channel: u64, post: &Post) -> Result<Option<u64>, Error> {
        let found = self.outbox.ask(channel, Priority::State, Call::Recent).await?;
        let wanted: Vec<String> = post.buttons.iter().map(|b| b.key.to_string()).collect();
        let same = |message: &&Value| match wanted.is_empty() {
            true => message["content"].as_str() == Some(&post.content),
            false => custom_ids(message) == wanted,
        };
        let messages = found.as_array().map(Vec::as_slice).unwrap_or_default();
        Ok(messages.iter().filter(|m| m["author"]["bot"] == true).find(same).and_then(id_of))
    }
}

/// The name under which Discord knows that it has a message already.
fn nonce(name: &str, round: u32) -> String {
    let digest = Sha256::digest(format!("{name}#{round}"));
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    hex[..NONCE_CHARS].to_owned()
}

fn digest(post: &Post) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update(post.edit().to_string());
    if let Some(file) = &post.file {
        digest.update(&file.bytes);
    }
    digest.finalize().into()
}

/// The id in an answer.
pub(crate) fn id_of(body: &Value) -> Option<u64> {
    body["id"].as_str()?.parse().ok()
}

fn custom_ids(message: &Value) -> Vec<String> {
    let rows = message["components"].as_array().map(Vec::as_slice).unwrap_or_default();
    let buttons = rows.iter().flat_map(|row| row["components"].as_array().into_iter().flatten());
    buttons.filter_map(|button| button["custom_id"].as_str().map(str::to_owned)).collect()
}
