//! `POST /hook/NAME`: a signed request sets a hook off.
//!
//! The signature is GitHub's: `X-Hub-Signature-256: sha256=…`, the HMAC-SHA256 of the body. Who
//! signs wrongly is not told whether there is such a hook.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};

use crate::http::webhook::is_signed;
use crate::secret::Secret;

/// The longest body; each is kept until its run is over.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// The longest name of a delivery.
const DELIVERY_CHARS_MAX: usize = 128;

/// Headers by which a request that is sent again is known, in the usual spellings.
const DELIVERY: [&str; 2] = ["idempotency-key", "x-github-delivery"];

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rung {
    /// It sets the hook off, as this run of it.
    Heard(i64),
    /// It was heard before.
    Known,
    /// Nothing comes of it now.
    Unheard,
}

/// The hooks that requests set off.
#[async_trait]
pub trait Hooks: Send + Sync {
    /// What requests for a hook are signed with; `None`: there is no such hook.
    async fn secret(&self, name: &str) -> Option<Secret>;

    /// A request that was signed. `delivery` is the same for one that is sent again.
    async fn ring(&self, name: &str, delivery: Option<String>, body: Value) -> Rung;
}

pub(super) fn router(hooks: Arc<dyn Hooks>) -> Router {
    Router::new()
        .route("/hook/{name}", post(knock))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(hooks)
}

async fn knock(
    State(hooks): State<Arc<dyn Hooks>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let given = header("x-hub-signature-256").unwrap_or_default();
    let genuine = hooks.secret(&name).await.is_some_and(|secret| is_signed(&secret, &body, given));
    if !genuine {
        return (StatusCode::UNAUTHORIZED, "the signature does not fit\n".to_owned());
    }
    let delivery = DELIVERY.iter().find_map(|name| header(name));
    let delivery = delivery.map(|id| id.chars().take(DELIVERY_CHARS_MAX).collect());
    match hooks.ring(&name, delivery, event(&body)).await {
        Rung::Heard(run) => (StatusCode::ACCEPTED, format!("run {run}\n")),
        Rung::Known => (StatusCode::OK, "known\n".to_owned()),
        Rung::Unheard => {
            let why = "the hook is switched off, cools down or has too many runs waiting\n";
            (StatusCode::TOO_MANY_REQUESTS, why.to_owned())
        }
    }
}

/// The body as an event: what is no object of JSON stands under `body`.
fn event(body: &[u8]) -> Value {
    match serde_json::from_slice::<Value>(body) {
        Ok(event @ Value::Object(_)) => event,
        Ok(other) => json!({ "body": other }),
        Err(_) => json!({ "body": String::from_utf8_lossy(body) }),
    }
}
