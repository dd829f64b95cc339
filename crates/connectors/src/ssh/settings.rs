//! The fields of a connection over SSH, read into keys.

use dataflow_model::TestError;
use russh::keys::{PrivateKey, PublicKey, decode_secret_key};

use crate::{Target, causes};

pub(super) const PRIVATE_KEY: &str = "extra.private_key";
const PASSPHRASE: &str = "extra.passphrase";
const HOST_KEY: &str = "extra.host_key";

/// The pinned key: a line as in `ssh_host_ed25519_key.pub`, or as `ssh-keyscan` prints it, with the host before it.
pub(super) fn host_key(target: &Target) -> Result<Option<PublicKey>, TestError> {
    let line = target.text(HOST_KEY).trim();
    if line.is_empty() {
        return Ok(None);
    }
    // What is marked is a key of an authority, or one that is revoked.
    let words: Vec<_> = line.split_whitespace().filter(|_| !line.starts_with('@')).collect();
    // A host before it may be called as a kind of key is.
    let mut pairs = words.iter().zip(words.iter().skip(1));
    match pairs.find_map(|(kind, key)| PublicKey::from_openssh(&format!("{kind} {key}")).ok()) {
        Some(key) if super::KINDS.contains(&key.algorithm()) => Ok(Some(key)),
        Some(key) if key.algorithm().is_rsa() => Err(causes::host_key_is_rsa()),
        _ => Err(causes::host_key_unreadable()),
    }
}

pub(super) fn private_key(target: &Target) -> Result<Option<PrivateKey>, TestError> {
    let text = target.expose_secret(PRIVATE_KEY);
    if text.is_empty() {
        return Ok(None);
    }
    let passphrase = Some(target.expose_secret(PASSPHRASE)).filter(|passphrase| !passphrase.is_empty());
    match decode_secret_key(text, passphrase) {
        Ok(key) if key.algorithm().is_rsa() => Err(causes::rsa_key_unsupported()),
        Ok(key) => Ok(Some(key)),
        Err(russh::keys::Error::KeyIsEncrypted) => Err(causes::passphrase_missing()),
        Err(_) if passphrase.is_some() => Err(causes::passphrase_wrong()),
        Err(_) => Err(causes::private_key_unreadable()),
    }
}
