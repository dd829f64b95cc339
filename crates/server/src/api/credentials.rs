//! `GET …/connections/{name}/credentials`: the one answer with secrets in it.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use dataflow_model::Secret;

use super::{
    conditions::client_holds,
    extract::{Authenticated, Named},
};
use crate::{
    app::App,
    error::{Error, Result},
    ops::credentials::resolve_after,
};

/// The current version, in every answer: a save that changes only the description or the tags leaves the `ETag` as it is.
const VERSION: HeaderName = HeaderName::from_static("dataflow-connection-version");

/// Sent by a client whose database did not take what it holds.
const FAILED: HeaderName = HeaderName::from_static("dataflow-failed");

/// A body that is wiped once it is sent.
struct Wiped(Secret);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.expose_secret().as_bytes()
    }
}

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
    /// What the connection goes through, the same of that one; absent where it goes through none. The fingerprint is of both.
    pub hop: Option<super::connections::Object>,
}

/// Resolves a name. Send the `ETag` back as `If-None-Match`: 304 means that what you hold is current. Each call is a use and is audited.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/connections/{name}/credentials", operation_id = "resolve_credentials", tag = "credentials",
    params(("workspace" = String, Path), ("name" = String, Path), ("If-None-Match" = Option<String>, Header), ("Dataflow-Workflow" = Option<String>, Header, description = "`kind=notebook; name=\"churn.ipynb\"; run=\"…\"; host=\"…\"`; name, run and host are cut after 250 characters, and what is not of this form counts as not sent"),
        ("Dataflow-Failed" = Option<String>, Header, description = "`?1` if you could not connect with what you hold: dependents show it, and while the password is being rotated the answer waits for the new one, up to three seconds")),
    responses((status = 200, body = CredentialsAnswer, headers(("ETag" = String), ("Cache-Control" = String), ("Dataflow-Connection-Version" = i64))),
        (status = 304, description = "What you hold is current, at the version that the header says.", headers(("ETag" = String), ("Cache-Control" = String), ("Dataflow-Connection-Version" = i64))),
        (status = 403), (status = 404), (status = 409, description = "hop_unavailable"), (status = 410)))]
pub async fn resolve_credentials(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
    headers: HeaderMap,
) -> Result<Response> {
    let holds = |fingerprint: &str| client_holds(&headers, fingerprint);
    let asked = (holds, headers.contains_key(FAILED));
    let resolved = resolve_after(&app, &caller, &named.workspace, &named.name, asked).await?;
    let etag = HeaderValue::from_str(&format!("\"{}\"", resolved.fingerprint)).map_err(|error| Error::Internal(error.into()))?;
    let mut response = match resolved.body {
        None => StatusCode::NOT_MODIFIED.into_response(),
        Some(body) => {
            let mut response = Bytes::from_owner(Wiped(body)).into_response();
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
    };
    response.headers_mut().insert(header::ETAG, etag);
    response.headers_mut().insert(VERSION, HeaderValue::from(resolved.version));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
