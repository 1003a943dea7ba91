//! The daemon's side of a launch: starting a shim, finding one again, and following what it does.
//!
//! What a program wrote and said is read from its files, by position; the shim only tells how far
//! they go. So nothing is lost or doubled over a restart of the daemon, and a slow reader holds
//! nobody up. Dropping a [`Supervised`] leaves the program running.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::agents::process::control::{
    Asked, LINE_BYTES_MAX, Lines, Order, State, Told, connect, say,
};
use crate::agents::process::hostile::{self, InvalidSignal};
use crate::agents::process::shim::Reply;
use crate::agents::process::{
    Error, Exit, LaunchSpec, MARKER, Part, RECORD_BYTES_MAX, RECORD_SCHEMA, Record, marker, tree,
};
use crate::agents::signals::{SignalReader, Signalled};
use crate::crash;
use crate::ids::check_name;

/// One read of a log: a few hundred lines, and small enough to be passed on as one piece.
const CHUNK_BYTES: u64 = 64 << 10;

/// A shim that holds its lock but does not answer is starting or ending, which takes milliseconds.
const CONNECT_PAUSE: Duration = Duration::from_millis(5);

/// Two seconds of that on the busiest machine; after that its socket is gone for good.
const CONNECT_TRIES_MAX: u32 = 400;

/// A killed process is gone within milliseconds; five seconds for one that the kernel holds.
const KILL_PAUSE: Duration = Duration::from_millis(10);
const KILL_TRIES_MAX: u32 = 500;

/// How far a reader has come. Handed to [`adopt`], it goes on from there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// In the log.
    pub log_bytes: u64,
    /// The number of the last signal.
    pub signals: u32,
}

/// What a program does.
#[derive(Debug, Clone, PartialEq)]
pub enum ProcessEvent {
    /// It wrote this.
    Output(Vec<u8>),
    /// It said this.
    Signal(Signalled),
    /// It ended, and nothing of it is left.
    Exited(Exit),
}

/// What is found of a launch. In every case but the last, what the program wrote and said since
/// the cursor comes first, then how it ended.
#[derive(Debug)]
pub enum Adopted<T> {
    /// It runs.
    Running(T),
    /// It ended, and how is known.
    Finished(T),
    /// It is gone, and how it ended is not known. Nothing of it is left.
    Lost(T),
    /// It was never started.
    Never,
}

impl<T> Adopted<T> {
    /// The same with another handle.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Adopted<U> {
        match self {
            Self::Running(found) => Adopted::Running(change(found)),
            Self::Finished(found) => Adopted::Finished(change(found)),
            Self::Lost(found) => Adopted::Lost(change(found)),
            Self::Never => Adopted::Never,
        }
    }
}

/// Starts programs.
#[derive(Debug, Clone)]
pub struct Launcher {
    helper: PathBuf,
}

impl Default for Launcher {
    /// With the program that is running now as the helper, even if its file was replaced since.
    fn default() -> Self {
        Self::new("/proc/self/exe")
    }
}

impl Launcher {
    /// With `helper`, a `taskloom`, as the program that serves as shim.
    pub fn new(helper: impl Into<PathBuf>) -> Self {
        Self { helper: helper.into() }
    }

    /// Starts what `spec` says. A stem can be launched once, ever. That the program itself cannot
    /// be started is told by [`ProcessEvent::Exited`], not here.
    pub async fn launch(&self, spec: &LaunchSpec) -> Result<Supervised, Error> {
        check_name(&spec.stem).expect("BUG: a stem is a name");
        let refused = |why: String| Error::NotLaunched {
            dir: spec.dir.clone(),
            stem: spec.stem.clone(),
            why,
        };
        let mut line = serde_json::to_vec(spec).map_err(|e| refused(e.to_string()))?;
        line.push(b'\n');
        let mut shim = self.spawn(spec).map_err(Error::io("start", &self.helper))?;
        let reply = converse(&mut shim, &line).await;
        match reply.map_err(|e| refused(format!("its shim does not answer: {e}")))? {
            Reply::Ready => {}
            Reply::Taken => {
                let (dir, stem) = (spec.dir.clone(), spec.stem.clone());
                return Err(Error::AlreadyLaunched { dir, stem });
            }
            Reply::Refused { why } => return Err(refused(why)),
        }
        // Whoever starts a process must collect it; it needs nothing else from us.
        tokio::spawn(async move { shim.wait().await });
        let place = Place { dir: spec.dir.clone(), stem: spec.stem.clone() };
        match place.connect() {
            Ok(stream) => Ok(place.supervise(stream.into(), Cursor::default())),
            // It may have ended by now; if so there is a record of that.
            Err(_) => match adopt(&spec.dir, &spec.stem, Cursor::default()).await? {
                Adopted::Running(found) | Adopted::Finished(found) | Adopted::Lost(found) => {
                    Ok(found)
                }
                Adopted::Never => Err(refused("its shim is gone".to_owned())),
            },
        }
    }

    fn spawn(&self, spec: &LaunchSpec) -> io::Result<Child> {
        #[expect(clippy::disallowed_methods, reason = "the one supervisor of processes")]
        let mut command = Command::new(&self.helper);
        // The shim needs nothing of the daemon's environment, and what it does not have nobody
        // can read out of it.
        command
            .arg0("taskloom")
            .arg("shim")
            .env_clear()
            .env(MARKER, marker(&spec.dir, &spec.stem))
            .envs(crash::variables())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        command.spawn()
    }
}

async fn converse(shim: &mut Child, line: &[u8]) -> io::Result<Reply> {
    let (stdin, stdout) = (shim.stdin.take(), shim.stdout.take());
    let (Some(mut stdin), Some(stdout)) = (stdin, stdout) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    stdin.write_all(line).await?;
    let reply = Lines::new(stdout, LINE_BYTES_MAX).next_value().await;
    reply.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// Finds a launch again, after a restart or instead of a second launch, and goes on after `seen`.
pub async fn adopt(dir: &Path, stem: &str, seen: Cursor) -> Result<Adopted<Supervised>, Error> {
    let place = Place { dir: dir.to_owned(), stem: stem.to_owned() };
    for _ in 0..CONNECT_TRIES_MAX {
        match place.lock()? {
            // Held until the verdict, so that a shim that is late does not start meanwhile.
            Lock::Free(_lock) => return Ok(place.settle(seen).await),
            Lock::Held => {
                if let Ok(stream) = place.connect() {
                    return Ok(Adopted::Running(place.supervise(stream.into(), seen)));
                }
            }
        }
        sleep(CONNECT_PAUSE).await;
    }
    // It lives but cannot be reached, because somebody took its socket away: it must not go on.
    Ok(place.settle(seen).await)
}

/// Where the records of one launch are.
#[derive(Debug, Clone)]
struct Place {
    dir: PathBuf,
    stem: String,
}

enum Lock {
    /// No shim has it; the file is ours as long as it is held, if there is one.
    Free(Option<File>),
    Held,
}

impl Place {
    fn path(&self, part: Part) -> PathBuf {
        self.dir.join(part.of(&self.stem))
    }

    fn lock(&self) -> Result<Lock, Error> {
        let path = self.path(Part::Lock);
        // One that was put in the place of the shim's is held by nobody who matters.
        let Ok(Some(file)) = hostile::open(&path) else { return Ok(Lock::Free(None)) };
        match file.try_lock() {
            Ok(()) => Ok(Lock::Free(Some(file))),
            Err(TryLockError::WouldBlock) => Ok(Lock::Held),
            Err(TryLockError::Error(e)) => Err(Error::io("lock", &path)(e)),
        }
    }

    fn connect(&self) -> io::Result<UnixStream> {
        let stream = connect(&self.dir, &Part::Control.of(&self.stem))?;
        stream.set_nonblocking(true)?;
        UnixStream::from_std(stream)
    }

    fn supervise(self, link: Link, seen: Cursor) -> Supervised {
        let mut trouble = None;
        let log = hostile::open(&self.path(Part::Log)).unwrap_or_else(|invalid| {
            trouble = Some(invalid);
            None
        });
        let signals = self.path(Part::Signals);
        let signals = SignalReader::open(&signals, seen.signals).unwrap_or_else(|invalid| {
            trouble = Some(invalid);
            None
        });
        let state = State::default();
        Supervised { place: self, link, state, seen, log, signals, trouble, orders: 0 }
    }

    /// What became of a launch that nobody supervises any more.
    async fn settle(self, seen: Cursor) -> Adopted<Supervised> {
        if let Ok(Some(exit)) = self.read::<Exit>(Part::Exit) {
            let mut found = self.supervise(Link::Exited(exit.clone()), seen);
            found.state = State { signals: u32::MAX, log_bytes: exit.log_bytes, exit: None };
            return Adopted::Finished(found);
        }
        let record = self.read::<Record>(Part::Record);
        let known = !matches!(record, Ok(None));
        let record = record.ok().flatten().filter(|r| r.schema == RECORD_SCHEMA);
        let rebooted = record.as_ref().is_some_and(|r| r.boot_id != tree::boot_id());
        let killed = if rebooted { 0 } else { self.kill_remains(record.as_ref()).await };
        if !known && killed == 0 {
            return Adopted::Never;
        }
        let why = match rebooted {
            true => "the machine was restarted while the program ran",
            false => "the program's supervisor was killed",
        };
        let log = self.path(Part::Log);
        let log_bytes = fs::symlink_metadata(log).map_or(0, |m| m.len());
        let mut found = self.supervise(Link::Lost { why, killed }, seen);
        found.state = State { signals: u32::MAX, log_bytes, exit: None };
        Adopted::Lost(found)
    }

    async fn kill_remains(&self, record: Option<&Record>) -> u32 {
        let remains = tree::Remains::of(record, marker(&self.dir, &self.stem));
        let mut killed = BTreeSet::new();
        for _ in 0..KILL_TRIES_MAX {
            let found = remains.kill();
            if found.is_empty() && remains.are_cleared() {
                break;
            }
            killed.extend(found);
            sleep(KILL_PAUSE).await;
        }
        killed.len() as u32
    }

    fn read<T: DeserializeOwned>(&self, part: Part) -> Result<Option<T>, InvalidSignal> {
        let path = self.path(part);
        let Some(content) = hostile::read(&path, RECORD_BYTES_MAX)? else { return Ok(None) };
        let invalid = |e: serde_json::Error| InvalidSignal::new(&path, e.to_string());
        serde_json::from_slice(&content).map(Some).map_err(invalid)
    }
}

/// How a launch is reached.
#[derive(Debug)]
enum Link {
    Live(Box<Live>),
    Exited(Exit),
    Lost {
        why: &'static str,
        killed: u32,
    },
    /// All has been told.
    Over,
}

#[derive(Debug)]
struct Live {
    from: Lines<OwnedReadHalf>,
    to: OwnedWriteHalf,
}

impl From<UnixStream> for Link {
    fn from(stream: UnixStream) -> Self {
        let (from, to) = stream.into_split();
        Self::Live(Box::new(Live { from: Lines::new(from, LINE_BYTES_MAX), to }))
    }
}

/// What was heard on a live link.
enum Heard {
    News,
    Reply { id: u64, error: Option<String> },
    Silence,
}

/// A launched program, followed from some point on.
#[derive(Debug)]
pub struct Supervised {
    place: Place,
    link: Link,
    state: State,
    seen: Cursor,
    log: Option<File>,
    signals: Option<SignalReader>,
    /// A record that is not what it should be; to be told once.
    trouble: Option<InvalidSignal>,
    orders: u64,
}

impl Supervised {
    /// What the program does next; `None` after the end was told. Dropping the call while it
    /// waits loses nothing.
    pub async fn next(&mut self) -> Result<Option<ProcessEvent>, Error> {
        if let Some(invalid) = self.trouble.take() {
            return Err(invalid.into());
        }
        loop {
            if self.state.log_bytes > self.seen.log_bytes {
                // A file is always ready: without a pause who reads it would hold up all others.
                tokio::task::yield_now().await;
            }
            if let Some(output) = self.read_log()? {
                return Ok(Some(ProcessEvent::Output(output)));
            }
            if let Some(signal) = self.read_signal()? {
                return Ok(Some(ProcessEvent::Signal(signal)));
            }
            match &mut self.link {
                Link::Live(_) => self.follow().await?,
                Link::Exited(exit) => {
                    let exit = exit.clone();
                    self.link = Link::Over;
                    return Ok(Some(ProcessEvent::Exited(exit)));
                }
                Link::Lost { why, killed } => {
                    let lost = Error::Lost { why, killed: *killed };
                    self.link = Link::Over;
                    return Err(lost);
                }
                Link::Over => return Ok(None),
            }
        }
    }

    /// Passes over all that comes before the end.
    pub async fn wait(&mut self) -> Result<Exit, Error> {
        loop {
            match self.next().await? {
                Some(ProcessEvent::Exited(exit)) => return Ok(exit),
                Some(ProcessEvent::Output(_) | ProcessEvent::Signal(_)) => {}
                None => return Err(Error::Ended),
            }
        }
    }

    /// How far [`Supervised::next`] has come.
    pub fn cursor(&self) -> Cursor {
        self.seen
    }

    /// How many signals the program has given, as far as they were read.
    pub fn signals(&self) -> u32 {
        self.signals.as_ref().map_or(0, SignalReader::seen)
    }

    /// Begins to end the program: interrupts it and closes its input, asks it to terminate, and
    /// after `grace` kills it with all that is below it. That it has ended is told by
    /// [`Supervised::next`]. One that has ended already is no error.
    pub async fn stop(&mut self, grace: Duration) -> Result<(), Error> {
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        match self.order(Order::Stop { grace_ms }).await {
            Err(Error::Ended) => Ok(()),
            done => done,
        }
    }

    /// Interrupts what the program does just now.
    pub async fn interrupt(&mut self) -> Result<(), Error> {
        self.order(Order::Interrupt).await
    }

    /// Writes to the program's input; it was launched with [`Input::Open`](super::Input::Open).
    pub async fn write_stdin(&mut self, text: impl Into<String>) -> Result<(), Error> {
        self.order(Order::Stdin { key: None, text: text.into() }).await
    }

    /// Writes to the program's input what was not written under this key before, by whomever.
    pub async fn write_stdin_once(&mut self, key: &str, text: &str) -> Result<(), Error> {
        self.order(Order::Stdin { key: Some(key.to_owned()), text: text.to_owned() }).await
    }

    /// Closes the program's input once it has read what was written.
    pub async fn close_stdin(&mut self) -> Result<(), Error> {
        self.order(Order::CloseStdin).await
    }

    /// Answers the question that was signal `seq`.
    pub async fn answer(&mut self, seq: u32, text: impl Into<String>) -> Result<(), Error> {
        self.order(Order::Answer { seq, text: text.into() }).await
    }

    async fn order(&mut self, order: Order) -> Result<(), Error> {
        let Link::Live(live) = &mut self.link else { return Err(Error::Ended) };
        self.orders += 1;
        let own = self.orders;
        say(&mut live.to, &Asked { id: own, order }).await.map_err(|_| Error::Ended)?;
        loop {
            match self.listen().await {
                Heard::Reply { id, error } if id == own => {
                    return error.map_or(Ok(()), |why| Err(Error::Refused(why)));
                }
                Heard::Silence => return Err(Error::Ended),
                Heard::Reply { .. } | Heard::News => {}
            }
        }
    }

    /// Waits for news; a link that broke is picked up by the records.
    async fn follow(&mut self) -> Result<(), Error> {
        let Heard::Silence = self.listen().await else { return Ok(()) };
        let Place { dir, stem } = &self.place;
        match adopt(dir, stem, self.seen).await {
            Ok(Adopted::Running(found) | Adopted::Finished(found) | Adopted::Lost(found)) => {
                *self = found;
            }
            Ok(Adopted::Never) => {
                self.link = Link::Lost { why: "the program's records are gone", killed: 0 };
            }
            Err(error) => {
                self.link = Link::Over;
                return Err(error);
            }
        }
        Ok(())
    }

    async fn listen(&mut self) -> Heard {
        let Link::Live(live) = &mut self.link else { return Heard::Silence };
        match live.from.next_value().await {
            None => Heard::Silence,
            Some(Told::Reply { id, error }) => Heard::Reply { id, error },
            Some(Told::State(mut state)) => {
                if let Some(exit) = state.exit.take() {
                    self.link = Link::Exited(exit);
                }
                self.state = state;
                Heard::News
            }
        }
    }

    fn read_log(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let open = self.state.log_bytes.saturating_sub(self.seen.log_bytes).min(CHUNK_BYTES);
        let (Some(log), 1..) = (&self.log, open) else { return Ok(None) };
        let mut chunk = vec![0; open as usize];
        let read = log.read_at(&mut chunk, self.seen.log_bytes).map_err(|e| {
            // Said once; how the program ends is still to be told.
            self.log = None;
            Error::io("read", self.place.path(Part::Log))(e)
        });
        chunk.truncate(read?);
        if chunk.is_empty() {
            // Somebody made it shorter than it was; what is gone is gone.
            self.seen.log_bytes = self.state.log_bytes;
            return Ok(None);
        }
        self.seen.log_bytes += chunk.len() as u64;
        Ok(Some(chunk))
    }

    fn read_signal(&mut self) -> Result<Option<Signalled>, Error> {
        let Some(reader) = self.signals.as_mut().filter(|_| self.seen.signals < self.state.signals)
        else {
            return Ok(None);
        };
        match reader.next() {
            Ok(Some(signal)) => {
                self.seen.signals = reader.seen();
                Ok(Some(signal))
            }
            Ok(None) => {
                self.state.signals = self.seen.signals;
                Ok(None)
            }
            Err(invalid) => {
                // Said once; how the program ends is still to be told.
                self.signals = None;
                Err(invalid.into())
            }
        }
    }
}
