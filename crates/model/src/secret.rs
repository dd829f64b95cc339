//! The one type that holds a secret in memory.

use std::fmt;

use serde::{Deserialize, Deserializer};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A secret text: a password, a private key, a token.
///
/// It cannot be printed, cloned or serialised, is wiped when dropped, and is read through [`Secret::expose_secret`] alone.
///
/// ```
/// let secret = dataflow_model::Secret::new("hunter2".to_owned());
/// println!("{}", secret.expose_secret());
/// ```
/// ```compile_fail,E0277
/// let secret = dataflow_model::Secret::new("hunter2".to_owned());
/// println!("{}", secret);
/// ```
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

/// Does not compile if one of the types has one of the traits behind its name: for types that hold secrets.
///
/// Two impls could then give the associated constant, and it is not said which.
///
/// ```
/// dataflow_model::never! { dataflow_model::Secret: std::fmt::Display; }
/// ```
/// ```compile_fail,E0283
/// dataflow_model::never! { String: std::fmt::Display; }
/// ```
#[macro_export]
macro_rules! never {
    ($($type:ty: $($trait:path),+;)+) => {
        $($(const _: () = {
            trait Ambiguous<A> {
                const ITEM: () = ();
            }
            struct HasIt;
            impl<T: ?Sized> Ambiguous<()> for T {}
            impl<T: ?Sized + $trait> Ambiguous<HasIt> for T {}
            <$type as Ambiguous<_>>::ITEM
        };)+)+
    };
}

never! {
    Secret: fmt::Display, Clone, serde::Serialize, PartialEq, AsRef<str>, std::ops::Deref, std::hash::Hash;
    crate::SecretFields: fmt::Display, Clone, serde::Serialize, PartialEq;
}
