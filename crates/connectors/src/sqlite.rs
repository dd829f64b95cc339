//! SQLite: one file, in the folder that this machine keeps for such files.

mod journal;

use std::{path::Path, time::Duration};

use dataflow_model::{StepName, TestError, TestStatus};
use futures_util::future::BoxFuture;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};

use crate::{Connector, Dialer, Outcome, Steps, Target, causes, connector::Farewell, files, scrub::printable};

/// The connector of SQLite.
pub struct Sqlite;

impl Connector for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn test<'a, 't: 'a>(
        &'a self,
        target: &'t Target,
        _dialer: &'a Dialer,
        steps: &'a mut Steps,
    ) -> BoxFuture<'a, Result<(Outcome, Farewell<'t>), TestError>> {
        Box::pin(test(target, steps))
    }
}

async fn test<'a>(target: &Target, steps: &mut Steps) -> Result<(Outcome, Farewell<'a>), TestError> {
    let file = target.text(causes::DATABASE);
    steps.begin(StepName::Resolve);
    let path = files::find_database(file, target.file_folder.as_deref())?;
    if journal::leads_elsewhere(&path) {
        return Err(causes::journal_leads_elsewhere(file));
    }
    steps.done(path.file_name().map(|name| printable(&name.to_string_lossy())));

    steps.begin(StepName::Reach);
    let mut connection = options(target, &path).connect().await.map_err(|error| refusal(&error, file))?;
    steps.done(None);
    steps.skip(StepName::Secure, "A file is not on a network".to_owned());
    steps.skip(StepName::SignIn, "A file has no password".to_owned());

    // SQLite reads the file's header only now.
    steps.begin(StepName::OpenDatabase);
    let version = ask(&mut connection, "SELECT sqlite_version() FROM (SELECT count(*) FROM pragma_schema_version)", file).await?;
    steps.done(None);

    steps.begin(StepName::Read);
    let tables = "SELECT CAST(count(*) AS TEXT) FROM sqlite_schema WHERE type IN ('table', 'view')";
    let tables = ask(&mut connection, tables, file).await?;
    steps.done(Some(match tables.as_str() {
        "0" => "The database is empty".to_owned(),
        "1" => "1 table or view".to_owned(),
        _ => format!("{tables} tables and views"),
    }));
    let farewell = Box::pin(async move { drop(connection.close().await) });
    Ok((Outcome { status: TestStatus::Ok, server_version: Some(format!("SQLite {version}")) }, farewell))
}

async fn ask(connection: &mut SqliteConnection, query: &'static str, file: &str) -> Result<String, TestError> {
    sqlx::query_scalar(query).fetch_one(connection).await.map_err(|error| refusal(&error, file))
}

fn options(target: &Target, path: &Path) -> SqliteConnectOptions {
    let mut options = SqliteConnectOptions::new().filename(path).create_if_missing(false);
    if let Some(milliseconds) = target.public.integer("extra.busy_timeout").and_then(|value| u64::try_from(value).ok()) {
        options = options.busy_timeout(Duration::from_millis(milliseconds));
    }
    if let Some(on) = target.public.boolean("extra.foreign_keys") {
        options = options.foreign_keys(on);
    }
    options
}

/// By SQLite's primary result code: <https://www.sqlite.org/rescode.html>.
fn refusal(error: &sqlx::Error, file: &str) -> TestError {
    let database = error.as_database_error();
    let code =
        database.and_then(sqlx::error::DatabaseError::code).and_then(|code| code.parse::<u32>().ok()).map(|code| code & 0xff);
    match code {
        // BUSY and LOCKED
        Some(5 | 6) => causes::file_busy(file),
        // CORRUPT and NOTADB
        Some(11 | 26) => causes::file_not_a_database(file, "an SQLite"),
        // PERM, READONLY, CANTOPEN, AUTH
        Some(3 | 8 | 14 | 23) => causes::file_unreadable(causes::DATABASE, file),
        _ => causes::server_error(&printable(&database.map_or_else(|| error.to_string(), |error| error.message().to_owned()))),
    }
}
