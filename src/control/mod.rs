//! The Unix socket in the data directory, by which the command line speaks to the process that
//! owns it: one JSON line each way per connection.
//!
//! Only the owner of the data directory can reach it (directory 0700, socket 0600).

pub mod inbox;
pub mod memory;
pub mod names;
pub mod settings;
pub mod stats;
pub mod usage;

use std::fs::{File, Permissions};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

use crate::crash;
use crate::failure::Failure;
use crate::hooks;
use crate::ids::RunId;
use crate::orchestrator::{Closed, Command, GlobalCommand, Handle, Reasons, Receipt, RunView};
use crate::state::RunOptions;

/// The longest request or answer, in bytes: the largest graph with room for its escapes.
const LINE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// How long the other side may take for a request or an answer. A command answers when it is
/// durable, which a busy disk may delay.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long to wait after a client could not be let in: too many files are open, most often.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const SOCKET: &str = "control.sock";

/// What can go wrong between the two sides.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens.
    #[error("nobody listens on the control socket")]
    Nobody,
    /// The socket could not be made or used.
    #[error("the control socket failed")]
    Socket(#[from] std::io::Error),
    /// The other side did not keep to the protocol.
    #[error("the other side of the control socket said something else: {0}")]
    Protocol(String),
    /// The other side took too long.
    #[error("no answer on the control socket within {} s", PATIENCE.as_secs())]
    Timeout,
}

/// What may be asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// A verb on a run.
    Run(Command),
    /// A verb on everything or on a project.
    Global(GlobalCommand),
    /// A graph to be run.
    Submit(Box<Order>),
    /// An issue to be run.
    Issue(IssueOrder),
    /// The configuration is to be read again.
    Reload,
    /// A hook to be set off or changed.
    Hook(HookOrder),
    /// Why the tasks of a run wait.
    Why(RunId),
}

/// What is asked about a hook.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HookOrder {
    /// To set it off.
    Fire(hooks::Asked),
    /// To make, change or remove it.
    Change(hooks::Kept),
}

/// A graph to be run, as it is sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// The graph's file, byte for byte.
    pub source: String,
    /// The repository to work on, absolute.
    pub repo: PathBuf,
    /// What the submitter sets above the graph.
    pub options: RunOptions,
    /// Who.
    pub submitter: String,
}

/// An issue of GitHub to be run, as it is sent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IssueOrder {
    /// Its number.
    pub number: u64,
    /// The repository to work on, absolute.
    pub repo: PathBuf,
    /// What the submitter sets above the graph.
    pub options: RunOptions,
    /// Who.
    pub submitter: String,
}

/// Who takes orders for the process that listens.
#[async_trait]
pub trait Clerk: Send + Sync {
    /// Checks and submits a graph; the receipt names the run.
    async fn submit(&self, order: Order) -> Result<Receipt, Failure>;

    /// Reads the configuration again; the receipt says what came of it.
    async fn reload(&self) -> Result<Receipt, Failure>;

    /// Fetches an issue and submits what it stands for.
    async fn submit_issue(&self, order: IssueOrder) -> Result<Receipt, Failure>;

    /// Sets a hook off or changes it.
    async fn hook(&self, order: HookOrder) -> Result<Receipt, Failure>;
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Response {
    Receipt(Receipt),
    Failure(Failure),
    Why(Option<Reasons>),
}

/// Listens until it is dropped.
#[derive(Debug)]
pub struct Server {
    accepting: JoinHandle<()>,
    path: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
        drop(std::fs::remove_file(&self.path));
    }
}

impl Server {
    /// Listens in `data_dir`, which the caller owns: a socket that lies there is stale. Without a
    /// clerk no graphs are taken.
    pub fn start(
        data_dir: &Path,
        handle: Handle,
        clerk: Option<Arc<dyn Clerk>>,
    ) -> Result<Self, Error> {
        let path = data_dir.join(SOCKET);
        drop(std::fs::remove_file(&path));
        let dir = File::open(data_dir)?;
        let listener = UnixListener::bind(short(&dir))?;
        std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        let accepting = tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        drop(tokio::spawn(serve(stream, handle.clone(), clerk.clone())))
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a client of the control socket was not let in");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        });
        Ok(Self { accepting, path })
    }
}

/// A socket's path may have 108 bytes at most; this one always has few.
fn short(dir: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd()))
}

async fn serve(stream: UnixStream, handle: Handle, clerk: Option<Arc<dyn Clerk>>) {
    if let Err(error) = tokio::time::timeout(PATIENCE, answer(stream, handle, clerk)).await {
        tracing::warn!(%error, "a client of the control socket was too slow");
    }
}

async fn answer(
    mut stream: UnixStream,
    handle: Handle,
    clerk: Option<Arc<dyn Clerk>>,
) -> Result<(), Error> {
    let line = read_line(&mut stream).await?;
    let response = match serde_json::from_str::<Request>(&line) {
        Ok(request) => carry_out(request, &handle, clerk).await,
        Err(why) => Response::Failure(
            Failure::user(format!("the request is not understood: {why}"))
                .hint("use the `taskloom` of the version that runs"),
        ),
    };
    write_line(&mut stream, &response).await
}

async fn carry_out(request: Request, handle: &Handle, clerk: Option<Arc<dyn Clerk>>) -> Response {
    let closed = |closed: Closed| Failure::outside(closed.to_string());
    let answer = match (request, clerk) {
        (Request::Why(run), _) => {
            let view = handle.view(run).await.map_err(closed);
            return view
                .map_or_else(Response::Failure, |view| Response::Why(view.map(RunView::reasons)));
        }
        (Request::Run(command), _) => handle.command(command).await.map_err(closed),
        (Request::Global(command), _) => handle.global(command).await.map_err(closed),
        (Request::Submit(order), Some(clerk)) => Ok(clerk.submit(*order).await),
        (Request::Issue(order), Some(clerk)) => Ok(clerk.submit_issue(order).await),
        (Request::Hook(order), Some(clerk)) => Ok(clerk.hook(order).await),
        (Request::Reload, Some(clerk)) => Ok(clerk.reload().await),
        (Request::Reload, None) => Err(Failure::user("the process at work is no daemon")
            .hint("it keeps the configuration that it began with")),
        (Request::Submit(_) | Request::Issue(_) | Request::Hook(_), None) => Err(takes_none()),
    };
    crash::point("command.kept");
    answer.flatten().map_or_else(Response::Failure, Response::Receipt)
}

fn takes_none() -> Failure {
    Failure::user("the process at work takes no other graphs and has no hooks")
        .hint("wait until it ends, or end it with Ctrl-C; then `taskloom serve`")
}

/// Has the owner of `data_dir` do something.
pub async fn ask(data_dir: &Path, request: &Request) -> Result<Result<Receipt, Failure>, Error> {
    match exchange(data_dir, request).await? {
        Response::Receipt(receipt) => Ok(Ok(receipt)),
        Response::Failure(failure) => Ok(Err(failure)),
        Response::Why(_) => Err(Error::Protocol("reasons, and nobody asked for them".to_owned())),
    }
}

/// Why the tasks of a run wait, by the owner of `data_dir`; `None`: it does not know the run.
pub async fn why(data_dir: &Path, run: RunId) -> Result<Option<Reasons>, Error> {
    match exchange(data_dir, &Request::Why(run)).await? {
        Response::Why(reasons) => Ok(reasons),
        Response::Failure(failure) => Err(Error::Protocol(failure.to_string())),
        Response::Receipt(receipt) => Err(Error::Protocol(receipt.sentence)),
    }
}

async fn exchange(data_dir: &Path, request: &Request) -> Result<Response, Error> {
    let dir = File::open(data_dir).map_err(|_| Error::Nobody)?;
    let mut stream = UnixStream::connect(short(&dir)).await.map_err(|_| Error::Nobody)?;
    let exchange = async {
        write_line(&mut stream, request).await?;
        read_line(&mut stream).await
    };
    let line = tokio::time::timeout(PATIENCE, exchange).await.map_err(|_| Error::Timeout)??;
    serde_json::from_str(&line).map_err(|why| Error::Protocol(why.to_string()))
}

async fn read_line(stream: &mut UnixStream) -> Result<String, Error> {
    let mut line = String::new();
    BufReader::new(stream.take(LINE_BYTES_MAX)).read_line(&mut line).await?;
    if line.ends_with('\n') { Ok(line) } else { Err(Error::Protocol("no whole line".to_owned())) }
}

async fn write_line(stream: &mut UnixStream, value: &impl Serialize) -> Result<(), Error> {
    let mut line = serde_json::to_string(value).expect("BUG: requests are plain data");
    line.push('\n');
    stream.write_all(line.as_bytes()).await?;
    Ok(())
}
