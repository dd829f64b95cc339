//! API tokens: their hashes, never themselves.

use super::{Engine, Handle, MacTable as _, Result, Write, execute, fetch, in_time};

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
    /// For show.
    pub created_by: String,
    /// Kind and id of who made it; absent in tokens of before this was kept.
    pub made_by: Option<String>,
    /// The person behind it: its maker, or behind the token that is its maker.
    pub person_id: Option<String>,
    pub expires_at: i64,
    pub revoked_at: Option<i64>,
    pub last_used_at: Option<i64>,
    pub mac: Vec<u8>,
}

pub async fn insert_token(write: &mut Write, row: &TokenRow) -> Result<()> {
    write.leaves(row.mark());
    execute!(
        write,
        "INSERT INTO tokens (id, workspace_id, name, name_key, hash, roles, connections, created_at, created_by, made_by, person_id, \
         expires_at, revoked_at, last_used_at, mac) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        &row.id,
        &row.workspace_id,
        &row.name,
        &row.name_key,
        &row.hash,
        &row.roles,
        row.connections.as_deref(),
        row.created_at,
        &row.created_by,
        row.made_by.as_deref(),
        row.person_id.as_deref(),
        row.expires_at,
        row.revoked_at,
        row.last_used_at,
        &row.mac,
    )?;
    Ok(())
}

pub async fn token_by_hash(handle: &mut impl Handle, hash: &[u8]) -> Result<Option<TokenRow>> {
    fetch!(handle, fetch_optional, TokenRow, "SELECT * FROM tokens WHERE hash = $1", hash)
}

pub async fn token(handle: &mut impl Handle, workspace_id: &str, id: &str) -> Result<Option<TokenRow>> {
    fetch!(handle, fetch_optional, TokenRow, "SELECT * FROM tokens WHERE workspace_id = $1 AND id = $2", workspace_id, id)
}

/// One that is not revoked, and that `owner` made or stands behind as in [`TokenPage`]. Of another one no column is read: that would take
/// longer than to find none.
pub async fn live_token(handle: &mut impl Handle, (workspace_id, id): (&str, &str), owner: &str) -> Result<Option<TokenRow>> {
    let sql = "SELECT * FROM tokens WHERE workspace_id = $1 AND id = $2 AND revoked_at IS NULL \
               AND ($3 = '' OR made_by = $3 OR person_id = $3)";
    fetch!(handle, fetch_optional, TokenRow, sql, workspace_id, id, owner)
}

pub async fn live_token_by_name(handle: &mut impl Handle, workspace_id: &str, name_key: &str) -> Result<Option<TokenRow>> {
    let sql = "SELECT * FROM tokens WHERE workspace_id = $1 AND name_key = $2 AND revoked_at IS NULL";
    fetch!(handle, fetch_optional, TokenRow, sql, workspace_id, name_key)
}

/// Which tokens of a workspace to list. `before` is the place of the last row that was read: its `created_at` and id.
#[derive(Debug)]
pub struct TokenPage<'q> {
    pub workspace_id: &'q str,
    /// What `owner` made (`token ID`) or stands behind (a person's id); empty: all.
    pub owner: &'q str,
    pub before: (i64, &'q str),
    pub limit: i64,
}

/// A page of tokens, revoked ones too, newest first.
pub async fn list_tokens(handle: &mut impl Handle, page: &TokenPage<'_>) -> Result<Vec<TokenRow>> {
    fetch!(
        handle,
        fetch_all,
        TokenRow,
        "SELECT * FROM tokens WHERE workspace_id = $1 AND ($2 = '' OR made_by = $2 OR person_id = $2) AND (created_at, id) < ($3, $4) \
         ORDER BY created_at DESC, id DESC LIMIT $5",
        page.workspace_id,
        page.owner,
        page.before.0,
        page.before.1,
        page.limit
    )
}

/// The tokens of a workspace that are not revoked and that `owner` made (`token ID`) or stands behind (a person's id).
pub async fn live_tokens_of(handle: &mut impl Handle, workspace_id: &str, owner: &str) -> Result<Vec<TokenRow>> {
    fetch!(
        handle,
        fetch_all,
        TokenRow,
        "SELECT * FROM tokens WHERE workspace_id = $1 AND revoked_at IS NULL AND (made_by = $2 OR person_id = $2)",
        workspace_id,
        owner
    )
}

/// The live tokens of a workspace that are narrowed to some connections, held by id until this transaction ends.
pub async fn hold_narrowed_tokens(write: &mut Write, workspace_id: &str) -> Result<Vec<TokenRow>> {
    // In SQLite whoever writes is alone.
    if let Engine::Postgres(connection) = write.engine() {
        let sql = "SELECT 1 FROM tokens WHERE workspace_id = $1 AND connections IS NOT NULL AND revoked_at IS NULL ORDER BY id FOR UPDATE";
        in_time(sqlx::query(sql).bind(workspace_id).execute(connection)).await?;
    }
    let sql = "SELECT * FROM tokens WHERE workspace_id = $1 AND connections IS NOT NULL AND revoked_at IS NULL ORDER BY id";
    fetch!(write, fetch_all, TokenRow, sql, workspace_id)
}

/// Replaces the names that a live token is narrowed to.
pub async fn narrow_token(write: &mut Write, row: &TokenRow) -> Result<()> {
    write.bears(&row.mac);
    let sql = "UPDATE tokens SET connections = $2, mac = $3 WHERE id = $1 AND revoked_at IS NULL";
    if execute!(write, sql, &row.id, row.connections.as_deref(), &row.mac)? == 1 {
        write.leaves(row.mark());
    }
    Ok(())
}

/// Keeps a token from being revoked until this transaction ends; `false` if it is revoked already.
pub async fn hold_token(write: &mut Write, id: &str) -> Result<bool> {
    let held = execute!(write, "UPDATE tokens SET revoked_at = NULL WHERE id = $1 AND revoked_at IS NULL", id)?;
    Ok(held == 1)
}

/// Writes what revoking changes of a row; `false` if it is revoked already.
pub async fn revoke_token(write: &mut Write, row: &TokenRow) -> Result<bool> {
    write.bears(&row.mac);
    let revoked = execute!(
        write,
        "UPDATE tokens SET hash = $2, revoked_at = $3, mac = $4 WHERE id = $1 AND revoked_at IS NULL",
        &row.id,
        &row.hash,
        row.revoked_at,
        &row.mac
    )?;
    if revoked == 1 {
        write.leaves(row.mark());
    }
    Ok(revoked == 1)
}

pub async fn touch_token(write: &mut Write, id: &str, at: i64) -> Result<()> {
    execute!(write, "UPDATE tokens SET last_used_at = $2 WHERE id = $1", id, at)?;
    Ok(())
}
