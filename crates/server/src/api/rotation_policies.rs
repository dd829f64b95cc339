//! `/workspaces/{workspace}/connections/{name}/rotation-policy`: what new passwords are made of, and how often there is one.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};

use super::{
    conditions::IfMatch,
    done,
    extract::{Authenticated, JsonBody, Named},
};
use crate::{
    app::App,
    clock::rfc3339,
    error::{Error, Result},
    ops::{
        idempotency::or_repeated,
        rotations::{
            policy::{self, Failure, Policy, Standing},
            rules::Rules,
        },
    },
};

/// How often the password is rotated by itself, and what new ones are made of, whoever asks for them. What is left out is as where no policy is set.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"every_days": 30, "at_hour": 3, "length": 40, "symbols": "-_.~"}))]
pub struct RotationPolicyBody {
    /// Null: it is rotated when somebody asks for it, and only then.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 3660)]
    pub every_days: Option<i64>,
    /// Of the day, in UTC; within the ten minutes after it each connection has its own moment. Null: whenever the days are over.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 23)]
    pub at_hour: Option<i64>,
    /// Characters of a password. The fewer symbols there are, the more it takes: each password has one of them.
    #[serde(default = "length")]
    #[schema(minimum = 16, maximum = 128, default = 32, required = false)]
    pub length: i64,
    /// What a password holds besides letters and digits: of `-_.~,`, each once; nothing for none.
    #[serde(default = "symbols")]
    #[schema(max_length = 5, default = "-_", required = false)]
    pub symbols: String,
}

fn length() -> i64 {
    Rules::default().length
}

fn symbols() -> String {
    Rules::default().symbols
}

impl From<RotationPolicyBody> for Policy {
    fn from(body: RotationPolicyBody) -> Self {
        let RotationPolicyBody { every_days, at_hour, length, symbols } = body;
        Self { every_days, at_hour, rules: Rules { length, symbols } }
    }
}

/// The policy of a connection, and what came of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "every_days": 30, "at_hour": 3, "length": 40, "symbols": "-_.~", "is_set": true, "is_sound": true, "set_at": "2026-11-02T09:00:00Z",
    "set_by": "ada@example.org", "next_at": "2026-12-02T03:04:11Z", "failed": null
}))]
pub struct RotationPolicyAnswer {
    pub every_days: Option<i64>,
    pub at_hour: Option<i64>,
    pub length: i64,
    pub symbols: String,
    /// False: none is set, and these are the defaults.
    pub is_set: bool,
    /// False if it was changed outside of this program: then no password is made until one is set again, or it is removed.
    pub is_sound: bool,
    pub set_at: Option<String>,
    pub set_by: Option<String>,
    /// When the password is rotated next by itself; null: never.
    pub next_at: Option<String>,
    /// What stood in the way the last time; null once a password was made, or before any was due.
    pub failed: Option<FailedAnswer>,
}

/// A rotation that came to nothing.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "at": "2026-12-02T03:04:11Z", "message": "Nothing listens at 127.0.0.1:5432.", "hint": "Check the port, and whether the server is running."
}))]
pub struct FailedAnswer {
    /// When it was tried. The next try is at `next_at`.
    pub at: String,
    pub message: String,
    pub hint: String,
}

fn respond(standing: Standing) -> Response {
    let Standing { policy, set, is_sound, next_at, failed, etag } = standing;
    let Policy { every_days, at_hour, rules: Rules { length, symbols } } = policy;
    let (set_at, set_by) = set.unzip();
    let answer = RotationPolicyAnswer {
        every_days,
        at_hour,
        length,
        symbols,
        is_set: set_at.is_some(),
        is_sound,
        set_at: set_at.map(rfc3339),
        set_by,
        next_at: next_at.map(rfc3339),
        failed: failed.map(|(at, Failure { message, hint })| FailedAnswer { at: rfc3339(at), message, hint }),
    };
    ([(header::ETAG, etag)], Json(answer)).into_response()
}

/// Shows how often the password is rotated by itself, and what new ones are made of.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/connections/{name}/rotation-policy", operation_id = "show_rotation_policy", tag = "connections",
    params(("workspace" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = RotationPolicyAnswer, headers(("ETag" = String))), (status = 404), (status = 410)))]
pub async fn show_rotation_policy(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
) -> Result<Response> {
    Ok(respond(policy::show(&app, &caller, &named.workspace, &named.name).await?))
}

/// Decides how often the password is rotated by itself, and what new ones are made of, whoever asks for them. It goes on whatever becomes of who
/// set it.
///
/// A rotation by a policy is the same as one that is asked for. One that is not possible is tried again after a quarter of an hour, and then
/// hourly for a day; after that at the next turn.
#[utoipa::path(put, path = "/api/v1/workspaces/{workspace}/connections/{name}/rotation-policy", operation_id = "set_rotation_policy", tag = "connections",
    params(("workspace" = String, Path), ("name" = String, Path), ("If-Match" = String, Header, description = "The policy's ETag that was read, a list of such, or `*`")),
    request_body = RotationPolicyBody,
    responses((status = 200, body = RotationPolicyAnswer, headers(("ETag" = String))), (status = 403), (status = 404), (status = 410), (status = 412), (status = 415),
        (status = 422), (status = 428)))]
pub async fn set_rotation_policy(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
    IfMatch(precondition): IfMatch,
    JsonBody(body): JsonBody<RotationPolicyBody>,
) -> Result<Response> {
    let set = policy::set(&app, &caller, &named.workspace, &named.name, (body.into(), &precondition)).await;
    match or_repeated(&app, &caller, set).await {
        Err(Error::Repeated) => Ok(respond(policy::show(&app, &caller.without_key(), &named.workspace, &named.name).await?)),
        set => Ok(respond(set?)),
    }
}

/// Removes the policy of a connection: its password is rotated when somebody asks for it, and made as where no policy is set.
#[utoipa::path(delete, path = "/api/v1/workspaces/{workspace}/connections/{name}/rotation-policy", operation_id = "remove_rotation_policy", tag = "connections",
    params(("workspace" = String, Path), ("name" = String, Path), ("If-Match" = String, Header, description = "The policy's ETag that was read, a list of such, or `*`")),
    responses((status = 204), (status = 403), (status = 404), (status = 410), (status = 412), (status = 428)))]
pub async fn remove_rotation_policy(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode> {
    let removed = policy::remove(&app, &caller, &named.workspace, &named.name, &precondition).await;
    done(or_repeated(&app, &caller, removed).await)
}
