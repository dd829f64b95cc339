//! `/workspaces/{workspace}/connections/{name}/dependents`: who depends on a connection.

use std::sync::Arc;

use axum::{Json, extract::State};
use dataflow_model::{ByAlias, Dependent};
use serde::Serialize;

use super::{
    PageParams,
    extract::{Asked, Authenticated, Named},
};
use crate::{app::App, error::Result, ops::dependents};

/// A page of dependents, and how many there are in all.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({
    "items": [{
        "kind": "pipeline", "name": "daily_sales.load",
        "seen": {"first_at": "2026-11-01T02:00:03Z", "last_at": "2026-11-29T02:00:04Z", "uses": 412, "version": 3, "versions": [2, 3],
            "by": "token etl", "host": "worker-1", "failed_at": null, "failed_version": null, "live": false},
        "found": [{"project": "etl", "revision": "0f3c9d1", "file": "dags/daily_sales.py", "line": 12, "certainty": "certain"}],
        "alias": null
    }],
    "aliases": [], "next": null, "total": 1, "found_only": 0, "live": 0, "hidden": 0, "impact_token": "3b0c5a0f6e0d4c1f9a7b2d8e6c4f1a20",
    "channels": [], "through": [], "through_total": 0
}))]
pub struct DependentsAnswer {
    pub items: Vec<Dependent>,
    pub next: Option<String>,
    /// How many there are.
    pub total: i64,
    /// How many of them were found in code and never seen.
    pub found_only: i64,
    /// How many used it within the last minute.
    pub live: i64,
    /// How many of them you may not see: notebooks, scripts and shells of others, unless you may edit connections.
    pub hidden: i64,
    /// How many of them use an alias, for each that has any.
    pub aliases: Vec<ByAlias>,
    /// What a delete carries as `impact_token`; null where nothing depends on it.
    pub impact_token: Option<String>,
    /// Channels that tell people through it what becomes of connections.
    pub channels: Vec<String>,
    /// Connections that go through it, at most 200.
    pub through: Vec<String>,
    /// How many connections go through it.
    pub through_total: i64,
}

/// Lists who depends on a connection: workflows that were seen using its name, the latest first, then those that a scan of code found and
/// that were never seen; after them the same of each of its aliases. Of a deleted connection, too: its dependents wait for one of the same name.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/connections/{name}/dependents", operation_id = "list_dependents", tag = "dependents",
    params(("workspace" = String, Path), ("name" = String, Path), PageParams),
    responses((status = 200, body = DependentsAnswer), (status = 404), (status = 422)))]
pub async fn list_dependents(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
    Asked(params): Asked<PageParams>,
) -> Result<Json<DependentsAnswer>> {
    let found = dependents::list(&app, &caller, &named.workspace, &named.name, &params.into()).await?;
    let impact = found.impact;
    Ok(Json(DependentsAnswer {
        items: found.page.rows,
        next: found.page.next,
        total: impact.total,
        found_only: impact.found_only,
        live: impact.live,
        hidden: impact.hidden,
        aliases: impact.aliases,
        impact_token: impact.token,
        channels: impact.channels,
        through: impact.through,
        through_total: impact.through_total,
    }))
}
