//! The only place that starts git: a scrubbed environment, hardened settings, bounds on time and
//! output, and an end for every process that is no longer waited for.
//!
//! It does not know what the commands mean. It must not be handed a directory to work in: every
//! call names its repository, work tree and index, so nothing is discovered.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{Mutex, MutexGuard, Semaphore};

use crate::git::Error;
use crate::time::Stopwatch;

/// The oldest git that can do the work: `merge-tree --write-tree` came with 2.38.
pub const FLOOR: Version = Version { major: 2, minor: 38, patch: 0 };

/// For a command that reads or writes some refs or objects. Such a command takes milliseconds; a
/// minute of it is a dead disk.
pub(crate) const QUICK: Duration = Duration::from_secs(60);

/// For a command that reads or writes a whole tree: 10,000 files took 10 s on a tired disk, so
/// this leaves room for half a million.
pub(crate) const TREE: Duration = Duration::from_secs(10 * 60);

/// For a transfer between two repositories of this machine, the first one of a large history.
pub(crate) const TRANSFER: Duration = Duration::from_secs(30 * 60);

/// What a command may print unless it says otherwise: a list of 500,000 paths of 100 bytes.
const OUTPUT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What is kept of what a command complains about. git repeats itself per file; the last words
/// say why it gave up.
const COMPLAINT_BYTES_KEPT: usize = 400;

/// How many git processes run at once. Two per core of a usual machine: more only wait for the
/// disk, and each holds memory and descriptors.
const PROCESSES_MAX: usize = 16;

/// The setting that the command line wins with. Configuration of the system and of the user is
/// not read at all; these answer what a repository's own configuration could say. Signing,
/// hooks, monitors, helpers and pagers start programs; the rest keeps git from working behind
/// the caller's back and makes what is acknowledged survive a power cut.
const SETTINGS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.alternateRefsCommand=true",
    "core.sshCommand=false",
    "core.gitProxy=",
    "core.askPass=",
    "core.pager=cat",
    "core.editor=false",
    "credential.helper=",
    "commit.gpgSign=false",
    "tag.gpgSign=false",
    "protocol.allow=never",
    "protocol.file.allow=always",
    "protocol.version=2",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "core.trustctime=true",
    "core.checkStat=default",
    "core.fsync=committed,reference",
];

/// The environment of every git, beside PATH. `GIT_ALLOW_PROTOCOL` beats what a repository's
/// configuration says of protocols, which the settings alone do not.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("HOME", "/nonexistent"),
    ("LC_ALL", "C"),
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_ALLOW_PROTOCOL", "file"),
    ("GIT_NO_LAZY_FETCH", "1"),
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    ("GIT_OPTIONAL_LOCKS", "0"),
    ("GIT_LITERAL_PATHSPECS", "1"),
    ("GIT_DEFAULT_REF_FORMAT", "files"),
    ("GIT_ADVICE", "0"),
    // Whom an entry of a reflog is by. Commits say themselves whom they are by.
    ("GIT_COMMITTER_NAME", "Taskloom"),
    ("GIT_COMMITTER_EMAIL", "taskloom@localhost"),
];

/// A version of git.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// 2, for a while yet.
    pub major: u32,
    /// What features came with.
    pub minor: u32,
    /// Repairs.
    pub patch: u32,
}

impl Version {
    /// Reads `git version 2.47.3`, whatever vendors write after the number.
    fn parse(line: &str) -> Option<Self> {
        let number = line.strip_prefix("git version ")?.split_whitespace().next()?;
        let mut parts = number.split('.').map_while(|part| part.parse().ok());
        Some(Self { major: parts.next()?, minor: parts.next()?, patch: parts.next().unwrap_or(0) })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// The installed git. Cheap to clone; clones share the bound on processes.
#[derive(Debug, Clone)]
pub struct Git(Arc<Program>);

#[derive(Debug)]
struct Program {
    path: PathBuf,
    search_path: OsString,
    version: Version,
    permits: Semaphore,
    /// Who makes a clone holds it.
    cloning: Mutex<()>,
}

impl Git {
    /// Finds git on PATH and refuses one below [`FLOOR`].
    pub async fn find() -> Result<Self, Error> {
        let path = which::which("git").map_err(|_| Error::Missing)?;
        let unknown = Version { major: 0, minor: 0, patch: 0 };
        let git = Self::at(path.clone(), unknown);
        let line = git.call("version").text().await?;
        let found = Version::parse(&line).ok_or(Error::Garbled { verb: "version" })?;
        let git = Self::at(path, found);
        git.require(FLOOR, "for Taskloom")?;
        Ok(git)
    }

    fn at(path: PathBuf, version: Version) -> Self {
        let search_path = std::env::var_os("PATH").unwrap_or_default();
        let permits = Semaphore::new(PROCESSES_MAX);
        let cloning = Mutex::default();
        Self(Arc::new(Program { path, search_path, version, permits, cloning }))
    }

    /// What is installed.
    pub fn version(&self) -> Version {
        self.0.version
    }

    /// Refuses what the installed git is too old for.
    pub(crate) fn require(&self, need: Version, purpose: &'static str) -> Result<(), Error> {
        let found = self.version();
        if found < need { Err(Error::TooOld { found, need, purpose }) } else { Ok(()) }
    }

    /// Nobody else makes a clone meanwhile.
    pub(crate) async fn alone(&self) -> MutexGuard<'_, ()> {
        self.0.cloning.lock().await
    }

    /// Begins a command. `verb` is git's command; paths and names follow by [`Call::arg`].
    pub(crate) fn call(&self, verb: &'static str) -> Call<'_> {
        Call {
            program: &self.0,
            verb,
            before: Vec::new(),
            after: Vec::new(),
            env: Vec::new(),
            stdin: Vec::new(),
            limit: QUICK,
            output_bytes: OUTPUT_BYTES_MAX,
        }
    }
}

/// One command, being put together.
pub(crate) struct Call<'g> {
    program: &'g Program,
    verb: &'static str,
    /// Options of git itself, before the verb.
    before: Vec<OsString>,
    after: Vec<OsString>,
    env: Vec<(&'static str, OsString)>,
    stdin: Vec<u8>,
    limit: Duration,
    output_bytes: usize,
}

/// What a command that ran to its end said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: Vec<u8>,
    /// There was more output than the bound; `stdout` is its beginning.
    pub(crate) cut: bool,
    stderr: Vec<u8>,
    verb: &'static str,
}

impl Call<'_> {
    /// The repository.
    pub(crate) fn repo(mut self, dir: &Path) -> Self {
        self.before.push(joined("--git-dir=", dir.as_os_str()));
        self
    }

    /// The work tree.
    pub(crate) fn tree(mut self, dir: &Path) -> Self {
        self.before.push(joined("--work-tree=", dir.as_os_str()));
        self
    }

    /// The directory in which git looks for the repository itself: only for a path that a
    /// person configured.
    pub(crate) fn discover(mut self, dir: &Path) -> Self {
        self.before.push("-C".into());
        self.before.push(dir.into());
        self
    }

    /// One more setting for this command.
    pub(crate) fn setting(mut self, setting: &str) -> Self {
        self.before.push("-c".into());
        self.before.push(setting.into());
        self
    }

    /// The index file, in place of the repository's.
    pub(crate) fn index(self, file: &Path) -> Self {
        self.env("GIT_INDEX_FILE", file)
    }

    pub(crate) fn env(mut self, key: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((key, value.as_ref().to_owned()));
        self
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.after.push(arg.as_ref().to_owned());
        self
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.after.extend(args.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    pub(crate) fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// The time it is given, [`QUICK`] if nothing is said.
    pub(crate) fn within(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Runs it; output beyond `bytes` is cut off and the command ended.
    pub(crate) async fn beginning(mut self, bytes: usize) -> Result<Answer, Error> {
        self.output_bytes = bytes;
        let (verb, limit) = (self.verb, self.limit);
        let permit = self.program.permits.acquire().await;
        let _permit = permit.expect("BUG: nobody closes the semaphore");
        match tokio::time::timeout(limit, self.ended()).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::Timeout { verb, limit }),
        }
    }

    /// Runs it to its end, whatever the exit code.
    pub(crate) async fn answer(self) -> Result<Answer, Error> {
        let limit_bytes = self.output_bytes;
        let answer = self.beginning(limit_bytes).await?;
        if answer.cut {
            return Err(Error::TooMuchOutput { verb: answer.verb, limit_bytes });
        }
        Ok(answer)
    }

    /// Runs it; any exit code but 0 is an error.
    pub(crate) async fn output(self) -> Result<Vec<u8>, Error> {
        let answer = self.answer().await?;
        if answer.code == 0 { Ok(answer.stdout) } else { Err(answer.failure()) }
    }

    /// Runs it; its output as text without the last line break.
    pub(crate) async fn text(self) -> Result<String, Error> {
        let verb = self.verb;
        let output = self.output().await?;
        let text = String::from_utf8(output).map_err(|_| Error::Garbled { verb })?;
        Ok(text.trim_end().to_owned())
    }

    /// Runs it for what it does.
    pub(crate) async fn done(self) -> Result<(), Error> {
        self.output().await.map(drop)
    }

    async fn ended(self) -> Result<Answer, Error> {
        let watch = Stopwatch::start();
        let mut leash = Leash(self.spawn()?);
        let child = &mut leash.0;
        let (input, output, complaint) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let ((), (stdout, cut), stderr) = tokio::join!(
            feed(input, &self.stdin),
            head(output, self.output_bytes),
            tail(complaint, COMPLAINT_BYTES_KEPT),
        );
        let status = child.wait().await.map_err(Error::io("wait for", &self.program.path))?;
        let code = status.code().unwrap_or(-1);
        let took_us = u64::try_from(watch.elapsed().as_micros()).unwrap_or(u64::MAX);
        tracing::debug!(verb = self.verb, took_us, code, "git");
        Ok(Answer { code, stdout, cut, stderr, verb: self.verb })
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that starts git")]
    fn spawn(&self) -> Result<Child, Error> {
        let settings = SETTINGS.iter().flat_map(|s| ["-c", s]);
        let stdin = if self.stdin.is_empty() { Stdio::null() } else { Stdio::piped() };
        Command::new(&self.program.path)
            .args(settings)
            .args(&self.before)
            .arg(self.verb)
            .args(&self.after)
            .env_clear()
            .env("PATH", &self.program.search_path)
            .envs(ENVIRONMENT.iter().copied())
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .current_dir("/")
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::io("start", &self.program.path))
    }
}

impl Answer {
    /// The error that this answer is.
    pub(crate) fn failure(&self) -> Error {
        Error::Failed { verb: self.verb, code: self.code, stderr: digest(&self.stderr) }
    }

    /// The end of what it complained about, on one line.
    pub(crate) fn complaint(&self) -> String {
        digest(&self.stderr)
    }

    /// The error of an answer that makes no sense.
    pub(crate) fn garbled(&self) -> Error {
        Error::Garbled { verb: self.verb }
    }
}

/// Ends the whole process group of a git that nobody waits for any more: `fetch` has children of
/// its own.
struct Leash(Child);

impl Drop for Leash {
    fn drop(&mut self) {
        let unreaped = self.0.id().and_then(|id| i32::try_from(id).ok());
        if let Some(pid) = unreaped.and_then(rustix::process::Pid::from_raw) {
            // It may have ended by itself a moment ago; then there is nothing left to end.
            let _gone = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
        }
    }
}

async fn feed(pipe: Option<ChildStdin>, bytes: &[u8]) {
    if let Some(mut pipe) = pipe {
        // A git that stops reading says why on stderr and by its exit code.
        let _closed_early = pipe.write_all(bytes).await;
    }
}

/// Reads up to `limit` bytes; `true` if there was more. Dropping the pipe then ends the writer.
async fn head(pipe: Option<impl AsyncRead + Unpin>, limit: usize) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // A pipe that breaks is a process that ended; its exit code tells.
        let _ended = pipe.take(limit as u64 + 1).read_to_end(&mut bytes).await;
    }
    let cut = bytes.len() > limit;
    bytes.truncate(limit);
    (bytes, cut)
}

/// Reads everything and keeps the last `kept` bytes: a writer that is not read to its end would
/// die of it.
async fn tail(pipe: Option<impl AsyncRead + Unpin>, kept: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let Some(mut pipe) = pipe else { return bytes };
    while let Ok(read) = pipe.read_buf(&mut bytes).await
        && read > 0
    {
        bytes.drain(..bytes.len().saturating_sub(kept));
    }
    bytes
}

fn joined(option: &str, value: &OsStr) -> OsString {
    let mut arg = OsString::from(option);
    arg.push(value);
    arg
}

/// What git complained about, on one line and without control characters.
fn digest(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    lines.join("; ").replace(|c: char| c.is_control(), " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_vendors_write_them() {
        let read = |line| Version::parse(line).map(|v| v.to_string());
        assert_eq!(read("git version 2.47.3").as_deref(), Some("2.47.3"));
        assert_eq!(read("git version 2.39.5 (Apple Git-154)").as_deref(), Some("2.39.5"));
        assert_eq!(read("git version 2.45.1.windows.1").as_deref(), Some("2.45.1"));
        assert_eq!(read("git version 2.50.rc1").as_deref(), Some("2.50.0"));
        assert_eq!(read("tig 1.0"), None);
        assert!(Version::parse("git version 2.9.0").unwrap() < FLOOR);
    }

    #[test]
    fn an_old_git_is_refused_with_a_sentence() {
        let old = Git::at("git".into(), Version { major: 2, minor: 39, patch: 5 });
        let why = old.require(Version { major: 2, minor: 40, patch: 0 }, "to rebase");
        assert_eq!(
            why.unwrap_err().to_string(),
            "git 2.39.5 is too old to rebase; install git 2.40.0 or newer"
        );
        assert!(old.require(FLOOR, "for Taskloom").is_ok());
    }

    #[tokio::test]
    async fn a_complaint_is_one_line_that_keeps_its_end() {
        assert_eq!(digest(b"warning: x\n\nfatal: \x1b[31mno\n"), "warning: x; fatal:  [31mno");
        let noise = vec![b'x'; 1_000_000];
        let spoken = [&noise, &b"the end"[..]].concat();
        assert_eq!(tail(Some(&spoken[..]), 7).await, b"the end");
    }

    #[tokio::test]
    async fn output_beyond_the_bound_is_noticed() {
        assert_eq!(head(Some(&b"abc"[..]), 3).await, (b"abc".to_vec(), false));
        assert_eq!(head(Some(&b"abcd"[..]), 3).await, (b"abc".to_vec(), true));
    }
}
