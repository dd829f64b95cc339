//! A version by which a connection signs in as its second login: the two change places.

use std::sync::Arc;

use dataflow_model::{FieldError, PublicFields};

use super::{
    AFTER_SWITCH, USERNAME, is_in_hand,
    sealing::{self, Passwords, endpoint_as, endpoint_by, in_words},
};
use crate::{
    app::{App, Workspace},
    audit::{self, Event},
    error::{Error, Result},
    ops::{
        access::{Action, Caller},
        rotations::{PASSWORD, UnderWay},
        rows::{Sealed as _, VersionContent, uuid},
        versions::Sealing,
    },
    store::{self, ConnectionRow, Handle, SecondLoginRow, VersionRow, Write},
};
/// A version and the one that it takes the place of.
pub(in crate::ops) struct Exchange<'e> {
    pub workspace: &'e Arc<Workspace>,
    pub before: (&'e VersionRow, &'e VersionContent),
    pub after: &'e VersionRow,
    pub cause: By,
    /// What was kept of the second login, sealed, when the test began that the version passed.
    pub seen: Option<&'e str>,
}

/// What makes the version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ops) enum By {
    /// A rotation, which has the second login in hand, and has tested it.
    Rotation,
    /// An edit or a restore that passed its test.
    Tested,
    /// One that nobody tested.
    Untested,
}

/// Keeps the login of before as the second one, in the transaction of the version that signs in as the second one of before; gives its name.
/// Where the login of before is none for the same address, or has no password, there is no second one from then on.
///
/// # Errors
/// `RotationUnderWay` while the second login's password is being changed; `Invalid` where a version that nobody tested brings another password for it
/// than the one that is kept, which may be the only one that signs in, and would be forgotten.
pub(in crate::ops) async fn exchange(
    app: &App,
    caller: &Caller,
    write: &mut Write,
    exchange: Exchange<'_>,
) -> Result<Option<String>> {
    let Exchange { workspace, before: (version, old), after, cause, seen } = exchange;
    let Some(row) = store::hold_second_login(write, &after.connection_id).await? else { return Ok(None) };
    // Of a row that somebody bent nothing is used; it can be removed.
    let Ok(row) = row.checked(&app.vault) else { return Ok(None) };
    let new = VersionContent::read(after)?;
    if new.public.text(USERNAME) != Some(row.username.as_str()) {
        return Ok(None);
    }
    let now = app.clock.now();
    if cause != By::Rotation && is_in_hand(&row, now) {
        return Err(Error::RotationUnderWay(Box::new(UnderWay::at_second_login(&row))));
    }
    let brings_another = cause != By::Rotation && !is_kept(workspace, &row, (after, &new))?;
    if cause == By::Tested && brings_another && seen != Some(row.password.as_str()) {
        // It passed its test, and has got another password since.
        return Err(Error::RotationUnderWay(Box::new(UnderWay::at_second_login(&row))));
    }
    if cause == By::Untested && brings_another {
        let text = format!(
            "is not the one that is kept for “{}”, the connection's second login: test the change first, or remove the second login",
            row.username
        );
        return Err(Error::Invalid(vec![FieldError::new(PASSWORD, "not_tested", text)]));
    }
    let Some(row) = left_behind(app, caller, workspace, ((version, old), (after, &new)), row)? else {
        store::delete_second_login(write, &after.connection_id).await?;
        let mut detail = serde_json::json!({"version": after.version, "username": new.public.text(USERNAME)});
        audit::note(&mut detail, "not_retired", old.public.text(USERNAME));
        let event = Event {
            at: now,
            workspace_id: Some(workspace.id.to_string()),
            action: "connection.second_login_removed",
            object: &after.name,
            detail,
        };
        audit::record(write, &app.vault, caller, event).await?;
        return Ok(None);
    };
    store::put_second_login(write, &row).await?;
    Ok(Some(row.username))
}

/// Refuses a change by which a connection would sign in as its second login, from what it has to what it would have, to who has not shown lately that
/// it is he: the login of before is retired from then on, as after a rotation.
///
/// # Errors
/// `SecondLook`; `Forbidden` for who may not rotate passwords.
pub(in crate::ops) async fn refuse_unlooked(
    caller: &Caller,
    handle: &mut impl Handle,
    (connection, from, to): (&ConnectionRow, &PublicFields, &PublicFields),
    looked: bool,
) -> Result<()> {
    let username = to.text(USERNAME);
    if username == from.text(USERNAME) {
        return Ok(());
    }
    let second = store::second_login(handle, &connection.id).await?;
    if second.is_none_or(|second| username != Some(second.username.as_str())) {
        return Ok(());
    }
    if !caller.may(Action::RotatePasswords, uuid(&connection.workspace_id)?) {
        return Err(Error::Forbidden(Action::RotatePasswords.words()));
    }
    if looked { Ok(()) } else { Err(Error::SecondLook) }
}

/// Whether a version signs in with the password that is kept of this login, and no other was being set.
fn is_kept(workspace: &Arc<Workspace>, row: &SecondLoginRow, (after, new): Held<'_>) -> Result<bool> {
    let sealing = Sealing { workspace, id: uuid(&after.connection_id)?, version: after.version, kept: Some(new) };
    let secrets = sealing.open_all(new)?;
    let Ok(Passwords { kept, candidate: None }) = sealing::passwords(&workspace.key, row) else { return Ok(false) };
    Ok(secrets.get(PASSWORD).is_some_and(|password| password.expose_secret() == kept.expose_secret()))
}

type Held<'h> = (&'h VersionRow, &'h VersionContent);

/// The login of before, as the second one; nothing if it cannot be that.
fn left_behind(
    app: &App,
    caller: &Caller,
    workspace: &Arc<Workspace>,
    ((before, old), (after, new)): (Held<'_>, Held<'_>),
    row: SecondLoginRow,
) -> Result<Option<SecondLoginRow>> {
    let Some(username) = old.public.text(USERNAME) else { return Ok(None) };
    let is_there = endpoint_by(&old.endpoint_paths, (after, new), username) == old.endpoint
        && in_words(&endpoint_as(before, old, &row.username)) == row.endpoint;
    let sealing = Sealing { workspace, id: uuid(&before.connection_id)?, version: before.version, kept: Some(old) };
    let secrets = sealing.open_all(old)?;
    let Some(kept) = secrets.get(PASSWORD).filter(|_| is_there) else { return Ok(None) };
    let now = app.clock.now();
    let row = SecondLoginRow {
        username: username.to_owned(),
        endpoint: in_words(&endpoint_as(after, new, username)),
        set_at: now,
        set_by: caller.label().into_owned(),
        set_by_id: caller.identity().into_owned(),
        retires_from: Some(after.version),
        switched_at: Some(now),
        owner: String::new(),
        leased_until: 0,
        tries: 0,
        tried_at: None,
        next_at: now + AFTER_SWITCH,
        problem: None,
        ..row
    };
    let passwords = Passwords { kept: kept.duplicate_secret(), candidate: None };
    sealing::with(app, &workspace.key, row, &passwords).map(Some)
}
