//! The stored formats, byte by byte: the specification, with the constants and the two primitives that it rests on.
//!
//! `‖` joins bytes, numbers are unsigned big-endian, `u32(7)` is `00 00 00 07`. A UUID is its 16 bytes. `LP(x)` is `u64(length
//! of x) ‖ x`, and `LP(x, y, …)` is `LP(x) ‖ LP(y) ‖ …`; since every part carries its length, no two lists of parts give the
//! same bytes. `sum(x, n)` is the first n bytes of SHA-256(x); it tells damage from another key and protects nothing. HKDF is
//! HKDF-SHA256 (RFC 5869), HMAC is HMAC-SHA256, and X25519 is that of RFC 7748.
//!
//! # Keys
//! All keys are 32 bytes. A KEK (key encryption key) comes from a provider, root and workspace keys from the system's generator.
//!
//! | kind | provider | KEK | slot parameters |
//! |---|---|---|---|
//! | 1 | key file | the key in the file | none |
//! | 2 | passphrase | Argon2id, version 0x13, 32 bytes, over the passphrase in UTF-8 | `u32(memory in KiB) ‖ u32(passes) ‖ u32(lanes) ‖ salt (16)` |
//! | 3 | recovery key | the key that was printed | none |
//! | 4 | Transit (Vault, OpenBao) | 32 random bytes, sealed there | `LP(mount and name of the Transit key, ciphertext)`, both in UTF-8 as the service gives them; its plaintext is the KEK |
//!
//! A *derived key* is `HKDF(salt = none, key, info = label, 32 bytes)`; the labels:
//!
//! | label | from | for |
//! |---|---|---|
//! | `dataflow vault 1: key ring` | root key | MAC of the key ring |
//! | `dataflow vault 1: row` | root key | `HMAC(LP(table, part, …))` over a row; see *Row MAC* |
//! | `dataflow vault 1: token` | root key | `HMAC(token)`, what is stored of a token |
//! | `dataflow vault 1: audit` | root key | `HMAC(event)`; a chain's link `HMAC(LP("link", link before, event))`, 32 zero bytes before the first |
//! | `dataflow vault 1: fingerprint` | a workspace's first key | fingerprints, below |
//! | `dataflow vault 1: slot` | KEK | X25519 private key of a slot |
//! | `dataflow vault 1: slot agreement` | X25519 of a slot's pair and a pair made for the act | seals the root key in a slot |
//!
//! # Sealed record
//! Everything is sealed in one form, under the key one level up:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | kind: see below |
//! | 1 | format: 1 |
//! | 1 | algorithm: 1 |
//! | 4 | u32: version of the key that sealed; 0 where that is a KEK, which has none |
//! | 32 | salt, random |
//! | 12 | nonce, random |
//! | 32 | commitment |
//! | n + 16 | ciphertext and tag |
//!
//! Algorithm 1: `record key ‖ commitment = HKDF(salt, key above, info = label of the kind, 64 bytes)`; the body is AES-256-GCM
//! under record key and nonce. The associated data is `LP(first 7 bytes, part, …)`. To open: check the first 7 bytes, derive,
//! compare the commitment in constant time, and only then decrypt; there is no second try under another key. The commitment is
//! the second half of the same derivation, so a record opens under one key only, although GCM alone would not promise that.
//!
//! | kind | label | parts of the associated data after the first 7 bytes | plaintext |
//! |---|---|---|---|
//! | 1 | `dataflow vault 1: seal root key` | instance, slot id ‖ slot kind (2 bytes), slot parameters; by agreement also the public key made for the act, the slot's public key | `u32(root key's version) ‖ root key` |
//! | 2 | `dataflow vault 1: seal workspace key` | instance, workspace | `u32(workspace key's version) ‖ workspace key` |
//! | 3 | `dataflow vault 1: seal field` | instance, workspace, connection, u64(version), field path, endpoint digest | the secret in UTF-8, padded |
//! | 4 | `dataflow vault 1: seal slot key` | instance, slot id ‖ slot kind (2 bytes), slot parameters | the slot's public key |
//! | 5 | `dataflow vault 1: seal older root key` | instance | `u32(its version) ‖ root key` |
//! | 6 | `dataflow vault 1: seal fingerprint key` | instance, workspace | the derived key of fingerprints |
//!
//! Kind 1 is sealed under a KEK, or under the derived key of an agreement; kinds 4 and 5 under the newest root key; 2 and 6 under the root key
//! that is active; 3 under the workspace's active key.
//!
//! A field is padded with one byte 0x80 and as many 0x00 as fill a multiple of 64, so that the length of a password stays
//! private.
//!
//! The *endpoint digest* is `SHA-256(LP(u32(list version), type id, then for each endpoint field: path, present, value))`;
//! `present` is the byte 1 or 0, the value is text, empty if absent; fields are sorted by path.
//!
//! # Key ring
//! Format 2: `"DFKR" ‖ 2 (1 byte) ‖ instance ‖ u32(newest) ‖ u32(active) ‖ u32(rows from) ‖ u32(number of older root keys) ‖ LP(older root key, …) ‖
//! number of slots (1 byte, 1 to 16) ‖ slots ‖ MAC (32) ‖ sum(all before, 4)`. The first three numbers are versions of the root key: the newest, which the slots
//! hold; the one that seals and makes MACs, which is the newest or the one before it; and the oldest one whose row MACs hold. Older root keys
//! are in the order of their versions. The MAC is an HMAC over all bytes before it, under the newest root key. Ids of slots differ.
//!
//! A slot is `id (1 byte) ‖ kind (1 byte) ‖ form (1 byte) ‖ LP(parameters, sealed root key)`. Form 1: sealed under the KEK. Form 2, by agreement: `LP(public key made
//! for the act, sealed slot key)` follow, and the root key is sealed under the derived key of X25519 of the slot's private key and that public
//! key. The slot's own public key lies sealed under the newest root key, and nowhere in clear: who has neither KEK nor root key has no public key to work at.
//!
//! Format 1, which is no longer written: `"DFKR" ‖ 1 (1 byte) ‖ instance ‖ number of slots (1 byte, 1 to 3) ‖ slots ‖ MAC (32) ‖ sum(all before, 4)`, where a
//! slot is `id (1 byte) ‖ kind (1 byte) ‖ LP(parameters, sealed root key)`, sealed under the KEK. Kinds differ, too. Its root key is newest, active, and the only one.
//!
//! # A workspace's keys
//! A workspace that never had more than one key has its sealed record, kind 2. Otherwise: `"DFWK" ‖ 1 (1 byte) ‖ u32(active) ‖ LP(sealed fingerprint key,
//! sealed key, …)`, the keys in the order of their versions. The fingerprint key is the one derived from the workspace's first key, and stays.
//!
//! # Row MAC
//! Under the oldest root key of the ring, the 32 bytes of the HMAC; under another, `u32(its version) ‖ HMAC`.
//!
//! # Fingerprint
//! The first 16 bytes of `HMAC(LP(type id, connector, u64(number of public fields), then for each: path, tag, value; then for
//! each secret: path, secret))`, in 32 lower-case hex digits. Fields are sorted by path; the tag is one byte: 1 a text in
//! UTF-8, 2 an integer as 8 bytes in two's complement, 3 a boolean as one byte 0 or 1.
//!
//! # Password mark
//! The first 16 bytes of `HMAC(password)`, under a key derived from the workspace's fingerprint key.
//!
//! # Texts
//! - Key file: `dataflow-key-1:` ‖ 64 hex digits ‖ `:` ‖ 8 hex digits ‖ newline; the last group is `sum(all before its colon,
//!   4)`.
//! - Recovery key: `key ‖ CRC-24 of the key`, 35 bytes, in Crockford's base32: 56 characters, printed as 14 groups of 4 with
//!   dashes. Read without regard to case, white space and dashes; `I` and `L` are 1, `O` is 0. The CRC is that of RFC 4880.
//! - Token: `dfc_` ‖ kind (1 to 16 of `a-z`) ‖ `_` ‖ 43 random base62 characters (256 bits) ‖ CRC-32 of all before, 6 base62
//!   characters, most significant first. The digits of base62 are `0-9A-Za-z`. The CRC is the one of zip and Ethernet.
//! - Password of a person: a PHC string, `$argon2id$v=19$m=47104,t=1,p=1$salt$hash`, with 16 and 32 bytes.

/// The format of every kind of record, of the key file, and of a workspace's keys.
pub const FORMAT: u8 = 1;
/// The format of the key ring that is written.
pub const RING_FORMAT: u8 = 2;
/// HKDF-SHA256, commitment, AES-256-GCM.
pub const ALGORITHM: u8 = 1;
/// The version of a key that was just made; rotation counts up from it.
pub const FIRST_KEY_VERSION: u32 = 1;
/// What a key ring begins with.
pub const RING_MAGIC: &[u8; 4] = b"DFKR";
/// What a workspace's keys begin with, where there was more than one.
pub const WORKSPACE_KEYS_MAGIC: &[u8; 4] = b"DFWK";
/// Most slots of a key ring.
pub const SLOTS_MAX: usize = 16;
/// The same in format 1.
pub const SLOTS_MAX_1: usize = 3;
/// The first word of a key file, before its format number.
pub const KEY_FILE_WORD: &str = "dataflow-key-";
/// Field plaintexts fill a multiple of this many bytes.
pub const FIELD_BLOCK: usize = 64;

/// The uses of a derived key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Label {
    KeyRing,
    Row,
    Token,
    Audit,
    Fingerprint,
    PasswordMark,
    Slot,
    SlotAgreement,
}

impl Label {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::KeyRing => "dataflow vault 1: key ring",
            Self::Row => "dataflow vault 1: row",
            Self::Token => "dataflow vault 1: token",
            Self::Audit => "dataflow vault 1: audit",
            Self::Fingerprint => "dataflow vault 1: fingerprint",
            Self::PasswordMark => "dataflow vault 1: password mark",
            Self::Slot => "dataflow vault 1: slot",
            Self::SlotAgreement => "dataflow vault 1: slot agreement",
        }
    }
}

/// `LP(part, …)`.
pub(crate) fn frame(parts: &[&[u8]]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(parts.iter().map(|part| 8 + part.len()).sum());
    for part in parts {
        framed.extend_from_slice(&length(part));
        framed.extend_from_slice(part);
    }
    framed
}

/// The length that `LP` puts before a part.
pub(crate) fn length(part: &[u8]) -> [u8; 8] {
    number(part.len())
}

/// A length or a count as u64.
pub(crate) fn number(number: usize) -> [u8; 8] {
    u64::try_from(number).expect("no machine counts past 2^64").to_be_bytes()
}

/// Takes bytes from the front; `None` where there are too few.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn take<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.take().map(|[byte]| *byte)
    }

    /// One `LP` part.
    pub(crate) fn part(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(u64::from_be_bytes(*self.take()?)).ok()?;
        let (part, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(part)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn rest(self) -> &'a [u8] {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cannot_run_into_each_other() {
        assert_ne!(frame(&[b"a-b", b"c"]), frame(&[b"a", b"-bc"]));
        assert_ne!(frame(&[b"ab"]), frame(&[b"ab", b""]));
        assert_eq!(frame(&[b"ab"]), b"\0\0\0\0\0\0\0\x02ab");
    }

    #[test]
    fn a_reader_gives_back_parts_and_nothing_past_the_end() {
        let framed = frame(&[b"ab", b""]);
        let mut reader = Reader::new(&framed);
        assert_eq!(reader.part(), Some(&b"ab"[..]));
        assert_eq!(reader.part(), Some(&b""[..]));
        assert_eq!(reader.part(), None);
        assert_eq!(Reader::new(&[0xff; 9]).part(), None);
    }
}
