//! What the fixtures for MariaDB and MySQL share: options, accounts, SQL through the Unix socket.

use std::{ffi::OsString, path::Path};

use crate::{
    environment,
    folder::TempDir,
    port::Port,
    process::{Process, Spawn, Stop},
    tls::ServerTls,
};

/// How the server differs from a fresh one: no TLS, and no account but root on the socket.
#[derive(Debug, Default, Clone)]
pub struct MySqlOptions {
    pub tls: Option<ServerTls>,
    /// More options of the server, as on its command line: `--max-connections=1`.
    pub flags: Vec<String>,
}

/// How an account signs in. MySQL 9 and MariaDB 10.11 share none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plugin {
    /// MariaDB: SHA-1 challenge and response.
    NativePassword,
    /// MariaDB: signs the challenge.
    Ed25519,
    /// MySQL: SHA-256 challenge and response once the server has the password in its cache; before that, in full.
    CachingSha2,
    /// MySQL: the password in full each time, inside TLS or under the server's RSA key.
    Sha256,
}

/// A running MariaDB or MySQL, with what both are asked for.
#[derive(Debug)]
pub struct MySqlServer {
    process: Process,
    port: Port,
    pub(crate) folder: TempDir,
    product: Product,
    tls: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Product {
    MariaDb,
    MySql,
}

/// A server's command line up to the options that both share, and the data folder to copy.
pub(crate) struct Launch<'a> {
    pub product: Product,
    pub spawn: Spawn,
    pub data: &'a Path,
    pub options: &'a MySqlOptions,
}

impl MySqlServer {
    pub(crate) fn launch(launch: Launch<'_>) -> Self {
        let (folder, port) = (TempDir::new(), Port::free());
        let data = folder.join("data");
        crate::folder::copy(launch.data, &data);
        let mut spawn = launch
            .spawn
            .unprivileged()
            .args([
                option("--datadir=", &data),
                option("--socket=", &folder.join("s")),
                option("--pid-file=", &folder.join("pid")),
            ])
            .args(["--bind-address=127.0.0.1".to_owned(), format!("--port={}", port.number())])
            .args(["--skip-name-resolve", "--performance-schema=OFF", "--skip-log-bin", "--innodb-buffer-pool-size=24M"])
            // The data does not outlive the test, so nothing has to reach the disk.
            .args(["--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--innodb-doublewrite=OFF"]);
        if let Some(tls) = &launch.options.tls {
            let [certificate, key] = folder.write_identity(&tls.identity);
            spawn = spawn.args([option("--ssl-cert=", &certificate), option("--ssl-key=", &key)]);
            if let Some(authority) = &tls.client_authority {
                spawn = spawn.arg(option("--ssl-ca=", &folder.write_private("clients.crt", authority)));
            }
        }
        let mut process = spawn.args(&launch.options.flags).start(&folder.join("log"));
        let port_line = format!("port: {}", port.number());
        process.wait_until("the server", |process| {
            let log = process.log();
            log.lines().skip_while(|line| !line.contains("ready for connections")).any(|line| line.contains(&port_line))
        });
        Self { process, port, folder, product: launch.product, tls: launch.options.tls.is_some() }
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// Runs SQL as root through the Unix socket, inside TLS where the server has it; columns are parted by tabs, rows by line ends.
    ///
    /// # Panics
    /// If the SQL fails.
    pub fn sql(&self, sql: &str) -> String {
        self.sql_as("root", "", sql)
    }

    /// The same as another user, whose account must be open to `localhost`. MySQL then has the password in its cache: the
    /// socket counts as safe.
    ///
    /// # Panics
    /// If the sign-in or the SQL fails.
    pub fn sql_as(&self, user: &str, password: &str, sql: &str) -> String {
        let client = environment::program("the `mariadb` client", &["/usr/bin/mariadb"]);
        let out = Spawn::new(client, Stop::Kill)
            .args(["--no-defaults", "--batch", "--skip-column-names", "--default-character-set=utf8mb4"])
            .args([format!("--user={user}"), format!("--password={password}")])
            .args(self.tls.then_some("--ssl"))
            .args([option("--socket=", &self.folder.join("s")), "-e".into(), sql.into()])
            .run();
        out.trim_end().to_owned()
    }

    /// Makes the account `name`@`host`; `%` is any host.
    ///
    /// # Panics
    /// If this server does not know the plugin.
    pub fn create_user(&self, name: &str, host: &str, plugin: Plugin, password: &str) {
        let (account, password) = (account(name, host), literal(password));
        let how = match (self.product, plugin) {
            (Product::MariaDb, Plugin::NativePassword) => format!("VIA mysql_native_password USING PASSWORD({password})"),
            (Product::MariaDb, Plugin::Ed25519) => {
                self.sql("INSTALL PLUGIN IF NOT EXISTS ed25519 SONAME 'auth_ed25519'");
                format!("VIA ed25519 USING PASSWORD({password})")
            }
            (Product::MySql, Plugin::CachingSha2) => format!("WITH caching_sha2_password BY {password}"),
            (Product::MySql, Plugin::Sha256) => format!("WITH sha256_password BY {password}"),
            (product, plugin) => panic!("{product:?} has no {plugin:?}"),
        };
        self.sql(&format!("CREATE USER {account} IDENTIFIED {how}"));
    }

    /// Gives an account every right on one database, which is made if it does not exist.
    pub fn grant(&self, database: &str, name: &str, host: &str) {
        let (database, account) = (identifier(database), account(name, host));
        self.sql(&format!("CREATE DATABASE IF NOT EXISTS {database}; GRANT ALL ON {database}.* TO {account}"));
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The process, to be stopped or killed under a test.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

fn option(name: &str, path: &Path) -> OsString {
    let mut option = OsString::from(name);
    option.push(path);
    option
}

fn account(name: &str, host: &str) -> String {
    format!("{}@{}", literal(name), literal(host))
}

/// `text` as an SQL identifier.
pub fn identifier(text: &str) -> String {
    format!("`{}`", text.replace('`', "``"))
}

/// `text` as an SQL literal.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', "''"))
}
