//! `/workspaces/{workspace}/lint`, `…/lint-silences` and `…/connections/{name}/lint`: what is wrong with connections, and what somebody silenced of it.

use std::sync::Arc;

use axum::{
    Json,
    extract::{FromRequestParts, State},
    http::{StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use dataflow_model::FieldError;
use serde::{Deserialize, Serialize};

use super::{
    ListAnswer, PageParams,
    conditions::IfMatch,
    done,
    extract::{Asked, Authenticated, InWorkspace, JsonBody, Named, param, path_params},
    listed,
};
use crate::{
    app::App,
    clock::{parse_rfc3339, rfc3339},
    error::{Error, Result},
    ops::{
        idempotency::or_repeated,
        lint::{
            self, Finding, Wanted,
            rules::Severity,
            silence::{self, NewSilence, Of, Silence},
        },
        paging::Paging,
    },
};

/// What the lint finds of a connection.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "connection": "sales", "type": "postgres", "rule": "tls-unverified", "severity": "error",
    "reason": "TLS is set to “No TLS”: somebody on the way can pose as the server, and read and change what is sent.",
    "fix": "Edit it, and have TLS verify the server; give the server's CA if it is not a public one.", "silenced": null
}))]
pub struct LintFindingAnswer {
    pub connection: String,
    #[serde(rename = "type")]
    pub type_id: String,
    /// Its id; docs/lint.md has a part on each.
    pub rule: String,
    /// `error`, `warning` or `note`.
    pub severity: String,
    pub reason: String,
    /// What mends it.
    pub fix: String,
    /// What silences it; null if nothing does.
    pub silenced: Option<LintSilenceAnswer>,
}

impl From<Finding> for LintFindingAnswer {
    fn from(Finding { connection, type_id, found, silenced }: Finding) -> Self {
        Self {
            connection,
            type_id,
            rule: found.rule.as_str().to_owned(),
            severity: found.severity.as_str().to_owned(),
            reason: found.reason,
            fix: found.fix,
            silenced: silenced.map(LintSilenceAnswer::from),
        }
    }
}

/// A rule that is silenced, for one connection or for all.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "scope": "connection:sales", "rule": "tls-unverified", "reason": "Inside of one rack; TLS comes with the new server.", "until": "2027-03-01T00:00:00Z",
    "set_at": "2026-11-30T09:00:00Z", "set_by": "ada@example.org", "is_over": false, "is_sound": true,
    "etag": "\"connection.01939a1e-5b7c-7d40-9f0a-2f6c1b7a9e55.tls-unverified.1795942800000000\""
}))]
pub struct LintSilenceAnswer {
    /// `all`, or `connection:` and a name.
    pub scope: String,
    pub rule: String,
    pub reason: String,
    /// From when on it silences nothing any more; null: never.
    pub until: Option<String>,
    pub set_at: String,
    pub set_by: String,
    /// Whether that time has come.
    pub is_over: bool,
    /// False if it was changed outside of this program: then it silences nothing until it is set again, or lifted.
    pub is_sound: bool,
    pub etag: String,
}

impl From<Silence> for LintSilenceAnswer {
    fn from(silence: Silence) -> Self {
        Self {
            scope: silence.scope.text(),
            rule: silence.rule,
            reason: silence.reason,
            until: silence.until.map(rfc3339),
            set_at: rfc3339(silence.set_at),
            set_by: silence.set_by,
            is_over: silence.is_over,
            is_sound: silence.is_sound,
            etag: silence.etag,
        }
    }
}

fn respond(silence: Silence) -> Response {
    ([(header::ETAG, silence.etag.clone())], Json(LintSilenceAnswer::from(silence))).into_response()
}

/// Why a rule is silenced, and until when.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"reason": "Inside of one rack; TLS comes with the new server.", "until": "2027-03-01T00:00:00Z"}))]
pub struct LintSilenceBody {
    /// Whoever reads it later asks why.
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
    /// RFC 3339; null: until somebody lifts it.
    #[serde(default)]
    pub until: Option<String>,
}

impl TryFrom<LintSilenceBody> for NewSilence {
    type Error = Error;

    fn try_from(body: LintSilenceBody) -> Result<Self> {
        let read = |text: String| {
            let wrong = || FieldError::new("until", "invalid", "must be a time as 2027-03-01T00:00:00Z");
            parse_rfc3339(&text).ok_or_else(|| Error::Invalid(vec![wrong()]))
        };
        Ok(Self { reason: body.reason, until: body.until.map(read).transpose()? })
    }
}

/// `…/lint-silences/{rule}`
pub struct OfRule {
    pub workspace: String,
    pub rule: String,
}

impl<S: Send + Sync> FromRequestParts<S> for OfRule {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let InWorkspace(workspace) = InWorkspace::from_request_parts(parts, state).await?;
        let path = path_params(parts, state).await?;
        Ok(Self { workspace, rule: param(&path, "rule").unwrap_or_default() })
    }
}

/// `…/connections/{name}/lint-silences/{rule}`
pub struct OfConnectionRule {
    pub named: Named,
    pub rule: String,
}

impl<S: Send + Sync> FromRequestParts<S> for OfConnectionRule {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let named = Named::from_request_parts(parts, state).await?;
        let path = path_params(parts, state).await?;
        Ok(Self { named, rule: param(&path, "rule").unwrap_or_default() })
    }
}

/// Which findings, and which page of them.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LintParams {
    /// `next` of the page before.
    pub cursor: Option<String>,
    /// Entries on a page; 50 unless given.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<usize>,
    /// `error`, `warning` or `note`; all unless given.
    pub severity: Option<String>,
    /// Of this connection alone.
    pub connection: Option<String>,
    /// Those that are silenced, too.
    #[serde(default)]
    #[param(required = false)]
    pub silenced: bool,
}

/// Lists what is wrong with the connections of a workspace, by their names and the rules' ids.
///
/// A page may hold fewer entries than were asked for, or none, and another one follow: a request looks through 1,000 names. That two connections have
/// the same password is told to who may use both.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/lint", operation_id = "list_lint", tag = "lint", params(("workspace" = String, Path), LintParams),
    responses((status = 200, body = ListAnswer<LintFindingAnswer>), (status = 404), (status = 410), (status = 422)))]
pub async fn list_lint(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    InWorkspace(workspace): InWorkspace,
    Asked(params): Asked<LintParams>,
) -> Result<Json<ListAnswer<LintFindingAnswer>>> {
    let severity = params.severity.as_deref().map(|word| {
        let wrong = || FieldError::new("severity", "not_a_choice", "must be `error`, `warning` or `note`");
        Severity::parse(word).ok_or_else(|| Error::Invalid(vec![wrong()]))
    });
    let wanted = Wanted { severity: severity.transpose()?, silenced: params.silenced };
    if let Some(name) = params.connection {
        let mut found = lint::of_connection(&app, &caller, &workspace, &name).await?;
        found.retain(|finding| wanted.takes(finding));
        return Ok(Json(ListAnswer { items: found.into_iter().map(LintFindingAnswer::from).collect(), next: None }));
    }
    let paging = Paging { cursor: params.cursor, limit: params.limit };
    Ok(listed(lint::list(&app, &caller, &workspace, wanted, &paging).await?, LintFindingAnswer::from))
}

/// Lists all that is wrong with one connection, the worst first, what is silenced included.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/connections/{name}/lint", operation_id = "show_connection_lint", tag = "lint", params(("workspace" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = ListAnswer<LintFindingAnswer>), (status = 404), (status = 410)))]
pub async fn show_connection_lint(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
) -> Result<Json<ListAnswer<LintFindingAnswer>>> {
    let found = lint::of_connection(&app, &caller, &named.workspace, &named.name).await?;
    Ok(Json(ListAnswer { items: found.into_iter().map(LintFindingAnswer::from).collect(), next: None }))
}

/// Lists the rules that are silenced, for all connections and for single ones.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/lint-silences", operation_id = "list_lint_silences", tag = "lint", params(("workspace" = String, Path), PageParams),
    responses((status = 200, body = ListAnswer<LintSilenceAnswer>), (status = 404), (status = 422)))]
pub async fn list_lint_silences(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    InWorkspace(workspace): InWorkspace,
    Asked(params): Asked<PageParams>,
) -> Result<Json<ListAnswer<LintSilenceAnswer>>> {
    Ok(listed(silence::list(&app, &caller, &workspace, &params.into()).await?, LintSilenceAnswer::from))
}

/// Silences a rule for all connections: what it finds is listed only on request from then on.
#[utoipa::path(put, path = "/api/v1/workspaces/{workspace}/lint-silences/{rule}", operation_id = "put_lint_silence", tag = "lint",
    params(("workspace" = String, Path), ("rule" = String, Path), ("If-Match" = String, Header, description = "The silence's ETag that was read, a list of such, or `*`")),
    request_body = LintSilenceBody,
    responses((status = 200, body = LintSilenceAnswer, headers(("ETag" = String))), (status = 403), (status = 404), (status = 412), (status = 415),
        (status = 422), (status = 428)))]
pub async fn put_lint_silence(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OfRule { workspace, rule }: OfRule,
    IfMatch(precondition): IfMatch,
    JsonBody(body): JsonBody<LintSilenceBody>,
) -> Result<Response> {
    put(&app, &caller, &workspace, (Of::All, &rule), (body, precondition)).await
}

/// Has a rule find again what it finds, of all connections.
#[utoipa::path(delete, path = "/api/v1/workspaces/{workspace}/lint-silences/{rule}", operation_id = "lift_lint_silence", tag = "lint",
    params(("workspace" = String, Path), ("rule" = String, Path), ("If-Match" = String, Header, description = "The silence's ETag that was read, a list of such, or `*`")),
    responses((status = 204), (status = 403), (status = 404), (status = 412), (status = 428)))]
pub async fn lift_lint_silence(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OfRule { workspace, rule }: OfRule,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode> {
    let lifted = silence::lift(&app, &caller, &workspace, (Of::All, &rule), &precondition).await;
    done(or_repeated(&app, &caller, lifted).await)
}

/// Silences a rule for one connection.
#[utoipa::path(put, path = "/api/v1/workspaces/{workspace}/connections/{name}/lint-silences/{rule}", operation_id = "put_connection_silence", tag = "lint",
    params(("workspace" = String, Path), ("name" = String, Path), ("rule" = String, Path), ("If-Match" = String, Header, description = "The silence's ETag that was read, a list of such, or `*`")),
    request_body = LintSilenceBody,
    responses((status = 200, body = LintSilenceAnswer, headers(("ETag" = String))), (status = 403), (status = 404), (status = 410), (status = 412), (status = 415),
        (status = 422), (status = 428)))]
pub async fn put_connection_silence(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OfConnectionRule { named, rule }: OfConnectionRule,
    IfMatch(precondition): IfMatch,
    JsonBody(body): JsonBody<LintSilenceBody>,
) -> Result<Response> {
    put(&app, &caller, &named.workspace, (Of::Connection(&named.name), &rule), (body, precondition)).await
}

/// Has a rule find again what it finds of one connection.
#[utoipa::path(delete, path = "/api/v1/workspaces/{workspace}/connections/{name}/lint-silences/{rule}", operation_id = "lift_connection_silence", tag = "lint",
    params(("workspace" = String, Path), ("name" = String, Path), ("rule" = String, Path), ("If-Match" = String, Header, description = "The silence's ETag that was read, a list of such, or `*`")),
    responses((status = 204), (status = 403), (status = 404), (status = 410), (status = 412), (status = 428)))]
pub async fn lift_connection_silence(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    OfConnectionRule { named, rule }: OfConnectionRule,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode> {
    let of = (Of::Connection(named.name.as_str()), rule.as_str());
    let lifted = silence::lift(&app, &caller, &named.workspace, of, &precondition).await;
    done(or_repeated(&app, &caller, lifted).await)
}

async fn put(
    app: &App,
    caller: &crate::ops::Caller,
    workspace: &str,
    (of, rule): (Of<'_>, &str),
    (body, precondition): (LintSilenceBody, crate::ops::connections::Precondition),
) -> Result<Response> {
    let asked = (NewSilence::try_from(body)?, &precondition);
    let set = silence::set(app, caller, workspace, (of, rule), asked).await;
    match or_repeated(app, caller, set).await {
        Err(Error::Repeated) => {
            let (silence, _) = silence::show(app, &caller.without_key(), workspace, of, rule).await?;
            Ok(respond(silence.ok_or(Error::NotFound("silence of the lint"))?))
        }
        set => Ok(respond(set?)),
    }
}
