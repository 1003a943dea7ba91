//! A model on loopback that says what a script tells it, in the languages of Anthropic, OpenAI and
//! Google.
//!
//! It keeps no conversation. A prompt contains `[[name]]`; how far the script is, is the number of
//! answers that the conversation has since the last such mark. So repeated and parallel requests
//! change nothing, and requests beside the conversation get a plain word.

mod wires;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use wires::Wire;

/// What it says at one place of a script.
#[derive(Debug, Clone, Default)]
pub(crate) struct Step {
    text: String,
    tools: Vec<(String, Value)>,
    refusal: Option<(u16, Value)>,
    /// So often it refuses, and then it answers.
    times: Option<u32>,
    headers: Vec<(String, String)>,
    stop: Option<&'static str>,
    /// It breaks off in the middle.
    cut: bool,
}

/// Says a text and ends its turn.
pub(crate) fn say(text: &str) -> Step {
    Step { text: text.to_owned(), ..Step::default() }
}

/// Uses a tool.
pub(crate) fn tool(name: &str, input: Value) -> Step {
    Step::default().and(name, input)
}

/// Refuses.
pub(crate) fn refuse(status: u16, kind: &str, message: &str) -> Step {
    let body = json!({ "type": "error", "error": { "type": kind, "message": message } });
    Step { refusal: Some((status, body)), ..Step::default() }
}

impl Step {
    /// Uses one more tool.
    pub(crate) fn and(mut self, name: &str, input: Value) -> Self {
        self.tools.push((name.to_owned(), input));
        self
    }

    /// Refuses only so often, and then says a text.
    pub(crate) fn times(mut self, times: u32, then: &str) -> Self {
        (self.times, self.text) = (Some(times), then.to_owned());
        self
    }

    pub(crate) fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    /// Refuses with a body of its own.
    pub(crate) fn body(mut self, body: Value) -> Self {
        self.refusal = self.refusal.map(|(status, _)| (status, body));
        self
    }

    pub(crate) fn stop(mut self, reason: &'static str) -> Self {
        self.stop = Some(reason);
        self
    }

    pub(crate) fn cut(mut self) -> Self {
        self.cut = true;
        self
    }
}

/// One request for an answer.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) scenario: String,
    pub(crate) step: usize,
    pub(crate) body: Value,
}

#[derive(Default)]
struct Shared {
    scripts: Mutex<BTreeMap<String, Vec<Step>>>,
    refused: Mutex<BTreeMap<(String, usize), u32>>,
    asked: Mutex<Vec<Asked>>,
}

/// The model. It stops when it is dropped.
pub(crate) struct Model {
    address: SocketAddr,
    shared: Arc<Shared>,
    _runtime: tokio::runtime::Runtime,
}

impl Model {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let shared = Arc::new(Shared::default());
        let app = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, app).await });
        Self { address, shared, _runtime: runtime }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it says to `[[name]]`, answer by answer; the last is said again and again.
    pub(crate) fn script(&self, name: &str, steps: impl IntoIterator<Item = Step>) {
        let steps = steps.into_iter().collect();
        self.shared.scripts.lock().unwrap().insert(name.to_owned(), steps);
    }

    /// What it was asked in a scenario.
    pub(crate) fn asked(&self, scenario: &str) -> Vec<Asked> {
        let asked = self.shared.asked.lock().unwrap();
        asked.iter().filter(|asked| asked.scenario == scenario).cloned().collect()
    }
}

impl Shared {
    /// Where in which script a conversation is.
    fn place(&self, turns: &[Turn]) -> Option<(String, usize)> {
        let mark = |turn: &Turn| match turn {
            Turn::Person(text) => {
                let (_, rest) = text.rsplit_once("[[")?;
                rest.split_once("]]").map(|(name, _)| name.to_owned())
            }
            Turn::Model => None,
        };
        let (at, name) =
            turns.iter().enumerate().rev().find_map(|(at, turn)| Some((at, mark(turn)?)))?;
        let answers = turns[at..].chunk_by(|a, b| matches!((a, b), (Turn::Model, Turn::Model)));
        Some((name, answers.filter(|run| matches!(run[0], Turn::Model)).count()))
    }

    fn step(&self, name: &str, at: usize) -> Step {
        let scripts = self.scripts.lock().unwrap();
        let Some(steps) = scripts.get(name) else { return say("there is no such script") };
        let mut step = steps[at.min(steps.len() - 1)].clone();
        if let Some(times) = step.times {
            let mut refused = self.refused.lock().unwrap();
            let count = refused.entry((name.to_owned(), at)).or_default();
            *count += 1;
            if *count > times {
                step.refusal = None;
            }
        }
        step
    }
}

/// Who said something in a conversation.
enum Turn {
    /// The model, by a text or with a tool.
    Model,
    /// Anybody else, with the texts; the results of tools have none.
    Person(String),
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let body = to_bytes(request.into_body(), 64 << 20).await.unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if path.ends_with("/count_tokens") || path.ends_with(":countTokens") {
        return axum_json(200, &json!({ "input_tokens": 1234, "totalTokens": 1234 }));
    }
    if path.ends_with("/models") {
        let model = json!({ "id": "scripted", "type": "model", "object": "model" });
        return axum_json(200, &json!({ "object": "list", "data": [model] }));
    }
    let Some(wire) = Wire::of(&path) else {
        let error = json!({ "type": "not_found_error", "message": "no such route" });
        return axum_json(404, &json!({ "type": "error", "error": error }));
    };
    let place = wire.offers_tools(&body).then(|| shared.place(&wire.turns(&body))).flatten();
    let step = match &place {
        Some((name, at)) => shared.step(name, *at),
        None => say("ok"),
    };
    if let Some((scenario, step)) = place {
        shared.asked.lock().unwrap().push(Asked { scenario, step, body: body.clone() });
    }
    let mut response = match &step.refusal {
        Some((status, body)) => axum_json(*status, body),
        None => {
            let said = wire.say(&step, &body);
            let end = step.cut.then(|| Err(std::io::Error::other("cut")));
            let pieces = futures_util::stream::iter([Ok(Bytes::from(said))].into_iter().chain(end));
            // The piece goes out before the connection breaks.
            let pieces = pieces.then(|piece: std::io::Result<Bytes>| async {
                tokio::time::sleep(Duration::from_millis(u64::from(piece.is_err()) * 50)).await;
                piece
            });
            let kind = [("content-type", wire.content_type(&body))];
            (kind, Body::from_stream(pieces)).into_response()
        }
    };
    for (name, value) in &step.headers {
        let name: axum::http::HeaderName = name.parse().unwrap();
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

fn axum_json(status: u16, body: &Value) -> Response {
    let kind = [("content-type", "application/json")];
    (StatusCode::from_u16(status).unwrap(), kind, body.to_string()).into_response()
}
