-- The chain of audit events: each gets its number and its link to the one before within a second, and keeps them.
ALTER TABLE audit_events ADD COLUMN seq BIGINT;
ALTER TABLE audit_events ADD COLUMN link BYTEA;
CREATE UNIQUE INDEX audit_events_seq ON audit_events (seq);
CREATE INDEX audit_events_unchained ON audit_events (at, id) WHERE seq IS NULL;

-- What the Activity page asks for.
CREATE INDEX audit_events_workspace ON audit_events (workspace_id, at, id);
CREATE INDEX audit_events_object ON audit_events (object, at, id);
CREATE INDEX audit_events_actor ON audit_events (actor, at, id);

-- How far each chain has come: `changes`, and one for each node's segments of reads. `base_*` is where it begins once old events are gone.
CREATE TABLE audit_chains (
  name      TEXT COLLATE "C" PRIMARY KEY,
  node      TEXT COLLATE "C" NOT NULL,
  seq       BIGINT NOT NULL,
  link      BYTEA NOT NULL,
  segment   BIGINT NOT NULL,
  place     BIGINT NOT NULL,
  base_seq  BIGINT NOT NULL,
  base_link BYTEA NOT NULL,
  at        BIGINT NOT NULL,
  mac       BYTEA NOT NULL
);

-- Reads by machines, as the Activity page shows them: counted by minute, caller, workflow and version, of which `id` is a hash. The
-- segments have each one.
CREATE TABLE audit_reads (
  id            TEXT COLLATE "C" PRIMARY KEY,
  workspace_id  TEXT COLLATE "C" NOT NULL,
  connection    TEXT COLLATE "C" NOT NULL,
  version       BIGINT NOT NULL,
  action        TEXT COLLATE "C" NOT NULL,
  actor         TEXT COLLATE "C" NOT NULL,
  actor_id      TEXT COLLATE "C" NOT NULL,
  workflow_kind TEXT COLLATE "C" NOT NULL,
  workflow      TEXT COLLATE "C" NOT NULL,
  at            BIGINT NOT NULL,
  last_at       BIGINT NOT NULL,
  reads         BIGINT NOT NULL,
  address       TEXT COLLATE "C",
  run           TEXT COLLATE "C"
);
CREATE INDEX audit_reads_workspace ON audit_reads (workspace_id, at, id);
CREATE INDEX audit_reads_connection ON audit_reads (connection, at, id);
CREATE INDEX audit_reads_actor ON audit_reads (actor, at, id);
CREATE INDEX audit_reads_at ON audit_reads (at);

-- The segments themselves, where many nodes share the store: a node that is lost takes no event along.
CREATE TABLE audit_lines (
  chain     TEXT COLLATE "C" NOT NULL,
  first_seq BIGINT NOT NULL,
  last_seq  BIGINT NOT NULL,
  at        BIGINT NOT NULL,
  lines     BYTEA NOT NULL,
  PRIMARY KEY (chain, first_seq)
);
