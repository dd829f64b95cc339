//! Reports of tests that somebody ran where his programs run. They stand beside those of the server, and say nothing of how a connection stands
//! here: what they tell is the word of whoever sent it, made plain, without any secret of the connection in it.

use dataflow_connectors::scrub::Scrubber;
use dataflow_model::{ConnectionType, FieldError, Learned, Step, StepName, TestError, TestReport, TestStatus};

use super::{Check, check_row};
use crate::{
    app::App,
    clock::{parse_rfc3339, rfc3339},
    error::{Error, Result},
    jobs::purge::CLIENT_CHECKS_KEPT,
    ops::{
        access::{Action, Caller, authorise_name},
        connections::hold_current,
        credentials::servable,
        hops,
        idempotency::begin,
        own_types::catalogue_of,
    },
    store,
    throttle::Kind,
};

/// Where such a test ran.
pub const CLIENT: &str = "client";
/// Longest name of a machine, in characters.
const HOST_MAX: usize = 100;
/// Most privileges that are kept of a report.
const PRIVILEGES_MAX: usize = 8;
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
    let catalogue = catalogue_of(app, &workspace).await?;
    let mut scrubber = Scrubber::new(&connection.open_secrets()?);
    if let Some(Ok(hop)) = hops::hop(app, caller, &workspace, &connection.public).await? {
        for secret in hop.open_secrets()?.0.values() {
            scrubber.and(secret.expose_secret());
        }
    }
    let mut write = begin(app, caller).await?;
    let (held, _) = hold_current(app, caller, &mut write, &workspace, name).await?;
    let Told { version, report } = told;
    if (&held.id, held.version) != (&connection.id.to_string(), version) || connection.version != version {
        return Err(Error::VersionConflict);
    }
    let now = app.clock.now();
    let report = plain(catalogue.get(&held.type_id), &scrubber, now, report)?;
    let check = check_row((&held.id, version), &caller.label(), now, &report)?;
    store::insert_check(&mut write, &check).await?;
    store::thin_checks(&mut write, &held.id, true, CLIENT_CHECKS_KEPT).await?;
    write.commit_quietly().await?;
    Ok(Check { id: check.id, version, by: check.checked_by, report })
}

/// The report as a test could have come to it. Of a refused certificate the chain is left out: to trust one is a button here, and who sends a report
/// is not the server that would be trusted.
fn plain(kind: Option<&ConnectionType>, scrubber: &Scrubber, now: i64, report: TestReport) -> Result<TestReport> {
    let invalid = |text: &str| Err(Error::Invalid(vec![FieldError::new("report", "invalid", text)]));
    let took = |millis: f64| (0.0..=TOOK_MAX).contains(&millis);
    let names: Vec<_> = report.steps.iter().map(|step| step.step).collect();
    if (names != StepName::ALL && names != StepName::ALL_THROUGH)
        || !report.steps.iter().all(|step| step.duration_ms.is_none_or(took))
    {
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
        from: CLIENT.to_owned(),
        host: clean(report.host).map(|host| host.chars().take(HOST_MAX).collect()),
        steps: report.steps.into_iter().map(step).collect(),
        error: report.error.map(error),
        learned: learned(report.learned, scrubber),
        ..report
    })
}

/// What a test may have found out, as it is kept.
fn learned(told: Learned, scrubber: &Scrubber) -> Learned {
    let time = |text: Option<String>| text.as_deref().and_then(parse_rfc3339).map(rfc3339);
    let privileges = told.privileges.iter().map(|text| scrubber.clean(text)).filter(|text| !text.is_empty());
    Learned {
        certificate_ends_at: time(told.certificate_ends_at),
        password_ends_at: time(told.password_ends_at),
        privileges: privileges.take(PRIVILEGES_MAX).collect(),
        ..told
    }
}
