-- What is remembered of tasks that are done. A number is given once, also where its memory is gone.

CREATE TABLE memories (
    id       INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    run      INTEGER NOT NULL,
    task     INTEGER NOT NULL,
    project  TEXT    NOT NULL,
    record   TEXT    NOT NULL,
    UNIQUE (run, task)
);

CREATE INDEX memories_by_project ON memories (project, id);

-- Their words. The texts themselves are in the records.

CREATE VIRTUAL TABLE memory_words USING fts5 (
    title, done, learned, concerns,
    content = '', contentless_delete = 1, tokenize = 'porter unicode61'
);

CREATE TRIGGER memory_kept AFTER INSERT ON memories BEGIN
    INSERT INTO memory_words (rowid, title, done, learned, concerns)
    VALUES (new.id, new.record ->> '$.title', new.record ->> '$.done',
            new.record ->> '$.learned', new.record ->> '$.concerns');
END;

CREATE TRIGGER memory_gone AFTER DELETE ON memories BEGIN
    DELETE FROM memory_words WHERE rowid = old.id;
END;

CREATE TRIGGER memory_changed AFTER UPDATE OF record ON memories BEGIN
    DELETE FROM memory_words WHERE rowid = old.id;
    INSERT INTO memory_words (rowid, title, done, learned, concerns)
    VALUES (new.id, new.record ->> '$.title', new.record ->> '$.done',
            new.record ->> '$.learned', new.record ->> '$.concerns');
END;
