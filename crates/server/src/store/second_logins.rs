//! Second logins of connections: those that a rotation switches over to, and those that served before it did.

use super::{Handle, Result, Write, execute, fetch};

#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SecondLoginRow {
    pub connection_id: String,
    pub workspace_id: String,
    pub username: String,
    /// The digest, in hexadecimal, of the endpoint that its passwords are sealed for.
    pub endpoint: String,
    /// Base64 of the password in force, sealed.
    pub password: String,
    /// The same of one that is being set, and may be in force by now.
    pub candidate: Option<String>,
    /// The oldest version of the workspace's key that they are sealed under. Not under the MAC: the sealed bytes say it themselves.
    pub key_version: i64,
    pub set_at: i64,
    /// Who gave it, or switched over from it.
    pub set_by: String,
    /// The same in a form that no two share.
    pub set_by_id: String,
    /// The version that took its place; nothing of one that stands by.
    pub retires_from: Option<i64>,
    pub switched_at: Option<i64>,
    pub mac: Vec<u8>,
    /// Who is at it, until [`Self::leased_until`].
    pub owner: String,
    pub leased_until: i64,
    /// How often setting a password has failed, when it was tried last, and when it is looked at again.
    pub tries: i64,
    pub tried_at: Option<i64>,
    pub next_at: i64,
    /// JSON of what stood in the way the last time.
    pub problem: Option<String>,
}

/// Keeps the second login of a connection, in the place of the one that it has.
pub async fn put_second_login(write: &mut Write, row: &SecondLoginRow) -> Result<()> {
    write.bears(&row.mac);
    write.rotated.push(row.connection_id.clone());
    execute!(
        write,
        "INSERT INTO second_logins (connection_id, workspace_id, username, endpoint, password, candidate, key_version, set_at, set_by, \
         set_by_id, retires_from, switched_at, mac, owner, leased_until, tries, tried_at, next_at, problem) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19) \
         ON CONFLICT (connection_id) DO UPDATE SET username = excluded.username, endpoint = excluded.endpoint, \
         password = excluded.password, candidate = excluded.candidate, key_version = excluded.key_version, set_at = excluded.set_at, \
         set_by = excluded.set_by, set_by_id = excluded.set_by_id, retires_from = excluded.retires_from, \
         switched_at = excluded.switched_at, mac = excluded.mac, owner = excluded.owner, leased_until = excluded.leased_until, \
         tries = excluded.tries, tried_at = excluded.tried_at, next_at = excluded.next_at, problem = excluded.problem",
        &row.connection_id,
        &row.workspace_id,
        &row.username,
        &row.endpoint,
        &row.password,
        row.candidate.as_deref(),
        row.key_version,
        row.set_at,
        &row.set_by,
        &row.set_by_id,
        row.retires_from,
        row.switched_at,
        &row.mac,
        &row.owner,
        row.leased_until,
        row.tries,
        row.tried_at,
        row.next_at,
        row.problem.as_deref(),
    )?;
    Ok(())
}

pub async fn second_login(handle: &mut impl Handle, connection_id: &str) -> Result<Option<SecondLoginRow>> {
    fetch!(handle, fetch_optional, SecondLoginRow, "SELECT * FROM second_logins WHERE connection_id = $1", connection_id)
}

/// The same for a change: it stays as it is until this transaction ends. Whoever changes the connection, too, holds that first.
pub async fn hold_second_login(write: &mut Write, connection_id: &str) -> Result<Option<SecondLoginRow>> {
    execute!(write, "UPDATE second_logins SET tries = tries WHERE connection_id = $1", connection_id)?;
    second_login(write, connection_id).await
}

pub async fn delete_second_login(write: &mut Write, connection_id: &str) -> Result<()> {
    execute!(write, "DELETE FROM second_logins WHERE connection_id = $1", connection_id)?;
    Ok(())
}

/// Those with something to do that nobody is at and whose time has come, those first that wait longest.
pub async fn due_second_logins(handle: &mut impl Handle, now: i64, limit: i64) -> Result<Vec<SecondLoginRow>> {
    let sql = "SELECT * FROM second_logins WHERE next_at <= $1 AND leased_until <= $1 \
               AND (retires_from IS NOT NULL OR candidate IS NOT NULL) ORDER BY next_at LIMIT $2";
    fetch!(handle, fetch_all, SecondLoginRow, sql, now, limit)
}

/// Has `owner` be at it until a time, if nobody has taken it from him; whether he is. The row may be of another login by then.
pub async fn lease_second_login(write: &mut Write, connection_id: &str, owner: &str, until: i64) -> Result<bool> {
    let sql = "UPDATE second_logins SET leased_until = $3 WHERE connection_id = $1 AND owner = $2";
    Ok(execute!(write, sql, connection_id, owner, until)? == 1)
}

/// Lets go of it until it is looked at again, with what stood in the way.
pub async fn put_off_second_login(write: &mut Write, row: &SecondLoginRow) -> Result<()> {
    execute!(
        write,
        "UPDATE second_logins SET leased_until = 0, tries = $3, tried_at = $4, next_at = $5, problem = $6 \
         WHERE connection_id = $1 AND owner = $2",
        &row.connection_id,
        &row.owner,
        row.tries,
        row.tried_at,
        row.next_at,
        row.problem.as_deref(),
    )?;
    Ok(())
}

/// Those of a workspace with a password under a key older than `key_version`: at most `limit`, by their connections' ids, after that one.
pub async fn second_logins_under_older_keys(
    handle: &mut impl Handle,
    (workspace_id, key_version): (&str, i64),
    (after, limit): (&str, i64),
) -> Result<Vec<SecondLoginRow>> {
    let sql = "SELECT * FROM second_logins WHERE workspace_id = $1 AND key_version < $2 AND connection_id > $3 \
               ORDER BY connection_id LIMIT $4";
    fetch!(handle, fetch_all, SecondLoginRow, sql, workspace_id, key_version, after, limit)
}

/// Writes what sealing its passwords anew changes; `false` if its MAC is no longer `before`.
pub async fn reseal_second_login(write: &mut Write, row: &SecondLoginRow, before: &[u8]) -> Result<bool> {
    write.bears(&row.mac);
    let sql = "UPDATE second_logins SET password = $2, candidate = $3, key_version = $4, mac = $5 \
               WHERE connection_id = $1 AND mac = $6";
    let changed =
        execute!(write, sql, &row.connection_id, &row.password, row.candidate.as_deref(), row.key_version, &row.mac, before)?;
    Ok(changed == 1)
}
