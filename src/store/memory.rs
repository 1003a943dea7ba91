//! The model of a store: what the others are compared with, and what simulations run on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use async_trait::async_trait;

use crate::graph::{LaneIx, TaskIx};
use crate::ids::{ProjectId, RunId};
use crate::state::{
    AttemptRecord, Effect, EffectKey, Entry, LaneRecord, LedgerLine, LedgerSum, ProjectRecord,
    RunRecord, TaskRecord, Usage,
};
use crate::store::hooks::HookTables;
use crate::store::recall::MemoryTable;
use crate::store::{Audit, Batch, Counters, Error, Ledger, Store, StoredRun};
use crate::time::Timestamp;

/// Keeps everything in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
pub(super) struct Tables {
    projects: BTreeMap<ProjectId, ProjectRecord>,
    graphs: BTreeMap<String, String>,
    pub(super) runs: BTreeMap<RunId, RunRecord>,
    lanes: BTreeMap<(RunId, LaneIx), LaneRecord>,
    pub(super) tasks: BTreeMap<(RunId, TaskIx), TaskRecord>,
    attempts: BTreeMap<(RunId, TaskIx, u32), AttemptRecord>,
    ledger: BTreeMap<(RunId, TaskIx, u32, u32), LedgerLine>,
    pub(super) journal: BTreeMap<u64, Entry>,
    effects: BTreeMap<EffectKey, Effect>,
    notices: BTreeMap<u64, String>,
    pub(super) settings: BTreeMap<&'static str, String>,
    bindings: BTreeMap<String, String>,
    audits: Vec<Audit>,
    pub(super) hooks: HookTables,
    pub(super) memories: MemoryTable,
}

impl MemoryStore {
    pub(super) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().expect("BUG: no code panics while it holds the tables")
    }
}

fn of_run<K: Copy + Ord, V: Clone>(table: &BTreeMap<(RunId, K), V>, run: RunId) -> Vec<(K, V)> {
    let own = table.iter().filter(|((owner, _), _)| *owner == run);
    own.map(|((_, key), value)| (*key, value.clone())).collect()
}

#[async_trait]
impl Store for MemoryStore {
    async fn commit(&self, batch: &Batch) -> Result<(), Error> {
        let mut tables = self.tables();
        let Batch { projects, graphs, runs, lanes, tasks, attempts, .. } = batch.clone();
        tables.projects.extend(projects.into_iter().map(|p| (p.id.clone(), p)));
        for (digest, source) in graphs {
            tables.graphs.entry(digest).or_insert(source);
        }
        tables.runs.extend(runs.into_iter().map(|r| (r.id, r)));
        tables.lanes.extend(lanes.into_iter().map(|(run, ix, lane)| ((run, ix), lane)));
        tables.tasks.extend(tasks.into_iter().map(|(run, ix, task)| ((run, ix), task)));
        tables.attempts.extend(attempts.into_iter().map(|a| ((a.run, a.task, a.attempt), a)));
        for line in &batch.ledger {
            let key = (line.run, line.task, line.attempt, line.seq);
            tables.ledger.entry(key).or_insert_with(|| line.clone());
        }
        tables.memories.keep(&batch.memories, &batch.forgotten);
        tables.journal.extend(batch.journal.iter().map(|e| (e.seq, e.clone())));
        for key in &batch.effects_done {
            tables.effects.remove(key);
        }
        tables.effects.extend(batch.effects.iter().map(|e| (e.key(), e.clone())));
        tables.notices.extend(batch.notices.iter().cloned());
        for seq in &batch.notices_done {
            tables.notices.remove(seq);
        }
        tables.settings.extend(batch.settings.iter().cloned());
        Ok(())
    }

    async fn counters(&self) -> Result<Counters, Error> {
        let tables = self.tables();
        Ok(Counters {
            run: tables.runs.keys().next_back().map_or(1, |run| run.0 + 1),
            seq: tables.journal.keys().next_back().map_or(1, |seq| seq + 1),
        })
    }

    async fn projects(&self) -> Result<Vec<ProjectRecord>, Error> {
        Ok(self.tables().projects.values().cloned().collect())
    }

    async fn runs(&self, project: Option<&ProjectId>) -> Result<Vec<RunRecord>, Error> {
        let tables = self.tables();
        let wanted = tables.runs.values().filter(|r| project.is_none_or(|p| r.project == *p));
        Ok(wanted.cloned().collect())
    }

    async fn load(&self, run: RunId) -> Result<Option<StoredRun>, Error> {
        let tables = self.tables();
        let Some(found) = tables.runs.get(&run) else {
            return Ok(None);
        };
        let graph = |digest: &String| {
            tables.graphs.get(digest).cloned().ok_or_else(|| Error::Inconsistent {
                table: "graphs",
                column: "digest",
                row: digest.clone(),
                why: "the graph of a run is gone".to_owned(),
            })
        };
        let source = graph(&found.graph_digest)?;
        let plans = found.grown.iter().map(|grown| graph(&grown.digest));
        let plans = plans.collect::<Result<_, _>>()?;
        let effects = tables.effects.values().filter(|e| e.run() == run).cloned().collect();
        Ok(Some(StoredRun {
            run: found.clone(),
            source,
            plans,
            lanes: of_run(&tables.lanes, run),
            tasks: of_run(&tables.tasks, run),
            effects,
        }))
    }

    async fn owing(&self) -> Result<Vec<RunId>, Error> {
        let runs: BTreeSet<RunId> = self.tables().effects.keys().map(|key| key.run).collect();
        Ok(runs.into_iter().collect())
    }

    async fn journal(&self, run: RunId, after: u64, limit: u32) -> Result<Vec<Entry>, Error> {
        let tables = self.tables();
        let later = tables.journal.range(after + 1..).map(|(_, entry)| entry);
        let later = later.filter(|entry| entry.run == run);
        Ok(later.take(limit as usize).cloned().collect())
    }

    async fn attempts(&self, run: RunId) -> Result<Vec<AttemptRecord>, Error> {
        let tables = self.tables();
        Ok(tables.attempts.values().filter(|a| a.run == run).cloned().collect())
    }

    async fn spent(&self, since: Timestamp, bucket_ms: i64) -> Result<Vec<LedgerSum>, Error> {
        let mut sums: BTreeMap<_, LedgerSum> = BTreeMap::new();
        for line in self.tables().ledger.values().filter(|line| line.at >= since) {
            let at = Timestamp(line.at.0 / bucket_ms * bucket_ms);
            let LedgerLine { project, profile, model, .. } = line.clone();
            let key = (at, project.clone(), profile.clone(), model.clone());
            let sum = sums.entry(key).or_insert_with(|| {
                let (usage, charge, ended) = (Usage::default(), 0, 0);
                LedgerSum { at, project, profile, model, usage, charge, ended }
            });
            sum.usage += line.usage;
            sum.charge += line.charge;
            sum.ended += u64::from(line.closes());
        }
        Ok(sums.into_values().collect())
    }

    async fn used(&self, run: RunId) -> Result<Vec<(TaskIx, u32, Usage)>, Error> {
        let mut sums: BTreeMap<(TaskIx, u32), Usage> = BTreeMap::new();
        for line in self.tables().ledger.values().filter(|line| line.run == run) {
            *sums.entry((line.task, line.attempt)).or_default() += line.usage;
        }
        Ok(sums.into_iter().map(|((task, attempt), usage)| (task, attempt, usage)).collect())
    }

    async fn notices(&self) -> Result<Vec<(u64, String)>, Error> {
        let tables = self.tables();
        Ok(tables.notices.iter().map(|(seq, notice)| (*seq, notice.clone())).collect())
    }

    async fn setting(&self, name: &'static str) -> Result<Option<String>, Error> {
        Ok(self.tables().settings.get(name).cloned())
    }
}

#[async_trait]
impl Ledger for MemoryStore {
    async fn bind(&self, name: &str, value: Option<&str>) -> Result<(), Error> {
        let mut tables = self.tables();
        match value {
            Some(value) => drop(tables.bindings.insert(name.to_owned(), value.to_owned())),
            None => drop(tables.bindings.remove(name)),
        }
        Ok(())
    }

    async fn binding(&self, name: &str) -> Result<Option<String>, Error> {
        Ok(self.tables().bindings.get(name).cloned())
    }

    async fn bindings(&self, prefix: &str) -> Result<Vec<(String, String)>, Error> {
        let tables = self.tables();
        let all = tables.bindings.iter().filter(|(name, _)| name.starts_with(prefix));
        Ok(all.map(|(name, value)| (name.clone(), value.clone())).collect())
    }

    async fn audit(&self, audit: &Audit) -> Result<(), Error> {
        self.tables().audits.push(audit.clone());
        Ok(())
    }

    async fn audits(&self, limit: u32) -> Result<Vec<Audit>, Error> {
        Ok(self.tables().audits.iter().rev().take(limit as usize).cloned().collect())
    }
}
