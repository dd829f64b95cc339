-- Connection types of a workspace's own: the definition in TOML. That of one that was removed is empty, and its version goes on from there.
CREATE TABLE own_types (
  workspace_id TEXT COLLATE "C" NOT NULL REFERENCES workspaces (id),
  id           TEXT COLLATE "C" NOT NULL,
  definition   TEXT COLLATE "C" NOT NULL,
  version      BIGINT NOT NULL,
  saved_at     BIGINT NOT NULL,
  saved_by     TEXT COLLATE "C" NOT NULL,
  saved_by_id  TEXT COLLATE "C" NOT NULL,
  mac          BYTEA NOT NULL,
  PRIMARY KEY (workspace_id, id)
);
