//! A slot's key pair (X25519, RFC 7748). The private key follows from the slot's KEK; whoever knows the public one can give the slot another
//! root key, and cannot read what lies in it.

use aws_lc_rs::agreement::{self, PrivateKey, UnparsedPublicKey, X25519};

use crate::{
    VaultError,
    format::{self, Label},
    key::{KEY_LENGTH, Key},
};

const WHAT: &str = "the key ring's root key";

pub(crate) type PublicKey = [u8; KEY_LENGTH];

/// Both keys of a slot, or of one act of giving a slot its root key.
pub(crate) struct KeyPair {
    private: PrivateKey,
    pub(crate) public: PublicKey,
}

impl KeyPair {
    /// The pair of a slot.
    pub(crate) fn of(kek: &Key) -> Result<Self, VaultError> {
        Self::from_private(&Key::filled(|bytes| {
            bytes.copy_from_slice(kek.derive::<KEY_LENGTH>(&[], Label::Slot.as_str()).as_slice());
        }))
    }

    /// A pair for one act, forgotten after it.
    pub(crate) fn random() -> Result<Self, VaultError> {
        Self::from_private(&Key::random())
    }

    fn from_private(key: &Key) -> Result<Self, VaultError> {
        let library = || VaultError::Library { what: WHAT };
        let private = PrivateKey::from_private_key(&X25519, key.expose()).map_err(|_| library())?;
        let public = private.compute_public_key().map_err(|_| library())?;
        Ok(Self { public: public.as_ref().try_into().map_err(|_| library())?, private })
    }

    /// The key that this pair and the other one have in common.
    pub(crate) fn shared_with(&self, other: &PublicKey) -> Result<Key, VaultError> {
        let refused = VaultError::Refused { what: WHAT };
        agreement::agree(&self.private, UnparsedPublicKey::new(&X25519, other), refused, |shared| {
            let shared = Key::copied(shared).ok_or(VaultError::Library { what: WHAT })?;
            Ok(Key::filled(|bytes| {
                bytes.copy_from_slice(shared.derive::<KEY_LENGTH>(&[], Label::SlotAgreement.as_str()).as_slice());
            }))
        })
    }
}

/// One `LP` part that is a public key.
pub(crate) fn read_public(reader: &mut format::Reader<'_>) -> Option<PublicKey> {
    reader.part()?.try_into().ok()
}
