//! Workspaces: the boundary of names, people and rights.

use anyhow::Context;
use dataflow_model::{FieldError, WorkspaceName};
use dataflow_vault::random_uuid;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{
    access::Caller,
    connections::Precondition,
    idempotency::begin,
    owners::{OwnersAct, authorise_owner},
    paging::{Page, Paging},
    rows::{Sealed as _, taken, uuid},
};
use crate::{
    app::App,
    audit::{self, Event},
    error::{Error, Result},
    store::{self, Handle, Store, WorkspaceRow, Write},
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

/// What goes with a workspace: what of it is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    pub connections: i64,
    pub members: i64,
    pub tokens: i64,
}

impl Contents {
    /// Names this state of it, for a [`Precondition`].
    #[must_use]
    pub fn etag(&self) -> String {
        format!("\"{}.{}.{}\"", self.connections, self.members, self.tokens)
    }

    async fn of(app: &App, handle: &mut impl Handle, row: &WorkspaceRow) -> Result<Self> {
        let (connections, members, tokens) = store::count_in_workspace(handle, &row.id, app.clock.now()).await?;
        Ok(Self { connections, members, tokens })
    }
}

/// What would go with a workspace. For owners.
///
/// # Errors
/// Those of [`delete`], too: who could not delete it learns so before he is asked.
pub async fn contents(app: &App, caller: &Caller, name: &str) -> Result<Contents> {
    OwnersAct::DeleteWorkspaces.permit(caller)?;
    let mut read = app.store.read().await?;
    let row = to_delete(app, &mut read, name).await?;
    Contents::of(app, &mut read, &row).await
}

/// Deletes a workspace with its keys and all that is in it, if what goes with it is what the caller saw. For owners. What the audit knows of it
/// stays; accounts stay. One of the same name that is made later is another one, and nothing of this one opens in it.
///
/// # Errors
/// `NotFound`; `NoRole` for the only one there is; `VersionConflict` if something else would go with it; `SecretUnreadable` if its row was
/// bent: under its name may stand another one's.
pub async fn delete(app: &App, caller: &Caller, name: &str, precondition: &Precondition) -> Result<Contents> {
    authorise_owner(app, caller, OwnersAct::DeleteWorkspaces).await?;
    let mut write = begin(app, caller).await?;
    // Of two who delete the last two at once, one finds that his is the only one.
    store::hold_workspaces(&mut write).await?;
    let row = to_delete(app, &mut write, name).await?;
    store::hold_whole_workspace(&mut write, &row.id).await?;
    let contents = Contents::of(app, &mut write, &row).await?;
    precondition.holds(&contents.etag())?;
    if !store::delete_workspace(&mut write, &row.id).await? {
        return Err(Error::NotFound("workspace"));
    }
    let Contents { connections, members, tokens } = contents;
    let event = Event {
        at: app.clock.now(),
        // Of the whole server: its owners go on seeing it.
        workspace_id: None,
        action: audit::rows::WORKSPACE_DELETE,
        object: &row.name,
        detail: serde_json::json!({"id": row.id, "connections": connections, "members": members, "tokens": tokens}),
    };
    audit::record(&mut write, &app.vault, caller, event).await?;
    let caches = app.caches.clone();
    write.once_committed(move || caches.forget_all());
    let emptied = empty_log_after(app, &mut write);
    write.commit().await?;
    let _ = emptied.await;
    app.counts.forget();
    Ok(contents)
}

/// The row of a workspace that is not the only one.
async fn to_delete(app: &App, handle: &mut impl Handle, name: &str) -> Result<WorkspaceRow> {
    let all = store::workspaces(handle).await?;
    let is_only = all.len() == 1;
    let row = all.into_iter().find(|row| row.name == name).ok_or(Error::NotFound("workspace"))?.checked(&app.vault)?;
    if is_only {
        return Err(Error::NoRole(
            "This is the only workspace of the server; nothing was deleted.",
            "Make another one first: without a workspace nothing could be signed in to, or kept.",
        ));
    }
    Ok(row)
}

/// Has the embedded store's log emptied once the change is durable, whether or not somebody waits for what this gives.
pub(super) fn empty_log_after(app: &App, write: &mut Write) -> oneshot::Receiver<()> {
    let (store, (has_emptied, emptied)) = (app.store.clone(), oneshot::channel());
    write.once_committed(move || {
        tokio::spawn(async move {
            empty_log(&store).await;
            let _ = has_emptied.send(());
        });
    });
    emptied
}

/// The log of the embedded store still has the rows that are gone. If somebody reads an older state at this moment, a backup for one, they
/// are overwritten later, and gone with the log when the server stops.
async fn empty_log(store: &Store) {
    match store.empty_log().await {
        Ok(true) => {}
        Ok(false) => tracing::warn!(
            "the store's log keeps what was deleted until it is written over, or the server stops: it is being read"
        ),
        Err(error) => {
            tracing::warn!(error.cause = format!("{:#}", anyhow::Error::from(error)), "the store's log was not emptied");
        }
    }
}
