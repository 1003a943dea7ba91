//! Rows to domain values and back. A row that does not fit is damage and is named, never guessed.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::graph::{LaneIx, TaskIx};
use crate::ids::RunId;
use crate::state::{Entry, LedgerLine, Memory, Subject, Usage, What};
use crate::store::{Batch, Error};
use crate::time::Timestamp;

/// The JSON parameter of each writing statement, in the order in which they are written; `None`
/// where the batch has no row for it.
pub(crate) struct Parameters {
    pub(crate) projects: Option<String>,
    pub(crate) graphs: Option<String>,
    pub(crate) runs: Option<String>,
    pub(crate) lanes: Option<String>,
    pub(crate) tasks: Option<String>,
    pub(crate) attempts: Option<String>,
    pub(crate) ledger: Option<String>,
    pub(crate) memories: Option<String>,
    pub(crate) memories_done: Option<String>,
    pub(crate) forgotten: Option<String>,
    pub(crate) journal: Option<String>,
    pub(crate) effects: Option<String>,
    pub(crate) effects_done: Option<String>,
    pub(crate) notices: Option<String>,
    pub(crate) notices_done: Option<String>,
    pub(crate) settings: Option<String>,
}

impl Parameters {
    pub(crate) fn of(batch: &Batch) -> Self {
        let kept: Vec<&Memory> = batch.memories.values().flatten().collect();
        let gone = batch.memories.iter().filter(|(_, memory)| memory.is_none());
        let gone: Vec<_> = gone.map(|(key, _)| key).collect();
        Self {
            projects: rows(&batch.projects, |p| (&p.id, p)),
            graphs: rows(&batch.graphs, |g| g),
            runs: rows(&batch.runs, |r| (r.id, &r.project, &r.name.graph, r.name.number, r)),
            lanes: rows(&batch.lanes, |(run, ix, lane)| (run, ix, lane.state.word(), lane)),
            tasks: rows(&batch.tasks, |(run, ix, task)| (run, ix, task.state.word(), task)),
            attempts: rows(&batch.attempts, |a| (a.run, a.task, a.attempt, a)),
            ledger: rows(&batch.ledger, ledger_row),
            memories: rows(&kept, |m| (m.place.run, m.place.task, &m.place.project, m)),
            memories_done: rows(&gone, |key| key),
            forgotten: rows(&batch.forgotten, |id| id),
            journal: rows(&batch.journal, entry_row),
            effects: rows(&batch.effects, |e| (e.key(), e.run(), e)),
            effects_done: rows(&batch.effects_done, |key| key),
            notices: rows(&batch.notices, |notice| notice),
            notices_done: rows(&batch.notices_done, |seq| seq),
            settings: rows(&batch.settings, |setting| setting),
        }
    }
}

fn ledger_row(line: &LedgerLine) -> Value {
    let Usage { tokens, usd } = line.usage;
    json!([
        line.run,
        line.task,
        line.attempt,
        line.turn,
        line.seq,
        line.at,
        line.project,
        line.profile,
        line.model,
        tokens.input,
        tokens.output,
        tokens.cache_read,
        tokens.cache_write,
        usd,
        line.charge,
        i32::from(line.closes()),
    ])
}

fn rows<'b, T, R: Serialize>(items: &'b [T], row: impl Fn(&'b T) -> R) -> Option<String> {
    if items.is_empty() {
        return None;
    }
    let all: Vec<R> = items.iter().map(row).collect();
    Some(text(&all))
}

pub(crate) fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("BUG: records are plain data with text keys")
}

fn entry_row(entry: &Entry) -> Value {
    let (lane, task) = match entry.subject {
        Subject::Run => (None, None),
        Subject::Lane(lane) => (Some(lane), None),
        Subject::Task(task) => (None, Some(task)),
    };
    json!([
        entry.seq,
        entry.at,
        entry.run,
        lane,
        task,
        entry.attempt,
        entry.what.kind(),
        entry.what,
        entry.detail,
    ])
}

/// A line of the journal as its columns come back.
pub(crate) struct EntryRow {
    pub(crate) seq: i64,
    pub(crate) at_ms: i64,
    pub(crate) lane: Option<i64>,
    pub(crate) task: Option<i64>,
    pub(crate) attempt: Option<i64>,
    pub(crate) what: String,
    pub(crate) detail: Option<String>,
}

impl EntryRow {
    pub(crate) fn entry(self, run: RunId) -> Result<Entry, Error> {
        let number = |column, value: i64| {
            u32::try_from(value).map_err(|_| Error::Inconsistent {
                table: "journal",
                column,
                row: self.seq.to_string(),
                why: format!("{value} is out of range"),
            })
        };
        let subject = match (self.lane, self.task) {
            (_, Some(task)) => Subject::Task(TaskIx(number("task", task)?)),
            (Some(lane), None) => Subject::Lane(LaneIx(number("lane", lane)?)),
            (None, None) => Subject::Run,
        };
        let what: What = record("journal", "what", &self.seq.to_string(), &self.what)?;
        Ok(Entry {
            seq: self.seq.unsigned_abs(),
            at: Timestamp(self.at_ms),
            run,
            subject,
            attempt: self.attempt.map(|a| number("attempt", a)).transpose()?,
            what,
            detail: self.detail.map(String::into_boxed_str),
        })
    }
}

pub(crate) fn record<T: DeserializeOwned>(
    table: &'static str,
    column: &'static str,
    row: &str,
    text: &str,
) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|why| Error::Inconsistent {
        table,
        column,
        row: row.to_owned(),
        why: why.to_string(),
    })
}

pub(crate) fn index(table: &'static str, value: i64) -> Result<u32, Error> {
    u32::try_from(value).map_err(|_| Error::Inconsistent {
        table,
        column: "ix",
        row: value.to_string(),
        why: "not an index".to_owned(),
    })
}
