//! Groups of people in a workspace, by which a connection can be narrowed.

use std::collections::BTreeSet;

use anyhow::Context;
use dataflow_model::{ConnectionName, FieldError};
use dataflow_vault::random_uuid;

use super::{
    access::{Action, Caller, authorise},
    idempotency::begin,
    paging::{Page, Paging},
    people::read_email,
    rows::{Sealed as _, taken},
};
use crate::{
    app::{App, Workspace},
    audit::{self, Event},
    error::{Error, Result},
    store::{self, GroupRow, Handle},
};

/// Most people of a group.
pub const MEMBERS_MAX: usize = 500;

/// A group as admins see it.
#[derive(Debug)]
pub struct Group {
    pub name: String,
    /// Changed in the store outside of this program: it admits nobody, and can be removed.
    pub is_altered: bool,
    /// E-mail addresses; of those who are still in the workspace.
    pub people: Vec<String>,
}

/// A page of a workspace's groups, by name.
pub async fn list(app: &App, caller: &Caller, workspace: &str, paging: &Paging) -> Result<Page<Group>> {
    let workspace = authorise(app, caller, workspace, Action::SeePeople).await?;
    let after = paging.after()?.map(|(name_key, _)| name_key).unwrap_or_default();
    let mut read = app.store.read().await?;
    let rows = store::groups(&mut read, &workspace.id.to_string(), &after, paging.rows_to_read()?).await?;
    let page = paging.page(rows, |row| (row.name_key.clone(), String::new()))?;
    let mut groups = Vec::with_capacity(page.rows.len());
    for row in page.rows {
        let name = row.name.clone();
        let (is_altered, people) = match row.checked(&app.vault) {
            Ok(row) => (false, emails(app, &mut read, &workspace, &members(&row)?).await?),
            Err(_) => (true, Vec::new()),
        };
        groups.push(Group { name, is_altered, people });
    }
    Ok(Page { rows: groups, next: page.next })
}

/// All of them, for faces that show no pages.
pub async fn list_all(app: &App, caller: &Caller, workspace: &str) -> Result<Vec<Group>> {
    Paging::all(|paging| async move { list(app, caller, workspace, &paging).await }).await
}

/// Makes a group of these people, or replaces who is in it. All must be in the workspace.
pub async fn put(app: &App, caller: &Caller, workspace: &str, name: &str, people: &[String]) -> Result<Group> {
    let workspace = authorise(app, caller, workspace, Action::ManagePeople).await?;
    let name =
        ConnectionName::new(name).map_err(|error| Error::Invalid(vec![FieldError::new("name", "invalid", error.to_string())]))?;
    if people.len() > MEMBERS_MAX {
        return Err(Error::Invalid(vec![FieldError::new("people", "invalid", format!("must be at most {MEMBERS_MAX}"))]));
    }
    let mut write = begin(app, caller).await?;
    let ids = ids_of_people(app, &mut write, &workspace, people).await?.map_err(|error| Error::Invalid(vec![error]))?;
    let before = store::group_by_name(&mut write, &workspace.id.to_string(), &name.key()).await?;
    let before = before.map(|row| row.checked(&app.vault)).transpose()?;
    if before.as_ref().is_some_and(|row| row.name != name.as_str()) {
        return Err(Error::NameTaken(name.into()));
    }
    let now = app.clock.now();
    let row = GroupRow {
        id: before.map_or_else(|| random_uuid().to_string(), |row| row.id),
        workspace_id: workspace.id.to_string(),
        name_key: name.key(),
        name: name.into(),
        members: serde_json::json!(ids).to_string(),
        changed_at: now,
        changed_by: caller.label().into_owned(),
        mac: Vec::new(),
    }
    .sealed(&app.vault);
    store::put_group(&mut write, &row).await.map_err(taken(&row.name))?;
    let people = emails(app, &mut write, &workspace, &ids).await?;
    let event = Event {
        at: now,
        workspace_id: Some(row.workspace_id.clone()),
        action: "group.put",
        object: &row.name,
        detail: serde_json::json!({"people": people}),
    };
    audit::record(&mut write, &app.vault, caller, event).await?;
    app.caches.forget_connections(&mut write);
    write.commit().await?;
    Ok(Group { name: row.name, is_altered: false, people })
}

/// Removes a group. Connections that were narrowed to it stay narrowed, to who else is named.
pub async fn remove(app: &App, caller: &Caller, workspace: &str, name: &str) -> Result<()> {
    let workspace = authorise(app, caller, workspace, Action::ManagePeople).await?;
    ConnectionName::new(name).map_err(|_| Error::NotFound("group"))?;
    let mut write = begin(app, caller).await?;
    let row = store::group_by_name(&mut write, &workspace.id.to_string(), &name.to_ascii_lowercase()).await?;
    let row = row.filter(|row| row.name == name).ok_or(Error::NotFound("group"))?;
    if !store::remove_group(&mut write, &row.id).await? {
        return Err(Error::NotFound("group"));
    }
    let event = Event {
        at: app.clock.now(),
        workspace_id: Some(row.workspace_id.clone()),
        action: "group.remove",
        object: &row.name,
        detail: serde_json::json!({}),
    };
    audit::record(&mut write, &app.vault, caller, event).await?;
    app.caches.forget_connections(&mut write);
    write.commit().await?;
    Ok(())
}

/// The ids of a group's people.
pub(super) fn members(row: &GroupRow) -> Result<BTreeSet<String>> {
    serde_json::from_str(&row.members).context("a group's people do not parse").map_err(Error::Internal)
}

/// The ids of people of the workspace, by their e-mail addresses; or which of them is not there, by its place: what was sent may be a secret
/// that stands in the wrong one.
pub(super) async fn ids_of_people(
    app: &App,
    handle: &mut impl Handle,
    workspace: &Workspace,
    people: &[String],
) -> Result<std::result::Result<BTreeSet<String>, FieldError>> {
    let mut ids = BTreeSet::new();
    for (at, email) in people.iter().enumerate() {
        let found = match read_email(email) {
            Ok(email) => id_of_person(app, handle, workspace, &email).await?,
            Err(_) => None,
        };
        let Some(id) = found else {
            return Ok(Err(FieldError::new(format!("people.{at}"), "not_found", "is not in this workspace")));
        };
        ids.insert(id);
    }
    Ok(Ok(ids))
}

async fn id_of_person(app: &App, handle: &mut impl Handle, workspace: &Workspace, email: &str) -> Result<Option<String>> {
    let Some(person) = store::person_in(handle, &workspace.id.to_string(), &email.to_lowercase()).await? else { return Ok(None) };
    let person = person.checked(&app.vault)?;
    Ok(is_here(app, handle, workspace, (&person.id, person.is_owner)).await?.then_some(person.id))
}

async fn is_here(app: &App, handle: &mut impl Handle, workspace: &Workspace, (id, is_owner): (&str, bool)) -> Result<bool> {
    if is_owner {
        return Ok(true);
    }
    let memberships = store::memberships(handle, id).await?;
    let here = memberships.into_iter().find(|member| member.workspace_id == workspace.id.to_string());
    here.map(|member| member.checked(&app.vault)).transpose().map(|member| member.is_some())
}

/// The e-mail addresses of those of these people who are in the workspace. Whose row was bent is nobody.
pub(super) async fn emails(
    app: &App,
    handle: &mut impl Handle,
    workspace: &Workspace,
    ids: &BTreeSet<String>,
) -> Result<Vec<String>> {
    let mut emails = Vec::new();
    for id in ids {
        let Some(person) = store::person(handle, id).await? else { continue };
        let Ok(person) = person.checked(&app.vault) else { continue };
        match is_here(app, handle, workspace, (&person.id, person.is_owner)).await {
            Ok(true) => emails.push(person.email),
            Ok(false) | Err(Error::SecretUnreadable(_)) => {}
            Err(error) => return Err(error),
        }
    }
    emails.sort_unstable();
    Ok(emails)
}
