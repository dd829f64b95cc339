//! Opening the store: how each engine is set, and what keeps others out of it.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::ErrorKind,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    str::FromStr as _,
    time::Duration,
};

use sqlx::{
    Connection as _,
    migrate::MigrateError,
    postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgSslMode},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous},
};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{Db, Result, StoreError, migrations};

mod refusal;

pub(super) use refusal::newer;

/// How long a database may take to answer at the start; one that starts beside us is waited for as long.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);
/// How long PostgreSQL works at a statement; less than [`super::STATEMENT`], so that it ends what nobody waits for.
const STATEMENT_TIMEOUT: &str = "8s";
/// How long it waits for a table or a row that another session keeps to itself.
const LOCK_TIMEOUT: &str = "5s";
/// How long a session that comes back to the pool may take to show that it is whole.
const RELEASE: Duration = Duration::from_secs(2);

/// How many steps are noted, and the last of them.
const STEPS: &str = "SELECT count(*), coalesce(max(version), 0) FROM _sqlx_migrations";

/// Of each connection to SQLite, in KiB, taken as it is needed: a search among 100,000 connections reads its parts of the index from there.
const CACHE_SIZE: &str = "-8192";

/// Opens it, and gives the step that its tables had come to before.
pub(super) async fn sqlite(path: &Path) -> Result<(Db, i64)> {
    keep_private(path).map_err(|source| StoreError::Open { doing: "keep its file from other users", source: source.into() })?;
    let options = sqlite_options(path).create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
    // Asking each time whether a connection to a file still answers costs more than most of what is asked of it.
    let pool = SqlitePoolOptions::new()
        .test_before_acquire(false)
        // A transaction that SQLite itself rolled back, at a full disk for one, sqlx takes for open ever after: such a session begins no other.
        .before_acquire(|connection, _| Box::pin(async { Ok(!connection.is_in_transaction()) }));
    let writer = pool.clone().max_connections(1).connect_with(options.clone()).await?;
    let has =
        "SELECT count(*) FILTER (WHERE name = 'instance'), count(*) FILTER (WHERE name = '_sqlx_migrations') FROM sqlite_schema";
    let (has_tables, has_any): (bool, bool) = sqlx::query_as(has).fetch_one(&writer).await?;
    let steps = if has_any { sqlx::query_as(STEPS).fetch_one(&writer).await? } else { (0, 0) };
    let came_from = last_step(has_tables, steps)?;
    migrations::sqlite().run(&writer).await.map_err(|error| match error {
        MigrateError::VersionMissing(_) => refusal::newer(error),
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        error => StoreError::Open { doing: "bring its tables up to this version", source: error.into() },
    })?;
    let readers =
        pool.min_connections(1).max_connections(8).connect_with(options.read_only(true).create_if_missing(false)).await?;
    Ok((Db::Sqlite { readers, writer }, came_from))
}

/// The step that the tables have come to. Where the notes of steps are not whole, a step would be done again over what it made.
fn last_step(has_tables: bool, (noted, last): (i64, i64)) -> Result<i64> {
    let has_gap = noted != last && last <= migrations::last();
    if has_gap || (has_tables && noted == 0) {
        return Err(StoreError::damaged("of the steps that made its tables, some are not noted"));
    }
    Ok(last)
}

/// How every session of the embedded store is set.
pub(super) fn sqlite_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        .pragma("trusted_schema", "OFF")
        // What is deleted or replaced is overwritten: a key that is gone is not to be found in the file.
        .pragma("secure_delete", "ON")
        .pragma("cache_size", CACHE_SIZE)
}

/// Opens it, and gives the step that its tables had come to before.
pub(super) async fn postgres(url: &str) -> Result<(Db, i64)> {
    let options = postgres_options(url)?.application_name("dataflow");
    let asked = refusal::Asked::new(url, &options);
    // Alone without a limit of time: a migration may take long, and be waited for by other nodes.
    let mut connection = sign_in(&options, &asked).await?;
    // Asked first: the first step's tables and its note come at once, perhaps from another node at this moment.
    let has = "SELECT to_regclass('instance') IS NOT NULL, to_regclass('_sqlx_migrations') IS NOT NULL";
    let (has_tables, has_any): (bool, bool) = sqlx::query_as(has).fetch_one(&mut connection).await?;
    let steps = if has_any { sqlx::query_as(STEPS).fetch_one(&mut connection).await? } else { (0, 0) };
    let came_from = last_step(has_tables, steps)?;
    migrations::postgres().run(&mut connection).await.map_err(|error| asked.not_migrated(error))?;
    connection.close().await.map_err(|error| asked.not_connected(&error))?;
    let pool = PgPoolOptions::new()
        .max_connections(16)
        .acquire_timeout(PATIENCE)
        // A session whose statement nobody waited for may be cut off; sqlx itself would keep its place in the pool until the kernel gives up.
        .after_release(|connection, _| Box::pin(async { answers(connection).await.map(|()| true) }))
        .connect_lazy_with(options.options([("statement_timeout", STATEMENT_TIMEOUT), ("lock_timeout", LOCK_TIMEOUT)]));
    Ok((Db::Postgres(pool), came_from))
}

/// A file that is filled before anybody relies on it: until it is whole, nothing of it need outlive a power cut.
pub(super) async fn unfinished(path: &Path) -> Result<SqlitePool> {
    keep_private(path).map_err(|source| StoreError::Open { doing: "keep its file from other users", source: source.into() })?;
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Off)
        .synchronous(SqliteSynchronous::Off)
        .foreign_keys(true)
        .pragma("trusted_schema", "OFF")
        // In KiB: indexes that are written in no order of theirs stay in memory.
        .pragma("cache_size", "-65536");
    Ok(SqlitePoolOptions::new().test_before_acquire(false).max_connections(1).connect_with(options).await?)
}

/// One session that no limit of time ends, and that is no node's.
pub(super) async fn alone(url: &str) -> Result<PgPool> {
    let options = postgres_options(url)?.application_name("dataflow restore");
    let asked = refusal::Asked::new(url, &options);
    sign_in(&options, &asked).await?.close().await.map_err(|error| asked.not_connected(&error))?;
    Ok(PgPoolOptions::new().max_connections(1).acquire_timeout(PATIENCE).connect_lazy_with(options))
}

/// One session that only reads.
pub(super) async fn look(url: &str) -> Result<PgConnection> {
    let options = postgres_options(url)?.application_name("dataflow doctor");
    let asked = refusal::Asked::new(url, &options);
    let limits = [("statement_timeout", STATEMENT_TIMEOUT), ("default_transaction_read_only", "on")];
    sign_in(&options.options(limits), &asked).await
}

async fn answers(connection: &mut PgConnection) -> sqlx::Result<()> {
    timeout(RELEASE, connection.ping()).await.unwrap_or_else(|_| Err(sqlx::Error::Io(ErrorKind::TimedOut.into())))
}

/// Signs in once, outside of the pool, which would tell of most failures no more than that time has passed.
async fn sign_in(options: &PgConnectOptions, asked: &refusal::Asked) -> Result<PgConnection> {
    let deadline = Instant::now() + PATIENCE;
    let mut refused = None;
    loop {
        match timeout_at(deadline, PgConnection::connect_with(options)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) if is_coming_up(&error) && Instant::now() + PAUSE < deadline => {
                refused = Some(error);
                sleep(PAUSE).await;
            }
            Ok(Err(error)) => return Err(asked.not_connected(&error)),
            // The deadline may fall into a try: what the one before was told says more than that time has passed.
            Err(_) => return Err(refused.map_or_else(|| asked.silent(PATIENCE), |error| asked.not_connected(&error))),
        }
    }
}

/// Whether a server that is being started answers like this.
fn is_coming_up(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => matches!(error.kind(), ErrorKind::ConnectionRefused | ErrorKind::NotFound),
        sqlx::Error::Database(error) => error.code().as_deref() == Some("57P03"),
        _ => false,
    }
}

/// Makes the file for this user alone, whatever the folder and the umask allow; SQLite makes its log like it.
fn keep_private(path: &Path) -> std::io::Result<()> {
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        match fs::set_permissions(&name, Permissions::from_mode(0o600)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// What the URL says, and verified TLS where it says nothing of it: sqlx's own default would send the password to whoever answers.
fn postgres_options(url: &str) -> Result<PgConnectOptions> {
    // sqlx itself takes any scheme.
    let is_postgres = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
    let options = PgConnectOptions::from_str(url)
        .ok()
        .filter(|_| is_postgres)
        .ok_or_else(|| refusal::unusable("it is not of the form postgres://user@host:port/database"))?;
    let asked = url::Url::parse(url).ok().and_then(|url| {
        url.query_pairs().find(|(name, _)| matches!(name.as_ref(), "sslmode" | "ssl-mode")).map(|(_, mode)| mode.into_owned())
    });
    match asked.as_deref() {
        Some("prefer" | "allow") => Err(refusal::unusable(
            "sslmode must be verify-full, verify-ca, require or disable: others send the password in the clear to who asks for it",
        )),
        Some(_) => Ok(options),
        None if is_near(&options) => Ok(options.ssl_mode(PgSslMode::Disable)),
        None => Ok(options.ssl_mode(PgSslMode::VerifyFull)),
    }
}

/// Whether what is sent stays on this machine.
fn is_near(options: &PgConnectOptions) -> bool {
    let host = options.get_host().trim_matches(['[', ']']);
    options.get_socket().is_some()
        || host == "localhost"
        || host.starts_with('/')
        || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_of_the_store_goes_over_verified_tls() {
        let mode = |url: &str| postgres_options(url).map(|options| format!("{:?}", options.get_ssl_mode())).unwrap_or_default();
        assert_eq!(mode("postgres://u:p@db.example.org/d"), "VerifyFull");
        assert_eq!(mode("postgres://u:p@10.1.2.3/d"), "VerifyFull");
        assert_eq!(mode("postgres://u:p@db.example.org/d?sslmode=require"), "Require");
        assert_eq!(mode("postgres://u:p@localhost/d?sslmode=verify-full"), "VerifyFull");
        for near in
            ["postgres://u:p@127.0.0.1/d", "postgres://u:p@localhost/d", "postgres://u:p@[::1]/d", "postgres:///d?host=/run/pg"]
        {
            assert_eq!(mode(near), "Disable", "{near}");
        }
        for weak in ["postgres://u:p@db.example.org/d?sslmode=prefer", "postgres://u:p@h/d?ssl-mode=allow", "mysql://u@h/d"] {
            assert_eq!(mode(weak), "", "{weak}");
        }
    }

    /// Every session of both pools: what a writer is promised is worth nothing if one of them is set otherwise.
    #[tokio::test]
    async fn every_session_of_the_embedded_store_is_durable() {
        let folder = tempfile::tempdir().expect("a folder");
        let (db, came_from) = sqlite(&folder.path().join("store.db")).await.expect("it opens");
        assert_eq!(came_from, 0);
        let Db::Sqlite { readers, writer } = &db else { panic!("the embedded store") };
        let mut sessions = vec![writer.acquire().await.expect("the writer")];
        for _ in 0..readers.options().get_max_connections() {
            sessions.push(readers.acquire().await.expect("a reader"));
        }
        for (number, session) in sessions.iter_mut().enumerate() {
            for (pragma, expected) in [
                ("PRAGMA journal_mode", "wal"),
                // FULL: a commit is synced before it is acknowledged.
                ("PRAGMA synchronous", "2"),
                ("PRAGMA foreign_keys", "1"),
                ("PRAGMA trusted_schema", "0"),
                ("PRAGMA secure_delete", "1"),
            ] {
                use sqlx::{Row as _, ValueRef as _};
                let row = sqlx::query(pragma).fetch_one(&mut **session).await.expect("it answers");
                let is_text = row.try_get_raw(0).is_ok_and(|value| value.type_info().to_string() == "TEXT");
                let said = if is_text { row.get::<String, _>(0) } else { row.get::<i64, _>(0).to_string() };
                assert_eq!(said, expected, "{pragma} of session {number}");
            }
            let written = sqlx::query("UPDATE change_clock SET tick = tick").execute(&mut **session).await;
            assert_eq!(written.is_ok(), number == 0, "one session writes, and no other: {written:?}");
        }
    }

    /// From 3.7.0 to 3.51.2 a reset of the WAL may lose a commit: <https://www.sqlite.org/wal.html#walresetbug>.
    #[tokio::test]
    async fn the_linked_sqlite_has_no_reset_bug() {
        let folder = tempfile::tempdir().expect("a folder");
        let (Db::Sqlite { writer, .. }, _) = sqlite(&folder.path().join("store.db")).await.expect("it opens") else {
            panic!("the embedded store")
        };
        let version: String = sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&writer).await.expect("it answers");
        let parts: Vec<u32> = version.split('.').map(|part| part.parse().expect("a number")).collect();
        assert!(parts >= vec![3, 51, 3], "{version} is linked; libsqlite3-sys 0.37 or newer brings 3.51.3 or newer");
    }

    #[test]
    fn the_file_is_for_its_user_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("store.db");
        fs::write(&path, "").expect("own folder");
        fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("own file");
        keep_private(&path).expect("own file");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
    }
}
