//! Workspaces: the boundary of names, people and rights.

use anyhow::Context;
use dataflow_model::{FieldError, WorkspaceName};
use dataflow_vault::random_uuid;

use super::{
    access::Caller,
    idempotency::begin,
    owners::{OwnersAct, authorise_owner},
    paging::{Page, Paging},
    rows::{Sealed as _, taken, uuid},
};
use crate::{
    app::App,
    audit::{self, Event},
    error::{Error, Result},
    store::{self, WorkspaceRow, Write},
};

/// A page of the workspaces that the caller is in, by name.
pub async fn list(app: &App, caller: &Caller, paging: &Paging) -> Result<Page<WorkspaceRow>> {
    let after = paging.after()?.map(|(name_key, _)| name_key).unwrap_or_default();
    let mut rows = list_all(app, caller).await?;
    rows.retain(|row| row.name_key > after);
    paging.page(rows, |row| (row.name_key.clone(), String::new()))
}

/// All of them, for faces that show no pages.
pub async fn list_all(app: &App, caller: &Caller) -> Result<Vec<WorkspaceRow>> {
    let rows = store::workspaces(&mut app.store.read().await?).await?;
    let mut mine = Vec::new();
    for row in rows {
        if !caller.roles_in(uuid(&row.id)?).is_empty() {
            mine.push(row);
        }
    }
    Ok(mine)
}

/// Makes a workspace. For owners.
pub async fn create(app: &App, caller: &Caller, name: &str) -> Result<WorkspaceRow> {
    authorise_owner(app, caller, OwnersAct::CreateWorkspaces).await?;
    let name =
        WorkspaceName::new(name).map_err(|error| Error::Invalid(vec![FieldError::new("name", "invalid", error.to_string())]))?;
    let mut write = begin(app, caller).await?;
    let row = insert(app, caller, &mut write, &name).await?;
    write.commit().await?;
    Ok(row)
}

pub(super) async fn insert(app: &App, caller: &Caller, write: &mut Write, name: &WorkspaceName) -> Result<WorkspaceRow> {
    let id = random_uuid();
    let now = app.clock.now();
    let row = WorkspaceRow {
        id: id.to_string(),
        name: name.as_str().to_owned(),
        name_key: name.key(),
        wrapped_key: app.vault.create_workspace_key(id).context("make a workspace's key").map_err(Error::Internal)?,
        created_at: now,
        created_by: caller.label().into_owned(),
        mac: Vec::new(),
    }
    .sealed(&app.vault);
    store::insert_workspace(write, &row).await.map_err(taken(&row.name))?;
    let event = Event {
        at: now,
        workspace_id: Some(row.id.clone()),
        action: "workspace.create",
        object: &row.name,
        detail: serde_json::json!({}),
    };
    audit::record(write, &app.vault, caller, event).await?;
    Ok(row)
}
