//! The two sockets of a shim and what is said on them, one JSON value per line.
//!
//! On the control socket the shim says how things stand: the whole of it, every time, so that a
//! line that is skipped or a client that comes late misses nothing. On the agent socket the
//! program says one signal per connection. This file must not decide anything: requests go to the
//! shim's inbox.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::net;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::Sleep;

use crate::agents::process::Exit;
use crate::agents::signals::{self, Signal};

/// The longest line either side reads: a text for the program's input, with room to spare.
pub(super) const LINE_BYTES_MAX: usize = 4 << 20;

/// Ten milliseconds between two lines about growing output: faster than any eye, and a program
/// that writes byte by byte costs its watcher a hundred lines a second and not a million.
const QUIET: Duration = Duration::from_millis(10);

/// A daemon needs one connection, its successor one more before the kernel has cleared up; the
/// rest is for people who look.
const CLIENTS_MAX: usize = 16;

/// Questions that wait for their answers hold a connection each; an agent asks one at a time, its
/// helpers perhaps a few.
const SPEAKERS_MAX: usize = 64;

/// A program that connects and says nothing gives its place back after this.
const SPEAK_WITHIN: Duration = Duration::from_secs(10);

/// Where a launch stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// How long the log is.
    pub(super) log_bytes: u64,
    /// How many signals there are.
    pub(super) signals: u32,
    /// How it ended.
    pub(super) exit: Option<Exit>,
}

/// What a client is told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Told {
    /// Where things stand.
    State(State),
    /// What came of a command.
    Reply { id: u64, error: Option<String> },
}

/// What a client says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) id: u64,
    pub(super) order: Order,
}

/// What a client may ask for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Order {
    /// End it within the grace.
    Stop { grace_ms: u64 },
    /// Interrupt what it does just now.
    Interrupt,
    /// Write to its input; what has a key is written once, however often it is asked for.
    Stdin { key: Option<String>, text: String },
    /// Close its input.
    CloseStdin,
    /// Answer a question of its.
    Answer { seq: u32, text: String },
}

/// What reaches the shim's one loop.
pub(super) enum Request {
    /// From a client.
    Order(Order, oneshot::Sender<Result<(), String>>),
    /// From the program.
    Signal(Signal, oneshot::Sender<Result<Accepted, String>>),
}

/// A signal that was written down.
pub(super) struct Accepted {
    pub(super) seq: u32,
    /// For a question: where its answer will come.
    pub(super) answer: Option<oneshot::Receiver<String>>,
}

/// Reads lines of bounded length; dropping a read that waits loses nothing.
#[derive(Debug)]
pub(super) struct Lines<R> {
    from: BufReader<R>,
    line: Vec<u8>,
    bytes_max: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(from: R, bytes_max: usize) -> Self {
        Self { from: BufReader::new(from), line: Vec::new(), bytes_max }
    }

    /// The next line; `None` at the end, or when the other side does not keep to the bound.
    pub(super) async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let chunk = self.from.fill_buf().await.ok().filter(|c| !c.is_empty())?;
            let end = chunk.iter().position(|b| *b == b'\n');
            let taken = end.unwrap_or(chunk.len());
            self.line.extend_from_slice(&chunk[..taken]);
            self.from.consume(taken + usize::from(end.is_some()));
            if self.line.len() > self.bytes_max {
                return None;
            }
            if end.is_some() {
                return Some(std::mem::take(&mut self.line));
            }
        }
    }

    /// The next line as data; `None` also when it is not the data that was expected.
    pub(super) async fn next_value<T: DeserializeOwned>(&mut self) -> Option<T> {
        serde_json::from_slice(&self.next().await?).ok()
    }
}

/// Says one value.
pub(super) async fn say<T: Serialize>(
    to: &mut (impl AsyncWrite + Unpin),
    value: &T,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    to.write_all(&line).await
}

/// Connects to the socket `name` in `dir` through the directory's descriptor: the path of a socket
/// may have 107 bytes at most (unix(7)), the path of a directory any number.
pub(in crate::agents) fn connect(dir: &Path, name: &str) -> io::Result<net::UnixStream> {
    let dir = File::open(dir)?;
    net::UnixStream::connect(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd()))
}

/// Serves every client of the control socket until the shim ends.
pub(super) async fn serve_clients(
    listener: UnixListener,
    inbox: mpsc::Sender<Request>,
    state: watch::Sender<State>,
) {
    let room = Arc::new(Semaphore::new(CLIENTS_MAX));
    while let Ok(place) = Arc::clone(&room).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else { break };
        let serving = serve_client(stream, inbox.clone(), state.subscribe());
        tokio::spawn(async move {
            serving.await;
            drop(place);
        });
    }
}

async fn serve_client(
    mut stream: UnixStream,
    inbox: mpsc::Sender<Request>,
    state: watch::Receiver<State>,
) {
    let (from, mut to) = stream.split();
    let mut lines = Lines::new(from, LINE_BYTES_MAX);
    let mut news = News::of(state);
    loop {
        let told = tokio::select! {
            asked = lines.next_value() => match asked {
                Some(asked) => match carry_out(asked, &inbox).await {
                    Some(reply) => reply,
                    // It is over; the last state says how.
                    None => continue,
                },
                None => return,
            },
            state = news.next() => match state {
                Some(state) => Told::State(state),
                None => return,
            },
        };
        let over = matches!(&told, Told::State(State { exit: Some(_), .. }));
        if say(&mut to, &told).await.is_err() || over {
            return;
        }
    }
}

async fn carry_out(asked: Asked, inbox: &mpsc::Sender<Request>) -> Option<Told> {
    let (reply, replied) = oneshot::channel();
    inbox.send(Request::Order(asked.order, reply)).await.ok()?;
    Some(Told::Reply { id: asked.id, error: replied.await.ok()?.err() })
}

/// The state whenever it changes, though not more often than anybody can use.
struct News {
    state: watch::Receiver<State>,
    /// A second look at the same, because the end does not wait for the pause to pass.
    end: watch::Receiver<State>,
    pause: Pin<Box<Sleep>>,
}

impl News {
    fn of(mut state: watch::Receiver<State>) -> Self {
        let end = state.clone();
        state.mark_changed();
        Self { state, end, pause: Box::pin(tokio::time::sleep(Duration::ZERO)) }
    }

    async fn next(&mut self) -> Option<State> {
        tokio::select! {
            () = self.pause.as_mut() => {}
            ended = self.end.wait_for(|s| s.exit.is_some()) => return Some(ended.ok()?.clone()),
        }
        self.state.changed().await.ok()?;
        let state = self.state.borrow_and_update().clone();
        self.pause = Box::pin(tokio::time::sleep(QUIET));
        Some(state)
    }
}

/// Serves the program on the agent socket until the shim ends.
pub(super) async fn serve_program(listener: UnixListener, inbox: mpsc::Sender<Request>) {
    let room = Arc::new(Semaphore::new(SPEAKERS_MAX));
    while let Ok(place) = Arc::clone(&room).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else { break };
        let serving = serve_speaker(stream, inbox.clone());
        tokio::spawn(async move {
            serving.await;
            drop(place);
        });
    }
}

async fn serve_speaker(mut stream: UnixStream, inbox: mpsc::Sender<Request>) {
    let (from, mut to) = stream.split();
    let mut lines = Lines::new(from, signals::SIGNAL_BYTES_MAX);
    let Ok(Some(line)) = tokio::time::timeout(SPEAK_WITHIN, lines.next()).await else { return };
    let accepted = match Signal::parse(&line) {
        Ok(signal) => take_down(signal, &inbox).await,
        Err(invalid) => Err(invalid.to_string()),
    };
    let reply = match &accepted {
        Ok(accepted) => signals::Reply::Accepted { seq: accepted.seq },
        Err(why) => signals::Reply::Refused { why: why.clone() },
    };
    if say(&mut to, &reply).await.is_err() {
        return;
    }
    let Ok(Accepted { answer: Some(answer), .. }) = accepted else { return };
    tokio::select! {
        answered = answer => if let Ok(text) = answered {
            say(&mut to, &signals::Reply::Answer { text }).await.ok();
        },
        // Whoever asked has gone away and waits no longer; dropping the receiver says so.
        _ = lines.next() => {}
    }
}

async fn take_down(signal: Signal, inbox: &mpsc::Sender<Request>) -> Result<Accepted, String> {
    let (reply, replied) = oneshot::channel();
    let sent = inbox.send(Request::Signal(signal, reply)).await;
    let over = || "this attempt is over".to_owned();
    match sent {
        Ok(()) => replied.await.unwrap_or_else(|_| Err(over())),
        Err(_) => Err(over()),
    }
}
