//! Rotations that a policy asks for: the same as by the button, begun by one of the nodes.
//!
//! A node takes a turn by moving on when it is due, to when it would be tried again. So one alone has it, nothing is forgotten whatever ends that
//! node, and a password that is replaced moves it further, to the next turn ([`super::policy::begin_turn`]).

use std::sync::Arc;

use dataflow_model::{Cause, TestReport};

use super::{Problem, Rotated, State, act::why, all_at_once, policy::Policy, rotate_as, second_login, settle, tell};
use crate::{
    app::App,
    clock::{DAY, SECOND},
    error::{Error, Result},
    ops::{
        access::Caller,
        connections::Precondition,
        rows::{Sealed as _, uuid},
        versions::json,
    },
    store::{self, RotationPolicyRow, SecondLoginRow},
};

/// Rotations that one look begins: fewer than a workspace has places for tests, of which people want some.
const AT_ONCE: i64 = 3;
/// How long it is before a rotation is tried again that was not possible. Then hourly, and after a day no more in this turn.
const FIRST_PAUSE: i64 = 900 * SECOND;
const PAUSE: i64 = 3_600 * SECOND;
/// The last of them, 23 and a quarter hours after the first.
const TRIES: i64 = 25;
/// The same where tests keep every place: no fault of the database's, so that it counts for no try.
const WHERE_FULL: i64 = 60 * SECOND;

/// Begins what is due, and waits for it; how many turns were taken. One that the store did not give is none: whoever asked again at once would do
/// so as fast as he can for as long as that lasts.
pub async fn rotate_due(app: &Arc<App>) -> Result<usize> {
    let due = store::due_rotation_policies(&mut app.store.read().await?, app.clock.now(), AT_ONCE).await?;
    let turn = |app: Arc<App>, row: RotationPolicyRow| async move {
        let id = row.connection_id.clone();
        (id, Box::pin(take_turn(&app, row)).await)
    };
    Ok(all_at_once(app, due, "take a turn to rotate", turn).await)
}

/// When a turn is tried again that is tried for the `tries`th time now; nothing where it is given up.
fn again(tries: i64, now: i64) -> Option<i64> {
    match tries {
        ..=1 => Some(now + FIRST_PAUSE),
        2..TRIES => Some(now + PAUSE),
        _ => None,
    }
}

async fn take_turn(app: &Arc<App>, before: RotationPolicyRow) -> Result<()> {
    let now = app.clock.now();
    let checked = before.clone().checked(&app.vault);
    let next_turn = match &checked {
        // Its turn is a day old by then.
        Ok(row) => Policy::of(row).first(now, now - DAY, uuid(&row.connection_id)?),
        Err(_) => None,
    };
    let (next_at, tries) = match again(before.tries + 1, now) {
        Some(next_at) => (next_at, before.tries + 1),
        None => (next_turn.unwrap_or(now + PAUSE), 0),
    };
    let taken = RotationPolicyRow { next_at: Some(next_at), tries, tried_at: Some(now), ..before.clone() };
    if !moved(app, &taken, before.next_at).await? {
        return Ok(());
    }
    let is_sound = checked.is_ok();
    let attempt = async { rotate_by(app, &checked?).await };
    let problem = match Box::pin(attempt).await {
        Ok(Rotated { state: State::Rotated, .. }) => {
            tracing::info!(connection.id = before.connection_id, "a password was rotated on schedule");
            return Ok(());
        }
        // Whatever it came to, it has its event.
        Ok(Rotated { set, test, .. }) => {
            let second = store::second_login(&mut app.store.read().await?, &before.connection_id).await?;
            reported((set.as_ref(), test.as_ref()), second.as_ref())
        }
        Err(Error::TooManyRequests(_) | Error::TooFast(..)) => {
            let row = RotationPolicyRow { next_at: Some(now + WHERE_FULL), ..before };
            moved(app, &row, taken.next_at).await?;
            return Ok(());
        }
        Err(error) => {
            let (_, code, ..) = error.describe();
            let cause = error.cause().map(|cause| format!("{cause:#}")).unwrap_or_default();
            let (id, code) = (before.connection_id.as_str(), code.as_str());
            tracing::warn!(connection.id = id, error.code = code, error.cause = cause, "a password was not rotated on schedule");
            // Of a row that was bent nobody knows whose name is in it. A login that is just about to be retired is so by the next try.
            let first = i64::from(matches!(error, Error::LoginNotRetired(_)));
            if before.tries == first && is_sound {
                tell_refused(app, &before, code).await?;
            }
            in_words(&error)
        }
    };
    let row = RotationPolicyRow { problem: Some(json(&problem)?), ..taken.clone() };
    moved(app, &row, taken.next_at).await?;
    Ok(())
}

/// What a refusal says of it.
fn in_words(error: &Error) -> Problem {
    let (_, _, message, hint) = error.describe();
    let message = match error {
        Error::Invalid(errors) => {
            let told: Vec<_> = errors.iter().map(|error| format!("The {} {}.", error.field, error.message)).collect();
            told.join(" ")
        }
        _ => message,
    };
    Problem { message, hint: hint.to_owned(), is_refused: false }
}

async fn moved(app: &App, row: &RotationPolicyRow, before: Option<i64>) -> Result<bool> {
    let mut write = app.store.write().await?;
    let moved = store::move_rotation_turn(&mut write, row, before).await?;
    write.commit_quietly().await?;
    Ok(moved)
}

/// What a rotation that came to nothing says of it.
fn reported((set, test): (Option<&TestReport>, Option<&TestReport>), second: Option<&SecondLoginRow>) -> Problem {
    let error = [test, set].into_iter().flatten().find_map(why);
    let taken_over = || {
        let (message, hint) = ("Another node went on with it.", "What it came to stands in the activity of the connection.");
        (message.to_owned(), hint.to_owned())
    };
    let (message, hint) = error.map_or_else(taken_over, |error| (error.message.clone(), error.hint.clone()));
    let is_refused = error.is_some_and(|error| error.code == Cause::CredentialsRefused);
    let hint = second.filter(|_| is_refused).map_or(hint, |second| second_login::give_again(&second.username));
    Problem { message, hint, is_refused }
}

/// Who rotates by a policy, as events and versions name him. He may do nothing: that the policy is set says that it may be done.
async fn caller(app: &App, row: &RotationPolicyRow) -> Result<(Arc<crate::app::Workspace>, Caller)> {
    let workspace = store::workspace(&mut app.store.read().await?, &row.workspace_id).await?;
    let name = workspace.ok_or(Error::NotFound("workspace"))?.name;
    let workspace = app.workspace(&name).await?.ok_or(Error::NotFound("workspace"))?;
    let (label, identity) = (format!("schedule (set by {})", row.set_by), format!("schedule {}", row.set_by_id));
    let caller = settle::stand_in((&label, &identity), &workspace);
    Ok((workspace, caller))
}

async fn rotate_by(app: &Arc<App>, row: &RotationPolicyRow) -> Result<Rotated> {
    let (workspace, caller) = caller(app, row).await?;
    let connection = store::connection_by_id(&mut app.store.read().await?, &row.connection_id).await?;
    let name = connection.ok_or(Error::NotFound("connection"))?.checked(&app.vault)?.name;
    rotate_as(app, &caller, &workspace, &name, &Precondition::Any).await
}

/// Leaves the event of a rotation that was refused before it began, once in each turn.
async fn tell_refused(app: &App, row: &RotationPolicyRow, code: &str) -> Result<()> {
    let (_, caller) = caller(app, row).await?;
    let mut write = app.store.write().await?;
    let connection = store::connection_by_id(&mut write, &row.connection_id).await?.ok_or(Error::NotFound("connection"))?;
    let detail = serde_json::json!({"version": connection.version, "step": "refused", "cause": code});
    tell(app, &caller, &mut write, (&connection, "connection.rotation_failed", detail)).await?;
    Ok(write.commit_quietly().await?)
}
