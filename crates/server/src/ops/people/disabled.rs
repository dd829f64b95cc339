//! Disabling people everywhere, and letting them in again.

use uuid::Uuid;

use super::{held_person, known_row, read_email, update_person};
use crate::{
    app::App,
    audit::{self, Event},
    error::{Error, Result},
    ops::{
        access::{Action, Caller, Who, authorise},
        claims::leave,
        idempotency::begin,
        rows::{Sealed as _, uuid},
        tokens,
    },
    store::{self, PersonRow, Write},
};

/// Disables a person or enables him again, in all workspaces at once: for who may manage people wherever he is. While he is disabled he
/// cannot sign in, and his tokens do not work; his sessions end for good.
///
/// An account that was bent in the store is emptied for good: see [`empty`].
pub async fn set_disabled(app: &App, caller: &Caller, workspace: &str, email: &str, disabled: bool) -> Result<()> {
    let workspace = authorise(app, caller, workspace, Action::ManagePeople).await?;
    let email = read_email(email).map_err(|_| Error::NotFound("person"))?;
    let mut write = begin(app, caller).await?;
    if disabled {
        hold_owners(&mut write).await?;
    }
    let workspace_id = workspace.id.to_string();
    let row = loop {
        let row = known_row(&mut write, caller, (&workspace_id, &email)).await?.ok_or(Error::NotFound("person"))?;
        if store::hold_person(&mut write, &row.id, &row.mac).await? {
            break row;
        }
    };
    let person = match row.clone().checked(&app.vault) {
        Err(_) if disabled => {
            empty(app, caller, &mut write, (row, workspace.id)).await?;
            write.commit().await?;
            return Ok(());
        }
        person => person?,
    };
    let (mut places, mut is_here) = (Vec::new(), person.is_owner);
    for member in store::memberships(&mut write, &person.id).await? {
        is_here |= member.workspace_id == workspace_id;
        // One that was bent makes nobody a member, and somebody else's workspace no concern of his.
        if let Ok(member) = member.checked(&app.vault) {
            places.push(uuid(&member.workspace_id)?);
        }
    }
    if !is_here {
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

/// Puts a disabled account that nothing opens and that has nothing in the place of one that was bent in the store. What stands in that row
/// may be somebody else's: its address beside the rights of another, or an owner's mark. So nothing of it gets a MAC again but the address,
/// by which he may be enabled and given roles as anybody else. An owner does it: the account is the server's.
async fn empty(app: &App, caller: &Caller, write: &mut Write, (row, workspace_id): (PersonRow, Uuid)) -> Result<()> {
    if !caller.is_owner() {
        return Err(Error::OwnersOnly("disable an account that was changed in the store outside of this program"));
    }
    refuse_last_admin(app, write, &PersonRow { is_owner: true, ..row.clone() }).await?;
    for workspace in store::workspaces(write).await? {
        if !leave(app, caller, write, (&workspace.id, &row.id)).await? {
            tokens::revoke_of_person(app, caller, write, (&workspace.id, &row.id)).await?;
        }
    }
    store::delete_identities_of(write, &row.id).await?;
    store::delete_links_of(write, &row.id).await?;
    let person = PersonRow { email: row.email_key.clone(), password_hash: String::new(), is_owner: false, ..row };
    put_disabled(app, caller, write, (person, Some(workspace_id), true)).await
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
