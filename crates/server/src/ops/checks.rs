//! Tests of connections, over stored and unsaved values, and the checks that they leave.

pub mod from_client;

use std::sync::Arc;

use anyhow::{Context, anyhow};
use dataflow_model::{Draft, PublicFields, SecretFields, TestReport, TestStatus};
use dataflow_vault::random_uuid;
use uuid::Uuid;

use super::{
    access::{Action, Caller, authorise, authorise_name},
    connections::{self, read_type},
    credentials::{Servable, servable},
    health, hops,
    list::status_word,
    notices,
    paging::{Page, Paging},
    rows::VersionContent,
    settings,
    users::Allowed,
    versions::{self, Earlier},
};
use crate::{
    app::{App, Workspace},
    audit::UseEvent,
    clock::{DAY, parse_rfc3339},
    error::{Error, Result},
    jobs::purge::CHECKS_KEPT,
    ops::own_types::catalogue_of,
    store::{self, CheckRow, ConnectionRow, Write},
    tests::PlannedTest,
    throttle::Kind,
};

/// Checks that a connection's row keeps for the picture in the list.
const RECENT: usize = 20;

/// A test that may begin, and where its report goes.
pub struct Planned {
    pub test: PlannedTest,
    record: Option<Record>,
}

/// The stored version that a report is about.
struct Record {
    connection: Uuid,
    version: i64,
    by: String,
}

/// Plans a test of a stored connection.
pub async fn plan_stored(app: &App, caller: &Caller, workspace: &str, name: &str) -> Result<Planned> {
    let workspace = authorise_name(app, caller, workspace, name, Action::TestConnections).await?;
    admit(app, caller)?;
    let connection = servable(app, &workspace, name).await?;
    connection.admit(caller, &workspace, name)?;
    let secrets = connection.open_secrets()?;
    let record = Record { connection: connection.id, version: connection.version, by: caller.label().into_owned() };
    let test = plan(app, caller, &workspace, connection.connector(), (connection.public.clone(), secrets)).await?;
    audit_use(app, caller, &workspace, &connection.name, connection.version).await?;
    Ok(Planned { test, record: Some(record) })
}

/// Plans a test of values that are not saved. Over a connection that exists (`name`), a secret left out is the stored one, as long as
/// the endpoint is the one that it was stored for.
pub async fn plan_unsaved(app: &App, caller: &Caller, workspace: &str, name: Option<&str>, draft: Draft) -> Result<Planned> {
    let action = if name.is_some() { Action::EditConnections } else { Action::CreateConnections };
    let workspace = match name {
        Some(name) => authorise_name(app, caller, workspace, name, action).await?,
        None => authorise(app, caller, workspace, action).await?,
    };
    admit(app, caller)?;
    let is_admin = caller.may(Action::SetAdminFields, workspace.id);
    let stored = match name {
        None => None,
        Some(name) => {
            let mut read = app.store.read().await?;
            let (row, version) = connections::current(app, &mut read, &workspace, name).await?;
            if let Some(users) = Allowed::of(app, &mut read, &row).await? {
                users.admit(caller, &workspace)?;
            }
            let content = VersionContent::read(&version)?;
            Some((row, content))
        }
    };
    let type_id = draft.type_id.clone().or_else(|| stored.as_ref().map(|(row, _)| row.type_id.clone()));
    let catalogue = catalogue_of(app, &workspace).await?;
    let kind = read_type(&catalogue, type_id.as_deref()).map_err(|error| Error::Invalid(vec![error]))?;
    let earlier = stored.as_ref().map(|(row, content)| Earlier { row, public: &content.public });
    let pin = hops::pin(
        app,
        caller,
        &mut app.store.read().await?,
        (&workspace, &draft),
        earlier.as_ref().map(|earlier| earlier.public),
    )
    .await?;
    let content = versions::read_content(draft, &kind, earlier.as_ref(), is_admin, pin)?;
    let newest_key = stored.as_ref().map(|(_, content)| content.newest_key()).unwrap_or_default();
    let workspace = app.workspace_of_now(&workspace, newest_key).await?.unwrap_or(workspace);
    let id = stored.as_ref().map_or_else(|| Ok(random_uuid()), |(row, _)| super::rows::uuid(&row.id))?;
    let sealing = versions::Sealing { workspace: &workspace, id, version: 0, kept: stored.as_ref().map(|(_, content)| content) };
    let secrets = sealing.clear(&kind, content.settled)?;
    let test = plan(app, caller, &workspace, &kind.connector, secrets).await?;
    if let Some((row, _)) = &stored {
        audit_use(app, caller, &workspace, &row.name, row.version).await?;
    }
    Ok(Planned { test, record: None })
}

/// Refuses who has had more run than he may in a time.
fn admit(app: &App, caller: &Caller) -> Result<()> {
    app.throttle.look(Kind::Tests, &*caller.identity(), app.clock.now())
}

/// Plans a test of values in clear, once it has its place.
pub(super) async fn plan(
    app: &App,
    caller: &Caller,
    workspace: &Arc<Workspace>,
    connector: &str,
    fields: (PublicFields, SecretFields),
) -> Result<PlannedTest> {
    app.throttle.take(Kind::Tests, &*caller.identity(), app.clock.now())?;
    let fields = hops::fields(app, caller, workspace, fields).await?;
    let placed = app.tests.plan((&*caller.identity(), workspace.id), connector, &app.clock, fields).await?;
    Ok(placed.within(settings::in_force(app).await?))
}

/// A test sends the stored secret to the database: a use, and audited as one before it begins.
pub(super) async fn audit_use(app: &App, caller: &Caller, workspace: &Workspace, name: &str, version: i64) -> Result<()> {
    audit_secret(app, caller, workspace, (name, version), "connection.test").await
}

/// So does a message that goes through the connection.
pub(super) async fn audit_message(app: &App, caller: &Caller, workspace: &Workspace, connection: (&str, i64)) -> Result<()> {
    audit_secret(app, caller, workspace, connection, "connection.message").await
}

async fn audit_secret(
    app: &App,
    caller: &Caller,
    workspace: &Workspace,
    (name, version): (&str, i64),
    action: &'static str,
) -> Result<()> {
    let event = UseEvent {
        at: app.clock.now(),
        action,
        workspace: &workspace.name,
        workspace_id: workspace.id,
        connection: name,
        version,
        actor: &caller.label(),
        actor_id: &caller.identity(),
        address: caller.address,
        workflow: caller.workflow.as_ref(),
    };
    app.use_log.append(&app.vault, &event).await.map_err(Error::Unavailable)
}

impl Planned {
    /// Splits into the test to run and the keeper of its report.
    #[must_use]
    pub fn into_parts(self) -> (PlannedTest, Keeper) {
        (self.test, Keeper(self.record))
    }
}

/// Keeps the report of a test over a stored version; forgets that of one over unsaved values.
pub struct Keeper(Option<Record>);

impl Keeper {
    /// Writes the check after the answer: in a task of its own, logged if it fails.
    pub fn keep(self, app: &Arc<App>, report: &TestReport) {
        let Some(record) = self.0 else { return };
        let (app, report) = (app.clone(), report.clone());
        tokio::spawn(async move {
            if let Err(error) = keep(&app, &record, &report).await {
                let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
                tracing::error!(
                    error.code = error.describe().1.as_str(),
                    error.cause = cause,
                    "the report of a test could not be kept"
                );
            }
        });
    }
}

async fn keep(app: &App, record: &Record, report: &TestReport) -> Result<()> {
    let mut write = app.store.write().await?;
    let id = record.connection.to_string();
    // Of two tests that end at once, the second adds to what the first left.
    store::hold_connection_by_id(&mut write, &id).await?;
    let Some(row) = store::connection_by_id(&mut write, &id).await? else { return Ok(()) };
    let before = row.check_status.clone();
    let row = keep_in(app, &mut write, app.clock.now(), (row, record.version, &record.by), report).await?;
    write.commit_quietly().await?;
    // Lists count by what the last test came to.
    if row.check_status != before {
        app.counts.forget();
    }
    Ok(())
}

/// The same in a transaction that holds the connection: a check of one of its versions. Gives its row with the check in it, if that version
/// serves.
pub(super) async fn keep_in(
    app: &App,
    write: &mut Write,
    now: i64,
    (mut row, version, by): (ConnectionRow, i64, &str),
    report: &TestReport,
) -> Result<ConnectionRow> {
    let check = check_row((&row.id, version), by, now, report)?;
    store::insert_check(write, &check).await?;
    store::thin_checks(write, &row.id, check.from_client, CHECKS_KEPT).await?;
    if row.version == version && row.deleted_at.is_none() {
        row.checked_at = Some(now);
        row.check_status = Some(check.status.clone());
        row.check_summary = Some(summary(report, now));
        row.check_micros = Some(micros(report.duration_ms));
        row.recent_checks = recent(&row.recent_checks, report);
        if store::record_check_on_connection(write, &row).await? {
            store::replace_status(write, &row, &status_word(row.check_status.as_deref())).await?;
        }
        // Boxed: many acts have this in them.
        Box::pin(health::state::observe(app, write, &row, report, now)).await?;
        Box::pin(notices::ends::follow(write, &row, report, now)).await?;
    }
    Ok(row)
}

/// A report as it is kept.
fn check_row((connection_id, version): (&str, i64), by: &str, now: i64, report: &TestReport) -> Result<CheckRow> {
    Ok(CheckRow {
        id: random_uuid().to_string(),
        connection_id: connection_id.to_owned(),
        version,
        status: report.status.as_str().to_owned(),
        report: serde_json::to_string(report).context("write a report as JSON").map_err(Error::Internal)?,
        checked_at: now,
        checked_by: by.to_owned(),
        took_micros: Some(micros(report.duration_ms)),
        from_client: report.from == from_client::CLIENT,
    })
}

/// Keeps what a test came to that a schedule asked for.
pub(super) async fn keep_scheduled(app: &App, connection: &Servable, report: &TestReport) -> Result<()> {
    let record = Record { connection: connection.id, version: connection.version, by: "schedule".to_owned() };
    keep(app, &record, report).await
}

/// Within how many days the end of a certificate or a password is one to look at.
pub const ENDS_SOON_DAYS: i64 = 30;
/// What is said of a connection with which all is well.
pub const HEALTHY: &str = "Healthy";

/// A few words for the list: “Healthy”, what ends soon, or what stopped it.
fn summary(report: &TestReport, now: i64) -> String {
    match (report.status, &report.error) {
        (TestStatus::Ok, _) => ends_soon(report, now).unwrap_or_else(|| HEALTHY.to_owned()),
        (TestStatus::Unproven, _) => "Reached, not proven".to_owned(),
        (TestStatus::Failed, Some(error)) => error.code.label().to_owned(),
        (TestStatus::Failed, None) => "Failed".to_owned(),
    }
}

/// Which of certificate and password ends first, if that is soon: `Certificate ends in 9 days`.
fn ends_soon(report: &TestReport, now: i64) -> Option<String> {
    let learned = &report.learned;
    let ends = [("Certificate", &learned.certificate_ends_at), ("Password", &learned.password_ends_at)];
    let ends = ends.into_iter().filter_map(|(what, at)| Some((at.as_deref().and_then(parse_rfc3339)?, what)));
    let (at, what) = ends.min()?;
    match at.saturating_sub(now).div_euclid(DAY) {
        ..0 => Some(format!("{what} has ended")),
        0 => Some(format!("{what} ends within a day")),
        1 => Some(format!("{what} ends in 1 day")),
        days @ 2..ENDS_SOON_DAYS => Some(format!("{what} ends in {days} days")),
        _ => None,
    }
}

fn micros(millis: f64) -> i64 {
    let duration = std::time::Duration::try_from_secs_f64(millis.max(0.0) / 1000.0).unwrap_or_default();
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn recent(before: &str, report: &TestReport) -> String {
    let mut list: Vec<(String, f64)> = serde_json::from_str(before).unwrap_or_default();
    list.push((report.status.as_str().to_owned(), report.duration_ms));
    let excess = list.len().saturating_sub(RECENT);
    list.drain(..excess);
    serde_json::json!(list).to_string()
}

/// A check as it was kept.
#[derive(Debug)]
pub struct Check {
    pub id: String,
    pub version: i64,
    pub by: String,
    pub report: TestReport,
}

/// The last check of the version that serves that ran here, and the last that a client told of.
pub async fn last_of_each(app: &App, caller: &Caller, workspace: &str, name: &str) -> Result<[Option<Check>; 2]> {
    let workspace = authorise_name(app, caller, workspace, name, Action::SeeConnections).await?;
    let mut read = app.store.read().await?;
    let (row, _) = connections::current(app, &mut read, &workspace, name).await?;
    let here = store::last_check(&mut read, (&row.id, row.version), false).await?;
    let there = store::last_check(&mut read, (&row.id, row.version), true).await?;
    Ok([here.map(read_check).transpose()?, there.map(read_check).transpose()?])
}

fn read_check(row: CheckRow) -> Result<Check> {
    let report = serde_json::from_str(&row.report)
        .map_err(|error| Error::Internal(anyhow!(error).context("a kept report does not parse")))?;
    Ok(Check { id: row.id, version: row.version, by: row.checked_by, report })
}

/// A page of a connection's checks, newest first.
pub async fn list(app: &App, caller: &Caller, workspace: &str, name: &str, paging: &Paging) -> Result<Page<Check>> {
    let workspace = authorise_name(app, caller, workspace, name, Action::SeeConnections).await?;
    let (at, id) = paging.before()?;
    let mut read = app.store.read().await?;
    let (row, _) = connections::current(app, &mut read, &workspace, name).await?;
    let rows = store::list_checks(&mut read, &row.id, (at, &id), paging.rows_to_read()?).await?;
    let page = paging.page(rows, |row| (row.checked_at.to_string(), row.id.clone()))?;
    let rows = page.rows.into_iter().map(read_check).collect::<Result<_>>()?;
    Ok(Page { rows, next: page.next })
}

#[cfg(test)]
mod tests {
    use dataflow_model::Learned;

    use super::*;
    use crate::clock::rfc3339;

    #[test]
    fn what_ends_soon_is_told_and_the_first_of_two() {
        let now = 1_800_000_000_000_000;
        let at = |days: i64| Some(rfc3339(now + days * DAY + DAY / 2));
        for (certificate, password, told) in [
            (None, None, "Healthy"),
            (at(30), at(400), "Healthy"),
            (at(29), at(400), "Certificate ends in 29 days"),
            (at(400), at(1), "Password ends in 1 day"),
            (at(9), at(2), "Password ends in 2 days"),
            (at(0), None, "Certificate ends within a day"),
            (at(-1), None, "Certificate has ended"),
        ] {
            let report = TestReport {
                status: TestStatus::Ok,
                duration_ms: 1.0,
                server_version: None,
                checked_at: String::new(),
                from: "server".to_owned(),
                host: None,
                steps: Vec::new(),
                error: None,
                learned: Learned { certificate_ends_at: certificate, password_ends_at: password, ..Learned::default() },
            };
            assert_eq!(summary(&report, now), told);
        }
    }
}
