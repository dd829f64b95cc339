//! `/workspaces/{workspace}/tokens`

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
    ops::{
        Role, Roles,
        tokens::{self, NewToken, Token},
    },
};

/// A token without itself.
#[derive(Debug, Serialize, utoipa::ToSchema)]
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
}

/// A new token, shown this once.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct NewTokenAnswer {
    #[schema(example = "dfc_user_…")]
    pub token: String,
    #[serde(flatten)]
    pub about: TokenAnswer,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// One line of at most 250 characters, unique among the live tokens of the workspace.
    pub name: String,
    pub roles: Vec<Role>,
    /// 1 to 366; 90 unless given.
    pub expires_in_days: Option<i64>,
    /// At most 100 connection names that the token is narrowed to; null: all.
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
    }
}

/// Lists the tokens that you made; an admin sees all.
#[utoipa::path(get, path = "/workspaces/{workspace}/tokens", operation_id = "list_tokens", tag = "tokens", params(("workspace" = String, Path)),
    responses((status = 200, body = ListAnswer<TokenAnswer>), (status = 401, body = Problem), (status = 404, body = Problem)))]
pub async fn list_tokens(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    InWorkspace(workspace): InWorkspace,
) -> Result<Json<ListAnswer<TokenAnswer>>> {
    let items = tokens::list(&app, &caller, &workspace).await?.into_iter().map(answer).collect();
    Ok(Json(ListAnswer { items, next: None }))
}

/// Makes a token. It is in this answer and nowhere else.
#[utoipa::path(post, path = "/workspaces/{workspace}/tokens", operation_id = "create_token", tag = "tokens", params(("workspace" = String, Path)), request_body = TokenRequest,
    responses((status = 201, body = NewTokenAnswer), (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 413, body = Problem), (status = 415, body = Problem), (status = 422, body = Problem)))]
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

/// Revokes a token by its id.
#[utoipa::path(delete, path = "/workspaces/{workspace}/tokens/{name}", operation_id = "revoke_token", tag = "tokens", params(("workspace" = String, Path), ("name" = String, Path, description = "The token's id")),
    responses((status = 204), (status = 401, body = Problem), (status = 404, body = Problem)))]
pub async fn revoke_token(State(app): State<Arc<App>>, Authenticated(caller): Authenticated, named: Named) -> Result<StatusCode> {
    match tokens::revoke(&app, &caller, &named.workspace, &named.name).await {
        Ok(()) | Err(Error::Repeated) => Ok(StatusCode::NO_CONTENT),
        Err(error) => Err(error),
    }
}
