-- Which connections are tested by themselves, how often, and when that makes them healthy or not. A scope is ':all', ':tag:' and a tag, or
-- ':connection:' and an id. Quiet are minutes of the day in UTC.
CREATE TABLE health_schedules (
  workspace_id    TEXT COLLATE "C" NOT NULL REFERENCES workspaces (id),
  scope           TEXT COLLATE "C" NOT NULL,
  every_seconds   BIGINT NOT NULL,
  jitter_percent  BIGINT NOT NULL,
  unhealthy_after BIGINT NOT NULL,
  healthy_after   BIGINT NOT NULL,
  quiet_from      BIGINT,
  quiet_to        BIGINT,
  set_at          BIGINT NOT NULL,
  set_by          TEXT COLLATE "C" NOT NULL,
  set_by_id       TEXT COLLATE "C" NOT NULL,
  mac             BYTEA NOT NULL,
  PRIMARY KEY (workspace_id, scope)
);

-- Each connection that a schedule is for: by which, when it is tested next, and how it stands. The streak is of tests that came to the same.
CREATE TABLE health (
  connection_id TEXT COLLATE "C" PRIMARY KEY REFERENCES connections (id),
  workspace_id  TEXT COLLATE "C" NOT NULL REFERENCES workspaces (id),
  scope         TEXT COLLATE "C" NOT NULL,
  next_at       BIGINT NOT NULL,
  state         TEXT COLLATE "C" NOT NULL,
  since         BIGINT NOT NULL,
  is_failing    BOOLEAN NOT NULL,
  streak        BIGINT NOT NULL,
  streak_since  BIGINT NOT NULL,
  passed_at     BIGINT
);
CREATE INDEX health_lane ON health (workspace_id, is_failing, next_at);
CREATE INDEX health_state ON health (workspace_id, state, since);

-- Each change of such a state, with what the test said that brought it.
CREATE TABLE health_changes (
  id            TEXT COLLATE "C" PRIMARY KEY,
  connection_id TEXT COLLATE "C" NOT NULL REFERENCES connections (id),
  workspace_id  TEXT COLLATE "C" NOT NULL REFERENCES workspaces (id),
  at            BIGINT NOT NULL,
  state         TEXT COLLATE "C" NOT NULL,
  version       BIGINT NOT NULL,
  cause         TEXT COLLATE "C",
  message       TEXT COLLATE "C"
);
CREATE INDEX health_changes_connection ON health_changes (connection_id, at);
CREATE INDEX health_changes_workspace ON health_changes (workspace_id, at);

-- How long a test took, and whether a client ran it.
ALTER TABLE checks ADD COLUMN took_micros BIGINT;
ALTER TABLE checks ADD COLUMN from_client BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE checks SET from_client = TRUE WHERE report LIKE '%"from":"client"%';
CREATE INDEX checks_from_client ON checks (connection_id, from_client, checked_at);
