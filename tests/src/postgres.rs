//! A real PostgreSQL, from Debian's packages.

use std::{fmt::Write as _, fs, path::PathBuf};

use crate::{
    folder::{self, TempDir},
    port::Port,
    process::{Process, Spawn, Stop},
    tls::{Identity, ServerTls},
};

/// The superuser of every server. Through the Unix socket it needs no password.
pub const SUPERUSER: &str = "postgres";
/// Its password over TCP.
pub const SUPERUSER_PASSWORD: &str = "only-for-tests";

/// How the server differs from a fresh one: SCRAM for everybody over TCP, no TLS, 100 connections.
#[derive(Debug, Default, Clone)]
pub struct PostgresOptions {
    pub tls: Option<ServerTls>,
    /// Lines of `pg_hba.conf` that come before the rule for everybody.
    pub hba: Vec<String>,
    pub max_connections: Option<u16>,
    /// More settings, as in `postgresql.conf`: name and value, quoted where needed.
    pub settings: Vec<(String, String)>,
    /// It waits for more of another server's log, which never comes, and lets nobody in meanwhile.
    pub recovers: bool,
}

/// A running server.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    port: Port,
    folder: TempDir,
}

impl Postgres {
    /// Starts a server in about a second: its data folder is a copy of one that was initialised before.
    ///
    /// # Panics
    /// If PostgreSQL is not installed or does not start.
    pub fn start(options: &PostgresOptions) -> Self {
        let (folder, port) = (TempDir::new(), Port::free());
        let data = folder.join("data");
        folder::copy(&initialised(), &data);
        let mut hba = format!("local all {SUPERUSER} trust\n");
        for line in options.hba.iter().map(String::as_str).chain(["host all all 127.0.0.1/32 scram-sha-256"]) {
            let _ = writeln!(hba, "{line}");
        }
        fs::write(data.join("pg_hba.conf"), hba).expect("own folder");
        if options.recovers {
            fs::write(data.join("standby.signal"), "").expect("own folder");
        }
        fs::write(data.join("postgresql.auto.conf"), settings(options, &folder, &port)).expect("own folder");
        let mut process =
            Spawn::new(program("postgres"), Stop::Quit).unprivileged().arg("-D").arg(&data).start(&folder.join("log"));
        let wanted = if options.recovers { "standby" } else { "ready" };
        let pid_file = data.join("postmaster.pid");
        process.wait_until("PostgreSQL", |_| {
            fs::read_to_string(&pid_file).is_ok_and(|text| text.lines().nth(7).is_some_and(|status| status.trim() == wanted))
        });
        Self { process, port, folder }
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Runs SQL as the superuser in the database `postgres`; columns are parted by `|`, rows by line ends.
    ///
    /// # Panics
    /// If the SQL fails.
    pub fn psql(&self, sql: &str) -> String {
        self.psql_in("postgres", sql)
    }

    /// The same in another database.
    ///
    /// # Panics
    /// If the SQL fails.
    pub fn psql_in(&self, database: &str, sql: &str) -> String {
        self.to_run(database, sql).run().trim_end().to_owned()
    }

    fn to_run(&self, database: &str, sql: &str) -> Spawn {
        let port = self.port().to_string();
        let words = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", SUPERUSER, "-d", database, "-p", &port];
        let rest = ["-h".into(), self.folder.path().as_os_str().to_owned(), "-c".into(), sql.into()];
        Spawn::new(program("psql"), Stop::Kill).args(words).args(rest)
    }

    /// Has another session keep tables of the database `postgres` to itself (`ACCESS EXCLUSIVE`) until what this gives is dropped.
    ///
    /// # Panics
    /// If it does not get them.
    pub fn lock(&self, tables: &str) -> Locked<'_> {
        // Where both wait for each other, the other one gives way, which looks for that after a second.
        let sql =
            format!("SET deadlock_timeout = '100s'; BEGIN; LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600)");
        let mut session = self.to_run("postgres", &sql).start(&self.folder.join("lock-log"));
        let asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        session.wait_until("a session with the tables locked", |_| self.psql(asleep) == "1");
        Locked { postgres: self, _session: session }
    }

    /// Makes a role that may log in.
    pub fn create_role(&self, name: &str, password: &str) {
        self.psql(&format!("CREATE ROLE {} LOGIN PASSWORD {}", identifier(name), literal(password)));
    }

    /// Makes a database.
    pub fn create_database(&self, name: &str, owner: &str) {
        self.psql(&format!("CREATE DATABASE {} OWNER {}", identifier(name), identifier(owner)));
    }

    /// A URL for the superuser in `database`, over TCP.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{SUPERUSER}:{SUPERUSER_PASSWORD}@127.0.0.1:{}/{database}", self.port())
    }

    /// Shows another certificate to those who connect from now on. The server must have been started with one.
    ///
    /// # Panics
    /// If the server does not take it.
    pub fn replace_certificate(&mut self, identity: &Identity) {
        self.folder.write_identity(identity);
        let reloads = |process: &Process| process.log().matches("reloading configuration files").count();
        let before = reloads(&self.process);
        self.psql("SELECT pg_reload_conf()");
        // It accepts nobody between this line of its log and the end of the reload.
        self.process.wait_until("PostgreSQL's new certificate", |process| reloads(process) > before);
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Its first process and all that it started, which serve one session each, or write.
    ///
    /// # Panics
    /// If /proc cannot be read.
    pub fn processes(&self) -> Vec<u32> {
        let first = self.process.id();
        let children = fs::read_to_string(format!("/proc/{first}/task/{first}/children")).expect("proc(5)");
        std::iter::once(first).chain(children.split_whitespace().filter_map(|child| child.parse().ok())).collect()
    }

    /// The process, to be stopped or killed under a test.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// Tables that nobody else comes at.
#[derive(Debug)]
pub struct Locked<'p> {
    postgres: &'p Postgres,
    _session: Process,
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // Without its client it would sleep on.
        self.postgres.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
    }
}

/// `text` as an SQL identifier.
pub fn identifier(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// `text` as an SQL literal.
pub fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

fn settings(options: &PostgresOptions, folder: &TempDir, port: &Port) -> String {
    let mut text = format!(
        "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{}'\nfsync = off\nshared_buffers = 16MB\n\
         dynamic_shared_memory_type = mmap\nmax_connections = {}\n",
        port.number(),
        folder.path().display(),
        options.max_connections.unwrap_or(100),
    );
    if let Some(tls) = &options.tls {
        let [certificate, key] = folder.write_identity(&tls.identity);
        let _ = write!(text, "ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\n", certificate.display(), key.display());
        if let Some(authority) = &tls.client_authority {
            let _ = writeln!(text, "ssl_ca_file = '{}'", folder.write_private("clients.crt", authority).display());
        }
    }
    for (name, value) in &options.settings {
        let _ = writeln!(text, "{name} = {value}");
    }
    text
}

/// The newest PostgreSQL of Debian's that is installed.
fn program(name: &str) -> PathBuf {
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path().join("bin").join(name))
        .filter(|path| path.is_file())
        .collect();
    versions.sort();
    versions.pop().unwrap_or_else(|| panic!("PostgreSQL's `{name}` is not in /usr/lib/postgresql; install with `make deps`"))
}

/// Its version, as Debian's package says: `15.14`.
///
/// # Panics
/// If PostgreSQL is not installed.
pub fn version() -> String {
    // postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)
    let said = Spawn::new(program("postgres"), Stop::Kill).arg("--version").run();
    said.split_whitespace().nth(2).unwrap_or_else(|| panic!("{said}")).to_owned()
}

fn initialised() -> PathBuf {
    let server = program("postgres");
    // /usr/lib/postgresql/15/bin/postgres: another version does not open this one's data.
    let version = server.iter().rev().nth(2).unwrap_or_default().to_string_lossy();
    folder::cached(&format!("postgres-{version}-data"), |part| {
        let work = TempDir::new();
        let password = work.write_private("password", SUPERUSER_PASSWORD);
        let data = work.join("data");
        Spawn::new(program("initdb"), Stop::Kill)
            .unprivileged()
            .args(["--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C.UTF-8", "--auth=scram-sha-256"])
            .args([format!("--username={SUPERUSER}"), format!("--pwfile={}", password.display())])
            .arg("-D")
            .arg(&data)
            .run();
        folder::copy(&data, part);
    })
}

#[cfg(test)]
mod tests {
    use super::{Postgres, PostgresOptions, version};
    use crate::tls::{Authority, ServerTls, Shape};

    #[test]
    fn a_server_starts_answers_and_leaves_nothing() {
        let server = Postgres::start(&PostgresOptions::default());
        let (folder, id) = (server.folder.path().to_path_buf(), server.process.id());
        server.create_role("o'brien", r"it's \ here");
        server.create_database("sales", "o'brien");
        let said = server.psql_in("sales", "SELECT 1, split_part(current_setting('server_version'), ' ', 1)");
        assert_eq!(said, format!("1|{}", version()));
        drop(server);
        assert!(!folder.exists());
        assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    }

    #[test]
    fn a_server_offers_tls_and_other_settings() {
        let tls = ServerTls::new(Authority::new().server(Shape::Good));
        let options = PostgresOptions {
            tls: Some(tls),
            max_connections: Some(7),
            settings: vec![("statement_timeout".to_owned(), "1234".to_owned())],
            ..PostgresOptions::default()
        };
        let server = Postgres::start(&options);
        assert_eq!(server.psql("SHOW ssl; SHOW max_connections; SHOW statement_timeout"), "on\n7\n1234ms");
    }
}
