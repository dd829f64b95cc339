//! Audit events of changes. Append-only: there is no update and no delete here.

use super::{Result, Write, execute};

#[derive(Debug, Clone)]
pub struct AuditRow {
    pub id: String,
    pub at: i64,
    pub workspace_id: Option<String>,
    /// For show.
    pub actor: String,
    /// Kind and id, which nobody else ever has.
    pub actor_id: String,
    pub action: String,
    pub object: String,
    /// JSON; public facts only.
    pub detail: String,
    pub mac: Vec<u8>,
}

pub async fn append_audit(write: &mut Write, row: &AuditRow) -> Result<()> {
    execute!(
        write,
        "INSERT INTO audit_events (id, at, workspace_id, actor, actor_id, action, object, detail, mac) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        &row.id,
        row.at,
        row.workspace_id.as_deref(),
        &row.actor,
        &row.actor_id,
        &row.action,
        &row.object,
        &row.detail,
        &row.mac,
    )?;
    Ok(())
}
