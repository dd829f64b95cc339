//! A new password for the second login, which nothing signs in with: kept before the database is asked, set, tested, and then the one in force.
//!
//! Whoever was cut off left it as a candidate. The next one tries it first, and sets it once more if the database does not have it.

use std::convert::Infallible;

use anyhow::anyhow;
use dataflow_model::{Cause, Secret, SecretFields, TestError, TestReport, TestStatus};
use dataflow_vault::random_uuid;

use super::{
    LONGEST_PAUSE, Task, UnderWay,
    sealing::{self, Passwords, newest_key},
};
use crate::{
    app::App,
    clock::SECOND,
    error::{Error, Result},
    ops::{
        access::Caller,
        rotations::{
            LEASE,
            act::{keep_telling, outcome, why},
            policy, problem,
            settle::{Known, of_ours, signed_in},
            tell, with_password,
        },
        rows::Sealed as _,
    },
    store::{self, SecondLoginRow, Write},
    tests::{NewPassword, Runs},
};

/// Who is at a second login, and what with.
pub(super) struct Login {
    pub task: Task,
    pub row: SecondLoginRow,
    kept: Secret,
    candidate: Secret,
    /// The candidate was made for this act: no database has it yet.
    is_new: bool,
}

/// What follows once the new password is in force and has passed its test.
pub(super) enum Then<'t> {
    /// The connection is switched over to it; until then it stays in hand.
    Switch,
    /// It stands by: it is retired, if it served before, by this caller while so many programs lagged behind.
    StandBy(&'t Caller, i64),
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Refreshed {
    pub set: Option<TestReport>,
    pub test: Option<TestReport>,
    /// The candidate is in force, and passed its test.
    pub is_done: bool,
}

impl Login {
    /// Takes the second login of a connection in hand, and keeps what its new password will be: from the end of this transaction on the database
    /// may have it.
    ///
    /// # Errors
    /// `RotationUnderWay` while somebody is at it; `VersionConflict` if it is no longer the one of `row`.
    pub async fn begin(app: &App, write: &mut Write, mut task: Task, row: &SecondLoginRow) -> Result<Self> {
        let held = store::hold_second_login(write, &row.connection_id).await?.ok_or(Error::VersionConflict)?;
        let held = held.checked(&app.vault)?;
        let now = app.clock.now();
        if held.leased_until > now {
            return Err(Error::RotationUnderWay(Box::new(UnderWay::at_second_login(&held))));
        }
        if (&held.username, &held.endpoint, held.retires_from) != (&row.username, &row.endpoint, row.retires_from) {
            return Err(Error::VersionConflict);
        }
        task.workspace = task.with_key(app, newest_key(&held)).await?;
        let Passwords { kept, candidate } = sealing::passwords(&task.workspace.key, &held)?;
        let is_new = candidate.is_none();
        let candidate = match candidate {
            Some(candidate) => candidate,
            None => policy::rules(app, write, &row.connection_id).await?.make(),
        };
        let owner = random_uuid().to_string();
        let begun = SecondLoginRow { owner, leased_until: now + LEASE, tried_at: Some(now), next_at: now, ..held };
        let both = Passwords { kept, candidate: Some(candidate) };
        let row = sealing::with(app, &task.workspace.key, begun, &both)?;
        store::put_second_login(write, &row).await?;
        let Passwords { kept, candidate } = both;
        let candidate = candidate.ok_or_else(|| Error::Internal(anyhow!("a candidate was not kept")))?;
        Ok(Self { task, row, kept, candidate, is_new })
    }

    fn secrets(&self, password: &Secret) -> SecretFields {
        with_password(&self.task.old, password)
    }

    /// Sets the password and tests it; if it is in force, keeps it as that.
    pub async fn refresh(&self, app: &App, runs: &Runs, then: Then<'_>) -> Result<Refreshed> {
        let refreshed = self.set(app, runs).await?;
        if refreshed.test.as_ref().is_some_and(signed_in) {
            self.adopt(app, then, refreshed.is_done).await?;
        }
        if !refreshed.is_done {
            self.put_off(app, &refreshed).await?;
        }
        Ok(refreshed)
    }

    async fn set(&self, app: &App, runs: &Runs) -> Result<Refreshed> {
        let mut came_to = Refreshed { set: None, test: None, is_done: false };
        if !self.is_new {
            let test = runs.run(&app.clock, self.secrets(&self.candidate), None).await;
            let is_in = signed_in(&test);
            let is_out = why(&test).is_some_and(|error| error.code == Cause::CredentialsRefused);
            came_to.is_done = passes(&test);
            came_to.test = Some(test);
            if is_in || !is_out {
                return Ok(came_to);
            }
        }
        // Who stood still for too long may have been taken for dead, and the login forgotten or given another password.
        let Some(told_at) = self.tells(app).await? else {
            return Err(in_other_hands(store::second_login(&mut app.store.read().await?, &self.row.connection_id).await?));
        };
        let set = runs
            .run(&app.clock, self.secrets(&self.kept), Some(NewPassword { password: self.candidate.duplicate_secret(), told_at }))
            .await;
        let is_set = matches!(outcome(&set), Known::Set);
        came_to.set = Some(set);
        if is_set {
            let test = runs.run(&app.clock, self.secrets(&self.candidate), None).await;
            came_to.is_done = passes(&test);
            came_to.test = Some(test);
        }
        Ok(came_to)
    }

    /// Has the candidate be the password in force.
    async fn adopt(&self, app: &App, then: Then<'_>, is_done: bool) -> Result<()> {
        let mut write = app.store.write().await?;
        let row = self.hold(app, &mut write).await?;
        let key = &self.task.with_key(app, newest_key(&row)).await?.key;
        let row = SecondLoginRow { tries: 0, problem: None, ..row };
        let row = match then {
            Then::StandBy(caller, lagging) if is_done => self.stands_by(app, caller, &mut write, (row, lagging)).await?,
            _ => row,
        };
        let passwords = Passwords { kept: self.candidate.duplicate_secret(), candidate: None };
        let row = sealing::with(app, key, row, &passwords)?;
        store::put_second_login(&mut write, &row).await?;
        write.commit_quietly().await?;
        Ok(())
    }

    /// The row of a login whose new password nobody knows, with the event of one that is retired by that.
    async fn stands_by(
        &self,
        app: &App,
        caller: &Caller,
        write: &mut Write,
        (row, lagging): (SecondLoginRow, i64),
    ) -> Result<SecondLoginRow> {
        if let Some(from) = row.retires_from {
            let detail = serde_json::json!({"username": row.username, "from": from, "lagging": lagging});
            tell(app, caller, write, (&self.task.before, "connection.login_retired", detail)).await?;
        }
        Ok(SecondLoginRow { retires_from: None, switched_at: None, leased_until: 0, set_at: app.clock.now(), ..row })
    }

    /// The row as it is now, if this act is still at it.
    pub async fn hold(&self, app: &App, write: &mut Write) -> Result<SecondLoginRow> {
        match store::hold_second_login(write, &self.row.connection_id).await? {
            Some(row) if row.owner == self.row.owner => row.checked(&app.vault),
            // Another node took this one for dead.
            other => Err(in_other_hands(other)),
        }
    }

    /// When it was noted that this act is still at it, and is for another while; nothing if it is not.
    async fn tells(&self, app: &App) -> store::Result<Option<i64>> {
        let mut write = app.store.write().await?;
        let now = app.clock.now();
        let keeps = store::lease_second_login(&mut write, &self.row.connection_id, &self.row.owner, now + LEASE).await?;
        write.commit_quietly().await?;
        Ok(keeps.then_some(now))
    }

    /// Lets go of it with what stood in the way. A candidate that the database surely does not have is forgotten.
    async fn put_off(&self, app: &App, refreshed: &Refreshed) -> Result<()> {
        let mut write = app.store.write().await?;
        let row = self.hold(app, &mut write).await?;
        let is_not_set = refreshed.set.as_ref().is_some_and(|set| self.is_new && matches!(outcome(set), Known::Unchanged(_)));
        let row = if is_not_set && row.candidate.is_some() {
            let key = &self.task.with_key(app, newest_key(&row)).await?.key;
            let Passwords { kept, .. } = sealing::passwords(key, &row)?;
            let row = sealing::with(app, key, row, &Passwords { kept, candidate: None })?;
            store::put_second_login(&mut write, &row).await?;
            row
        } else {
            row
        };
        let error = refreshed.error();
        put_off_in(app, &mut write, row, error.as_ref()).await?;
        write.commit_quietly().await?;
        Ok(())
    }

    /// Lets go of it with an error of this server's own.
    pub async fn let_go_with(&self, app: &App, error: &Error) -> Result<()> {
        let mut write = app.store.write().await?;
        let row = self.hold(app, &mut write).await?;
        let (_, _, message, hint) = error.describe();
        put_off_in(app, &mut write, row, Some(&of_ours(&message, hint))).await?;
        write.commit_quietly().await?;
        Ok(())
    }

    /// Lets go of it: nothing stood in the way.
    pub async fn let_go(&self, app: &App) -> Result<()> {
        let mut write = app.store.write().await?;
        store::lease_second_login(&mut write, &self.row.connection_id, &self.row.owner, 0).await?;
        write.commit_quietly().await?;
        Ok(())
    }

    /// Tells the other nodes that this one is at it, for as long as this is awaited.
    pub async fn keep_lease(&self, app: &App) -> Infallible {
        keep_telling(|| self.tells(app)).await
    }
}

impl Refreshed {
    /// What stood in the way.
    pub fn error(&self) -> Option<TestError> {
        let of = |report: &Option<TestReport>| report.as_ref().and_then(why).cloned();
        of(&self.set).or_else(|| of(&self.test))
    }
}

/// What is said of a login that somebody else has taken, or taken away.
fn in_other_hands(row: Option<SecondLoginRow>) -> Error {
    row.map_or(Error::VersionConflict, |row| Error::RotationUnderWay(Box::new(UnderWay::at_second_login(&row))))
}

fn passes(test: &TestReport) -> bool {
    test.status != TestStatus::Failed
}

/// Puts a row off for a pause that grows with each failure.
pub(super) async fn put_off_in(app: &App, write: &mut Write, row: SecondLoginRow, error: Option<&TestError>) -> Result<()> {
    let now = app.clock.now();
    let pause = (SECOND << (row.tries + 2).clamp(1, 20)).min(LONGEST_PAUSE);
    let problem = error.map(problem).transpose()?;
    let row = SecondLoginRow { tries: row.tries + 1, tried_at: Some(now), next_at: now + pause, problem, ..row };
    Ok(store::put_off_second_login(write, &row).await?)
}
