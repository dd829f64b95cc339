//! SQL and nothing else. One SQL text serves SQLite and PostgreSQL; one file per table group.
//!
//! Every function takes a [`Handle`]: a [`Read`] session or the one [`Write`] door. Rows come out as they are stored: whether a MAC
//! holds or a caller may see a row is decided in `ops`.

mod activity;
mod aliases;
mod audit;
mod checks;
mod connections;
mod copy;
#[cfg(test)]
mod crash;
mod dependents;
mod error;
mod groups;
mod health;
mod idempotency;
mod identities;
mod instance;
mod keys;
mod lint;
mod load;
mod look;
mod migrations;
mod notices;
mod open;
mod own_types;
mod people;
mod purge;
mod rotation_policies;
mod rotations;
mod scans;
mod search;
mod second_logins;
mod serving;
mod settings;
mod tokens;
mod workspaces;
mod write;

use std::{
    collections::BTreeSet,
    io::ErrorKind,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use dataflow_model::Secret;
use sqlx::{
    Postgres, Sqlite,
    pool::PoolConnection,
    postgres::{PgConnection, PgPool},
    sqlite::{SqliteConnection, SqlitePool},
};
use tokio::time::timeout;

use self::write::OpenTransaction;

pub use self::{
    activity::{
        ActivityQuery, NamedCheckRow, SightedRow, former_names, list_events, list_failures, list_first_uses, list_named_checks,
        list_named_health_changes, list_reads,
    },
    aliases::{
        AliasRow, alias, aliases_of, claim_name, count_by_aliases, delete_alias, deleted_under_alias, drop_unused_names,
        has_aliases, insert_alias, kept_aliases,
    },
    audit::{
        AuditRow, ChainRow, ReadsRow, append_audit, chain, chain_event, chain_without_row, chains, count_reads, drop_events,
        drop_lines, event, event_before, event_time, events_after, has_event, hold_chain, keep_lines, kept_lines, objects_of,
        oldest_reads, put_chain, reads_between, unchained_events,
    },
    checks::{CheckRow, insert_check, last_check, list_checks, thin_checks},
    connections::{
        ConnectionRow, ListedRow, VERSIONS, VersionRow, connection_by_id, delete_connection, delete_version, hold_connection,
        hold_connection_by_id, insert_connection, insert_version, list_deleted, narrow_connection, narrowed_connections,
        newest_connection, record_check_on_connection, rename_connection, restore_connection, update_connection, version,
        versions_before, versions_with_secret,
    },
    copy::{Kind, LiveRow, TABLES, Table, Value, live_connections, page, put_all_words, put_rows, schema},
    dependents::{
        DependentsRow, Seer, SightingRow, all_sightings, busiest_caller, callers_seen, count_failing, count_sightings,
        count_since, count_visible, dependents, forget_before, forget_holders, forget_oldest, good_before, hold_dependents,
        holders, last_use, list_sightings, names_seen_before, put_dependents, record_given, record_sightings,
        record_unknown_holders, versions_given,
    },
    error::{Result, StoreError},
    groups::{GroupRow, group, group_by_name, groups, put_group, remove_group},
    health::{
        HealthChangeRow, HealthOfRow, HealthRow, HealthScheduleRow, Layer, check_marks, count_health, count_health_schedules,
        delete_health_schedule, due_in_lane, follow_schedule, follow_schedules, hasten_test, health, health_by_name,
        health_changes, health_schedule, health_schedules, insert_health_change, lanes_due, leave_schedules, list_health,
        move_test, put_health_schedule, stand,
    },
    idempotency::{insert_key, key_request},
    identities::{IdentityRow, delete_identities_of, identities_of, identity, insert_identity, linked_people},
    instance::{InstanceRow, insert_instance, instance, is_new, replace_key_ring, tick},
    keys::{
        MacTable, Mark, NodeRow, beat, count_under_older_keys, end_row_macs, exchange_key_ring, exchange_workspace_key, nodes,
        remove_node, reseal_version, versions_under_older_keys,
    },
    lint::{
        LintSilenceOfRow, LintSilenceRow, Names, delete_lint_silence, drop_marks_of_deleted, drop_password_mark,
        last_reports_among, last_uses_among, lint_silence, lint_silences, lint_silences_among, lint_silences_of_all,
        move_password_mark, put_lint_silence, put_password_mark, shared_marks_among,
    },
    load::{Fill, Loading, fold_log, is_empty},
    look::Look,
    notices::{
        ChannelRow, EndOfRow, EndRow, NEVER_ENDS, NoticeOfRow, NoticeRow, channel, channel_went, channels, channels_due,
        count_channels, delete_channel, drop_told, end, ends_due, ends_until, forget_failure, forget_notices, give_back,
        move_end, note, put_channel, put_end, rest_channels, take_notices, taken,
    },
    own_types::{
        OwnTypeRow, all_own_types, connections_of_type, connections_that_hold, count_of_own_types, count_own_types, own_type,
        own_types, put_own_type,
    },
    people::{
        LinkRow, MemberRow, PersonRow, SessionRow, delete_links_of, delete_other_sessions_of, delete_session, delete_session_of,
        delete_sessions_of, enabled_owners, hold_member, hold_person, insert_link, insert_person, insert_session, link, members,
        memberships, people, people_of, person, person_by_email, person_in, put_member, remove_member, session, sessions_of,
        update_person, update_session, use_link,
    },
    purge::{Batch, connections_with_replaced, delete_batch, take_turn},
    rotation_policies::{
        RESTS, RotationPolicyRow, begin_rotation_turn, delete_rotation_policy, due_rotation_policies, move_rotation_turn,
        put_rotation_policy, rest_rotations, rotation_policy,
    },
    rotations::{
        RotationRow, delete_rotation, due_rotations, end_leases, hasten_rotation, insert_rotation, lease_rotation,
        put_off_rotation, reseal_rotation, rotation, rotations_under_older_keys, take_rotation, tell_rotation,
    },
    scans::{
        FindingRow, PlaceRow, ScanRow, all_found, count_findings, count_places, count_scans, delete_other_findings, delete_scan,
        list_found, list_scans, mark_found, names_of_other_scans, places_of, places_seen, put_finding, put_scan, scan,
        set_findings,
    },
    search::{
        Begins, ListSort, PageQuery, TERMS, Way, count_up_to, first_words, list_by_name, list_by_name_descending,
        list_by_updated, names_with_word, put_words, remove_word, remove_words, replace_status, words_among, words_in_use,
        words_of,
    },
    second_logins::{
        SecondLoginRow, delete_second_login, due_second_logins, hold_second_login, lease_second_login, put_off_second_login,
        put_second_login, reseal_second_login, second_login, second_logins_under_older_keys,
    },
    serving::{serving, serving_after, serving_unmarked, serving_with_mark},
    settings::{SettingRow, begin_setting, put_setting, setting},
    tokens::{
        TokenPage, TokenRow, hold_narrowed_tokens, hold_token, insert_token, list_tokens, live_token, live_token_by_name,
        live_tokens_of, narrow_token, revoke_token, token, token_by_hash, touch_token,
    },
    workspaces::{
        WorkspaceRow, count_in_workspace, delete_workspace, hold_whole_workspace, hold_workspace, hold_workspaces,
        insert_workspace, share_workspace, workspace, workspace_by_name, workspaces, workspaces_of,
    },
    write::Write,
};

#[cfg(test)]
pub use self::{
    crash::{Crash, CrashAt},
    keys::MAC_TABLES,
};

/// How long a database beyond this process may take over one statement. A session whose line was cut says nothing: the kernel alone would
/// wait for it for a quarter of an hour (`tcp_retries2` in tcp(7)).
const STATEMENT: Duration = Duration::from_secs(10);
/// How long sessions are waited for when the store is closed.
const CLOSE: Duration = Duration::from_secs(5);

/// What a statement gives, if it is answered in time.
pub(crate) async fn in_time<T>(statement: impl Future<Output = sqlx::Result<T>>) -> sqlx::Result<T> {
    timeout(STATEMENT, statement).await.unwrap_or_else(|_| Err(sqlx::Error::Io(ErrorKind::TimedOut.into())))
}

/// Where the rows are.
#[derive(Debug, Clone)]
pub enum Location {
    /// The embedded store: one file.
    Sqlite(PathBuf),
    /// A PostgreSQL database, shared by many nodes.
    Postgres(Arc<Secret>),
}

/// Pools to one database. SQLite has one writer, so that writers queue in our process and not on its lock.
#[derive(Debug, Clone)]
enum Db {
    Sqlite { readers: SqlitePool, writer: SqlitePool },
    Postgres(PgPool),
}

#[derive(Debug, Clone)]
pub struct Store {
    db: Db,
    own_ticks: OwnTicks,
    /// The last step that its tables had come to before they were opened; 0 of a new one.
    pub came_from: i64,
    /// Whether this process has left audit events since they were last given their place in the chain.
    pub unchained: Arc<AtomicBool>,
    #[cfg(test)]
    pub crash: Crash,
}

/// Where the changes of this node have moved the change clock to, until somebody looks. What is missing here counts as another node's.
#[derive(Debug, Clone, Default)]
struct OwnTicks(Arc<Mutex<BTreeSet<i64>>>);

impl OwnTicks {
    fn add(&self, tick: i64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(tick);
    }

    /// Whether all ticks after `known` up to `tick` are this node's. Those are forgotten.
    fn cover(&self, known: i64, tick: i64) -> bool {
        let mut ticks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let later = tick.checked_add(1).map(|next| ticks.split_off(&next)).unwrap_or_default();
        let own = std::mem::replace(&mut *ticks, later);
        own.range(known.saturating_add(1)..).count() == usize::try_from(tick.saturating_sub(known)).unwrap_or(usize::MAX)
    }
}

/// A connection to either engine; what the store's macros expand over.
pub enum Engine<'c> {
    Sqlite(&'c mut SqliteConnection),
    Postgres(&'c mut PgConnection),
}

/// Something that a query can run on.
pub trait Handle: Send {
    fn engine(&mut self) -> Engine<'_>;
}

/// A session for reading. Each statement sees what was committed when it began.
pub enum Read {
    Sqlite(PoolConnection<Sqlite>),
    Postgres(PoolConnection<Postgres>),
}

impl Handle for Read {
    fn engine(&mut self) -> Engine<'_> {
        match self {
            Self::Sqlite(connection) => Engine::Sqlite(connection),
            Self::Postgres(connection) => Engine::Postgres(connection),
        }
    }
}

/// One state of the whole store, read in pieces while others change it.
pub struct Snapshot(OpenTransaction);

impl Handle for Snapshot {
    fn engine(&mut self) -> Engine<'_> {
        self.0.engine()
    }
}

impl Store {
    /// Opens the database and brings its tables up to this build.
    pub async fn open(location: &Location) -> Result<Self> {
        let (db, came_from) = match location {
            Location::Sqlite(path) => open::sqlite(path).await?,
            Location::Postgres(url) => open::postgres(url.expose_secret()).await?,
        };
        let store = Self {
            db,
            came_from,
            own_ticks: OwnTicks::default(),
            unchained: Arc::new(AtomicBool::new(true)),
            #[cfg(test)]
            crash: Crash::default(),
        };
        // Without it every node would serve what it once cached, and none would ever be ready.
        tick(&mut store.read().await?).await?;
        Ok(store)
    }

    /// Whether nodes on other machines may have the same store.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.db, Db::Postgres(_))
    }

    pub async fn read(&self) -> Result<Read> {
        Ok(match &self.db {
            Db::Sqlite { readers, .. } => Read::Sqlite(readers.acquire().await?),
            Db::Postgres(pool) => Read::Postgres(pool.acquire().await?),
        })
    }

    pub async fn write(&self) -> Result<Write> {
        let transaction = match &self.db {
            Db::Sqlite { writer, .. } => OpenTransaction::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?),
            Db::Postgres(pool) => OpenTransaction::Postgres(in_time(pool.begin()).await?),
        };
        Ok(Write {
            transaction,
            then: Vec::new(),
            own_ticks: self.own_ticks.clone(),
            unchained: self.unchained.clone(),
            oldest_mac: None,
            saved: Vec::new(),
            rotated: Vec::new(),
            marks: Vec::new(),
            events: Vec::new(),
            #[cfg(test)]
            crash: self.crash.clone(),
        })
    }

    /// What the store is kept in.
    #[must_use]
    pub fn engine_name(&self) -> &'static str {
        match &self.db {
            Db::Sqlite { .. } => "sqlite",
            Db::Postgres(_) => "postgres",
        }
    }

    /// A write that begins once every change under way is over, and holds up every other until it ends: for what must be the first.
    pub async fn write_alone(&self) -> Result<Write> {
        let mut write = self.write().await?;
        write.alone().await?;
        Ok(write)
    }

    /// The change clock, and whether none but this node has moved it since it stood at `known`.
    pub async fn tick_since(&self, known: Option<i64>) -> Result<(i64, bool)> {
        let tick = tick(&mut self.read().await?).await?;
        Ok((tick, known.is_some_and(|known| self.own_ticks.cover(known, tick))))
    }

    /// Ends all sessions; open ones are waited for, but for those of a database that does not answer.
    pub async fn close(&self) {
        let closed = async {
            match &self.db {
                Db::Sqlite { readers, writer } => {
                    readers.close().await;
                    writer.close().await;
                }
                Db::Postgres(pool) => pool.close().await,
            }
        };
        if timeout(CLOSE, closed).await.is_err() {
            tracing::warn!(store.waited_s = CLOSE.as_secs(), "the store's sessions did not end in time");
        }
    }
}

/// Runs one statement on either engine; gives the number of rows that it changed. A list behind a semicolon is bound item by item.
macro_rules! execute {
    ($handle:expr, $sql:expr $(, $bind:expr)* $(,)? $(; $list:expr)?) => {
        match $crate::store::Handle::engine($handle) {
            $crate::store::Engine::Sqlite(connection) => {
                let query = sqlx::query($sql)$(.bind($bind))*;
                $(let query = $list.iter().fold(query, |query, item| query.bind(*item));)?
                query.execute(connection).await.map(|done| done.rows_affected())
            }
            $crate::store::Engine::Postgres(connection) => {
                let query = sqlx::query($sql)$(.bind($bind))*;
                $(let query = $list.iter().fold(query, |query, item| query.bind(*item));)?
                $crate::store::in_time(query.execute(connection)).await.map(|done| done.rows_affected())
            }
        }
        .map_err($crate::store::StoreError::from)
    };
}

/// Reads rows of one type on either engine: `fetch!(handle, fetch_all, Row, "SELECT …", binds…)`. A list between semicolons is bound item
/// by item.
macro_rules! fetch {
    ($handle:expr, $how:ident, $row:ty, $sql:expr $(, $bind:expr)* $(,)? $(; $list:expr; $($last:expr),*)?) => {
        match $crate::store::Handle::engine($handle) {
            $crate::store::Engine::Sqlite(connection) => {
                let query = sqlx::query_as::<_, $row>($sql)$(.bind($bind))*;
                $(let query = $list.iter().fold(query, |query, item| query.bind(*item))$(.bind($last))*;)?
                query.$how(connection).await
            }
            $crate::store::Engine::Postgres(connection) => {
                let query = sqlx::query_as::<_, $row>($sql)$(.bind($bind))*;
                $(let query = $list.iter().fold(query, |query, item| query.bind(*item))$(.bind($last))*;)?
                $crate::store::in_time(query.$how(connection)).await
            }
        }
        .map_err($crate::store::StoreError::from)
    };
}

pub(crate) use {execute, fetch};

#[cfg(test)]
mod tests;
