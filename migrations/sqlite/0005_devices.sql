-- Where a session began and in which program, so that a person knows his own again. For show, and under no MAC.
ALTER TABLE sessions ADD COLUMN address TEXT;
ALTER TABLE sessions ADD COLUMN agent TEXT;
