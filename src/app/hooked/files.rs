//! Watches the files that hooks wait for, in the clones of their projects.
//!
//! Only directories that a pattern can lead to are watched, and what git keeps for itself is no
//! file of the project.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use crate::app::App;
use crate::app::office::Clerk;
use crate::hooks;
use crate::hooks::rules::{Hook, Pattern, Trigger};
use crate::ids::HookName;
use crate::orchestrator::Handle;
use crate::time::{Clock as _, SystemClock, Timestamp};

/// Paths that one run is told of; of more, the first by name.
const PATHS_MAX: usize = 100;

/// Changes that may wait to be looked at; a checkout of a large repository makes as many at once.
/// What comes beyond is as good as one of them.
const CHANGES_MAX: usize = 4_096;

/// Files that change again and again are told of after so many times the quiet that is waited for.
const UNREST_MAX: u32 = 10;

/// One hook's files.
struct Watch {
    root: PathBuf,
    paths: Vec<Pattern>,
    debounce: Duration,
    _watcher: RecommendedWatcher,
}

/// What changed for one hook, and when it will have been quiet for long enough.
struct Quiet {
    paths: BTreeSet<String>,
    until: Timestamp,
    /// It is told then at the latest.
    latest: Timestamp,
}

type Change = (HookName, PathBuf);

/// Watches until the hooks are gone.
pub(super) async fn watch(app: Arc<App>, engine: Handle, handle: hooks::Handle) {
    let clerk = Clerk { app, handle: engine, hooks: None };
    let mut wanted = handle.watched();
    let (sender, mut changes) = mpsc::channel::<Change>(CHANGES_MAX);
    let mut watches: BTreeMap<HookName, Watch> = BTreeMap::new();
    let mut stirred: BTreeMap<HookName, Quiet> = BTreeMap::new();
    loop {
        let next = stirred.values().map(|quiet| quiet.until).min();
        let quiet = async move {
            match next {
                Some(at) => tokio::time::sleep(at.since(SystemClock.now())).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    return;
                }
                let hooks = wanted.borrow_and_update().clone();
                watches = all(&clerk, hooks, &sender).await;
            }
            Some((name, path)) = changes.recv() => {
                if let Some((path, debounce)) = watches.get(&name).and_then(|w| w.fits(&path)) {
                    let now = SystemClock.now();
                    let latest = now + debounce * UNREST_MAX;
                    let quiet = stirred.entry(name).or_insert_with(|| {
                        Quiet { paths: BTreeSet::new(), until: latest, latest }
                    });
                    quiet.until = quiet.latest.min(now + debounce);
                    if quiet.paths.len() < PATHS_MAX {
                        quiet.paths.insert(path);
                    }
                }
            }
            () = quiet => {
                let now = SystemClock.now();
                let (done, left) = stirred.into_iter().partition(|(_, quiet)| quiet.until <= now);
                stirred = left;
                let done: BTreeMap<HookName, Quiet> = done;
                for (name, quiet) in done {
                    handle.files(name, quiet.paths.into_iter().collect());
                }
            }
        }
    }
}

async fn all(
    clerk: &Clerk,
    hooks: Vec<Hook>,
    sender: &mpsc::Sender<Change>,
) -> BTreeMap<HookName, Watch> {
    let mut watches = BTreeMap::new();
    for hook in hooks {
        let (Trigger::File { paths, debounce }, Some(project)) = (hook.on, hook.project) else {
            continue;
        };
        let begun = match clerk.record(&project).await {
            Ok(record) => begin(&hook.name, Path::new(&record.repo), &paths, sender.clone()),
            Err(failure) => Err(failure.message),
        };
        match begun {
            Ok((root, watcher)) => {
                let watch = Watch { root, paths, debounce, _watcher: watcher };
                watches.insert(hook.name, watch);
            }
            Err(why) => tracing::warn!(hook = %hook.name, why, "its files are not watched"),
        }
    }
    watches
}

fn begin(
    name: &HookName,
    root: &Path,
    paths: &[Pattern],
    sender: mpsc::Sender<Change>,
) -> Result<(PathBuf, RecommendedWatcher), String> {
    let root = root.canonicalize().map_err(|why| format!("{}: {why}", root.display()))?;
    let name = name.clone();
    let told = move |event: Result<Event, notify::Error>| {
        let Ok(event) = event else { return };
        if matches!(event.kind, EventKind::Access(_)) {
            return;
        }
        for path in event.paths {
            drop(sender.try_send((name.clone(), path)));
        }
    };
    let mut watcher = notify::recommended_watcher(told).map_err(|why| why.to_string())?;
    for (dir, mode) in places(paths) {
        let wanted = root.join(dir);
        // What is not there yet is seen from what it will be in.
        let there = wanted.ancestors().find(|dir| dir.is_dir()).unwrap_or(&root);
        let mode = if there == wanted { mode } else { RecursiveMode::Recursive };
        let watched = watcher.watch(there, mode);
        watched.map_err(|why| format!("{}: {why}", there.display()))?;
    }
    Ok((root, watcher))
}

/// The directories that patterns can lead to: what stands before the first special character.
fn places(paths: &[Pattern]) -> BTreeMap<PathBuf, RecursiveMode> {
    let mut places = BTreeMap::new();
    for pattern in paths.iter().map(ToString::to_string) {
        let plain = pattern.split('/').take_while(|part| !part.contains(['*', '?', '[', '{']));
        let mut dir: PathBuf = plain.clone().collect();
        let parts = pattern.split('/').count();
        let mut deep = parts - plain.clone().count() > 1 || pattern.contains("**");
        if plain.count() == parts {
            dir.pop();
            deep = false;
        }
        let mode = places.entry(dir).or_insert(RecursiveMode::NonRecursive);
        if deep {
            *mode = RecursiveMode::Recursive;
        }
    }
    places
}

impl Watch {
    /// The path below the clone, if it is one that is waited for.
    fn fits(&self, path: &Path) -> Option<(String, Duration)> {
        let below = path.strip_prefix(&self.root).ok()?.to_str()?;
        let own = below == ".git" || below.starts_with(".git/");
        let fits = !own && self.paths.iter().any(|pattern| pattern.fits(below));
        fits.then(|| (below.to_owned(), self.debounce))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_directories_that_a_pattern_can_lead_to_are_watched() {
        let watched = |texts: &[&str]| {
            let paths: Vec<Pattern> = texts.iter().map(|t| Pattern::of_paths(t).unwrap()).collect();
            let told = |(dir, mode): (PathBuf, RecursiveMode)| {
                let deep = if mode == RecursiveMode::Recursive { "/**" } else { "" };
                format!("{}{deep}", dir.display())
            };
            places(&paths).into_iter().map(told).collect::<Vec<_>>()
        };
        assert_eq!(watched(&["docs/**", "docs/x.md"]), ["docs/**"]);
        assert_eq!(watched(&["Cargo.lock", "*.toml"]), [""]);
        assert_eq!(watched(&["src/*/mod.rs", "a/b/c.txt"]), ["a/b", "src/**"]);
    }
}
