//! A 256-bit key, and the derivation of others from it.

use std::fmt;

use aws_lc_rs::{digest, hkdf};
use zeroize::{Zeroize, Zeroizing};

use crate::random::fill_random;

pub(crate) const KEY_LENGTH: usize = 32;

/// A key. It lies on the heap, so that moving it leaves no copy behind, and is wiped when dropped.
pub(crate) struct Key(Box<[u8; KEY_LENGTH]>);

impl Key {
    pub(crate) fn random() -> Self {
        Self::filled(fill_random)
    }

    /// The key whose bytes these are; `None` if they are not exactly 32.
    pub(crate) fn copied(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == KEY_LENGTH).then(|| Self::filled(|key| key.copy_from_slice(bytes)))
    }

    /// A key that is written where it will lie.
    pub(crate) fn filled(write: impl FnOnce(&mut [u8])) -> Self {
        let mut key = Self(Box::new([0; KEY_LENGTH]));
        write(key.0.as_mut_slice());
        key
    }

    /// A second copy, wiped like the first.
    pub(crate) fn duplicate(&self) -> Self {
        Self::filled(|key| key.copy_from_slice(self.0.as_slice()))
    }

    pub(crate) fn expose(&self) -> &[u8; KEY_LENGTH] {
        &self.0
    }

    /// HKDF-SHA256 with a salt, `N` bytes.
    ///
    /// # Panics
    /// Never: HKDF-SHA256 fails only past 8,160 bytes.
    pub(crate) fn derive<const N: usize>(&self, salt: &[u8], info: &str) -> Zeroizing<[u8; N]> {
        let mut derived = Zeroizing::new([0; N]);
        hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
            .extract(self.0.as_slice())
            .expand(&[info.as_bytes()], Length(N))
            .and_then(|okm| okm.fill(derived.as_mut_slice()))
            .expect("HKDF-SHA256 gives up to 8,160 bytes");
        derived
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Key(…)")
    }
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// `sum(bytes, N)` of the format.
///
/// # Panics
/// Never: `N` is at most 32, or it does not compile.
pub(crate) fn sum<const N: usize>(bytes: &[u8]) -> [u8; N] {
    const { assert!(N <= 32) };
    *digest::digest(&digest::SHA256, bytes).as_ref().first_chunk().expect("SHA-256 gives 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 5869, test case 1, with a key of 32 bytes instead of 22: recomputed with Python's `cryptography`.
    #[test]
    fn derivation_is_hkdf_sha256_and_a_key_never_prints() {
        let key = Key::copied(&[0x0b; KEY_LENGTH]).expect("32 bytes");
        let salt: Vec<u8> = (0..13).collect();
        let derived = key.derive::<42>(&salt, "info");
        assert_eq!(hex::encode(derived.as_slice()), DERIVED);
        assert_eq!(format!("{key:?}"), "Key(…)");
        assert!(Key::copied(&[0; 31]).is_none());
    }

    const DERIVED: &str = "2f016ed50d358562e49c8ffe9f9d6ec6cc922a5db63ac43bf90041f42b0fdb81debd07c6b79126c04d43";
}
