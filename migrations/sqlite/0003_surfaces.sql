-- Where surfaces have put things: which message shows which run, which thread belongs to which task.

CREATE TABLE bindings (
    name   TEXT NOT NULL PRIMARY KEY,
    value  TEXT NOT NULL
) WITHOUT ROWID;

-- Who asked for what through a surface, and whether it was allowed.

CREATE TABLE audits (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms   INTEGER NOT NULL,
    record  TEXT NOT NULL
);
