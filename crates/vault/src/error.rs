//! What can go wrong in the vault. No variant holds key material, plaintext or the text of a token.

use std::{io, path::PathBuf};

use crate::SlotKind;

/// Why the vault refused. Each text says what happened and, where somebody can act on it, what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    #[error("key file {}: {doing} failed", path.display())]
    KeyFile {
        path: PathBuf,
        doing: &'static str,
        #[source]
        source: io::Error,
    },
    #[error("key file {} already exists; a key file is never overwritten", path.display())]
    KeyFileExists { path: PathBuf },
    #[error("key file {} can be read by others (mode {mode:03o}); run: chmod 600 {}", path.display(), path.display())]
    KeyFileExposed { path: PathBuf, mode: u32 },
    #[error("key file {} is damaged: {problem}; put back a copy of it, or use the recovery key", path.display())]
    KeyFileDamaged { path: PathBuf, problem: &'static str },
    #[error("the passphrase is too short; use at least {min} characters")]
    PassphraseTooShort { min: usize },
    /// A key service did not seal or open a key: what happened, and what to do.
    #[error("{problem}")]
    KeyService { problem: String },
    #[error("the recovery key has {found} characters, it must have {expected}; compare it with the printed one")]
    RecoveryKeyLength { found: usize, expected: usize },
    #[error("the recovery key is mistyped; compare it with the printed one")]
    RecoveryKeyMistyped,

    /// The ring has no slot that this kind of provider could open.
    #[error("the key ring cannot be opened with a {wanted}, only with {present}")]
    NoSlot { wanted: SlotKind, present: String },
    /// The MAC over the ring fails although its root key opened: somebody changed a slot.
    #[error("the key ring was changed outside this program; put back a copy of the store")]
    RingRefused,
    /// The ring belongs to another instance than the vault that should change it.
    #[error("the key ring belongs to another instance")]
    RingOfAnotherInstance,

    #[error(
        "the key ring has no slot {id} any more, with which this server was opened; start it again with a key that opens the ring"
    )]
    SlotGone { id: u8 },
    #[error("the key ring has no slot {id}; “dataflow keys status” lists them")]
    NoSuchSlot { id: u8 },
    #[error("the last slot besides the recovery key's cannot be removed; add another one first")]
    LastSlot,
    #[error("the recovery key's slot cannot be removed; “dataflow keys recovery” replaces it")]
    RecoverySlot,
    #[error("the key ring has {most} slots and takes no more; remove one that is no longer needed")]
    RingFull { most: usize },
    /// It is of format 1.
    #[error("slot {id}, a {kind}, is from before keys could be rotated, and has to be made anew first: {}", remade(*.kind))]
    SlotCannotRotate { id: u8, kind: SlotKind },

    /// The commitment does not match: the bytes were sealed under another key.
    #[error("{what} was sealed under another key")]
    WrongKey { what: &'static str },
    /// The bytes are not of the stored form: truncated, or never sealed by this program.
    #[error("{what} is damaged: {problem}")]
    Damaged { what: &'static str, problem: &'static str },
    /// The key is right and the content is not what was sealed for this place: changed, or moved from elsewhere.
    #[error("{what} was changed, or moved from another place")]
    Refused { what: &'static str },
    #[error("{what} has format {found}, which this version does not know; it was written by a newer one")]
    UnknownFormat { what: &'static str, found: u8 },
    #[error("{what} was sealed under key version {sealed_under}, the key at hand is version {at_hand}")]
    OtherKeyVersion { what: &'static str, sealed_under: u32, at_hand: u32 },
    /// AWS-LC reported a failure that no input explains.
    #[error("sealing {what} failed in the cryptographic library")]
    Library { what: &'static str },

    #[error("a row of the table {table} was changed outside this program")]
    RowRefused { table: String },
    #[error("the token is not one of this program, or was copied incompletely")]
    TokenMalformed,
    #[error("a kind of token is 1 to 16 letters a-z")]
    TokenKind,
}

fn remade(kind: SlotKind) -> &'static str {
    match kind {
        SlotKind::RecoveryKey => "run “dataflow keys recovery”, which prints a new one",
        SlotKind::KeyFile | SlotKind::Passphrase | SlotKind::Transit => {
            "remove it with “dataflow keys remove-slot” and add it with “dataflow keys add-slot”, or start the server with it"
        }
    }
}
