//! Hooks, with the doors of the program: who does what their steps need, who hears requests, who
//! watches files.

mod files;
mod hands;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::app::App;
use crate::config::Config;
use crate::failure::Failure;
use crate::hooks::rules::{Limits, Trigger};
use crate::hooks::{self, Doors, House, Knocked, Options};
use crate::http::{self, Rung};
use crate::ids::HookName;
use crate::orchestrator::Handle;
use crate::secret::Secret;
use crate::time::{Clock as _, SystemClock};

pub(crate) use hands::{Hands, one_task};

/// How many hooks may lead to one another: a chain that is longer goes in a circle, most likely.
const DEPTH_MAX: u32 = 3;

/// Hooks at work.
pub(crate) struct Hooked {
    pub(crate) handle: hooks::Handle,
    work: Vec<JoinHandle<()>>,
}

impl Drop for Hooked {
    fn drop(&mut self) {
        self.work.iter().for_each(JoinHandle::abort);
    }
}

/// What hooks are run with.
pub(crate) fn options(config: &Config) -> Options {
    let reading = config.clone();
    Options {
        limits: Limits { slots: config.hooks.slots, depth_max: DEPTH_MAX },
        hooks: config.hooks.list.clone(),
        read: Arc::new(move |text| reading.read_hook(text, std::env::home_dir().as_deref())),
    }
}

/// Starts the hooks of a daemon.
pub(crate) async fn start(app: &Arc<App>, engine: &Handle) -> anyhow::Result<Hooked> {
    let hands = Arc::new(Hands::new(app.clone(), engine.clone()));
    let options = options(&app.config());
    let doors = Doors {
        store: app.store.clone(),
        outside: hands,
        clock: Arc::new(SystemClock),
        journal: engine.subscribe(),
    };
    let (handle, house) = House::start(options, doors).await?;
    let watching = tokio::spawn(files::watch(app.clone(), engine.clone(), handle.clone()));
    Ok(Hooked { handle, work: vec![house, watching] })
}

/// Where requests for hooks come in.
pub(crate) fn door(handle: &hooks::Handle) -> Arc<dyn http::Hooks> {
    Arc::new(Door(handle.clone()))
}

struct Door(hooks::Handle);

#[async_trait]
impl http::Hooks for Door {
    async fn secret(&self, name: &str) -> Option<Secret> {
        let hook = self.0.find(name.parse().ok()?).await.ok()??;
        let Trigger::Webhook(secret) = hook.on else { return None };
        let read = secret.read("the secret of its webhook", "on.webhook.secret");
        read.inspect_err(|failure| tracing::warn!(hook = name, %failure, "nobody is heard")).ok()
    }

    async fn ring(&self, name: &str, delivery: Option<String>, body: Value) -> Rung {
        let Ok(name) = name.parse::<HookName>() else { return Rung::Unheard };
        match self.0.knock(name, delivery, body).await {
            Ok(Knocked::Heard(run)) => Rung::Heard(run.0),
            Ok(Knocked::Known) => Rung::Known,
            Ok(Knocked::Unheard) | Err(_) => Rung::Unheard,
        }
    }
}

impl App {
    /// Changes hooks where no daemon is at work.
    pub(crate) async fn change_hooks(&self, change: hooks::Kept) -> Result<hooks::Given, Failure> {
        hooks::change(options(&self.config()), &*self.store, change, SystemClock.now()).await
    }
}
