//! Connections and their versions. A version is written once; the connection's row points to the current one.

use super::{
    Handle, MacTable as _, Mark, Result, Write,
    aliases::{claim_name, drop_names, take_name},
    execute, fetch,
};

#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ConnectionRow {
    pub id: String,
    pub workspace_id: String,
    pub name: String,
    pub name_key: String,
    pub version: i64,
    #[sqlx(rename = "type")]
    pub type_id: String,
    pub description: String,
    /// JSON list.
    pub tags: String,
    /// What the list shows under “Host”.
    pub address: String,
    pub created_at: i64,
    pub created_by: String,
    pub updated_at: i64,
    pub updated_by: String,
    pub checked_at: Option<i64>,
    pub check_status: Option<String>,
    pub check_summary: Option<String>,
    pub check_micros: Option<i64>,
    /// JSON list of the last 20 checks, oldest first: `[["ok", 12.3], …]`, milliseconds.
    pub recent_checks: String,
    pub deleted_at: Option<i64>,
    pub deleted_by: Option<String>,
    pub deleted_reason: Option<String>,
    /// JSON of the ids of those who may use it; absent: whoever has the role.
    pub users: Option<String>,
    /// The name that whoever asks for this one, once deleted, is told to use.
    pub use_instead: Option<String>,
    pub mac: Vec<u8>,
}

/// What lists show of a [`ConnectionRow`]. Without its MAC: nothing of it directs a connection. Made of one, it has no dependents and no rotation.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ListedRow {
    pub id: String,
    pub name: String,
    pub name_key: String,
    pub version: i64,
    #[sqlx(rename = "type")]
    pub type_id: String,
    pub description: String,
    pub tags: String,
    pub address: String,
    pub updated_at: i64,
    pub updated_by: String,
    pub checked_at: Option<i64>,
    pub check_status: Option<String>,
    pub check_summary: Option<String>,
    pub check_micros: Option<i64>,
    pub recent_checks: String,
    /// How many workflows depend on its name.
    pub dependents: i64,
    /// How often it was tried to settle its rotation, if there is one.
    pub rotation_tries: Option<i64>,
}

impl From<&ConnectionRow> for ListedRow {
    fn from(row: &ConnectionRow) -> Self {
        Self {
            id: row.id.clone(),
            name: row.name.clone(),
            name_key: row.name_key.clone(),
            version: row.version,
            type_id: row.type_id.clone(),
            description: row.description.clone(),
            tags: row.tags.clone(),
            address: row.address.clone(),
            updated_at: row.updated_at,
            updated_by: row.updated_by.clone(),
            checked_at: row.checked_at,
            check_status: row.check_status.clone(),
            check_summary: row.check_summary.clone(),
            check_micros: row.check_micros,
            recent_checks: row.recent_checks.clone(),
            dependents: 0,
            rotation_tries: None,
        }
    }
}

/// The table of [`VersionRow`].
pub const VERSIONS: &str = "connection_versions";

#[derive(Debug, Clone, sqlx::FromRow)]
pub struct VersionRow {
    pub connection_id: String,
    pub version: i64,
    pub name: String,
    #[sqlx(rename = "type")]
    pub type_id: String,
    pub description: String,
    pub tags: String,
    /// JSON of the public fields, flat.
    pub fields: String,
    /// JSON list of the paths that were endpoints when it was saved.
    pub endpoint_paths: String,
    /// JSON: `{"password": {"version": 3, "sealed": "base64"}}`; the version is the one that the secret was sealed at.
    pub secrets: String,
    pub fingerprint: String,
    pub saved_at: i64,
    pub saved_by: String,
    /// The oldest version of the workspace's key that one of the secrets is sealed under. Not under the MAC: each record says it itself.
    pub key_version: i64,
    /// The older version that it was restored from. Not under the MAC: it directs nothing.
    pub restored_from: Option<i64>,
    pub mac: Vec<u8>,
}

/// Its name is taken before there is a row of it, as in every change: two that come to one name meet there, and nowhere else.
pub async fn insert_connection(write: &mut Write, row: &ConnectionRow) -> Result<()> {
    take_name(write, row).await?;
    write.leaves(row.mark());
    execute!(
        write,
        "INSERT INTO connections (id, workspace_id, name, name_key, version, type, description, tags, address, created_at, created_by, \
         updated_at, updated_by, recent_checks, mac) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        &row.id,
        &row.workspace_id,
        &row.name,
        &row.name_key,
        row.version,
        &row.type_id,
        &row.description,
        &row.tags,
        &row.address,
        row.created_at,
        &row.created_by,
        row.updated_at,
        &row.updated_by,
        &row.recent_checks,
        &row.mac,
    )?;
    Ok(())
}

/// Points a connection to its next version; `false` if `from_version` is no longer the current one.
pub async fn update_connection(write: &mut Write, row: &ConnectionRow, from_version: i64) -> Result<bool> {
    write.bears(&row.mac);
    let changed = execute!(
        write,
        "UPDATE connections SET version = $3, type = $4, description = $5, tags = $6, address = $7, updated_at = $8, updated_by = $9, \
         mac = $10 WHERE id = $1 AND version = $2 AND deleted_at IS NULL",
        &row.id,
        from_version,
        row.version,
        &row.type_id,
        &row.description,
        &row.tags,
        &row.address,
        row.updated_at,
        &row.updated_by,
        &row.mac,
    )?;
    if changed == 1 {
        write.leaves(row.mark());
    }
    Ok(changed == 1)
}

/// Points a connection to its next version, which has another name; `false` if `from_version` is no longer the current one.
///
/// # Errors
/// `Unique` where the name leads to another connection. The name of before is given up by [`drop_unused_names`](super::drop_unused_names).
pub async fn rename_connection(write: &mut Write, row: &ConnectionRow, from_version: i64) -> Result<bool> {
    write.bears(&row.mac);
    if !claim_name(write, (&row.workspace_id, &row.name_key), &row.id).await? {
        // It is there: fails as it must.
        take_name(write, row).await?;
    }
    let changed = execute!(
        write,
        "UPDATE connections SET name = $3, name_key = $4, version = $5, updated_at = $6, updated_by = $7, mac = $8 \
         WHERE id = $1 AND version = $2 AND deleted_at IS NULL",
        &row.id,
        from_version,
        &row.name,
        &row.name_key,
        row.version,
        row.updated_at,
        &row.updated_by,
        &row.mac,
    )?;
    if changed == 1 {
        write.leaves(row.mark());
    }
    Ok(changed == 1)
}

/// Replaces who may use a connection; `false` if `row.version` is no longer the current one.
pub async fn narrow_connection(write: &mut Write, row: &ConnectionRow) -> Result<bool> {
    write.bears(&row.mac);
    let changed = execute!(
        write,
        "UPDATE connections SET users = $3, mac = $4 WHERE id = $1 AND version = $2 AND deleted_at IS NULL",
        &row.id,
        row.version,
        row.users.as_deref(),
        &row.mac,
    )?;
    if changed == 1 {
        write.leaves(row.mark());
    }
    Ok(changed == 1)
}

/// The live connections of a workspace that are narrowed.
pub async fn narrowed_connections(handle: &mut impl Handle, workspace_id: &str) -> Result<Vec<ConnectionRow>> {
    let sql = "SELECT * FROM connections WHERE workspace_id = $1 AND users IS NOT NULL AND deleted_at IS NULL ORDER BY id";
    fetch!(handle, fetch_all, ConnectionRow, sql, workspace_id)
}

/// Turns a connection into its tombstone; `false` if `row.version` is no longer the current one.
pub async fn delete_connection(write: &mut Write, row: &ConnectionRow) -> Result<bool> {
    write.bears(&row.mac);
    let changed = execute!(
        write,
        "UPDATE connections SET deleted_at = $3, deleted_by = $4, deleted_reason = $5, use_instead = $6, mac = $7 \
         WHERE id = $1 AND version = $2 AND deleted_at IS NULL",
        &row.id,
        row.version,
        row.deleted_at,
        row.deleted_by.as_deref(),
        row.deleted_reason.as_deref(),
        row.use_instead.as_deref(),
        &row.mac,
    )?;
    if changed == 1 {
        write.leaves(row.mark());
        drop_names(write, &row.id).await?;
    }
    Ok(changed == 1)
}

/// Turns a tombstone into the connection that it was; `false` if it is none any more. Claim its name before, and those of its
/// aliases.
pub async fn restore_connection(write: &mut Write, row: &ConnectionRow) -> Result<bool> {
    write.bears(&row.mac);
    let changed = execute!(
        write,
        "UPDATE connections SET deleted_at = NULL, deleted_by = NULL, deleted_reason = NULL, use_instead = NULL, mac = $3 \
         WHERE id = $1 AND version = $2 AND deleted_at IS NOT NULL",
        &row.id,
        row.version,
        &row.mac,
    )?;
    if changed == 1 {
        write.leaves(row.mark());
    }
    Ok(changed == 1)
}

/// A page of tombstones, the latest first: before the place of one, its `deleted_at` and id.
pub async fn list_deleted(
    handle: &mut impl Handle,
    workspace_id: &str,
    (at, id): (i64, &str),
    limit: i64,
) -> Result<Vec<ConnectionRow>> {
    let sql = "SELECT * FROM connections WHERE workspace_id = $1 AND deleted_at IS NOT NULL AND (deleted_at, id) < ($2, $3) \
               ORDER BY deleted_at DESC, id DESC LIMIT $4";
    fetch!(handle, fetch_all, ConnectionRow, sql, workspace_id, at, id, limit)
}

/// What the last check of a connection said. Not under the MAC: it directs nothing. `false` if `row.version` is no longer the current one.
pub async fn record_check_on_connection(write: &mut Write, row: &ConnectionRow) -> Result<bool> {
    let changed = execute!(
        write,
        "UPDATE connections SET checked_at = $3, check_status = $4, check_summary = $5, check_micros = $6, recent_checks = $7 \
         WHERE id = $1 AND version = $2 AND deleted_at IS NULL",
        &row.id,
        row.version,
        row.checked_at,
        row.check_status.as_deref(),
        row.check_summary.as_deref(),
        row.check_micros,
        &row.recent_checks,
    )?;
    Ok(changed == 1)
}

/// The newest connection of exactly this name, live or deleted: the live one, else the last tombstone.
pub async fn newest_connection(
    handle: &mut impl Handle,
    workspace_id: &str,
    name: &str,
    name_key: &str,
) -> Result<Option<ConnectionRow>> {
    fetch!(
        handle,
        fetch_optional,
        ConnectionRow,
        "SELECT * FROM connections WHERE workspace_id = $1 AND name_key = $3 AND name = $2 \
         ORDER BY CASE WHEN deleted_at IS NULL THEN 0 ELSE 1 END, deleted_at DESC LIMIT 1",
        workspace_id,
        name,
        name_key
    )
}

/// Keeps the live connection of exactly this name as it is until this transaction ends; `false` if there is none.
pub async fn hold_connection(write: &mut Write, workspace_id: &str, name: &str, name_key: &str) -> Result<bool> {
    let sql =
        "UPDATE connections SET version = version WHERE workspace_id = $1 AND name_key = $3 AND name = $2 AND deleted_at IS NULL";
    let held = execute!(write, sql, workspace_id, name, name_key)?;
    Ok(held == 1)
}

/// The same by its id, deleted or not.
pub async fn hold_connection_by_id(write: &mut Write, id: &str) -> Result<bool> {
    let held = execute!(write, "UPDATE connections SET version = version WHERE id = $1", id)?;
    Ok(held == 1)
}

pub async fn connection_by_id(handle: &mut impl Handle, id: &str) -> Result<Option<ConnectionRow>> {
    fetch!(handle, fetch_optional, ConnectionRow, "SELECT * FROM connections WHERE id = $1", id)
}

pub async fn insert_version(write: &mut Write, row: &VersionRow) -> Result<()> {
    write.bears(&row.mac);
    write.saved.push((row.connection_id.clone(), row.version));
    execute!(
        write,
        "INSERT INTO connection_versions (connection_id, version, name, type, description, tags, fields, endpoint_paths, secrets, \
         fingerprint, saved_at, saved_by, key_version, restored_from, mac) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        &row.connection_id,
        row.version,
        &row.name,
        &row.type_id,
        &row.description,
        &row.tags,
        &row.fields,
        &row.endpoint_paths,
        &row.secrets,
        &row.fingerprint,
        row.saved_at,
        &row.saved_by,
        row.key_version,
        row.restored_from,
        &row.mac,
    )?;
    Ok(())
}

/// Versions of a connection that were saved before the one of this number, the newest first.
pub async fn versions_before(handle: &mut impl Handle, connection_id: &str, before: i64, limit: i64) -> Result<Vec<VersionRow>> {
    let sql = "SELECT * FROM connection_versions WHERE connection_id = $1 AND version < $2 ORDER BY version DESC LIMIT $3";
    fetch!(handle, fetch_all, VersionRow, sql, connection_id, before, limit)
}

/// Versions of a connection that hold the secret of this path that was sealed at this version, the newest first.
pub async fn versions_with_secret(
    handle: &mut impl Handle,
    connection_id: &str,
    (path, sealed_at): (&str, i64),
    limit: i64,
) -> Result<Vec<i64>> {
    // As `VersionRow::secrets` is written.
    let held = format!("%\"{}\":{{\"version\":{sealed_at},%", path.replace('_', "\\_"));
    let sql = "SELECT version FROM connection_versions WHERE connection_id = $1 AND secrets LIKE $2 ESCAPE '\\' \
               ORDER BY version DESC LIMIT $3";
    let rows = fetch!(handle, fetch_all, (i64,), sql, connection_id, held, limit)?;
    Ok(rows.into_iter().map(|(version,)| version).collect())
}

/// Deletes an older version for good, whoever changed its row; `false` if it is not there, or is the current one.
pub async fn delete_version(write: &mut Write, connection_id: &str, version: i64) -> Result<bool> {
    let sql = "DELETE FROM connection_versions WHERE connection_id = $1 AND version = $2 \
               AND version < (SELECT c.version FROM connections c WHERE c.id = $1)";
    let deleted = execute!(write, sql, connection_id, version)?;
    if deleted == 1 {
        write.leaves(Mark::gone(VERSIONS, &[&connection_id, &version]));
    }
    Ok(deleted == 1)
}

pub async fn version(handle: &mut impl Handle, connection_id: &str, version: i64) -> Result<Option<VersionRow>> {
    fetch!(
        handle,
        fetch_optional,
        VersionRow,
        "SELECT * FROM connection_versions WHERE connection_id = $1 AND version = $2",
        connection_id,
        version
    )
}
