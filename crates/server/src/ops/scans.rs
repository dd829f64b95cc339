//! Scans: what the code of a project names, reported piece by piece by whoever scanned it.

use std::collections::BTreeSet;

use dataflow_model::{Certainty, ConnectionName, FieldError, WorkflowKind};
use uuid::Uuid;

use super::{
    access::{Action, Caller, authorise},
    dependents::settle::settle,
    idempotency::begin,
    paging::{Page, Paging},
};
use crate::{
    app::App,
    audit::{self, Event},
    error::{Error, Result},
    store::{self, FindingRow, Handle, ScanRow},
};

/// Most findings of a project, and of one piece.
pub const FINDINGS_MAX: i64 = 50_000;
pub const PIECE_MAX: usize = 500;
/// Most projects of a workspace.
pub const PROJECTS_MAX: i64 = 1_000;
/// Longest text of a finding, in characters.
pub const TEXT_MAX: usize = 500;

/// A piece of a report.
#[derive(Debug)]
pub struct Piece {
    /// The same for all pieces of a report.
    pub scan: Uuid,
    pub revision: Option<String>,
    /// Files that were looked at.
    pub files: i64,
    pub findings: Vec<Finding>,
    /// With the last piece: how many findings all of them have.
    pub total: Option<i64>,
}

/// A place in code that names a connection.
#[derive(Debug)]
pub struct Finding {
    pub connection: String,
    pub kind: WorkflowKind,
    /// A dag's id, or the path of the file from the project's root.
    pub workflow: String,
    pub file: String,
    pub line: i64,
    pub certainty: Certainty,
}

/// What became of a piece.
#[derive(Debug)]
pub struct Reported {
    pub scan: ScanRow,
    /// Names in it that no live connection has.
    pub unknown: Vec<String>,
    /// Findings of earlier scans that are gone.
    pub removed: u64,
}

/// Takes a piece of a report. Until its last piece came, what earlier scans of the project found stays beside.
///
/// # Errors
/// `VersionConflict` at the last piece, if another scan of the project came between.
pub async fn report(app: &App, caller: &Caller, workspace: &str, project: &str, piece: Piece) -> Result<Reported> {
    let workspace = authorise(app, caller, workspace, Action::ReportScans).await?;
    check(project, &piece)?;
    let workspace_id = workspace.id.to_string();
    let of = (workspace_id.as_str(), project);
    let scan = piece.scan.to_string();
    let mut write = begin(app, caller).await?;
    store::share_workspace(&mut write, &workspace_id).await?;
    let mut row = ScanRow {
        workspace_id: workspace_id.clone(),
        project: project.to_owned(),
        revision: piece.revision,
        files: piece.files,
        findings: 0,
        reported_at: app.clock.now(),
        reported_by: caller.label().into_owned(),
    };
    // Held from here on: of two scans of a project each piece is whole.
    row.findings = store::put_scan(&mut write, &row).await?;
    let mut touched = BTreeSet::new();
    for finding in &piece.findings {
        let finding = finding_row(&workspace_id, project, &scan, finding);
        if store::put_finding(&mut write, &finding).await? {
            row.findings += 1;
            touched.insert(finding.name_key);
        }
    }
    let mut removed = 0;
    if let Some(total) = piece.total {
        row.findings = store::count_findings(&mut write, of, &scan).await?;
        if row.findings != total {
            return Err(Error::VersionConflict);
        }
        touched.extend(store::names_of_other_scans(&mut write, of, &scan).await?);
        removed = store::delete_other_findings(&mut write, of, &scan).await?;
    }
    if row.findings > FINDINGS_MAX {
        return Err(too_many("findings", format!("are more than {FINDINGS_MAX} in this project; scan fewer folders at once")));
    }
    if store::count_scans(&mut write, &workspace_id).await? > PROJECTS_MAX {
        return Err(too_many("project", format!("is one too many: a workspace has at most {PROJECTS_MAX} of them")));
    }
    store::set_findings(&mut write, &workspace_id, project, row.findings).await?;
    for name_key in &touched {
        settle(&mut write, &workspace_id, name_key).await?;
    }
    let names = piece.findings.iter().map(|finding| finding.connection.as_str());
    let unknown = unknown(&mut write, &workspace_id, names).await?;
    if piece.total.is_some() {
        let detail = serde_json::json!({"revision": row.revision, "files": row.files, "findings": row.findings});
        let event =
            Event { at: row.reported_at, workspace_id: Some(workspace_id), action: "scan.report", object: project, detail };
        audit::record(&mut write, &app.vault, caller, event).await?;
    }
    write.commit_quietly().await?;
    Ok(Reported { scan: row, unknown, removed })
}

/// What became of a piece that was sent again: what is known of its project and its names now.
pub async fn repeated(app: &App, caller: &Caller, workspace: &str, project: &str, names: &[String]) -> Result<Reported> {
    let workspace = authorise(app, caller, workspace, Action::ReportScans).await?;
    let workspace_id = workspace.id.to_string();
    let mut read = app.store.read().await?;
    let scan = store::scan(&mut read, &workspace_id, project).await?.ok_or(Error::NotFound("project"))?;
    let unknown = unknown(&mut read, &workspace_id, names.iter().map(String::as_str)).await?;
    Ok(Reported { scan, unknown, removed: 0 })
}

fn finding_row(workspace_id: &str, project: &str, scan: &str, finding: &Finding) -> FindingRow {
    FindingRow {
        workspace_id: workspace_id.to_owned(),
        name_key: finding.connection.to_ascii_lowercase(),
        kind: finding.kind.as_str().to_owned(),
        workflow: finding.workflow.clone(),
        project: project.to_owned(),
        file: finding.file.clone(),
        line: finding.line,
        name: finding.connection.clone(),
        is_certain: finding.certainty == Certainty::Certain,
        is_seen: false,
        scan: scan.to_owned(),
    }
}

async fn unknown<'n>(handle: &mut impl Handle, workspace_id: &str, names: impl Iterator<Item = &'n str>) -> Result<Vec<String>> {
    let mut unknown = Vec::new();
    for name in names.collect::<BTreeSet<_>>() {
        let key = name.to_ascii_lowercase();
        let row = store::newest_connection(handle, workspace_id, name, &key).await?;
        if row.is_none_or(|row| row.deleted_at.is_some()) && store::alias(handle, workspace_id, name, &key).await?.is_none() {
            unknown.push(name.to_owned());
        }
    }
    Ok(unknown)
}

fn too_many(field: &str, message: String) -> Error {
    Error::Invalid(vec![FieldError::new(field, "too_many", message)])
}

fn check(project: &str, piece: &Piece) -> Result<()> {
    let mut errors = Vec::new();
    if let Err(error) = ConnectionName::new(project) {
        errors.push(FieldError::new("project", "invalid", error.to_string()));
    }
    let mut text = |field: String, text: &str| {
        if text.is_empty() || text.chars().count() > TEXT_MAX {
            errors.push(FieldError::new(field, "out_of_range", format!("must have from 1 to {TEXT_MAX} characters")));
        } else if text.contains(char::is_control) {
            errors.push(FieldError::new(field, "invalid", "must hold no control characters"));
        }
    };
    piece.revision.as_deref().into_iter().for_each(|revision| text("commit".to_owned(), revision));
    for (at, finding) in piece.findings.iter().enumerate() {
        text(format!("findings.{at}.workflow"), &finding.workflow);
        text(format!("findings.{at}.file"), &finding.file);
    }
    for (at, finding) in piece.findings.iter().enumerate() {
        if let Err(error) = ConnectionName::new(finding.connection.as_str()) {
            errors.push(FieldError::new(format!("findings.{at}.connection"), "invalid", error.to_string()));
        }
        if finding.line < 1 {
            errors.push(FieldError::new(format!("findings.{at}.line"), "out_of_range", "must be at least 1"));
        }
    }
    if piece.findings.len() > PIECE_MAX {
        errors.push(FieldError::new("findings", "too_many", format!("must be at most {PIECE_MAX} in one piece")));
    }
    if piece.files < 0 {
        errors.push(FieldError::new("files", "out_of_range", "must be at least 0"));
    }
    if errors.is_empty() { Ok(()) } else { Err(Error::Invalid(errors)) }
}

/// A page of the projects that were scanned, by name.
pub async fn list(app: &App, caller: &Caller, workspace: &str, paging: &Paging) -> Result<Page<ScanRow>> {
    let workspace = authorise(app, caller, workspace, Action::SeeConnections).await?;
    let after = paging.after()?.map(|(project, _)| project).unwrap_or_default();
    let mut read = app.store.read().await?;
    let rows = store::list_scans(&mut read, &workspace.id.to_string(), &after, paging.rows_to_read()?).await?;
    paging.page(rows, |row| (row.project.clone(), String::new()))
}

/// Forgets a project, with all that was found in it.
pub async fn forget(app: &App, caller: &Caller, workspace: &str, project: &str) -> Result<()> {
    let workspace = authorise(app, caller, workspace, Action::ForgetScans).await?;
    let workspace_id = workspace.id.to_string();
    let mut write = begin(app, caller).await?;
    store::share_workspace(&mut write, &workspace_id).await?;
    if !store::delete_scan(&mut write, &workspace_id, project).await? {
        return Err(Error::NotFound("project"));
    }
    // No scan has this id.
    let names = store::names_of_other_scans(&mut write, (&workspace_id, project), "").await?;
    store::delete_other_findings(&mut write, (&workspace_id, project), "").await?;
    for name_key in &names {
        settle(&mut write, &workspace_id, name_key).await?;
    }
    let detail = serde_json::json!({});
    let event = Event { at: app.clock.now(), workspace_id: Some(workspace_id), action: "scan.forget", object: project, detail };
    audit::record(&mut write, &app.vault, caller, event).await?;
    write.commit_quietly().await?;
    Ok(())
}
