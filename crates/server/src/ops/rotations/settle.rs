//! Which password is in force? Whoever signs in knows it: then it is saved, or the row of the rotation goes. Until then the row stays.
//!
//! | the new one | the old one | |
//! |---|---|---|
//! | passes its test | | saved as the next version |
//! | signs in, and fails later | | the old one is set again |
//! | is refused | signs in | the rotation has failed; if it may still come into force, that is waited for |
//! | is refused | is refused | the row stays, and it is tried again |
//! | cannot be tried | | the row stays, and it is tried again |

use std::sync::Arc;

use dataflow_model::{Cause, Secret, SecretFields, StepName, StepStatus, TestError, TestReport};
use dataflow_vault::random_uuid;
use uuid::Uuid;

use super::{
    LEASE, PASSWORD, State, Task,
    act::{keep_lease, keeps, step, why},
    all_at_once, candidate, problem, with_password,
};
use crate::{
    app::{App, Workspace},
    audit::{self, Event},
    clock::SECOND,
    error::{Error, Result},
    ops::{
        access::{Caller, Roles, TokenIdentity, Who},
        checks,
        connections::{Connection, hold_current, view},
        rows::Sealed as _,
        settings,
    },
    store::{self, ConnectionRow, RotationRow, Write},
    tests::Runs,
};

/// A server may do what it was asked for after whoever asked has gone: for four seconds, by what connectors ask it, after the ten that setting
/// a password may take. From then on it is certain that the old one stays, if it signs in.
pub(super) const DECIDED: i64 = 15 * SECOND;
/// The same where those who asked went with the process before this one.
const DECIDED_AFTER_START: i64 = 5 * SECOND;
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
    if app.clock.now() < decided_at(app, row) {
        put_off_until(app, row, (&not_yet(), decided_at(app, row))).await?;
        return Ok(Settled::of(State::Unsettled, test));
    }
    Ok(Settled {
        test: Some(test),
        ..drop_row(app, caller, task, (row, new), (StepName::SetPassword, Cause::PasswordNotSet)).await?
    })
}

/// The connection as it is by now, if that is known, or else as it was.
pub(super) fn shown(app: &App, task: &Task, connection: Option<Connection>) -> Result<Connection> {
    match connection {
        Some(connection) => Ok(connection),
        None => view(app, task.before.clone(), &task.version),
    }
}

/// What came of a rotation that somebody else has taken in hand. Nothing is done to it here.
pub(super) async fn superseded(app: &App, task: &Task, new: &Secret, test: Option<TestReport>) -> Result<Settled> {
    // In this order: who ends it saves first.
    let is_open = store::rotation(&mut app.store.read().await?, &task.before.id).await?.is_some();
    let now = as_of_now(app, task).await?;
    let has_new = now.old.get(PASSWORD).is_some_and(|password| password.expose_secret() == new.expose_secret());
    let state = match (is_open, has_new) {
        (_, true) => State::Rotated,
        (true, false) => State::Unsettled,
        (false, false) => State::Unchanged,
    };
    tracing::warn!(connection.id = task.before.id, state = state.as_str(), "a rotation was taken over by somebody else");
    Ok(Settled { state, test, connection: Some(view(app, now.before, &now.version)?) })
}

/// The task over what serves now.
async fn as_of_now(app: &App, task: &Task) -> Result<Task> {
    let mut read = app.store.read().await?;
    let connection = store::connection_by_id(&mut read, &task.before.id).await?.ok_or(Error::NotFound("connection"))?;
    let connection = connection.checked(&app.vault)?;
    let version = store::version(&mut read, &connection.id, connection.version).await?.ok_or(Error::NotFound("version"))?;
    let version = version.checked(&app.vault)?;
    drop(read);
    Task::of(app, &task.workspace, (connection, version)).await
}

/// Whether the old password may be set again: by who is at the rotation; where nobody is, since it was given up, if that is the password that serves
/// at the same place.
async fn may_put_back(app: &App, task: &Task, row: &RotationRow) -> Result<bool> {
    if keeps(app, row).await? {
        return Ok(true);
    }
    let other = store::rotation(&mut app.store.read().await?, &row.connection_id).await?;
    if other.is_some_and(|other| (other.begun_at, &other.begun_by_id) == (row.begun_at, &row.begun_by_id)) {
        return Ok(false);
    }
    let now = as_of_now(app, task).await?;
    Ok(now.content.endpoint == task.content.endpoint
        && now.content.public.text("username") == task.content.public.text("username")
        && now.old.get(PASSWORD).map(Secret::expose_secret) == task.old.get(PASSWORD).map(Secret::expose_secret))
}

pub(super) fn signed_in(report: &TestReport) -> bool {
    report.steps.iter().any(|step| step.step == StepName::SignIn && step.status == StepStatus::Ok)
}

fn decided_at(app: &App, row: &RotationRow) -> i64 {
    if !app.store.is_shared() && row.begun_at < app.started_at {
        app.started_at + DECIDED_AFTER_START
    } else {
        row.begun_at + DECIDED
    }
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

fn not_yet() -> TestError {
    of_ours("The old password signs in, and the server may still be at setting the new one.", "That is known in a few seconds.")
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
    // It may have another name by now, or none, if somebody took this one for dead.
    let held = hold_current(app, caller, &mut write, &task.workspace, &task.before.name).await.ok();
    let held = held.filter(|(held, _)| held.id == task.before.id && held.version == row.base_version);
    let Some(before) = held else {
        drop(write);
        return put_back(app, caller, task, (row, new), (runs, test)).await;
    };
    if !store::delete_rotation(&mut write, row).await? {
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
    if !may_put_back(app, task, row).await? {
        return superseded(app, task, new, Some(test)).await;
    }
    let old = task.old.get(PASSWORD).unwrap_or(new);
    let set = runs.run(&app.clock, with_password(&task.old, new), Some(old.duplicate_secret())).await;
    if let Some(error) = why(&set) {
        put_off(app, row, error).await?;
        return Ok(Settled::of(State::Unsettled, test));
    }
    let failed = (step(&test), why(&test).map_or(Cause::TestBroken, |error| error.code));
    Ok(Settled { test: Some(test), ..drop_row(app, caller, task, (row, new), failed).await? })
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
    if !end(app, &mut write, caller, (row, &task.before), step.as_str()).await? {
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
    let event = Event {
        at: app.clock.now(),
        workspace_id: Some(row.workspace_id.clone()),
        action: "connection.rotation_failed",
        object: &connection.name,
        detail,
    };
    audit::record(write, &app.vault, caller, event).await?;
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
    let now = app.clock.now();
    let row = RotationRow { owner: random_uuid().to_string(), leased_until: now + LEASE, ..row };
    let mut write = app.store.write().await?;
    let is_ours = store::take_rotation(&mut write, &row, now).await?;
    write.commit_quietly().await?;
    if !is_ours {
        return Ok(());
    }
    match Box::pin(try_one(app, &row)).await {
        Ok(()) => Ok(()),
        Err(error) => {
            let (_, _, message, hint) = error.describe();
            put_off(app, &row, &of_ours(&message, hint)).await?;
            Err(error)
        }
    }
}

async fn try_one(app: &Arc<App>, row: &RotationRow) -> Result<()> {
    let row = &row.clone().checked(&app.vault)?;
    let mut read = app.store.read().await?;
    let workspace = store::workspace(&mut read, &row.workspace_id).await?.ok_or(Error::NotFound("workspace"))?;
    let connection = store::connection_by_id(&mut read, &row.connection_id).await?.ok_or(Error::NotFound("connection"))?;
    let connection = connection.checked(&app.vault)?;
    let version = store::version(&mut read, &row.connection_id, connection.version).await?.ok_or(Error::NotFound("version"))?;
    let version = version.checked(&app.vault)?;
    drop(read);
    let workspace = app.workspace(&workspace.name).await?.ok_or(Error::NotFound("workspace"))?;
    let caller = stand_in((&row.begun_by, &row.begun_by_id), &workspace);
    if connection.version != row.base_version || connection.deleted_at.is_some() {
        // Such as a restored backup may have.
        let mut write = app.store.write().await?;
        end(app, &mut write, &caller, (row, &connection), "superseded").await?;
        return Ok(write.commit_quietly().await?);
    }
    let task = Task::of(app, &workspace, (connection, version)).await?;
    let new = candidate::open(&task.workspace.key, row, &task.content.endpoint)?;
    let at = (task.public().clone(), SecretFields::default());
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
pub(super) fn stand_in((label, identity): (&str, &str), workspace: &Workspace) -> Caller {
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
