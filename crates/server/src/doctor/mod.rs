//! `dataflow doctor`: looks at all that a server stands on, changes nothing, and says of each finding what to do.

mod database;
mod files;
mod keys;
mod machine;
mod provider;
mod served;
#[cfg(test)]
mod tests;

use std::{path::PathBuf, time::Duration};

use dataflow_model::Secret;
use serde::Serialize;
use tokio::time::timeout;

use crate::{
    admin::{self, AdminAnswer, AdminRequest, Running},
    clock::Clock,
    config::DataConfig,
    store::{Location, Look, StoreError},
};

/// How long a server may take to say that it runs.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Ok,
    /// It works, and could be better or cannot be known.
    Warning,
    /// Something does not work, or a promise does not hold.
    Problem,
}

impl Status {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// What one check came to.
#[derive(Debug, Serialize)]
pub struct Finding {
    pub check: &'static str,
    pub status: Status,
    pub found: String,
    /// What to do; empty where all is well.
    pub hint: String,
}

impl Finding {
    fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, status: Status::Ok, found: found.into(), hint: String::new() }
    }

    fn warning(check: &'static str, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { check, status: Status::Warning, found: found.into(), hint: hint.into() }
    }

    fn problem(check: &'static str, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { check, status: Status::Problem, found: found.into(), hint: hint.into() }
    }
}

/// What to look at.
#[derive(Debug)]
pub struct Examination<'e> {
    pub data: &'e DataConfig,
    /// To be proven that it opens the store.
    pub recovery_key: Option<&'e Secret>,
    /// The server's certificate and key, where no running server tells them.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// The address that people open, likewise.
    pub public_url: Option<String>,
    /// The file that says with whom people may sign in, likewise.
    pub oidc: Option<PathBuf>,
    pub clock: Clock,
}

/// Looks at everything; each finding is of one check.
pub async fn examine(asked: &Examination<'_>) -> Vec<Finding> {
    let data = asked.data;
    let mut findings = files::examine(data);
    let running = running(data).await;
    findings.push(served::server(data, &running));
    let running = running.unwrap_or_default();
    match Look::open(&data.location()).await {
        Ok(mut look) => {
            findings.extend(database::examine(&mut look, data, running.is_some()).await);
            findings.extend(keys::examine(&mut look, asked).await);
            findings.extend(machine::clock(&mut look, &asked.clock).await);
            // Nothing was changed, so nothing can be lost.
            let _ = look.close().await;
        }
        Err(_) if matches!(data.location(), Location::Sqlite(path) if !path.exists()) => findings.push(Finding::problem(
            "store",
            format!("There is no store in {}.", data.folder.display()),
            "Check --data; “dataflow serve” makes a new store.",
        )),
        // It says what to do by itself.
        Err(StoreError::Refused { sentence, .. }) => findings.push(Finding::problem("store", sentence, "")),
        Err(error) => findings.push(Finding::problem(
            "store",
            format!("It cannot be opened: {}.", database::chain(&error)),
            "Start the database, or restore a backup with “dataflow restore”.",
        )),
    }
    findings.push(machine::disk(&data.folder));
    findings.extend(served::certificate(asked, running.as_ref()));
    findings.extend(running.as_ref().map(served::outbound));
    findings.extend(running.as_ref().map(served::audit));
    let oidc = asked.oidc.clone().or_else(|| running.as_ref().and_then(|running| running.oidc.clone()));
    if let Some(path) = oidc {
        findings.push(provider::examine(path, &asked.clock).await);
    }
    findings
}

/// The server that runs on the folder, if one does; an error if it does not answer.
async fn running(data: &DataConfig) -> anyhow::Result<Option<Running>> {
    match timeout(PATIENCE, admin::ask(data, &AdminRequest::Status)).await?? {
        None => Ok(None),
        Some(AdminAnswer::Running(running)) => Ok(Some(*running)),
        Some(AdminAnswer::Refused(problem)) => anyhow::bail!("{}", problem.detail),
        Some(_) => anyhow::bail!("it says something else"),
    }
}
