-- When a job ran last, on whichever node: the one that moves `ran_at` on runs it.
CREATE TABLE jobs (
  name   TEXT PRIMARY KEY,
  ran_at INTEGER NOT NULL
);
INSERT INTO jobs (name, ran_at) VALUES ('purge', 0);

-- Tokens by page, newest first.
CREATE INDEX tokens_workspace ON tokens (workspace_id, created_at, id);
