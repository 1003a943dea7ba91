//! The step between the shim and the program: the same process as the program, a moment earlier.
//! It does to itself what can only be done from the inside, waits for the word, and then becomes
//! the program. The word is given when the process is on record, so that no program ever runs
//! that nobody knows of.
//!
//! Whatever keeps it from that is told on a pipe that the program does not inherit: a program that
//! cannot be started is not a program that failed.

use std::convert::Infallible;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{close, getppid};
use serde::{Deserialize, Serialize};

use crate::agents::process::Limits;

/// What the shim calls this with, as JSON in the first argument; the program and its arguments
/// follow. Nothing in it is a secret, and nothing of it is left when the program runs.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ExecSpec {
    /// The end of a pipe on which a failure is told, inherited on purpose.
    pub(super) report_fd: i32,
    /// The end of a pipe on which the word comes, inherited on purpose.
    pub(super) word_fd: i32,
    /// The shim.
    pub(super) parent: i32,
    /// Where the program runs.
    pub(super) cwd: PathBuf,
    /// What it may use.
    pub(super) limits: Limits,
    /// The mask for new files that the daemon was started with; the shim's own is stricter.
    pub(super) umask: u32,
    /// The control group to enter.
    pub(super) cgroup: Option<PathBuf>,
}

/// The hidden subcommand `exec-agent`; `args` is what follows that word.
pub fn main(args: impl Iterator<Item = String>) -> ExitCode {
    let mut args = args;
    let spec = args.next().and_then(|json| serde_json::from_str::<ExecSpec>(&json).ok());
    let (Some(spec), Some(program)) = (spec, args.next()) else {
        return ExitCode::FAILURE;
    };
    let report = take_over(spec.report_fd, File::options().write(true));
    let word = take_over(spec.word_fd, File::options().read(true));
    let (Ok(mut report), Ok(word)) = (report, word) else { return ExitCode::FAILURE };
    let Err(why) = become_program(&spec, word, &program, args);
    report.write_all(why.as_bytes()).ok();
    ExitCode::FAILURE
}

/// Opened anew, the pipe closes by itself at the moment of the exec; as inherited it would not.
fn take_over(fd: i32, how: &OpenOptions) -> io::Result<File> {
    let file = how.open(format!("/proc/self/fd/{fd}"));
    close(fd).ok();
    file
}

fn become_program(
    spec: &ExecSpec,
    mut word: File,
    program: &str,
    args: impl Iterator<Item = String>,
) -> Result<Infallible, String> {
    let cannot = |why: io::Error| format!("`{program}` cannot be started: {why}");
    prepare(spec).map_err(cannot)?;
    std::env::set_current_dir(&spec.cwd)
        .map_err(|e| format!("`{program}` cannot be started in `{}`: {e}", spec.cwd.display()))?;
    word.read_exact(&mut [0]).map_err(|_| cannot(io::Error::other("its supervisor is gone")))?;
    #[expect(clippy::disallowed_methods, reason = "the one supervisor of processes")]
    let mut command = std::process::Command::new(program);
    // This also gives back what Rust takes at the start of a program: an empty signal mask and
    // the usual meaning of SIGPIPE.
    Err(cannot(command.args(args).exec()))
}

fn prepare(spec: &ExecSpec) -> io::Result<()> {
    set_pdeathsig(Signal::SIGKILL)?;
    // Had the shim died before that line, nobody would ever send the signal.
    if getppid().as_raw() != spec.parent {
        return Err(io::Error::other("its supervisor is gone"));
    }
    if let Some(group) = &spec.cgroup {
        // A group that can be made cannot always be entered (controllers of the group above may
        // forbid it); what is not in it is found by the walk over the tree.
        std::fs::write(group.join("cgroup.procs"), "0").ok();
    }
    umask(Mode::from_bits_truncate(spec.umask));
    let limits = [
        (Resource::RLIMIT_AS, spec.limits.memory_bytes),
        (Resource::RLIMIT_NPROC, spec.limits.processes),
        (Resource::RLIMIT_FSIZE, spec.limits.file_bytes),
        (Resource::RLIMIT_NOFILE, spec.limits.open_files),
    ];
    for (resource, most) in limits {
        if let Some(most) = most {
            setrlimit(resource, most, most)?;
        }
    }
    Ok(())
}
