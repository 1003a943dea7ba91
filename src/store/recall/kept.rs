//! What is remembered, in SQLite, whose FTS5 finds and ranks it, and in memory, where words are
//! counted.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

use crate::graph::TaskIx;
use crate::ids::{ProjectId, RunId};
use crate::state::{Memory, Remembered};
use crate::store::memory::MemoryStore;
use crate::store::recall::words::{query, words};
use crate::store::recall::{Recall, Search};
use crate::store::rows::record;
use crate::store::sqlite::{SqliteStore, database, get};
use crate::store::{Batch, Error, sql};

/// What is remembered of each project; then the oldest is forgotten. At ten tasks a day it is
/// half a year's, and what is older is about another program.
const KEPT: u32 = 2_000;

/// Forgets what is too old in the projects that something was added to.
pub(crate) async fn trim(connection: &mut SqliteConnection, batch: &Batch) -> Result<(), Error> {
    let added = batch.memories.values().flatten();
    for project in added.map(|memory| &memory.place.project).collect::<BTreeSet<_>>() {
        let trim = sqlx::query(sql::TRIM_MEMORIES).bind(project.as_str()).bind(KEPT);
        trim.execute(&mut *connection).await.map_err(database)?;
    }
    Ok(())
}

fn remembered(row: &SqliteRow) -> Result<Remembered, Error> {
    let (id, text): (i64, String) = (get(row, 0)?, get(row, 1)?);
    Ok(Remembered { id, memory: record("memories", "record", &id.to_string(), &text)? })
}

#[async_trait]
impl Recall for SqliteStore {
    async fn search(&self, search: &Search) -> Result<Vec<Remembered>, Error> {
        let Some(words) = query(&search.text) else { return Ok(Vec::new()) };
        // No run has this number.
        let (run, task) = search.without.unwrap_or((RunId(-1), TaskIx(0)));
        let query = sqlx::query(sql::RECALL)
            .bind(words)
            .bind(search.project.as_ref().map(|project| project.as_str()))
            .bind(run.0)
            .bind(task.0)
            .bind(search.limit);
        let mut connection = self.connection.lock().await;
        let rows = query.fetch_all(&mut *connection).await.map_err(database)?;
        rows.iter().map(remembered).collect()
    }

    async fn list(
        &self,
        project: Option<&ProjectId>,
        limit: u32,
    ) -> Result<Vec<Remembered>, Error> {
        let project = project.map(|project| project.as_str());
        let mut connection = self.connection.lock().await;
        let query = sqlx::query(sql::MEMORIES).bind(project).bind(limit);
        let rows = query.fetch_all(&mut *connection).await.map_err(database)?;
        rows.iter().map(remembered).collect()
    }

    async fn memory(&self, id: i64) -> Result<Option<Remembered>, Error> {
        Ok(self.read(sql::MEMORY, Some(id), remembered).await?.pop())
    }
}

/// The same in memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryTable {
    rows: BTreeMap<i64, Memory>,
    last: i64,
}

impl MemoryTable {
    pub(crate) fn keep(
        &mut self,
        memories: &BTreeMap<(RunId, TaskIx), Option<Memory>>,
        forgotten: &[i64],
    ) {
        for (key, memory) in memories {
            let known = self.rows.iter().find(|(_, known)| known.key() == *key).map(|(id, _)| *id);
            match (memory, known) {
                (Some(memory), known) => {
                    let id = known.unwrap_or(self.last + 1);
                    self.last = self.last.max(id);
                    self.rows.insert(id, memory.clone());
                }
                (None, Some(known)) => drop(self.rows.remove(&known)),
                (None, None) => {}
            }
        }
        self.rows.retain(|id, _| !forgotten.contains(id));
        for memory in memories.values().flatten() {
            self.trim(&memory.place.project);
        }
    }

    fn trim(&mut self, project: &ProjectId) {
        let own = self.rows.iter().rev().filter(|(_, memory)| memory.place.project == *project);
        if let Some(last) = own.map(|(id, _)| *id).nth(KEPT as usize) {
            self.rows.retain(|id, memory| memory.place.project != *project || *id > last);
        }
    }

    /// Those of a project, or of all, the latest first.
    fn latest(&self, project: Option<&ProjectId>) -> impl Iterator<Item = Remembered> {
        let own = move |memory: &Memory| project.is_none_or(|p| memory.place.project == *p);
        let rows = self.rows.iter().rev().filter(move |(_, memory)| own(memory));
        rows.map(|(id, memory)| Remembered { id: *id, memory: memory.clone() })
    }
}

/// How many of the words a memory has.
fn fit(memory: &Memory, wanted: &[String]) -> usize {
    let texts = [&memory.title, &memory.done, &memory.learned, &memory.concerns];
    let own: BTreeSet<String> = texts
        .iter()
        .flat_map(|text| text.split(|c: char| !c.is_alphanumeric()))
        .map(str::to_lowercase)
        .collect();
    wanted.iter().filter(|word| own.contains(*word)).count()
}

#[async_trait]
impl Recall for MemoryStore {
    async fn search(&self, search: &Search) -> Result<Vec<Remembered>, Error> {
        let wanted = words(&search.text);
        let tables = self.tables();
        let others = tables.memories.latest(search.project.as_ref());
        let others = others.filter(|found| search.without != Some(found.memory.key()));
        let fits = others.map(|found| (fit(&found.memory, &wanted), found));
        let mut found: Vec<_> = fits.filter(|(fit, _)| *fit > 0).collect();
        found.sort_by_key(|(fit, _)| Reverse(*fit));
        found.truncate(search.limit as usize);
        Ok(found.into_iter().map(|(_, found)| found).collect())
    }

    async fn list(
        &self,
        project: Option<&ProjectId>,
        limit: u32,
    ) -> Result<Vec<Remembered>, Error> {
        Ok(self.tables().memories.latest(project).take(limit as usize).collect())
    }

    async fn memory(&self, id: i64) -> Result<Option<Remembered>, Error> {
        let tables = self.tables();
        let found = tables.memories.rows.get(&id);
        Ok(found.map(|memory| Remembered { id, memory: memory.clone() }))
    }
}
