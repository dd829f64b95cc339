-- The order in which changes were committed, which the chain of their events follows. The times of nodes do not tell it, nor those of one moment.
ALTER TABLE change_clock ADD COLUMN events BIGINT NOT NULL DEFAULT 0;
ALTER TABLE audit_events ADD COLUMN nth BIGINT NOT NULL DEFAULT 0;
DROP INDEX audit_events_unchained;
CREATE INDEX audit_events_unchained ON audit_events (nth, at, id) WHERE seq IS NULL;
