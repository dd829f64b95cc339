//! Readers of what is kept in the store, on paper and in files, given what is nearly right: whatever opens must be what was sealed.

use std::fs;

use dataflow_fuzz::fuzz;
use serde_json::Value;
use uuid::Uuid;

use super::{endpoint_at, secret, vault_of, workspace_key_of};
use crate::{KeyFile, KeyRing, Passphrase, RecoveryKey, SealContext, Vault, token};

#[test]
fn key_rings() {
    let recovery = RecoveryKey::generate();
    let passphrase = Passphrase::new(secret("correct horse battery")).expect("long enough");
    let (_, ring, _) = Vault::create(Uuid::from_u128(1), &passphrase).expect("made");
    let stored = ring.to_bytes();
    fuzz(&[&stored], |bytes| {
        let Ok(read) = KeyRing::from_bytes(bytes) else { return };
        assert_eq!(read.to_bytes(), bytes, "one form and no other");
        assert!(Vault::open(&read, &recovery).is_err(), "another's recovery key opens nothing");
    });
}

#[test]
fn sealed_fields_and_workspace_keys() {
    let (vault, key) = (vault_of(7), workspace_key_of(7));
    let endpoint = endpoint_at("db.example.org");
    let context = SealContext { connection: Uuid::from_u128(3), version: 1, field: "password", endpoint: &endpoint };
    let sealed = key.seal(&context, &secret("planted")).expect("sealed");
    fuzz(&[&sealed], |bytes| match key.open(&context, bytes) {
        Ok(opened) => assert!(bytes == sealed && opened.expose_secret() == "planted"),
        Err(error) => assert!(!format!("{error} {error:?}").contains("planted")),
    });
    let workspace = Uuid::from_u128(2);
    let stored = vault.create_workspace_key(workspace).expect("sealed");
    fuzz(&[&stored], |bytes| assert!(bytes == stored || vault.open_workspace_key(workspace, bytes).is_err()));
}

#[test]
fn texts_of_tokens_and_recovery_keys() {
    let made = token::generate("user").expect("a kind");
    fuzz(&[made.expose_secret().as_bytes()], |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(kind) = token::parse(&text) {
            assert!(text.starts_with(&format!("dfc_{kind}_")));
        }
    });
    let key = RecoveryKey::generate().to_text();
    fuzz(&[key.expose_secret().as_bytes()], |bytes| {
        let _ = RecoveryKey::parse(&String::from_utf8_lossy(bytes));
    });
}

#[test]
fn key_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("dataflow.key");
    drop(KeyFile::create(&path).expect("made"));
    let sound = fs::read(&path).expect("own file");
    fuzz(&[&sound], |bytes| {
        // In the file that has the rights already.
        fs::write(&path, bytes).expect("own file");
        if KeyFile::read(&path).is_ok() {
            assert_eq!(bytes.trim_ascii_end(), sound.trim_ascii_end(), "it has a checksum");
        }
    });
}

#[test]
fn frozen_records() {
    let frozen: Value = serde_json::from_str(include_str!("../../tests/frozen_v1.json")).expect("JSON");
    let records: Vec<Vec<u8>> = strings(&frozen).iter().filter_map(|text| hex::decode(text).ok()).collect();
    let corpus: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
    let key = workspace_key_of(7);
    let endpoint = endpoint_at("db.example.org");
    let context = SealContext { connection: Uuid::from_u128(3), version: 1, field: "password", endpoint: &endpoint };
    fuzz(&corpus, |bytes| {
        let _ = KeyRing::from_bytes(bytes);
        assert!(key.open(&context, bytes).is_err(), "sealed for another place");
    });
}

fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(strings).collect(),
        Value::Object(members) => members.values().flat_map(strings).collect(),
        _ => Vec::new(),
    }
}
