//! What an owner sets for the whole server.

use super::{Handle, MacTable as _, Result, Write, execute, fetch};

#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SettingRow {
    pub name: String,
    /// JSON.
    pub value: String,
    /// Grows by one with each change.
    pub version: i64,
    pub updated_at: i64,
    pub updated_by: String,
    pub mac: Vec<u8>,
}

pub async fn setting(handle: &mut impl Handle, name: &str) -> Result<Option<SettingRow>> {
    let sql = "SELECT name, value, version, updated_at, updated_by, mac FROM settings WHERE name = $1";
    fetch!(handle, fetch_optional, SettingRow, sql, name)
}

/// Puts in a setting that is missing; leaves one that is there.
pub async fn begin_setting(write: &mut Write, row: &SettingRow) -> Result<()> {
    put(write, row, 0).await.map(drop)
}

/// Replaces a setting; `false`, and nothing done, if it is not at the version before the row's. One that is gone is put back.
pub async fn put_setting(write: &mut Write, row: &SettingRow) -> Result<bool> {
    let put = put(write, row, row.version - 1).await?;
    if put {
        write.leaves(row.mark());
    }
    Ok(put)
}

async fn put(write: &mut Write, row: &SettingRow, from: i64) -> Result<bool> {
    write.bears(&row.mac);
    let put = execute!(
        write,
        "INSERT INTO settings (name, value, version, updated_at, updated_by, mac) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (name) DO UPDATE SET value = excluded.value, version = excluded.version, updated_at = excluded.updated_at, \
         updated_by = excluded.updated_by, mac = excluded.mac WHERE settings.version = $7",
        &row.name,
        &row.value,
        row.version,
        row.updated_at,
        &row.updated_by,
        &row.mac,
        from
    )?;
    Ok(put == 1)
}
