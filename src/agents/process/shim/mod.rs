//! The hidden subcommand `shim`: the parent of one program, which outlives the daemon.
//!
//! One thread. The shim keeps time itself, so that a dead daemon makes no agent immortal, and it
//! does not go before nothing below it is left. It must not interpret what the program writes.

mod desk;
mod log;
mod program;
pub(in crate::agents) mod redact;
mod watch;

use std::fs::{self, File};
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::prctl::set_child_subreaper;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{close, dup2_stderr, dup2_stdin, dup2_stdout, setsid};
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch as state_channel};
use tokio::task::JoinHandle;

use crate::agents::process::control::{self, State};
use crate::agents::process::shim::log::Log;
use crate::agents::process::shim::redact::Redactor;
use crate::agents::process::tree::{Cgroup, Identity, boot_id};
use crate::agents::process::{
    AGENT_SOCKET, Cause, End, Environment, Exit, LaunchSpec, Part, RECORD_SCHEMA, Record, Stderr,
    put_record,
};
use crate::crash;
use crate::time::{Clock as _, SystemClock, Timestamp};

use desk::Desk;
use program::Program;
use watch::Watch;

/// A launch carries the environment and at most one text for the program's input; the bound only
/// keeps a broken daemon from filling the memory.
const SPEC_BYTES_MAX: u64 = 16 << 20;

/// Requests that wait for the loop; whoever sends one more waits.
const INBOX_REQUESTS_MAX: usize = 64;

/// The error output of an agent whose output is data holds warnings and one last sentence.
const STDERR_BYTES_MAX: u64 = 4 << 20;

/// A client that does not read its last line within a second learns the end from the file.
const FAREWELL: Duration = Duration::from_secs(1);

/// How often the end is written down again when the disk does not take it, a second apart: ten
/// minutes give a person or a log rotation time to make room.
const EXIT_TRIES_MAX: u32 = 600;

/// The shim's first and only line on its standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reply {
    /// The program is being started; the sockets are there.
    Ready,
    /// There is or was a launch under this stem.
    Taken,
    /// Nothing was started.
    Refused { why: String },
}

/// The hidden subcommand `shim`.
pub fn main() -> ExitCode {
    close_inherited();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match (read_spec(), runtime) {
        (Ok(spec), Ok(runtime)) => runtime.block_on(supervise(spec)),
        (Err(why), _) | (_, Err(why)) => Err(Reply::Refused { why: why.to_string() }),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reply) => {
            answer(&reply).ok();
            ExitCode::FAILURE
        }
    }
}

/// What the daemon, or whoever started it, left open is not for the program, and would keep pipes
/// and locks of the dead alive.
fn close_inherited() {
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for fd in open.into_iter().filter(|fd| *fd > 2) {
        // One of them was the listing itself and is closed already.
        close(fd).ok();
    }
}

fn read_spec() -> io::Result<LaunchSpec> {
    let mut line = Vec::new();
    io::stdin().lock().take(SPEC_BYTES_MAX).read_until(b'\n', &mut line)?;
    Ok(serde_json::from_slice(&line)?)
}

fn answer(reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line)?;
    out.flush()
}

async fn supervise(spec: LaunchSpec) -> Result<(), Reply> {
    let refused = |e: io::Error| Reply::Refused { why: e.to_string() };
    setsid().ok(); // fails only for a process that leads a session already
    set_child_subreaper(true).map_err(|e| refused(e.into()))?;
    std::env::set_current_dir(&spec.dir).map_err(refused)?;
    let given_umask = umask(Mode::from_bits_truncate(0o077)).bits();
    let lock = take_lock(&Part::Lock.of(&spec.stem)).map_err(refused)?.ok_or(Reply::Taken)?;
    crash::point("shim.locked");
    if Path::new(&Part::Record.of(&spec.stem)).exists() {
        return Err(Reply::Taken);
    }
    let parts = Parts::create(&spec).map_err(refused)?;
    let launch = Launch::start(&spec, given_umask, parts).map_err(refused)?;
    // From here on it goes its way, whether the daemon is still there to hear it or not.
    answer(&Reply::Ready).ok();
    forget_daemon().ok();
    launch.run().await.file(&spec, lock).await;
    Ok(())
}

fn take_lock(name: &str) -> io::Result<Option<File>> {
    // Opened for both, so that not even a FIFO in its place can hold us up.
    let file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(name)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(e)) => Err(e),
    }
}

/// Nothing the daemon does, its end included, may reach the shim but the control socket.
fn forget_daemon() -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    Ok(())
}

/// What is made before anything is started.
struct Parts {
    cgroup: Option<Cgroup>,
    log: Log,
    stderr_log: Option<Log>,
    signals: File,
    control: UnixListener,
    agent: Option<UnixListener>,
}

impl Parts {
    fn create(spec: &LaunchSpec) -> io::Result<Self> {
        let part = |part: Part| create(&part.of(&spec.stem));
        let redactor = || Redactor::new(&spec.environment);
        let separate = spec.stderr == Stderr::Separate;
        let stderr_log = separate.then(|| part(Part::StderrLog)).transpose()?;
        Ok(Self {
            log: Log::new(part(Part::Log)?, spec.log_bytes_max).without(redactor()),
            stderr_log: stderr_log.map(|file| Log::new(file, STDERR_BYTES_MAX).without(redactor())),
            signals: part(Part::Signals)?,
            control: bind(&Part::Control.of(&spec.stem))?,
            agent: spec.agent_socket.then(|| bind(AGENT_SOCKET)).transpose()?,
            cgroup: Cgroup::create(),
        })
    }
}

/// Creates a file that was not there. One that is there was left by a launch that did not get as
/// far as its record, or put there by a program that wants us to write elsewhere.
fn create(name: &str) -> io::Result<File> {
    remove(name)?;
    File::options().create_new(true).write(true).open(name)
}

fn bind(name: &str) -> io::Result<UnixListener> {
    remove(name)?;
    let listener = UnixListener::bind(name)?;
    fs::set_permissions(name, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

fn remove(name: &str) -> io::Result<()> {
    match fs::remove_file(name) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        Err(_) | Ok(()) => Ok(()),
    }
}

/// A launch on record, whose program has not begun yet.
struct Launch<'a> {
    spec: &'a LaunchSpec,
    watch: Watch<'a>,
    program: io::Result<Program>,
    state: state_channel::Sender<State>,
    servers: Vec<JoinHandle<()>>,
}

impl<'a> Launch<'a> {
    fn start(spec: &'a LaunchSpec, given_umask: u32, parts: Parts) -> io::Result<Self> {
        let Parts { cgroup, log, stderr_log, signals, control, agent } = parts;
        let (inbox, requests) = mpsc::channel(INBOX_REQUESTS_MAX);
        let (state, _) = state_channel::channel(State::default());
        let group = cgroup.as_ref().map(|c| c.dir().to_owned());
        let watch = Watch::new(
            spec,
            Desk::new(signals, state.clone(), Redactor::new(&spec.environment)),
            cgroup,
            requests,
        )?;
        let start = program::Start { spec, given_umask, cgroup: group.clone() };
        let told = state.clone();
        let program = Program::start(&start, log, stderr_log, move |bytes| {
            told.send_if_modified(|s| std::mem::replace(&mut s.log_bytes, bytes) != bytes);
        });
        let record = Record {
            schema: RECORD_SCHEMA,
            boot_id: boot_id(),
            shim: Identity::own(),
            child: program.as_ref().ok().map(Program::leader),
            cgroup: group,
        };
        // From here on the stem is used up, and whoever comes later finds all there is.
        put_record(Path::new(&Part::Record.of(&spec.stem)), &record)?.sync_all()?;
        crash::point("shim.recorded");
        let clients = control::serve_clients(control, inbox.clone(), state.clone());
        let mut servers = vec![tokio::spawn(clients)];
        servers.extend(agent.map(|socket| tokio::spawn(control::serve_program(socket, inbox))));
        Ok(Self { spec, watch, program, state, servers })
    }

    async fn run(self) -> Ended {
        let Self { spec, watch, program, state, servers } = self;
        let started_at = SystemClock.now();
        let exit = match program {
            Ok(mut program) => {
                program.release();
                watch.run(program, started_at).await
            }
            Err(e) => never_ran(spec, started_at, &e),
        };
        Ended { exit, state, servers }
    }
}

/// Runs what ends what the program began elsewhere. There is nobody to tell of its failure.
async fn clear_away(words: &[String], environment: &Environment) {
    let Some((program, args)) = words.split_first() else { return };
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    environment.answer_of(Path::new(program), &args).await;
}

fn never_ran(spec: &LaunchSpec, started_at: Timestamp, error: &io::Error) -> Exit {
    let program = spec.program.first().map_or("", String::as_str);
    Exit {
        end: End::CannotStart(format!("`{program}` cannot be started: {error}")),
        cause: Cause::Itself,
        started_at,
        ended_at: SystemClock.now(),
        log_bytes: 0,
        cut_bytes: 0,
        leftovers: 0,
        survivors: 0,
    }
}

/// All is over but the telling.
struct Ended {
    exit: Exit,
    state: state_channel::Sender<State>,
    servers: Vec<JoinHandle<()>>,
}

impl Ended {
    /// Writes down how it ended, clears up, and says it to whoever listens: in this order, so that
    /// whoever knows of the end finds nothing left of the launch but its records. What was told is
    /// in safe hands, so the disk is waited for last.
    async fn file(self, spec: &LaunchSpec, lock: File) {
        crash::point("shim.ended");
        if let Some(words) = &spec.afterwards {
            clear_away(words, &spec.environment).await;
        }
        let written = self.write(Path::new(&Part::Exit.of(&spec.stem))).await;
        crash::point("shim.filed");
        self.servers.iter().for_each(JoinHandle::abort);
        remove(&Part::Control.of(&spec.stem)).ok();
        if spec.agent_socket {
            remove(AGENT_SOCKET).ok();
        }
        drop(lock);
        self.state.send_modify(|s| {
            s.log_bytes = self.exit.log_bytes;
            s.exit = Some(self.exit);
        });
        tokio::time::timeout(FAREWELL, self.state.closed()).await.ok();
        written.map(|file| file.sync_all());
    }

    async fn write(&self, path: &Path) -> Option<File> {
        for _ in 0..EXIT_TRIES_MAX {
            if let Ok(file) = put_record(path, &self.exit) {
                return Some(file);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        None
    }
}
