//! One task's output as it comes: a message that grows, is edited at most every few seconds, and
//! is followed by another when it is full. Bounded: what comes faster than it can be shown waits
//! with its writer, which drops what is old and says how much.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use crate::discord::board::places::id_of;
use crate::discord::options::Verbosity;
use crate::discord::outbox::{Call, Error, Outbox, Priority};
use crate::discord::post::Post;
use crate::discord::text::{Pages, block};
use crate::notify::{self, Chunk, Output, TaskThread};
use crate::render::words;
use crate::time::Timestamp;

/// The shortest time between two edits of a live message.
const EDIT_EVERY: Duration = Duration::from_secs(2);

/// All live messages together are edited at most so often a second.
const EDITS_PER_SECOND: u32 = 30;

/// What may wait here; more waits with the writer.
const PENDING_BYTES_MAX: usize = 16 * 1024;

/// Output that would fill more messages than this at once is cut to its end.
const PAGES_AT_ONCE: usize = 3;

/// How many feeds are live, over all threads.
pub(crate) type Live = Arc<AtomicUsize>;

#[derive(Default)]
struct Pending {
    text: String,
    missed: usize,
    /// Something that was left out, in bytes, since the feed began.
    left_out: usize,
    /// The text ends inside a line.
    open_line: bool,
}

/// One thread's live output.
pub(crate) struct Feed {
    thread: u64,
    outbox: Outbox,
    live: Live,
    pending: Mutex<Pending>,
    shown: Notify,
    current: tokio::sync::Mutex<Current>,
}

#[derive(Default)]
struct Current {
    message: Option<u64>,
    pages: Pages,
    shown: Option<String>,
    /// Counts messages, for their nonces.
    number: u64,
}

impl Feed {
    /// Begins to show output in `thread`; ends when the last writer lets go.
    pub(crate) fn start(thread: u64, outbox: Outbox, live: Live, now: Timestamp) -> Arc<Self> {
        // Numbers go on from the clock, so that no nonce of an earlier feed comes again.
        let current = Current { number: now.0.unsigned_abs(), ..Current::default() };
        let feed = Arc::new(Self {
            thread,
            outbox,
            live,
            pending: Mutex::default(),
            shown: Notify::new(),
            current: tokio::sync::Mutex::new(current),
        });
        feed.live.fetch_add(1, Ordering::Relaxed);
        drop(tokio::spawn(run(Arc::downgrade(&feed))));
        feed
    }

    fn interval(&self) -> Duration {
        let live = u32::try_from(self.live.load(Ordering::Relaxed)).unwrap_or(u32::MAX);
        EDIT_EVERY.max(Duration::from_secs(1) * live / EDITS_PER_SECOND)
    }

    fn push(&self, text: &str, line: bool, missed: usize) -> bool {
        let mut pending = self.pending.lock().expect("BUG: nobody panics with this lock");
        pending.missed += missed;
        if line && pending.open_line {
            pending.text.push('\n');
        }
        pending.text.push_str(text);
        if line {
            pending.text.push('\n');
        }
        pending.open_line = !pending.text.ends_with('\n');
        pending.text.len() > PENDING_BYTES_MAX
    }

    /// Shows what waits. Nothing that follows is shown before.
    pub(crate) async fn flush(&self) -> Result<(), Error> {
        let mut current = self.current.lock().await;
        let (text, missed) = {
            let mut pending = self.pending.lock().expect("BUG: nobody panics with this lock");
            let text = std::mem::take(&mut pending.text);
            let missed = std::mem::take(&mut pending.missed);
            let (text, cut) = tail(text);
            pending.left_out += missed + cut;
            (text, missed + cut)
        };
        self.shown.notify_waiters();
        let mut added = String::new();
        if missed > 0 {
            let size = words::bytes(missed as u64);
            added = format!("… {size} left out here; Full log has everything\n");
        }
        added.push_str(&block(&text));
        if added.is_empty() {
            return Ok(());
        }
        for page in current.pages.add(&added) {
            self.show(&mut current, page, true).await?;
        }
        if let Some(page) = current.pages.current() {
            self.show(&mut current, page, false).await?;
        }
        Ok(())
    }

    async fn show(&self, current: &mut Current, page: String, full: bool) -> Result<(), Error> {
        if current.shown.as_ref() != Some(&page) {
            self.send(current, &page).await?;
            current.shown = Some(page);
        }
        if full {
            (current.message, current.shown) = (None, None);
        }
        Ok(())
    }

    async fn send(&self, current: &mut Current, page: &str) -> Result<(), Error> {
        let post = Post::text(page);
        if let Some(message) = current.message {
            let call = Call::Edit { message, post: post.clone() };
            match self.outbox.ask(self.thread, Priority::Live, call).await {
                // Somebody deleted it: it goes on in a new one.
                Err(error) if error.is_gone() || error.is_too_old() => current.message = None,
                other => return other.map(drop),
            }
        }
        current.number += 1;
        let nonce = format!("{:x}.{:x}", self.thread & 0xffff_ffff, current.number);
        let call = Call::Create { post, nonce: nonce.clone() };
        match self.outbox.ask(self.thread, Priority::Live, call).await {
            Ok(body) => {
                current.message = id_of(&body);
                Ok(())
            }
            Err(error) if error.is_filtered() => {
                let post =
                    Post::text("-# output withheld by a filter of this server; Full log has it");
                let call = Call::Create { post, nonce: nonce + "w" };
                self.outbox.ask(self.thread, Priority::Live, call).await.map(drop)
            }
            Err(error) => Err(error),
        }
    }

    /// What comes next begins in a message of its own.
    pub(crate) async fn turn_page(&self) {
        let mut current = self.current.lock().await;
        let number = current.number;
        *current = Current { number, ..Current::default() };
    }

    /// Bytes that were left out so far.
    pub(crate) fn left_out(&self) -> usize {
        self.pending.lock().expect("BUG: nobody panics with this lock").left_out
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The end of a text that is too much to show at once, from the beginning of a line, and how many
/// bytes are left out.
fn tail(text: String) -> (String, usize) {
    if Pages::needed(&text) <= PAGES_AT_ONCE {
        return (text, 0);
    }
    let mut from = text.len().saturating_sub(crate::discord::text::CONTENT_UNITS_MAX);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let from = text[from..].find('\n').map_or(from, |end| from + end + 1);
    (text[from..].to_owned(), from)
}

async fn run(feed: std::sync::Weak<Feed>) {
    loop {
        let Some(strong) = feed.upgrade() else { return };
        let interval = strong.interval();
        let waiting = {
            let pending = strong.pending.lock().expect("BUG: nobody panics with this lock");
            !pending.text.is_empty()
        };
        if waiting && let Err(error) = strong.flush().await {
            tracing::debug!(%error, "live output was not shown; the log has it");
        }
        drop(strong);
        tokio::time::sleep(interval).await;
    }
}

/// A writer to a feed.
pub(crate) struct Writer {
    pub(crate) feed: Arc<Feed>,
    pub(crate) board: std::sync::Weak<crate::discord::board::Board>,
    pub(crate) attempt: crate::discord::board::threads::AttemptRef,
}

#[async_trait]
impl TaskThread for Writer {
    async fn post(&self, chunk: &Chunk) -> Result<(), notify::Error> {
        let Some(board) = self.board.upgrade() else { return Ok(()) };
        let (text, line) = match (&chunk.output, board.verbosity()) {
            (_, Verbosity::Quiet) | (Output::Thought(_), Verbosity::Normal) => return Ok(()),
            (Output::Text(text), _) => (text.clone(), false),
            (Output::Line(text), _) => (format!("▸ {text}"), true),
            (Output::Thought(text), Verbosity::All) => (format!("∴ {text}"), true),
        };
        let shown = self.feed.shown.notified();
        if self.feed.push(&text, line, chunk.missed_bytes) {
            shown.await;
        }
        Ok(())
    }

    async fn summary_to_parent(&self, _: &str) -> Result<(), notify::Error> {
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(board) = self.board.upgrade() {
            let (feed, attempt) = (self.feed.clone(), self.attempt.clone());
            drop(tokio::spawn(async move { board.attempt_shown(feed, attempt).await }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_too_much_the_end_is_shown_from_a_line_on() {
        let text: String = (0..2_000).map(|n| format!("line {n}\n")).collect();
        let length = text.len();
        let (shown, cut) = tail(text);
        assert!(shown.starts_with("line ") && shown.ends_with("line 1999\n"));
        assert_eq!(shown.len() + cut, length);
        assert_eq!(tail("short\n".to_owned()), ("short\n".to_owned(), 0));
    }
}
