-- Who made a token, as kind and id, which nobody else ever has, and the person behind it: both under the row's MAC. Tokens of before have
-- neither, and are managed by admins alone.
ALTER TABLE tokens ADD COLUMN made_by TEXT;
ALTER TABLE tokens ADD COLUMN person_id TEXT REFERENCES people (id);
CREATE INDEX tokens_made_by ON tokens (made_by);
CREATE INDEX tokens_person ON tokens (person_id);

-- Who acted, as kind and id; `actor` is for show.
ALTER TABLE audit_events ADD COLUMN actor_id TEXT;

-- A session's last-seen time is under its MAC from here on: everybody signs in again.
DELETE FROM sessions;

-- A link that was used is gone, so that nothing says that it was not.
DELETE FROM links WHERE used_at IS NOT NULL;
ALTER TABLE links DROP COLUMN used_at;
