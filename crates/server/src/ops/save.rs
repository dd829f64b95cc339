//! The next version of a connection: written with its search words and its events, whichever act makes it.

use std::sync::Arc;

use dataflow_model::{ConnectionType, FieldPath, TestReport};

use super::{
    access::Caller,
    checks,
    connections::{Connection, address, replace_words, view},
    health, own_types,
    promote::Origin,
    rotations::{
        policy,
        second_login::{By, Exchange, exchange},
    },
    rows::{Sealed as _, VersionContent},
    safe_change::Tried,
    second_look,
    versions::{Content, SealedVersion, changed_fields, is_same, json, moved_fields, note_weak, version_row},
};
use crate::{
    app::{App, Workspace},
    audit::{self, Event},
    error::{Error, Result},
    store::{self, ConnectionRow, VersionRow, Write},
};

/// What the next version holds, and what it is made over.
pub(super) struct Next<'n> {
    pub workspace: &'n Arc<Workspace>,
    pub kind: &'n ConnectionType,
    /// The connection, its current version, and what that holds.
    pub before: (ConnectionRow, VersionRow, VersionContent),
    pub content: Content,
    pub sealed: SealedVersion,
    pub act: Act<'n>,
}

/// What makes it.
pub(super) enum Act<'n> {
    /// An edit, with the secrets that it sends elsewhere, and what it was copied of.
    Edit { carried: Vec<FieldPath>, copied_from: Option<Origin>, tried: Option<Tried> },
    /// A new password that the database has by now, as its test showed.
    Rotate { test: &'n TestReport },
    /// An older version that it equals.
    Restore { from: &'n VersionRow, tried: Option<Tried> },
}

impl Act<'_> {
    fn tried(&self) -> Option<&Tried> {
        match self {
            Self::Edit { tried, .. } | Self::Restore { tried, .. } => tried.as_ref(),
            Self::Rotate { .. } => None,
        }
    }

    /// Of the test that was run for this change, and on which its being here rests.
    fn report(&self) -> Option<&TestReport> {
        match self {
            Self::Rotate { test } => Some(test),
            Self::Edit { .. } | Self::Restore { .. } => self.tried().and_then(|tried| tried.report.as_ref()),
        }
    }
}

/// Saves the next version in the transaction of the act that makes it, which ends with it. Whoever calls this holds the connection, and has found
/// that the caller may do it. What equals the current version makes none, and no event. What was tested before is a check of it from its beginning.
///
/// # Errors
/// `VersionConflict` if it is not what was tested.
pub(super) async fn save(app: &App, caller: &Caller, mut write: Write, next: Next<'_>) -> Result<Connection> {
    let Next { workspace, kind, before: (before, old_version, old), content, sealed, act } = next;
    let public = &content.settled.public;
    let (now, number) = (app.clock.now(), before.version + 1);
    let mut row = ConnectionRow {
        version: number,
        type_id: kind.id.clone(),
        address: address(public),
        tags: json(&content.tags)?,
        description: content.description,
        updated_at: now,
        updated_by: caller.label().into_owned(),
        ..before.clone()
    }
    .sealed(&app.vault);
    let mut version = version_row(&row, public, &sealed)?;
    if let Act::Restore { from, .. } = act {
        // Its secrets are sealed for the endpoint that this list makes, and a fingerprint is over no list.
        version.endpoint_paths.clone_from(&from.endpoint_paths);
        version.restored_from = Some(from.version);
    }
    let version = version.sealed(&app.vault);

    own_types::still(app, &mut write, workspace, kind).await?;
    if let Some(tried) = act.tried() {
        tried.covers(&old_version, &version.fingerprint)?;
    }
    if is_same(&old_version, &version)? {
        write.commit_quietly().await?;
        return view(Some(kind), before, &old_version);
    }
    if !store::update_connection(&mut write, &row, before.version).await? {
        return Err(Error::VersionConflict);
    }
    store::insert_version(&mut write, &version).await?;
    store::put_password_mark(&mut write, (&row.id, number), sealed.password_mark()).await?;
    if version.fingerprint != old_version.fingerprint {
        // What was tested is not what is there now.
        row = ConnectionRow { checked_at: None, check_status: None, check_summary: None, check_micros: None, ..row };
        store::record_check_on_connection(&mut write, &row).await?;
    }
    let mut retires = None;
    if version.fingerprint != old_version.fingerprint {
        let cause = match (&act, act.report()) {
            (Act::Rotate { .. }, _) => By::Rotation,
            (_, Some(_)) => By::Tested,
            (_, None) => By::Untested,
        };
        let seen = act.tried().and_then(|tried| tried.second.as_deref());
        let changing = Exchange { workspace, before: (&old_version, &old), after: &version, cause, seen };
        // Boxed: few connections have a second login.
        retires = Box::pin(exchange(app, caller, &mut write, changing)).await?;
    }
    if let Some(report) = act.report() {
        row = checks::keep_in(app, &mut write, now, (row, number, &caller.label()), report).await?;
    }
    replace_words(&mut write, &row, kind, public).await?;
    if row.tags != before.tags {
        health::follow_one(app, &mut write, &row).await?;
    }
    if version.fingerprint != old_version.fingerprint && row.checked_at.is_none() {
        // How it stands is to be known soon.
        store::hasten_test(&mut write, &row.id, now).await?;
    }
    let changed = changed_fields(&old, &version)?;
    policy::begin_turn(app, &mut write, (&row, &changed), now).await?;
    let event =
        |action, detail| Event { at: now, workspace_id: Some(row.workspace_id.clone()), action, object: &row.name, detail };
    let (action, mut detail) = match act {
        Act::Edit { carried, copied_from, tried } => {
            if !carried.is_empty() {
                if !tried.is_some_and(|tried| tried.has_carried) {
                    second_look::use_up(app, &mut write, caller).await?;
                }
                let detail =
                    serde_json::json!({"version": number, "fields": moved_fields(&changed, kind, &old), "secrets": carried});
                audit::record(&mut write, &app.vault, caller, event("connection.carry_secret", detail)).await?;
            }
            let mut detail = serde_json::json!({"version": number, "fields": changed});
            Origin::note(copied_from.as_ref(), &mut detail);
            ("connection.edit", detail)
        }
        Act::Rotate { .. } => ("connection.rotated", serde_json::json!({"version": number, "fields": changed})),
        Act::Restore { from, .. } => {
            let detail = serde_json::json!({"version": number, "from": from.version, "fields": changed});
            ("connection.restore_version", detail)
        }
    };
    note_weak(&mut detail, kind, public);
    audit::note(&mut detail, "switched_to", retires.as_ref().and(public.text("username")));
    audit::note(&mut detail, "retires", retires);
    audit::record(&mut write, &app.vault, caller, event(action, detail)).await?;
    app.caches.forget_connection(&mut write, workspace.id, &row.name);
    write.commit().await?;
    view(Some(kind), row, &version)
}
