//! Rotations of passwords that are not settled: what a database may have been given, and no version holds yet.

use super::{Handle, Result, Write, execute, fetch};

#[derive(Debug, Clone, sqlx::FromRow)]
pub struct RotationRow {
    pub connection_id: String,
    pub workspace_id: String,
    /// The version whose password is replaced.
    pub base_version: i64,
    /// Base64 of the new password, sealed.
    pub candidate: String,
    /// The version of the workspace's key that it is sealed under. Not under the MAC: the sealed bytes say it themselves.
    pub key_version: i64,
    pub begun_at: i64,
    pub begun_by: String,
    /// Who that was in a form that no two share.
    pub begun_by_id: String,
    pub mac: Vec<u8>,
    /// Who is at it, until [`Self::leased_until`]: another name each time somebody takes it.
    pub owner: String,
    pub leased_until: i64,
    /// How often it was tried to settle it, when last, and when it is tried again.
    pub tries: i64,
    pub tried_at: Option<i64>,
    pub next_at: i64,
    /// JSON of what stood in the way the last time.
    pub problem: Option<String>,
    /// When the database was last asked for a password.
    pub told_at: i64,
    /// That was the one of before, again.
    pub puts_back: bool,
}

/// Begins a rotation.
///
/// # Errors
/// `Unique` if the connection has one.
pub async fn insert_rotation(write: &mut Write, row: &RotationRow) -> Result<()> {
    write.bears(&row.mac);
    write.rotated.push(row.connection_id.clone());
    execute!(
        write,
        "INSERT INTO rotations (connection_id, workspace_id, base_version, candidate, key_version, begun_at, begun_by, begun_by_id, mac, \
         owner, leased_until, tries, tried_at, next_at, problem, told_at, puts_back) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)",
        &row.connection_id,
        &row.workspace_id,
        row.base_version,
        &row.candidate,
        row.key_version,
        row.begun_at,
        &row.begun_by,
        &row.begun_by_id,
        &row.mac,
        &row.owner,
        row.leased_until,
        row.tries,
        row.tried_at,
        row.next_at,
        row.problem.as_deref(),
        row.told_at,
        row.puts_back,
    )?;
    Ok(())
}

pub async fn rotation(handle: &mut impl Handle, connection_id: &str) -> Result<Option<RotationRow>> {
    fetch!(handle, fetch_optional, RotationRow, "SELECT * FROM rotations WHERE connection_id = $1", connection_id)
}

/// Rotations that nobody is at and whose time has come, those first that wait longest.
pub async fn due_rotations(handle: &mut impl Handle, now: i64, limit: i64) -> Result<Vec<RotationRow>> {
    let sql = "SELECT * FROM rotations WHERE next_at <= $1 AND leased_until <= $1 ORDER BY next_at LIMIT $2";
    fetch!(handle, fetch_all, RotationRow, sql, now, limit)
}

/// Has the owner of `row` be at its rotation for as long as it says, if nobody is; whether he is now.
pub async fn take_rotation(write: &mut Write, row: &RotationRow, now: i64) -> Result<bool> {
    let sql = "UPDATE rotations SET owner = $2, leased_until = $3 \
               WHERE connection_id = $1 AND leased_until <= $4 AND begun_at = $5 AND begun_by_id = $6";
    let taken = execute!(write, sql, &row.connection_id, &row.owner, row.leased_until, now, row.begun_at, &row.begun_by_id)?;
    Ok(taken == 1)
}

/// Has `owner` be at it until a later time, if nobody has taken it from him; whether he is.
pub async fn lease_rotation(write: &mut Write, connection_id: &str, owner: &str, until: i64) -> Result<bool> {
    let sql = "UPDATE rotations SET leased_until = $3 WHERE connection_id = $1 AND owner = $2";
    Ok(execute!(write, sql, connection_id, owner, until)? == 1)
}

/// The same, of who asks the database for a password now.
pub async fn tell_rotation(write: &mut Write, row: &RotationRow) -> Result<bool> {
    let sql = "UPDATE rotations SET leased_until = $3, told_at = $4, puts_back = $5 WHERE connection_id = $1 AND owner = $2";
    Ok(execute!(write, sql, &row.connection_id, &row.owner, row.leased_until, row.told_at, row.puts_back)? == 1)
}

/// Ends every lease of before this time, at which this process began: whoever has the store to himself knows that nobody else is at anything.
/// What those who were at a second login have sent to a database may still happen, as if it were tried now.
pub async fn end_leases(write: &mut Write, now: i64) -> Result<()> {
    execute!(write, "UPDATE rotations SET leased_until = 0, next_at = 0 WHERE begun_at < $1", now)?;
    execute!(write, "UPDATE second_logins SET leased_until = 0, tried_at = $1 WHERE leased_until > 0 AND tried_at < $1", now)?;
    Ok(())
}

/// Lets go of a rotation that could not be settled, with what stood in the way and when it is tried again.
pub async fn put_off_rotation(write: &mut Write, row: &RotationRow) -> Result<()> {
    execute!(
        write,
        "UPDATE rotations SET leased_until = 0, tries = $3, tried_at = $4, next_at = $5, problem = $6, told_at = $7, puts_back = $8 \
         WHERE connection_id = $1 AND owner = $2",
        &row.connection_id,
        &row.owner,
        row.tries,
        row.tried_at,
        row.next_at,
        row.problem.as_deref(),
        row.told_at,
        row.puts_back,
    )?;
    Ok(())
}

/// Has a rotation that nobody is at tried now, unless it was since `since`.
pub async fn hasten_rotation(write: &mut Write, connection_id: &str, (now, since): (i64, i64)) -> Result<()> {
    let sql = "UPDATE rotations SET next_at = $2 WHERE connection_id = $1 AND next_at > $2 AND leased_until <= $2 \
               AND (tried_at IS NULL OR tried_at < $3)";
    execute!(write, sql, connection_id, now, since)?;
    Ok(())
}

/// Ends a rotation, if it is still this one and in the same hands.
pub async fn delete_rotation(write: &mut Write, row: &RotationRow) -> Result<bool> {
    let sql = "DELETE FROM rotations WHERE connection_id = $1 AND begun_at = $2 AND begun_by_id = $3 AND owner = $4";
    Ok(execute!(write, sql, &row.connection_id, row.begun_at, &row.begun_by_id, &row.owner)? == 1)
}

/// Rotations of a workspace whose password is sealed under a key older than `key_version`: at most `limit`, by their connections' ids, after that one.
pub async fn rotations_under_older_keys(
    handle: &mut impl Handle,
    (workspace_id, key_version): (&str, i64),
    (after, limit): (&str, i64),
) -> Result<Vec<RotationRow>> {
    let sql = "SELECT * FROM rotations WHERE workspace_id = $1 AND key_version < $2 AND connection_id > $3 \
               ORDER BY connection_id LIMIT $4";
    fetch!(handle, fetch_all, RotationRow, sql, workspace_id, key_version, after, limit)
}

/// Writes what sealing its password anew changes; `false` if its MAC is no longer `before`.
pub async fn reseal_rotation(write: &mut Write, row: &RotationRow, before: &[u8]) -> Result<bool> {
    write.bears(&row.mac);
    let sql = "UPDATE rotations SET candidate = $2, key_version = $3, mac = $4 WHERE connection_id = $1 AND mac = $5";
    Ok(execute!(write, sql, &row.connection_id, &row.candidate, row.key_version, &row.mac, before)? == 1)
}

/// Whether a rotation that this change begins, or a second login that it keeps, has its password under a key that was retired meanwhile.
pub(super) async fn has_retired_key(write: &mut Write, connection_id: &str) -> Result<bool> {
    let sql = "SELECT (SELECT count(*) FROM rotations r JOIN workspaces w ON w.id = r.workspace_id \
               WHERE r.connection_id = $1 AND r.key_version < w.oldest_key) + (SELECT count(*) FROM second_logins s \
               JOIN workspaces w ON w.id = s.workspace_id WHERE s.connection_id = $1 AND s.key_version < w.oldest_key)";
    let (retired,) = fetch!(write, fetch_one, (i64,), sql, connection_id)?;
    Ok(retired > 0)
}
