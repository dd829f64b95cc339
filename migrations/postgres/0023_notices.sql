-- Whom a workspace tells what becomes of its connections: through which connection of its own (by its name), at which addresses, of which
-- connections (with a tag, or all), and of what. What follows the MAC is how telling goes.
CREATE TABLE channels (
  id           TEXT COLLATE "C" PRIMARY KEY,
  workspace_id TEXT COLLATE "C" NOT NULL REFERENCES workspaces (id),
  name         TEXT COLLATE "C" NOT NULL,
  name_key     TEXT COLLATE "C" NOT NULL,
  connection   TEXT COLLATE "C" NOT NULL,
  addresses    TEXT COLLATE "C" NOT NULL,
  tag          TEXT COLLATE "C",
  tells        TEXT COLLATE "C" NOT NULL,
  set_at       BIGINT NOT NULL,
  set_by       TEXT COLLATE "C" NOT NULL,
  set_by_id    TEXT COLLATE "C" NOT NULL,
  mac          BYTEA NOT NULL,
  next_at      BIGINT NOT NULL,
  in_a_row     BIGINT NOT NULL,
  tries        BIGINT NOT NULL,
  told_at      BIGINT,
  failing_since BIGINT,
  problem      TEXT COLLATE "C"
);
CREATE UNIQUE INDEX channels_name ON channels (workspace_id, name_key);

-- What a channel is still to tell of a connection: how it stands, and how it stood when that was told last; or that something of it ends.
CREATE TABLE notices (
  channel_id    TEXT COLLATE "C" NOT NULL REFERENCES channels (id),
  connection_id TEXT COLLATE "C" NOT NULL REFERENCES connections (id),
  about         TEXT COLLATE "C" NOT NULL,
  was           TEXT COLLATE "C" NOT NULL,
  state         TEXT COLLATE "C" NOT NULL,
  at            BIGINT NOT NULL,
  cause         TEXT COLLATE "C",
  message       TEXT COLLATE "C",
  ends_at       BIGINT,
  taken_at      BIGINT,
  taken_state   TEXT COLLATE "C",
  PRIMARY KEY (channel_id, connection_id, about)
);
CREATE INDEX notices_connection ON notices (connection_id);

-- When the certificate or the password of a connection ends, as its last test learnt, and when that is told next.
CREATE TABLE ends (
  connection_id TEXT COLLATE "C" NOT NULL REFERENCES connections (id),
  about         TEXT COLLATE "C" NOT NULL,
  workspace_id  TEXT COLLATE "C" NOT NULL REFERENCES workspaces (id),
  ends_at       BIGINT NOT NULL,
  next_at       BIGINT,
  told_at       BIGINT,
  PRIMARY KEY (connection_id, about)
);
CREATE INDEX ends_next ON ends (next_at);
CREATE INDEX ends_workspace ON ends (workspace_id, ends_at);
