-- Who may use a connection: JSON lists of ids of people, tokens and groups, under the row's MAC; absent: whoever has the role.
ALTER TABLE connections ADD COLUMN users TEXT COLLATE "C";

-- Groups of people in a workspace. `members` is a JSON list of their ids.
CREATE TABLE people_groups (
  id           TEXT COLLATE "C" PRIMARY KEY,
  workspace_id TEXT COLLATE "C" NOT NULL REFERENCES workspaces (id),
  name         TEXT COLLATE "C" NOT NULL,
  name_key     TEXT COLLATE "C" NOT NULL,
  members      TEXT COLLATE "C" NOT NULL,
  changed_at   BIGINT NOT NULL,
  changed_by   TEXT COLLATE "C" NOT NULL,
  mac          BYTEA NOT NULL
);
CREATE UNIQUE INDEX people_groups_name ON people_groups (workspace_id, name_key);
