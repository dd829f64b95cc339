//! Reports of tests that somebody ran where his programs run. They stand beside those of the server, and say nothing of how a connection stands
//! here: what they tell is the word of whoever sent it, made plain, without any secret of the connection in it.

use anyhow::Context;
use dataflow_connectors::scrub::Scrubber;
use dataflow_model::{ConnectionType, FieldError, Step, StepName, TestError, TestReport, TestStatus};
use dataflow_vault::random_uuid;

use super::Check;
use crate::{
    app::App,
    clock::rfc3339,
    error::{Error, Result},
    ops::{
        access::{Action, Caller, authorise_name},
        connections::hold_current,
        credentials::servable,
        idempotency::begin,
    },
    store::{self, CheckRow},
    throttle::Kind,
};

/// Longest name of a machine, in characters.
const HOST_MAX: usize = 100;
/// Longest that a test or a step of one may have taken.
const TOOK_MAX: f64 = 3_600_000.0;

/// A test as it is told.
#[derive(Debug)]
pub struct Told {
    /// The version of the connection that was tested, which serves.
    pub version: i64,
    pub report: TestReport,
}

/// Keeps it. For who may use the connection: of a text of his he is told whether the secret stands in it.
///
/// # Errors
/// `Invalid` for what no test comes to; `VersionConflict` if what was tested no longer serves.
pub async fn report(app: &App, caller: &Caller, workspace: &str, name: &str, told: Told) -> Result<Check> {
    let workspace = authorise_name(app, caller, workspace, name, Action::UseCredentials).await?;
    app.throttle.take(Kind::Tests, &*caller.identity(), app.clock.now())?;
    let connection = servable(app, &workspace, name).await?;
    connection.admit(caller, &workspace, name)?;
    let scrubber = Scrubber::new(&connection.open_secrets()?);
    let mut write = begin(app, caller).await?;
    let (held, _) = hold_current(app, caller, &mut write, &workspace, name).await?;
    let Told { version, report } = told;
    if (held.id, held.version) != (connection.id.to_string(), version) || connection.version != version {
        return Err(Error::VersionConflict);
    }
    let now = app.clock.now();
    let report = plain(app.catalogue.get(&held.type_id), &scrubber, now, report)?;
    let check = CheckRow {
        id: random_uuid().to_string(),
        connection_id: connection.id.to_string(),
        version,
        status: report.status.as_str().to_owned(),
        report: serde_json::to_string(&report).context("write a report as JSON").map_err(Error::Internal)?,
        checked_at: now,
        checked_by: caller.label().into_owned(),
    };
    store::insert_check(&mut write, &check).await?;
    write.commit_quietly().await?;
    Ok(Check { id: check.id, version, by: check.checked_by, report })
}

/// The report as a test could have come to it. Of a refused certificate the chain is left out: to trust one is a button here, and who sends a report
/// is not the server that would be trusted.
fn plain(kind: Option<&ConnectionType>, scrubber: &Scrubber, now: i64, report: TestReport) -> Result<TestReport> {
    let invalid = |text: &str| Err(Error::Invalid(vec![FieldError::new("report", "invalid", text)]));
    let took = |millis: f64| (0.0..=TOOK_MAX).contains(&millis);
    let names: Vec<_> = report.steps.iter().map(|step| step.step).collect();
    if names != StepName::ALL || !report.steps.iter().all(|step| step.duration_ms.is_none_or(took)) {
        return invalid("has other steps than a test, each once and in order");
    }
    if !took(report.duration_ms) {
        return invalid("says that it took a time that no test takes, in milliseconds");
    }
    if report.error.is_some() != (report.status == TestStatus::Failed) {
        return invalid("has an error without the status “failed”, or the reverse");
    }
    let clean = |text: Option<String>| text.map(|text| scrubber.clean(&text)).filter(|text| !text.is_empty());
    let step = |step: Step| Step { detail: clean(step.detail), ..step };
    let error = |error: TestError| TestError {
        code: error.code,
        message: scrubber.clean(&error.message),
        hint: scrubber.clean(&error.hint),
        field: error.field.filter(|path| kind.is_some_and(|kind| kind.field(path).is_some())),
        certificates: Vec::new(),
    };
    Ok(TestReport {
        server_version: clean(report.server_version),
        checked_at: rfc3339(now),
        from: "client".to_owned(),
        host: clean(report.host).map(|host| host.chars().take(HOST_MAX).collect()),
        steps: report.steps.into_iter().map(step).collect(),
        error: report.error.map(error),
        ..report
    })
}
