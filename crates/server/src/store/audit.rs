//! Audit events of changes. Append-only: there is no update and no delete here.

use super::{Result, Write, execute};

#[derive(Debug, Clone)]
pub struct AuditRow {
    pub id: String,
    pub at: i64,
    pub workspace_id: Option<String>,
    pub actor: String,
    pub action: String,
    pub object: String,
    /// JSON; public facts only.
    pub detail: String,
    pub mac: Vec<u8>,
}

pub async fn append_audit(write: &mut Write, row: &AuditRow) -> Result<()> {
    execute!(
        write,
        "INSERT INTO audit_events (id, at, workspace_id, actor, action, object, detail, mac) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        &row.id,
        row.at,
        row.workspace_id.as_deref(),
        &row.actor,
        &row.action,
        &row.object,
        &row.detail,
        &row.mac,
    )?;
    Ok(())
}
