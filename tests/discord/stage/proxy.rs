//! The REST side before the twin: records every request, adds what the twin lacks, and answers
//! wrongly where a test wants it.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::deeds::Deeds;
use super::faults::{Fault, Faults, Limits};
use super::twin::About;
use super::wire::{Wire, user};

/// A file that came with a request.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// A request of the bot.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Below `/api/v10`.
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Value,
    pub(crate) files: Vec<File>,
}

/// A request with its answer.
#[derive(Debug, Clone)]
pub(crate) struct Exchange {
    pub(crate) asked: Asked,
    pub(crate) at: Instant,
    pub(crate) status: u16,
    /// Requests to the same channel and route under way when it came, itself among them.
    pub(crate) in_flight: usize,
}

/// An answer before it is sent.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self { status, headers: Vec::new(), body: body.to_string() }
    }

    fn empty() -> Self {
        Self { status: 204, headers: Vec::new(), body: String::new() }
    }
}

pub(crate) struct Proxy {
    pub(crate) shared: Arc<Shared>,
    pub(crate) url: String,
    serving: AbortHandle,
}

pub(crate) struct Shared {
    pub(crate) about: About,
    pub(crate) wire: Wire,
    pub(crate) deeds: Deeds,
    pub(crate) faults: Mutex<Faults>,
    pub(crate) limits: Mutex<Limits>,
    pub(crate) latency: Mutex<Duration>,
    client: reqwest::Client,
    url: Mutex<String>,
    state: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    exchanges: Vec<Exchange>,
    flying: HashMap<String, usize>,
    nonces: HashMap<(String, String), Value>,
    /// Files of messages, by message.
    files: BTreeMap<String, Vec<File>>,
    /// Threads by the message that they hang from.
    threads: BTreeMap<String, String>,
    /// Files that people attach, by their path here.
    uploads: HashMap<String, Vec<u8>>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Proxy {
    pub(crate) async fn start(about: &About) -> Self {
        let shared = Arc::new(Shared {
            about: about.clone(),
            wire: Wire::start(about).await,
            deeds: Deeds::default(),
            faults: Mutex::default(),
            limits: Mutex::default(),
            latency: Mutex::default(),
            client: reqwest::Client::builder()
                .no_proxy()
                .pool_max_idle_per_host(0)
                .build()
                .unwrap(),
            url: Mutex::default(),
            state: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        url.clone_into(&mut shared.url.lock().unwrap());
        let app = axum::Router::new().fallback(serve).with_state(shared.clone());
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { shared, url, serving: serving.abort_handle() }
    }

    /// The next `times` requests that fit go wrong.
    pub(crate) fn fault(
        &self,
        times: u32,
        fits: impl Fn(&Asked) -> bool + Send + 'static,
        fault: Fault,
    ) {
        self.shared.faults.lock().unwrap().add(times, fits, fault);
    }

    /// Whether nothing is answered at all.
    pub(crate) fn down(&self, down: bool) {
        self.shared.faults.lock().unwrap().clear();
        if down {
            self.fault(u32::MAX, |_| true, Fault::Answer(Answer::json(503, &json!({}))));
        }
    }

    /// Everything that the bot asked so far.
    pub(crate) fn exchanges(&self) -> Vec<Exchange> {
        self.shared.kept().exchanges.clone()
    }

    /// Puts a file where a person attached one; its address.
    pub(crate) fn upload(&self, id: &str, name: &str, bytes: &[u8]) -> String {
        let path = format!("/attachments/{id}/{name}");
        self.shared.kept().uploads.insert(path.clone(), bytes.to_vec());
        format!("{}{path}", self.url)
    }

    /// The files of a message.
    pub(crate) fn files(&self, message: &str) -> Vec<File> {
        self.shared.kept().files.get(message).cloned().unwrap_or_default()
    }
}

impl Shared {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.state.lock().unwrap()
    }

    /// Asks the twin itself; not recorded.
    pub(crate) async fn twin(&self, method: &str, path: &str, body: &Value) -> Answer {
        let address = format!("{}/v10{path}", self.about.rest);
        let method = method.parse().unwrap();
        let request = self.client.request(method, address);
        let request = request.header("Authorization", format!("Bot {}", self.about.token));
        let request = if body.is_null() { request } else { request.json(body) };
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        Answer { status, headers: Vec::new(), body: response.text().await.unwrap() }
    }

    async fn answer(&self, asked: &Asked) -> Answer {
        let fault = self.faults.lock().unwrap().next(asked);
        match fault {
            Some(Fault::Answer(answer)) => return answer,
            Some(Fault::AfterEffect(answer)) => {
                self.work(asked).await;
                return answer;
            }
            Some(Fault::Hang) => std::future::pending::<()>().await,
            Some(Fault::Slow(span)) => tokio::time::sleep(span).await,
            None => {}
        }
        let headers = match self.limits.lock().unwrap().admit(asked) {
            Ok(headers) => headers,
            Err(refused) => return refused,
        };
        let mut answer = self.work(asked).await;
        answer.headers.extend(headers);
        answer
    }

    /// What Discord would do.
    async fn work(&self, asked: &Asked) -> Answer {
        let asked = &self.in_thread(asked);
        let parts: Vec<&str> = asked.path.trim_start_matches('/').split('/').collect();
        match (asked.method.as_str(), parts.as_slice()) {
            ("GET", ["gateway"]) => Answer::json(200, &json!({ "url": self.wire.url() })),
            ("GET", ["gateway", "bot"]) => Answer::json(200, &self.sign_ins()),
            ("GET", ["oauth2", "applications", "@me"]) => Answer::json(200, &self.application()),
            ("DELETE", ["users", "@me", "guilds", _]) => Answer::empty(),
            ("POST", ["interactions", id, _, "callback"]) => {
                self.deeds.callback(id, asked);
                Answer::empty()
            }
            (method, ["webhooks", app, token, rest @ ..]) if *app == self.about.bot => {
                self.deeds.webhook(method, token, rest, asked, &self.about)
            }
            ("POST", ["channels", channel, "messages"]) => self.create(channel, asked).await,
            ("PATCH", ["channels", _, "messages", message]) => {
                let answer = self.twin(&asked.method, &asked.path, &forwarded(asked)).await;
                self.keep_files(message, asked);
                answer
            }
            ("POST", ["channels", _, "messages", message, "threads"]) => {
                self.open_thread(message, asked).await
            }
            _ => {
                let path = format!("{}{}", asked.path, asked.query);
                self.twin(&asked.method, &path, &asked.body).await
            }
        }
    }

    /// With Discord a thread has the id of the message that it hangs from; the twin gives it one of
    /// its own.
    fn in_thread(&self, asked: &Asked) -> Asked {
        let mut asked = asked.clone();
        let id = asked.path.split('/').nth(2).unwrap_or_default().to_owned();
        let whole = asked.path.starts_with("/channels/");
        if let Some(thread) = self.kept().threads.get(&id).filter(|_| whole) {
            asked.path = asked.path.replacen(&id, thread, 1);
        }
        asked
    }

    fn sign_ins(&self) -> Value {
        let left = self.limits.lock().unwrap().sign_ins_left;
        json!({
            "url": self.wire.url(), "shards": 1,
            "session_start_limit": {
                "total": 1_000, "remaining": left, "reset_after": 2_000, "max_concurrency": 1,
            },
        })
    }

    fn application(&self) -> Value {
        json!({
            "id": self.about.bot, "name": "taskloom", "icon": null, "description": "",
            "bot_public": false, "bot_require_code_grant": false, "verify_key": "00",
            "owner": user(&self.about.users["alice"], "alice", false), "team": null,
            "flags": 1 << 19,
        })
    }

    async fn create(&self, channel: &str, asked: &Asked) -> Answer {
        let nonce = asked.body["nonce"].as_str().unwrap_or_default().to_owned();
        let key = (channel.to_owned(), nonce);
        let known = self.kept().nonces.get(&key).cloned();
        if let Some(message) = known.filter(|_| asked.body["enforce_nonce"] == true) {
            return Answer::json(200, &message);
        }
        let mut answer = self.twin("POST", &asked.path, &forwarded(asked)).await;
        if answer.status == 200 {
            let mut message: Value = serde_json::from_str(&answer.body).unwrap();
            self.keep_files(message["id"].as_str().unwrap(), asked);
            message["attachments"] = self.attachments(&asked.files);
            answer.body = message.to_string();
            self.kept().nonces.insert(key, message);
        }
        answer
    }

    fn keep_files(&self, message: &str, asked: &Asked) {
        if !asked.files.is_empty() {
            self.kept().files.insert(message.to_owned(), asked.files.clone());
        }
    }

    fn attachments(&self, files: &[File]) -> Value {
        let url = self.url.lock().unwrap().clone();
        let of = |file: &File| {
            let url = format!("{url}/attachments/0/{}", file.name);
            json!({
                "id": "1", "filename": file.name, "size": file.bytes.len(), "url": url,
                "proxy_url": url,
            })
        };
        files.iter().map(of).collect()
    }

    async fn open_thread(&self, message: &str, asked: &Asked) -> Answer {
        if self.kept().threads.contains_key(message) {
            let body = json!({ "code": 160_004, "message": "A thread has already been created" });
            return Answer::json(400, &body);
        }
        let answer = self.twin("POST", &asked.path, &asked.body).await;
        if let Ok(thread) = serde_json::from_str::<Value>(&answer.body)
            && let Some(id) = thread["id"].as_str()
        {
            self.kept().threads.insert(message.to_owned(), id.to_owned());
        }
        answer
    }
}

/// What the twin is told: it knows no files.
fn forwarded(asked: &Asked) -> Value {
    let mut body = asked.body.clone();
    if let Some(object) = body.as_object_mut() {
        object.remove("attachments");
    }
    if body.get("message_reference").is_some() {
        body["message_reference"]["channel_id"] = json!(asked.path.split('/').nth(2));
    }
    body
}

async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    if let Some(bytes) = shared.kept().uploads.get(&path).cloned() {
        return bytes.into_response();
    }
    let asked = read(request).await;
    let route = route(&asked);
    let at = Instant::now();
    let flight = Flight::begin(&shared, route);
    let latency = *shared.latency.lock().unwrap();
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let answer = shared.answer(&asked).await;
    {
        let mut kept = shared.kept();
        let status = answer.status;
        kept.exchanges.push(Exchange { asked, at, status, in_flight: flight.number });
    }
    let mut response = Response::builder()
        .status(StatusCode::from_u16(answer.status).unwrap())
        .header("Content-Type", "application/json");
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(answer.body)).unwrap()
}

/// A request under way; over when it is answered or whoever asked is gone.
struct Flight {
    shared: Arc<Shared>,
    route: String,
    number: usize,
}

impl Flight {
    fn begin(shared: &Arc<Shared>, route: String) -> Self {
        let number = {
            let mut kept = shared.kept();
            let flying = kept.flying.entry(route.clone()).or_default();
            *flying += 1;
            *flying
        };
        Self { shared: shared.clone(), route, number }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        *self.shared.kept().flying.get_mut(&self.route).unwrap() -= 1;
    }
}

/// The channel and what is done there: what one rate-limit bucket stands for.
pub(crate) fn route(asked: &Asked) -> String {
    let ids = asked.path.split('/').skip(1).enumerate().map(|(at, part)| {
        let is_id = part.len() > 15 && part.bytes().all(|byte| byte.is_ascii_digit());
        if is_id && at != 1 { "*" } else { part }
    });
    let ids: Vec<&str> = ids.collect();
    format!("{} {}", asked.method, ids.join("/"))
}

async fn read(request: Request) -> Asked {
    let (parts, body) = request.into_parts();
    let header = |name: &str| parts.headers.get(name)?.to_str().ok().map(str::to_owned);
    let kind = header("content-type").unwrap_or_default();
    let bytes = axum::body::to_bytes(body, 64 << 20).await.unwrap();
    let (body, files) = match kind.split_once("boundary=") {
        Some((_, boundary)) => form(&bytes, boundary.trim_matches('"')),
        None => (serde_json::from_slice(&bytes).unwrap_or_default(), Vec::new()),
    };
    let path = parts.uri.path();
    Asked {
        method: parts.method.to_string(),
        path: path.strip_prefix("/api/v10").unwrap_or(path).to_owned(),
        query: parts.uri.query().map(|query| format!("?{query}")).unwrap_or_default(),
        body,
        files,
    }
}

/// The parts of a multipart form: its JSON and its files.
fn form(bytes: &[u8], boundary: &str) -> (Value, Vec<File>) {
    let (mut body, mut files) = (Value::Null, Vec::new());
    let mark = format!("--{boundary}");
    for part in split(bytes, mark.as_bytes()) {
        let Some(at) = find(part, b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&part[..at]).into_owned();
        let content = &part[at + 4..];
        let content = content.strip_suffix(b"\r\n").unwrap_or(content);
        match head.split_once("filename=\"") {
            Some((_, rest)) => {
                let name = rest.split('"').next().unwrap_or_default().to_owned();
                files.push(File { name, bytes: content.to_vec() });
            }
            None => body = serde_json::from_slice(content).unwrap_or_default(),
        }
    }
    (body, files)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn split<'a>(mut bytes: &'a [u8], mark: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while let Some(at) = find(bytes, mark) {
        parts.push(&bytes[..at]);
        bytes = &bytes[at + mark.len()..];
    }
    parts
}
