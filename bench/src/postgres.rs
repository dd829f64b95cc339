//! A PostgreSQL of this machine's own, as Debian installs it, with passwords by SCRAM.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_postgres::{Config, NoTls};

use crate::server::free_port;

const USER: &str = "bench";
const PASSWORD: &str = "not-a-secret";
/// `nobody` on Debian: PostgreSQL refuses to run as root.
const UNPRIVILEGED: u32 = 65_534;

/// A running server, ended when dropped.
pub struct Postgres {
    folder: TempDir,
    port: u16,
}

impl Postgres {
    pub fn start() -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let password = folder.path().join("password");
        fs::write(&password, PASSWORD)?;
        if is_root()? {
            fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700))?;
            for path in [folder.path(), &password] {
                chown(path, Some(UNPRIVILEGED), Some(UNPRIVILEGED))?;
            }
        }
        let port = free_port()?;
        let data = folder.path().join("data");
        run(program("initdb")?
            .args([
                "--no-sync",
                "--no-instructions",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--auth=scram-sha-256",
                "--username",
                USER,
            ])
            .arg("--pwfile")
            .arg(&password)
            .arg("-D")
            .arg(&data))?;
        let settings = format!("-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories=");
        let postgres = Self { folder, port };
        run(program("pg_ctl")?
            .args(["--silent", "--wait", "start", "-o", &settings, "-l"])
            .arg(postgres.folder.path().join("log"))
            .arg("-D")
            .arg(&data))?;
        Ok(postgres)
    }

    /// The connection `name` to this server, as the API takes it.
    pub fn connection(&self, name: &str) -> Value {
        json!({
            "name": name, "type": "postgres", "host": "127.0.0.1", "port": self.port, "database": "postgres", "username": USER,
            "password": PASSWORD, "tls": {"mode": "disable"}
        })
    }

    /// What `sqlalchemy.create_engine` takes.
    pub fn url(&self) -> String {
        format!("postgresql+psycopg://{USER}:{PASSWORD}@127.0.0.1:{}/postgres", self.port)
    }

    /// How many sessions of clients there are beside the one that asks.
    pub async fn sessions(&self) -> anyhow::Result<usize> {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user(USER).password(PASSWORD).dbname("postgres");
        let (client, connection) = config.connect(NoTls).await?;
        tokio::spawn(connection);
        let sql = "SELECT 1 FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
        Ok(client.query(sql, &[]).await?.len())
    }

    /// Connects, signs in, reads `SELECT 1`, and says goodbye; how long that took, in milliseconds.
    pub async fn connect_and_select(&self) -> anyhow::Result<f64> {
        let begun = Instant::now();
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user(USER).password(PASSWORD).dbname("postgres");
        let (client, connection) = config.connect(NoTls).await?;
        let connection = tokio::spawn(connection);
        let rows = client.simple_query("SELECT 1").await?;
        ensure!(rows.len() > 1, "SELECT 1 gave no row");
        drop(client);
        connection.await??;
        Ok(begun.elapsed().as_secs_f64() * 1000.0)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Ok(mut command) = program("pg_ctl") {
            // One that never started has nothing to stop.
            let _ = run(command.args(["--silent", "--mode=immediate", "stop", "-D"]).arg(self.folder.path().join("data")));
        }
    }
}

fn is_root() -> anyhow::Result<bool> {
    Ok(fs::metadata("/proc/self")?.uid() == 0)
}

/// A program of the newest PostgreSQL that is installed, run as `nobody` where this is root.
fn program(name: &str) -> anyhow::Result<Command> {
    let mut found: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin").join(name))
        .collect();
    found.retain(|path| path.is_file());
    found.sort();
    let Some(path) = found.pop() else { bail!("PostgreSQL is missing. Run `make deps`, then try again.") };
    let mut command = if is_root()? { as_nobody(&path) } else { Command::new(path) };
    command.current_dir("/");
    Ok(command)
}

fn as_nobody(path: &Path) -> Command {
    let id = UNPRIVILEGED.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"]).arg(path);
    command
}

/// The server that `pg_ctl` leaves behind would hold a pipe open, so its output is not read.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let status =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().context("run a PostgreSQL program")?;
    ensure!(status.success(), "{command:?} failed, {status}");
    Ok(())
}
