//! What handlers take: the caller first, then the address, then the body. Every refusal is a problem document.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Path, Query, Request, State, rejection::QueryRejection},
    http::{HeaderMap, header, request::Parts},
    middleware::Next,
    response::Response,
};
use dataflow_model::{FieldError, Workflow};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::{
    app::App,
    error::Error,
    listen::PeerAddress,
    ops::{Caller, Who, connections::Precondition, idempotency::IdempotencyKey, tokens},
};

/// Largest body of a request, in bytes.
pub const BODY_MAX: usize = 64 * 1024;
/// Longest `Idempotency-Key`, in bytes.
const IDEMPOTENCY_KEY_MAX: usize = 255;

/// The caller of an API request, as [`authenticate`] found him.
pub struct Authenticated(pub Caller);

impl<S: Send + Sync> FromRequestParts<S> for Authenticated {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        parts.extensions.get::<Caller>().cloned().map(Self).ok_or(Error::Unauthenticated)
    }
}

/// Goes before every route of the API: a valid bearer token, or nothing of the request is read.
///
/// A change with an `Idempotency-Key` gets its body read here, so that a repeat is known by all that was asked.
pub async fn authenticate(State(app): State<Arc<App>>, request: Request, next: Next) -> Result<Response, Error> {
    let (mut parts, body) = request.into_parts();
    let mut caller = bearer(&app, &parts).await?;
    let key = parts.headers.get("idempotency-key").filter(|_| !parts.method.is_safe()).cloned();
    let body = match key {
        None => body,
        Some(key) => {
            if key.is_empty() || key.len() > IDEMPOTENCY_KEY_MAX {
                return Err(Error::Malformed("The Idempotency-Key must have from 1 to 255 characters."));
            }
            let bytes = read_body(body).await?;
            caller.idempotency = Some(idempotency_key(&app, &caller, &parts, key.as_bytes(), &bytes));
            Body::from(bytes.to_vec())
        }
    };
    parts.extensions.insert(caller);
    Ok(next.run(Request::from_parts(parts, body)).await)
}

async fn bearer(app: &App, parts: &Parts) -> Result<Caller, Error> {
    let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or(Error::Unauthenticated)?;
    let (scheme, token) = header.split_once(' ').ok_or(Error::Unauthenticated)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Error::Unauthenticated);
    }
    let identity = tokens::authenticate(app, token.trim()).await?;
    let workflow = parts.headers.get("dataflow-workflow").and_then(|value| value.to_str().ok()).and_then(Workflow::parse);
    let address = parts.extensions.get::<PeerAddress>().map(|peer| peer.0.ip());
    Ok(Caller { workflow, address, ..Caller::of(Who::Token(identity)) })
}

fn idempotency_key(app: &App, caller: &Caller, parts: &Parts, key: &[u8], body: &[u8]) -> IdempotencyKey {
    let precondition = parts.headers.get(header::IF_MATCH).map(header::HeaderValue::as_bytes).unwrap_or_default();
    let address = parts.uri.to_string();
    let asked = [parts.method.as_str().as_bytes(), address.as_bytes(), precondition, body];
    IdempotencyKey {
        hash: app.vault.row_mac("idempotency_keys", &[caller.identity().as_bytes(), key]),
        request_hash: app.vault.row_mac("idempotency_requests", &asked),
    }
}

/// `…/workspaces/{workspace}/…`
pub struct InWorkspace(pub String);

impl<S: Send + Sync> FromRequestParts<S> for InWorkspace {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let Path(path) = Path::<std::collections::HashMap<String, String>>::from_request_parts(parts, state)
            .await
            .map_err(|_| Error::Malformed("The address is not valid UTF-8."))?;
        path.get("workspace").cloned().map(Self).ok_or(Error::NotFound("workspace"))
    }
}

/// `…/connections/test` tests unsaved values under POST; under every other method it is the connection of that name.
pub const CONNECTION_CALLED_TEST: &str = "test";

/// `…/workspaces/{workspace}/…/{name}`
pub struct Named {
    pub workspace: String,
    pub name: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let InWorkspace(workspace) = InWorkspace::from_request_parts(parts, state).await?;
        let Path(mut path) = Path::<std::collections::HashMap<String, String>>::from_request_parts(parts, state)
            .await
            .map_err(|_| Error::Malformed("The address is not valid UTF-8."))?;
        let name = path.remove("name").unwrap_or_else(|| CONNECTION_CALLED_TEST.to_owned());
        Ok(Self { workspace, name })
    }
}

/// The query string, typed; an unknown or repeated member is refused.
pub struct Asked<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(QueryRejection::FailedToDeserializeQueryString(_) | _) => {
                Err(Error::Malformed("The query string has an unknown, repeated or malformed member."))
            }
        }
    }
}

/// A JSON body of at most 64 KiB. What it holds is never repeated in an error: it may be a secret in the wrong place.
pub struct JsonBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        if !is_json(request.headers()) {
            return Err(Error::UnsupportedMediaType);
        }
        let bytes = read_body(request.into_body()).await?;
        parse(&bytes).map(Self)
    }
}

/// Like [`JsonBody`], for requests that may come without one.
pub struct OptionalBody<T>(pub Option<T>);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for OptionalBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        let json = is_json(request.headers());
        let bytes = read_body(request.into_body()).await?;
        match (bytes.is_empty(), json) {
            (true, _) => Ok(Self(None)),
            (false, false) => Err(Error::UnsupportedMediaType),
            (false, true) => parse(&bytes).map(|body| Self(Some(body))),
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
}

pub(crate) async fn read_body(body: Body) -> Result<zeroize::Zeroizing<Vec<u8>>, Error> {
    match Limited::new(body, BODY_MAX).collect().await {
        Ok(collected) => Ok(zeroize::Zeroizing::new(collected.to_bytes().to_vec())),
        Err(error) if error.is::<LengthLimitError>() => Err(Error::BodyTooLarge),
        Err(_) => Err(Error::Malformed("The request's body ended early.")),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Error::Invalid(vec![FieldError::new(
            field_of(&error),
            "invalid",
            "is unknown, missing, repeated or of the wrong type",
        )]),
        _ => Error::Malformed("The request's body is not valid JSON."),
    })
}

/// The member that a parse error is about, where serde names it. Values are never taken from its text.
fn field_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let named = ["unknown field `", "missing field `", "duplicate field `"].iter().find_map(|prefix| text.strip_prefix(prefix));
    let name = named.and_then(|rest| rest.split('`').next()).unwrap_or_default();
    name.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')).take(64).collect()
}

/// `If-Match`, as a change must have it.
pub struct IfMatch(pub Precondition);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let value = parts.headers.get(header::IF_MATCH).and_then(|value| value.to_str().ok());
        Ok(Self(match value.map(str::trim) {
            None => Precondition::Missing,
            Some("*") => Precondition::Any,
            Some(tag) => Precondition::Tag(tag.to_owned()),
        }))
    }
}
