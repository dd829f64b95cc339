-- Logins beside those that connections sign in as, for rotations that switch over to another login. `password` is the one in force; `candidate`
-- is one that the database may have by now, while it is being set. Both are sealed for what `endpoint` is the digest of. A login with
-- `retires_from` served until that version, and gets a password that nobody knows once nobody lags behind. The last six columns say who is at
-- it now and how that goes, and are not under the MAC.
CREATE TABLE second_logins (
  connection_id TEXT PRIMARY KEY REFERENCES connections (id),
  workspace_id  TEXT NOT NULL REFERENCES workspaces (id),
  username      TEXT NOT NULL,
  endpoint      TEXT NOT NULL,
  password      TEXT NOT NULL,
  candidate     TEXT,
  key_version   BIGINT NOT NULL,
  set_at        BIGINT NOT NULL,
  set_by        TEXT NOT NULL,
  set_by_id     TEXT NOT NULL,
  retires_from  BIGINT,
  switched_at   BIGINT,
  mac           BLOB NOT NULL,
  owner         TEXT NOT NULL,
  leased_until  BIGINT NOT NULL,
  tries         BIGINT NOT NULL,
  tried_at      BIGINT,
  next_at       BIGINT NOT NULL,
  problem       TEXT
);
CREATE INDEX second_logins_workspace ON second_logins (workspace_id);
CREATE INDEX second_logins_next ON second_logins (next_at);
-- Who was given an older version of a connection is asked for by it, whatever it was called.
CREATE INDEX sightings_connection ON sightings (connection_id);
