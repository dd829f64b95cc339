//! Signing in with the provider: which account it opens, and linking one's own account to it. Whether the provider is to be believed is
//! `oidc`'s.

use std::sync::Arc;

use anyhow::Context;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use dataflow_model::Secret;
use dataflow_vault::random_bytes;
use serde::{Deserialize, Serialize};

use super::{
    access::{Caller, OpenSession, Who},
    claims::{granted, replace_claims},
    idempotency::begin as begin_change,
    people::{NewPerson, hold_unchanged, insert_person, read_email},
    rows::Sealed as _,
    second_look,
    sessions::{Device, as_caller, begin_session_of, session},
};
use crate::{
    app::App,
    audit::{self, Event},
    clock::SECOND,
    error::{Error, NotLetIn, Result},
    oidc::{self, Asked, Identity, Oidc},
    store::{self, Handle, IdentityRow, PersonRow, StoreError, Write},
};

/// How long somebody may take at the provider.
const FLOW_LIVES: i64 = 10 * 60 * SECOND;
/// By how much the provider's clock may be off.
const LEEWAY: i64 = oidc::LEEWAY * SECOND;
/// What the MAC of a flow is made for.
const FLOW: &str = "sign-in flows";
/// Longest path of this server that signing in leads to: the browser keeps it in a cookie.
const NEXT_MAX: usize = 1024;

/// A sign-in under way. The browser that began it keeps it under a MAC; here nothing is kept of it.
#[derive(Debug, Serialize, Deserialize)]
struct Flow {
    state: String,
    nonce: String,
    verifier: String,
    began: i64,
    purpose: Purpose,
}

#[derive(Debug, Serialize, Deserialize)]
enum Purpose {
    /// Leads to this path afterwards.
    SignIn { next: String },
    /// Links the account of this person, who has just given his password. His session goes by its hash in hexadecimal digits.
    Link { person_id: String, session: String },
    /// Shows again who this person is.
    Confirm { person_id: String, session: String },
}

/// Where the browser goes, and what it brings back.
#[derive(Debug)]
pub struct Begun {
    pub url: String,
    pub flow: Secret,
}

/// What the provider sent back with the browser.
#[derive(Debug, Default)]
pub struct Returned {
    pub code: Option<String>,
    pub state: Option<String>,
    pub issuer: Option<String>,
    pub error: Option<String>,
    /// The cookie of whoever is signed in in that browser. From the provider's site it does not come along.
    pub session: Option<Secret>,
    /// Whether it comes from a page of this server.
    pub is_here: bool,
}

/// What it came to.
#[derive(Debug)]
pub enum Finished {
    SignedIn {
        session: Secret,
        next: String,
    },
    Linked,
    /// Nothing yet: it takes the session's cookie, so it is to come once more, from a page of this server.
    GoesOn,
    /// Acts that take a second look may be done now.
    Confirmed,
}

fn oidc(app: &App) -> Result<&Arc<Oidc>> {
    app.oidc.as_ref().ok_or(Error::NotFound("address"))
}

/// Begins a sign-in that leads to the path `next` afterwards.
pub async fn begin(app: &App, next: &str) -> Result<Begun> {
    let next = if next.len() > NEXT_MAX { String::new() } else { next.to_owned() };
    begin_flow(app, Purpose::SignIn { next }).await
}

/// Begins to link the caller's own account, after a look at his password.
///
/// # Errors
/// `Invalid` at the field `own_password`.
pub async fn begin_link(app: &App, caller: &Caller, own_password: &Secret) -> Result<Begun> {
    let Who::Person(person) = &caller.who else { return Err(Error::Forbidden("link an account")) };
    oidc(app)?;
    let session = person.session.as_ref().map(named).ok_or(Error::Unauthenticated)?;
    let person = second_look::each_time(app, caller, person, own_password).await?;
    begin_flow(app, Purpose::Link { person_id: person.id, session }).await
}

/// Begins to have the caller show at the provider again who he is, for acts that take a second look: in place of a password, which he has
/// none of.
pub async fn begin_confirm(app: &App, caller: &Caller) -> Result<Begun> {
    let Who::Person(person) = &caller.who else { return Err(Error::Forbidden("show who one is")) };
    let session = person
        .session
        .as_ref()
        .filter(|_| !person.has_password)
        .ok_or(Error::NoRole("You have a password, which is what is asked for.", "Give it where it is asked for."))?;
    begin_flow(app, Purpose::Confirm { person_id: person.id.to_string(), session: named(session) }).await
}

/// A session as a flow names it.
fn named(session: &OpenSession) -> String {
    hex::encode(&session.hash)
}

async fn begin_flow(app: &App, purpose: Purpose) -> Result<Begun> {
    let (oidc, now) = (oidc(app)?, app.clock.now());
    let random = || URL_SAFE_NO_PAD.encode(random_bytes::<32>());
    let flow = Flow { state: random(), nonce: random(), verifier: random(), began: now, purpose };
    let again = matches!(flow.purpose, Purpose::Confirm { .. });
    let asked = Asked { state: &flow.state, nonce: &flow.nonce, verifier: &flow.verifier, again };
    let url = oidc.authorization_url(asked, now).await.map_err(|fault| Error::NotLetIn(fault.into()))?;
    let text = serde_json::to_vec(&flow).context("write a flow").map_err(Error::Internal)?;
    let mac = app.vault.row_mac(FLOW, &[&text]);
    let flow = Secret::new(format!("{}.{}", URL_SAFE_NO_PAD.encode(text), URL_SAFE_NO_PAD.encode(mac)));
    Ok(Begun { url, flow })
}

impl Flow {
    /// The flow that a browser brings back, if it is one of ours and this answer is of it.
    fn read(app: &App, kept: &str, state: Option<&str>) -> Option<Self> {
        let (text, mac) = kept.split_once('.')?;
        let (text, mac) = (URL_SAFE_NO_PAD.decode(text).ok()?, URL_SAFE_NO_PAD.decode(mac).ok()?);
        app.vault.verify_row_mac(FLOW, &[&text], &mac).ok()?;
        let flow: Self = serde_json::from_slice(&text).ok()?;
        let age = app.clock.now() - flow.began;
        ((0..FLOW_LIVES).contains(&age) && state == Some(&flow.state)).then_some(flow)
    }

    /// Notes that it is over, in the transaction of what it came to: of two at once one fails.
    async fn use_up(&self, app: &App, write: &mut Write) -> Result<()> {
        let hash = app.vault.lookup_hash(FLOW, &[self.state.as_bytes()]);
        store::insert_key(write, &hash, &hash, app.clock.now()).await.map_err(gone)
    }
}

/// What was done at the same instant already is not done again.
fn gone(error: StoreError) -> Error {
    match error {
        StoreError::Unique(_) => Error::NotLetIn(NotLetIn::FlowGone),
        other => other.into(),
    }
}

/// Ends what this browser began, `kept` being what it kept of it. Whatever it comes to but success counts against the address, unless the
/// provider is away.
pub async fn finish(app: &App, device: &Device, (kept, returned): (Option<&str>, Returned)) -> Result<Finished> {
    oidc(app)?;
    let attempt = app.attempts.begin_at(device.address, app.clock.now())?;
    let finished = finish_flow(app, device, (kept, returned)).await;
    match &finished {
        Ok(Finished::GoesOn) | Err(Error::NotLetIn(NotLetIn::Away(_)) | Error::Unavailable(_) | Error::Internal(_)) => {
            attempt.never_was();
        }
        Ok(_) => attempt.succeeded(),
        Err(_) => {}
    }
    finished
}

async fn finish_flow(app: &App, device: &Device, (kept, returned): (Option<&str>, Returned)) -> Result<Finished> {
    let flow = kept.and_then(|kept| Flow::read(app, kept, returned.state.as_deref()));
    let flow = flow.ok_or(Error::NotLetIn(NotLetIn::FlowGone))?;
    let (None, Some(code)) = (returned.error, returned.code) else { return Err(Error::NotLetIn(NotLetIn::Denied)) };
    if let Purpose::Link { session, .. } = &flow.purpose {
        // Somebody else may have sat down at this browser since, and it is he whom the provider knows.
        match signed_in_as(app, returned.session.as_ref()).await? {
            Some(own) if own == *session => {}
            None if !returned.is_here => return Ok(Finished::GoesOn),
            _ => return Err(Error::NotLetIn(NotLetIn::OtherSession)),
        }
    }
    let proof = (flow.verifier.clone(), flow.nonce.clone());
    let identified = oidc(app)?.identify((code, returned.issuer), proof, app.clock.now()).await;
    let identity = identified.map_err(|fault| Error::NotLetIn(fault.into()))?;
    match &flow.purpose {
        Purpose::SignIn { next } => {
            let session = sign_in(app, device, &flow, &identity).await?;
            Ok(Finished::SignedIn { session, next: next.clone() })
        }
        Purpose::Link { person_id, .. } => {
            link(app, person_id, &flow, &identity).await?;
            Ok(Finished::Linked)
        }
        Purpose::Confirm { person_id, session } => {
            confirm(app, (person_id, session), &flow, &identity).await?;
            Ok(Finished::Confirmed)
        }
    }
}

/// The session of a cookie by its hash, if it goes on.
async fn signed_in_as(app: &App, cookie: Option<&Secret>) -> Result<Option<String>> {
    let Some(cookie) = cookie else { return Ok(None) };
    match session(app, cookie.expose_secret()).await {
        Ok(person) => Ok(person.session.as_ref().map(named)),
        Err(Error::Unauthenticated) => Ok(None),
        Err(other) => Err(other),
    }
}

async fn sign_in(app: &App, device: &Device, flow: &Flow, identity: &Identity) -> Result<Secret> {
    let issuer = &oidc(app)?.config.issuer;
    let mut write = app.store.write().await?;
    flow.use_up(app, &mut write).await?;
    let granted = granted(app, &mut write, identity).await?;
    let (person, is_linked) = match linked(app, &mut write, issuer, &identity.subject).await? {
        Some(person) => (person, true),
        None => (invited(app, &mut write, (issuer, identity), !granted.is_empty()).await?, false),
    };
    if person.disabled_at.is_some() {
        return Err(Error::NotLetIn(NotLetIn::Disabled));
    }
    let person = hold_unchanged(app, &mut write, &person).await?.ok_or(Error::VersionConflict)?;
    if !is_linked {
        insert_identity(app, &mut write, (issuer, identity), &person).await?;
        // Whoever has an old link could set a password.
        store::delete_links_of(&mut write, &person.id).await?;
    }
    let belongs = replace_claims(app, &mut write, &person, &granted).await?;
    if !belongs && !person.is_owner {
        // What he lost he has lost, though he is not let in.
        write.commit().await?;
        return Err(Error::NotLetIn(NotLetIn::NoAccess));
    }
    // That he is signed in there does not say that he showed just now who he is.
    let now = app.clock.now();
    let confirmed_at = identity.authenticated_at().filter(|at| *at <= now + LEEWAY).map(|at| at.min(now));
    let session = begin_session_of(app, &mut write, &person, (device, confirmed_at)).await?;
    write.commit().await?;
    Ok(session)
}

async fn confirm(app: &App, (person_id, session): (&str, &str), flow: &Flow, identity: &Identity) -> Result<()> {
    let issuer = &oidc(app)?.config.issuer;
    let mut write = app.store.write().await?;
    flow.use_up(app, &mut write).await?;
    let person = linked(app, &mut write, issuer, &identity.subject).await?.filter(|person| person.id == person_id);
    let person = person.ok_or(Error::NotLetIn(NotLetIn::IsOther))?;
    if person.disabled_at.is_some() {
        return Err(Error::NotLetIn(NotLetIn::Disabled));
    }
    let asked = identity.authenticated_at().is_some_and(|at| (flow.began - LEEWAY..=app.clock.now() + LEEWAY).contains(&at));
    if !asked {
        return Err(Error::NotLetIn(NotLetIn::NotAsked));
    }
    let hash = hex::decode(session).context("a session's hash").map_err(Error::Internal)?;
    second_look::confirm_in(app, &mut write, &as_caller(&person)?, &hash).await?;
    write.commit_quietly().await?;
    Ok(())
}

/// The person whom this subject of the provider is linked to.
async fn linked(app: &App, handle: &mut impl Handle, issuer: &str, subject: &str) -> Result<Option<PersonRow>> {
    let Some(row) = store::identity(handle, issuer, subject).await? else { return Ok(None) };
    let row = row.checked(&app.vault)?;
    let person = store::person(handle, &row.person_id).await?.context("an identity is nobody's").map_err(Error::Internal)?;
    Ok(Some(person.checked(&app.vault)?))
}

/// The account that somebody who comes for the first time is given: the one that he was invited to, or a new one if he `has_role`.
async fn invited(app: &App, write: &mut Write, (issuer, identity): (&str, &Identity), has_role: bool) -> Result<PersonRow> {
    let email = identity.verified_email().and_then(|email| read_email(email).ok()).ok_or(Error::NotLetIn(NotLetIn::NoEmail))?;
    let Some(person) = store::person_by_email(write, &email.to_lowercase()).await? else {
        if !has_role {
            return Err(Error::NotLetIn(NotLetIn::NoAccess));
        }
        let new = NewPerson { email: &email, password_hash: String::new(), is_owner: false };
        return insert_person(app, None, write, new).await;
    };
    let person = person.checked(&app.vault)?;
    // An address is no proof against somebody who has proven himself by a password, or as somebody else.
    if !person.password_hash.is_empty() || person.is_owner {
        return Err(Error::NotLetIn(NotLetIn::HasPassword));
    }
    let others = store::identities_of(write, &person.id).await?;
    if others.iter().any(|other| other.issuer == issuer) {
        return Err(Error::NotLetIn(NotLetIn::OfAnother));
    }
    Ok(person)
}

async fn insert_identity(app: &App, write: &mut Write, (issuer, identity): (&str, &Identity), person: &PersonRow) -> Result<()> {
    let now = app.clock.now();
    let row = IdentityRow {
        issuer: issuer.to_owned(),
        subject: identity.subject.clone(),
        person_id: person.id.clone(),
        linked_at: now,
        linked_by: person.email.clone(),
        mac: Vec::new(),
    };
    store::insert_identity(write, &row.sealed(&app.vault)).await.map_err(gone)?;
    let detail = serde_json::json!({"issuer": issuer, "subject": identity.subject});
    let event = Event { at: now, workspace_id: None, action: "person.link_provider", object: &person.email, detail };
    Ok(audit::record(write, &app.vault, &as_caller(person)?, event).await?)
}

async fn link(app: &App, person_id: &str, flow: &Flow, identity: &Identity) -> Result<()> {
    let issuer = &oidc(app)?.config.issuer;
    let mut write = app.store.write().await?;
    flow.use_up(app, &mut write).await?;
    let person = store::person(&mut write, person_id).await?.ok_or(Error::NotFound("person"))?.checked(&app.vault)?;
    if person.disabled_at.is_some() {
        return Err(Error::NotLetIn(NotLetIn::Disabled));
    }
    let person = hold_unchanged(app, &mut write, &person).await?.ok_or(Error::VersionConflict)?;
    let own = store::identities_of(&mut write, &person.id).await?;
    let is_taken = store::identity(&mut write, issuer, &identity.subject).await?.is_some();
    if is_taken || own.iter().any(|own| own.issuer == *issuer) {
        return Err(Error::NotLetIn(NotLetIn::Linked));
    }
    insert_identity(app, &mut write, (issuer, identity), &person).await?;
    let granted = granted(app, &mut write, identity).await?;
    replace_claims(app, &mut write, &person, &granted).await?;
    write.commit().await?;
    Ok(())
}

/// How the caller may sign in.
#[derive(Debug, Clone, Copy, Default)]
pub struct OwnWays {
    pub has_password: bool,
    pub is_linked: bool,
}

pub async fn own_ways(app: &App, caller: &Caller) -> Result<OwnWays> {
    let Who::Person(person) = &caller.who else { return Ok(OwnWays::default()) };
    let (mut read, id) = (app.store.read().await?, person.id.to_string());
    let row = store::person(&mut read, &id).await?.ok_or(Error::Unauthenticated)?.checked(&app.vault)?;
    let is_linked = !store::identities_of(&mut read, &id).await?.is_empty();
    Ok(OwnWays { has_password: !row.password_hash.is_empty(), is_linked })
}

/// Ends the link of the caller's own account, after a look at his password, without which he could not sign in any more. What the
/// provider's claims gave him ends with it.
///
/// # Errors
/// `Invalid` at the field `own_password`.
pub async fn unlink(app: &App, caller: &Caller, own_password: &Secret) -> Result<()> {
    let Who::Person(person) = &caller.who else { return Err(Error::Forbidden("unlink an account")) };
    let person = second_look::each_time(app, caller, person, own_password).await?;
    let mut write = begin_change(app, caller).await?;
    let person = hold_unchanged(app, &mut write, &person).await?.ok_or(Error::VersionConflict)?;
    if store::delete_identities_of(&mut write, &person.id).await? == 0 {
        return Ok(());
    }
    let event = Event {
        at: app.clock.now(),
        workspace_id: None,
        action: "person.unlink_provider",
        object: &person.email,
        detail: serde_json::json!({}),
    };
    audit::record(&mut write, &app.vault, caller, event).await?;
    replace_claims(app, &mut write, &person, &std::collections::BTreeMap::new()).await?;
    write.commit().await?;
    Ok(())
}
