//! Names of a connection: another one for it, its aliases, and leading them to another connection.

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRequestParts, State},
    http::{StatusCode, request::Parts},
    response::Response,
};
use dataflow_model::Impact;
use serde::{Deserialize, Serialize};

use super::{
    ListAnswer,
    conditions::IfMatch,
    connections::{ConnectionAnswer, respond},
    done,
    extract::{Asked, Authenticated, JsonBody, Named, param, path_params},
};
use crate::{
    app::App,
    clock::rfc3339,
    error::{Error, Result},
    ops::{
        connections,
        idempotency::or_repeated,
        names::{self, Alias},
        rename::{self, Rename},
        repoint::{self, Repoint},
    },
};

/// Another name of a connection, and who uses it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "name": "old_sales", "made_at": "2026-11-29T09:00:00Z", "made_by": "ada@example.org", "total": 3, "live": 1,
    "last_used_at": "2026-11-30T02:00:04Z", "idle": false, "impact_token": "3b0c5a0f6e0d4c1f9a7b2d8e6c4f1a20"
}))]
pub struct AliasAnswer {
    pub name: String,
    pub made_at: String,
    pub made_by: String,
    /// How many workflows depend on it.
    pub total: i64,
    /// How many of them used it within the last minute.
    pub live: i64,
    /// When a workflow used it last; null if none did.
    pub last_used_at: Option<String>,
    /// Nothing has used it for 30 days, and no code that was scanned names it.
    pub idle: bool,
    /// What its removal has to carry; null where nothing depends on it.
    pub impact_token: Option<String>,
}

impl From<Alias> for AliasAnswer {
    fn from(alias: Alias) -> Self {
        Self {
            name: alias.row.name,
            made_at: rfc3339(alias.row.made_at),
            made_by: alias.row.made_by,
            total: alias.total,
            live: alias.live,
            last_used_at: alias.last_used_at.map(rfc3339),
            idle: alias.is_idle,
            impact_token: alias.impact_token,
        }
    }
}

/// `…/connections/{name}/aliases/{alias}`
pub struct OfAlias {
    pub named: Named,
    pub alias: String,
}

impl<S: Send + Sync> FromRequestParts<S> for OfAlias {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let named = Named::from_request_parts(parts, state).await?;
        let path = path_params(parts, state).await?;
        Ok(Self { named, alias: param(&path, "alias").unwrap_or_default() })
    }
}

/// Lists the other names of a connection, with who uses each.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/connections/{name}/aliases", operation_id = "list_aliases", tag = "connections",
    params(("workspace" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = ListAnswer<AliasAnswer>), (status = 404), (status = 410)))]
pub async fn list_aliases(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
) -> Result<Json<ListAnswer<AliasAnswer>>> {
    let aliases = names::list(&app, &caller, &named.workspace, &named.name).await?;
    Ok(Json(ListAnswer { items: aliases.into_iter().map(AliasAnswer::from).collect(), next: None }))
}

/// That it is known what breaks.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RemoveAliasParams {
    /// That of the alias, while workflows depend on it: the list has it, and so has the refusal.
    pub impact_token: Option<String>,
}

/// Removes an alias: who still uses it finds no connection from then on.
#[utoipa::path(delete, path = "/api/v1/workspaces/{workspace}/connections/{name}/aliases/{alias}", operation_id = "remove_alias", tag = "connections",
    params(("workspace" = String, Path), ("name" = String, Path), ("alias" = String, Path), RemoveAliasParams),
    responses((status = 204), (status = 403), (status = 404), (status = 409, description = "has_dependents"), (status = 410)))]
pub async fn remove_alias(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OfAlias { named, alias }: OfAlias,
    Asked(params): Asked<RemoveAliasParams>,
) -> Result<StatusCode> {
    let removed = names::remove(&app, &caller, &named.workspace, &named.name, (&alias, params.impact_token)).await;
    done(or_repeated(&app, &caller, removed).await)
}

/// Another name for a connection.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "warehouse", "keep_alias": true}))]
pub struct RenameBody {
    /// Of `A-Z a-z 0-9 _ . -`, first a letter or digit.
    #[schema(min_length = 1, max_length = 250)]
    pub name: String,
    /// Whether the old name goes on working, as an alias; it does unless this is false.
    #[serde(default = "yes")]
    #[schema(default = true, required = false)]
    pub keep_alias: bool,
    /// That of the impact, where workflows use the old name and it does not go on working: the refusal has it.
    #[serde(default)]
    pub impact_token: Option<String>,
}

fn yes() -> bool {
    true
}

/// Renames a connection. Its history, its dependents and who may use it stay with it; no client notices, as long as the old name goes on
/// working.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/connections/{name}/rename", operation_id = "rename_connection", tag = "connections",
    params(("workspace" = String, Path), ("name" = String, Path), ("If-Match" = String, Header, description = "The ETag that was read, a list of such, or `*`")), request_body = RenameBody,
    responses((status = 200, body = ConnectionAnswer, headers(("ETag" = String))), (status = 403), (status = 404), (status = 409, description = "name_taken, has_dependents"),
        (status = 410), (status = 412), (status = 415), (status = 422), (status = 428)))]
pub async fn rename_connection(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
    IfMatch(precondition): IfMatch,
    JsonBody(body): JsonBody<RenameBody>,
) -> Result<Response> {
    let RenameBody { name: to, keep_alias, impact_token } = body;
    let asked = Rename { to: to.clone(), keep_alias, precondition, impact_token };
    let renamed = rename::rename(&app, &caller, &named.workspace, &named.name, asked).await;
    let connection = match or_repeated(&app, &caller, renamed).await {
        Err(Error::Repeated) => connections::show(&app, &caller.without_key(), &named.workspace, &to).await?,
        renamed => renamed?,
    };
    Ok(respond(StatusCode::OK, connection))
}

/// Where it would lead.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RepointingParams {
    /// The name of the other connection.
    #[param(min_length = 1, max_length = 250)]
    pub to: String,
}

/// Tells what it would do to lead a connection's names to another one: who depends on them, whether another driver opens the other one, and
/// who may not use that.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/connections/{name}/repoint", operation_id = "show_repointing", tag = "connections",
    params(("workspace" = String, Path), ("name" = String, Path), RepointingParams),
    responses((status = 200, body = Impact), (status = 403), (status = 404), (status = 410), (status = 422)))]
pub async fn show_repointing(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
    Asked(params): Asked<RepointingParams>,
) -> Result<Json<Impact>> {
    Ok(Json(repoint::impact(&app, &caller, &named.workspace, &named.name, &params.to).await?))
}

/// Where the names of a connection lead from then on.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"to": "warehouse", "reason": "Moved to the new warehouse.", "impact_token": "3b0c5a0f6e0d4c1f9a7b2d8e6c4f1a20"}))]
pub struct RepointBody {
    /// The own name of another connection.
    #[schema(min_length = 1, max_length = 250)]
    pub to: String,
    /// Kept with the tombstone.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub reason: Option<String>,
    /// That of the impact, where anything depends on the names or another driver opens the other connection.
    #[serde(default)]
    pub impact_token: Option<String>,
}

/// Deletes a connection and has its names lead to another one, at once: programs that use them get that one's credentials from their next
/// question on, if they may use it. Answers with the other connection.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/connections/{name}/repoint", operation_id = "repoint_connection", tag = "connections",
    params(("workspace" = String, Path), ("name" = String, Path), ("If-Match" = String, Header, description = "The ETag that was read, a list of such, or `*`")), request_body = RepointBody,
    responses((status = 200, body = ConnectionAnswer, headers(("ETag" = String))), (status = 403), (status = 404), (status = 409, description = "has_dependents"), (status = 410),
        (status = 412), (status = 415), (status = 422), (status = 428)))]
pub async fn repoint_connection(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
    IfMatch(precondition): IfMatch,
    JsonBody(body): JsonBody<RepointBody>,
) -> Result<Response> {
    let RepointBody { to, reason, impact_token } = body;
    let asked = Repoint { to: to.clone(), precondition, reason, impact_token };
    let repointed = repoint::repoint(&app, &caller, &named.workspace, &named.name, asked).await;
    let connection = match or_repeated(&app, &caller, repointed).await {
        Err(Error::Repeated) => connections::show(&app, &caller.without_key(), &named.workspace, &to).await?,
        repointed => repointed?,
    };
    Ok(respond(StatusCode::OK, connection))
}
