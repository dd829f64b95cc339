-- Who may use a connection: JSON lists of ids of people, tokens and groups, under the row's MAC; absent: whoever has the role.
ALTER TABLE connections ADD COLUMN users TEXT;

-- Groups of people in a workspace. `members` is a JSON list of their ids.
CREATE TABLE people_groups (
  id           TEXT PRIMARY KEY,
  workspace_id TEXT NOT NULL REFERENCES workspaces (id),
  name         TEXT NOT NULL,
  name_key     TEXT NOT NULL,
  members      TEXT NOT NULL,
  changed_at   INTEGER NOT NULL,
  changed_by   TEXT NOT NULL,
  mac          BLOB NOT NULL
);
CREATE UNIQUE INDEX people_groups_name ON people_groups (workspace_id, name_key);
