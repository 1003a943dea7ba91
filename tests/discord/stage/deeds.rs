//! Interactions of people: the proxy makes them all, and keeps what the bot answers.

use std::collections::HashMap;
use std::sync::Mutex;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::proxy::{Answer, Asked, File};
use super::twin::About;
use super::wire::user;

/// An interaction and its answers.
#[derive(Debug, Clone)]
pub(crate) struct Deed {
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) channel: String,
    pub(crate) sent: Instant,
    /// When the bot acknowledged it, and how.
    pub(crate) callback: Option<(Instant, Value)>,
    /// The message that answers it, as it is now.
    pub(crate) message: Option<Value>,
    /// Whether that message was written or changed since.
    pub(crate) answered: bool,
    pub(crate) files: Vec<File>,
    pub(crate) follow_ups: Vec<Value>,
}

/// All of them, by id.
#[derive(Default)]
pub(crate) struct Deeds {
    all: Mutex<HashMap<String, Deed>>,
}

impl Deeds {
    pub(crate) fn begin(&self, id: &str, channel: &str, message: Option<Value>) {
        let deed = Deed {
            id: id.to_owned(),
            token: format!("token-of-{id}"),
            channel: channel.to_owned(),
            sent: Instant::now(),
            callback: None,
            message,
            answered: false,
            files: Vec::new(),
            follow_ups: Vec::new(),
        };
        self.all.lock().unwrap().insert(id.to_owned(), deed);
    }

    pub(crate) fn get(&self, id: &str) -> Deed {
        self.all.lock().unwrap()[id].clone()
    }

    pub(crate) fn callback(&self, id: &str, asked: &Asked) {
        let mut all = self.all.lock().unwrap();
        let Some(deed) = all.get_mut(id) else { return };
        deed.callback = Some((Instant::now(), asked.body.clone()));
        if asked.body["type"] == 4 {
            deed.message = Some(asked.body["data"].clone());
            deed.answered = true;
        }
    }

    pub(crate) fn webhook(
        &self,
        method: &str,
        token: &str,
        rest: &[&str],
        asked: &Asked,
        about: &About,
    ) -> Answer {
        let mut all = self.all.lock().unwrap();
        let Some(deed) = all.values_mut().find(|deed| deed.token == token) else {
            return Answer::json(404, &json!({ "code": 10_015, "message": "Unknown Webhook" }));
        };
        let message = |id: String, body: &Value| message(about, &id, &deed.channel, body);
        match (method, rest) {
            ("PATCH", ["messages", "@original"]) => {
                let told = message(format!("9{}", &deed.id[1..]), &asked.body);
                deed.message = Some(told.clone());
                deed.answered = true;
                deed.files = asked.files.clone();
                Answer::json(200, &told)
            }
            ("POST", []) => {
                let told = message(format!("8{}", &deed.id[1..]), &asked.body);
                deed.follow_ups.push(told.clone());
                Answer::json(200, &told)
            }
            _ => Answer::json(405, &json!({ "code": 0, "message": "not in this proxy" })),
        }
    }
}

/// A message of the bot that one person sees.
fn message(about: &About, id: &str, channel: &str, body: &Value) -> Value {
    json!({
        "id": id, "channel_id": channel, "author": user(&about.bot, "taskloom", true),
        "content": body["content"].as_str().unwrap_or_default(),
        "components": body.get("components").cloned().unwrap_or(json!([])),
        "timestamp": "2026-01-01T00:00:00.000000+00:00", "edited_timestamp": null, "tts": false,
        "mention_everyone": false, "mentions": [], "mention_roles": [], "attachments": [],
        "embeds": [], "pinned": false, "type": 0, "flags": 64,
    })
}
