//! The second look: whether it is still the person himself who asks in an open session, before what grants or directs something.
//!
//! Which acts take one stands in the tables of [`super::access`] and [`super::owners`]. Tokens and shells take none: a token was made after one and ends by
//! itself, and who is in a shell on this machine is the operating system's to say.

use std::sync::Arc;

use dataflow_model::{FieldError, Secret};

use super::{
    access::{Action, Caller, OpenSession, Person, Who},
    rows::{Sealed as _, refused},
    sessions::verify,
};
use crate::{
    app::{App, Workspace},
    audit::{self, Event},
    clock::SECOND,
    error::{Error, Result},
    store::{self, PersonRow, SessionRow},
};

/// For how long it counts that a person has shown who he is: some acts one after another, each read before it is sent.
pub const CONFIRMED_FOR: i64 = 10 * 60 * SECOND;
/// The same for what takes a look each time, where somebody without a password shows at the sign-in provider who he is: as long as it takes to
/// come back from there. It counts once.
pub const CONFIRMED_FOR_ONE: i64 = 2 * 60 * SECOND;

/// The person and his session, if what he asks for takes his password now.
fn due<'c>(app: &App, caller: &'c Caller) -> Option<(&'c Arc<Person>, Option<&'c OpenSession>)> {
    let Who::Person(person) = &caller.who else { return None };
    let session = person.session.as_ref();
    (!is_confirmed(app, session, CONFIRMED_FOR)).then_some((person, session))
}

fn is_confirmed(app: &App, session: Option<&OpenSession>, within: i64) -> bool {
    let confirmed_at = session.and_then(|session| session.confirmed_at);
    confirmed_at.is_some_and(|at| (0..=within).contains(&(app.clock.now() - at)))
}

/// Lets the caller do what takes a second look. Takes as long as hashing a password where he gave his: call it with no transaction open.
///
/// # Errors
/// `SecondLook` where he has to give his own password, `WrongOwnPassword` where he gave another, and those of [`given`].
pub(super) async fn required(app: &App, caller: &Caller) -> Result<()> {
    if due(app, caller).is_none() {
        return Ok(());
    }
    // Boxed: it is rare, and its many states would be moved about with every request.
    if Box::pin(given(app, caller)).await? { Ok(()) } else { Err(Error::SecondLook) }
}

/// Whether the caller may do what takes a second look, for acts that find out later whether they take one. A password that he gave counts
/// for his session from now on.
///
/// # Errors
/// `WrongOwnPassword`, audited; `TooManyAttempts` as for signing in; `Unauthenticated` if his session has ended meanwhile.
pub(super) async fn given(app: &App, caller: &Caller) -> Result<bool> {
    let Some((person, session)) = due(app, caller) else { return Ok(true) };
    let (Some(session), Some(password)) = (session, &caller.own_password) else { return Ok(false) };
    if check(app, caller, person, password).await?.is_none() {
        return Err(Error::WrongOwnPassword);
    }
    confirm(app, caller, session).await?;
    Ok(true)
}

/// Asks whatever was given before, for what takes the password each time, and gives the person's row.
///
/// # Errors
/// `Invalid` at the field `own_password` if it is not his password, in the same time whether he has one or not; `TooManyAttempts` as for
/// signing in.
pub(super) async fn each_time(app: &App, caller: &Caller, person: &Person, own_password: &Secret) -> Result<PersonRow> {
    let wrong = || Error::Invalid(vec![FieldError::new("own_password", "wrong", "is not the one that you sign in with")]);
    check(app, caller, person, own_password).await?.ok_or_else(wrong)
}

/// Whether the secrets that a change keeps may be sent elsewhere: for an admin who typed his password with it, or has none and showed just now at
/// the provider who he is; then [`use_up`] has to follow. No transaction is open.
///
/// # Errors
/// Those of [`each_time`]; `SecondLook` where he has to show it there.
pub(super) async fn may_carry(app: &App, caller: &Caller, workspace: &Workspace, own_password: Option<&Secret>) -> Result<bool> {
    match (own_password, &caller.who) {
        (Some(_), Who::Person(person)) if !person.has_password && caller.may(Action::CarrySecrets, workspace.id) => {
            let is_shown = is_confirmed(app, person.session.as_ref(), CONFIRMED_FOR_ONE);
            if is_shown { Ok(true) } else { Err(Error::SecondLook) }
        }
        (Some(password), Who::Person(person)) if caller.may(Action::CarrySecrets, workspace.id) => {
            each_time(app, caller, person, password).await?;
            if let Some(session) = &person.session {
                confirm(app, caller, session).await?;
            }
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// Has what somebody without a password showed at the provider count no more, in the transaction of what it counted for.
///
/// # Errors
/// `SecondLook` if another act has used it up.
pub(super) async fn use_up(app: &App, write: &mut store::Write, caller: &Caller) -> Result<()> {
    let Who::Person(person) = &caller.who else { return Ok(()) };
    let Some(session) = person.session.as_ref().filter(|_| !person.has_password) else { return Ok(()) };
    loop {
        let row = store::session(write, &session.hash).await?.ok_or(Error::Unauthenticated)?;
        let row = row.checked(&app.vault).map_err(|error| refused("session", &person.id.to_string(), &error))?;
        if row.confirmed_at != session.confirmed_at {
            return Err(Error::SecondLook);
        }
        let before = row.mac.clone();
        let row = SessionRow { confirmed_at: None, ..row }.sealed(&app.vault);
        if store::update_session(write, &row, &before).await? {
            return Ok(());
        }
    }
}

/// The person's row, if that is his password. If not, the audit says so.
async fn check(app: &App, caller: &Caller, person: &Person, own_password: &Secret) -> Result<Option<PersonRow>> {
    let row = store::person(&mut app.store.read().await?, &person.id.to_string()).await?;
    let row = row.filter(|row| row.disabled_at.is_none()).map(|row| row.checked(&app.vault)).transpose()?;
    let row = verify(app, (caller.address, &person.email.to_lowercase()), row, own_password).await?;
    if row.is_none() {
        let mut write = app.store.write().await?;
        record(app, &mut write, caller, "person.confirm_failed").await?;
        write.commit_quietly().await?;
    }
    Ok(row)
}

/// Writes that the person of a session has shown now that it is he.
async fn confirm(app: &App, caller: &Caller, session: &OpenSession) -> Result<()> {
    let mut write = app.store.write().await?;
    confirm_in(app, &mut write, caller, &session.hash).await?;
    write.commit_quietly().await?;
    Ok(())
}

/// The same in a transaction of more, for a session by its hash.
///
/// # Errors
/// `Unauthenticated` if it has ended, or is not the caller's.
pub(super) async fn confirm_in(app: &App, write: &mut store::Write, caller: &Caller, session: &[u8]) -> Result<()> {
    let own = caller.person_id().map(|id| id.to_string());
    loop {
        // A new password, or an admin, ends sessions.
        let row = store::session(write, session).await?.filter(|row| own.as_ref() == Some(&row.person_id));
        let row = row.ok_or(Error::Unauthenticated)?;
        let person_id = row.person_id.clone();
        let row = row.checked(&app.vault).map_err(|error| refused("session", &person_id, &error))?;
        let before = row.mac.clone();
        let row = SessionRow { confirmed_at: Some(app.clock.now()), ..row }.sealed(&app.vault);
        if store::update_session(write, &row, &before).await? {
            break;
        }
    }
    record(app, write, caller, "person.confirm").await
}

async fn record(app: &App, write: &mut store::Write, caller: &Caller, action: &'static str) -> Result<()> {
    let (object, detail) = (caller.label(), serde_json::json!({}));
    let event = Event { at: app.clock.now(), workspace_id: None, action, object: &object, detail };
    Ok(audit::record(write, &app.vault, caller, event).await?)
}
