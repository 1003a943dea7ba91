//! How the process is, for probes and monitoring, and where they ask.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use async_trait::async_trait;

use crate::app::daemon::reload::Reload;
use crate::app::{App, github, hooked};
use crate::hooks;
use crate::http::{self, Part, Routes};
use crate::metrics::{self, Discord, GitHub, Reading};
use crate::orchestrator::{Census, Handle};
use crate::store::Store as _;
use crate::time::{Clock as _, Stopwatch, SystemClock, Timestamp};

/// How long the engine's loop may take for a round. A transaction on a busy disk takes part of a
/// second; a loop that hangs takes for ever.
const ROUND_MAX: Duration = Duration::from_secs(5);

/// How long the store may take to be read.
const READ_MAX: Duration = Duration::from_secs(5);

/// Begins to listen wherever the configuration says.
pub(crate) async fn listen(
    app: &Arc<App>,
    handle: &Handle,
    reload: &Arc<Reload>,
    hooks: &hooks::Handle,
) -> anyhow::Result<Vec<http::Server>> {
    let mut places: BTreeMap<SocketAddr, Routes> = BTreeMap::new();
    if let Some(http) = app.config().http {
        let started_at = SystemClock.now();
        let (app, handle, reload) = (app.clone(), handle.clone(), reload.clone());
        let vitals = Vitals { app, handle, reload, hooks: hooks.clone(), started_at };
        places.insert(http.listen, Routes::default().with_vitals(Arc::new(vitals)));
    }
    if let Some((listen, secret, ear)) = github::webhook(app)? {
        let routes = places.remove(&listen).unwrap_or_default();
        places.insert(listen, routes.with_webhook(secret, ear));
    }
    // Requests for hooks come in where it is said, or else where GitHub's do.
    let config = app.config();
    let github = config.github.as_ref().and_then(|github| github.webhook.as_ref());
    let place = config.http.map(|http| http.listen).or(github.map(|webhook| webhook.listen));
    if let Some(listen) = place {
        let routes = places.remove(&listen).unwrap_or_default();
        places.insert(listen, routes.with_hooks(hooked::door(hooks)));
    }
    let mut servers = Vec::new();
    for (listen, routes) in places {
        let server = http::Server::start(listen, routes).await;
        let server = server.with_context(|| format!("cannot listen at {listen}"))?;
        tracing::info!(address = %server.address(), "listening for HTTP");
        servers.push(server);
    }
    Ok(servers)
}

struct Vitals {
    app: Arc<App>,
    handle: Handle,
    reload: Arc<Reload>,
    hooks: hooks::Handle,
    started_at: Timestamp,
}

impl Vitals {
    async fn census(&self) -> Result<Census, String> {
        match tokio::time::timeout(ROUND_MAX, self.handle.census()).await {
            Ok(Ok(census)) => Ok(census),
            Ok(Err(closed)) => Err(closed.to_string()),
            Err(_) => {
                Err(format!("the engine's loop has not answered within {} s", ROUND_MAX.as_secs()))
            }
        }
    }

    async fn store(&self, census: Option<&Census>) -> Part {
        let part = |ready, detail: String| Part { name: "store", ready, detail };
        if census.is_some_and(|census| !census.store_takes_changes) {
            return part(false, "it does not take changes; they are tried again".to_owned());
        }
        match tokio::time::timeout(READ_MAX, self.app.store.counters()).await {
            Ok(Ok(counters)) => part(true, format!("{} lines of journal", counters.seq - 1)),
            Ok(Err(error)) => part(false, format!("it cannot be read: {error}")),
            Err(_) => part(false, "it cannot be read in time".to_owned()),
        }
    }

    /// A broken file keeps nothing from working: what was good last holds.
    fn config(&self) -> Part {
        let detail = match self.reload.trouble() {
            Some(why) => format!("what held before goes on, since the file is broken: {why}"),
            None => "as the file says, but for what needs a restart".to_owned(),
        };
        Part { name: "config", ready: true, detail }
    }

    fn discord(&self) -> Option<Part> {
        let board = &self.app.front.as_ref()?.board;
        let (ready, detail) = match (board.is_connected(), board.is_revoked()) {
            (_, true) => (false, "Discord does not know the bot's token"),
            (true, false) => (true, "connected"),
            (false, false) => (false, "the gateway is not connected; runs go on"),
        };
        Some(Part { name: "discord", ready, detail: detail.to_owned() })
    }

    fn github(&self) -> Option<Part> {
        let on = self.app.shop.on_github()?;
        let trouble = on.account.trouble();
        let ready = trouble.is_none();
        let fine = || "the last request was answered, or there was none".to_owned();
        Some(Part { name: "github", ready, detail: trouble.unwrap_or_else(fine) })
    }
}

fn engine(census: Result<&Census, &String>) -> Part {
    let part = |ready, detail: String| Part { name: "engine", ready, detail };
    match census {
        Err(why) => part(false, why.clone()),
        Ok(Census { safe_mode: Some(why), .. }) => {
            part(false, format!("safe mode: {why}; `taskloom resume --all` ends it"))
        }
        Ok(Census { draining: true, .. }) => {
            part(false, "it drains: nothing new starts".to_owned())
        }
        Ok(census) => {
            let (used, slots) = (census.slots_used, census.slots);
            part(true, format!("{used} of {slots} slots are used"))
        }
    }
}

#[async_trait]
impl http::Vitals for Vitals {
    async fn alive(&self) -> Result<(), String> {
        self.census().await.map(drop)
    }

    async fn parts(&self) -> Vec<Part> {
        let census = self.census().await;
        let mut parts = vec![engine(census.as_ref()), self.store(census.as_ref().ok()).await];
        parts.push(self.config());
        parts.extend(self.discord());
        parts.extend(self.github());
        parts
    }

    async fn metrics(&self) -> Result<(&'static str, String), String> {
        let asked = Stopwatch::start();
        let census = self.census().await?;
        let answered_in = asked.elapsed();
        let discord = self.app.front.as_ref().map(|front| {
            let counts = front.board.counts();
            Discord {
                connected: front.board.is_connected(),
                sent: counts.sent.load(Ordering::Relaxed),
                limited: counts.limited.load(Ordering::Relaxed),
                replaced: counts.replaced.load(Ordering::Relaxed),
                troubled: counts.troubled.load(Ordering::Relaxed),
            }
        });
        let github = self.app.shop.on_github().map(|on| {
            let counts = on.account.counts();
            GitHub {
                reads: counts.reads,
                unchanged: counts.unchanged,
                changes: counts.changes,
                longest_wait_ms: counts.longest_wait_ms,
            }
        });
        let (started_at, hooks) = (self.started_at, self.hooks.ended());
        let reading = Reading { census, answered_in, started_at, hooks, discord, github };
        Ok((metrics::CONTENT_TYPE, metrics::page(reading)))
    }
}
