//! `/workspaces`

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;

use super::{
    ListAnswer, PageParams,
    extract::{Asked, Authenticated},
    listed,
};
use crate::{app::App, clock::rfc3339, error::Result, ops::workspaces};

/// A workspace that you are in.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({"name": "default", "created_at": "2026-11-01T09:00:00Z"}))]
pub struct WorkspaceAnswer {
    pub name: String,
    pub created_at: String,
}

/// Lists the workspaces that you are in, by name.
#[utoipa::path(get, path = "/api/v1/workspaces", operation_id = "list_workspaces", tag = "workspaces", params(PageParams),
    responses((status = 200, body = ListAnswer<WorkspaceAnswer>), (status = 422)))]
pub async fn list_workspaces(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Asked(params): Asked<PageParams>,
) -> Result<Json<ListAnswer<WorkspaceAnswer>>> {
    let page = workspaces::list(&app, &caller, &params.into()).await?;
    Ok(listed(page, |row| WorkspaceAnswer { name: row.name, created_at: rfc3339(row.created_at) }))
}
