//! Runs tests of connections: how many at a time, with what policy, in which process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use dataflow_connectors::{
    Target,
    child::{DEADLINE, Pool, TestRequest},
};
use dataflow_model::{PublicFields, SecretFields, Step, TestReport};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc::Sender};
use uuid::Uuid;

use crate::{
    config::TestConfig,
    error::{Error, Result},
};

/// How long a test waits for a place before it is refused.
const WAIT: Duration = Duration::from_secs(5);

pub struct TestRunner {
    config: TestConfig,
    pool: Pool,
    node: Arc<Semaphore>,
    workspaces: Mutex<HashMap<Uuid, Arc<Semaphore>>>,
}

/// A test that may begin: it holds its place until it is over or dropped.
pub struct PlannedTest {
    request: TestRequest,
    pool: Pool,
    _places: [OwnedSemaphorePermit; 2],
}

impl PlannedTest {
    /// Runs it. Dropping the future cancels the test and ends its process.
    pub async fn run(self, steps: Sender<Step>) -> TestReport {
        self.pool.run(self.request, steps).await
    }
}

impl TestRunner {
    #[must_use]
    pub fn new(config: TestConfig) -> Self {
        let node = Arc::new(Semaphore::new(config.per_node));
        Self { config, pool: Pool::default(), node, workspaces: Mutex::default() }
    }

    /// Starts the process that the first test will use. Needs a `main` that calls `child::enter` first.
    pub fn warm(&self) {
        if self.config.enabled {
            self.pool.warm();
        }
    }

    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.config.enabled
    }

    /// Waits a moment for a place in the workspace and on the node.
    pub async fn plan(
        &self,
        workspace: Uuid,
        connector: &str,
        now: SystemTime,
        fields: (PublicFields, SecretFields),
    ) -> Result<PlannedTest> {
        if !self.config.enabled {
            return Err(Error::TestsDisabled);
        }
        let own = {
            let mut workspaces = self.workspaces.lock().unwrap_or_else(PoisonError::into_inner);
            workspaces.entry(workspace).or_insert_with(|| Arc::new(Semaphore::new(self.config.per_workspace))).clone()
        };
        let places = tokio::time::timeout(WAIT, async {
            Ok::<_, tokio::sync::AcquireError>([own.acquire_owned().await?, self.node.clone().acquire_owned().await?])
        });
        let places = places
            .await
            .map_err(|_| Error::TooManyRequests("Too many tests of connections are under way."))?
            .map_err(|error| Error::Internal(error.into()))?;
        let (public, secrets) = fields;
        let request = TestRequest {
            connector: connector.to_owned(),
            target: Target { public, secrets, file_folder: self.config.sqlite_folder.clone() },
            policy: self.config.policy.clone(),
            deadline: DEADLINE,
            from: "server".to_owned(),
            now,
        };
        Ok(PlannedTest { request, pool: self.pool.clone(), _places: places })
    }
}
