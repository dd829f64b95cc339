//! `/workspaces/{workspace}/connections/{name}/versions`: what a connection was before.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use dataflow_model::Tag;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    ListAnswer, PageParams,
    conditions::{Conditions, IfMatch, TrialParams},
    connections::{ConnectionAnswer, members, public_value, respond},
    done,
    extract::{Asked, Authenticated, Named, Versioned},
    listed,
};
use crate::{
    app::App,
    clock::rfc3339,
    error::{Error, Result},
    ops::{
        connections,
        history::{self, Diff, Difference, Entry, FieldChange, Restore, Version},
        idempotency::or_repeated,
    },
};

/// A version as the list shows it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "version": 7, "saved_at": "2026-11-02T09:00:00Z", "saved_by": "ada@example.org", "current": true, "restored_from": null, "since": 6,
    "changed": ["host", "password"], "changes_clients": true, "altered": false
}))]
pub struct VersionSummary {
    pub version: i64,
    pub saved_at: String,
    pub saved_by: String,
    /// Whether it is the one that serves.
    pub current: bool,
    /// The older version that it was restored from.
    pub restored_from: Option<i64>,
    /// The version before it that is still kept; null for the oldest.
    pub since: Option<i64>,
    /// What changed since then: `type`, `description`, `tags`, and paths of fields; of the oldest version all that is set.
    pub changed: Vec<String>,
    /// Whether clients connect with something else than by the version before.
    pub changes_clients: bool,
    /// Whether its row was changed outside of this program; it cannot be restored then.
    pub altered: bool,
}

impl From<Entry> for VersionSummary {
    fn from(entry: Entry) -> Self {
        Self {
            version: entry.version,
            saved_at: rfc3339(entry.saved_at),
            saved_by: entry.saved_by,
            current: entry.is_current,
            restored_from: entry.restored_from,
            since: entry.since,
            changed: entry.changes.into_iter().map(|change| change.field).collect(),
            changes_clients: entry.changes_clients,
            altered: entry.is_altered,
        }
    }
}

/// A version of a connection, without its secrets. Besides the members below it has those of its type.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "version": 6, "name": "sales", "type": "postgres", "description": "", "tags": ["finance"], "host": "db.internal", "port": 5432,
    "database": "sales", "username": "analytics", "password": {"set": true}, "tls": {"mode": "verify-full", "key": {"set": false}},
    "saved_at": "2026-11-01T09:00:00Z", "saved_by": "ada@example.org", "current": false, "restored_from": null, "secrets_also_in": [7]
}))]
pub struct VersionAnswer {
    pub version: i64,
    pub name: String,
    #[serde(rename = "type")]
    pub type_id: String,
    pub description: String,
    pub tags: Vec<Tag>,
    /// The fields of the type; secret ones as `{"set": true}`.
    #[serde(flatten)]
    #[schema(value_type = std::collections::HashMap<String, Value>)]
    pub fields: Map<String, Value>,
    pub saved_at: String,
    pub saved_by: String,
    pub current: bool,
    pub restored_from: Option<i64>,
    /// Other versions that hold one of its secrets, the newest hundred: they keep it when this one is purged.
    pub secrets_also_in: Vec<i64>,
}

impl From<Version> for VersionAnswer {
    fn from(version: Version) -> Self {
        let row = version.row;
        Self {
            version: row.version,
            name: row.name,
            type_id: row.type_id,
            description: row.description,
            tags: version.tags,
            fields: members(&version.public, &version.secrets),
            saved_at: rfc3339(row.saved_at),
            saved_by: row.saved_by,
            current: version.is_current,
            restored_from: row.restored_from,
            secrets_also_in: version.secrets_also_in,
        }
    }
}

/// What changed from one version to another.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "from": 6, "to": 7, "changes_clients": true,
    "changes": [
        {"field": "host", "label": "Host", "before": "db.internal", "after": "db.example.org", "secret": null},
        {"field": "password", "label": "Password", "before": null, "after": null, "secret": "changed"}
    ]
}))]
pub struct DiffAnswer {
    /// Null where there is no version before: then all that is set has changed.
    pub from: Option<i64>,
    pub to: i64,
    /// Whether clients connect with something else.
    pub changes_clients: bool,
    /// In the order of the form.
    pub changes: Vec<DifferenceAnswer>,
}

/// One member that differs.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct DifferenceAnswer {
    /// `name`, `type`, `description`, `tags`, or a field's path.
    pub field: String,
    /// What the Studio's form calls it.
    pub label: String,
    /// As a connection has it; null where it is not set, and of a secret.
    pub before: Value,
    pub after: Value,
    /// Of a secret field `set`, `changed` or `cleared`; null for all others.
    pub secret: Option<&'static str>,
}

/// A value as a connection has it.
pub(super) fn told(value: Option<history::Value>) -> Value {
    match value {
        None => Value::Null,
        Some(history::Value::Field(value)) => public_value(&value),
        Some(history::Value::Tags(tags)) => json!(tags),
    }
}

impl From<Difference> for DifferenceAnswer {
    fn from(difference: Difference) -> Self {
        let (before, after, secret) = match difference.change {
            FieldChange::Public { before, after } => (told(before), told(after), None),
            FieldChange::Secret(change) => (Value::Null, Value::Null, Some(change.as_str())),
        };
        Self { field: difference.field, label: difference.label, before, after, secret }
    }
}

impl From<Diff> for DiffAnswer {
    fn from(diff: Diff) -> Self {
        let changes = diff.changes.into_iter().map(DifferenceAnswer::from).collect();
        Self { from: diff.from, to: diff.to, changes_clients: diff.changes_clients, changes }
    }
}

/// Lists the versions of a connection, newest first, each with what it changed.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/connections/{name}/versions", operation_id = "list_versions", tag = "connections",
    params(("workspace" = String, Path), ("name" = String, Path), PageParams),
    responses((status = 200, body = ListAnswer<VersionSummary>), (status = 404), (status = 410), (status = 422)))]
pub async fn list_versions(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
    Asked(params): Asked<PageParams>,
) -> Result<Json<ListAnswer<VersionSummary>>> {
    let versions = history::list(&app, &caller, &named.workspace, &named.name, &params.into()).await?;
    Ok(listed(versions, VersionSummary::from))
}

/// Shows a version, under the entity tag that the connection had while this version was the current one.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/connections/{name}/versions/{version}", operation_id = "show_version", tag = "connections",
    params(("workspace" = String, Path), ("name" = String, Path), ("version" = i64, Path)),
    responses((status = 200, body = VersionAnswer, headers(("ETag" = String))), (status = 404), (status = 410)))]
pub async fn show_version(State(app): State<Arc<App>>, Authenticated(caller): Authenticated, at: Versioned) -> Result<Response> {
    let version = history::show(&app, &caller, &at.workspace, &at.name, at.version).await?;
    Ok(([(header::ETAG, version.etag())], Json(VersionAnswer::from(version))).into_response())
}

/// From which version on.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DiffParams {
    /// The version to begin from; the one before unless given. A newer one shows what a restore would change.
    pub from: Option<i64>,
}

/// Tells what changed up to a version, field by field.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/connections/{name}/versions/{version}/diff", operation_id = "diff_versions", tag = "connections",
    params(("workspace" = String, Path), ("name" = String, Path), ("version" = i64, Path), DiffParams),
    responses((status = 200, body = DiffAnswer), (status = 404), (status = 410)))]
pub async fn diff_versions(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    at: Versioned,
    Asked(params): Asked<DiffParams>,
) -> Result<Json<DiffAnswer>> {
    let diff = history::diff(&app, &caller, &at.workspace, &at.name, (params.from, at.version)).await?;
    Ok(Json(diff.into()))
}

/// Makes a new version that equals this one, secrets included: they go where they went then, and nowhere else. `If-Match` names the
/// connection's current version. If nothing would change, no version is made.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/connections/{name}/versions/{version}/restore", operation_id = "restore_version", tag = "connections",
    params(("workspace" = String, Path), ("name" = String, Path), ("version" = i64, Path),
        ("If-Match" = String, Header, description = "The connection's ETag that was read, a list of such, or `*`"), TrialParams),
    responses((status = 200, body = ConnectionAnswer, headers(("ETag" = String))), (status = 403, description = "tests_disabled"), (status = 404),
        (status = 409, description = "test_failed, rotation_under_way"), (status = 410), (status = 412), (status = 422), (status = 428), (status = 429)))]
pub async fn restore_version(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    at: Versioned,
    Conditions { precondition, trial }: Conditions,
) -> Result<Response> {
    let wanted = Restore { version: at.version, precondition, trial };
    let restored = history::restore(&app, &caller, &at.workspace, &at.name, wanted).await;
    let connection = match or_repeated(&app, &caller, restored).await {
        Err(Error::Repeated) => connections::show(&app, &caller.without_key(), &at.workspace, &at.name).await?,
        restored => restored?,
    };
    Ok(respond(StatusCode::OK, connection))
}

/// Deletes an older version with its secrets, for good. Secrets that other versions hold, too, stay in those. `If-Match` names this version.
#[utoipa::path(delete, path = "/api/v1/workspaces/{workspace}/connections/{name}/versions/{version}", operation_id = "purge_version", tag = "connections",
    params(("workspace" = String, Path), ("name" = String, Path), ("version" = i64, Path),
        ("If-Match" = String, Header, description = "The version's ETag that was read, a list of such, or `*`")),
    responses((status = 204), (status = 403), (status = 404), (status = 410), (status = 412), (status = 428)))]
pub async fn purge_version(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    at: Versioned,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode> {
    let purged = history::purge(&app, &caller, &at.workspace, &at.name, (at.version, precondition)).await;
    done(or_repeated(&app, &caller, purged).await)
}
