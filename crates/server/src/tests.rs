//! Runs tests of connections: how many at a time, with what policy, in which process.

mod places;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use dataflow_connectors::{
    AddressLists, DialPolicy, Message, Target,
    child::{DEADLINE, Pool, TestRequest},
    hops::Way,
};
use dataflow_model::{PublicFields, Secret, SecretFields, Step, TestReport};
use tokio::sync::mpsc::{Sender, channel};
use uuid::Uuid;

use self::places::{AtAddress, Place, Places};
use crate::{
    clock::Clock,
    config::TestConfig,
    error::{Error, Result},
    metrics::Metrics,
};

pub struct TestRunner {
    config: TestConfig,
    pool: Pool,
    metrics: Arc<Metrics>,
    places: Places,
}

/// What is tested, in clear. Who has the values alone asks [`crate::ops::hops`] for the way that they name.
pub struct Fields {
    pub public: PublicFields,
    pub secrets: SecretFields,
    pub way: Option<Arc<Way>>,
}

/// A test that has its place. It may begin once it is known what an owner lets tests reach; that is looked up only now, so that a test
/// that has waited is under no older rule.
pub struct PlacedTest(PlannedTest);

impl PlacedTest {
    #[must_use]
    pub fn within(mut self, set: AddressLists) -> PlannedTest {
        self.0.request.policy.set = set;
        self.0
    }
}

/// A test that may begin: it holds its place until it is over or dropped.
pub struct PlannedTest {
    request: TestRequest,
    pool: Pool,
    metrics: Arc<Metrics>,
    place: (Place, AtAddress),
}

impl PlannedTest {
    #[cfg(test)]
    pub fn policy(&self) -> &DialPolicy {
        &self.request.policy
    }

    /// The same, to hand a message over instead of testing.
    #[must_use]
    pub fn with_message(mut self, message: Message) -> Self {
        self.request.target.message = Some(message);
        self.request.deadline = DELIVERY;
        self
    }

    /// Runs it. Dropping the future cancels the test and ends its process.
    pub async fn run(self, steps: Sender<Step>) -> TestReport {
        let (began, connector) = (Instant::now(), self.request.connector.clone());
        let is_test = self.request.target.message.is_none();
        let (place, at_address) = self.place;
        let report = place.hold(self.pool.run(self.request, steps, at_address)).await;
        if is_test {
            self.metrics.test(&connector, report.status, began.elapsed());
        }
        report
    }

    /// Keeps its place for as many runs as `act` makes.
    pub async fn hold<T>(self, act: impl AsyncFnOnce(Runs) -> T) -> T {
        let (place, at_address) = self.place;
        let TestRequest { connector, target, policy, .. } = self.request;
        let (pool, metrics) = (self.pool, self.metrics);
        let runs =
            Runs { connector, public: target.public, way: target.way, policy, pool, metrics, at_address: Arc::new(at_address) };
        place.hold(act(runs)).await
    }
}

/// Runs of one connection's test under one place, and of what comes with them.
pub struct Runs {
    connector: String,
    public: PublicFields,
    way: Option<Arc<Way>>,
    policy: DialPolicy,
    pool: Pool,
    metrics: Arc<Metrics>,
    /// Each run keeps it until its process is gone.
    at_address: Arc<AtAddress>,
}

/// How long handing a message over may take: servers look at what they are sent before they say yes.
const DELIVERY: Duration = Duration::from_secs(40);

/// How long after it was noted that a server is asked to change a password it is told so at the latest: less than whoever is at it is taken to be at
/// it when he is not heard of.
const CHANGE_WITHIN: Duration = Duration::from_secs(5);

/// A password that a login is to have, and when it was noted that a server is asked for it.
pub struct NewPassword {
    pub password: Secret,
    pub told_at: i64,
}

impl Runs {
    /// Tests with these secrets, or gives the login that they sign in as a new password.
    pub async fn run(&self, clock: &Clock, secrets: SecretFields, new: Option<NewPassword>) -> TestReport {
        let began = Instant::now();
        let is_test = new.is_none();
        let change_by = new.as_ref().map(|new| time_at(new.told_at) + CHANGE_WITHIN);
        let new_password = new.map(|new| new.password);
        let request = TestRequest {
            connector: self.connector.clone(),
            target: Target {
                public: self.public.clone(),
                secrets,
                new_password,
                change_by,
                way: self.way.clone(),
                ..Target::default()
            },
            policy: self.policy.clone(),
            deadline: DEADLINE,
            from: "server".to_owned(),
            now: time_of(clock),
        };
        // The report has every step.
        let (steps, _) = channel(1);
        let report = self.pool.run(request, steps, self.at_address.clone()).await;
        if is_test {
            self.metrics.test(&self.connector, report.status, began.elapsed());
        }
        report
    }
}

fn time_of(clock: &Clock) -> SystemTime {
    time_at(clock.now())
}

fn time_at(micros: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(micros.unsigned_abs())
}

impl TestRunner {
    #[must_use]
    pub fn new(config: TestConfig, metrics: Arc<Metrics>) -> Self {
        let places = Places::new(&config.bounds);
        Self { config, pool: Pool::default(), metrics, places }
    }

    /// Starts the process that the first test will use. Needs a `main` that calls `child::enter` first.
    pub fn warm(&self) {
        if self.config.enabled {
            self.pool.warm();
        }
    }

    /// What tests may reach as far as whoever started the server says.
    #[must_use]
    pub fn configured(&self) -> &DialPolicy {
        &self.config.policy
    }

    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.config.enabled
    }

    /// Waits for a place, where one is to be hoped for.
    ///
    /// # Errors
    /// `TestsDisabled`; `TooManyRequests` of [`Places::take`].
    pub async fn plan(
        &self,
        (caller, workspace): (&str, Uuid),
        connector: &str,
        clock: &Clock,
        fields: Fields,
    ) -> Result<PlacedTest> {
        if !self.config.enabled {
            return Err(Error::TestsDisabled);
        }
        let asked = Instant::now();
        let place = self.places.take(caller, workspace, &fields.public).await?;
        self.metrics.test_waited(asked.elapsed());
        let Fields { public, secrets, way } = fields;
        let request = TestRequest {
            connector: connector.to_owned(),
            target: Target { public, secrets, way, file_folder: self.config.sqlite_folder.clone(), ..Target::default() },
            policy: self.config.policy.clone(),
            deadline: DEADLINE,
            from: "server".to_owned(),
            now: time_of(clock),
        };
        Ok(PlacedTest(PlannedTest { request, pool: self.pool.clone(), metrics: self.metrics.clone(), place }))
    }
}
