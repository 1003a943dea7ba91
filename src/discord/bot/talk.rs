//! Messages in the threads of tasks: an operator's message steers the agent.

use serenity::all::Message;

use crate::discord::bot::Trouble;
use crate::discord::bot::front::Front;
use crate::discord::gate::{Actor, Level};
use crate::discord::outbox::{Call, Priority};
use crate::discord::post::Post;
use crate::orchestrator::{Command, Verb};

/// Somebody wrote something.
pub(crate) async fn heard(front: &Front, message: &Message) {
    if message.author.bot || message.webhook_id.is_some() || !front.is_new(message.id.get()) {
        return;
    }
    let mentioned = message.mentions.iter().any(|user| user.id.get() == front.me);
    let text = without_mention(&message.content, front.me);
    if text.is_empty() {
        return;
    }
    let thread = message.channel_id.get();
    let Some((run, task)) = front.board.task_of(thread).await else { return };
    let member = message.member.as_ref();
    let actor = Actor {
        user: message.author.id.get(),
        name: message.author.name.clone(),
        roles: member.map(|m| m.roles.iter().map(|role| role.get()).collect()).unwrap_or_default(),
        guild: message.guild_id.map(|guild| guild.get()),
        bot: message.author.bot,
    };
    let taken = steer(front, &actor, run, task, &text).await;
    match taken {
        Ok(()) => front.board.told(thread, message.id.get(), (run, task), &text).await,
        // People may talk among themselves; whoever calls the bot gets an answer.
        Err(Trouble::Denied(_)) if !mentioned => {}
        Err(trouble) => {
            let mut post = Post::text(trouble.sentence());
            post.replies_to = Some(message.id.get());
            let call = Call::Create { post, nonce: format!("{:x}", message.id.get()) };
            if let Err(error) = front.board.outbox.ask(thread, Priority::Answer, call).await {
                tracing::debug!(%error, "an answer to a message was lost");
            }
        }
    }
}

async fn steer(
    front: &Front,
    actor: &Actor,
    run: crate::ids::RunId,
    task: crate::graph::TaskIx,
    text: &str,
) -> Result<(), Trouble> {
    let view = front.view(run).await?;
    let project = view.info.project.id.clone();
    let permit = front.permit(actor, Level::Operator, Some(&project), "steer").await?;
    let id = view.info.graph.task(task).id.clone();
    let verb = Verb::Steer { task: id, text: text.to_owned() };
    let command = Command { run, who: permit.who().to_owned(), verb, dry_run: false };
    let receipt = front.house.handle.command(command).await??;
    let asked = format!("steer in {}", view.info.name);
    front.audit(actor, &asked, None, true, &receipt.sentence).await;
    Ok(())
}

/// A message without the mention that it begins with.
fn without_mention(text: &str, me: u64) -> String {
    let text = text.trim();
    let forms = [format!("<@{me}>"), format!("<@!{me}>")];
    let rest = forms.iter().find_map(|form| text.strip_prefix(form.as_str()));
    rest.unwrap_or(text).trim().to_owned()
}
