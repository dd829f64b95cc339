-- When a database was last asked for a password, and whether for the one of before again: until it has surely done that or not, nothing it says
-- of itself is taken for the end.
ALTER TABLE rotations ADD COLUMN told_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE rotations ADD COLUMN puts_back BOOLEAN NOT NULL DEFAULT FALSE;
UPDATE rotations SET told_at = begun_at;
