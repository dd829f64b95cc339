-- Workflows that were seen using a name, and what code names it. By name and not by connection: names bind, so that a replacement of the same
-- name inherits who uses it.
CREATE TABLE sightings (
  workspace_id  TEXT NOT NULL REFERENCES workspaces (id),
  name_key      TEXT NOT NULL,
  kind          TEXT NOT NULL,
  workflow      TEXT NOT NULL,
  first_at      BIGINT NOT NULL,
  last_at       BIGINT NOT NULL,
  uses          BIGINT NOT NULL,
  connection_id TEXT NOT NULL,
  version       BIGINT NOT NULL,
  used_by       TEXT NOT NULL,
  used_by_id    TEXT NOT NULL,
  host          TEXT,
  failed_at     BIGINT,
  failed_version BIGINT,
  PRIMARY KEY (workspace_id, name_key, kind, workflow)
);
CREATE INDEX sightings_last ON sightings (workspace_id, name_key, last_at, kind, workflow);

INSERT INTO sightings (workspace_id, name_key, kind, workflow, first_at, last_at, uses, connection_id, version, used_by, used_by_id)
SELECT c.workspace_id, c.name_key, u.kind, u.name, min(u.first_at), max(u.last_at), CAST(sum(u.uses) AS BIGINT), max(u.connection_id), max(u.version),
  max(u.used_by), '' FROM uses u JOIN connections c ON c.id = u.connection_id GROUP BY c.workspace_id, c.name_key, u.kind, u.name;
DROP TABLE uses;

-- Which versions each of them was given.
CREATE TABLE sighting_versions (
  workspace_id  TEXT NOT NULL REFERENCES workspaces (id),
  name_key      TEXT NOT NULL,
  kind          TEXT NOT NULL,
  workflow      TEXT NOT NULL,
  connection_id TEXT NOT NULL,
  version       BIGINT NOT NULL,
  PRIMARY KEY (workspace_id, name_key, kind, workflow, connection_id, version)
);
INSERT INTO sighting_versions (workspace_id, name_key, kind, workflow, connection_id, version)
SELECT workspace_id, name_key, kind, workflow, connection_id, version FROM sightings;

-- Projects whose code was scanned, and where it names a connection. `is_seen`: a workflow that was seen is this code. `scan`: which one found
-- it last.
CREATE TABLE scans (
  workspace_id TEXT NOT NULL REFERENCES workspaces (id),
  project      TEXT NOT NULL,
  revision     TEXT,
  files        BIGINT NOT NULL,
  findings     BIGINT NOT NULL,
  reported_at  BIGINT NOT NULL,
  reported_by  TEXT NOT NULL,
  PRIMARY KEY (workspace_id, project)
);
CREATE TABLE findings (
  workspace_id TEXT NOT NULL REFERENCES workspaces (id),
  name_key     TEXT NOT NULL,
  kind         TEXT NOT NULL,
  workflow     TEXT NOT NULL,
  project      TEXT NOT NULL,
  file         TEXT NOT NULL,
  line         BIGINT NOT NULL,
  name         TEXT NOT NULL,
  is_certain   BOOLEAN NOT NULL,
  is_seen      BOOLEAN NOT NULL,
  scan         TEXT NOT NULL,
  PRIMARY KEY (workspace_id, name_key, kind, workflow, project, file, line)
);
CREATE INDEX findings_project ON findings (workspace_id, project);

-- How many depend on a name: workflows seen, and those that were found in code alone. `changes` grows whenever one comes or goes.
CREATE TABLE dependents (
  workspace_id TEXT NOT NULL REFERENCES workspaces (id),
  name_key     TEXT NOT NULL,
  seen         BIGINT NOT NULL,
  found        BIGINT NOT NULL,
  changes      BIGINT NOT NULL,
  PRIMARY KEY (workspace_id, name_key)
);
INSERT INTO dependents (workspace_id, name_key, seen, found, changes)
SELECT workspace_id, name_key, count(*), 0, 1 FROM sightings GROUP BY workspace_id, name_key;

-- What a deleted connection tells those who ask for it to use instead.
ALTER TABLE connections ADD COLUMN use_instead TEXT;

-- Deleted connections, the latest first.
CREATE INDEX connections_deleted ON connections (workspace_id, deleted_at, id) WHERE deleted_at IS NOT NULL;
