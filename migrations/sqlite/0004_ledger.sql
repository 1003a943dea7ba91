-- What every turn of every agent cost. Lines are added and never changed or removed.

CREATE TABLE ledger (
    run          INTEGER NOT NULL,
    task         INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    turn         INTEGER NOT NULL,
    seq          INTEGER NOT NULL,
    at_ms        INTEGER NOT NULL,
    project      TEXT    NOT NULL,
    profile      TEXT,
    model        TEXT,
    input        INTEGER NOT NULL,
    output       INTEGER NOT NULL,
    cache_read   INTEGER NOT NULL,
    cache_write  INTEGER NOT NULL,
    usd          REAL    NOT NULL,
    charge       INTEGER NOT NULL,
    closes       INTEGER NOT NULL,
    PRIMARY KEY (run, task, attempt, seq)
) WITHOUT ROWID;

CREATE INDEX ledger_by_time ON ledger (at_ms);
