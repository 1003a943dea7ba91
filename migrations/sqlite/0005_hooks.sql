-- Hooks that were made by a command, as they were written; those of the configuration are not here.

CREATE TABLE hooks (
    name    TEXT NOT NULL PRIMARY KEY,
    source  TEXT NOT NULL
) WITHOUT ROWID;

-- How each hook stands: up to when its times are done with, when it was set off last.

CREATE TABLE hook_states (
    name    TEXT NOT NULL PRIMARY KEY,
    record  TEXT NOT NULL
) WITHOUT ROWID;

-- What hooks did, do and are still to do: what waits for its turn is a row here before it waits.
-- The same thing sets the same hook off once.

CREATE TABLE hook_runs (
    id      INTEGER NOT NULL PRIMARY KEY,
    hook    TEXT    NOT NULL,
    key     TEXT    NOT NULL,
    status  TEXT    NOT NULL,
    open    INTEGER NOT NULL,
    record  TEXT    NOT NULL,
    UNIQUE (hook, key)
);

CREATE INDEX hook_runs_by_hook ON hook_runs (hook, id);
CREATE INDEX hook_runs_open ON hook_runs (id) WHERE open = 1;

-- What hooks may ask for.

CREATE INDEX tasks_failed ON tasks (run, ix) WHERE state = 'failed';
CREATE INDEX journal_finished ON journal (seq) WHERE kind = 'task_finished';
