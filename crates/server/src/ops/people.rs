//! People: sign-in, sessions, members of a workspace, one-time links.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context;
use dataflow_model::{FieldError, Secret};
use dataflow_vault::{random_uuid, token};

use super::{
    access::{Action, Caller, Person, Roles, authorise},
    idempotency::begin,
    rows::{Sealed as _, uuid},
};
use crate::{
    app::App,
    audit::{self, Event},
    clock::{DAY, SECOND},
    error::{Error, Result},
    store::{self, LinkRow, MemberRow, PersonRow, SessionRow, StoreError, Write},
};

/// A session ends after this much idleness, and after this much in all.
pub const SESSION_IDLE: i64 = 30 * 60 * SECOND;
pub const SESSION_LONGEST: i64 = 12 * 3600 * SECOND;
/// How often a session's last-seen time is written.
const TOUCH_EVERY: i64 = 60 * SECOND;
/// Fewest and most characters of a password.
pub const PASSWORD_MIN: usize = 10;
pub const PASSWORD_MAX: usize = 1000;

/// A member of a workspace, as admins see him.
#[derive(Debug)]
pub struct Member {
    pub person: PersonRow,
    pub roles: Roles,
}

/// A one-time link's secret part, given once.
#[derive(Debug)]
pub struct OneTimeLink {
    pub code: Secret,
    /// Microseconds UTC.
    pub expires_at: i64,
}

/// What a one-time link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkKind {
    /// Makes the first admin; there is nobody yet.
    Setup,
    /// Signs a person in.
    SignIn,
    /// Lets a person choose a password.
    Password,
}

impl LinkKind {
    const ALL: [Self; 3] = [Self::Setup, Self::SignIn, Self::Password];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::SignIn => "signin",
            Self::Password => "password",
        }
    }
}

/// Checks an e-mail and a password, in the same time whether the person exists or not, and begins a session.
pub async fn sign_in(app: &App, email: &str, password: &Secret) -> Result<Secret> {
    let row = match read_email(email) {
        Ok(email) => store::person_by_email(&mut app.store.read().await?, &email.to_lowercase()).await?,
        Err(_) => None,
    };
    let row = row.filter(|row| row.disabled_at.is_none()).map(|row| row.checked(&app.vault)).transpose()?;
    let stored = row.as_ref().map(|row| row.password_hash.clone());
    let right = app.passwords.verify(password, stored).await?;
    let Some(row) = row.filter(|_| right) else { return Err(Error::Unauthenticated) };
    let mut write = app.store.write().await?;
    let session = begin_session(app, &mut write, &row).await?;
    write.commit().await?;
    Ok(session)
}

/// The person that a session's cookie stands for. Moves the session's idle limit.
pub async fn session(app: &App, cookie: &str) -> Result<Arc<Person>> {
    token::parse(cookie).map_err(|_| Error::Unauthenticated)?;
    let hash = app.vault.token_hash(cookie);
    let mut read = app.store.read().await?;
    let session = store::session(&mut read, &hash).await?.ok_or(Error::Unauthenticated)?.checked(&app.vault)?;
    let now = app.clock.now();
    if now - session.seen_at > SESSION_IDLE || now - session.created_at > SESSION_LONGEST {
        return Err(Error::Unauthenticated);
    }
    let row = store::person(&mut read, &session.person_id).await?.ok_or(Error::Unauthenticated)?.checked(&app.vault)?;
    if row.disabled_at.is_some() {
        return Err(Error::Unauthenticated);
    }
    let mut roles = BTreeMap::new();
    for member in store::memberships(&mut read, &row.id).await? {
        let member = member.checked(&app.vault)?;
        roles.insert(uuid(&member.workspace_id)?, Roles::parse(&member.roles));
    }
    drop(read);
    if now - session.seen_at > TOUCH_EVERY {
        let mut write = app.store.write().await?;
        store::touch_session(&mut write, &hash, now).await?;
        write.commit_quietly().await?;
    }
    Ok(Arc::new(Person { id: uuid(&row.id)?, email: row.email, is_owner: row.is_owner, roles }))
}

/// Ends one session.
pub async fn sign_out(app: &App, cookie: &str) -> Result<()> {
    let mut write = app.store.write().await?;
    store::delete_session(&mut write, &app.vault.token_hash(cookie)).await?;
    write.commit_quietly().await?;
    Ok(())
}

async fn begin_session(app: &App, write: &mut Write, person: &PersonRow) -> Result<Secret> {
    let secret = token::generate("session").context("make a session").map_err(Error::Internal)?;
    let now = app.clock.now();
    let row = SessionRow {
        hash: app.vault.token_hash(secret.expose_secret()).to_vec(),
        person_id: person.id.clone(),
        created_at: now,
        seen_at: now,
        mac: Vec::new(),
    };
    store::insert_session(write, &row.sealed(&app.vault)).await?;
    let caller = as_caller(person)?;
    let event =
        Event { at: now, workspace_id: None, action: "person.sign_in", object: &person.email, detail: serde_json::json!({}) };
    audit::record(write, &app.vault, &caller, event).await?;
    Ok(secret)
}

fn as_caller(person: &PersonRow) -> Result<Caller> {
    let person = Person { id: uuid(&person.id)?, email: person.email.clone(), is_owner: person.is_owner, roles: BTreeMap::new() };
    Ok(Caller::of(super::Who::Person(Arc::new(person))))
}

/// The members of a workspace, by e-mail. Owners who are no members are listed too: they may do everything there.
pub async fn members(app: &App, caller: &Caller, workspace: &str) -> Result<Vec<Member>> {
    let workspace = authorise(app, caller, workspace, Action::ManagePeople).await?;
    let mut read = app.store.read().await?;
    let mut roles = BTreeMap::new();
    for member in store::members(&mut read, &workspace.id.to_string()).await? {
        let member = member.checked(&app.vault)?;
        roles.insert(member.person_id, Roles::parse(&member.roles));
    }
    let people = store::people(&mut read).await?;
    let member = |person: PersonRow| {
        let roles = roles.get(&person.id).copied().or(person.is_owner.then(Roles::all))?;
        Some(Member { person, roles })
    };
    Ok(people.into_iter().filter_map(member).collect())
}

/// Gives a person roles in a workspace; someone new gets an account and a one-time link to choose a password.
pub async fn put_member(app: &App, caller: &Caller, workspace: &str, email: &str, roles: Roles) -> Result<Option<OneTimeLink>> {
    let workspace = authorise(app, caller, workspace, Action::ManagePeople).await?;
    let email = read_email(email)?;
    if roles.is_empty() {
        return Err(Error::Invalid(vec![FieldError::new(
            "roles",
            "required",
            "must name at least one of viewer, user, editor, admin",
        )]));
    }
    let now = app.clock.now();
    let mut write = begin(app, caller).await?;
    let existing = store::person_by_email(&mut write, &email.to_lowercase()).await?;
    let existing = existing.map(|person| person.checked(&app.vault)).transpose()?;
    let (person, link) = if let Some(person) = existing {
        (person, None)
    } else {
        let new = NewPerson { email: &email, password_hash: String::new(), is_owner: false };
        let person = insert_person(app, caller, &mut write, new).await?;
        let link = insert_link(app, &mut write, LinkKind::Password, Some(&person), 7 * DAY).await?;
        (person, Some(link))
    };
    let row = MemberRow {
        workspace_id: workspace.id.to_string(),
        person_id: person.id.clone(),
        roles: roles.to_string(),
        added_at: now,
        added_by: caller.label(),
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
    write.commit().await?;
    Ok(link)
}

/// Takes a person out of a workspace. The account stays.
pub async fn remove_member(app: &App, caller: &Caller, workspace: &str, email: &str) -> Result<()> {
    let workspace = authorise(app, caller, workspace, Action::ManagePeople).await?;
    let email = read_email(email).map_err(|_| Error::NotFound("person"))?;
    let mut write = begin(app, caller).await?;
    let person =
        store::person_by_email(&mut write, &email.to_lowercase()).await?.ok_or(Error::NotFound("person"))?.checked(&app.vault)?;
    if !store::remove_member(&mut write, &workspace.id.to_string(), &person.id).await? {
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

/// Makes a one-time link for a person. From a shell alone: it is as good as his password.
pub async fn create_link(app: &App, caller: &Caller, email: &str, kind: LinkKind) -> Result<OneTimeLink> {
    if !matches!(caller.who, super::Who::Shell) {
        return Err(Error::Forbidden("make a sign-in link"));
    }
    let mut write = begin(app, caller).await?;
    let person = store::person_by_email(&mut write, &email.trim().to_lowercase())
        .await?
        .ok_or(Error::NotFound("person"))?
        .checked(&app.vault)?;
    let link = insert_link(app, &mut write, kind, Some(&person), DAY).await?;
    let event = Event {
        at: app.clock.now(),
        workspace_id: None,
        action: "person.link",
        object: &person.email,
        detail: serde_json::json!({"kind": kind.as_str()}),
    };
    audit::record(&mut write, &app.vault, caller, event).await?;
    write.commit().await?;
    Ok(link)
}

/// What a link is for, if it can still be used. Does not use it up.
pub async fn look_at_link(app: &App, code: &str) -> Result<LinkKind> {
    token::parse(code).map_err(|_| Error::SetupDone)?;
    let row = store::link(&mut app.store.read().await?, &app.vault.token_hash(code))
        .await?
        .ok_or(Error::SetupDone)?
        .checked(&app.vault)?;
    usable(&row, app.clock.now())
}

fn usable(row: &LinkRow, now: i64) -> Result<LinkKind> {
    if row.used_at.is_some() || row.expires_at <= now {
        return Err(Error::SetupDone);
    }
    LinkKind::ALL.into_iter().find(|kind| kind.as_str() == row.kind).ok_or(Error::SetupDone)
}

/// Uses a sign-in or password link up, and begins a session. A password link takes the new password.
pub async fn follow_link(app: &App, code: &str, password: Option<&Secret>) -> Result<Secret> {
    look_at_link(app, code).await?;
    let chosen = match password {
        Some(password) => {
            check_password(password)?;
            Some(app.passwords.hash(password).await?)
        }
        None => None,
    };
    let hash = app.vault.token_hash(code);
    let now = app.clock.now();
    let mut write = app.store.write().await?;
    let row = store::link(&mut write, &hash).await?.ok_or(Error::SetupDone)?.checked(&app.vault)?;
    let kind = usable(&row, now)?;
    let id = row.person_id.ok_or(Error::SetupDone)?;
    let mut person = store::person(&mut write, &id).await?.ok_or(Error::SetupDone)?.checked(&app.vault)?;
    if person.disabled_at.is_some() || !store::use_link(&mut write, &hash, now).await? {
        return Err(Error::SetupDone);
    }
    match (kind, chosen) {
        (LinkKind::SignIn, _) => {}
        (LinkKind::Password, Some(chosen)) => {
            person.password_hash = chosen;
            person = person.sealed(&app.vault);
            store::update_person(&mut write, &person).await?;
            store::delete_sessions_of(&mut write, &person.id).await?;
        }
        (LinkKind::Password | LinkKind::Setup, _) => return Err(Error::SetupDone),
    }
    let session = begin_session(app, &mut write, &person).await?;
    write.commit().await?;
    Ok(session)
}

/// A person to be made.
pub(super) struct NewPerson<'p> {
    pub email: &'p str,
    /// Empty: no password opens the account until a link sets one.
    pub password_hash: String,
    pub is_owner: bool,
}

pub(super) async fn insert_person(app: &App, caller: &Caller, write: &mut Write, new: NewPerson<'_>) -> Result<PersonRow> {
    let now = app.clock.now();
    let row = PersonRow {
        id: random_uuid().to_string(),
        email_key: new.email.to_lowercase(),
        email: new.email.to_owned(),
        password_hash: new.password_hash,
        is_owner: new.is_owner,
        disabled_at: None,
        created_at: now,
        created_by: caller.label(),
        mac: Vec::new(),
    }
    .sealed(&app.vault);
    store::insert_person(write, &row).await.map_err(|error| match error {
        StoreError::Unique(_) => Error::NameTaken(row.email.clone()),
        other => other.into(),
    })?;
    let event = Event {
        at: now,
        workspace_id: None,
        action: "person.create",
        object: &row.email,
        detail: serde_json::json!({"owner": row.is_owner}),
    };
    audit::record(write, &app.vault, caller, event).await?;
    Ok(row)
}

pub(super) async fn insert_link(
    app: &App,
    write: &mut Write,
    kind: LinkKind,
    person: Option<&PersonRow>,
    lives: i64,
) -> Result<OneTimeLink> {
    let code = token::generate(kind.as_str()).context("make a link").map_err(Error::Internal)?;
    let expires_at = app.clock.now() + lives;
    let row = LinkRow {
        hash: app.vault.token_hash(code.expose_secret()).to_vec(),
        kind: kind.as_str().to_owned(),
        person_id: person.map(|person| person.id.clone()),
        expires_at,
        used_at: None,
        mac: Vec::new(),
    };
    store::insert_link(write, &row.sealed(&app.vault)).await?;
    Ok(OneTimeLink { code, expires_at })
}

pub(super) fn read_email(email: &str) -> Result<String> {
    let email = email.trim();
    let plausible = email.split_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'));
    if !plausible || email.len() > 254 || email.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(Error::Invalid(vec![FieldError::new("email", "invalid", "must be an e-mail address")]));
    }
    Ok(email.to_owned())
}

pub(super) fn check_password(password: &Secret) -> Result<()> {
    let length = password.expose_secret().chars().count();
    if !(PASSWORD_MIN..=PASSWORD_MAX).contains(&length) {
        let message = format!("must have from {PASSWORD_MIN} to {PASSWORD_MAX} characters");
        return Err(Error::Invalid(vec![FieldError::new("password", "too_short", message)]));
    }
    Ok(())
}
