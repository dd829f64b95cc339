//! The Python SDK beside SQLAlchemy alone. `sdk.py` measures, in the environment that `make bench` makes.

use std::{path::Path, process::Command};

use anyhow::{Context, ensure};
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;

use crate::{
    postgres::Postgres,
    report::{Line, Promise},
    server::{Server, create},
};

#[derive(Deserialize)]
struct Measured {
    sessions: Vec<Session>,
    imports: Imports,
}

/// Microseconds of one session; `ratio` is the median of those of single rounds.
#[derive(Deserialize)]
struct Session {
    name: String,
    ours: f64,
    theirs: f64,
    ratio: f64,
}

/// Milliseconds.
#[derive(Deserialize)]
struct Imports {
    dataflow: f64,
    sqlalchemy: f64,
}

pub fn measure(python: &Path, postgres: &Postgres) -> anyhow::Result<Vec<Line>> {
    let server = Server::start()?;
    let mut editor = server.client("editor", "editor")?;
    let files = TempDir::new()?;
    let file = files.path().join("bench.db");
    Connection::open(&file)?.execute_batch("CREATE TABLE bench (id INTEGER PRIMARY KEY)")?;
    create(&mut editor, &json!({"name": "sqlite", "type": "sqlite", "database": "bench.db"}))?;
    create(&mut editor, &postgres.connection("postgresql"))?;
    let output = Command::new(python)
        .args([concat!(env!("CARGO_MANIFEST_DIR"), "/sdk.py"), "postgresql", &postgres.url(), "sqlite"])
        .arg(format!("sqlite:///{}", file.display()))
        .env("DATAFLOW_URL", server.url())
        .env("DATAFLOW_TOKEN", server.token("user", "sdk")?)
        .env("DATAFLOW_SQLITE_DIR", files.path())
        .current_dir(files.path())
        .output()
        .with_context(|| format!("run {}", python.display()))?;
    ensure!(output.status.success(), "sdk.py failed: {}", String::from_utf8_lossy(&output.stderr));
    let measured: Measured = serde_json::from_slice(&output.stdout).context("read what sdk.py measured")?;
    let mut lines: Vec<_> = measured.sessions.into_iter().map(session).collect();
    let Imports { dataflow, sqlalchemy } = measured.imports;
    lines.push(
        Line::new("from dataflow.dataflow import Dataflow", dataflow, "ms", format!("import sqlalchemy {sqlalchemy:.0} ms"))
            .promise(Promise::Below(45.0)),
    );
    Ok(lines)
}

fn session(measured: Session) -> Line {
    let Session { name, ours, theirs, ratio } = measured;
    let beside = format!("Session on a cached engine {theirs:.0} µs");
    Line::new(format!("Dataflow().connection(…), SELECT 1, warm, {name}"), ours, "µs", beside)
        .promise_beside(ours / ratio, Promise::AtMost(1.15))
}
