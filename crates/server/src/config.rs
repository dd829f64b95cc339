//! What the operator can set, one struct per concern. The shell fills it; nothing else in this crate reads the environment.

use std::{ffi::OsString, net::SocketAddr, num::NonZeroU32, path::PathBuf, str::FromStr, sync::Arc};

use anyhow::{Context as _, bail};
use dataflow_connectors::policy::{Cidr, DialPolicy};
use dataflow_model::Secret;

use crate::{audit::checkpoint, clock::SECOND, keys::KeySource, store::Location, throttle::Kind};

/// Most nodes that one data folder serves.
pub const NODES_MAX: usize = 64;

/// Where a service manager puts the credential of this name (systemd.exec(5), `$CREDENTIALS_DIRECTORY`).
///
/// # Errors
/// One sentence for the operator if there is no such folder, or the name is none.
pub fn credential(name: &str) -> anyhow::Result<PathBuf> {
    let folder = variable("CREDENTIALS_DIRECTORY").context(
        "The service manager gave no credentials: $CREDENTIALS_DIRECTORY is not set. --key-credential is for a systemd unit.",
    )?;
    if name.is_empty() || name.starts_with('.') || name.contains('/') {
        bail!("“{name}” cannot be the name of a credential.");
    }
    Ok(PathBuf::from(folder).join(name))
}

/// The file that `DATAFLOW_OIDC` names.
#[must_use]
pub fn oidc_file() -> Option<PathBuf> {
    variable("DATAFLOW_OIDC").filter(|path| !path.is_empty()).map(PathBuf::from)
}

#[expect(clippy::disallowed_methods, reason = "this is the config module")]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name)
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
    /// Reverse proxies that are believed about whom they ask for, in `X-Forwarded-For`.
    pub trusted_proxies: Vec<Cidr>,
}

impl PublicConfig {
    /// Whether people reach it over TLS, be it this server's own or a proxy's.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.tls.is_some() || self.public_url.as_deref().is_some_and(|url| url.starts_with("https://"))
    }
}

/// How the audit is kept.
#[derive(Debug, Clone, Default)]
pub struct AuditConfig {
    /// Whether a read of credentials is answered only once its event is on disk.
    pub is_strict: bool,
    /// Where checkpoints go, if anywhere.
    pub checkpoints: Option<checkpoint::Sink>,
    /// Leaves machine reads out, which is what the bench holds the product beside. Nothing that anybody can set leads here.
    pub is_off: bool,
    /// Leaves the counts of who uses what out, likewise.
    pub without_uses: bool,
}

/// So many in a second, and so many at once after a rest: `100:1000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub per_second: NonZeroU32,
    pub burst: NonZeroU32,
}

impl Rate {
    /// Microseconds in which one comes back into the bucket.
    pub(crate) fn each(self) -> i64 {
        (SECOND / i64::from(self.per_second.get())).max(1)
    }

    /// Microseconds in which an empty bucket is full again.
    pub(crate) fn room(self) -> i64 {
        self.each().saturating_mul(i64::from(self.burst.get()))
    }
}

impl FromStr for Rate {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        let number = |text: &str| text.parse::<NonZeroU32>().map_err(|_| LimitError);
        let (per_second, burst) = match text.split_once(':') {
            Some((per_second, burst)) => (number(per_second)?, number(burst)?),
            None => (number(text)?, number(text)?.saturating_mul(TEN)),
        };
        Ok(Self { per_second, burst })
    }
}

const TEN: NonZeroU32 = rate(10, 1).per_second;

const fn rate(per_second: u32, burst: u32) -> Rate {
    let number = "a rate of this file is not zero";
    Rate { per_second: NonZeroU32::new(per_second).expect(number), burst: NonZeroU32::new(burst).expect(number) }
}

/// One `--limit`: `changes=50`, `changes=50:500`, `changes=off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit(pub Kind, pub Option<Rate>);

/// A text that is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "write KIND=RATE, KIND=RATE:BURST or KIND=off; KIND is requests, changes, tests, strangers or address, and the others are whole numbers from 1"
)]
pub struct LimitError;

impl FromStr for Limit {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        let (kind, rate) = text.split_once('=').ok_or(LimitError)?;
        let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind).ok_or(LimitError)?;
        Ok(Self(kind, if rate == "off" { None } else { Some(rate.parse()?) }))
    }
}

/// How fast somebody may ask. `None`: as fast as he can.
#[derive(Debug, Clone)]
pub struct RateConfig {
    pub requests: Option<Rate>,
    pub changes: Option<Rate>,
    pub tests: Option<Rate>,
    pub strangers: Option<Rate>,
    pub address: Option<Rate>,
}

impl Default for RateConfig {
    /// What no honest use meets. What a valid token reads is answered out of memory, and not limited unless the operator says so.
    fn default() -> Self {
        Self {
            requests: None,
            changes: Some(rate(100, 1_000)),
            tests: Some(rate(10, 500)),
            strangers: Some(rate(10, 200)),
            address: None,
        }
    }
}

impl RateConfig {
    /// The default with these in its place; of two for one kind the last counts.
    #[must_use]
    pub fn with(limits: &[Limit]) -> Self {
        let mut rates = Self::default();
        for Limit(kind, rate) in limits {
            *match kind {
                Kind::Requests => &mut rates.requests,
                Kind::Changes => &mut rates.changes,
                Kind::Tests => &mut rates.tests,
                Kind::Strangers => &mut rates.strangers,
                Kind::Address => &mut rates.address,
            } = *rate;
        }
        rates
    }

    #[must_use]
    pub fn of(&self, kind: Kind) -> Option<Rate> {
        match kind {
            Kind::Requests => self.requests,
            Kind::Changes => self.changes,
            Kind::Tests => self.tests,
            Kind::Strangers => self.strangers,
            Kind::Address => self.address,
        }
    }
}

/// Most tests of connections that begin at a time for one caller, in one workspace, and on one node.
pub const TESTS_PER_CALLER: usize = 2;
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
    /// Of one caller, and of his that are under way, have moved aside or wait.
    pub per_caller: usize,
    pub line_per_caller: usize,
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
            per_caller: TESTS_PER_CALLER,
            line_per_caller: 8,
            per_workspace: TESTS_PER_WORKSPACE,
            per_node: TESTS_PER_NODE,
            slow_per_workspace: 12,
            slow_per_node: 32,
            per_address: 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read() {
        let limit = |text: &str| text.parse::<Limit>().ok();
        assert_eq!(limit("changes=50:500"), Some(Limit(Kind::Changes, Some(rate(50, 500)))));
        assert_eq!(limit("requests=50"), Some(Limit(Kind::Requests, Some(rate(50, 500)))));
        assert_eq!(limit("tests=off"), Some(Limit(Kind::Tests, None)));
        for wrong in [
            "",
            "changes",
            "changes=",
            "changes=0",
            "changes=5:0",
            "changes=-1",
            "changes=1.5",
            "colour=5",
            "Changes=5",
            "tests=on",
        ] {
            assert_eq!(limit(wrong), None, "{wrong}");
        }
        let limits = ["changes=1", "tests=off", "changes=7:9"].map(|text| text.parse().expect("a limit"));
        let rates = RateConfig::with(&limits);
        assert_eq!((rates.of(Kind::Changes), rates.of(Kind::Tests)), (Some(rate(7, 9)), None));
        assert_eq!(rates.of(Kind::Strangers), RateConfig::default().strangers);
    }
}
