//! Retiring the login that served before a switch: once no program lags behind it gets a password that nobody knows, and stands by.

use std::sync::Arc;

use anyhow::Context;
use dataflow_model::{SecretFields, TestReport};

use super::{
    LONGEST_PAUSE, LOOK_EVERY, NONE, NotRetired, SecondLogin, Standing, Task, UnderWay,
    act::{Login, Refreshed, Then, put_off_in},
    of,
    sealing::public_as,
    usable,
};
use crate::{
    app::{App, Workspace},
    error::{Error, Result},
    ops::{
        access::{Action, Caller, authorise_name},
        checks,
        connections::{Precondition, current, hold_current},
        credentials::servable,
        dependents, hops,
        idempotency::begin,
        rotations::{
            all_at_once, loaded,
            settle::{of_ours, stand_in},
            tell,
        },
        rows::Sealed as _,
        settings,
    },
    store::{self, ConnectionRow, SecondLoginRow, Write},
    tests::PlannedTest,
    throttle::Kind,
};

/// Second logins that one look takes in hand.
const AT_ONCE: i64 = 8;

/// What retiring a login came to.
#[derive(Debug)]
pub struct Retired {
    /// Whether it is retired.
    pub is_done: bool,
    /// How setting the password went, and the test with it after that; nothing of what did not come to it.
    pub set: Option<TestReport>,
    pub test: Option<TestReport>,
    /// As it stands now.
    pub login: SecondLogin,
}

/// Retires the login that served before the last switch now, if nobody lags behind or the caller says `anyway`. Goes on to its end whoever still
/// waits for it.
///
/// # Errors
/// `NotFound` if there is none to retire; `LoginNotRetired` with those who lag behind; `RotationUnderWay` while somebody is at it. Once it has begun
/// it is no error that it fails.
pub async fn retire(
    app: &Arc<App>,
    caller: &Caller,
    workspace: &str,
    name: &str,
    (anyway, precondition): (bool, &Precondition),
) -> Result<Retired> {
    let workspace = authorise_name(app, caller, workspace, name, Action::RotatePasswords).await?;
    app.throttle.look(Kind::Tests, &*caller.identity(), app.clock.now())?;
    servable(app, &workspace, name).await?.admit(caller, &workspace, name)?;
    app.uses.flush(&app.store).await?;
    let mut read = app.store.read().await?;
    let found = current(app, &mut read, &workspace, name).await?;
    precondition.check(&found.0)?;
    let row = store::second_login(&mut read, &found.0.id).await?.ok_or(NONE)?;
    drop(read);
    let task = Task::of(app, &workspace, found).await?;
    let row = usable(app, row, (&task.version, &task.content))?;
    let from = row.retires_from.ok_or(Error::NotFound("login to retire"))?;
    app.throttle.take(Kind::Tests, &*caller.identity(), app.clock.now())?;
    let planned = plan(app, caller, &task, &row).await?;

    let mut write = begin(app, caller).await?;
    let (held, _) = hold_current(app, caller, &mut write, &workspace, name).await?;
    precondition.check(&held)?;
    if (&held.id, held.version) != (&task.before.id, task.before.version) {
        return Err(Error::VersionConflict);
    }
    let laggards = dependents::lagging(app, caller, &mut write, (&workspace, &held), (&row.username, from)).await?;
    if laggards.total > 0 && !anyway {
        return Err(Error::LoginNotRetired(Box::new(NotRetired::new(&row, laggards))));
    }
    let login = Login::begin(app, &mut write, task, &row).await?;
    write.commit_quietly().await?;

    let (task_app, by) = (app.clone(), caller.without_key());
    let under_way = app.under_way.begin();
    let done = tokio::spawn(async move {
        let refreshed = in_hand(&task_app, &by, login, (planned, laggards.total)).await;
        drop(under_way);
        refreshed
    });
    let Refreshed { set, test, is_done } = done.await.context("a retirement was cut off").map_err(Error::Internal)??;
    let mut read = app.store.read().await?;
    let (connection, version) = current(app, &mut read, &workspace, name).await?;
    let login = of(app, caller, &mut read, &workspace, (&connection, &version)).await?.ok_or(NONE)?;
    Ok(Retired { is_done, set, test, login })
}

async fn plan(app: &App, caller: &Caller, task: &Task, row: &SecondLoginRow) -> Result<PlannedTest> {
    let at = (public_as(&task.content, &row.username), SecretFields::default());
    let at = hops::fields(app, caller, &task.workspace, at).await?;
    let placed = app.tests.plan((&*caller.identity(), task.workspace.id), &task.kind.connector, &app.clock, at).await?;
    let planned = placed.within(settings::in_force(app).await?);
    checks::audit_use(app, caller, &task.workspace, &task.before.name, task.before.version).await?;
    Ok(planned)
}

/// Sets the password and says what came of it.
async fn in_hand(app: &Arc<App>, caller: &Caller, login: Login, (planned, lagging): (PlannedTest, i64)) -> Result<Refreshed> {
    let refreshed = planned.hold(async |runs| {
        tokio::select! {
            refreshed = login.refresh(app, &runs, Then::StandBy(caller, lagging)) => refreshed,
            never = login.keep_lease(app) => match never {},
        }
    });
    let refreshed = Box::pin(refreshed).await?;
    if !refreshed.is_done && login.row.retires_from.is_some() && login.row.tries == 0 {
        let mut write = app.store.write().await?;
        let cause = refreshed.error().map(|error| error.code.label());
        let detail = serde_json::json!({"username": login.row.username, "from": login.row.retires_from, "cause": cause});
        tell(app, caller, &mut write, (&login.task.before, "connection.login_not_retired", detail)).await?;
        write.commit_quietly().await?;
    }
    Ok(refreshed)
}

/// Retires whom nobody lags behind, and settles what somebody else began; how many were looked at.
pub async fn look_after(app: &Arc<App>) -> Result<usize> {
    let due = store::due_second_logins(&mut app.store.read().await?, app.clock.now(), AT_ONCE).await?;
    let count = due.len();
    let looked_at = |app: Arc<App>, row: SecondLoginRow| async move {
        let id = row.connection_id.clone();
        (id, Box::pin(look_at(&app, row)).await)
    };
    all_at_once(app, due, "look after a second login", looked_at).await;
    Ok(count)
}

async fn look_at(app: &Arc<App>, row: SecondLoginRow) -> Result<()> {
    let looked = Box::pin(try_one(app, &row)).await;
    // Whatever it was, the next look is not at once.
    if !matches!(looked, Ok(Looked::TakenInHand)) {
        let mut write = app.store.write().await?;
        if let Some(held) = store::hold_second_login(&mut write, &row.connection_id).await?
            && held.leased_until <= app.clock.now()
            && held.next_at == row.next_at
        {
            let put_off = async |write: &mut Write, pause| {
                let next_at = app.clock.now() + pause;
                store::put_off_second_login(write, &SecondLoginRow { next_at, ..held.clone() }).await
            };
            match &looked {
                Err(Error::RotationUnderWay(_) | Error::VersionConflict) | Ok(Looked::Waits | Looked::TakenInHand) => {
                    put_off(&mut write, LOOK_EVERY).await?;
                }
                Ok(Looked::Rests) => put_off(&mut write, LONGEST_PAUSE).await?,
                Err(error) => {
                    let (_, _, message, hint) = error.describe();
                    let error = of_ours(&message, hint);
                    put_off_in(app, &mut write, held, Some(&error)).await?;
                }
            }
        }
        write.commit_quietly().await?;
    }
    match looked {
        Err(Error::RotationUnderWay(_) | Error::VersionConflict) => Ok(()),
        looked => looked.map(drop),
    }
}

/// What a look came to.
enum Looked {
    TakenInHand,
    /// For others.
    Waits,
    /// For its connection to be restored, or to be at its address again.
    Rests,
}

async fn try_one(app: &Arc<App>, row: &SecondLoginRow) -> Result<Looked> {
    let row = row.clone().checked(&app.vault)?;
    app.uses.flush(&app.store).await?;
    let (workspace, (connection, version)) = loaded(app, (&row.workspace_id, &row.connection_id)).await?;
    if connection.deleted_at.is_some() {
        return Ok(Looked::Rests);
    }
    let caller = stand_in((&row.set_by, &row.set_by_id), &workspace);
    if is_waited_for(app, &caller, (&workspace, &connection), &row).await? {
        return Ok(Looked::Waits);
    }
    let task = Task::of(app, &workspace, (connection, version)).await?;
    if Standing::of(&row, (&task.version, &task.content)) == Standing::AnotherAddress {
        return Ok(Looked::Rests);
    }
    let row = usable(app, row, (&task.version, &task.content))?;
    let planned = plan(app, &caller, &task, &row).await?;
    let mut write = app.store.write().await?;
    if !store::hold_connection_by_id(&mut write, &row.connection_id).await? {
        return Ok(Looked::Waits);
    }
    let held = store::connection_by_id(&mut write, &row.connection_id).await?;
    if held.is_none_or(|held| held.version != task.before.version || held.deleted_at.is_some()) {
        return Err(Error::VersionConflict);
    }
    if let Some(held) = store::second_login(&mut write, &row.connection_id).await?
        && held.leased_until > app.clock.now()
    {
        return Err(Error::RotationUnderWay(Box::new(UnderWay::at_second_login(&held))));
    }
    // A switch whose node is gone has said nothing of how it ended.
    if row.retires_from.is_none() && row.tries == 0 {
        let detail = serde_json::json!({"version": task.before.version, "step": "cut_off", "second_login": row.username});
        tell(app, &caller, &mut write, (&task.before, "connection.rotation_failed", detail)).await?;
    }
    let login = Login::begin(app, &mut write, task, &row).await?;
    write.commit_quietly().await?;
    let is_done = in_hand(app, &caller, login, (planned, 0)).await?.is_done;
    tracing::info!(connection.id = row.connection_id, is_done, "a second login was given a new password");
    Ok(Looked::TakenInHand)
}

async fn is_waited_for(
    app: &App,
    caller: &Caller,
    (workspace, connection): (&Arc<Workspace>, &ConnectionRow),
    row: &SecondLoginRow,
) -> Result<bool> {
    let Some(from) = row.retires_from else { return Ok(false) };
    let mut read = app.store.read().await?;
    let laggards = dependents::lagging(app, caller, &mut read, (workspace, connection), (&row.username, from)).await?;
    Ok(laggards.total > 0)
}
