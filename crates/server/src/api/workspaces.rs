//! `/workspaces`

use std::sync::Arc;

use axum::{Json, extract::State};
use serde::Serialize;

use super::{ListAnswer, extract::Authenticated};
use crate::{
    app::App,
    clock::rfc3339,
    error::{Problem, Result},
    ops::workspaces,
};

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct WorkspaceAnswer {
    pub name: String,
    pub created_at: String,
}

/// Lists the workspaces that you are in.
#[utoipa::path(get, path = "/workspaces", operation_id = "list_workspaces", tag = "workspaces",
    responses((status = 200, body = ListAnswer<WorkspaceAnswer>), (status = 401, body = Problem)))]
pub async fn list_workspaces(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
) -> Result<Json<ListAnswer<WorkspaceAnswer>>> {
    let rows = workspaces::list(&app, &caller).await?;
    let items = rows.into_iter().map(|row| WorkspaceAnswer { name: row.name, created_at: rfc3339(row.created_at) }).collect();
    Ok(Json(ListAnswer { items, next: None }))
}
