//! People: accounts, and members of a workspace.

mod disabled;

use std::collections::BTreeMap;

use dataflow_model::{FieldError, Secret};
use dataflow_vault::random_uuid;

pub use self::disabled::{enable_from_shell, set_disabled};
use self::disabled::{put_disabled, refuse_last_admin};

use super::{
    access::{Action, Caller, Roles, Who, authorise},
    claims::{claimed_roles, leave, roles_of},
    idempotency::begin,
    links::{LinkKind, OneTimeLink, insert_link},
    paging::{Page, Paging},
    rows::{Sealed as _, taken},
    second_look,
    sessions::{Device, as_caller, begin_session},
};
use crate::{
    app::App,
    audit::{self, Event},
    error::{Error, Result},
    store::{self, Handle, MemberRow, PersonRow, Write},
};

/// Fewest and most characters of a password.
pub const PASSWORD_MIN: usize = 10;
pub const PASSWORD_MAX: usize = 1000;
/// Longest e-mail address, in characters: what RFC 5321 (section 4.5.3.1.3) lets a path have, less the angle brackets.
pub const EMAIL_MAX: usize = 254;

/// What of a member was changed in the store outside of this program. It grants nothing, and stays in the way until somebody takes it away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Altered {
    Account,
    /// His being in this workspace.
    Membership,
}

/// A member of a workspace, as admins see him.
#[derive(Debug)]
pub struct Member {
    pub person: PersonRow,
    pub altered: Option<Altered>,
    /// Or else he is listed as an owner.
    pub is_member: bool,
    /// Those given by hand; all of an owner, and none of what was altered.
    pub roles: Roles,
    /// Those that the sign-in provider gives him.
    pub claimed_roles: Roles,
    /// Whether he can sign in with the provider.
    pub is_linked: bool,
}

/// A page of a workspace's members, by e-mail. Owners who are no members are listed too: they may do everything there.
pub async fn members(app: &App, caller: &Caller, workspace: &str, paging: &Paging) -> Result<Page<Member>> {
    let workspace = authorise(app, caller, workspace, Action::SeePeople).await?;
    let workspace_id = workspace.id.to_string();
    let after = paging.after()?.map(|(email_key, _)| email_key).unwrap_or_default();
    let mut read = app.store.read().await?;
    let people = store::people_of(&mut read, &workspace_id, &after, paging.rows_to_read()?).await?;
    let mut memberships = BTreeMap::new();
    for member in store::members(&mut read, &workspace_id).await? {
        let id = member.person_id.clone();
        let sound = member.checked(&app.vault).ok();
        memberships.insert(id, sound.map(|member| (Roles::parse(&member.roles), Roles::parse(&member.claimed_roles))));
    }
    let linked = store::linked_people(&mut read, &workspace_id).await?;
    let page = paging.page(people, |person| (person.email_key.clone(), String::new()))?;
    Ok(page.map(|person| {
        let membership = memberships.get(&person.id).copied();
        let altered = match membership {
            _ if person.clone().checked(&app.vault).is_err() => Some(Altered::Account),
            Some(None) => Some(Altered::Membership),
            _ => None,
        };
        let (by_hand, claimed_roles) = membership.flatten().filter(|_| altered.is_none()).unwrap_or_default();
        let roles = if person.is_owner && altered.is_none() { Roles::all() } else { by_hand };
        let is_linked = linked.contains(&person.id);
        Member { altered, is_member: membership.is_some(), roles, claimed_roles, is_linked, person }
    }))
}

/// Gives a person roles in a workspace, and takes from his tokens there what he has no more; someone new gets an account and a one-time
/// link to choose a password.
///
/// Accounts are the server's: who is not in the workspace yet is added by an owner or a shell, so that an admin of one workspace neither
/// holds the first password of somebody whom others will trust, nor learns who has an account elsewhere.
pub async fn put_member(app: &App, caller: &Caller, workspace: &str, email: &str, roles: Roles) -> Result<Option<OneTimeLink>> {
    let workspace = authorise(app, caller, workspace, Action::ManagePeople).await?;
    let email = read_email(email)?;
    let now = app.clock.now();
    let mut write = begin(app, caller).await?;
    let existing = match known_person(app, &mut write, caller, (&workspace.id.to_string(), &email)).await? {
        Some(person) => Some(hold_unchanged(app, &mut write, &person).await?.ok_or(Error::VersionConflict)?),
        None => None,
    };
    let claimed_roles = match &existing {
        Some(person) => claimed_roles(app, &mut write, &person.id, &workspace.id.to_string()).await?,
        None => String::new(),
    };
    if roles.is_empty() && claimed_roles.is_empty() {
        return Err(Error::Invalid(vec![FieldError::new(
            "roles",
            "required",
            "must name at least one of viewer, user, editor, admin",
        )]));
    }
    if !caller.is_owner() && !is_member(app, &mut write, &workspace.id.to_string(), existing.as_ref()).await? {
        return Err(Error::OwnersOnly("add somebody who is not in this workspace"));
    }
    let (person, link) = if let Some(person) = existing {
        (person, None)
    } else {
        let new = NewPerson { email: &email, password_hash: String::new(), is_owner: false };
        let person = insert_person(app, Some(caller), &mut write, new).await?;
        let link = insert_link(app, &mut write, LinkKind::Password, Some(&person)).await?;
        (person, Some(link))
    };
    let row = MemberRow {
        workspace_id: workspace.id.to_string(),
        person_id: person.id.clone(),
        roles: roles.to_string(),
        claimed_roles,
        added_at: now,
        added_by: caller.label().into_owned(),
        mac: Vec::new(),
    };
    store::put_member(&mut write, &row.sealed(&app.vault)).await?;
    let event = Event {
        at: now,
        workspace_id: Some(workspace.id.to_string()),
        action: "member.put",
        object: &person.email,
        detail: serde_json::json!({"roles": roles.to_string()}),
    };
    audit::record(&mut write, &app.vault, caller, event).await?;
    app.caches.forget_tokens(&mut write);
    write.commit().await?;
    Ok(link)
}

/// The person with this e-mail, as far as the caller may know of him: an owner of all, and whoever else of those in his workspace, and of owners.
/// Whether anybody else has an account neither the answer tells nor the time that it takes.
async fn known_person(app: &App, handle: &mut impl Handle, caller: &Caller, who: (&str, &str)) -> Result<Option<PersonRow>> {
    known_row(handle, caller, who).await?.map(|person| person.checked(&app.vault)).transpose()
}

/// The same, be the row sound or not: for what only takes away.
async fn known_row(handle: &mut impl Handle, caller: &Caller, (workspace_id, email): (&str, &str)) -> Result<Option<PersonRow>> {
    let email_key = email.to_lowercase();
    Ok(if caller.is_owner() {
        store::person_by_email(handle, &email_key).await?
    } else {
        store::person_in(handle, workspace_id, &email_key).await?
    })
}

/// Whether he is in the workspace, and stays in it until this write ends.
async fn is_member(app: &App, write: &mut Write, workspace_id: &str, person: Option<&PersonRow>) -> Result<bool> {
    let Some(person) = person else { return Ok(false) };
    if !store::hold_member(write, workspace_id, &person.id).await? {
        return Ok(false);
    }
    let memberships = store::memberships(write, &person.id).await?;
    let member = memberships.into_iter().find(|member| member.workspace_id == workspace_id);
    member.map(|member| member.checked(&app.vault)).transpose().map(|member| member.is_some())
}

/// What a person may do in a workspace now: nothing while he is disabled or no member; everything if he is an owner.
pub(super) async fn current_roles(app: &App, handle: &mut impl Handle, person_id: &str, workspace_id: &str) -> Result<Roles> {
    let Some(person) = store::person(handle, person_id).await? else { return Ok(Roles::NONE) };
    let person = person.checked(&app.vault)?;
    if person.disabled_at.is_some() {
        return Ok(Roles::NONE);
    }
    if person.is_owner {
        return Ok(Roles::all());
    }
    let memberships = store::memberships(handle, person_id).await?;
    let Some(member) = memberships.into_iter().find(|member| member.workspace_id == workspace_id) else { return Ok(Roles::NONE) };
    Ok(roles_of(&member.checked(&app.vault)?))
}

/// Takes a person out of a workspace, and revokes the tokens that he stands behind there. The account stays.
pub async fn remove_member(app: &App, caller: &Caller, workspace: &str, email: &str) -> Result<()> {
    let workspace = authorise(app, caller, workspace, Action::ManagePeople).await?;
    let email = read_email(email).map_err(|_| Error::NotFound("person"))?;
    let mut write = begin(app, caller).await?;
    let person = known_row(&mut write, caller, (&workspace.id.to_string(), &email)).await?.ok_or(Error::NotFound("person"))?;
    // By a row that was bent nobody is an admin, and by claims that were nobody comes back.
    if let Ok(person) = person.clone().checked(&app.vault) {
        refuse_last_admin(app, &mut write, &person).await?;
    }
    let claimed = match claimed_roles(app, &mut write, &person.id, &workspace.id.to_string()).await {
        Err(Error::SecretUnreadable(_)) => String::new(),
        claimed => claimed?,
    };
    // Without a provider nobody does, either.
    if app.oidc.is_some() && !claimed.is_empty() {
        return Err(Error::NoRole(
            "The sign-in provider gives this person roles here, and would give them again; nothing was changed.",
            "Have them taken away at the provider, or disable the account.",
        ));
    }
    if !leave(app, caller, &mut write, (&workspace.id.to_string(), &person.id)).await? {
        return Err(Error::NotFound("person"));
    }
    let event = Event {
        at: app.clock.now(),
        workspace_id: Some(workspace.id.to_string()),
        action: "member.remove",
        object: &person.email,
        detail: serde_json::json!({}),
    };
    audit::record(&mut write, &app.vault, caller, event).await?;
    write.commit().await?;
    Ok(())
}

/// Gives a person who is locked out another password: from a shell alone. His sessions and links end, and nobody's failures to guess the
/// old one keep him from signing in at this node.
///
/// # Errors
/// `NoRole` if he is disabled and is not to be enabled, too.
pub async fn reset(app: &App, caller: &Caller, email: &str, password: &Secret, enable: bool) -> Result<()> {
    if !matches!(caller.who, Who::Shell) {
        return Err(Error::OwnersOnly("give somebody another password"));
    }
    let email = read_email(email).map_err(|_| Error::NotFound("person"))?;
    check_password(password)?;
    let password_hash = app.passwords.hash(password).await?;
    let mut write = begin(app, caller).await?;
    let person = held_person(app, &mut write, &email).await?;
    let disabled = person.disabled_at.is_some();
    if disabled && !enable {
        return Err(Error::NoRole(
            "This person is disabled, and would not be let in with another password either; nothing was changed.",
            "Give --enable to let the person in again, too.",
        ));
    }
    let person = set_password(app, &mut write, Some(caller), person, password_hash).await?;
    if disabled {
        put_disabled(app, caller, &mut write, (person, None, false)).await?;
    }
    write.commit().await?;
    app.attempts.forget(&email.to_lowercase());
    Ok(())
}

/// The person with this e-mail, who stays as he is until this write ends.
async fn held_person(app: &App, write: &mut Write, email: &str) -> Result<PersonRow> {
    loop {
        let person = store::person_by_email(write, &email.to_lowercase()).await?;
        let person = person.ok_or(Error::NotFound("person"))?.checked(&app.vault)?;
        if store::hold_person(write, &person.id, &person.mac).await? {
            return Ok(person);
        }
    }
}

/// The row of a person that was read before, who stays as he is until this write ends; nothing if he is no longer as he was. That a rotation
/// of the keys gave the row another MAC is no change.
pub(super) async fn hold_unchanged(app: &App, write: &mut Write, person: &PersonRow) -> Result<Option<PersonRow>> {
    let mut now = person.clone();
    while !store::hold_person(write, &now.id, &now.mac).await? {
        let Some(row) = store::person(write, &person.id).await? else { return Ok(None) };
        now = row.checked(&app.vault)?;
        if now.parts() != person.parts() {
            return Ok(None);
        }
    }
    Ok(Some(now))
}

/// A person to be made.
pub(super) struct NewPerson<'p> {
    pub email: &'p str,
    /// Empty: no password opens the account until a link sets one.
    pub password_hash: String,
    pub is_owner: bool,
}

/// Makes an account; nobody as `caller` means that he came by himself, with the sign-in provider.
pub(super) async fn insert_person(
    app: &App,
    caller: Option<&Caller>,
    write: &mut Write,
    new: NewPerson<'_>,
) -> Result<PersonRow> {
    let now = app.clock.now();
    let row = PersonRow {
        id: random_uuid().to_string(),
        email_key: new.email.to_lowercase(),
        email: new.email.to_owned(),
        password_hash: new.password_hash,
        is_owner: new.is_owner,
        disabled_at: None,
        created_at: now,
        created_by: caller.map_or_else(|| new.email.to_owned(), |caller| caller.label().into_owned()),
        mac: Vec::new(),
    }
    .sealed(&app.vault);
    store::insert_person(write, &row).await.map_err(taken(&row.email))?;
    let event = Event {
        at: now,
        workspace_id: None,
        action: "person.create",
        object: &row.email,
        detail: serde_json::json!({"owner": row.is_owner}),
    };
    let himself = as_caller(&row)?;
    audit::record(write, &app.vault, caller.unwrap_or(&himself), event).await?;
    Ok(row)
}

/// Changes the caller's own password, and begins the one session that is left to him. His tokens stay.
///
/// # Errors
/// `Invalid` at the field `own_password` or `password`.
pub async fn change_own_password(
    app: &App,
    caller: &Caller,
    device: &Device,
    (own_password, password): (&Secret, &Secret),
) -> Result<Secret> {
    let Who::Person(person) = &caller.who else { return Err(Error::Forbidden("change a password")) };
    check_password(password)?;
    let person = second_look::each_time(app, caller, person, own_password).await?;
    let password_hash = app.passwords.hash(password).await?;
    let mut write = begin(app, caller).await?;
    let person = set_password(app, &mut write, None, person, password_hash).await?;
    let session = begin_session(app, &mut write, &person, device).await?;
    write.commit_quietly().await?;
    Ok(session)
}

/// Gives a person another password, and ends all that the old one opened: his sessions, and his links. He did so himself unless `by` says who.
pub(super) async fn set_password(
    app: &App,
    write: &mut Write,
    by: Option<&Caller>,
    person: PersonRow,
    password_hash: String,
) -> Result<PersonRow> {
    let person = hold_unchanged(app, write, &person).await?.ok_or(Error::VersionConflict)?;
    let before = person.mac.clone();
    let person = PersonRow { password_hash, ..person }.sealed(&app.vault);
    update_person(write, &person, &before).await?;
    store::delete_sessions_of(write, &person.id).await?;
    store::delete_links_of(write, &person.id).await?;
    let event = Event {
        at: app.clock.now(),
        workspace_id: None,
        action: "person.password",
        object: &person.email,
        detail: serde_json::json!({}),
    };
    let himself = as_caller(&person)?;
    audit::record(write, &app.vault, by.unwrap_or(&himself), event).await?;
    Ok(person)
}

/// Writes what changed of a person, unless his row is another one since it was read with the MAC `before`.
async fn update_person(write: &mut Write, person: &PersonRow, before: &[u8]) -> Result<()> {
    if store::update_person(write, person, before).await? { Ok(()) } else { Err(Error::VersionConflict) }
}

pub(super) fn read_email(email: &str) -> Result<String> {
    let email = email.trim();
    if email.chars().count() > EMAIL_MAX {
        let message = format!("must have at most {EMAIL_MAX} characters");
        return Err(Error::Invalid(vec![FieldError::new("email", "too_long", message)]));
    }
    let plausible = email.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'));
    if !plausible || email.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Error::Invalid(vec![FieldError::new("email", "invalid", "must be an e-mail address")]));
    }
    Ok(email.to_owned())
}

pub(super) fn check_password(password: &Secret) -> Result<()> {
    let code = match password.expose_secret().chars().count() {
        0..PASSWORD_MIN => "too_short",
        PASSWORD_MIN..=PASSWORD_MAX => return Ok(()),
        _ => "too_long",
    };
    let message = format!("must have from {PASSWORD_MIN} to {PASSWORD_MAX} characters");
    Err(Error::Invalid(vec![FieldError::new("password", code, message)]))
}
