-- Connection types of a workspace's own: the definition in TOML. That of one that was removed is empty, and its version goes on from there.
-- `base` is the built-in type that it is over, or was when it was removed: older versions of connections may be of it.
CREATE TABLE own_types (
  workspace_id TEXT NOT NULL REFERENCES workspaces (id),
  id           TEXT NOT NULL,
  base         TEXT NOT NULL,
  definition   TEXT NOT NULL,
  version      BIGINT NOT NULL,
  saved_at     BIGINT NOT NULL,
  saved_by     TEXT NOT NULL,
  saved_by_id  TEXT NOT NULL,
  mac          BLOB NOT NULL,
  PRIMARY KEY (workspace_id, id)
);
-- What is of a type, now and in older versions.
CREATE INDEX connections_type ON connections (workspace_id, type, deleted_at);
CREATE INDEX connection_versions_type ON connection_versions (type);
