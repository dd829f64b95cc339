-- Who a person is at a sign-in provider.
CREATE TABLE identities (
  issuer    TEXT NOT NULL,
  subject   TEXT NOT NULL,
  person_id TEXT NOT NULL REFERENCES people (id),
  linked_at INTEGER NOT NULL,
  linked_by TEXT NOT NULL,
  mac       BLOB NOT NULL,
  PRIMARY KEY (issuer, subject)
);
CREATE INDEX identities_person ON identities (person_id);

-- Roles that the provider's claims gave at the last sign-in, apart from those that were given by hand; both count.
ALTER TABLE members ADD COLUMN claimed_roles TEXT NOT NULL DEFAULT '';
