//! What every connector is: the trait, what it is given and what it gives back.

use std::{path::PathBuf, time::Duration};

use dataflow_model::{PublicFields, SecretFields, TestError, TestStatus};
use futures_util::future::BoxFuture;

use tokio::time::error::Elapsed;

use crate::{Dialer, Steps};

/// Where a connection says how many seconds connecting may take.
pub(crate) const CONNECT_TIMEOUT: &str = "extra.connect_timeout";

/// What a test is run against: every field of a connection, in clear.
#[derive(Debug, Default)]
pub struct Target {
    pub public: PublicFields,
    pub secrets: SecretFields,
    /// Where this machine keeps the files that connections may name; `None` if it keeps none.
    pub file_folder: Option<PathBuf>,
}

impl Target {
    /// The text at `path`; empty if it is unset.
    #[must_use]
    pub fn text(&self, path: &str) -> &str {
        self.public.text(path).unwrap_or_default()
    }

    /// The secret at `path` in clear; empty if it is unset.
    #[must_use]
    pub fn expose_secret(&self, path: &str) -> &str {
        self.secrets.get(path).map(dataflow_model::Secret::expose_secret).unwrap_or_default()
    }

    /// The port, or the one that the protocol usually has.
    #[must_use]
    pub fn port(&self, usual: u16) -> u16 {
        self.public.integer("port").and_then(|port| u16::try_from(port).ok()).unwrap_or(usual)
    }

    /// The number at `path`, which is in seconds.
    #[must_use]
    pub fn seconds(&self, path: &str) -> Option<Duration> {
        self.public.integer(path).and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs)
    }

    /// `connecting`, for as long as the connection's own settings allow for it: the work would give up then, so the test does.
    pub(crate) async fn connect_in_time<T>(&self, connecting: impl Future<Output = T>) -> Result<T, Elapsed> {
        match self.seconds(CONNECT_TIMEOUT) {
            Some(limit) => tokio::time::timeout(limit, connecting).await,
            None => Ok(connecting.await),
        }
    }
}

/// A test that did not fail.
#[derive(Debug)]
pub struct Outcome {
    /// `Ok` or `Unproven`, never `Failed`: a failure is the error.
    pub status: TestStatus,
    /// What the server says it is, scrubbed: `PostgreSQL 15.18`.
    pub server_version: Option<String>,
}

/// Takes leave of the server. No report waits for it: a server that is told goodbye is busy with that first.
pub type Farewell<'t> = BoxFuture<'t, ()>;

/// The code that speaks one protocol.
pub trait Connector: Sync {
    /// The name that catalogue entries give it in `connector`.
    fn name(&self) -> &'static str;

    /// Connects, signs in, opens the database and reads, telling `steps` of each.
    ///
    /// It need not watch the time: the caller ends it at the deadline. All text of the other side must go through
    /// [`crate::scrub::Scrubber`] before it is in a step, the outcome or the error.
    ///
    /// # Errors
    /// The error is of the step that `steps` is in.
    fn test<'a, 't: 'a>(
        &'a self,
        target: &'t Target,
        dialer: &'a Dialer,
        steps: &'a mut Steps,
    ) -> BoxFuture<'a, Result<(Outcome, Farewell<'t>), TestError>>;
}
