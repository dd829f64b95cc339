-- New passwords that a database may have by now, and no version holds: each is settled, whoever began it. `candidate` is sealed as versions'
-- secrets are. Under the MAC is what directs it; the last six columns say who settles it now and how that goes.
CREATE TABLE rotations (
  connection_id TEXT PRIMARY KEY REFERENCES connections (id),
  workspace_id  TEXT NOT NULL REFERENCES workspaces (id),
  base_version  BIGINT NOT NULL,
  candidate     TEXT NOT NULL,
  key_version   BIGINT NOT NULL,
  begun_at      BIGINT NOT NULL,
  begun_by      TEXT NOT NULL,
  begun_by_id   TEXT NOT NULL,
  mac           BLOB NOT NULL,
  owner         TEXT NOT NULL,
  leased_until  BIGINT NOT NULL,
  tries         BIGINT NOT NULL,
  tried_at      BIGINT,
  next_at       BIGINT NOT NULL,
  problem       TEXT
);
CREATE INDEX rotations_workspace ON rotations (workspace_id);
