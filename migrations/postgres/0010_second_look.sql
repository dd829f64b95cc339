-- When the person of a session last showed in it that he is who he was, under the row's MAC; absent in a session of before, which is asked
-- at its next act that grants.
ALTER TABLE sessions ADD COLUMN confirmed_at BIGINT;
