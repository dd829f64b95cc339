//! The instance: its id, its key ring, and the clock of changes.

use super::{Handle, Result, StoreError, Write, execute, fetch};

#[derive(Debug, sqlx::FromRow)]
pub struct InstanceRow {
    pub id: String,
    pub key_ring: Vec<u8>,
}

pub async fn instance(handle: &mut impl Handle) -> Result<Option<InstanceRow>> {
    fetch!(handle, fetch_optional, InstanceRow, "SELECT id, key_ring FROM instance")
}

pub async fn insert_instance(write: &mut Write, id: &str, key_ring: &[u8], now: i64) -> Result<()> {
    execute!(write, "INSERT INTO instance (id, key_ring, created_at) VALUES ($1, $2, $3)", id, key_ring, now)?;
    Ok(())
}

pub async fn replace_key_ring(write: &mut Write, key_ring: &[u8]) -> Result<()> {
    execute!(write, "UPDATE instance SET key_ring = $1", key_ring)?;
    Ok(())
}

/// The change clock: a number that grows with every committed change that a cache could hold.
pub async fn tick(handle: &mut impl Handle) -> Result<i64> {
    let sql = "SELECT tick FROM change_clock WHERE id = 1";
    fetch!(handle, fetch_optional, (i64,), sql)?.map(|(tick,)| tick).ok_or_else(no_clock)
}

/// Where it stands once `write` is committed, and the oldest version of the root key whose row MACs hold then.
pub(super) async fn advance_clock(write: &mut Write) -> Result<(i64, i64)> {
    let sql = "UPDATE change_clock SET tick = tick + 1 WHERE id = 1 RETURNING tick, rows_from";
    fetch!(write, fetch_optional, (i64, i64), sql)?.ok_or_else(no_clock)
}

/// Its row comes with the table: none is put in later, since nodes that know another tick would take it for one that they have seen.
pub(super) fn no_clock() -> StoreError {
    StoreError::damaged("the row of its change clock is gone")
}

/// Whether a store has nothing yet of what comes with its key ring, or later.
pub async fn is_new(handle: &mut impl Handle) -> Result<bool> {
    let sql = "SELECT count(*) WHERE EXISTS (SELECT 1 FROM workspaces) OR EXISTS (SELECT 1 FROM people) \
               OR EXISTS (SELECT 1 FROM audit_chains) OR EXISTS (SELECT 1 FROM audit_events)";
    let (has_rows,) = fetch!(handle, fetch_one, (i64,), sql)?;
    Ok(has_rows == 0)
}
