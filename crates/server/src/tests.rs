//! Runs tests of connections: how many at a time, with what policy, in which process.

mod places;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use dataflow_connectors::{
    AddressLists, DialPolicy, Target,
    child::{DEADLINE, Pool, TestRequest},
};
use dataflow_model::{PublicFields, SecretFields, Step, TestReport};
use tokio::sync::mpsc::Sender;
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

    /// Runs it. Dropping the future cancels the test and ends its process.
    pub async fn run(self, steps: Sender<Step>) -> TestReport {
        let (began, connector) = (Instant::now(), self.request.connector.clone());
        let (place, at_address) = self.place;
        let report = place.hold(self.pool.run(self.request, steps, at_address)).await;
        self.metrics.test(&connector, report.status, began.elapsed());
        report
    }
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
        fields: (PublicFields, SecretFields),
    ) -> Result<PlacedTest> {
        if !self.config.enabled {
            return Err(Error::TestsDisabled);
        }
        let asked = Instant::now();
        let place = self.places.take(caller, workspace, &fields.0).await?;
        self.metrics.test_waited(asked.elapsed());
        let (public, secrets) = fields;
        let request = TestRequest {
            connector: connector.to_owned(),
            target: Target { public, secrets, file_folder: self.config.sqlite_folder.clone() },
            policy: self.config.policy.clone(),
            deadline: DEADLINE,
            from: "server".to_owned(),
            now: SystemTime::UNIX_EPOCH + Duration::from_micros(clock.now().unsigned_abs()),
        };
        Ok(PlacedTest(PlannedTest { request, pool: self.pool.clone(), metrics: self.metrics.clone(), place }))
    }
}
