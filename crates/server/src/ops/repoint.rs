//! Leading the dependents of one connection to another: the one becomes a tombstone, and its names become aliases of the other, in one
//! transaction. Who may use the other one is decided there; nobody gains it by a name.

use std::collections::BTreeSet;

use dataflow_model::{FieldError, Impact, Repointing, TestStatus};

use super::{
    Role,
    access::{Action, Caller, Roles, authorise_name},
    connections::{Connection, Precondition, current, view},
    dependents::{self, token},
    idempotency::begin,
    names::{self, ALIASES_MAX},
    rename::too_many,
    rotations,
    rows::{Sealed as _, uuid},
    tombstones::check_reason,
    users::Allowed,
};
use crate::{
    app::{App, Workspace},
    audit::{self, Event},
    error::{Error, Result},
    ops::own_types::{catalogue_by, catalogue_of},
    store::{self, ConnectionRow, Handle, VersionRow, Write},
};

/// Callers that are told to lose what they use.
const TOLD: usize = 20;

/// A re-pointing as it was asked for.
#[derive(Debug)]
pub struct Repoint {
    pub to: String,
    pub precondition: Precondition,
    /// Kept with the tombstone.
    pub reason: Option<String>,
    pub impact_token: Option<String>,
}

/// A connection with its current version.
type Pair = (ConnectionRow, VersionRow);

/// What it would do, told before it is done. Its token is demanded then.
pub async fn impact(app: &App, caller: &Caller, workspace: &str, name: &str, to: &str) -> Result<Impact> {
    let workspace = authorise_name(app, caller, workspace, name, Action::DeleteConnections).await?;
    app.uses.flush_to_read(&app.store).await;
    let mut read = app.store.read().await?;
    let from = current(app, &mut read, &workspace, name).await?;
    let other = other(app, caller, &mut read, (&workspace, &from.0), to).await?;
    examine(app, caller, &mut read, &workspace, (&from.0, &other.0)).await
}

/// Deletes a connection and has its names lead to another one; gives that.
///
/// # Errors
/// `HasDependents` unless it carries the token of what it does, where anything depends on the name or another driver opens the other one.
pub async fn repoint(app: &App, caller: &Caller, workspace: &str, name: &str, repoint: Repoint) -> Result<Connection> {
    let workspace = authorise_name(app, caller, workspace, name, Action::DeleteConnections).await?;
    check_reason(repoint.reason.as_deref())?;
    let catalogue = catalogue_of(app, &workspace).await?;
    app.uses.flush(&app.store).await?;
    let mut write = begin(app, caller).await?;
    let ((from, _), (to, to_version)) = hold_both(app, caller, &mut write, &workspace, (name, &repoint.to)).await?;
    repoint.precondition.check(&from)?;
    rotations::refuse_while_under_way(app, &mut write, &from.id).await?;
    let impact = examine(app, caller, &mut write, &workspace, (&from, &to)).await?;
    if impact.token.is_some() && impact.token != repoint.impact_token {
        return Err(Error::HasDependents(Box::new(impact)));
    }
    let now = app.clock.now();
    let row = ConnectionRow {
        deleted_at: Some(now),
        deleted_by: Some(caller.label().into_owned()),
        deleted_reason: repoint.reason,
        use_instead: Some(to.name.clone()),
        ..from
    }
    .sealed(&app.vault);
    let aliases = store::aliases_of(&mut write, &row.id).await?;
    if !store::delete_connection(&mut write, &row).await? {
        return Err(Error::VersionConflict);
    }
    store::remove_words(&mut write, &row).await?;
    let mut led: BTreeSet<&str> = aliases.iter().map(|alias| alias.name.as_str()).collect();
    led.insert(&row.name);
    for name in &led {
        names::add(app, &mut write, caller, &to, name).await?;
    }
    store::leave_schedules(&mut write, &row.id).await?;
    store::drop_password_mark(&mut write, &row.id).await?;
    if store::aliases_of(&mut write, &to.id).await?.len() > ALIASES_MAX {
        return Err(too_many("to"));
    }
    let detail = serde_json::json!({"version": row.version, "to": to.name, "names": led, "dependents": impact.total});
    let workspace_id = Some(row.workspace_id.clone());
    let event = Event { at: now, workspace_id, action: "connection.repoint", object: &row.name, detail };
    audit::record(&mut write, &app.vault, caller, event).await?;
    app.caches.forget_connection(&mut write, workspace.id, &row.name);
    app.caches.forget_aliases(&mut write);
    write.commit().await?;
    view(catalogue.get(&to.type_id), to, &to_version)
}

/// Holds both, in the order of their ids: two that meet the other way round would each wait for the other.
async fn hold_both(
    app: &App,
    caller: &Caller,
    write: &mut Write,
    workspace: &Workspace,
    (name, to): (&str, &str),
) -> Result<(Pair, Pair)> {
    let mut pair = pair(app, caller, write, workspace, (name, to)).await?;
    let ids = BTreeSet::from([pair.0.0.id.clone(), pair.1.0.id.clone()]);
    for id in &ids {
        store::hold_connection_by_id(write, id).await?;
        // Whoever had to wait may find that the names lead elsewhere by now. To wait for the next one then could be to wait in a circle: one who
        // follows a name holds what it led to before.
        pair = self::pair(app, caller, write, workspace, (name, to)).await?;
        if [&pair.0.0.id, &pair.1.0.id].iter().any(|id| !ids.contains(*id)) {
            return Err(Error::VersionConflict);
        }
    }
    Ok(pair)
}

async fn pair(
    app: &App,
    caller: &Caller,
    write: &mut Write,
    workspace: &Workspace,
    (name, to): (&str, &str),
) -> Result<(Pair, Pair)> {
    let from = current(app, write, workspace, name).await?;
    names::admit(caller, name, &from.0.name)?;
    let to = other(app, caller, write, (workspace, &from.0), to).await?;
    Ok((from, to))
}

/// The connection that names are led to. What the caller may not see is none.
async fn other(
    app: &App,
    caller: &Caller,
    handle: &mut impl Handle,
    (workspace, from): (&Workspace, &ConnectionRow),
    to: &str,
) -> Result<Pair> {
    let refused = |code, message| Error::Invalid(vec![FieldError::new("to", code, message)]);
    let is_name = dataflow_model::ConnectionName::new(to).is_ok() && caller.may_see_name(to);
    let found = if is_name { current(app, handle, workspace, to).await } else { Err(Error::NotFound("connection")) };
    let (row, version) = match found {
        Ok(found) if found.0.name == to => found,
        Ok(_) => return Err(refused("not_a_choice", "is an alias; give the own name of the connection that it leads to")),
        Err(Error::NotFound(_) | Error::Deleted(_)) => return Err(refused("not_a_choice", "is no connection of this workspace")),
        Err(other) => return Err(other),
    };
    if row.id == from.id {
        return Err(refused("invalid", "is this connection itself"));
    }
    Ok((row, version))
}

async fn examine(
    app: &App,
    caller: &Caller,
    handle: &mut impl Handle,
    workspace: &Workspace,
    (from, to): (&ConnectionRow, &ConnectionRow),
) -> Result<Impact> {
    let impact = dependents::impact(app, caller, handle, workspace, from).await?;
    let catalogue = catalogue_by(app, handle, workspace).await?;
    let opens = |type_id: &str| {
        let kind = catalogue.get(type_id);
        kind.map_or_else(|| (type_id.to_owned(), None), |kind| (kind.connector.clone(), kind.dialect.clone()))
    };
    let differs = opens(&from.type_id) != opens(&to.type_id);
    let types = differs.then(|| [from.type_id.clone(), to.type_id.clone()]);
    let lose = losing(app, handle, workspace, (from, to)).await?;
    let token = (impact.token.is_some() || types.is_some()).then(|| {
        let rows = [from, to].map(|row| format!("{}.{}", row.id, row.version).into_bytes());
        let known = impact.token.clone().unwrap_or_default().into_bytes();
        token(app, &[b"repoint".to_vec(), rows.concat(), known, lose.join("\n").into_bytes()])
    });
    let failed = to.check_status.as_deref() == Some(TestStatus::Failed.as_str());
    let repointing = Repointing { to: to.name.clone(), types, failed, lose: lose.into_iter().take(TOLD).collect() };
    Ok(Impact { token, repointing: Some(Box::new(repointing)), ..impact })
}

/// Who was seen using the one and may not use the other, by the name that events have.
async fn losing(
    app: &App,
    handle: &mut impl Handle,
    workspace: &Workspace,
    (from, to): (&ConnectionRow, &ConnectionRow),
) -> Result<Vec<String>> {
    let allowed = Allowed::of(app, handle, to).await?;
    let mut keys: BTreeSet<String> = store::aliases_of(handle, &from.id).await?.into_iter().map(|alias| alias.name_key).collect();
    keys.insert(from.name_key.clone());
    let mut lose = BTreeSet::new();
    for key in &keys {
        for (label, identity) in store::callers_seen(handle, (&from.workspace_id, key)).await? {
            if !may_use(app, handle, workspace, (to, allowed.as_ref()), &identity).await? {
                lose.insert(label);
            }
        }
    }
    Ok(lose.into_iter().collect())
}

/// Whether whoever is told by this identity may use a connection. Who is gone uses nothing any more, and loses nothing.
async fn may_use(
    app: &App,
    handle: &mut impl Handle,
    workspace: &Workspace,
    (to, allowed): (&ConnectionRow, Option<&Allowed>),
    identity: &str,
) -> Result<bool> {
    match identity.split_once(' ') {
        Some(("token", id)) => {
            let row = store::token(handle, &workspace.id.to_string(), id).await?;
            let Some(row) = row.filter(|row| row.revoked_at.is_none()).and_then(|row| row.checked(&app.vault).ok()) else {
                return Ok(true);
            };
            let names: Option<Vec<String>> = row.connections.as_deref().and_then(|names| serde_json::from_str(names).ok());
            let is_for_it = names.is_none_or(|names| names.contains(&to.name));
            let person = row.person_id.as_deref().map(uuid).transpose()?;
            let is_admitted = Roles::parse(&row.roles).has(Role::Admin)
                || allowed.is_none_or(|allowed| uuid(&row.id).is_ok_and(|id| allowed.names(Some(id), person)));
            Ok(is_for_it && is_admitted)
        }
        Some(("person", id)) => {
            let person = uuid(id)?;
            Ok(allowed.is_none_or(|allowed| allowed.names(None, Some(person))))
        }
        _ => Ok(true),
    }
}
