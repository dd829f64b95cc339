//! `/workspaces/{workspace}/activity`

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use dataflow_model::FieldError;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    ListAnswer,
    extract::{Asked, Authenticated, InWorkspace},
    listed,
};
use crate::{
    app::App,
    clock::{parse_rfc3339, rfc3339},
    error::{Error, Result},
    ops::{
        Caller,
        activity::{self, Entry, Filter},
        paging::{Page, Paging},
    },
};

/// A change, or reads of one connection by one caller for one workflow within a minute.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "id": "4f1c02b7a9e55d409f0a2f6c1b7a9e55", "at": "2026-11-03T02:00:00.120000Z", "last_at": "2026-11-03T02:00:45.310000Z", "actor": "token nightly",
    "action": "credentials.unchanged", "object": "sales", "workflow": {"kind": "pipeline", "name": "daily_sales", "run": "2026-11-03"},
    "version": 4, "count": 9, "address": "10.4.2.17", "detail": {}, "authentic": null
}))]
pub struct ActivityAnswer {
    pub id: String,
    /// When it was, or when the first of the reads was.
    pub at: String,
    pub last_at: String,
    /// An e-mail, `token NAME`, `shell`, or `server` for what it did by itself; empty where it is not kept who it was.
    pub actor: String,
    pub action: String,
    /// The name of what was acted on.
    pub object: String,
    pub workflow: Option<ActivityWorkflow>,
    /// The connection's version that was read, tested, or could not be connected with.
    pub version: Option<i64>,
    /// How many reads; 1 for a change.
    pub count: i64,
    /// Where the last of the reads came from.
    pub address: Option<String>,
    /// What else is known of a change, never a secret.
    #[schema(value_type = Object)]
    pub detail: Value,
    /// Whether a change is what this program wrote: of what was changed in the store by other means nothing here is to be believed. `null` for
    /// reads, whose counts “dataflow audit verify” holds against the events themselves.
    pub authentic: Option<bool>,
}

/// Who asked, as the client told it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ActivityWorkflow {
    pub kind: String,
    pub name: String,
    /// That of the last read.
    pub run: Option<String>,
}

impl From<Entry> for ActivityAnswer {
    fn from(entry: Entry) -> Self {
        Self {
            id: entry.id,
            at: rfc3339(entry.at),
            last_at: rfc3339(entry.last_at),
            actor: entry.actor,
            action: entry.action,
            object: entry.object,
            workflow: entry.workflow.map(|(kind, name, run)| ActivityWorkflow { kind, name, run }),
            version: entry.version,
            count: entry.count,
            address: entry.address,
            detail: entry.detail,
            authentic: entry.is_authentic,
        }
    }
}

/// Which events. What is left out asks for all.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ActivityParams {
    /// Who acted: an e-mail, `token NAME` or `shell`.
    pub actor: Option<String>,
    /// The name of a connection: then tests of it with what they came to (`connection.checked`) are listed, too, and workflows that used it for
    /// the first time (`workflow.first_used`) or could not connect (`workflow.failed`, the last time of each), and when it became unhealthy
    /// or healthy again (`connection.unhealthy`, `connection.healthy`). Tests by a schedule are left out, unless `actor=schedule` asks for them.
    pub connection: Option<String>,
    /// One of `connection.edit`, `credentials.read` and so on.
    pub action: Option<String>,
    /// The name of a workflow.
    pub workflow: Option<String>,
    /// No earlier than this time, RFC 3339.
    pub since: Option<String>,
    /// `next` of the page before.
    pub cursor: Option<String>,
    /// Entries on a page; 50 unless given.
    #[param(minimum = 1, maximum = 200)]
    pub limit: Option<usize>,
}

/// The same for an export, which has no pages.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ExportParams {
    /// Who acted: an e-mail, `token NAME` or `shell`.
    pub actor: Option<String>,
    /// The name of a connection.
    pub connection: Option<String>,
    /// One of `connection.edit`, `credentials.read` and so on.
    pub action: Option<String>,
    /// The name of a workflow: reads alone have one.
    pub workflow: Option<String>,
    /// No earlier than this time, RFC 3339.
    pub since: Option<String>,
}

impl ActivityParams {
    fn split(self) -> Result<(Filter, Paging)> {
        let Self { actor, connection, action, workflow, since, cursor, limit } = self;
        let filter = ExportParams { actor, connection, action, workflow, since }.filter()?;
        Ok((filter, Paging { cursor, limit }))
    }
}

impl ExportParams {
    fn filter(self) -> Result<Filter> {
        let since = self.since.as_deref().map(|text| {
            parse_rfc3339(text)
                .ok_or_else(|| Error::Invalid(vec![FieldError::new("since", "invalid", "must be a time of RFC 3339")]))
        });
        Ok(Filter {
            actor: self.actor.unwrap_or_default(),
            connection: self.connection.unwrap_or_default(),
            action: self.action.unwrap_or_default(),
            workflow: self.workflow.unwrap_or_default(),
            since: since.transpose()?,
        })
    }
}

/// Lists what happened, newest first: each change, and reads of credentials counted by minute, caller, workflow and version. A read is here
/// within a second or two.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/activity", operation_id = "list_activity", tag = "activity", params(("workspace" = String, Path), ActivityParams),
    responses((status = 200, body = ListAnswer<ActivityAnswer>), (status = 403), (status = 404), (status = 422)))]
pub async fn list_activity(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    InWorkspace(workspace): InWorkspace,
    Asked(params): Asked<ActivityParams>,
) -> Result<Json<ListAnswer<ActivityAnswer>>> {
    let (filter, paging) = params.split()?;
    Ok(listed(activity::list(&app, &caller, &workspace, &filter, &paging).await?, ActivityAnswer::from))
}

/// The same entries, all of them, as lines of JSON.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/activity/export", operation_id = "export_activity", tag = "activity", params(("workspace" = String, Path), ExportParams),
    responses((status = 200, content((String = "application/jsonl", example = json!("{\"id\":\"4f1c…\",\"at\":\"2026-11-03T02:00:00.120000Z\",…}\n")))), (status = 403), (status = 404), (status = 422)))]
pub async fn export_activity(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    InWorkspace(workspace): InWorkspace,
    Asked(params): Asked<ExportParams>,
) -> Result<Response> {
    let filter = params.filter()?;
    Ok(([(header::CONTENT_TYPE, JSON_LINES)], export(app, caller, workspace, filter).await?).into_response())
}

/// The media type of an export.
pub const JSON_LINES: HeaderValue = HeaderValue::from_static("application/jsonl");

/// The lines, page by page as they are taken. What can be refused is refused before the first; a failure after it cuts the answer off.
pub async fn export(app: Arc<App>, caller: Caller, workspace: String, filter: Filter) -> Result<Body> {
    let first = activity::list(&app, &caller, &workspace, &filter, &Paging::largest(None)).await?;
    let asked = Arc::new((app, caller, workspace, filter));
    let pages = stream::try_unfold((asked, Some(Next::Page(first))), async |(asked, next)| {
        let page = match next {
            None => return Ok(None),
            Some(Next::Page(page)) => page,
            Some(Next::After(cursor)) => {
                let (app, caller, workspace, filter) = &*asked;
                let page = activity::list(app, caller, workspace, filter, &Paging::largest(Some(cursor))).await;
                page.map_err(|error| std::io::Error::other(error.describe().2))?
            }
        };
        let next = page.next.map(Next::After);
        let mut lines = Vec::with_capacity(page.rows.len() * 300);
        for entry in page.rows {
            serde_json::to_writer(&mut lines, &ActivityAnswer::from(entry))?;
            lines.push(b'\n');
        }
        Ok::<_, std::io::Error>(Some((lines, (asked, next))))
    });
    Ok(Body::from_stream(pages))
}

enum Next {
    Page(Page<Entry>),
    After(String),
}
