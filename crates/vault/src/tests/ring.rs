//! The key ring: created, opened, mended, and what is refused.

use uuid::Uuid;

use super::{endpoint_at, secret, vault_of};
use crate::{KekProvider, KeyFile, KeyRing, Passphrase, RecoveryKey, SealContext, SlotKind, Vault, VaultError, key, random_uuid};

fn new_key_file() -> KeyFile {
    let folder = tempfile::tempdir().expect("a folder");
    KeyFile::create(&folder.path().join("key")).expect("made")
}

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(secret(text)).expect("long enough")
}

/// Stored and read again, as after a restart.
fn stored(ring: &KeyRing) -> KeyRing {
    KeyRing::from_bytes(&ring.to_bytes()).expect("as it was written")
}

#[test]
fn a_new_ring_opens_with_its_provider_and_with_the_recovery_key() {
    let instance = random_uuid();
    let passphrase = passphrase("correct horse battery");
    let file = new_key_file();
    let providers: [&dyn KekProvider; 2] = [&file, &passphrase];
    for provider in providers {
        let (vault, ring, recovery_key) = Vault::create(instance, provider).expect("made");
        let kinds: Vec<_> = ring.slots().iter().map(|slot| (slot.id(), slot.kind())).collect();
        assert_eq!(kinds, [(1, provider.kind()), (2, SlotKind::RecoveryKey)]);
        assert_eq!(ring.instance(), instance);
        let typed = RecoveryKey::parse(recovery_key.to_text().expose_secret()).expect("as printed");
        for opener in [provider, &typed] {
            let again = Vault::open(&stored(&ring), opener).expect("opens");
            assert_eq!(again.token_hash("x"), vault.token_hash("x"));
        }
    }
}

#[test]
fn the_wrong_provider_is_told_from_a_wrong_key_and_from_damage() {
    let (_, ring, _) = Vault::create(random_uuid(), &new_key_file()).expect("made");
    let absent = Vault::open(&ring, &passphrase("correct horse battery")).expect_err("no such slot");
    assert_eq!(absent.to_string(), "the key ring cannot be opened with a passphrase, only with key file or recovery key");
    assert!(matches!(Vault::open(&ring, &new_key_file()), Err(VaultError::WrongKey { .. })));
    assert!(matches!(Vault::open(&ring, &RecoveryKey::generate()), Err(VaultError::WrongKey { .. })));

    let bytes = ring.to_bytes();
    for length in 0..bytes.len() {
        assert!(matches!(KeyRing::from_bytes(&bytes[..length]), Err(VaultError::Damaged { .. })), "cut to {length}");
    }
    let (_, ring, _) = Vault::create(random_uuid(), &passphrase("correct horse battery")).expect("made");
    assert!(matches!(Vault::open(&ring, &passphrase("correct horse batterz")), Err(VaultError::WrongKey { .. })));
}

#[test]
fn every_bit_of_the_ring_is_guarded_by_the_checksum_and_without_it_by_the_keys() {
    let file = new_key_file();
    let (_, ring, recovery_key) = Vault::create(random_uuid(), &file).expect("made");
    let bytes = ring.to_bytes();
    let content = bytes.len() - 4;
    let mut refused = 0;
    for at in 0..bytes.len() * 8 {
        let mut bent = bytes.clone();
        bent[at / 8] ^= 1 << (at % 8);
        assert!(KeyRing::from_bytes(&bent).is_err(), "bit {at} passed the checksum");
        if at / 8 < content {
            // Who can write the store can make the checksum right.
            let sum: [u8; 4] = key::sum(&bent[..content]);
            bent[content..].copy_from_slice(&sum);
            let providers: [&dyn KekProvider; 2] = [&file, &recovery_key];
            for provider in providers {
                let opened = KeyRing::from_bytes(&bent).and_then(|ring| Vault::open(&ring, provider));
                assert!(opened.is_err(), "bit {at} passed the {}", provider.kind());
            }
        }
        refused += 1;
    }
    println!("key ring: {refused} single bits flipped, all refused, with and without a matching checksum");
}

#[test]
fn slots_cannot_be_mixed_between_rings() {
    let file = new_key_file();
    let instance = random_uuid();
    let (_, mine, _) = Vault::create(instance, &file).expect("made");
    let (_, foreign, foreign_recovery) = Vault::create(instance, &file).expect("made");
    let mut mixed = mine.clone();
    mixed.slots[1] = foreign.slots[1].clone();
    assert!(matches!(Vault::open(&mixed, &file), Err(VaultError::RingRefused)));
    assert!(matches!(Vault::open(&mixed, &foreign_recovery), Err(VaultError::RingRefused)));
    let mut renumbered = mine.clone();
    renumbered.slots[0].id = 3;
    assert!(matches!(Vault::open(&renumbered, &file), Err(VaultError::Refused { .. })));
}

#[test]
fn the_machine_is_lost_and_the_recovery_key_mends_the_ring() {
    let (workspace, old_file) = (random_uuid(), new_key_file());
    let endpoint = endpoint_at("db.internal");
    let context = SealContext { connection: random_uuid(), version: 1, field: "password", endpoint: &endpoint };
    let (vault, ring, recovery_key) = Vault::create(random_uuid(), &old_file).expect("made");
    let stored_key = vault.create_workspace_key(workspace).expect("sealed");
    let record =
        vault.open_workspace_key(workspace, &stored_key).expect("opens").seal(&context, &secret("hunter2")).expect("sealed");
    let (backup, printed) = (ring.to_bytes(), recovery_key.to_text());
    drop((vault, ring, recovery_key));

    let typed = RecoveryKey::parse(&printed.expose_secret().to_lowercase().replace('-', " ")).expect("typed");
    let ring = KeyRing::from_bytes(&backup).expect("the backup");
    let new_file = new_key_file();
    let ring = stored(&Vault::open(&ring, &typed).expect("opens").rewrap(&ring, &new_file).expect("rewrapped"));

    let vault = Vault::open(&ring, &new_file).expect("the new key file opens");
    let opened = vault.open_workspace_key(workspace, &stored_key).expect("opens").open(&context, &record).expect("opens");
    assert_eq!(opened.expose_secret(), "hunter2");
    assert!(
        matches!(Vault::open(&ring, &old_file), Err(VaultError::WrongKey { .. })),
        "the lost key file opens nothing any more"
    );
    Vault::open(&ring, &typed).expect("the recovery key stays valid");
}

#[test]
fn slots_are_added_replaced_and_removed_but_never_the_last() {
    let (vault, ring, recovery_key) = Vault::create(random_uuid(), &new_key_file()).expect("made");
    let passphrase = passphrase("correct horse battery");
    let three = stored(&vault.rewrap(&ring, &passphrase).expect("added"));
    assert_eq!(three.slots().iter().map(crate::Slot::id).collect::<Vec<_>>(), [1, 2, 3]);
    Vault::open(&three, &passphrase).expect("opens");

    let renewed = RecoveryKey::generate();
    let replaced = stored(&vault.rewrap(&three, &renewed).expect("replaced"));
    assert_eq!(replaced.slots().len(), 3);
    assert!(matches!(Vault::open(&replaced, &recovery_key), Err(VaultError::WrongKey { .. })));
    Vault::open(&replaced, &renewed).expect("opens");
}

#[test]
fn a_ring_that_was_changed_or_is_foreign_is_not_made_valid_by_rewrapping() {
    let (vault, ring, _) = Vault::create(Uuid::from_u128(1), &new_key_file()).expect("made");
    let mut changed = ring.clone();
    changed.slots[0].parameters.push(1);
    assert!(matches!(vault.rewrap(&changed, &new_key_file()), Err(VaultError::RingRefused)));
    assert!(matches!(vault_of(1).rewrap(&ring, &new_key_file()), Err(VaultError::RingRefused)));
    let (elsewhere, _, _) = Vault::create(Uuid::from_u128(2), &new_key_file()).expect("made");
    assert!(matches!(elsewhere.rewrap(&ring, &new_key_file()), Err(VaultError::RingOfAnotherInstance)));
}

#[test]
fn a_ring_with_a_shape_that_no_writer_makes_is_damaged() {
    let (vault, ring, _) = Vault::create(random_uuid(), &new_key_file()).expect("made");
    let (slot, recovery) = (ring.slots[0].clone(), ring.slots[1].clone());
    let same_kind = crate::Slot { id: 3, ..slot.clone() };
    let same_id = crate::Slot { id: 1, ..recovery };
    let many = (1..=17).map(|id| crate::Slot { id, ..slot.clone() }).collect();
    for slots in [vec![], vec![slot.clone(), same_id], many] {
        let bytes = vault.ring_of(slots).to_bytes();
        assert!(matches!(KeyRing::from_bytes(&bytes), Err(VaultError::Damaged { .. })));
    }
    let slots = [slot, same_kind].map(|slot| crate::Slot { agreement: None, ..slot }).to_vec();
    let format_1 = KeyRing { roots: None, slots, ..ring.clone() };
    assert!(matches!(KeyRing::from_bytes(&format_1.to_bytes()), Err(VaultError::Damaged { .. })));
    for (newest, active, rows_from) in [(1, 2, 1), (3, 1, 1), (2, 1, 2), (2, 2, 3)] {
        let mut ring = ring.clone();
        ring.roots.as_mut().expect("format 2").versions = crate::RootVersions { newest, active, rows_from };
        assert!(matches!(KeyRing::from_bytes(&ring.to_bytes()), Err(VaultError::Damaged { .. })));
    }
}
