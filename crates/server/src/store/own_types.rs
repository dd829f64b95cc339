//! Connection types of workspaces' own.

use super::{Handle, MacTable as _, Result, Write, execute, fetch};

#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct OwnTypeRow {
    pub workspace_id: String,
    pub id: String,
    /// The built-in type that it is over, or was when it was removed.
    pub base: String,
    /// In TOML; empty of one that was removed.
    pub definition: String,
    pub version: i64,
    pub saved_at: i64,
    pub saved_by: String,
    /// Who that was in a form that no two share.
    pub saved_by_id: String,
    pub mac: Vec<u8>,
}

/// Puts a type in the place of the one of its workspace and id.
pub async fn put_own_type(write: &mut Write, row: &OwnTypeRow) -> Result<()> {
    write.leaves(row.mark());
    execute!(
        write,
        "INSERT INTO own_types (workspace_id, id, base, definition, version, saved_at, saved_by, saved_by_id, mac) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (workspace_id, id) DO UPDATE SET base = excluded.base, \
         definition = excluded.definition, version = excluded.version, saved_at = excluded.saved_at, saved_by = excluded.saved_by, saved_by_id = excluded.saved_by_id, \
         mac = excluded.mac",
        &row.workspace_id,
        &row.id,
        &row.base,
        &row.definition,
        row.version,
        row.saved_at,
        &row.saved_by,
        &row.saved_by_id,
        &row.mac,
    )?;
    Ok(())
}

/// The type of an id, one that was removed included.
pub async fn own_type(handle: &mut impl Handle, workspace_id: &str, id: &str) -> Result<Option<OwnTypeRow>> {
    let sql = "SELECT * FROM own_types WHERE workspace_id = $1 AND id = $2";
    fetch!(handle, fetch_optional, OwnTypeRow, sql, workspace_id, id)
}

/// The types of a workspace, by id.
pub async fn own_types(handle: &mut impl Handle, workspace_id: &str) -> Result<Vec<OwnTypeRow>> {
    let sql = "SELECT * FROM own_types WHERE workspace_id = $1 AND definition <> '' ORDER BY id";
    fetch!(handle, fetch_all, OwnTypeRow, sql, workspace_id)
}

/// The types of every workspace.
pub async fn all_own_types(handle: &mut impl Handle) -> Result<Vec<OwnTypeRow>> {
    let sql = "SELECT * FROM own_types WHERE definition <> '' ORDER BY workspace_id, id";
    fetch!(handle, fetch_all, OwnTypeRow, sql)
}

/// How many rows a workspace has, those of removed types included.
pub async fn count_own_types(handle: &mut impl Handle, workspace_id: &str) -> Result<i64> {
    Ok(fetch!(handle, fetch_one, (i64,), "SELECT count(*) FROM own_types WHERE workspace_id = $1", workspace_id)?.0)
}

const COUNT_OF_OWN_TYPES: &str = "SELECT t.id, (SELECT count(*) FROM connections c WHERE c.workspace_id = t.workspace_id AND c.type = t.id \
     AND c.deleted_at IS NULL) FROM own_types t WHERE t.workspace_id = $1";

/// How many live connections are of each type of a workspace's own.
pub async fn count_of_own_types(handle: &mut impl Handle, workspace_id: &str) -> Result<Vec<(String, i64)>> {
    fetch!(handle, fetch_all, (String, i64), COUNT_OF_OWN_TYPES, workspace_id)
}

const CONNECTIONS_OF_TYPE: &str = "SELECT c.name, c.deleted_at FROM connections c WHERE c.workspace_id = $1 AND c.type = $2 \
     AND (c.deleted_at IS NULL OR EXISTS \
     (SELECT 1 FROM connection_versions v WHERE v.connection_id = c.id AND v.version = c.version)) \
     ORDER BY CASE WHEN c.deleted_at IS NULL THEN 0 ELSE 1 END, c.name_key LIMIT $3";

/// Connections of a type by name, with when they were deleted: those that live, and then those that may come back.
pub async fn connections_of_type(
    handle: &mut impl Handle,
    workspace_id: &str,
    type_id: &str,
    limit: i64,
) -> Result<Vec<(String, Option<i64>)>> {
    fetch!(handle, fetch_all, (String, Option<i64>), CONNECTIONS_OF_TYPE, workspace_id, type_id, limit)
}

const CONNECTIONS_THAT_HOLD: &str = "SELECT DISTINCT c.name FROM connections c JOIN connection_versions v ON v.connection_id = c.id \
     WHERE c.workspace_id = $1 AND v.type = $2 AND CASE WHEN $3 THEN v.secrets ELSE v.fields END LIKE $4 ESCAPE '!' \
     ORDER BY c.name LIMIT $5";

/// Names of connections of which some version of this type holds a field that matches: among its public ones, or among its secrets. `pattern` is
/// one of LIKE, with `!` before what is meant as it stands.
pub async fn connections_that_hold(
    handle: &mut impl Handle,
    (workspace_id, type_id): (&str, &str),
    (is_secret, pattern): (bool, &str),
    limit: i64,
) -> Result<Vec<(String,)>> {
    fetch!(handle, fetch_all, (String,), CONNECTIONS_THAT_HOLD, workspace_id, type_id, is_secret, pattern, limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fixture::TestApp, store::Engine};

    /// Whatever else a workspace holds: what is of a type is found by the type.
    #[tokio::test]
    async fn what_is_of_a_type_is_found_by_it() {
        let app = TestApp::on_sqlite().await;
        let mut read = app.store.read().await.expect("a session");
        for (sql, step) in [
            (COUNT_OF_OWN_TYPES, "SEARCH c USING COVERING INDEX connections_type (workspace_id=? AND type=? AND deleted_at=?)"),
            (CONNECTIONS_OF_TYPE, "SEARCH c USING INDEX connections_type (workspace_id=? AND type=?)"),
            (CONNECTIONS_THAT_HOLD, "SEARCH v USING INDEX connection_versions_type (type=?)"),
        ] {
            let Engine::Sqlite(connection) = read.engine() else { unreachable!("it is SQLite") };
            let explained = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
            let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(explained).fetch_all(connection).await.expect("a plan");
            let steps: Vec<_> = plan.iter().map(|(.., step)| step.as_str()).collect();
            assert!(steps.contains(&step), "{sql}: {steps:?}");
            assert!(!steps.iter().any(|step| step.starts_with("SCAN")), "{sql}: {steps:?}");
        }
    }
}
