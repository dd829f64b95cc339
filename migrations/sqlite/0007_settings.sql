-- What an owner sets for the whole server, one JSON value to a name. A server puts in what is missing when it first meets the table: a row that
-- is gone later was taken out by somebody else.
CREATE TABLE settings (
  name       TEXT PRIMARY KEY,
  value      TEXT NOT NULL,
  version    INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  updated_by TEXT NOT NULL,
  mac        BLOB NOT NULL
);

-- Checks by age, for those that are kept for some days.
CREATE INDEX checks_at ON checks (checked_at);
