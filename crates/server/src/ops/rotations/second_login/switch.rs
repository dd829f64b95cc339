//! A rotation that has the connection sign in as its second login.

use std::sync::Arc;

use anyhow::Context;
use dataflow_model::{
    SecretFields, StepName, TestReport,
    settle::{SecretChange, Settled},
};

use super::{
    NotRetired, Task, USERNAME,
    act::{Login, Refreshed, Then},
    sealing::{self, newest_key, public_as},
    usable,
};
use crate::{
    app::{App, Workspace},
    error::{Error, Result},
    ops::{
        access::Caller,
        checks,
        connections::{self, Connection, Precondition, hold_current},
        dependents, hops,
        idempotency::begin,
        rotations::{Rotated, State, act::step, refuse_while_under_way, tell, with_password},
        settings,
        versions::{Content, SealedVersion},
    },
    store::{ConnectionRow, SecondLoginRow, VersionRow},
    tests::Runs,
    throttle::Kind,
};

/// Gives the second login a new password and switches the connection over to it. Goes on to its end whoever still waits for it.
///
/// # Errors
/// `LoginNotRetired` while the second login is the one of before the last switch; `RotationUnderWay` while somebody is at it.
pub(in crate::ops::rotations) async fn switch_over(
    app: &Arc<App>,
    caller: &Caller,
    workspace: &Arc<Workspace>,
    ((connection, version), second): ((ConnectionRow, VersionRow), SecondLoginRow),
    precondition: &Precondition,
) -> Result<Rotated> {
    let name = connection.name.clone();
    let task = Task::of(app, workspace, (connection, version)).await?;
    let row = usable(app, second, (&task.version, &task.content))?;
    if let Some(from) = row.retires_from {
        app.uses.flush(&app.store).await?;
        let mut read = app.store.read().await?;
        let laggards = dependents::lagging(app, caller, &mut read, (workspace, &task.before), (&row.username, from)).await?;
        return Err(Error::LoginNotRetired(Box::new(NotRetired::new(&row, laggards))));
    }
    // A version that could not be saved afterwards is refused now.
    next_version(&task, &row.username, &task.old)?;
    app.throttle.take(Kind::Tests, &*caller.identity(), app.clock.now())?;
    let at = (public_as(&task.content, &row.username), SecretFields::default());
    let at = hops::fields(app, caller, &task.workspace, at).await?;
    let placed = app.tests.plan((&*caller.identity(), task.workspace.id), &task.kind.connector, &app.clock, at).await?;
    let planned = placed.within(settings::in_force(app).await?);
    checks::audit_use(app, caller, &task.workspace, &name, task.before.version).await?;

    let mut write = begin(app, caller).await?;
    let (held, _) = hold_current(app, caller, &mut write, workspace, &name).await?;
    precondition.check(&held)?;
    refuse_while_under_way(app, &mut write, &held.id).await?;
    if (&held.id, held.version) != (&task.before.id, task.before.version) {
        return Err(Error::VersionConflict);
    }
    let login = Login::begin(app, &mut write, task, &row).await?;
    let detail = serde_json::json!({"version": held.version, "second_login": row.username});
    tell(app, caller, &mut write, (&held, "connection.rotate", detail)).await?;
    write.commit_quietly().await?;

    let (task_app, caller) = (app.clone(), caller.without_key());
    let under_way = app.under_way.begin();
    let done = tokio::spawn(async move {
        let switched = Box::pin(planned.hold(async |runs| {
            tokio::select! {
                switched = switch(&task_app, &caller, &login, &runs) => switched,
                never = login.keep_lease(&task_app) => match never {},
            }
        }));
        let switched = switched.await;
        drop(under_way);
        switched
    });
    done.await.context("a rotation was cut off").map_err(Error::Internal)?
}

async fn switch(app: &Arc<App>, caller: &Caller, login: &Login, runs: &Runs) -> Result<Rotated> {
    let Refreshed { set, test, is_done } = match login.refresh(app, runs, Then::Switch).await {
        Ok(refreshed) => refreshed,
        Err(error) => {
            let is_lost = matches!(error, Error::RotationUnderWay(_) | Error::VersionConflict);
            if !is_lost {
                // Whoever looks after it then knows that this was told.
                login.let_go_with(app, &error).await?;
            }
            not_switched(app, caller, login, if is_lost { "superseded" } else { "cut_off" }).await?;
            return Err(error);
        }
    };
    let task = &login.task;
    if let (true, Some(report)) = (is_done, &test) {
        match save_switched(app, caller, login, report).await {
            Ok(connection) => {
                let retires = task.content.public.text(USERNAME).map(str::to_owned);
                return Ok(Rotated { state: State::Rotated, retires, set, test, connection });
            }
            Err(error) => {
                login.let_go(app).await?;
                not_switched(app, caller, login, "superseded").await?;
                return Err(error);
            }
        }
    }
    let failed = set.as_ref().filter(|set| set.error.is_some()).or(test.as_ref()).map_or(StepName::SetPassword, step);
    not_switched(app, caller, login, failed.as_str()).await?;
    let connection = connections::view(Some(&task.kind), task.before.clone(), &task.version)?;
    Ok(Rotated { state: State::Unchanged, retires: None, set, test, connection })
}

/// Has the event say where it ended: the connection signs in as it did.
async fn not_switched(app: &App, caller: &Caller, login: &Login, step: &str) -> Result<()> {
    let mut write = app.store.write().await?;
    let before = &login.task.before;
    tracing::warn!(connection.id = before.id, step = step, "a connection was not switched over to its second login");
    let detail = serde_json::json!({"version": before.version, "step": step, "second_login": login.row.username});
    tell(app, caller, &mut write, (before, "connection.rotation_failed", detail)).await?;
    Ok(write.commit_quietly().await?)
}

/// Saves the version that signs in as the second login; the login of before takes its place in the same transaction.
async fn save_switched(app: &Arc<App>, caller: &Caller, login: &Login, test: &TestReport) -> Result<Connection> {
    let task = &login.task;
    let mut write = app.store.write().await?;
    let before = hold_current(app, caller, &mut write, &task.workspace, &task.before.name).await?;
    if (&before.0.id, before.0.version) != (&task.before.id, task.before.version) {
        return Err(Error::VersionConflict);
    }
    let row = login.hold(app, &mut write).await?;
    let mut now = Task::of(app, &task.workspace, before).await?;
    now.workspace = now.with_key(app, newest_key(&row)).await?;
    let password = sealing::passwords(&now.workspace.key, &row)?.kept;
    let next = next_version(&now, &row.username, &with_password(&now.old, &password))?;
    now.save(app, caller, write, (next, test)).await
}

/// What the next version holds, and its sealed secrets: all of them anew, since they are bound to the login that they come with.
fn next_version(task: &Task, username: &str, secrets: &SecretFields) -> Result<(Content, SealedVersion)> {
    let secrets = secrets.0.iter().map(|(path, secret)| (path.clone(), SecretChange::Set(secret.duplicate_secret())));
    task.next_version(Settled { public: public_as(&task.content, username), secrets: secrets.collect() }, None)
}
