//! `…/test` and `…/checks`

use std::{convert::Infallible, pin::Pin, sync::Arc};

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
};
use dataflow_model::{Draft, Step, TestReport};
use futures_util::{Stream, stream};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{
    ListAnswer, PageParams,
    connections::ConnectionRequest,
    extract::{Asked, Authenticated, InWorkspace, JsonBody, Named, OptionalBody},
    listed,
};
use crate::{
    app::App,
    error::{Error, Result},
    ops::checks::{
        self, Check, Keeper, Planned,
        from_client::{self, Told},
    },
};

/// Steps that may wait to be sent; a test has six.
const STEPS: usize = 16;
/// A short answer under `Accept: text/event-stream`, for the API's description.
const EVENTS: &str = "event: step\ndata: {\"step\":\"resolve\",\"status\":\"ok\",\"duration_ms\":3.0,\"detail\":\"10.4.2.17\"}\n\n\
                      event: report\ndata: {\"status\":\"failed\", …}\n\n";

/// A test that was run, as it was kept.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "id": "01939a1e-5b7c-7d40-9f0a-2f6c1b7a9e55", "version": 3, "checked_by": "ada@example.org",
    "report": {
        "status": "ok", "duration_ms": 12.5, "server_version": "PostgreSQL 15.18", "checked_at": "2026-11-02T09:00:00Z", "from": "server",
        "steps": [{"step": "resolve", "status": "ok", "duration_ms": 3.0, "detail": "10.4.2.17"}, {"step": "reach", "status": "ok", "duration_ms": 0.4}],
        "error": null
    }
}))]
pub struct CheckAnswer {
    pub id: String,
    pub version: i64,
    pub checked_by: String,
    pub report: TestReport,
}

/// Tests a stored connection; with a body that is not `{}`, those values over the stored ones, unsaved: a secret left out is the stored one.
///
/// Answers 200 with the report whether the test passed or failed. Under `Accept: text/event-stream` each step is an event `step`, and the
/// last event, `report`, is the whole. Closing the connection cancels the test.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/connections/{name}/test", operation_id = "test_connection", tag = "tests", params(("workspace" = String, Path), ("name" = String, Path)),
    request_body(content = Option<ConnectionRequest>),
    responses((status = 200, content((TestReport = "application/json"), (String = "text/event-stream", example = json!(EVENTS)))), (status = 403, description = "tests_disabled"), (status = 404),
        (status = 410), (status = 415), (status = 422, description = "secret_reentry_required"), (status = 429)))]
pub async fn test_connection(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
    headers: HeaderMap,
    OptionalBody(draft): OptionalBody<Draft>,
) -> Result<Response> {
    let planned = match draft.filter(|draft| !draft.is_empty()) {
        None => checks::plan_stored(&app, &caller, &named.workspace, &named.name).await?,
        Some(draft) => checks::plan_unsaved(&app, &caller, &named.workspace, Some(&named.name), draft).await?,
    };
    Ok(answer(app, planned, &headers, told).await)
}

/// Tests values that are not saved, for a connection that does not exist yet. Answers like the test of a stored one.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/connections/test", operation_id = "test_unsaved_connection", tag = "tests", params(("workspace" = String, Path)), request_body = ConnectionRequest,
    responses((status = 200, content((TestReport = "application/json"), (String = "text/event-stream", example = json!(EVENTS)))), (status = 403, description = "tests_disabled"), (status = 404),
        (status = 415), (status = 422), (status = 429)))]
pub async fn test_unsaved_connection(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    InWorkspace(workspace): InWorkspace,
    headers: HeaderMap,
    JsonBody(draft): JsonBody<Draft>,
) -> Result<Response> {
    let planned = checks::plan_unsaved(&app, &caller, &workspace, None, draft).await?;
    Ok(answer(app, planned, &headers, told).await)
}

/// Lists the checks of a connection, newest first. The last 1,000 are kept.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/connections/{name}/checks", operation_id = "list_checks", tag = "tests", params(("workspace" = String, Path), ("name" = String, Path), PageParams),
    responses((status = 200, body = ListAnswer<CheckAnswer>), (status = 404), (status = 410), (status = 422)))]
pub async fn list_checks(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
    Asked(params): Asked<PageParams>,
) -> Result<Json<ListAnswer<CheckAnswer>>> {
    let checks = checks::list(&app, &caller, &named.workspace, &named.name, &params.into()).await?;
    Ok(listed(checks, CheckAnswer::from))
}

/// A test that was run elsewhere.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "version": 3,
    "report": {
        "status": "ok", "duration_ms": 12.5, "server_version": "PostgreSQL 15.18", "checked_at": "2026-11-02T09:00:00Z", "from": "client", "host": "worker-1",
        "steps": [
            {"step": "resolve", "status": "ok", "duration_ms": 3.0, "detail": "10.4.2.17"}, {"step": "reach", "status": "ok", "duration_ms": 0.4},
            {"step": "secure", "status": "ok", "duration_ms": 12.3, "detail": "TLS 1.3"}, {"step": "sign_in", "status": "ok", "duration_ms": 32.4},
            {"step": "open_database", "status": "ok", "duration_ms": 0.2}, {"step": "read", "status": "ok", "duration_ms": 0.9}
        ],
        "error": null
    }
}))]
pub struct CheckReport {
    /// The version that was tested: the one that serves.
    pub version: i64,
    pub report: TestReport,
}

/// Keeps the report of a test that was run where programs run: `dataflow connections test NAME --here` does. It stands beside the server's own and changes
/// nothing of how the connection stands in the list. Its time is the server's, and of a refused certificate the chain is left out.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/connections/{name}/checks", operation_id = "report_check", tag = "tests", params(("workspace" = String, Path), ("name" = String, Path)),
    request_body = CheckReport,
    responses((status = 201, body = CheckAnswer), (status = 403), (status = 404), (status = 410), (status = 412, description = "version_conflict"), (status = 415),
        (status = 422), (status = 429)))]
pub async fn report_check(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
    JsonBody(body): JsonBody<CheckReport>,
) -> Result<(StatusCode, Json<CheckAnswer>)> {
    let told = Told { version: body.version, report: body.report };
    let kept = from_client::report(&app, &caller, &named.workspace, &named.name, told).await?;
    Ok((StatusCode::CREATED, Json(CheckAnswer::from(kept))))
}

impl From<Check> for CheckAnswer {
    fn from(check: Check) -> Self {
        Self { id: check.id, version: check.version, checked_by: check.by, report: check.report }
    }
}

/// The report as the API tells it.
fn told(report: &TestReport) -> serde_json::Result<serde_json::Value> {
    serde_json::to_value(report)
}

/// Runs a planned test and answers with its report as `told`, or with its steps as they happen and then the report.
pub async fn answer(
    app: Arc<App>,
    planned: Planned,
    headers: &HeaderMap,
    told: fn(&TestReport) -> serde_json::Result<serde_json::Value>,
) -> Response {
    let wants_events = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("text/event-stream"));
    let (test, keeper) = planned.into_parts();
    let (sender, steps) = mpsc::channel(STEPS);
    let test = Box::pin(test.run(sender));
    if wants_events {
        return Sse::new(events(Running { app, keeper: Some(keeper), steps, test, report: None, told })).into_response();
    }
    let report = test.await;
    keeper.keep(&app, &report);
    match told(&report) {
        Ok(told) => Json(told).into_response(),
        Err(error) => Error::Internal(error.into()).into_response(),
    }
}

struct Running {
    app: Arc<App>,
    keeper: Option<Keeper>,
    steps: mpsc::Receiver<Step>,
    test: Pin<Box<dyn Future<Output = TestReport> + Send>>,
    /// The report, while steps that came before it are still to be sent.
    report: Option<TestReport>,
    told: fn(&TestReport) -> serde_json::Result<serde_json::Value>,
}

/// Dropped with the client's connection, this drops the test: that cancels it.
fn events(running: Running) -> impl Stream<Item = std::result::Result<Event, Infallible>> {
    stream::unfold(running, async |mut running| {
        let event = running.next().await?;
        Some((Ok(event), running))
    })
}

impl Running {
    async fn next(&mut self) -> Option<Event> {
        if self.report.is_none() && self.keeper.is_some() {
            tokio::select! {
                biased;
                Some(step) = self.steps.recv() => return Some(event("step", &step)),
                report = &mut self.test => self.report = Some(report),
            }
        }
        if let Ok(step) = self.steps.try_recv() {
            return Some(event("step", &step));
        }
        let report = self.report.take()?;
        if let Some(keeper) = self.keeper.take() {
            keeper.keep(&self.app, &report);
        }
        Some((self.told)(&report).map_or_else(|_| Event::default().event("error"), |told| event("report", &told)))
    }
}

fn event(name: &str, data: &impl Serialize) -> Event {
    Event::default().event(name).json_data(data).unwrap_or_else(|_| Event::default().event("error"))
}
