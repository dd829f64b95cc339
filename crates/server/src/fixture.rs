//! An [`App`] of its own for each test, on either store.

use std::{ops::Deref, sync::Arc};

use dataflow_tests::postgres::{Postgres, PostgresOptions};

use dataflow_model::Secret;

use crate::{
    app::{App, AppConfig},
    config::{AuditConfig, DataConfig, RateConfig, TestConfig},
};

/// An app on an empty store, which ends with it.
pub struct TestApp {
    app: Arc<App>,
    config: AppConfig,
    _folder: tempfile::TempDir,
    postgres: Option<Postgres>,
}

impl TestApp {
    pub async fn on_sqlite() -> Self {
        Self::open(None).await
    }

    /// On a PostgreSQL of its own, where writers do not queue.
    pub async fn on_postgres() -> Self {
        Self::open(Some(Postgres::start(&PostgresOptions::default()))).await
    }

    async fn open(postgres: Option<Postgres>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let database_url = postgres.as_ref().map(|postgres| Arc::new(Secret::new(postgres.url("postgres"))));
        let data = DataConfig { folder: folder.path().join("data"), database_url, key: None };
        let node_folder = data.folder.join("node");
        std::fs::create_dir_all(&node_folder).expect("a folder");
        let (tests, rates) = (TestConfig::default(), RateConfig::default());
        let config = AppConfig { data, tests, rates, node_folder, audit: AuditConfig::default(), oidc: None };
        let app = App::open(&config).await.expect("it opens");
        Self { app, config, _folder: folder, postgres }
    }

    /// Another process on the same store, after this one is gone with all that it knew.
    pub async fn again(mut self) -> Self {
        self.app.store.close().await;
        self.app = App::open(&self.config).await.expect("it opens again");
        self
    }

    /// Another node on the same store.
    pub async fn another_node(&self) -> Arc<App> {
        let node_folder = self.config.data.folder.join("another");
        std::fs::create_dir_all(&node_folder).expect("a folder");
        App::open(&AppConfig { node_folder, ..self.config.clone() }).await.expect("it opens")
    }

    /// What a task takes along.
    pub fn app(&self) -> Arc<App> {
        self.app.clone()
    }

    /// Waits until so many sessions of PostgreSQL's wait for a row.
    pub async fn until_waiting(&self, sessions: usize) {
        let postgres = self.postgres.as_ref().expect("on PostgreSQL");
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        let all_wait = async {
            while postgres.psql(waiting) != sessions.to_string() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), all_wait).await.expect("they wait");
    }
}

impl Deref for TestApp {
    type Target = Arc<App>;

    fn deref(&self) -> &Arc<App> {
        &self.app
    }
}
