//! What is kept of hooks. Rows are what the owner of hooks makes of them: nothing here reads them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sqlx::Connection as _;

use crate::graph::TaskIx;
use crate::ids::{ProjectId, RunId};
use crate::state::{Entry, TaskRecord, What};
use crate::store::memory::MemoryStore;
use crate::store::rows::{index, record, text};
use crate::store::sqlite::{SqliteStore, database, entry_row, get, put};
use crate::store::{Error, sql};

/// How far the journal was looked through for hooks, among the settings.
const POSITION: &str = "hooks.position";

/// Ended runs that are kept of each hook: enough to see a pattern, little enough to list.
const RUNS_KEPT: u32 = 200;

/// A run of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookRow {
    /// Its number.
    pub id: i64,
    /// Of which hook.
    pub hook: String,
    /// What it is made for.
    pub key: String,
    /// Where it stands, in one word.
    pub status: &'static str,
    /// Whether something still comes.
    pub open: bool,
    /// All of it.
    pub record: String,
}

/// What one turn of the hooks changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HookBatch {
    /// Hooks that were made or changed; `None`: removed.
    pub hooks: Vec<(String, Option<String>)>,
    /// How hooks stand; `None`: forgotten.
    pub states: Vec<(String, Option<String>)>,
    /// Runs, new or changed.
    pub runs: Vec<HookRow>,
    /// How far the journal was looked through.
    pub position: Option<u64>,
}

/// Where hooks are kept.
#[async_trait]
pub trait HookStore: Send + Sync {
    /// Keeps the batch, all of it or nothing, and forgets the oldest runs of each hook in it.
    async fn commit_hooks(&self, batch: &HookBatch) -> Result<(), Error>;

    /// Hooks that were made by a command, by name, as they were written.
    async fn hooks(&self) -> Result<Vec<(String, String)>, Error>;

    /// How hooks stand, by name.
    async fn hook_states(&self) -> Result<Vec<(String, String)>, Error>;

    /// Runs that wait or are under way, oldest first.
    async fn open_hook_runs(&self) -> Result<Vec<String>, Error>;

    /// The latest runs of a hook, or of all, newest first.
    async fn hook_runs(&self, hook: Option<&str>, limit: u32) -> Result<Vec<String>, Error>;

    /// Whether a hook was set off by that already.
    async fn is_hook_key(&self, hook: &str, key: &str) -> Result<bool, Error>;

    /// The number of the newest run of a hook.
    async fn last_hook_run(&self) -> Result<i64, Error>;

    /// How far the journal was looked through; `None`: never.
    async fn hook_position(&self) -> Result<Option<u64>, Error>;

    /// The last line of the journal.
    async fn last_line(&self) -> Result<u64, Error>;

    /// The journal of all runs after line `after`, oldest first.
    async fn whole_journal(&self, after: u64, limit: u32) -> Result<Vec<Entry>, Error>;

    /// Tasks that failed, of the latest runs first.
    async fn failed_tasks(
        &self,
        project: Option<&ProjectId>,
        limit: u32,
    ) -> Result<Vec<(RunId, TaskIx, TaskRecord)>, Error>;

    /// The lines about tasks that finished, newest first.
    async fn finished_tasks(
        &self,
        project: Option<&ProjectId>,
        limit: u32,
    ) -> Result<Vec<Entry>, Error>;
}

/// The JSON parameter of a writing statement; `None` where there is no row.
fn rows<T: serde::Serialize>(rows: &[T]) -> Option<String> {
    (!rows.is_empty()).then(|| text(&rows))
}

/// What is kept, and what is forgotten.
fn parted(all: &[(String, Option<String>)]) -> (Vec<(&String, &String)>, Vec<&String>) {
    let kept = all.iter().filter_map(|(name, text)| Some((name, text.as_ref()?))).collect();
    let gone = all.iter().filter(|(_, text)| text.is_none()).map(|(name, _)| name).collect();
    (kept, gone)
}

fn position(text: &str) -> Result<u64, Error> {
    text.parse().map_err(|why: std::num::ParseIntError| Error::Inconsistent {
        table: "settings",
        column: "value",
        row: POSITION.to_owned(),
        why: why.to_string(),
    })
}

fn whole(limit: u32, after: u64) -> (i64, i64) {
    (i64::try_from(after).unwrap_or(i64::MAX), i64::from(limit))
}

#[async_trait]
impl HookStore for SqliteStore {
    async fn commit_hooks(&self, batch: &HookBatch) -> Result<(), Error> {
        let (hooks, gone_hooks) = parted(&batch.hooks);
        let (states, gone_states) = parted(&batch.states);
        let runs: Vec<_> = batch
            .runs
            .iter()
            .map(|r| (r.id, &r.hook, &r.key, r.status, u8::from(r.open), &r.record))
            .collect();
        let position: Vec<_> = batch.position.iter().map(|p| (POSITION, p.to_string())).collect();
        let mut connection = self.connection.lock().await;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(database)?;
        put(&mut transaction, sql::PUT_HOOKS, rows(&hooks)).await?;
        put(&mut transaction, sql::DROP_HOOKS, rows(&gone_hooks)).await?;
        put(&mut transaction, sql::DROP_HOOK_STATES, rows(&gone_states)).await?;
        put(&mut transaction, sql::PUT_HOOK_STATES, rows(&states)).await?;
        put(&mut transaction, sql::PUT_HOOK_RUNS, rows(&runs)).await?;
        put(&mut transaction, sql::PUT_SETTINGS, rows(&position)).await?;
        for run in batch.runs.iter().filter(|run| !run.open) {
            let trim = sqlx::query(sql::TRIM_HOOK_RUNS).bind(run.hook.clone());
            let trim = trim.bind(i64::from(RUNS_KEPT));
            trim.execute(&mut *transaction).await.map_err(database)?;
        }
        transaction.commit().await.map_err(database)
    }

    async fn hooks(&self) -> Result<Vec<(String, String)>, Error> {
        self.read(sql::HOOKS, None::<i64>, |row| Ok((get(row, 0)?, get(row, 1)?))).await
    }

    async fn hook_states(&self) -> Result<Vec<(String, String)>, Error> {
        self.read(sql::HOOK_STATES, None::<i64>, |row| Ok((get(row, 0)?, get(row, 1)?))).await
    }

    async fn open_hook_runs(&self) -> Result<Vec<String>, Error> {
        self.read(sql::OPEN_HOOK_RUNS, None::<i64>, |row| get(row, 1)).await
    }

    async fn hook_runs(&self, hook: Option<&str>, limit: u32) -> Result<Vec<String>, Error> {
        let Some(hook) = hook else {
            return self.read(sql::HOOK_RUNS, Some(i64::from(limit)), |row| get(row, 1)).await;
        };
        let mut connection = self.connection.lock().await;
        let query = sqlx::query(sql::RUNS_OF_HOOK).bind(hook.to_owned()).bind(i64::from(limit));
        let found = query.fetch_all(&mut *connection).await.map_err(database)?;
        found.iter().map(|row| get(row, 1)).collect()
    }

    async fn is_hook_key(&self, hook: &str, key: &str) -> Result<bool, Error> {
        let mut connection = self.connection.lock().await;
        let query = sqlx::query(sql::HOOK_KEY).bind(hook.to_owned()).bind(key.to_owned());
        let found = query.fetch_optional(&mut *connection).await.map_err(database)?;
        Ok(found.is_some())
    }

    async fn last_hook_run(&self) -> Result<i64, Error> {
        let found = self.read(sql::LAST_HOOK_RUN, None::<i64>, |row| get(row, 0)).await?;
        Ok(found.first().copied().unwrap_or_default())
    }

    async fn hook_position(&self) -> Result<Option<u64>, Error> {
        let found = self.read(sql::SETTING, Some(POSITION), |row| get::<String>(row, 0)).await?;
        found.first().map(|text| position(text)).transpose()
    }

    async fn last_line(&self) -> Result<u64, Error> {
        let found = self.read(sql::COUNTERS, None::<i64>, |row| get::<i64>(row, 1)).await?;
        Ok(found.first().map_or(0, |next| next.unsigned_abs().saturating_sub(1)))
    }

    async fn whole_journal(&self, after: u64, limit: u32) -> Result<Vec<Entry>, Error> {
        let (after, limit) = whole(limit, after);
        let mut connection = self.connection.lock().await;
        let query = sqlx::query(sql::WHOLE_JOURNAL).bind(after).bind(limit);
        let found = query.fetch_all(&mut *connection).await.map_err(database)?;
        found.iter().map(|row| entry_row(row)?.entry(RunId(get(row, 7)?))).collect()
    }

    async fn failed_tasks(
        &self,
        project: Option<&ProjectId>,
        limit: u32,
    ) -> Result<Vec<(RunId, TaskIx, TaskRecord)>, Error> {
        let project = project.map(|project| project.as_str().to_owned());
        let mut connection = self.connection.lock().await;
        let query = sqlx::query(sql::FAILED_TASKS).bind(project).bind(i64::from(limit));
        let found = query.fetch_all(&mut *connection).await.map_err(database)?;
        let task = |row| {
            let (run, ix, text): (i64, i64, String) = (get(row, 0)?, get(row, 1)?, get(row, 2)?);
            let task = record("tasks", "record", &ix.to_string(), &text)?;
            Ok((RunId(run), TaskIx(index("tasks", ix)?), task))
        };
        found.iter().map(task).collect()
    }

    async fn finished_tasks(
        &self,
        project: Option<&ProjectId>,
        limit: u32,
    ) -> Result<Vec<Entry>, Error> {
        let project = project.map(|project| project.as_str().to_owned());
        let mut connection = self.connection.lock().await;
        let query = sqlx::query(sql::FINISHED_TASKS).bind(project).bind(i64::from(limit));
        let found = query.fetch_all(&mut *connection).await.map_err(database)?;
        found.iter().map(|row| entry_row(row)?.entry(RunId(get(row, 7)?))).collect()
    }
}

/// The same in memory.
#[derive(Debug, Default)]
pub(super) struct HookTables {
    hooks: BTreeMap<String, String>,
    states: BTreeMap<String, String>,
    runs: BTreeMap<i64, HookRow>,
    position: Option<u64>,
}

impl HookTables {
    fn keep(&mut self, row: &HookRow) {
        let same = |known: &HookRow| known.hook == row.hook && known.key == row.key;
        if self.runs.values().any(|known| known.id != row.id && same(known)) {
            return;
        }
        self.runs.insert(row.id, row.clone());
        let of = self.runs.values().rev().filter(|known| known.hook == row.hook);
        let Some(last) = of.map(|known| known.id).nth(RUNS_KEPT as usize) else { return };
        self.runs.retain(|id, known| known.open || known.hook != row.hook || *id > last);
    }
}

fn apply(table: &mut BTreeMap<String, String>, changes: &[(String, Option<String>)]) {
    for (name, text) in changes {
        match text {
            Some(text) => drop(table.insert(name.clone(), text.clone())),
            None => drop(table.remove(name)),
        }
    }
}

#[async_trait]
impl HookStore for MemoryStore {
    async fn commit_hooks(&self, batch: &HookBatch) -> Result<(), Error> {
        let tables = &mut self.tables().hooks;
        apply(&mut tables.hooks, &batch.hooks);
        apply(&mut tables.states, &batch.states);
        for row in &batch.runs {
            tables.keep(row);
        }
        tables.position = batch.position.or(tables.position);
        Ok(())
    }

    async fn hooks(&self) -> Result<Vec<(String, String)>, Error> {
        Ok(self.tables().hooks.hooks.clone().into_iter().collect())
    }

    async fn hook_states(&self) -> Result<Vec<(String, String)>, Error> {
        Ok(self.tables().hooks.states.clone().into_iter().collect())
    }

    async fn open_hook_runs(&self) -> Result<Vec<String>, Error> {
        let tables = self.tables();
        let open = tables.hooks.runs.values().filter(|row| row.open);
        Ok(open.map(|row| row.record.clone()).collect())
    }

    async fn hook_runs(&self, hook: Option<&str>, limit: u32) -> Result<Vec<String>, Error> {
        let tables = self.tables();
        let of = tables.hooks.runs.values().rev().filter(|row| hook.is_none_or(|h| row.hook == h));
        Ok(of.take(limit as usize).map(|row| row.record.clone()).collect())
    }

    async fn is_hook_key(&self, hook: &str, key: &str) -> Result<bool, Error> {
        let tables = self.tables();
        Ok(tables.hooks.runs.values().any(|row| row.hook == hook && row.key == key))
    }

    async fn last_hook_run(&self) -> Result<i64, Error> {
        Ok(self.tables().hooks.runs.keys().next_back().copied().unwrap_or_default())
    }

    async fn hook_position(&self) -> Result<Option<u64>, Error> {
        Ok(self.tables().hooks.position)
    }

    async fn last_line(&self) -> Result<u64, Error> {
        Ok(self.tables().journal.keys().next_back().copied().unwrap_or_default())
    }

    async fn whole_journal(&self, after: u64, limit: u32) -> Result<Vec<Entry>, Error> {
        let tables = self.tables();
        let later = tables.journal.range(after + 1..).map(|(_, entry)| entry.clone());
        Ok(later.take(limit as usize).collect())
    }

    async fn failed_tasks(
        &self,
        project: Option<&ProjectId>,
        limit: u32,
    ) -> Result<Vec<(RunId, TaskIx, TaskRecord)>, Error> {
        let tables = self.tables();
        let of = |run: &RunId| {
            tables.runs.get(run).is_some_and(|run| project.is_none_or(|p| run.project == *p))
        };
        let failed =
            tables.tasks.iter().filter(|((run, _), task)| task.state.word() == "failed" && of(run));
        let mut failed: Vec<_> =
            failed.map(|((run, ix), task)| (*run, *ix, task.clone())).collect();
        failed.sort_by_key(|(run, ix, _)| (std::cmp::Reverse(*run), *ix));
        failed.truncate(limit as usize);
        Ok(failed)
    }

    async fn finished_tasks(
        &self,
        project: Option<&ProjectId>,
        limit: u32,
    ) -> Result<Vec<Entry>, Error> {
        let tables = self.tables();
        let of = |run: &RunId| {
            tables.runs.get(run).is_some_and(|run| project.is_none_or(|p| run.project == *p))
        };
        let finished = |what: What| what.kind() == "task_finished";
        let lines = tables.journal.values().rev().filter(|e| finished(e.what) && of(&e.run));
        Ok(lines.take(limit as usize).cloned().collect())
    }
}
