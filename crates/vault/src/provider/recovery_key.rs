//! The key that is printed once and lies in a safe.

use dataflow_model::Secret;
use zeroize::Zeroizing;

use crate::{
    Kek, KekProvider, SlotKind, VaultError, encoding,
    key::{KEY_LENGTH, Key},
};

const CHARACTERS: usize = 56;
const GROUP: usize = 4;

/// 256 random bits that open the ring when everything else is lost. Whoever holds it and a copy of the store holds every secret.
#[derive(Debug)]
pub struct RecoveryKey(Key);

impl RecoveryKey {
    #[must_use]
    pub fn generate() -> Self {
        Self(Key::random())
    }

    /// The key for paper: 14 groups of 4 characters. Show it once and keep it nowhere.
    #[must_use]
    pub fn to_text(&self) -> Secret {
        let sum = encoding::crc24(self.0.expose());
        let bytes = Zeroizing::new([self.0.expose().as_slice(), &sum].concat());
        let characters = encoding::base32(&bytes);
        let mut text = String::with_capacity(CHARACTERS + CHARACTERS / GROUP);
        for (at, character) in characters.chars().enumerate() {
            if at > 0 && at.is_multiple_of(GROUP) {
                text.push('-');
            }
            text.push(character);
        }
        Secret::new(text)
    }

    /// Reads what somebody typed, in any case, with or without spaces and dashes; `O` counts as 0, `I` and `L` as 1.
    ///
    /// # Errors
    /// `RecoveryKeyLength` or `RecoveryKeyMistyped`. One mistyped character and one swapped pair are always found, anything
    /// else but once in 16 million; that once, opening the ring fails with `WrongKey`.
    pub fn parse(text: &str) -> Result<Self, VaultError> {
        let typed = text.chars().filter(|c| !c.is_whitespace() && !matches!(c, '-' | '\u{2010}'..='\u{2015}' | '\u{2212}'));
        let mut values = Zeroizing::new(Vec::with_capacity(text.len()));
        for character in typed {
            values.push(encoding::base32_value(character).ok_or(VaultError::RecoveryKeyMistyped)?);
        }
        if values.len() != CHARACTERS {
            return Err(VaultError::RecoveryKeyLength { found: values.len(), expected: CHARACTERS });
        }
        let bytes = encoding::unbase32(&values);
        let (key, sum) = bytes.split_first_chunk::<KEY_LENGTH>().ok_or(VaultError::RecoveryKeyMistyped)?;
        if *sum != encoding::crc24(key) {
            return Err(VaultError::RecoveryKeyMistyped);
        }
        Key::copied(key).map(Self).ok_or(VaultError::RecoveryKeyMistyped)
    }
}

impl KekProvider for RecoveryKey {
    fn kind(&self) -> SlotKind {
        SlotKind::RecoveryKey
    }

    fn enroll(&self) -> Result<(Kek, Vec<u8>), VaultError> {
        Ok((self.unlock(&[])?, Vec::new()))
    }

    fn unlock(&self, _parameters: &[u8]) -> Result<Kek, VaultError> {
        Ok(Kek(self.0.duplicate()))
    }
}
