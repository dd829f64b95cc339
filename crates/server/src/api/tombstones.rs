//! `/workspaces/{workspace}/tombstones`: deleted connections; and bringing one back.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode, response::Response};
use serde::Serialize;

use super::{
    ListAnswer, PageParams,
    conditions::IfMatch,
    connections::{ConnectionAnswer, respond},
    extract::{Asked, Authenticated, InWorkspace, Named},
    listed,
};
use crate::{
    app::App,
    clock::rfc3339,
    error::{Error, Result},
    ops::{
        connections,
        idempotency::or_repeated,
        tombstones::{self, Deleted},
    },
};

/// A deleted connection.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "name": "sales", "type": "postgres", "version": 3, "etag": "\"6f1c0a52-8d0e-4a55-9d0a-0b8a2f3c4d5e.3\"", "deleted_at": "2026-11-29T09:00:00Z",
    "deleted_by": "ada@example.org", "reason": "moved", "use_instead": "warehouse", "restorable_until": "2026-12-29T09:00:00Z"
}))]
pub struct TombstoneAnswer {
    pub name: String,
    #[serde(rename = "type")]
    pub type_id: String,
    pub version: i64,
    /// For `If-Match` where it is brought back.
    pub etag: String,
    pub deleted_at: String,
    pub deleted_by: String,
    pub reason: Option<String>,
    /// What those who ask for it are told to use.
    pub use_instead: Option<String>,
    /// Until when it can be brought back; null: always.
    pub restorable_until: Option<String>,
}

fn answer(deleted: Deleted) -> TombstoneAnswer {
    let etag = deleted.etag();
    let row = deleted.row;
    TombstoneAnswer {
        etag,
        name: row.name,
        type_id: row.type_id,
        version: row.version,
        deleted_at: row.deleted_at.map(rfc3339).unwrap_or_default(),
        deleted_by: row.deleted_by.unwrap_or_default(),
        reason: row.deleted_reason,
        use_instead: row.use_instead,
        restorable_until: deleted.until.map(rfc3339),
    }
}

/// Lists deleted connections, the latest first.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/tombstones", operation_id = "list_tombstones", tag = "connections",
    params(("workspace" = String, Path), PageParams), responses((status = 200, body = ListAnswer<TombstoneAnswer>), (status = 404), (status = 422)))]
pub async fn list_tombstones(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    InWorkspace(workspace): InWorkspace,
    Asked(params): Asked<PageParams>,
) -> Result<Json<ListAnswer<TombstoneAnswer>>> {
    Ok(listed(tombstones::list(&app, &caller, &workspace, &params.into()).await?, answer))
}

/// Brings back what was deleted last under a name, as it was: programs that use the name work again at once, without a restart. A name that was
/// last an alias of another deleted connection is refused, unless the tombstone is named by its `ETag`.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/connections/{name}/restore", operation_id = "restore_connection", tag = "connections",
    params(("workspace" = String, Path), ("name" = String, Path), ("If-Match" = String, Header, description = "The tombstone's ETag, a list of such, or `*`")),
    responses((status = 200, body = ConnectionAnswer, headers(("ETag" = String))), (status = 403), (status = 404), (status = 409, description = "name_taken"),
        (status = 410, description = "connection_deleted"), (status = 412), (status = 422), (status = 428)))]
pub async fn restore_connection(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
    IfMatch(precondition): IfMatch,
) -> Result<Response> {
    let restored = tombstones::restore(&app, &caller, &named.workspace, &named.name, &precondition).await;
    let connection = match or_repeated(&app, &caller, restored).await {
        Err(Error::Repeated) => connections::show(&app, &caller.without_key(), &named.workspace, &named.name).await?,
        restored => restored?,
    };
    Ok(respond(StatusCode::OK, connection))
}
