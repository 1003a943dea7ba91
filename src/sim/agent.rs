//! An agent that does what a script says, so that supervision, gates, merges and failures can be
//! tried without any coding agent.
//!
//! To the engine it is a program like any other: it works in its working directory, and what it
//! has to say it says as any agent does. It must not reach the engine in another way.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;

use crate::agents::process;
use crate::agents::signals::{self, DIR_VARIABLE, Signal};
use crate::git::{self, Git};
use crate::sim::repo;
use crate::sim::script::{Ask, Script, Stall, Step};

/// Exit code of an agent that was given another answer than it expected.
const OTHER_ANSWER: u8 = 4;

/// How often it looks for a file that it waits for.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What is written at once: as much as a pipe holds.
const CHUNK_BYTES: usize = 64 << 10;

/// Never UTF-8, and with what upsets a terminal or a reader of lines.
const GARBAGE: &[u8] = b"\xff\xfe\0\xc3\x28\x1b[2J\r\xed\xa0\x80\n\x80";

/// What a scripted agent could not do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file, or its output.
    #[error("cannot {doing} `{}`", .path.display())]
    Io {
        /// The verb.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The engine did not hear it.
    #[error(transparent)]
    Signal(#[from] signals::SendError),
    /// The commit.
    #[error(transparent)]
    Git(#[from] git::Error),
}

impl Error {
    fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}

/// Plays `script` in the working directory, as the attempt and turn that the environment names;
/// returns its exit code.
pub async fn play(
    script: &Script,
    out: &mut dyn Write,
    complaints: &mut dyn Write,
) -> Result<u8, Error> {
    let number = |name| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    let tree = std::env::current_dir().map_err(Error::io("find", "."))?;
    let dir = std::env::var_os(DIR_VARIABLE).map(PathBuf::from);
    let mut player = Player { tree, dir, out, complaints };
    for step in script.steps(number("TASKLOOM_ATTEMPT"), number("TASKLOOM_TURN")) {
        if let Some(code) = player.step(step.clone()).await? {
            return Ok(code);
        }
    }
    Ok(0)
}

struct Player<'a> {
    /// Where relative paths begin, and what is committed.
    tree: PathBuf,
    /// The attempt's directory, if this is one.
    dir: Option<PathBuf>,
    out: &'a mut dyn Write,
    complaints: &'a mut dyn Write,
}

impl Player<'_> {
    /// Does one thing; an exit code ends the play.
    // tidy: flat match
    async fn step(&mut self, step: Step) -> Result<Option<u8>, Error> {
        match step {
            Step::Say(text) => self.output(text.as_bytes(), text.len() as u64, b"\n")?,
            Step::Complain(text) => self.complain(&text)?,
            Step::Write { path, text } => self.write(&path, &text, fs::OpenOptions::truncate)?,
            Step::Append { path, text } => self.write(&path, &text, fs::OpenOptions::append)?,
            Step::Delete(path) => self.delete(&path)?,
            Step::Commit(message) => {
                repo::commit_all(&Git::find().await?, &self.tree, &message).await?;
            }
            Step::Done(summary) => self.send(&Signal::Done { summary })?,
            Step::NoChanges => self.send(&Signal::NoChanges {})?,
            Step::Failed(reason) => self.send(&Signal::Failed { reason })?,
            Step::Summary(text) => self.send(&Signal::Summary { text })?,
            Step::Learned(text) => self.send(&Signal::Learned { text })?,
            Step::Concern(text) => self.send(&Signal::Concern { text })?,
            Step::OpsConcern(text) => self.send(&Signal::OpsConcern { text })?,
            Step::Plan(text) => self.send(&Signal::Plan { text })?,
            Step::Progress(text) => self.send(&Signal::Progress { text })?,
            Step::Note { to, text } => self.send(&Signal::Note { to, text })?,
            Step::Declare { path, action, category } => {
                self.send(&Signal::Declare { path, action, category })?;
            }
            Step::Ask(ask) => return self.ask(ask),
            Step::WaitFor(path) => self.wait_for(&path).await,
            Step::Stall(Stall::For(span)) => sleep(span).await,
            Step::Stall(Stall::Forever) => std::future::pending().await,
            Step::Flood { bytes, line } => self.output(&flood_line(line), bytes, b"")?,
            Step::Garbage(bytes) => self.output(GARBAGE, bytes, b"")?,
            Step::LongLine(bytes) => self.output(b"x", bytes, b"\n")?,
            Step::Fork(span) => {
                process::leave_behind(span.0).map_err(Error::io("start", "sleep"))?;
            }
            Step::IgnoreTerm => heed_nothing().map_err(Error::io("hear", "signals"))?,
            Step::Crash => std::process::abort(),
            Step::Exit(code) => return Ok(Some(code)),
            Step::OnAttempt(_) | Step::OnTurn(_) => {
                unreachable!("BUG: the steps of a turn hold no cases")
            }
        }
        Ok(None)
    }

    fn send(&self, signal: &Signal) -> Result<(), Error> {
        Ok(signals::send(self.dir.as_deref(), signal).map(drop)?)
    }

    /// Writes `pattern` again and again until there are `bytes` of it, then `end`.
    fn output(&mut self, pattern: &[u8], bytes: u64, end: &[u8]) -> Result<(), Error> {
        let failed = Error::io("write to", "standard output");
        pour(&mut *self.out, pattern, bytes, end).map_err(failed)
    }

    fn complain(&mut self, text: &str) -> Result<(), Error> {
        let failed = Error::io("write to", "standard error");
        writeln!(self.complaints, "{text}").map_err(failed)
    }

    fn write(&self, path: &Path, text: &str, how: How) -> Result<(), Error> {
        let path = self.tree.join(path);
        let dir = path.parent().unwrap_or(&self.tree);
        fs::create_dir_all(dir).map_err(Error::io("make", dir))?;
        let file = how(fs::OpenOptions::new().create(true).write(true), true).open(&path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(Error::io("write", path))
    }

    fn delete(&self, path: &Path) -> Result<(), Error> {
        let path = self.tree.join(path);
        fs::remove_file(&path).map_err(Error::io("delete", path))
    }

    fn ask(&mut self, ask: Ask) -> Result<Option<u8>, Error> {
        let Ask { question, choices, expect, answer_to } = ask;
        let question = Signal::Ask { question, choices };
        let answer = signals::send(self.dir.as_deref(), &question)?.unwrap_or_default();
        if let Some(path) = answer_to {
            self.write(&path, &answer, fs::OpenOptions::truncate)?;
        }
        match expect {
            Some(expected) if expected != answer => {
                self.complain(&format!("expected the answer `{expected}`, not `{answer}`"))?;
                Ok(Some(OTHER_ANSWER))
            }
            Some(_) | None => Ok(None),
        }
    }

    async fn wait_for(&self, path: &Path) {
        while !self.tree.join(path).exists() {
            sleep(LOOK_AGAIN).await;
        }
    }
}

/// Whether what was there is kept.
type How = fn(&mut fs::OpenOptions, bool) -> &mut fs::OpenOptions;

/// A line of `bytes` bytes, its end included.
fn flood_line(bytes: u64) -> Vec<u8> {
    let mut line = vec![b'x'; usize::try_from(bytes).unwrap_or(CHUNK_BYTES).clamp(1, CHUNK_BYTES)];
    line.last_mut().into_iter().for_each(|end| *end = b'\n');
    line
}

fn pour(out: &mut dyn Write, pattern: &[u8], bytes: u64, end: &[u8]) -> io::Result<()> {
    let chunk = pattern.repeat(CHUNK_BYTES.div_ceil(pattern.len().max(1)));
    let mut left = bytes;
    while left > 0 {
        let now = chunk.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        out.write_all(&chunk[..now])?;
        left -= now as u64;
    }
    out.write_all(end)?;
    out.flush()
}

/// The runtime's handler stays for good once it was asked for; that nobody listens to it is the
/// point.
fn heed_nothing() -> io::Result<()> {
    drop(signal(SignalKind::interrupt())?);
    drop(signal(SignalKind::terminate())?);
    Ok(())
}
