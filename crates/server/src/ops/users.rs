//! Who may use a connection: whoever has the role, or of those only whom an admin names.

use std::collections::{BTreeSet, HashSet};

use anyhow::Context;
use dataflow_model::FieldError;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    Role,
    access::{Action, Caller, Who, authorise_name},
    connections::{self, Precondition},
    groups::{emails, ids_of_people, members},
    idempotency::begin,
    rows::{Sealed as _, refused, uuid},
};
use crate::{
    app::{App, Workspace},
    audit::{self, Event},
    error::{Error, Result},
    store::{self, ConnectionRow, Handle},
};

/// Most names of each kind.
pub const USERS_MAX: usize = 500;

/// Those whom a connection is narrowed to, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Users {
    /// E-mail addresses.
    pub people: Vec<String>,
    /// Names of live tokens.
    pub tokens: Vec<String>,
    pub groups: Vec<String>,
}

/// What a connection's row holds: ids.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Ids {
    people: BTreeSet<String>,
    tokens: BTreeSet<String>,
    groups: BTreeSet<String>,
}

/// Who may use a connection, and the entity tag that a change of it names.
#[derive(Debug)]
pub struct Narrowing {
    /// `None`: whoever has the role.
    pub users: Option<Users>,
    pub etag: String,
}

/// The callers whom a narrowed connection admits, admins of the workspace aside.
#[derive(Debug)]
pub struct Allowed {
    people: HashSet<Uuid>,
    tokens: HashSet<Uuid>,
}

impl Allowed {
    /// Of a connection's row; `None` where it is not narrowed. What is named and is there no more admits nobody, and neither does a group
    /// that was bent.
    pub(super) async fn of(app: &App, handle: &mut impl Handle, row: &ConnectionRow) -> Result<Option<Self>> {
        let Some(ids) = ids(row)? else { return Ok(None) };
        let mut people = ids.people;
        for id in &ids.groups {
            match store::group(handle, id).await?.map(|group| group.checked(&app.vault)) {
                Some(Ok(group)) => people.extend(members(&group)?),
                Some(Err(error)) => drop(refused("group", id, &error)),
                None => {}
            }
        }
        let read = |ids: BTreeSet<String>| ids.iter().map(|id| uuid(id)).collect::<Result<HashSet<_>>>();
        Ok(Some(Self { people: read(people)?, tokens: read(ids.tokens)? }))
    }

    /// Whether a token, or the person who asks or stands behind it, is named.
    pub(super) fn names(&self, token: Option<Uuid>, person: Option<Uuid>) -> bool {
        token.is_some_and(|token| self.tokens.contains(&token)) || person.is_some_and(|person| self.people.contains(&person))
    }

    /// # Errors
    /// `NoRole` for a caller who is not named and no admin.
    pub(super) fn admit(&self, caller: &Caller, workspace: &Workspace) -> Result<()> {
        let is_named = match &caller.who {
            Who::Shell => true,
            Who::Person(person) => self.names(None, Some(person.id)),
            Who::Token(token) => self.names(Some(token.id), token.person_id),
        };
        if is_named || caller.roles_in(workspace.id).has(Role::Admin) {
            return Ok(());
        }
        Err(Error::NoRole(
            "This connection may be used by those alone whom an admin of the workspace named.",
            "Ask an admin to name you, your token, or a group that you are in.",
        ))
    }
}

fn ids(row: &ConnectionRow) -> Result<Option<Ids>> {
    let read = |text| serde_json::from_str(text).context("who may use a connection does not parse").map_err(Error::Internal);
    row.users.as_deref().map(read).transpose()
}

fn etag(app: &App, row: &ConnectionRow) -> String {
    let hash = app.vault.lookup_hash("users", &[row.id.as_bytes(), row.users.as_deref().unwrap_or_default().as_bytes()]);
    format!("\"{}\"", hash.first_chunk::<8>().map(hex::encode).unwrap_or_default())
}

/// Who may use a connection.
pub async fn show(app: &App, caller: &Caller, workspace: &str, name: &str) -> Result<Narrowing> {
    let workspace = authorise_name(app, caller, workspace, name, Action::SeeUsers).await?;
    let mut read = app.store.read().await?;
    let (row, _) = connections::current(app, &mut read, &workspace, name).await?;
    narrowing(app, &mut read, &workspace, &row).await
}

/// Whether a connection's narrowing admits the caller.
pub async fn admits(app: &App, caller: &Caller, workspace: &str, name: &str) -> Result<bool> {
    let workspace = authorise_name(app, caller, workspace, name, Action::SeeConnections).await?;
    let mut read = app.store.read().await?;
    let (row, _) = connections::current(app, &mut read, &workspace, name).await?;
    Ok(Allowed::of(app, &mut read, &row).await?.is_none_or(|users| users.admit(caller, &workspace).is_ok()))
}

/// What was bent is left out: it admits nobody, and under a name of another it would be shown for that one.
async fn narrowing(app: &App, handle: &mut impl Handle, workspace: &Workspace, row: &ConnectionRow) -> Result<Narrowing> {
    let users = match ids(row)? {
        None => None,
        Some(ids) => {
            let people = emails(app, handle, workspace, &ids.people).await?;
            let (mut tokens, mut groups) = (Vec::new(), Vec::new());
            for id in &ids.tokens {
                let token = store::token(handle, &row.workspace_id, id).await?.and_then(|token| token.checked(&app.vault).ok());
                tokens.extend(token.filter(|token| token.revoked_at.is_none()).map(|token| token.name));
            }
            for id in &ids.groups {
                let group = store::group(handle, id).await?.and_then(|group| group.checked(&app.vault).ok());
                groups.extend(group.map(|group| group.name));
            }
            tokens.sort_unstable();
            groups.sort_unstable();
            Some(Users { people, tokens, groups })
        }
    };
    Ok(Narrowing { users, etag: etag(app, row) })
}

/// Narrows a connection to these, or opens it to whoever has the role. It takes effect at once on this node, within the freshness time on
/// others; who is not named is refused at his next read, and what he holds already he holds.
pub async fn set(
    app: &App,
    caller: &Caller,
    workspace: &str,
    name: &str,
    (users, precondition): (Option<Users>, Precondition),
) -> Result<Narrowing> {
    let workspace = authorise_name(app, caller, workspace, name, Action::NarrowConnections).await?;
    let mut write = begin(app, caller).await?;
    let (before, _) = connections::hold_current(app, caller, &mut write, &workspace, name).await?;
    precondition.holds(&etag(app, &before))?;
    let users = match &users {
        None => None,
        Some(users) => Some(read(app, &mut write, &workspace, users).await?),
    };
    let users = users.map(|ids| serde_json::to_string(&ids)).transpose();
    let users = users.context("write who may use a connection").map_err(Error::Internal)?;
    if users == before.users {
        write.commit_quietly().await?;
        return narrowing(app, &mut app.store.read().await?, &workspace, &before).await;
    }
    let row = ConnectionRow { users, ..before }.sealed(&app.vault);
    if !store::narrow_connection(&mut write, &row).await? {
        return Err(Error::VersionConflict);
    }
    let after = narrowing(app, &mut write, &workspace, &row).await?;
    let detail = match &after.users {
        None => serde_json::json!({"users": "all with the role"}),
        Some(Users { people, tokens, groups }) => serde_json::json!({"people": people, "tokens": tokens, "groups": groups}),
    };
    let event = Event {
        at: app.clock.now(),
        workspace_id: Some(row.workspace_id.clone()),
        action: "connection.narrow",
        object: &row.name,
        detail,
    };
    audit::record(&mut write, &app.vault, caller, event).await?;
    app.caches.forget_connection(&mut write, workspace.id, &row.name);
    write.commit().await?;
    Ok(after)
}

/// Finds what is named; all that is not there is told at once. A row that was bent in the store is refused: under
/// another's name it would let somebody else in.
async fn read(app: &App, handle: &mut impl Handle, workspace: &Workspace, users: &Users) -> Result<Ids> {
    let (mut ids, mut errors) = (Ids::default(), Vec::new());
    for (field, names) in [("people", &users.people), ("tokens", &users.tokens), ("groups", &users.groups)] {
        if names.len() > USERS_MAX {
            errors.push(FieldError::new(field, "invalid", format!("must be at most {USERS_MAX}")));
        }
    }
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    match ids_of_people(app, handle, workspace, &users.people).await? {
        Ok(people) => ids.people = people,
        Err(error) => errors.push(error),
    }
    let workspace_id = workspace.id.to_string();
    for (at, name) in users.tokens.iter().enumerate() {
        // PostgreSQL fails at a text with NUL, so what cannot be a name is not looked for.
        let found = if name.chars().any(char::is_control) {
            None
        } else {
            store::live_token_by_name(handle, &workspace_id, &name.to_lowercase()).await?
        };
        match found.filter(|token| token.name == *name).map(|token| token.checked(&app.vault)).transpose()? {
            Some(token) => drop(ids.tokens.insert(token.id)),
            None => errors.push(FieldError::new(format!("tokens.{at}"), "not_found", "is no live token here")),
        }
    }
    for (at, name) in users.groups.iter().enumerate() {
        let found = if name.chars().any(char::is_control) {
            None
        } else {
            store::group_by_name(handle, &workspace_id, &name.to_ascii_lowercase()).await?
        };
        match found.filter(|group| group.name == *name).map(|group| group.checked(&app.vault)).transpose()? {
            Some(group) => drop(ids.groups.insert(group.id)),
            None => errors.push(FieldError::new(format!("groups.{at}"), "not_found", "is no group here")),
        }
    }
    if errors.is_empty() { Ok(ids) } else { Err(Error::Invalid(errors)) }
}

/// Takes a person who leaves a workspace out of its groups and of whom its connections are narrowed to: if he comes again, he is nobody's
/// user until somebody names him anew. A row that was bent stays as it is: it admits nobody, and with a MAC of now it would.
pub(super) async fn forget_person(app: &App, write: &mut store::Write, workspace_id: &str, person_id: &str) -> Result<()> {
    for row in store::groups(write, workspace_id, "", i64::MAX).await? {
        let Ok(row) = row.checked(&app.vault) else { continue };
        let mut people = members(&row)?;
        if people.remove(person_id) {
            let row = store::GroupRow { members: serde_json::json!(people).to_string(), ..row };
            store::put_group(write, &row.sealed(&app.vault)).await?;
        }
    }
    for row in store::narrowed_connections(write, workspace_id).await? {
        let Ok(row) = row.checked(&app.vault) else { continue };
        let Some(mut ids) = ids(&row)? else { continue };
        if ids.people.remove(person_id) {
            let users = serde_json::to_string(&ids).context("write who may use a connection").map_err(Error::Internal)?;
            let row = ConnectionRow { users: Some(users), ..row };
            store::narrow_connection(write, &row.sealed(&app.vault)).await?;
        }
    }
    app.caches.forget_connections(write);
    Ok(())
}
