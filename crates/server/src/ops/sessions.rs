//! Sessions: signing in and out, and the person behind a cookie.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
};

use anyhow::Context;
use dataflow_model::Secret;
use dataflow_vault::token;

use super::{
    access::{Caller, OpenSession, Person, Who},
    claims::roles_of,
    people::{hold_unchanged, read_email},
    rows::{Sealed as _, refused, uuid},
};
use crate::{
    app::App,
    audit::{self, Event},
    clock::SECOND,
    error::{Error, Result},
    store::{self, Handle, PersonRow, SessionRow, Write},
};

/// A session ends after this much idleness, and after this much in all.
pub const SESSION_IDLE: i64 = 30 * 60 * SECOND;
pub const SESSION_LONGEST: i64 = 12 * 3600 * SECOND;
/// How often a session's last-seen time is written.
const TOUCH_EVERY: i64 = 60 * SECOND;

/// Most characters of a `User-Agent` that are kept.
const AGENT_MAX: usize = 300;
/// Most of his sessions that a person is shown.
const SHOWN: i64 = 100;

/// Where a session begins and in which program, as far as the request tells.
#[derive(Debug, Clone, Default)]
pub struct Device {
    pub address: Option<IpAddr>,
    /// Its `User-Agent`.
    pub agent: Option<String>,
}

/// Checks an e-mail and a password, in the same time whether the person exists or not, and begins a session.
///
/// # Errors
/// `Unauthenticated` if they are not right; `TooManyAttempts` after too many of those for this account or from this address.
pub async fn sign_in(app: &App, device: &Device, email: &str, password: &Secret) -> Result<Secret> {
    let email = email.trim().to_lowercase();
    let row = match read_email(&email) {
        Ok(email) => store::person_by_email(&mut app.store.read().await?, &email).await?,
        Err(_) => None,
    };
    let known = row.as_ref().map(|row| row.email.clone());
    let row = row.filter(|row| row.disabled_at.is_none()).map(|row| row.checked(&app.vault)).transpose()?;
    let Some(row) = verify(app, (device.address, &email), row, password).await? else {
        if let Some(known) = known {
            app.sign_in_failures.note(&known, device.address, app.clock.now());
        }
        return Err(Error::Unauthenticated);
    };
    let mut write = app.store.write().await?;
    let session = begin_session(app, &mut write, &row, device).await?;
    write.commit_quietly().await?;
    Ok(session)
}

/// The row of an account, if that is its password. Every other outcome counts against who tries.
pub(super) async fn verify(
    app: &App,
    (address, account): (Option<IpAddr>, &str),
    row: Option<PersonRow>,
    password: &Secret,
) -> Result<Option<PersonRow>> {
    let attempt = app.attempts.begin(account, address, app.clock.now())?;
    let stored = row.as_ref().map(|row| row.password_hash.clone());
    match app.passwords.verify(password, stored).await {
        Ok(true) => attempt.succeeded(),
        Ok(false) => return Ok(None),
        Err(error) => {
            attempt.never_was();
            return Err(error);
        }
    }
    Ok(row)
}

/// The person that a session's cookie stands for. Moves the session's idle limit.
pub async fn session(app: &App, cookie: &str) -> Result<Arc<Person>> {
    token::parse(cookie).map_err(|_| Error::Unauthenticated)?;
    let mut read = app.store.read().await?;
    let session = find(app, &mut read, cookie).await?.ok_or(Error::Unauthenticated)?;
    let person_id = session.person_id.clone();
    let session = session.checked(&app.vault).map_err(|error| refused("session", &person_id, &error))?;
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
        roles.insert(uuid(&member.workspace_id)?, roles_of(&member));
    }
    let mut workspaces = BTreeSet::new();
    for workspace in store::workspaces_of(&mut read, &row.id).await? {
        workspaces.insert(workspace.checked(&app.vault)?.name);
    }
    drop(read);
    let open = OpenSession { hash: session.hash.clone(), confirmed_at: session.confirmed_at };
    if now - session.seen_at > TOUCH_EVERY {
        let before = session.mac.clone();
        let session = SessionRow { seen_at: now, ..session }.sealed(&app.vault);
        let mut write = app.store.write().await?;
        // If another request has written it meanwhile, that one was seen.
        store::update_session(&mut write, &session, &before).await?;
        write.commit_quietly().await?;
    }
    Ok(Arc::new(Person {
        id: uuid(&row.id)?,
        email: row.email,
        is_owner: row.is_owner,
        has_password: !row.password_hash.is_empty(),
        roles,
        workspaces,
        session: Some(open),
    }))
}

/// The session of a cookie, which one of before a rotation of the keys is stored under another hash of.
async fn find(app: &App, handle: &mut impl Handle, cookie: &str) -> Result<Option<SessionRow>> {
    for hash in app.vault.token_hashes(cookie) {
        if let Some(session) = store::session(handle, &hash).await? {
            return Ok(Some(session));
        }
    }
    Ok(None)
}

/// A session of the person who asks.
#[derive(Debug)]
pub struct Session {
    /// Names it in [`end`].
    pub id: String,
    /// The one that he asks in.
    pub is_this: bool,
    pub row: SessionRow,
}

/// The caller's own sessions that have not ended, newest first, at most 100. `cookie` is of the one that he asks in.
pub async fn list(app: &App, caller: &Caller, cookie: &str) -> Result<Vec<Session>> {
    let person = signed_in(caller)?;
    let now = app.clock.now();
    let this = app.vault.token_hashes(cookie);
    let live = (now - SESSION_LONGEST, now - SESSION_IDLE);
    let rows = store::sessions_of(&mut app.store.read().await?, &person.id.to_string(), live, SHOWN).await?;
    Ok(rows
        .into_iter()
        .map(|row| Session { id: hex::encode(&row.hash), is_this: this.iter().any(|hash| row.hash == hash), row })
        .collect())
}

/// Ends one session of the caller's own; `false` if he has none of this id any more.
pub async fn end(app: &App, caller: &Caller, id: &str) -> Result<bool> {
    let person = signed_in(caller)?;
    let mut hash = [0; 32];
    hex::decode_to_slice(id, &mut hash).map_err(|_| Error::NotFound("session"))?;
    let mut write = app.store.write().await?;
    let has_ended = store::delete_session_of(&mut write, &person.id.to_string(), &hash).await?;
    if has_ended {
        record_end(app, &mut write, caller, 1).await?;
    }
    write.commit_quietly().await?;
    Ok(has_ended)
}

/// Ends every session of the caller's own but the one that he asks in; how many.
pub async fn end_others(app: &App, caller: &Caller, cookie: &str) -> Result<usize> {
    let person = signed_in(caller)?;
    let mut write = app.store.write().await?;
    let this = find(app, &mut write, cookie).await?.map(|session| session.hash).unwrap_or_default();
    let ended = store::delete_other_sessions_of(&mut write, &person.id.to_string(), &this).await?;
    if ended > 0 {
        record_end(app, &mut write, caller, ended).await?;
    }
    write.commit_quietly().await?;
    Ok(ended)
}

async fn record_end(app: &App, write: &mut Write, caller: &Caller, sessions: usize) -> Result<()> {
    let object = caller.label();
    let detail = serde_json::json!({"sessions": sessions});
    let event = Event { at: app.clock.now(), workspace_id: None, action: "person.end_sessions", object: &object, detail };
    Ok(audit::record(write, &app.vault, caller, event).await?)
}

fn signed_in(caller: &Caller) -> Result<&Person> {
    match &caller.who {
        Who::Person(person) => Ok(person),
        Who::Token(_) | Who::Shell => Err(Error::Forbidden("see the sessions of a person")),
    }
}

/// Ends the session of this cookie, if it is one.
pub async fn sign_out(app: &App, cookie: &str) -> Result<()> {
    let mut write = app.store.write().await?;
    let Some(session) = find(app, &mut write, cookie).await? else { return Ok(()) };
    store::delete_session(&mut write, &session.hash).await?;
    if let Some(person) = store::person(&mut write, &session.person_id).await? {
        let detail = serde_json::json!({});
        let event = Event { at: app.clock.now(), workspace_id: None, action: "person.sign_out", object: &person.email, detail };
        audit::record(&mut write, &app.vault, &as_caller(&person)?, event).await?;
    }
    write.commit_quietly().await?;
    Ok(())
}

/// Begins a session of the person whose row was read as `person`, who has shown just now that it is he.
///
/// # Errors
/// `Unauthenticated` if the row is another one by now: a password that was changed meanwhile opens nothing.
pub(super) async fn begin_session(app: &App, write: &mut Write, person: &PersonRow, device: &Device) -> Result<Secret> {
    begin_session_of(app, write, person, (device, Some(app.clock.now()))).await
}

/// The same of a person who showed at another time, or nobody knows when, that it is he.
pub(super) async fn begin_session_of(
    app: &App,
    write: &mut Write,
    person: &PersonRow,
    (device, confirmed_at): (&Device, Option<i64>),
) -> Result<Secret> {
    hold_unchanged(app, write, person).await?.ok_or(Error::Unauthenticated)?;
    let secret = token::generate("session").context("make a session").map_err(Error::Internal)?;
    let now = app.clock.now();
    let row = SessionRow {
        hash: app.vault.token_hash(secret.expose_secret()).to_vec(),
        person_id: person.id.clone(),
        created_at: now,
        seen_at: now,
        confirmed_at,
        address: device.address.map(|address| address.to_string()),
        agent: device.agent.as_deref().map(|agent| agent.chars().filter(|c| !c.is_control()).take(AGENT_MAX).collect()),
        mac: Vec::new(),
    };
    store::insert_session(write, &row.sealed(&app.vault)).await?;
    let caller = as_caller(person)?;
    let event =
        Event { at: now, workspace_id: None, action: "person.sign_in", object: &person.email, detail: serde_json::json!({}) };
    audit::record(write, &app.vault, &caller, event).await?;
    Ok(secret)
}

pub(super) fn as_caller(person: &PersonRow) -> Result<Caller> {
    let person = Person {
        id: uuid(&person.id)?,
        email: person.email.clone(),
        is_owner: person.is_owner,
        has_password: !person.password_hash.is_empty(),
        roles: BTreeMap::new(),
        workspaces: BTreeSet::new(),
        session: None,
    };
    Ok(Caller::of(Who::Person(Arc::new(person))))
}
