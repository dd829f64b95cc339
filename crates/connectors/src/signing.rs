//! Sign-ins that are signatures: the secret stays here, and what goes along proves that it is known.
//!
//! The digest is the one that the protocols here have anyway; keys of RSA sign through TLS' own provider, so that no cipher is named twice.

mod aws;
mod jwt;

use std::time::SystemTime;

use sha2::{Digest as _, Sha256};
use time::OffsetDateTime;

pub(crate) use aws::{Signature, Signed};
pub(crate) use jwt::{RsaKey, spoilt};

use crate::connector;

const BLOCK: usize = 64;

/// The time that a signature says it was made at.
pub(crate) fn now() -> OffsetDateTime {
    let since = connector::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or_default();
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

pub(crate) fn sha256(data: &[u8]) -> [u8; 32] {
    Sha256::digest(data).into()
}

/// HMAC-SHA-256 (RFC 2104).
pub(crate) fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let hashed = sha256(key);
    let key = if key.len() > BLOCK { &hashed } else { key };
    let padded = |with: u8| {
        let mut block = [with; BLOCK];
        for (byte, key) in block.iter_mut().zip(key) {
            *byte ^= key;
        }
        block
    };
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cases 1, 2 and 6 of RFC 4231: a short key, a shorter one, and one that is longer than a block.
    #[test]
    fn the_mac_is_that_of_its_vectors() {
        for (key, message, mac) in [
            (vec![0x0b; 20], "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe".to_vec(),
                "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                vec![0xaa; 131],
                "Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ] {
            assert_eq!(hex::encode(hmac(&key, message.as_bytes())), mac);
        }
    }
}
