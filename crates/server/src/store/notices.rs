//! Whom a workspace tells what becomes of its connections, what is still to be told, and what ends.

use super::{Handle, MacTable as _, Mark, RESTS, Result, Write, execute, fetch};

const TABLE: &str = "channels";

#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct ChannelRow {
    pub id: String,
    pub workspace_id: String,
    pub name: String,
    pub name_key: String,
    /// The name of the connection through which it tells.
    pub connection: String,
    /// A list in JSON.
    pub addresses: String,
    /// Of connections with this tag alone, by its key.
    pub tag: Option<String>,
    /// `all`, `health` or `ends`.
    pub tells: String,
    pub set_at: i64,
    pub set_by: String,
    /// Who that was in a form that no two share.
    pub set_by_id: String,
    pub mac: Vec<u8>,
    /// It tells nothing before.
    pub next_at: i64,
    /// Messages that followed each other closely.
    pub in_a_row: i64,
    /// How often the message that is due was tried in vain.
    pub tries: i64,
    /// When it told something last.
    pub told_at: Option<i64>,
    /// Since when every try was in vain; nothing if the last one was not.
    pub failing_since: Option<i64>,
    /// Why it could not the last time; nothing if it could.
    pub problem: Option<String>,
}

/// What a channel is still to tell of a connection.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct NoticeRow {
    pub channel_id: String,
    pub connection_id: String,
    /// `health`, `certificate` or `password`.
    pub about: String,
    /// How it stood when that was told last.
    pub was: String,
    pub state: String,
    pub at: i64,
    /// Of a failure: its code, and its message.
    pub cause: Option<String>,
    pub message: Option<String>,
    pub ends_at: Option<i64>,
    /// When a node took it to tell it, and what it tells then; nothing if none has.
    pub taken_at: Option<i64>,
    pub taken_state: Option<String>,
}

/// The same with the connection that it is about.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct NoticeOfRow {
    #[sqlx(flatten)]
    pub notice: NoticeRow,
    pub name: String,
    #[sqlx(rename = "type")]
    pub type_id: String,
}

/// When the certificate or the password of a connection ends.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct EndRow {
    pub connection_id: String,
    /// `certificate` or `password`.
    pub about: String,
    pub workspace_id: String,
    pub ends_at: i64,
    /// When it is told next; nothing if never.
    pub next_at: Option<i64>,
    pub told_at: Option<i64>,
}

/// The same with the connection's name.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct EndOfRow {
    #[sqlx(flatten)]
    pub end: EndRow,
    pub name: String,
    #[sqlx(rename = "type")]
    pub type_id: String,
}

/// Puts a channel in the place of the one with its id. What it was to tell it still is, and how telling goes begins anew; a message that is under
/// way goes out first.
pub async fn put_channel(write: &mut Write, row: &ChannelRow) -> Result<()> {
    write.leaves(row.mark());
    // Whoever is taking its notices at this moment is waited for.
    hold_channel(write, &row.id).await?;
    execute!(
        write,
        "INSERT INTO channels (id, workspace_id, name, name_key, connection, addresses, tag, tells, set_at, set_by, set_by_id, mac, \
         next_at, in_a_row, tries, told_at, failing_since, problem) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0, 0, NULL, NULL, NULL) ON CONFLICT (id) DO UPDATE SET connection = excluded.connection, addresses = excluded.addresses, tag = excluded.tag, \
         tells = excluded.tells, set_at = excluded.set_at, set_by = excluded.set_by, set_by_id = excluded.set_by_id, mac = excluded.mac, \
         next_at = CASE WHEN EXISTS (SELECT 1 FROM notices n WHERE n.channel_id = excluded.id AND n.taken_at IS NOT NULL) \
         THEN channels.next_at ELSE excluded.next_at END, in_a_row = 0, tries = 0, failing_since = NULL, problem = NULL",
        &row.id,
        &row.workspace_id,
        &row.name,
        &row.name_key,
        &row.connection,
        &row.addresses,
        row.tag.as_deref(),
        &row.tells,
        row.set_at,
        &row.set_by,
        &row.set_by_id,
        &row.mac,
        row.next_at,
    )?;
    Ok(())
}

pub async fn channel(handle: &mut impl Handle, workspace_id: &str, name_key: &str) -> Result<Option<ChannelRow>> {
    let sql = "SELECT * FROM channels WHERE workspace_id = $1 AND name_key = $2";
    fetch!(handle, fetch_optional, ChannelRow, sql, workspace_id, name_key)
}

/// Keeps everybody else from a channel until the transaction is over: before its notices, in whichever order those are.
async fn hold_channel(write: &mut Write, id: &str) -> Result<()> {
    execute!(write, "UPDATE channels SET tries = tries WHERE id = $1", id)?;
    Ok(())
}

/// Takes a channel away with all that it was to tell, whoever changed its row; `false` if there is none.
pub async fn delete_channel(write: &mut Write, id: &str) -> Result<bool> {
    hold_channel(write, id).await?;
    execute!(write, "DELETE FROM notices WHERE channel_id = $1", id)?;
    let deleted = execute!(write, "DELETE FROM channels WHERE id = $1", id)?;
    if deleted == 1 {
        write.leaves(Mark::gone(TABLE, &[&id]));
    }
    Ok(deleted == 1)
}

/// Channels of a workspace by name, after one.
pub async fn channels(handle: &mut impl Handle, workspace_id: &str, after: &str, limit: i64) -> Result<Vec<ChannelRow>> {
    let sql = "SELECT * FROM channels WHERE workspace_id = $1 AND name_key > $2 ORDER BY name_key LIMIT $3";
    fetch!(handle, fetch_all, ChannelRow, sql, workspace_id, after, limit)
}

pub async fn count_channels(handle: &mut impl Handle, workspace_id: &str) -> Result<i64> {
    Ok(fetch!(handle, fetch_one, (i64,), "SELECT count(*) FROM channels WHERE workspace_id = $1", workspace_id)?.0)
}

/// What has gone back to where it was when that was told last is not told. While it is being told, that is not known.
const SETTLED: &str = "DELETE FROM notices WHERE channel_id = $1 AND taken_at IS NULL AND about = 'health' AND was = state";

/// Has a channel tell something. One that has nothing to tell yet waits until `gathered_at` for what else there may be.
pub async fn note(write: &mut Write, row: &NoticeRow, gathered_at: i64) -> Result<()> {
    // The channel before its notices, as whoever tells them does; it is held in any case.
    execute!(
        write,
        "UPDATE channels SET next_at = CASE WHEN next_at < $2 AND NOT EXISTS (SELECT 1 FROM notices WHERE channel_id = $1) \
         THEN $2 ELSE next_at END WHERE id = $1",
        &row.channel_id,
        gathered_at,
    )?;
    execute!(
        write,
        "INSERT INTO notices (channel_id, connection_id, about, was, state, at, cause, message, ends_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (channel_id, connection_id, about) DO UPDATE SET \
         state = excluded.state, at = excluded.at, cause = excluded.cause, message = excluded.message, ends_at = excluded.ends_at",
        &row.channel_id,
        &row.connection_id,
        &row.about,
        &row.was,
        &row.state,
        row.at,
        row.cause.as_deref(),
        row.message.as_deref(),
        row.ends_at,
    )?;
    // Of this one alone: a channel that cannot tell has many.
    execute!(
        write,
        "DELETE FROM notices WHERE channel_id = $1 AND connection_id = $2 AND about = $3 AND taken_at IS NULL AND about = 'health' AND was = state",
        &row.channel_id,
        &row.connection_id,
        &row.about,
    )?;
    Ok(())
}

/// Has nobody told that a connection is unhealthy any more, unless that is just being done.
pub async fn forget_failure(write: &mut Write, connection_id: &str) -> Result<()> {
    let sql = "DELETE FROM notices WHERE connection_id = $1 AND about = 'health' AND state <> 'healthy' AND taken_at IS NULL";
    execute!(write, sql, connection_id)?;
    Ok(())
}

/// Has nobody told of something any more, unless that is just being done.
pub async fn forget_notices(write: &mut Write, connection_id: &str, about: &str) -> Result<()> {
    let sql = "DELETE FROM notices WHERE connection_id = $1 AND about = $2 AND taken_at IS NULL";
    execute!(write, sql, connection_id, about)?;
    Ok(())
}

/// Channels that have something to tell now, those first that wait longest.
pub async fn channels_due(handle: &mut impl Handle, now: i64, limit: i64) -> Result<Vec<ChannelRow>> {
    let sql = "SELECT c.* FROM channels c WHERE c.next_at <= $1 AND EXISTS (SELECT 1 FROM notices n WHERE n.channel_id = c.id) \
               ORDER BY c.next_at, c.id LIMIT $2";
    fetch!(handle, fetch_all, ChannelRow, sql, now, limit)
}

/// Takes what a channel has to tell, so that nobody else tells it until `until`; `false`, and nothing done, if somebody else has.
pub async fn take_notices(write: &mut Write, row: &ChannelRow, now: i64, until: i64) -> Result<bool> {
    let sql = "UPDATE channels SET next_at = $3 WHERE id = $1 AND next_at = $2 AND mac = $4";
    if execute!(write, sql, &row.id, row.next_at, until, &row.mac)? == 0 {
        return Ok(false);
    }
    execute!(write, "UPDATE notices SET taken_at = $2, taken_state = state WHERE channel_id = $1", &row.id, now)?;
    Ok(true)
}

/// What was taken then, failures first, with how much it is.
pub async fn taken(handle: &mut impl Handle, channel_id: &str, taken_at: i64, limit: i64) -> Result<(Vec<NoticeOfRow>, i64)> {
    let sql = "SELECT n.*, c.name, c.type FROM notices n JOIN connections c ON c.id = n.connection_id \
               WHERE n.channel_id = $1 AND n.taken_at = $2 AND c.deleted_at IS NULL ORDER BY n.about, n.state DESC, c.name_key LIMIT $3";
    let rows = fetch!(handle, fetch_all, NoticeOfRow, sql, channel_id, taken_at, limit)?;
    let sql = "SELECT count(*) FROM notices n JOIN connections c ON c.id = n.connection_id \
               WHERE n.channel_id = $1 AND n.taken_at = $2 AND c.deleted_at IS NULL";
    let (count,) = fetch!(handle, fetch_one, (i64,), sql, channel_id, taken_at)?;
    Ok((rows, count))
}

/// What was taken then is told; what has changed meanwhile is still to be.
pub async fn drop_told(write: &mut Write, channel_id: &str, taken_at: i64) -> Result<()> {
    let sql =
        "DELETE FROM notices WHERE channel_id = $1 AND taken_at = $2 AND state = taken_state AND (about = 'health' OR at <= $2)";
    execute!(write, sql, channel_id, taken_at)?;
    let sql = "UPDATE notices SET was = CASE WHEN about = 'health' THEN taken_state ELSE was END, taken_at = NULL, taken_state = NULL \
               WHERE channel_id = $1 AND taken_at = $2";
    execute!(write, sql, channel_id, taken_at)?;
    execute!(write, SETTLED, channel_id)?;
    Ok(())
}

/// What was taken then is not told after all; what is older than `given_up_before` never will be. Gives how much that is.
pub async fn give_back(write: &mut Write, channel_id: &str, taken_at: i64, given_up_before: i64) -> Result<u64> {
    let sql = "DELETE FROM notices WHERE channel_id = $1 AND taken_at = $2 AND at < $3";
    let given_up = execute!(write, sql, channel_id, taken_at, given_up_before)?;
    let sql = "UPDATE notices SET taken_at = NULL, taken_state = NULL WHERE channel_id = $1 AND taken_at = $2";
    execute!(write, sql, channel_id, taken_at)?;
    execute!(write, SETTLED, channel_id)?;
    Ok(given_up)
}

/// Writes how telling went, and keeps the channel; of one that was set anew meanwhile only when it told something.
pub async fn channel_went(write: &mut Write, row: &ChannelRow) -> Result<()> {
    execute!(
        write,
        "UPDATE channels SET next_at = CASE WHEN set_at = $8 OR $7 IS NULL THEN $2 ELSE set_at END, told_at = $5, in_a_row = CASE WHEN set_at = $8 THEN $3 ELSE in_a_row END, \
         tries = CASE WHEN set_at = $8 THEN $4 ELSE tries END, failing_since = CASE WHEN set_at = $8 THEN $6 ELSE failing_since END, \
         problem = CASE WHEN set_at = $8 THEN $7 ELSE problem END WHERE id = $1",
        &row.id,
        row.next_at,
        row.in_a_row,
        row.tries,
        row.told_at,
        row.failing_since,
        row.problem.as_deref(),
        row.set_at,
    )?;
    Ok(())
}

/// Has nobody be told of anything by a store that is filled from a backup, which may be a copy of one at work, until somebody sets the channel again.
/// `problem` is what is told of that; gives how many channels rest.
pub async fn rest_channels(write: &mut Write, problem: &str) -> Result<u64> {
    execute!(write, "DELETE FROM notices")?;
    execute!(write, "UPDATE ends SET next_at = NULL")?;
    execute!(write, "UPDATE channels SET next_at = $1, tries = 0, failing_since = NULL, problem = $2", RESTS, problem)
}

/// In the place of an end that there is none any more: when it was told last is known all the same.
pub const NEVER_ENDS: i64 = i64::MAX;

/// When something of a connection ends, as it was known; nothing if nothing was.
pub async fn end(handle: &mut impl Handle, connection_id: &str, about: &str) -> Result<Option<EndRow>> {
    let sql = "SELECT * FROM ends WHERE connection_id = $1 AND about = $2";
    fetch!(handle, fetch_optional, EndRow, sql, connection_id, about)
}

pub async fn put_end(write: &mut Write, row: &EndRow) -> Result<()> {
    execute!(
        write,
        "INSERT INTO ends (connection_id, about, workspace_id, ends_at, next_at, told_at) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (connection_id, about) DO UPDATE SET ends_at = excluded.ends_at, next_at = excluded.next_at, told_at = excluded.told_at",
        &row.connection_id,
        &row.about,
        &row.workspace_id,
        row.ends_at,
        row.next_at,
        row.told_at,
    )?;
    Ok(())
}

/// What is to be told now of what ends.
pub async fn ends_due(handle: &mut impl Handle, now: i64, limit: i64) -> Result<Vec<EndRow>> {
    fetch!(handle, fetch_all, EndRow, "SELECT * FROM ends WHERE next_at <= $1 ORDER BY next_at LIMIT $2", now, limit)
}

/// Moves on when it is told, from what that was; `false`, and nothing done, if somebody else has.
pub async fn move_end(write: &mut Write, row: &EndRow, next_at: Option<i64>, told_at: i64) -> Result<bool> {
    let sql = "UPDATE ends SET next_at = $4, told_at = $5 WHERE connection_id = $1 AND about = $2 AND next_at = $3";
    Ok(execute!(write, sql, &row.connection_id, &row.about, row.next_at, next_at, told_at)? == 1)
}

/// What ends in a workspace before `until`, soonest first, after one.
pub async fn ends_until(
    handle: &mut impl Handle,
    (workspace_id, until): (&str, i64),
    (ends_at, after): (i64, &str),
    limit: i64,
) -> Result<Vec<EndOfRow>> {
    let sql = "SELECT e.*, c.name, c.type FROM ends e JOIN connections c ON c.id = e.connection_id WHERE e.workspace_id = $1 AND e.ends_at < $2 \
               AND (e.ends_at, e.connection_id || e.about) > ($3, $4) AND c.deleted_at IS NULL ORDER BY e.ends_at, e.connection_id || e.about LIMIT $5";
    fetch!(handle, fetch_all, EndOfRow, sql, workspace_id, until, ends_at, after, limit)
}
