//! The sealed record: one form for all that is sealed. Specified in [`format`](mod@crate::format).

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    error::Unspecified,
};
use zeroize::Zeroizing;

use crate::{
    VaultError,
    format::{self, ALGORITHM, FORMAT, Reader},
    key::{KEY_LENGTH, Key},
    mac,
    random::random_bytes,
};

const PREFIX_LENGTH: usize = 7;
const SALT_LENGTH: usize = 32;
const COMMITMENT_LENGTH: usize = 32;

/// The version of the key that a record was sealed under, as its head says; nothing of it is proven yet.
pub(crate) fn key_version(record: &[u8]) -> Option<u32> {
    let mut reader = Reader::new(record);
    reader.take::<3>()?;
    reader.take().map(|version| u32::from_be_bytes(*version))
}

/// What is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    RootKey,
    WorkspaceKey,
    Field,
    SlotKey,
    OlderRoot,
    FingerprintKey,
}

impl Content {
    fn byte(self) -> u8 {
        match self {
            Self::RootKey => 1,
            Self::WorkspaceKey => 2,
            Self::Field => 3,
            Self::SlotKey => 4,
            Self::OlderRoot => 5,
            Self::FingerprintKey => 6,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::RootKey => "dataflow vault 1: seal root key",
            Self::WorkspaceKey => "dataflow vault 1: seal workspace key",
            Self::Field => "dataflow vault 1: seal field",
            Self::SlotKey => "dataflow vault 1: seal slot key",
            Self::OlderRoot => "dataflow vault 1: seal older root key",
            Self::FingerprintKey => "dataflow vault 1: seal fingerprint key",
        }
    }

    /// As errors call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RootKey => "the key ring's root key",
            Self::WorkspaceKey => "the workspace key",
            Self::Field => "the stored secret",
            Self::SlotKey => "the key of a slot",
            Self::OlderRoot => "an older root key",
            Self::FingerprintKey => "the workspace's fingerprint key",
        }
    }

    pub(crate) fn damaged(self, problem: &'static str) -> VaultError {
        VaultError::Damaged { what: self.name(), problem }
    }
}

/// The random part of a record. Made afresh for each; frozen-bytes tests alone give their own.
pub(crate) struct Fresh {
    pub(crate) salt: [u8; SALT_LENGTH],
    pub(crate) nonce: [u8; NONCE_LEN],
}

impl Fresh {
    pub(crate) fn random() -> Self {
        Self { salt: random_bytes(), nonce: random_bytes() }
    }
}

/// A key in its role of sealing one kind of content. `version` is the key's own.
pub(crate) struct Sealer<'a> {
    pub(crate) key: &'a Key,
    pub(crate) version: u32,
    pub(crate) content: Content,
}

impl Sealer<'_> {
    /// Seals for the place that `parts` name; it opens under the same parts alone.
    pub(crate) fn seal(&self, parts: &[&[u8]], mut plain: Zeroizing<Vec<u8>>, fresh: &Fresh) -> Result<Vec<u8>, VaultError> {
        let library = |_| VaultError::Library { what: self.content.name() };
        let prefix = self.prefix();
        let (record_key, commitment) = self.record_key(&fresh.salt).map_err(library)?;
        let nonce = Nonce::assume_unique_for_key(fresh.nonce);
        let aad = Aad::from(associated_data(prefix, parts));
        let tag = cipher(&record_key)
            .and_then(|key| key.seal_in_place_separate_tag(nonce, aad, plain.as_mut_slice()))
            .map_err(library)?;
        Ok([&prefix, fresh.salt.as_slice(), &fresh.nonce, commitment.as_slice(), plain.as_slice(), tag.as_ref()].concat())
    }

    /// Opens what [`Sealer::seal`] made under the same key and for the same parts.
    pub(crate) fn open(&self, parts: &[&[u8]], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        self.unlock(parts, sealed)?.open()
    }

    /// Derives the record's key. Most of the work of opening is here; a record that is opened often is unlocked once.
    pub(crate) fn unlock(&self, parts: &[&[u8]], sealed: &[u8]) -> Result<Unlocked, VaultError> {
        let short = || self.content.damaged("it is cut short");
        let mut reader = Reader::new(sealed);
        let prefix = *reader.take::<PREFIX_LENGTH>().ok_or_else(short)?;
        self.check_prefix(prefix)?;
        let salt = reader.take::<SALT_LENGTH>().ok_or_else(short)?;
        let nonce = *reader.take::<NONCE_LEN>().ok_or_else(short)?;
        let stored_commitment = reader.take::<COMMITMENT_LENGTH>().ok_or_else(short)?;
        let body = reader.rest().to_vec();
        if body.len() < AES_256_GCM.tag_len() {
            return Err(short());
        }
        let (key, commitment) = self.record_key(salt).map_err(|_| VaultError::Library { what: self.content.name() })?;
        if !mac::equal(commitment.as_slice(), stored_commitment) {
            return Err(VaultError::WrongKey { what: self.content.name() });
        }
        Ok(Unlocked { content: self.content, key, nonce, associated_data: associated_data(prefix, parts), body })
    }

    fn prefix(&self) -> [u8; PREFIX_LENGTH] {
        let [a, b, c, d] = self.version.to_be_bytes();
        [self.content.byte(), FORMAT, ALGORITHM, a, b, c, d]
    }

    fn check_prefix(&self, prefix: [u8; PREFIX_LENGTH]) -> Result<(), VaultError> {
        let what = self.content.name();
        let [content, format, algorithm, version @ ..] = prefix;
        if content != self.content.byte() {
            return Err(self.content.damaged("it is a record of another kind"));
        }
        for (found, known) in [(format, FORMAT), (algorithm, ALGORITHM)] {
            if found != known {
                return Err(VaultError::UnknownFormat { what, found });
            }
        }
        match u32::from_be_bytes(version) {
            sealed_under if sealed_under == self.version => Ok(()),
            sealed_under => Err(VaultError::OtherKeyVersion { what, sealed_under, at_hand: self.version }),
        }
    }

    /// The record's own key and its commitment.
    fn record_key(&self, salt: &[u8; SALT_LENGTH]) -> Result<(Key, [u8; COMMITMENT_LENGTH]), Unspecified> {
        let derived = self.key.derive::<{ KEY_LENGTH + COMMITMENT_LENGTH }>(salt, self.content.label());
        let (key, commitment) = derived.split_first_chunk::<KEY_LENGTH>().ok_or(Unspecified)?;
        Ok((Key::copied(key).ok_or(Unspecified)?, commitment.try_into().map_err(|_| Unspecified)?))
    }
}

/// A record with its own key, still sealed.
pub(crate) struct Unlocked {
    content: Content,
    key: Key,
    nonce: [u8; NONCE_LEN],
    associated_data: Vec<u8>,
    /// The text and its tag.
    body: Vec<u8>,
}

impl Unlocked {
    pub(crate) fn open(&self) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let what = self.content.name();
        let key = cipher(&self.key).map_err(|_| VaultError::Library { what })?;
        let mut body = Zeroizing::new(self.body.clone());
        let nonce = Nonce::assume_unique_for_key(self.nonce);
        let opened = key.open_in_place(nonce, Aad::from(&self.associated_data), body.as_mut_slice());
        let length = opened.map_err(|_| VaultError::Refused { what })?.len();
        body.truncate(length);
        Ok(body)
    }
}

fn cipher(key: &Key) -> Result<LessSafeKey, Unspecified> {
    UnboundKey::new(&AES_256_GCM, key.expose()).map(LessSafeKey::new)
}

fn associated_data(prefix: [u8; PREFIX_LENGTH], parts: &[&[u8]]) -> Vec<u8> {
    let mut all: Vec<&[u8]> = Vec::with_capacity(1 + parts.len());
    all.push(&prefix);
    all.extend_from_slice(parts);
    format::frame(&all)
}
