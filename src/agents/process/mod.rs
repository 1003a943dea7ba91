//! The one supervisor of everything that is run: agents, gates, checks. Linux only.
//!
//! A chain of three: the daemon starts a *shim* (this same binary), the shim starts *exec-agent*
//! (this same binary), and that becomes the program. The shim is a session of its own and the
//! reaper of everything below it, so that the daemon can die and come back, and nothing below the
//! shim can get away. What the program says goes to a file; a socket beside it only tells how long
//! the file is. All records of one launch share a stem: `<stem>.lock`, `.shim.json`, `.ctl.sock`,
//! `.log`, `.signals.jsonl`, `.exit.json`.
//!
//! A stem names one launch, ever: whoever finds records does not launch again but adopts.
//! Nothing here may know what the program is or judge what it did.

mod client;
mod control;
mod environment;
mod exec;
pub mod hostile;
pub mod pane;
mod shim;
mod stray;
mod tree;

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

pub(in crate::agents) use control::connect;
pub(in crate::agents) use shim::redact::without_secrets;

pub use client::{Adopted, Cursor, Launcher, ProcessEvent, Supervised, adopt};
pub use environment::Environment;
pub use exec::main as exec_main;
pub use shim::main as shim_main;
pub use stray::leave_behind;

/// The variable that every process of a launch carries: the directory and stem of its records.
/// What is left after a crash is recognised by it.
pub const MARKER: &str = "TASKLOOM_LAUNCH";

/// The socket inside the directory of records on which a program says what it has to say.
pub(in crate::agents) const AGENT_SOCKET: &str = "agent.sock";

/// 64 MiB of output say more than anybody reads, and 20 agents at once fill 1.3 GB at most.
pub const LOG_BYTES_MAX: u64 = 64 << 20;

/// Five seconds: what agent CLIs were seen to need at most to put their sessions on disk.
pub const GRACE: Duration = Duration::from_secs(5);

/// Two seconds: long enough for a pipeline's last stage to flush, short enough not to be noticed.
pub const LINGER: Duration = Duration::from_secs(2);

/// Whom new processes and files belong to: `UID:GID`.
pub fn owner() -> String {
    let (user, group) = (nix::unistd::getuid(), nix::unistd::getgid());
    format!("{user}:{group}")
}

/// What to run, and within which bounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaunchSpec {
    /// Where the records are kept. It exists and is private to this launch's owner.
    pub dir: PathBuf,
    /// What the records' names begin with.
    pub stem: String,
    /// The program and its arguments.
    pub program: Vec<String>,
    /// Where it runs.
    pub cwd: PathBuf,
    /// All of its environment.
    pub environment: Environment,
    /// What it reads.
    pub input: Input,
    /// Where its error output goes.
    pub stderr: Stderr,
    /// Whether it is given a socket on which it can say something, `agent.sock` in `dir`; of the
    /// programs that run in one directory only one can have it.
    pub agent_socket: bool,
    /// How long it may run, on the clock that stands still while the machine sleeps.
    pub deadline: Option<Duration>,
    /// How long it has to end when the deadline passes or the shim is told to go.
    pub grace: Duration,
    /// How long children that it left behind may hold its output open.
    pub linger: Duration,
    /// How much of its output is kept.
    pub log_bytes_max: u64,
    /// What it may use.
    pub limits: Limits,
    /// What runs when it has ended, however it did: what it began may outlive it elsewhere.
    #[serde(default)]
    pub afterwards: Option<Vec<String>>,
}

impl LaunchSpec {
    /// A program that reads nothing, may say nothing but output, and has the usual bounds.
    pub fn new(dir: &Path, stem: &str, program: &[&str], cwd: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            stem: stem.to_owned(),
            program: program.iter().map(|&word| word.to_owned()).collect(),
            cwd: cwd.to_owned(),
            environment: Environment::default(),
            input: Input::Null,
            stderr: Stderr::Merged,
            agent_socket: false,
            deadline: None,
            grace: GRACE,
            linger: LINGER,
            log_bytes_max: LOG_BYTES_MAX,
            limits: Limits::default(),
            afterwards: None,
        }
    }
}

/// What a program reads on its standard input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// Nothing.
    Null,
    /// A file.
    File(PathBuf),
    /// This text at once, then whatever is written to it later.
    Open(String),
}

/// Where error output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stderr {
    /// Into the log, in the order in which it was written.
    Merged,
    /// Into a log of its own, `<stem>.stderr.log`.
    Separate,
}

/// What a program may use; `None`: whatever the daemon may.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Address space of each process.
    pub memory_bytes: Option<u64>,
    /// Processes of the whole user; the kernel does not hold root to it.
    pub processes: Option<u64>,
    /// The longest file it may write.
    pub file_bytes: Option<u64>,
    /// Open files of each process.
    pub open_files: Option<u64>,
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Its last word.
    pub end: End,
    /// At whose instance.
    pub cause: Cause,
    /// When it was started.
    pub started_at: Timestamp,
    /// When nothing of it was left.
    pub ended_at: Timestamp,
    /// How long the log is.
    pub log_bytes: u64,
    /// How much output the log leaves out.
    pub cut_bytes: u64,
    /// How many processes it left behind, which were killed.
    pub leftovers: u32,
    /// How many of those even a kill did not end, because the kernel holds them.
    pub survivors: u32,
}

impl Exit {
    /// Ended by itself with exit code 0.
    pub fn is_success(&self) -> bool {
        self.cause == Cause::Itself && self.end == End::Code(0)
    }
}

/// A program's last word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It exited with this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// It never ran; the sentence names the path.
    CannotStart(String),
}

/// Why a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// By itself.
    Itself,
    /// Somebody asked for it.
    Stopped,
    /// Its time was up.
    Deadline,
    /// The shim was told to go, usually because the machine or the service goes down.
    Shutdown,
}

/// What cannot be done about a program.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There was a launch under this stem: adopt it.
    #[error("`{stem}` in `{}` was launched before", .dir.display())]
    AlreadyLaunched {
        /// Where the records are.
        dir: PathBuf,
        /// Which ones.
        stem: String,
    },
    /// The shim did not get as far as starting the program: nothing runs.
    #[error("`{stem}` in `{}` cannot be launched: {why}", .dir.display())]
    NotLaunched {
        /// Where the records would be.
        dir: PathBuf,
        /// Which ones.
        stem: String,
        /// The shim's word.
        why: String,
    },
    /// The program is gone and nobody knows how it ended. Nothing of it is left.
    #[error("{why}{}", what_was_killed(*.killed))]
    Lost {
        /// What is missing.
        why: &'static str,
        /// How many processes were found and killed.
        killed: u32,
    },
    /// A file that the program could reach is not what it should be.
    #[error(transparent)]
    InvalidSignal(#[from] hostile::InvalidSignal),
    /// The program does not take it: nobody waits for that answer, or its input is closed.
    #[error("{0}")]
    Refused(String),
    /// The program has ended.
    #[error("the program has ended")]
    Ended,
    /// The machine did not do its part.
    #[error("cannot {doing} `{}`", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the machine says.
        source: io::Error,
    },
}

fn what_was_killed(killed: u32) -> String {
    match killed {
        0 => String::new(),
        1 => "; one of its processes was still alive and has been killed".to_owned(),
        more => format!("; {more} of its processes were still alive and have been killed"),
    }
}

impl Error {
    fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}

/// The records of one launch.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// Held by the shim as long as it lives.
    Lock,
    /// Who the shim and the program are.
    Record,
    /// The control socket.
    Control,
    Log,
    StderrLog,
    Signals,
    /// How it ended.
    Exit,
}

impl Part {
    /// Its name below the directory of the records.
    fn of(self, stem: &str) -> String {
        let ending = match self {
            Self::Lock => "lock",
            Self::Record => "shim.json",
            Self::Control => "ctl.sock",
            Self::Log => "log",
            Self::StderrLog => "stderr.log",
            Self::Signals => "signals.jsonl",
            Self::Exit => "exit.json",
        };
        format!("{stem}.{ending}")
    }
}

/// Where the output of the launch `stem` is kept.
pub fn log_path(dir: &Path, stem: &str) -> PathBuf {
    dir.join(Part::Log.of(stem))
}

/// What the shim writes down before the program begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// Of this file; a reader of another schema trusts nothing in it.
    schema: u32,
    /// Which boot of the machine the numbers below belong to.
    boot_id: String,
    /// The shim.
    shim: tree::Identity,
    /// The process that becomes the program, unless it could not be started.
    child: Option<tree::Identity>,
    /// The control group of the program, where one could be made.
    cgroup: Option<PathBuf>,
}

const RECORD_SCHEMA: u32 = 1;

/// Records are a few hundred bytes; a longer one is not ours.
const RECORD_BYTES_MAX: u64 = 64 << 10;

/// Puts `value` at `path`, so that a reader finds all of it or nothing. Until the file that is
/// returned has been synced, a power failure may leave an empty one, which no reader takes for a
/// record.
fn put_record<T: Serialize>(path: &Path, value: &T) -> io::Result<File> {
    let dir = path.parent().filter(|d| !d.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    Ok(file.persist(path)?)
}

/// The value of a program's [`MARKER`].
fn marker(dir: &Path, stem: &str) -> String {
    format!("{}/{stem}", dir.display())
}
