//! A message as data, before it is JSON: two that are equal are the same to a reader.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::discord::keys::Key;
use crate::discord::text::{CONTENT_UNITS_MAX, fit};

/// No preview of links (`SUPPRESS_EMBEDS`): fetching one tells its server that somebody reads.
const SUPPRESS_EMBEDS: u64 = 1 << 2;

/// No sound on a phone (`SUPPRESS_NOTIFICATIONS`).
const SUPPRESS_NOTIFICATIONS: u64 = 1 << 12;

/// Shown to one person only (`EPHEMERAL`); of answers to interactions.
const EPHEMERAL: u64 = 1 << 6;

/// Buttons in one row (Discord's component reference).
const ROW_MAX: usize = 5;

/// Rows in a message.
const ROWS_MAX: usize = 5;

/// Options of a select (Discord's component reference).
const OPTIONS_MAX: usize = 25;

/// The longest label of an option, and its longest description.
const OPTION_UNITS_MAX: usize = 100;

/// The longest label of a button.
const LABEL_UNITS_MAX: usize = 80;

/// How a button looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// What most people want.
    Primary,
    /// Something else.
    Secondary,
    /// Lets something through.
    Success,
    /// Ends something.
    Danger,
}

/// A button.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Button {
    /// What it says.
    pub label: String,
    /// What it does.
    pub key: Key,
    /// How it looks.
    pub style: Style,
    /// Whether it is there only to be seen.
    pub disabled: bool,
}

impl Button {
    /// A button that works.
    pub fn new(label: &str, key: Key, style: Style) -> Self {
        Self { label: label.to_owned(), key, style, disabled: false }
    }

    fn json(&self) -> Value {
        let style = match self.style {
            Style::Primary => 1,
            Style::Secondary => 2,
            Style::Success => 3,
            Style::Danger => 4,
        };
        json!({
            "type": 2, "style": style, "label": fit(&self.label, LABEL_UNITS_MAX),
            "custom_id": self.key.to_string(), "disabled": self.disabled,
        })
    }
}

/// One of several things that a person chooses from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What is handed back when it is chosen, and what it is called.
    pub name: String,
    /// What it is.
    pub description: String,
}

/// A list to choose one of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Select {
    /// What choosing does.
    pub key: Key,
    /// What is shown before something is chosen.
    pub placeholder: &'static str,
    /// What there is, the first ones of it.
    pub choices: Vec<Choice>,
}

impl Select {
    fn json(&self) -> Value {
        let option = |choice: &Choice| {
            json!({
                "label": fit(&choice.name, OPTION_UNITS_MAX), "value": choice.name,
                "description": fit(&choice.description, OPTION_UNITS_MAX),
            })
        };
        let options: Vec<Value> = self.choices.iter().take(OPTIONS_MAX).map(option).collect();
        json!({
            "type": 3, "custom_id": self.key.to_string(), "placeholder": self.placeholder,
            "options": options,
        })
    }
}

/// A file that comes with a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its name.
    pub name: &'static str,
    /// What it shows, for those who do not see it.
    pub description: String,
    /// Its content.
    pub bytes: Arc<[u8]>,
}

/// A message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Post {
    /// Its text, in Discord's markdown.
    pub content: String,
    /// Its buttons, in order.
    pub buttons: Vec<Button>,
    /// What is chosen from, above the buttons.
    pub select: Option<Select>,
    /// Its file. An edit without one leaves the message's file alone.
    pub file: Option<Attachment>,
    /// Who is called by it.
    pub pings: Option<u64>,
    /// Whether phones ring.
    pub rings: bool,
    /// Which message it answers, in the same channel.
    pub replies_to: Option<u64>,
}

impl Post {
    /// A message of text.
    pub fn text(content: impl Into<String>) -> Self {
        Self { content: content.into(), ..Self::default() }
    }

    /// The same with buttons.
    #[must_use]
    pub fn with(mut self, buttons: Vec<Button>) -> Self {
        self.buttons = buttons;
        self
    }

    /// The JSON of a new message that is there once, however often it is sent (`enforce_nonce`).
    pub fn create(&self, nonce: &str) -> Value {
        let silent = if self.rings { 0 } else { SUPPRESS_NOTIFICATIONS };
        let mut body = self.common(SUPPRESS_EMBEDS | silent);
        body["nonce"] = json!(nonce);
        body["enforce_nonce"] = json!(true);
        if let Some(id) = self.replies_to {
            body["message_reference"] =
                json!({ "message_id": id.to_string(), "fail_if_not_exists": false });
        }
        body
    }

    /// The JSON of a change to a message.
    pub fn edit(&self) -> Value {
        self.common(SUPPRESS_EMBEDS)
    }

    /// The JSON of an answer to an interaction.
    pub fn answer(&self, private: bool) -> Value {
        self.common(SUPPRESS_EMBEDS | if private { EPHEMERAL } else { 0 })
    }

    /// Its buttons as Discord has them.
    pub(crate) fn rows(&self) -> Vec<Value> {
        let row = |row: &[Button]| json!({ "type": 1, "components": row.iter().map(Button::json).collect::<Vec<_>>() });
        self.buttons.chunks(ROW_MAX).take(ROWS_MAX).map(row).collect()
    }

    fn common(&self, flags: u64) -> Value {
        let users: Vec<String> = self.pings.iter().map(u64::to_string).collect();
        let mut rows = self.rows();
        if let Some(select) = &self.select {
            rows.insert(0, json!({ "type": 1, "components": [select.json()] }));
        }
        let mut body = json!({
            "content": fit(&self.content, CONTENT_UNITS_MAX),
            "flags": flags,
            "components": rows,
            // Nobody is called but those who are named here, whatever the text says.
            "allowed_mentions": { "parse": [], "users": users, "replied_user": false },
        });
        if let Some(file) = &self.file {
            let description = fit(&file.description, 1_000);
            body["attachments"] =
                json!([{ "id": 0, "filename": file.name, "description": description }]);
        }
        body
    }
}
