//! Where a name leads: to the connection that has it, or by an alias to another one. Aliases: which there are, who uses them, and taking one
//! away.

use std::sync::Arc;

use uuid::Uuid;

use super::{
    access::{Action, Caller, authorise_name},
    connections::{current, hold_current},
    dependents::impact_of_name,
    idempotency::begin,
    rows::{Sealed as _, uuid},
};
use crate::{
    app::{App, Led, Workspace},
    audit::{self, Event},
    clock::DAY,
    error::{Error, Result},
    store::{self, AliasRow, ConnectionRow, Handle, Write},
};

/// Most aliases of a connection: each is one more name under which its dependents are looked for.
pub const ALIASES_MAX: usize = 20;
/// An alias that nobody used for so long, and that no code names, is idle.
pub const IDLE: i64 = 30 * DAY;

/// Another name of a connection, and who uses it.
#[derive(Debug)]
pub struct Alias {
    pub row: AliasRow,
    /// Changed in the store outside of this program: it leads nowhere, and can be removed.
    pub is_altered: bool,
    /// How many workflows use it, or name it in code.
    pub total: i64,
    pub live: i64,
    pub last_used_at: Option<i64>,
    /// Nothing has used it for [`IDLE`], and no code that was scanned names it.
    pub is_idle: bool,
    /// What taking it away has to carry; `None` where nothing depends on it.
    pub impact_token: Option<String>,
}

/// The connection that a name leads to: the live one that has it, or that an alias leads to, or else what was deleted last under it.
pub(super) async fn find(app: &App, handle: &mut impl Handle, workspace: &Workspace, name: &str) -> Result<ConnectionRow> {
    let (id, key) = (workspace.id.to_string(), name.to_ascii_lowercase());
    let is_live = |row: &ConnectionRow| row.deleted_at.is_none();
    let own = store::newest_connection(handle, &id, name, &key).await?;
    if let Some(row) = own.filter(is_live) {
        return row.checked(&app.vault);
    }
    if let Some(row) = led(app, handle, (&id, &key), name).await? {
        return Ok(row);
    }
    // Looked at again: what was an alias may have become a connection's own name between the two.
    let own = store::newest_connection(handle, &id, name, &key).await?;
    if own.as_ref().is_some_and(is_live) {
        return own.ok_or(Error::NotFound("connection"))?.checked(&app.vault);
    }
    let by_alias = store::deleted_under_alias(handle, &id, name).await?;
    let last = [own, by_alias].into_iter().flatten().max_by_key(|row| row.deleted_at);
    last.ok_or(Error::NotFound("connection"))?.checked(&app.vault)
}

/// The live connection that an alias of exactly this name leads to.
pub(super) async fn led(
    app: &App,
    handle: &mut impl Handle,
    (workspace_id, key): (&str, &str),
    name: &str,
) -> Result<Option<ConnectionRow>> {
    let Some(alias) = store::alias(handle, workspace_id, name, key).await? else { return Ok(None) };
    let alias = alias.checked(&app.vault)?;
    let row = store::connection_by_id(handle, &alias.connection_id).await?;
    row.filter(|row| row.deleted_at.is_none()).map(|row| row.checked(&app.vault)).transpose()
}

/// Keeps for the next read where a name led that is not the connection's own; `generation` as of before it was looked for.
pub(super) fn remember(app: &App, generation: u64, (workspace, name): (Uuid, &str), row: &ConnectionRow) -> Result<()> {
    if row.name != name {
        let led = Arc::new(Led { id: uuid(&row.id)?, name: row.name.clone() });
        app.caches.put_alias(generation, (workspace, name.to_owned()), led);
    }
    Ok(())
}

/// Refuses a narrowed token that names an alias and not the connection which that leads to: whoever led a name elsewhere gives nobody more by it.
pub(super) fn admit(caller: &Caller, asked: &str, own: &str) -> Result<()> {
    if asked == own || caller.may_see_name(own) {
        return Ok(());
    }
    Err(Error::NoRole(
        "This name leads to another connection by now, which your token does not name.",
        "Ask an admin for a token that names that connection, too.",
    ))
}

/// The same before it is known where the name leads.
pub(super) async fn admit_asked(app: &App, caller: &Caller, workspace: &Workspace, name: &str) -> Result<()> {
    if caller.narrowed_to().is_none() || app.caches.connections.get(&(workspace.id, name.to_owned())).is_some() {
        return Ok(());
    }
    let (id, key) = (workspace.id.to_string(), name.to_ascii_lowercase());
    let row = led(app, &mut app.store.read().await?, (&id, &key), name).await?;
    row.map_or(Ok(()), |row| admit(caller, name, &row.name))
}

/// The aliases of a connection, by name.
pub async fn list(app: &App, caller: &Caller, workspace: &str, name: &str) -> Result<Vec<Alias>> {
    let workspace = authorise_name(app, caller, workspace, name, Action::SeeConnections).await?;
    app.uses.flush_to_read(&app.store).await;
    let mut read = app.store.read().await?;
    let (row, _) = current(app, &mut read, &workspace, name).await?;
    let mut aliases = Vec::new();
    for alias in store::aliases_of(&mut read, &row.id).await? {
        if caller.may_see_name(&alias.name) {
            aliases.push(view(app, caller, &mut read, (&workspace, &row), alias).await?);
        }
    }
    Ok(aliases)
}

async fn view(
    app: &App,
    caller: &Caller,
    handle: &mut impl Handle,
    (workspace, row): (&Workspace, &ConnectionRow),
    alias: AliasRow,
) -> Result<Alias> {
    let impact = impact_of_name(app, caller, handle, (workspace, row), Some(&alias.name)).await?;
    let name = (alias.workspace_id.as_str(), alias.name_key.as_str());
    let last_used_at = store::last_use(handle, name).await?;
    let since = last_used_at.map_or(alias.made_at, |used| used.max(alias.made_at));
    let is_idle = app.clock.now().saturating_sub(since) >= IDLE && store::count_places(handle, name).await? == 0;
    let is_altered = alias.clone().checked(&app.vault).is_err();
    let (total, live, impact_token) = (impact.total, impact.live, impact.token);
    Ok(Alias { row: alias, is_altered, total, live, last_used_at, is_idle, impact_token })
}

/// What its removal breaks, told to the one who asks; and the alias.
pub async fn show(
    app: &App,
    caller: &Caller,
    workspace: &str,
    name: &str,
    alias: &str,
) -> Result<(Alias, dataflow_model::Impact)> {
    let workspace = authorise_name(app, caller, workspace, name, Action::SeeConnections).await?;
    app.uses.flush_to_read(&app.store).await;
    let mut read = app.store.read().await?;
    let (row, _) = current(app, &mut read, &workspace, name).await?;
    let found = alias_of(caller, &mut read, &row, alias).await?;
    let impact = impact_of_name(app, caller, &mut read, (&workspace, &row), Some(alias)).await?;
    Ok((view(app, caller, &mut read, (&workspace, &row), found).await?, impact))
}

async fn alias_of(caller: &Caller, handle: &mut impl Handle, row: &ConnectionRow, alias: &str) -> Result<AliasRow> {
    let all = store::aliases_of(handle, &row.id).await?;
    let found = all.into_iter().find(|other| other.name == alias && caller.may_see_name(alias));
    found.ok_or(Error::NotFound("alias"))
}

/// Takes an alias away: who still uses it finds no connection from then on.
///
/// # Errors
/// `HasDependents` unless it carries the token of what it breaks.
pub async fn remove(
    app: &App,
    caller: &Caller,
    workspace: &str,
    name: &str,
    (alias, impact_token): (&str, Option<String>),
) -> Result<()> {
    let workspace = authorise_name(app, caller, workspace, name, Action::DeleteConnections).await?;
    app.uses.flush(&app.store).await?;
    let mut write = begin(app, caller).await?;
    let (row, _) = hold_current(app, caller, &mut write, &workspace, name).await?;
    let found = alias_of(caller, &mut write, &row, alias).await?;
    let impact = impact_of_name(app, caller, &mut write, (&workspace, &row), Some(alias)).await?;
    if impact.token.is_some() && impact.token != impact_token {
        return Err(Error::HasDependents(Box::new(impact)));
    }
    if !store::delete_alias(&mut write, &found).await? {
        return Err(Error::NotFound("alias"));
    }
    store::drop_unused_names(&mut write, &row.id).await?;
    let detail = serde_json::json!({"connection": row.name, "dependents": impact.total});
    let (at, workspace_id) = (app.clock.now(), Some(row.workspace_id.clone()));
    audit::record(&mut write, &app.vault, caller, Event { at, workspace_id, action: "alias.remove", object: alias, detail })
        .await?;
    app.caches.forget_aliases(&mut write);
    write.commit().await?;
    Ok(())
}

/// Has a name, which the caller has seen to lead nowhere else, lead to a connection as its alias.
///
/// # Errors
/// `NameTaken` if it leads to another one.
pub(super) async fn add(app: &App, write: &mut Write, caller: &Caller, to: &ConnectionRow, name: &str) -> Result<()> {
    let row = AliasRow {
        workspace_id: to.workspace_id.clone(),
        name: name.to_owned(),
        connection_id: to.id.clone(),
        name_key: name.to_ascii_lowercase(),
        made_at: app.clock.now(),
        made_by: caller.label().into_owned(),
        mac: Vec::new(),
    }
    .sealed(&app.vault);
    if !store::claim_name(write, (&row.workspace_id, &row.name_key), &to.id).await? {
        return Err(Error::NameTaken(name.to_owned()));
    }
    // One that it had before, and that led to another one meanwhile.
    store::delete_alias(write, &row).await?;
    store::insert_alias(write, &row).await?;
    Ok(())
}
