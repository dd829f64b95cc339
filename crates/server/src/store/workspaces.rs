//! Workspaces and their wrapped keys, and the end of one with all that is in it.

use sqlx::QueryBuilder;

use super::{Engine, Handle, Result, Write, execute, fetch, in_time};

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

/// The workspace of exactly this name. It is looked for by its key, which no two rows have: one that somebody put back beside another of its
/// name is not found.
pub async fn workspace_by_name(handle: &mut impl Handle, name: &str) -> Result<Option<WorkspaceRow>> {
    fetch!(
        handle,
        fetch_optional,
        WorkspaceRow,
        "SELECT id, name, name_key, wrapped_key, created_at, created_by, mac FROM workspaces WHERE name_key = $1 AND name = $2",
        name.to_ascii_lowercase(),
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

/// Keeps every workspace where it is until this write ends, by id, for who has to know which there are. Others go on making things in them.
pub async fn hold_workspaces(write: &mut Write) -> Result<()> {
    hold(write, "SELECT 1 FROM workspaces WHERE id > $1 ORDER BY id FOR NO KEY UPDATE", "").await
}

/// Keeps a workspace and all in it from everybody else until this write ends: who would make something in it waits, and finds it gone. In the
/// order that others take these rows in.
pub async fn hold_whole_workspace(write: &mut Write, id: &str) -> Result<()> {
    hold(write, "SELECT 1 FROM members WHERE workspace_id = $1 ORDER BY person_id FOR UPDATE", id).await?;
    hold(write, "SELECT 1 FROM tokens WHERE workspace_id = $1 ORDER BY id FOR UPDATE", id).await?;
    hold(write, "SELECT 1 FROM connections WHERE workspace_id = $1 ORDER BY id FOR UPDATE", id).await?;
    hold(write, "SELECT 1 FROM workspaces WHERE id = $1 FOR UPDATE", id).await
}

/// Keeps a workspace from being deleted until this write ends. Others go on making things in it.
pub async fn share_workspace(write: &mut Write, id: &str) -> Result<()> {
    hold(write, "SELECT 1 FROM workspaces WHERE id = $1 FOR KEY SHARE", id).await
}

/// Keeps everybody from making something in a workspace until this write ends; whoever had begun is waited for.
pub async fn hold_workspace(write: &mut Write, id: &str) -> Result<()> {
    hold(write, "SELECT 1 FROM workspaces WHERE id = $1 FOR UPDATE", id).await
}

/// Has PostgreSQL hold what a query finds; in SQLite whoever writes is alone.
async fn hold(write: &mut Write, sql: &'static str, id: &str) -> Result<()> {
    if let Engine::Postgres(connection) = write.engine() {
        in_time(sqlx::query(sql).bind(id).execute(connection)).await?;
    }
    Ok(())
}

/// How many connections, members and tokens of a workspace are alive.
pub async fn count_in_workspace(handle: &mut impl Handle, id: &str, now: i64) -> Result<(i64, i64, i64)> {
    let sql = "SELECT (SELECT count(*) FROM connections WHERE workspace_id = $1 AND deleted_at IS NULL), \
               (SELECT count(*) FROM members WHERE workspace_id = $1), \
               (SELECT count(*) FROM tokens WHERE workspace_id = $1 AND revoked_at IS NULL AND expires_at > $2)";
    fetch!(handle, fetch_one, (i64, i64, i64), sql, id, now)
}

/// Connections whose rows one statement deletes: PostgreSQL gives it eight seconds.
const BATCH: usize = 500;

/// Deletes a workspace that is held whole, with every row that is of it but for the audit's; `false` if there is none.
pub async fn delete_workspace(write: &mut Write, id: &str) -> Result<bool> {
    execute!(write, "DELETE FROM rotations WHERE workspace_id = $1", id)?;
    execute!(write, "DELETE FROM second_logins WHERE workspace_id = $1", id)?;
    execute!(write, "DELETE FROM rotation_policies WHERE workspace_id = $1", id)?;
    // Channels before their notices, as whoever tells those holds them.
    execute!(write, "UPDATE channels SET tries = tries WHERE workspace_id = $1", id)?;
    execute!(write, "DELETE FROM notices WHERE channel_id IN (SELECT c.id FROM channels c WHERE c.workspace_id = $1)", id)?;
    execute!(write, "DELETE FROM channels WHERE workspace_id = $1", id)?;
    execute!(write, "DELETE FROM ends WHERE workspace_id = $1", id)?;
    execute!(write, "DELETE FROM health WHERE workspace_id = $1", id)?;
    execute!(write, "DELETE FROM health_changes WHERE workspace_id = $1", id)?;
    execute!(write, "DELETE FROM health_schedules WHERE workspace_id = $1", id)?;
    execute!(write, "DELETE FROM lint_silences WHERE workspace_id = $1", id)?;
    execute!(write, "DELETE FROM own_types WHERE workspace_id = $1", id)?;
    execute!(write, "DELETE FROM password_marks WHERE workspace_id = $1", id)?;
    let sql = "SELECT id, name_key FROM connections WHERE workspace_id = $1";
    let connections: Vec<(String, String)> = fetch!(write, fetch_all, (String, String), sql, id)?;
    for batch in connections.chunks(BATCH) {
        let (ids, keys): (Vec<_>, Vec<_>) = batch.iter().map(|(id, key)| (id.as_str(), key.as_str())).unzip();
        for (table, column) in [
            ("aliases", "connection_id"),
            ("checks", "connection_id"),
            ("connection_versions", "connection_id"),
            ("connections", "id"),
        ] {
            delete_where(write, (table, column, &ids), None).await?;
        }
        delete_where(write, ("search_words", "name_key", &keys), Some(id)).await?;
    }
    for sql in [
        "DELETE FROM live_names WHERE workspace_id = $1",
        "DELETE FROM sightings WHERE workspace_id = $1",
        "DELETE FROM sighting_versions WHERE workspace_id = $1",
        "DELETE FROM holders WHERE workspace_id = $1",
        "DELETE FROM findings WHERE workspace_id = $1",
        "DELETE FROM scans WHERE workspace_id = $1",
        "DELETE FROM dependents WHERE workspace_id = $1",
        "DELETE FROM search_words WHERE workspace_id = $1",
        "DELETE FROM tokens WHERE workspace_id = $1",
        "DELETE FROM people_groups WHERE workspace_id = $1",
        "DELETE FROM members WHERE workspace_id = $1",
    ] {
        execute!(write, sql, id)?;
    }
    Ok(execute!(write, "DELETE FROM workspaces WHERE id = $1", id)? == 1)
}

/// Deletes the rows whose column has one of these values, of one workspace if it is given.
async fn delete_where(
    write: &mut Write,
    (table, column, values): (&'static str, &'static str, &[&str]),
    workspace_id: Option<&str>,
) -> Result<()> {
    macro_rules! delete {
        ($engine:ty) => {{
            let mut query = QueryBuilder::<$engine>::new("DELETE FROM ");
            query.push(table).push(" WHERE ").push(column).push(" IN (");
            let mut bound = query.separated(", ");
            for value in values {
                bound.push_bind(*value);
            }
            query.push(")");
            if let Some(id) = workspace_id {
                query.push(" AND workspace_id = ").push_bind(id);
            }
            query
        }};
    }
    // Only the statement of a whole batch comes again.
    let is_whole = values.len() == BATCH;
    match write.engine() {
        Engine::Sqlite(connection) => {
            delete!(sqlx::Sqlite).build().persistent(is_whole).execute(connection).await?;
        }
        Engine::Postgres(connection) => {
            in_time(delete!(sqlx::Postgres).build().persistent(is_whole).execute(connection)).await?;
        }
    }
    Ok(())
}
