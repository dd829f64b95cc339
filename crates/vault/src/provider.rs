//! Where the key comes from that opens the key ring. One file per provider; each gives 32 bytes and knows nothing of the ring.

use crate::{SlotKind, VaultError, key::Key};

mod key_file;
mod passphrase;
mod recovery_key;

pub use key_file::KeyFile;
pub use passphrase::Passphrase;
pub use recovery_key::RecoveryKey;

/// A key encryption key: it seals the root key and nothing else. Wiped when dropped; not readable.
#[derive(Debug)]
pub struct Kek(pub(crate) Key);

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
