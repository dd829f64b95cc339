//! What the operator can set, one struct per concern. The shell fills it; nothing else in this crate reads the environment.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use anyhow::{Context as _, bail};
use dataflow_connectors::policy::DialPolicy;
use dataflow_model::Secret;

use crate::{keys::KeySource, store::Location};

/// Most nodes that one data folder serves.
pub const NODES_MAX: usize = 64;

/// Where a service manager puts the credential of this name (systemd.exec(5), `$CREDENTIALS_DIRECTORY`).
///
/// # Errors
/// One sentence for the operator if there is no such folder, or the name is none.
pub fn credential(name: &str) -> anyhow::Result<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "this is the config module")]
    let folder = std::env::var_os("CREDENTIALS_DIRECTORY").context(
        "The service manager gave no credentials: $CREDENTIALS_DIRECTORY is not set. --key-credential is for a systemd unit.",
    )?;
    if name.is_empty() || name.starts_with('.') || name.contains('/') {
        bail!("“{name}” cannot be the name of a credential.");
    }
    Ok(PathBuf::from(folder).join(name))
}

/// Where the store and its key are.
#[derive(Debug, Clone)]
pub struct DataConfig {
    /// The data folder: node state, and the store itself unless `database_url` is given.
    pub folder: PathBuf,
    /// `postgres://…`: the shared store. It may hold a password.
    pub database_url: Option<Arc<Secret>>,
    /// What opens the store's key ring; the key file `FOLDER.key` beside the folder unless given.
    pub key: Option<KeySource>,
}

impl DataConfig {
    #[must_use]
    pub fn location(&self) -> Location {
        match &self.database_url {
            Some(url) => Location::Postgres(Arc::clone(url)),
            None => Location::Sqlite(self.folder.join("store.db")),
        }
    }

    #[must_use]
    pub fn key(&self) -> KeySource {
        self.key.clone().unwrap_or_else(|| {
            let mut name = self.folder.file_name().unwrap_or_default().to_owned();
            name.push(".key");
            KeySource::File(self.folder.with_file_name(name))
        })
    }

    /// The state of one of the nodes that serve this folder, 1 to [`NODES_MAX`].
    #[must_use]
    pub fn node_folder(&self, node: usize) -> PathBuf {
        self.folder.join("nodes").join(node.to_string())
    }

    /// Where a node listens for shells. It is that node's alone, as its folder is.
    #[must_use]
    pub fn socket(&self, node: usize) -> PathBuf {
        if node == 1 { self.folder.join("admin.sock") } else { self.node_folder(node).join("admin.sock") }
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

/// Most tests of connections at a time in one workspace, and on one node.
pub const TESTS_PER_WORKSPACE: usize = 4;
pub const TESTS_PER_NODE: usize = 16;

/// What tests of connections may do.
#[derive(Debug, Clone)]
pub struct TestConfig {
    pub enabled: bool,
    pub policy: DialPolicy,
    /// The one folder that SQLite files of connections live under on this machine.
    pub sqlite_folder: Option<PathBuf>,
    pub bounds: TestBounds,
}

impl Default for TestConfig {
    fn default() -> Self {
        Self { enabled: true, policy: DialPolicy::default(), sqlite_folder: None, bounds: TestBounds::default() }
    }
}

/// How many tests may be under way at a time. Each is a process that needs about 10 MiB of memory and is refused more than 64.
#[derive(Debug, Clone)]
pub struct TestBounds {
    /// In one workspace, and on this node.
    pub per_workspace: usize,
    pub per_node: usize,
    /// Besides these: tests that have run for a second, most of which wait for a host that does not answer.
    pub slow_per_workspace: usize,
    pub slow_per_node: usize,
    /// In one workspace at one host and port, slow or not: as many as may run at all, so that a dead host fills no more than its share.
    pub per_address: usize,
}

impl Default for TestBounds {
    fn default() -> Self {
        Self {
            per_workspace: TESTS_PER_WORKSPACE,
            per_node: TESTS_PER_NODE,
            slow_per_workspace: 12,
            slow_per_node: 32,
            per_address: 4,
        }
    }
}
