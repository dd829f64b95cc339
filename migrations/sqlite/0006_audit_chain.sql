-- The chain of audit events: each gets its number and its link to the one before within a second, and keeps them.
ALTER TABLE audit_events ADD COLUMN seq BIGINT;
ALTER TABLE audit_events ADD COLUMN link BLOB;
CREATE UNIQUE INDEX audit_events_seq ON audit_events (seq);
CREATE INDEX audit_events_unchained ON audit_events (at, id) WHERE seq IS NULL;

-- What the Activity page asks for.
CREATE INDEX audit_events_workspace ON audit_events (workspace_id, at, id);
CREATE INDEX audit_events_object ON audit_events (object, at, id);
CREATE INDEX audit_events_actor ON audit_events (actor, at, id);

-- How far each chain has come: `changes`, and one for each node's segments of reads. `base_*` is where it begins once old events are gone.
CREATE TABLE audit_chains (
  name      TEXT PRIMARY KEY,
  node      TEXT NOT NULL,
  seq       BIGINT NOT NULL,
  link      BLOB NOT NULL,
  segment   BIGINT NOT NULL,
  place     BIGINT NOT NULL,
  base_seq  BIGINT NOT NULL,
  base_link BLOB NOT NULL,
  at        INTEGER NOT NULL,
  mac       BLOB NOT NULL
);

-- Reads by machines, as the Activity page shows them: counted by minute, caller, workflow and version, of which `id` is a hash. The
-- segments have each one.
CREATE TABLE audit_reads (
  id            TEXT PRIMARY KEY,
  workspace_id  TEXT NOT NULL,
  connection    TEXT NOT NULL,
  version       BIGINT NOT NULL,
  action        TEXT NOT NULL,
  actor         TEXT NOT NULL,
  actor_id      TEXT NOT NULL,
  workflow_kind TEXT NOT NULL,
  workflow      TEXT NOT NULL,
  at            INTEGER NOT NULL,
  last_at       INTEGER NOT NULL,
  reads         BIGINT NOT NULL,
  address       TEXT,
  run           TEXT
);
CREATE INDEX audit_reads_workspace ON audit_reads (workspace_id, at, id);
CREATE INDEX audit_reads_connection ON audit_reads (connection, at, id);
CREATE INDEX audit_reads_actor ON audit_reads (actor, at, id);
CREATE INDEX audit_reads_at ON audit_reads (at);

-- The segments themselves, where many nodes share the store: a node that is lost takes no event along.
CREATE TABLE audit_lines (
  chain     TEXT NOT NULL,
  first_seq BIGINT NOT NULL,
  last_seq  BIGINT NOT NULL,
  at        INTEGER NOT NULL,
  lines     BLOB NOT NULL,
  PRIMARY KEY (chain, first_seq)
);
