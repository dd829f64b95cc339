//! `/workspaces/{workspace}/groups`

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
    error::{Error, Result},
    ops::{
        groups::{self, Group},
        idempotency::or_repeated,
    },
};

/// A group of people in a workspace.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({"name": "finance", "people": ["ada@example.org"], "altered": false}))]
pub struct GroupAnswer {
    pub name: String,
    /// E-mail addresses.
    pub people: Vec<String>,
    /// Changed in the store outside of this program: it admits nobody. Remove it.
    pub altered: bool,
}

impl From<Group> for GroupAnswer {
    fn from(group: Group) -> Self {
        Self { name: group.name, people: group.people, altered: group.is_altered }
    }
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"people": ["ada@example.org"]}))]
pub struct GroupRequest {
    /// E-mail addresses of people in the workspace.
    #[schema(max_items = 500)]
    pub people: Vec<String>,
}

/// Lists the groups of a workspace, by name.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/groups", operation_id = "list_groups", tag = "people", params(("workspace" = String, Path), PageParams),
    responses((status = 200, body = ListAnswer<GroupAnswer>), (status = 403), (status = 404), (status = 422)))]
pub async fn list_groups(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    InWorkspace(workspace): InWorkspace,
    Asked(params): Asked<PageParams>,
) -> Result<Json<ListAnswer<GroupAnswer>>> {
    Ok(listed(groups::list(&app, &caller, &workspace, &params.into()).await?, GroupAnswer::from))
}

/// Makes a group of these people, or replaces who is in it.
#[utoipa::path(put, path = "/api/v1/workspaces/{workspace}/groups/{name}", operation_id = "put_group", tag = "people", params(("workspace" = String, Path), ("name" = String, Path)), request_body = GroupRequest,
    responses((status = 200, body = GroupAnswer), (status = 403), (status = 404), (status = 409, description = "name_taken"), (status = 415), (status = 422)))]
pub async fn put_group(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
    JsonBody(request): JsonBody<GroupRequest>,
) -> Result<Json<GroupAnswer>> {
    let put = groups::put(&app, &caller, &named.workspace, &named.name, &request.people).await;
    match or_repeated(&app, &caller, put).await {
        Err(Error::Repeated) => Ok(Json(GroupAnswer { name: named.name, people: request.people, altered: false })),
        put => Ok(Json(put?.into())),
    }
}

/// Removes a group. Connections that were narrowed to it stay narrowed, to who else is named.
#[utoipa::path(delete, path = "/api/v1/workspaces/{workspace}/groups/{name}", operation_id = "remove_group", tag = "people", params(("workspace" = String, Path), ("name" = String, Path)),
    responses((status = 204), (status = 403), (status = 404)))]
pub async fn remove_group(State(app): State<Arc<App>>, Authenticated(caller): Authenticated, named: Named) -> Result<StatusCode> {
    let removed = groups::remove(&app, &caller, &named.workspace, &named.name).await;
    done(or_repeated(&app, &caller, removed).await)
}
