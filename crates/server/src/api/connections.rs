//! `/workspaces/{workspace}/connections`

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use dataflow_model::{Draft, FieldError, FieldPath, FieldValue, PublicFields, Tag};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    ListAnswer,
    conditions::{Conditions, IfMatch, TrialParams},
    done,
    extract::{Asked, Authenticated, InWorkspace, JsonBody, Named},
    rotations::UnderWayAnswer,
    second_logins::SecondLoginSummary,
};
use crate::{
    app::App,
    clock::rfc3339,
    error::{Error, Result},
    ops::{
        connections::{self, Change, Connection},
        dependents::Failing,
        idempotency::or_repeated,
        list::{self, ListQuery},
        tombstones::{self, Removal},
    },
    store::{ListSort, ListedRow},
};

/// A connection, without its secrets. Besides the members below it has those of its type: see `GET /types`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "name": "sales", "type": "postgres", "description": "", "tags": ["finance"], "host": "db.internal", "port": 5432, "database": "sales",
    "username": "analytics", "password": {"set": true}, "tls": {"mode": "verify-full", "key": {"set": false}}, "extra": {"application_name": "dataflow"},
    "version": 3, "created_at": "2026-11-01T09:00:00Z", "created_by": "ada@example.org", "updated_at": "2026-11-02T09:00:00Z", "updated_by": "ada@example.org",
    "last_check": {"status": "ok", "summary": "PostgreSQL 15.18", "checked_at": "2026-11-02T09:00:05Z", "duration_ms": 12.5},
    "rotation": null, "rotates_at": "2026-12-02T03:04:11Z", "failing": null, "second_login": null
}))]
pub struct ConnectionAnswer {
    pub name: String,
    #[serde(rename = "type")]
    pub type_id: String,
    pub description: String,
    pub tags: Vec<Tag>,
    /// The fields of the type; secret ones as `{"set": true}`.
    #[serde(flatten)]
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub fields: Map<String, Value>,
    pub version: i64,
    pub created_at: String,
    pub created_by: String,
    pub updated_at: String,
    pub updated_by: String,
    /// What the last test said; null before the first.
    pub last_check: Option<LastCheck>,
    /// A rotation of the password that is not settled, where the connection is shown; null otherwise.
    pub rotation: Option<UnderWayAnswer>,
    /// The login that rotations switch over to, or that served before the last one did, where the connection is shown; null if there is none.
    pub second_login: Option<SecondLoginSummary>,
    /// When the password is rotated next by the connection's rotation policy, where the connection is shown; null otherwise.
    pub rotates_at: Option<String>,
    /// That workflows could not connect with the version that serves, and no test has passed since, where the connection is shown; null otherwise.
    pub failing: Option<FailingAnswer>,
}

/// Workflows could not connect with the version that serves.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({"workflows": 2, "last_at": "2026-11-02T09:00:00Z", "good_version": 6}))]
pub struct FailingAnswer {
    pub workflows: i64,
    /// When the last of them could not.
    pub last_at: String,
    /// The last version before it that clients connect with otherwise and whose last test passed, or the last such one that was never tested;
    /// null if there is none.
    pub good_version: Option<i64>,
}

impl From<Failing> for FailingAnswer {
    fn from(failing: Failing) -> Self {
        Self { workflows: failing.workflows, last_at: rfc3339(failing.last_at), good_version: failing.good }
    }
}

/// The last test of a connection.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct LastCheck {
    #[schema(example = "ok")]
    pub status: String,
    pub summary: String,
    pub checked_at: String,
    pub duration_ms: f64,
}

/// A connection as a list shows it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "name": "sales", "type": "postgres", "description": "", "tags": ["finance"], "address": "db.internal:5432 / sales", "version": 3,
    "updated_at": "2026-11-02T09:00:00Z", "updated_by": "ada@example.org", "dependents": 9, "rotating": false, "last_check": null
}))]
pub struct ConnectionSummary {
    pub name: String,
    #[serde(rename = "type")]
    pub type_id: String,
    pub description: String,
    pub tags: Vec<Tag>,
    /// Host, port and database in one line, or the file.
    #[schema(example = "db.internal:5432 / sales")]
    pub address: String,
    pub version: i64,
    pub updated_at: String,
    pub updated_by: String,
    /// How many workflows depend on it, seen or found in code.
    pub dependents: i64,
    /// Its password is being rotated, or whether it was is not known yet: until then nothing else changes it. Where one connection is shown,
    /// `rotation` says more.
    pub rotating: bool,
    pub last_check: Option<LastCheck>,
}

/// A connection as it is written. Members left out stay as they are; null clears; the type's own members are those of `GET /types`.
#[derive(Debug, utoipa::ToSchema)]
#[schema(example = json!({
    "name": "sales", "type": "postgres", "tags": ["finance"], "host": "db.internal", "database": "sales", "username": "analytics",
    "password": "…", "tls": {"mode": "verify-full"}, "extra": {"application_name": "dataflow"}
}))]
pub struct ConnectionRequest {
    /// Of `A-Z a-z 0-9 _ . -`, first a letter or digit. Needed by a new connection; not changed by PATCH: that is an act of its own, `rename`.
    #[schema(value_type = String, required = false, min_length = 1, max_length = 250)]
    pub name: Option<String>,
    /// Needed by a new connection.
    #[schema(value_type = String, required = false)]
    pub r#type: Option<String>,
    #[schema(max_length = 1000)]
    pub description: Option<String>,
    #[schema(max_items = 20)]
    pub tags: Option<Vec<Tag>>,
    /// The fields of the type.
    pub tls: Option<Object>,
    pub extra: Option<Object>,
}

/// Any JSON object.
#[derive(Debug, utoipa::ToSchema)]
pub struct Object {}

fn last_check(row: &ListedRow) -> Option<LastCheck> {
    Some(LastCheck {
        status: row.check_status.clone()?,
        summary: row.check_summary.clone().unwrap_or_default(),
        checked_at: rfc3339(row.checked_at?),
        duration_ms: millis(row.check_micros.unwrap_or_default()),
    })
}

/// Milliseconds with one decimal, as the steps of a report have it.
pub(crate) fn millis(micros: i64) -> f64 {
    let tenths = u32::try_from(micros.max(0).saturating_add(50) / 100).unwrap_or(u32::MAX);
    f64::from(tenths) / 10.0
}

/// The members that a type adds: public fields, and of secret ones whether they are set.
pub(super) fn members(public: &PublicFields, secrets: &BTreeMap<FieldPath, bool>) -> Map<String, Value> {
    let mut fields = Map::new();
    let public = public.0.iter().map(|(path, value)| (path, public_value(value)));
    let secret = secrets.iter().map(|(path, set)| (path, json!({"set": set})));
    for (path, value) in public.chain(secret) {
        place(&mut fields, path, value);
    }
    fields
}

pub(super) fn answer(connection: Connection) -> ConnectionAnswer {
    let fields = members(&connection.public, &connection.secrets);
    let last_check = last_check(&ListedRow::from(&connection.row));
    let row = connection.row;
    ConnectionAnswer {
        name: row.name,
        type_id: row.type_id,
        description: row.description,
        tags: connection.tags,
        fields,
        version: row.version,
        created_at: rfc3339(row.created_at),
        created_by: row.created_by,
        updated_at: rfc3339(row.updated_at),
        updated_by: row.updated_by,
        last_check,
        rotation: connection.rotation.map(UnderWayAnswer::from),
        second_login: connection.second_login.as_ref().map(SecondLoginSummary::from),
        rotates_at: connection.rotation_policy.and_then(|policy| policy.next_at).map(rfc3339),
        failing: connection.failing.map(FailingAnswer::from),
    }
}

pub(super) fn public_value(value: &FieldValue) -> Value {
    match value {
        FieldValue::Boolean(value) => json!(value),
        FieldValue::Integer(value) => json!(value),
        FieldValue::Text(value) => json!(value),
    }
}

fn place(fields: &mut Map<String, Value>, path: &FieldPath, value: Value) {
    match path.group() {
        None => {
            fields.insert(path.as_str().to_owned(), value);
        }
        Some((group, key)) => {
            if let Value::Object(members) = fields.entry(group).or_insert_with(|| Value::Object(Map::new())) {
                members.insert(key.to_owned(), value);
            }
        }
    }
}

pub(super) fn respond(status: StatusCode, connection: Connection) -> Response {
    (status, [(header::ETAG, connection.etag())], Json(answer(connection))).into_response()
}

/// How to list connections.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListParams {
    /// Words that name, host, database, user, type, tags or description begin with; at most 6 words and filters together.
    #[param(max_length = 250)]
    pub search: Option<String>,
    #[serde(rename = "type")]
    #[param(max_length = 50)]
    pub type_id: Option<String>,
    #[param(max_length = 50)]
    pub tag: Option<String>,
    /// `ok`, `failed`, `unproven` or `untested`.
    pub status: Option<String>,
    /// `name` (default), `-name`, `-updated`.
    pub sort: Option<String>,
    /// `next` of the page before.
    pub cursor: Option<String>,
    /// Connections on a page; 50 unless given.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<usize>,
}

/// Lists live connections.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/connections", operation_id = "list_connections", tag = "connections",
    params(("workspace" = String, Path), ListParams),
    responses((status = 200, body = ListAnswer<ConnectionSummary>), (status = 404), (status = 422)))]
pub async fn list_connections(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    InWorkspace(workspace): InWorkspace,
    Asked(params): Asked<ListParams>,
) -> Result<Json<ListAnswer<ConnectionSummary>>> {
    let page = list::list(&app, &caller, &workspace, &query(params)?).await?;
    let items = page.rows.into_iter().map(summary).collect();
    Ok(Json(ListAnswer { items, next: page.next }))
}

fn query(params: ListParams) -> Result<ListQuery> {
    let sort = match params.sort.as_deref() {
        None | Some("name") => ListSort::Name,
        Some("-name") => ListSort::NameDescending,
        Some("-updated") => ListSort::Updated,
        Some(_) => {
            return Err(Error::Invalid(vec![FieldError::new("sort", "not_a_choice", "must be one of: name, -name, -updated")]));
        }
    };
    if params.status.as_deref().is_some_and(|status| !matches!(status, "ok" | "failed" | "unproven" | "untested")) {
        return Err(Error::Invalid(vec![FieldError::new(
            "status",
            "not_a_choice",
            "must be one of: ok, failed, unproven, untested",
        )]));
    }
    Ok(ListQuery {
        search: params.search,
        type_id: params.type_id,
        tag: params.tag,
        status: params.status,
        sort,
        cursor: params.cursor,
        limit: params.limit,
    })
}

fn summary(row: ListedRow) -> ConnectionSummary {
    ConnectionSummary {
        rotating: row.rotation_tries.is_some(),
        last_check: last_check(&row),
        tags: serde_json::from_str(&row.tags).unwrap_or_default(),
        name: row.name,
        type_id: row.type_id,
        description: row.description,
        address: row.address,
        version: row.version,
        updated_at: rfc3339(row.updated_at),
        updated_by: row.updated_by,
        dependents: row.dependents,
    }
}

/// Creates a connection.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/connections", operation_id = "create_connection", tag = "connections",
    params(("workspace" = String, Path)), request_body = ConnectionRequest,
    responses((status = 201, body = ConnectionAnswer, headers(("ETag" = String), ("Location" = String))), (status = 403), (status = 404), (status = 409, description = "name_taken"),
        (status = 415), (status = 422)))]
pub async fn create_connection(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    InWorkspace(workspace): InWorkspace,
    JsonBody(draft): JsonBody<Draft>,
) -> Result<Response> {
    let name = draft.name.clone().unwrap_or_default();
    let connection = match or_repeated(&app, &caller, connections::create(&app, &caller, &workspace, draft).await).await {
        Err(Error::Repeated) => connections::show(&app, &caller.without_key(), &workspace, &name).await?,
        made => made?,
    };
    let location = HeaderValue::from_str(&format!("/api/v1/workspaces/{workspace}/connections/{}", connection.row.name));
    let mut response = respond(StatusCode::CREATED, connection);
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Shows a connection. A deleted one is 410 and says who and when.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/connections/{name}", operation_id = "show_connection", tag = "connections",
    params(("workspace" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = ConnectionAnswer, headers(("ETag" = String))), (status = 404), (status = 410)))]
pub async fn show_connection(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
) -> Result<Response> {
    let connection = connections::show(&app, &caller, &named.workspace, &named.name).await?;
    Ok(respond(StatusCode::OK, connection))
}

/// Changes a connection. Members left out stay as they are, null clears, a secret left out is kept. A change that leaves everything as
/// it is makes no version. A change of where a stored secret is sent needs that secret again: only an admin who is signed in to the
/// Studio can keep it.
#[utoipa::path(patch, path = "/api/v1/workspaces/{workspace}/connections/{name}", operation_id = "edit_connection", tag = "connections",
    params(("workspace" = String, Path), ("name" = String, Path), ("If-Match" = String, Header, description = "The ETag that was read, a list of such, or `*`"), TrialParams), request_body = ConnectionRequest,
    responses((status = 200, body = ConnectionAnswer, headers(("ETag" = String))), (status = 403, description = "tests_disabled"), (status = 404), (status = 409, description = "test_failed, rotation_under_way"), (status = 410),
        (status = 412), (status = 415), (status = 422, description = "secret_reentry_required"), (status = 428), (status = 429)))]
pub async fn edit_connection(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
    Conditions { precondition, trial }: Conditions,
    JsonBody(draft): JsonBody<Draft>,
) -> Result<Response> {
    let change = Change { draft, precondition, trial, ..Change::default() };
    let saved = connections::edit(&app, &caller, &named.workspace, &named.name, change).await;
    let connection = match or_repeated(&app, &caller, saved).await {
        Err(Error::Repeated) => connections::show(&app, &caller.without_key(), &named.workspace, &named.name).await?,
        saved => saved?,
    };
    Ok(respond(StatusCode::OK, connection))
}

/// Why it is deleted, and that it is known what breaks.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DeleteParams {
    /// Told to those who still use the name.
    #[param(max_length = 500)]
    pub reason: Option<String>,
    /// A connection that they are told to use instead.
    #[param(max_length = 250)]
    pub use_instead: Option<String>,
    /// That of the impact, once workflows depend on it: `GET …/dependents` has it, and so has the refusal.
    pub impact_token: Option<String>,
}

/// Deletes a connection. It leaves a tombstone: who asks for the name learns who deleted it, when and why. Where workflows depend on it, it
/// takes the token of its impact.
#[utoipa::path(delete, path = "/api/v1/workspaces/{workspace}/connections/{name}", operation_id = "delete_connection", tag = "connections",
    params(("workspace" = String, Path), ("name" = String, Path), ("If-Match" = String, Header, description = "The ETag that was read, a list of such, or `*`"), DeleteParams),
    responses((status = 204), (status = 403), (status = 404), (status = 409, description = "has_dependents, rotation_under_way"), (status = 410), (status = 412), (status = 422), (status = 428)))]
pub async fn delete_connection(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
    IfMatch(precondition): IfMatch,
    Asked(params): Asked<DeleteParams>,
) -> Result<StatusCode> {
    let DeleteParams { reason, use_instead, impact_token } = params;
    let removal = Removal { precondition, reason, use_instead, impact_token };
    let deleted = tombstones::delete(&app, &caller, &named.workspace, &named.name, removal).await;
    done(or_repeated(&app, &caller, deleted).await)
}
