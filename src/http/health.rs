//! `GET /healthz`, `/readyz`, `/metrics`: for supervisors and monitoring.

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::{Map, Value, json};

/// Something that the process needs to do its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its name: `store`.
    pub name: &'static str,
    /// Whether it does its work.
    pub ready: bool,
    /// How it is, or why it is not ready, in a sentence.
    pub detail: String,
}

/// What is told about the process.
#[async_trait]
pub trait Vitals: Send + Sync {
    /// Whether the process is alive, or why not. Must answer within seconds whatever hangs.
    async fn alive(&self) -> Result<(), String>;

    /// How each part is.
    async fn parts(&self) -> Vec<Part>;

    /// The page of metrics and its content type, or why there is none.
    async fn metrics(&self) -> Result<(&'static str, String), String>;
}

pub(super) fn routes(vitals: Arc<dyn Vitals>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(vitals)
}

async fn healthz(State(vitals): State<Arc<dyn Vitals>>) -> (StatusCode, String) {
    match vitals.alive().await {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn readyz(State(vitals): State<Arc<dyn Vitals>>) -> Response {
    let parts = vitals.parts().await;
    let ready = parts.iter().all(|part| part.ready);
    let told: Map<String, Value> = parts
        .into_iter()
        .map(|part| (part.name.to_owned(), json!({ "ready": part.ready, "detail": part.detail })))
        .collect();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = format!("{:#}\n", json!({ "ready": ready, "parts": told }));
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn metrics(State(vitals): State<Arc<dyn Vitals>>) -> Response {
    match vitals.metrics().await {
        Ok((kind, page)) => ([(header::CONTENT_TYPE, kind)], page).into_response(),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
    }
}
