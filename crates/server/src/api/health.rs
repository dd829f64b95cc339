//! `/workspaces/{workspace}/health`, `…/health-schedules` and `…/connections/{name}/health`: tests that run by themselves, and how connections stand
//! by them.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use dataflow_model::FieldError;
use serde::{Deserialize, Serialize};

use super::{
    ListAnswer, PageParams,
    conditions::IfMatch,
    connections::millis,
    done,
    extract::{Asked, Authenticated, InWorkspace, JsonBody, Named, Scoped},
    listed,
};
use crate::{
    app::App,
    clock::{DAY, rfc3339},
    error::{Error, Result},
    ops::{
        health::{
            self, Health, Listed, State as HealthState,
            schedule::{self, Schedule, Standing},
        },
        idempotency::or_repeated,
        paging::Paging,
    },
    store::HealthChangeRow,
};

/// How often connections are tested by themselves, and when that makes them healthy or not. What is left out is as by default.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "every_seconds": 300, "jitter_percent": 10, "unhealthy_after": 2, "healthy_after": 1, "quiet_hours": {"from": "22:00", "to": "06:00"}
}))]
pub struct HealthScheduleBody {
    #[serde(default = "every_seconds")]
    #[schema(minimum = 30, maximum = 604_800, default = 300, required = false)]
    pub every_seconds: i64,
    /// By how much of that the time between two tests is longer or shorter, by chance: so they do not all come at once.
    #[serde(default = "jitter_percent")]
    #[schema(minimum = 0, maximum = 50, default = 10, required = false)]
    pub jitter_percent: i64,
    /// So many tests in a row that fail make a connection unhealthy.
    #[serde(default = "unhealthy_after")]
    #[schema(minimum = 1, maximum = 20, default = 2, required = false)]
    pub unhealthy_after: i64,
    /// So many in a row that do not make it healthy again.
    #[serde(default = "healthy_after")]
    #[schema(minimum = 1, maximum = 20, default = 1, required = false)]
    pub healthy_after: i64,
    /// When nothing is tested; null: never.
    #[serde(default)]
    pub quiet_hours: Option<QuietHours>,
}

/// From one time of the day to another one, as hours and minutes in UTC; over midnight if the second is the earlier.
#[derive(Debug, Clone, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"from": "22:00", "to": "06:00"}))]
pub struct QuietHours {
    pub from: String,
    pub to: String,
}

fn every_seconds() -> i64 {
    Schedule::default().every_seconds
}

fn jitter_percent() -> i64 {
    Schedule::default().jitter_percent
}

fn unhealthy_after() -> i64 {
    Schedule::default().unhealthy_after
}

fn healthy_after() -> i64 {
    Schedule::default().healthy_after
}

/// How far back failures of workflows are told.
const TIMELINE: i64 = 30 * DAY;

/// The minute of the day of `22:00`.
#[must_use]
pub fn minute_of(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str, below: i64| -> Option<i64> {
        let is_plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        is_plain.then(|| text.parse().ok())?.filter(|number| *number < below)
    };
    Some(number(hours, 24)? * 60 + number(minutes, 60)?)
}

/// `22:00` of the minute of the day.
#[must_use]
pub fn time_of(minute: i64) -> String {
    format!("{:02}:{:02}", minute / 60, minute % 60)
}

impl TryFrom<HealthScheduleBody> for Schedule {
    type Error = Error;

    fn try_from(body: HealthScheduleBody) -> Result<Self> {
        let HealthScheduleBody { every_seconds, jitter_percent, unhealthy_after, healthy_after, quiet_hours } = body;
        let quiet = quiet_hours
            .map(|QuietHours { from, to }| {
                minute_of(&from).zip(minute_of(&to)).ok_or_else(|| {
                    let text = "must be two times of the day, as 22:00 and 06:00";
                    Error::Invalid(vec![FieldError::new("quiet_hours", "invalid", text)])
                })
            })
            .transpose()?;
        Ok(Self { every_seconds, jitter_percent, unhealthy_after, healthy_after, quiet })
    }
}

/// A schedule, and who set it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "scope": "tag:finance", "every_seconds": 300, "jitter_percent": 10, "unhealthy_after": 2, "healthy_after": 1, "quiet_hours": null, "is_set": true,
    "is_sound": true, "set_at": "2026-11-02T09:00:00Z", "set_by": "ada@example.org", "etag": "\"tag.finance.1793610000000000\""
}))]
pub struct HealthScheduleAnswer {
    /// `all`, `tag:` and a tag, or `connection:` and a name.
    pub scope: String,
    pub every_seconds: i64,
    pub jitter_percent: i64,
    pub unhealthy_after: i64,
    pub healthy_after: i64,
    pub quiet_hours: Option<QuietHours>,
    /// False: none is set, and these are the defaults.
    pub is_set: bool,
    /// False if it was changed outside of this program: then nothing is tested by it until it is set again, or removed.
    pub is_sound: bool,
    pub set_at: Option<String>,
    pub set_by: Option<String>,
    pub etag: String,
}

impl From<Standing> for HealthScheduleAnswer {
    fn from(standing: Standing) -> Self {
        let Standing { scope, schedule, set, is_sound, etag } = standing;
        let (set_at, set_by) = set.unzip();
        Self {
            scope: scope.text(),
            every_seconds: schedule.every_seconds,
            jitter_percent: schedule.jitter_percent,
            unhealthy_after: schedule.unhealthy_after,
            healthy_after: schedule.healthy_after,
            quiet_hours: schedule.quiet.map(|(from, to)| QuietHours { from: time_of(from), to: time_of(to) }),
            is_set: set_at.is_some(),
            is_sound,
            set_at: set_at.map(rfc3339),
            set_by,
            etag,
        }
    }
}

fn respond(standing: Standing) -> Response {
    ([(header::ETAG, standing.etag.clone())], Json(HealthScheduleAnswer::from(standing))).into_response()
}

/// How a connection stands that a schedule is for.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "connection": "sales", "type": "postgres", "state": "unhealthy", "since": "2026-11-02T09:00:00Z", "scope": "tag:finance",
    "next_at": "2026-11-02T09:35:00Z", "failed_in_a_row": 6, "passed_at": "2026-11-02T08:55:00Z", "checked_at": "2026-11-02T09:30:00Z",
    "status": "failed", "summary": "Sign-in refused", "duration_ms": 12.5, "changed_version": 4
}))]
pub struct HealthAnswer {
    pub connection: String,
    #[serde(rename = "type")]
    pub type_id: String,
    /// `healthy`, `unhealthy`, or `unknown` until there were enough tests.
    pub state: String,
    /// When the first test ran of those that made it so.
    pub since: String,
    /// Of the schedule by which it is tested.
    pub scope: String,
    /// When it is tested next.
    pub next_at: String,
    /// How many tests in a row have failed; 0 if the last one did not.
    pub failed_in_a_row: i64,
    /// When one passed last.
    pub passed_at: Option<String>,
    /// Of the last test: when it was, and what it came to.
    pub checked_at: Option<String>,
    pub status: Option<String>,
    pub summary: Option<String>,
    pub duration_ms: Option<f64>,
    /// Where it fails: the last version that was saved between the last test that passed and the first that failed.
    pub changed_version: Option<i64>,
}

impl From<Listed> for HealthAnswer {
    fn from(Listed { row, scope, state }: Listed) -> Self {
        let health = row.health;
        Self {
            connection: row.name,
            type_id: row.type_id,
            state: state.as_str().to_owned(),
            since: rfc3339(health.since),
            scope: scope.text(),
            next_at: rfc3339(health.next_at),
            failed_in_a_row: if health.is_failing { health.streak } else { 0 },
            passed_at: health.passed_at.map(rfc3339),
            checked_at: row.checked_at.map(rfc3339),
            status: row.check_status,
            summary: row.check_summary,
            duration_ms: row.check_micros.map(millis),
            changed_version: row.changed_version,
        }
    }
}

/// Which page, and of which state.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HealthParams {
    /// `next` of the page before.
    pub cursor: Option<String>,
    /// Entries on a page; 50 unless given.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<usize>,
    /// `healthy`, `unhealthy` or `unknown`; all unless given.
    pub state: Option<String>,
}

/// Lists how the connections stand that a schedule is for, by name.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/health", operation_id = "list_health", tag = "tests", params(("workspace" = String, Path), HealthParams),
    responses((status = 200, body = ListAnswer<HealthAnswer>), (status = 404), (status = 422)))]
pub async fn list_health(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    InWorkspace(workspace): InWorkspace,
    Asked(params): Asked<HealthParams>,
) -> Result<Json<ListAnswer<HealthAnswer>>> {
    let state = match params.state.as_deref() {
        None => None,
        Some("unknown") => Some(HealthState::Unknown),
        Some(word) => match HealthState::parse(word) {
            HealthState::Unknown => {
                let text = "must be `healthy`, `unhealthy` or `unknown`";
                return Err(Error::Invalid(vec![FieldError::new("state", "not_a_choice", text)]));
            }
            state => Some(state),
        },
    };
    let paging = Paging { cursor: params.cursor, limit: params.limit };
    Ok(listed(health::list(&app, &caller, &workspace, state, &paging).await?, HealthAnswer::from))
}

/// Lists the schedules that are for more than one connection.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/health-schedules", operation_id = "list_health_schedules", tag = "tests", params(("workspace" = String, Path), PageParams),
    responses((status = 200, body = ListAnswer<HealthScheduleAnswer>), (status = 404), (status = 422)))]
pub async fn list_health_schedules(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    InWorkspace(workspace): InWorkspace,
    Asked(params): Asked<PageParams>,
) -> Result<Json<ListAnswer<HealthScheduleAnswer>>> {
    Ok(listed(schedule::list(&app, &caller, &workspace, &params.into()).await?, HealthScheduleAnswer::from))
}

/// Shows the schedule of all connections (`all`), or of those with a tag (`tag:finance`).
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/health-schedules/{scope}", operation_id = "show_health_schedule", tag = "tests", params(("workspace" = String, Path), ("scope" = String, Path)),
    responses((status = 200, body = HealthScheduleAnswer, headers(("ETag" = String))), (status = 404), (status = 422)))]
pub async fn show_health_schedule(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Scoped { workspace, scope }: Scoped,
) -> Result<Response> {
    Ok(respond(schedule::show(&app, &caller, &workspace, &scope).await?))
}

/// Has all connections (`all`), or those with a tag (`tag:finance`), be tested by themselves. It goes on whatever becomes of who set it.
///
/// Of several schedules that are for a connection its own one counts; else that of its tags that tests most often, and that of all only where none
/// of its tags has one. Each test is run by one node, with the stored secret, and kept as a check.
#[utoipa::path(put, path = "/api/v1/workspaces/{workspace}/health-schedules/{scope}", operation_id = "put_health_schedule", tag = "tests",
    params(("workspace" = String, Path), ("scope" = String, Path), ("If-Match" = String, Header, description = "The schedule's ETag that was read, a list of such, or `*`")),
    request_body = HealthScheduleBody,
    responses((status = 200, body = HealthScheduleAnswer, headers(("ETag" = String))), (status = 403), (status = 404), (status = 412), (status = 415),
        (status = 422), (status = 428)))]
pub async fn put_health_schedule(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Scoped { workspace, scope }: Scoped,
    IfMatch(precondition): IfMatch,
    JsonBody(body): JsonBody<HealthScheduleBody>,
) -> Result<Response> {
    let asked = (Schedule::try_from(body)?, &precondition);
    let set = schedule::set(&app, &caller, &workspace, &scope, asked).await;
    match or_repeated(&app, &caller, set).await {
        Err(Error::Repeated) => Ok(respond(schedule::show(&app, &caller.without_key(), &workspace, &scope).await?)),
        set => Ok(respond(set?)),
    }
}

/// Removes the schedule of all connections, or of those with a tag.
#[utoipa::path(delete, path = "/api/v1/workspaces/{workspace}/health-schedules/{scope}", operation_id = "remove_health_schedule", tag = "tests",
    params(("workspace" = String, Path), ("scope" = String, Path), ("If-Match" = String, Header, description = "The schedule's ETag that was read, a list of such, or `*`")),
    responses((status = 204), (status = 403), (status = 404), (status = 412), (status = 422), (status = 428)))]
pub async fn remove_health_schedule(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Scoped { workspace, scope }: Scoped,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode> {
    let removed = schedule::remove(&app, &caller, &workspace, &scope, &precondition).await;
    done(or_repeated(&app, &caller, removed).await)
}

/// How one connection stands, by which schedule it is tested, and how that changed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "state": "healthy", "since": "2026-11-02T09:00:00Z", "next_at": "2026-11-02T09:35:00Z", "failed_in_a_row": 0, "passed_at": "2026-11-02T09:30:00Z",
    "schedule": {
        "scope": "all", "every_seconds": 300, "jitter_percent": 10, "unhealthy_after": 2, "healthy_after": 1, "quiet_hours": null, "is_set": true,
        "is_sound": true, "set_at": "2026-11-02T09:00:00Z", "set_by": "ada@example.org", "etag": "\"all.1793610000000000\""
    },
    "own_schedule": null,
    "changes": [{"at": "2026-11-02T09:00:00Z", "state": "healthy", "version": 3, "cause": null, "message": null}],
    "failures_at_work": ["2026-11-02T08:58:12Z"]
}))]
pub struct ConnectionHealthAnswer {
    /// `healthy`, `unhealthy`, `unknown` until there were enough tests, or `unscheduled` where no schedule is for it.
    pub state: String,
    pub since: Option<String>,
    pub next_at: Option<String>,
    pub failed_in_a_row: i64,
    pub passed_at: Option<String>,
    /// The one that counts; null where none is for it.
    pub schedule: Option<HealthScheduleAnswer>,
    /// The one that it has of its own; null if it has none.
    pub own_schedule: Option<HealthScheduleAnswer>,
    /// The last twenty changes of its state, newest first.
    pub changes: Vec<HealthChangeAnswer>,
    /// When workflows could not connect within the last 30 days, newest first: of each the last time. At most 100.
    pub failures_at_work: Vec<String>,
}

/// A change of how a connection stands, with what the test said that brought it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "at": "2026-11-02T09:00:00Z", "state": "unhealthy", "version": 3, "cause": "Port closed", "message": "Nothing listens at 127.0.0.1:5432."
}))]
pub struct HealthChangeAnswer {
    pub at: String,
    pub state: String,
    pub version: i64,
    pub cause: Option<String>,
    pub message: Option<String>,
}

impl From<HealthChangeRow> for HealthChangeAnswer {
    fn from(row: HealthChangeRow) -> Self {
        Self { at: rfc3339(row.at), state: row.state, version: row.version, cause: row.cause, message: row.message }
    }
}

/// Shows how a connection stands by the tests that run by themselves. The entity tag is of the schedule that it has of its own, or may get.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/connections/{name}/health", operation_id = "show_connection_health", tag = "tests", params(("workspace" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = ConnectionHealthAnswer, headers(("ETag" = String))), (status = 404), (status = 410)))]
pub async fn show_connection_health(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
) -> Result<Response> {
    let Health { row, by, own, changes } = health::show(&app, &caller, &named.workspace, &named.name).await?;
    let since = app.clock.now().saturating_sub(TIMELINE);
    let failures = health::failures_at_work(&app, &caller, &named.workspace, &named.name, since).await?;
    let etag = own.etag.clone();
    let answer = ConnectionHealthAnswer {
        state: row.as_ref().map_or("unscheduled", |row| HealthState::parse(&row.state).as_str()).to_owned(),
        since: row.as_ref().map(|row| rfc3339(row.since)),
        next_at: row.as_ref().map(|row| rfc3339(row.next_at)),
        failed_in_a_row: row.as_ref().filter(|row| row.is_failing).map_or(0, |row| row.streak),
        passed_at: row.as_ref().and_then(|row| row.passed_at).map(rfc3339),
        schedule: by.map(HealthScheduleAnswer::from),
        own_schedule: Some(own).filter(|own| own.set.is_some()).map(HealthScheduleAnswer::from),
        changes: changes.into_iter().map(HealthChangeAnswer::from).collect(),
        failures_at_work: failures.into_iter().map(rfc3339).collect(),
    };
    Ok(([(header::ETAG, etag)], Json(answer)).into_response())
}

/// Has one connection be tested by a schedule of its own, whatever others are for it.
#[utoipa::path(put, path = "/api/v1/workspaces/{workspace}/connections/{name}/health-schedule", operation_id = "put_connection_schedule", tag = "tests",
    params(("workspace" = String, Path), ("name" = String, Path), ("If-Match" = String, Header, description = "The ETag of the connection's health that was read, a list of such, or `*`")),
    request_body = HealthScheduleBody,
    responses((status = 200, body = HealthScheduleAnswer, headers(("ETag" = String))), (status = 403), (status = 404), (status = 410), (status = 412), (status = 415),
        (status = 422), (status = 428)))]
pub async fn put_connection_schedule(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
    IfMatch(precondition): IfMatch,
    JsonBody(body): JsonBody<HealthScheduleBody>,
) -> Result<Response> {
    let asked = (Schedule::try_from(body)?, &precondition);
    let set = schedule::set_own(&app, &caller, &named.workspace, &named.name, asked).await;
    match or_repeated(&app, &caller, set).await {
        Err(Error::Repeated) => Ok(respond(health::show(&app, &caller.without_key(), &named.workspace, &named.name).await?.own)),
        set => Ok(respond(set?)),
    }
}

/// Removes the schedule that a connection has of its own: then those of its tags count again, or that of all.
#[utoipa::path(delete, path = "/api/v1/workspaces/{workspace}/connections/{name}/health-schedule", operation_id = "remove_connection_schedule", tag = "tests",
    params(("workspace" = String, Path), ("name" = String, Path), ("If-Match" = String, Header, description = "The ETag of the connection's health that was read, a list of such, or `*`")),
    responses((status = 204), (status = 403), (status = 404), (status = 410), (status = 412), (status = 428)))]
pub async fn remove_connection_schedule(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode> {
    let removed = schedule::remove_own(&app, &caller, &named.workspace, &named.name, &precondition).await;
    done(or_repeated(&app, &caller, removed).await)
}
