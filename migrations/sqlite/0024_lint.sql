-- Rules of the lint that somebody silenced, with why: for a connection, or for all. A scope is ':all', or ':connection:' and an id.
CREATE TABLE lint_silences (
  workspace_id TEXT NOT NULL REFERENCES workspaces (id),
  scope        TEXT NOT NULL,
  rule         TEXT NOT NULL,
  reason       TEXT NOT NULL,
  until_at     BIGINT,
  set_at       BIGINT NOT NULL,
  set_by       TEXT NOT NULL,
  set_by_id    TEXT NOT NULL,
  mac          BLOB NOT NULL,
  PRIMARY KEY (workspace_id, scope, rule)
);

-- Of each connection a keyed hash of the password of its version: two are equal where the passwords are. None where there is no password.
CREATE TABLE password_marks (
  connection_id TEXT PRIMARY KEY REFERENCES connections (id),
  workspace_id  TEXT NOT NULL REFERENCES workspaces (id),
  version       BIGINT NOT NULL,
  mark          BLOB
);
CREATE INDEX password_marks_mark ON password_marks (workspace_id, mark, connection_id);
