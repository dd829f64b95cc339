-- Times are integer microseconds UTC. Ids are UUIDs as lower-case text. JSON is text.

CREATE TABLE instance (
  id         TEXT PRIMARY KEY,
  key_ring   BLOB NOT NULL,
  created_at INTEGER NOT NULL
);

-- One row. Every change of the store adds one, in its transaction; nodes that see it move drop what they cached.
CREATE TABLE change_clock (
  id   INTEGER PRIMARY KEY,
  tick INTEGER NOT NULL
);
INSERT INTO change_clock (id, tick) VALUES (1, 0);

CREATE TABLE workspaces (
  id          TEXT PRIMARY KEY,
  name        TEXT NOT NULL,
  name_key    TEXT NOT NULL UNIQUE,
  wrapped_key BLOB NOT NULL,
  created_at  INTEGER NOT NULL,
  created_by  TEXT NOT NULL,
  mac         BLOB NOT NULL
);

CREATE TABLE people (
  id            TEXT PRIMARY KEY,
  email         TEXT NOT NULL,
  email_key     TEXT NOT NULL UNIQUE,
  password_hash TEXT NOT NULL,
  is_owner      BOOLEAN NOT NULL,
  disabled_at   INTEGER,
  created_at    INTEGER NOT NULL,
  created_by    TEXT NOT NULL,
  mac           BLOB NOT NULL
);

CREATE TABLE members (
  workspace_id TEXT NOT NULL REFERENCES workspaces (id),
  person_id    TEXT NOT NULL REFERENCES people (id),
  roles        TEXT NOT NULL,
  added_at     INTEGER NOT NULL,
  added_by     TEXT NOT NULL,
  mac          BLOB NOT NULL,
  PRIMARY KEY (workspace_id, person_id)
);
CREATE INDEX members_person ON members (person_id);

CREATE TABLE sessions (
  hash       BLOB PRIMARY KEY,
  person_id  TEXT NOT NULL REFERENCES people (id),
  created_at INTEGER NOT NULL,
  seen_at    INTEGER NOT NULL,
  mac        BLOB NOT NULL
);
CREATE INDEX sessions_person ON sessions (person_id);

-- One-time links: the first admin's set-up, and sign-in from the shell.
CREATE TABLE links (
  hash       BLOB PRIMARY KEY,
  kind       TEXT NOT NULL,
  person_id  TEXT REFERENCES people (id),
  expires_at INTEGER NOT NULL,
  used_at    INTEGER,
  mac        BLOB NOT NULL
);

CREATE TABLE tokens (
  id           TEXT PRIMARY KEY,
  workspace_id TEXT NOT NULL REFERENCES workspaces (id),
  name         TEXT NOT NULL,
  name_key     TEXT NOT NULL,
  hash         BLOB NOT NULL UNIQUE,
  roles        TEXT NOT NULL,
  connections  TEXT,
  created_at   INTEGER NOT NULL,
  created_by   TEXT NOT NULL,
  expires_at   INTEGER NOT NULL,
  revoked_at   INTEGER,
  last_used_at INTEGER,
  mac          BLOB NOT NULL
);
CREATE UNIQUE INDEX tokens_live_name ON tokens (workspace_id, name_key) WHERE revoked_at IS NULL;

CREATE TABLE connections (
  id             TEXT PRIMARY KEY,
  workspace_id   TEXT NOT NULL REFERENCES workspaces (id),
  name           TEXT NOT NULL,
  name_key       TEXT NOT NULL,
  version        BIGINT NOT NULL,
  type           TEXT NOT NULL,
  description    TEXT NOT NULL,
  tags           TEXT NOT NULL,
  address        TEXT NOT NULL,
  created_at     INTEGER NOT NULL,
  created_by     TEXT NOT NULL,
  updated_at     INTEGER NOT NULL,
  updated_by     TEXT NOT NULL,
  checked_at     INTEGER,
  check_status   TEXT,
  check_summary  TEXT,
  check_micros   INTEGER,
  recent_checks  TEXT NOT NULL,
  deleted_at     INTEGER,
  deleted_by     TEXT,
  deleted_reason TEXT,
  mac            BLOB NOT NULL
);
CREATE UNIQUE INDEX connections_live_name ON connections (workspace_id, name_key) WHERE deleted_at IS NULL;
CREATE INDEX connections_name ON connections (workspace_id, name_key, deleted_at);
CREATE INDEX connections_updated ON connections (workspace_id, updated_at, id) WHERE deleted_at IS NULL;

CREATE TABLE connection_versions (
  connection_id  TEXT NOT NULL REFERENCES connections (id),
  version        BIGINT NOT NULL,
  name           TEXT NOT NULL,
  type           TEXT NOT NULL,
  description    TEXT NOT NULL,
  tags           TEXT NOT NULL,
  fields         TEXT NOT NULL,
  endpoint_paths TEXT NOT NULL,
  secrets        TEXT NOT NULL,
  fingerprint    TEXT NOT NULL,
  saved_at       INTEGER NOT NULL,
  saved_by       TEXT NOT NULL,
  mac            BLOB NOT NULL,
  PRIMARY KEY (connection_id, version)
);

-- Every beginning of every word of a live connection, its type, tags and status as `type:…`, `tag:…`, `status:…`, and the
-- empty term that all have: a list page, however filtered, is one range of this table.
CREATE TABLE search_terms (
  workspace_id  TEXT NOT NULL,
  term          TEXT NOT NULL,
  name_key      TEXT NOT NULL,
  connection_id TEXT NOT NULL REFERENCES connections (id),
  PRIMARY KEY (workspace_id, term, name_key)
) WITHOUT ROWID;
CREATE INDEX search_terms_connection ON search_terms (connection_id, term);

CREATE TABLE checks (
  id            TEXT PRIMARY KEY,
  connection_id TEXT NOT NULL REFERENCES connections (id),
  version       BIGINT NOT NULL,
  status        TEXT NOT NULL,
  report        TEXT NOT NULL,
  checked_at    INTEGER NOT NULL,
  checked_by    TEXT NOT NULL
);
CREATE INDEX checks_connection ON checks (connection_id, checked_at);

-- Who was seen using a connection, one row per workflow; counts are flushed every second.
CREATE TABLE uses (
  connection_id TEXT NOT NULL REFERENCES connections (id),
  kind          TEXT NOT NULL,
  name          TEXT NOT NULL,
  first_at      INTEGER NOT NULL,
  last_at       INTEGER NOT NULL,
  uses          BIGINT NOT NULL,
  version       BIGINT NOT NULL,
  used_by       TEXT NOT NULL,
  PRIMARY KEY (connection_id, kind, name)
);

-- Changes that named an `Idempotency-Key`, written in the transaction of the change: a repeat finds its row.
CREATE TABLE idempotency_keys (
  hash         BLOB PRIMARY KEY,
  request_hash BLOB NOT NULL,
  at           INTEGER NOT NULL
);
CREATE INDEX idempotency_keys_at ON idempotency_keys (at);

-- Append-only. `mac` is over all other columns.
CREATE TABLE audit_events (
  id           TEXT PRIMARY KEY,
  at           INTEGER NOT NULL,
  workspace_id TEXT,
  actor        TEXT NOT NULL,
  action       TEXT NOT NULL,
  object       TEXT NOT NULL,
  detail       TEXT NOT NULL,
  mac          BLOB NOT NULL
);
CREATE INDEX audit_events_at ON audit_events (at);
