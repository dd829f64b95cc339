//! Names that lead to a live connection, and the aliases among them.
//!
//! Whatever makes a name lead somewhere takes it in `live_names` first, in the same transaction: its key stops the second of two, whether
//! they are connections or aliases. That table has no MAC: where a name leads is told by the row of the connection or of the alias.

use super::{ConnectionRow, Handle, MacTable as _, Mark, Result, Write, execute, fetch};

/// The table of [`AliasRow`].
const ALIASES: &str = "aliases";

/// Another name of a connection.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct AliasRow {
    pub workspace_id: String,
    /// As it is asked for.
    pub name: String,
    pub connection_id: String,
    pub name_key: String,
    pub made_at: i64,
    pub made_by: String,
    pub mac: Vec<u8>,
}

/// Takes a name that nobody has; fails as what must be unique if somebody has it.
pub(super) async fn take_name(write: &mut Write, row: &ConnectionRow) -> Result<()> {
    let sql = "INSERT INTO live_names (workspace_id, name_key, connection_id) VALUES ($1, $2, $3)";
    execute!(write, sql, &row.workspace_id, &row.name_key, &row.id)?;
    Ok(())
}

/// Takes a name for a connection unless it leads to another one; `false` if it does.
pub async fn claim_name(write: &mut Write, (workspace_id, name_key): (&str, &str), connection_id: &str) -> Result<bool> {
    let claimed = execute!(
        write,
        "INSERT INTO live_names (workspace_id, name_key, connection_id) VALUES ($1, $2, $3) \
         ON CONFLICT (workspace_id, name_key) DO UPDATE SET connection_id = live_names.connection_id \
         WHERE live_names.connection_id = excluded.connection_id",
        workspace_id,
        name_key,
        connection_id
    )?;
    Ok(claimed == 1)
}

/// Gives up every name of a connection.
pub(super) async fn drop_names(write: &mut Write, connection_id: &str) -> Result<()> {
    execute!(write, "DELETE FROM live_names WHERE connection_id = $1", connection_id)?;
    Ok(())
}

/// Gives up those names of a live connection that are neither its own nor one of its aliases any more.
pub async fn drop_unused_names(write: &mut Write, connection_id: &str) -> Result<()> {
    execute!(
        write,
        "DELETE FROM live_names WHERE connection_id = $1 AND NOT EXISTS (SELECT 1 FROM connections c WHERE c.id = $1 \
         AND c.deleted_at IS NULL AND c.name_key = live_names.name_key) AND NOT EXISTS (SELECT 1 FROM aliases a \
         WHERE a.connection_id = $1 AND a.name_key = live_names.name_key)",
        connection_id
    )?;
    Ok(())
}

/// Adds an alias. Take its name before.
pub async fn insert_alias(write: &mut Write, row: &AliasRow) -> Result<()> {
    write.leaves(row.mark());
    execute!(
        write,
        "INSERT INTO aliases (workspace_id, name, connection_id, name_key, made_at, made_by, mac) VALUES ($1, $2, $3, $4, $5, $6, $7)",
        &row.workspace_id,
        &row.name,
        &row.connection_id,
        &row.name_key,
        row.made_at,
        &row.made_by,
        &row.mac,
    )?;
    Ok(())
}

/// Takes an alias of a connection away, whoever changed its row; `false` if there is none. Its name is given up by [`drop_unused_names`].
pub async fn delete_alias(write: &mut Write, row: &AliasRow) -> Result<bool> {
    let sql = "DELETE FROM aliases WHERE workspace_id = $1 AND name = $2 AND connection_id = $3";
    let deleted = execute!(write, sql, &row.workspace_id, &row.name, &row.connection_id)?;
    if deleted == 1 {
        write.leaves(Mark::gone(ALIASES, &[&row.workspace_id, &row.name, &row.connection_id]));
    }
    Ok(deleted == 1)
}

/// The alias of exactly this name that leads somewhere.
pub async fn alias(handle: &mut impl Handle, workspace_id: &str, name: &str, name_key: &str) -> Result<Option<AliasRow>> {
    fetch!(
        handle,
        fetch_optional,
        AliasRow,
        "SELECT a.* FROM aliases a JOIN live_names n ON n.workspace_id = a.workspace_id AND n.name_key = $3 \
         AND n.connection_id = a.connection_id WHERE a.workspace_id = $1 AND a.name = $2",
        workspace_id,
        name,
        name_key
    )
}

/// Whether any connection of a workspace has, or had, another name.
pub async fn has_aliases(handle: &mut impl Handle, workspace_id: &str) -> Result<bool> {
    let sql = "SELECT name FROM aliases WHERE workspace_id = $1 LIMIT 1";
    Ok(fetch!(handle, fetch_optional, (String,), sql, workspace_id)?.is_some())
}

/// The connection that was deleted last of those that had this alias.
pub async fn deleted_under_alias(handle: &mut impl Handle, workspace_id: &str, name: &str) -> Result<Option<ConnectionRow>> {
    fetch!(
        handle,
        fetch_optional,
        ConnectionRow,
        "SELECT c.* FROM aliases a JOIN connections c ON c.id = a.connection_id \
         WHERE a.workspace_id = $1 AND a.name = $2 AND c.deleted_at IS NOT NULL ORDER BY c.deleted_at DESC, c.id LIMIT 1",
        workspace_id,
        name
    )
}

/// The aliases of a connection that lead to it, or of a deleted one would if it came back, by name.
pub async fn aliases_of(handle: &mut impl Handle, connection_id: &str) -> Result<Vec<AliasRow>> {
    fetch!(
        handle,
        fetch_all,
        AliasRow,
        "SELECT a.* FROM aliases a WHERE a.connection_id = $1 AND NOT EXISTS (SELECT 1 FROM live_names n \
         WHERE n.workspace_id = a.workspace_id AND n.name_key = a.name_key AND n.connection_id <> $1) ORDER BY a.name",
        connection_id
    )
}

/// All that a connection ever had and were not removed, those too that lead to another one by now.
pub async fn kept_aliases(handle: &mut impl Handle, connection_id: &str) -> Result<Vec<AliasRow>> {
    let sql = "SELECT * FROM aliases WHERE connection_id = $1 ORDER BY name";
    fetch!(handle, fetch_all, AliasRow, sql, connection_id)
}

/// How many depend on the names that a live connection has besides its own. A page of the list counts them in its own statement.
pub async fn count_by_aliases(handle: &mut impl Handle, (connection_id, name_key): (&str, &str)) -> Result<i64> {
    let sql = "SELECT CAST(COALESCE(sum(d.seen + d.found), 0) AS BIGINT) FROM live_names n \
               JOIN dependents d ON d.workspace_id = n.workspace_id AND d.name_key = n.name_key \
               WHERE n.connection_id = $1 AND n.name_key <> $2";
    Ok(fetch!(handle, fetch_one, (i64,), sql, connection_id, name_key)?.0)
}
