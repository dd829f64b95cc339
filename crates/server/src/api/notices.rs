//! `/workspaces/{workspace}/notification-channels` and `…/ends`: whom a workspace tells what becomes of its connections, and what ends soon.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use dataflow_model::{FieldError, TestReport};
use serde::{Deserialize, Serialize};

use super::{
    ListAnswer, PageParams,
    conditions::IfMatch,
    done,
    extract::{Asked, Authenticated, Channelled, InWorkspace, JsonBody},
    listed,
};
use crate::{
    app::App,
    clock::rfc3339,
    error::{Error, Result},
    ops::{
        idempotency::or_repeated,
        notices::{
            Tells,
            channel::{self, Channel, Standing},
            ends, send,
        },
    },
    store::EndOfRow,
};

/// Whom to tell, and of what.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"connection": "mail", "addresses": ["oncall@example.org"], "tag": "finance", "tells": "all"}))]
pub struct ChannelBody {
    /// The connection of this workspace through which messages go: of a mail server (SMTP), a webhook, or Slack.
    pub connection: String,
    /// Addresses of mail; or the one channel of Slack. Empty for a webhook, which leads to one place.
    #[serde(default)]
    #[schema(max_items = 20, required = false)]
    pub addresses: Vec<String>,
    /// Of connections with this tag alone; null: of all.
    #[serde(default)]
    pub tag: Option<String>,
    /// `health`: what becomes unhealthy, and healthy again. `ends`: certificates and passwords that end in 30, 7 and 1 days, or have ended. `all`:
    /// both.
    #[serde(default = "all")]
    #[schema(required = false)]
    pub tells: String,
}

fn all() -> String {
    Tells::All.as_str().to_owned()
}

impl TryFrom<ChannelBody> for Channel {
    type Error = Error;

    fn try_from(body: ChannelBody) -> Result<Self> {
        let ChannelBody { connection, addresses, tag, tells } = body;
        let tells = Tells::parse(&tells)
            .ok_or_else(|| Error::Invalid(vec![FieldError::new("tells", "not_a_choice", "must be `all`, `health` or `ends`")]))?;
        Ok(Self { connection, addresses, tag, tells })
    }
}

/// A channel, and how its last message went.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "name": "oncall", "connection": "mail", "addresses": ["oncall@example.org"], "tag": null, "tells": "all", "is_sound": true,
    "set_at": "2026-11-02T09:00:00Z", "set_by": "ada@example.org", "told_at": "2026-11-02T09:30:20Z", "problem": null,
    "etag": "\"oncall.1793610000000000\""
}))]
pub struct ChannelAnswer {
    pub name: String,
    pub connection: String,
    pub addresses: Vec<String>,
    pub tag: Option<String>,
    pub tells: String,
    /// False if it was changed outside of this program: then it tells nothing until it is set again.
    pub is_sound: bool,
    pub set_at: String,
    pub set_by: String,
    /// When its last message was taken.
    pub told_at: Option<String>,
    /// Why its last message was not; then it is tried again, for a day.
    pub problem: Option<String>,
    pub etag: String,
}

impl From<Standing> for ChannelAnswer {
    fn from(standing: Standing) -> Self {
        let Standing { name, channel, set: (set_at, set_by), is_sound, told_at, problem, etag } = standing;
        let Channel { connection, addresses, tag, tells } = channel;
        Self {
            name,
            connection,
            addresses,
            tag,
            tells: tells.as_str().to_owned(),
            is_sound,
            set_at: rfc3339(set_at),
            set_by,
            told_at: told_at.map(rfc3339),
            problem,
            etag,
        }
    }
}

fn respond(standing: Standing) -> Response {
    ([(header::ETAG, standing.etag.clone())], Json(ChannelAnswer::from(standing))).into_response()
}

/// Lists the channels by which a workspace tells people what becomes of its connections.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/notification-channels", operation_id = "list_channels", tag = "tests",
    params(("workspace" = String, Path), PageParams),
    responses((status = 200, body = ListAnswer<ChannelAnswer>), (status = 403), (status = 404), (status = 422)))]
pub async fn list_channels(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    InWorkspace(workspace): InWorkspace,
    Asked(params): Asked<PageParams>,
) -> Result<Json<ListAnswer<ChannelAnswer>>> {
    Ok(listed(channel::list(&app, &caller, &workspace, &params.into()).await?, ChannelAnswer::from))
}

/// Shows a channel.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/notification-channels/{channel}", operation_id = "show_channel", tag = "tests",
    params(("workspace" = String, Path), ("channel" = String, Path)),
    responses((status = 200, body = ChannelAnswer, headers(("ETag" = String))), (status = 403), (status = 404), (status = 422)))]
pub async fn show_channel(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Channelled { workspace, channel }: Channelled,
) -> Result<Response> {
    Ok(respond(channel::show(&app, &caller, &workspace, &channel).await?))
}

/// Makes a channel (`If-Match` of one that is not there: `"NAME.0"` in lower case, or `*`), or sets it anew. It goes on whoever leaves.
///
/// Each change of how a connection stands is told once. What comes within twenty seconds is one message; messages that follow each other closely come
/// ever less often, up to one in a quarter of an hour. What cannot be handed over is tried again for a day.
#[utoipa::path(put, path = "/api/v1/workspaces/{workspace}/notification-channels/{channel}", operation_id = "put_channel", tag = "tests",
    params(("workspace" = String, Path), ("channel" = String, Path), ("If-Match" = String, Header, description = "The channel's ETag that was read, a list of such, or `*`")),
    request_body = ChannelBody,
    responses((status = 200, body = ChannelAnswer, headers(("ETag" = String))), (status = 403), (status = 404), (status = 412), (status = 415),
        (status = 422), (status = 428)))]
pub async fn put_channel(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Channelled { workspace, channel }: Channelled,
    IfMatch(precondition): IfMatch,
    JsonBody(body): JsonBody<ChannelBody>,
) -> Result<Response> {
    let asked = (Channel::try_from(body)?, &precondition);
    let set = channel::set(&app, &caller, &workspace, &channel, asked).await;
    match or_repeated(&app, &caller, set).await {
        Err(Error::Repeated) => Ok(respond(channel::show(&app, &caller.without_key(), &workspace, &channel).await?)),
        set => Ok(respond(set?)),
    }
}

/// Removes a channel, with what it was still to tell.
#[utoipa::path(delete, path = "/api/v1/workspaces/{workspace}/notification-channels/{channel}", operation_id = "remove_channel", tag = "tests",
    params(("workspace" = String, Path), ("channel" = String, Path), ("If-Match" = String, Header, description = "The channel's ETag that was read, a list of such, or `*`")),
    responses((status = 204), (status = 403), (status = 404), (status = 412), (status = 422), (status = 428)))]
pub async fn remove_channel(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Channelled { workspace, channel }: Channelled,
    IfMatch(precondition): IfMatch,
) -> Result<StatusCode> {
    let removed = channel::remove(&app, &caller, &workspace, &channel, &precondition).await;
    done(or_repeated(&app, &caller, removed).await)
}

/// Sends a message through a channel, to see whether it gets there. The answer has the steps of a test, with `send` as the last one.
#[utoipa::path(post, path = "/api/v1/workspaces/{workspace}/notification-channels/{channel}/test", operation_id = "test_channel", tag = "tests",
    params(("workspace" = String, Path), ("channel" = String, Path)),
    responses((status = 200, body = TestReport), (status = 403), (status = 404), (status = 422), (status = 429)))]
pub async fn test_channel(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    Channelled { workspace, channel }: Channelled,
) -> Result<Json<TestReport>> {
    Ok(Json(send::try_out(&app, &caller, &workspace, &channel).await?))
}

/// What of a connection ends soon, or has ended.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({"connection": "sales", "type": "postgres", "about": "certificate", "ends_at": "2026-12-07T00:00:00Z"}))]
pub struct EndAnswer {
    pub connection: String,
    #[serde(rename = "type")]
    pub type_id: String,
    /// `certificate` or `password`.
    pub about: String,
    pub ends_at: String,
}

impl From<EndOfRow> for EndAnswer {
    fn from(row: EndOfRow) -> Self {
        Self { connection: row.name, type_id: row.type_id, about: row.end.about, ends_at: rfc3339(row.end.ends_at) }
    }
}

/// Lists certificates and passwords that end within 30 days or have ended, soonest first, as the last test of each connection learnt it.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/ends", operation_id = "list_ends", tag = "tests", params(("workspace" = String, Path), PageParams),
    responses((status = 200, body = ListAnswer<EndAnswer>), (status = 404), (status = 422)))]
pub async fn list_ends(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    InWorkspace(workspace): InWorkspace,
    Asked(params): Asked<PageParams>,
) -> Result<Json<ListAnswer<EndAnswer>>> {
    Ok(listed(ends::list(&app, &caller, &workspace, &params.into()).await?, EndAnswer::from))
}
