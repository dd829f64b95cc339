//! `/workspaces/{workspace}/connections/{name}/users`: who may use a connection.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};

use super::{
    conditions::IfMatch,
    extract::{Authenticated, JsonBody, Named},
};
use crate::{
    app::App,
    error::{Error, Result},
    ops::{
        idempotency::or_repeated,
        users::{self, Narrowing, Users},
    },
};

/// Who may use a connection: whoever has the role (`narrowed` is false), or of those only whom this names, and admins.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"narrowed": true, "people": ["ada@example.org"], "tokens": ["nightly"], "groups": ["finance"]}))]
pub struct UsersBody {
    pub narrowed: bool,
    /// E-mail addresses of people in the workspace; their tokens are meant, too.
    #[serde(default)]
    #[schema(max_items = 500)]
    pub people: Vec<String>,
    /// Names of live tokens.
    #[serde(default)]
    #[schema(max_items = 500)]
    pub tokens: Vec<String>,
    #[serde(default)]
    #[schema(max_items = 500)]
    pub groups: Vec<String>,
}

fn respond(narrowing: Narrowing) -> Response {
    let narrowed = narrowing.users.is_some();
    let Users { people, tokens, groups } = narrowing.users.unwrap_or_default();
    ([(header::ETAG, narrowing.etag)], Json(UsersBody { narrowed, people, tokens, groups })).into_response()
}

/// Shows who may use a connection.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/connections/{name}/users", operation_id = "show_users", tag = "connections", params(("workspace" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = UsersBody, headers(("ETag" = String))), (status = 403), (status = 404), (status = 410)))]
pub async fn show_users(State(app): State<Arc<App>>, Authenticated(caller): Authenticated, named: Named) -> Result<Response> {
    Ok(respond(users::show(&app, &caller, &named.workspace, &named.name).await?))
}

/// Decides who may use a connection. Who is not named any more is refused at his next read.
#[utoipa::path(put, path = "/api/v1/workspaces/{workspace}/connections/{name}/users", operation_id = "set_users", tag = "connections",
    params(("workspace" = String, Path), ("name" = String, Path), ("If-Match" = String, Header, description = "The ETag that was read, a list of such, or `*`")), request_body = UsersBody,
    responses((status = 200, body = UsersBody, headers(("ETag" = String))), (status = 403), (status = 404), (status = 410), (status = 412), (status = 415), (status = 422), (status = 428)))]
pub async fn set_users(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
    IfMatch(precondition): IfMatch,
    JsonBody(body): JsonBody<UsersBody>,
) -> Result<Response> {
    let UsersBody { narrowed, people, tokens, groups } = body;
    let wanted = narrowed.then_some(Users { people, tokens, groups });
    let set = users::set(&app, &caller, &named.workspace, &named.name, (wanted, precondition)).await;
    match or_repeated(&app, &caller, set).await {
        Err(Error::Repeated) => Ok(respond(users::show(&app, &caller.without_key(), &named.workspace, &named.name).await?)),
        set => Ok(respond(set?)),
    }
}
