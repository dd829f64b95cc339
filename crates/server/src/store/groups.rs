//! Groups of people.

use super::{Handle, MacTable as _, Mark, Result, Write, execute, fetch};

#[derive(Debug, Clone, sqlx::FromRow)]
pub struct GroupRow {
    pub id: String,
    pub workspace_id: String,
    pub name: String,
    pub name_key: String,
    /// JSON list of the ids of people.
    pub members: String,
    pub changed_at: i64,
    pub changed_by: String,
    pub mac: Vec<u8>,
}

/// Adds a group, or replaces who is in it.
pub async fn put_group(write: &mut Write, row: &GroupRow) -> Result<()> {
    write.leaves(row.mark());
    execute!(
        write,
        "INSERT INTO people_groups (id, workspace_id, name, name_key, members, changed_at, changed_by, mac) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO UPDATE SET members = excluded.members, \
         changed_at = excluded.changed_at, changed_by = excluded.changed_by, mac = excluded.mac",
        &row.id,
        &row.workspace_id,
        &row.name,
        &row.name_key,
        &row.members,
        row.changed_at,
        &row.changed_by,
        &row.mac,
    )?;
    Ok(())
}

/// Whether there was one.
pub async fn remove_group(write: &mut Write, id: &str) -> Result<bool> {
    write.leaves(Mark::gone("people_groups", &[&id]));
    Ok(execute!(write, "DELETE FROM people_groups WHERE id = $1", id)? > 0)
}

pub async fn group(handle: &mut impl Handle, id: &str) -> Result<Option<GroupRow>> {
    fetch!(handle, fetch_optional, GroupRow, "SELECT * FROM people_groups WHERE id = $1", id)
}

pub async fn group_by_name(handle: &mut impl Handle, workspace_id: &str, name_key: &str) -> Result<Option<GroupRow>> {
    let sql = "SELECT * FROM people_groups WHERE workspace_id = $1 AND name_key = $2";
    fetch!(handle, fetch_optional, GroupRow, sql, workspace_id, name_key)
}

/// Groups of a workspace by name, after the name key `after`.
pub async fn groups(handle: &mut impl Handle, workspace_id: &str, after: &str, limit: i64) -> Result<Vec<GroupRow>> {
    let sql = "SELECT * FROM people_groups WHERE workspace_id = $1 AND name_key > $2 ORDER BY name_key LIMIT $3";
    fetch!(handle, fetch_all, GroupRow, sql, workspace_id, after, limit)
}
