-- Every name that leads to a live connection, its own and its aliases, whichever it is: no two connections share one, and the key stops a second.
CREATE TABLE live_names (
  workspace_id  TEXT NOT NULL REFERENCES workspaces (id),
  name_key      TEXT NOT NULL,
  connection_id TEXT NOT NULL,
  PRIMARY KEY (workspace_id, name_key)
);
CREATE INDEX live_names_connection ON live_names (connection_id);
INSERT INTO live_names (workspace_id, name_key, connection_id)
SELECT workspace_id, name_key, id FROM connections WHERE deleted_at IS NULL;

-- Other names of a connection: those that it had before, and those of connections that it stands in for. One of a deleted connection leads
-- nowhere, and is kept for the day that it comes back.
CREATE TABLE aliases (
  workspace_id  TEXT NOT NULL REFERENCES workspaces (id),
  name          TEXT NOT NULL,
  connection_id TEXT NOT NULL REFERENCES connections (id),
  name_key      TEXT NOT NULL,
  made_at       BIGINT NOT NULL,
  made_by       TEXT NOT NULL,
  mac           BLOB NOT NULL,
  PRIMARY KEY (workspace_id, name, connection_id)
);
CREATE INDEX aliases_connection ON aliases (connection_id, name);
