//! Keys, ciphers and hashes: bytes in, bytes out.
//!
//! Here and nowhere else a cipher is named. What belongs here: the key ring, sealing and opening of secret fields, MACs over rows
//! and events, fingerprints, the shape and hash of tokens, password hashes, signatures of others, randomness. What does not: storage (the server keeps
//! the bytes that this crate makes), HTTP, the clock, async. The one file it touches is the key file, because who makes it and
//! with which rights is part of the promise.
//!
//! ```text
//! KEK (provider) -wraps-> root key (1 to 16 slots) -wraps-> workspace key (versioned) -HKDF-> record key -AES-256-GCM-> field
//! ```
//!
//! Every stored format is specified, byte by byte, in [`format`](mod@format); an auditor can re-implement it from there, and
//! `tests/vault_open.py` is such a re-implementation, run over frozen bytes.
//!
//! # Example
//! ```
//! use dataflow_model::{Secret, endpoint::Endpoint};
//! use dataflow_vault::{EndpointDigest, KeyRing, Passphrase, SealContext, Vault, random_uuid};
//!
//! # fn main() -> Result<(), dataflow_vault::VaultError> {
//! let passphrase = Passphrase::new(Secret::new("correct horse battery staple".to_owned()))?;
//! let (vault, ring, recovery_key) = Vault::create(random_uuid(), &passphrase)?;
//! let stored_ring = ring.to_bytes();
//!
//! let workspace = random_uuid();
//! let stored_key = vault.create_workspace_key(workspace)?;
//! let endpoint = EndpointDigest::of(&Endpoint { type_id: "postgres".to_owned(), values: vec![] });
//! let context = SealContext { connection: random_uuid(), version: 1, field: "password", endpoint: &endpoint };
//! let stored_field = vault.open_workspace_key(workspace, &stored_key)?.seal(&context, &Secret::new("hunter2".to_owned()))?;
//!
//! // After a restart; the recovery key opens the same ring.
//! let vault = Vault::open(&KeyRing::from_bytes(&stored_ring)?, &recovery_key)?;
//! let secret = vault.open_workspace_key(workspace, &stored_key)?.open(&context, &stored_field)?;
//! assert_eq!(secret.expose_secret(), "hunter2");
//! # Ok(())
//! # }
//! ```

mod agreement;
mod encoding;
mod endpoint;
mod error;
pub mod format;
mod jws;
mod key;
mod mac;
mod password;
mod provider;
mod random;
mod ring;
mod roots;
mod rotation;
mod sealed;
pub mod token;
mod vault;
mod workspace;
mod workspace_keys;

#[cfg(test)]
mod tests;

pub use endpoint::EndpointDigest;
pub use error::VaultError;
pub use jws::{PublicKey, SignatureAlgorithm, sha256};
pub use password::{hash_password, verify_absent_password, verify_password};
pub use provider::{Kek, KekProvider, KeyFile, Passphrase, RecoveryKey, TransitParameters};
pub use random::{random_bytes, random_uuid};
pub use ring::{KeyRing, RootVersions, Slot, SlotKind};
pub use vault::{Vault, row_mac_version, row_mark};
pub use workspace::{SealContext, UnlockedSecret, WorkspaceKey};

dataflow_model::never! {
    key::Key: std::fmt::Display, Clone, PartialEq, AsRef<[u8]>;
    Kek: std::fmt::Display, Clone, PartialEq;
    KeyFile: std::fmt::Display, Clone, PartialEq;
    Passphrase: std::fmt::Display, Clone, PartialEq;
    RecoveryKey: std::fmt::Display, Clone, PartialEq;
    UnlockedSecret: std::fmt::Display, Clone, PartialEq;
    Vault: std::fmt::Display, Clone, PartialEq;
    WorkspaceKey: std::fmt::Display, Clone, PartialEq;
}
