//! What every connector is: the trait, what it is given and what it gives back.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use dataflow_model::{PublicFields, Secret, SecretFields, StepName, StepStatus, TestError, TestStatus, settle::is_loopback};
use futures_util::future::BoxFuture;

use tokio::time::error::Elapsed;

use crate::{
    Dialer, Steps, causes,
    hops::{Hop, Way},
    message::{Message, Messenger},
};

/// The field that a renewal renews.
pub const PASSWORD: &str = "password";
/// Where a connection says how many seconds connecting may take.
pub(crate) const CONNECT_TIMEOUT: &str = "extra.connect_timeout";

/// The time by this machine's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "a process that stood still, and a server that reads a signature, go by the machine's clock"
)]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// What a test is run against: every field of a connection, in clear.
#[derive(Debug, Default)]
pub struct Target {
    pub public: PublicFields,
    pub secrets: SecretFields,
    /// What the login's password is to be; then it is set instead of a test.
    pub new_password: Option<Secret>,
    /// From then on by this machine's clock no server is asked for that any more: whoever asks may have stood still, and somebody else may be at it.
    pub change_by: Option<SystemTime>,
    /// What is to be handed over; then that is done instead of a test.
    pub message: Option<Message>,
    /// Where this machine keeps the files that connections may name; `None` if it keeps none.
    pub file_folder: Option<PathBuf>,
    /// The way that it names.
    pub way: Option<Arc<Way>>,
}

impl Target {
    /// The steps of what is done with it.
    #[must_use]
    pub fn steps(&self) -> &'static [StepName] {
        match (&self.new_password, &self.message, self.way.is_some()) {
            (Some(_), _, false) => &StepName::RENEWAL,
            (Some(_), _, true) => &StepName::RENEWAL_THROUGH,
            (None, Some(_), false) => &StepName::DELIVERY,
            (None, Some(_), true) => &StepName::DELIVERY_THROUGH,
            (None, None, false) => &StepName::ALL,
            (None, None, true) => &StepName::ALL_THROUGH,
        }
    }

    /// Whether it is too late to ask for a change.
    pub(crate) fn is_late(&self) -> bool {
        self.change_by.is_some_and(|by| now() > by)
    }

    /// Whether nobody on the way can read what is sent: the server's certificate is verified, or it is this machine, or the one that a sealed way ends
    /// at. A verifier or a hash is no less than a password to whoever has seen a sign-in, too.
    pub(crate) fn is_unheard(&self, is_verified: bool) -> bool {
        let comes_out_there = || self.way.as_ref().is_none_or(|way| way.hop().is_ok_and(Hop::is_sealed));
        is_verified || is_loopback(self.text("host")) && comes_out_there()
    }

    /// The same with every secret once more.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let copied = self.secrets.0.iter().map(|(path, secret)| (path.clone(), secret.duplicate_secret()));
        Self { public: self.public.clone(), secrets: SecretFields(copied.collect()), way: self.way.clone(), ..Self::default() }
    }

    /// The same connection, signing in with another password.
    pub(crate) fn with_password(&self, password: &Secret) -> Self {
        let mut other = self.duplicate();
        other.secrets.0.insert(PASSWORD.into(), password.duplicate_secret());
        other
    }

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

    /// Who sets new passwords in this protocol, if anybody does.
    fn renewer(&self) -> Option<&dyn Renewer> {
        None
    }

    /// Who hands messages over in this protocol, if anybody does.
    fn messenger(&self) -> Option<&dyn Messenger> {
        None
    }
}

/// Gives a login a new password.
pub trait Renewer: Sync {
    /// Signs in as the connection does and gives the login that it signed in as the password `new`, telling `steps` of each of
    /// [`StepName::RENEWAL`]. What may not be changed, or could not be signed in with afterwards, is refused before anything is changed; and if
    /// nobody can sign in with the new password once it is set, the old one is set again.
    ///
    /// # Errors
    /// As [`Connector::test`]. [`dataflow_model::Cause::PasswordNotSet`]: the old password is in force. Another error in the step
    /// [`StepName::SetPassword`] says nothing of which one is; one in an earlier step, that nothing was sent that changes it.
    fn set_password<'a, 't: 'a>(
        &'a self,
        target: &'t Target,
        new: &'t Secret,
        dialer: &'a Dialer,
        steps: &'a mut Steps,
    ) -> BoxFuture<'a, Result<(Outcome, Farewell<'t>), TestError>>;
}

/// Pauses before each try to sign in: behind some names stand several servers, of which one may follow the others. No more of them: some
/// servers lock who has failed three times.
const TRIES: [Duration; 2] = [Duration::ZERO, Duration::from_millis(700)];
/// How long all of them may take.
const TRYING: Duration = Duration::from_secs(4);

/// Whether the server lets `target` in. What it refuses after the sign-in, for want of room say, is no answer to that.
pub(crate) async fn lets_in(connector: &dyn Connector, target: &Target, dialer: &Dialer) -> Result<(), TestError> {
    let mut refused = Err(causes::timed_out(StepName::SignIn));
    let tries = async {
        for pause in TRIES {
            tokio::time::sleep(pause).await;
            let is_in = Arc::new(AtomicBool::new(false));
            let noted = Arc::clone(&is_in);
            let mut steps = Steps::new(move |step| {
                noted.fetch_or(step.step == StepName::SignIn && step.status == StepStatus::Ok, Ordering::Relaxed);
            });
            match connector.test(target, dialer, &mut steps).await {
                Ok((_, farewell)) => {
                    farewell.await;
                    refused = Ok(());
                }
                Err(_) if is_in.load(Ordering::Relaxed) => refused = Ok(()),
                Err(error) => refused = Err(error),
            }
            if refused.is_ok() {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(TRYING, tries).await;
    refused
}
