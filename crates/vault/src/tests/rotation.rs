//! Root and workspace keys in several versions: who opens what, and what no longer holds.

use dataflow_model::{PublicFields, SecretFields};
use uuid::Uuid;

use super::{endpoint_at, frozen::as_format_1, secret};
use crate::{
    KekProvider, KeyFile, KeyRing, Passphrase, RecoveryKey, SealContext, SlotKind, Vault, VaultError, WorkspaceKey, random_uuid,
    row_mac_version,
};

fn new_key_file() -> KeyFile {
    let folder = tempfile::tempdir().expect("a folder");
    KeyFile::create(&folder.path().join("key")).expect("made")
}

/// Stored and read again, as after a restart.
fn stored(ring: &KeyRing) -> KeyRing {
    KeyRing::from_bytes(&ring.to_bytes()).expect("as it was written")
}

/// Vault, file and recovery key of a new instance.
fn new_instance() -> (Vault, KeyRing, KeyFile, RecoveryKey) {
    let file = new_key_file();
    let (vault, ring, recovery) = Vault::create(random_uuid(), &file).expect("made");
    (vault, ring, file, recovery)
}

/// One whole rotation of the root key.
fn rotate(vault: &Vault, ring: &KeyRing) -> KeyRing {
    let mut ring = stored(&vault.begin_rotation(ring).expect("begun"));
    for step in [Vault::activate_root, Vault::end_older_rows] {
        vault.adopt(&ring).expect("known");
        ring = stored(&step(vault, &ring).expect("the next"));
    }
    vault.adopt(&ring).expect("known");
    ring
}

#[test]
fn every_slot_opens_the_newest_root_key_and_old_tokens_rows_and_events_are_known() {
    let (vault, ring, file, recovery) = new_instance();
    let passphrase = Passphrase::new(secret("correct horse battery")).expect("long enough");
    let mut ring = vault.add_slot(&ring, &passphrase).expect("added");
    let (token, event) = (vault.token_hash("dfc_x"), vault.audit_mac(b"event"));
    let lookup = vault.lookup_hash("idempotency_keys", &[b"k"]);
    let row = vault.row_mac("people", &[b"ada"]);
    assert_eq!((row.len(), row_mac_version(&row)), (32, None));
    for newest in 2..=3 {
        ring = rotate(&vault, &ring);
        assert_eq!(vault.root_versions().newest, newest);
    }
    let providers: [&dyn KekProvider; 3] = [&file, &recovery, &passphrase];
    for provider in providers {
        let vault = Vault::open(&ring, provider).expect("opens");
        assert_eq!(vault.root_versions().active, 3);
        assert_ne!(vault.token_hash("dfc_x"), token);
        assert_eq!(vault.token_hashes("dfc_x").first(), Some(&vault.token_hash("dfc_x")));
        assert!(vault.token_hashes("dfc_x").contains(&token) && vault.token_hashes("dfc_x").len() == 3);
        assert!(vault.audit_mac_holds(b"event", &event) && !vault.audit_mac_holds(b"other", &event));
        assert_eq!(vault.lookup_hash("idempotency_keys", &[b"k"]), lookup);
        let new_row = vault.row_mac("people", &[b"ada"]);
        assert_eq!(row_mac_version(&new_row), Some(3));
        vault.verify_row_mac("people", &[b"ada"], &new_row).expect("its own");
        // Whoever kept an old root key mints no rows with it.
        assert!(matches!(vault.verify_row_mac("people", &[b"ada"], &row), Err(VaultError::RowRefused { .. })));
        let relabelled = [3_u32.to_be_bytes().as_slice(), &row].concat();
        assert!(vault.verify_row_mac("people", &[b"ada"], &relabelled).is_err());
        let unknown = [4_u32.to_be_bytes().as_slice(), &row].concat();
        assert!(matches!(vault.verify_row_mac("people", &[b"ada"], &unknown), Err(VaultError::OtherKeyVersion { .. })));
    }
}

#[test]
fn rows_of_both_root_keys_hold_while_the_rotation_goes_on() {
    let (vault, ring, ..) = new_instance();
    let old = vault.row_mac("people", &[b"ada"]);
    let ring = stored(&vault.begin_rotation(&ring).expect("begun"));
    vault.adopt(&ring).expect("known");
    assert_eq!(vault.row_mac("people", &[b"ada"]), old, "what is pending makes no MAC");
    let ring = stored(&vault.activate_root(&ring).expect("activated"));
    // A node that knows the pending key, but not yet that it is active.
    let lagging_mac = old;
    vault.adopt(&ring).expect("known");
    let new = vault.row_mac("people", &[b"ada"]);
    assert_ne!(new, lagging_mac);
    for mac in [&new, &lagging_mac] {
        vault.verify_row_mac("people", &[b"ada"], mac).expect("both hold");
    }
}

#[test]
fn a_node_adopts_no_ring_that_is_older_bent_or_of_other_keys() {
    let (vault, first, file, _) = new_instance();
    let node = Vault::open(&first, &file).expect("opens");
    let begun = stored(&vault.begin_rotation(&first).expect("begun"));
    let mut bent = begun.clone();
    bent.roots.as_mut().expect("format 2").versions.active = 2;
    assert!(matches!(node.adopt(&bent), Err(VaultError::RingRefused)));
    node.adopt(&begun).expect("known");
    assert!(matches!(node.adopt(&first), Err(VaultError::RingRefused)), "older");
    let active = node.activate_root(&begun).expect("activated");
    node.adopt(&active).expect("known");
    assert!(matches!(node.adopt(&begun), Err(VaultError::RingRefused)), "the roles of before");

    // Somebody who can write the store makes himself a ring with a newer root key and this slot's kind.
    let (other, other_ring, _) = Vault::create(vault.instance(), &file).expect("made");
    let forged = rotate(&other, &rotate(&other, &other_ring));
    assert!(matches!(node.adopt(&forged), Err(VaultError::RingRefused)));
    assert!(matches!(node.adopt(&new_instance().1), Err(VaultError::RingOfAnotherInstance)));
}

#[test]
fn who_had_the_old_root_key_and_a_slots_key_that_was_replaced_opens_nothing_new() {
    let (vault, ring, leaked, _) = new_instance();
    let old_ring = ring.clone();
    let file = new_key_file();
    let ring = vault.add_slot(&ring, &file).expect("added");
    let own = vault.opened_with().expect("by its slot");
    let ring = vault.remove_slot(&ring, own).expect("removed");
    let vault = Vault::open(&ring, &file).expect("opens");
    let ring = rotate(&vault, &ring);
    assert!(matches!(Vault::open(&ring, &leaked), Err(VaultError::WrongKey { .. })));
    let thief = Vault::open(&old_ring, &leaked).expect("what he had");
    assert!(matches!(thief.adopt(&ring), Err(VaultError::WrongKey { .. } | VaultError::SlotGone { .. })));
    let workspace = random_uuid();
    let key = vault.create_workspace_key(workspace).expect("sealed");
    assert!(matches!(thief.open_workspace_key(workspace, &key), Err(VaultError::OtherKeyVersion { .. })));
}

#[test]
fn a_ring_of_before_rotation_rotates_once_its_slots_are_made_anew() {
    let (vault, ring, file, recovery) = new_instance();
    let ring = as_format_1(&vault, &ring, &[&file, &recovery]);
    assert_eq!(ring.to_bytes()[4], 1);
    let row = vault.row_mac("people", &[b"ada"]);
    let node = Vault::open(&stored(&ring), &file).expect("opens");
    node.verify_row_mac("people", &[b"ada"], &row).expect("its rows hold");
    let refused = node.begin_rotation(&ring).expect_err("the recovery key is not at hand");
    assert!(matches!(refused, VaultError::SlotCannotRotate { id: 2, kind: SlotKind::RecoveryKey }), "{refused}");
    assert!(refused.to_string().ends_with("run “dataflow keys recovery”, which prints a new one"), "{refused}");
    let renewed = RecoveryKey::generate();
    let ring = stored(&node.rewrap(&ring, &renewed).expect("replaced"));
    let ring = rotate(&node, &ring);
    let providers: [&dyn KekProvider; 2] = [&file, &renewed];
    for provider in providers {
        assert_eq!(Vault::open(&ring, provider).expect("opens").root_versions().active, 2);
    }
}

#[test]
fn several_slots_of_a_kind_open_and_the_last_one_stays() {
    let (vault, ring, file, recovery) = new_instance();
    let second = new_key_file();
    let ring = stored(&vault.add_slot(&ring, &second).expect("added"));
    let providers: [&dyn KekProvider; 3] = [&file, &second, &recovery];
    for provider in providers {
        Vault::open(&ring, provider).expect("opens");
    }
    assert!(matches!(Vault::open(&ring, &new_key_file()), Err(VaultError::WrongKey { .. })));
    assert!(matches!(vault.remove_slot(&ring, 2), Err(VaultError::RecoverySlot)));
    assert!(matches!(vault.remove_slot(&ring, 9), Err(VaultError::NoSuchSlot { id: 9 })));
    let ring = stored(&vault.remove_slot(&ring, 1).expect("another is left"));
    assert!(matches!(Vault::open(&ring, &file), Err(VaultError::WrongKey { .. })));
    assert!(matches!(vault.remove_slot(&ring, 3), Err(VaultError::LastSlot)));
    let mut full = ring;
    while full.slots().len() < 16 {
        full = vault.add_slot(&full, &second).expect("added");
    }
    assert!(matches!(vault.add_slot(&stored(&full), &second), Err(VaultError::RingFull { most: 16 })));
}

#[test]
fn a_workspaces_keys_open_what_they_sealed_and_a_retired_one_nothing() {
    let (vault, ring, ..) = new_instance();
    let workspace = random_uuid();
    let endpoint = endpoint_at("db.internal");
    let context = SealContext { connection: random_uuid(), version: 1, field: "password", endpoint: &endpoint };
    let stored_first = vault.create_workspace_key(workspace).expect("sealed");
    let open = |bytes: &[u8]| vault.open_workspace_key(workspace, bytes).expect("opens");
    let first = open(&stored_first);
    let fingerprint =
        |key: &WorkspaceKey| key.fingerprint("postgres", "postgres", &PublicFields::default(), &SecretFields::default());
    let (old_record, old_fingerprint) = (first.seal(&context, &secret("hunter2")).expect("sealed"), fingerprint(&first));
    assert_eq!((first.version(), first.oldest(), first.newest(), first.root_version()), (1, 1, 1, 1));
    rotate(&vault, &ring);

    let pending = open(&vault.seal_workspace_key(&open(&stored_first).with_pending()).expect("sealed"));
    assert_eq!((pending.version(), pending.newest(), pending.root_version()), (1, 2, 2));
    let kept = pending.seal(&context, &secret("hunter2")).expect("sealed");
    assert_eq!(WorkspaceKey::version_of(&kept), Some(1), "what is pending seals nothing");
    let active = open(&vault.seal_workspace_key(&pending.activated()).expect("sealed"));
    let new_record = active.seal(&context, &secret("hunter2")).expect("sealed");
    assert_eq!(WorkspaceKey::version_of(&new_record), Some(2));
    for record in [&old_record, &kept, &new_record] {
        assert_eq!(active.open(&context, record).expect("opens").expose_secret(), "hunter2");
    }
    let retired = open(&vault.seal_workspace_key(&active.retired()).expect("sealed"));
    assert_eq!((retired.oldest(), retired.newest()), (2, 2));
    assert!(matches!(retired.open(&context, &old_record), Err(VaultError::OtherKeyVersion { sealed_under: 1, .. })));
    retired.open(&context, &new_record).expect("opens");
    assert_eq!(fingerprint(&retired), old_fingerprint, "a rotation is no new credentials");
    assert!(matches!(first.open(&context, &new_record), Err(VaultError::OtherKeyVersion { sealed_under: 2, .. })));
}

#[test]
fn every_bit_and_length_of_stored_workspace_keys_is_guarded() {
    let (vault, ..) = new_instance();
    let workspace = Uuid::from_u128(7);
    let first = vault.open_workspace_key(workspace, &vault.create_workspace_key(workspace).expect("sealed")).expect("opens");
    let bytes = vault.seal_workspace_key(&first.with_pending()).expect("sealed");
    let as_it_was = vault.open_workspace_key(workspace, &bytes).expect("opens");
    assert!(vault.open_workspace_key(random_uuid(), &bytes).is_err(), "another workspace's");
    for at in 0..bytes.len() * 8 {
        let mut bent = bytes.clone();
        bent[at / 8] ^= 1 << (at % 8);
        // The row's MAC guards which of the keys is active; no bit makes another key.
        if let Ok(key) = vault.open_workspace_key(workspace, &bent) {
            assert!((5..9).contains(&(at / 8)) && key.newest() == as_it_was.newest(), "bit {at}");
        }
    }
    for length in 0..bytes.len() {
        let cut = vault.open_workspace_key(workspace, &bytes[..length]);
        // Cut between two records it is shorter, and the row's MAC refuses it.
        assert!(cut.is_err() || cut.is_ok_and(|key| key.newest() == 1), "cut to {length}");
    }
}
