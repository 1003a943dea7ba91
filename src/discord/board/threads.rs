//! The thread of a task: opened from its message under the card when the task first begins.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::crash;
use crate::discord::board::feed::{Feed, Writer};
use crate::discord::board::places::id_of;
use crate::discord::board::{Board, OPENERS, thread_name, words};
use crate::discord::outbox::{Call, Error, Priority};
use crate::discord::post::{Attachment, Post};
use crate::graph::TaskIx;
use crate::ids::RunId;
use crate::notify::{self, TaskRef, TaskThread, ThreadFactory};
use crate::orchestrator::RunView;

/// How long to wait before a thread that could not be opened is tried again.
const OPEN_AGAIN: Duration = Duration::from_secs(5);

/// The largest file: Discord takes 10 MiB (its API reference, "Uploading Files").
pub(crate) const FILE_BYTES_MAX: usize = 9 * 1024 * 1024 + 512 * 1024;

/// Which attempt of which task.
#[derive(Debug, Clone)]
pub(crate) struct AttemptRef {
    pub(crate) run: RunId,
    pub(crate) task: TaskIx,
    pub(crate) attempt: u32,
}

#[async_trait]
impl ThreadFactory for Board {
    async fn create_thread(
        &self,
        task: &TaskRef,
        _title: &str,
    ) -> Result<Box<dyn TaskThread>, notify::Error> {
        let gone = |why: &str| notify::Error::Gone(why.to_owned());
        let view = self.view(task.run).await.ok_or_else(|| gone("the run is not there"))?;
        let ix = view.info.graph.lookup_task(&task.task).ok_or_else(|| gone("no such task"))?;
        let thread = loop {
            match self.open_thread(&view, ix).await {
                Ok(thread) => break thread,
                // The engine goes on meanwhile, and what it writes waits, up to a limit.
                Err(error) if error.passes() => tokio::time::sleep(OPEN_AGAIN).await,
                Err(error) => return Err(gone(&error.to_string())),
            }
        };
        let attempt = view.tasks[ix.at()].attempts.saturating_sub(1);
        let at = AttemptRef { run: task.run, task: ix, attempt };
        self.begin_attempt(&view, thread, &at).await;
        let now = self.doors.clock.now();
        let feed = Feed::start(thread, self.outbox.clone(), self.live.clone(), now);
        Ok(Box::new(Writer { feed, board: self.me.clone(), attempt: at }))
    }
}

impl Board {
    /// The thread of a task, which is opened if there is none.
    pub(crate) async fn open_thread(&self, view: &RunView, task: TaskIx) -> Result<u64, Error> {
        let run = view.info.id;
        let _alone = self.opening[task.at() % OPENERS].lock().await;
        if let Some(thread) = self.thread(run, task).await {
            return Ok(thread);
        }
        let (channel, card) = self.card(view).await?;
        let mut anchor = words::anchor(view, task);
        anchor.replies_to = Some(card);
        let name = anchor_name(run, task);
        let (channel, message) = self.post(&name, channel, &anchor, Priority::State).await?;
        let spec = view.info.graph.task(task);
        let title = words::thread_name(spec.id.as_str(), &spec.title);
        let open = Call::OpenThread { message, name: title };
        let thread = match self.outbox.ask(channel, Priority::State, open).await {
            Ok(body) => id_of(&body).unwrap_or(message),
            // The id of a thread is that of the message it hangs from.
            Err(error) if error.is_there_already() => message,
            Err(error) if error.is_gone() => {
                self.places.renew(&name).await;
                return Err(Error::Expired);
            }
            Err(error) if error.is_full() => {
                tracing::warn!(
                    "the server has as many open threads as it may: output is in the log"
                );
                return Err(error);
            }
            Err(error) => return Err(error),
        };
        crash::point("thread.opened");
        let ledger = &self.doors.ledger;
        let back = format!("{}.{}", run.0, task.0);
        let kept = match ledger.bind(&format!("thread/{thread}"), Some(&back)).await {
            Ok(()) => ledger.bind(&thread_name(run, task), Some(&thread.to_string())).await,
            Err(error) => Err(error),
        };
        if let Err(error) = kept {
            tracing::error!(%error, "where a thread is could not be kept");
            return Err(Error::Expired);
        }
        if let Some(user) = self.user_id(&view.info.submitter).await {
            let add = self.outbox.ask(thread, Priority::State, Call::AddMember { user }).await;
            drop(add.inspect_err(|error| tracing::debug!(%error, "the submitter was not added")));
        }
        Ok(thread)
    }

    async fn begin_attempt(&self, view: &RunView, thread: u64, at: &AttemptRef) {
        let house = self.house().await;
        let id = &view.info.graph.task(at.task).id;
        let receipt = house.office.receipt(&view.info, id, at.attempt).await;
        let header = words::header(view, at.task, at.attempt, &receipt);
        let name = format!("task/{}/{}/attempt/{}", at.run.0, at.task.0, at.attempt);
        if let Err(error) = self.post(&name, thread, &header, Priority::State).await {
            tracing::warn!(%error, "the beginning of an attempt was not shown");
        }
    }

    /// The output of an attempt is over: what is left of it is shown, and the whole of it attached
    /// if some was left out.
    pub(crate) async fn attempt_shown(&self, feed: Arc<Feed>, at: AttemptRef) {
        if let Err(error) = feed.flush().await {
            tracing::warn!(%error, "the end of an attempt's output was not shown; the log has it");
        }
        feed.turn_page().await;
        if feed.left_out() == 0 {
            return;
        }
        let (Some(view), Some(thread)) =
            (self.view(at.run).await, self.thread(at.run, at.task).await)
        else {
            return;
        };
        let Some(post) = self.log_post(&view, at.task, at.attempt).await else { return };
        let name = format!("task/{}/{}/log/{}", at.run.0, at.task.0, at.attempt);
        if let Err(error) = self.post(&name, thread, &post, Priority::Live).await {
            tracing::warn!(%error, "a log was not attached");
        }
    }

    /// A message with the log of an attempt as a file.
    pub(crate) async fn log_post(
        &self,
        view: &RunView,
        task: TaskIx,
        attempt: u32,
    ) -> Option<Post> {
        let id = &view.info.graph.task(task).id;
        let office = self.house().await.office;
        let log = office.log(&view.info, id, attempt, FILE_BYTES_MAX).await;
        let bytes = log
            .inspect_err(|error| tracing::warn!(%error, "a log could not be read"))
            .ok()
            .filter(|bytes| !bytes.is_empty())?;
        let mut post = Post::text(format!("-# the log of `{id}`, attempt {}", attempt + 1));
        post.file = Some(Attachment {
            name: "log.txt",
            description: format!("The log of {id}, attempt {}", attempt + 1),
            bytes: bytes.into(),
        });
        Some(post)
    }

    /// Brings the message that a thread hangs from up to date, and says how the task ended.
    pub(crate) async fn refresh_task(&self, view: &RunView, task: TaskIx) {
        self.settle_asked(view, task).await;
        let run = view.info.id;
        let name = anchor_name(run, task);
        let Some(mut place) = self.places.find(&name).await else { return };
        let attempts = view.tasks[task.at()].attempts;
        // A daemon that ended in the middle has left something out, and its agent may be silent.
        if let Ok(thread) = self.open_thread(view, task).await
            && let Some(attempt) = attempts.checked_sub(1)
        {
            self.begin_attempt(view, thread, &AttemptRef { run, task, attempt }).await;
        }
        if place.message.is_none() {
            place = self.places.find(&name).await.unwrap_or(place);
        }
        let Some(message) = place.message else { return };
        let anchor = words::anchor(view, task);
        match self.places.edit(place.channel, message, &anchor, Priority::State).await {
            Ok(()) => {}
            // Deleted by somebody, or too old to be changed: the card and the thread say it, too.
            Err(error) => tracing::debug!(%error, "the message of a task was not changed"),
        }
        let (Some(thread), Some(result)) =
            (self.thread(run, task).await, words::result(view, task))
        else {
            return;
        };
        let name = format!("task/{}/{}/end/{attempts}", run.0, task.0);
        if let Err(error) = self.post(&name, thread, &result, Priority::State).await {
            tracing::warn!(%error, "the end of a task was not shown");
        }
    }
}

fn anchor_name(run: RunId, task: TaskIx) -> String {
    format!("task/{}/{}/anchor", run.0, task.0)
}
