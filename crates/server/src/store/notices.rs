//! Whom a workspace tells what becomes of its connections, what is still to be told, and what ends.

use super::{Handle, MacTable as _, Mark, Result, Write, execute, fetch};

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
    /// When a node took it to tell it; nothing if none has, or if it changed since.
    pub taken_at: Option<i64>,
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

/// Puts a channel in the place of the one with its id. What it was to tell it still is, and how telling goes begins anew.
pub async fn put_channel(write: &mut Write, row: &ChannelRow) -> Result<()> {
    write.leaves(row.mark());
    execute!(
        write,
        "INSERT INTO channels (id, workspace_id, name, name_key, connection, addresses, tag, tells, set_at, set_by, set_by_id, mac, \
         next_at, in_a_row, tries, told_at, problem) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, 0, 0, NULL, NULL) \
         ON CONFLICT (id) DO UPDATE SET connection = excluded.connection, addresses = excluded.addresses, tag = excluded.tag, \
         tells = excluded.tells, set_at = excluded.set_at, set_by = excluded.set_by, set_by_id = excluded.set_by_id, mac = excluded.mac, \
         next_at = excluded.next_at, in_a_row = 0, tries = 0, problem = NULL",
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

/// Takes a channel away with all that it was to tell, whoever changed its row; `false` if there is none.
pub async fn delete_channel(write: &mut Write, id: &str) -> Result<bool> {
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

/// Has a channel tell something. One that has nothing to tell yet waits until `gathered_at` for what else there may be. What has gone back to where it
/// was when that was told last is not told.
pub async fn note(write: &mut Write, row: &NoticeRow, gathered_at: i64) -> Result<()> {
    // The channel before its notices, as whoever tells them does.
    execute!(
        write,
        "UPDATE channels SET next_at = $2 WHERE id = $1 AND next_at < $2 AND NOT EXISTS (SELECT 1 FROM notices WHERE channel_id = $1)",
        &row.channel_id,
        gathered_at,
    )?;
    execute!(
        write,
        "INSERT INTO notices (channel_id, connection_id, about, was, state, at, cause, message, ends_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (channel_id, connection_id, about) DO UPDATE SET \
         was = CASE WHEN notices.taken_at IS NULL THEN notices.was ELSE notices.state END, taken_at = NULL, state = excluded.state, \
         at = excluded.at, cause = excluded.cause, message = excluded.message, ends_at = excluded.ends_at",
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
    execute!(
        write,
        "DELETE FROM notices WHERE channel_id = $1 AND connection_id = $2 AND about = $3 AND was = state",
        &row.channel_id,
        &row.connection_id,
        &row.about,
    )?;
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
    execute!(write, "UPDATE notices SET taken_at = $2 WHERE channel_id = $1", &row.id, now)?;
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

/// What was taken then is told.
pub async fn drop_told(write: &mut Write, channel_id: &str, taken_at: i64) -> Result<()> {
    execute!(write, "DELETE FROM notices WHERE channel_id = $1 AND taken_at = $2", channel_id, taken_at)?;
    Ok(())
}

/// What was taken then is not told after all; what is older than `given_up_before` never will be. Gives how much that is.
pub async fn give_back(write: &mut Write, channel_id: &str, taken_at: i64, given_up_before: i64) -> Result<u64> {
    let sql = "DELETE FROM notices WHERE channel_id = $1 AND taken_at = $2 AND at < $3";
    let given_up = execute!(write, sql, channel_id, taken_at, given_up_before)?;
    execute!(write, "UPDATE notices SET taken_at = NULL WHERE channel_id = $1 AND taken_at = $2", channel_id, taken_at)?;
    Ok(given_up)
}

/// Writes how telling went, unless the channel was set anew meanwhile.
pub async fn channel_went(write: &mut Write, row: &ChannelRow) -> Result<()> {
    execute!(
        write,
        "UPDATE channels SET next_at = $2, in_a_row = $3, tries = $4, told_at = $5, problem = $6 WHERE id = $1 AND set_at = $7",
        &row.id,
        row.next_at,
        row.in_a_row,
        row.tries,
        row.told_at,
        row.problem.as_deref(),
        row.set_at,
    )?;
    Ok(())
}

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

pub async fn drop_end(write: &mut Write, connection_id: &str, about: &str) -> Result<()> {
    execute!(write, "DELETE FROM ends WHERE connection_id = $1 AND about = $2", connection_id, about)?;
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
