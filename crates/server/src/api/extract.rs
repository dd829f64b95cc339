//! What handlers take: the caller first, then the address, then the body. Every refusal is a problem document.

use std::{net::IpAddr, sync::Arc};

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request, State, rejection::QueryRejection},
    http::{HeaderMap, header, request::Parts},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use dataflow_model::{FieldError, Workflow};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use crate::{
    app::App,
    error::Error,
    listen::PeerAddress,
    ops::{Caller, Who, compare::Callers, idempotency::IdempotencyKey, tokens},
    throttle::Kind,
};

/// Largest body of a request, in bytes.
pub const BODY_MAX: usize = 64 * 1024;
/// Longest `Idempotency-Key`, in bytes.
pub const IDEMPOTENCY_KEY_MAX: usize = 255;

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
    let now = app.clock.now();
    let mut caller = bearer(&app, &parts, now).await?;
    admit(&app, &caller, &parts, now)?;
    let key = parts.headers.get("idempotency-key").filter(|_| !parts.method.is_safe()).cloned();
    let body = match key {
        None => body,
        Some(key) => {
            if key.is_empty() || key.len() > IDEMPOTENCY_KEY_MAX {
                return Err(Error::Malformed("The Idempotency-Key must have from 1 to 255 characters."));
            }
            let bytes = read_body(body).await?;
            caller.idempotency = Some(idempotency_key(&app, &caller, &parts, key.as_bytes(), &bytes));
            Body::from(Bytes::from_owner(bytes))
        }
    };
    parts.extensions.insert(caller);
    Ok(next.run(Request::from_parts(parts, body)).await)
}

async fn bearer(app: &App, parts: &Parts, now: i64) -> Result<Caller, Error> {
    app.throttle.take_at(Kind::Address, PeerAddress::of(parts), now)?;
    let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|header| header.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    of_token(app, parts, token.map(|(_, token)| token.trim()), now).await
}

/// The caller that a token of the request stands for.
async fn of_token(app: &App, parts: &Parts, token: Option<&str>, now: i64) -> Result<Caller, Error> {
    let address = PeerAddress::of(parts);
    let known = token.and_then(|token| tokens::known(app, token, now));
    let identity = match (known, token.unwrap_or_default()) {
        (Some(identity), _) => identity,
        // Boxed: it is rare, and its many states would be moved about with every request.
        (None, token) => Box::pin(as_stranger(app, address, token, tokens::authenticate(app, token))).await?,
    };
    let workflow = parts.headers.get("dataflow-workflow").and_then(|value| value.to_str().ok()).and_then(Workflow::parse);
    Ok(Caller { workflow, address, ..Caller::of(Who::Token(identity)) })
}

/// Has a token of the other workspace, where a request is about two: a token is for one.
pub const OTHER_TOKEN: &str = "dataflow-other-token";

/// The callers of a request about two workspaces. Without [`OTHER_TOKEN`] they are one, who is in one of them only.
pub struct BetweenWorkspaces(pub Callers);

impl FromRequestParts<Arc<App>> for BetweenWorkspaces {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Error> {
        let Authenticated(here) = Authenticated::from_request_parts(parts, app).await?;
        let Some(header) = parts.headers.get(OTHER_TOKEN) else { return Ok(Self(Callers::both(here))) };
        let now = app.clock.now();
        let there = of_token(app, parts, header.to_str().ok().map(str::trim), now).await?;
        admit(app, &there, parts, now)?;
        // The change is one of the other workspace, and its key stands with it.
        let there = Caller { idempotency: here.idempotency.clone(), ..there };
        Ok(Self(Callers { here, there }))
    }
}

/// What a look at the store says of a token, a cookie or the code of a link. An address from which too many came that it knew nothing of
/// is refused without that look, but for those that were good before.
pub async fn as_stranger<T>(
    app: &App,
    address: Option<IpAddr>,
    secret: &str,
    looked: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    if !app.throttle.is_familiar(secret) {
        app.throttle.look_at(Kind::Strangers, address, app.clock.now())?;
    }
    let found = looked.await;
    match &found {
        Ok(_) => app.throttle.remember(secret, true),
        Err(Error::Unauthenticated | Error::SetupDone | Error::NotFound(_)) => {
            app.throttle.remember(secret, false);
            app.throttle.take_at(Kind::Strangers, address, app.clock.now())?;
        }
        Err(_) => {}
    }
    found
}

/// Refuses a caller who is too fast, before anything is done for him.
pub fn admit(app: &App, caller: &Caller, parts: &Parts, now: i64) -> Result<(), Error> {
    let who = caller.identity();
    app.throttle.take(Kind::Requests, &*who, now)?;
    // A test changes nothing.
    let is_change = !parts.method.is_safe() && !parts.uri.path().ends_with("/test");
    if is_change { app.throttle.look(Kind::Changes, &*who, now) } else { Ok(()) }
}

fn idempotency_key(app: &App, caller: &Caller, parts: &Parts, key: &[u8], body: &[u8]) -> IdempotencyKey {
    let preconditions: Vec<_> = parts.headers.get_all(header::IF_MATCH).iter().map(header::HeaderValue::as_bytes).collect();
    let precondition = preconditions.join(b",".as_slice());
    let address = parts.uri.to_string();
    let asked = [parts.method.as_str().as_bytes(), address.as_bytes(), &precondition, body];
    IdempotencyKey {
        hash: app.vault.lookup_hash("idempotency_keys", &[caller.identity().as_bytes(), key]),
        request_hash: app.vault.lookup_hash("idempotency_requests", &asked),
    }
}

/// `…/workspaces/{workspace}/…`
pub struct InWorkspace(pub String);

impl<S: Send + Sync> FromRequestParts<S> for InWorkspace {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = path_params(parts, state).await?;
        param(&path, "workspace").map(Self).ok_or(Error::NotFound("workspace"))
    }
}

pub(super) async fn path_params<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<RawPathParams, Error> {
    RawPathParams::from_request_parts(parts, state).await.map_err(|_| Error::Malformed("The address is not valid UTF-8."))
}

pub(super) fn param(path: &RawPathParams, wanted: &str) -> Option<String> {
    path.iter().find_map(|(key, value)| (key == wanted).then(|| value.to_owned()))
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
        let path = path_params(parts, state).await?;
        let workspace = param(&path, "workspace").ok_or(Error::NotFound("workspace"))?;
        let name = param(&path, "name").unwrap_or_else(|| CONNECTION_CALLED_TEST.to_owned());
        Ok(Self { workspace, name })
    }
}

/// `…/workspaces/{workspace}/…/{name}/versions/{version}`
pub struct Versioned {
    pub workspace: String,
    pub name: String,
    pub version: i64,
}

impl<S: Send + Sync> FromRequestParts<S> for Versioned {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let Named { workspace, name } = Named::from_request_parts(parts, state).await?;
        let path = path_params(parts, state).await?;
        // One spelling for each: what is none has no version.
        let number = param(&path, "version").filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let version = number.filter(|text| !text.starts_with('0')).and_then(|text| text.parse().ok());
        Ok(Self { workspace, name, version: version.unwrap_or_default() })
    }
}

/// `…/workspaces/{workspace}/health-schedules/{scope}`
pub struct Scoped {
    pub workspace: String,
    pub scope: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Scoped {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = path_params(parts, state).await?;
        let workspace = param(&path, "workspace").ok_or(Error::NotFound("workspace"))?;
        Ok(Self { workspace, scope: param(&path, "scope").unwrap_or_default() })
    }
}

/// `…/workspaces/{workspace}/notification-channels/{channel}`
pub struct Channelled {
    pub workspace: String,
    pub channel: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Channelled {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = path_params(parts, state).await?;
        let workspace = param(&path, "workspace").ok_or(Error::NotFound("workspace"))?;
        Ok(Self { workspace, channel: param(&path, "channel").unwrap_or_default() })
    }
}

/// `…/workspaces/{workspace}/types/{type}`
pub struct OfType {
    pub workspace: String,
    pub id: String,
}

impl<S: Send + Sync> FromRequestParts<S> for OfType {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let path = path_params(parts, state).await?;
        let workspace = param(&path, "workspace").ok_or(Error::NotFound("workspace"))?;
        Ok(Self { workspace, id: param(&path, "type").unwrap_or_default() })
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

/// A text that is sent as a member of a JSON object, or as what it is: TOML.
pub struct TomlBody<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + From<String>> FromRequest<S> for TomlBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        if !is_media(request.headers(), "application/toml") {
            let JsonBody(body) = JsonBody::from_request(request, state).await?;
            return Ok(Self(body));
        }
        let bytes = read_body(request.into_body()).await?;
        let text = str::from_utf8(&bytes).map_err(|_| Error::Malformed("The request's body is no text in UTF-8."))?;
        Ok(Self(text.to_owned().into()))
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
    is_media(headers, "application/json")
}

fn is_media(headers: &HeaderMap, wanted: &str) -> bool {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case(wanted))
}

pub(crate) async fn read_body(body: Body) -> Result<zeroize::Zeroizing<Vec<u8>>, Error> {
    match Limited::new(body, BODY_MAX).collect().await {
        Ok(collected) => Ok(zeroize::Zeroizing::new(collected.to_bytes().to_vec())),
        Err(error) if error.is::<LengthLimitError>() => Err(Error::BodyTooLarge),
        Err(_) => Err(Error::Malformed("The request's body ended early.")),
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut json);
    let refused = match read {
        // serde reads a list in a struct's place member by member.
        Ok(read) if bytes.trim_ascii_start().first() == Some(&b'{') => {
            json.end().map_err(|_| NOT_JSON)?;
            return Ok(read);
        }
        Ok(_) => FieldError::new("", "wrong_type", "must be a JSON object"),
        Err(error) if error.inner().is_data() => refused_member(&error),
        Err(_) => return Err(NOT_JSON),
    };
    Err(Error::Invalid(vec![refused]))
}

const NOT_JSON: Error = Error::Malformed("The request's body is not valid JSON.");

/// Longest path of a member that an answer repeats, in characters: an unknown member's name is the client's.
const PATH_MAX: usize = 64;

/// What serde's text says, without what it quotes of the body: that may be a secret. A missing or repeated member is a name of ours.
fn refused_member(error: &serde_path_to_error::Error<serde_json::Error>) -> FieldError {
    let text = error.inner().to_string();
    let named = |prefix| text.strip_prefix(prefix).and_then(|rest: &str| rest.split('`').next());
    let (member, code, message) = if let Some(name) = named("missing field `") {
        (Some(name), "required", "is needed")
    } else if let Some(name) = named("duplicate field `") {
        (Some(name), "duplicate_field", "stands twice in the request")
    } else if text.starts_with("unknown field ") {
        (None, "unknown_field", "is no member of this request")
    } else if text.starts_with("unknown variant ") {
        (None, "not_a_choice", "is none of the words that the API's description at /api/v1/openapi.json lists")
    } else {
        (None, "wrong_type", "is of another type than the API's description at /api/v1/openapi.json says")
    };
    let parents = error.path().iter().map(|segment| match segment {
        Segment::Seq { index } => index.to_string(),
        Segment::Map { key } => key.clone(),
        Segment::Enum { variant } => variant.clone(),
        Segment::Unknown => "?".to_owned(),
    });
    let path: Vec<_> = parents.chain(member.map(ToOwned::to_owned)).collect();
    FieldError::new(path.join(".").chars().take(PATH_MAX).collect::<String>(), code, message)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Body {
        name: String,
        roles: Vec<crate::ops::Role>,
        tls: Option<Tls>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read")]
    struct Tls {
        mode: String,
    }

    #[test]
    fn a_refused_body_names_the_path_and_repeats_no_value() {
        for (body, path, code) in [
            (r#"{"roles":[]}"#, "name", "required"),
            (r#"{"name":"x","name":"PLANTED","roles":[]}"#, "name", "duplicate_field"),
            (r#"{"name":7,"roles":[]}"#, "name", "wrong_type"),
            (r#"{"name":"x","roles":"PLANTED"}"#, "roles", "wrong_type"),
            (r#"{"name":"x","roles":["user",null]}"#, "roles.1", "wrong_type"),
            (r#"{"name":"x","roles":["PLANTED"]}"#, "roles.0", "not_a_choice"),
            (r#"{"name":"x","roles":[{"PLANTED":1}]}"#, "roles.0", "wrong_type"),
            (r#"{"name":"x","roles":[],"tls":{}}"#, "tls.mode", "required"),
            (r#"{"name":"x","roles":[],"tls":{"mode":["PLANTED"]}}"#, "tls.mode", "wrong_type"),
            (r#"{"name":"x","roles":[],"tls":{"mode":"x","colour":"PLANTED"}}"#, "tls.colour", "unknown_field"),
            (r#"["x",["user"],null]"#, "", "wrong_type"),
            ("7", "", "wrong_type"),
        ] {
            let Err(Error::Invalid(errors)) = parse::<Body>(body.as_bytes()) else { panic!("{body} is not refused at a field") };
            let refused: Vec<_> = errors.iter().map(|error| (error.field.as_str(), error.code.as_str())).collect();
            assert_eq!(refused, [(path, code)], "{body}");
            assert!(!format!("{errors:?}").contains("PLANTED"), "{errors:?}");
        }
        for body in ["", "{", r#"{"name":"x","roles":[]} {}"#, r#"{"name":"x","roles":[nil]}"#] {
            assert!(matches!(parse::<Body>(body.as_bytes()), Err(Error::Malformed(_))), "{body}");
        }
    }
}
