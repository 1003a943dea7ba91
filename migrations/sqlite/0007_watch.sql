-- What is looked for without reading history: runs that are open, that rest with something for a
-- person, that people are reminded of, that may be put away, and those that are.

ALTER TABLE runs ADD COLUMN archived_ms INTEGER
    GENERATED ALWAYS AS (record ->> '$.archived_at') VIRTUAL;
ALTER TABLE runs ADD COLUMN remind_ms INTEGER
    GENERATED ALWAYS AS (record ->> '$.attention.remind_at') VIRTUAL;
ALTER TABLE runs ADD COLUMN rests_ms INTEGER GENERATED ALWAYS AS (
    max(record ->> '$.since', coalesce(record ->> '$.attention.restored_at', 0))
) VIRTUAL;
ALTER TABLE runs ADD COLUMN open INTEGER
    GENERATED ALWAYS AS ((record ->> '$.state') = 'open') VIRTUAL;
-- Unknown until the run is looked at once: it is taken for one.
ALTER TABLE runs ADD COLUMN needs INTEGER
    GENERATED ALWAYS AS (coalesce(record ->> '$.attention.needs', 1)) VIRTUAL;

CREATE INDEX runs_active ON runs (id) WHERE archived_ms IS NULL;
CREATE INDEX runs_archived ON runs (id) WHERE archived_ms IS NOT NULL;
CREATE INDEX runs_open ON runs (id) WHERE open = 1;
CREATE INDEX runs_needing ON runs (id) WHERE archived_ms IS NULL AND open = 0 AND needs > 0;
CREATE INDEX runs_reminded ON runs (remind_ms) WHERE archived_ms IS NULL AND remind_ms IS NOT NULL;
CREATE INDEX runs_done ON runs (rests_ms) WHERE archived_ms IS NULL AND open = 0 AND needs = 0;
CREATE INDEX runs_lately ON runs (rests_ms);
