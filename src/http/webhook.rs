//! The endpoint by which GitHub tells what happened: `POST /github`.
//!
//! A delivery is a hint and no more: whoever hears of it looks for itself. So one that is lost is
//! made good by the next look, and one that is sent again changes nothing.
//! <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use hmac::{Hmac, Mac as _};
use serde_json::Value;
use sha2::Sha256;

use crate::secret::Secret;

/// GitHub sends no more than 25 MB.
const BODY_BYTES_MAX: usize = 25 * 1024 * 1024;

/// How many deliveries are remembered, to be answered without doing anything again.
const DELIVERIES_MAX: usize = 1_000;

/// Something that happened in a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Happened {
    /// What, in GitHub's word: `pull_request_review`.
    pub event: String,
    /// Where: `octo/shop`.
    pub repo: String,
}

/// Who is told.
pub type Ear = Arc<dyn Fn(Happened) + Send + Sync>;

struct Desk {
    secret: Secret,
    ear: Ear,
    seen: Mutex<VecDeque<String>>,
}

/// The route; deliveries must be signed with `secret`.
pub(super) fn routes(secret: Secret, ear: Ear) -> Router {
    let desk = Arc::new(Desk { secret, ear, seen: Mutex::default() });
    Router::new()
        .route("/github", post(deliver))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(desk)
}

async fn deliver(
    State(desk): State<Arc<Desk>>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if !header("x-hub-signature-256").is_some_and(|given| is_signed(&desk.secret, &body, given)) {
        return (StatusCode::UNAUTHORIZED, "the signature does not fit\n");
    }
    let (Some(event), Some(delivery)) = (header("x-github-event"), header("x-github-delivery"))
    else {
        return (StatusCode::BAD_REQUEST, "this is no delivery of GitHub's\n");
    };
    let Ok(payload) = serde_json::from_slice::<Value>(&body) else {
        return (StatusCode::BAD_REQUEST, "the body is no JSON; set the content type to it\n");
    };
    if !desk.is_new(delivery) {
        return (StatusCode::OK, "known\n");
    }
    if let Some(repo) = payload["repository"]["full_name"].as_str() {
        (desk.ear)(Happened { event: event.to_owned(), repo: repo.to_owned() });
    }
    (StatusCode::ACCEPTED, "heard\n")
}

impl Desk {
    fn is_new(&self, delivery: &str) -> bool {
        let mut seen = self.seen.lock().expect("BUG: nobody panics with this lock");
        if seen.iter().any(|known| known == delivery) {
            return false;
        }
        if seen.len() >= DELIVERIES_MAX {
            seen.pop_front();
        }
        seen.push_back(delivery.to_owned());
        true
    }
}

/// Whether `given`, as `sha256=…`, is the HMAC of the body; compared in constant time.
pub(super) fn is_signed(secret: &Secret, body: &[u8], given: &str) -> bool {
    let Some(bytes) = given.strip_prefix("sha256=").and_then(unhex) else { return false };
    let key = Hmac::<Sha256>::new_from_slice(secret.0.as_bytes());
    let mut mac = key.expect("BUG: a key of any length will do");
    mac.update(body);
    mac.verify_slice(&bytes).is_ok()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    let pairs = text.as_bytes().chunks(2).map(std::str::from_utf8);
    pairs.map(|pair| u8::from_str_radix(pair.ok()?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_githubs_own_example() {
        let secret = Secret("It's a Secret to Everybody".to_owned());
        let given = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
        assert!(is_signed(&secret, b"Hello, World!", given));
        assert!(!is_signed(&secret, b"Hello, World?", given));
        assert!(!is_signed(&Secret("another".to_owned()), b"Hello, World!", given));
        for bad in ["", "sha256=", "sha256=zz", "sha256=7", &given[7..], "sha1=757107ea"] {
            assert!(!is_signed(&secret, b"Hello, World!", bad), "{bad}");
        }
    }
}
