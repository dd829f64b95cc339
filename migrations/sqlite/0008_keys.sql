-- The nodes that serve a shared store. A key that was just made seals nothing before each of them has told, by the change clock up to which
-- it knows the store, that it has the key. One whose beats stand still is gone.
CREATE TABLE nodes (
  id    TEXT PRIMARY KEY,
  beats BIGINT NOT NULL,
  tick  BIGINT NOT NULL,
  slot  BIGINT NOT NULL
);

-- The oldest version of the root key whose row MACs hold. No right hangs on it: it stops a change that was under way when they ended.
ALTER TABLE change_clock ADD COLUMN rows_from BIGINT NOT NULL DEFAULT 0;

-- The oldest version of a workspace's key that is still there, and the oldest that a secret of a version is sealed under; for the same end,
-- and so that what is left under an old key is found.
ALTER TABLE workspaces ADD COLUMN oldest_key BIGINT NOT NULL DEFAULT 1;
ALTER TABLE connection_versions ADD COLUMN key_version BIGINT NOT NULL DEFAULT 1;
CREATE INDEX connection_versions_key ON connection_versions (key_version);

-- Of the nodes of a shared store one carries a rotation on at a time.
INSERT INTO jobs (name, ran_at) VALUES ('rotate_keys', 0);
