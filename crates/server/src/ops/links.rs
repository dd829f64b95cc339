//! One-time links: set-up, a new password, signing in from a shell.

use anyhow::Context;
use dataflow_model::Secret;
use dataflow_vault::token;

use super::{
    access::{Caller, Who},
    idempotency::begin,
    owners::{OwnersAct, authorise_owner},
    people::{check_password, read_email, set_password},
    rows::Sealed as _,
    sessions::{Device, begin_session},
};
use crate::{
    app::App,
    audit::{self, Event},
    clock::DAY,
    error::{Error, Result},
    store::{self, Handle, LinkRow, PersonRow, Write},
};

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

    /// How long such a link can be followed, in microseconds. A password link is sent to somebody, who may be away.
    fn lives(self) -> i64 {
        match self {
            Self::Setup | Self::SignIn => DAY,
            Self::Password => 7 * DAY,
        }
    }
}

/// Makes a one-time link for a person. It is as good as his password: from a shell alone; but an owner, too, lets somebody who is none
/// choose a new one.
pub async fn create_link(app: &App, caller: &Caller, email: &str, kind: LinkKind) -> Result<OneTimeLink> {
    authorise_owner(app, caller, OwnersAct::MakeLinks).await?;
    let is_shell = matches!(caller.who, Who::Shell);
    if !is_shell && kind != LinkKind::Password {
        return Err(Error::OwnersOnly(OwnersAct::MakeLinks.words()));
    }
    // PostgreSQL fails at a text with NUL, so what cannot be an address is not looked for.
    let email = read_email(email).map_err(|_| Error::NotFound("person"))?;
    let mut write = begin(app, caller).await?;
    let person =
        store::person_by_email(&mut write, &email.to_lowercase()).await?.ok_or(Error::NotFound("person"))?.checked(&app.vault)?;
    if person.is_owner && !is_shell {
        return Err(Error::NoRole(
            "A link for an owner of this server is made in a shell alone.",
            "Run “dataflow sign-in-link --new-password” on the server's machine.",
        ));
    }
    let link = insert_link(app, &mut write, kind, Some(&person)).await?;
    let event = Event {
        at: app.clock.now(),
        workspace_id: None,
        action: "person.link",
        object: &person.email,
        detail: serde_json::json!({"kind": kind.as_str()}),
    };
    audit::record(&mut write, &app.vault, caller, event).await?;
    write.commit_quietly().await?;
    Ok(link)
}

/// What a link is for, if it can still be used. Does not use it up.
pub async fn look_at_link(app: &App, code: &str) -> Result<LinkKind> {
    token::parse(code).map_err(|_| Error::SetupDone)?;
    let row = find(app, &mut app.store.read().await?, code).await?;
    usable(&row, app.clock.now())
}

/// The link of a code, which one of before a rotation of the keys is stored under another hash of.
pub(super) async fn find(app: &App, handle: &mut impl Handle, code: &str) -> Result<LinkRow> {
    for hash in app.vault.token_hashes(code) {
        if let Some(row) = store::link(handle, &hash).await? {
            return row.checked(&app.vault);
        }
    }
    Err(Error::SetupDone)
}

fn usable(row: &LinkRow, now: i64) -> Result<LinkKind> {
    if row.expires_at <= now {
        return Err(Error::SetupDone);
    }
    LinkKind::ALL.into_iter().find(|kind| kind.as_str() == row.kind).ok_or(Error::SetupDone)
}

/// Uses a sign-in or password link up, and begins a session. A password link takes the new password, and ends his other sessions and links.
pub async fn follow_link(app: &App, device: &Device, code: &str, password: Option<&Secret>) -> Result<Secret> {
    look_at_link(app, code).await?;
    let chosen = match password {
        Some(password) => {
            check_password(password)?;
            Some(app.passwords.hash(password).await?)
        }
        None => None,
    };
    let now = app.clock.now();
    let mut write = app.store.write().await?;
    let row = find(app, &mut write, code).await?;
    let kind = usable(&row, now)?;
    let id = row.person_id.ok_or(Error::SetupDone)?;
    let person = store::person(&mut write, &id).await?.ok_or(Error::SetupDone)?.checked(&app.vault)?;
    if person.disabled_at.is_some() || !store::use_link(&mut write, &row.hash).await? {
        return Err(Error::SetupDone);
    }
    let person = match (kind, chosen) {
        (LinkKind::SignIn, _) => person,
        (LinkKind::Password, Some(chosen)) => set_password(app, &mut write, None, person, chosen).await?,
        (LinkKind::Password | LinkKind::Setup, _) => return Err(Error::SetupDone),
    };
    let session = begin_session(app, &mut write, &person, device).await?;
    write.commit_quietly().await?;
    Ok(session)
}

pub(super) async fn insert_link(app: &App, write: &mut Write, kind: LinkKind, person: Option<&PersonRow>) -> Result<OneTimeLink> {
    let code = token::generate(kind.as_str()).context("make a link").map_err(Error::Internal)?;
    let expires_at = app.clock.now() + kind.lives();
    let row = LinkRow {
        hash: app.vault.token_hash(code.expose_secret()).to_vec(),
        kind: kind.as_str().to_owned(),
        person_id: person.map(|person| person.id.clone()),
        expires_at,
        mac: Vec::new(),
    };
    store::insert_link(write, &row.sealed(&app.vault)).await?;
    Ok(OneTimeLink { code, expires_at })
}
