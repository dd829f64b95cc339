//! Another name for a connection; the old one becomes its alias, unless whoever renames it says that he knows who fails.
//!
//! An act of its own, and no edit: an edit that is sent from a file or a copy would rename by accident. It makes a version, so that a change
//! over the old name's state is refused, and the history has it; its fingerprint stays, so that no client notices.

use dataflow_model::{ConnectionName, FieldError};

use super::{
    access::{Action, Caller, authorise_name},
    connections::{Connection, Precondition, hold_current, view},
    dependents::impact_of_name,
    idempotency::begin,
    list::search_words,
    names::{self, ALIASES_MAX},
    rotations,
    rows::{Sealed as _, VersionContent, taken},
};
use crate::{
    app::App,
    audit::{self, Event},
    error::{Error, Result},
    ops::own_types::catalogue_of,
    store::{self, ConnectionRow, TokenRow, VersionRow, Write},
};

/// A rename as it was asked for.
#[derive(Debug)]
pub struct Rename {
    pub to: String,
    /// Whether the old name goes on working.
    pub keep_alias: bool,
    pub precondition: Precondition,
    /// That of what it breaks, where the old name does not go on working.
    pub impact_token: Option<String>,
}

/// Gives a connection another name. Everything that is known of it stays with it; tokens that name it by the old name name it by the new one,
/// too.
///
/// # Errors
/// `NameTaken`; `HasDependents` where workflows use the old name, it is not kept, and the request does not carry the token of that.
pub async fn rename(app: &App, caller: &Caller, workspace: &str, name: &str, rename: Rename) -> Result<Connection> {
    let action = if rename.keep_alias { Action::EditConnections } else { Action::DeleteConnections };
    let workspace = authorise_name(app, caller, workspace, name, action).await?;
    let to = ConnectionName::new(rename.to.as_str())
        .map_err(|error| Error::Invalid(vec![FieldError::new("name", "invalid", error.to_string())]))?;
    if !caller.may_see_name(to.as_str()) {
        return Err(Error::Forbidden("create connections of this name"));
    }
    if !rename.keep_alias {
        app.uses.flush(&app.store).await?;
    }
    let catalogue = catalogue_of(app, &workspace).await?;
    let mut write = begin(app, caller).await?;
    let narrowed = store::hold_narrowed_tokens(&mut write, &workspace.id.to_string()).await?;
    let (before, old_version) = hold_current(app, caller, &mut write, &workspace, name).await?;
    rename.precondition.check(&before)?;
    rotations::refuse_while_under_way(app, &mut write, &before.id).await?;
    if to.as_str() == before.name {
        write.commit_quietly().await?;
        return view(catalogue.get(&before.type_id), before, &old_version);
    }
    refuse_gain(app, &narrowed, (&before.name, to.as_str()))?;
    let impact = impact_of_name(app, caller, &mut write, (&workspace, &before), None).await?;
    if !rename.keep_alias && impact.token.is_some() && impact.token != rename.impact_token {
        return Err(Error::HasDependents(Box::new(impact)));
    }
    let (now, number) = (app.clock.now(), before.version + 1);
    let row = ConnectionRow {
        name: to.as_str().to_owned(),
        name_key: to.key(),
        version: number,
        updated_at: now,
        updated_by: caller.label().into_owned(),
        ..before.clone()
    }
    .sealed(&app.vault);
    // Its secrets are sealed for the connection's id and endpoint, in which no name is: they stay as they are.
    let version = VersionRow {
        version: number,
        name: row.name.clone(),
        saved_at: now,
        saved_by: row.updated_by.clone(),
        restored_from: None,
        ..old_version
    }
    .sealed(&app.vault);
    if !store::rename_connection(&mut write, &row, before.version).await.map_err(taken(&row.name))? {
        return Err(Error::VersionConflict);
    }
    store::insert_version(&mut write, &version).await?;
    store::move_password_mark(&mut write, &row.id, (before.version, number)).await?;
    set_aliases(app, &mut write, caller, (&before, &row), rename.keep_alias).await?;
    store::remove_words(&mut write, &before).await?;
    let public = VersionContent::read(&version)?.public;
    store::put_words(&mut write, &row, &search_words(catalogue.get(&row.type_id), &row, &public)).await?;
    let tokens = widen(app, &mut write, narrowed, (&before.name, &row.name)).await?;

    let mut detail = serde_json::json!({"version": number, "to": row.name, "alias": rename.keep_alias});
    audit::note(&mut detail, "dependents", (!rename.keep_alias).then_some(impact.total));
    audit::note(&mut detail, "tokens", Some(tokens).filter(|tokens| !tokens.is_empty()));
    let workspace_id = Some(row.workspace_id.clone());
    let event = Event { at: now, workspace_id, action: "connection.rename", object: &before.name, detail };
    audit::record(&mut write, &app.vault, caller, event).await?;
    app.caches.forget_connection(&mut write, workspace.id, &before.name);
    app.caches.forget_connection(&mut write, workspace.id, &row.name);
    app.caches.forget_aliases(&mut write);
    write.commit().await.map_err(taken(&row.name))?;
    view(catalogue.get(&row.type_id), row, &version)
}

async fn set_aliases(
    app: &App,
    write: &mut Write,
    caller: &Caller,
    (before, row): (&ConnectionRow, &ConnectionRow),
    keep: bool,
) -> Result<()> {
    let aliases = store::kept_aliases(write, &row.id).await?;
    for alias in aliases.iter().filter(|alias| alias.name == row.name) {
        store::delete_alias(write, alias).await?;
    }
    if keep {
        if aliases.iter().filter(|alias| alias.name != row.name).count() >= ALIASES_MAX {
            return Err(too_many("keep_alias"));
        }
        names::add(app, write, caller, row, &before.name).await?;
    }
    store::drop_unused_names(write, &row.id).await?;
    Ok(())
}

pub(super) fn too_many(field: &str) -> Error {
    let text = format!("would be one alias too many: a connection has at most {ALIASES_MAX}; remove some that nothing uses");
    Error::Invalid(vec![FieldError::new(field, "too_many", text)])
}

fn names_of(token: &TokenRow) -> Option<Vec<String>> {
    token.connections.as_deref().and_then(|names| serde_json::from_str(names).ok())
}

/// A name that a narrowed token is for gives it whatever connection gets the name. A new connection brings no secret of before; one that is
/// renamed would, to who may not use it.
fn refuse_gain(app: &App, tokens: &[TokenRow], (from, to): (&str, &str)) -> Result<()> {
    for token in tokens {
        let Some(names) = token.clone().checked(&app.vault).ok().and_then(|token| names_of(&token)) else { continue };
        let names_it = |name: &str| names.iter().any(|named| named == name);
        if names_it(to) && !names_it(from) {
            let text = format!(
                "is named by the token “{}”, which may not use this connection; choose another one, or revoke it",
                token.name
            );
            return Err(Error::Invalid(vec![FieldError::new("name", "not_a_choice", text)]));
        }
    }
    Ok(())
}

/// Has those tokens that are narrowed to the old name, and so to this connection, name it by the new one, too; gives their names. One that was
/// bent stays as it is.
async fn widen(app: &App, write: &mut Write, tokens: Vec<TokenRow>, (from, to): (&str, &str)) -> Result<Vec<String>> {
    let mut widened = Vec::new();
    for token in tokens {
        let Ok(token) = token.checked(&app.vault) else { continue };
        let Some(mut names) = names_of(&token).filter(|names| names.iter().any(|name| name == from)) else { continue };
        if names.iter().any(|name| name == to) {
            continue;
        }
        names.push(to.to_owned());
        widened.push(token.name.clone());
        let row = TokenRow { connections: Some(serde_json::json!(names).to_string()), ..token }.sealed(&app.vault);
        store::narrow_token(write, &row).await?;
    }
    if !widened.is_empty() {
        app.caches.forget_tokens(write);
    }
    Ok(widened)
}
