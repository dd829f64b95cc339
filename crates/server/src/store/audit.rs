//! Audit events of changes, their chain, and the index of machine reads. Append-only: an event changes once, when its chain gives it a
//! number and a link.

use std::sync::atomic::Ordering;

use super::{Engine, Handle, Result, Write, execute, fetch, in_time};

/// Reads rows of which a column that cannot be read is empty. SQLite keeps text where a number belongs, if somebody puts it there: what then
/// does not hold is to be shown as that, and hinders nothing else.
macro_rules! lenient {
    ($row:ident: $($column:ident),+) => {
        impl<'r, R> sqlx::FromRow<'r, R> for $row
        where
            R: sqlx::Row,
            &'static str: sqlx::ColumnIndex<R>,
            String: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
            Option<String>: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
            i64: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
            Option<i64>: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
            Vec<u8>: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
            Option<Vec<u8>>: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
        {
            fn from_row(row: &'r R) -> sqlx::Result<Self> {
                Ok(Self { $($column: row.try_get(stringify!($column)).unwrap_or_default()),+ })
            }
        }
    };
}

lenient!(AuditRow: id, at, workspace_id, actor, actor_id, action, object, detail, mac, seq, link);
lenient!(
    ReadsRow: id, workspace_id, connection, version, action, actor, actor_id, workflow_kind, workflow, at, last_at, reads, address, run
);

#[derive(Debug, Clone)]
pub struct AuditRow {
    pub id: String,
    pub at: i64,
    pub workspace_id: Option<String>,
    /// For show.
    pub actor: String,
    /// Kind and id, which nobody else ever has; absent in events of before it was kept.
    pub actor_id: Option<String>,
    pub action: String,
    pub object: String,
    /// JSON; public facts only.
    pub detail: String,
    pub mac: Vec<u8>,
    /// Its number in the chain, from 1, and its link; absent for less than a second.
    pub seq: Option<i64>,
    pub link: Option<Vec<u8>>,
}

pub async fn append_audit(write: &mut Write, row: &AuditRow) -> Result<()> {
    execute!(
        write,
        "INSERT INTO audit_events (id, at, workspace_id, actor, actor_id, action, object, detail, mac) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        &row.id,
        row.at,
        row.workspace_id.as_deref(),
        &row.actor,
        row.actor_id.as_deref(),
        &row.action,
        &row.object,
        &row.detail,
        &row.mac,
    )?;
    write.events.push(row.id.clone());
    let unchained = write.unchained.clone();
    write.once_committed(move || unchained.store(true, Ordering::Release));
    Ok(())
}

/// Gives the events of a change their numbers, in the order of commits: whoever waits for one of its rows has later ones. They are held until
/// the change ends.
pub(super) async fn number_events(write: &mut Write) -> Result<()> {
    let ids = std::mem::take(&mut write.events);
    if ids.is_empty() {
        return Ok(());
    }
    let count = i64::try_from(ids.len()).unwrap_or_default();
    let sql = "UPDATE change_clock SET events = events + $1 WHERE id = 1 RETURNING events";
    let (last,) = fetch!(write, fetch_one, (i64,), sql, count)?;
    for (nth, id) in (last - count + 1..).zip(&ids) {
        execute!(write, "UPDATE audit_events SET nth = $2 WHERE id = $1", id, nth)?;
    }
    Ok(())
}

/// Has a store that was filled number its events on after those that are in no chain yet.
pub(super) async fn go_on_numbering(write: &mut Write) -> Result<()> {
    let sql = "UPDATE change_clock SET events = (SELECT coalesce(max(nth), 0) FROM audit_events WHERE seq IS NULL) WHERE id = 1";
    execute!(write, sql)?;
    Ok(())
}

/// Events that no chain has yet, in the order of their commits.
pub async fn unchained_events(handle: &mut impl Handle, limit: i64) -> Result<Vec<AuditRow>> {
    fetch!(handle, fetch_all, AuditRow, "SELECT * FROM audit_events WHERE seq IS NULL ORDER BY nth, at, id LIMIT $1", limit)
}

/// Gives an event its place in the chain; `false` if there is none of this id that waits for it.
pub async fn chain_event(write: &mut Write, id: &str, seq: i64, link: &[u8]) -> Result<bool> {
    Ok(execute!(write, "UPDATE audit_events SET seq = $2, link = $3 WHERE id = $1 AND seq IS NULL", id, seq, link)? == 1)
}

/// Chained events after `seq`, in the chain's order.
pub async fn events_after(handle: &mut impl Handle, seq: i64, limit: i64) -> Result<Vec<AuditRow>> {
    fetch!(handle, fetch_all, AuditRow, "SELECT * FROM audit_events WHERE seq > $1 ORDER BY seq LIMIT $2", seq, limit)
}

/// Takes changes out of the store, up to this number.
pub async fn drop_events(write: &mut Write, last: i64) -> Result<()> {
    execute!(write, "DELETE FROM audit_events WHERE seq <= $1", last)?;
    Ok(())
}

/// When the change of this number was.
pub async fn event_time(handle: &mut impl Handle, seq: i64) -> Result<Option<i64>> {
    let row = fetch!(handle, fetch_optional, (i64,), "SELECT at FROM audit_events WHERE seq = $1", seq)?;
    Ok(row.map(|(at,)| at))
}

/// How far a chain has come.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ChainRow {
    /// `changes`, or the id of a node's chain of reads.
    pub name: String,
    /// Where it is made, for show.
    pub node: String,
    /// The number and link of its last event.
    pub seq: i64,
    pub link: Vec<u8>,
    /// Of reads: the segment that holds it, and the length of that up to it.
    pub segment: i64,
    pub place: i64,
    /// What it begins after.
    pub base_seq: i64,
    pub base_link: Vec<u8>,
    pub at: i64,
    pub mac: Vec<u8>,
}

/// A chain's row, which nobody else moves until this transaction ends.
pub async fn hold_chain(write: &mut Write, name: &str) -> Result<Option<ChainRow>> {
    execute!(write, "UPDATE audit_chains SET seq = seq WHERE name = $1", name)?;
    chain(write, name).await
}

pub async fn chain(handle: &mut impl Handle, name: &str) -> Result<Option<ChainRow>> {
    fetch!(handle, fetch_optional, ChainRow, "SELECT * FROM audit_chains WHERE name = $1", name)
}

pub async fn chains(handle: &mut impl Handle) -> Result<Vec<ChainRow>> {
    fetch!(handle, fetch_all, ChainRow, "SELECT * FROM audit_chains ORDER BY name")
}

pub async fn put_chain(write: &mut Write, row: &ChainRow) -> Result<()> {
    write.bears(&row.mac);
    execute!(
        write,
        "INSERT INTO audit_chains (name, node, seq, link, segment, place, base_seq, base_link, at, mac) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (name) DO UPDATE SET node = excluded.node, seq = excluded.seq, \
         link = excluded.link, segment = excluded.segment, place = excluded.place, base_seq = excluded.base_seq, \
         base_link = excluded.base_link, at = excluded.at, mac = excluded.mac",
        &row.name,
        &row.node,
        row.seq,
        &row.link,
        row.segment,
        row.place,
        row.base_seq,
        &row.base_link,
        row.at,
        &row.mac,
    )?;
    Ok(())
}

/// Reads of one connection by one caller for one workflow within a minute.
#[derive(Debug, Clone)]
pub struct ReadsRow {
    /// A hash of what is counted together.
    pub id: String,
    pub workspace_id: String,
    pub connection: String,
    pub version: i64,
    pub action: String,
    pub actor: String,
    pub actor_id: String,
    /// Both empty where no workflow was told.
    pub workflow_kind: String,
    pub workflow: String,
    pub at: i64,
    pub last_at: i64,
    pub reads: i64,
    pub address: Option<String>,
    pub run: Option<String>,
}

/// How many counts one statement brings: the statement, not the row, is what takes time.
const COUNTS: usize = 50;

/// Adds each row's `reads` to what is counted already. No two rows have the same id.
pub async fn count_reads(write: &mut Write, rows: &[ReadsRow]) -> Result<()> {
    macro_rules! count {
        ($engine:ty, $rows:expr) => {{
            let mut query = sqlx::QueryBuilder::<$engine>::new(
                "INSERT INTO audit_reads (id, workspace_id, connection, version, action, actor, actor_id, workflow_kind, workflow, at, \
                 last_at, reads, address, run) ",
            );
            query.push_values($rows, |mut values, row| {
                values.push_bind(&row.id).push_bind(&row.workspace_id).push_bind(&row.connection).push_bind(row.version);
                values.push_bind(&row.action).push_bind(&row.actor).push_bind(&row.actor_id);
                values.push_bind(&row.workflow_kind).push_bind(&row.workflow);
                values.push_bind(row.at).push_bind(row.last_at).push_bind(row.reads);
                values.push_bind(row.address.as_deref()).push_bind(row.run.as_deref());
            });
            query.push(
                " ON CONFLICT (id) DO UPDATE SET last_at = excluded.last_at, reads = audit_reads.reads + excluded.reads, \
                 address = excluded.address, run = excluded.run",
            );
            query
        }};
    }
    for rows in rows.chunks(COUNTS) {
        // Only the statement of a whole piece comes again.
        let is_whole = rows.len() == COUNTS;
        match write.engine() {
            Engine::Sqlite(connection) => {
                count!(sqlx::Sqlite, rows).build().persistent(is_whole).execute(connection).await?;
            }
            Engine::Postgres(connection) => {
                in_time(count!(sqlx::Postgres, rows).build().persistent(is_whole).execute(connection)).await?;
            }
        }
    }
    Ok(())
}

/// Keeps a piece of a segment in the store; one that is there already stays.
pub async fn keep_lines(write: &mut Write, chain: &str, (first, last): (i64, i64), at: i64, lines: &[u8]) -> Result<()> {
    execute!(
        write,
        "INSERT INTO audit_lines (chain, first_seq, last_seq, at, lines) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        chain,
        first,
        last,
        at,
        lines,
    )?;
    Ok(())
}

/// The next kept piece of a chain that begins after `seq`: the number of its first line, and its lines.
pub async fn kept_lines(handle: &mut impl Handle, chain: &str, seq: i64) -> Result<Option<(i64, Vec<u8>)>> {
    let sql = "SELECT first_seq, lines FROM audit_lines WHERE chain = $1 AND first_seq > $2 ORDER BY first_seq LIMIT 1";
    fetch!(handle, fetch_optional, (i64, Vec<u8>), sql, chain, seq)
}

/// Takes pieces of a chain out of the store, up to this line.
pub async fn drop_lines(write: &mut Write, chain: &str, last: i64) -> Result<()> {
    execute!(write, "DELETE FROM audit_lines WHERE chain = $1 AND last_seq <= $2", chain, last)?;
    Ok(())
}

/// Counts of reads of which the first was between two times, by that; at most `limit`.
pub async fn reads_between(handle: &mut impl Handle, (from, until): (i64, i64), limit: i64) -> Result<Vec<ReadsRow>> {
    let sql = "SELECT * FROM audit_reads WHERE at >= $1 AND at < $2 ORDER BY at LIMIT $3";
    fetch!(handle, fetch_all, ReadsRow, sql, from, until, limit)
}

/// When the first of the reads was that are counted still.
pub async fn oldest_reads(handle: &mut impl Handle) -> Result<Option<i64>> {
    Ok(fetch!(handle, fetch_one, (Option<i64>,), "SELECT min(at) FROM audit_reads")?.0)
}

/// A change by its id.
pub async fn event(handle: &mut impl Handle, id: &str) -> Result<Option<AuditRow>> {
    fetch!(handle, fetch_optional, AuditRow, "SELECT * FROM audit_events WHERE id = $1", id)
}

/// Whether there is a change of this action to this object.
pub async fn has_event(handle: &mut impl Handle, action: &str, object: &str) -> Result<bool> {
    let sql = "SELECT count(*) FROM audit_events WHERE object = $1 AND action = $2";
    let (count,) = fetch!(handle, fetch_one, (i64,), sql, object, action)?;
    Ok(count > 0)
}

/// What changes of this action were to.
pub async fn objects_of(handle: &mut impl Handle, action: &str) -> Result<Vec<String>> {
    let rows = fetch!(handle, fetch_all, (String,), "SELECT object FROM audit_events WHERE action = $1", action)?;
    Ok(rows.into_iter().map(|(object,)| object).collect())
}

/// A change whose number stands before the beginning of what is kept.
pub async fn event_before(handle: &mut impl Handle, base: i64) -> Result<Option<AuditRow>> {
    fetch!(handle, fetch_optional, AuditRow, "SELECT * FROM audit_events WHERE seq <= $1 ORDER BY seq LIMIT 1", base)
}

/// A chain of which the store has lines and no row.
pub async fn chain_without_row(handle: &mut impl Handle) -> Result<Option<String>> {
    let sql = "SELECT chain FROM audit_lines WHERE chain NOT IN (SELECT name FROM audit_chains) ORDER BY chain LIMIT 1";
    Ok(fetch!(handle, fetch_optional, (String,), sql)?.map(|(chain,)| chain))
}
