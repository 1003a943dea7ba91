//! Every statement, by name. What reads is portable between the engines; what writes takes all
//! rows of a table as one JSON parameter, because a statement a row costs ten times as much.

pub(crate) const PUT_PROJECTS: &str = "
    INSERT INTO projects (id, record)
    SELECT value ->> 0, value ->> 1 FROM json_each($1) WHERE true
    ON CONFLICT (id) DO UPDATE SET record = excluded.record";

pub(crate) const PUT_GRAPHS: &str = "
    INSERT INTO graphs (digest, source)
    SELECT value ->> 0, value ->> 1 FROM json_each($1) WHERE true
    ON CONFLICT (digest) DO NOTHING";

pub(crate) const PUT_RUNS: &str = "
    INSERT INTO runs (id, project, graph, number, record)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4
    FROM json_each($1) WHERE true
    ON CONFLICT (id) DO UPDATE SET record = excluded.record";

pub(crate) const PUT_LANES: &str = "
    INSERT INTO lanes (run, ix, state, record)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each($1) WHERE true
    ON CONFLICT (run, ix) DO UPDATE SET state = excluded.state, record = excluded.record";

pub(crate) const PUT_TASKS: &str = "
    INSERT INTO tasks (run, ix, state, record)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each($1) WHERE true
    ON CONFLICT (run, ix) DO UPDATE SET state = excluded.state, record = excluded.record";

pub(crate) const PUT_ATTEMPTS: &str = "
    INSERT INTO attempts (run, task, attempt, record)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each($1) WHERE true
    ON CONFLICT (run, task, attempt) DO UPDATE SET record = excluded.record";

pub(crate) const PUT_LEDGER: &str = "
    INSERT INTO ledger (run, task, attempt, turn, seq, at_ms, project, profile, model,
                        input, output, cache_read, cache_write, usd, charge, closes)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
           value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11,
           value ->> 12, value ->> 13, value ->> 14, value ->> 15
    FROM json_each($1) WHERE true
    ON CONFLICT (run, task, attempt, seq) DO NOTHING";

/// Since the first parameter, in buckets of the second; both in milliseconds.
pub(crate) const SPENT: &str = "
    SELECT at_ms / $2 * $2 AS at, project, profile, model, sum(input), sum(output),
           sum(cache_read), sum(cache_write), sum(usd), sum(charge), sum(closes)
    FROM ledger WHERE at_ms >= $1
    GROUP BY at, project, profile, model ORDER BY at, project, profile, model";

pub(crate) const PUT_MEMORIES: &str = "
    INSERT INTO memories (run, task, project, record)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3 FROM json_each($1) WHERE true
    ON CONFLICT (run, task) DO UPDATE SET record = excluded.record";

pub(crate) const DROP_MEMORIES: &str = "
    DELETE FROM memories WHERE (run, task) IN
        (SELECT value ->> 0, value ->> 1 FROM json_each($1))";

pub(crate) const FORGET: &str = "
    DELETE FROM memories WHERE id IN (SELECT value FROM json_each($1))";

/// The memories of a project but for the newest so many.
pub(crate) const TRIM_MEMORIES: &str = "
    DELETE FROM memories WHERE project = $1 AND id <= (
        SELECT id FROM memories WHERE project = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)";

/// What fits a query in FTS5's language, the best first, without that of one task. A title tells
/// most; what was learned is what is looked for.
pub(crate) const RECALL: &str = "
    SELECT m.id, m.record FROM memory_words JOIN memories m ON m.id = memory_words.rowid
    WHERE memory_words MATCH $1 AND ($2 IS NULL OR m.project = $2)
      AND NOT (m.run = $3 AND m.task = $4)
    ORDER BY bm25(memory_words, 4.0, 1.0, 2.0, 1.0), m.id DESC LIMIT $5";

pub(crate) const MEMORIES: &str = "
    SELECT id, record FROM memories WHERE $1 IS NULL OR project = $1
    ORDER BY id DESC LIMIT $2";

pub(crate) const MEMORY: &str = "SELECT id, record FROM memories WHERE id = $1";

pub(crate) const PUT_JOURNAL: &str = "
    INSERT INTO journal (seq, at_ms, run, lane, task, attempt, kind, what, detail)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
           value ->> 6, value -> 7, value ->> 8
    FROM json_each($1) WHERE true
    ON CONFLICT (seq) DO NOTHING";

pub(crate) const PUT_EFFECTS: &str = "
    INSERT INTO effects (key, run, effect)
    SELECT value ->> 0, value ->> 1, value ->> 2 FROM json_each($1) WHERE true
    ON CONFLICT (key) DO UPDATE SET effect = excluded.effect";

pub(crate) const DROP_EFFECTS: &str = "
    DELETE FROM effects WHERE key IN (SELECT value FROM json_each($1))";

pub(crate) const PUT_NOTICES: &str = "
    INSERT INTO notices (seq, notice)
    SELECT value ->> 0, value ->> 1 FROM json_each($1) WHERE true
    ON CONFLICT (seq) DO NOTHING";

pub(crate) const DROP_NOTICES: &str = "
    DELETE FROM notices WHERE seq IN (SELECT value FROM json_each($1))";

pub(crate) const PUT_SETTINGS: &str = "
    INSERT INTO settings (name, value)
    SELECT value ->> 0, value ->> 1 FROM json_each($1) WHERE true
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";

pub(crate) const COUNTERS: &str = "
    SELECT (SELECT coalesce(max(id), 0) + 1 FROM runs),
           (SELECT coalesce(max(seq), 0) + 1 FROM journal)";

pub(crate) const PROJECTS: &str = "SELECT id, record FROM projects ORDER BY id";

pub(crate) const RUNS: &str = "
    SELECT id, record FROM runs WHERE $1 IS NULL OR project = $1 ORDER BY id";

pub(crate) const RUNS_ACTIVE: &str = "
    SELECT id, record FROM runs WHERE archived_ms IS NULL ORDER BY id LIMIT $1";

pub(crate) const RUNS_ARCHIVED: &str = "
    SELECT id, record FROM runs WHERE archived_ms IS NOT NULL ORDER BY id LIMIT $1";

pub(crate) const RUNS_OPEN: &str = "
    SELECT id, record FROM runs WHERE open = 1 ORDER BY id LIMIT $1";

/// Two looks, because each has its index.
pub(crate) const RUNS_FOR_PEOPLE: &str = "
    SELECT id, record FROM runs WHERE archived_ms IS NULL AND open = 0 AND needs > 0
    UNION ALL
    SELECT id, record FROM runs WHERE open = 1 AND archived_ms IS NULL
    ORDER BY id LIMIT $1";

pub(crate) const RUNS_REMINDED: &str = "
    SELECT id, record FROM runs
    WHERE archived_ms IS NULL AND remind_ms IS NOT NULL AND open = 0
    ORDER BY remind_ms LIMIT $1";

pub(crate) const RUNS_RESTING: &str = "
    SELECT id, record FROM runs
    WHERE archived_ms IS NULL AND open = 0 AND needs = 0 AND rests_ms < $2
      AND NOT EXISTS (SELECT 1 FROM effects WHERE effects.run = runs.id)
    ORDER BY rests_ms LIMIT $1";

pub(crate) const RUNS_LATELY: &str = "
    SELECT id, record FROM runs WHERE rests_ms >= $2
    UNION
    SELECT id, record FROM runs WHERE open = 1
    ORDER BY id LIMIT $1";

pub(crate) const GATE_ROUNDS: &str = "
    SELECT task, attempt, count(*) FROM journal
    WHERE run = $1 AND kind IN ('task_gate_passed', 'task_gate_failed')
      AND task IS NOT NULL AND attempt IS NOT NULL
    GROUP BY task, attempt ORDER BY task, attempt";

pub(crate) const USED: &str = "
    SELECT task, attempt, sum(input), sum(output), sum(cache_read), sum(cache_write), sum(usd)
    FROM ledger WHERE run = $1 GROUP BY task, attempt ORDER BY task, attempt";

pub(crate) const RUN_NAMED: &str = "
    SELECT id, record FROM runs WHERE project = $2 AND graph = $3 AND number = $4 LIMIT $1";

/// Read from the index that keeps the numbers apart.
pub(crate) const NUMBERS: &str = "
    SELECT project, graph, max(number) FROM runs GROUP BY project, graph";

pub(crate) const RUN: &str = "SELECT id, record FROM runs WHERE id = $1";

pub(crate) const GRAPH: &str = "SELECT source FROM graphs WHERE digest = $1";

pub(crate) const LANES: &str = "SELECT ix, record FROM lanes WHERE run = $1 ORDER BY ix";

pub(crate) const TASKS: &str = "SELECT ix, record FROM tasks WHERE run = $1 ORDER BY ix";

pub(crate) const OWING: &str = "SELECT DISTINCT run FROM effects ORDER BY run";

pub(crate) const EFFECTS: &str = "SELECT key, effect FROM effects WHERE run = $1 ORDER BY key";

pub(crate) const ATTEMPTS: &str = "
    SELECT task, record FROM attempts WHERE run = $1 ORDER BY task, attempt";

pub(crate) const JOURNAL: &str = "
    SELECT seq, at_ms, lane, task, attempt, what, detail
    FROM journal WHERE run = $1 AND seq > $2 ORDER BY seq LIMIT $3";

pub(crate) const NOTICES: &str = "SELECT seq, notice FROM notices ORDER BY seq";

pub(crate) const SETTING: &str = "SELECT value FROM settings WHERE name = $1";

pub(crate) const BIND: &str = "
    INSERT INTO bindings (name, value) VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value";

pub(crate) const UNBIND: &str = "DELETE FROM bindings WHERE name = $1";

pub(crate) const BINDING: &str = "SELECT value FROM bindings WHERE name = $1";

/// Names that begin with the first parameter and are before the second.
pub(crate) const BINDINGS: &str = "
    SELECT name, value FROM bindings WHERE name >= $1 AND name < $2 ORDER BY name";

pub(crate) const AUDIT: &str = "INSERT INTO audits (at_ms, record) VALUES ($1, $2)";

pub(crate) const AUDITS: &str = "SELECT id, record FROM audits ORDER BY id DESC LIMIT $1";

pub(crate) const PUT_HOOKS: &str = "
    INSERT INTO hooks (name, source)
    SELECT value ->> 0, value ->> 1 FROM json_each($1) WHERE true
    ON CONFLICT (name) DO UPDATE SET source = excluded.source";

pub(crate) const DROP_HOOKS: &str = "
    DELETE FROM hooks WHERE name IN (SELECT value FROM json_each($1))";

pub(crate) const DROP_HOOK_STATES: &str = "
    DELETE FROM hook_states WHERE name IN (SELECT value FROM json_each($1))";

pub(crate) const PUT_HOOK_STATES: &str = "
    INSERT INTO hook_states (name, record)
    SELECT value ->> 0, value ->> 1 FROM json_each($1) WHERE true
    ON CONFLICT (name) DO UPDATE SET record = excluded.record";

pub(crate) const PUT_HOOK_RUNS: &str = "
    INSERT INTO hook_runs (id, hook, key, status, open, record)
    SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5
    FROM json_each($1) WHERE true
    ON CONFLICT (id) DO UPDATE
    SET status = excluded.status, open = excluded.open, record = excluded.record
    ON CONFLICT (hook, key) DO NOTHING";

/// Runs of a hook that have ended, but for the newest so many.
pub(crate) const TRIM_HOOK_RUNS: &str = "
    DELETE FROM hook_runs WHERE hook = $1 AND open = 0 AND id <= (
        SELECT id FROM hook_runs WHERE hook = $1 ORDER BY id DESC LIMIT 1 OFFSET $2)";

pub(crate) const HOOKS: &str = "SELECT name, source FROM hooks ORDER BY name";

pub(crate) const HOOK_STATES: &str = "SELECT name, record FROM hook_states ORDER BY name";

pub(crate) const OPEN_HOOK_RUNS: &str = "
    SELECT id, record FROM hook_runs WHERE open = 1 ORDER BY id";

pub(crate) const HOOK_RUNS: &str = "SELECT id, record FROM hook_runs ORDER BY id DESC LIMIT $1";

pub(crate) const RUNS_OF_HOOK: &str = "
    SELECT id, record FROM hook_runs WHERE hook = $1 ORDER BY id DESC LIMIT $2";

pub(crate) const HOOK_KEY: &str = "SELECT id FROM hook_runs WHERE hook = $1 AND key = $2";

pub(crate) const LAST_HOOK_RUN: &str = "SELECT coalesce(max(id), 0) FROM hook_runs";

/// The journal of all runs after a line.
pub(crate) const WHOLE_JOURNAL: &str = "
    SELECT seq, at_ms, lane, task, attempt, what, detail, run
    FROM journal WHERE seq > $1 ORDER BY seq LIMIT $2";

pub(crate) const FAILED_TASKS: &str = "
    SELECT t.run, t.ix, t.record FROM tasks t JOIN runs r ON r.id = t.run
    WHERE t.state = 'failed' AND ($1 IS NULL OR r.project = $1)
    ORDER BY t.run DESC, t.ix LIMIT $2";

pub(crate) const FINISHED_TASKS: &str = "
    SELECT j.seq, j.at_ms, j.lane, j.task, j.attempt, j.what, j.detail, j.run
    FROM journal j JOIN runs r ON r.id = j.run
    WHERE j.kind = 'task_finished' AND ($1 IS NULL OR r.project = $1)
    ORDER BY j.seq DESC LIMIT $2";

/// The newest migration that was applied.
pub(crate) const SCHEMA_VERSION: &str = "SELECT max(version) FROM _sqlx_migrations";

pub(crate) const SQLITE_VERSION: &str = "SELECT sqlite_version()";

/// All statements that a store of the current schema must be able to prepare.
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[
    PUT_PROJECTS,
    PUT_GRAPHS,
    PUT_RUNS,
    PUT_LANES,
    PUT_TASKS,
    PUT_ATTEMPTS,
    PUT_LEDGER,
    SPENT,
    PUT_MEMORIES,
    DROP_MEMORIES,
    FORGET,
    TRIM_MEMORIES,
    RECALL,
    MEMORIES,
    MEMORY,
    PUT_JOURNAL,
    PUT_EFFECTS,
    DROP_EFFECTS,
    PUT_NOTICES,
    DROP_NOTICES,
    PUT_SETTINGS,
    COUNTERS,
    PROJECTS,
    RUNS,
    RUNS_ACTIVE,
    RUNS_ARCHIVED,
    RUNS_OPEN,
    RUNS_FOR_PEOPLE,
    RUNS_REMINDED,
    RUNS_RESTING,
    RUNS_LATELY,
    GATE_ROUNDS,
    USED,
    RUN_NAMED,
    NUMBERS,
    RUN,
    GRAPH,
    LANES,
    TASKS,
    EFFECTS,
    ATTEMPTS,
    JOURNAL,
    NOTICES,
    SETTING,
    BIND,
    UNBIND,
    BINDING,
    BINDINGS,
    AUDIT,
    AUDITS,
    PUT_HOOKS,
    DROP_HOOKS,
    DROP_HOOK_STATES,
    PUT_HOOK_STATES,
    PUT_HOOK_RUNS,
    TRIM_HOOK_RUNS,
    HOOKS,
    HOOK_STATES,
    OPEN_HOOK_RUNS,
    HOOK_RUNS,
    RUNS_OF_HOOK,
    HOOK_KEY,
    LAST_HOOK_RUN,
    WHOLE_JOURNAL,
    FAILED_TASKS,
    FINISHED_TASKS,
    SCHEMA_VERSION,
    SQLITE_VERSION,
];
