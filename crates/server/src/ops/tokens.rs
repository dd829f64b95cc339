//! API tokens: made once, shown once, kept as a hash.

use std::sync::Arc;

use anyhow::Context;
use dataflow_model::{ConnectionName, FieldError, Secret, name::NAME_MAX};
use dataflow_vault::{random_bytes, random_uuid, token};
use uuid::Uuid;

use super::{
    access::{Action, Caller, Roles, TokenIdentity, Who, authorise},
    idempotency::begin,
    paging::{Page, Paging},
    people,
    rows::{Sealed as _, refused, taken, uuid},
};
use crate::{
    app::App,
    audit::{self, Event},
    clock::{DAY, rfc3339},
    error::{Error, Result},
    store::{self, TokenPage, TokenRow, Write},
};

/// Days that a token lives unless asked otherwise, and at most.
pub const DAYS_DEFAULT: i64 = 90;
pub const DAYS_MAX: i64 = 366;
/// Most names that a token is narrowed to.
pub const NAMES_MAX: usize = 100;

/// A token as it was asked for.
#[derive(Debug)]
pub struct NewToken {
    pub name: String,
    pub roles: Roles,
    pub expires_in_days: Option<i64>,
    /// Narrowed to these connection names.
    pub connections: Option<Vec<String>>,
}

/// A token's row as people see it.
#[derive(Debug)]
pub struct Token {
    pub row: TokenRow,
    /// Changed in the store outside of this program: it opens nothing, and can be revoked.
    pub is_altered: bool,
    pub roles: Roles,
    pub connections: Option<Vec<String>>,
}

/// Makes a token. It is given here and never again. Nobody grants more than he has, and no token what outlives it.
pub async fn create(app: &App, caller: &Caller, workspace: &str, new: NewToken) -> Result<(Secret, Token)> {
    let workspace = authorise(app, caller, workspace, Action::CreateOwnTokens).await?;
    let mut errors = Vec::new();
    let name = new.name.trim().to_owned();
    if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        errors.push(FieldError::new("name", "invalid", format!("must be one line of 1 to {NAME_MAX} characters")));
    }
    if new.roles.is_empty() {
        errors.push(FieldError::new("roles", "required", "must name at least one of viewer, user, editor, admin"));
    }
    let now = app.clock.now();
    let expires_at = expiry(caller, new.expires_in_days, now).map_err(|error| errors.push(error)).unwrap_or_default();
    let connections = new.connections;
    if connections.as_ref().is_some_and(Vec::is_empty) {
        errors.push(FieldError::new(
            "connections",
            "required",
            "must name a connection, or be left out for all of the workspace",
        ));
    }
    let names = connections.as_deref().unwrap_or_default();
    if names.len() > NAMES_MAX {
        errors.push(FieldError::new("connections", "invalid", format!("must be at most {NAMES_MAX} connection names")));
    } else if names.iter().any(|name| ConnectionName::new(name.as_str()).is_err()) {
        let text = "must be names of connections: letters, digits, “_”, “.” and “-”, beginning with a letter or a digit";
        errors.push(FieldError::new("connections", "invalid", text));
    }
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    if !caller.roles_in(workspace.id).cover(new.roles) {
        return Err(Error::Forbidden("grant a role that you do not have"));
    }
    if caller.narrowed_to().is_some_and(|own| connections.is_none() || !names.iter().all(|name| own.contains(name))) {
        return Err(Error::Forbidden("grant more connections than your token names"));
    }
    let kind = new.roles.iter().last().map_or("viewer", super::Role::as_str);
    let secret = token::generate(kind).context("make a token").map_err(Error::Internal)?;
    let row = TokenRow {
        id: random_uuid().to_string(),
        workspace_id: workspace.id.to_string(),
        name_key: name.to_lowercase(),
        name,
        hash: app.vault.token_hash(secret.expose_secret()).to_vec(),
        roles: new.roles.to_string(),
        connections: connections.as_ref().map(|names| serde_json::json!(names).to_string()),
        created_at: now,
        created_by: caller.label().into_owned(),
        made_by: Some(caller.identity().into_owned()),
        person_id: caller.person_id().map(|id| id.to_string()),
        expires_at,
        revoked_at: None,
        last_used_at: None,
        mac: Vec::new(),
    }
    .sealed(&app.vault);
    let mut write = begin(app, caller).await?;
    hold_maker(&mut write, caller, &row.workspace_id).await?;
    store::insert_token(&mut write, &row).await.map_err(taken(&row.name))?;
    let detail = serde_json::json!({"roles": row.roles, "expires_at": rfc3339(expires_at), "connections": connections});
    let event =
        Event { at: now, workspace_id: Some(row.workspace_id.clone()), action: "token.create", object: &row.name, detail };
    audit::record(&mut write, &app.vault, caller, event).await?;
    write.commit().await?;
    Ok((secret, Token { row, is_altered: false, roles: new.roles, connections }))
}

/// When a new token expires: after the days asked for, and never after the token that makes it.
fn expiry(caller: &Caller, days: Option<i64>, now: i64) -> std::result::Result<i64, FieldError> {
    let end = match &caller.who {
        Who::Token(own) => own.expires_at,
        Who::Person(_) | Who::Shell => i64::MAX,
    };
    match days {
        None => Ok((now + DAYS_DEFAULT * DAY).min(end)),
        Some(days) if !(1..=DAYS_MAX).contains(&days) => {
            Err(FieldError::new("expires_in_days", "out_of_range", format!("must be from 1 to {DAYS_MAX}")))
        }
        Some(days) if now + days * DAY > end => {
            let message = "must not be longer than your own token lives; leave it out for as long as that";
            Err(FieldError::new("expires_in_days", "out_of_range", message))
        }
        Some(days) => Ok(now + days * DAY),
    }
}

/// Holds the maker in place until the token is there: whoever revokes or removes him at this instant finds the token, too.
async fn hold_maker(write: &mut Write, caller: &Caller, workspace_id: &str) -> Result<()> {
    let held = match &caller.who {
        Who::Token(own) => store::hold_token(write, &own.id.to_string()).await?,
        Who::Person(person) if !person.is_owner => store::hold_member(write, workspace_id, &person.id.to_string()).await?,
        Who::Person(_) | Who::Shell => true,
    };
    if held { Ok(()) } else { Err(Error::Unauthenticated) }
}

/// What a caller's own tokens bear: a person has all that he stands behind, a token what it made.
fn owner(caller: &Caller) -> String {
    match &caller.who {
        Who::Person(person) => person.id.to_string(),
        Who::Token(_) | Who::Shell => caller.identity().into_owned(),
    }
}

/// A page of the workspace's tokens, newest first; those of others for admins alone.
pub async fn list(app: &App, caller: &Caller, workspace: &str, paging: &Paging) -> Result<Page<Token>> {
    let workspace = authorise(app, caller, workspace, Action::HaveTokens).await?;
    let owner = if caller.may(Action::ManageTokens, workspace.id) { String::new() } else { owner(caller) };
    let (at, id) = paging.before()?;
    let workspace_id = workspace.id.to_string();
    let page = TokenPage { workspace_id: &workspace_id, owner: &owner, before: (at, &id), limit: paging.rows_to_read()? };
    let rows = store::list_tokens(&mut app.store.read().await?, &page).await?;
    Ok(paging.page(rows, |row| (row.created_at.to_string(), row.id.clone()))?.map(|row| {
        let is_altered = row.clone().checked(&app.vault).is_err();
        let token = token_view(row);
        Token { is_altered, roles: if is_altered { Roles::NONE } else { token.roles }, ..token }
    }))
}

/// All of them, for faces that show no pages.
pub async fn list_all(app: &App, caller: &Caller, workspace: &str) -> Result<Vec<Token>> {
    Paging::all(|paging| async move { list(app, caller, workspace, &paging).await }).await
}

/// Revokes a token by its id, and those that it made. They stop at once on this node, within the freshness time on others.
pub async fn revoke(app: &App, caller: &Caller, workspace: &str, id: &str) -> Result<()> {
    let workspace = authorise(app, caller, workspace, Action::HaveTokens).await?;
    let all = caller.may(Action::ManageTokens, workspace.id);
    let id = Uuid::parse_str(id).map_err(|_| Error::NotFound("token"))?.to_string();
    let owner = if all { String::new() } else { owner(caller) };
    let workspace_id = workspace.id.to_string();
    let mut write = begin(app, caller).await?;
    let row = store::live_token(&mut write, (&workspace_id, &id), &owner).await?.ok_or(Error::NotFound("token"))?;
    let made = format!("token {id}");
    hold_made_by(&mut write, &workspace_id, &made, vec![id]).await?;
    if !revoke_row(app, caller, &mut write, row).await? {
        return Err(Error::NotFound("token"));
    }
    revoke_made_by(app, caller, &mut write, (&workspace_id, made)).await?;
    app.caches.forget_tokens(&mut write);
    write.commit().await?;
    Ok(())
}

/// Revokes all that a person stands behind in a workspace.
pub(super) async fn revoke_of_person(
    app: &App,
    caller: &Caller,
    write: &mut Write,
    (workspace_id, person_id): (&str, &str),
) -> Result<()> {
    hold_made_by(write, workspace_id, person_id, Vec::new()).await?;
    revoke_made_by(app, caller, write, (workspace_id, person_id.to_owned())).await?;
    app.caches.forget_tokens(write);
    Ok(())
}

/// Holds `ids`, what `owner` made, what that made, and so on, by id: in this order [`crate::uses::Uses::flush`] writes when they were used,
/// and two that take the same rows the other way round stop each other.
async fn hold_made_by(write: &mut Write, workspace_id: &str, owner: &str, mut ids: Vec<String>) -> Result<()> {
    let mut owners = vec![owner.to_owned()];
    while let Some(owner) = owners.pop() {
        for row in store::live_tokens_of(write, workspace_id, &owner).await? {
            if !ids.contains(&row.id) {
                owners.push(format!("token {}", row.id));
                ids.push(row.id);
            }
        }
    }
    ids.sort_unstable();
    for id in ids {
        store::hold_token(write, &id).await?;
    }
    Ok(())
}

/// Revokes what `owner` made, what that made, and so on. Asks again until nothing is left: a token may have come while its maker's row
/// was waited for.
async fn revoke_made_by(app: &App, caller: &Caller, write: &mut Write, (workspace_id, owner): (&str, String)) -> Result<()> {
    let mut owners = vec![owner];
    while let Some(owner) = owners.last().cloned() {
        let made = store::live_tokens_of(write, workspace_id, &owner).await?;
        if made.is_empty() {
            owners.pop();
        }
        for row in made {
            owners.push(format!("token {}", row.id));
            revoke_row(app, caller, write, row).await?;
        }
    }
    Ok(())
}

/// Revokes one token; `false` if it was. Its hash goes, too: who can write the store and has only what stands there cannot bring it back.
async fn revoke_row(app: &App, caller: &Caller, write: &mut Write, row: TokenRow) -> Result<bool> {
    let now = app.clock.now();
    let row = TokenRow { revoked_at: Some(now), hash: random_bytes::<32>().to_vec(), ..row }.sealed(&app.vault);
    if !store::revoke_token(write, &row).await? {
        return Ok(false);
    }
    let event = Event {
        at: now,
        workspace_id: Some(row.workspace_id.clone()),
        action: "token.revoke",
        object: &row.name,
        detail: serde_json::json!({"id": row.id}),
    };
    audit::record(write, &app.vault, caller, event).await?;
    Ok(true)
}

/// Who a token stands for, if that was looked up before and it has not expired.
#[must_use]
pub fn known(app: &App, text: &str, now: i64) -> Option<Arc<TokenIdentity>> {
    token::parse(text).ok()?;
    app.caches.tokens.get(&app.vault.token_hash(text)).filter(|identity| identity.expires_at > now)
}

/// Whom a bearer token stands for, if it is one of ours, neither expired nor revoked, and the person behind it is still there: it never
/// may do more than he may now. This is where a caller begins.
pub async fn authenticate(app: &App, text: &str) -> Result<Arc<TokenIdentity>> {
    token::parse(text).map_err(|_| Error::Unauthenticated)?;
    let hash = app.vault.token_hash(text);
    let now = app.clock.now();
    match app.caches.tokens.get(&hash) {
        Some(identity) if identity.expires_at > now => Ok(identity),
        Some(_) => Err(Error::Unauthenticated),
        // Boxed: it is rare, and its many states would be moved about with every request.
        None => Box::pin(load_identity(app, text, hash, now)).await,
    }
}

async fn load_identity(app: &App, text: &str, hash: [u8; 32], now: i64) -> Result<Arc<TokenIdentity>> {
    let generation = app.caches.generation();
    let mut read = app.store.read().await?;
    let mut found = None;
    // A token of before a rotation is stored under another hash.
    for hash in app.vault.token_hashes(text) {
        found = store::token_by_hash(&mut read, &hash).await?;
        if found.is_some() {
            break;
        }
    }
    let row = found.ok_or(Error::Unauthenticated)?;
    let id = row.id.clone();
    let row = row.checked(&app.vault).map_err(|error| refused("token", &id, &error))?;
    if row.revoked_at.is_some() || row.expires_at <= now {
        return Err(Error::Unauthenticated);
    }
    let cap = match &row.person_id {
        Some(person_id) => people::current_roles(app, &mut read, person_id, &row.workspace_id).await?,
        None => Roles::all(),
    };
    if cap.is_empty() {
        return Err(Error::Unauthenticated);
    }
    let person_id = row.person_id.as_deref().map(uuid).transpose()?;
    let workspace = store::workspace(&mut read, &row.workspace_id).await?.ok_or(Error::Unauthenticated)?.checked(&app.vault)?;
    let view = token_view(row);
    let identity = Arc::new(TokenIdentity {
        id: uuid(&view.row.id)?,
        label: format!("token {}", view.row.name),
        identity: format!("token {}", view.row.id),
        workspace_id: uuid(&view.row.workspace_id)?,
        workspace: workspace.name,
        person_id,
        roles: view.roles.capped_by(cap),
        connections: view.connections,
        expires_at: view.row.expires_at,
    });
    app.caches.put_token(generation, hash, identity.clone());
    Ok(identity)
}

fn token_view(row: TokenRow) -> Token {
    let roles = Roles::parse(&row.roles);
    // A list that does not parse narrows to nothing, never to all.
    let connections = row.connections.as_deref().map(|names| serde_json::from_str(names).unwrap_or_default());
    Token { row, is_altered: false, roles, connections }
}
