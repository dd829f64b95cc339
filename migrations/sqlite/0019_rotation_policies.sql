-- What new passwords of a connection are made of, and how often it gets one. Under the MAC is what was set; the last four columns say when the
-- next one is made and how the last attempt went.
CREATE TABLE rotation_policies (
  connection_id TEXT PRIMARY KEY REFERENCES connections (id),
  workspace_id  TEXT NOT NULL REFERENCES workspaces (id),
  every_days    BIGINT,
  at_hour       BIGINT,
  length        BIGINT NOT NULL,
  symbols       TEXT NOT NULL,
  set_at        BIGINT NOT NULL,
  set_by        TEXT NOT NULL,
  set_by_id     TEXT NOT NULL,
  mac           BLOB NOT NULL,
  next_at       BIGINT,
  tries         BIGINT NOT NULL,
  tried_at      BIGINT,
  problem       TEXT
);
CREATE INDEX rotation_policies_next ON rotation_policies (next_at);
CREATE INDEX rotation_policies_workspace ON rotation_policies (workspace_id);
