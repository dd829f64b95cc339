//! `/workspaces/{workspace}/members`

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};

use super::{
    ListAnswer, PageParams, done,
    extract::{Asked, Authenticated, InWorkspace, JsonBody, Named},
    listed,
};
use crate::{
    app::App,
    clock::rfc3339,
    error::{Error, Result},
    ops::{Role, Roles, idempotency::or_repeated, people},
};

/// A person in a workspace.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "email": "ada@example.org", "roles": ["viewer", "editor"], "claimed_roles": [], "owner": false, "disabled": false, "pending": false, "altered": false, "created_by": "admin@example.org"
}))]
#[expect(clippy::struct_excessive_bools, reason = "each is true or not of a member, whatever the others are")]
pub struct MemberAnswer {
    pub email: String,
    /// Those given by hand, which `PUT` replaces.
    pub roles: Vec<Role>,
    /// Those that the sign-in provider's claims gave at the last sign-in. Both count.
    pub claimed_roles: Vec<Role>,
    /// An owner may do everything in every workspace.
    pub owner: bool,
    /// Cannot sign in, and his tokens do not work.
    pub disabled: bool,
    /// Has not chosen a password yet, and does not sign in with a provider.
    pub pending: bool,
    /// He, or his being in this workspace, was changed in the store outside of this program: it grants nothing. Remove him; an owner of the
    /// server disables an account that was, on the Studio's page Access.
    pub altered: bool,
    /// Who made the account.
    pub created_by: String,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"roles": ["viewer", "editor"]}))]
pub struct MemberRequest {
    #[schema(min_items = 1)]
    pub roles: Vec<Role>,
}

/// A one-time code for a new person to choose a password with, at `/link/CODE`; null for someone who has an account, and so for all
/// whom a token may change.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({"link_code": null, "link_expires_at": null}))]
pub struct MemberAdded {
    pub link_code: Option<String>,
    pub link_expires_at: Option<String>,
}

/// Lists the members of a workspace, by e-mail.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/members", operation_id = "list_members", tag = "people", params(("workspace" = String, Path), PageParams),
    responses((status = 200, body = ListAnswer<MemberAnswer>), (status = 403), (status = 404), (status = 422)))]
pub async fn list_members(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    InWorkspace(workspace): InWorkspace,
    Asked(params): Asked<PageParams>,
) -> Result<Json<ListAnswer<MemberAnswer>>> {
    let members = people::members(&app, &caller, &workspace, &params.into()).await?;
    Ok(listed(members, |member| MemberAnswer {
        roles: member.roles.iter().collect(),
        claimed_roles: member.claimed_roles.iter().collect(),
        owner: member.person.is_owner && member.altered.is_none(),
        disabled: member.person.disabled_at.is_some(),
        pending: member.person.password_hash.is_empty() && !member.is_linked,
        altered: member.altered.is_some(),
        created_by: member.person.created_by,
        email: member.person.email,
    }))
}

/// Gives a person in a workspace other roles.
///
/// Somebody who is not in the workspace yet is added by an owner of the server, on the Studio's page Access or in a shell; no token may.
#[utoipa::path(put, path = "/api/v1/workspaces/{workspace}/members/{name}", operation_id = "put_member", tag = "people", params(("workspace" = String, Path), ("name" = String, Path, description = "The e-mail address", max_length = 254)), request_body = MemberRequest,
    responses((status = 200, body = MemberAdded), (status = 403), (status = 404), (status = 415), (status = 422)))]
pub async fn put_member(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
    JsonBody(request): JsonBody<MemberRequest>,
) -> Result<Json<MemberAdded>> {
    let put = people::put_member(&app, &caller, &named.workspace, &named.name, Roles::of(&request.roles)).await;
    let link = match or_repeated(&app, &caller, put).await {
        Err(Error::Repeated) => None,
        came_to => came_to?,
    };
    let (code, expires_at) = link.map(|link| (link.code.expose_secret().to_owned(), rfc3339(link.expires_at))).unzip();
    Ok(Json(MemberAdded { link_code: code, link_expires_at: expires_at }))
}

/// Takes a person out of a workspace. The tokens that he or one of his tokens made there are revoked.
#[utoipa::path(delete, path = "/api/v1/workspaces/{workspace}/members/{name}", operation_id = "remove_member", tag = "people", params(("workspace" = String, Path), ("name" = String, Path, description = "The e-mail address")),
    responses((status = 204), (status = 403), (status = 404), (status = 409, description = "last_admin")))]
pub async fn remove_member(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
) -> Result<StatusCode> {
    let removed = people::remove_member(&app, &caller, &named.workspace, &named.name).await;
    done(or_repeated(&app, &caller, removed).await)
}

/// Disables a person in all workspaces: his sessions end, he cannot sign in, and his tokens do not work until he is enabled again.
///
/// For who may manage people wherever he is; an owner is disabled by another owner.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/members/{name}/disable", operation_id = "disable_person", tag = "people", params(("workspace" = String, Path), ("name" = String, Path, description = "The e-mail address")),
    responses((status = 204), (status = 403), (status = 404), (status = 409, description = "last_admin")))]
pub async fn disable_person(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
) -> Result<StatusCode> {
    let disabled = people::set_disabled(&app, &caller, &named.workspace, &named.name, true).await;
    done(or_repeated(&app, &caller, disabled).await)
}

/// Enables a person again. He signs in anew; his tokens that have not expired work again.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/members/{name}/enable", operation_id = "enable_person", tag = "people", params(("workspace" = String, Path), ("name" = String, Path, description = "The e-mail address")),
    responses((status = 204), (status = 403), (status = 404)))]
pub async fn enable_person(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
) -> Result<StatusCode> {
    let enabled = people::set_disabled(&app, &caller, &named.workspace, &named.name, false).await;
    done(or_repeated(&app, &caller, enabled).await)
}
