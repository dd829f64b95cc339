//! The one type that holds a secret in memory.

use std::fmt;

use serde::{Deserialize, Deserializer};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A secret text: a password, a private key, a token.
///
/// It cannot be printed, cloned or serialised, is wiped when dropped, and is read through [`Secret::expose_secret`] alone.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Secret(String);

impl Secret {
    /// Takes the text over; the caller keeps no copy.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret in clear. Every call is a place where it can leak: hand it straight to what needs it.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        &self.0
    }

    /// A second copy, wiped like the first. Spelled out so that a search finds every copy that is made.
    #[must_use]
    pub fn duplicate_secret(&self) -> Self {
        Self(self.0.clone())
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}
