//! One HTTP server for whoever is not a person: probes, monitoring, GitHub's webhook, and signed
//! requests that set hooks off; and [`fetch`], which asks others.
//!
//! Nothing here can be commanded but a hook, by who can sign. What is told about the process comes
//! from a [`Vitals`] that is handed in; this module knows no engine.

pub mod fetch;
mod health;
mod knock;
mod webhook;

use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use health::{Part, Vitals};
pub use knock::{Hooks, Rung};
pub use webhook::{Ear, Happened};

use std::sync::Arc;

use crate::secret::Secret;

/// What a server answers to.
#[derive(Default)]
pub struct Routes(Router);

impl Routes {
    /// Also `GET /healthz`, `/readyz` and `/metrics`.
    pub fn with_vitals(self, vitals: Arc<dyn Vitals>) -> Self {
        Self(self.0.merge(health::routes(vitals)))
    }

    /// Also `POST /hook/NAME`.
    pub fn with_hooks(self, hooks: Arc<dyn Hooks>) -> Self {
        Self(self.0.merge(knock::router(hooks)))
    }

    /// Also `POST /github`; deliveries must be signed with `secret`.
    pub fn with_webhook(self, secret: Secret, ear: Ear) -> Self {
        Self(self.0.merge(webhook::routes(secret, ear)))
    }
}

/// Listens until it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Server {
    /// Listens at an address.
    pub async fn start(listen: SocketAddr, routes: Routes) -> std::io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes.0).await {
                tracing::error!(%error, "nobody listens for HTTP any more");
            }
        });
        Ok(Self { address, serving })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}
