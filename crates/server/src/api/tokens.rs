//! `/workspaces/{workspace}/tokens`

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
    error::Result,
    ops::{
        Role, Roles,
        idempotency::or_repeated,
        tokens::{self, NewToken, Token},
    },
};

/// A token without itself.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "id": "01939a1e-5b7c-7d40-9f0a-2f6c1b7a9e55", "name": "nightly", "roles": ["user"], "connections": ["sales"], "created_at": "2026-11-02T09:00:00Z",
    "created_by": "ada@example.org", "expires_at": "2027-01-31T09:00:00Z", "revoked_at": null, "last_used_at": "2026-11-03T02:00:00Z", "altered": false
}))]
pub struct TokenAnswer {
    pub id: String,
    pub name: String,
    pub roles: Vec<Role>,
    /// The connection names that it is narrowed to; null: all.
    pub connections: Option<Vec<String>>,
    pub created_at: String,
    pub created_by: String,
    pub expires_at: String,
    pub revoked_at: Option<String>,
    pub last_used_at: Option<String>,
    /// Changed in the store outside of this program: it opens nothing. Revoke it.
    pub altered: bool,
}

/// A new token, shown this once.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "token": "dfc_user_…", "id": "01939a1e-5b7c-7d40-9f0a-2f6c1b7a9e55", "name": "nightly", "roles": ["user"], "connections": null,
    "created_at": "2026-11-02T09:00:00Z", "created_by": "ada@example.org", "expires_at": "2027-01-31T09:00:00Z", "revoked_at": null, "last_used_at": null, "altered": false
}))]
pub struct NewTokenAnswer {
    #[schema(example = "dfc_user_…")]
    pub token: String,
    #[serde(flatten)]
    pub about: TokenAnswer,
}

/// A token as it is asked for.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "nightly", "roles": ["user"], "expires_in_days": 30, "connections": ["sales"]}))]
pub struct TokenRequest {
    /// One line, unique among the live tokens of the workspace.
    #[schema(min_length = 1, max_length = 250)]
    pub name: String,
    #[schema(min_items = 1)]
    pub roles: Vec<Role>,
    /// 90 unless given. A token that a token makes expires no later than that one.
    #[schema(minimum = 1, maximum = 366)]
    pub expires_in_days: Option<i64>,
    /// The connection names that the token is narrowed to; null: all.
    #[schema(min_items = 1, max_items = 100)]
    pub connections: Option<Vec<String>>,
}

fn answer(token: Token) -> TokenAnswer {
    TokenAnswer {
        id: token.row.id,
        name: token.row.name,
        roles: token.roles.iter().collect(),
        connections: token.connections,
        created_at: rfc3339(token.row.created_at),
        created_by: token.row.created_by,
        expires_at: rfc3339(token.row.expires_at),
        revoked_at: token.row.revoked_at.map(rfc3339),
        last_used_at: token.row.last_used_at.map(rfc3339),
        altered: token.is_altered,
    }
}

/// Lists the tokens that you made, newest first; an admin sees all.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/tokens", operation_id = "list_tokens", tag = "tokens", params(("workspace" = String, Path), PageParams),
    responses((status = 200, body = ListAnswer<TokenAnswer>), (status = 404), (status = 422)))]
pub async fn list_tokens(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    InWorkspace(workspace): InWorkspace,
    Asked(params): Asked<PageParams>,
) -> Result<Json<ListAnswer<TokenAnswer>>> {
    Ok(listed(tokens::list(&app, &caller, &workspace, &params.into()).await?, answer))
}

/// Makes a token. It is in this answer and nowhere else.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/tokens", operation_id = "create_token", tag = "tokens", params(("workspace" = String, Path)), request_body = TokenRequest,
    responses((status = 201, body = NewTokenAnswer), (status = 403), (status = 404), (status = 409, description = "name_taken"), (status = 415), (status = 422)))]
pub async fn create_token(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    InWorkspace(workspace): InWorkspace,
    JsonBody(request): JsonBody<TokenRequest>,
) -> Result<(StatusCode, Json<NewTokenAnswer>)> {
    let new = NewToken {
        name: request.name,
        roles: Roles::of(&request.roles),
        expires_in_days: request.expires_in_days,
        connections: request.connections,
    };
    let (secret, token) = tokens::create(&app, &caller, &workspace, new).await?;
    Ok((StatusCode::CREATED, Json(NewTokenAnswer { token: secret.expose_secret().to_owned(), about: answer(token) })))
}

/// Revokes a token by its id, and those that it made.
#[utoipa::path(delete, path = "/api/v1/workspaces/{workspace}/tokens/{name}", operation_id = "revoke_token", tag = "tokens", params(("workspace" = String, Path), ("name" = String, Path, description = "The token's id")),
    responses((status = 204), (status = 404)))]
pub async fn revoke_token(State(app): State<Arc<App>>, Authenticated(caller): Authenticated, named: Named) -> Result<StatusCode> {
    let revoked = tokens::revoke(&app, &caller, &named.workspace, &named.name).await;
    done(or_repeated(&app, &caller, revoked).await)
}
