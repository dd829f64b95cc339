//! A real MySQL 9, unpacked beside the system by `tests/servers/mysql9.sh`: Debian's stable release has MariaDB only.

use std::{
    fs,
    ops::{Deref, DerefMut},
    path::{Path, PathBuf},
};

use crate::{
    environment,
    folder::{self, TempDir},
    mysql_protocol::{Launch, MySqlOptions, MySqlServer, Product},
    process::{Spawn, Stop},
};

/// A running MySQL 9.
#[derive(Debug)]
pub struct MySql(MySqlServer);

impl MySql {
    /// Starts a server in about a second: its data folder is a copy of one that was initialised before.
    ///
    /// # Panics
    /// If the server is not there or does not start. `make deps` fetches it: a test has no time to wait for a mirror.
    pub fn start(options: &MySqlOptions) -> Self {
        let root = unpacked();
        let mut spawn = server(&root).args(["--mysqlx=OFF", REDO_LOG]);
        if options.tls.is_none() {
            spawn = spawn.args(["--tls-version=", "--auto-generate-certs=OFF"]);
        }
        Self(MySqlServer::launch(Launch { product: Product::MySql, spawn, data: &initialised(&root), options }))
    }
}

impl Deref for MySql {
    type Target = MySqlServer;
    fn deref(&self) -> &MySqlServer {
        &self.0
    }
}

impl DerefMut for MySql {
    fn deref_mut(&mut self) -> &mut MySqlServer {
        &mut self.0
    }
}

/// The default of 100 MB would be copied for every server.
const REDO_LOG: &str = "--innodb-redo-log-capacity=8M";

fn unpacked() -> PathBuf {
    let root = environment::cache().join("mysql-9");
    assert!(root.join("usr/sbin/mysqld").is_file(), "MySQL 9 is not in {}; install with `make deps`", root.display());
    root
}

/// The server under the loader that it was unpacked with: the system's own C library may be older than it needs.
fn server(root: &Path) -> Spawn {
    let libraries = library_folder(root);
    let loader = find(&libraries, |name| name.starts_with("ld-linux"));
    let set = |option: &str, path: &str| format!("{option}={}", root.join(path).display());
    Spawn::new(loader, Stop::Kill)
        .arg("--library-path")
        .arg(&libraries)
        .arg(root.join("usr/sbin/mysqld"))
        .args(["--no-defaults".to_owned(), set("--basedir", "usr"), set("--plugin-dir", "usr/lib/mysql/plugin")])
        .args([set("--lc-messages-dir", "usr/share/mysql"), set("--character-sets-dir", "usr/share/mysql/charsets")])
        .arg("--secure-file-priv=NULL")
}

/// `usr/lib/x86_64-linux-gnu` or its like.
fn library_folder(root: &Path) -> PathBuf {
    find(&root.join("usr/lib"), |name| name.ends_with("-linux-gnu"))
}

fn find(folder: &Path, wanted: impl Fn(&str) -> bool) -> PathBuf {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names = entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(&wanted));
    names.next().unwrap_or_else(|| panic!("{} is not a complete MySQL; remove it", folder.display())).path()
}

fn initialised(root: &Path) -> PathBuf {
    folder::cached("mysql-9-data", |part| {
        let work = TempDir::new();
        let data = work.join("data");
        server(root)
            .unprivileged()
            .args(["--initialize-insecure".to_owned(), REDO_LOG.to_owned(), format!("--datadir={}", data.display())])
            .run();
        // The server's own identity, which each copy makes anew.
        let _ = fs::remove_file(data.join("auto.cnf"));
        folder::copy(&data, part);
    })
}

#[cfg(test)]
mod tests {
    use super::MySql;
    use crate::{
        mysql_protocol::{MySqlOptions, Plugin},
        tls::{Authority, ServerTls, Shape},
    };

    #[test]
    fn a_server_starts_and_has_accounts_of_both_kinds() {
        let server = MySql::start(&MySqlOptions::default());
        server.create_user("o'brien", "%", Plugin::CachingSha2, r"it's \ here");
        server.create_user("sheila", "127.0.0.1", Plugin::Sha256, "secret");
        server.grant("sa`les", "o'brien", "%");
        let version = server.sql("SELECT VERSION()");
        assert!(version.starts_with("9."), "{version}");
        assert_eq!(
            server.sql("SELECT User, plugin FROM mysql.user WHERE User IN ('o\\'brien', 'sheila') ORDER BY 1"),
            "o'brien\tcaching_sha2_password\nsheila\tsha256_password"
        );
    }

    #[test]
    fn a_server_offers_tls() {
        let tls = Some(ServerTls::new(Authority::new().server(Shape::Intermediate)));
        let server = MySql::start(&MySqlOptions { tls, flags: vec!["--max-connections=20".to_owned()] });
        assert_eq!(server.sql("SELECT @@max_connections"), "20");
        assert_eq!(server.sql("SHOW STATUS LIKE 'Ssl_version'"), "Ssl_version\tTLSv1.3");
    }
}
