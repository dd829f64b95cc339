//! Disabling people everywhere, and letting them in again.

use uuid::Uuid;

use super::{held_person, known_person, read_email, update_person};
use crate::{
    app::App,
    audit::{self, Event},
    error::{Error, Result},
    ops::{
        access::{Action, Caller, Who, authorise},
        idempotency::begin,
        rows::{Sealed as _, uuid},
    },
    store::{self, PersonRow, Write},
};

/// Disables a person or enables him again, in all workspaces at once: for who may manage people wherever he is. While he is disabled he
/// cannot sign in, and his tokens do not work; his sessions end for good.
pub async fn set_disabled(app: &App, caller: &Caller, workspace: &str, email: &str, disabled: bool) -> Result<()> {
    let workspace = authorise(app, caller, workspace, Action::ManagePeople).await?;
    let email = read_email(email).map_err(|_| Error::NotFound("person"))?;
    let mut write = begin(app, caller).await?;
    if disabled {
        hold_owners(&mut write).await?;
    }
    let workspace_id = workspace.id.to_string();
    let person = loop {
        let person = known_person(app, &mut write, caller, (&workspace_id, &email)).await?.ok_or(Error::NotFound("person"))?;
        if store::hold_person(&mut write, &person.id, &person.mac).await? {
            break person;
        }
    };
    let mut places = Vec::new();
    for member in store::memberships(&mut write, &person.id).await? {
        places.push(uuid(&member.checked(&app.vault)?.workspace_id)?);
    }
    if !person.is_owner && !places.contains(&workspace.id) {
        return Err(Error::NotFound("person"));
    }
    if person.is_owner && !caller.is_owner() {
        return Err(Error::OwnersOnly("disable another owner"));
    }
    if !places.iter().all(|place| caller.may(Action::ManagePeople, *place)) {
        return Err(Error::Forbidden("disable somebody who is in other workspaces, too"));
    }
    if disabled {
        refuse_last_admin(app, &mut write, &person).await?;
        if caller.person_id().is_some_and(|own| own.to_string() == person.id) {
            return Err(Error::NoRole("Nobody may disable himself; nothing was changed.", "Ask another admin to do it."));
        }
    }
    put_disabled(app, caller, &mut write, (person, Some(workspace.id), disabled)).await?;
    write.commit().await?;
    Ok(())
}

/// Enables a person again, wherever he is. From a shell alone: the way back in where nobody is left who may enable him.
pub async fn enable_from_shell(app: &App, caller: &Caller, email: &str) -> Result<()> {
    if !matches!(caller.who, Who::Shell) {
        return Err(Error::OwnersOnly("enable somebody in all workspaces"));
    }
    let email = read_email(email).map_err(|_| Error::NotFound("person"))?;
    let mut write = begin(app, caller).await?;
    let person = held_person(app, &mut write, &email).await?;
    put_disabled(app, caller, &mut write, (person, None, false)).await?;
    write.commit().await?;
    Ok(())
}

pub(super) async fn put_disabled(
    app: &App,
    caller: &Caller,
    write: &mut Write,
    (person, workspace_id, disabled): (PersonRow, Option<Uuid>, bool),
) -> Result<()> {
    let now = app.clock.now();
    let before = person.mac.clone();
    let person = PersonRow { disabled_at: disabled.then_some(now), ..person }.sealed(&app.vault);
    update_person(write, &person, &before).await?;
    store::delete_sessions_of(write, &person.id).await?;
    let event = Event {
        at: now,
        workspace_id: workspace_id.map(|id| id.to_string()),
        action: if disabled { "person.disable" } else { "person.enable" },
        object: &person.email,
        detail: serde_json::json!({}),
    };
    audit::record(write, &app.vault, caller, event).await?;
    app.caches.forget_tokens(write);
    Ok(())
}

/// An owner may do everything everywhere; without one who can sign in nobody could manage the server.
pub(super) async fn refuse_last_admin(app: &App, write: &mut Write, person: &PersonRow) -> Result<()> {
    let others = store::enabled_owners(write).await?.into_iter().filter(|other| other.id != person.id);
    let is_last = person.is_owner && !others.map(|other| other.checked(&app.vault)).any(|other| other.is_ok());
    if is_last { Err(Error::LastAdmin) } else { Ok(()) }
}

/// Keeps every owner who is not disabled as he is until this write ends: of two who disable each other at once, the second finds himself
/// the last. Everybody takes them in one order, by id, and the change clock after them: taken before, as
/// [`crate::store::Store::write_alone`] does, it would be waited for by whoever holds an owner already, and both would wait for ever.
async fn hold_owners(write: &mut Write) -> Result<()> {
    'again: loop {
        for owner in store::enabled_owners(write).await? {
            if !store::hold_person(write, &owner.id, &owner.mac).await? {
                continue 'again;
            }
        }
        return Ok(());
    }
}
