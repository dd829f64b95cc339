//! A real MariaDB, from Debian's packages.

use std::{ops::Deref, ops::DerefMut, path::PathBuf};

use crate::{
    environment::program,
    folder::{self, TempDir},
    mysql_protocol::{Launch, MySqlOptions, MySqlServer, Product},
    process::{Spawn, Stop},
    tls::Identity,
};

/// A running MariaDB.
#[derive(Debug)]
pub struct MariaDb(MySqlServer);

impl MariaDb {
    /// Starts a server in about a second: its data folder is a copy of one that was initialised before.
    ///
    /// # Panics
    /// If MariaDB is not installed or does not start.
    pub fn start(options: &MySqlOptions) -> Self {
        let spawn = Spawn::new(installed(), Stop::Kill).arg("--no-defaults").arg(LOG_SIZE);
        Self(MySqlServer::launch(Launch { product: Product::MariaDb, spawn, data: &initialised(), options }))
    }

    /// Its version, as the installed package says: `10.11.14`.
    ///
    /// # Panics
    /// If MariaDB is not installed.
    pub fn version() -> String {
        // mariadbd  Ver 10.11.14-MariaDB-0+deb12u2 for debian-linux-gnu on x86_64 (Debian 12)
        let said = Spawn::new(installed(), Stop::Kill).arg("--version").run();
        let version = said.split_once("Ver ").and_then(|(_, rest)| rest.split('-').next());
        version.unwrap_or_else(|| panic!("{said}")).to_owned()
    }

    /// Shows another certificate to those who connect from now on. The server must have been started with one. (MySQL refuses
    /// to reload what it would start with, such as an expired certificate; there, start another server.)
    ///
    /// # Panics
    /// If the server does not take it.
    pub fn replace_certificate(&self, identity: &Identity) {
        self.folder.write_identity(identity);
        self.sql("FLUSH SSL");
    }
}

impl Deref for MariaDb {
    type Target = MySqlServer;
    fn deref(&self) -> &MySqlServer {
        &self.0
    }
}

impl DerefMut for MariaDb {
    fn deref_mut(&mut self) -> &mut MySqlServer {
        &mut self.0
    }
}

/// The default of 96 MB would be copied for every server.
const LOG_SIZE: &str = "--innodb-log-file-size=4M";

fn installed() -> PathBuf {
    program("MariaDB's server", &["/usr/sbin/mariadbd"])
}

fn initialised() -> PathBuf {
    folder::cached("mariadb-data", |part| {
        let work = TempDir::new();
        let data = work.join("data");
        Spawn::new(program("MariaDB's `mariadb-install-db`", &["/usr/bin/mariadb-install-db"]), Stop::Kill)
            .unprivileged()
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db", LOG_SIZE])
            .arg(format!("--datadir={}", data.display()))
            .run();
        folder::copy(&data, part);
    })
}

#[cfg(test)]
mod tests {
    use super::MariaDb;
    use crate::{
        mysql_protocol::{MySqlOptions, Plugin},
        tls::{Authority, ServerTls, Shape},
    };

    #[test]
    fn a_server_starts_and_has_accounts_of_both_kinds() {
        let server = MariaDb::start(&MySqlOptions::default());
        server.create_user("o'brien", "%", Plugin::NativePassword, r"it's \ here");
        server.create_user("edward", "127.0.0.1", Plugin::Ed25519, "secret");
        server.grant("sa`les", "o'brien", "%");
        let version = server.sql("SELECT VERSION()");
        assert!(version.contains("MariaDB"), "{version}");
        assert_eq!(
            server.sql("SELECT User, plugin FROM mysql.user WHERE User IN ('o\\'brien', 'edward') ORDER BY 1"),
            "edward\ted25519\no'brien\tmysql_native_password"
        );
        assert_eq!(server.sql("SELECT @@have_ssl"), "DISABLED");
    }

    #[test]
    fn a_server_offers_tls() {
        let tls = Some(ServerTls::new(Authority::new().server(Shape::Intermediate)));
        let server = MariaDb::start(&MySqlOptions { tls, flags: vec!["--max-connections=20".to_owned()] });
        assert_eq!(server.sql("SELECT @@max_connections"), "20");
        assert_eq!(server.sql("SHOW STATUS LIKE 'Ssl_version'"), "Ssl_version\tTLSv1.3");
    }
}
