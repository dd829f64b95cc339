//! A test of a connection, run in this process by the connector itself, against values that a test of ours has chosen.

use std::{
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use dataflow_connectors::{
    DialPolicy, Dialer, Outcome, Steps, Target, connector,
    dialer::Duplex,
    hops::{Hop, Way},
    tls::SystemRoots,
};
use dataflow_model::{FieldValue, Learned, Secret, Step, StepName, StepStatus, TestError};

/// Longest that any test may take, as on a server.
pub const DEADLINE: Duration = Duration::from_secs(10);

/// The fields of a connection to 127.0.0.1 without TLS, to be changed field by field.
#[derive(Debug)]
pub struct Connection {
    connector: &'static str,
    target: Target,
    deadline: Duration,
}

/// How a test of a connection ended.
#[derive(Debug)]
pub struct Tested {
    pub result: Result<Outcome, TestError>,
    pub steps: Vec<Step>,
    pub learned: Learned,
    pub duration: Duration,
}

impl Connection {
    pub fn new(connector: &'static str, port: u16) -> Self {
        let connection = Self { connector, target: Target::default(), deadline: DEADLINE };
        connection.set("host", "127.0.0.1").set("tls.mode", "disable").number("port", i64::from(port))
    }

    #[must_use]
    pub fn set(mut self, path: &str, value: &str) -> Self {
        self.target.public.0.insert(path.into(), FieldValue::Text(value.to_owned()));
        self
    }

    #[must_use]
    pub fn number(mut self, path: &str, value: i64) -> Self {
        self.target.public.0.insert(path.into(), FieldValue::Integer(value));
        self
    }

    /// Switches a setting on.
    #[must_use]
    pub fn on(mut self, path: &str) -> Self {
        self.target.public.0.insert(path.into(), FieldValue::Boolean(true));
        self
    }

    #[must_use]
    pub fn secret(mut self, path: &str, value: &str) -> Self {
        self.target.secrets.0.insert(path.into(), Secret::new(value.to_owned()));
        self
    }

    #[must_use]
    pub fn user(self, username: &str, password: &str) -> Self {
        self.set("username", username).secret("password", password)
    }

    /// The dialer gives up this early. The rest of the test still has until [`DEADLINE`].
    #[must_use]
    pub fn within(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// On a machine that keeps its files in `folder`.
    #[must_use]
    pub fn in_folder(mut self, folder: &Path) -> Self {
        self.target.file_folder = Some(folder.to_owned());
        self
    }

    /// Verified TLS against `authority`, under the name `localhost`.
    #[must_use]
    pub fn verified(self, authority: &str) -> Self {
        self.set("host", "localhost").set("tls.mode", "verify-full").set("tls.ca", authority)
    }

    /// Whoever asks is so late that nothing is changed any more.
    #[must_use]
    pub fn too_late(mut self) -> Self {
        self.target.change_by = Some(SystemTime::UNIX_EPOCH);
        self
    }

    /// Gives the login a new password instead, and signs in with that from then on if it worked.
    ///
    /// # Panics
    /// As [`Connection::test`].
    pub async fn renew(&mut self, new: &str) -> Tested {
        self.target.new_password = Some(Secret::new(new.to_owned()));
        let renewed = self.test().await;
        let new = self.target.new_password.take().expect("just put there");
        if renewed.result.is_ok() {
            self.target.secrets.0.insert("password".into(), new);
        }
        renewed
    }

    /// The way through it, where it is called `bastion`.
    #[must_use]
    pub fn as_way(&self) -> Arc<Way> {
        let (name, connector) = ("bastion".to_owned(), self.connector.to_owned());
        Arc::new(Way::Through(Box::new(Hop { name, connector, target: self.target.duplicate() })))
    }

    /// Goes through `hop`.
    #[must_use]
    pub fn through(mut self, hop: &Self) -> Self {
        self.target.way = Some(hop.as_way());
        self
    }

    /// Goes through it to somewhere else.
    ///
    /// # Errors
    /// It does not lead there.
    pub async fn lead_to(&self, host: &str, port: u16) -> Result<Box<dyn Duplex>, TestError> {
        let policy = DialPolicy { allow_loopback: true, ..DialPolicy::default() };
        let dialer = Dialer::new(policy, Instant::now() + self.deadline, SystemRoots::unread());
        dialer.by(Some(self.as_way())).dial(host, port, &mut Steps::new(|_| {})).await
    }

    /// Runs the test under the deadline that a server sets.
    ///
    /// # Panics
    /// If the connector does not exist, or does not end by itself within [`DEADLINE`].
    pub async fn test(&self) -> Tested {
        let told = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&told);
        let mut steps = Steps::of(self.target.steps(), move |step| sink.lock().expect("not poisoned").push(step));
        let begun = Instant::now();
        let policy = DialPolicy { allow_loopback: true, ..DialPolicy::default() };
        let dialer = Dialer::new(policy, begun + self.deadline, SystemRoots::unread()).by(self.target.way.clone());
        let connector = connector(self.connector).unwrap_or_else(|| panic!("there is no connector {}", self.connector));
        let test = match &self.target.new_password {
            None => connector.test(&self.target, &dialer, &mut steps),
            Some(new) => {
                let renewer = connector.renewer().unwrap_or_else(|| panic!("{} sets no passwords", self.connector));
                renewer.set_password(&self.target, new, &dialer, &mut steps)
            }
        };
        let ended = tokio::time::timeout(DEADLINE, test).await.unwrap_or_else(|_| panic!("the test did not end by itself"));
        let result = match ended {
            Ok((outcome, farewell)) => {
                steps.skip_rest();
                farewell.await;
                Ok(outcome)
            }
            Err(error) => {
                steps.fail();
                Err(error)
            }
        };
        let learned = std::mem::take(&mut steps.learned);
        drop(steps);
        let steps = std::mem::take(&mut *told.lock().expect("not poisoned"));
        Tested { result, steps, learned, duration: begun.elapsed() }
    }
}

impl Tested {
    /// The error of a test that must fail.
    ///
    /// # Panics
    /// If it did not fail, or if a secret of `planted` is in anything that it says.
    pub fn error(&self, planted: &str) -> &TestError {
        let all = format!("{self:?}");
        assert!(!all.contains(planted), "the planted secret is in the report: {all}");
        self.result.as_ref().expect_err("this test must fail")
    }

    /// The outcome of a test that must not fail.
    ///
    /// # Panics
    /// If it failed.
    pub fn outcome(&self) -> &Outcome {
        self.result.as_ref().unwrap_or_else(|error| panic!("{error:?}\n{:?}", self.steps))
    }

    /// The step that failed, if one did.
    pub fn failed_step(&self) -> Option<StepName> {
        self.steps.iter().find(|step| step.status == StepStatus::Failed).map(|step| step.step)
    }
}
