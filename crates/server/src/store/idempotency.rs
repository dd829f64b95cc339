//! Idempotency keys: hashes of what was asked, kept for a day.

use super::{Handle, Result, Write, execute, fetch};

/// Notes a key in the transaction of its change; a key that is there already is [`super::StoreError::Unique`].
pub async fn insert_key(write: &mut Write, hash: &[u8], request_hash: &[u8], at: i64) -> Result<()> {
    execute!(write, "INSERT INTO idempotency_keys (hash, request_hash, at) VALUES ($1, $2, $3)", hash, request_hash, at)?;
    Ok(())
}

/// The hash of the request that a key was used for.
pub async fn key_request(handle: &mut impl Handle, hash: &[u8]) -> Result<Option<Vec<u8>>> {
    let row = fetch!(handle, fetch_optional, (Vec<u8>,), "SELECT request_hash FROM idempotency_keys WHERE hash = $1", hash)?;
    Ok(row.map(|(request_hash,)| request_hash))
}
