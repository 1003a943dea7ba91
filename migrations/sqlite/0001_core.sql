-- Projects, runs, what changed in them, the journal, and what is still to be done.
-- A task or lane that nothing happened to has no row. Records are JSON; the columns beside them
-- are for people and queries.

CREATE TABLE projects (
    id      TEXT NOT NULL PRIMARY KEY,
    record  TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE graphs (
    digest  TEXT NOT NULL PRIMARY KEY,
    source  TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE runs (
    id       INTEGER NOT NULL PRIMARY KEY,
    project  TEXT    NOT NULL,
    graph    TEXT    NOT NULL,
    number   INTEGER NOT NULL,
    record   TEXT    NOT NULL,
    UNIQUE (project, graph, number)
);

CREATE TABLE lanes (
    run     INTEGER NOT NULL,
    ix      INTEGER NOT NULL,
    state   TEXT    NOT NULL,
    record  TEXT    NOT NULL,
    PRIMARY KEY (run, ix)
) WITHOUT ROWID;

CREATE TABLE tasks (
    run     INTEGER NOT NULL,
    ix      INTEGER NOT NULL,
    state   TEXT    NOT NULL,
    record  TEXT    NOT NULL,
    PRIMARY KEY (run, ix)
) WITHOUT ROWID;

CREATE TABLE attempts (
    run      INTEGER NOT NULL,
    task     INTEGER NOT NULL,
    attempt  INTEGER NOT NULL,
    record   TEXT    NOT NULL,
    PRIMARY KEY (run, task, attempt)
) WITHOUT ROWID;

CREATE TABLE journal (
    seq      INTEGER NOT NULL PRIMARY KEY,
    at_ms    INTEGER NOT NULL,
    run      INTEGER NOT NULL,
    lane     INTEGER,
    task     INTEGER,
    attempt  INTEGER,
    kind     TEXT    NOT NULL,
    what     TEXT    NOT NULL,
    detail   TEXT
);

CREATE INDEX journal_by_run ON journal (run, seq);

CREATE TABLE effects (
    key     TEXT    NOT NULL PRIMARY KEY,
    run     INTEGER NOT NULL,
    effect  TEXT    NOT NULL
) WITHOUT ROWID;

CREATE INDEX effects_by_run ON effects (run);

CREATE TABLE notices (
    seq     INTEGER NOT NULL PRIMARY KEY,
    notice  TEXT    NOT NULL
);
