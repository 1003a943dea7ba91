//! The live output of every attempt: many writers, one slow reader each, bounded.
//!
//! What is posted here is a view; the whole output is in the attempt's log. A thread that cannot
//! keep up loses the middle, and is told how much, instead of slowing the agent down.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use dashmap::DashMap;
use tokio::sync::Notify;

use crate::ids::{RunId, TaskId};
use crate::notify::{TaskRef, ThreadFactory};

/// How much output may wait for one thread: enough for a screenful of context many times over,
/// little enough that a thousand stuck threads stay below 64 MiB.
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// One piece of what an attempt says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Text as the agent or a gate wrote it, perhaps a part of a line.
    Text(String),
    /// One line about what the agent does: a tool call, a step.
    Line(String),
    /// What the agent thinks, for those who want to see everything.
    Thought(String),
}

impl Output {
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) | Self::Line(text) | Self::Thought(text) => text.len(),
        }
    }
}

/// A piece of output with what was lost before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Bytes that this thread missed just before; they are in the log.
    pub missed_bytes: usize,
    /// The output.
    pub output: Output,
}

#[derive(Debug, Default)]
struct Waiting {
    pieces: VecDeque<Output>,
    bytes: usize,
    missed: usize,
    closed: bool,
}

#[derive(Debug, Default)]
struct Stream {
    waiting: Mutex<Waiting>,
    more: Notify,
}

impl Stream {
    fn push(&self, output: Output) {
        let mut waiting = self.waiting.lock().expect("BUG: nobody panics with this lock");
        waiting.bytes += output.bytes();
        match (waiting.pieces.back_mut(), output) {
            (Some(Output::Text(last)), Output::Text(more)) => last.push_str(&more),
            (_, output) => waiting.pieces.push_back(output),
        }
        while waiting.bytes > WAITING_BYTES_MAX {
            let excess = waiting.bytes - WAITING_BYTES_MAX / 2;
            let lost = match waiting.pieces.front_mut() {
                // Of a text that is too long by itself the end is what people want to see.
                Some(Output::Text(text)) if text.len() > excess => cut_front(text, excess),
                Some(_) => waiting.pieces.pop_front().map_or(0, |piece| piece.bytes()),
                None => break,
            };
            waiting.bytes -= lost;
            waiting.missed += lost;
        }
        self.more.notify_one();
    }

    fn close(&self) {
        self.waiting.lock().expect("BUG: nobody panics with this lock").closed = true;
        self.more.notify_one();
    }

    /// The next piece; `None` once closed and empty.
    async fn next(&self) -> Option<Chunk> {
        loop {
            {
                let mut waiting = self.waiting.lock().expect("BUG: nobody panics with this lock");
                if let Some(output) = waiting.pieces.pop_front() {
                    waiting.bytes -= output.bytes();
                    let missed_bytes = std::mem::take(&mut waiting.missed);
                    return Some(Chunk { missed_bytes, output });
                }
                if waiting.closed {
                    return None;
                }
            }
            self.more.notified().await;
        }
    }
}

/// Takes at least `bytes` bytes from the front, to the end of a line where there is one; says how
/// many.
fn cut_front(text: &mut String, bytes: usize) -> usize {
    let line_end = text.as_bytes()[bytes..].iter().position(|byte| *byte == b'\n');
    let mut at = line_end.map_or(bytes, |end| bytes + end + 1);
    while !text.is_char_boundary(at) {
        at += 1;
    }
    text.replace_range(..at, "");
    at
}

/// All live streams.
#[derive(Clone)]
pub struct Streams {
    factories: Vec<Arc<dyn ThreadFactory>>,
    /// For each task one stream to each factory: a slow one holds up no other.
    open: Arc<Open>,
}

type Open = DashMap<(RunId, TaskId), Vec<Arc<Stream>>>;

impl Streams {
    /// Streams into threads of each factory; without any, output goes to the logs only.
    pub fn new(factories: Vec<Arc<dyn ThreadFactory>>) -> Self {
        Self { factories, open: Arc::default() }
    }

    /// Shows a piece of output in the task's thread, which is opened on first use.
    pub fn post(&self, task: &TaskRef, title: &str, output: Output) {
        if self.factories.is_empty() {
            return;
        }
        let entry = self.open.entry((task.run, task.task.clone()));
        let streams = entry.or_insert_with(|| {
            let open = |factory: &Arc<dyn ThreadFactory>| {
                let stream = Arc::new(Stream::default());
                let reader = pump(factory.clone(), task.clone(), title.to_owned(), stream.clone());
                drop(tokio::spawn(reader));
                stream
            };
            self.factories.iter().map(open).collect()
        });
        for stream in streams.iter() {
            stream.push(output.clone());
        }
    }

    /// Nothing more comes from this attempt; its thread stays where it is.
    pub fn close(&self, task: &TaskRef) {
        let streams = self.open.remove(&(task.run, task.task.clone()));
        for stream in streams.into_iter().flat_map(|(_, streams)| streams) {
            stream.close();
        }
    }
}

async fn pump(factory: Arc<dyn ThreadFactory>, task: TaskRef, title: String, stream: Arc<Stream>) {
    let thread = match factory.create_thread(&task, &title).await {
        Ok(thread) => thread,
        Err(error) => {
            tracing::warn!(task = %task, %error, "no thread for the output; the log has it");
            return;
        }
    };
    while let Some(chunk) = stream.next().await {
        if let Err(error) = thread.post(&chunk).await {
            tracing::warn!(task = %task, %error, "output was not shown; the log has it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn text_is_joined_and_a_slow_reader_is_told_what_it_missed() {
        let stream = Stream::default();
        stream.push(Output::Text("a".into()));
        stream.push(Output::Text("b".into()));
        stream.push(Output::Line("tool".into()));
        let first = stream.next().await.unwrap();
        assert_eq!(first, Chunk { missed_bytes: 0, output: Output::Text("ab".into()) });
        stream.push(Output::Text("x".repeat(WAITING_BYTES_MAX)));
        let next = stream.next().await.unwrap();
        assert_eq!(next.missed_bytes, "tool".len());
        stream.push(Output::Text("old\n".repeat(WAITING_BYTES_MAX)));
        stream.push(Output::Text("new\n".into()));
        let next = stream.next().await.unwrap();
        let Output::Text(text) = next.output else { panic!("{:?}", next.output) };
        assert_eq!(next.missed_bytes + text.len(), 4 * WAITING_BYTES_MAX + 4);
        assert!(text.starts_with("old\n") && text.ends_with("new\n"));
        stream.close();
        assert_eq!(stream.next().await, None);
    }
}
