//! What hooks there are: those of the configuration and those that were made by a command, what a
//! person changes about them, and how each stands. No waiting and no outside.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::hooks::rules::{
    Desk, Fired, Hook, HookRun, HookState, Limits, Refused, Source, Status, next_due,
};
use crate::hooks::steps;
use crate::ids::{HookName, ProjectId};
use crate::store::{self, HookBatch, HookStore};
use crate::time::Timestamp;

/// Hooks in all; each is looked at for every event.
const HOOKS_MAX: usize = 200;

/// What hooks are run with.
#[derive(Clone)]
pub struct Options {
    /// What holds for all of them.
    pub limits: Limits,
    /// Those of the configuration.
    pub hooks: Vec<Hook>,
    /// Reads a hook as people write it.
    pub read: Reader,
}

/// Reads a hook as people write it.
pub type Reader = Arc<dyn Fn(&str) -> Result<Hook, Failure> + Send + Sync>;

/// Somebody sets a hook off by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Which.
    pub hook: HookName,
    /// Who.
    pub who: String,
    /// What its steps find under `event.…`.
    #[serde(default)]
    pub event: BTreeMap<String, String>,
    /// Whether it waits behind a run that is under way.
    #[serde(default)]
    pub queue: bool,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// One sentence.
    pub sentence: String,
    /// The run, if there is one.
    pub run: Option<i64>,
    /// What each step would do.
    pub lines: Vec<String>,
}

/// A change of the hooks that are kept in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kept {
    /// A hook is made, as people write it; `replace` whether there must be one of its name.
    Put {
        /// The hook.
        text: String,
        /// Whether it takes the place of another.
        replace: bool,
    },
    /// A hook is taken away.
    Remove {
        /// Which.
        hook: HookName,
    },
    /// A hook is switched on or off, whatever is written down.
    Enable {
        /// Which.
        hook: HookName,
        /// On.
        on: bool,
    },
}

/// How a hook stands, for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Its name.
    pub name: HookName,
    /// Its project, if it has one of its own.
    pub project: Option<ProjectId>,
    /// What sets it off, in words.
    pub on: String,
    /// What it does, in words.
    pub steps: Vec<String>,
    /// Where it is written down: `config` or `store`.
    pub source: String,
    /// Whether there is one of this name in the store, too, which does nothing.
    pub shadows: bool,
    /// Whether it is on.
    pub enabled: bool,
    /// When it is due next.
    pub next: Option<Timestamp>,
    /// How it stands.
    pub state: HookState,
    /// Runs under way.
    pub running: u32,
    /// Runs that wait.
    pub waiting: usize,
}

/// All hooks.
pub(super) struct Books {
    pub(super) desk: Desk,
    read: Reader,
    config: BTreeMap<HookName, Hook>,
    /// Those of the store, as they were written; what cannot be read any more is kept all the same.
    stored: BTreeMap<String, String>,
    states: BTreeMap<HookName, HookState>,
    /// How far the journal was heard.
    pub(super) position: u64,
    /// Hooks that changed and are not kept yet.
    changes: Vec<(String, Option<String>)>,
    /// Hooks whose state is forgotten.
    gone: Vec<HookName>,
}

impl Books {
    pub(super) async fn open(
        options: Options,
        store: &dyn HookStore,
        now: Timestamp,
    ) -> Result<Self, store::Error> {
        let next_id = store.last_hook_run().await? + 1;
        let position = match store.hook_position().await? {
            Some(position) => position,
            None => store.last_line().await?,
        };
        let stored = store.hooks().await?.into_iter().collect();
        let states = store.hook_states().await?.into_iter();
        let states = states.filter_map(|(name, text)| {
            Some((name.parse().ok()?, serde_json::from_str(&text).ok()?))
        });
        let mut books = Self {
            desk: Desk::new(options.limits, next_id),
            read: options.read,
            config: BTreeMap::new(),
            stored,
            states: states.collect(),
            position,
            changes: Vec::new(),
            gone: Vec::new(),
        };
        books.reload(options.hooks, now);
        books.forget_states();
        Ok(books)
    }

    /// Takes another configuration over.
    pub(super) fn adjust(&mut self, options: Options, now: Timestamp) {
        self.desk.limit(options.limits);
        self.read = options.read;
        self.reload(options.hooks, now);
    }

    /// Takes the hooks of the configuration; those of the store come after.
    fn reload(&mut self, hooks: Vec<Hook>, now: Timestamp) {
        let gone: Vec<HookName> = self.config.keys().cloned().collect();
        self.config = hooks.into_iter().map(|hook| (hook.name.clone(), hook)).collect();
        for name in gone.iter().filter(|name| !self.config.contains_key(*name)) {
            self.desk.remove(name, now);
        }
        let config: Vec<Hook> = self.config.values().cloned().collect();
        config.into_iter().for_each(|hook| self.put(hook, now));
        for text in self.stored.values().cloned().collect::<Vec<_>>() {
            match (self.read)(&text) {
                Ok(hook) if !self.config.contains_key(&hook.name) => self.put(hook, now),
                Ok(_) => {}
                Err(failure) => tracing::warn!(%failure, "a hook of the store is not run"),
            }
        }
    }

    /// A hook that is not there any more begins anew if it comes back.
    fn forget_states(&mut self) {
        let gone = self.states.keys().filter(|name| self.desk.hook(name).is_none());
        for name in gone.cloned().collect::<Vec<_>>() {
            self.states.remove(&name);
            self.gone.push(name);
        }
    }

    fn put(&mut self, hook: Hook, now: Timestamp) {
        let state = self.states.get(&hook.name).cloned();
        self.desk.put(hook, state, now, self.position);
    }

    pub(super) fn fire(&mut self, asked: Asked, now: Timestamp) -> Result<Given, Failure> {
        let Asked { hook: name, who, event, queue, dry_run } = asked;
        let hook = self.known(&name)?;
        let event = json!(event);
        if dry_run {
            let lines = steps::rehearse(hook, &event);
            let sentence = format!("hook `{name}` would do {} step(s)", lines.len());
            return Ok(Given { sentence, run: None, lines });
        }
        let key = format!("hand:{}:{}", now.0, self.desk.next_id());
        let project = event["project"].as_str().and_then(|project| project.parse().ok());
        let fired = Fired { project, ..from_outside(key, format!("by hand, {who}"), event) };
        let run = self.desk.fire(&name, fired, queue, now).map_err(|refused| {
            let failure = Failure::user(refused.to_string());
            match refused {
                Refused::Busy(_) => failure.hint("`--queue` has it wait behind that run"),
                Refused::Unknown(_) | Refused::Full { .. } => failure,
            }
        })?;
        let sentence = format!("hook `{name}` was set off as run {run}");
        Ok(Given { sentence, run: Some(run.0), lines: Vec::new() })
    }

    fn known(&self, name: &HookName) -> Result<&Hook, Failure> {
        self.desk.hook(name).ok_or_else(|| {
            let missing = Failure::user(format!("there is no hook `{name}`"));
            let known = self.desk.hooks().map(|(hook, ..)| hook.name.as_str());
            let near = known.min_by_key(|k| strsim::damerau_levenshtein(name.as_str(), k));
            near.into_iter().fold(missing, |m, near| m.hint(format!("did you mean `{near}`?")))
        })
    }

    pub(super) fn change(&mut self, change: Kept, now: Timestamp) -> Result<Given, Failure> {
        let sentence = match change {
            Kept::Put { text, replace } => self.keep(text, replace, now)?,
            Kept::Remove { hook } => {
                if self.stored.remove(hook.as_str()).is_none() {
                    self.known(&hook)?;
                    return Err(in_config(&hook, "take it out there"));
                }
                self.changes.push((hook.to_string(), None));
                if !self.config.contains_key(&hook) {
                    self.desk.remove(&hook, now);
                    self.states.remove(&hook);
                    self.gone.push(hook.clone());
                }
                format!("hook `{hook}` is removed")
            }
            Kept::Enable { hook, on } => {
                self.known(&hook)?;
                self.desk.enable(&hook, on, now, self.position);
                format!("hook `{hook}` is {}", if on { "on" } else { "off" })
            }
        };
        Ok(Given { sentence, run: None, lines: Vec::new() })
    }

    fn keep(&mut self, text: String, replace: bool, now: Timestamp) -> Result<String, Failure> {
        let hook = (self.read)(&text)?;
        let name = hook.name.clone();
        if self.config.contains_key(&name) {
            return Err(in_config(&name, "change it there"));
        }
        let known = self.stored.contains_key(name.as_str());
        match (known, replace) {
            (true, false) => {
                let failure = Failure::user(format!("there is a hook `{name}` already"));
                return Err(failure.hint("`hook edit` changes it"));
            }
            (false, true) => {
                return Err(self.known(&name).err().unwrap_or_else(|| {
                    Failure::user(format!("there is no hook `{name}` in the store"))
                }));
            }
            (true, true) | (false, false) => {}
        }
        if self.desk.hooks().count() >= HOOKS_MAX && !known {
            return Err(Failure::user(format!("there are {HOOKS_MAX} hooks, which is the most")));
        }
        let on = hook.on.to_string();
        self.put(hook, now);
        self.stored.insert(name.to_string(), text.clone());
        self.changes.push((name.to_string(), Some(text)));
        Ok(format!("hook `{name}` is {}: {on}", if known { "changed" } else { "made" }))
    }

    /// A hook that was made by a command, as it was written.
    pub(super) fn text(&self, name: &HookName) -> Result<String, Failure> {
        if let Some(text) = self.stored.get(name.as_str()) {
            return Ok(text.clone());
        }
        self.known(name)?;
        Err(in_config(name, "change it there"))
    }

    pub(super) fn list(&self) -> Vec<Told> {
        let told = self.desk.hooks().map(|(hook, state, enabled)| {
            let (running, waiting) = self.desk.load(&hook.name);
            let by = self.config.contains_key(&hook.name);
            let stored = self.stored.contains_key(hook.name.as_str());
            let next = next_due(&hook.on, state.handled_at);
            Told {
                name: hook.name.clone(),
                project: hook.project.clone(),
                on: hook.on.to_string(),
                steps: steps::rehearse(hook, &Value::Null),
                source: if by { Source::Config } else { Source::Store }.word().to_owned(),
                shadows: by && stored,
                enabled,
                next: next.filter(|_| enabled),
                state: state.clone(),
                running,
                waiting,
            }
        });
        told.collect()
    }

    /// How hooks stand now, and what is to be kept of them.
    pub(super) fn taken(&mut self, states: Vec<(HookName, HookState)>) -> HookBatch {
        self.states.extend(states.iter().cloned());
        let gone = std::mem::take(&mut self.gone).into_iter();
        let gone = gone.map(|name| (name.to_string(), None));
        let states = states.iter().map(|(name, state)| (name.to_string(), Some(written(state))));
        HookBatch {
            hooks: std::mem::take(&mut self.changes),
            states: gone.chain(states).collect(),
            ..HookBatch::default()
        }
    }
}

fn in_config(name: &HookName, what: &str) -> Failure {
    Failure::user(format!("hook `{name}` is in the configuration")).hint(what)
}

pub(super) fn from_outside(key: String, sentence: String, event: Value) -> Fired {
    Fired { key, sentence, event, project: None, depth: 0, made_by: None }
}

pub(super) fn written(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("BUG: records of hooks are plain data")
}

/// How hooks stand, for whoever looks beside the owner or when there is none.
pub async fn look(
    options: Options,
    store: &dyn HookStore,
    now: Timestamp,
) -> Result<Vec<Told>, store::Error> {
    let mut told = Books::open(options, store, now).await?.list();
    for text in store.open_hook_runs().await? {
        let Ok(run) = serde_json::from_str::<HookRun>(&text) else { continue };
        let of = told.iter_mut().filter(|hook| hook.name == run.hook);
        of.for_each(|hook| match run.status {
            Status::Queued => hook.waiting += 1,
            Status::Running
            | Status::Succeeded
            | Status::Skipped
            | Status::Failed
            | Status::Dropped
            | Status::Lost => hook.running += 1,
        });
    }
    Ok(told)
}

/// What a hook would do, for whoever asks when there is no owner.
pub async fn rehearse(
    options: Options,
    store: &dyn HookStore,
    asked: Asked,
    now: Timestamp,
) -> Result<Given, Failure> {
    let books = Books::open(options, store, now).await;
    let mut books = books.map_err(|error| Failure::outside(error.to_string()))?;
    books.fire(Asked { dry_run: true, ..asked }, now)
}

/// Changes hooks when there is no owner.
pub async fn change(
    options: Options,
    store: &dyn HookStore,
    change: Kept,
    now: Timestamp,
) -> Result<Given, Failure> {
    let outside = |error: store::Error| Failure::outside(error.to_string());
    let mut books = Books::open(options, store, now).await.map_err(outside)?;
    let given = books.change(change, now)?;
    let turn = books.desk.turn(now);
    let batch = books.taken(turn.states);
    store.commit_hooks(&batch).await.map_err(outside)?;
    Ok(given)
}
