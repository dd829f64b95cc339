-- Every word of a live connection, and its type, tags and status as `:type:…`, `:tag:…`, `:status:…`. A beginning of a word is a range of
-- them. The table before held every beginning itself: some eighty rows for a connection, each on another page of two indexes.
CREATE TABLE search_words (
  workspace_id TEXT COLLATE "C" NOT NULL,
  name_key     TEXT COLLATE "C" NOT NULL,
  word         TEXT COLLATE "C" NOT NULL,
  PRIMARY KEY (workspace_id, name_key, word)
);
CREATE INDEX search_words_word ON search_words (workspace_id, word, name_key);

-- What begins with a colon is no word that a search for a beginning finds. Of words only those are kept that no other begins with.
INSERT INTO search_words (workspace_id, name_key, word)
SELECT workspace_id, name_key, ':' || term FROM search_terms
WHERE substr(term, 1, 4) = 'tag:' OR substr(term, 1, 5) = 'type:' OR substr(term, 1, 7) = 'status:';
INSERT INTO search_words (workspace_id, name_key, word)
SELECT workspace_id, name_key, term FROM search_terms t
WHERE term <> '' AND substr(term, 1, 4) <> 'tag:' AND substr(term, 1, 5) <> 'type:' AND substr(term, 1, 7) <> 'status:' AND NOT EXISTS (
  SELECT 1 FROM search_terms o
  WHERE o.connection_id = t.connection_id AND o.term > t.term AND substr(o.term, 1, length(t.term)) = t.term
);
DROP TABLE search_terms;
