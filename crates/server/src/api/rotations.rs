//! `/workspaces/{workspace}/connections/{name}/rotate`: a new password on the database and here.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use dataflow_model::TestReport;
use serde::Serialize;

use super::{
    conditions::IfMatch,
    done,
    extract::{Authenticated, Named},
};
use crate::{
    app::App,
    clock::rfc3339,
    error::{Error, Result},
    ops::{
        connections,
        idempotency::or_repeated,
        rotations::{self, Rotated, UnderWay},
    },
};

/// A rotation of the password that is not settled.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "begun_at": "2026-11-02T09:00:00Z", "begun_by": "ada@example.org", "tries": 3, "next_try_at": "2026-11-02T09:00:20Z", "may_be_given_up": true,
    "message": "ada@example.org began to rotate the password on 2 Nov 2026, 09:00 UTC. It is not known yet whether …"
}))]
pub struct UnderWayAnswer {
    pub begun_at: String,
    pub begun_by: String,
    /// How often it was tried to find out which password the database has.
    pub tries: i64,
    /// When it is tried again; null while it is.
    pub next_try_at: Option<String>,
    /// Whether somebody may give it up: nobody is at it, and the database does nothing any more of what it was asked for.
    pub may_be_given_up: bool,
    /// What is the matter, and what follows.
    pub message: String,
}

impl From<UnderWay> for UnderWayAnswer {
    fn from(rotation: UnderWay) -> Self {
        Self {
            begun_at: rfc3339(rotation.begun_at),
            tries: rotation.tries,
            next_try_at: (!rotation.is_at_it).then(|| rfc3339(rotation.next_at)),
            may_be_given_up: rotation.may_be_given_up(),
            message: rotation.sentence(),
            begun_by: rotation.begun_by,
        }
    }
}

/// What a rotation came to. `rotated`: the database has the new password and the connection has it, too. `unchanged`: both have the old one.
/// `unsettled`: which one the database has is not known yet; it is found out by itself, and the connection says how that goes.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "state": "rotated", "switched_to": null, "retires": null, "version": 4,
    "set": {
        "status": "ok", "duration_ms": 21.5, "server_version": "PostgreSQL 15.18", "checked_at": "2026-11-02T09:00:00Z", "from": "server",
        "steps": [{"step": "resolve", "status": "ok", "duration_ms": 0.1}, {"step": "set_password", "status": "ok", "duration_ms": 9.8}], "error": null
    },
    "test": {
        "status": "ok", "duration_ms": 12.5, "server_version": "PostgreSQL 15.18", "checked_at": "2026-11-02T09:00:00Z", "from": "server",
        "steps": [{"step": "resolve", "status": "ok", "duration_ms": 0.1}, {"step": "read", "status": "ok", "duration_ms": 0.4}], "error": null
    }
}))]
pub struct RotateAnswer {
    /// Null where this very request was answered before.
    pub state: Option<&'static str>,
    /// Where it was switched over to the second login: that, and the login of before, which works on until nobody lags behind.
    pub switched_to: Option<String>,
    pub retires: Option<String>,
    /// The connection's version now.
    pub version: i64,
    /// How the password was set, step by step.
    pub set: Option<TestReport>,
    /// The test with the new password after that.
    pub test: Option<TestReport>,
}

/// Rotates the password: a new one that nobody sees is set on the database for what the connection signs in as, tested, and saved as the next
/// version. Answers 200 with the steps whether it worked or not; if a step fails, the old password is in force again.
///
/// Of a connection with a second login that one gets the new password, and the next version signs in as it. The login of before works on until
/// nobody lags behind: see `second-login`.
///
/// It goes on if the client leaves. Programs that use the connection go on, too: a client whose sign-in is refused meanwhile asks again, and is
/// answered with the new version.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/connections/{name}/rotate", operation_id = "rotate_password", tag = "connections",
    params(("workspace" = String, Path), ("name" = String, Path), ("If-Match" = String, Header, description = "The ETag that was read, a list of such, or `*`")),
    responses((status = 200, body = RotateAnswer, headers(("ETag" = String))), (status = 403, description = "tests_disabled"), (status = 404),
        (status = 409, description = "rotation_under_way, login_not_retired"), (status = 410), (status = 412), (status = 422, description = "secret_reentry_required"), (status = 428),
        (status = 429)))]
pub async fn rotate_password(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
    IfMatch(precondition): IfMatch,
) -> Result<Response> {
    let rotated = rotations::rotate(&app, &caller, &named.workspace, &named.name, &precondition).await;
    let (answer, etag) = match or_repeated(&app, &caller, rotated).await {
        Err(Error::Repeated) => {
            let connection = connections::show(&app, &caller.without_key(), &named.workspace, &named.name).await?;
            let version = connection.row.version;
            (RotateAnswer { state: None, switched_to: None, retires: None, version, set: None, test: None }, connection.etag())
        }
        rotated => {
            let Rotated { state, retires, set, test, connection } = rotated?;
            let username = connection.public.text("username").map(str::to_owned);
            let (switched_to, retires) = retires.and_then(|retires| Some((username?, retires))).unzip();
            let (state, version) = (Some(state.as_str()), connection.row.version);
            (RotateAnswer { state, switched_to, retires, version, set, test }, connection.etag())
        }
    };
    Ok(([(header::ETAG, etag)], Json(answer)).into_response())
}

/// Gives up a rotation that cannot be settled: the new password is forgotten, and the connection can be changed again. For who knows which
/// password the database has, or sets one there.
#[utoipa::path(delete, path = "/api/v1/workspaces/{workspace}/connections/{name}/rotation", operation_id = "give_up_rotation", tag = "connections",
    params(("workspace" = String, Path), ("name" = String, Path), ("If-Match" = String, Header, description = "The connection's ETag that was read, a list of such, or `*`")),
    responses((status = 204), (status = 403), (status = 404), (status = 409, description = "rotation_under_way"), (status = 410), (status = 412), (status = 428)))]
pub async fn give_up_rotation(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode> {
    let given_up = rotations::give_up(&app, &caller, &named.workspace, &named.name, &precondition).await;
    done(or_repeated(&app, &caller, given_up.map(drop)).await)
}
