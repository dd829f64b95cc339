//! `/workspaces/{workspace}/compare` and `…/connections/{name}/copy`: two workspaces side by side, and one connection from one to the other.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    ListAnswer,
    conditions::{Conditions, TrialParams},
    connections::{ConnectionAnswer, answer},
    extract::{Asked, BetweenWorkspaces, InWorkspace, JsonBody, Named},
    listed,
    versions::told,
};
use crate::{
    app::App,
    error::{Error, Result},
    ops::{
        compare::{self, Drift, Pair, Side},
        history::{FieldChange, SecretDifference},
        idempotency::or_repeated,
        paging::{Page, Paging},
        promote::{self, Copied, Order},
    },
};

/// A name of either workspace, and how what it stands for on one side is to what it stands for on the other.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "name": "sales", "state": "differs", "leads_elsewhere": true, 
    "here": {"version": 7, "type": "postgres", "address": "dev.internal:5432 / sales", "etag": "\"0d1c7f4e-6f0b-4a3e-9f57-8a2b54c0f1de.7\""},
    "there": {"version": 3, "type": "postgres", "address": "db.internal:5432 / sales", "etag": "\"5b7e0c52-3f1d-4a8e-b6a9-1d2f7c9e8a41.3\""},
    "elsewhere": null,
    "differences": [
        {"field": "host", "label": "Host", "here": "dev.internal", "there": "db.internal", "secret": null, "directs": true},
        {"field": "tls.key", "label": "Client key", "here": null, "there": null, "secret": "only_there", "directs": false}
    ]
}))]
pub struct PairAnswer {
    pub name: String,
    /// `same`, `differs`, `only_here`, `only_there`; `altered` where a row was changed outside of this program, and nothing of it is compared.
    pub state: &'static str,
    /// Whether clients connect elsewhere, or as somebody else.
    pub leads_elsewhere: bool,
    /// Null where there is none.
    pub here: Option<SideAnswer>,
    pub there: Option<SideAnswer>,
    /// With `only_here` and `only_there`: the name of the other side's connection that this one is by an alias, which one of the two has.
    pub elsewhere: Option<String>,
    /// In the order of the form, where both are there; where one name was asked for that is here only, all that it has.
    pub differences: Vec<DriftAnswer>,
}

/// What stands on one side.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct SideAnswer {
    pub version: i64,
    #[serde(rename = "type")]
    pub type_id: String,
    /// Host, port and database in one line, or the file.
    pub address: String,
    /// For `If-Match`.
    pub etag: String,
}

impl From<Side> for SideAnswer {
    fn from(side: Side) -> Self {
        Self { version: side.version, type_id: side.type_id, address: side.address, etag: side.etag }
    }
}

/// One member that differs.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct DriftAnswer {
    /// `name`, `type`, `description`, `tags`, or a field's path.
    pub field: String,
    /// What the Studio's form calls it.
    pub label: String,
    /// As a connection has it; null where it is not set, and of a secret.
    pub here: Value,
    pub there: Value,
    /// Of a secret field the side that it is set on, `only_here` or `only_there`; null for all others. Two that are set are not compared.
    pub secret: Option<&'static str>,
    /// Whether it says where a secret is sent or as whom; no copy changes that of a connection that is there.
    pub directs: bool,
}

impl From<Drift> for DriftAnswer {
    fn from(drift: Drift) -> Self {
        let (here, there, secret) = match drift.difference.change {
            FieldChange::Public { before, after } => (told(after), told(before), None),
            FieldChange::Secret(SecretDifference::Cleared) => (Value::Null, Value::Null, Some("only_there")),
            FieldChange::Secret(_) => (Value::Null, Value::Null, Some("only_here")),
        };
        Self { field: drift.difference.field, label: drift.difference.label, here, there, secret, directs: drift.directs }
    }
}

impl From<Pair> for PairAnswer {
    fn from(pair: Pair) -> Self {
        Self {
            state: pair.state.as_str(),
            leads_elsewhere: pair.leads_elsewhere(),
            elsewhere: pair.elsewhere,
            name: pair.name,
            here: pair.here.map(Into::into),
            there: pair.there.map(Into::into),
            differences: pair.drifts.into_iter().map(Into::into).collect(),
        }
    }
}

/// With which workspace to compare, and which page.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CompareParams {
    /// The other workspace.
    pub with: String,
    /// Leave out what is the same on both sides.
    #[serde(default)]
    pub drift: bool,
    /// This name alone, whether or not it differs.
    #[param(max_length = 250)]
    pub name: Option<String>,
    /// `next` of the page before.
    pub cursor: Option<String>,
    /// Names on a page; 50 unless given.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<usize>,
}

/// Compares the connections of two workspaces by their names, without their secrets: of one it counts whether it is set. With `drift`, a request
/// looks through 1,000 names at most, so that a page may hold fewer than it could, and still have a `next`.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/compare", operation_id = "compare_workspaces", tag = "workspaces",
    params(("workspace" = String, Path),
        ("Dataflow-Other-Token" = Option<String>, Header, description = "A token of the other workspace: that of `Authorization` is of one workspace, and finds no other"),
        CompareParams),
    responses((status = 200, body = ListAnswer<PairAnswer>), (status = 404), (status = 422)))]
pub async fn compare_workspaces(
    State(app): State<Arc<App>>,
    BetweenWorkspaces(callers): BetweenWorkspaces,
    InWorkspace(workspace): InWorkspace,
    Asked(params): Asked<CompareParams>,
) -> Result<Json<ListAnswer<PairAnswer>>> {
    let CompareParams { with, drift, name, cursor, limit } = params;
    let workspaces = (workspace.as_str(), with.as_str());
    let pairs = match name {
        Some(name) => Page { rows: vec![compare::compare_one(&app, &callers, workspaces, &name).await?], next: None },
        None => compare::compare(&app, &callers, workspaces, drift, &Paging { cursor, limit }).await?,
    };
    Ok(listed(pairs, PairAnswer::from))
}

/// Where to copy a connection, and what of it.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"to": "prod", "fields": ["description", "extra.connect_timeout"]}))]
pub struct CopyRequest {
    /// The other workspace.
    pub to: String,
    /// `description`, `tags` and paths of public fields. All of them unless given, of a connection that is not there yet; of one that is, it has to
    /// be given, and must name none that directs its secrets.
    pub fields: Option<Vec<String>>,
}

/// The connection of the other workspace, and what it still lacks.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "connection": {"name": "sales", "type": "postgres", "description": "", "tags": ["finance"], "host": "db.internal", "port": 5432, "database": "sales",
        "username": "analytics", "password": {"set": false}, "tls": {"mode": "verify-full", "key": {"set": false}}, "version": 1,
        "created_at": "2026-11-02T09:00:00Z", "created_by": "ada@example.org", "updated_at": "2026-11-02T09:00:00Z", "updated_by": "ada@example.org", "last_check": null},
    "missing_secrets": ["password"]
}))]
pub struct CopyAnswer {
    pub connection: ConnectionAnswer,
    /// The secrets that the original has and this one lacks.
    pub missing_secrets: Vec<String>,
}

/// Copies a connection's definition into another workspace under its name, never its secrets. One that is not there is created, as by hand; one that is
/// there is changed in the fields that are named, and keeps where it leads, as whom, and its secrets: name the version that is to be changed in
/// `If-Match`.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/connections/{name}/copy", operation_id = "copy_connection", tag = "connections",
    params(("workspace" = String, Path), ("name" = String, Path), TrialParams,
        ("Dataflow-Other-Token" = Option<String>, Header, description = "A token of the other workspace: that of `Authorization` is of one workspace, and finds no other"),
        ("If-Match" = Option<String>, Header, description = "The ETag of the other workspace's connection, a list of such, or `*`; needed where there is one")),
    request_body = CopyRequest,
    responses((status = 200, body = CopyAnswer, headers(("ETag" = String))), (status = 201, body = CopyAnswer, headers(("ETag" = String), ("Location" = String))),
        (status = 403), (status = 404), (status = 409, description = "name_taken, test_failed"), (status = 410), (status = 412), (status = 415), (status = 422), (status = 428)))]
pub async fn copy_connection(
    State(app): State<Arc<App>>,
    BetweenWorkspaces(callers): BetweenWorkspaces,
    named: Named,
    Conditions { precondition, trial }: Conditions,
    JsonBody(body): JsonBody<CopyRequest>,
) -> Result<Response> {
    let Named { workspace, name } = named;
    let order = Order { to: body.to, fields: body.fields, precondition, trial };
    let made = promote::copy(&app, &callers, &workspace, &name, &order).await;
    let copied = match or_repeated(&app, &callers.there, made).await {
        Err(Error::Repeated) => promote::copied(&app, &callers.without_key(), &workspace, &name, &order).await?,
        made => made?,
    };
    Ok(respond(&order.to, copied))
}

fn respond(workspace: &str, copied: Copied) -> Response {
    let status = if copied.is_new { StatusCode::CREATED } else { StatusCode::OK };
    let location = format!("/api/v1/workspaces/{workspace}/connections/{}", copied.connection.row.name);
    let headers = [(header::ETAG, copied.connection.etag()), (header::LOCATION, location)];
    let missing_secrets = copied.missing_secrets.into_iter().map(|(path, _)| path).collect();
    let mut response = (status, Json(CopyAnswer { connection: answer(copied.connection), missing_secrets })).into_response();
    for (name, value) in headers.into_iter().take(if copied.is_new { 2 } else { 1 }) {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
