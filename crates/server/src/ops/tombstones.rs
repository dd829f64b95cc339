//! Tombstones: deleted connections, and bringing one back.

use std::collections::BTreeSet;

use dataflow_model::{FieldError, PublicFields};

use super::{
    access::{Action, Caller, authorise, authorise_name},
    connections::{self, Connection, Precondition},
    dependents, health,
    idempotency::begin,
    lint,
    list::search_words,
    paging::{Page, Paging},
    rotations,
    rows::{Sealed as _, VersionContent, taken},
    settings::{self, Retention},
};
use crate::{
    app::{App, Workspace},
    audit::{self, Event},
    clock::{DAY, rfc3339},
    error::{Error, Result, Tombstone},
    ops::own_types::catalogue_of,
    store::{self, ConnectionRow, Write},
};

/// Longest reason of a deletion, in characters.
pub const REASON_MAX: usize = 500;

/// A deletion as it was asked for.
#[derive(Debug, Default)]
pub struct Removal {
    pub precondition: Precondition,
    /// Told to those who ask for the name.
    pub reason: Option<String>,
    /// A connection that they are told to use.
    pub use_instead: Option<String>,
    /// That of the impact which the caller knows.
    pub impact_token: Option<String>,
}

/// A deleted connection.
#[derive(Debug)]
pub struct Deleted {
    pub row: ConnectionRow,
    /// Until when it can be brought back; `None`: always. Nothing of it is left after that but this.
    pub until: Option<i64>,
}

impl Deleted {
    /// The entity tag that bringing it back names.
    #[must_use]
    pub fn etag(&self) -> String {
        connections::etag(&self.row.id, self.row.version)
    }
}

/// What a deleted connection's row says to those who ask for it.
pub(super) fn tombstone(row: &ConnectionRow) -> Tombstone {
    Tombstone {
        name: row.name.clone(),
        deleted_by: row.deleted_by.clone().unwrap_or_default(),
        deleted_at: row.deleted_at.map(rfc3339).unwrap_or_default(),
        reason: row.deleted_reason.clone(),
        use_instead: row.use_instead.clone(),
    }
}

/// Deletes a connection; it leaves a tombstone. Who uses the name fails, until a connection of the same name exists.
///
/// # Errors
/// `HasDependents` unless the removal carries the token of what it breaks.
pub async fn delete(app: &App, caller: &Caller, workspace: &str, name: &str, removal: Removal) -> Result<()> {
    let workspace = authorise_name(app, caller, workspace, name, Action::DeleteConnections).await?;
    check_reason(removal.reason.as_deref())?;
    // What was used until this moment counts.
    app.uses.flush(&app.store).await?;
    let mut write = begin(app, caller).await?;
    let (before, _) = connections::hold_current(app, caller, &mut write, &workspace, name).await?;
    if before.name != name {
        let text = format!("is another name of “{}”: remove the alias, or delete “{0}” by its own name", before.name);
        return Err(Error::Invalid(vec![FieldError::new("name", "is_alias", text)]));
    }
    removal.precondition.check(&before)?;
    rotations::refuse_while_under_way(app, &mut write, &before.id).await?;
    let impact = dependents::impact(app, caller, &mut write, &workspace, &before).await?;
    if impact.token.is_some() && impact.token != removal.impact_token {
        return Err(Error::HasDependents(Box::new(impact)));
    }
    if let Some(other) = removal.use_instead.as_deref() {
        check_use_instead(&mut write, caller, &workspace, name, other).await?;
    }
    let now = app.clock.now();
    let row = ConnectionRow {
        deleted_at: Some(now),
        deleted_by: Some(caller.label().into_owned()),
        deleted_reason: removal.reason,
        use_instead: removal.use_instead,
        ..before
    }
    .sealed(&app.vault);
    if !store::delete_connection(&mut write, &row).await? {
        return Err(Error::VersionConflict);
    }
    store::remove_words(&mut write, &row).await?;
    store::leave_schedules(&mut write, &row.id).await?;
    store::drop_password_mark(&mut write, &row.id).await?;
    let mut detail = serde_json::json!({"version": row.version, "dependents": impact.total});
    audit::note(&mut detail, "use_instead", row.use_instead.as_deref());
    // Nothing is retired of what is deleted: whoever has its password still gets in.
    let second = store::second_login(&mut write, &row.id).await?.filter(|second| second.retires_from.is_some());
    audit::note(&mut detail, "not_retired", second.map(|second| second.username));
    let workspace_id = Some(row.workspace_id.clone());
    let event = Event { at: now, workspace_id, action: "connection.delete", object: &row.name, detail };
    audit::record(&mut write, &app.vault, caller, event).await?;
    app.caches.forget_connection(&mut write, workspace.id, &row.name);
    app.caches.forget_aliases(&mut write);
    write.commit().await?;
    Ok(())
}

pub(super) fn check_reason(reason: Option<&str>) -> Result<()> {
    let Some(reason) = reason else { return Ok(()) };
    let (code, message) = if reason.chars().count() > REASON_MAX {
        ("too_long", format!("must have at most {REASON_MAX} characters"))
    } else if reason.contains(|c: char| c.is_control() && c != '\n') {
        ("invalid", "must hold no control characters".to_owned())
    } else {
        return Ok(());
    };
    Err(Error::Invalid(vec![FieldError::new("reason", code, message)]))
}

async fn check_use_instead(write: &mut Write, caller: &Caller, workspace: &Workspace, name: &str, other: &str) -> Result<()> {
    let refused = |code, message| Err(Error::Invalid(vec![FieldError::new("use_instead", code, message)]));
    if other == name {
        return refused("invalid", "is the one that is deleted");
    }
    let row = store::newest_connection(write, &workspace.id.to_string(), other, &other.to_ascii_lowercase()).await?;
    if !caller.may_see_name(other) || row.is_none_or(|row| row.deleted_at.is_some()) {
        return refused("not_a_choice", "is no connection of this workspace");
    }
    Ok(())
}

/// A page of deleted connections, the latest first.
pub async fn list(app: &App, caller: &Caller, workspace: &str, paging: &Paging) -> Result<Page<Deleted>> {
    let workspace = authorise(app, caller, workspace, Action::SeeConnections).await?;
    let (at, id) = paging.before()?;
    let days = settings::in_force::<Retention>(app).await?.restore_days;
    let mut read = app.store.read().await?;
    let mut rows = Vec::new();
    let wanted = paging.rows_to_read()?;
    let mut place = (at, id);
    // Of a narrowed token's names there may be few in many.
    while rows.len() < usize::try_from(wanted).unwrap_or_default() {
        let more = store::list_deleted(&mut read, &workspace.id.to_string(), (place.0, &place.1), wanted).await?;
        let Some(last) = more.last() else { break };
        place = (last.deleted_at.unwrap_or_default(), last.id.clone());
        rows.extend(more.into_iter().filter(|row| caller.may_see_name(&row.name)));
    }
    let page = paging.page(rows, |row| (row.deleted_at.unwrap_or_default().to_string(), row.id.clone()))?;
    Ok(page.map(|row| Deleted { until: until(&row, days), row }))
}

fn until(row: &ConnectionRow, days: Option<i64>) -> Option<i64> {
    days.map(|days| row.deleted_at.unwrap_or_default().saturating_add(days.saturating_mul(DAY)))
}

/// Brings back what was deleted last under a name, as it was: programs that use the name work again at once.
///
/// # Errors
/// `NameTaken` while another connection has the name; `NotRestorable` once its time is over.
pub async fn restore(app: &App, caller: &Caller, workspace: &str, name: &str, precondition: &Precondition) -> Result<Connection> {
    let workspace = authorise_name(app, caller, workspace, name, Action::DeleteConnections).await?;
    let days = settings::in_force::<Retention>(app).await?.restore_days;
    let catalogue = catalogue_of(app, &workspace).await?;
    let mut write = begin(app, caller).await?;
    let workspace_id = workspace.id.to_string();
    let newest = store::newest_connection(&mut write, &workspace_id, name, &name.to_ascii_lowercase()).await?;
    refuse_older(caller, &mut write, (&workspace_id, name), (newest.as_ref(), precondition)).await?;
    let id = newest.ok_or(Error::NotFound("connection"))?.id;
    store::hold_connection_by_id(&mut write, &id).await?;
    let gone = || Error::NotFound("connection");
    let before = store::connection_by_id(&mut write, &id).await?.ok_or_else(gone)?.checked(&app.vault)?;
    if before.deleted_at.is_none() {
        return Err(Error::NameTaken(before.name));
    }
    precondition.check(&before)?;
    let now = app.clock.now();
    let version = store::version(&mut write, &before.id, before.version).await?;
    let Some(version) = version.filter(|_| until(&before, days).is_none_or(|until| now < until)) else {
        return Err(Error::NotRestorable(Box::new(tombstone(&before))));
    };
    let version = version.checked(&app.vault)?;
    let row = ConnectionRow { deleted_at: None, deleted_by: None, deleted_reason: None, use_instead: None, ..before };
    let row = row.sealed(&app.vault);
    let lost = take_names_back(&mut write, &row).await?;
    if !store::restore_connection(&mut write, &row).await? {
        return Err(Error::VersionConflict);
    }
    let content = VersionContent::read(&version)?;
    lint::shared::note(app, &mut write, &workspace, &row, &content).await?;
    let public: PublicFields = content.public;
    store::put_words(&mut write, &row, &search_words(catalogue.get(&row.type_id), &row, &public)).await?;
    health::follow_one(app, &mut write, &row).await?;
    let mut detail = serde_json::json!({"version": row.version});
    audit::note(&mut detail, "aliases_lost", Some(lost).filter(|lost| !lost.is_empty()));
    let event = Event { at: now, workspace_id: Some(workspace_id), action: "connection.restore", object: &row.name, detail };
    audit::record(&mut write, &app.vault, caller, event).await?;
    app.caches.forget_connection(&mut write, workspace.id, &row.name);
    app.caches.forget_aliases(&mut write);
    write.commit().await.map_err(taken(&row.name))?;
    connections::view(catalogue.get(&row.type_id), row, &version)
}

/// A name may have led to something else since: to a connection that had it as an alias, and was deleted, too. Whoever asks for the name means
/// that one, as [`super::names::find`] has it, and is not given an older one without a word; who names the older one by its entity tag is.
async fn refuse_older(
    caller: &Caller,
    write: &mut Write,
    (workspace_id, name): (&str, &str),
    (own, precondition): (Option<&ConnectionRow>, &Precondition),
) -> Result<()> {
    if own.is_some_and(|own| own.deleted_at.is_none() || *precondition != Precondition::Any) {
        return Ok(());
    }
    let last = store::deleted_under_alias(write, workspace_id, name).await?;
    let is_later = |last: &ConnectionRow| own.is_none_or(|own| last.deleted_at > own.deleted_at);
    let Some(last) = last.filter(|last| caller.may_see_name(&last.name) && is_later(last)) else { return Ok(()) };
    let mut text = format!("was last another name of “{}”, which is deleted: bring that one back by its own name", last.name);
    if own.is_some() {
        text.push_str(
            "; what was deleted earlier under this one comes back from the page “Deleted connections”, or with its ETag",
        );
    }
    Err(Error::Invalid(vec![FieldError::new("name", "is_alias", text)]))
}

/// Has the name of a connection lead to it again, and those of its aliases, but for what is another's by now: gives these, which are gone. In the
/// order of the names, in which all take them that take more than one.
async fn take_names_back(write: &mut Write, row: &ConnectionRow) -> Result<Vec<String>> {
    let aliases = store::kept_aliases(write, &row.id).await?;
    let keys = aliases.iter().map(|alias| alias.name_key.as_str()).chain([row.name_key.as_str()]);
    let mut lost = Vec::new();
    for key in keys.collect::<BTreeSet<_>>() {
        if store::claim_name(write, (&row.workspace_id, key), &row.id).await? {
            continue;
        }
        if key == row.name_key {
            return Err(Error::NameTaken(row.name.clone()));
        }
        for alias in aliases.iter().filter(|alias| alias.name_key == key) {
            store::delete_alias(write, alias).await?;
            lost.push(alias.name.clone());
        }
    }
    Ok(lost)
}
