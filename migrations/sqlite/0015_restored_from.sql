-- The older version that a version was restored from. Not under the row's MAC: like when and by whom it was saved, it directs nothing.
ALTER TABLE connection_versions ADD COLUMN restored_from BIGINT;
