//! Tokens, session ids and set-up links: one shape for all that is carried instead of a password.

use dataflow_model::Secret;

use crate::{VaultError, encoding, random::random_bytes};

const PREFIX: &str = "dfc_";
const KIND_MAX: usize = 16;
/// 62^43 is a little more than 2^256.
const RANDOM_LENGTH: usize = 43;
const SUM_LENGTH: usize = 6;

/// A new token: `dfc_<kind>_`, 256 random bits, checksum. Show or set it once, and store
/// [`Vault::token_hash`](crate::Vault::token_hash) of it. The kind (`user`, `session`, `setup` …) says to a person, and to a
/// scanner of leaked secrets, what was found.
///
/// # Errors
/// `TokenKind` if the kind is not 1 to 16 of `a-z`.
pub fn generate(kind: &str) -> Result<Secret, VaultError> {
    if !is_kind(kind) {
        return Err(VaultError::TokenKind);
    }
    let mut text = String::with_capacity(PREFIX.len() + kind.len() + 1 + RANDOM_LENGTH + SUM_LENGTH);
    text.extend([PREFIX, kind, "_"]);
    let random = std::iter::repeat_with(random_bytes::<64>).flatten();
    text.extend(random.filter_map(encoding::base62_from_random).take(RANDOM_LENGTH));
    text.extend(encoding::base62_of(encoding::crc32(text.as_bytes())));
    Ok(Secret::new(text))
}

/// The kind of a token, after a look at shape and checksum that needs no store: a token that was mistyped, cut or made up is
/// refused before anything is looked up.
///
/// # Errors
/// `TokenMalformed`.
pub fn parse(text: &str) -> Result<&str, VaultError> {
    kind_of(text).ok_or(VaultError::TokenMalformed)
}

fn kind_of(text: &str) -> Option<&str> {
    let (kind, body) = text.strip_prefix(PREFIX)?.split_once('_')?;
    let whole =
        is_kind(kind) && body.len() == RANDOM_LENGTH + SUM_LENGTH && body.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let (checked, sum) = text.split_at_checked(text.len().checked_sub(SUM_LENGTH)?)?;
    (whole && sum.chars().eq(encoding::base62_of(encoding::crc32(checked.as_bytes())))).then_some(kind)
}

fn is_kind(kind: &str) -> bool {
    (1..=KIND_MAX).contains(&kind.len()) && kind.bytes().all(|byte| byte.is_ascii_lowercase())
}
