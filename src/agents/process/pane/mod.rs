//! Runs a program in a tmux session that people can attach to, and says on standard output what
//! the program writes into a file of its own about what it does: `taskloom pane`.
//!
//! It is the child of a shim like any other program, and the tmux server is its descendant: when
//! this ends, for whatever reason, nothing is left of either. Lines on standard input are typed
//! into the session; when the input ends, the session does.

mod typing;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncSeekExt as _, BufReader};

use typing::{Deed, Typing};

/// How often the file and the session are looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What the session's server listens on, in the directory of the attempt.
pub const SOCKET: &str = "tmux.sock";

/// A command of tmux has room for 16 KiB, and a prompt may be longer: a shell in the session puts
/// it there from a file.
const WITH_PROMPT: [&str; 3] = ["sh", "-c", r#"exec "$@" -- "$(cat "$0")""#];

/// A program with what a file holds as its last argument.
pub fn with_prompt(file: &Path, program: Vec<String>) -> Vec<String> {
    let begin = WITH_PROMPT.map(str::to_owned).into_iter().chain([file.display().to_string()]);
    begin.chain(program).collect()
}

/// A program that has ended stays on the screen, so that its last words can be read.
const SETTINGS: &str = "tmux.conf";

/// How many of those are repeated.
const LAST_LINES: usize = 10;

/// What is to be run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pane {
    /// The directory for the socket.
    pub dir: PathBuf,
    /// The session's name.
    pub session: String,
    /// Where the program runs.
    pub cwd: PathBuf,
    /// The program and its arguments.
    pub program: Vec<String>,
    /// The file that the program keeps about what it does; or a directory, for the newest in it.
    pub follow: PathBuf,
    /// Whether what is there before is an old story.
    pub from_end: bool,
    /// Files that must be there before it starts, with what is in them where they are not.
    pub files: Vec<(PathBuf, String)>,
}

/// What is done in the session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Typed {
    /// A text, sent.
    Text(String),
    /// A key by its name for tmux.
    Key(String),
}

/// `taskloom pane JSON`.
pub fn main(mut args: impl Iterator<Item = String>) -> ExitCode {
    let pane = args.next().and_then(|json| serde_json::from_str::<Pane>(&json).ok());
    let Some(pane) = pane else { return ExitCode::from(2) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = runtime.and_then(|runtime| {
        let ended = runtime.block_on(pane.run());
        // Something still waits for input that will not come.
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&json!({ "type": "pane", "error": error.to_string() }));
            ExitCode::FAILURE
        }
    }
}

impl Pane {
    async fn run(&self) -> io::Result<()> {
        for (path, text) in &self.files {
            std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
            if !path.exists() {
                std::fs::write(path, text)?;
            }
        }
        let old = newest(&self.follow).filter(|_| self.from_end);
        let mut told = old
            .map(|(_, path)| Told { bytes: length(&path), path, any: false })
            .unwrap_or_default();
        std::fs::write(self.dir.join(SETTINGS), "set -g remain-on-exit on\n")?;
        let cwd = self.cwd.display().to_string();
        let mut words = vec!["new-session", "-d", "-x", "200", "-y", "50"];
        words.extend(["-s", &self.session, "-c", &cwd, "--"]);
        words.extend(self.program.iter().map(String::as_str));
        if !self.tmux(&words).await? {
            return Err(io::Error::other("tmux does not start the session"));
        }
        say(&json!({ "type": "pane", "session": self.session }));
        let mut typed = BufReader::new(tokio::io::stdin()).lines();
        let mut typing = Typing::new();
        loop {
            tokio::select! {
                line = typed.next_line() => match line?.map(|line| serde_json::from_str(&line)) {
                    Some(Ok(Typed::Text(text))) => typing.add(text),
                    Some(Ok(Typed::Key(key))) => self.press(&key).await?,
                    Some(Err(_)) => {}
                    None => break,
                },
                () = tokio::time::sleep(LOOK_AGAIN) => {
                    typing.heard(&self.tell_more(&mut told).await?);
                    // Who has written nothing yet does not listen yet either.
                    if told.any {
                        self.type_on(&mut typing).await?;
                    }
                    if self.is_over().await? {
                        self.tell_more(&mut told).await?;
                        let last = self.last_words().await?;
                        self.tmux(&["kill-server"]).await?;
                        let why = format!("the program in the session has ended: {last}");
                        return Err(io::Error::other(why));
                    }
                }
            }
        }
        self.tmux(&["kill-server"]).await.map(|_| ())
    }

    /// Says the whole lines that the file has beyond what was told, and returns them.
    async fn tell_more(&self, told: &mut Told) -> io::Result<Vec<u8>> {
        let mut more = Vec::new();
        let Some((_, path)) = newest(&self.follow) else { return Ok(more) };
        if path != told.path {
            *told = Told { path: path.clone(), ..Told::default() };
        }
        let Ok(mut file) = tokio::fs::File::open(path).await else { return Ok(more) };
        file.seek(io::SeekFrom::Start(told.bytes)).await?;
        file.read_to_end(&mut more).await?;
        let end = more.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        more.truncate(end);
        tell(&more)?;
        told.bytes += end as u64;
        told.any |= end > 0;
        Ok(more)
    }

    /// Does what comes next in typing, if something does.
    async fn type_on(&self, typing: &mut Typing) -> io::Result<()> {
        let screen = match typing.looks_at_screen() {
            true => self.answer(&["capture-pane", "-p", "-t", &self.session]).await?,
            false => None,
        };
        match typing.look(&screen.unwrap_or_default()) {
            Some(Deed::Paste(text)) => self.paste(&text).await,
            Some(Deed::Send) => self.press("Enter").await,
            Some(Deed::GiveUp(text)) => {
                say(&json!({ "type": "pane", "lost": text }));
                Ok(())
            }
            None => Ok(()),
        }
    }

    async fn press(&self, key: &str) -> io::Result<()> {
        self.tmux(&["send-keys", "-t", &self.session, key]).await.map(drop)
    }

    /// Puts a text where one types.
    async fn paste(&self, text: &str) -> io::Result<()> {
        let file = self.dir.join("typed.txt");
        tokio::fs::write(&file, text).await?;
        let name = file.display().to_string();
        self.tmux(&["load-buffer", "-b", "typed", &name]).await?;
        self.tmux(&["paste-buffer", "-d", "-p", "-b", "typed", "-t", &self.session]).await.map(drop)
    }

    /// Whether the program has ended, or its session is gone.
    async fn is_over(&self) -> io::Result<bool> {
        let words = ["list-panes", "-t", &self.session, "-F", "#{pane_dead}"];
        let dead = self.answer(&words).await?;
        Ok(dead.is_none_or(|dead| dead.trim() != "0"))
    }

    /// What is on the screen of a program that has ended.
    async fn last_words(&self) -> io::Result<String> {
        let screen = self.answer(&["capture-pane", "-p", "-S", "-50", "-t", &self.session]).await?;
        let screen = screen.unwrap_or_default();
        let lines: Vec<&str> = screen.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
        Ok(lines[lines.len().saturating_sub(LAST_LINES)..].join("\n"))
    }

    async fn tmux(&self, words: &[&str]) -> io::Result<bool> {
        Ok(self.answer(words).await?.is_some())
    }

    /// What tmux says to a command; `None` if it fails.
    #[expect(clippy::disallowed_methods, reason = "processes start only here and below")]
    async fn answer(&self, words: &[&str]) -> io::Result<Option<String>> {
        let mut command = tokio::process::Command::new("tmux");
        // The path of a socket has room for few characters, so it is named from where it is.
        command.current_dir(&self.dir).args(["-S", SOCKET, "-f", SETTINGS]).args(words);
        command.stdin(Stdio::null()).stderr(Stdio::null());
        let output = command.output().await?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(output.status.success().then_some(said))
    }
}

/// How far which file was told.
#[derive(Debug, Default)]
struct Told {
    path: PathBuf,
    bytes: u64,
    /// Whether there was something to tell.
    any: bool,
}

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map(|file| file.len()).unwrap_or_default()
}

/// The file itself, or the newest record below a directory, with its age.
fn newest(path: &Path) -> Option<(SystemTime, PathBuf)> {
    let about = std::fs::symlink_metadata(path).ok()?;
    if about.is_file() {
        let record = path.extension().is_some_and(|extension| extension == "jsonl");
        return record.then(|| Some((about.modified().ok()?, path.to_owned()))).flatten();
    }
    let entries = std::fs::read_dir(path).ok().filter(|_| about.is_dir())?;
    entries.flatten().filter_map(|entry| newest(&entry.path())).max()
}

/// Attaches this terminal to the session of an attempt.
#[expect(clippy::disallowed_methods, reason = "processes start only here and below")]
pub fn attach(dir: &Path) -> io::Result<bool> {
    let mut command = std::process::Command::new("tmux");
    command.current_dir(dir).args(["-S", SOCKET, "attach-session"]);
    Ok(command.status()?.success())
}

fn say(message: &serde_json::Value) {
    // Nobody listens any more: then there is nobody to tell of it either.
    tell(format!("{message}\n").as_bytes()).ok();
}

fn tell(text: &[u8]) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(text)?;
    output.flush()
}
