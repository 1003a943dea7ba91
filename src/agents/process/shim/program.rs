//! The program and what connects it to its shim: input, output, and the word of exec-agent when
//! the program could not be started.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, PipeWriter, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::agents::process::exec::ExecSpec;
use crate::agents::process::shim::log::{Log, pump};
use crate::agents::process::tree::Identity;
use crate::agents::process::{Input, LaunchSpec, MARKER, marker};

/// Texts that wait for the program to read them. A program that reads none of its input is told
/// so often; then whoever writes learns that it does not listen.
const INPUT_TEXTS_MAX: usize = 16;

/// How to start it.
pub(super) struct Start<'a> {
    pub(super) spec: &'a LaunchSpec,
    pub(super) given_umask: u32,
    pub(super) cgroup: Option<PathBuf>,
}

/// A program that is started, or that waits for [`Program::release`].
pub(super) struct Program {
    leader: Identity,
    word: PipeWriter,
    input: Option<InputPipe>,
    /// The log's, and that of the error output if it has its own.
    pumps: Vec<Pump>,
    report: JoinHandle<String>,
    /// The keys of what was written to its input.
    written: BTreeSet<String>,
}

/// What is known when it has ended.
pub(super) struct Remainder {
    pub(super) log_bytes: u64,
    pub(super) cut_bytes: u64,
    /// Why it never ran, if it never did.
    pub(super) never_ran: Option<String>,
}

impl Program {
    /// Starts the process that will be the program; `told` hears how long the log is whenever it
    /// has grown.
    pub(super) fn start(
        start: &Start<'_>,
        log: Log,
        stderr_log: Option<Log>,
        told: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let (report, report_end) = io::pipe()?;
        let (word_end, word) = io::pipe()?;
        // What exec-agent is to inherit; it sees to it that the program does not.
        fcntl(&report_end, FcntlArg::F_SETFD(FdFlag::empty()))?;
        fcntl(&word_end, FcntlArg::F_SETFD(FdFlag::empty()))?;
        let (output, output_end) = io::pipe()?;
        let (errors, errors_end) = match stderr_log {
            Some(log) => {
                let (errors, end) = io::pipe()?;
                (Some((errors, log)), end)
            }
            None => (None, output_end.try_clone()?),
        };
        let (stdin, input) = open_input(&start.spec.input)?;
        let ends = [stdin, output_end.into(), errors_end.into()];
        let leader = spawn(start, [report_end.as_raw_fd(), word_end.as_raw_fd()], ends)?;
        let mut pumps = vec![Pump::start(output.into(), log, told)?];
        if let Some((errors, log)) = errors {
            pumps.push(Pump::start(errors.into(), log, |_| ())?);
        }
        let report = tokio::spawn(read_report(pipe::Receiver::from_owned_fd(report.into())?));
        Ok(Self { leader, word, input, pumps, report, written: BTreeSet::new() })
    }

    /// Lets the process become the program. If it has died meanwhile, its end says so.
    pub(super) fn release(&mut self) {
        self.word.write_all(b".").ok();
    }

    /// The process that is or becomes the program.
    pub(super) fn leader(&self) -> Identity {
        self.leader
    }

    /// Writes to its input, some time; under the same key only once.
    pub(super) fn write(&mut self, key: Option<String>, text: String) -> Result<(), String> {
        if key.as_ref().is_some_and(|key| self.written.contains(key)) {
            return Ok(());
        }
        let closed = || "the program's input is closed".to_owned();
        let input = self.input.as_ref().ok_or_else(closed)?;
        input.texts.try_send(text).map_err(|e| match e {
            mpsc::error::TrySendError::Closed(_) => closed(),
            mpsc::error::TrySendError::Full(_) => "the program does not read its input".to_owned(),
        })?;
        self.written.extend(key);
        Ok(())
    }

    /// Closes its input once it has read what was written.
    pub(super) fn close_input(&mut self) {
        self.input = None;
    }

    /// Closes its input, whether it has read or not.
    pub(super) fn cut_input(&mut self) {
        if let Some(input) = self.input.take() {
            input.task.abort();
        }
    }

    /// Waits until nobody holds its output open.
    pub(super) async fn output_closed(&mut self) {
        for pump in &mut self.pumps {
            pump.closed().await;
        }
    }

    /// Takes what is left in the pipes. The program and all that could write have ended.
    pub(super) async fn finish(mut self) -> Remainder {
        let never_ran = self.report.await.ok().filter(|why| !why.is_empty());
        for pump in &mut self.pumps {
            pump.stop = None;
            pump.closed().await;
        }
        let log = self.pumps.first().and_then(|p| p.log.as_ref());
        Remainder {
            log_bytes: log.map_or(0, Log::bytes),
            cut_bytes: log.map_or(0, Log::cut_bytes),
            never_ran,
        }
    }
}

fn spawn(
    start: &Start<'_>,
    [report_fd, word_fd]: [RawFd; 2],
    ends: [Stdio; 3],
) -> io::Result<Identity> {
    let Start { spec, given_umask, cgroup } = start;
    let exec = ExecSpec {
        report_fd,
        word_fd,
        parent: Identity::own().pid,
        cwd: spec.cwd.clone(),
        limits: spec.limits,
        umask: *given_umask,
        cgroup: cgroup.clone(),
    };
    let [stdin, stdout, stderr] = ends;
    // By this path it is the same file that runs here, even if it was replaced in the meantime.
    #[expect(clippy::disallowed_methods, reason = "the one supervisor of processes")]
    let mut command = std::process::Command::new("/proc/self/exe");
    command
        .arg0("taskloom")
        .arg("exec-agent")
        .arg(serde_json::to_string(&exec)?)
        .args(&spec.program)
        .env_clear()
        .envs(spec.environment.iter())
        .env(MARKER, marker(&spec.dir, &spec.stem))
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0);
    let child = command.spawn()?;
    let pid = i32::try_from(child.id()).expect("BUG: Linux pids fit in 31 bits");
    // Ended or not, it can be looked up until the loop collects it.
    Ok(Identity::of(pid).unwrap_or(Identity { pid, start: 0 }))
}

fn open_input(input: &Input) -> io::Result<(Stdio, Option<InputPipe>)> {
    match input {
        Input::Null => Ok((Stdio::null(), None)),
        Input::File(path) => {
            let named = |e| io::Error::other(format!("its input `{}`: {e}", path.display()));
            Ok((File::open(path).map_err(named)?.into(), None))
        }
        Input::Open(first) => {
            let (read_end, write_end) = io::pipe()?;
            Ok((read_end.into(), Some(InputPipe::start(write_end.into(), first.clone())?)))
        }
    }
}

struct InputPipe {
    texts: mpsc::Sender<String>,
    task: JoinHandle<()>,
}

impl InputPipe {
    fn start(end: OwnedFd, first: String) -> io::Result<Self> {
        let mut pipe = pipe::Sender::from_owned_fd(end)?;
        let (texts, mut waiting) = mpsc::channel(INPUT_TEXTS_MAX);
        let task = tokio::spawn(async move {
            let mut next = Some(first);
            while let Some(text) = next {
                if pipe.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
                next = waiting.recv().await;
            }
        });
        Ok(Self { texts, task })
    }
}

struct Pump {
    task: JoinHandle<Log>,
    /// Held as long as it is to go on.
    stop: Option<oneshot::Sender<()>>,
    log: Option<Log>,
}

impl Pump {
    fn start(end: OwnedFd, log: Log, told: impl Fn(u64) + Send + 'static) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let output = pipe::Receiver::from_owned_fd(end)?;
        let task = tokio::spawn(pump(output, log, stopped, told));
        Ok(Self { task, stop: Some(stop), log: None })
    }

    async fn closed(&mut self) {
        if self.log.is_none() {
            self.log = (&mut self.task).await.ok();
        }
    }
}

/// What exec-agent says; nothing when it became the program.
async fn read_report(mut report: pipe::Receiver) -> String {
    let mut text = String::new();
    report.read_to_string(&mut text).await.ok();
    text
}
