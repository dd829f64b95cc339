//! What the lint holds connections against, and what somebody silenced of it.

use super::{Handle, MacTable as _, Mark, Result, Write, execute, fetch};

const TABLE: &str = "lint_silences";

#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct LintSilenceRow {
    pub workspace_id: String,
    /// `:all`, or `:connection:` and an id.
    pub scope: String,
    pub rule: String,
    pub reason: String,
    /// From when on it silences nothing any more.
    pub until_at: Option<i64>,
    pub set_at: i64,
    pub set_by: String,
    /// Who that was in a form that no two share.
    pub set_by_id: String,
    pub mac: Vec<u8>,
}

/// With the name of its connection, if it is of one.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct LintSilenceOfRow {
    #[sqlx(flatten)]
    pub silence: LintSilenceRow,
    pub name: Option<String>,
}

/// Puts a silence in the place of the one of its scope and rule.
pub async fn put_lint_silence(write: &mut Write, row: &LintSilenceRow) -> Result<()> {
    write.leaves(row.mark());
    execute!(
        write,
        "INSERT INTO lint_silences (workspace_id, scope, rule, reason, until_at, set_at, set_by, set_by_id, mac) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (workspace_id, scope, rule) DO UPDATE SET reason = excluded.reason, \
         until_at = excluded.until_at, set_at = excluded.set_at, set_by = excluded.set_by, set_by_id = excluded.set_by_id, mac = excluded.mac",
        &row.workspace_id,
        &row.scope,
        &row.rule,
        &row.reason,
        row.until_at,
        row.set_at,
        &row.set_by,
        &row.set_by_id,
        &row.mac,
    )?;
    Ok(())
}

pub async fn lint_silence(
    handle: &mut impl Handle,
    workspace_id: &str,
    (scope, rule): (&str, &str),
) -> Result<Option<LintSilenceRow>> {
    let sql = "SELECT * FROM lint_silences WHERE workspace_id = $1 AND scope = $2 AND rule = $3";
    fetch!(handle, fetch_optional, LintSilenceRow, sql, workspace_id, scope, rule)
}

/// Takes a silence away, whoever changed its row; `false` if there is none.
pub async fn delete_lint_silence(write: &mut Write, workspace_id: &str, (scope, rule): (&str, &str)) -> Result<bool> {
    let sql = "DELETE FROM lint_silences WHERE workspace_id = $1 AND scope = $2 AND rule = $3";
    let deleted = execute!(write, sql, workspace_id, scope, rule)?;
    if deleted == 1 {
        write.leaves(Mark::gone(TABLE, &[&workspace_id, &scope, &rule]));
    }
    Ok(deleted == 1)
}

/// Silences of a workspace after a place, those of deleted connections left out.
pub async fn lint_silences(
    handle: &mut impl Handle,
    workspace_id: &str,
    (scope, rule): (&str, &str),
    limit: i64,
) -> Result<Vec<LintSilenceOfRow>> {
    let sql = "SELECT s.*, c.name FROM lint_silences s LEFT JOIN connections c ON c.id = substr(s.scope, 13) \
               WHERE s.workspace_id = $1 AND (s.scope, s.rule) > ($2, $3) AND c.deleted_at IS NULL ORDER BY s.scope, s.rule LIMIT $4";
    fetch!(handle, fetch_all, LintSilenceOfRow, sql, workspace_id, scope, rule, limit)
}

/// The silences of all connections of a workspace.
pub async fn lint_silences_of_all(handle: &mut impl Handle, workspace_id: &str) -> Result<Vec<LintSilenceRow>> {
    let sql = "SELECT * FROM lint_silences WHERE workspace_id = $1 AND scope = ':all'";
    fetch!(handle, fetch_all, LintSilenceRow, sql, workspace_id)
}

/// Live connections of a workspace from one name key to another, both included.
#[derive(Debug, Clone, Copy)]
pub struct Names<'n> {
    pub workspace_id: &'n str,
    pub first: &'n str,
    pub last: &'n str,
}

/// The silences that these have of their own.
pub async fn lint_silences_among(handle: &mut impl Handle, names: Names<'_>) -> Result<Vec<LintSilenceRow>> {
    let sql = "SELECT s.* FROM connections c JOIN lint_silences s ON s.workspace_id = c.workspace_id AND s.scope = ':connection:' || c.id \
               WHERE c.workspace_id = $1 AND c.name_key >= $2 AND c.name_key <= $3 AND c.deleted_at IS NULL";
    fetch!(handle, fetch_all, LintSilenceRow, sql, names.workspace_id, names.first, names.last)
}

/// When a workflow last used one of the names of these, or one that they had, by id.
pub async fn last_uses_among(handle: &mut impl Handle, names: Names<'_>) -> Result<Vec<(String, Option<i64>)>> {
    let sql = "SELECT c.id, (SELECT max(s.last_at) FROM sightings s WHERE s.workspace_id = n.workspace_id AND s.name_key = n.name_key) \
               FROM connections c JOIN live_names n ON n.connection_id = c.id \
               WHERE c.workspace_id = $1 AND c.name_key >= $2 AND c.name_key <= $3 AND c.deleted_at IS NULL UNION ALL \
               SELECT c.id, (SELECT max(s.last_at) FROM sightings s WHERE s.connection_id = c.id) FROM connections c \
               WHERE c.workspace_id = $1 AND c.name_key >= $2 AND c.name_key <= $3 AND c.deleted_at IS NULL";
    fetch!(handle, fetch_all, (String, Option<i64>), sql, names.workspace_id, names.first, names.last)
}

/// The report of the last test from here that did not fail, of what serves: id, report, and when it was. Of the last fifty tests: whatever failed so
/// often says nothing of now.
pub async fn last_reports_among(handle: &mut impl Handle, names: Names<'_>) -> Result<Vec<(String, String, i64)>> {
    let sql = "SELECT c.id, k.report, k.checked_at FROM connections c \
               JOIN connection_versions v ON v.connection_id = c.id AND v.version = c.version \
               JOIN checks k ON k.id = (SELECT l.id FROM (SELECT id, status, checked_at FROM checks WHERE connection_id = c.id \
               AND from_client = FALSE ORDER BY checked_at DESC LIMIT 50) l WHERE l.status <> 'failed' ORDER BY l.checked_at DESC LIMIT 1) \
               JOIN connection_versions kv ON kv.connection_id = c.id AND kv.version = k.version AND kv.fingerprint = v.fingerprint \
               WHERE c.workspace_id = $1 AND c.name_key >= $2 AND c.name_key <= $3 AND c.deleted_at IS NULL";
    fetch!(handle, fetch_all, (String, String, i64), sql, names.workspace_id, names.first, names.last)
}

/// Of those of these whose password another connection of the workspace has, too: id and mark.
pub async fn shared_marks_among(handle: &mut impl Handle, names: Names<'_>) -> Result<Vec<(String, Vec<u8>)>> {
    let sql = "SELECT c.id, m.mark FROM connections c JOIN password_marks m ON m.connection_id = c.id AND m.version = c.version \
               WHERE c.workspace_id = $1 AND c.name_key >= $2 AND c.name_key <= $3 AND c.deleted_at IS NULL AND m.mark IS NOT NULL \
               AND EXISTS (SELECT 1 FROM password_marks o WHERE o.workspace_id = m.workspace_id AND o.mark = m.mark \
               AND o.connection_id <> m.connection_id)";
    fetch!(handle, fetch_all, (String, Vec<u8>), sql, names.workspace_id, names.first, names.last)
}

/// Notes the mark of the password of a connection's version, or that it has none; not if another one serves by now.
pub async fn put_password_mark(write: &mut Write, (connection_id, version): (&str, i64), mark: Option<&[u8]>) -> Result<()> {
    execute!(
        write,
        "INSERT INTO password_marks (connection_id, workspace_id, version, mark) SELECT id, workspace_id, $2, $3 FROM connections \
         WHERE id = $1 AND version = $2 AND deleted_at IS NULL \
         ON CONFLICT (connection_id) DO UPDATE SET version = excluded.version, mark = excluded.mark",
        connection_id,
        version,
        mark,
    )?;
    Ok(())
}

/// Has the mark of a version be that of the next one, which has the same secrets.
pub async fn move_password_mark(write: &mut Write, connection_id: &str, (from, to): (i64, i64)) -> Result<()> {
    let sql = "UPDATE password_marks SET version = $3 WHERE connection_id = $1 AND version = $2";
    execute!(write, sql, connection_id, from, to)?;
    Ok(())
}

/// Drops what is noted of connections that are deleted: nobody holds them against others.
pub async fn drop_marks_of_deleted(write: &mut Write, workspace_id: &str) -> Result<()> {
    let sql = "DELETE FROM password_marks WHERE workspace_id = $1 AND connection_id IN \
               (SELECT c.id FROM connections c WHERE c.workspace_id = $1 AND c.deleted_at IS NOT NULL)";
    execute!(write, sql, workspace_id)?;
    Ok(())
}

/// Forgets which connections have the same password as one that is deleted.
pub async fn drop_password_mark(write: &mut Write, connection_id: &str) -> Result<()> {
    execute!(write, "DELETE FROM password_marks WHERE connection_id = $1", connection_id)?;
    Ok(())
}
