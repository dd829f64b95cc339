//! API tokens: their hashes, never themselves.

use super::{Handle, Result, Write, execute, fetch};

#[derive(Debug, Clone, sqlx::FromRow)]
pub struct TokenRow {
    pub id: String,
    pub workspace_id: String,
    pub name: String,
    pub name_key: String,
    pub hash: Vec<u8>,
    pub roles: String,
    /// JSON list of connection names that the token is narrowed to.
    pub connections: Option<String>,
    pub created_at: i64,
    pub created_by: String,
    pub expires_at: i64,
    pub revoked_at: Option<i64>,
    pub last_used_at: Option<i64>,
    pub mac: Vec<u8>,
}

pub async fn insert_token(write: &mut Write, row: &TokenRow) -> Result<()> {
    execute!(
        write,
        "INSERT INTO tokens (id, workspace_id, name, name_key, hash, roles, connections, created_at, created_by, expires_at, \
         revoked_at, last_used_at, mac) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        &row.id,
        &row.workspace_id,
        &row.name,
        &row.name_key,
        &row.hash,
        &row.roles,
        row.connections.as_deref(),
        row.created_at,
        &row.created_by,
        row.expires_at,
        row.revoked_at,
        row.last_used_at,
        &row.mac,
    )?;
    Ok(())
}

pub async fn token_by_hash(handle: &mut impl Handle, hash: &[u8]) -> Result<Option<TokenRow>> {
    fetch!(
        handle,
        fetch_optional,
        TokenRow,
        "SELECT id, workspace_id, name, name_key, hash, roles, connections, created_at, created_by, expires_at, revoked_at, \
         last_used_at, mac FROM tokens WHERE hash = $1",
        hash
    )
}

/// All tokens of a workspace, revoked ones too, newest first.
pub async fn list_tokens(handle: &mut impl Handle, workspace_id: &str) -> Result<Vec<TokenRow>> {
    fetch!(
        handle,
        fetch_all,
        TokenRow,
        "SELECT id, workspace_id, name, name_key, hash, roles, connections, created_at, created_by, expires_at, revoked_at, \
         last_used_at, mac FROM tokens WHERE workspace_id = $1 ORDER BY created_at DESC, id",
        workspace_id
    )
}

/// `mac` is over the row as revoked.
pub async fn revoke_token(write: &mut Write, id: &str, now: i64, mac: &[u8]) -> Result<()> {
    execute!(write, "UPDATE tokens SET revoked_at = $2, mac = $3 WHERE id = $1", id, now, mac)?;
    Ok(())
}

pub async fn touch_token(write: &mut Write, id: &str, at: i64) -> Result<()> {
    execute!(write, "UPDATE tokens SET last_used_at = $2 WHERE id = $1", id, at)?;
    Ok(())
}
