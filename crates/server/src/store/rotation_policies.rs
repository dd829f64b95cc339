//! What new passwords of a connection are made of, and when the next one is due.

use super::{Handle, MacTable as _, Mark, Result, Write, execute, fetch};

const TABLE: &str = "rotation_policies";

#[derive(Debug, Clone, sqlx::FromRow)]
pub struct RotationPolicyRow {
    pub connection_id: String,
    pub workspace_id: String,
    /// `None`: nobody but people rotate.
    pub every_days: Option<i64>,
    /// Of the day in UTC; `None`: whenever it is due.
    pub at_hour: Option<i64>,
    /// Characters of a password.
    pub length: i64,
    /// What it holds besides letters and digits.
    pub symbols: String,
    pub set_at: i64,
    pub set_by: String,
    /// Who that was in a form that no two share.
    pub set_by_id: String,
    pub mac: Vec<u8>,
    /// When the password is rotated next, by whichever node moves this first.
    pub next_at: Option<i64>,
    /// How often it was tried in vain in this turn, and when last.
    pub tries: i64,
    pub tried_at: Option<i64>,
    /// JSON of what stood in the way the last time.
    pub problem: Option<String>,
}

/// Puts a policy in the place of the one that the connection has.
pub async fn put_rotation_policy(write: &mut Write, row: &RotationPolicyRow) -> Result<()> {
    write.leaves(row.mark());
    execute!(
        write,
        "INSERT INTO rotation_policies (connection_id, workspace_id, every_days, at_hour, length, symbols, set_at, set_by, set_by_id, mac, \
         next_at, tries, tried_at, problem) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
         ON CONFLICT (connection_id) DO UPDATE SET workspace_id = excluded.workspace_id, every_days = excluded.every_days, \
         at_hour = excluded.at_hour, length = excluded.length, symbols = excluded.symbols, set_at = excluded.set_at, set_by = excluded.set_by, \
         set_by_id = excluded.set_by_id, mac = excluded.mac, next_at = excluded.next_at, tries = excluded.tries, \
         tried_at = excluded.tried_at, problem = excluded.problem",
        &row.connection_id,
        &row.workspace_id,
        row.every_days,
        row.at_hour,
        row.length,
        &row.symbols,
        row.set_at,
        &row.set_by,
        &row.set_by_id,
        &row.mac,
        row.next_at,
        row.tries,
        row.tried_at,
        row.problem.as_deref(),
    )?;
    Ok(())
}

pub async fn rotation_policy(handle: &mut impl Handle, connection_id: &str) -> Result<Option<RotationPolicyRow>> {
    let sql = "SELECT * FROM rotation_policies WHERE connection_id = $1";
    fetch!(handle, fetch_optional, RotationPolicyRow, sql, connection_id)
}

/// Takes a policy away, whoever changed its row; `false` if there is none.
pub async fn delete_rotation_policy(write: &mut Write, connection_id: &str) -> Result<bool> {
    let deleted = execute!(write, "DELETE FROM rotation_policies WHERE connection_id = $1", connection_id)?;
    if deleted == 1 {
        write.leaves(Mark::gone(TABLE, &[&connection_id]));
    }
    Ok(deleted == 1)
}

/// Policies by which a password is due, those first that wait longest. That of a deleted connection waits until it comes back.
pub async fn due_rotation_policies(handle: &mut impl Handle, now: i64, limit: i64) -> Result<Vec<RotationPolicyRow>> {
    let sql = "SELECT p.* FROM rotation_policies p JOIN connections c ON c.id = p.connection_id \
               WHERE p.next_at <= $1 AND c.deleted_at IS NULL ORDER BY p.next_at LIMIT $2";
    fetch!(handle, fetch_all, RotationPolicyRow, sql, now, limit)
}

/// Moves on when a policy is due, from what it was at `before`; `false`, and nothing done, if somebody else has moved it.
pub async fn move_rotation_turn(write: &mut Write, row: &RotationPolicyRow, before: Option<i64>) -> Result<bool> {
    let moved = execute!(
        write,
        "UPDATE rotation_policies SET next_at = $3, tries = $4, tried_at = $5, problem = $6 WHERE connection_id = $1 AND next_at = $2",
        &row.connection_id,
        before,
        row.next_at,
        row.tries,
        row.tried_at,
        row.problem.as_deref(),
    )?;
    Ok(moved == 1)
}

/// The end of the year 9999: when is looked after what rests until somebody says otherwise.
pub const RESTS: i64 = 253_402_300_799_000_000;

/// Has no password be changed by itself in a store that is filled from a backup, which may be a copy of one at work: no turn comes, and no login is
/// retired, until somebody says so. `problem` is what is told of that; gives how many rest.
pub async fn rest_rotations(write: &mut Write, now: i64, problem: &str) -> Result<u64> {
    let sql = "UPDATE rotation_policies SET next_at = NULL, tries = 0, tried_at = $1, problem = $2 WHERE every_days IS NOT NULL";
    let policies = execute!(write, sql, now, problem)?;
    let sql = "UPDATE second_logins SET next_at = $1, problem = $2, leased_until = 0 \
               WHERE retires_from IS NOT NULL OR candidate IS NOT NULL";
    Ok(policies + execute!(write, sql, RESTS, problem)?)
}

/// Begins a new turn, which ends at `next_at`: of the one before nothing stands in the way any more.
pub async fn begin_rotation_turn(write: &mut Write, connection_id: &str, next_at: Option<i64>) -> Result<()> {
    let sql = "UPDATE rotation_policies SET next_at = $2, tries = 0, tried_at = NULL, problem = NULL WHERE connection_id = $1";
    execute!(write, sql, connection_id, next_at)?;
    Ok(())
}
