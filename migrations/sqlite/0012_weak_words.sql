-- Settings by which a connection's secret is less well protected on its way, as words of their own: the list marks it by them. Saves write them
-- from here on.
INSERT INTO search_words (workspace_id, name_key, word)
SELECT c.workspace_id, c.name_key, ':weak:tls.mode' FROM connections c
JOIN connection_versions v ON v.connection_id = c.id AND v.version = c.version
WHERE c.deleted_at IS NULL AND (v.fields LIKE '%"tls.mode":"require"%' OR (v.fields LIKE '%"tls.mode":"disable"%'
  AND v.fields NOT LIKE '%"host":"localhost"%' AND v.fields NOT LIKE '%"host":"127.%' AND v.fields NOT LIKE '%"host":"::1"%'
  AND v.fields NOT LIKE '%"host":"[::1]"%'));
INSERT INTO search_words (workspace_id, name_key, word)
SELECT c.workspace_id, c.name_key, ':weak:extra.insecure_auth' FROM connections c
JOIN connection_versions v ON v.connection_id = c.id AND v.version = c.version
WHERE c.deleted_at IS NULL AND v.fields LIKE '%"extra.insecure_auth":"%';
