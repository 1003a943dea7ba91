//! Notices as messages: in the task's thread, or under the run's card, once each.

use std::time::Duration;

use async_trait::async_trait;

use crate::discord::board::{Board, words};
use crate::discord::outbox::{Error, Priority};
use crate::discord::post::Post;
use crate::discord::text::sentence;
use crate::ids::ProjectId;
use crate::notify::{self, Delivery, Notice, Notifier};
use crate::orchestrator::RunView;
use crate::state::RunRecord;
use crate::store::Which;

/// A notice that needs nobody and is older than this is told with others in one message: Discord
/// was out of reach.
const STALE: Duration = Duration::from_secs(5 * 60);

/// How long to wait for more notices of an outage before they are told together.
const DIGEST_AFTER: Duration = Duration::from_secs(2);

#[async_trait]
impl Notifier for Board {
    async fn notify(
        &self,
        notice: &Notice,
        project: &ProjectId,
    ) -> Result<Delivery, notify::Error> {
        if self.outbox.is_revoked() {
            return Ok(Delivery::Dropped);
        }
        let old = self.doors.clock.now().since(notice.at) > STALE;
        if old && !notice.kind.needs_person() {
            return self.put_into_digest(notice, project).await;
        }
        match self.tell(notice, project).await {
            Ok(()) => Ok(Delivery::Delivered),
            Err(error) if error.passes() => Err(notify::Error::Transport(error.to_string())),
            Err(error) => Err(notify::Error::Gone(error.to_string())),
        }
    }
}

impl Board {
    async fn tell(&self, notice: &Notice, project: &ProjectId) -> Result<(), Error> {
        let run = match &notice.run {
            Some(name) => self.run_named(project, name).await,
            None => None,
        };
        let view = match &run {
            Some(run) => self.view(run.id).await,
            None => None,
        };
        let mut post = words::notice(notice, view.as_ref());
        let submitter = run.as_ref().map(|run| run.submitter.clone());
        if post.rings
            && let Some(name) = submitter
        {
            post.pings = self.user_id(&name).await;
            if let Some(id) = post.pings {
                post.content = format!("<@{id}> {}", post.content);
            }
        }
        let name = format!("notice/{}", notice.seq);
        let place = self.place_for(notice, view.as_ref(), project).await?;
        let posted = self.put(&name, place, &mut post, project).await;
        if posted.is_ok() {
            self.keep_asking(notice.seq, &post).await;
        }
        posted
    }

    async fn put(
        &self,
        name: &str,
        place: Where,
        post: &mut Post,
        project: &ProjectId,
    ) -> Result<(), Error> {
        match place {
            Where::Thread(thread) => {
                let posted = self.post(name, thread, post, Priority::Decision).await;
                match posted {
                    // Somebody deleted or shut the thread: it is told where the run is shown.
                    Err(error) if error.is_gone() || error.is_shut() => {
                        self.places.renew(name).await;
                        let channel = self.channel(project).await.ok_or(error)?;
                        self.post(name, channel, post, Priority::Decision).await.map(drop)
                    }
                    other => other.map(drop),
                }
            }
            Where::Channel(channel, card) => {
                post.replies_to = card;
                self.post(name, channel, post, Priority::Decision).await.map(drop)
            }
        }
    }

    async fn place_for(
        &self,
        notice: &Notice,
        view: Option<&RunView>,
        project: &ProjectId,
    ) -> Result<Where, Error> {
        let Some(view) = view else {
            let channel = self.channel(project).await.ok_or(Error::Forbidden { channel: 0 })?;
            return Ok(Where::Channel(channel, None));
        };
        let task = notice.task.as_ref().and_then(|id| view.info.graph.lookup_task(id));
        if let Some(task) = task {
            match self.open_thread(view, task).await {
                Ok(thread) => return Ok(Where::Thread(thread)),
                Err(error) if error.passes() => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "no thread for a notice; it goes to the channel")
                }
            }
        }
        let (channel, card) = self.card(view).await?;
        Ok(Where::Channel(channel, Some(card)))
    }

    pub(crate) async fn run_named(
        &self,
        project: &ProjectId,
        name: &crate::ids::RunName,
    ) -> Option<RunRecord> {
        let which = Which::Named(project.clone(), name.clone());
        self.doors.store.select(&which, 1).await.unwrap_or_default().pop()
    }

    async fn put_into_digest(
        &self,
        notice: &Notice,
        project: &ProjectId,
    ) -> Result<Delivery, notify::Error> {
        let run = notice.run.as_ref().map(|run| format!("{run}: ")).unwrap_or_default();
        let line = format!("{run}{} (<t:{}:t>)", sentence(&notice.title), notice.at.0 / 1_000);
        let name = format!("digest/{project}/{:020}", notice.seq);
        let kept = self.doors.ledger.bind(&name, Some(&line)).await;
        kept.map_err(|error| notify::Error::Transport(error.to_string()))?;
        let (board, project, seq) = (self.me.clone(), project.clone(), notice.seq);
        drop(tokio::spawn(async move {
            tokio::time::sleep(DIGEST_AFTER).await;
            if let Some(board) = board.upgrade() {
                board.tell_digest(&project, seq).await;
            }
        }));
        Ok(Delivery::Delivered)
    }

    /// Tells what is in the digest, if nothing came after line `last`.
    pub(crate) async fn tell_digest(&self, project: &ProjectId, last: u64) {
        let prefix = format!("digest/{project}/");
        let lines = self.doors.ledger.bindings(&prefix).await.unwrap_or_default();
        let newest = lines.last().and_then(|(name, _)| name.rsplit('/').next()?.parse().ok());
        let (Some((first, _)), true) = (lines.first(), newest.is_none_or(|seq: u64| seq <= last))
        else {
            return;
        };
        let Some(channel) = self.channel(project).await else { return };
        let texts: Vec<String> = lines.iter().map(|(_, line)| line.clone()).collect();
        let name = format!("digested/{first}");
        let told = self.post(&name, channel, &words::digest(&texts), Priority::State).await;
        if let Err(error) = told {
            tracing::warn!(%error, "what happened during an outage was not told yet");
            return;
        }
        for (name, _) in &lines {
            drop(self.doors.ledger.bind(name, None).await);
        }
    }
}

enum Where {
    Thread(u64),
    Channel(u64, Option<u64>),
}
