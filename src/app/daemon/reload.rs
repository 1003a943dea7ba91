//! The configuration file, followed while the daemon runs: read as a whole, compared, and taken over
//! where that can be done. A file that is wrong changes nothing.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::app::{App, failure_of, hooked, runner_options};
use crate::config::hot::{self, Changes, File, Held};
use crate::failure::Failure;
use crate::hooks;
use crate::orchestrator::{Handle, Receipt};
use crate::runner;

/// Editors write a file in several steps: it is read when nothing has happened for so long.
const QUIET: Duration = Duration::from_millis(200);

/// How often what happens may put the reading off.
const PUT_OFF_MAX: u32 = 25;

/// Takes the configuration over.
pub(crate) struct Reload {
    app: Arc<App>,
    handle: Handle,
    /// `None`: this process has none.
    hooks: Option<hooks::Handle>,
    /// What holds; `None`: there is no file, or it could not be read again at the start.
    held: tokio::sync::Mutex<Option<Held>>,
    /// What is wrong with the file.
    trouble: Mutex<Option<String>>,
}

impl Reload {
    pub(crate) fn new(app: &Arc<App>, handle: &Handle, hooks: Option<hooks::Handle>) -> Arc<Self> {
        let read = |file: &std::path::PathBuf| File::read(file, std::env::home_dir().as_deref());
        let held = app.file.get().and_then(|file| read(file).ok()).map(Held::new);
        let (app, handle, held) = (app.clone(), handle.clone(), tokio::sync::Mutex::new(held));
        Arc::new(Self { app, handle, hooks, held, trouble: Mutex::default() })
    }

    /// What is wrong with the file, if something is.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the file again and takes over what can be; the receipt says what that is.
    pub(crate) async fn again(&self) -> Result<Receipt, Failure> {
        let done = self.read().await;
        let trouble = done.as_ref().err().map(ToString::to_string);
        let before = {
            let mut place = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *place, trouble.clone())
        };
        match (&done, &trouble) {
            (_, Some(why)) if trouble != before => {
                tracing::error!("the configuration is as before: {why}");
                let text =
                    format!("The configuration file is wrong, and what held before goes on: {why}");
                self.tell_owner(&text).await;
            }
            (Ok(changes), _) if changes.restart.is_empty() => {
                tracing::info!("{}", changes.sentence());
            }
            (Ok(changes), _) => tracing::warn!("{}", changes.sentence()),
            (Err(_), _) => {}
        }
        let changes = done?;
        let (sentence, changed) = (changes.sentence(), !changes.applied.is_empty());
        Ok(Receipt { sentence, affected: Vec::new(), changed, moves: Vec::new() })
    }

    async fn tell_owner(&self, text: &str) {
        if let Some(front) = &self.app.front {
            front.board.tell_owner(text).await;
        }
    }

    async fn read(&self) -> Result<Changes, Failure> {
        let Some(path) = self.app.file.get() else {
            return Err(Failure::config("the daemon was started without a configuration file"));
        };
        let mut held = self.held.lock().await;
        let file = File::read(path, std::env::home_dir().as_deref())?;
        let Some(held) = &mut *held else {
            return Err(
                Failure::config("what the daemon began with is not known").hint("start it again")
            );
        };
        let mut changes = held.changes(&file);
        let running = self.app.config();
        let kept = hot::keep(&running, file.config.clone())?;
        if kept != *running {
            if changes.applied.is_empty() {
                // The text is the same: something that it names is not.
                changes.applied.push("what it names (credentials)".to_owned());
            }
            self.take_over(kept).await?;
        }
        held.take(file);
        Ok(changes)
    }

    /// What can be refused comes first, so that it is all or nothing.
    async fn take_over(&self, config: crate::config::Config) -> Result<(), Failure> {
        let app = &self.app;
        let before = app.shop.on_github();
        let account = before.as_ref().map(|on| on.account.clone());
        let options = runner_options(&config, account).map_err(failure_of)?;
        // Runs of projects that are gone go on where they are.
        let github = match (options.github, before) {
            (Some(mut now), Some(before)) => {
                for (project, repo) in before.repos {
                    now.repos.entry(project).or_insert(repo);
                }
                Some(now)
            }
            (now, before) => now.or(before),
        };
        app.shop.adjust(runner::Options { github, ..options });
        if let (Some(front), Some(options)) = (&app.front, &config.discord) {
            front.board.adjust(options.clone());
        }
        let (hooked, remembers) = (hooked::options(&config), config.memory.enabled);
        *app.config.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        let applied = self.handle.apply(app.policy().await).await;
        let applied = applied.and_then(|()| self.handle.remember(remembers));
        applied.map_err(|closed| Failure::outside(closed.to_string()))?;
        match &self.hooks {
            Some(hooks) => hooks.reload(hooked).await,
            None => Ok(()),
        }
    }

    /// Whether the file says something else than what was read last, right or wrong.
    async fn is_other(&self, path: &Path, seen: &mut Option<String>) -> bool {
        let text = std::fs::read_to_string(path).ok();
        let same = *seen == text || {
            let held = self.held.lock().await;
            seen.is_none()
                && matches!((&*held, &text), (Some(held), Some(text)) if held.file().says(text))
        };
        *seen = text;
        !same
    }
}

/// Follows the file until this is dropped. Its directory is watched: editors put another file in
/// its place.
pub(crate) async fn follow(reload: Arc<Reload>) {
    let Some(path) = reload.app.file.get().cloned() else { return };
    let (events, mut changed) = mpsc::channel(1);
    let watcher = watch(path.parent().unwrap_or(Path::new("/")), events);
    let _watcher = match watcher {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::warn!(%error, "the configuration file is not watched; `taskloom config reload`");
            return;
        }
    };
    let mut seen = None;
    loop {
        // What changed before it was watched is found by looking once.
        for _ in 0..PUT_OFF_MAX {
            if tokio::time::timeout(QUIET, changed.recv()).await.is_err() {
                break;
            }
        }
        if reload.is_other(&path, &mut seen).await {
            // It says itself what came of it.
            drop(reload.again().await);
        }
        if changed.recv().await.is_none() {
            return;
        }
    }
}

fn watch(dir: &Path, events: mpsc::Sender<()>) -> notify::Result<notify::RecommendedWatcher> {
    use notify::Watcher as _;
    use notify::event::{AccessKind, AccessMode, EventKind};
    let written = EventKind::Access(AccessKind::Close(AccessMode::Write));
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Reading it is no change, or this would never end.
        if event.is_ok_and(|event| !event.kind.is_access() || event.kind == written) {
            // One that waits to be taken is enough.
            events.try_send(()).ok();
        }
    })?;
    watcher.watch(dir, notify::RecursiveMode::NonRecursive)?;
    Ok(watcher)
}
