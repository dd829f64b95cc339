//! Workspaces and their wrapped keys.

use super::{Handle, Result, Write, execute, fetch};

#[derive(Debug, Clone, sqlx::FromRow)]
pub struct WorkspaceRow {
    pub id: String,
    pub name: String,
    pub name_key: String,
    pub wrapped_key: Vec<u8>,
    pub created_at: i64,
    pub created_by: String,
    pub mac: Vec<u8>,
}

pub async fn insert_workspace(write: &mut Write, row: &WorkspaceRow) -> Result<()> {
    write.bears(&row.mac);
    execute!(
        write,
        "INSERT INTO workspaces (id, name, name_key, wrapped_key, created_at, created_by, mac) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        &row.id,
        &row.name,
        &row.name_key,
        &row.wrapped_key,
        row.created_at,
        &row.created_by,
        &row.mac,
    )?;
    Ok(())
}

pub async fn workspace_by_name(handle: &mut impl Handle, name: &str) -> Result<Option<WorkspaceRow>> {
    fetch!(
        handle,
        fetch_optional,
        WorkspaceRow,
        "SELECT id, name, name_key, wrapped_key, created_at, created_by, mac FROM workspaces WHERE name = $1",
        name
    )
}

pub async fn workspace(handle: &mut impl Handle, id: &str) -> Result<Option<WorkspaceRow>> {
    fetch!(
        handle,
        fetch_optional,
        WorkspaceRow,
        "SELECT id, name, name_key, wrapped_key, created_at, created_by, mac FROM workspaces WHERE id = $1",
        id
    )
}

/// The workspaces that a person is a member of.
pub async fn workspaces_of(handle: &mut impl Handle, person_id: &str) -> Result<Vec<WorkspaceRow>> {
    fetch!(
        handle,
        fetch_all,
        WorkspaceRow,
        "SELECT w.id, w.name, w.name_key, w.wrapped_key, w.created_at, w.created_by, w.mac FROM workspaces w \
         JOIN members m ON m.workspace_id = w.id WHERE m.person_id = $1",
        person_id
    )
}

/// All workspaces, by name.
pub async fn workspaces(handle: &mut impl Handle) -> Result<Vec<WorkspaceRow>> {
    fetch!(
        handle,
        fetch_all,
        WorkspaceRow,
        "SELECT id, name, name_key, wrapped_key, created_at, created_by, mac FROM workspaces ORDER BY name_key"
    )
}
