//! What a rotation of keys needs: the nodes that must know a key, the rows that are still under an old one, and the end of a key, which
//! stops what was under way under it.

use super::{
    AliasRow, ChainRow, ChannelRow, ConnectionRow, GroupRow, Handle, HealthScheduleRow, IdentityRow, LinkRow, LintSilenceRow,
    MemberRow, OwnTypeRow, PersonRow, Result, RotationPolicyRow, RotationRow, SecondLoginRow, SessionRow, SettingRow, TokenRow,
    VersionRow, WorkspaceRow, Write, execute, fetch, instance::no_clock,
};

/// A node of a shared store.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct NodeRow {
    pub id: String,
    /// Grows for as long as it lives.
    pub beats: i64,
    /// It knows the store as it was at this tick of the change clock, or as it became since.
    pub tick: i64,
    /// The slot of the key ring that it was started with; 0 where that is not known.
    pub slot: i64,
}

pub async fn nodes(handle: &mut impl Handle) -> Result<Vec<NodeRow>> {
    fetch!(handle, fetch_all, NodeRow, "SELECT id, beats, tick, slot FROM nodes ORDER BY id")
}

/// Says that a node lives, and up to where it knows the store.
pub async fn beat(write: &mut Write, id: &str, tick: i64, slot: i64) -> Result<()> {
    execute!(
        write,
        "INSERT INTO nodes (id, beats, tick, slot) VALUES ($1, 1, $2, $3) \
         ON CONFLICT (id) DO UPDATE SET beats = nodes.beats + 1, tick = excluded.tick",
        id,
        tick,
        slot
    )?;
    Ok(())
}

/// Forgets a node that ended, if it has not moved since it was seen with so many beats.
pub async fn remove_node(write: &mut Write, id: &str, beats: Option<i64>) -> Result<()> {
    execute!(write, "DELETE FROM nodes WHERE id = $1 AND ($2 < 0 OR beats = $2)", id, beats.unwrap_or(-1))?;
    Ok(())
}

/// Puts a ring in the place of the one that it was made from; `false` if that is no longer there.
pub async fn exchange_key_ring(write: &mut Write, before: &[u8], after: &[u8]) -> Result<bool> {
    Ok(execute!(write, "UPDATE instance SET key_ring = $2 WHERE key_ring = $1", before, after)? == 1)
}

/// From here on changes under way whose row MACs are of an older root key fail.
pub async fn end_row_macs(write: &mut Write, rows_from: i64) -> Result<()> {
    execute!(write, "UPDATE change_clock SET rows_from = $1 WHERE id = 1", rows_from)?;
    Ok(())
}

pub(super) async fn rows_from(write: &mut Write) -> Result<i64> {
    let sql = "SELECT rows_from FROM change_clock WHERE id = 1";
    fetch!(write, fetch_optional, (i64,), sql)?.map(|(from,)| from).ok_or_else(no_clock)
}

/// Whether a version that this change saves has a secret under a key that was retired meanwhile.
pub(super) async fn has_retired_key(write: &mut Write, connection_id: &str, version: i64) -> Result<bool> {
    let sql = "SELECT count(*) FROM connection_versions v JOIN connections c ON c.id = v.connection_id \
               JOIN workspaces w ON w.id = c.workspace_id WHERE v.connection_id = $1 AND v.version = $2 AND v.key_version < w.oldest_key";
    let (retired,) = fetch!(write, fetch_one, (i64,), sql, connection_id, version)?;
    Ok(retired > 0)
}

/// Writes a workspace's keys and the oldest version of them; `false` if it has others than `before` by now.
pub async fn exchange_workspace_key(write: &mut Write, row: &WorkspaceRow, oldest_key: i64, before: &[u8]) -> Result<bool> {
    write.bears(&row.mac);
    let changed = execute!(
        write,
        "UPDATE workspaces SET wrapped_key = $2, mac = $3, oldest_key = $4 WHERE id = $1 AND wrapped_key = $5",
        &row.id,
        &row.wrapped_key,
        &row.mac,
        oldest_key,
        before,
    )?;
    Ok(changed == 1)
}

/// Versions of a workspace's connections with a secret under a key older than `key_version`, in their order from after a place.
pub async fn versions_under_older_keys(
    handle: &mut impl Handle,
    (workspace_id, key_version): (&str, i64),
    after: &(String, i64),
    limit: i64,
) -> Result<Vec<VersionRow>> {
    fetch!(
        handle,
        fetch_all,
        VersionRow,
        "SELECT v.* FROM connection_versions v JOIN connections c ON c.id = v.connection_id \
         WHERE c.workspace_id = $1 AND v.key_version < $2 AND (v.connection_id, v.version) > ($3, $4) \
         ORDER BY v.connection_id, v.version LIMIT $5",
        workspace_id,
        key_version,
        &after.0,
        after.1,
        limit
    )
}

pub async fn count_under_older_keys(handle: &mut impl Handle, workspace_id: &str, key_version: i64) -> Result<i64> {
    let sql = "SELECT (SELECT count(*) FROM connection_versions v JOIN connections c ON c.id = v.connection_id \
               WHERE c.workspace_id = $1 AND v.key_version < $2) + (SELECT count(*) FROM rotations WHERE workspace_id = $1 AND key_version < $2) \
               + (SELECT count(*) FROM second_logins WHERE workspace_id = $1 AND key_version < $2)";
    let (count,) = fetch!(handle, fetch_one, (i64,), sql, workspace_id, key_version)?;
    Ok(count)
}

/// Writes what sealing its secrets anew changes of a version; `false` if its MAC is no longer `before`.
pub async fn reseal_version(write: &mut Write, row: &VersionRow, before: &[u8]) -> Result<bool> {
    write.bears(&row.mac);
    let changed = execute!(
        write,
        "UPDATE connection_versions SET secrets = $3, key_version = $4, mac = $5 WHERE connection_id = $1 AND version = $2 AND mac = $6",
        &row.connection_id,
        row.version,
        &row.secrets,
        row.key_version,
        &row.mac,
        before,
    )?;
    Ok(changed == 1)
}

/// What a change leaves of a row that grants or directs: the row's MAC, or that it is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    pub table: &'static str,
    /// The primary key in words, with a space between its columns.
    pub key: String,
    pub mac: Option<Vec<u8>>,
}

impl Mark {
    pub(super) fn gone(table: &'static str, key: &[&dyn KeyPart]) -> Self {
        Self { table, key: in_words(key), mac: None }
    }
}

/// A column of a primary key.
pub(super) trait KeyPart {
    fn word(&self) -> String;
}

impl KeyPart for String {
    fn word(&self) -> String {
        self.clone()
    }
}

impl KeyPart for &str {
    fn word(&self) -> String {
        (*self).to_owned()
    }
}

/// A hash, of which some bytes tell it from every other.
impl KeyPart for Vec<u8> {
    fn word(&self) -> String {
        hex::encode(self.first_chunk::<16>().map_or(self.as_slice(), |begin| begin.as_slice()))
    }
}

impl KeyPart for i64 {
    fn word(&self) -> String {
        self.to_string()
    }
}

fn in_words(key: &[&dyn KeyPart]) -> String {
    key.iter().map(|part| part.word()).collect::<Vec<_>>().join(" ")
}

/// A table whose rows bear MACs, as a rotation walks through it. `root` is the version that their MACs should name, as its four bytes.
pub trait MacTable: Sized + Send {
    type Place: Default + Send + Sync;
    fn place(&self) -> Self::Place;
    fn mark(&self) -> Mark;
    /// Rows under another root key, in their order from after a place. Every row is under another than none (`&[]`).
    fn under_others(
        handle: &mut impl Handle,
        root: &[u8],
        after: &Self::Place,
        limit: i64,
    ) -> impl Future<Output = Result<Vec<Self>>> + Send;
    fn count_under_others(handle: &mut impl Handle, root: &[u8]) -> impl Future<Output = Result<i64>> + Send;
    /// Writes the row's MAC; `false` if it is no longer `before`.
    fn replace_mac(&self, write: &mut Write, before: &[u8]) -> impl Future<Output = Result<bool>> + Send;
}

macro_rules! mac_tables {
    ($($row:ty, $table:literal, ($($key:ident: $of:ty),+), $keys:literal, $after:literal, $limit:literal, $here:literal, $mac:literal;)*) => {
        /// Every table of [`MacTable`].
        #[cfg(test)]
        pub const MAC_TABLES: &[&str] = &[$($table),*];

        $(impl MacTable for $row {
            type Place = ($($of,)+);

            fn place(&self) -> Self::Place {
                ($(self.$key.clone(),)+)
            }

            fn mark(&self) -> Mark {
                Mark { table: $table, key: in_words(&[$(&self.$key),+]), mac: Some(self.mac.clone()) }
            }

            async fn under_others(handle: &mut impl Handle, root: &[u8], after: &Self::Place, limit: i64) -> Result<Vec<Self>> {
                let ($($key,)+) = after;
                fetch!(
                    handle,
                    fetch_all,
                    $row,
                    concat!(
                        "SELECT * FROM ", $table, " WHERE (length(mac) <> 36 OR substr(mac, 1, 4) <> $1) AND (", $keys, ") > (", $after,
                        ") ORDER BY ", $keys, " LIMIT ", $limit
                    ),
                    root
                    $(, $key)+,
                    limit
                )
            }

            async fn count_under_others(handle: &mut impl Handle, root: &[u8]) -> Result<i64> {
                let sql = concat!("SELECT count(*) FROM ", $table, " WHERE length(mac) <> 36 OR substr(mac, 1, 4) <> $1");
                let (count,) = fetch!(handle, fetch_one, (i64,), sql, root)?;
                Ok(count)
            }

            async fn replace_mac(&self, write: &mut Write, before: &[u8]) -> Result<bool> {
                write.bears(&self.mac);
                let sql = concat!("UPDATE ", $table, " SET mac = ", $mac, " WHERE (", $keys, ") = (", $here, ") AND mac = $1");
                Ok(execute!(write, sql, before $(, &self.$key)+, &self.mac)? == 1)
            }
        })*
    };
}

mac_tables! {
    WorkspaceRow, "workspaces", (id: String), "id", "$2", "$3", "$2", "$3";
    PersonRow, "people", (id: String), "id", "$2", "$3", "$2", "$3";
    MemberRow, "members", (workspace_id: String, person_id: String), "workspace_id, person_id", "$2, $3", "$4", "$2, $3", "$4";
    IdentityRow, "identities", (issuer: String, subject: String), "issuer, subject", "$2, $3", "$4", "$2, $3", "$4";
    SessionRow, "sessions", (hash: Vec<u8>), "hash", "$2", "$3", "$2", "$3";
    LinkRow, "links", (hash: Vec<u8>), "hash", "$2", "$3", "$2", "$3";
    GroupRow, "people_groups", (id: String), "id", "$2", "$3", "$2", "$3";
    ChainRow, "audit_chains", (name: String), "name", "$2", "$3", "$2", "$3";
    SettingRow, "settings", (name: String), "name", "$2", "$3", "$2", "$3";
    TokenRow, "tokens", (id: String), "id", "$2", "$3", "$2", "$3";
    ConnectionRow, "connections", (id: String), "id", "$2", "$3", "$2", "$3";
    AliasRow, "aliases", (workspace_id: String, name: String, connection_id: String), "workspace_id, name, connection_id", "$2, $3, $4", "$5", "$2, $3, $4", "$5";
    RotationRow, "rotations", (connection_id: String), "connection_id", "$2", "$3", "$2", "$3";
    SecondLoginRow, "second_logins", (connection_id: String), "connection_id", "$2", "$3", "$2", "$3";
    RotationPolicyRow, "rotation_policies", (connection_id: String), "connection_id", "$2", "$3", "$2", "$3";
    ChannelRow, "channels", (id: String), "id", "$2", "$3", "$2", "$3";
    HealthScheduleRow, "health_schedules", (workspace_id: String, scope: String), "workspace_id, scope", "$2, $3", "$4", "$2, $3", "$4";
    LintSilenceRow, "lint_silences", (workspace_id: String, scope: String, rule: String), "workspace_id, scope, rule", "$2, $3, $4", "$5", "$2, $3, $4", "$5";
    OwnTypeRow, "own_types", (workspace_id: String, id: String), "workspace_id, id", "$2, $3", "$4", "$2, $3", "$4";
    VersionRow, "connection_versions", (connection_id: String, version: i64), "connection_id, version", "$2, $3", "$4", "$2, $3", "$4";
}
