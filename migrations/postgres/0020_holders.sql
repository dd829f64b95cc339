-- Which version each program holds: a workflow on one machine, under one token or person. Kept for a day, for who waits until nobody holds a login
-- that is taken out of use. `host` is empty where none was told, and of a caller that told no workflow.
CREATE TABLE holders (
  workspace_id  TEXT COLLATE "C" NOT NULL REFERENCES workspaces (id),
  connection_id TEXT COLLATE "C" NOT NULL,
  name_key      TEXT COLLATE "C" NOT NULL,
  kind          TEXT COLLATE "C" NOT NULL,
  workflow      TEXT COLLATE "C" NOT NULL,
  host          TEXT COLLATE "C" NOT NULL,
  used_by_id    TEXT COLLATE "C" NOT NULL,
  version       BIGINT NOT NULL,
  used_by       TEXT COLLATE "C" NOT NULL,
  given_at      BIGINT NOT NULL,
  PRIMARY KEY (connection_id, name_key, kind, workflow, host, used_by_id, version)
);
CREATE INDEX holders_given ON holders (connection_id, given_at);
CREATE INDEX holders_old ON holders (given_at);
CREATE INDEX holders_workspace ON holders (workspace_id);

INSERT INTO holders (workspace_id, connection_id, name_key, kind, workflow, host, used_by_id, version, used_by, given_at)
SELECT workspace_id, connection_id, name_key, kind, workflow, COALESCE(host, ''), used_by_id, version, used_by, last_at FROM sightings
WHERE last_at >= (SELECT max(last_at) FROM sightings) - 86400000000;
