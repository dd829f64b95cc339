//! A second login is given, replaced, taken away.

use std::{collections::BTreeMap, sync::Arc};

use dataflow_model::{ConnectionType, FieldError, FieldInput, FieldPath, Secret, TestStatus, settle::SecretChange};
use tokio::sync::mpsc;

use super::{
    NONE, NotRetired, SecondLogin, Standing, Task, USERNAME, UnderWay, is_in_hand, of,
    sealing::{self, Passwords, endpoint_as, in_words, newest_key, public_as},
};
use crate::{
    app::{App, Workspace},
    audit,
    error::{Error, Result},
    ops::{
        access::{Action, Caller, authorise_name},
        checks,
        connections::{Precondition, current, hold_current},
        credentials::servable,
        dependents,
        idempotency::begin,
        rotations::{self, PASSWORD, tell, with_password},
        rows::VersionContent,
        safe_change::authorise_anew,
    },
    store::{self, ConnectionRow, SecondLoginRow, VersionRow, Write},
    throttle::Kind,
};

/// More steps than a test has: nobody reads them.
const STEPS: usize = 16;

/// Who it is, and what with.
#[derive(Debug)]
pub struct NewLogin {
    pub username: String,
    pub password: Secret,
}

/// Keeps another login of the same server as the second one, once it has passed the connection's test.
///
/// # Errors
/// `TestFailed` with the report; `NotRetired` while the one before is not retired; `RotationUnderWay` while a password is being changed.
pub async fn put(
    app: &App,
    caller: &Caller,
    workspace: &str,
    name: &str,
    (new, precondition): (NewLogin, &Precondition),
) -> Result<SecondLogin> {
    let workspace = authorise_name(app, caller, workspace, name, Action::RotatePasswords).await?;
    app.throttle.look(Kind::Tests, &*caller.identity(), app.clock.now())?;
    servable(app, &workspace, name).await?.admit(caller, &workspace, name)?;
    let mut read = app.store.read().await?;
    let found = current(app, &mut read, &workspace, name).await?;
    let replaced = store::second_login(&mut read, &found.0.id).await?.map(|row| (row.username, row.password));
    drop(read);
    precondition.check(&found.0)?;
    let task = Task::of(app, &workspace, found).await?;
    check(&task.kind, &task.content, &new)?;
    let endpoint = in_words(&endpoint_as(&task.version, &task.content, &new.username));
    let fields = (public_as(&task.content, &new.username), with_password(&task.old, &new.password));
    let test = checks::plan(app, caller, &workspace, &task.kind.connector, fields).await?;
    checks::audit_use(app, caller, &workspace, &task.before.name, task.before.version).await?;
    let (sender, _steps) = mpsc::channel(STEPS);
    let report = Box::pin(test.run(sender)).await;
    if report.status == TestStatus::Failed {
        return Err(Error::TestFailed(Box::new(report)));
    }
    authorise_anew(app, caller, &workspace, Action::RotatePasswords).await?;

    let mut write = begin(app, caller).await?;
    let (held, version) = hold_current(app, caller, &mut write, &workspace, name).await?;
    precondition.check(&held)?;
    rotations::refuse_while_under_way(app, &mut write, &held.id).await?;
    let content = VersionContent::read(&version)?;
    check(&task.kind, &content, &new)?;
    if held.id != task.before.id || in_words(&endpoint_as(&version, &content, &new.username)) != endpoint {
        return Err(Error::VersionConflict);
    }
    let before = store::hold_second_login(&mut write, &held.id).await?;
    if before.as_ref().map(|row| (&row.username, &row.password))
        != replaced.as_ref().map(|(username, password)| (username, password))
    {
        // It has got another password since the test began, which would be lost.
        return Err(Error::VersionConflict);
    }
    refuse_to_replace(app, caller, &mut write, (&workspace, &held), (before.as_ref(), &version, &content)).await?;
    let now = app.clock.now();
    let row = SecondLoginRow {
        connection_id: held.id.clone(),
        workspace_id: held.workspace_id.clone(),
        username: new.username,
        endpoint,
        password: String::new(),
        candidate: None,
        key_version: 0,
        set_at: now,
        set_by: caller.label().into_owned(),
        set_by_id: caller.identity().into_owned(),
        retires_from: None,
        switched_at: None,
        mac: Vec::new(),
        owner: String::new(),
        leased_until: 0,
        tries: 0,
        tried_at: None,
        next_at: now,
        problem: None,
    };
    let newest = before.as_ref().map_or(0, newest_key).max(content.newest_key());
    let key = &task.with_key(app, newest).await?.key;
    let row = sealing::with(app, key, row, &Passwords { kept: new.password, candidate: None })?;
    store::put_second_login(&mut write, &row).await?;
    let mut detail = serde_json::json!({"version": held.version, "username": row.username});
    let replaced = before.filter(|before| before.retires_from.is_some());
    audit::note(&mut detail, "not_retired", replaced.map(|replaced| replaced.username));
    tell(app, caller, &mut write, (&held, "connection.second_login_set", detail)).await?;
    let kept = of(app, caller, &mut write, &workspace, (&held, &version)).await?.ok_or(NONE)?;
    write.commit_quietly().await?;
    Ok(kept)
}

/// Whether it is a login of this type, and another than the connection's own.
fn check(kind: &ConnectionType, content: &VersionContent, new: &NewLogin) -> Result<()> {
    let text = |secret: &Secret| FieldInput::Text(secret.duplicate_secret());
    let fields = BTreeMap::from([
        (FieldPath::new(USERNAME), text(&Secret::new(new.username.clone()))),
        (FieldPath::new(PASSWORD), text(&new.password)),
    ]);
    let settled = kind.settle(fields, Some(&content.public), true).map_err(Error::Invalid)?;
    let mut errors = Vec::new();
    // What the type would read in another way is not what would be kept.
    if new.username.is_empty() || settled.public.text(USERNAME) != Some(new.username.as_str()) {
        errors.push(FieldError::new(USERNAME, "required", "is needed"));
    } else if content.public.text(USERNAME) == Some(new.username.as_str()) {
        errors.push(FieldError::new(
            USERNAME,
            "same_login",
            "is what the connection signs in as; the second login is another one",
        ));
    }
    if !matches!(settled.secrets.get(PASSWORD), Some(SecretChange::Set(_))) {
        errors.push(FieldError::new(PASSWORD, "required", "is needed"));
    }
    if errors.is_empty() { Ok(()) } else { Err(Error::Invalid(errors)) }
}

/// What would be lost with the one that is there: who is at it, and a login that others still sign in as.
async fn refuse_to_replace(
    app: &App,
    caller: &Caller,
    write: &mut Write,
    (workspace, held): (&Arc<Workspace>, &ConnectionRow),
    (before, version, content): (Option<&SecondLoginRow>, &VersionRow, &VersionContent),
) -> Result<()> {
    let Some(row) = before else { return Ok(()) };
    if is_in_hand(row, app.clock.now()) {
        return Err(Error::RotationUnderWay(Box::new(UnderWay::at_second_login(row))));
    }
    let Some(from) = row.retires_from.filter(|_| Standing::of(row, (version, content)) == Standing::Retiring) else {
        return Ok(());
    };
    let laggards = dependents::lagging(app, caller, write, (workspace, held), (&row.username, from)).await?;
    Err(Error::LoginNotRetired(Box::new(NotRetired::new(row, laggards))))
}

/// Forgets the second login. At the database it stays what it is: one that served, and is not retired yet, lets in who has its password, and is
/// forgotten only if the caller says `anyway`.
///
/// # Errors
/// `NotFound` if there is none; `RotationUnderWay` while somebody is at it; `LoginNotRetired`.
pub async fn remove(
    app: &App,
    caller: &Caller,
    workspace: &str,
    name: &str,
    (anyway, precondition): (bool, &Precondition),
) -> Result<()> {
    let workspace = authorise_name(app, caller, workspace, name, Action::RotatePasswords).await?;
    let mut write = begin(app, caller).await?;
    let (held, _) = hold_current(app, caller, &mut write, &workspace, name).await?;
    precondition.check(&held)?;
    let row = store::hold_second_login(&mut write, &held.id).await?.ok_or(NONE)?;
    if is_in_hand(&row, app.clock.now()) {
        return Err(Error::RotationUnderWay(Box::new(UnderWay::at_second_login(&row))));
    }
    if let Some(from) = row.retires_from.filter(|_| !anyway) {
        let laggards = dependents::lagging(app, caller, &mut write, (&workspace, &held), (&row.username, from)).await?;
        return Err(Error::LoginNotRetired(Box::new(NotRetired::new(&row, laggards))));
    }
    store::delete_second_login(&mut write, &held.id).await?;
    let mut detail = serde_json::json!({"version": held.version, "username": row.username});
    audit::note(&mut detail, "not_retired_from", row.retires_from);
    tell(app, caller, &mut write, (&held, "connection.second_login_removed", detail)).await?;
    Ok(write.commit_quietly().await?)
}
