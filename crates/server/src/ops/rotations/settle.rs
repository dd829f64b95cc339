//! Which password is in force? Whoever signs in knows it: then it is saved, or the row of the rotation goes. Until then the row stays.
//!
//! | the new one | the old one | |
//! |---|---|---|
//! | passes its test | | saved as the next version |
//! | signs in, and fails later | | the old one is set again |
//! | is refused | signs in | once nothing new can come into force, the old one is set again, behind whatever is on its way; then the rotation has failed |
//! | is refused | is refused | the row stays, and it is tried again |
//! | cannot be tried | | the row stays, and it is tried again |
//!
//! What a database was asked for last may happen after whoever asked has gone; until that is decided ([`decided_at`]) nothing that would be wrong
//! afterwards is concluded.

use std::{sync::Arc, time::Duration};

use dataflow_model::{Cause, Secret, SecretFields, StepName, StepStatus, TestError, TestReport};
use dataflow_vault::random_uuid;
use uuid::Uuid;

use super::{
    LEASE, PASSWORD, State, Task,
    act::{asked, keep_lease, outcome, step, tells, why},
    all_at_once, candidate, loaded, problem, served, tell, with_password,
};
use crate::{
    app::{App, Workspace},
    clock::SECOND,
    error::{Error, Result},
    ops::{
        access::{Caller, Roles, TokenIdentity, Who},
        checks,
        connections::{Connection, view},
        hops,
        rows::Sealed as _,
        settings,
    },
    store::{self, ConnectionRow, Handle, RotationRow, Write},
    tests::Runs,
};

/// A server may do what it was asked for after whoever asked has gone: it is told within five seconds, waits for four more to be told, and for as long for
/// each of two locks, by what connectors ask it.
pub(super) const DECIDED: i64 = 20 * SECOND;
/// The same where those who asked went with the process before this one.
const DECIDED_AFTER_START: i64 = 12 * SECOND;
/// Longest pause between two tries.
const LONGEST_PAUSE: i64 = 300 * SECOND;
/// Rotations that one look settles.
const AT_ONCE: i64 = 8;

/// What is known of the database before it is asked.
pub(super) enum Known {
    /// It took the new password, and let somebody in with it.
    Set,
    /// It has the old one.
    Unchanged(TestError),
    Nothing(Option<TestError>),
}

pub(super) struct Settled {
    pub state: State,
    /// The test with the new password.
    pub test: Option<TestReport>,
    /// As it is now, if it has changed.
    pub connection: Option<Connection>,
}

impl Settled {
    fn of(state: State, test: TestReport) -> Self {
        Self { state, test: Some(test), connection: None }
    }
}

/// Finds out which password is in force, and acts on it.
pub(super) async fn settle(
    app: &Arc<App>,
    caller: &Caller,
    task: &Task,
    (row, new): (&RotationRow, &Secret),
    (runs, known): (&Runs, Known),
) -> Result<Settled> {
    let is_decided = |app: &App| app.clock.now() >= decided_at(app, row);
    if row.puts_back && matches!(known, Known::Nothing(_)) && !is_decided(app) {
        put_off_until(app, row, (&not_yet(row), decided_at(app, row))).await?;
        return Ok(Settled { state: State::Unsettled, test: None, connection: None });
    }
    let test = runs.run(&app.clock, with_password(&task.old, new), None).await;
    let Some(error) = why(&test) else { return saved(app, caller, task, (row, new), (runs, test)).await };
    if signed_in(&test) {
        return put_back(app, caller, task, (row, new), (runs, test)).await;
    }
    if error.code != Cause::CredentialsRefused {
        let error = match known {
            Known::Nothing(Some(earlier)) => earlier,
            _ => error.clone(),
        };
        put_off(app, row, &error).await?;
        return Ok(Settled::of(State::Unsettled, test));
    }
    let old = task.old.get(PASSWORD).unwrap_or(new);
    let with_old = runs.run(&app.clock, with_password(&task.old, old), None).await;
    if !signed_in(&with_old) {
        let error = why(&with_old).unwrap_or(error);
        put_off(app, row, &neither(error)).await?;
        return Ok(Settled::of(State::Unsettled, test));
    }
    if !is_decided(app) {
        put_off_until(app, row, (&not_yet(row), decided_at(app, row))).await?;
        return Ok(Settled::of(State::Unsettled, test));
    }
    let failed = (StepName::SetPassword, Cause::PasswordNotSet);
    set_old(app, caller, task, (row, new), (runs, test, SignIn::AsOld, failed)).await
}

/// What somebody who sets the old password signs in with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SignIn {
    AsOld,
    AsNew,
}

/// The connection as it is by now, if that is known, or else as it was.
pub(super) fn shown(task: &Task, connection: Option<Connection>) -> Result<Connection> {
    match connection {
        Some(connection) => Ok(connection),
        None => view(Some(&task.kind), task.before.clone(), &task.version),
    }
}

/// What came of a rotation that somebody else has taken in hand. Nothing is done to it here.
pub(super) async fn superseded(app: &App, task: &Task, new: &Secret, test: Option<TestReport>) -> Result<Settled> {
    // In this order: who ends it saves first.
    let is_open = store::rotation(&mut app.store.read().await?, &task.before.id).await?.is_some();
    let now = as_of_now(app, &mut app.store.read().await?, task).await?;
    let has_new = now.old.get(PASSWORD).is_some_and(|password| password.expose_secret() == new.expose_secret());
    let state = match (is_open, has_new) {
        (_, true) => State::Rotated,
        (true, false) => State::Unsettled,
        (false, false) => State::Unchanged,
    };
    tracing::warn!(connection.id = task.before.id, state = state.as_str(), "a rotation was taken over by somebody else");
    Ok(Settled { state, test, connection: Some(view(Some(&now.kind), now.before, &now.version)?) })
}

/// The task over what serves now.
async fn as_of_now(app: &App, handle: &mut impl Handle, task: &Task) -> Result<Task> {
    let now = served(app, handle, &task.before.id).await?;
    Task::of(app, &task.workspace, now).await
}

/// The rotation, in hand for who sets the old password again: by who is at it. Where nobody is, since it was given up, or taken for one that failed,
/// and what serves is what served, it begins once more, so that somebody goes on with it whatever ends this one. Nothing if it is for others.
async fn to_put_back(
    app: &App,
    caller: &Caller,
    task: &Task,
    (row, new): (&RotationRow, &Secret),
) -> Result<Option<RotationRow>> {
    if let Some(row) = tells(app, row, true).await? {
        return Ok(Some(row));
    }
    let mut write = app.store.write().await?;
    store::hold_connection_by_id(&mut write, &row.connection_id).await?;
    let other = store::rotation(&mut write, &row.connection_id).await?;
    if other.as_ref().is_some_and(|other| (other.begun_at, &other.begun_by_id) == (row.begun_at, &row.begun_by_id)) {
        return Ok(None);
    }
    let now = as_of_now(app, &mut write, task).await?;
    let is_the_same = now.content.endpoint == task.content.endpoint
        && now.content.public.text("username") == task.content.public.text("username")
        && now.old.get(PASSWORD).map(Secret::expose_secret) == task.old.get(PASSWORD).map(Secret::expose_secret);
    if !is_the_same {
        return Ok(None);
    }
    let again = RotationRow { puts_back: true, ..candidate::row(app, caller, &now, new)? };
    // Where another one was begun meanwhile there is no place for it, and it lasts as long as this process.
    if other.is_none() {
        store::insert_rotation(&mut write, &again).await?;
        let detail = serde_json::json!({"version": again.base_version, "puts_back": true});
        tell(app, caller, &mut write, (&now.before, "connection.rotate", detail)).await?;
    }
    write.commit_quietly().await?;
    Ok(Some(again))
}

pub(super) fn signed_in(report: &TestReport) -> bool {
    report.steps.iter().any(|step| step.step == StepName::SignIn && step.status == StepStatus::Ok)
}

/// From when on the database has surely done, or not done, what it was asked for last.
pub(super) fn decided_at(app: &App, row: &RotationRow) -> i64 {
    let was_before = !app.store.is_shared() && row.told_at < app.started_at;
    if was_before { app.started_at + DECIDED_AFTER_START } else { row.told_at + DECIDED }
}

/// In words of this server, and of no database.
pub(super) fn of_ours(message: &str, hint: &str) -> TestError {
    TestError {
        code: Cause::TestBroken,
        message: message.to_owned(),
        hint: hint.to_owned(),
        field: Some(PASSWORD.to_owned()),
        certificates: Vec::new(),
    }
}

fn not_yet(row: &RotationRow) -> TestError {
    let message = if row.puts_back {
        "The new password signed in and failed its test, and the server may still be at setting the old one again."
    } else {
        "The old password signs in, and the server may still be at setting the new one."
    };
    of_ours(message, "That is known in a few seconds.")
}

fn neither(error: &TestError) -> TestError {
    let message = format!("Neither the new password nor the old one signs in. {}", error.message);
    let hint = "Somebody may have set another one at the database. Look there; if it has another one, give the rotation up and save that one.";
    of_ours(&message, hint)
}

/// Saves the new password as the next version, which ends the rotation. If its row is gone, the old one is in force for everybody, and is set
/// again.
async fn saved(
    app: &Arc<App>,
    caller: &Caller,
    task: &Task,
    (row, new): (&RotationRow, &Secret),
    (runs, test): (&Runs, TestReport),
) -> Result<Settled> {
    let mut write = app.store.write().await?;
    let is_there = store::hold_connection_by_id(&mut write, &row.connection_id).await?;
    let before = served(app, &mut write, &row.connection_id).await?;
    // Somebody took this one for dead, and settled it: it may have another password by now, or none.
    let is_as_it_was = is_there && before.0.version == row.base_version && before.0.deleted_at.is_none();
    if !is_as_it_was || !store::delete_rotation(&mut write, row).await? {
        drop(write);
        return put_back(app, caller, task, (row, new), (runs, test)).await;
    }
    let now = Task::of(app, &task.workspace, before).await?;
    let next = candidate::next_version(&now, new)?;
    let connection = now.save(app, caller, write, (next, &test)).await?;
    Ok(Settled { state: State::Rotated, test: Some(test), connection: Some(connection) })
}

/// Sets the old password again: with the new one somebody gets in, and no further, or nobody will save it.
async fn put_back(
    app: &Arc<App>,
    caller: &Caller,
    task: &Task,
    (row, new): (&RotationRow, &Secret),
    (runs, test): (&Runs, TestReport),
) -> Result<Settled> {
    let failed = (step(&test), why(&test).map_or(Cause::TestBroken, |error| error.code));
    set_old(app, caller, task, (row, new), (runs, test, SignIn::AsNew, failed)).await
}

/// Has the database set the old password, and ends the rotation with that. Whoever signs in with the old one does so since that it signs in is no
/// proof that it stays: the new one may be on its way, behind a lock or a commit that waits, and this comes after it.
async fn set_old(
    app: &Arc<App>,
    caller: &Caller,
    task: &Task,
    (before, new): (&RotationRow, &Secret),
    (runs, test, sign_in, failed): (&Runs, TestReport, SignIn, (StepName, Cause)),
) -> Result<Settled> {
    let row = match sign_in {
        // Nothing has to be undone: if others are at it, or it is over, that is for them.
        SignIn::AsOld => tells(app, before, true).await?,
        SignIn::AsNew => to_put_back_at_last(app, caller, task, (before, new)).await?,
    };
    let Some(row) = &row else {
        return superseded(app, task, new, Some(test)).await;
    };
    let old = task.old.get(PASSWORD).unwrap_or(new);
    let secrets = with_password(&task.old, if sign_in == SignIn::AsOld { old } else { new });
    let set = runs.run(&app.clock, secrets, Some(asked(row, old)));
    let set = tokio::select! {
        set = set => set,
        never = keep_lease(app, row) => match never {},
    };
    if let Some(error) = why(&set) {
        // A server that refuses to set what is set, by its rules for passwords say, came to it after all that was before.
        let is_set = sign_in == SignIn::AsOld && error.code == Cause::PasswordRefused;
        if !is_set {
            // Where nothing was asked for, all is as it was.
            let is_asked = !matches!(outcome(&set), Known::Unchanged(_));
            let (told_at, puts_back) = if is_asked { (row.told_at, true) } else { (before.told_at, before.puts_back) };
            put_off(app, &RotationRow { told_at, puts_back, ..row.clone() }, error).await?;
            return Ok(Settled::of(State::Unsettled, test));
        }
    }
    Ok(Settled { test: Some(test), ..drop_row(app, caller, task, (row, new), failed).await? })
}

/// The same as [`to_put_back`], for as long as the store cannot be asked: that the new password is in force, and nobody will save it, stands nowhere
/// but here.
async fn to_put_back_at_last(
    app: &App,
    caller: &Caller,
    task: &Task,
    rotation: (&RotationRow, &Secret),
) -> Result<Option<RotationRow>> {
    for pause in [1, 2, 4, 8, 16, 32, 64] {
        match to_put_back(app, caller, task, rotation).await {
            Err(Error::Internal(_) | Error::Unavailable(_)) => tokio::time::sleep(Duration::from_secs(pause)).await,
            row => return row,
        }
    }
    to_put_back(app, caller, task, rotation).await
}

/// Ends a rotation that changed nothing.
pub(super) async fn drop_row(
    app: &App,
    caller: &Caller,
    task: &Task,
    (row, new): (&RotationRow, &Secret),
    (step, cause): (StepName, Cause),
) -> Result<Settled> {
    let mut write = app.store.write().await?;
    // By the name that it has by now.
    let (connection, _) = served(app, &mut write, &row.connection_id).await?;
    if !end(app, &mut write, caller, (row, &connection), step.as_str()).await? {
        drop(write);
        return superseded(app, task, new, None).await;
    }
    write.commit_quietly().await?;
    tracing::warn!(
        connection.id = row.connection_id,
        step = step.as_str(),
        cause = cause.label(),
        "a password was not rotated; the old one is in force"
    );
    Ok(Settled { state: State::Unchanged, test: None, connection: None })
}

/// Takes the row of a rotation away, with the event that tells it; `false` if it is in other hands.
pub(super) async fn end(
    app: &App,
    write: &mut Write,
    caller: &Caller,
    (row, connection): (&RotationRow, &ConnectionRow),
    step: &str,
) -> Result<bool> {
    if !store::delete_rotation(write, row).await? {
        return Ok(false);
    }
    let detail = serde_json::json!({"version": row.base_version, "step": step});
    tell(app, caller, write, (connection, "connection.rotation_failed", detail)).await?;
    Ok(true)
}

/// Lets go of a rotation until it is tried again.
async fn put_off(app: &App, row: &RotationRow, error: &TestError) -> Result<()> {
    let pause = (SECOND << row.tries.clamp(1, 20)).min(LONGEST_PAUSE);
    put_off_until(app, row, (error, app.clock.now() + pause)).await
}

async fn put_off_until(app: &App, row: &RotationRow, (error, next_at): (&TestError, i64)) -> Result<()> {
    let now = app.clock.now();
    let row = RotationRow { tries: row.tries + 1, tried_at: Some(now), next_at, problem: Some(problem(error)?), ..row.clone() };
    let mut write = app.store.write().await?;
    store::put_off_rotation(&mut write, &row).await?;
    write.commit_quietly().await?;
    Ok(())
}

/// Settles what nobody is at and whose time has come; how many that were.
pub async fn settle_due(app: &Arc<App>) -> Result<usize> {
    let due = store::due_rotations(&mut app.store.read().await?, app.clock.now(), AT_ONCE).await?;
    let count = due.len();
    let settled = |app: Arc<App>, row: RotationRow| async move {
        let id = row.connection_id.clone();
        (id, settle_one(&app, row).await)
    };
    all_at_once(app, due, "settle a rotation", settled).await;
    Ok(count)
}

async fn settle_one(app: &Arc<App>, row: RotationRow) -> Result<()> {
    let mut write = app.store.write().await?;
    let now = app.clock.now();
    let row = RotationRow { owner: random_uuid().to_string(), leased_until: now + LEASE, ..row };
    let is_ours = store::take_rotation(&mut write, &row, now).await?;
    // Whoever was at it until now may have asked the database for something since it was read.
    let row = store::rotation(&mut write, &row.connection_id).await?.filter(|_| is_ours);
    write.commit_quietly().await?;
    let Some(row) = row else { return Ok(()) };
    match Box::pin(try_one(app, &row)).await {
        Ok(()) => Ok(()),
        Err(error) => {
            let (_, _, message, hint) = error.describe();
            // As it is now: the database may have been asked for something since it was taken.
            let now = store::rotation(&mut app.store.read().await?, &row.connection_id).await?;
            let row = now.filter(|now| now.owner == row.owner).unwrap_or(row);
            put_off(app, &row, &of_ours(&message, hint)).await?;
            Err(error)
        }
    }
}

async fn try_one(app: &Arc<App>, row: &RotationRow) -> Result<()> {
    let row = &row.clone().checked(&app.vault)?;
    let (workspace, (connection, version)) = loaded(app, (&row.workspace_id, &row.connection_id)).await?;
    let caller = stand_in((&row.begun_by, &row.begun_by_id), &workspace);
    let is_over = connection.version != row.base_version || connection.deleted_at.is_some();
    if is_over && !row.puts_back {
        // Such as a restored backup may have.
        let mut write = app.store.write().await?;
        end(app, &mut write, &caller, (row, &connection), "superseded").await?;
        return Ok(write.commit_quietly().await?);
    }
    let task = Task::of(app, &workspace, (connection, version)).await?;
    let new = candidate::open(&task.workspace.key, row, &task.content.endpoint)?;
    let at = (task.public().clone(), SecretFields::default());
    let at = hops::fields(app, &caller, &task.workspace, at).await?;
    let placed = app.tests.plan(("server", task.workspace.id), &task.kind.connector, &app.clock, at).await?;
    let planned = placed.within(settings::in_force(app).await?);
    checks::audit_use(app, &caller, &task.workspace, &task.before.name, task.before.version).await?;
    let settled = planned.hold(async |runs| {
        tokio::select! {
            settled = settle(app, &caller, &task, (row, &new), (&runs, Known::Nothing(None))) => settled,
            never = keep_lease(app, row) => match never {},
        }
    });
    let state = Box::pin(settled).await?.state;
    tracing::info!(connection.id = row.connection_id, state = state.as_str(), "a rotation was looked into");
    Ok(())
}

/// Who began a rotation, as events and versions name him. He may do nothing: it is the server that ends what he began.
pub(in crate::ops) fn stand_in((label, identity): (&str, &str), workspace: &Workspace) -> Caller {
    Caller::of(Who::Token(Arc::new(TokenIdentity {
        id: Uuid::nil(),
        label: label.to_owned(),
        identity: identity.to_owned(),
        workspace_id: workspace.id,
        workspace: workspace.name.clone(),
        person_id: None,
        roles: Roles::NONE,
        connections: Some(Vec::new()),
        expires_at: 0,
    })))
}
