//! Whole tables, as a backup takes and gives them: which there are, a page of one, and rows written as they were. Nothing here knows what
//! a row means.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize, Serializer};
use sqlx::{QueryBuilder, Row as _};

use super::{
    ConnectionRow, Db, Engine, Handle, OpenTransaction, Result, Snapshot, Store, StoreError, Write, fetch, in_time, migrations,
};

/// What a column holds, on either engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Text,
    Bytes,
    Number,
    Truth,
}

/// A column's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
    Number(Option<i64>),
    Truth(Option<bool>),
}

/// As JSON has it; bytes are base64.
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Self::Text(value) => value.serialize(serializer),
            Self::Bytes(value) => value.as_ref().map(|bytes| BASE64_STANDARD.encode(bytes)).serialize(serializer),
            Self::Number(value) => value.serialize(serializer),
            Self::Truth(value) => value.serialize(serializer),
        }
    }
}

impl Value {
    /// What [`Value::serialize`] wrote of a column of this kind; `None` for anything else.
    #[must_use]
    pub fn of(kind: Kind, json: serde_json::Value) -> Option<Self> {
        use serde_json::Value as Json;
        Some(match (kind, json) {
            (Kind::Text, Json::Null) => Self::Text(None),
            (Kind::Text, Json::String(text)) => Self::Text(Some(text)),
            (Kind::Bytes, Json::Null) => Self::Bytes(None),
            (Kind::Bytes, Json::String(text)) => Self::Bytes(Some(BASE64_STANDARD.decode(text).ok()?)),
            (Kind::Number, Json::Null) => Self::Number(None),
            (Kind::Number, Json::Number(number)) => Self::Number(Some(number.as_i64()?)),
            (Kind::Truth, Json::Null) => Self::Truth(None),
            (Kind::Truth, Json::Bool(truth)) => Self::Truth(Some(truth)),
            _ => return None,
        })
    }
}

/// A table that a backup holds.
#[derive(Debug)]
pub struct Table {
    pub name: &'static str,
    pub columns: &'static [(&'static str, Kind)],
    /// So many of the first columns are the primary key.
    key: usize,
}

macro_rules! tables {
    ($($name:ident [$key:literal] $($column:ident $kind:ident),+;)+) => {
        &[$(Table {
            name: stringify!($name),
            columns: &[$((column_name(stringify!($column)), Kind::$kind)),+],
            key: $key,
        }),+]
    };
}

/// `type` is a word of Rust's.
const fn column_name(name: &'static str) -> &'static str {
    match name.as_bytes() {
        b"r#type" => "type",
        _ => name,
    }
}

/// Every table whose rows a backup holds, those that others refer to first.
pub const TABLES: &[Table] = tables! {
    instance [1] id Text, key_ring Bytes, created_at Number;
    workspaces [1] id Text, name Text, name_key Text, wrapped_key Bytes, created_at Number, created_by Text, mac Bytes,
        oldest_key Number;
    people [1] id Text, email Text, email_key Text, password_hash Text, is_owner Truth, disabled_at Number, created_at Number,
        created_by Text, mac Bytes;
    people_groups [1] id Text, workspace_id Text, name Text, name_key Text, members Text, changed_at Number, changed_by Text, mac Bytes;
    identities [2] issuer Text, subject Text, person_id Text, linked_at Number, linked_by Text, mac Bytes;
    members [2] workspace_id Text, person_id Text, roles Text, added_at Number, added_by Text, mac Bytes, claimed_roles Text;
    tokens [1] id Text, workspace_id Text, name Text, name_key Text, hash Bytes, roles Text, connections Text, created_at Number,
        created_by Text, expires_at Number, revoked_at Number, last_used_at Number, mac Bytes, made_by Text, person_id Text;
    connections [1] id Text, workspace_id Text, name Text, name_key Text, version Number, r#type Text, description Text, tags Text,
        address Text, created_at Number, created_by Text, updated_at Number, updated_by Text, checked_at Number, check_status Text,
        check_summary Text, check_micros Number, recent_checks Text, deleted_at Number, deleted_by Text, deleted_reason Text, mac Bytes,
        users Text, use_instead Text;
    connection_versions [2] connection_id Text, version Number, name Text, r#type Text, description Text, tags Text, fields Text,
        endpoint_paths Text, secrets Text, fingerprint Text, saved_at Number, saved_by Text, mac Bytes, key_version Number,
        restored_from Number;
    live_names [2] workspace_id Text, name_key Text, connection_id Text;
    aliases [3] workspace_id Text, name Text, connection_id Text, name_key Text, made_at Number, made_by Text, mac Bytes;
    rotations [1] connection_id Text, workspace_id Text, base_version Number, candidate Text, key_version Number, begun_at Number,
        begun_by Text, begun_by_id Text, mac Bytes, owner Text, leased_until Number, tries Number, tried_at Number, next_at Number,
        problem Text, told_at Number, puts_back Truth;
    second_logins [1] connection_id Text, workspace_id Text, username Text, endpoint Text, password Text, candidate Text,
        key_version Number, set_at Number, set_by Text, set_by_id Text, retires_from Number, switched_at Number, mac Bytes, owner Text,
        leased_until Number, tries Number, tried_at Number, next_at Number, problem Text;
    rotation_policies [1] connection_id Text, workspace_id Text, every_days Number, at_hour Number, length Number, symbols Text,
        set_at Number, set_by Text, set_by_id Text, mac Bytes, next_at Number, tries Number, tried_at Number, problem Text;
    checks [1] id Text, connection_id Text, version Number, status Text, report Text, checked_at Number, checked_by Text,
        took_micros Number, from_client Truth;
    health_schedules [2] workspace_id Text, scope Text, every_seconds Number, jitter_percent Number, unhealthy_after Number,
        healthy_after Number, quiet_from Number, quiet_to Number, set_at Number, set_by Text, set_by_id Text, mac Bytes;
    health [1] connection_id Text, workspace_id Text, scope Text, next_at Number, state Text, since Number, is_failing Truth,
        streak Number, streak_since Number, passed_at Number;
    health_changes [1] id Text, connection_id Text, workspace_id Text, at Number, state Text, version Number, cause Text, message Text;
    channels [1] id Text, workspace_id Text, name Text, name_key Text, connection Text, addresses Text, tag Text, tells Text,
        set_at Number, set_by Text, set_by_id Text, mac Bytes, next_at Number, in_a_row Number, tries Number, told_at Number,
        failing_since Number, problem Text;
    notices [3] channel_id Text, connection_id Text, about Text, was Text, state Text, at Number, cause Text, message Text,
        ends_at Number, taken_at Number, taken_state Text;
    ends [2] connection_id Text, about Text, workspace_id Text, ends_at Number, next_at Number, told_at Number;
    lint_silences [3] workspace_id Text, scope Text, rule Text, reason Text, until_at Number, set_at Number, set_by Text, set_by_id Text,
        mac Bytes;
    own_types [2] workspace_id Text, id Text, base Text, definition Text, version Number, saved_at Number, saved_by Text, saved_by_id Text, mac Bytes;
    sightings [4] workspace_id Text, name_key Text, kind Text, workflow Text, first_at Number, last_at Number, uses Number,
        connection_id Text, version Number, used_by Text, used_by_id Text, host Text, failed_at Number,
        failed_version Number;
    sighting_versions [6] workspace_id Text, name_key Text, kind Text, workflow Text, connection_id Text, version Number;
    holders [7] connection_id Text, name_key Text, kind Text, workflow Text, host Text, used_by_id Text, version Number,
        workspace_id Text, used_by Text, given_at Number;
    scans [2] workspace_id Text, project Text, revision Text, files Number, findings Number, reported_at Number, reported_by Text;
    findings [7] workspace_id Text, name_key Text, kind Text, workflow Text, project Text, file Text, line Number, name Text,
        is_certain Truth, is_seen Truth, scan Text;
    dependents [2] workspace_id Text, name_key Text, seen Number, found Number, changes Number;
    settings [1] name Text, value Text, version Number, updated_at Number, updated_by Text, mac Bytes;
    idempotency_keys [1] hash Bytes, request_hash Bytes, at Number;
    audit_events [1] id Text, at Number, workspace_id Text, actor Text, action Text, object Text, detail Text, mac Bytes, actor_id Text,
        seq Number, link Bytes, nth Number;
    audit_chains [1] name Text, node Text, seq Number, link Bytes, segment Number, place Number, base_seq Number, base_link Bytes, at Number,
        mac Bytes;
    audit_reads [1] id Text, workspace_id Text, connection Text, version Number, action Text, actor Text, actor_id Text, workflow_kind Text,
        workflow Text, at Number, last_at Number, reads Number, address Text, run Text;
    audit_lines [2] chain Text, first_seq Number, last_seq Number, at Number, lines Bytes;
};

/// Every other table, with why no backup holds it.
pub const LEFT_OUT: &[(&str, &str)] = &[
    ("change_clock", "nothing outlives the processes that look at it"),
    ("jobs", "a restored store is purged at its first start"),
    ("links", "a one-time link that was used since would open again"),
    ("nodes", "each tells of itself"),
    ("password_marks", "made anew from the secrets, and so tells nothing to who has a backup and no key"),
    ("search_words", "made anew from the connections"),
    ("sessions", "one that was ended since would open again"),
];

/// The words that lists are searched by, which whoever restores makes anew.
const SEARCH_WORDS: [&str; 3] = ["workspace_id", "name_key", "word"];

/// Values that one statement may bind, fewer than the 32,766 that SQLite takes.
const BINDS: usize = 4096;

impl Store {
    /// The whole store as it is at the first read, however long reading takes.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        Ok(Snapshot(match &self.db {
            Db::Sqlite { readers, .. } => OpenTransaction::Sqlite(readers.begin().await?),
            Db::Postgres(pool) => {
                OpenTransaction::Postgres(in_time(pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")).await?)
            }
        }))
    }
}

/// The schema of this build: the number of its last migration.
#[must_use]
pub fn schema() -> i64 {
    migrations::last()
}

macro_rules! bind {
    ($bound:expr, $value:expr) => {
        match $value {
            Value::Text(value) => $bound.push_bind(value.clone()),
            Value::Bytes(value) => $bound.push_bind(value.clone()),
            Value::Number(value) => $bound.push_bind(*value),
            Value::Truth(value) => $bound.push_bind(*value),
        };
    };
}

/// The rows after one with these values, which has at least the primary key's; at most `limit`, by primary key.
pub async fn page(snapshot: &mut Snapshot, table: &Table, after: Option<&[Value]>, limit: i64) -> Result<Vec<Vec<Value>>> {
    macro_rules! page {
        ($connection:expr) => {{
            let key: Vec<_> = table.columns.iter().take(table.key).map(|(name, _)| *name).collect();
            let columns: Vec<_> = table.columns.iter().map(|(name, _)| *name).collect();
            let mut query = QueryBuilder::new("SELECT ");
            query.push(columns.join(", ")).push(" FROM ").push(table.name);
            if let Some(after) = after {
                query.push(" WHERE (").push(key.join(", ")).push(") > (");
                let mut bound = query.separated(", ");
                for value in after.iter().take(table.key) {
                    bind!(bound, value);
                }
                query.push(")");
            }
            query.push(" ORDER BY ").push(key.join(", ")).push(" LIMIT ").push_bind(limit);
            let rows = in_time(query.build().fetch_all($connection)).await?;
            let read = rows.iter().map(|row| {
                let values = table.columns.iter().map(|(name, kind)| {
                    Ok(match kind {
                        Kind::Text => Value::Text(row.try_get(name)?),
                        Kind::Bytes => Value::Bytes(row.try_get(name)?),
                        Kind::Number => Value::Number(row.try_get(name)?),
                        Kind::Truth => Value::Truth(row.try_get(name)?),
                    })
                });
                values.collect::<sqlx::Result<Vec<_>>>()
            });
            read.collect::<sqlx::Result<Vec<_>>>().map_err(StoreError::from)
        }};
    }
    match snapshot.engine() {
        Engine::Sqlite(connection) => page!(connection),
        Engine::Postgres(connection) => page!(connection),
    }
}

/// Writes rows as they are. Table and columns are this program's own, or such as a backup of this instance names.
pub async fn put_rows(write: &mut Write, table: &str, columns: &[&str], rows: &[Vec<Value>]) -> Result<()> {
    let names = columns.join(", ");
    match write.engine() {
        Engine::Sqlite(connection) => {
            for rows in rows.chunks(BINDS.checked_div(columns.len()).unwrap_or(1).max(1)) {
                let mut query = QueryBuilder::new("INSERT INTO ");
                query.push(table).push(" (").push(&names).push(") ").push_values(rows, |mut bound, row| {
                    for value in row {
                        bind!(bound, value);
                    }
                });
                query.build().execute(&mut *connection).await?;
            }
            Ok(())
        }
        Engine::Postgres(connection) => {
            let copied = async {
                let mut copy = connection.copy_in_raw(&format!("COPY {table} ({names}) FROM STDIN")).await?;
                copy.send(copy_text(rows)).await?;
                copy.finish().await
            };
            in_time(copied).await?;
            Ok(())
        }
    }
}

/// Rows in the text form of PostgreSQL's COPY (<https://www.postgresql.org/docs/current/sql-copy.html>), which it takes in three times as
/// fast as an INSERT.
fn copy_text(rows: &[Vec<Value>]) -> Vec<u8> {
    let mut text = String::new();
    for row in rows {
        for (place, value) in row.iter().enumerate() {
            if place > 0 {
                text.push('\t');
            }
            match value {
                Value::Text(None) | Value::Bytes(None) | Value::Number(None) | Value::Truth(None) => text.push_str("\\N"),
                Value::Text(Some(value)) => value.chars().for_each(|character| match character {
                    '\\' => text.push_str("\\\\"),
                    '\t' => text.push_str("\\t"),
                    '\n' => text.push_str("\\n"),
                    '\r' => text.push_str("\\r"),
                    other => text.push(other),
                }),
                Value::Bytes(Some(value)) => {
                    text.push_str("\\\\x");
                    text.push_str(&hex::encode(value));
                }
                Value::Number(Some(value)) => text.push_str(&value.to_string()),
                Value::Truth(Some(value)) => text.push(if *value { 't' } else { 'f' }),
            }
        }
        text.push('\n');
    }
    text.into_bytes()
}

/// Writes words of connections: workspace, name key, word.
pub async fn put_all_words(write: &mut Write, words: &[Vec<Value>]) -> Result<()> {
    put_rows(write, "search_words", &SEARCH_WORDS, words).await
}

/// A live connection, with the public fields of its version.
#[derive(Debug, sqlx::FromRow)]
pub struct LiveRow {
    #[sqlx(flatten)]
    pub row: ConnectionRow,
    pub fields: String,
}

/// Live connections after this workspace and name key, in their order.
pub async fn live_connections(handle: &mut impl Handle, after: (&str, &str), limit: i64) -> Result<Vec<LiveRow>> {
    fetch!(
        handle,
        fetch_all,
        LiveRow,
        "SELECT c.id, c.workspace_id, c.name, c.name_key, c.version, c.type, c.description, c.tags, c.address, c.created_at, c.created_by, \
         c.updated_at, c.updated_by, c.checked_at, c.check_status, c.check_summary, c.check_micros, c.recent_checks, c.deleted_at, \
         c.deleted_by, c.deleted_reason, c.mac, c.users, c.use_instead, v.fields FROM connections c JOIN connection_versions v ON v.connection_id = c.id \
         AND v.version = c.version WHERE c.deleted_at IS NULL AND (c.workspace_id, c.name_key) > ($1, $2) \
         ORDER BY c.workspace_id, c.name_key LIMIT $3",
        after.0,
        after.1,
        limit
    )
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::store::Location;

    /// Every table and column of the schema is in [`TABLES`] or [`LEFT_OUT`]: what is new here is lost with the first restore otherwise.
    #[tokio::test]
    async fn a_backup_holds_every_column_or_says_why_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open(&Location::Sqlite(folder.path().join("store.db"))).await.expect("it opens");
        let mut read = store.read().await.expect("it reads");
        let all =
            "SELECT m.name, p.name, p.type, p.pk FROM sqlite_master m JOIN pragma_table_info(m.name) p WHERE m.type = 'table'";
        let found = fetch!(&mut read, fetch_all, (String, String, String, i64), all).expect("it answers");
        let mut schema: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (table, column, kind, key) in found.into_iter().filter(|(table, ..)| !table.starts_with("_sqlx")) {
            let kind = match kind.as_str() {
                "TEXT" => Kind::Text,
                "BLOB" => Kind::Bytes,
                "INTEGER" | "BIGINT" => Kind::Number,
                "BOOLEAN" => Kind::Truth,
                other => panic!("{table}.{column} is {other}, which no backup knows"),
            };
            schema.entry(table).or_default().insert((column, format!("{kind:?}"), key));
        }
        for (name, _) in LEFT_OUT {
            assert!(schema.remove(*name).is_some(), "{name} is left out of backups, and there is no such table");
        }
        for table in TABLES {
            let place = |at: usize| if at < table.key { i64::try_from(at + 1).expect("small") } else { 0 };
            let columns = table.columns.iter().enumerate();
            let known = columns.map(|(at, (name, kind))| ((*name).to_owned(), format!("{kind:?}"), place(at))).collect();
            assert_eq!(schema.remove(table.name), Some(known), "the table {}", table.name);
        }
        assert!(schema.is_empty(), "put these tables into TABLES, or into LEFT_OUT with why: {schema:?}");
    }

    #[test]
    fn a_value_comes_back_as_it_was() {
        let values = [
            (Kind::Text, Value::Text(Some("“\n\u{0}”".to_owned()))),
            (Kind::Text, Value::Text(None)),
            (Kind::Bytes, Value::Bytes(Some(vec![0, 255]))),
            (Kind::Bytes, Value::Bytes(None)),
            (Kind::Number, Value::Number(Some(i64::MIN))),
            (Kind::Number, Value::Number(None)),
            (Kind::Truth, Value::Truth(Some(true))),
            (Kind::Truth, Value::Truth(None)),
        ];
        for (kind, value) in values {
            let json = serde_json::to_string(&value).expect("it is written");
            assert_eq!(Value::of(kind, serde_json::from_str(&json).expect("JSON")), Some(value), "{json}");
        }
        assert_eq!(Value::of(Kind::Number, serde_json::json!("1")), None);
        assert_eq!(Value::of(Kind::Bytes, serde_json::json!("no base64")), None);
    }
}
