//! What the operator can set, one struct per concern. The shell fills it; nothing else in this crate reads the environment.

use std::{net::SocketAddr, path::PathBuf};

use dataflow_connectors::policy::DialPolicy;

use crate::store::Location;

/// Where the store and its key are.
#[derive(Debug, Clone)]
pub struct DataConfig {
    /// The data folder: node state, and the store itself unless `database_url` is given.
    pub folder: PathBuf,
    /// `postgres://…`: the shared store.
    pub database_url: Option<String>,
    /// The key file; `FOLDER.key` beside the folder unless given.
    pub key_file: Option<PathBuf>,
}

impl DataConfig {
    #[must_use]
    pub fn location(&self) -> Location {
        match &self.database_url {
            Some(url) => Location::Postgres(url.clone()),
            None => Location::Sqlite(self.folder.join("store.db")),
        }
    }

    #[must_use]
    pub fn key_path(&self) -> PathBuf {
        self.key_file.clone().unwrap_or_else(|| {
            let mut name = self.folder.file_name().unwrap_or_default().to_owned();
            name.push(".key");
            self.folder.with_file_name(name)
        })
    }

    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join("admin.sock")
    }
}

/// How people and programs reach the server.
#[derive(Debug, Clone)]
pub struct PublicConfig {
    pub listen: SocketAddr,
    /// The address in links; `http://LISTEN` unless given.
    pub public_url: Option<String>,
    /// Certificate chain and private key, PEM files.
    pub tls: Option<(PathBuf, PathBuf)>,
}

/// What tests of connections may do.
#[derive(Debug, Clone)]
pub struct TestConfig {
    pub enabled: bool,
    pub policy: DialPolicy,
    /// The one folder that SQLite files of connections live under on this machine.
    pub sqlite_folder: Option<PathBuf>,
    /// Most tests at a time in one workspace, and on this node.
    pub per_workspace: usize,
    pub per_node: usize,
}

impl Default for TestConfig {
    fn default() -> Self {
        Self { enabled: true, policy: DialPolicy::default(), sqlite_folder: None, per_workspace: 4, per_node: 16 }
    }
}
