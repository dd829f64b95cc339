-- Who a person is at a sign-in provider.
CREATE TABLE identities (
  issuer    TEXT COLLATE "C" NOT NULL,
  subject   TEXT COLLATE "C" NOT NULL,
  person_id TEXT COLLATE "C" NOT NULL REFERENCES people (id),
  linked_at BIGINT NOT NULL,
  linked_by TEXT COLLATE "C" NOT NULL,
  mac       BYTEA NOT NULL,
  PRIMARY KEY (issuer, subject)
);
CREATE INDEX identities_person ON identities (person_id);

-- Roles that the provider's claims gave at the last sign-in, apart from those that were given by hand; both count.
ALTER TABLE members ADD COLUMN claimed_roles TEXT COLLATE "C" NOT NULL DEFAULT '';
