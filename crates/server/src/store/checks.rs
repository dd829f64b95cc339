//! Checks: one row per run of a test.

use super::{Handle, Result, Write, execute, fetch};

#[derive(Debug, Clone, sqlx::FromRow)]
pub struct CheckRow {
    pub id: String,
    pub connection_id: String,
    pub version: i64,
    pub status: String,
    /// The whole report as JSON.
    pub report: String,
    pub checked_at: i64,
    pub checked_by: String,
    pub took_micros: Option<i64>,
    /// Whether a client ran it and told of it.
    pub from_client: bool,
}

pub async fn insert_check(write: &mut Write, row: &CheckRow) -> Result<()> {
    execute!(
        write,
        "INSERT INTO checks (id, connection_id, version, status, report, checked_at, checked_by, took_micros, from_client) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        &row.id,
        &row.connection_id,
        row.version,
        &row.status,
        &row.report,
        row.checked_at,
        &row.checked_by,
        row.took_micros,
        row.from_client,
    )?;
    Ok(())
}

/// Deletes what a connection has beyond so many checks that ran here, or that clients told of.
pub async fn thin_checks(write: &mut Write, connection_id: &str, from_client: bool, kept: i64) -> Result<()> {
    execute!(
        write,
        "DELETE FROM checks WHERE connection_id = $1 AND from_client = $2 AND checked_at < (SELECT checked_at FROM checks \
         WHERE connection_id = $1 AND from_client = $2 ORDER BY checked_at DESC LIMIT 1 OFFSET $3)",
        connection_id,
        from_client,
        kept - 1,
    )?;
    Ok(())
}

/// Checks of a connection before the place `(checked_at, id)`, newest first.
pub async fn list_checks(
    handle: &mut impl Handle,
    connection_id: &str,
    before: (i64, &str),
    limit: i64,
) -> Result<Vec<CheckRow>> {
    fetch!(
        handle,
        fetch_all,
        CheckRow,
        "SELECT id, connection_id, version, status, report, checked_at, checked_by, took_micros, from_client FROM checks WHERE connection_id = $1 \
         AND (checked_at < $2 OR (checked_at = $2 AND id < $3)) ORDER BY checked_at DESC, id DESC LIMIT $4",
        connection_id,
        before.0,
        before.1,
        limit
    )
}

/// The last check of a version that ran here, or that a client told of.
pub async fn last_check(
    handle: &mut impl Handle,
    (connection_id, version): (&str, i64),
    from_client: bool,
) -> Result<Option<CheckRow>> {
    let sql = "SELECT * FROM checks WHERE connection_id = $1 AND version = $2 AND from_client = $3 ORDER BY checked_at DESC, id DESC LIMIT 1";
    fetch!(handle, fetch_optional, CheckRow, sql, connection_id, version, from_client)
}
