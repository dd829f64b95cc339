//! Looking at a store that may be damaged, of another version, or in use, without changing anything of it.

use std::path::Path;

use sqlx::{ConnectOptions as _, Connection as _, postgres::PgConnection, sqlite::SqliteConnection};

use super::{Engine, Handle, Location, Result, fetch, migrations, open};

/// One session that only reads.
pub enum Look {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Handle for Look {
    fn engine(&mut self) -> Engine<'_> {
        match self {
            Self::Sqlite(connection) => Engine::Sqlite(connection),
            Self::Postgres(connection) => Engine::Postgres(connection),
        }
    }
}

impl Look {
    pub async fn open(location: &Location) -> Result<Self> {
        Ok(match location {
            Location::Sqlite(path) => {
                // Without a log there is nobody else, and SQLite would make the files that it shares with others.
                let alone = !log(path).exists();
                let options = open::sqlite_options(path).create_if_missing(false).read_only(true).immutable(alone);
                Self::Sqlite(options.connect().await?)
            }
            Location::Postgres(url) => Self::Postgres(open::look(url.expose_secret()).await?),
        })
    }

    pub async fn close(self) -> Result<()> {
        match self {
            Self::Sqlite(connection) => connection.close().await?,
            Self::Postgres(connection) => connection.close().await?,
        }
        Ok(())
    }

    /// What a session of the server's has of the settings that decide whether an acknowledged change outlives a power cut, and the version.
    pub async fn settings(&mut self) -> Result<Vec<(String, String)>> {
        match self {
            Self::Sqlite(connection) => {
                let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut *connection).await?;
                let version: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&mut *connection).await?;
                Ok(vec![("synchronous".to_owned(), synchronous.to_string()), ("version".to_owned(), version)])
            }
            Self::Postgres(connection) => {
                let sql = "SELECT name, setting FROM pg_settings WHERE name IN \
                           ('fsync', 'synchronous_commit', 'full_page_writes', 'server_version_num') ORDER BY name";
                Ok(sqlx::query_as(sql).fetch_all(connection).await?)
            }
        }
    }

    /// What SQLite finds wrong with the file, at most ten lines; PostgreSQL looks after its own.
    pub async fn damage(&mut self) -> Result<Vec<String>> {
        let Self::Sqlite(connection) = self else { return Ok(Vec::new()) };
        let found: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check(10)").fetch_all(connection).await?;
        Ok(found.into_iter().filter(|line| line != "ok").collect())
    }

    /// Microseconds UTC at the database's machine, if that is another one.
    pub async fn clock(&mut self) -> Result<Option<i64>> {
        let Self::Postgres(connection) = self else { return Ok(None) };
        let sql = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)";
        Ok(Some(sqlx::query_scalar(sql).fetch_one(connection).await?))
    }

    /// The number of its last migration, and of this build's.
    pub async fn schema(&mut self) -> Result<(i64, i64)> {
        let (own,) = fetch!(self, fetch_one, (i64,), "SELECT max(version) FROM _sqlx_migrations")?;
        Ok((own, migrations::last()))
    }

    /// What acts by itself on changes in the store's tables; this program has none of it.
    pub async fn triggers(&mut self) -> Result<Vec<String>> {
        let names = match self {
            Self::Sqlite(connection) => {
                let sql = "SELECT name FROM sqlite_schema WHERE type = 'trigger' ORDER BY name";
                sqlx::query_scalar(sql).fetch_all(connection).await?
            }
            Self::Postgres(connection) => {
                let sql = "SELECT t.tgname::text FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid \
                           WHERE NOT t.tgisinternal AND c.relnamespace = current_schema()::regnamespace \
                           UNION ALL SELECT rulename::text FROM pg_rules WHERE schemaname = current_schema() ORDER BY 1";
                sqlx::query_scalar(sql).fetch_all(connection).await?
            }
        };
        Ok(names)
    }

    /// Names of the table that says which are taken, held against the connections and aliases that have them: those that are taken and lead nowhere,
    /// and those that lead somewhere and are not taken. At most so many of each.
    pub async fn names(&mut self, most: i64) -> Result<[Vec<String>; 2]> {
        let taken = "SELECT n.name_key FROM live_names n WHERE NOT EXISTS (SELECT 1 FROM connections c WHERE c.id = n.connection_id \
                     AND c.workspace_id = n.workspace_id AND c.deleted_at IS NULL AND (c.name_key = n.name_key OR EXISTS (SELECT 1 FROM aliases a \
                     WHERE a.connection_id = c.id AND a.name_key = n.name_key))) ORDER BY n.name_key LIMIT $1";
        let free = "SELECT f.name_key FROM (SELECT c.workspace_id, c.name_key, c.id FROM connections c WHERE c.deleted_at IS NULL \
                    UNION ALL SELECT a.workspace_id, a.name_key, c.id FROM aliases a JOIN connections c ON c.id = a.connection_id \
                    WHERE c.deleted_at IS NULL) f WHERE NOT EXISTS (SELECT 1 FROM live_names n WHERE n.workspace_id = f.workspace_id \
                    AND n.name_key = f.name_key AND n.connection_id = f.id) ORDER BY f.name_key LIMIT $1";
        let taken = fetch!(self, fetch_all, (String,), taken, most)?;
        let free = fetch!(self, fetch_all, (String,), free, most)?;
        Ok([taken, free].map(|names| names.into_iter().map(|(name,)| name).collect()))
    }

    /// The newest time that a row bears, microseconds UTC.
    pub async fn newest(&mut self) -> Result<Option<i64>> {
        let (newest,) = fetch!(
            self,
            fetch_one,
            (Option<i64>,),
            "SELECT max(at) FROM (SELECT max(at) AS at FROM audit_events UNION ALL SELECT max(updated_at) FROM connections \
             UNION ALL SELECT max(last_used_at) FROM tokens UNION ALL SELECT max(seen_at) FROM sessions) newest"
        )?;
        Ok(newest)
    }
}

fn log(path: &Path) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}
