//! The default store: one SQLite file, one writer, full durability.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use sqlx::migrate::MigrateError;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use tokio::sync::Mutex;

use crate::crash;
use crate::graph::{LaneIx, TaskIx};
use crate::ids::{GraphName, NameError, ProjectId, RunId};
use crate::state::{
    AttemptRecord, Effect, Entry, LedgerSum, ProjectRecord, RunRecord, Tokens, Usage,
};
use crate::store::recall;
use crate::store::rows::{EntryRow, Parameters, index, record};
use crate::store::sql;
use crate::store::{Audit, Batch, Counters, Error, Ledger, Store, StoredRun, Which};
use crate::time::Timestamp;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// The first release without the write-ahead-log reset defect of 3.7.0 to 3.51.2
/// (<https://sqlite.org/wal.html>, "The WAL-Reset Bug").
const LIBRARY_OLDEST: &str = "3.51.3";

/// How long a write waits for another process that holds the file; readers of the command line
/// hold it for moments.
const BUSY_WAIT: Duration = Duration::from_secs(10);

/// What may be done with the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Made and migrated if needed, then written by its owner.
    Own,
    /// Must exist at the current schema; read beside its owner.
    Read,
}

/// A SQLite file. All access goes through one connection, which SQLite serialises anyway.
pub struct SqliteStore {
    pub(super) connection: Mutex<SqliteConnection>,
}

impl SqliteStore {
    /// Opens the file below `data_dir`.
    pub async fn open(data_dir: &Path, access: Access) -> Result<Self, Error> {
        let path = Self::path(data_dir);
        if access == Access::Read && !path.exists() {
            return Err(Error::Missing { path: path.display().to_string() });
        }
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(access == Access::Own)
            .read_only(access == Access::Read)
            .busy_timeout(BUSY_WAIT)
            .foreign_keys(false)
            .disable_statement_logging();
        let options = match access {
            Access::Own => {
                options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full)
            }
            Access::Read => options,
        };
        let mut connection = options.connect().await.map_err(database)?;
        check_library(&mut connection).await?;
        migrate(&mut connection, access, &path).await?;
        restrict(&path)?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// Where the file is.
    pub fn path(data_dir: &Path) -> PathBuf {
        data_dir.join("taskloom.db")
    }

    /// Closes the file in good order.
    pub async fn close(self) -> Result<(), Error> {
        self.connection.into_inner().close().await.map_err(database)
    }
}

pub(super) fn database(error: sqlx::Error) -> Error {
    Error::Database(Box::new(error))
}

async fn check_library(connection: &mut SqliteConnection) -> Result<(), Error> {
    let found: String =
        sqlx::query_scalar(sql::SQLITE_VERSION).fetch_one(connection).await.map_err(database)?;
    let numbers = |text: &str| -> Vec<u32> { text.split('.').flat_map(str::parse).collect() };
    if numbers(&found) < numbers(LIBRARY_OLDEST) {
        return Err(Error::Library { found, needed: LIBRARY_OLDEST });
    }
    Ok(())
}

async fn migrate(
    connection: &mut SqliteConnection,
    access: Access,
    path: &Path,
) -> Result<(), Error> {
    let at = || path.display().to_string();
    let newer = |error: MigrateError| {
        if matches!(error, MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..)) {
            return Error::Newer { path: at() };
        }
        Error::Database(Box::new(error))
    };
    match access {
        Access::Own => MIGRATIONS.run(&mut *connection).await.map_err(newer),
        Access::Read => {
            let applied: i64 = sqlx::query_scalar(sql::SCHEMA_VERSION)
                .fetch_one(connection)
                .await
                .map_err(database)?;
            let known = MIGRATIONS.iter().map(|m| m.version).max().unwrap_or_default();
            match applied.cmp(&known) {
                std::cmp::Ordering::Greater => Err(Error::Newer { path: at() }),
                std::cmp::Ordering::Less => Err(Error::Missing { path: at() }),
                std::cmp::Ordering::Equal => Ok(()),
            }
        }
    }
}

/// The store holds descriptions and messages of private repositories.
fn restrict(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, mode)
        .map_err(|source| Error::File { path: path.display().to_string(), source })
}

pub(super) async fn put(
    connection: &mut SqliteConnection,
    statement: &'static str,
    rows: Option<String>,
) -> Result<(), Error> {
    if let Some(rows) = rows {
        sqlx::query(statement).bind(rows).execute(connection).await.map_err(database)?;
    }
    Ok(())
}

#[async_trait]
impl Store for SqliteStore {
    async fn commit(&self, batch: &Batch) -> Result<(), Error> {
        let rows = Parameters::of(batch);
        let mut connection = self.connection.lock().await;
        // IMMEDIATE: a transaction that reads first and then writes can be refused at once.
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(database)?;
        put(&mut transaction, sql::PUT_PROJECTS, rows.projects).await?;
        put(&mut transaction, sql::PUT_GRAPHS, rows.graphs).await?;
        put(&mut transaction, sql::PUT_RUNS, rows.runs).await?;
        put(&mut transaction, sql::PUT_LANES, rows.lanes).await?;
        put(&mut transaction, sql::PUT_TASKS, rows.tasks).await?;
        put(&mut transaction, sql::PUT_ATTEMPTS, rows.attempts).await?;
        crash::point("store.half");
        put(&mut transaction, sql::PUT_LEDGER, rows.ledger).await?;
        put(&mut transaction, sql::PUT_MEMORIES, rows.memories).await?;
        put(&mut transaction, sql::DROP_MEMORIES, rows.memories_done).await?;
        put(&mut transaction, sql::FORGET, rows.forgotten).await?;
        recall::trim(&mut transaction, batch).await?;
        put(&mut transaction, sql::PUT_JOURNAL, rows.journal).await?;
        put(&mut transaction, sql::DROP_EFFECTS, rows.effects_done).await?;
        put(&mut transaction, sql::PUT_EFFECTS, rows.effects).await?;
        put(&mut transaction, sql::PUT_NOTICES, rows.notices).await?;
        put(&mut transaction, sql::DROP_NOTICES, rows.notices_done).await?;
        put(&mut transaction, sql::PUT_SETTINGS, rows.settings).await?;
        transaction.commit().await.map_err(database)
    }

    async fn counters(&self) -> Result<Counters, Error> {
        let mut connection = self.connection.lock().await;
        let row = sqlx::query(sql::COUNTERS).fetch_one(&mut *connection).await.map_err(database)?;
        let number = |at: usize| row.try_get::<i64, _>(at).map_err(database);
        Ok(Counters { run: number(0)?, seq: number(1)?.unsigned_abs() })
    }

    async fn projects(&self) -> Result<Vec<ProjectRecord>, Error> {
        self.read(sql::PROJECTS, None::<i64>, |row| {
            let (id, text): (String, String) = (get(row, 0)?, get(row, 1)?);
            record("projects", "record", &id, &text)
        })
        .await
    }

    async fn runs(&self, project: Option<&ProjectId>) -> Result<Vec<RunRecord>, Error> {
        let project = project.map(|p| p.as_str().to_owned());
        self.read(sql::RUNS, Some(project), run_record).await
    }

    async fn select(&self, which: &Which, limit: u32) -> Result<Vec<RunRecord>, Error> {
        let query = match which {
            Which::Active => sqlx::query(sql::RUNS_ACTIVE).bind(limit),
            Which::Archived => sqlx::query(sql::RUNS_ARCHIVED).bind(limit),
            Which::Open => sqlx::query(sql::RUNS_OPEN).bind(limit),
            Which::ForPeople => sqlx::query(sql::RUNS_FOR_PEOPLE).bind(limit),
            Which::Reminded => sqlx::query(sql::RUNS_REMINDED).bind(limit),
            Which::Resting { before } => sqlx::query(sql::RUNS_RESTING).bind(limit).bind(before.0),
            Which::Lately { after } => sqlx::query(sql::RUNS_LATELY).bind(limit).bind(after.0),
            Which::Named(project, name) => sqlx::query(sql::RUN_NAMED)
                .bind(limit)
                .bind(project.as_str())
                .bind(name.graph.as_str())
                .bind(name.number),
        };
        let mut connection = self.connection.lock().await;
        let rows = query.fetch_all(&mut *connection).await.map_err(database)?;
        rows.iter().map(run_record).collect()
    }

    async fn numbers(&self) -> Result<BTreeMap<(ProjectId, GraphName), u32>, Error> {
        let rows = self.read(sql::NUMBERS, None::<i64>, |row| {
            let (project, graph): (String, String) = (get(row, 0)?, get(row, 1)?);
            let damaged = |column, why: NameError| Error::Inconsistent {
                table: "runs",
                column,
                row: format!("{project}:{graph}"),
                why: why.to_string(),
            };
            let place = (
                project.parse().map_err(|why| damaged("project", why))?,
                graph.parse().map_err(|why| damaged("graph", why))?,
            );
            Ok((place, get(row, 2)?))
        });
        Ok(rows.await?.into_iter().collect())
    }

    async fn load(&self, run: RunId) -> Result<Option<StoredRun>, Error> {
        let Some(found) = self.read(sql::RUN, Some(run.0), run_record).await?.pop() else {
            return Ok(None);
        };
        let digest = found.graph_digest.clone();
        let source = self.graph(digest).await?;
        let mut plans = Vec::new();
        for grown in &found.grown {
            plans.push(self.graph(grown.digest.clone()).await?);
        }
        let lanes = self
            .read(sql::LANES, Some(run.0), |row| {
                let (ix, text) = indexed(row)?;
                Ok((
                    LaneIx(index("lanes", ix)?),
                    record("lanes", "record", &ix.to_string(), &text)?,
                ))
            })
            .await?;
        let tasks = self
            .read(sql::TASKS, Some(run.0), |row| {
                let (ix, text) = indexed(row)?;
                Ok((
                    TaskIx(index("tasks", ix)?),
                    record("tasks", "record", &ix.to_string(), &text)?,
                ))
            })
            .await?;
        let effects = self
            .read(sql::EFFECTS, Some(run.0), |row| {
                let (key, text): (String, String) = (get(row, 0)?, get(row, 1)?);
                record::<Effect>("effects", "effect", &key, &text)
            })
            .await?;
        Ok(Some(StoredRun { run: found, source, plans, lanes, tasks, effects }))
    }

    async fn owing(&self) -> Result<Vec<RunId>, Error> {
        self.read(sql::OWING, None::<i64>, |row| Ok(RunId(get(row, 0)?))).await
    }

    async fn journal(&self, run: RunId, after: u64, limit: u32) -> Result<Vec<Entry>, Error> {
        let mut connection = self.connection.lock().await;
        let rows = sqlx::query(sql::JOURNAL)
            .bind(run.0)
            .bind(i64::try_from(after).unwrap_or(i64::MAX))
            .bind(i64::from(limit))
            .fetch_all(&mut *connection)
            .await
            .map_err(database)?;
        rows.iter().map(|row| entry_row(row)?.entry(run)).collect()
    }

    async fn attempts(&self, run: RunId) -> Result<Vec<AttemptRecord>, Error> {
        self.read(sql::ATTEMPTS, Some(run.0), |row| {
            let (task, text) = indexed(row)?;
            record("attempts", "record", &task.to_string(), &text)
        })
        .await
    }

    async fn spent(&self, since: Timestamp, bucket_ms: i64) -> Result<Vec<LedgerSum>, Error> {
        let mut connection = self.connection.lock().await;
        let query = sqlx::query(sql::SPENT).bind(since.0).bind(bucket_ms);
        let rows = query.fetch_all(&mut *connection).await.map_err(database)?;
        rows.iter().map(ledger_sum).collect()
    }

    async fn gate_rounds(&self, run: RunId) -> Result<Vec<(TaskIx, u32, u32)>, Error> {
        self.read(sql::GATE_ROUNDS, Some(run.0), |row| {
            let (task, attempt, rounds): (i64, i64, i64) =
                (get(row, 0)?, get(row, 1)?, get(row, 2)?);
            let number = |value| index("journal", value);
            Ok((TaskIx(number(task)?), number(attempt)?, number(rounds)?))
        })
        .await
    }

    async fn used(&self, run: RunId) -> Result<Vec<(TaskIx, u32, Usage)>, Error> {
        self.read(sql::USED, Some(run.0), |row| {
            let (task, attempt): (i64, i64) = (get(row, 0)?, get(row, 1)?);
            let number = |value| index("ledger", value);
            Ok((TaskIx(number(task)?), number(attempt)?, usage(row, 2)?))
        })
        .await
    }

    async fn notices(&self) -> Result<Vec<(u64, String)>, Error> {
        self.read(sql::NOTICES, None::<i64>, |row| {
            let (seq, notice): (i64, String) = (get(row, 0)?, get(row, 1)?);
            Ok((seq.unsigned_abs(), notice))
        })
        .await
    }

    async fn setting(&self, name: &'static str) -> Result<Option<String>, Error> {
        Ok(self.read(sql::SETTING, Some(name), |row| get(row, 0)).await?.pop())
    }
}

#[async_trait]
impl Ledger for SqliteStore {
    async fn bind(&self, name: &str, value: Option<&str>) -> Result<(), Error> {
        let mut connection = self.connection.lock().await;
        let query = match value {
            Some(value) => sqlx::query(sql::BIND).bind(name.to_owned()).bind(value.to_owned()),
            None => sqlx::query(sql::UNBIND).bind(name.to_owned()),
        };
        query.execute(&mut *connection).await.map(drop).map_err(database)
    }

    async fn binding(&self, name: &str) -> Result<Option<String>, Error> {
        Ok(self.read(sql::BINDING, Some(name.to_owned()), |row| get(row, 0)).await?.pop())
    }

    async fn bindings(&self, prefix: &str) -> Result<Vec<(String, String)>, Error> {
        let mut connection = self.connection.lock().await;
        let query = sqlx::query(sql::BINDINGS);
        let end = format!("{prefix}\u{10ffff}");
        let query = query.bind(prefix.to_owned()).bind(end);
        let rows = query.fetch_all(&mut *connection).await.map_err(database)?;
        rows.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect()
    }

    async fn audit(&self, audit: &Audit) -> Result<(), Error> {
        let text = serde_json::to_string(audit).expect("BUG: an audit is plain data");
        let mut connection = self.connection.lock().await;
        let query = sqlx::query(sql::AUDIT).bind(audit.at.0).bind(text);
        query.execute(&mut *connection).await.map(drop).map_err(database)
    }

    async fn audits(&self, limit: u32) -> Result<Vec<Audit>, Error> {
        self.read(sql::AUDITS, Some(i64::from(limit)), |row| {
            let (id, text) = indexed(row)?;
            record("audits", "record", &id.to_string(), &text)
        })
        .await
    }
}

impl SqliteStore {
    async fn graph(&self, digest: String) -> Result<String, Error> {
        let found = self.read(sql::GRAPH, Some(digest.clone()), |row| get(row, 0)).await?.pop();
        found.ok_or_else(|| Error::Inconsistent {
            table: "graphs",
            column: "digest",
            row: digest,
            why: "the graph of a run is gone".to_owned(),
        })
    }

    pub(super) async fn read<'q, P, T>(
        &self,
        statement: &'static str,
        parameter: Option<P>,
        each: impl Fn(&SqliteRow) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error>
    where
        P: sqlx::Encode<'q, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite> + Send + 'q,
    {
        let mut connection = self.connection.lock().await;
        let query = sqlx::query(statement);
        let query = match parameter {
            Some(parameter) => query.bind(parameter),
            None => query,
        };
        let rows = query.fetch_all(&mut *connection).await.map_err(database)?;
        rows.iter().map(each).collect()
    }
}

pub(super) fn get<'r, T>(row: &'r SqliteRow, at: usize) -> Result<T, Error>
where
    T: sqlx::Decode<'r, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
{
    row.try_get(at).map_err(database)
}

pub(super) fn entry_row(row: &SqliteRow) -> Result<EntryRow, Error> {
    Ok(EntryRow {
        seq: get(row, 0)?,
        at_ms: get(row, 1)?,
        lane: get(row, 2)?,
        task: get(row, 3)?,
        attempt: get(row, 4)?,
        what: get(row, 5)?,
        detail: get(row, 6)?,
    })
}

fn indexed(row: &SqliteRow) -> Result<(i64, String), Error> {
    Ok((get(row, 0)?, get(row, 1)?))
}

/// Tokens by kind and dollars, from a column on.
fn usage(row: &SqliteRow, first: usize) -> Result<Usage, Error> {
    let number = |at: usize| get::<i64>(row, first + at).map(i64::unsigned_abs);
    let tokens = Tokens {
        input: number(0)?,
        output: number(1)?,
        cache_read: number(2)?,
        cache_write: number(3)?,
    };
    Ok(Usage { tokens, usd: get(row, first + 4)? })
}

fn ledger_sum(row: &SqliteRow) -> Result<LedgerSum, Error> {
    let number = |at: usize| get::<i64>(row, at).map(i64::unsigned_abs);
    let named = |column: &'static str, text: String| Error::Inconsistent {
        table: "ledger",
        column,
        row: text,
        why: "it is no name".to_owned(),
    };
    let project: String = get(row, 1)?;
    let profile: Option<String> = get(row, 2)?;
    Ok(LedgerSum {
        at: Timestamp(get(row, 0)?),
        project: project.parse().map_err(|_| named("project", project))?,
        profile: match profile {
            Some(name) => Some(name.parse().map_err(|_| named("profile", name))?),
            None => None,
        },
        model: get(row, 3)?,
        usage: usage(row, 4)?,
        charge: number(9)?,
        ended: number(10)?,
    })
}

fn run_record(row: &SqliteRow) -> Result<RunRecord, Error> {
    let (id, text): (i64, String) = (get(row, 0)?, get(row, 1)?);
    record("runs", "record", &id.to_string(), &text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_statement_prepares_on_the_current_schema() {
        let dir = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(dir.path(), Access::Own).await.unwrap();
        let mut connection = store.connection.lock().await;
        for statement in sql::ALL {
            use sqlx::Executor as _;
            use sqlx::SqlSafeStr as _;
            let prepared = connection.prepare((*statement).into_sql_str()).await;
            assert!(prepared.is_ok(), "{statement}: {:?}", prepared.err());
        }
    }
}
