//! Forms that were filled in. Their names are those of the buttons that opened them.

use serenity::all::{ActionRowComponent, ModalInteraction};

use crate::discord::bot::answer::Line;
use crate::discord::bot::clicks::{admit, disable, label, said, verb_of};
use crate::discord::bot::front::{Carry, Front};
use crate::discord::bot::{Trouble, commands};
use crate::discord::gate::Level;
use crate::discord::keys::{Key, On, Press};
use crate::discord::post::Post;
use crate::discord::text::fit;
use crate::failure::Failure;

/// A form was sent.
pub(crate) async fn sent(front: &Front, form: &ModalInteraction) {
    let line = Line::of_form(&front.http, &front.board.outbox, form);
    if line.defer(true).await.is_err() {
        tracing::warn!("a form came too late to be answered");
        return;
    }
    let answer = take(front, &line, form).await;
    let key = form.data.custom_id.parse::<Key>();
    let decided = answer.is_ok() && key.is_ok_and(|key| key.press.decides());
    if let Some(message) = form.message.as_ref().filter(|_| decided) {
        disable(front, message).await;
    }
    line.finish(answer).await;
}

async fn take(front: &Front, line: &Line, form: &ModalInteraction) -> Result<Post, Trouble> {
    let key: Key =
        form.data.custom_id.parse().map_err(|_| Failure::user("this form is not known"))?;
    let text = written(form);
    if let On::Draft(id) = key.on {
        let draft = front.draft(id).await?;
        let asked = "edit a draft";
        front.permit(&line.actor, Level::Operator, Some(&draft.project), asked).await?;
        return commands::submit::written(front, line, id, draft, text).await;
    }
    if matches!(key.press, Press::AddHook | Press::EditHook) {
        return commands::hooks::written(front, line, key.press, text).await;
    }
    let (permit, view) = admit(front, line, &key).await?;
    let verb = verb_of(&view, &key, Some(text.clone()))?;
    let name = match text.trim() {
        "" => label(key.press).to_owned(),
        text => format!("{}: {}", label(key.press), crate::discord::text::inline(&fit(text, 300))),
    };
    let carry =
        Carry { actor: &line.actor, permit: &permit, view: &view, on: key.on, label: &name };
    Ok(said(&front.carry_out(carry, verb, false).await?))
}

fn written(form: &ModalInteraction) -> String {
    let inputs = form.data.components.iter().flat_map(|row| &row.components);
    let mut texts = inputs.filter_map(|part| {
        let ActionRowComponent::InputText(input) = part else { return None };
        input.value.clone()
    });
    texts.next().unwrap_or_default()
}
