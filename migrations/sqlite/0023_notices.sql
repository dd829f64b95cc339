-- Whom a workspace tells what becomes of its connections: through which connection of its own (by its name), at which addresses, of which
-- connections (with a tag, or all), and of what. What follows the MAC is how telling goes.
CREATE TABLE channels (
  id           TEXT PRIMARY KEY,
  workspace_id TEXT NOT NULL REFERENCES workspaces (id),
  name         TEXT NOT NULL,
  name_key     TEXT NOT NULL,
  connection   TEXT NOT NULL,
  addresses    TEXT NOT NULL,
  tag          TEXT,
  tells        TEXT NOT NULL,
  set_at       BIGINT NOT NULL,
  set_by       TEXT NOT NULL,
  set_by_id    TEXT NOT NULL,
  mac          BLOB NOT NULL,
  next_at      BIGINT NOT NULL,
  in_a_row     BIGINT NOT NULL,
  tries        BIGINT NOT NULL,
  told_at      BIGINT,
  failing_since BIGINT,
  problem      TEXT
);
CREATE UNIQUE INDEX channels_name ON channels (workspace_id, name_key);

-- What a channel is still to tell of a connection: how it stands, and how it stood when that was told last; or that something of it ends.
CREATE TABLE notices (
  channel_id    TEXT NOT NULL REFERENCES channels (id),
  connection_id TEXT NOT NULL REFERENCES connections (id),
  about         TEXT NOT NULL,
  was           TEXT NOT NULL,
  state         TEXT NOT NULL,
  at            BIGINT NOT NULL,
  cause         TEXT,
  message       TEXT,
  ends_at       BIGINT,
  taken_at      BIGINT,
  taken_state   TEXT,
  PRIMARY KEY (channel_id, connection_id, about)
);
CREATE INDEX notices_connection ON notices (connection_id);

-- When the certificate or the password of a connection ends, as its last test learnt, and when that is told next.
CREATE TABLE ends (
  connection_id TEXT NOT NULL REFERENCES connections (id),
  about         TEXT NOT NULL,
  workspace_id  TEXT NOT NULL REFERENCES workspaces (id),
  ends_at       BIGINT NOT NULL,
  next_at       BIGINT,
  told_at       BIGINT,
  PRIMARY KEY (connection_id, about)
);
CREATE INDEX ends_next ON ends (next_at);
CREATE INDEX ends_workspace ON ends (workspace_id, ends_at);
