//! `/workspaces/{workspace}/connections/{name}/second-login`: the login that rotations switch over to.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use dataflow_model::{Laggards, Secret, TestReport};
use serde::{Deserialize, Serialize};

use super::{
    conditions::IfMatch,
    done,
    extract::{Asked, Authenticated, JsonBody, Named},
};
use crate::{
    app::App,
    clock::rfc3339,
    error::{Error, Result},
    ops::{
        idempotency::or_repeated,
        rotations::second_login::{self, NewLogin, Retired, SecondLogin},
    },
};

/// The second login of a connection, in short.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({"username": "analytics_b", "state": "stands_by", "refused": false, "since": "2026-11-02T09:00:00Z", "laggards": 0}))]
pub struct SecondLoginSummary {
    pub username: String,
    /// `stands_by`: the next rotation switches over to it. `retiring`: it served before the last one did, and works until nobody lags behind.
    /// `another_address`: it was given for another address than the connection has now, and has to be given again.
    #[schema(value_type = String, example = "stands_by")]
    pub state: &'static str,
    /// The database refuses it with the password that is kept: it has to be given again.
    pub refused: bool,
    /// When it was given, or switched over from.
    pub since: String,
    /// How many workflows of the last day were last given this login and not the one of now.
    pub laggards: i64,
}

impl From<&SecondLogin> for SecondLoginSummary {
    fn from(login: &SecondLogin) -> Self {
        Self {
            username: login.username.clone(),
            state: login.standing.as_str(),
            refused: login.is_refused(),
            since: rfc3339(login.since),
            laggards: login.laggards.total,
        }
    }
}

/// The second login of a connection. Its password is told nobody.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "username": "analytics", "state": "retiring", "refused": false, "since": "2026-11-02T09:00:00Z", "by": "ada@example.org", "retires_from": 4,
    "laggards": Laggards::example(), "under_way": false, "failed_tries": 0, "next_try_at": "2026-11-02T09:01:00Z",
    "message": "“analytics” is not retired yet: 1 program may still hold it (daily_sales.load on worker-1)."
}))]
pub struct SecondLoginAnswer {
    pub username: String,
    /// As of the connection's `second_login`.
    #[schema(value_type = String, example = "retiring")]
    pub state: &'static str,
    /// The database refuses it with the password that is kept: it has to be given again.
    pub refused: bool,
    /// When it was given, or switched over from, and by whom.
    pub since: String,
    pub by: String,
    /// The version of the connection that took its place; null of one that stands by.
    pub retires_from: Option<i64>,
    /// Who is waited for before it is retired.
    pub laggards: Laggards,
    /// Its password is being changed at this moment.
    pub under_way: bool,
    /// How often a new password could not be set for it since the last that could.
    pub failed_tries: i64,
    /// When it is looked at again; null where that waits for the next rotation.
    pub next_try_at: Option<String>,
    /// How it stands, in a sentence or two.
    pub message: String,
}

impl From<SecondLogin> for SecondLoginAnswer {
    fn from(login: SecondLogin) -> Self {
        Self {
            message: login.sentence(),
            state: login.standing.as_str(),
            refused: login.is_refused(),
            since: rfc3339(login.since),
            retires_from: login.retires_from,
            under_way: login.is_at_it,
            failed_tries: login.tries,
            next_try_at: login.is_looked_after.then(|| rfc3339(login.next_at)),
            username: login.username,
            by: login.by,
            laggards: login.laggards,
        }
    }
}

/// Shows the second login of a connection, and who is waited for before it is retired.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/connections/{name}/second-login", operation_id = "show_second_login", tag = "connections",
    params(("workspace" = String, Path), ("name" = String, Path)),
    responses((status = 200, body = SecondLoginAnswer, headers(("ETag" = String))), (status = 404), (status = 410)))]
pub async fn show_second_login(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
) -> Result<Response> {
    Ok(respond(second_login::show(&app, &caller, &named.workspace, &named.name).await?))
}

fn respond(login: SecondLogin) -> Response {
    let etag = login.etag.clone();
    ([(header::ETAG, etag)], Json(SecondLoginAnswer::from(login))).into_response()
}

/// Another login of the same server.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"username": "analytics_b", "password": "…"}))]
pub struct SecondLoginBody {
    pub username: String,
    #[schema(value_type = String)]
    pub password: Secret,
}

/// Gives a connection a second login, or another one in its place: one that may do at the database what the connection's own may. It is tested
/// first, as a change of the connection would be. From then on a rotation switches over to it, and back at the next.
#[utoipa::path(put, path = "/api/v1/workspaces/{workspace}/connections/{name}/second-login", operation_id = "put_second_login", tag = "connections",
    params(("workspace" = String, Path), ("name" = String, Path), ("If-Match" = String, Header, description = "The connection's ETag that was read, a list of such, or `*`")), request_body = SecondLoginBody,
    responses((status = 200, body = SecondLoginAnswer, headers(("ETag" = String))), (status = 403, description = "tests_disabled"), (status = 404),
        (status = 409, description = "test_failed, rotation_under_way, login_not_retired"), (status = 410), (status = 412), (status = 415), (status = 422), (status = 428), (status = 429)))]
pub async fn put_second_login(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
    IfMatch(precondition): IfMatch,
    JsonBody(body): JsonBody<SecondLoginBody>,
) -> Result<Response> {
    let SecondLoginBody { username, password } = body;
    let new = NewLogin { username, password };
    let kept = second_login::put(&app, &caller, &named.workspace, &named.name, (new, &precondition)).await;
    let login = match or_repeated(&app, &caller, kept).await {
        Err(Error::Repeated) => second_login::show(&app, &caller.without_key(), &named.workspace, &named.name).await?,
        kept => kept?,
    };
    Ok(respond(login))
}

/// Forgets the second login of a connection. At the database it stays as it is: one that served and is not retired yet lets in who has its
/// password, and is forgotten only with `anyway`. Rotations change the password of the connection's own login from
/// then on.
#[utoipa::path(delete, path = "/api/v1/workspaces/{workspace}/connections/{name}/second-login", operation_id = "remove_second_login", tag = "connections",
    params(("workspace" = String, Path), ("name" = String, Path), RetireParams, ("If-Match" = String, Header, description = "The connection's ETag that was read, a list of such, or `*`")),
    responses((status = 204), (status = 403), (status = 404), (status = 409, description = "rotation_under_way, login_not_retired"), (status = 410), (status = 412), (status = 428)))]
pub async fn remove_second_login(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
    IfMatch(precondition): IfMatch,
    Asked(RetireParams { anyway }): Asked<RetireParams>,
) -> Result<StatusCode> {
    let removed = second_login::remove(&app, &caller, &named.workspace, &named.name, (anyway, &precondition)).await;
    done(or_repeated(&app, &caller, removed).await)
}

/// Whether anybody is waited for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RetireParams {
    /// Retire it although programs lag behind: who still signs in as it fails until he asks for the connection again.
    #[serde(default)]
    pub anyway: bool,
}

/// What retiring a login came to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct RetireAnswer {
    /// Whether its password is one by now that nobody knows. Null where this very request was answered before.
    #[schema(example = true)]
    pub retired: Option<bool>,
    /// How the password was set, step by step.
    pub set: Option<TestReport>,
    /// The test with the new password after that.
    pub test: Option<TestReport>,
    /// The second login as it stands now.
    pub second_login: SecondLoginAnswer,
}

/// Retires the login that served before the last switch now: it gets a password that nobody knows, and stands by for the next rotation. By itself
/// that happens once nobody lags behind. Answers 200 with the steps whether it worked or not; what did not is tried again.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/connections/{name}/second-login/retire", operation_id = "retire_login", tag = "connections",
    params(("workspace" = String, Path), ("name" = String, Path), ("If-Match" = String, Header, description = "The connection's ETag that was read, a list of such, or `*`"), RetireParams),
    responses((status = 200, body = RetireAnswer), (status = 403, description = "tests_disabled"), (status = 404),
        (status = 409, description = "login_not_retired, rotation_under_way"), (status = 410), (status = 412), (status = 422), (status = 428), (status = 429)))]
pub async fn retire_login(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
    IfMatch(precondition): IfMatch,
    Asked(params): Asked<RetireParams>,
) -> Result<Json<RetireAnswer>> {
    let asked = (params.anyway, &precondition);
    let retired = second_login::retire(&app, &caller, &named.workspace, &named.name, asked).await;
    Ok(Json(match or_repeated(&app, &caller, retired).await {
        Err(Error::Repeated) => {
            let login = second_login::show(&app, &caller.without_key(), &named.workspace, &named.name).await?;
            RetireAnswer { retired: None, set: None, test: None, second_login: login.into() }
        }
        retired => {
            let Retired { is_done, set, test, login } = retired?;
            RetireAnswer { retired: Some(is_done), set, test, second_login: login.into() }
        }
    }))
}
