//! Ciphertext that was moved or bent never opens.

use uuid::Uuid;

use super::{endpoint_at, key_of, secret, vault_of, workspace_key_of};
use crate::{EndpointDigest, SealContext, VaultError, WorkspaceKey, random_bytes};

/// Where a record lies, with everything that the associated data binds.
#[derive(Clone, Copy)]
struct Place {
    instance: Uuid,
    workspace: Uuid,
    connection: Uuid,
    version: u64,
    field: &'static str,
    endpoint: EndpointDigest,
}

impl Place {
    /// One of 64 places; each bit of the number chooses one part, so two places whose numbers differ in one bit differ in one
    /// part.
    fn number(number: usize) -> Self {
        let bit = |at: usize| number >> at & 1 == 1;
        let id = |at: usize, base: u128| Uuid::from_u128(base + u128::from(bit(at)));
        Self {
            instance: id(0, 10),
            workspace: id(1, 20),
            connection: id(2, 30),
            version: if bit(3) { 2 } else { 1 },
            field: if bit(4) { "tls.key" } else { "password" },
            endpoint: endpoint_at(if bit(5) { "evil.example" } else { "db.internal" }),
        }
    }

    /// The same key bytes everywhere: what refuses is the place.
    fn key(&self) -> WorkspaceKey {
        WorkspaceKey::new(self.instance, self.workspace, key_of(7))
    }

    fn context(&self) -> SealContext<'_> {
        SealContext { connection: self.connection, version: self.version, field: self.field, endpoint: &self.endpoint }
    }

    fn seal(&self, text: &str) -> Vec<u8> {
        self.key().seal(&self.context(), &secret(text)).expect("sealed")
    }
}

#[test]
fn a_record_that_moves_by_one_part_of_its_place_is_refused() {
    let home = Place::number(0);
    let record = home.seal("hunter2");
    for (bit, part) in ["instance", "workspace", "connection", "version", "field", "endpoint"].iter().enumerate() {
        let away = Place::number(1 << bit);
        let opened = away.key().open(&away.context(), &record);
        assert!(matches!(opened, Err(VaultError::Refused { .. })), "opened in another {part}: {opened:?}");
    }
    assert_eq!(home.key().open(&home.context(), &record).expect("at home").expose_secret(), "hunter2");
}

#[test]
fn all_swaps_of_50_records_are_refused() {
    let places: Vec<_> = (0..50).map(Place::number).collect();
    let records: Vec<_> = places.iter().enumerate().map(|(at, place)| place.seal(&format!("secret {at}"))).collect();
    let (mut refused, mut opened) = (0, 0);
    for (at, place) in places.iter().enumerate() {
        let (key, context) = (place.key(), place.context());
        for (from, record) in records.iter().enumerate() {
            match key.open(&context, record) {
                Ok(secret) if from == at => {
                    assert_eq!(secret.expose_secret(), format!("secret {at}"));
                    opened += 1;
                }
                Err(VaultError::Refused { .. }) if from != at => refused += 1,
                other => panic!("record {from} at place {at}: {other:?}"),
            }
        }
    }
    println!("promise: ciphertext moved: 50 records, {opened} opened at home, {refused} swaps, all refused");
    assert_eq!((opened, refused), (50, 50 * 49));
}

#[test]
fn every_bit_of_100_records_is_guarded() {
    let place = Place::number(0);
    let key = place.key();
    let mut refused = 0;
    for at in 0..100 {
        let mut record = place.seal(&"x".repeat(at));
        for byte in 0..record.len() {
            for bit in 0..8 {
                record[byte] ^= 1 << bit;
                assert!(key.open(&place.context(), &record).is_err(), "record {at}, byte {byte}, bit {bit}");
                record[byte] ^= 1 << bit;
                refused += 1;
            }
        }
        key.open(&place.context(), &record).expect("as it was");
    }
    println!("promise: ciphertext bent: 100 records, {refused} single bits flipped, all refused");
}

#[test]
fn a_record_cut_anywhere_or_lengthened_is_refused() {
    let place = Place::number(0);
    let mut record = place.seal("hunter2");
    for length in 0..record.len() {
        match place.key().open(&place.context(), &record[..length]) {
            Err(VaultError::Damaged { .. }) if length < 83 + 16 => {}
            Err(VaultError::Refused { .. }) if length >= 83 + 16 => {}
            other => panic!("cut to {length}: {other:?}"),
        }
    }
    record.push(0);
    assert!(place.key().open(&place.context(), &record).is_err());
}

#[test]
fn each_reason_to_refuse_has_its_own_error() {
    let place = Place::number(0);
    let (key, context) = (place.key(), place.context());
    let record = place.seal("hunter2");
    let other_key = WorkspaceKey::new(place.instance, place.workspace, key_of(8));
    assert!(matches!(other_key.open(&context, &record), Err(VaultError::WrongKey { .. })));

    let bent = |at: usize, value: u8| {
        let mut bent = record.clone();
        bent[at] = value;
        key.open(&context, &bent)
    };
    assert!(matches!(bent(0, 2), Err(VaultError::Damaged { .. })));
    assert!(matches!(bent(1, 9), Err(VaultError::UnknownFormat { found: 9, .. })));
    assert!(matches!(bent(2, 9), Err(VaultError::UnknownFormat { found: 9, .. })));
    assert!(matches!(bent(6, 9), Err(VaultError::OtherKeyVersion { sealed_under: 9, at_hand: 1, .. })));
    assert!(matches!(bent(record.len() - 1, !record[record.len() - 1]), Err(VaultError::Refused { .. })));
}

#[test]
fn a_workspace_key_opens_in_its_workspace_instance_and_vault_alone() {
    let (vault, workspace) = (vault_of(1), Uuid::from_u128(5));
    let record = vault.create_workspace_key(workspace).expect("sealed");
    vault.open_workspace_key(workspace, &record).expect("at home");
    let moved = vault.open_workspace_key(Uuid::from_u128(6), &record);
    assert!(matches!(moved, Err(VaultError::Refused { .. })));
    let other_instance = crate::Vault::with_root(Uuid::from_u128(99), key_of(1));
    assert!(matches!(other_instance.open_workspace_key(workspace, &record), Err(VaultError::Refused { .. })));
    assert!(matches!(vault_of(2).open_workspace_key(workspace, &record), Err(VaultError::WrongKey { .. })));

    let mut refused = 0;
    for at in 0..record.len() * 8 {
        let mut bent = record.clone();
        bent[at / 8] ^= 1 << (at % 8);
        assert!(vault.open_workspace_key(workspace, &bent).is_err(), "bit {at}");
        refused += 1;
    }
    println!("workspace key: {refused} single bits flipped, all refused");
}

#[test]
fn a_field_is_no_workspace_key_and_the_other_way_round() {
    let (vault, workspace) = (vault_of(1), Uuid::from_u128(2));
    let place = Place::number(0);
    assert!(vault.open_workspace_key(workspace, &place.seal("x")).is_err());
    assert!(place.key().open(&place.context(), &vault.create_workspace_key(workspace).expect("sealed")).is_err());
}

#[test]
fn two_seals_of_one_secret_share_no_salt_nonce_or_body_and_hide_its_length() {
    let (key, endpoint) = (workspace_key_of(7), endpoint_at("db.internal"));
    let context =
        SealContext { connection: Uuid::from_bytes(random_bytes()), version: 1, field: "password", endpoint: &endpoint };
    let seal = |text: &str| key.seal(&context, &secret(text)).expect("sealed");
    let (one, two) = (seal("hunter2"), seal("hunter2"));
    for part in [7..39, 39..51, 51..83, 83..one.len()] {
        assert_ne!(one[part.clone()], two[part]);
    }
    assert_eq!(seal("").len(), seal(&"x".repeat(63)).len());
    assert_eq!(seal(&"x".repeat(64)).len(), one.len() + 64);
}
