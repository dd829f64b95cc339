//! What scans of code have found, by project.

use super::{Handle, Result, Seer, Write, execute, fetch};

/// A project whose code was scanned.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ScanRow {
    pub workspace_id: String,
    pub project: String,
    /// A commit's hash.
    pub revision: Option<String>,
    /// How many files were looked at.
    pub files: i64,
    pub findings: i64,
    pub reported_at: i64,
    pub reported_by: String,
}

/// A place in code that names a connection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, sqlx::FromRow)]
pub struct FindingRow {
    pub workspace_id: String,
    pub name_key: String,
    pub kind: String,
    pub workflow: String,
    pub project: String,
    pub file: String,
    pub line: i64,
    /// As the code has it.
    pub name: String,
    pub is_certain: bool,
    /// A workflow that was seen is this code.
    pub is_seen: bool,
    /// The id of the scan that found it last.
    pub scan: String,
}

/// A finding with what was scanned.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct PlaceRow {
    pub kind: String,
    pub workflow: String,
    pub project: String,
    pub revision: Option<String>,
    pub file: String,
    pub line: i64,
    pub is_certain: bool,
}

/// Keeps that a project was scanned, until this transaction ends from everybody else. Gives how many findings it had, which stay.
pub async fn put_scan(write: &mut Write, row: &ScanRow) -> Result<i64> {
    let before = fetch!(
        write,
        fetch_one,
        (i64,),
        "INSERT INTO scans (workspace_id, project, revision, files, findings, reported_at, reported_by) VALUES ($1, $2, $3, $4, $5, $6, $7) \
         ON CONFLICT (workspace_id, project) DO UPDATE SET revision = excluded.revision, files = excluded.files, \
         reported_at = excluded.reported_at, reported_by = excluded.reported_by RETURNING findings",
        &row.workspace_id,
        &row.project,
        row.revision.as_deref(),
        row.files,
        row.findings,
        row.reported_at,
        &row.reported_by,
    )?;
    Ok(before.0)
}

pub async fn set_findings(write: &mut Write, workspace_id: &str, project: &str, findings: i64) -> Result<()> {
    let sql = "UPDATE scans SET findings = $3 WHERE workspace_id = $1 AND project = $2";
    execute!(write, sql, workspace_id, project, findings)?;
    Ok(())
}

pub async fn scan(handle: &mut impl Handle, workspace_id: &str, project: &str) -> Result<Option<ScanRow>> {
    fetch!(handle, fetch_optional, ScanRow, "SELECT * FROM scans WHERE workspace_id = $1 AND project = $2", workspace_id, project)
}

pub async fn count_scans(handle: &mut impl Handle, workspace_id: &str) -> Result<i64> {
    Ok(fetch!(handle, fetch_one, (i64,), "SELECT count(*) FROM scans WHERE workspace_id = $1", workspace_id)?.0)
}

/// Projects after this one by name, at most `limit`.
pub async fn list_scans(handle: &mut impl Handle, workspace_id: &str, after: &str, limit: i64) -> Result<Vec<ScanRow>> {
    let sql = "SELECT * FROM scans WHERE workspace_id = $1 AND project > $2 ORDER BY project LIMIT $3";
    fetch!(handle, fetch_all, ScanRow, sql, workspace_id, after, limit)
}

/// Forgets a project's scan; `false` if there is none.
pub async fn delete_scan(write: &mut Write, workspace_id: &str, project: &str) -> Result<bool> {
    let deleted = execute!(write, "DELETE FROM scans WHERE workspace_id = $1 AND project = $2", workspace_id, project)?;
    Ok(deleted == 1)
}

/// How many places of a project this scan has found.
pub async fn count_findings(handle: &mut impl Handle, (workspace_id, project): (&str, &str), scan: &str) -> Result<i64> {
    let sql = "SELECT count(*) FROM findings WHERE workspace_id = $1 AND project = $2 AND scan = $3";
    Ok(fetch!(handle, fetch_one, (i64,), sql, workspace_id, project, scan)?.0)
}

/// Keeps a finding; whether it is new.
pub async fn put_finding(write: &mut Write, row: &FindingRow) -> Result<bool> {
    let inserted = execute!(
        write,
        "INSERT INTO findings (workspace_id, name_key, kind, workflow, project, file, line, name, is_certain, is_seen, scan) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT DO NOTHING",
        &row.workspace_id,
        &row.name_key,
        &row.kind,
        &row.workflow,
        &row.project,
        &row.file,
        row.line,
        &row.name,
        row.is_certain,
        row.is_seen,
        &row.scan,
    )?;
    if inserted == 0 {
        execute!(
            write,
            "UPDATE findings SET name = $8, is_certain = $9, scan = $10 WHERE workspace_id = $1 AND name_key = $2 AND kind = $3 \
             AND workflow = $4 AND project = $5 AND file = $6 AND line = $7",
            &row.workspace_id,
            &row.name_key,
            &row.kind,
            &row.workflow,
            &row.project,
            &row.file,
            row.line,
            &row.name,
            row.is_certain,
            &row.scan,
        )?;
    }
    Ok(inserted == 1)
}

/// Names that were found in a project by other scans than this one.
pub async fn names_of_other_scans(
    handle: &mut impl Handle,
    (workspace_id, project): (&str, &str),
    scan: &str,
) -> Result<Vec<String>> {
    let sql = "SELECT DISTINCT name_key FROM findings WHERE workspace_id = $1 AND project = $2 AND scan <> $3 ORDER BY name_key";
    let names = fetch!(handle, fetch_all, (String,), sql, workspace_id, project, scan)?;
    Ok(names.into_iter().map(|(name,)| name).collect())
}

/// Forgets what other scans than this one have found in a project; gives how much.
pub async fn delete_other_findings(write: &mut Write, (workspace_id, project): (&str, &str), scan: &str) -> Result<u64> {
    let sql = "DELETE FROM findings WHERE workspace_id = $1 AND project = $2 AND scan <> $3";
    execute!(write, sql, workspace_id, project, scan)
}

/// Kind and name of every workflow that code names a connection in, and whether it was seen.
pub async fn all_found(handle: &mut impl Handle, (workspace_id, name_key): (&str, &str)) -> Result<Vec<(String, String, bool)>> {
    let sql = "SELECT DISTINCT kind, workflow, is_seen FROM findings WHERE workspace_id = $1 AND name_key = $2";
    fetch!(handle, fetch_all, (String, String, bool), sql, workspace_id, name_key)
}

/// Notes whether a workflow that was found is one that was seen.
pub async fn mark_found(
    write: &mut Write,
    (workspace_id, name_key): (&str, &str),
    (kind, workflow): (&str, &str),
    is_seen: bool,
) -> Result<()> {
    let sql = "UPDATE findings SET is_seen = $5 WHERE workspace_id = $1 AND name_key = $2 AND kind = $3 AND workflow = $4";
    execute!(write, sql, workspace_id, name_key, kind, workflow, is_seen)?;
    Ok(())
}

/// A page of the workflows that were found and not seen, in the order of kind and name, after those of a row.
pub async fn list_found(
    handle: &mut impl Handle,
    (workspace_id, name_key): (&str, &str),
    seer: Seer<'_>,
    (kind, workflow): (&str, &str),
    limit: i64,
) -> Result<Vec<(String, String)>> {
    fetch!(
        handle,
        fetch_all,
        (String, String),
        "SELECT DISTINCT kind, workflow FROM findings WHERE workspace_id = $1 AND name_key = $2 AND NOT is_seen \
         AND (kind, workflow) > ($3, $4) AND ($5 IS NULL OR kind IN ('pipeline', 'app')) ORDER BY kind, workflow LIMIT $6",
        workspace_id,
        name_key,
        kind,
        workflow,
        seer.id(),
        limit
    )
}

/// Where code names a connection, at most `limit` places of workflows that were seen.
pub async fn places_seen(handle: &mut impl Handle, (workspace_id, name_key): (&str, &str), limit: i64) -> Result<Vec<PlaceRow>> {
    fetch!(
        handle,
        fetch_all,
        PlaceRow,
        "SELECT f.kind, f.workflow, f.project, s.revision, f.file, f.line, f.is_certain FROM findings f \
         JOIN scans s ON s.workspace_id = f.workspace_id AND s.project = f.project \
         WHERE f.workspace_id = $1 AND f.name_key = $2 AND f.is_seen ORDER BY f.kind, f.workflow, f.project, f.file, f.line LIMIT $3",
        workspace_id,
        name_key,
        limit
    )
}

/// The same of one that was found and not seen.
pub async fn places_of(
    handle: &mut impl Handle,
    (workspace_id, name_key): (&str, &str),
    (kind, workflow): (&str, &str),
    limit: i64,
) -> Result<Vec<PlaceRow>> {
    fetch!(
        handle,
        fetch_all,
        PlaceRow,
        "SELECT f.kind, f.workflow, f.project, s.revision, f.file, f.line, f.is_certain FROM findings f \
         JOIN scans s ON s.workspace_id = f.workspace_id AND s.project = f.project \
         WHERE f.workspace_id = $1 AND f.name_key = $2 AND f.kind = $3 AND f.workflow = $4 ORDER BY f.project, f.file, f.line LIMIT $5",
        workspace_id,
        name_key,
        kind,
        workflow,
        limit
    )
}

/// How many places in code name a name.
pub async fn count_places(handle: &mut impl Handle, (workspace_id, name_key): (&str, &str)) -> Result<i64> {
    let sql = "SELECT count(*) FROM findings WHERE workspace_id = $1 AND name_key = $2";
    Ok(fetch!(handle, fetch_one, (i64,), sql, workspace_id, name_key)?.0)
}
