//! Opens a PostgreSQL connection by its name and reads the server's version.
//!
//! ```text
//! DATAFLOW_URL=http://127.0.0.1:8080 DATAFLOW_TOKEN=… cargo run -p dataflow-client --example postgres_by_name -- sales
//! ```
//!
//! For brevity it opens only connections whose TLS mode is `disable`; give `tokio_postgres` a TLS connector for the others.

use std::io::Write as _;

use anyhow::{Context as _, bail};
use dataflow_client::{Client, ClientConfig, Explicit, Workflow, WorkflowKind};
use tokio_postgres::{Config, NoTls};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let name = std::env::args().nth(1).context("Say the name of a connection.")?;
    let mut config = ClientConfig::discover(Explicit::default())?;
    config.workflow = Some(Workflow { kind: WorkflowKind::Script, name: "postgres_by_name".to_owned(), run: None });
    let client = Client::new(config);

    // The client blocks, so a program that is busy with other things calls it on a thread for that.
    let found = tokio::task::spawn_blocking(move || client.credentials(&name)).await??;
    if found.base() != "postgres" {
        bail!("“{}” is of the type {}, not PostgreSQL.", found.name(), found.type_id());
    }
    if found.expose_text("tls.mode") != Some("disable") {
        bail!("This example opens connections without TLS only.");
    }

    let mut postgres = Config::new();
    postgres
        .host(found.expose_text("host").context("The connection has no host.")?)
        .port(found.integer("port").and_then(|port| u16::try_from(port).ok()).unwrap_or(5432))
        .user(found.expose_text("username").unwrap_or_default())
        .password(found.expose_text("password").unwrap_or_default())
        .connect_timeout(std::time::Duration::from_secs(10));
    if let Some(database) = found.expose_text("database") {
        postgres.dbname(database);
    }
    let (session, connection) = postgres.connect(NoTls).await?;
    tokio::spawn(connection);
    let version: String = session.query_one("SELECT version()", &[]).await?.get(0);
    writeln!(std::io::stdout(), "{version}")?;
    Ok(())
}
