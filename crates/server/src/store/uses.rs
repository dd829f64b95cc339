//! Who was seen using a connection: one row per workflow.

use super::{Handle, Result, Write, execute, fetch};

#[derive(Debug, Clone, sqlx::FromRow)]
pub struct UseRow {
    pub connection_id: String,
    pub kind: String,
    pub name: String,
    pub first_at: i64,
    pub last_at: i64,
    pub uses: i64,
    pub version: i64,
    pub used_by: String,
}

/// Adds `row.uses` to what is known of this workflow; nothing of a connection that is gone with its workspace.
pub async fn record_use(write: &mut Write, row: &UseRow) -> Result<()> {
    execute!(
        write,
        "INSERT INTO uses (connection_id, kind, name, first_at, last_at, uses, version, used_by) \
         SELECT c.id, $2, $3, $4, $5, $6, $7, $8 FROM connections c WHERE c.id = $1 \
         ON CONFLICT (connection_id, kind, name) DO UPDATE SET last_at = excluded.last_at, uses = uses.uses + excluded.uses, \
         version = excluded.version, used_by = excluded.used_by",
        &row.connection_id,
        &row.kind,
        &row.name,
        row.first_at,
        row.last_at,
        row.uses,
        row.version,
        &row.used_by,
    )?;
    Ok(())
}

/// Workflows seen using a connection, the latest first.
pub async fn list_uses(handle: &mut impl Handle, connection_id: &str, limit: i64) -> Result<Vec<UseRow>> {
    fetch!(
        handle,
        fetch_all,
        UseRow,
        "SELECT connection_id, kind, name, first_at, last_at, uses, version, used_by FROM uses WHERE connection_id = $1 \
         ORDER BY last_at DESC, kind, name LIMIT $2",
        connection_id,
        limit
    )
}
