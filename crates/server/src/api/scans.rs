//! `/workspaces/{workspace}/scans`: what the code of projects names.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use dataflow_model::{Certainty, FieldError, WorkflowKind};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    ListAnswer, PageParams, done,
    extract::{Asked, Authenticated, InWorkspace, JsonBody, Named},
    listed,
};
use crate::{
    app::App,
    clock::rfc3339,
    error::{Error, Result},
    ops::{
        idempotency::or_repeated,
        scans::{self, Finding, Piece},
    },
    store::ScanRow,
};

/// A piece of a report. A report of more than 500 findings comes in several, under one `scan`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "scan": "5c1f0f0e-3f63-4c39-8a0b-51a8f7f0a1c2", "commit": "0f3c9d1", "files": 1234, "last": true, "total": 1, "findings": [
        {"connection": "sales", "kind": "pipeline", "workflow": "daily_sales", "file": "dags/daily_sales.py", "line": 12, "certainty": "certain"}]
}))]
pub struct ScanPiece {
    /// Of your choice, the same for all pieces of a report.
    #[schema(format = "uuid")]
    pub scan: String,
    /// What was scanned.
    #[schema(max_length = 500)]
    pub commit: Option<String>,
    /// Files that were looked at.
    #[schema(minimum = 0)]
    pub files: i64,
    #[schema(max_items = 500)]
    pub findings: Vec<FindingBody>,
    /// Ends the report: what earlier scans of the project found and this one did not is forgotten.
    pub last: bool,
    /// With the last piece: the findings of all pieces together.
    pub total: Option<i64>,
}

/// A place in code that names a connection.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FindingBody {
    #[schema(min_length = 1, max_length = 250)]
    pub connection: String,
    /// `pipeline`, `notebook`, `app`, `script` or `cli`.
    #[schema(value_type = String)]
    pub kind: WorkflowKind,
    /// A dag's id, or the path of the file from the project's root.
    #[schema(min_length = 1, max_length = 500)]
    pub workflow: String,
    #[schema(min_length = 1, max_length = 500)]
    pub file: String,
    #[schema(minimum = 1)]
    pub line: i64,
    pub certainty: Certainty,
}

/// What is known of a project now.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({"project": "etl", "commit": "0f3c9d1", "files": 1234, "findings": 17, "unknown": ["slaes"], "removed": 3}))]
pub struct ScanReported {
    pub project: String,
    pub commit: Option<String>,
    pub files: i64,
    /// Until the last piece came, with those of earlier scans.
    pub findings: i64,
    /// Names in this piece that no connection of the workspace has.
    pub unknown: Vec<String>,
    /// Findings of earlier scans that this piece ended; 0 when it is answered again under its `Idempotency-Key`.
    pub removed: u64,
}

/// A project whose code was scanned.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(example = json!({"project": "etl", "commit": "0f3c9d1", "files": 1234, "findings": 17, "reported_at": "2026-11-29T09:00:00Z", "reported_by": "token ci"}))]
pub struct ScanAnswer {
    pub project: String,
    pub commit: Option<String>,
    pub files: i64,
    pub findings: i64,
    pub reported_at: String,
    pub reported_by: String,
}

/// Reports what the code of a project names, or a piece of it: `dataflow scan` does.
#[utoipa::path(put, path = "/api/v1/workspaces/{workspace}/scans/{name}", operation_id = "report_scan", tag = "dependents",
    params(("workspace" = String, Path), ("name" = String, Path, description = "The project's name")), request_body = ScanPiece,
    responses((status = 200, body = ScanReported), (status = 403), (status = 404), (status = 412, description = "version_conflict"), (status = 415), (status = 422)))]
pub async fn report_scan(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    named: Named,
    JsonBody(body): JsonBody<ScanPiece>,
) -> Result<Json<ScanReported>> {
    let finding = |finding: FindingBody| Finding {
        connection: finding.connection,
        kind: finding.kind,
        workflow: finding.workflow,
        file: finding.file,
        line: finding.line,
        certainty: finding.certainty,
    };
    let refused = |_| Error::Invalid(vec![FieldError::new("scan", "invalid", "must be a UUID of your choice")]);
    let scan = Uuid::parse_str(&body.scan).map_err(refused)?;
    let total = body.last.then(|| body.total.unwrap_or_else(|| i64::try_from(body.findings.len()).unwrap_or(i64::MAX)));
    let piece = Piece {
        scan,
        revision: body.commit,
        files: body.files,
        findings: body.findings.into_iter().map(finding).collect(),
        total,
    };
    let connections: Vec<_> = piece.findings.iter().map(|finding| finding.connection.clone()).collect();
    let reported = scans::report(&app, &caller, &named.workspace, &named.name, piece).await;
    let reported = match or_repeated(&app, &caller, reported).await {
        Err(Error::Repeated) => scans::repeated(&app, &caller.without_key(), &named.workspace, &named.name, &connections).await?,
        reported => reported?,
    };
    let ScanRow { project, revision, files, findings, .. } = reported.scan;
    Ok(Json(ScanReported { project, commit: revision, files, findings, unknown: reported.unknown, removed: reported.removed }))
}

/// Lists the projects that were scanned, by name.
#[utoipa::path(get, path = "/api/v1/workspaces/{workspace}/scans", operation_id = "list_scans", tag = "dependents",
    params(("workspace" = String, Path), PageParams), responses((status = 200, body = ListAnswer<ScanAnswer>), (status = 404), (status = 422)))]
pub async fn list_scans(
    State(app): State<Arc<App>>,
    Authenticated(caller): Authenticated,
    InWorkspace(workspace): InWorkspace,
    Asked(params): Asked<PageParams>,
) -> Result<Json<ListAnswer<ScanAnswer>>> {
    let scans = scans::list(&app, &caller, &workspace, &params.into()).await?;
    Ok(listed(scans, |row| ScanAnswer {
        project: row.project,
        commit: row.revision,
        files: row.files,
        findings: row.findings,
        reported_at: rfc3339(row.reported_at),
        reported_by: row.reported_by,
    }))
}

/// Forgets a project, with all that was found in it.
#[utoipa::path(delete, path = "/api/v1/workspaces/{workspace}/scans/{name}", operation_id = "forget_scan", tag = "dependents",
    params(("workspace" = String, Path), ("name" = String, Path, description = "The project's name")), responses((status = 204), (status = 403), (status = 404)))]
pub async fn forget_scan(State(app): State<Arc<App>>, Authenticated(caller): Authenticated, named: Named) -> Result<StatusCode> {
    let forgotten = scans::forget(&app, &caller, &named.workspace, &named.name).await;
    done(or_repeated(&app, &caller, forgotten).await)
}
