//! Where the key comes from that opens the key ring. One file per provider; each gives 32 bytes and knows nothing of the ring.

use zeroize::Zeroizing;

use crate::{
    SlotKind, VaultError,
    format::{self, Reader},
    key::{KEY_LENGTH, Key},
};

mod key_file;
mod passphrase;
mod recovery_key;

pub use key_file::KeyFile;
pub use passphrase::Passphrase;
pub use recovery_key::RecoveryKey;

/// A key encryption key: it seals the root key and nothing else. Wiped when dropped; not readable.
#[derive(Debug)]
pub struct Kek(pub(crate) Key);

impl Kek {
    /// A new one, and its bytes: for a key service to seal, and nothing else.
    #[must_use]
    pub fn random() -> (Self, Zeroizing<[u8; KEY_LENGTH]>) {
        let key = Key::random();
        let bytes = Zeroizing::new(*key.expose());
        (Self(key), bytes)
    }

    /// The one with these bytes, as a key service gives them back; `None` if they are not 32.
    #[must_use]
    pub fn copied(bytes: &[u8]) -> Option<Self> {
        Key::copied(bytes).map(Self)
    }
}

/// A slot's parameters for a key service: which of its keys, and what that sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransitParameters {
    /// Mount and name, `transit/dataflow`.
    pub key: String,
    pub ciphertext: String,
}

impl TransitParameters {
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        format::frame(&[self.key.as_bytes(), self.ciphertext.as_bytes()])
    }

    /// # Errors
    /// `Damaged`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, VaultError> {
        let mut reader = Reader::new(bytes);
        let mut text = || reader.part().and_then(|part| String::from_utf8(part.to_vec()).ok());
        let read = text().zip(text());
        let whole = read.filter(|_| reader.is_empty()).map(|(key, ciphertext)| Self { key, ciphertext });
        whole.ok_or(VaultError::Damaged { what: "the key ring", problem: "the parameters of the Transit key are cut short" })
    }
}

/// What can open a slot of the key ring.
///
/// A provider that keeps its key elsewhere (a key service) can be one too: it seals a fresh KEK there and keeps the result in
/// the slot's parameters.
pub trait KekProvider {
    fn kind(&self) -> SlotKind;

    /// A KEK for a slot that is being made, with the parameters that [`KekProvider::unlock`] needs to find it again.
    /// They are stored in clear, under the ring's MAC.
    fn enroll(&self) -> Result<(Kek, Vec<u8>), VaultError>;

    /// The KEK of a slot with these parameters. Whether it is the right one shows when the slot is opened.
    fn unlock(&self, parameters: &[u8]) -> Result<Kek, VaultError>;
}
