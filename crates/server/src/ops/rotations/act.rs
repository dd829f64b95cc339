//! One rotation while the process lives that began it.

use std::{convert::Infallible, sync::Arc, time::Duration};

use dataflow_model::{Cause, Secret, StepName, StepStatus, TestError, TestReport};

use super::{
    LEASE, Rotated, Task,
    settle::{self, Known, Settled},
};
use crate::{
    app::App,
    error::Result,
    ops::access::Caller,
    store::{self, RotationRow},
    tests::{NewPassword, Runs},
};

/// How often a node tells that it is at a rotation.
const TELL_EVERY: Duration = Duration::from_secs(2);

pub(super) struct Act {
    pub app: Arc<App>,
    pub caller: Caller,
    pub task: Task,
    pub row: RotationRow,
    pub new: Secret,
}

impl Act {
    /// Sets the password, and settles what came of it.
    pub async fn run(self, runs: Runs) -> Result<Rotated> {
        let rotated = self.set_and_settle(&runs);
        tokio::select! {
            rotated = rotated => rotated,
            never = keep_lease(&self.app, &self.row) => match never {},
        }
    }

    async fn set_and_settle(&self, runs: &Runs) -> Result<Rotated> {
        let Self { app, caller, task, row, new } = self;
        let Some(row) = &tells(app, row, false).await? else {
            let Settled { state, test, connection } = settle::superseded(app, task, new, None).await?;
            let connection = settle::shown(task, connection)?;
            return Ok(Rotated { state, retires: None, set: None, test, connection });
        };
        let old = super::with_password(&task.old, task.old.get(super::PASSWORD).unwrap_or(new));
        let set = runs.run(&app.clock, old, Some(asked(row, new))).await;
        let Settled { state, test, connection } = match outcome(&set) {
            Known::Unchanged(error) => settle::drop_row(app, caller, task, (row, new), (step(&set), error.code)).await?,
            known => Box::pin(settle::settle(app, caller, task, (row, new), (runs, known))).await?,
        };
        let connection = settle::shown(task, connection)?;
        Ok(Rotated { state, retires: None, set: Some(set), test, connection })
    }
}

/// What is known of the database once the attempt has ended.
pub(super) fn outcome(set: &TestReport) -> Known {
    let Some(error) = &set.error else { return Known::Set };
    // A process that was ended, or gave up, may have sent more than it told of.
    let is_told = !matches!(error.code, Cause::TimedOut | Cause::TestBroken);
    let is_before = step(set) != StepName::SetPassword;
    if error.code.is_password_unchanged() || (is_told && is_before) {
        return Known::Unchanged(error.clone());
    }
    Known::Nothing(Some(error.clone()))
}

/// The step that failed.
pub(super) fn step(report: &TestReport) -> StepName {
    let failed = report.steps.iter().find(|step| step.status == StepStatus::Failed);
    failed.map_or(StepName::SetPassword, |step| step.step)
}

/// The rotation with the time of this moment, at which a database is asked for a password: the one of before, if it `puts_back`. Nothing if this act
/// is no longer at it: who stood still for too long may have been taken for dead, and the rotation settled by another. Call it before anything is
/// asked for.
pub(super) async fn tells(app: &App, row: &RotationRow, puts_back: bool) -> store::Result<Option<RotationRow>> {
    let mut write = app.store.write().await?;
    // Whatever the store took its time for: the database is told within five seconds of this.
    let now = app.clock.now();
    let row = RotationRow { leased_until: now + LEASE, told_at: now, puts_back, ..row.clone() };
    let is_ours = store::tell_rotation(&mut write, &row).await?;
    write.commit_quietly().await?;
    Ok(is_ours.then_some(row))
}

/// What a database is asked for, by a row that [`tells`] it.
pub(super) fn asked(row: &RotationRow, password: &Secret) -> NewPassword {
    NewPassword { password: password.duplicate_secret(), told_at: row.told_at }
}

/// Whether this act is still at a rotation; then it is for another while.
async fn keeps(app: &App, row: &RotationRow) -> store::Result<bool> {
    let mut write = app.store.write().await?;
    let keeps = store::lease_rotation(&mut write, &row.connection_id, &row.owner, app.clock.now() + LEASE).await?;
    write.commit_quietly().await?;
    Ok(keeps)
}

/// Tells the other nodes that this one is at it, for as long as this is awaited.
pub(super) async fn keep_lease(app: &App, row: &RotationRow) -> Infallible {
    keep_telling(|| keeps(app, row)).await
}

/// Takes a lease again and again, for as long as this is awaited.
pub(super) async fn keep_telling<T, F: Future<Output = store::Result<T>>>(keeps: impl Fn() -> F) -> Infallible {
    loop {
        tokio::time::sleep(TELL_EVERY).await;
        if let Err(error) = keeps().await {
            let cause = format!("{:#}", anyhow::anyhow!(error));
            tracing::warn!(error.cause = cause, "the other nodes could not be told that a password is being changed");
        }
    }
}

/// The error of a test that failed.
pub(super) fn why(report: &TestReport) -> Option<&TestError> {
    report.error.as_ref()
}
