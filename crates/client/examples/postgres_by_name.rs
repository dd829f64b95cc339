//! Opens a PostgreSQL connection by its name and reads the server's version.
//!
//! ```text
//! DATAFLOW_URL=http://127.0.0.1:8080 DATAFLOW_TOKEN=… cargo run -p dataflow-client --example postgres_by_name -- sales
//! ```
//!
//! Where the connection does not verify its server (`disable`, `require`), sqlx gives the password to whoever answers at the
//! address, in any form that he asks for it.

use std::io::Write as _;

use anyhow::{Context as _, bail};
use dataflow_client::{Client, ClientConfig, Explicit, Resolved, Workflow, WorkflowKind};
use sqlx::{
    ConnectOptions as _,
    postgres::{PgConnectOptions, PgSslMode},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let name = std::env::args().nth(1).context("Say the name of a connection.")?;
    let mut config = ClientConfig::discover(&Explicit::default())?;
    config.workflow = Some(Workflow::new(WorkflowKind::Script, "postgres_by_name"));
    let client = Client::new(config);

    // The client blocks, so a program that is busy with other things calls it on a thread for that.
    let found = tokio::task::spawn_blocking(move || client.credentials(&name)).await??;
    if found.base() != "postgres" {
        bail!("“{}” is of the type {}, not PostgreSQL.", found.name(), found.type_id());
    }
    let mut session = options(&found)?.connect().await?;
    let version: String = sqlx::query_scalar("SELECT version()").fetch_one(&mut session).await?;
    writeln!(std::io::stdout(), "{version}")?;
    Ok(())
}

/// The connection's fields by the names that sqlx has for them.
fn options(found: &Resolved) -> anyhow::Result<PgConnectOptions> {
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(found.expose_text("host").context("The connection has no host.")?)
        .port(found.integer("port").and_then(|port| u16::try_from(port).ok()).unwrap_or(5432))
        .username(found.expose_text("username").unwrap_or_default())
        .password(found.expose_text("password").unwrap_or_default())
        .ssl_mode(match found.expose_text("tls.mode") {
            Some("disable") => PgSslMode::Disable,
            Some("require") => PgSslMode::Require,
            // sqlx trusts the public authorities beside the connection's own, and any of them gives everybody a certificate.
            Some("verify-ca") => bail!("This example does not open connections whose TLS mode is verify-ca. Set verify-full."),
            _ => PgSslMode::VerifyFull,
        });
    if let Some(database) = found.expose_text("database") {
        options = options.database(database);
    }
    if let Some(authority) = found.expose_text("tls.ca") {
        options = options.ssl_root_cert_from_pem(authority.as_bytes().to_vec());
    }
    if let (Some(certificate), Some(key)) = (found.expose_text("tls.cert"), found.expose_text("tls.key")) {
        options = options.ssl_client_cert_from_pem(certificate).ssl_client_key_from_pem(key);
    }
    Ok(options)
}
