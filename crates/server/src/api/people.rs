//! `/workspaces/{workspace}/members`

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};

use super::{
    ListAnswer,
    extract::{Authenticated, InWorkspace, JsonBody, Named},
};
use crate::{
    app::App,
    clock::rfc3339,
    error::{Error, Problem, Result},
    ops::{Role, Roles, people},
};

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct MemberAnswer {
    pub email: String,
    pub roles: Vec<Role>,
    /// An owner may do everything in every workspace.
    pub owner: bool,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberRequest {
    pub roles: Vec<Role>,
}

/// A one-time code for a new person to choose a password with, at `/link/CODE`; null for someone who has an account.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct MemberAdded {
    pub link_code: Option<String>,
    pub link_expires_at: Option<String>,
}

/// Lists the members of a workspace.
#[utoipa::path(get, path = "/workspaces/{workspace}/members", operation_id = "list_members", tag = "people", params(("workspace" = String, Path)),
    responses((status = 200, body = ListAnswer<MemberAnswer>), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub async fn list_members(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    InWorkspace(workspace): InWorkspace,
) -> Result<Json<ListAnswer<MemberAnswer>>> {
    let members = people::members(&app, &caller, &workspace).await?;
    let items = members
        .into_iter()
        .map(|member| MemberAnswer {
            roles: member.roles.iter().collect(),
            owner: member.person.is_owner,
            email: member.person.email,
        })
        .collect();
    Ok(Json(ListAnswer { items, next: None }))
}

/// Gives a person roles in a workspace.
#[utoipa::path(put, path = "/workspaces/{workspace}/members/{name}", operation_id = "put_member", tag = "people", params(("workspace" = String, Path), ("name" = String, Path, description = "The e-mail address")), request_body = MemberRequest,
    responses((status = 200, body = MemberAdded), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 422, body = Problem)))]
pub async fn put_member(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
    JsonBody(request): JsonBody<MemberRequest>,
) -> Result<Json<MemberAdded>> {
    let link = people::put_member(&app, &caller, &named.workspace, &named.name, Roles::of(&request.roles)).await?;
    let (code, expires_at) = link.map(|link| (link.code.expose_secret().to_owned(), rfc3339(link.expires_at))).unzip();
    Ok(Json(MemberAdded { link_code: code, link_expires_at: expires_at }))
}

/// Takes a person out of a workspace.
#[utoipa::path(delete, path = "/workspaces/{workspace}/members/{name}", operation_id = "remove_member", tag = "people", params(("workspace" = String, Path), ("name" = String, Path, description = "The e-mail address")),
    responses((status = 204), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem)))]
pub async fn remove_member(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
) -> Result<StatusCode> {
    match people::remove_member(&app, &caller, &named.workspace, &named.name).await {
        Ok(()) | Err(Error::Repeated) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(error),
    }
}
