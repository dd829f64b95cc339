//! A store that is filled from a backup while the live one, if there is one, stays as it is.

use std::{
    iter,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use sqlx::{
    ConnectOptions as _, Connection as _, QueryBuilder,
    postgres::{PgConnection, PgPool},
    sqlite::{SqliteConnectOptions, SqliteConnection, SqlitePool},
};

use super::{
    Location, OpenTransaction, OwnTicks, Result, StoreError, Write, audit,
    copy::{LEFT_OUT, TABLES},
    migrations, open,
};

/// What others call the sessions of this program.
const NODES: &str = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'dataflow'";
/// How long a table may be held by others before it is left to them.
const LOCK: &str = "SET LOCAL lock_timeout = '5s'";

/// Whether a store is there and in use by no key ring yet. One that cannot be read is not empty.
pub async fn is_empty(path: &Path) -> bool {
    if !path.exists() {
        return true;
    }
    instances(path).await.is_ok_and(|count| count == 0)
}

async fn instances(path: &Path) -> Result<i64> {
    let mut connection = existing(path).await?;
    let count = sqlx::query_scalar("SELECT count(*) FROM instance").fetch_one(&mut connection).await?;
    connection.close().await?;
    Ok(count)
}

/// Brings what a killed server left in the log beside the file into the file. Nobody else may have it open.
pub async fn fold_log(path: &Path) -> Result<()> {
    let mut connection = existing(path).await?;
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await?;
    Ok(connection.close().await?)
}

async fn existing(path: &Path) -> sqlx::Result<SqliteConnection> {
    SqliteConnectOptions::new().filename(path).busy_timeout(Duration::from_secs(1)).connect().await
}

/// A store that is being filled. Dropped before [`Loading::finish`] is called it leaves PostgreSQL as it was, and of SQLite a file that is
/// nobody's.
pub struct Loading {
    write: Write,
    pool: Filled,
    /// The schema that the tables of before were moved to.
    aside: Option<String>,
}

enum Filled {
    Sqlite(SqlitePool, PathBuf),
    Postgres(PgPool),
}

/// What is to be filled, and what with.
#[derive(Debug)]
pub struct Fill<'f> {
    pub location: &'f Location,
    /// Where SQLite is filled: not the live file.
    pub file: &'f Path,
    /// The schema of the rows that come.
    pub schema: i64,
    /// Where PostgreSQL's tables of before go, if there is anything in them and they are to be replaced.
    pub aside: Option<&'f str>,
}

impl Loading {
    /// # Errors
    /// A sentence if the database is in use, not empty and not to be replaced, or of a newer version.
    pub async fn begin(fill: &Fill<'_>) -> Result<Self> {
        match fill.location {
            Location::Sqlite(_) => {
                let pool = open::unfinished(fill.file).await?;
                migrations::sqlite().run_to(fill.schema, &pool).await.map_err(not_migrated)?;
                let transaction = OpenTransaction::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?);
                Ok(Self { write: write(transaction), pool: Filled::Sqlite(pool, fill.file.to_owned()), aside: None })
            }
            Location::Postgres(url) => {
                let pool = open::alone(url.expose_secret()).await?;
                let mut transaction = pool.begin().await?;
                let aside = make_room(&mut transaction, fill.aside).await?;
                migrations::postgres().run_to(fill.schema, &mut *transaction).await.map_err(not_migrated)?;
                let write = write(OpenTransaction::Postgres(transaction));
                Ok(Self { write, pool: Filled::Postgres(pool), aside })
            }
        }
    }

    pub fn write(&mut self) -> &mut Write {
        &mut self.write
    }

    /// Brings the tables from the backup's schema up to this build's.
    pub async fn bring_up(&mut self) -> Result<()> {
        match &mut self.write.transaction {
            OpenTransaction::Sqlite(transaction) => migrations::sqlite().run(&mut **transaction).await,
            OpenTransaction::Postgres(transaction) => migrations::postgres().run(&mut **transaction).await,
        }
        .map_err(not_migrated)?;
        audit::go_on_numbering(&mut self.write).await
    }

    /// Makes it durable. PostgreSQL's is the live store from here on; gives the schema that the old tables are in.
    pub async fn finish(self) -> Result<Option<String>> {
        match self.write.transaction {
            OpenTransaction::Sqlite(transaction) => transaction.commit().await?,
            OpenTransaction::Postgres(transaction) => transaction.commit().await?,
        }
        match self.pool {
            Filled::Sqlite(pool, path) => {
                pool.close().await;
                let synced = std::fs::File::open(path).and_then(|file| file.sync_all());
                synced.map_err(|source| StoreError::Open { doing: "make its file durable", source: source.into() })?;
            }
            Filled::Postgres(pool) => pool.close().await,
        }
        Ok(self.aside)
    }
}

fn write(transaction: OpenTransaction) -> Write {
    Write {
        transaction,
        then: Vec::new(),
        own_ticks: OwnTicks::default(),
        unchained: Arc::default(),
        oldest_mac: None,
        saved: Vec::new(),
        rotated: Vec::new(),
        marks: Vec::new(),
        events: Vec::new(),
        #[cfg(test)]
        crash: super::crash::Crash::default(),
    }
}

fn not_migrated(error: sqlx::migrate::MigrateError) -> StoreError {
    StoreError::Open { doing: "make its tables", source: error.into() }
}

/// Sees that nobody uses the database, and moves what is in it to the schema `aside`.
async fn make_room(connection: &mut PgConnection, aside: Option<&str>) -> Result<Option<String>> {
    sqlx::query(LOCK).execute(&mut *connection).await?;
    let nodes: i64 = sqlx::query_scalar(NODES).fetch_one(&mut *connection).await?;
    if nodes > 0 {
        return Err(refused(
            "Servers run on this database. Stop every one of them first, or restore into another database.",
            &format!("{nodes} sessions of theirs are open"),
        ));
    }
    let there = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()";
    let there: Vec<String> = sqlx::query_scalar(there).fetch_all(&mut *connection).await?;
    if !there.iter().any(|table| table == "instance") {
        return Ok(None);
    }
    // Whoever starts now waits until this is over.
    sqlx::query("LOCK TABLE instance, _sqlx_migrations IN ACCESS EXCLUSIVE MODE").execute(&mut *connection).await?;
    let newest: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations").fetch_one(&mut *connection).await?;
    if newest.is_some_and(|newest| newest > migrations::last()) {
        return Err(open::newer(format!("its schema is {}", newest.unwrap_or_default())));
    }
    let instances: i64 = sqlx::query_scalar("SELECT count(*) FROM instance").fetch_one(&mut *connection).await?;
    match aside {
        _ if instances == 0 => Ok(None),
        None => Err(refused(
            "There is a store in this database already. Restore into an empty one, or give --replace: the old tables are kept aside then.",
            "it has a key ring",
        )),
        Some(aside) => {
            let taken: Vec<String> = sqlx::query_scalar("SELECT nspname FROM pg_namespace").fetch_all(&mut *connection).await?;
            let aside = unused(aside, |name| taken.iter().any(|taken| taken == name));
            QueryBuilder::new("CREATE SCHEMA ").push(&aside).build().execute(&mut *connection).await?;
            let own =
                TABLES.iter().map(|table| table.name).chain(LEFT_OUT.iter().map(|(name, _)| *name)).chain(["_sqlx_migrations"]);
            for table in own.filter(|own| there.iter().any(|table| table == own)) {
                let mut moved = QueryBuilder::new("ALTER TABLE ");
                moved.push(table).push(" SET SCHEMA ").push(&aside).build().execute(&mut *connection).await?;
            }
            Ok(Some(aside))
        }
    }
}

/// This name, or the first of `name_2`, `name_3` and so on that is free: two restores may be of one second.
fn unused(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let names = iter::once(name.to_owned()).chain((2..).map(|number: u64| format!("{name}_{number}")));
    names.into_iter().find(|name| !is_taken(name)).unwrap_or_default()
}

fn refused(sentence: &str, why: &str) -> StoreError {
    StoreError::Refused { sentence: sentence.to_owned(), source: why.into() }
}
