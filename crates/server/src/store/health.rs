//! Tests that run by themselves: the schedules, each connection that one is for, and how it stands.

use super::{Handle, MacTable as _, Mark, Result, Write, execute, fetch, forget_notices};

const TABLE: &str = "health_schedules";

#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct HealthScheduleRow {
    pub workspace_id: String,
    /// `:all`, `:tag:` and a tag's key, or `:connection:` and an id.
    pub scope: String,
    pub every_seconds: i64,
    pub jitter_percent: i64,
    pub unhealthy_after: i64,
    pub healthy_after: i64,
    /// Minutes of the day in UTC, both or neither.
    pub quiet_from: Option<i64>,
    pub quiet_to: Option<i64>,
    pub set_at: i64,
    pub set_by: String,
    /// Who that was in a form that no two share.
    pub set_by_id: String,
    pub mac: Vec<u8>,
}

/// A connection that a schedule is for.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct HealthRow {
    pub connection_id: String,
    pub workspace_id: String,
    /// Of the schedule by which it is tested.
    pub scope: String,
    /// When it is tested next, by whichever node moves this first.
    pub next_at: i64,
    /// `unknown`, `healthy` or `unhealthy`.
    pub state: String,
    pub since: i64,
    /// Whether the last test failed.
    pub is_failing: bool,
    /// How many tests in a row came to the same, and since when.
    pub streak: i64,
    pub streak_since: i64,
    /// When one passed last.
    pub passed_at: Option<i64>,
}

#[derive(Debug, Clone, sqlx::FromRow)]
pub struct HealthChangeRow {
    pub id: String,
    pub connection_id: String,
    pub workspace_id: String,
    pub at: i64,
    pub state: String,
    pub version: i64,
    /// Of a failure: its code, and its message.
    pub cause: Option<String>,
    pub message: Option<String>,
}

/// A connection in the list of how all stand.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct HealthOfRow {
    #[sqlx(flatten)]
    pub health: HealthRow,
    pub name: String,
    pub name_key: String,
    #[sqlx(rename = "type")]
    pub type_id: String,
    pub checked_at: Option<i64>,
    pub check_status: Option<String>,
    pub check_summary: Option<String>,
    pub check_micros: Option<i64>,
    pub recent_checks: String,
    /// The last version that was saved between the last test that passed and the first that failed.
    pub changed_version: Option<i64>,
}

/// Puts a schedule in the place of the one with its scope.
pub async fn put_health_schedule(write: &mut Write, row: &HealthScheduleRow) -> Result<()> {
    write.leaves(row.mark());
    execute!(
        write,
        "INSERT INTO health_schedules (workspace_id, scope, every_seconds, jitter_percent, unhealthy_after, healthy_after, quiet_from, \
         quiet_to, set_at, set_by, set_by_id, mac) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
         ON CONFLICT (workspace_id, scope) DO UPDATE SET every_seconds = excluded.every_seconds, \
         jitter_percent = excluded.jitter_percent, unhealthy_after = excluded.unhealthy_after, healthy_after = excluded.healthy_after, \
         quiet_from = excluded.quiet_from, quiet_to = excluded.quiet_to, set_at = excluded.set_at, set_by = excluded.set_by, \
         set_by_id = excluded.set_by_id, mac = excluded.mac",
        &row.workspace_id,
        &row.scope,
        row.every_seconds,
        row.jitter_percent,
        row.unhealthy_after,
        row.healthy_after,
        row.quiet_from,
        row.quiet_to,
        row.set_at,
        &row.set_by,
        &row.set_by_id,
        &row.mac,
    )?;
    Ok(())
}

pub async fn health_schedule(handle: &mut impl Handle, workspace_id: &str, scope: &str) -> Result<Option<HealthScheduleRow>> {
    let sql = "SELECT * FROM health_schedules WHERE workspace_id = $1 AND scope = $2";
    fetch!(handle, fetch_optional, HealthScheduleRow, sql, workspace_id, scope)
}

/// Takes a schedule away, whoever changed its row; `false` if there is none.
pub async fn delete_health_schedule(write: &mut Write, workspace_id: &str, scope: &str) -> Result<bool> {
    let deleted = execute!(write, "DELETE FROM health_schedules WHERE workspace_id = $1 AND scope = $2", workspace_id, scope)?;
    if deleted == 1 {
        write.leaves(Mark::gone(TABLE, &[&workspace_id, &scope]));
    }
    Ok(deleted == 1)
}

/// Schedules of a workspace that are for more than one connection, by scope, after one.
pub async fn health_schedules(
    handle: &mut impl Handle,
    workspace_id: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<HealthScheduleRow>> {
    let sql = "SELECT * FROM health_schedules WHERE workspace_id = $1 AND scope > $2 AND (scope < ':connection:' OR scope >= ':connection;') \
               ORDER BY scope LIMIT $3";
    fetch!(handle, fetch_all, HealthScheduleRow, sql, workspace_id, after, limit)
}

pub async fn count_health_schedules(handle: &mut impl Handle, workspace_id: &str) -> Result<i64> {
    let sql =
        "SELECT count(*) FROM health_schedules WHERE workspace_id = $1 AND (scope < ':connection:' OR scope >= ':connection;')";
    Ok(fetch!(handle, fetch_one, (i64,), sql, workspace_id)?.0)
}

/// One schedule of more than one connection, as [`follow_schedules`] goes through them.
#[derive(Debug)]
pub struct Layer {
    pub scope: String,
    /// The search word that its connections have; empty for all.
    pub word: String,
    /// Within how many microseconds what is new to any schedule is tested first.
    pub within: i64,
    /// By how much more time those are spread that were tested before, so that they do not all come at once.
    pub spread: i64,
    /// Whether it was set just now.
    pub is_new: bool,
}

/// Has each live connection of a workspace be tested by the first of the layers that is for it, and by none if there is none; what a connection has
/// of its own goes before. When it is tested next changes only where another schedule, or a new one, is for it now.
pub async fn follow_schedules(write: &mut Write, workspace_id: &str, layers: &[Layer], now: i64) -> Result<()> {
    // Those that are still to be looked at are marked.
    execute!(write, "UPDATE health SET scope = '!' || scope WHERE workspace_id = $1", workspace_id)?;
    execute!(
        write,
        "UPDATE health SET scope = substr(scope, 2) WHERE workspace_id = $1 AND substr(scope, 1, 13) = '!:connection:' AND EXISTS \
         (SELECT 1 FROM health_schedules s WHERE s.workspace_id = $1 AND s.scope = substr(health.scope, 2))",
        workspace_id,
    )?;
    for Layer { scope, word, within, spread, is_new } in layers {
        execute!(
            write,
            "INSERT INTO health (connection_id, workspace_id, scope, next_at, state, since, is_failing, streak, streak_since) \
             SELECT c.id, c.workspace_id, $2, $3 + ((c.created_at % 1000003) * 7919) % $4, 'unknown', $3, FALSE, 0, $3 FROM connections c \
             WHERE c.workspace_id = $1 AND c.deleted_at IS NULL AND ($5 = '' OR EXISTS (SELECT 1 FROM search_words w \
             WHERE w.workspace_id = c.workspace_id AND w.name_key = c.name_key AND w.word = $5)) \
             ON CONFLICT (connection_id) DO UPDATE SET scope = excluded.scope, next_at = CASE \
             WHEN (health.scope = '!' || excluded.scope AND NOT $7) OR health.next_at < $3 + (excluded.next_at - $3) * $6 THEN health.next_at \
             ELSE $3 + (excluded.next_at - $3) * $6 END WHERE substr(health.scope, 1, 1) = '!'",
            workspace_id,
            scope,
            now,
            within,
            word,
            spread,
            is_new,
        )?;
    }
    // Nobody is told of what is not tested any more.
    execute!(
        write,
        "DELETE FROM notices WHERE about = 'health' AND taken_at IS NULL AND connection_id IN \
         (SELECT h.connection_id FROM health h WHERE h.workspace_id = $1 AND substr(h.scope, 1, 1) = '!')",
        workspace_id
    )?;
    execute!(write, "DELETE FROM health WHERE workspace_id = $1 AND substr(scope, 1, 1) = '!'", workspace_id)?;
    Ok(())
}

/// Has one connection be tested by this schedule, at `at` for the first time if another one was for it, or none.
pub async fn follow_schedule(write: &mut Write, (workspace_id, connection_id): (&str, &str), scope: &str, at: i64) -> Result<()> {
    execute!(
        write,
        "INSERT INTO health (connection_id, workspace_id, scope, next_at, state, since, is_failing, streak, streak_since) \
         VALUES ($1, $2, $3, $4, 'unknown', $5, FALSE, 0, $5) ON CONFLICT (connection_id) DO UPDATE SET scope = excluded.scope, \
         next_at = CASE WHEN health.scope = excluded.scope OR health.next_at < excluded.next_at THEN health.next_at ELSE excluded.next_at END",
        connection_id,
        workspace_id,
        scope,
        at,
        at,
    )?;
    Ok(())
}

/// Has nobody test a connection by itself any more.
pub async fn leave_schedules(write: &mut Write, connection_id: &str) -> Result<()> {
    execute!(write, "DELETE FROM health WHERE connection_id = $1", connection_id)?;
    forget_notices(write, connection_id, "health").await
}

pub async fn health(handle: &mut impl Handle, connection_id: &str) -> Result<Option<HealthRow>> {
    fetch!(handle, fetch_optional, HealthRow, "SELECT * FROM health WHERE connection_id = $1", connection_id)
}

/// Workspaces in which a test is due, each with whether it is one of a connection that failed the last time.
pub async fn lanes_due(handle: &mut impl Handle, now: i64, limit: i64) -> Result<Vec<(String, bool)>> {
    let sql = "SELECT w.id, l.is_failing FROM workspaces w CROSS JOIN (SELECT FALSE AS is_failing UNION ALL SELECT TRUE) l WHERE EXISTS \
               (SELECT 1 FROM health h WHERE h.workspace_id = w.id AND h.is_failing = l.is_failing AND h.next_at <= $1) ORDER BY \
               (SELECT min(h.next_at) FROM health h WHERE h.workspace_id = w.id AND h.is_failing = l.is_failing) LIMIT $2";
    fetch!(handle, fetch_all, (String, bool), sql, now, limit)
}

/// Of such a lane those that wait longest.
pub async fn due_in_lane(
    handle: &mut impl Handle,
    (workspace_id, is_failing): (&str, bool),
    now: i64,
    limit: i64,
) -> Result<Vec<HealthRow>> {
    let sql = "SELECT * FROM health WHERE workspace_id = $1 AND is_failing = $2 AND next_at <= $3 ORDER BY next_at LIMIT $4";
    fetch!(handle, fetch_all, HealthRow, sql, workspace_id, is_failing, now, limit)
}

/// Moves on when a connection is tested, from what that was; `false`, and nothing done, if somebody else has moved it.
pub async fn move_test(write: &mut Write, row: &HealthRow, next_at: i64) -> Result<bool> {
    let sql = "UPDATE health SET next_at = $3 WHERE connection_id = $1 AND next_at = $2";
    Ok(execute!(write, sql, &row.connection_id, row.next_at, next_at)? == 1)
}

/// Has a connection be tested at `at`, if a schedule is for it and would later.
pub async fn hasten_test(write: &mut Write, connection_id: &str, at: i64) -> Result<()> {
    execute!(write, "UPDATE health SET next_at = $2 WHERE connection_id = $1 AND next_at > $2", connection_id, at)?;
    Ok(())
}

/// Writes how a connection stands; hold it before.
pub async fn stand(write: &mut Write, row: &HealthRow) -> Result<()> {
    execute!(
        write,
        "UPDATE health SET state = $2, since = $3, is_failing = $4, streak = $5, streak_since = $6, passed_at = $7 WHERE connection_id = $1",
        &row.connection_id,
        &row.state,
        row.since,
        row.is_failing,
        row.streak,
        row.streak_since,
        row.passed_at,
    )?;
    Ok(())
}

pub async fn insert_health_change(write: &mut Write, row: &HealthChangeRow) -> Result<()> {
    execute!(
        write,
        "INSERT INTO health_changes (id, connection_id, workspace_id, at, state, version, cause, message) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        &row.id,
        &row.connection_id,
        &row.workspace_id,
        row.at,
        &row.state,
        row.version,
        row.cause.as_deref(),
        row.message.as_deref(),
    )?;
    Ok(())
}

/// The last changes of a connection, newest first.
pub async fn health_changes(handle: &mut impl Handle, connection_id: &str, limit: i64) -> Result<Vec<HealthChangeRow>> {
    let sql = "SELECT * FROM health_changes WHERE connection_id = $1 ORDER BY at DESC, id DESC LIMIT $2";
    fetch!(handle, fetch_all, HealthChangeRow, sql, connection_id, limit)
}

macro_rules! list_sql {
    ($where:literal) => {
        concat!(
            "SELECT h.*, c.name, c.name_key, c.type, c.checked_at, c.check_status, c.check_summary, c.check_micros, c.recent_checks, ",
            "CASE WHEN h.is_failing THEN (SELECT max(v.version) FROM connection_versions v WHERE v.connection_id = h.connection_id ",
            "AND v.saved_at <= h.streak_since AND v.saved_at > h.passed_at) END AS changed_version ",
            "FROM health h JOIN connections c ON c.id = h.connection_id ",
            "WHERE h.workspace_id = $1 AND c.workspace_id = $1 AND ($2 = '' OR h.state = $2) AND c.deleted_at IS NULL AND ",
            $where
        )
    };
}

/// A page of how the connections of a workspace stand, by name after one; of one state, or of all if that is empty.
pub async fn list_health(
    handle: &mut impl Handle,
    (workspace_id, state): (&str, &str),
    (name_key, id): (&str, &str),
    limit: i64,
) -> Result<Vec<HealthOfRow>> {
    let sql = list_sql!("(c.name_key, c.id) > ($3, $4) ORDER BY c.name_key, c.id LIMIT $5");
    fetch!(handle, fetch_all, HealthOfRow, sql, workspace_id, state, name_key, id, limit)
}

/// The same of one name.
pub async fn health_by_name(
    handle: &mut impl Handle,
    (workspace_id, state): (&str, &str),
    (name, name_key): (&str, &str),
) -> Result<Option<HealthOfRow>> {
    let sql = list_sql!("c.name_key = $3 AND c.name = $4");
    fetch!(handle, fetch_optional, HealthOfRow, sql, workspace_id, state, name_key, name)
}

/// How many connections of a workspace are in each state, and how many no schedule is for, under the state `unscheduled`.
pub async fn count_health(handle: &mut impl Handle, workspace_id: &str) -> Result<Vec<(String, i64)>> {
    let sql = "SELECT state, count(*) FROM health WHERE workspace_id = $1 GROUP BY state UNION ALL \
               SELECT 'unscheduled', (SELECT count(*) FROM connections WHERE workspace_id = $1 AND deleted_at IS NULL) - \
               (SELECT count(*) FROM health WHERE workspace_id = $1)";
    fetch!(handle, fetch_all, (String, i64), sql, workspace_id)
}

/// When each of a connection's last tests from here ran, what it came to and how long it took; newest first.
pub async fn check_marks(handle: &mut impl Handle, connection_id: &str, limit: i64) -> Result<Vec<(i64, String, Option<i64>)>> {
    let sql = "SELECT checked_at, status, took_micros FROM checks WHERE connection_id = $1 AND from_client = FALSE \
               ORDER BY checked_at DESC LIMIT $2";
    fetch!(handle, fetch_all, (i64, String, Option<i64>), sql, connection_id, limit)
}
