//! `GET …/connections/{name}/credentials`: the one answer with secrets in it.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::extract::{Authenticated, Named};
use crate::{
    app::App,
    error::{Error, Problem, Result},
    ops::credentials::resolve,
};

/// What a client needs to connect, secrets in clear.
#[derive(Debug, utoipa::ToSchema)]
#[schema(example = json!({
    "name": "sales", "type": "postgres", "base": "postgres", "sqlalchemy": "postgresql",
    "fields": {"host": "db.internal", "port": 5432, "database": "sales", "username": "analytics", "password": "…", "tls": {"mode": "verify-full"}, "extra": {}},
    "fingerprint": "k3v9…", "version": 3
}))]
pub struct CredentialsAnswer {
    pub name: String,
    pub r#type: String,
    /// The connector behind the type.
    pub base: String,
    /// SQLAlchemy's dialect, or null.
    pub sqlalchemy: Option<String>,
    pub fields: super::connections::Object,
    pub fingerprint: String,
    pub version: i64,
}

/// Resolves a name. Send the `ETag` back as `If-None-Match`: 304 means that what you hold is current. Each call is a use and is audited.
#[utoipa::path(get, path = "/workspaces/{workspace}/connections/{name}/credentials", operation_id = "resolve_credentials", tag = "credentials",
    params(("workspace" = String, Path), ("name" = String, Path), ("If-None-Match" = Option<String>, Header), ("Dataflow-Workflow" = Option<String>, Header, description = "`kind=notebook; name=\"churn.ipynb\"; run=\"…\"`")),
    responses((status = 200, body = CredentialsAnswer, headers(("ETag" = String), ("Cache-Control" = String))), (status = 304), (status = 401, body = Problem), (status = 403, body = Problem), (status = 404, body = Problem),
        (status = 410, description = "`connection_deleted`", body = Problem), (status = 500, description = "`secret_unreadable`", body = Problem), (status = 503, body = Problem)))]
pub async fn resolve_credentials(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
    headers: HeaderMap,
) -> Result<Response> {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).map(|tag| tag.trim().trim_matches('"'));
    let resolved = resolve(&app, &caller, &named.workspace, &named.name, known).await?;
    let etag = HeaderValue::from_str(&format!("\"{}\"", resolved.fingerprint)).map_err(|error| Error::Internal(error.into()))?;
    let mut response = match resolved.body {
        None => StatusCode::NOT_MODIFIED.into_response(),
        Some(body) => {
            let mut response = body.expose_secret().to_owned().into_response();
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
    };
    response.headers_mut().insert(header::ETAG, etag);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
