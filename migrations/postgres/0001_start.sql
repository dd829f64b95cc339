-- Times are integer microseconds UTC. Ids are UUIDs as lower-case text. JSON is text.

CREATE TABLE instance (
  id         TEXT COLLATE "C" PRIMARY KEY,
  key_ring   BYTEA NOT NULL,
  created_at BIGINT NOT NULL
);

-- One row. Every change of the store adds one, in its transaction; nodes that see it move drop what they cached.
CREATE TABLE change_clock (
  id   BIGINT PRIMARY KEY,
  tick BIGINT NOT NULL
);
INSERT INTO change_clock (id, tick) VALUES (1, 0);

CREATE TABLE workspaces (
  id          TEXT COLLATE "C" PRIMARY KEY,
  name        TEXT COLLATE "C" NOT NULL,
  name_key    TEXT COLLATE "C" NOT NULL UNIQUE,
  wrapped_key BYTEA NOT NULL,
  created_at  BIGINT NOT NULL,
  created_by  TEXT COLLATE "C" NOT NULL,
  mac         BYTEA NOT NULL
);

CREATE TABLE people (
  id            TEXT COLLATE "C" PRIMARY KEY,
  email         TEXT COLLATE "C" NOT NULL,
  email_key     TEXT COLLATE "C" NOT NULL UNIQUE,
  password_hash TEXT COLLATE "C" NOT NULL,
  is_owner      BOOLEAN NOT NULL,
  disabled_at   BIGINT,
  created_at    BIGINT NOT NULL,
  created_by    TEXT COLLATE "C" NOT NULL,
  mac           BYTEA NOT NULL
);

CREATE TABLE members (
  workspace_id TEXT COLLATE "C" NOT NULL REFERENCES workspaces (id),
  person_id    TEXT COLLATE "C" NOT NULL REFERENCES people (id),
  roles        TEXT COLLATE "C" NOT NULL,
  added_at     BIGINT NOT NULL,
  added_by     TEXT COLLATE "C" NOT NULL,
  mac          BYTEA NOT NULL,
  PRIMARY KEY (workspace_id, person_id)
);
CREATE INDEX members_person ON members (person_id);

CREATE TABLE sessions (
  hash       BYTEA PRIMARY KEY,
  person_id  TEXT COLLATE "C" NOT NULL REFERENCES people (id),
  created_at BIGINT NOT NULL,
  seen_at    BIGINT NOT NULL,
  mac        BYTEA NOT NULL
);
CREATE INDEX sessions_person ON sessions (person_id);

-- One-time links: the first admin's set-up, and sign-in from the shell.
CREATE TABLE links (
  hash       BYTEA PRIMARY KEY,
  kind       TEXT COLLATE "C" NOT NULL,
  person_id  TEXT COLLATE "C" REFERENCES people (id),
  expires_at BIGINT NOT NULL,
  used_at    BIGINT,
  mac        BYTEA NOT NULL
);

CREATE TABLE tokens (
  id           TEXT COLLATE "C" PRIMARY KEY,
  workspace_id TEXT COLLATE "C" NOT NULL REFERENCES workspaces (id),
  name         TEXT COLLATE "C" NOT NULL,
  name_key     TEXT COLLATE "C" NOT NULL,
  hash         BYTEA NOT NULL UNIQUE,
  roles        TEXT COLLATE "C" NOT NULL,
  connections  TEXT COLLATE "C",
  created_at   BIGINT NOT NULL,
  created_by   TEXT COLLATE "C" NOT NULL,
  expires_at   BIGINT NOT NULL,
  revoked_at   BIGINT,
  last_used_at BIGINT,
  mac          BYTEA NOT NULL
);
CREATE UNIQUE INDEX tokens_live_name ON tokens (workspace_id, name_key) WHERE revoked_at IS NULL;

CREATE TABLE connections (
  id             TEXT COLLATE "C" PRIMARY KEY,
  workspace_id   TEXT COLLATE "C" NOT NULL REFERENCES workspaces (id),
  name           TEXT COLLATE "C" NOT NULL,
  name_key       TEXT COLLATE "C" NOT NULL,
  version        BIGINT NOT NULL,
  type           TEXT COLLATE "C" NOT NULL,
  description    TEXT COLLATE "C" NOT NULL,
  tags           TEXT COLLATE "C" NOT NULL,
  address        TEXT COLLATE "C" NOT NULL,
  created_at     BIGINT NOT NULL,
  created_by     TEXT COLLATE "C" NOT NULL,
  updated_at     BIGINT NOT NULL,
  updated_by     TEXT COLLATE "C" NOT NULL,
  checked_at     BIGINT,
  check_status   TEXT COLLATE "C",
  check_summary  TEXT COLLATE "C",
  check_micros   BIGINT,
  recent_checks  TEXT COLLATE "C" NOT NULL,
  deleted_at     BIGINT,
  deleted_by     TEXT COLLATE "C",
  deleted_reason TEXT COLLATE "C",
  mac            BYTEA NOT NULL
);
CREATE UNIQUE INDEX connections_live_name ON connections (workspace_id, name_key) WHERE deleted_at IS NULL;
CREATE INDEX connections_name ON connections (workspace_id, name_key, deleted_at);
CREATE INDEX connections_updated ON connections (workspace_id, updated_at, id) WHERE deleted_at IS NULL;

CREATE TABLE connection_versions (
  connection_id  TEXT COLLATE "C" NOT NULL REFERENCES connections (id),
  version        BIGINT NOT NULL,
  name           TEXT COLLATE "C" NOT NULL,
  type           TEXT COLLATE "C" NOT NULL,
  description    TEXT COLLATE "C" NOT NULL,
  tags           TEXT COLLATE "C" NOT NULL,
  fields         TEXT COLLATE "C" NOT NULL,
  endpoint_paths TEXT COLLATE "C" NOT NULL,
  secrets        TEXT COLLATE "C" NOT NULL,
  fingerprint    TEXT COLLATE "C" NOT NULL,
  saved_at       BIGINT NOT NULL,
  saved_by       TEXT COLLATE "C" NOT NULL,
  mac            BYTEA NOT NULL,
  PRIMARY KEY (connection_id, version)
);

-- Every beginning of every word of a live connection, its type, tags and status as `type:…`, `tag:…`, `status:…`, and the
-- empty term that all have: a list page, however filtered, is one range of this table.
CREATE TABLE search_terms (
  workspace_id  TEXT COLLATE "C" NOT NULL,
  term          TEXT COLLATE "C" NOT NULL,
  name_key      TEXT COLLATE "C" NOT NULL,
  connection_id TEXT COLLATE "C" NOT NULL REFERENCES connections (id),
  PRIMARY KEY (workspace_id, term, name_key)
);
CREATE INDEX search_terms_connection ON search_terms (connection_id, term);

CREATE TABLE checks (
  id            TEXT COLLATE "C" PRIMARY KEY,
  connection_id TEXT COLLATE "C" NOT NULL REFERENCES connections (id),
  version       BIGINT NOT NULL,
  status        TEXT COLLATE "C" NOT NULL,
  report        TEXT COLLATE "C" NOT NULL,
  checked_at    BIGINT NOT NULL,
  checked_by    TEXT COLLATE "C" NOT NULL
);
CREATE INDEX checks_connection ON checks (connection_id, checked_at);

-- Who was seen using a connection, one row per workflow; counts are flushed every second.
CREATE TABLE uses (
  connection_id TEXT COLLATE "C" NOT NULL REFERENCES connections (id),
  kind          TEXT COLLATE "C" NOT NULL,
  name          TEXT COLLATE "C" NOT NULL,
  first_at      BIGINT NOT NULL,
  last_at       BIGINT NOT NULL,
  uses          BIGINT NOT NULL,
  version       BIGINT NOT NULL,
  used_by       TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (connection_id, kind, name)
);

-- Changes that named an `Idempotency-Key`, written in the transaction of the change: a repeat finds its row.
CREATE TABLE idempotency_keys (
  hash         BYTEA PRIMARY KEY,
  request_hash BYTEA NOT NULL,
  at           BIGINT NOT NULL
);
CREATE INDEX idempotency_keys_at ON idempotency_keys (at);

-- Append-only. `mac` is over all other columns.
CREATE TABLE audit_events (
  id           TEXT COLLATE "C" PRIMARY KEY,
  at           BIGINT NOT NULL,
  workspace_id TEXT COLLATE "C",
  actor        TEXT COLLATE "C" NOT NULL,
  action       TEXT COLLATE "C" NOT NULL,
  object       TEXT COLLATE "C" NOT NULL,
  detail       TEXT COLLATE "C" NOT NULL,
  mac          BYTEA NOT NULL
);
CREATE INDEX audit_events_at ON audit_events (at);
