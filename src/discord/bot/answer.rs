//! Answers to interactions: acknowledged at once, given when they are there, and as a plain
//! message when the interaction has run out (15 minutes, Discord's "Receiving and Responding").

use std::sync::Arc;

use serde_json::{Value, json};
use serenity::all::{
    CommandInteraction, ComponentInteraction, CreateAttachment, Http, InteractionId, Member,
    ModalInteraction, User,
};

use crate::discord::bot::Trouble;
use crate::discord::check::http_status;
use crate::discord::gate::Actor;
use crate::discord::outbox::{Call, Outbox, Priority};
use crate::discord::post::Post;

/// Of Discord's "Interaction Callback Type".
const DEFERRED: u8 = 5;
const DEFERRED_CHANGE: u8 = 6;
const MESSAGE: u8 = 4;
const MODAL: u8 = 9;

const EPHEMERAL: u64 = 1 << 6;

/// One interaction, to be answered.
#[derive(Clone)]
pub(crate) struct Line {
    http: Arc<Http>,
    outbox: Outbox,
    id: InteractionId,
    token: String,
    /// Where it came from.
    pub(crate) channel: u64,
    /// Who asks.
    pub(crate) actor: Actor,
}

/// A field of a form.
pub(crate) struct Field<'a> {
    pub(crate) label: &'a str,
    pub(crate) value: &'a str,
    pub(crate) placeholder: &'a str,
    pub(crate) required: bool,
}

impl Line {
    pub(crate) fn of_command(
        http: &Arc<Http>,
        outbox: &Outbox,
        command: &CommandInteraction,
    ) -> Self {
        Self {
            http: http.clone(),
            outbox: outbox.clone(),
            id: command.id,
            token: command.token.clone(),
            channel: command.channel_id.get(),
            actor: actor(&command.user, command.member.as_deref(), command.guild_id.is_some()),
        }
    }

    pub(crate) fn of_click(
        http: &Arc<Http>,
        outbox: &Outbox,
        click: &ComponentInteraction,
    ) -> Self {
        Self {
            http: http.clone(),
            outbox: outbox.clone(),
            id: click.id,
            token: click.token.clone(),
            channel: click.channel_id.get(),
            actor: actor(&click.user, click.member.as_ref(), click.guild_id.is_some()),
        }
    }

    pub(crate) fn of_form(http: &Arc<Http>, outbox: &Outbox, form: &ModalInteraction) -> Self {
        Self {
            http: http.clone(),
            outbox: outbox.clone(),
            id: form.id,
            token: form.token.clone(),
            channel: form.channel_id.get(),
            actor: actor(&form.user, form.member.as_ref(), form.guild_id.is_some()),
        }
    }

    /// The number of the interaction: never used twice.
    pub(crate) fn id(&self) -> u64 {
        self.id.get()
    }

    /// Tells Discord that an answer will come. What it shows meanwhile only the person sees, or
    /// everybody.
    pub(crate) async fn defer(&self, private: bool) -> Result<(), Trouble> {
        let flags = if private { EPHEMERAL } else { 0 };
        self.respond(&json!({ "type": DEFERRED, "data": { "flags": flags } })).await
    }

    /// Shows a form.
    pub(crate) async fn form(
        &self,
        key: &str,
        title: &str,
        field: &Field<'_>,
    ) -> Result<(), Trouble> {
        let fit = crate::discord::text::fit;
        let mut input = json!({
            "type": 4, "custom_id": "text", "style": 2, "label": fit(field.label, 45),
            "placeholder": fit(field.placeholder, 100), "required": field.required,
            "max_length": 4_000,
        });
        if !field.value.is_empty() {
            input["value"] = json!(field.value);
        }
        self.respond(&json!({
            "type": MODAL,
            "data": {
                "custom_id": key, "title": fit(title, 45),
                "components": [{ "type": 1, "components": [input] }],
            },
        }))
        .await
    }

    async fn respond(&self, body: &Value) -> Result<(), Trouble> {
        let answered =
            self.http.create_interaction_response(self.id, &self.token, body, Vec::new()).await;
        answered.map_err(|error| Box::new(error).into())
    }

    /// Answers at once, without a pause, to the person alone.
    pub(crate) async fn reply_now(&self, post: &Post) -> Result<(), Trouble> {
        self.respond(&json!({ "type": MESSAGE, "data": post.answer(true) })).await
    }

    /// Tells Discord that the message of the button will change.
    pub(crate) async fn defer_change(&self) -> Result<(), Trouble> {
        self.respond(&json!({ "type": DEFERRED_CHANGE })).await
    }

    /// Says something more, to the person alone.
    pub(crate) async fn add(&self, post: &Post) {
        let body = post.answer(true);
        let sent = self.http.create_followup_message(&self.token, &body, Vec::new()).await;
        if let Err(error) = sent {
            tracing::warn!(status = ?http_status(&error), "an answer was lost");
        }
    }

    /// Gives the answer that was announced. When it comes too late, it is posted where it was
    /// asked.
    pub(crate) async fn answer(&self, post: &Post) {
        let mut body = post.edit();
        if post.file.is_none() {
            body["attachments"] = json!([]);
        }
        let files =
            post.file.iter().map(|file| CreateAttachment::bytes(file.bytes.to_vec(), file.name));
        let files = files.collect();
        let Err(error) =
            self.http.edit_original_interaction_response(&self.token, &body, files).await
        else {
            return;
        };
        // Only its kind: the error's text holds the interaction's token.
        let status = http_status(&error);
        tracing::warn!(?status, "an answer came too late; it is posted instead");
        let mut post = post.clone();
        post.pings = Some(self.actor.user);
        post.content = format!("<@{}> {}", self.actor.user, post.content);
        let nonce = format!("{:x}", self.id.get());
        let call = Call::Create { post, nonce };
        if let Err(error) = self.outbox.ask(self.channel, Priority::Answer, call).await {
            tracing::warn!(%error, "an answer was lost");
        }
    }

    /// Gives the answer, or says why there is none.
    pub(crate) async fn finish(&self, answer: Result<Post, Trouble>) {
        match answer {
            Ok(post) => self.answer(&post).await,
            Err(trouble) => self.answer(&Post::text(trouble.sentence())).await,
        }
    }
}

/// Who asks, as Discord says; nothing that they wrote is looked at.
fn actor(user: &User, member: Option<&Member>, in_guild: bool) -> Actor {
    let guild = member.map(|member| member.guild_id.get()).filter(|_| in_guild);
    Actor {
        user: user.id.get(),
        name: user.name.clone(),
        roles: member.map(|m| m.roles.iter().map(|role| role.get()).collect()).unwrap_or_default(),
        guild,
        bot: user.bot,
    }
}
