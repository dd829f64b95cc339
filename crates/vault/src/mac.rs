//! HMAC-SHA256 under a derived key.

use aws_lc_rs::{constant_time, hmac};

use crate::{
    format::{Label, length},
    key::{KEY_LENGTH, Key},
};

pub(crate) const MAC_LENGTH: usize = 32;

/// A key for one use. AWS-LC wipes its state when it is dropped, and it does not print.
pub(crate) struct MacKey(hmac::Key);

impl MacKey {
    pub(crate) fn derived(from: &Key, label: Label) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, from.derive::<KEY_LENGTH>(&[], label.as_str()).as_slice()))
    }

    /// One whose key was derived before.
    pub(crate) fn with(key: &Key) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.expose()))
    }

    /// The MAC of bytes as they are.
    pub(crate) fn of(&self, bytes: &[u8]) -> [u8; MAC_LENGTH] {
        array(hmac::sign(&self.0, bytes))
    }

    /// The MAC of `LP(part, …)`, without building it.
    pub(crate) fn of_parts<'a>(&self, parts: impl IntoIterator<Item = &'a [u8]>) -> [u8; MAC_LENGTH] {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&length(part));
            context.update(part);
        }
        array(context.sign())
    }
}

/// Compares in constant time; bytes of another length are not equal.
pub(crate) fn equal(left: &[u8], right: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(left, right).is_ok()
}

fn array(tag: hmac::Tag) -> [u8; MAC_LENGTH] {
    tag.as_ref().try_into().expect("HMAC-SHA256 gives 32 bytes")
}
