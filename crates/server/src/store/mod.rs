//! SQL and nothing else. One SQL text serves SQLite and PostgreSQL; one file per table group.
//!
//! Every function takes a [`Handle`]: a [`Read`] session or the one [`Write`] door. Rows come out as they are stored: whether a MAC
//! holds or a caller may see a row is decided in `ops`.

mod audit;
mod checks;
mod connections;
mod idempotency;
mod instance;
mod people;
mod search;
mod tokens;
mod uses;
mod workspaces;

use std::{borrow::Cow, path::PathBuf, str::FromStr, time::Duration};

use sqlx::{
    Postgres, SqlSafeStr, Sqlite, Transaction,
    migrate::{Migration, MigrationType, Migrator},
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous},
};

pub use self::{
    audit::{AuditRow, append_audit},
    checks::{CheckRow, insert_check, list_checks},
    connections::{
        ConnectionRow, VersionRow, connection_by_id, delete_connection, insert_connection, insert_version, live_connection,
        newest_connection, record_check_on_connection, update_connection, version,
    },
    idempotency::{insert_key, key_request, purge_keys},
    instance::{InstanceRow, insert_instance, instance, replace_key_ring, tick},
    people::{
        LinkRow, MemberRow, PersonRow, SessionRow, delete_session, delete_sessions_of, insert_link, insert_person,
        insert_session, link, members, memberships, people, person, person_by_email, put_member, remove_member, session,
        touch_session, update_person, use_link,
    },
    search::{
        ListSort, NamePage, OTHER_TERMS, UpdatedPage, count_term, list_by_name, list_by_updated, put_terms, remove_terms,
        replace_status, tags_in_use, types_in_use,
    },
    tokens::{TokenRow, insert_token, list_tokens, revoke_token, token_by_hash, touch_token},
    uses::{UseRow, list_uses, record_use},
    workspaces::{WorkspaceRow, insert_workspace, workspace_by_name, workspaces},
};

/// What can go wrong between us and the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the store did not answer")]
    Unavailable(#[source] sqlx::Error),
    #[error("the store refused a row that must be unique")]
    Unique(#[source] sqlx::Error),
    #[error("the store could not {doing}")]
    Open {
        doing: &'static str,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the store failed")]
    Query(#[source] sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) if database.is_unique_violation() => Self::Unique(error),
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
                Self::Unavailable(error)
            }
            _ => Self::Query(error),
        }
    }
}

pub type Result<T> = std::result::Result<T, StoreError>;

/// Where the rows are.
#[derive(Debug, Clone)]
pub enum Location {
    /// The embedded store: one file.
    Sqlite(PathBuf),
    /// A PostgreSQL database, shared by many nodes.
    Postgres(String),
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

/// The one door for writes: a transaction. Dropped without [`Write::commit`] it leaves nothing behind.
pub enum Write {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Handle for Write {
    fn engine(&mut self) -> Engine<'_> {
        match self {
            Self::Sqlite(transaction) => Engine::Sqlite(transaction),
            Self::Postgres(transaction) => Engine::Postgres(transaction),
        }
    }
}

impl Write {
    /// Makes everything durable, or nothing. Moves the change clock, so that every node drops what it cached.
    pub async fn commit(mut self) -> Result<()> {
        instance::advance_clock(&mut self).await?;
        self.commit_quietly().await
    }

    /// Like [`Write::commit`], for rows that no cache holds (checks, usage, last-seen times): the change clock stands still.
    pub async fn commit_quietly(self) -> Result<()> {
        match self {
            Self::Sqlite(transaction) => transaction.commit().await?,
            Self::Postgres(transaction) => transaction.commit().await?,
        }
        Ok(())
    }
}

impl Store {
    /// Opens the database and brings its tables up to this build.
    pub async fn open(location: &Location) -> Result<Self> {
        let db = match location {
            Location::Sqlite(path) => open_sqlite(path).await?,
            Location::Postgres(url) => open_postgres(url).await?,
        };
        Ok(Self { db })
    }

    pub async fn read(&self) -> Result<Read> {
        Ok(match &self.db {
            Db::Sqlite { readers, .. } => Read::Sqlite(readers.acquire().await?),
            Db::Postgres(pool) => Read::Postgres(pool.acquire().await?),
        })
    }

    pub async fn write(&self) -> Result<Write> {
        Ok(match &self.db {
            Db::Sqlite { writer, .. } => Write::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?),
            Db::Postgres(pool) => Write::Postgres(pool.begin().await?),
        })
    }

    /// A write that begins once every change under way is over, and holds up every other until it ends: for what must be the first.
    pub async fn write_alone(&self) -> Result<Write> {
        let mut write = self.write().await?;
        instance::advance_clock(&mut write).await?;
        Ok(write)
    }

    /// Ends all sessions; open ones are waited for.
    pub async fn close(&self) {
        match &self.db {
            Db::Sqlite { readers, writer } => {
                readers.close().await;
                writer.close().await;
            }
            Db::Postgres(pool) => pool.close().await,
        }
    }
}

async fn open_sqlite(path: &std::path::Path) -> Result<Db> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        .pragma("trusted_schema", "OFF");
    let writer = SqlitePoolOptions::new().max_connections(1).connect_with(options.clone()).await?;
    migrator(SQLITE_MIGRATIONS)
        .run(&writer)
        .await
        .map_err(|source| StoreError::Open { doing: "bring its tables up to this version", source: source.into() })?;
    let readers = SqlitePoolOptions::new()
        .min_connections(1)
        .max_connections(8)
        .connect_with(options.read_only(true).create_if_missing(false))
        .await?;
    Ok(Db::Sqlite { readers, writer })
}

async fn open_postgres(url: &str) -> Result<Db> {
    // sqlx itself takes any scheme.
    let is_postgres = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
    let options = PgConnectOptions::from_str(url).ok().filter(|_| is_postgres).ok_or_else(|| StoreError::Open {
        doing: "read the database URL",
        source: "it is not of the form postgres://user@host:port/database".into(),
    })?;
    let options = options.application_name("dataflow");
    let pool = PgPoolOptions::new().max_connections(16).acquire_timeout(Duration::from_secs(5)).connect_with(options).await?;
    migrator(POSTGRES_MIGRATIONS)
        .run(&pool)
        .await
        .map_err(|source| StoreError::Open { doing: "bring its tables up to this version", source: source.into() })?;
    Ok(Db::Postgres(pool))
}

/// The same versions and descriptions in both lists; `tests/migrations.rs` compares the schemas.
const SQLITE_MIGRATIONS: &[(i64, &str, &str)] = &[(1, "start", include_str!("../../../../migrations/sqlite/0001_start.sql"))];
const POSTGRES_MIGRATIONS: &[(i64, &str, &str)] = &[(1, "start", include_str!("../../../../migrations/postgres/0001_start.sql"))];

fn migrator(list: &'static [(i64, &str, &str)]) -> Migrator {
    let migrations = list
        .iter()
        .map(|&(version, name, sql)| {
            Migration::new(version, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), false)
        })
        .collect();
    Migrator::with_migrations(migrations)
}

/// Runs one statement on either engine; gives the number of rows that it changed.
macro_rules! execute {
    ($handle:expr, $sql:expr $(, $bind:expr)* $(,)?) => {
        match $crate::store::Handle::engine($handle) {
            $crate::store::Engine::Sqlite(connection) => {
                sqlx::query($sql)$(.bind($bind))*.execute(connection).await.map(|done| done.rows_affected())
            }
            $crate::store::Engine::Postgres(connection) => {
                sqlx::query($sql)$(.bind($bind))*.execute(connection).await.map(|done| done.rows_affected())
            }
        }
        .map_err($crate::store::StoreError::from)
    };
}

/// Reads rows of one type on either engine: `fetch!(handle, fetch_all, Row, "SELECT …", binds…)`.
macro_rules! fetch {
    ($handle:expr, $how:ident, $row:ty, $sql:expr $(, $bind:expr)* $(,)?) => {
        match $crate::store::Handle::engine($handle) {
            $crate::store::Engine::Sqlite(connection) => {
                sqlx::query_as::<_, $row>($sql)$(.bind($bind))*.$how(connection).await
            }
            $crate::store::Engine::Postgres(connection) => {
                sqlx::query_as::<_, $row>($sql)$(.bind($bind))*.$how(connection).await
            }
        }
        .map_err($crate::store::StoreError::from)
    };
}

pub(crate) use {execute, fetch};
