//! The promises of the vault, over its stored bytes. Keys are fixed through the private constructors where a test needs to show
//! that the place alone, and not a different key, is what refuses.

mod frozen;
mod frozen_2;
mod fuzz;
mod macs;
mod moved;
mod providers;
mod ring;
mod rotation;
mod round_trip;

use dataflow_model::{Secret, endpoint::Endpoint};
use uuid::Uuid;

use crate::{EndpointDigest, Vault, WorkspaceKey, key::Key, vault::VersionedKey};

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn key_of(byte: u8) -> VersionedKey {
    VersionedKey { version: 1, key: Key::copied(&[byte; 32]).expect("32 bytes") }
}

fn vault_of(byte: u8) -> Vault {
    Vault::with_root(Uuid::from_u128(1), key_of(byte))
}

fn workspace_key_of(byte: u8) -> WorkspaceKey {
    WorkspaceKey::new(Uuid::from_u128(1), Uuid::from_u128(2), key_of(byte))
}

/// The endpoint of a PostgreSQL connection to this host.
fn endpoint_at(host: &str) -> EndpointDigest {
    let values = vec![("host".into(), Some(host.to_owned())), ("tls.ca".into(), None)];
    EndpointDigest::of(&Endpoint { type_id: "postgres".to_owned(), values })
}

#[test]
fn keys_can_be_shared_between_threads_and_never_print() {
    fn shared<T: Send + Sync + std::fmt::Debug>(value: &T) -> String {
        format!("{value:?}")
    }
    let (vault, key) = (vault_of(0xab), workspace_key_of(0xab));
    let recovery_key = crate::RecoveryKey::generate();
    let passphrase = crate::Passphrase::new(secret("correct horse battery")).expect("long enough");
    let kek = crate::Kek(Key::copied(&[0xab; 32]).expect("32 bytes"));
    let printed = [shared(&vault), shared(&key), shared(&recovery_key), shared(&passphrase), shared(&kek)].concat();
    for trace in ["171", "ab, ab", "abab", "correct", recovery_key.to_text().expose_secret()] {
        assert!(!printed.to_lowercase().contains(&trace.to_lowercase()), "{printed}");
    }
}
